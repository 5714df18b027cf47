"""What surfaces look like: textures, one lamp with shadows, and soft contact shade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.world.raycast import Hits, Pack, Vectors, root, shadowed
from g2vlm_bench.world.scene import Scene

_LIFT_M = 1e-3
_SKIRTING_M = 0.10
_GROUT_M = 0.008
_CEILING = 0.93
_PANEL_M = 0.75
_BIAS = 1 << 10

# Red, green and blue, each `(V, R)`; apart like `Vectors`.
Rgb = tuple[Tensor, ...]


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
    floors = [scene.place.floor for scene in scenes]
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
        walls=tensor([scene.place.walls.colors for scene in scenes]),
        stripe=tensor([[scene.place.walls.scale_m] for scene in scenes]),
    )


def shade(pack: Pack, paint: Paint, hits: Hits) -> Rgb:
    """Linear light that comes from the points hit; 1 is white, more may come."""
    point, normal = hits.point, hits.normal
    to_lamp = Vectors(*pack.light[..., None].unbind(1)).minus(point)
    square = to_lamp.dot(to_lamp)
    facing = (normal.dot(to_lamp) / root(square)).clamp_min(0)
    start = point.along(normal, torch.full_like(hits.t, _LIFT_M))
    lit = ~shadowed(pack, start, to_lamp)
    lamp = facing * lit * (1.55 / (1 + 0.10 * square))
    sky = (0.41 + 0.05 * normal.z) * _openness(pack, hits)
    light = lamp + sky
    return tuple(albedo * albedo * light for albedo in _albedo(pack, paint, hits))


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
        above = (hits.normal.dot(away) / root(square)).clamp_min(0)
        hidden = (1.4 * above * radius * radius / square).clamp(max=0.75)
        open_share = open_share * (1 - torch.where(hits.slot == number, 0, hidden))
    return open_share


def _albedo(pack: Pack, paint: Paint, hits: Hits) -> Rgb:
    """Colour of the surfaces hit."""
    is_floor, is_ceiling = hits.normal.z > 0.5, hits.normal.z < -0.5
    tiles, stripes, panels = _tiles(paint, hits.point), _stripes(paint, hits), _panels(hits.point)
    slot = hits.slot.clamp_min(0)
    colors = []
    for channel in range(3):
        color = torch.where(is_floor, tiles[channel], stripes[channel])
        color = torch.where(is_ceiling, panels, color)
        if pack.shapes:
            body = pack.albedo[..., channel].gather(1, slot)
            color = torch.where(hits.slot < 0, color, body)
        colors.append(color)
    return tuple(colors)


def _tiles(paint: Paint, point: Vectors) -> Rgb:
    cosine, sine, edge = (paint.tiles[:, i, None] for i in range(3))
    column, to_column = _cell(cosine * point.x + sine * point.y)
    row, to_row = _cell(cosine * point.y - sine * point.x)
    grout = torch.minimum(to_column, to_row) * edge < _GROUT_M
    brightness = (0.92 + 0.12 * _speckle(column, row)) * torch.where(grout, 0.82, 1.0)
    return _two_tone(paint.floor, column + row, brightness)


def _stripes(paint: Paint, hits: Hits) -> Rgb:
    along = torch.where(hits.normal.x.abs() > 0.5, hits.point.y, hits.point.x)
    # Each wall has a brightness of its own, so that the corners of the room show.
    side = 0.97 + 0.03 * hits.normal.x + 0.05 * hits.normal.y
    skirting = torch.where(hits.point.z < _SKIRTING_M, 0.62, 1.0)
    return _two_tone(paint.walls, _cell(along / paint.stripe)[0], side * skirting)


def _panels(point: Vectors) -> Tensor:
    _, to_column = _cell(point.x / _PANEL_M)
    _, to_row = _cell(point.y / _PANEL_M)
    joint = torch.minimum(to_column, to_row) < 0.03
    return torch.where(joint, 0.95 * _CEILING, _CEILING)


def _two_tone(tones: Tensor, number: Tensor, brightness: Tensor) -> Rgb:
    """The first tone in even cells, the second in odd ones."""
    odd = (number & 1).bool()
    return tuple(
        torch.where(odd, tones[:, 1, channel, None], tones[:, 0, channel, None]) * brightness
        for channel in range(3)
    )


def _cell(u: Tensor) -> tuple[Tensor, Tensor]:
    """The whole number below, int64, and the distance to the nearest whole number."""
    # Truncation of a positive number is its floor; see `root` for why floor itself is avoided.
    below = (u + _BIAS).long() - _BIAS
    part = u - below
    return below, torch.minimum(part, 1 - part)


def _speckle(column: Tensor, row: Tensor) -> Tensor:
    """A fixed number in [0, 1) for each tile, from an integer hash."""
    mixed = column * 374761393 + row * 668265263
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed ^ (mixed >> 16)) & 0xFFFF).float() / 65536
