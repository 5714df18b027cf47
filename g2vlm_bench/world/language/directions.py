"""Where things are: from the viewer, from a thing's own front; and which thing is meant."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, permutations

from g2vlm_bench.world.candidates import Candidate, Words, claim, either, pick
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import Seen, touch, which_is_larger
from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS

SIDES = (
    ("lateral", ("left", "right"), ("to the left of", "to the right of")),
    ("frontal", ("in front", "behind"), ("in front of", "behind")),
)
# From a thing's own front: so far off the border between two sides.
_OWN_MARGIN_DEG = 25.0
_RELATIONS = ("left of", "right of", "in front of", "behind", "on", "in")


def direction(seen: Seen) -> Iterator[Candidate]:
    """Left, right, in front, behind, above, below: for the viewer, as a choice or as a claim.

    Margins: left and right differ by 7 degrees and half of the bodies' widths; in front and behind
    by 15 % in depth, and the nearest surfaces agree; above and below are over the middle 60 % of
    the lower thing, and where not, side by side with a gap between them, the upper one not wholly
    higher. Two bodies that touch are never left, right, in front or behind of each other.
    """
    for a, b in permutations(seen.clear_here, 2):
        yield from _vertical(seen, a, b)
        words: Words = {"viewer": seen.viewer, "a": a, "b": b}
        for kind, choices, relations in SIDES:
            holds = seen.is_left if kind == "lateral" else seen.is_nearer
            if not (holds(a, b) or holds(b, a)):
                continue
            first = holds(a, b)
            fact = (kind, frozenset((a.id, b.id)))
            cue = [which_is_larger(a, b)] if kind == "frontal" else []
            yield either(kind, fact, choices[not first], choices, words, (a, b), (), cue)
            for relation, truth in zip(relations, (first, not first), strict=True):
                for said, holds_so in ((relation, truth), (f"not {relation}", not truth)):
                    named = {**words, "relation": said}
                    cues = [f"{said} {each}" for each in cue]
                    yield claim("claim", fact, holds_so, named, (a, b), [said], cues)


def _vertical(seen: Seen, a: Body, b: Body) -> Iterator[Candidate]:
    if seen.moves(a) or seen.moves(b):
        return
    beside = seen.floor_gap_m(a, b) > 0
    for relation, upper, lower in (("above", a, b), ("below", b, a)):
        holds = seen.is_above(upper, lower)
        # Of what is higher but to the side, some would say that it is above.
        if holds or (beside and upper.base_m[2] < lower.top_m):
            fact = ("vertical", frozenset((a.id, b.id)))
            words: Words = {"a": a, "b": b, "relation": relation}
            yield claim("vertical", fact, holds, words, (a, b), [relation])


def own_direction(seen: Seen) -> Iterator[Candidate]:
    """Left, right, in front, behind from the point of view of a thing that has a front.

    Margins: 25 degrees from the border between two sides, and a gap between the two things. The
    thing with the front is wholly in the frame and not seen from behind; neither thing moves.
    """
    here = [body for body in seen.clear_here if not seen.moves(body)]
    owners = [body for body in here if KINDS[body.kind].has_front and _shows_front(seen, body)]
    for owner, a in ((o, a) for o in owners for a in here if a is not o):
        if touch(a, owner) or seen.floor_gap_m(a, owner) <= 0:
            continue
        front, left = seen.from_own_front(a, owner)
        angle = math.degrees(math.atan2(abs(left), abs(front)))
        fact = ("own", owner.id, a.id)
        words: Words = {"a": a, "b": owner, "here": seen.here}
        for kind, choices, relations in SIDES:
            lateral = kind == "lateral"
            if (90 - angle if lateral else angle) > 90 - _OWN_MARGIN_DEG:
                continue
            first = left > 0 if lateral else front > 0
            yield either(f"own_{kind}", fact, choices[not first], choices, words, (a, owner))
            for relation, truth in zip(relations, (first, not first), strict=True):
                said: Words = {**words, "relation": relation}
                yield claim("own_claim", fact, truth, said, (a, owner), [relation])


def _shows_front(seen: Seen, owner: Body) -> bool:
    return seen.is_framed(owner) and float(owner.in_own_frame(seen.camera.position_m)[0]) >= 0


def reference(seen: Seen) -> Iterator[Candidate]:
    """Which of two or three things that share a word stands in a relation to another thing.

    Margins: those of `direction` and `support`; of the options, one stands in the relation and the
    others clearly do not.
    """
    for word, trait in (("color", "color"), ("noun", "kind")):
        groups: dict[str, list[Body]] = {}
        for body in seen.clear_here:
            groups.setdefault(getattr(body, trait), []).append(body)
        for group in groups.values():
            for options in _small_groups(group):
                for b in (body for body in seen.clear_here if body not in options):
                    yield from _which(seen, word, options, b)


def _small_groups(group: list[Body]) -> Iterator[tuple[Body, ...]]:
    for count in (3, 2):
        yield from combinations(group[:4], count)


def _which(seen: Seen, word: str, options: tuple[Body, ...], b: Body) -> Iterator[Candidate]:
    # The phrase must fit no other body in the picture.
    color, kind = options[0].color, options[0].kind
    if word == "color" and color in seen.painted:
        return
    fits = (lambda body: body.color == color) if word == "color" else seen.of_kind(kind)
    alike = seen.fitting(fits)
    if alike is None or set(alike) - {b} != set(options):
        return
    for relation in _RELATIONS:
        states = [relation_state(seen, relation, option, b) for option in options]
        if None in states or states.count(True) != 1:
            continue
        right = options[states.index(True)]
        wrong = [option for option in options if option is not right]
        shared = f"{options[0].color} object" if word == "color" else options[0].noun
        words: Words = {
            "a": Phrase(shared, (right.id,)),
            "b": b,
            "relation": relation,
            "viewer": seen.viewer,
            "here": seen.here,
        }
        fact = ("reference", right.id, b.id, relation)
        yield pick("reference", fact, right, wrong, words, (b,), [relation])


def relation_state(seen: Seen, relation: str, a: Body, b: Body) -> bool | None:
    """Whether a stands in a relation to b: yes, clearly not, or not to be said."""
    if relation in ("on", "in"):
        if a.support == b.id:
            return a.inside == (relation == "in")
        return None if b.id in seen.below(a) or a.id in seen.below(b) else False
    swapped = relation in ("right of", "behind")
    a, b = (b, a) if swapped else (a, b)
    holds = seen.is_left if relation in ("left of", "right of") else seen.is_nearer
    if holds(a, b):
        return True
    return False if holds(b, a) else None
