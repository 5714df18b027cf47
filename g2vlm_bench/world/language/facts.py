"""Facts of a scene: what is there, what it is like, and how things stand to one another.

A fact is a triple of subject, relation and object. Relations that only turn another one around are
not told apart: "b is right of a" is the fact that a is left of b.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from g2vlm_bench.world.language.seen import HIDES, Seen
from g2vlm_bench.world.scene import Body, Scene
from g2vlm_bench.world.sight import Sight

Fact = tuple[str, str, str]

FLOOR = "floor"
RELATIONS = ("on", "in", "left of", "in front of", "hides")


def there(name: str) -> Fact:
    """The fact that a thing is there."""
    return (name, "is", "there")


def scene_facts(scene: Scene, sight: Sight, aspect: float = 1.0) -> frozenset[Fact]:
    """All facts of what is plain to see, by the margins of the questions.

    - `(red box, is, there)`, `(box, is, there)`, and what it is like: `(red box, is, shiny)`,
      `(red box, is, large)`;
    - `(box, number, 2)`, `(red object, number, 2)`, where none of them is shown but hardly, nor a
      door or painted path has that colour;
    - `(red box, on, blue table)`, `(red box, on, floor)`, `(red box, in, blue crate)`;
    - `(a, left of, b)`, `(a, in front of, b)`, `(a, hides, b)` in the first picture.

    Args:
        scene: The scene; of a moving one, the first picture's moment.
        sight: What its views show.
        aspect: Width over height of the pictures.
    """
    seen = Seen(scene, sight, 0, np.random.default_rng(0), aspect)
    facts = set[Fact]()
    for body in seen.clear_any:
        facts |= {there(body.name), there(body.noun), there(f"{body.color} object")}
        facts |= {(body.name, "is", trait) for trait in plain_traits(seen, body)}
        facts |= support_facts(seen, body)
    return frozenset(facts | number_facts(seen) | pair_facts(seen))


def plain_traits(seen: Seen, body: Body) -> list[str]:
    """Its size, and its material where that can be made out."""
    return [body.size, *([body.material] if len(seen.may_be(body)) == 1 else [])]


def support_facts(seen: Seen, body: Body) -> set[Fact]:
    """What a thing is on or in."""
    if not body.support:
        return {(body.name, "on", FLOOR)}
    under = seen.still.body(body.support)
    if not seen.together(body, under):
        return set()
    return {(body.name, "in" if body.inside else "on", under.name)}


def number_facts(seen: Seen) -> set[Fact]:
    """How many there are of each kind and colour that is shown."""
    facts = set[Fact]()
    for body in seen.clear_any:
        color = body.color
        alike = seen.fitting(seen.of_kind(body.kind))
        if alike:
            facts.add((body.noun, "number", str(len(alike))))
        tinted = seen.fitting(lambda b, color=color: b.color == color)  # type: ignore[misc]
        if tinted and color not in seen.painted:
            facts.add((f"{color} object", "number", str(len(tinted))))
    return facts


def pair_facts(seen: Seen) -> set[Fact]:
    """How the things in the first picture stand to one another."""
    facts = set[Fact]()
    for a, b in permutations(seen.clear_here, 2):
        for relation, holds in (
            ("left of", seen.is_left(a, b)),
            ("in front of", seen.is_nearer(a, b)),
            ("hides", seen.hidden(b, by=a) >= HIDES),
        ):
            if holds:
                facts.add((a.name, relation, b.name))
    return facts
