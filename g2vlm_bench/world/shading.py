"""What surfaces look like: textures, one lamp with shadows, and soft contact shade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.world.raycast import Hits, Pack, Vectors, shadowed
from g2vlm_bench.world.scene import Scene

_LIFT_M = 1e-3
_SKIRTING_M = 0.10
_CEILING = 0.93
_PANEL_M = 0.75


@dataclass(frozen=True, slots=True)
class Paint:
    """The surfaces of V rooms as tensors.

    Attributes:
        floor: `(V, 2, 3)` the two RGB tones of the tiles.
        tiles: `(V, 3)` cosine and sine of the tiles' turn, over the edge of a tile; the edge.
        walls: `(V, 2, 3)` the two RGB tones of the stripes.
        stripe: `(V, 1)` width of a stripe in metres.
    """

    floor: Tensor
    tiles: Tensor
    walls: Tensor
    stripe: Tensor


def paint_scenes(scenes: Sequence[Scene], device: torch.device | str) -> Paint:
    """Gather the surfaces of V rooms into tensors on a device."""
    floors = [scene.room.floor for scene in scenes]
    turns = [math.radians(floor.angle_deg) for floor in floors]
    tiles = [
        (math.cos(turn) / floor.scale_m, math.sin(turn) / floor.scale_m, floor.scale_m)
        for turn, floor in zip(turns, floors, strict=True)
    ]

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

    return Paint(
        floor=tensor([floor.colors for floor in floors]),
        tiles=tensor(tiles),
        walls=tensor([scene.room.walls.colors for scene in scenes]),
        stripe=tensor([[scene.room.walls.scale_m] for scene in scenes]),
    )


def shade(pack: Pack, paint: Paint, hits: Hits) -> Tensor:
    """Linear light `(V, R, 3)` that comes from the points hit; 1 is white, more may come."""
    point, normal = hits.point, hits.normal
    to_lamp = Vectors(*pack.light[..., None].unbind(1)).minus(point)
    square = to_lamp.dot(to_lamp)
    facing = (normal.dot(to_lamp) / square.sqrt()).clamp_min(0)
    start = point.along(normal, torch.full_like(hits.t, _LIFT_M))
    lit = ~shadowed(pack, start, to_lamp)
    lamp = facing * lit * (1.55 / (1 + 0.10 * square))
    sky = (0.41 + 0.05 * normal.z) * _openness(pack, hits)
    albedo = _albedo(pack, paint, hits)
    return albedo * albedo * (lamp + sky)[..., None]


def _openness(pack: Pack, hits: Hits) -> Tensor:
    """Share of the ambient light that reaches a point past the bodies, each taken as a ball."""
    # Bodies darken towards the floor they stand on; the room darkens towards the bodies.
    low = (0.55 + 1.5 * hits.point.z).clamp(max=1)
    open_share = torch.where(hits.slot < 0, torch.ones_like(low), low)
    for number in range(len(pack.shapes)):
        center, half = (part[:, number, :, None] for part in (pack.center, pack.half))
        radius = half.mean(dim=1)
        away = Vectors(*center.unbind(1)).minus(hits.point)
        square = away.dot(away).clamp_min(1e-6)
        above = (hits.normal.dot(away) / square.sqrt()).clamp_min(0)
        hidden = (1.4 * above * radius * radius / square).clamp(max=0.75)
        open_share = open_share * (1 - torch.where(hits.slot == number, 0, hidden))
    return open_share


def _albedo(pack: Pack, paint: Paint, hits: Hits) -> Tensor:
    """RGB `(V, R, 3)` of the surfaces hit."""
    on_floor = (hits.normal.z > 0.5)[..., None]
    on_ceiling = (hits.normal.z < -0.5)[..., None]
    room = torch.where(on_floor, _tiles(paint, hits.point), _stripes(paint, hits))
    room = torch.where(on_ceiling, _panels(hits.point), room)
    if not pack.shapes:
        return room
    slot = hits.slot.clamp_min(0)
    bodies = pack.albedo.gather(1, slot[..., None].expand(*slot.shape, 3))
    return torch.where((hits.slot < 0)[..., None], room, bodies)


def _tiles(paint: Paint, point: Vectors) -> Tensor:
    cosine, sine, edge = (paint.tiles[:, i, None] for i in range(3))
    u = cosine * point.x + sine * point.y
    v = cosine * point.y - sine * point.x
    column, row = u.floor(), v.floor()
    tone = _mix(paint.floor, (column + row) % 2)
    grout = torch.minimum(_to_joint(u), _to_joint(v)) * edge < 0.008
    shade_ = (0.92 + 0.12 * _speckle(column, row)) * torch.where(grout, 0.82, 1.0)
    return tone * shade_[..., None]


def _stripes(paint: Paint, hits: Hits) -> Tensor:
    along = torch.where(hits.normal.x.abs() > 0.5, hits.point.y, hits.point.x)
    tone = _mix(paint.walls, (along / paint.stripe).floor() % 2)
    # Each wall has a brightness of its own, so that the corners of the room show.
    side = 0.97 + 0.03 * hits.normal.x + 0.05 * hits.normal.y
    skirting = torch.where(hits.point.z < _SKIRTING_M, 0.62, 1.0)
    return tone * (side * skirting)[..., None]


def _panels(point: Vectors) -> Tensor:
    joint = torch.minimum(_to_joint(point.x / _PANEL_M), _to_joint(point.y / _PANEL_M)) < 0.02
    return torch.where(joint, 0.9 * _CEILING, _CEILING)[..., None].expand(*joint.shape, 3)


def _mix(tones: Tensor, second: Tensor) -> Tensor:
    return torch.where((second > 0.5)[..., None], tones[:, None, 1], tones[:, None, 0])


def _to_joint(u: Tensor) -> Tensor:
    """Distance to the nearest whole number."""
    return (u - u.round()).abs()


def _speckle(column: Tensor, row: Tensor) -> Tensor:
    """A fixed number in [0, 1) for each tile, from an integer hash."""
    mixed = column.long() * 374761393 + row.long() * 668265263
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed ^ (mixed >> 16)) & 0xFFFF).float() / 65536
