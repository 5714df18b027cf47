"""What a picture shows of points, things, walls and paint, and from which side it looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2vlm_bench.world.scene import COLORS, WALLS, Body, Camera, Door, Place, Scene
from g2vlm_bench.world.sight import hides_points

# From behind, a shelf is a box and a sign is grey; so far round to the front it must be seen.
_FACED = ("shelf", "sign")
_FACE_DEG = 20.0
_WALL_POINTS, _WALL_SEEN = 9, 3
# A shelf's boards are thinner than a fortieth of the way across a room.
_STEPS = 240


def in_frame(camera: Camera, points_world: ArrayLike, aspect: float) -> NDArray[np.bool_]:
    """Whether a picture's frame holds each of some points, `(N, 3)` -> `(N,)`."""
    x, y, z = camera.in_camera(points_world).T
    reach = math.tan(math.radians(camera.fov_deg) / 2) * z
    wide, tall = max(aspect, 1.0), max(1 / aspect, 1.0)
    return np.asarray((z > 0) & (np.abs(x) <= wide * reach) & (np.abs(y) <= tall * reach))


def in_sight(
    bodies: Iterable[Body], camera: Camera, points_world: NDArray[np.float64], aspect: float
) -> NDArray[np.bool_]:
    """Whether a picture shows each point, `(N, 3)`: in its frame, and hidden by no body."""
    shown = in_frame(camera, points_world, aspect)
    for body in bodies:
        if shown.any():
            shown[shown] = ~hides_points(body, camera, points_world[shown], _STEPS)
    return shown


def corners(body: Body) -> NDArray[np.float64]:
    """Corners of a body's bounding box in the world, `(8, 3)`."""
    half = np.array(body.extent_m) / 2
    own = [half * (i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    return np.asarray(np.array(own) @ body.rotation.T + body.center_m)


def body_share_framed(body: Body, camera: Camera, aspect: float) -> float:
    """Share of the picture's rectangle about a body's bounding box that the frame holds."""
    x, y, z = camera.in_camera(corners(body)).T
    if z.min() <= 0:
        return 0.0
    reach = math.tan(math.radians(camera.fov_deg) / 2) * z
    share = 1.0
    for at, limit in ((x / reach, max(aspect, 1.0)), (y / reach, max(1 / aspect, 1.0))):
        inside = min(float(at.max()), limit) - max(float(at.min()), -limit)
        share *= max(inside, 0.0) / max(float(np.ptp(at)), 1e-9)
    return share


def shows_face(body: Body, camera: Camera) -> bool:
    """Whether a camera looks at the side that tells what a body is or how it is coloured."""
    if body.kind not in _FACED:
        return True
    front, left, _ = body.in_own_frame(camera.position_m)
    return math.degrees(math.atan2(float(front), abs(float(left)))) >= _FACE_DEG


def painted_colors(place: Place, cameras: Sequence[Camera], aspect: float) -> frozenset[str]:
    """Colours of the doors and lines on the floor that some picture's frame holds a part of."""
    painted = [(door.color, _door_points(place, door)) for door in place.doors]
    painted += [(strip.color, strip.line_m(12)) for strip in place.strips]
    return frozenset(
        color
        for color, points in painted
        if color in COLORS and any(in_frame(camera, points, aspect).any() for camera in cameras)
    )


def _door_points(place: Place, door: Door) -> NDArray[np.float64]:
    foot = np.array(door_foot(place, door))
    along = np.array([0.0, 1.0, 0.0] if door.wall in ("east", "west") else [1.0, 0.0, 0.0])
    steps = np.linspace(-0.5, 0.5, 5) * door.width_m
    heights = np.linspace(0.0, 1.0, 7) * door.height_m
    return np.array([foot + s * along + np.array([0.0, 0.0, h]) for s in steps for h in heights])


def door_foot(place: Place, door: Door) -> tuple[float, float, float]:
    """Middle of a door's lower edge."""
    half_x, half_y = place.half_m
    sign = 1 if door.wall in WALLS[:2] else -1
    if door.wall in ("east", "west"):
        return sign * half_x, door.along_m, 0.0
    return door.along_m, sign * half_y, 0.0


def _edges(place: Place) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Each wall with points of its lower and its upper edge, the ones above the others."""
    half_x, half_y = place.half_m
    for wall in WALLS:
        share = np.linspace(-0.95, 0.95, _WALL_POINTS)
        sign = 1 if wall in WALLS[:2] else -1
        x = np.full(_WALL_POINTS, sign * half_x) if wall in ("east", "west") else share * half_x
        y = share * half_y if wall in ("east", "west") else np.full(_WALL_POINTS, sign * half_y)
        low = np.column_stack([x, y, np.zeros(_WALL_POINTS)])
        yield wall, low, low + np.array([0.0, 0.0, place.height_m])


def shows_height(scene: Scene, cameras: Sequence[Camera], aspect: float) -> bool:
    """Whether a picture shows where a wall meets the floor and, above that, the ceiling."""
    return any(
        bool(np.all([in_sight(scene.bodies, camera, e, aspect) for e in edges], axis=0).any())
        for camera in cameras
        for _, *edges in _edges(scene.place)
    )


def walls_seen(scene: Scene, cameras: Sequence[Camera], aspect: float) -> frozenset[str]:
    """The walls of which the pictures show a third of the lower or the upper edge, or more."""

    def is_seen(edge: NDArray[np.float64]) -> bool:
        shown = [in_sight(scene.bodies, camera, edge, aspect) for camera in cameras]
        return int(np.any(shown, axis=0).sum()) >= _WALL_SEEN

    return frozenset(wall for wall, *edges in _edges(scene.place) if any(map(is_seen, edges)))
