"""Furnished rooms, and tables in rooms with small things on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.layout.arrange import (
    Arrangement,
    draw_body,
    put_at,
    put_on_something,
    put_somewhere,
)
from g2vlm_bench.world.layout.cameras import around_hall, around_table
from g2vlm_bench.world.layout.drawing import angle_deg, draw_extent, one_of, point, uniform
from g2vlm_bench.world.layout.recipe import HELD_OUT_PAIRS, Recipe, draw_cast
from g2vlm_bench.world.layout.routes import (
    Task,
    corridor,
    draw_door,
    draw_eye,
    draw_routes,
    point_along,
    threshold,
)
from g2vlm_bench.world.layout.solids import Solid, beside, disc, outline
from g2vlm_bench.world.layout.stage import Stage
from g2vlm_bench.world.scene import COLORS, WALLS, Body, Camera, Light, Place, Strip, Texture
from g2vlm_bench.world.shapes import Vector
from g2vlm_bench.world.sight import hides, is_plain

Tones = tuple[Vector, Vector]

TABLE_TOP_SCALE = 0.4
_FLOORS: tuple[Tones, ...] = (
    ((0.62, 0.47, 0.34), (0.74, 0.60, 0.46)),
    ((0.52, 0.53, 0.55), (0.72, 0.72, 0.72)),
    ((0.70, 0.64, 0.54), (0.88, 0.84, 0.76)),
    ((0.45, 0.50, 0.53), (0.66, 0.70, 0.71)),
)
_WALLS: tuple[Tones, ...] = (
    ((0.86, 0.83, 0.77), (0.82, 0.78, 0.72)),
    ((0.78, 0.83, 0.86), (0.73, 0.79, 0.83)),
    ((0.82, 0.85, 0.78), (0.77, 0.81, 0.73)),
    ((0.88, 0.81, 0.78), (0.84, 0.76, 0.73)),
)
# Least and greatest half of a side, and height. Painted paths need a floor to bend on, all of it in
# one picture, and a picture of a table shows no room: only the others differ much in size.
Spans = tuple[tuple[float, float], tuple[float, float]]
_ANY_SPANS: Spans = ((1.8, 4.4), (2.3, 3.8))
_MEDIUM_SPANS: Spans = ((2.3, 3.5), (2.5, 3.2))
_ROUTES_TRIES, _SIGHT_TRIES = 120, 6
_CLEARANCE_M = 0.5
# What stands on a path fills this share of the first picture, or nearly: 8 x 8 of 96 x 96 pixels.
_PLAIN = 0.007
# Between the highest top and the ceiling: lamps hang there.
_LAMP_ROOM_M = 0.4
# Bodies keep away from the walls, where the cameras walk.
_WALKWAY_M = 0.8
# What blocks a path: solid, and as wide at its foot as it looks.
_BLOCKERS = ("box", "sphere", "cylinder", "cone")
# The more a scene is piled up, the more often these come first, those of 2 before those of 1:
# others stand on them.
_CARRIES = {"table": 2, "shelf": 2, "chair": 2, "crate": 1, "box": 1, "cylinder": 1}


def make_room(
    rng: np.random.Generator, recipe: Recipe, moving: bool, task: Task | None = None
) -> Stage | None:
    """Draw a furnished room, with painted paths for a task; None where not all find a place."""
    count = int(rng.integers(recipe.bodies[0], recipe.bodies[1] + 1))
    cast = draw_cast(rng, recipe, count)
    doors = 1 if task else int(rng.integers(1, 3))
    place = _draw_place(rng, "room", doors, _MEDIUM_SPANS if task else _ANY_SPANS)
    ceiling = place.height_m - _LAMP_ROOM_M
    # From rooms where all is spread out to rooms where all is piled up.
    piled = uniform(rng, 0.3, 1.0)
    arrangement = Arrangement(place.half_m, ceiling, 0.03, _WALKWAY_M, ride_chance=piled)
    cast.sort(key=lambda pair: rng.random() - piled * _CARRIES.get(pair[1], 0))
    arrangement.keep_clear = [threshold(place, door) for door in place.doors]
    eye, hidden = None, np.zeros((1, 1), bool)
    if task:
        eye = draw_eye(rng, place)
        routes = eye and _lay_routes(rng, arrangement, place, eye, cast, recipe, task)
        if not (eye and routes):
            return None
        place, arrangement = routes
        for body in arrangement.bodies:
            hidden = hidden | hides(body, eye, place.strips)
    for pair in cast:
        body = draw_body(rng, arrangement, pair, recipe)
        put = _put_at_wall if body.kind == "shelf" and rng.random() < 0.5 else put_somewhere
        there = _put_in_sight(rng, arrangement, body, put, eye, hidden, place.strips)
        if there is None:
            return None
        arrangement, hidden = there
    return Stage(
        place,
        arrangement,
        _draw_lamps(rng, place),
        around_hall(
            rng,
            place.half_m,
            middle=arrangement.middle_m,
            heights=((0.95, 1.75), (0.1, 0.6)),
            margin_m=(0.3, 1.6),
        ),
        _CLEARANCE_M,
        eye,
    )


def make_table_top(rng: np.random.Generator, recipe: Recipe, moving: bool) -> Stage | None:
    """Draw a room with one large table and small things on it; None where not all find a place."""
    count = int(rng.integers(recipe.bodies[0], recipe.bodies[1] + 1))
    cast = draw_cast(rng, recipe, count - 1)
    place = _draw_place(rng, "table_top", int(rng.integers(1, 3)), _MEDIUM_SPANS)
    ceiling = place.height_m - _LAMP_ROOM_M
    arrangement = Arrangement(place.half_m, ceiling, gap_m=0.01)
    # Where there is one, a color that nothing on it has.
    colors = [color for color in COLORS if (color, "table") not in HELD_OUT_PAIRS]
    colors = [color for color in colors if color not in dict(cast)] or colors
    table = Body(
        id=1,
        kind="table",
        color=one_of(rng, colors),
        # Broad stripes would swallow what stands on them.
        material="matte",
        size="large",
        extent_m=draw_extent(rng, "table", "large", 1.0),
        base_m=point(uniform(rng, -0.25, 0.25), uniform(rng, -0.25, 0.25), 0.0),
        yaw_deg=angle_deg(rng, 0, 90),
        support=0,
    )
    put_at(arrangement, table)
    arrangement.scale = TABLE_TOP_SCALE
    piled = uniform(rng, 0.0, 1.0)
    cast.sort(key=lambda pair: rng.random() - piled * _CARRIES.get(pair[1], 0))
    for pair in cast:
        if not put_on_something(rng, arrangement, draw_body(rng, arrangement, pair, recipe)):
            return None
    middle_x, middle_y = arrangement.middle_m
    draw = around_table(rng, (middle_x, middle_y, table.top_m + 0.06))
    lamps = _draw_lamps(rng, place)
    return Stage(place, arrangement, lamps, draw, clearance_m=0.25, backdrop=1)


def _draw_place(rng: np.random.Generator, kind: str, doors: int, spans: Spans) -> Place:
    floor = Texture(one_of(rng, _FLOORS), uniform(rng, 0.4, 0.6), angle_deg(rng, 0, 90))
    walls = Texture(one_of(rng, _WALLS), uniform(rng, 0.25, 0.4), 0.0)
    # Half of them are whole millimetres, too: a path ends on the wall, not a hair before it.
    width, depth = 2 * uniform(rng, *spans[0]), 2 * uniform(rng, *spans[0])
    place = Place(kind, width, depth, uniform(rng, *spans[1]), floor, walls)
    where = [WALLS[i] for i in rng.permutation(len(WALLS))[:doors]]
    return dataclasses.replace(place, doors=tuple(draw_door(rng, place, wall) for wall in where))


def _draw_lamps(rng: np.random.Generator, place: Place) -> tuple[Light, ...]:
    """One lamp under the ceiling, or two weaker ones."""
    half_x, half_y = place.half_m
    count = 1 + int(rng.random() < 0.4)
    return tuple(
        Light(
            point(
                uniform(rng, -half_x / 2, half_x / 2),
                uniform(rng, -half_y / 2, half_y / 2),
                place.height_m - uniform(rng, 0.15, 0.35),
            ),
            strength=1.55 if count == 1 else 0.85,
            reach_m=3.162,
        )
        for _ in range(count)
    )


def _lay_routes(
    rng: np.random.Generator,
    arrangement: Arrangement,
    place: Place,
    eye: Camera,
    cast: list[tuple[str, str]],
    recipe: Recipe,
    task: Task,
) -> tuple[Place, Arrangement] | None:
    """Paint paths on the floor and take from the cast what stands on them."""
    able = [pair for pair in cast if pair[1] in _BLOCKERS]
    blocked = task.fates.count("blocked")
    if len(able) < blocked:
        return None
    blockers = [able[i] for i in rng.permutation(len(able))[:blocked]]
    for _ in range(_ROUTES_TRIES):
        strips = draw_routes(rng, place, eye, task)
        laid = strips and _block_routes(rng, arrangement, eye, blockers, strips, task, recipe)
        if strips and laid:
            for pair in blockers:
                cast.remove(pair)
            x, y, _ = eye.position_m
            laid.keep_clear.append(disc(x, y, _CLEARANCE_M))
            return dataclasses.replace(place, strips=tuple(strips)), laid
    return None


def _block_routes(
    rng: np.random.Generator,
    arrangement: Arrangement,
    eye: Camera,
    blockers: list[tuple[str, str]],
    strips: list[Strip],
    task: Task,
    recipe: Recipe,
) -> Arrangement | None:
    """Put things on the paths to be blocked and keep all others off them, where there is room.

    There must be room on each path, and each is kept clear alike: else the right one would tend to
    be short, or to start near the door.
    """
    laid, left = arrangement.copy(), iter(blockers)
    for strip, fate in zip(strips, task.fates, strict=True):
        others = [prism for other in strips if other is not strip for prism in corridor(other)]
        if fate == "blocked":
            there, pair = laid, next(left)
        else:
            there, pair = laid.copy(), (strip.color, one_of(rng, _BLOCKERS))
        if not _block(rng, there, eye, pair, strip, others, recipe):
            return None
    laid.keep_clear.extend(prism for strip in strips for prism in corridor(strip))
    return laid


def _block(
    rng: np.random.Generator,
    arrangement: Arrangement,
    eye: Camera,
    pair: tuple[str, str],
    strip: Strip,
    others: list[Solid],
    recipe: Recipe,
) -> bool:
    """Put a thing on a path, plain to see and clear of the others; whether it could be."""
    for _ in range(20):
        body = draw_body(rng, arrangement, pair, recipe)
        x, y = point_along(strip, uniform(rng, 0.25, 0.85))
        body = dataclasses.replace(body, base_m=(x, y, 0.0))
        clear = _fills(eye, body) >= _PLAIN and all(
            beside(outline(body), other, 0.0) for other in others
        )
        if clear and put_at(arrangement, body):
            return True
    return False


def _fills(eye: Camera, body: Body) -> float:
    """Share of a camera's picture that a thing fills, by its width, height and distance alone."""
    across = 2 * math.tan(math.radians(eye.fov_deg) / 2) * math.dist(eye.position_m, body.base_m)
    return min(body.extent_m[:2]) * body.extent_m[2] / across**2


def _put_in_sight(
    rng: np.random.Generator,
    arrangement: Arrangement,
    body: Body,
    put: Callable[[np.random.Generator, Arrangement, Body], bool],
    eye: Camera | None,
    hidden: NDArray[np.bool_],
    strips: Sequence[Strip],
) -> tuple[Arrangement, NDArray[np.bool_]] | None:
    """Put a body where it leaves the paths in a camera's sight, if there is one and a place."""
    for _ in range(_SIGHT_TRIES if eye else 1):
        tried = arrangement.copy()
        if not put(rng, tried, body):
            return None
        now = hidden | hides(tried.bodies[-1], eye, strips) if eye else hidden
        if is_plain(now):
            return tried, now
    return None


def _put_at_wall(rng: np.random.Generator, arrangement: Arrangement, body: Body) -> bool:
    """Put a body with its back to a wall; whether there was a place."""
    half_x, half_y = arrangement.half_m
    for _ in range(8):
        turn = int(rng.integers(4))
        wall, side = (half_x, half_y) if turn % 2 == 0 else (half_y, half_x)
        out = wall - body.extent_m[0] / 2 - arrangement.gap_m - 0.001
        along = uniform(rng, -1.0, 1.0) * (side - body.extent_m[1] / 2 - 0.3)
        # Its front looks along its own x, its back to the wall behind.
        x, y = ((-out, along), (along, -out), (out, along), (along, out))[turn]
        placed = dataclasses.replace(body, base_m=point(x, y, 0.0), yaw_deg=90.0 * turn)
        if put_at(arrangement, placed):
            return True
    return False
