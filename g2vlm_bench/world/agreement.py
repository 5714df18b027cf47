"""Questions that words and geometry can both answer, for the consistency of the two.

All speak of the first picture. A question is asked only where the true depth answers it as the
scene does, by a margin, so that geometry that is a little wrong is not wrong about the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.geometry.relations import RELATIONS, answer_from_geometry
from g2vlm_bench.sample import AnswerType
from g2vlm_bench.world.scene import SPLITS, WORLD_VERSION, Body, Scene
from g2vlm_bench.world.shown import Shown

_STREAM = 3
# Seen well: this share of the picture, and this share of what it would show alone.
_CLEAR_SHARE, _CLEAR_VISIBILITY = 0.008, 0.6
# By how much, relative to the distance from the camera, an order must hold.
_MARGIN = 0.12

_TEMPLATES: dict[str, tuple[str, ...]] = {
    "nearer": (
        "Is the {a} nearer to the camera than the {b}?",
        "Is the {a} closer to the viewer than the {b} is?",
        "Compared with the {b}, is the {a} nearer to the camera?",
    ),
    "left": (
        "Is the {a} to the left of the {b} in the first picture?",
        "Seen from the camera, is the {a} left of the {b}?",
        "Is the {a} further to the left than the {b}?",
    ),
    "above": (
        "Is the {a} higher up than the {b}?",
        "Is the middle of the {a} above the level of the middle of the {b}?",
        "Comparing their heights over the floor, is the {a} above the {b}?",
    ),
    "on": (
        "Is the {a} standing on the {b}?",
        "Does the {a} stand on top of the {b}?",
        "Does the {b} carry the {a}?",
    ),
    "distance": (
        "How far apart are the middles of the visible parts of the {a} and the {b}, in meters?",
        "What is the distance in meters between the visible parts of the {a} and the {b}, "
        "measured from middle to middle?",
    ),
    "range": (
        "How far from the camera is the middle of the visible part of the {a}, in meters?",
        "What is the distance in meters from the camera to the visible part of the {a}?",
    ),
}


def agreement_wordings() -> tuple[str, ...]:
    """Every wording, without the names that it takes."""
    return tuple(text.format(a="", b="") for row in _TEMPLATES.values() for text in row)


@dataclass(frozen=True, slots=True)
class AgreementQuestion:
    """A question that true depth answers.

    Attributes:
        relation: One of `geometry.relations.RELATIONS`.
        text: The question.
        answer_type: `yes_no` or `number`.
        answer: `yes`, `no`, or metres.
        bodies: Ids of the bodies, in the order of the relation.
    """

    relation: str
    text: str
    answer_type: AnswerType
    answer: str | float
    bodies: tuple[int, ...]


def agreement_questions(shown: Shown, per_scene: int) -> tuple[AgreementQuestion, ...]:
    """Ask up to `per_scene` questions, all relations alike often, yes and no alike often.

    Which of two bodies is named first is drawn, so that half of the ordered pairs are right
    whatever words are used; of support, bodies that stand on one another and bodies that do not are
    drawn alike often.
    """
    scene = shown.scene
    key = (WORLD_VERSION, SPLITS.index(scene.split), _STREAM)
    rng = np.random.default_rng(np.random.SeedSequence(scene.seed, spawn_key=key))
    possible = {relation: list(_possible(shown, relation)) for relation in RELATIONS}
    asked: list[AgreementQuestion] = []
    while len(asked) < per_scene and any(possible.values()):
        for relation in rng.permutation(RELATIONS):
            found = possible[str(relation)]
            if not found or len(asked) == per_scene:
                continue
            bodies, answer = _draw(found, rng)
            # One question about a set of bodies says what the other order would.
            possible[str(relation)] = [each for each in found if set(each[0]) != set(bodies)]
            asked.append(_worded(scene, str(relation), bodies, answer, rng))
    return tuple(asked)


_Found = tuple[tuple[int, ...], bool | float]


def _draw(found: Sequence[_Found], rng: np.random.Generator) -> _Found:
    """Draw the answer first, so that both are alike likely wherever both are possible."""
    answers = sorted({answer for _, answer in found if isinstance(answer, bool)})
    if answers:
        answer = bool(answers[rng.integers(len(answers))])
        found = [each for each in found if each[1] is answer]
    return found[int(rng.integers(len(found)))]


def _worded(
    scene: Scene,
    relation: str,
    bodies: tuple[int, ...],
    answer: bool | float,
    rng: np.random.Generator,
) -> AgreementQuestion:
    templates = _TEMPLATES[relation]
    names = dict(zip("ab", (scene.body(number).name for number in bodies), strict=False))
    is_order = isinstance(answer, bool)
    return AgreementQuestion(
        relation=relation,
        text=templates[rng.integers(len(templates))].format(**names),
        answer_type="yes_no" if is_order else "number",
        answer=("yes" if answer else "no") if is_order else round(float(answer), 3),
        bodies=bodies,
    )


def _possible(shown: Shown, relation: str) -> Iterator[_Found]:
    views, still = shown.views, shown.scene.shot(0)[0]
    points = unproject(views.depth_m[0].numpy(), views.intrinsics[0])
    ids = views.instance_ids[0].numpy()
    clouds = {body.id: points[ids == body.id] for body in still.bodies}
    clear = [
        body
        for body in still.bodies
        if (ids == body.id).mean() >= _CLEAR_SHARE
        and views.visibility[0][body.id - 1] >= _CLEAR_VISIBILITY
    ]
    up = shown.up()
    if relation == "range":
        for body in clear:
            yield (body.id,), answer_from_geometry(relation, [clouds[body.id]])
        return
    for a, b in permutations(clear, 2):
        answer = answer_from_geometry(relation, [clouds[a.id], clouds[b.id]], up)
        if relation == "distance" or _holds(relation, a, b, answer, clouds[a.id], clouds[b.id], up):
            yield (a.id, b.id), answer


def _holds(
    relation: str,
    a: Body,
    b: Body,
    answer: bool | float,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    up: NDArray[np.float64],
) -> bool:
    """Whether the scene says the same as its depth, by the margin."""
    if relation == "on":
        stands = a.support == b.id and not a.inside
        # Things on the same third thing, or far apart, are no question at all.
        asks = stands or (a.support != 0 and a.support != b.id) or b.support == a.id
        return asks and stands == answer
    middles = np.median(first, axis=0), np.median(second, axis=0)
    away = min(float(np.linalg.norm(middle)) for middle in middles)
    if relation == "nearer":
        ranges = [float(np.median(np.linalg.norm(cloud, axis=1))) for cloud in (first, second)]
        return abs(ranges[0] - ranges[1]) >= _MARGIN * away
    axis = np.array([1.0, 0.0, 0.0]) if relation == "left" else up
    return bool(abs((middles[0] - middles[1]) @ axis) >= _MARGIN * away)
