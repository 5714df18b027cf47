"""Which questions a scene allows, family by family.

A question is allowed only where its answer is plain to see: bodies must fill enough of a picture,
and relations must hold by a margin.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.scene import COLORS, Body, Scene

# A body is plain to see from this share of a picture on: 6 x 6 pixels of a 96 x 96 picture.
CLEAR_SHARE = 0.004
# Left and right, nearer and farther: below these margins people would hesitate.
MIN_BEARING_DEG = 7.0
MIN_RATIO = 1.15
MAX_COUNT = 3

SHAPES = ("box", "sphere", "cylinder")
_PLURALS = {"box": "boxes", "sphere": "spheres", "cylinder": "cylinders"}
_FLOOR = "the floor"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question that a scene allows.

    Attributes:
        kind: Which templates word it.
        fact: What it asks; no fact is asked twice of a scene.
        answer: As in `Question`.
        words: What fills the template.
        choices: The options, not yet shuffled.
        bodies: As in `Question`.
        lean: How far asking it tips each balance away from zero, see `_lean`.
        gate: The balance that must not be tipped far already.
    """

    kind: str
    fact: Hashable
    answer: str | float
    words: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    bodies: tuple[int, ...] = ()
    lean: Mapping[str, float] = field(default_factory=dict)
    gate: str = ""


class Seen:
    """What the cameras see of a scene, in the terms that questions are asked in.

    Args:
        scene: The scene; the first of its cameras is the viewer.
        shares: `(views, bodies)`, the share of each picture that each body fills.
        spare_colors: All colors in random order, for options that are wrong.
    """

    def __init__(
        self, scene: Scene, shares: NDArray[np.float64], spare_colors: Sequence[str]
    ) -> None:
        camera = scene.cameras[0]
        self.spare_colors = spare_colors
        self.scene = scene
        self.shares = shares
        self.clear_first = self._clear(shares[0])
        self.clear_any = self._clear(shares.max(axis=0))
        points = camera.in_camera([body.center_m for body in scene.bodies])
        bearings = np.degrees(np.arctan2(points[:, 0], points[:, 2]))
        self.depth_m = {b.id: float(z) for b, z in zip(scene.bodies, points[:, 2], strict=True)}
        self.bearing_deg = {b.id: float(u) for b, u in zip(scene.bodies, bearings, strict=True)}
        self.gap_m = {b.id: float(b.distance_m(camera.position_m)) for b in scene.bodies}

    def _clear(self, shares: NDArray[np.float64]) -> list[Body]:
        return [b for b in self.scene.bodies if shares[b.id - 1] >= CLEAR_SHARE]

    def is_left(self, a: Body, b: Body) -> bool:
        """Whether a is left of b by the margin: by angle, and by a part of the bodies' widths."""
        if _touch(a, b):
            return False
        widths = sum(
            math.degrees(math.atan2(body.footprint_radius_m, self.depth_m[body.id]))
            for body in (a, b)
        )
        margin = max(MIN_BEARING_DEG, 0.5 * widths)
        return self.bearing_deg[b.id] - self.bearing_deg[a.id] >= margin

    def is_nearer(self, a: Body, b: Body) -> bool:
        """Whether a is nearer than b by the margin, in depth and in its nearest surface."""
        if _touch(a, b):
            return False
        deeper = self.depth_m[b.id] >= MIN_RATIO * self.depth_m[a.id]
        return deeper and self.gap_m[b.id] > self.gap_m[a.id]

    def seen_with(self, word: str) -> list[Body] | None:
        """The bodies of a color or shape that are seen; None where one is hardly seen."""
        most = self.shares.max(axis=0)
        meant = [b for b in self.scene.bodies if word in (b.color, b.kind)]
        if any(0 < most[b.id - 1] < CLEAR_SHARE for b in meant):
            return None
        return [b for b in meant if most[b.id - 1] > 0]


def _lean(kind: str, words: Iterable[str], answer: str, answers: Sequence[str]) -> dict[str, float]:
    """How a question tips the balance between its possible answers, overall and for each word."""
    share = 1 / len(answers)
    return {
        _key(kind, word, each): (each == answer) - share
        for word in ("", *words)
        for each in answers
    }


def _name_lean(kind: str, answer: str, choices: Sequence[str]) -> dict[str, float]:
    """How a question among named objects tips the balance of each word being the right one."""
    lean: defaultdict[str, float] = defaultdict(float)
    for choice in choices:
        for word in choice.split():
            lean[_key(kind, word, "")] += (choice == answer) - 1 / len(choices)
    return lean


def _key(kind: str, word: str, answer: str) -> str:
    return f"{kind}/{word}/{answer}"


def _touch(a: Body, b: Body) -> bool:
    """Whether one stands on the other; then people say on or under, not left of or in front of."""
    return a.support == b.id or b.support == a.id


def _pair(a: Body, b: Body) -> frozenset[int]:
    return frozenset((a.id, b.id))


def _direction(seen: Seen) -> Iterator[Candidate]:
    """Left or right, in front or behind, as a choice or as a claim to judge; viewer's frame."""
    sides = (
        ("lateral", ("left", "right"), ("to the left of", "to the right of"), seen.is_left),
        ("frontal", ("in front", "behind"), ("in front of", "behind"), seen.is_nearer),
    )
    for kind, choices, relations, holds in sides:
        for a, b in permutations(seen.clear_first, 2):
            if not (holds(a, b) or holds(b, a)):
                continue
            yes = 0 if holds(a, b) else 1
            words, bodies, fact = {"a": a.name, "b": b.name}, (a.id, b.id), (kind, _pair(a, b))
            named = [*a.name.split(), *b.name.split()]
            answer = choices[yes]
            lean = _lean(kind, named, answer, choices)
            yield Candidate(
                kind, fact, answer, words, choices, bodies, lean, _key(kind, "", answer)
            )
            for relation in relations:
                truth = "yes" if relation == relations[yes] else "no"
                lean = _lean("claim", [relation, *named], truth, ("yes", "no"))
                words = {"a": a.name, "b": b.name, "relation": relation}
                gate = _key("claim", relation, truth)
                yield Candidate("claim", fact, truth, words, (), bodies, lean, gate)


def _nearest(seen: Seen) -> Iterator[Candidate]:
    """Which of three bodies is nearest to the viewer."""
    for trio in combinations(seen.clear_first, 3):
        for body in trio:
            others = [other for other in trio if other is not body]
            if all(seen.is_nearer(body, other) for other in others):
                names = tuple(each.name for each in trio)
                lean = _name_lean("nearest", body.name, names)
                bodies = tuple(each.id for each in trio)
                yield Candidate("nearest", ("nearest", bodies), body.name, {}, names, bodies, lean)


def _counting(seen: Seen) -> Iterator[Candidate]:
    """How many bodies of a color or of a shape are seen, 0 to 3."""
    answers = [str(count) for count in range(MAX_COUNT + 1)]
    for word in (*COLORS, *SHAPES):
        found = seen.seen_with(word)
        if found is None or len(found) > MAX_COUNT:
            continue
        kind = "count_shape" if word in SHAPES else "count_color"
        count = str(len(found))
        yield Candidate(
            kind,
            fact=("count", word),
            answer=float(count),
            words={"word": _PLURALS.get(word, word)},
            bodies=tuple(body.id for body in found),
            lean=_lean(kind, [word], count, answers),
            gate=_key(kind, "", count),
        )


def _existence(seen: Seen) -> Iterator[Candidate]:
    """Whether a color-shape pair is there; where not, both words fit other bodies that are."""
    there = {body.name: body for body in seen.scene.bodies}
    colors = sorted({body.color for body in seen.clear_any})
    shapes = sorted({body.kind for body in seen.clear_any})
    for color in colors:
        for shape in shapes:
            name = f"{color} {shape}"
            body = there.get(name)
            if body is not None and body not in seen.clear_any:
                continue
            truth = "no" if body is None else "yes"
            yield Candidate(
                "exists",
                fact=("exists", name),
                answer=truth,
                words={"a": f"an {name}" if name[0] in "aeiou" else f"a {name}"},
                bodies=() if body is None else (body.id,),
                lean=_lean("exists", [color, shape], truth, ("yes", "no")),
                gate=_key("exists", "", truth),
            )


def _attribute(seen: Seen) -> Iterator[Candidate]:
    """The color of the only body of its shape, the shape of the only body of its color."""
    for body in seen.clear_any:
        if seen.seen_with(body.kind) == [body]:
            others = [b.color for b in seen.clear_any if b.color != body.color]
            # Colors of the scene first, so that seeing a color does not make it the answer.
            choices = tuple(dict.fromkeys([body.color, *others, *seen.spare_colors]))[:4]
            yield Candidate(
                "color",
                fact=("color", body.id),
                answer=body.color,
                words={"word": body.kind},
                choices=choices,
                bodies=(body.id,),
                lean=_name_lean("color", body.color, choices),
            )
        if seen.seen_with(body.color) == [body]:
            yield Candidate(
                "shape",
                fact=("shape", body.id),
                answer=body.kind,
                words={"word": body.color},
                choices=SHAPES,
                bodies=(body.id,),
                lean=_lean("shape", [body.color], body.kind, SHAPES),
                gate=_key("shape", "", body.kind),
            )


def _support(seen: Seen) -> Iterator[Candidate]:
    """What a body stands on: the floor or one of two flat-topped bodies."""
    flat = [body for body in seen.clear_any if body.kind != "sphere" and body.support == 0]
    for body in seen.clear_any:
        tops = [top for top in flat if top is not body]
        for pair in combinations(tops, 2):
            under = seen.scene.body(body.support) if body.support else None
            if under is not None and (under not in pair or not _seen_together(seen, body, under)):
                continue
            answer = f"the {under.name}" if under else _FLOOR
            choices = (_FLOOR, *(f"the {top.name}" for top in pair))
            # One answer in three is the floor, also among the questions about boxes, say.
            tip = (answer == _FLOOR) - 1 / 3
            lean = {_key("under", word, _FLOOR): tip for word in ("", *body.name.split())}
            yield Candidate(
                "support",
                fact=("support", body.id),
                answer=answer,
                words={"a": body.name},
                choices=choices,
                bodies=(body.id, *(top.id for top in pair)),
                lean=lean | _name_lean("support", answer, choices),
                gate="" if under else _key("under", "", _FLOOR),
            )


def _seen_together(seen: Seen, a: Body, b: Body) -> bool:
    pair = seen.shares[:, [a.id - 1, b.id - 1]]
    return bool((pair.min(axis=1) >= CLEAR_SHARE).any())


def _distance(seen: Seen) -> Iterator[Candidate]:
    """How far apart the centres of two bodies are."""
    for a, b in permutations(seen.clear_any, 2):
        answer = round(math.dist(a.center_m, b.center_m), 3)
        words = {"a": a.name, "b": b.name}
        yield Candidate("distance", ("distance", _pair(a, b)), answer, words, bodies=(a.id, b.id))


def _depth(seen: Seen) -> Iterator[Candidate]:
    """How deep the centre of a body lies before the viewer."""
    for body in seen.clear_first:
        answer = round(seen.depth_m[body.id], 3)
        yield Candidate("depth", ("depth", body.id), answer, {"a": body.name}, bodies=(body.id,))


CANDIDATES: Mapping[str, Callable[[Seen], Iterator[Candidate]]] = {
    "direction": _direction,
    "nearest": _nearest,
    "counting": _counting,
    "existence": _existence,
    "attribute": _attribute,
    "support": _support,
    "distance": _distance,
    "depth": _depth,
}
