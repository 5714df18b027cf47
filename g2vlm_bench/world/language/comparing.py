"""Which is larger, taller, nearer; which comes first on a way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.candidates import Candidate, Words, claim, pick
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import (
    Seen,
    largest_m,
    ratio,
    touch,
    volume_m3,
    which_is_larger,
)
from g2vlm_bench.world.scene import Body

SIZE_RATIO = 1.25
DISTANCE_RATIO = 1.3
# A body is passed within this share of the way's length, and those between differ by the other.
_BESIDE, _BETWEEN = 0.3, 0.15
_MAX_TRIOS = 24


def comparison(seen: Seen) -> Iterator[Candidate]:
    """Which is larger, smaller, taller, higher up, nearer or farther; which is closer to a third.

    Margins: larger is 25 % more in the largest extent and more in volume; taller is 25 % more in
    height; tops differ by 25 %; nearer to the camera is that of `direction`, closer to a third
    thing is 30 % in the distance of the middles, of what stands still and is mostly in the frame.
    All are clear in the picture spoken of.
    """
    for a, b in permutations(seen.clear_here, 2):
        yield from _pair(seen, a, b)
    for trio in list(combinations(seen.clear_here, 3))[:_MAX_TRIOS]:
        yield from _nearest(seen, trio)
        yield from _closer(seen, trio)


def _pair(seen: Seen, a: Body, b: Body) -> Iterator[Candidate]:
    """All that compares two bodies of which the first is the larger, taller or higher."""
    larger = ratio(largest_m(a), largest_m(b)) >= SIZE_RATIO and volume_m3(a) > volume_m3(b)
    taller = ratio(a.extent_m[2], b.extent_m[2]) >= SIZE_RATIO
    higher = ratio(a.top_m, b.top_m) >= SIZE_RATIO
    words: Words = {"here": seen.here, "ground": seen.ground}
    for holds, more, less, claimed in (
        (larger, "larger", "smaller", "larger than"),
        (taller, "taller", "shorter", "taller than"),
        (higher, "highest_top", "lowest_top", ""),
    ):
        if not holds:
            continue
        fact = (more, frozenset((a.id, b.id)))
        yield pick(more, fact, a, [b], words)
        yield pick(less, fact, b, [a], words)
        if claimed:
            for x, y, truth in ((a, b, True), (b, a, False)):
                said: Words = {**words, "a": x, "b": y, "relation": claimed}
                yield claim("compared", fact, truth, said, (x, y), [claimed])
    if seen.is_nearer(a, b):
        fact = ("nearer", frozenset((a.id, b.id)))
        for x, y, truth in ((a, b, True), (b, a, False)):
            said = {"a": x, "b": y, "viewer": seen.viewer}
            cue = [which_is_larger(x, y)]
            yield claim("nearer_than", fact, truth, said, (x, y), ["nearer"], cue)
            yield claim("farther_than", fact, not truth, said, (x, y), ["farther"], cue)


def _nearest(seen: Seen, trio: tuple[Body, ...]) -> Iterator[Candidate]:
    """Which of three is nearest to, or farthest from, the camera."""
    for body in trio:
        others = [other for other in trio if other is not body]
        words: Words = {"viewer": seen.viewer}
        fact = ("nearest", frozenset(each.id for each in trio))
        if all(seen.is_nearer(body, other) for other in others):
            yield pick("nearest", fact, body, others, words, shortcut=largest_m)
        if all(seen.is_nearer(other, body) for other in others):
            yield pick("farthest", fact, body, others, words, shortcut=largest_m)


def _closer(seen: Seen, trio: tuple[Body, ...]) -> Iterator[Candidate]:
    """Which of two is closer to a third; not where one touches it."""
    for c in trio:
        a, b = (body for body in trio if body is not c)
        if not all(seen.is_mostly_framed(x, seen.view) and not seen.moves(x) for x in trio):
            continue
        far = [math.dist(each.center_m, c.center_m) for each in (a, b)]
        if touch(a, c) or touch(b, c) or max(far) / max(min(far), 1e-9) < DISTANCE_RATIO:
            continue
        right, wrong = (a, b) if far[0] < far[1] else (b, a)
        fact = ("closer", c.id, frozenset((a.id, b.id)))
        yield pick("closer", fact, right, [wrong], {"c": c}, (c,), shortcut=largest_m)


def order(seen: Seen) -> Iterator[Candidate]:
    """Which of two things one passes first, walking straight from one thing, or the camera, on.

    Margins: things at the ends of the way stand on the ground, apart by 30 % of its length; the two
    are beside it, between 10 % and 90 % of it and within 30 % of its length, and 15 % of its length
    apart along it. Nothing of that moves, and none of the two is on an end.
    """
    still = [body for body in seen.clear_any if not seen.moves(body)]
    ends: list[Body | None] = [None, *(body for body in still if body.support == 0)]
    for a, b in permutations(ends, 2):
        start, end = (_foot(seen, each) for each in (a, b))
        way = end - start
        length = float(np.linalg.norm(way))
        if a and b and seen.floor_gap_m(a, b) < 0.3 * length:
            continue
        passed: list[tuple[float, Body]] = []
        for body in still:
            offset = _foot(seen, body) - start
            along = float(offset @ way) / length**2
            beside = abs(float(way[0] * offset[1] - way[1] * offset[0])) / length**2
            on_an_end = any(end and end.id in seen.below(body) for end in (a, b))
            if body not in (a, b) and not on_an_end and 0.1 < along < 0.9 and beside < _BESIDE:
                passed.append((along, body))
        yield from _passed(seen, a, b, passed)


def _foot(seen: Seen, end: Body | None) -> NDArray[np.float64]:
    """Where an end of a way is on the ground; no body stands for the camera."""
    return np.array(end.base_m[:2] if end else seen.camera.position_m[:2])


def _passed(
    seen: Seen, a: Body | None, b: Body | None, passed: list[tuple[float, Body]]
) -> Iterator[Candidate]:
    camera = Phrase(seen.viewer.text.removeprefix("the "))
    ends = [end for end in (a, b) if end]
    for (s, one), (t, other) in combinations(passed, 2):
        if abs(s - t) < _BETWEEN:
            continue
        first, last = (one, other) if s < t else (other, one)
        fact = ("passed", frozenset(end.id for end in ends), frozenset((one.id, other.id)))
        words: Words = {"a": a or camera, "b": b or camera}
        yield pick("passed_first", fact, first, [last], words, ends)
        yield pick("passed_last", fact, last, [first], words, ends)
