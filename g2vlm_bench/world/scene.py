"""The scene record: a place and what stands in it as a small readable text, made from a seed.

World frame: metres, z up, the floor at z = 0, the origin at the middle of the floor. Everything
else (pictures, depth, points, questions) follows from the record.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2vlm_bench.world.shapes import KINDS, Surface, Vector, part_distance_m, spoken

WORLD_VERSION = 1
SPLITS = ("train", "validation", "test")
PLACES = ("room", "table_top", "road")
COLORS: Mapping[str, Vector] = {
    "red": (0.84, 0.11, 0.11),
    "orange": (0.98, 0.50, 0.06),
    "yellow": (0.97, 0.87, 0.14),
    "green": (0.12, 0.58, 0.20),
    "cyan": (0.22, 0.82, 0.84),
    "blue": (0.12, 0.24, 0.80),
    "purple": (0.50, 0.17, 0.66),
    "black": (0.17, 0.17, 0.18),
}
MATERIALS = ("matte", "shiny", "striped", "checked")
SIZES = ("small", "medium", "large")
WALLS = ("east", "north", "west", "south")
MAX_CAMERAS = 8


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
class Door:
    """A closed door, painted on a wall from the floor up.

    Attributes:
        wall: One of `WALLS`: east is at +x, north at +y.
        along_m: Its middle along the wall: its y on the east and west wall, else its x.
        width_m: Its width.
        height_m: Its height.
        color: A name of `COLORS`.
    """

    wall: str
    along_m: float
    width_m: float
    height_m: float
    color: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A line painted on the floor: a road and its lines, or a path that a question asks about.

    Attributes:
        color: A name of `COLORS`, or `white` or `grey` for a road's own markings.
        width_m: Its width.
        points_m: Its corners, x and y.
        dashed: Whether half of each metre is left out.
    """

    color: str
    width_m: float
    points_m: tuple[tuple[float, float], ...]
    dashed: bool

    def line_m(self, per_leg: int) -> NDArray[np.float64]:
        """Points of its middle line on the floor, `(N, 3)`: evenly spaced ones of each leg."""
        legs = zip(self.points_m, self.points_m[1:], strict=False)
        flat = np.concatenate([np.linspace(a, b, per_leg) for a, b in legs])
        return np.column_stack([flat, np.zeros(len(flat))])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scene is: a room `|x| <= width / 2`, `|y| <= depth / 2`, `0 <= z <= height`.

    Attributes:
        kind: One of `PLACES`; a road has no walls and no ceiling, only ground without an end.
        width_m: Extent along x; on a road, of the part where things stand.
        depth_m: Extent along y.
        height_m: Height of the ceiling; of a road, 0.
        floor: Look of the floor or ground.
        walls: Look of the walls.
        doors: Doors in the walls.
        strips: Lines on the floor, the later ones on top.
    """

    kind: str
    width_m: float
    depth_m: float
    height_m: float
    floor: Texture
    walls: Texture
    doors: tuple[Door, ...] = ()
    strips: tuple[Strip, ...] = ()

    @property
    def half_m(self) -> tuple[float, float]:
        """Half of width and depth."""
        return self.width_m / 2, self.depth_m / 2

    @property
    def is_open(self) -> bool:
        """Whether there is sky instead of walls and a ceiling."""
        return self.height_m == 0

    @property
    def reach_m(self) -> Vector:
        """How far it reaches from the origin along x, along y and up; the open has no end."""
        return (math.inf,) * 3 if self.is_open else (*self.half_m, self.height_m)

    def holds(self, point: Vector) -> bool:
        """Whether a point of the world is in it, on no wall."""
        (x, y, z), (half_x, half_y, height) = point, self.reach_m
        return abs(x) < half_x and abs(y) < half_y and 0 < z < height


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp, or the sun: a point from which light comes and which casts shadows.

    Attributes:
        position_m: Where it is.
        strength: Light on a white surface that faces it from nearby.
        reach_m: Distance at which half of it is left.
    """

    position_m: Vector
    strength: float
    reach_m: float


@dataclass(frozen=True, slots=True)
class Body:
    """A thing standing upright.

    Attributes:
        id: Instance id in the renderer's maps, from 1; 0 is the place itself.
        kind: A name of `KINDS`.
        color: A name of `COLORS`.
        material: One of `MATERIALS`.
        size: One of `SIZES`: the band of its kind that its largest extent is in.
        extent_m: Full extents along its own x (front), y (left), z.
        base_m: Middle of its underside in the world; of a moving one, at the first frame.
        yaw_deg: Turn about z from the world's x to its own.
        support: Id of the body it stands on or in, 0 for the floor.
        inside: Whether it is in its support, not on it.
        path_m: Where its base is at equally spaced times from the first frame to the last, straight
            between them; empty for a thing that stands still.
        scale: Factor of its kind's size bands: on a table top, "large" means large for one.
    """

    id: int
    kind: str
    color: str
    material: str
    size: str
    extent_m: Vector
    base_m: Vector
    yaw_deg: float
    support: int
    inside: bool = False
    path_m: tuple[Vector, ...] = ()
    scale: float = 1.0

    @property
    def noun(self) -> str:
        """What people call its kind."""
        return spoken(self.kind)

    @property
    def name(self) -> str:
        """What people call it, unique in its scene, such as `red box`."""
        return f"{self.color} {self.noun}"

    @property
    def band_m(self) -> tuple[float, float]:
        """Between which lengths its largest extent is, being of its size."""
        low, high = KINDS[self.kind].sizes_m[self.size]
        return self.scale * low, self.scale * high

    @property
    def center_m(self) -> NDArray[np.float64]:
        """Middle of its bounding box in the world, `(3,)`."""
        x, y, z = self.base_m
        return np.array([x, y, z + self.extent_m[2] / 2])

    @property
    def top_m(self) -> float:
        """Height of its highest point over the floor."""
        return self.base_m[2] + self.extent_m[2]

    @property
    def footprint_radius_m(self) -> float:
        """Radius of the circle about its vertical axis that holds all of it."""
        width, depth, _ = self.extent_m
        is_round = self.kind in ("sphere", "cylinder", "cone", "torus", "lamp", "person", "tree")
        return max(width, depth) / 2 if is_round else math.hypot(width, depth) / 2

    @property
    def rotation(self) -> NDArray[np.float64]:
        """World from own axes, `(3, 3)`."""
        yaw = math.radians(self.yaw_deg)
        cosine, sine = math.cos(yaw), math.sin(yaw)
        return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    @property
    def front(self) -> NDArray[np.float64]:
        """Unit vector to its own front in the world, `(3,)`."""
        return np.asarray(self.rotation[:, 0])

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """Where others can stand on it or in it, in its own frame."""
        return KINDS[self.kind].surfaces(self.extent_m)

    def in_own_frame(self, points_world: ArrayLike) -> NDArray[np.float64]:
        """World points `(..., 3)` in its own frame, metres."""
        return np.asarray((np.asarray(points_world, np.float64) - self.base_m) @ self.rotation)

    def distance_m(self, points_world: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of points `(..., 3)` to its surface in metres, negative inside.

        Inside, where its parts meet, it is the distance to the nearest part's surface.
        """
        local = self.in_own_frame(points_world)
        parts = KINDS[self.kind].build(self.extent_m)
        return np.asarray(np.min([part_distance_m(part, local) for part in parts], axis=0))

    def at(self, time: float) -> Body:
        """The same thing, still, where it is at a time: 0 is the first frame, 1 the last.

        A thing with a front looks where it goes.
        """
        if not self.path_m:
            return self
        steps = len(self.path_m) - 1
        leg = min(int(time * steps), steps - 1)
        start, end = np.array(self.path_m[leg]), np.array(self.path_m[leg + 1])
        base = start + (time * steps - leg) * (end - start)
        yaw = self.yaw_deg
        if KINDS[self.kind].has_front:
            yaw = round(math.degrees(math.atan2(*(end - start)[1::-1])), 1)
        x, y, z = (round(float(value), 4) for value in base)
        return dataclasses.replace(self, base_m=(x, y, z), yaw_deg=yaw, path_m=())


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
        forward /= _length(forward)
        right = np.array([forward[1], -forward[0], 0.0])
        right /= _length(right)
        # Written out: np.cross takes ten times as long, and a pose is asked for very often.
        (fx, fy, fz), (rx, ry, rz) = forward.tolist(), right.tolist()
        down = np.array([fy * rz - fz * ry, fz * rx - fx * rz, fx * ry - fy * rx])
        cosine, sine = math.cos(math.radians(self.roll_deg)), math.sin(math.radians(self.roll_deg))
        pose = np.zeros((4, 4))
        pose[:3, 0] = cosine * right + sine * down
        pose[:3, 1] = cosine * down - sine * right
        pose[:3, 2] = forward
        pose[:3, 3] = position
        pose[3, 3] = 1.0
        return pose

    def intrinsics(self, height: int, width: int) -> NDArray[np.float64]:
        """Its 3x3 pinhole matrix in pixels for a picture of this size; centred, square pixels."""
        focal = min(height, width) / 2 / math.tan(math.radians(self.fov_deg) / 2)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])

    def in_camera(self, points_world: ArrayLike) -> NDArray[np.float64]:
        """World points `(..., 3)` in the camera's frame, metres."""
        pose = self.world_from_camera
        return np.asarray((np.asarray(points_world, np.float64) - pose[:3, 3]) @ pose[:3, :3])


def _length(vector: NDArray[np.float64]) -> float:
    return math.sqrt(vector @ vector)


@dataclass(frozen=True, slots=True)
class Scene:
    """A place, what stands in it, its lights, and the cameras around it.

    Attributes:
        id: Names version, split and seed; scenes of two splits never share one.
        split: One of `SPLITS`.
        seed: The number it was made from, within its split.
        place: The place.
        bodies: Things by id, 1, 2, ...; each supporter comes before what stands on it.
        lights: One or two.
        cameras: The first n of them are the scene's n-view setting. Of a still scene, neighbours in
            the list are neighbours around the place; of a moving one, camera i films frame i.
        frames: Number of frames, 1 for a scene in which nothing moves.
    """

    id: str
    split: str
    seed: int
    place: Place
    bodies: tuple[Body, ...]
    lights: tuple[Light, ...]
    cameras: tuple[Camera, ...]
    frames: int = 1

    def body(self, number: int) -> Body:
        """The body of an instance id."""
        return self.bodies[number - 1]

    def shot(self, view: int) -> tuple[Scene, Camera]:
        """The still scene that a view shows, and its camera."""
        if self.frames == 1:
            return self, self.cameras[view]
        return self.at_frame(view), self.cameras[view]

    def at_frame(self, frame: int) -> Scene:
        """The scene with everything still where it is at a frame."""
        time = frame / (self.frames - 1) if self.frames > 1 else 0.0
        bodies = tuple(body.at(time) for body in self.bodies)
        return dataclasses.replace(self, bodies=bodies, frames=1)
