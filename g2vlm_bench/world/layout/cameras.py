"""Cameras that walk around the things of a scene, or along with them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from g2vlm_bench.world.layout.drawing import angle_deg, mm, point, uniform
from g2vlm_bench.world.layout.solids import Solid, distance_m
from g2vlm_bench.world.scene import MAX_CAMERAS, Camera
from g2vlm_bench.world.shapes import Vector

# Draws a camera for a direction from the middle of the place, in radians.
DrawCamera = Callable[[float], Camera]
_TRIES = 30
_STANDS = 0.3
_FOV_DEG = (55.0, 75.0)
_LATER_SHARE = 0.6


@dataclass(frozen=True)
class Framing:
    """What a good picture of a scene at one moment needs.

    Attributes:
        subjects: Points of which most must be in the picture.
        solids: What the camera must keep clear of.
        clearance_m: How far.
        musts: Points that must be in the picture, all of them.
        share: Least share of the subjects in the picture.
    """

    subjects: Sequence[Vector]
    solids: Sequence[Solid]
    clearance_m: float
    musts: Sequence[Vector] = ()
    share: float = 0.75

    def is_good(self, camera: Camera) -> bool:
        """Whether a camera is clear of everything and has most subjects in its picture."""
        if distance_m(self.solids, camera.position_m) < self.clearance_m:
            return False
        if not all(framed(camera, self.musts)):
            return False
        return sum(framed(camera, self.subjects)) >= self.share * len(self.subjects)


def framed(camera: Camera, points: Sequence[Vector]) -> list[bool]:
    """Whether each point is within the inner nine tenths of a camera's square picture."""
    limit = 0.9 * math.tan(math.radians(camera.fov_deg) / 2)
    px, py, pz = camera.position_m
    forward = [a - b for a, b in zip(camera.target_m, camera.position_m, strict=True)]
    length, flat = math.hypot(*forward), math.hypot(*forward[:2])
    fx, fy, fz = (part / length for part in forward)
    rx, ry = forward[1] / flat, -forward[0] / flat
    # Down is forward x right, and right is level.
    dx, dy, dz = -fz * ry, fz * rx, fx * ry - fy * rx
    roll = math.radians(camera.roll_deg)
    cosine, sine = math.cos(roll), math.sin(roll)
    found = []
    for x, y, z in points:
        x, y, z = x - px, y - py, z - pz
        right, down = rx * x + ry * y, dx * x + dy * y + dz * z
        depth = fx * x + fy * y + fz * z
        across, along = cosine * right + sine * down, cosine * down - sine * right
        found.append(depth > 0 and max(abs(across), abs(along)) < limit * depth)
    return found


def walk_around(
    rng: np.random.Generator, draw: DrawCamera, framing: Framing, first: Camera | None = None
) -> tuple[Camera, ...] | None:
    """Walk once around the place; None where one of the stops finds no good view.

    The first camera, from which people are asked, sees more than the others must; it may be given.
    """
    start = math.atan2(*first.position_m[1::-1]) if first else 2 * math.pi * rng.random()
    turn = 1 if rng.random() < 0.5 else -1
    later = dataclasses.replace(framing, share=_LATER_SHARE)
    cameras: list[Camera] = []
    for stop in range(MAX_CAMERAS):
        angle = start + turn * 2 * math.pi * stop / MAX_CAMERAS
        here = later if cameras else framing
        tried = (draw(angle + 0.5 * (rng.random() - 0.5)) for _ in range(_TRIES))
        offered = tried if cameras or first is None else (first,)
        good = next((camera for camera in offered if here.is_good(camera)), None)
        if good is None:
            return None
        cameras.append(good)
    return tuple(cameras)


def film(
    rng: np.random.Generator, draw: DrawCamera, framings: Sequence[Framing], frames: int
) -> tuple[Camera, ...] | None:
    """Stand, or move evenly along a line; None where no line has good views at all times.

    Args:
        rng: Randomness.
        draw: Draws a camera for a direction.
        framings: What is needed at equally spaced times from the first frame to the last; whether a
            line is good does not depend on the number of frames.
        frames: Number of cameras.
    """
    for _ in range(_TRIES):
        angle = 2 * math.pi * rng.random()
        stands = rng.random() < _STANDS
        sweep = 0.0 if stands else math.copysign(uniform(rng, 0.15, 0.5), rng.random() - 0.5)
        start, end = draw(angle), draw(angle + sweep)
        last = len(framings) - 1
        line = [_between(start, start if stands else end, i / last) for i in range(last + 1)]
        if all(framing.is_good(camera) for framing, camera in zip(framings, line, strict=True)):
            times = [i / (frames - 1) for i in range(frames)]
            return tuple(_between(start, start if stands else end, time) for time in times)
    return None


def _between(start: Camera, end: Camera, time: float) -> Camera:
    """A camera on the way from one to the other, its lens and roll those of the first."""
    position, target = (
        point(*(a + time * (b - a) for a, b in zip(*pair, strict=True)))
        for pair in ((start.position_m, end.position_m), (start.target_m, end.target_m))
    )
    return Camera(position, target, start.roll_deg, start.fov_deg)


def around_hall(
    rng: np.random.Generator,
    half_m: tuple[float, float],
    middle: tuple[float, float],
    heights: tuple[tuple[float, float], tuple[float, float]],
    margin_m: tuple[float, float],
    fov_deg: tuple[float, float] = _FOV_DEG,
) -> DrawCamera:
    """Draws cameras as far out as a rectangle allows that look at its middle, more or less.

    Args:
        rng: Randomness.
        half_m: Half extents of the rectangle.
        middle: What they look at.
        heights: Least and greatest height of the cameras, and of what they look at.
        margin_m: Least and greatest distance to the rectangle's border.
        fov_deg: Least and greatest angle of view.
    """

    def draw(angle: float) -> Camera:
        # Mostly near the border, but past a thing that stands there, too.
        margin = margin_m[0] + (margin_m[1] - margin_m[0]) * rng.random() ** 2
        x, y = math.cos(angle), math.sin(angle)
        # Not into the corners: the walk is a rounded rectangle.
        out = min(
            (half_m[0] - margin) / max(abs(x), 0.55), (half_m[1] - margin) / max(abs(y), 0.55)
        )
        aim_x, aim_y = (mm(c + uniform(rng, -0.4, 0.4)) for c in middle)
        return Camera(
            position_m=point(out * x, out * y, uniform(rng, *heights[0])),
            target_m=point(aim_x, aim_y, uniform(rng, *heights[1])),
            roll_deg=angle_deg(rng, -4, 4),
            fov_deg=angle_deg(rng, *fov_deg),
        )

    return draw


def around_table(rng: np.random.Generator, middle: Vector) -> DrawCamera:
    """Draws cameras close to the middle of a table top, looking down at it by 20 to 50 degrees."""

    def draw(angle: float) -> Camera:
        away = uniform(rng, 0.7, 1.6)
        pitch = math.radians(angle_deg(rng, 20, 50))
        target = [c + uniform(rng, -0.06, 0.06) for c in middle]
        flat, up = away * math.cos(pitch), away * math.sin(pitch)
        x, y = target[0] + flat * math.cos(angle), target[1] + flat * math.sin(angle)
        return Camera(
            position_m=point(x, y, target[2] + up),
            target_m=point(*target),
            roll_deg=angle_deg(rng, -4, 4),
            fov_deg=angle_deg(rng, *_FOV_DEG),
        )

    return draw
