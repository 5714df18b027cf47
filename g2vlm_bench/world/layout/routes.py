"""Doors, and painted paths on the floor of which exactly one reaches the door."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from g2vlm_bench.world.layout.cameras import around_hall, framed
from g2vlm_bench.world.layout.drawing import mm, one_of, uniform
from g2vlm_bench.world.layout.solids import Solid
from g2vlm_bench.world.scene import COLORS, WALLS, Camera, Door, Place, Strip

Point = tuple[float, float]

# A body keeps this distance to the border of the path that reaches the door.
CLEARANCE_M = 0.15
WIDTH_M = 0.10
_COUNT = 3
_TRIES = 100
# Three paths may end side by side at the foot of one door.
_BESIDE_M = 0.27
_APART_M = 0.9
# Long enough for something to stand on any of them: else the blocked ones would be the longest.
_LEG_M = 1.6
_OPENING_M = 0.6
# So far from a door nobody would say that a path ends at it.
_OFF_M = 1.2
# Black would look like a shadow.
_COLORS = tuple(color for color in COLORS if color != "black")


@dataclass(frozen=True, slots=True)
class Task:
    """What the paths of a room shall be, before they find a place.

    Attributes:
        colors: Their colors.
        fates: What becomes of each: `door`, `wall` (it ends at a wall without one) or `blocked` (it
            goes to the door, too, and a body shall stand on it). One of them is `door`.
        rank: How many of the others shall be shorter than the one that reaches the door.
        near: How many of the others shall start nearer to the first camera than that one.
    """

    colors: tuple[str, ...]
    fates: tuple[str, ...]
    rank: int
    near: int


def draw_task(rng: np.random.Generator) -> Task:
    """Draw what the paths shall be; each place, color and rank is as often the right one's.

    A scene's is drawn once, however often its room is tried: else the paths that find a place
    easily would come more often, and the right one would tend to be short, or to start nearby.
    """
    colors = tuple(_COLORS[i] for i in rng.permutation(len(_COLORS))[:_COUNT])
    fates = ["door", *(one_of(rng, ("wall", "blocked")) for _ in range(_COUNT - 1))]
    rank, near = (int(number) for number in rng.integers(_COUNT, size=2))
    return Task(colors, tuple(fates[i] for i in rng.permutation(_COUNT)), rank, near)


def draw_eye(rng: np.random.Generator, place: Place) -> Camera | None:
    """A camera across the room from the door that sees the door and the floor before it."""
    (x, y), _ = _foot(place, place.doors[0], 0.0)
    draw = around_hall(
        rng,
        place.half_m,
        middle=(0.3 * x, 0.3 * y),
        heights=((1.3, 1.75), (0.0, 0.4)),
        margin_m=(0.3, 0.5),
        fov_deg=(68, 80),
    )
    for _ in range(_TRIES):
        # From across the room what must be seen is behind the things, not beside the camera.
        camera = draw(math.atan2(-y, -x) + 1.4 * (rng.random() - 0.5))
        if all(framed(camera, [(x, y, 0.0), (x, y, 1.0)])):
            return camera
    return None


def draw_routes(
    rng: np.random.Generator, place: Place, eye: Camera, task: Task
) -> list[Strip] | None:
    """Draw three paths, all in the same manner and within a camera's picture.

    Returns:
        The strips; None where they find no place or the right one is not as it shall be.
    """
    ways: list[_Way] = []
    for side in rng.permutation([-_BESIDE_M, 0.0, _BESIDE_M]):
        # Each could end here or there, so that where it starts tells nothing.
        legs = _last_legs(rng, place, eye, float(side))
        starts = [way.start for way in ways]
        start = legs and _draw_start(rng, place, eye, starts, [knee for knee, _ in legs])
        if not (legs and start):
            return None
        ways.append(_Way(start, legs, uniform(rng, -0.3, 0.3) if rng.random() < 0.5 else None))
    # Which way becomes which path is tried in random order until the right one is as it shall be.
    orders = list(permutations(ways))
    for i in rng.permutation(len(orders)):
        strips = [
            way.strip(color, to_door=fate != "wall")
            for way, color, fate in zip(orders[i], task.colors, task.fates, strict=True)
        ]
        right = task.fates.index("door")
        lengths = [length_m(strip) for strip in strips]
        away = [math.dist(strip.points_m[0], eye.position_m[:2]) for strip in strips]
        ranks = [sum(value < values[right] for value in values) for values in (lengths, away)]
        corners = [(x, y, 0.0) for strip in strips for x, y in strip.points_m]
        if ranks == [task.rank, task.near] and all(framed(eye, corners)):
            return strips
    return None


@dataclass(frozen=True, slots=True)
class _Way:
    """A path that could end at the door or elsewhere.

    Attributes:
        start: Where it starts.
        legs: Its last leg, knee and end, to the door and to where a door could be.
        aside: How far it bends off the straight line to the knee; None for not at all.
    """

    start: Point
    legs: list[tuple[Point, Point]]
    aside: float | None

    def strip(self, color: str, to_door: bool) -> Strip:
        """Paint it to one of its ends."""
        knee, end = self.legs[not to_door]
        points = (self.start, *_bend(self.start, knee, self.aside), knee, end)
        return Strip(color, WIDTH_M, tuple((mm(x), mm(y)) for x, y in points), dashed=False)


def length_m(strip: Strip) -> float:
    """Length of a path's middle line."""
    return sum(math.dist(a, b) for a, b in pairwise(strip.points_m))


def corridor(strip: Strip) -> Iterator[Solid]:
    """Prisms over a path and the clearance about it."""
    half = strip.width_m / 2 + CLEARANCE_M
    for (ax, ay), (bx, by) in zip(strip.points_m, strip.points_m[1:], strict=False):
        length = math.hypot(bx - ax, by - ay)
        yield Solid(
            False,
            (ax + bx) / 2,
            (ay + by) / 2,
            length / 2 + half,
            half,
            (bx - ax) / length,
            (by - ay) / length,
            0.0,
            math.inf,
        )


def point_along(strip: Strip, share: float) -> Point:
    """The point of a path after a share of its length."""
    legs = list(zip(strip.points_m, strip.points_m[1:], strict=False))
    lengths = [math.dist(a, b) for a, b in legs]
    left = share * sum(lengths)
    for (a, b), length in zip(legs, lengths, strict=True):
        if left <= length:
            part = left / length
            return mm(a[0] + part * (b[0] - a[0])), mm(a[1] + part * (b[1] - a[1]))
        left -= length
    return strip.points_m[-1]


def draw_door(rng: np.random.Generator, place: Place, wall: str) -> Door:
    """A door somewhere in a wall."""
    width = uniform(rng, 0.8, 1.0)
    half = place.half_m[1 if wall in ("east", "west") else 0]
    reach = half - width / 2 - 0.3
    along = mm((2 * rng.random() - 1) * reach)
    return Door(wall, along, width, uniform(rng, 1.9, 2.1), one_of(rng, tuple(COLORS)))


def threshold(place: Place, door: Door) -> Solid:
    """The prism before a door that lets it open."""
    (x, y), (inward_x, inward_y) = _foot(place, door, 0.0)
    half = _OPENING_M / 2
    return Solid(
        round=False,
        x=x + half * inward_x,
        y=y + half * inward_y,
        half_x=half,
        half_y=door.width_m / 2,
        cosine=inward_x,
        sine=inward_y,
        low=0.0,
        high=math.inf,
    )


def _foot(place: Place, door: Door, side_m: float) -> tuple[Point, Point]:
    """A point at the foot of a door, beside its middle, and the direction into the room."""
    half_x, half_y = place.half_m
    along = door.along_m + side_m
    return {
        "east": ((half_x, along), (-1.0, 0.0)),
        "west": ((-half_x, along), (1.0, 0.0)),
        "north": ((along, half_y), (0.0, -1.0)),
        "south": ((along, -half_y), (0.0, 1.0)),
    }[door.wall]


def _last_legs(
    rng: np.random.Generator, place: Place, eye: Camera, side_m: float
) -> list[tuple[Point, Point]] | None:
    """A way up to the door, and one up to where a door could be, both in the picture."""
    legs = []
    for blind in (False, True):
        for _ in range(_TRIES):
            door = draw_door(rng, place, one_of(rng, WALLS)) if blind else place.doors[0]
            leg = _last_leg(rng, place, door, side_m)
            off = math.dist(leg[1], _foot(place, place.doors[0], 0.0)[0])
            if (not blind or off > _OFF_M) and all(framed(eye, [(x, y, 0.0) for x, y in leg])):
                legs.append(leg)
                break
    return legs if len(legs) == 2 else None


def _last_leg(
    rng: np.random.Generator, place: Place, door: Door, side_m: float
) -> tuple[Point, Point]:
    """The straight way up to a door: where it begins, and a point at the door's foot."""
    end, inward = _foot(place, door, side_m)
    length = uniform(rng, 0.5, 1.3)
    return (end[0] + length * inward[0], end[1] + length * inward[1]), end


def _draw_start(
    rng: np.random.Generator, place: Place, eye: Camera, others: list[Point], knees: list[Point]
) -> Point | None:
    """Somewhere in the picture, apart from the other starts and from the last legs, if there is."""
    for _ in range(_TRIES):
        x, y = ((2 * rng.random() - 1) * (half - 0.5) for half in place.half_m)
        far = all(math.dist((x, y), knee) > _LEG_M for knee in knees)
        far = far and all(math.dist((x, y), other) > _APART_M for other in others)
        if far and all(framed(eye, [(x, y, 0.0)])):
            return x, y
    return None


def _bend(start: Point, knee: Point, aside: float | None) -> tuple[Point, ...]:
    """A point beside the middle of the line from the start to the knee."""
    if aside is None:
        return ()
    x, y = knee[0] - start[0], knee[1] - start[1]
    length = math.hypot(x, y)
    return (
        (
            start[0] + x / 2 - aside * y / length,
            start[1] + y / 2 + aside * x / length,
        ),
    )
