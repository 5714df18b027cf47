"""Pictures or the question of another scene in place of a sample's own: which, and what of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from g2vlm_bench.sample import Inputs, Sample, Swapped


def partners(samples: Sequence[Sample], seed: int) -> Mapping[str, Sample]:
    """Give each sample one of another scene, the same whatever batches they come in.

    Scenes stand in a ring in random order, and each is shown the next one's pictures; so every
    scene is shown about as often as it is asked about.

    Args:
        samples: All samples of the run.
        seed: Of the order.

    Returns:
        Sample by the id of the one that is to show it.

    Raises:
        ValueError: All samples show one scene.
    """
    scenes: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        scenes[sample.cluster].append(sample)
    if len(scenes) < 2:
        raise ValueError(f"expected samples of two scenes or more, got {len(scenes)}")
    digest = hashlib.sha256(f"{seed}:partners".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    names = sorted(scenes)
    ring = [names[i] for i in rng.permutation(len(names))]
    found = {}
    for name, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        others = scenes[following]
        for place, sample in enumerate(scenes[name]):
            found[sample.id] = others[place % len(others)]
    return found


def asked_otherwise(samples: Sequence[Sample], others: Mapping[str, Sample]) -> bool:
    """Whether any sample's question is another than its partner's; opens no more than it must."""
    for sample in samples:
        try:
            if sample.load_inputs().question != others[sample.id].load_inputs().question:
                return True
        except Exception:  # what cannot be opened is counted in its turn
            continue
    return False


def swapped(what: Swapped, inputs: Inputs, other: Inputs) -> Inputs:
    """The sample with what is another's: its scene, or its question.

    Raises:
        ValueError: The other sample has no such thing.
    """
    return showing(inputs, other) if what == "scene" else hearing(inputs, other)


def hearing(inputs: Inputs, other: Inputs) -> Inputs:
    """The same views and options with the question of another sample.

    The kind of answer stays too, so that what is said can be read as one; whether it fits the
    question or not, it is no answer to the sample's own. A prompt that the data bring along is the
    question's, and goes with it.

    Raises:
        ValueError: The other sample asks nothing, or each option has a question of its own.
    """
    if not (other.question or other.prompt):
        raise ValueError("expected another sample's question, got none")
    if inputs.contexts:
        raise ValueError("expected one question for all options, got one for each")
    return replace(
        inputs, question=other.question, prompt=other.prompt, fields=other.fields, earlier=()
    )


def showing(inputs: Inputs, other: Inputs) -> Inputs:
    """The same words with the views of another sample, as many as before, in turn.

    What was shown in earlier turns is taken away, since it shows the sample's own scene.

    Raises:
        ValueError: The other sample shows nothing.
    """
    if not other.images:
        raise ValueError("expected another sample's images, got none")
    which = [i % len(other.images) for i in range(len(inputs.images))]
    return replace(
        inputs,
        images=tuple(other.images[i] for i in which),
        intrinsics=other.intrinsics and tuple(other.intrinsics[i] for i in which),
        world_from_camera=(
            other.world_from_camera and tuple(other.world_from_camera[i] for i in which)
        ),
        depth_prior_m=other.depth_prior_m and tuple(other.depth_prior_m[i] for i in which),
        points=other.points,
        earlier=tuple(replace(turn, images=()) for turn in inputs.earlier),
    )
