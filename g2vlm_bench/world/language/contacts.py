"""What stands on, in and before what: support, containment, occlusion, stability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.candidates import Candidate, Words, claim, pick
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import (
    CLEAR_SHARE,
    HIDES,
    HIDES_NOT,
    Seen,
    largest_m,
    which_is_larger,
)
from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS, Surface

SLIDES_CM = (5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 80, 100)
# It falls where it slides so many times the way to the edge; it stays below the other.
_FALLS, _STAYS = 1.35, 0.7
_ROLLS = ("sphere", "torus")
# A footprint fits on a top that is wider by the one, and does not where it is by the other.
_FITS, _FITS_NOT = 0.9, 1.25
# Shares of its outline in the picture: to be named at all, less than half, more than half.
_BARELY, _PARTLY, _MOSTLY = 0.12, 0.38, 0.62


def support(seen: Seen) -> Iterator[Candidate]:
    """What is on what, and what would fall if something were taken away, chains included.

    Margins: what is spoken of is clear in one picture together with what carries it. Whether a
    thing is **on** what only carries its carrier is not asked; things in crates and shelves do not
    fall, nor does anybody ask whether they are on them.
    """
    for a in seen.clear_any:
        yield from _under(seen, a)
    for a, b in permutations(seen.clear_any, 2):
        yield from _on(seen, a, b)
        yield from _falls(seen, a, b)
    for b in seen.clear_any:
        yield from _which_falls(seen, b)
        yield from _what_is_on(seen, b)


def _stable_chain(seen: Seen, body: Body) -> bool:
    """Whether nothing in its chain of support stands in another thing."""
    return not body.inside and not any(seen.still.body(i).inside for i in seen.below(body))


def _tops(seen: Seen, a: Body) -> list[Body]:
    """Clear bodies on which it could stand as far as the kinds go."""
    return [
        b
        for b in seen.clear_any
        if b is not a and b.surfaces and not b.surfaces[0].inside and a.id not in seen.below(b)
    ]


def _under(seen: Seen, a: Body) -> Iterator[Candidate]:
    """What a body stands on: the ground or one of two bodies with a top."""
    if a.inside:
        return
    chain = seen.below(a)
    under = seen.still.body(chain[0]) if chain else None
    if under is not None and not seen.together(a, under):
        return
    tops = [b for b in _tops(seen, a) if b.id not in chain[1:]]
    for pair in combinations(tops, 2):
        if under is not None and under not in pair:
            continue
        right: Body | str = under or seen.ground
        wrong = [o for o in (seen.ground, *pair) if o is not right]
        fact = ("on", a.id, chain[0] if chain else 0)
        yield pick("under", fact, right, wrong, {"a": a}, (a,))


def _on(seen: Seen, a: Body, b: Body) -> Iterator[Candidate]:
    if b not in _tops(seen, a) or a.inside or b.id in seen.below(a)[1:]:
        return
    holds = a.support == b.id
    if holds and not seen.together(a, b):
        return
    for said, truth in (("", holds), ("not ", not holds)):
        words: Words = {"a": a, "b": b, "not": said}
        cue = [f"{said}{which_is_larger(a, b)}"]
        yield claim("on", ("on", a.id, b.id), truth, words, (a, b), [f"{said}on"], cue)


def _falls(seen: Seen, a: Body, b: Body) -> Iterator[Candidate]:
    if not _stable_chain(seen, a) or not _stable_chain(seen, b):
        return
    holds = b.id in seen.below(a)
    steady = [seen.still.body(i) in seen.clear_any for i in seen.below(a)]
    if all(steady):
        fact = ("falls", a.id, b.id)
        cue = [which_is_larger(a, b)]
        yield claim("falls", fact, holds, {"a": a, "b": b}, (a, b), ["falls"], cue)
        yield claim("stays", fact, not holds, {"a": a, "b": b}, (a, b), ["stays"], cue)


def _which_falls(seen: Seen, b: Body) -> Iterator[Candidate]:
    """Which of three would fall: one that the other bears, and two that it does not."""
    steady = [x for x in seen.clear_any if x is not b and _stable_chain(seen, x)]
    fallen = [x for x in steady if b.id in seen.below(x)]
    others = [x for x in steady if b.id not in seen.below(x)]
    for right in fallen:
        for wrong in list(combinations(others, 2))[:12]:
            fact = ("falls", right.id, b.id)
            yield pick("which_falls", fact, right, wrong, {"b": b}, (b,), shortcut=largest_m)


def _what_is_on(seen: Seen, b: Body) -> Iterator[Candidate]:
    on = [x for x in seen.clear_any if x.support == b.id and not x.inside and seen.together(x, b)]
    others = [x for x in seen.clear_any if x is not b and b.id not in seen.below(x)]
    for right in on:
        for wrong in list(combinations(others, 2))[:12]:
            fact = ("on", right.id, b.id)
            yield pick("what_is_on", fact, right, wrong, {"b": b}, (b,), shortcut=largest_m)


def containment(seen: Seen) -> Iterator[Candidate]:
    """Whether a thing is in a crate or shelf, and which of three is.

    Margins: all are clear, the thing and its container in the same picture; on top of a shelf is
    not in it.
    """
    holders = [b for b in seen.clear_any if any(place.inside for place in b.surfaces)]
    for b in holders:
        others = [x for x in seen.clear_any if x is not b]
        inside = [x for x in others if x.support == b.id and x.inside and seen.together(x, b)]
        outside = [x for x in others if b.id not in seen.below(x) or not _within(seen, x, b)]
        for a, holds in [*((x, True) for x in inside), *((x, False) for x in outside)]:
            fact = ("in", a.id, b.id)
            yield claim("in", fact, holds, {"a": a, "b": b}, (a, b), ["in"])
            yield claim("outside", fact, not holds, {"a": a, "b": b}, (a, b), ["outside"])
        for right in inside:
            for wrong in list(combinations(outside, 2))[:12]:
                fact = ("in", right.id, b.id)
                yield pick("which_is_in", fact, right, wrong, {"b": b}, (b,))


def _within(seen: Seen, body: Body, holder: Body) -> bool:
    """Whether it is in a holder, or on something that is."""
    chain = [body, *map(seen.still.body, seen.below(body))]
    return any(each.inside and each.support == holder.id for each in chain)


def occlusion(seen: Seen) -> Iterator[Candidate]:
    """Who hides whom, and whether more than half of a thing can be seen.

    Margins: to hide is to cover at least 12 % of an outline, not to hide less than 0.5 %; more than
    half is at least 62 %, less than half at most 38 %, of what the picture holds wholly. Of a thing
    that hides nothing and is not hidden it is asked only where it stands near the other in the
    picture.
    """
    for a, b in permutations(seen.clear_here, 2):
        share = seen.hidden(b, by=a)
        if share >= HIDES or (share < HIDES_NOT and _near_in_picture(seen, a, b)):
            fact = ("hides", a.id, b.id)
            words: Words = {"a": a, "b": b, "here": seen.here}
            cue = [which_is_larger(a, b)]
            yield claim("hides", fact, share >= HIDES, words, (a, b), ["hides"], cue)
            yield claim("clear_of", fact, share < HIDES, words, (a, b), ["clear"], cue)
    for b in seen.clear_here:
        yield from _hider(seen, b)
    for a in seen.bodies:
        yield from _half(seen, a)


def _near_in_picture(seen: Seen, a: Body, b: Body) -> bool:
    apart = abs(seen.bearing_deg(a) - seen.bearing_deg(b))
    return apart < 12 + seen.half_width_deg(a) + seen.half_width_deg(b)


def _hider(seen: Seen, b: Body) -> Iterator[Candidate]:
    others = [x for x in seen.clear_here if x is not b]
    hiders = [x for x in others if seen.hidden(b, by=x) >= HIDES]
    free = [x for x in others if seen.hidden(b, by=x) < HIDES_NOT]
    for right in hiders:
        for wrong in list(combinations(free, 2))[:12]:
            words: Words = {"b": b, "here": seen.here}
            fact = ("hides", right.id, b.id)
            yield pick("hider", fact, right, wrong, words, (b,), shortcut=largest_m)


def _half(seen: Seen, a: Body) -> Iterator[Candidate]:
    share = float(seen.sight.share[seen.view, a.id - 1])
    visible = float(seen.visibility[seen.view, a.id - 1])
    if share < CLEAR_SHARE or not (visible >= _MOSTLY or _BARELY <= visible <= _PARTLY):
        return
    if not (seen.tells(a, seen.view) and seen.is_framed(a)):
        return
    words: Words = {"a": a, "here": seen.here}
    for kind, truth in (("half_seen", visible > 0.5), ("half_hidden", visible < 0.5)):
        yield claim(kind, ("half", a.id), truth, words, (a,), [kind])


def stability(seen: Seen) -> Iterator[Candidate]:
    """Whether a thing would fall if it slid, and whether it could stand on another.

    Margins: it falls where its middle would go 35 % beyond the edge, it stays within 70 % of the
    way, and by the same length it would fall one way and stay another; nothing else may stand on
    the same top or on it, it does not roll, and no back is in its way. A thing fits where all of it
    has 10 % to spare, corners on a disc too, and does not where its foot is 25 % too wide; only
    tops that have the height for it are asked about, none of a chair.
    """
    for a in seen.clear_here:
        if a.support and not a.inside and seen.still.body(a.support) in seen.clear_here:
            yield from _slides(seen, a)
    for a, b in permutations(seen.clear_any, 2):
        yield from _could_stand(seen, a, b)


def _slides(seen: Seen, a: Body) -> Iterator[Candidate]:
    under = seen.still.body(a.support)
    alone = sum(body.support == under.id for body in seen.bodies) == 1
    bare = not any(body.support == a.id for body in seen.bodies)
    if not alone or not bare or a.kind in _ROLLS or under.kind == "chair":
        return
    right = seen.camera.world_from_camera[:2, 0]
    ahead = seen.camera.world_from_camera[:2, 2]
    ways = {
        "to the left": -right,
        "to the right": right,
        "towards the camera": -ahead,
        "away from the camera": ahead,
    }
    edges = {way: _edge_m(a, under, step / np.linalg.norm(step)) for way, step in ways.items()}
    for slide in SLIDES_CM:
        far = {way: slide / 100 / edge for way, edge in edges.items()}
        # Else the length and the things would tell, whatever the way.
        if max(far.values()) < _FALLS or min(far.values()) > _STAYS:
            continue
        for way, share in far.items():
            if _STAYS < share < _FALLS:
                continue
            words: Words = {
                "a": a,
                "b": under,
                "way": way,
                "cm": str(slide),
                "viewer": seen.viewer,
            }
            fact = ("slides", a.id, way)
            # Both answers are at hand for all these, so that none needs a gate of its own.
            cue = [str(slide), way, f"sliding {a.kind}", f"{slide} on {under.kind}", a.color]
            falls = claim("slides", fact, share >= _FALLS, words, shortcuts=cue)
            stays = claim("slides_safely", fact, share <= _STAYS, words, shortcuts=cue)
            yield dataclasses.replace(falls, about=(a, under))
            yield dataclasses.replace(stays, about=(a, under))


def _edge_m(a: Body, under: Body, way: NDArray[np.float64]) -> float:
    """How far the middle of a body is from the edge of what it stands on, along a way."""
    start = under.in_own_frame(a.base_m)[:2]
    local = (under.rotation.T @ np.array([*way, 0.0]))[:2]
    top = min(
        under.surfaces, key=lambda place: abs(under.base_m[2] + place.center_m[2] - a.base_m[2])
    )
    offset = start - np.array(top.center_m[:2])
    half = np.array(top.half_m)
    if not top.round:
        with np.errstate(divide="ignore"):
            return float(np.min((half - np.sign(local) * offset) / np.abs(local)))
    u, v = offset / half, local / half
    b, c = float(u @ v) / float(v @ v), (float(u @ u) - 1) / float(v @ v)
    return -b + math.sqrt(max(b * b - c, 0.0))


def _could_stand(seen: Seen, a: Body, b: Body) -> Iterator[Candidate]:
    if not b.surfaces or b.surfaces[0].inside or a.support == b.id or b.id in seen.below(a):
        return
    if b.kind == "chair":  # is it its seat or its back that something would stand on?
        return
    foot, top = KINDS[a.kind].foot(a.extent_m), b.surfaces[0]
    # Of a ball that bulges over an edge which its foot is within, people would not agree.
    whole = dataclasses.replace(foot, half_m=(a.extent_m[0] / 2, a.extent_m[1] / 2))
    fits = _span(whole, top) <= _FITS
    if fits or _span(foot, top) >= _FITS_NOT:
        words: Words = {"a": Phrase(a.name, (a.id,)), "b": Phrase(b.name, (b.id,))}
        fact = ("stands", a.id, b.id)
        yield claim("could_stand", fact, fits, words, (a, b), ["could stand"])
        yield claim("too_wide", fact, not fits, words, (a, b), ["too wide"])


def _span(foot: Surface, top: Surface) -> float:
    """How many times a top's width a foot is wide; of a square one on a disc its corners count."""
    if top.round and not foot.round:
        return math.hypot(*foot.half_m) / min(top.half_m)
    pairs = zip(sorted(foot.half_m), sorted(top.half_m), strict=True)
    return max(mine / its for mine, its in pairs)
