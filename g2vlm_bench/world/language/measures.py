"""Numbers: distances, depths, heights, sizes of things and of the room.

Things are spoken of without their kind ("the red object"): from "the table" its height would be
guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

from g2vlm_bench.world.candidates import Candidate, Words, measured
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import Seen, largest_m
from g2vlm_bench.world.scene import Body


def _named(seen: Seen, bodies: list[Body]) -> list[tuple[Body, Phrase]]:
    pairs = ((body, seen.kindless(body)) for body in bodies)
    return [(body, phrase) for body, phrase in pairs if phrase is not None]


def distance(seen: Seen) -> Iterator[Candidate]:
    """How far apart the middles of two clear things are, in metres."""
    for (a, name_a), (b, name_b) in combinations(_named(seen, seen.clear_any), 2):
        apart = round(math.dist(a.center_m, b.center_m), 3)
        words: Words = {"a": name_a, "b": name_b, "shown": seen.shown}
        fact = ("distance", frozenset((a.id, b.id)))
        yield measured("distance", fact, apart, "m", words, (a, b))


def depth(seen: Seen) -> Iterator[Candidate]:
    """How deep the middle of a clear thing lies before the camera, in metres."""
    for body, name in _named(seen, seen.clear_here):
        words: Words = {"a": name, "viewer": seen.viewer, "here": seen.here}
        value = round(seen.depth_m(body), 3)
        yield measured("depth", ("depth", body.id), value, "m", words, (body,))


def height(seen: Seen) -> Iterator[Candidate]:
    """How tall a clear thing is, and how high its top is over the ground, in metres."""
    for body, name in _named(seen, seen.clear_any):
        words: Words = {"a": name, "ground": Phrase("the ground"), "shown": seen.shown}
        tall, top = round(body.extent_m[2], 3), round(body.top_m, 3)
        yield measured("height", ("height", body.id), tall, "m", words, (body,))
        yield measured("top", ("top", body.id), top, "m", words, (body,))


def size(seen: Seen) -> Iterator[Candidate]:
    """How long the longest edge of the box around a clear thing is, in metres."""
    for body, name in _named(seen, seen.clear_any):
        words: Words = {"a": name, "shown": seen.shown}
        value = round(largest_m(body), 3)
        yield measured("size", ("size", body.id), value, "m", words, (body,))


def room_size(seen: Seen) -> Iterator[Candidate]:
    """How long, wide and high the room is, in metres, and its floor in square metres.

    Only of two pictures or more, for one seldom shows all walls, and not of pictures of a table.
    """
    place = seen.scene.place
    about_a_table = any(body.scale != 1 for body in seen.bodies)
    if place.is_open or about_a_table or seen.views < 2:
        return
    sides = sorted((place.width_m, place.depth_m))
    for kind, value, unit in (
        ("room_width", sides[0], "m"),
        ("room_length", sides[1], "m"),
        ("room_height", place.height_m, "m"),
        ("room_area", sides[0] * sides[1], "m^2"),
    ):
        yield measured(kind, kind, round(value, 3), unit, {"shown": Phrase("the pictures")})
