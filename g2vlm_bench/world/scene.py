"""The scene record: a furnished room as a small readable text, made from a seed.

World frame: metres, z up, the floor at z = 0, the origin at the middle of the floor. Everything
else (pictures, depth, points, questions) follows from the record.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2vlm_bench.errors import BenchError, nearest

WORLD_VERSION = 1
SPLITS = ("train", "validation", "test")
SHAPES = ("box", "sphere", "cylinder")
COLORS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.84, 0.11, 0.11),
    "orange": (0.98, 0.50, 0.06),
    "yellow": (0.97, 0.87, 0.14),
    "green": (0.12, 0.58, 0.20),
    "cyan": (0.22, 0.82, 0.84),
    "blue": (0.12, 0.24, 0.80),
    "purple": (0.50, 0.17, 0.66),
    "black": (0.17, 0.17, 0.18),
}
# Largest extent of a body in metres; the gaps keep the words apart.
SIZES_M: Mapping[str, tuple[float, float]] = {
    "small": (0.28, 0.38),
    "medium": (0.48, 0.60),
    "large": (0.72, 0.90),
}
MAX_CAMERAS = 8

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
_GAP_M = 0.10
_WALKWAY_M = 1.25

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Texture:
    """A two-tone pattern fixed to a surface: tiles on the floor, stripes on the walls.

    Attributes:
        colors: Two RGB colours in [0, 1], the albedo.
        scale_m: Edge of a tile, width of a stripe.
        angle_deg: Turn of the tiles about z; walls ignore it.
    """

    colors: tuple[Vector, Vector]
    scale_m: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class Room:
    """An empty room: `|x| <= width / 2`, `|y| <= depth / 2`, `0 <= z <= height`, in metres."""

    width_m: float
    depth_m: float
    height_m: float
    floor: Texture
    walls: Texture

    @property
    def half_m(self) -> tuple[float, float]:
        """Half of width and depth."""
        return self.width_m / 2, self.depth_m / 2


@dataclass(frozen=True, slots=True)
class Body:
    """A solid object standing upright.

    Attributes:
        id: Instance id in the renderer's maps, from 1; 0 is the room itself.
        shape: One of `SHAPES`.
        color: A name of `COLORS`.
        size: A name of `SIZES_M`, the band of its largest extent.
        extent_m: Full extents along its own x, y, z; equal for a sphere, x = y for a cylinder.
        base_m: Middle of its underside in the world.
        yaw_deg: Turn about z from the world's x to its own.
        support: Id of the body it stands on, 0 for the floor.
    """

    id: int
    shape: str
    color: str
    size: str
    extent_m: Vector
    base_m: Vector
    yaw_deg: float
    support: int

    @property
    def name(self) -> str:
        """What people call it, unique in its scene, such as `red box`."""
        return f"{self.color} {self.shape}"

    @property
    def center_m(self) -> NDArray[np.float64]:
        """Its centre in the world, `(3,)`."""
        x, y, z = self.base_m
        return np.array([x, y, z + self.extent_m[2] / 2])

    @property
    def top_m(self) -> float:
        """Height of its top over the floor."""
        return self.base_m[2] + self.extent_m[2]

    @property
    def footprint_radius_m(self) -> float:
        """Radius of the circle about its vertical axis that holds all of it."""
        width, depth, _ = self.extent_m
        return math.hypot(width, depth) / 2 if self.shape == "box" else width / 2

    def distance_m(self, points_world: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of points `(..., 3)` to its surface in metres, negative inside."""
        local = np.asarray(points_world, np.float64) - self.center_m
        half = np.array(self.extent_m) / 2
        if self.shape == "sphere":
            return np.asarray(np.linalg.norm(local, axis=-1) - half[0])
        if self.shape == "cylinder":
            radial = np.hypot(local[..., 0], local[..., 1]) - half[0]
            excess = np.stack([radial, np.abs(local[..., 2]) - half[2]], axis=-1)
        else:
            yaw = math.radians(self.yaw_deg)
            x = math.cos(yaw) * local[..., 0] + math.sin(yaw) * local[..., 1]
            y = math.cos(yaw) * local[..., 1] - math.sin(yaw) * local[..., 0]
            excess = np.abs(np.stack([x, y, local[..., 2]], axis=-1)) - half
        outside = np.linalg.norm(np.maximum(excess, 0), axis=-1)
        return np.asarray(outside + np.minimum(excess.max(axis=-1), 0))


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera, given as a photographer would.

    Attributes:
        position_m: Its centre in the world.
        target_m: The point at the middle of its picture.
        roll_deg: Turn about the viewing direction, positive = the picture's content turns left.
        fov_deg: Full angle of view across the **shorter** side of the picture.
    """

    position_m: Vector
    target_m: Vector
    roll_deg: float
    fov_deg: float

    @property
    def world_from_camera(self) -> NDArray[np.float64]:
        """Its 4x4 pose; OpenCV axes (x right, y down, z forward)."""
        position = np.array(self.position_m)
        forward = np.array(self.target_m) - position
        forward /= np.linalg.norm(forward)
        right = np.array([forward[1], -forward[0], 0.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        roll = math.radians(self.roll_deg)
        pose = np.eye(4)
        pose[:3, 0] = math.cos(roll) * right + math.sin(roll) * down
        pose[:3, 1] = math.cos(roll) * down - math.sin(roll) * right
        pose[:3, 2] = forward
        pose[:3, 3] = position
        return pose

    def intrinsics(self, height: int, width: int) -> NDArray[np.float64]:
        """Its 3x3 pinhole matrix in pixels for a picture of this size; centred, square pixels."""
        focal = min(height, width) / 2 / math.tan(math.radians(self.fov_deg) / 2)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])

    def in_camera(self, points_world: ArrayLike) -> NDArray[np.float64]:
        """World points `(..., 3)` in the camera's frame, metres."""
        pose = self.world_from_camera
        return np.asarray((np.asarray(points_world, np.float64) - pose[:3, 3]) @ pose[:3, :3])


@dataclass(frozen=True, slots=True)
class Scene:
    """A room, what stands in it, its lamp, and the cameras around it.

    Attributes:
        id: Names version, split and seed; scenes of two splits never share one.
        split: One of `SPLITS`.
        seed: The number it was made from, within its split.
        room: The room.
        bodies: Objects by id, 1, 2, ...; each supporter comes before what stands on it.
        light_m: Position of the lamp in the world.
        cameras: Neighbours in the list are neighbours around the room; the first n of them are the
            scene's n-view setting.
    """

    id: str
    split: str
    seed: int
    room: Room
    bodies: tuple[Body, ...]
    light_m: Vector
    cameras: tuple[Camera, ...]

    def body(self, number: int) -> Body:
        """The body of an instance id."""
        return self.bodies[number - 1]


def to_record(scene: Scene) -> dict[str, Any]:
    """Turn a scene into plain JSON values; `from_record` gives the same scene back exactly."""
    return {"version": WORLD_VERSION, **dataclasses.asdict(scene)}


def from_record(record: Mapping[str, Any]) -> Scene:
    """Turn `to_record`'s values, also after a trip through JSON, into the scene.

    Raises:
        BenchError: The version, a key or a value is not one of a scene record.
    """
    version = record.get("version")
    if version != WORLD_VERSION:
        raise BenchError(
            "scene record, key 'version'",
            expected=WORLD_VERSION,
            got=version,
            fix="Make the scene again with this version of g2vlm_bench.",
        )
    values = {key: value for key, value in record.items() if key != "version"}
    scene: Scene = _structure(Scene, values, "scene record")
    return scene


def make_scene(seed: int, split: str) -> Scene:
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
    return Scene(name, split, seed, room, bodies, light, cameras)


def _make_room(rng: np.random.Generator) -> Room:
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
    return Room(_round(width), _round(depth), _round(rng.uniform(2.5, 3.2)), floor, walls)


def _furnish(rng: np.random.Generator, room: Room) -> tuple[tuple[Body, ...], tuple[Camera, ...]]:
    """Draw bodies and cameras until all find a place, mostly at once."""
    for _ in range(1000):
        bodies = _make_bodies(rng, room)
        cameras = _make_cameras(rng, room, bodies) if bodies else None
        if bodies and cameras:
            return bodies, cameras
    raise RuntimeError("expected a possible scene within 1000 attempts")


def _make_bodies(rng: np.random.Generator, room: Room) -> tuple[Body, ...] | None:
    """Draw bodies one after another; None where one finds no free place."""
    count = int(rng.integers(3, 7))
    # A small palette makes colours repeat, so that neither colour nor shape alone names a body.
    palette = rng.choice(list(COLORS), size=int(rng.integers(3, 5)), replace=False)
    kinds = [(str(color), shape) for color in palette for shape in SHAPES]
    drawn = [kinds[i] for i in rng.permutation(len(kinds))[:count]]
    bodies: list[Body] = []
    for number, (color, shape) in enumerate(drawn, start=1):
        supporters = _free_tops(bodies) if rng.random() < 0.6 else []
        size = "small" if supporters else str(rng.choice(list(SIZES_M)))
        extent = _make_extent(rng, shape, size)
        body = Body(number, shape, color, size, extent, (0.0, 0.0, 0.0), 0.0, 0)
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
    extent = rng.uniform(*SIZES_M[size]) * proportions / proportions.max()
    # An even number of millimetres, so that half of it is a whole number too.
    return _rounded(*(2 * np.round(extent / 2, 3)))


def _free_tops(bodies: list[Body]) -> list[Body]:
    """Bodies on the floor whose flat top is wide enough for a small body and still empty."""
    taken = {body.support for body in bodies}
    return [
        body
        for body in bodies
        if body.shape != "sphere"
        and body.support == 0
        and body.id not in taken
        and min(body.extent_m[:2]) >= SIZES_M["small"][1]
    ]


def _place_on(rng: np.random.Generator, body: Body, supporter: Body) -> Body | None:
    """Put a body on a top, its whole footprint (a sphere's foot) within the top."""
    foot = 0.5 * body.footprint_radius_m if body.shape == "sphere" else body.footprint_radius_m
    play = min(supporter.extent_m[:2]) / 2 - foot
    if play < 0:
        return None
    angle, radius = rng.uniform(0, 2 * math.pi), play * math.sqrt(rng.random())
    x, y, _ = supporter.base_m
    base = _rounded(x + radius * math.cos(angle), y + radius * math.sin(angle), supporter.top_m)
    return dataclasses.replace(body, base_m=base, support=supporter.id)


def _place_on_floor(
    rng: np.random.Generator, body: Body, room: Room, others: list[Body]
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
    rng: np.random.Generator, room: Room, bodies: tuple[Body, ...]
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
    rng: np.random.Generator, room: Room, bodies: tuple[Body, ...], angle: float
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


def _structure(kind: Any, value: Any, where: str) -> Any:
    """Build a value of a type from plain JSON values, refusing what does not fit."""
    if dataclasses.is_dataclass(kind):
        fields = get_type_hints(kind)
        _check_keys(value, fields, where)
        made = {key: _structure(fields[key], value[key], f"{where}, {key}") for key in fields}
        return kind(**made) if isinstance(kind, type) else None
    if get_origin(kind) is tuple:
        return tuple(_structure(part, each, where) for part, each in _parts(kind, value, where))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise BenchError(where, expected=kind.__name__, got=repr(value))
    return value


def _parts(kind: Any, value: Any, where: str) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, (list, tuple)):
        raise BenchError(where, expected="a list", got=type(value).__name__)
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        return zip([kinds[0]] * len(value), value, strict=True)
    if len(kinds) != len(value):
        raise BenchError(where, expected=f"{len(kinds)} values", got=len(value))
    return zip(kinds, value, strict=True)


def _check_keys(value: Any, fields: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, Mapping):
        raise BenchError(where, expected="keys and values", got=type(value).__name__)
    for key in value:
        if key not in fields:
            raise BenchError(where, got=f"unknown key '{key}'", fix=nearest(str(key), fields))
    for key in fields:
        if key not in value:
            raise BenchError(where, expected=f"key '{key}'", got="none")
