"""Where things would be in each other's way: upright prisms about their parts.

Plain floats instead of arrays: a scene tries some hundred places, each with a handful of prisms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS, Vector

# Heights that differ by less are the same: lengths are whole millimetres.
_SAME_M = 1e-6


class Solid(NamedTuple):
    """An upright prism: a rectangle or a disc between two heights, metres.

    Attributes:
        round: Whether it is a disc of radius `half_x`.
        x: Its middle.
        y: Its middle.
        half_x: Half of its extent along its own x.
        half_y: Half of its extent along its own y.
        cosine: Of its turn about z.
        sine: Of its turn about z.
        low: Height of its underside.
        high: Height of its top.
    """

    round: bool
    x: float
    y: float
    half_x: float
    half_y: float
    cosine: float
    sine: float
    low: float
    high: float


def disc(x: float, y: float, radius_m: float) -> Solid:
    """An upright prism over a disc on the floor, without an end."""
    return Solid(True, x, y, radius_m, radius_m, 1.0, 0.0, 0.0, math.inf)


def own_solids(kind: str, extent_m: Vector) -> list[Solid]:
    """The prisms about the parts of a thing, in its own frame."""
    solids = []
    for part in KINDS[kind].build(extent_m):
        (x, y, z), (width, depth, height) = part.center_m, part.extent_m
        is_round = part.primitive != "box" and (part.axis == "z" or part.primitive == "sphere")
        low, high = z - height / 2, z + height / 2
        solids.append(Solid(is_round, x, y, width / 2, depth / 2, 1.0, 0.0, low, high))
    return solids


def outline(body: Body) -> Solid:
    """The prism about all of a body, world."""
    width, depth, height = body.extent_m
    yaw = math.radians(body.yaw_deg)
    x, y, z = body.base_m
    if body.footprint_radius_m <= max(width, depth) / 2:
        return Solid(True, x, y, width / 2, depth / 2, 1.0, 0.0, z, z + height)
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return Solid(False, x, y, width / 2, depth / 2, cosine, sine, z, z + height)


def turned(own: Iterable[Solid], base_m: Vector, yaw_deg: float) -> list[Solid]:
    """Prisms of a thing's own frame, where it stands."""
    yaw = math.radians(yaw_deg)
    cosine, sine = math.cos(yaw), math.sin(yaw)
    x, y, z = base_m
    return [
        Solid(
            s.round,
            x + cosine * s.x - sine * s.y,
            y + sine * s.x + cosine * s.y,
            s.half_x,
            s.half_y,
            cosine,
            sine,
            z + s.low,
            z + s.high,
        )
        for s in own
    ]


def apart(ours: Sequence[Solid], theirs: Sequence[Solid], gap_m: float, rise_m: float) -> bool:
    """Whether no prism of one is within a gap of one of the other, sideways or in height."""
    for a in ours:
        for b in theirs:
            clear = a.low - b.high >= rise_m - _SAME_M or b.low - a.high >= rise_m - _SAME_M
            if not clear and not beside(a, b, gap_m):
                return False
    return True


def beside(a: Solid, b: Solid, gap_m: float) -> bool:
    """Whether two prisms, seen from above, are a gap apart (or more: no corner is rounded off)."""
    x, y = b.x - a.x, b.y - a.y
    reach = math.hypot(a.half_x, a.half_y) + math.hypot(b.half_x, b.half_y) + gap_m
    if x * x + y * y >= reach * reach:
        return True
    if a.round and b.round:
        return x * x + y * y >= (a.half_x + b.half_x + gap_m) ** 2
    if a.round:
        return _off_rectangle(b, a.x, a.y) >= a.half_x + gap_m
    if b.round:
        return _off_rectangle(a, b.x, b.y) >= b.half_x + gap_m
    return _parted(a, b, gap_m) or _parted(b, a, gap_m)


def _parted(a: Solid, b: Solid, gap_m: float) -> bool:
    """Whether a line along an edge of rectangle a parts it from rectangle b."""
    x, y = b.x - a.x, b.y - a.y
    cosine = abs(a.cosine * b.cosine + a.sine * b.sine)
    sine = abs(a.sine * b.cosine - a.cosine * b.sine)
    across = abs(a.cosine * x + a.sine * y)
    along = abs(a.cosine * y - a.sine * x)
    return (
        across >= a.half_x + b.half_x * cosine + b.half_y * sine + gap_m
        or along >= a.half_y + b.half_x * sine + b.half_y * cosine + gap_m
    )


def _off_rectangle(solid: Solid, x: float, y: float) -> float:
    """Distance of a point to a rectangle seen from above, 0 within it."""
    x, y = x - solid.x, y - solid.y
    across = abs(solid.cosine * x + solid.sine * y) - solid.half_x
    along = abs(solid.cosine * y - solid.sine * x) - solid.half_y
    return math.hypot(max(across, 0.0), max(along, 0.0))


def distance_m(solids: Iterable[Solid], point: Vector) -> float:
    """Distance of a point to the nearest prism, 0 inside; never more than to the body itself."""
    x, y, z = point
    nearest = math.inf
    for s in solids:
        if s.round:
            flat = max(math.hypot(x - s.x, y - s.y) - s.half_x, 0.0)
        else:
            flat = _off_rectangle(s, x, y)
        nearest = min(nearest, math.hypot(flat, max(s.low - z, z - s.high, 0.0)))
    return nearest


def corners(solid: Solid) -> list[tuple[float, float]]:
    """The corners of a rectangle, or of the square about a disc, seen from above."""
    cosine, sine = (1.0, 0.0) if solid.round else (solid.cosine, solid.sine)
    return [
        (
            solid.x + cosine * sx * solid.half_x - sine * sy * solid.half_y,
            solid.y + sine * sx * solid.half_x + cosine * sy * solid.half_y,
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
