"""What kinds of things there are, and of which primitives each is built.

A thing's own frame: metres, x to its front, y to its left, z up, the origin at the middle of its
underside. Its parts follow from its kind and its extent alone, so that a scene record names no
parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = tuple[float, float, float]

PRIMITIVES = ("box", "sphere", "cylinder", "cone", "torus")
AXES = ("x", "y", "z")
# Thickness of a shelf's boards and a crate's walls, as a share of the shorter side.
_SHELF_WALL = 0.05
_CRATE_WALL = 0.06
# Tones of parts that are not painted in the thing's own colour, albedo in [0, 1].
TONES: Mapping[str, Vector] = {
    "wood": (0.55, 0.38, 0.22),
    "steel": (0.62, 0.64, 0.66),
    "rubber": (0.13, 0.13, 0.14),
    "glass": (0.55, 0.68, 0.74),
    "ivory": (0.93, 0.90, 0.82),
    "skin": (0.80, 0.60, 0.47),
    "bark": (0.38, 0.28, 0.20),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One primitive of a thing, in the thing's own frame.

    Attributes:
        primitive: One of `PRIMITIVES`.
        center_m: Middle of its bounding box.
        extent_m: Full extents of its bounding box along x, y, z.
        axis: What a cylinder, cone or torus turns about; a cone's tip points along it.
        tone: A name of `TONES`, empty for the thing's own colour.
    """

    primitive: str
    center_m: Vector
    extent_m: Vector
    axis: str = "z"
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Surface:
    """A level place of a thing on which others can stand, in the thing's own frame.

    Attributes:
        center_m: Its middle.
        half_m: Half of its extents along x and y.
        round: Whether it is the ellipse within these extents, not the rectangle.
        clearance_m: Free height above it, infinite where nothing is above.
        inside: Whether what stands there is **in** the thing, not on it.
    """

    center_m: Vector
    half_m: tuple[float, float]
    round: bool = False
    clearance_m: float = math.inf
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What all things of a name share.

    Attributes:
        plural: Its plural.
        sizes_m: Largest extent of a small, medium and large one in a room; the gaps between the
            bands keep the words apart.
        build: Extent -> parts.
        surfaces: Extent -> where others can stand.
        foot: Extent -> where it stands itself; a sphere's foot is what must be underneath for it
            not to look as if it rolled off.
        has_front: Whether people agree on its front.
    """

    plural: str
    sizes_m: Mapping[str, tuple[float, float]]
    build: Callable[[Vector], tuple[Part, ...]]
    surfaces: Callable[[Vector], tuple[Surface, ...]] = lambda extent: ()
    foot: Callable[[Vector], Surface] = lambda extent: _rectangle(extent[0] / 2, extent[1] / 2)
    has_front: bool = False


def _rectangle(half_x: float, half_y: float) -> Surface:
    return Surface((0.0, 0.0, 0.0), (half_x, half_y))


def _disc(share: float) -> Callable[[Vector], Surface]:
    """A foot as wide as a share of the thing."""

    def foot(extent: Vector) -> Surface:
        radius = share * extent[0] / 2
        return Surface((0.0, 0.0, 0.0), (radius, radius), round=True)

    return foot


def _pole(extent: Vector) -> Surface:
    """Where a sign's pole stands."""
    radius = 0.07 * extent[1]
    return Surface((0.0, 0.0, 0.0), (radius, radius), round=True)


def _ring(extent: Vector) -> Surface:
    """The circle on which a lying ring touches the ground."""
    radius = (extent[0] - extent[2]) / 2
    return Surface((0.0, 0.0, 0.0), (radius, radius), round=True)


def _primitive(name: str) -> Callable[[Vector], tuple[Part, ...]]:
    def build(extent: Vector) -> tuple[Part, ...]:
        return (Part(name, (0.0, 0.0, extent[2] / 2), extent),)

    return build


def _box(low: Vector, high: Vector, tone: str = "") -> Part:
    """The box between two corners."""
    center = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    extent = tuple(b - a for a, b in zip(low, high, strict=True))
    return Part("box", center, extent, tone=tone)  # type: ignore[arg-type]


def _legs(half_x: float, half_y: float, height: float, thick: float) -> tuple[Part, ...]:
    return tuple(
        Part("box", (sx * (half_x - thick / 2), sy * (half_y - thick / 2), height / 2),
             (thick, thick, height), tone="wood")
        for sx in (-1, 1)
        for sy in (-1, 1)
    )  # fmt: skip


def _table(extent: Vector) -> tuple[Part, ...]:
    x, y, z = extent
    board = 0.08 * z
    top = _box((-x / 2, -y / 2, z - board), (x / 2, y / 2, z))
    return (top, *_legs(x / 2, y / 2, z - board, 0.09 * min(x, y)))


def _chair(extent: Vector) -> tuple[Part, ...]:
    x, y, z = extent
    seat, board = 0.5 * z, 0.07 * z
    back = _box((-x / 2, -y / 2, seat), (-x / 2 + 0.14 * x, y / 2, z))
    plate = _box((-x / 2, -y / 2, seat - board), (x / 2, y / 2, seat))
    return (plate, back, *_legs(x / 2, y / 2, seat - board, 0.14 * min(x, y)))


def _wall(share: float, width: float) -> float:
    """An even number of millimetres: what stands on boards has whole millimetres then, too."""
    return 2 * round(share * width / 2, 3)


def _shelf(extent: Vector) -> tuple[Part, ...]:
    """Open to the front, with one board half-way up."""
    x, y, z = extent
    wall = _wall(_SHELF_WALL, y)
    sides = tuple(
        _box((-x / 2, sign * y / 2 - max(sign, 0) * wall, 0.0),
             (x / 2, sign * y / 2 - min(sign, 0) * wall, z))
        for sign in (-1, 1)
    )  # fmt: skip
    back = _box((-x / 2, -y / 2 + wall, 0.0), (-x / 2 + wall, y / 2 - wall, z))
    boards = tuple(
        _box((-x / 2 + wall, -y / 2 + wall, low), (x / 2, y / 2 - wall, low + wall))
        for low in (0.0, z / 2 - wall / 2, z - wall)
    )
    return (*sides, back, *boards)


def _crate(extent: Vector) -> tuple[Part, ...]:
    """A box without a lid."""
    x, y, z = extent
    wall = _wall(_CRATE_WALL, min(x, y))
    floor = _box((-x / 2, -y / 2, 0.0), (x / 2, y / 2, wall))
    ends = tuple(
        _box((sign * x / 2 - max(sign, 0) * wall, -y / 2, wall),
             (sign * x / 2 - min(sign, 0) * wall, y / 2, z))
        for sign in (-1, 1)
    )  # fmt: skip
    sides = tuple(
        _box((-x / 2 + wall, sign * y / 2 - max(sign, 0) * wall, wall),
             (x / 2 - wall, sign * y / 2 - min(sign, 0) * wall, z))
        for sign in (-1, 1)
    )  # fmt: skip
    return (floor, *ends, *sides)


def _lamp(extent: Vector) -> tuple[Part, ...]:
    x, y, z = extent
    foot, shade = 0.04 * z, 0.38 * z
    return (
        Part("cylinder", (0, 0, foot / 2), (0.7 * x, 0.7 * y, foot), tone="steel"),
        Part("cylinder", (0, 0, z / 2 - shade / 4), (0.12 * x, 0.12 * y, z - shade / 2),
             tone="steel"),
        Part("cone", (0, 0, z - shade / 2), (x, y, shade)),
    )  # fmt: skip


def _car(extent: Vector) -> tuple[Part, ...]:
    """Low bonnet in front, cabin behind the middle, four wheels."""
    x, y, z = extent
    wheel = 0.42 * z
    clear = 0.20 * z
    wheels = tuple(
        Part("cylinder", (sx * 0.31 * x, sy * (y / 2 - 0.06 * y), wheel / 2),
             (wheel, 0.12 * y, wheel), axis="y", tone="rubber")
        for sx in (-1, 1)
        for sy in (-1, 1)
    )  # fmt: skip
    hull = _box((-x / 2, -0.47 * y, clear), (x / 2, 0.47 * y, 0.60 * z))
    cabin = _box((-0.42 * x, -0.42 * y, 0.60 * z), (0.16 * x, 0.42 * y, z), tone="glass")
    return (hull, cabin, *wheels)


def _sign(extent: Vector) -> tuple[Part, ...]:
    """A round plate on a pole; its coloured side looks to the front."""
    x, y, z = extent
    face, back = (x / 4, 0.0, z - y / 2), (-x / 4, 0.0, z - y / 2)
    return (
        Part("cylinder", face, (x / 2, y, y), axis="x"),
        Part("cylinder", back, (x / 2, y, y), axis="x", tone="steel"),
        Part("cylinder", (0, 0, (z - y) / 2), (0.14 * y, 0.14 * y, z - y), tone="steel"),
    )


def _person(extent: Vector) -> tuple[Part, ...]:
    x, y, z = extent
    head = 0.16 * z
    return (
        Part("cylinder", (0, 0, 0.22 * z), (0.62 * x, 0.62 * y, 0.44 * z), tone="rubber"),
        Part("cylinder", (0, 0, 0.63 * z), (x, y, 0.38 * z)),
        Part("sphere", (0, 0, z - head / 2), (head, head, head), tone="skin"),
    )


def _tree(extent: Vector) -> tuple[Part, ...]:
    x, y, z = extent
    return (
        Part("cylinder", (0, 0, 0.15 * z), (0.22 * x, 0.22 * y, 0.30 * z), tone="bark"),
        Part("cone", (0, 0, 0.65 * z), (x, y, 0.70 * z)),
    )


def _top(extent: Vector) -> tuple[Surface, ...]:
    return (Surface((0.0, 0.0, extent[2]), (extent[0] / 2, extent[1] / 2)),)


def _round_top(extent: Vector) -> tuple[Surface, ...]:
    return (Surface((0.0, 0.0, extent[2]), (extent[0] / 2, extent[1] / 2), round=True),)


def _seat(extent: Vector) -> tuple[Surface, ...]:
    x, y, z = extent
    return (Surface((0.07 * x, 0.0, 0.5 * z), (0.43 * x, y / 2)),)


def _boards(extent: Vector) -> tuple[Surface, ...]:
    x, y, z = extent
    wall = _wall(_SHELF_WALL, y)
    half, clear = ((x - wall) / 2, y / 2 - wall), z / 2 - 1.5 * wall
    return (
        *_top(extent),
        Surface((wall / 2, 0.0, z / 2 + wall / 2), half, clearance_m=clear, inside=True),
        Surface((wall / 2, 0.0, wall), half, clearance_m=clear, inside=True),
    )


def _crate_floor(extent: Vector) -> tuple[Surface, ...]:
    x, y, _ = extent
    wall = _wall(_CRATE_WALL, min(x, y))
    return (Surface((0.0, 0.0, wall), (x / 2 - wall, y / 2 - wall), inside=True),)


def _bands(small: float, medium: float, large: float) -> dict[str, tuple[float, float]]:
    """Bands of 8 % to both sides of a size."""
    sizes = {"small": small, "medium": medium, "large": large}
    return {name: (round(0.92 * m, 3), round(1.08 * m, 3)) for name, m in sizes.items()}


KINDS: Mapping[str, Kind] = {
    "box": Kind("boxes", _bands(0.32, 0.54, 0.81), _primitive("box"), _top),
    "sphere": Kind("spheres", _bands(0.32, 0.54, 0.81), _primitive("sphere"), foot=_disc(0.5)),
    "cylinder": Kind(
        "cylinders", _bands(0.32, 0.54, 0.81), _primitive("cylinder"), _round_top, _disc(1.0)
    ),
    "cone": Kind("cones", _bands(0.32, 0.54, 0.81), _primitive("cone"), foot=_disc(1.0)),
    "torus": Kind("rings", _bands(0.36, 0.54, 0.81), _primitive("torus"), foot=_ring),
    "table": Kind("tables", _bands(0.90, 1.20, 1.55), _table, _top),
    "chair": Kind("chairs", _bands(0.72, 0.90, 1.12), _chair, _seat, has_front=True),
    "shelf": Kind("shelves", _bands(1.00, 1.35, 1.80), _shelf, _boards, has_front=True),
    "crate": Kind("crates", _bands(0.42, 0.60, 0.85), _crate, _crate_floor),
    "lamp": Kind("lamps", _bands(0.55, 0.90, 1.40), _lamp, foot=_disc(0.7)),
    "car": Kind("cars", _bands(3.00, 3.90, 5.00), _car, has_front=True),
    "sign": Kind("signs", _bands(1.80, 2.30, 2.90), _sign, foot=_pole, has_front=True),
    "person": Kind("people", _bands(1.25, 1.60, 1.95), _person, foot=_disc(0.62)),
    "tree": Kind("trees", _bands(2.60, 3.60, 4.80), _tree, foot=_disc(0.22)),
}
# What people call a thing of a kind, where the kind's own name is the mathematicians'.
SPOKEN: Mapping[str, str] = {"torus": "ring"}


def spoken(kind: str) -> str:
    """The noun for a kind, such as `ring` for a torus."""
    return SPOKEN.get(kind, kind)


def part_distance_m(part: Part, points: ArrayLike) -> NDArray[np.float64]:
    """Signed distance of points `(..., 3)` in the thing's own frame to a part, metres.

    Negative inside; a round part must be as wide as it is deep.
    """
    local = np.asarray(points, np.float64) - part.center_m
    half = np.array(part.extent_m) / 2
    if part.primitive == "box":
        return _outside(np.abs(local) - half)
    if part.primitive == "sphere":
        return np.asarray(np.linalg.norm(local, axis=-1) - half[0])
    axis = AXES.index(part.axis)
    others = [i for i in range(3) if i != axis]
    radial, along = np.hypot(*(local[..., i] for i in others)), local[..., axis]
    radius, reach = half[others[0]], half[axis]
    if part.primitive == "torus":
        ring = np.hypot(radial - (radius - reach), along)
        return np.asarray(ring - reach)
    if part.primitive == "cylinder":
        return _outside(np.stack([radial - radius, np.abs(along) - reach], axis=-1))
    return _cone_distance(radial, along, radius, reach)


def _cone_distance(
    radial: NDArray[np.float64], along: NDArray[np.float64], radius: float, reach: float
) -> NDArray[np.float64]:
    """Signed distance to a cone with its tip at `along = reach` and its base at `-reach`."""
    slope = math.hypot(radius, 2 * reach)
    outward = ((radial - radius) * 2 * reach + (along + reach) * radius) / slope
    # How far up the side, from the base's rim to the tip, the nearest point of it is.
    up = ((radius - radial) * radius + (along + reach) * 2 * reach) / slope
    side = np.hypot(outward, up - np.clip(up, 0, slope))
    base = np.hypot(np.maximum(radial - radius, 0), along + reach)
    inside = (outward < 0) & (along > -reach)
    return np.asarray(np.minimum(side, base) * np.where(inside, -1, 1))


def _outside(excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance from how far each coordinate is outside its slab."""
    outside = np.linalg.norm(np.maximum(excess, 0), axis=-1)
    return np.asarray(outside + np.minimum(excess.max(axis=-1), 0))
