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
