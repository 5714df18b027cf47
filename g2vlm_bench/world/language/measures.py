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
from g2vlm_bench.world.language.views import shows_height, walls_seen
from g2vlm_bench.world.scene import Body


def _named(seen: Seen, bodies: list[Body]) -> list[tuple[Body, Phrase]]:
    pairs = ((body, seen.kindless(body)) for body in bodies)
    return [(body, phrase) for body, phrase in pairs if phrase is not None]


def distance(seen: Seen) -> Iterator[Candidate]:
    """How far apart the middles of two clear things are, in metres.

    Some picture's frame holds 85 % of each, and neither moves.
    """
    still = [body for body in seen.measurable if not seen.moves(body)]
    for (a, name_a), (b, name_b) in combinations(_named(seen, still), 2):
        apart = round(math.dist(a.center_m, b.center_m), 3)
        words: Words = {"a": name_a, "b": name_b, "shown": seen.shown}
        fact = ("distance", frozenset((a.id, b.id)))
        yield measured("distance", fact, apart, "m", words, (a, b))


def depth(seen: Seen) -> Iterator[Candidate]:
    """How deep the middle of a clear thing lies before the camera, in metres.

    The picture's frame holds 85 % of it.
    """
    here = [body for body in seen.clear_here if seen.is_mostly_framed(body, seen.view)]
    for body, name in _named(seen, here):
        words: Words = {"a": name, "viewer": seen.viewer, "here": seen.here}
        value = round(seen.depth_m(body), 3)
        yield measured("depth", ("depth", body.id), value, "m", words, (body,))


def height(seen: Seen) -> Iterator[Candidate]:
    """How tall a clear thing is, and how high its top is over the ground, in metres.

    Some picture's frame holds 85 % of it.
    """
    for body, name in _named(seen, seen.measurable):
        words: Words = {"a": name, "ground": Phrase("the ground"), "shown": seen.shown}
        tall, top = round(body.extent_m[2], 3), round(body.top_m, 3)
        yield measured("height", ("height", body.id), tall, "m", words, (body,))
        yield measured("top", ("top", body.id), top, "m", words, (body,))


def size(seen: Seen) -> Iterator[Candidate]:
    """How long the longest edge of the box around a clear thing is, in metres.

    Some picture's frame holds 85 % of it.
    """
    for body, name in _named(seen, seen.measurable):
        words: Words = {"a": name, "shown": seen.shown}
        value = round(largest_m(body), 3)
        yield measured("size", ("size", body.id), value, "m", words, (body,))


def room_size(seen: Seen) -> Iterator[Candidate]:
    """How long, wide and high the room is, in metres, and its floor in square metres.

    Only of two pictures or more, for one seldom shows all walls, and not of pictures of a table. A
    side is asked for where the walls at both of its ends are seen, the height where a picture shows
    the floor's edge and the ceiling's above it.
    """
    place = seen.scene.place
    about_a_table = any(body.scale != 1 for body in seen.bodies)
    if place.is_open or about_a_table or seen.views < 2:
        return
    cameras = [seen.scene.cameras[view] for view in seen.spoken_views]
    walls = walls_seen(seen.still, cameras, seen.aspect)
    sides = sorted(
        ((place.width_m, {"east", "west"} <= walls), (place.depth_m, {"north", "south"} <= walls))
    )
    (width, sees_width), (length, sees_length) = sides
    for kind, value, unit, is_seen in (
        ("room_width", width, "m", sees_width),
        ("room_length", length, "m", sees_length),
        ("room_height", place.height_m, "m", shows_height(seen.still, cameras, seen.aspect)),
        ("room_area", width * length, "m^2", sees_width and sees_length),
    ):
        if is_seen:
            yield measured(kind, kind, round(value, 3), unit, {"shown": Phrase("the pictures")})
