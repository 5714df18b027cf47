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


def swapped(what: Swapped, inputs: Inputs, other: Inputs) -> Inputs:
    """The sample with what is another's: its scene, or its question.

    Raises:
        ValueError: The other sample has no such thing.
    """
    return showing(inputs, other) if what == "scene" else hearing(inputs, other)


def hearing(inputs: Inputs, other: Inputs) -> Inputs:
    """The same views and options with the question of another sample.

    The kind of answer stays too, so that what is said can be read as one; whether it fits the
    question or not, it is no answer to the sample's own.

    Raises:
        ValueError: The other sample asks nothing.
    """
    if not other.question:
        raise ValueError("expected another sample's question, got none")
    return replace(inputs, question=other.question, fields=other.fields, earlier=())


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
