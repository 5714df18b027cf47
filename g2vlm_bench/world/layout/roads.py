"""A road with two lanes under the sky: cars, signs, trees and people."""

from __future__ import annotations

import dataclasses

import numpy as np

from g2vlm_bench.world.layout.arrange import Arrangement, draw_body, put_at
from g2vlm_bench.world.layout.cameras import around_hall
from g2vlm_bench.world.layout.drawing import angle_deg, one_of, point, uniform
from g2vlm_bench.world.layout.recipe import Recipe, draw_cast
from g2vlm_bench.world.layout.stage import Stage
from g2vlm_bench.world.scene import Body, Light, Place, Strip, Texture
from g2vlm_bench.world.shapes import Vector

_TRIES = 30
_GROUNDS: tuple[tuple[Vector, Vector], ...] = (
    ((0.33, 0.45, 0.25), (0.38, 0.50, 0.29)),
    ((0.52, 0.50, 0.45), (0.57, 0.55, 0.50)),
    ((0.44, 0.44, 0.45), (0.48, 0.48, 0.49)),
)
_SKY: tuple[Vector, Vector] = ((0.62, 0.76, 0.92), (0.62, 0.76, 0.92))
_FAR_M = 60.0
_SUN_M = 400.0
_CROSSING_CHANCE = 0.5
_GAP_M = 0.3


def make_road(rng: np.random.Generator, recipe: Recipe, moving: bool) -> Stage | None:
    """Draw a road along x, traffic on the right; None where not all things find a place."""
    count = int(rng.integers(recipe.bodies[0], recipe.bodies[1] + 1))
    cast = draw_cast(rng, recipe, count)
    lane = uniform(rng, 3.0, 3.6)
    place = _draw_place(rng, lane)
    arrangement = Arrangement(place.half_m, ceiling_m=10.0, gap_m=_GAP_M)
    for pair in cast:
        body = draw_body(rng, arrangement, pair, recipe)
        if not _put(rng, arrangement, body, lane):
            return None
    reach = (place.width_m / 2 + 2.5, place.depth_m / 2 + 2.0)
    draw = around_hall(rng, reach, arrangement.middle_m, ((1.2, 2.2), (0.6, 1.3)), (0.0, 2.5))
    return Stage(place, arrangement, (_draw_sun(rng),), draw, clearance_m=0.5)


def _draw_place(rng: np.random.Generator, lane: float) -> Place:
    ground = Texture(one_of(rng, _GROUNDS), uniform(rng, 1.2, 2.0), angle_deg(rng, 0, 90))
    width, depth = uniform(rng, 13.0, 17.0), uniform(rng, 11.0, 13.0)
    strips = (
        _line("grey", 2 * lane, 0.0),
        _line("white", 0.14, lane),
        _line("white", 0.14, -lane),
        _line("white", 0.12, 0.0, dashed=True),
    )
    sky = Texture(_SKY, 1.0, 0.0)
    return Place("road", width, depth, 0.0, ground, sky, strips=strips)


def _line(color: str, width: float, y: float, dashed: bool = False) -> Strip:
    """A line along the road, from where nobody sees its end to there."""
    return Strip(color, width, ((-_FAR_M, y), (_FAR_M, y)), dashed)


def _draw_sun(rng: np.random.Generator) -> Light:
    """A light so far away that it is the same everywhere."""
    turn, height = np.radians(angle_deg(rng, 0, 360)), np.radians(angle_deg(rng, 30, 65))
    x, y = _SUN_M * np.cos(height) * np.cos(turn), _SUN_M * np.cos(height) * np.sin(turn)
    return Light(point(x, y, _SUN_M * np.sin(height)), strength=1.1, reach_m=100 * _SUN_M)


def _put(rng: np.random.Generator, arrangement: Arrangement, body: Body, lane: float) -> bool:
    """Put a body where its kind belongs; whether there was a place."""
    half_x, half_y = arrangement.half_m
    reach_x = half_x - body.footprint_radius_m - _GAP_M
    for _ in range(_TRIES):
        side = 1 if rng.random() < 0.5 else -1
        yaw = body.yaw_deg
        if body.kind == "car":
            # Traffic keeps to the right of its own way.
            y, yaw = side * (lane / 2 + uniform(rng, -0.25, 0.25)), 180.0 if side > 0 else 0.0
        elif body.kind == "person" and rng.random() < _CROSSING_CHANCE:
            y = side * uniform(rng, 0.3, lane - 0.4)
        else:
            outer = half_y - body.footprint_radius_m - _GAP_M
            y = side * uniform(rng, min(lane + body.footprint_radius_m + 0.3, outer), outer)
        base = point(uniform(rng, -reach_x, reach_x), y, 0.0)
        if put_at(arrangement, dataclasses.replace(body, base_m=base, yaw_deg=yaw)):
            return True
    return False
