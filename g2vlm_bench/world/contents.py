"""What a task can ask about scenes: one function a content, scenes in, samples out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from g2vlm_bench.sample import Inputs, Sample, Target
from g2vlm_bench.world.layout import novelty
from g2vlm_bench.world.questions import Question
from g2vlm_bench.world.scene import SPLITS, WORLD_VERSION
from g2vlm_bench.world.shown import Shown

# Points of a cloud that is handed to a model.
_CLOUD_POINTS = 1024
_CLOUD_STREAM = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a content is text: it follows from the scenes, and is part of the data's hash.

    Attributes:
        samples: The samples.
        texts: Plain JSON values: questions, answers, facts.
    """

    samples: list[Sample]
    texts: list[Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """Options of contents that ask in words.

    Attributes:
        per_scene: Questions of a scene at most.
        families: Families of question.
    """

    per_scene: int
    families: tuple[str, ...]


def tags_of(shown: Shown) -> dict[str, str]:
    """What a table may be split by: place, views, and what training never shows."""
    new = novelty(shown.scene)
    return {
        "place": shown.scene.place.kind,
        "views": str(shown.frame.views),
        "novel_pairs": _yes("pair" in new),
        "novel_count": _yes("count" in new),
    }


def depth(shown: Sequence[Shown], asking: Asking) -> Asked:
    """Depth of every view; the target has cameras too, which camera poses are scored by."""
    return Asked([_whole(each, each.depth) for each in shown], [])


def points(shown: Sequence[Shown], asking: Asking) -> Asked:
    """The surface point of every pixel of every view in the world frame, with its normal.

    Points are as dense as pixels are; a protocol that wants them even down-samples by voxels.
    """
    return Asked([_whole(each, partial(_cloud_target, each)) for each in shown], [])


def questions(shown: Sequence[Shown], asking: Asking) -> Asked:
    """Questions with one right answer, tagged with their family and their wording."""
    from g2vlm_bench.world.questions import ask
    from g2vlm_bench.world.renderer import look

    frame = shown[0].frame
    aspect = frame.width / frame.height
    scenes = [each.scene for each in shown]
    asked = ask(
        scenes, look(scenes, frame.views, aspect), asking.per_scene, asking.families, aspect
    )
    samples = [
        _question_sample(each, number, question)
        for each, found in zip(shown, asked, strict=True)
        for number, question in enumerate(found)
    ]
    return Asked(samples, [[dataclasses.asdict(q) for q in found] for found in asked])


def agreement(shown: Sequence[Shown], asking: Asking) -> Asked:
    """Questions that true depth can answer too, for the consistency of words and geometry."""
    from g2vlm_bench.world.agreement import agreement_questions

    samples, texts = [], []
    for each in shown:
        for number, question in enumerate(agreement_questions(each, asking.per_scene)):
            target = partial(_agreement_target, each, question)
            samples.append(
                _sample(
                    each, f"a{number:02d}", target, {"relation": question.relation},
                    question=question.text, answer_type=question.answer_type,
                )
            )  # fmt: skip
            texts.append(dataclasses.asdict(question))
    return Asked(samples, texts)


def description(shown: Sequence[Shown], asking: Asking) -> Asked:
    """A text about the scene; the target has all that is plain to see, and what none can say."""
    from g2vlm_bench.world.descriptions import describe, recount, scene_facts
    from g2vlm_bench.world.language.undecided import undecided_facts
    from g2vlm_bench.world.renderer import look

    frame = shown[0].frame
    aspect = frame.width / frame.height
    samples, texts = [], []
    sights = look([each.scene for each in shown], frame.views, aspect)
    for each, sight in zip(shown, sights, strict=True):
        facts = scene_facts(each.scene, sight, aspect)
        if not facts:
            continue
        references = [describe(each.scene, sight, seed, aspect).text for seed in range(3)]
        undecided = undecided_facts(each.scene, sight, aspect)
        target = Target(
            answer=recount(facts), accepted=tuple(references), facts=facts, undecided=undecided
        )
        prompt = "Describe the scene: name the objects and say how they stand to one another."
        samples.append(_sample(each, "d", partial(_given, target), {}, question=prompt))
        texts.append([sorted(facts), sorted(undecided), references])
    return Asked(samples, texts)


def grounding(shown: Sequence[Shown], asking: Asking) -> Asked:
    """A phrase that means one object; the target has its pixels in every view and its place."""
    from g2vlm_bench.world.queries import queries
    from g2vlm_bench.world.renderer import look

    frame = shown[0].frame
    aspect = frame.width / frame.height
    samples, texts = [], []
    sights = look([each.scene for each in shown], frame.views, aspect)
    for each, sight in zip(shown, sights, strict=True):
        for number, query in enumerate(queries(each.scene, sight, asking.per_scene, aspect=aspect)):
            target = partial(_object_target, each, query.body)
            tags = {"kind": query.kind, "novel_wording": _yes(query.held_out)}
            samples.append(_sample(each, f"g{number:02d}", target, tags, question=query.text))
            texts.append([query.text, query.body])
    return Asked(samples, texts)


def text_to_scene(shown: Sequence[Shown], asking: Asking) -> Asked:
    """Captions, each before the picture that it is to find among all."""
    from g2vlm_bench.world.queries import captions
    from g2vlm_bench.world.renderer import look

    frame = shown[0].frame
    aspect = frame.width / frame.height
    samples = []
    scenes = [each.scene for each in shown]
    texts = captions(scenes, look(scenes, frame.views, aspect), seed=0, aspect=aspect)
    for each, text in zip(shown, texts, strict=True):
        # A scene that no caption tells from all others is there to be found only.
        if text is not None:
            name = f"{each.id}-text"
            samples.append(_lone(each, name, "query", partial(Inputs, id=name, question=text)))
        name = f"{each.id}-image"
        samples.append(_lone(each, name, "item", partial(each.inputs, name)))
    return Asked(samples, texts)


def image_to_cloud(shown: Sequence[Shown], asking: Asking) -> Asked:
    """Pictures, each before the point cloud that it is to find among all."""
    samples = []
    for each in shown:
        name = f"{each.id}-image"
        samples.append(_lone(each, name, "query", partial(each.inputs, name)))
        name = f"{each.id}-cloud"
        samples.append(_lone(each, name, "item", partial(_cloud_inputs, each, name)))
    return Asked(samples, [])


CONTENTS: Mapping[str, Callable[[Sequence[Shown], Asking], Asked]] = {
    "depth": depth,
    "points": points,
    "questions": questions,
    "agreement": agreement,
    "description": description,
    "grounding": grounding,
    "text_to_scene": text_to_scene,
    "image_to_cloud": image_to_cloud,
}


def _whole(shown: Shown, target: Callable[[], Target]) -> Sample:
    """The one sample of a scene."""
    return Sample(
        id=shown.id,
        cluster=shown.scene.id,
        load_inputs=partial(shown.inputs, shown.id),
        load_target=target,
        tags=tags_of(shown),
    )


def _sample(
    shown: Shown, number: str, target: Callable[[], Target], tags: dict[str, str], **asked: Any
) -> Sample:
    """One of several samples of a scene, whose inputs hold words too."""
    name = f"{shown.id}-{number}"
    return Sample(
        id=name,
        cluster=shown.scene.id,
        load_inputs=lambda: dataclasses.replace(shown.inputs(name), **asked),
        load_target=target,
        tags=tags_of(shown) | tags,
    )


def _lone(shown: Shown, name: str, role: Any, inputs: Callable[[], Inputs]) -> Sample:
    """A text, picture or cloud by itself."""
    target = Target(pair=shown.scene.id, role=role)
    tags = tags_of(shown) | {"role": role}
    return Sample(
        id=name, cluster=shown.scene.id, load_inputs=inputs, load_target=lambda: target, tags=tags
    )


def _question_sample(shown: Shown, number: int, question: Question) -> Sample:
    target = Target(
        answer=question.answer,
        choices=question.choices,
        answer_type=question.answer_type,
        unit=question.unit,
    )
    tags = {"family": question.family, "novel_wording": _yes(question.held_out)}
    return _sample(
        shown, f"q{number:02d}", lambda: target, tags,
        question=question.text, choices=question.choices, answer_type=question.answer_type,
    )  # fmt: skip


def _cloud_target(shown: Shown) -> Target:
    cloud, normals = shown.cloud()
    return dataclasses.replace(shown.depth(), points_world=cloud, normals_world=normals)


def _cloud_inputs(shown: Shown, name: str) -> Inputs:
    """Points drawn from all pixels, in the first camera's frame, in no order."""
    from g2vlm_bench.geometry.cameras import invert_pose, transform

    cloud, _ = shown.cloud()
    scene = shown.scene
    key = (WORLD_VERSION, SPLITS.index(scene.split), _CLOUD_STREAM)
    rng = np.random.default_rng(np.random.SeedSequence(scene.seed, spawn_key=key))
    drawn = cloud[rng.choice(len(cloud), size=min(_CLOUD_POINTS, len(cloud)), replace=False)]
    first_from_world = invert_pose(shown.views.world_from_camera[0])
    return Inputs(id=name, points=transform(drawn, first_from_world))


def _agreement_target(shown: Shown, question: Any) -> Target:
    return dataclasses.replace(
        shown.depth(),
        answer=question.answer,
        answer_type=question.answer_type,
        unit="m" if question.answer_type == "number" else "",
        objects=shown.objects(question.bodies),
        relation=question.relation,
        up=shown.up(),
    )


def _object_target(shown: Shown, body: int) -> Target:
    return Target(objects=shown.objects([body]))


def _given(target: Target) -> Target:
    return target


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
