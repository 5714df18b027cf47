"""Puts things on the floor, on one another and into one another, so that they could stand so."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from g2vlm_bench.world.layout.drawing import angle_deg, draw_size, mm, one_of, point
from g2vlm_bench.world.layout.recipe import Recipe
from g2vlm_bench.world.layout.solids import (
    Solid,
    apart,
    beside,
    corners,
    outline,
    own_solids,
    turned,
)
from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS, Surface

# Bodies of a column from the floor up.
MAX_CHAIN = 4
# What may stand on other things.
RIDERS = ("box", "sphere", "cylinder", "cone", "torus", "crate", "lamp")
# Their turn shows.
_TURNED = ("box", "table", "chair", "shelf", "crate", "sign")
# A body of these may reach over an edge with this share of its width.
_OVERHANGERS = ("box", "cylinder")
_OVERHANG = (0.10, 0.30)
_OVERHANG_CHANCE = 0.3
_TRIES = 30


@dataclass
class Arrangement:
    """What stands in a place so far.

    Attributes:
        half_m: Half extents of where things may stand.
        ceiling_m: What no top reaches.
        gap_m: What is left between neighbours.
        walkway_m: What is left free along the walls by what stands on the floor.
        ride_chance: How often a thing that may stand on others is tried there first.
        scale: Factor of the size bands of what is added.
        bodies: What stands there; ids count from 1.
        keep_clear: Prisms over the floor that no body may reach into, whatever their height.
        full: Ids of bodies on which nothing may stand.
    """

    half_m: tuple[float, float]
    ceiling_m: float
    gap_m: float
    walkway_m: float = 0.0
    ride_chance: float = 1.0
    scale: float = 1.0
    bodies: list[Body] = field(default_factory=list)
    keep_clear: list[Solid] = field(default_factory=list)
    full: set[int] = field(default_factory=set)
    _solids: list[list[Solid]] = field(default_factory=list)

    def add(self, body: Body, solids: list[Solid]) -> None:
        """Take in a body that `fits`."""
        self.bodies.append(body)
        self._solids.append(solids)

    def copy(self) -> Arrangement:
        """The same, to which more can be added without touching this one."""
        return dataclasses.replace(
            self,
            bodies=[*self.bodies],
            keep_clear=[*self.keep_clear],
            full={*self.full},
            _solids=[*self._solids],
        )

    def solids(self, number: int) -> list[Solid]:
        """The prisms of the body of an id."""
        return self._solids[number - 1]

    def fits(self, body: Body, solids: list[Solid]) -> bool:
        """Whether a body is within the place and clear of all others."""
        around = outline(body)
        if body.top_m > self.ceiling_m or not self.holds(around):
            return False
        if not all(beside(around, zone, 0.0) for zone in self.keep_clear):
            return False
        for other, theirs in zip(self.bodies, self._solids, strict=True):
            rise = 0.0 if other.id == body.support else self.gap_m
            if not apart(solids, theirs, self.gap_m, rise):
                return False
        return True

    def level(self, number: int) -> int:
        """How many bodies there are from the floor up to and with the body of an id."""
        level = 0
        while number:
            number, level = self.bodies[number - 1].support, level + 1
        return level

    def places(self) -> Iterator[tuple[Body, Surface]]:
        """Every surface on which one more body may stand."""
        for body in self.bodies:
            if body.id not in self.full and self.level(body.id) < MAX_CHAIN:
                for surface in body.surfaces:
                    yield body, surface

    @property
    def middle_m(self) -> tuple[float, float]:
        """Mean place of the bodies."""
        count = len(self.bodies)
        xs, ys = (sum(body.base_m[axis] for body in self.bodies) for axis in (0, 1))
        return xs / count, ys / count

    def holds(self, around: Solid) -> bool:
        """Whether a prism is within the place, the gap to its walls included."""
        limit_x, limit_y = (half - self.gap_m for half in self.half_m)
        return all(abs(x) <= limit_x and abs(y) <= limit_y for x, y in corners(around))


def draw_body(
    rng: np.random.Generator, arrangement: Arrangement, pair: tuple[str, str], recipe: Recipe
) -> Body:
    """The next thing, of a color and kind, not placed yet."""
    color, kind = pair
    size, extent = draw_size(rng, kind, arrangement.scale)
    return Body(
        id=len(arrangement.bodies) + 1,
        kind=kind,
        color=color,
        material=one_of(rng, recipe.materials),
        size=size,
        extent_m=extent,
        base_m=(0.0, 0.0, 0.0),
        yaw_deg=angle_deg(rng, 0, 360 if KINDS[kind].has_front else 90) if kind in _TURNED else 0.0,
        support=0,
        scale=arrangement.scale,
    )


def put_somewhere(rng: np.random.Generator, arrangement: Arrangement, body: Body) -> bool:
    """Put a body on or into another one, or else on the floor; whether there was a place."""
    rides = body.kind in RIDERS and rng.random() < arrangement.ride_chance
    return (rides and put_on_something(rng, arrangement, body)) or put_on_floor(
        rng, arrangement, body
    )


def put_on_something(rng: np.random.Generator, arrangement: Arrangement, body: Body) -> bool:
    """Put a body on or into one of the others, drawing its size anew; whether there was a place."""
    places = list(arrangement.places())
    # Higher ones more often, or long chains would be rare.
    weights = np.cumsum(
        [arrangement.level(under.id) ** 4 + 8 * surface.inside for under, surface in places]
    )
    for _ in range(20 if places else 0):
        under, surface = places[int(np.searchsorted(weights, rng.random() * weights[-1]))]
        size, extent = draw_size(rng, body.kind, arrangement.scale)
        rider = dataclasses.replace(body, size=size, extent_m=extent)
        if put_on(rng, arrangement, rider, under, surface):
            return True
    return False


def put_on(
    rng: np.random.Generator, arrangement: Arrangement, body: Body, under: Body, surface: Surface
) -> bool:
    """Put a body on a surface of another one; whether there was a place."""
    if body.extent_m[2] > surface.clearance_m - arrangement.gap_m:
        return False
    own = own_solids(body.kind, body.extent_m)
    for _ in range(4):
        # In a narrow box things stand almost straight.
        turn = angle_deg(rng, -10, 10) if surface.inside else angle_deg(rng, 0, 90)
        spot, hangs = _draw_spot(rng, body, surface, turn)
        if spot is None:
            continue
        x, y, z = under.base_m + under.rotation @ (*spot, surface.center_m[2])
        yaw = round((under.yaw_deg + turn) % 360, 1) if body.kind in _TURNED else 0.0
        placed = dataclasses.replace(
            body,
            base_m=point(x, y, z),
            yaw_deg=yaw,
            support=under.id,
            inside=surface.inside,
        )
        solids = turned(own, placed.base_m, yaw)
        if arrangement.fits(placed, solids):
            arrangement.add(placed, solids)
            if hangs:
                arrangement.full.add(placed.id)
            return True
    return False


def _draw_spot(
    rng: np.random.Generator, body: Body, surface: Surface, turn_deg: float
) -> tuple[tuple[float, float] | None, bool]:
    """Draw where on a surface a foot stands, in its owner's frame, and whether it hangs over."""
    foot = KINDS[body.kind].foot(body.extent_m)
    half_x, half_y = foot.half_m
    if surface.round:
        play = surface.half_m[0] - (half_x if foot.round else math.hypot(half_x, half_y))
        if play < 0:
            return None, False
        angle, radius = 2 * math.pi * rng.random(), play * math.sqrt(rng.random())
        return (radius * math.cos(angle), radius * math.sin(angle)), False
    if not foot.round:
        turn = math.radians(turn_deg)
        cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
        half_x, half_y = half_x * cosine + half_y * sine, half_x * sine + half_y * cosine
    # A millimetre less, so that rounding does not push the foot over the edge.
    play_x, play_y = surface.half_m[0] - half_x - 0.001, surface.half_m[1] - half_y - 0.001
    if min(play_x, play_y) < 0:
        return None, False
    x, y = (2 * rng.random() - 1) * play_x, (2 * rng.random() - 1) * play_y
    hangs = body.kind in _OVERHANGERS and not surface.inside and rng.random() < _OVERHANG_CHANCE
    if hangs:
        share = _OVERHANG[0] + (_OVERHANG[1] - _OVERHANG[0]) * rng.random()
        if rng.random() < 0.5:
            x = math.copysign(play_x + 2 * share * half_x, x)
        else:
            y = math.copysign(play_y + 2 * share * half_y, y)
    center_x, center_y, _ = surface.center_m
    return (center_x + x, center_y + y), hangs


def put_on_floor(rng: np.random.Generator, arrangement: Arrangement, body: Body) -> bool:
    """Put a body on the floor; whether there was a place."""
    own = own_solids(body.kind, body.extent_m)
    away = arrangement.walkway_m + 0.6 * body.footprint_radius_m
    reach_x, reach_y = (max(half - away, 0.3) for half in arrangement.half_m)
    for _ in range(_TRIES):
        x, y = (2 * rng.random() - 1) * reach_x, (2 * rng.random() - 1) * reach_y
        if put_at(arrangement, dataclasses.replace(body, base_m=(mm(x), mm(y), 0.0)), own):
            return True
    return False


def put_at(arrangement: Arrangement, placed: Body, own: list[Solid] | None = None) -> bool:
    """Put a body where it says that it stands; whether that was free."""
    own = own_solids(placed.kind, placed.extent_m) if own is None else own
    solids = turned(own, placed.base_m, placed.yaw_deg)
    if not arrangement.fits(placed, solids):
        return False
    arrangement.add(placed, solids)
    return True
