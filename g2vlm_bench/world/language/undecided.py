"""What may be said of a scene without being right or wrong, because no margin decides it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from g2vlm_bench.world.language.facts import FLOOR, RELATIONS, Fact, scene_facts, there
from g2vlm_bench.world.language.seen import HIDES, HIDES_NOT, Seen
from g2vlm_bench.world.scene import MATERIALS, SIZES, Body, Scene
from g2vlm_bench.world.shapes import spoken
from g2vlm_bench.world.sight import Sight


def undecided_facts(scene: Scene, sight: Sight, aspect: float = 1.0) -> frozenset[Fact]:
    """What a description may state that is neither true nor false by the questions' margins.

    - That a thing is there which the pictures show, but hardly, and all that is said of it; a door
      or a painted path where an object of its colour is spoken of; a material where it cannot be
      made out;
    - numbers from as many as are plain to as many as are shown at all, doors and painted paths of
      the colour among them;
    - left of, in front of and hides: between things that touch or are within the margins, and where
      the first picture does not show both plainly;
    - on and in: where no picture shows both plainly together, on what only carries the carrier, on
      what it is in, in what its carrier is in.

    Args:
        scene: The scene; of a moving one, the first picture's moment.
        sight: What its views show.
        aspect: Width over height of the pictures.
    """
    seen = Seen(scene, sight, 0, np.random.default_rng(0), aspect)
    shown = [body for body in seen.bodies if sight.share[:, body.id - 1].any()]
    hardly = [body for body in shown if body not in seen.clear_any]
    facts = {there(f"{color} object") for color in seen.painted}
    for body in hardly:
        facts |= {there(name) for noun in _nouns(body) for name in (noun, f"{body.color} {noun}")}
        facts |= {there(f"{body.color} object"), (body.name, "on", FLOOR)}
        facts |= {(body.name, "is", word) for word in (*SIZES, *MATERIALS)}
    for body in seen.clear_any:
        facts |= {(body.name, "is", word) for word in seen.may_be(body)}
    for a, b in permutations(shown, 2):
        for relation in RELATIONS:
            if _is_open(seen, relation, a, b):
                facts.add((a.name, relation, b.name))
    facts.update(_numbers(seen, shown, hardly))
    return frozenset(facts - scene_facts(scene, sight, aspect))


def _nouns(body: Body) -> tuple[str, ...]:
    """What a thing that is hardly shown may be taken for: a shelf from behind looks a box."""
    return (body.noun, spoken("box")) if body.kind == "shelf" else (body.noun,)


def _is_open(seen: Seen, relation: str, a: Body, b: Body) -> bool:
    """Whether it can be disputed that a stands in a relation to b."""
    if relation in ("on", "in"):
        return _is_support_open(seen, relation, a, b)
    if a not in seen.clear_here or b not in seen.clear_here:
        return True
    if relation == "hides":
        return HIDES_NOT <= seen.hidden(b, by=a) < HIDES
    holds = seen.is_left if relation == "left of" else seen.is_nearer
    return not (holds(a, b) or holds(b, a))


def _is_support_open(seen: Seen, relation: str, a: Body, b: Body) -> bool:
    if not any(place.inside == (relation == "in") for place in b.surfaces):
        return relation == "on" and a.support == b.id
    if a not in seen.clear_any or b not in seen.clear_any:
        return True
    if a.support == b.id:
        # Whoever says that a thing is on the shelf may mean one of its boards.
        return not seen.together(a, b) if a.inside == (relation == "in") else a.inside
    chain = seen.below(a)
    carriers = [a, *map(seen.still.body, chain)]
    is_within = any(each.inside and each.support == b.id for each in carriers)
    return b.id in chain and (relation == "on" or is_within)


def _numbers(seen: Seen, shown: list[Body], hardly: list[Body]) -> Iterator[Fact]:
    """Numbers of a noun or a colour that depend on whether what is hardly shown is counted."""
    place = seen.scene.place
    painted = [door.color for door in place.doors] + [strip.color for strip in place.strips]
    for noun in {noun for body in shown for noun in _nouns(body)}:
        sure = sum(body.noun == noun for body in seen.clear_any)
        perhaps = sum(noun in _nouns(body) for body in hardly)
        yield from _between(noun, sure, perhaps)
    for color in {body.color for body in shown} | seen.painted:
        sure = sum(body.color == color for body in seen.clear_any)
        perhaps = sum(body.color == color for body in hardly)
        perhaps += painted.count(color) if color in seen.painted else 0
        yield from _between(f"{color} object", sure, perhaps)


def _between(name: str, sure: int, perhaps: int) -> Iterator[Fact]:
    for number in range(sure, sure + perhaps + 1):
        if perhaps:
            yield (name, "number", str(number))
