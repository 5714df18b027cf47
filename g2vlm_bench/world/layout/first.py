"""Makes scenes from seeds: a room, bodies that have a place in it, cameras that see them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.scene import (
    COLORS,
    MAX_CAMERAS,
    SPLITS,
    WORLD_VERSION,
    Body,
    Camera,
    Light,
    Place,
    Scene,
    Texture,
)
from g2vlm_bench.world.shapes import KINDS, Vector

_FLOORS = (
    ((0.62, 0.47, 0.34), (0.74, 0.60, 0.46)),
    ((0.52, 0.53, 0.55), (0.72, 0.72, 0.72)),
    ((0.70, 0.64, 0.54), (0.88, 0.84, 0.76)),
    ((0.45, 0.50, 0.53), (0.66, 0.70, 0.71)),
)
_WALLS = (
    ((0.86, 0.83, 0.77), (0.82, 0.78, 0.72)),
    ((0.78, 0.83, 0.86), (0.73, 0.79, 0.83)),
    ((0.82, 0.85, 0.78), (0.77, 0.81, 0.73)),
    ((0.88, 0.81, 0.78), (0.84, 0.76, 0.73)),
)
_SHAPES = ("box", "sphere", "cylinder")
_GAP_M = 0.10
_WALKWAY_M = 1.25


def make_first_scene(seed: int, split: str) -> Scene:
    """Make a room with 3 to 6 bodies and 8 cameras.

    The split's number is part of the seed sequence's key, so that no seed of one split can give a
    scene of another. Lengths are rounded to millimetres and angles to a tenth of a degree, which
    keeps the record short and exact.

    Args:
        seed: Any number from 0; the same seed gives the same scene on every machine.
        split: One of `SPLITS`.

    Raises:
        BenchError: The split is unknown or the seed is negative.
    """
    if split not in SPLITS:
        raise BenchError("world split", expected=" or ".join(SPLITS), got=f"'{split}'")
    if seed < 0:
        raise BenchError("world seed", expected="0 or more", got=seed)
    key = np.random.SeedSequence(seed, spawn_key=(WORLD_VERSION, SPLITS.index(split)))
    rng = np.random.default_rng(key)
    room = _make_room(rng)
    bodies, cameras = _furnish(rng, room)
    half_x, half_y = room.half_m
    light = _rounded(
        rng.uniform(-half_x / 2, half_x / 2),
        rng.uniform(-half_y / 2, half_y / 2),
        room.height_m - rng.uniform(0.15, 0.35),
    )
    name = f"world{WORLD_VERSION}-{split}-{seed:06d}"
    return Scene(name, split, seed, room, bodies, (Light(light, 1.55, 3.162),), cameras)


def _make_room(rng: np.random.Generator) -> Place:
    floor = Texture(
        colors=_FLOORS[rng.integers(len(_FLOORS))],
        scale_m=_round(rng.uniform(0.4, 0.6)),
        angle_deg=_round(rng.uniform(0, 90), 1),
    )
    walls = Texture(
        colors=_WALLS[rng.integers(len(_WALLS))],
        scale_m=_round(rng.uniform(0.25, 0.4)),
        angle_deg=0.0,
    )
    width, depth = rng.uniform(4.6, 7.0, size=2)
    return Place("room", _round(width), _round(depth), _round(rng.uniform(2.5, 3.2)), floor, walls)


def _furnish(rng: np.random.Generator, room: Place) -> tuple[tuple[Body, ...], tuple[Camera, ...]]:
    """Draw bodies and cameras until all find a place, mostly at once."""
    for _ in range(1000):
        bodies = _make_bodies(rng, room)
        cameras = _make_cameras(rng, room, bodies) if bodies else None
        if bodies and cameras:
            return bodies, cameras
    raise RuntimeError("expected a possible scene within 1000 attempts")


def _make_bodies(rng: np.random.Generator, room: Place) -> tuple[Body, ...] | None:
    """Draw bodies one after another; None where one finds no free place."""
    count = int(rng.integers(3, 7))
    # A small palette makes colours repeat, so that neither colour nor shape alone names a body.
    palette = rng.choice(list(COLORS), size=int(rng.integers(3, 5)), replace=False)
    kinds = [(str(color), shape) for color in palette for shape in _SHAPES]
    drawn = [kinds[i] for i in rng.permutation(len(kinds))[:count]]
    bodies: list[Body] = []
    for number, (color, shape) in enumerate(drawn, start=1):
        supporters = _free_tops(bodies) if rng.random() < 0.6 else []
        size = "small" if supporters else str(rng.choice(["small", "medium", "large"]))
        extent = _make_extent(rng, shape, size)
        body = Body(number, shape, color, "matte", size, extent, (0.0, 0.0, 0.0), 0.0, 0)
        if shape == "box":
            body = dataclasses.replace(body, yaw_deg=_round(rng.uniform(0, 90), 1))
        placed = (
            _place_on(rng, body, supporters[rng.integers(len(supporters))])
            if supporters
            else _place_on_floor(rng, body, room, bodies)
        )
        if placed is None:
            return None
        bodies.append(placed)
    return tuple(bodies)


def _make_extent(rng: np.random.Generator, shape: str, size: str) -> Vector:
    proportions = np.ones(3)
    if shape == "box":
        proportions = rng.uniform(0.7, 1.0, size=3)
    elif shape == "cylinder":
        proportions = np.array([*[rng.uniform(0.55, 0.85)] * 2, rng.uniform(0.7, 1.2)])
    extent = rng.uniform(*KINDS[shape].sizes_m[size]) * proportions / proportions.max()
    # An even number of millimetres, so that half of it is a whole number too.
    return _rounded(*(2 * np.round(extent / 2, 3)))


def _free_tops(bodies: list[Body]) -> list[Body]:
    """Bodies on the floor whose flat top is wide enough for a small body and still empty."""
    taken = {body.support for body in bodies}
    return [
        body
        for body in bodies
        if body.kind != "sphere"
        and body.support == 0
        and body.id not in taken
        and min(body.extent_m[:2]) >= KINDS["box"].sizes_m["small"][1]
    ]


def _place_on(rng: np.random.Generator, body: Body, supporter: Body) -> Body | None:
    """Put a body on a top, its whole footprint (a sphere's foot) within the top."""
    foot = 0.5 * body.footprint_radius_m if body.kind == "sphere" else body.footprint_radius_m
    play = min(supporter.extent_m[:2]) / 2 - foot
    if play < 0:
        return None
    angle, radius = rng.uniform(0, 2 * math.pi), play * math.sqrt(rng.random())
    x, y, _ = supporter.base_m
    base = _rounded(x + radius * math.cos(angle), y + radius * math.sin(angle), supporter.top_m)
    return dataclasses.replace(body, base_m=base, support=supporter.id)


def _place_on_floor(
    rng: np.random.Generator, body: Body, room: Place, others: list[Body]
) -> Body | None:
    """Find a free place on the floor, away from the walls, where the cameras walk."""
    reach = np.maximum(np.array(room.half_m) - _WALKWAY_M - body.footprint_radius_m, 0.1)
    for _ in range(30):
        x, y = rng.uniform(-reach, reach)
        candidate = dataclasses.replace(body, base_m=_rounded(x, y, 0.0))
        if all(_apart_m(candidate, other) >= _GAP_M for other in others):
            return candidate
    return None


def _apart_m(a: Body, b: Body) -> float:
    """Gap between the footprint circles of two bodies, in metres."""
    between = math.dist(a.base_m[:2], b.base_m[:2])
    return between - a.footprint_radius_m - b.footprint_radius_m


def _make_cameras(
    rng: np.random.Generator, room: Place, bodies: tuple[Body, ...]
) -> tuple[Camera, ...] | None:
    """Walk once around the room; None where one of the stops finds no good view."""
    start, turn = rng.uniform(0, 2 * math.pi), rng.choice([-1.0, 1.0])
    cameras = []
    for stop in range(MAX_CAMERAS):
        angle = start + turn * 2 * math.pi * stop / MAX_CAMERAS
        drawn = (_draw_camera(rng, room, bodies, angle) for _ in range(30))
        good = next((camera for camera in drawn if _is_good(camera, bodies)), None)
        if good is None:
            return None
        cameras.append(good)
    return tuple(cameras)


def _draw_camera(
    rng: np.random.Generator, room: Place, bodies: tuple[Body, ...], angle: float
) -> Camera:
    angle += rng.uniform(-0.2, 0.2)
    reach = np.array(room.half_m) - rng.uniform(0.3, 0.7)
    direction = np.array([math.cos(angle), math.sin(angle)])
    # As far as the walls allow, but not into the corners: the walk is a rounded rectangle.
    x, y = direction * min(reach / np.maximum(np.abs(direction), 0.55))
    middle = np.mean([body.base_m[:2] for body in bodies], axis=0)
    aim_x, aim_y = middle + rng.uniform(-0.4, 0.4, size=2)
    return Camera(
        position_m=_rounded(x, y, rng.uniform(1.05, 1.75)),
        target_m=_rounded(aim_x, aim_y, rng.uniform(0.1, 0.6)),
        roll_deg=_round(rng.uniform(-4, 4), 1),
        fov_deg=_round(rng.uniform(55, 75), 1),
    )


def _is_good(camera: Camera, bodies: tuple[Body, ...]) -> bool:
    """Clear of every body, with at least three of them and most of them in the picture."""
    x, y, z = camera.in_camera([body.center_m for body in bodies]).T
    limit = 0.9 * math.tan(math.radians(camera.fov_deg) / 2)
    framed = (z > 0) & (np.maximum(np.abs(x), np.abs(y)) < limit * z)
    if framed.sum() < max(3, 0.75 * len(bodies)):
        return False
    return all(body.distance_m(camera.position_m) > 0.5 for body in bodies)


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits)


def _rounded(x: float, y: float, z: float) -> Vector:
    return _round(x), _round(y), _round(z)
