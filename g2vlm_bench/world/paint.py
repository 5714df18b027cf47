"""Colours of surfaces: tiles, stripes, doors and lines of places; materials of things."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.world.pack import Pack
from g2vlm_bench.world.primitives import Vectors
from g2vlm_bench.world.raycast import HORIZON_M, Hits
from g2vlm_bench.world.scene import COLORS, WALLS, Body, Scene, Strip
from g2vlm_bench.world.shapes import TONES, Vector

_SKIRTING_M = 0.10
_GROUT_M = 0.008
_CEILING = 0.93
_PANEL_M = 0.75
# Of a door: its frame's width and brightness, its panels' margin, its knob.
_FRAME_M, _FRAME_TONE = 0.07, 0.93
_PANEL_MARGIN_M, _PANEL_TONE = 0.13, 0.80
_KNOB_M, _KNOB_HEIGHT_M, _KNOB_TONE = 0.045, 1.0, (0.86, 0.80, 0.55)
_LINE_COLORS: Mapping[str, Vector] = {
    **COLORS,
    "white": (0.95, 0.95, 0.93),
    "grey": (0.58, 0.58, 0.58),
}
_SKY_LOW, _SKY_HIGH = (0.84, 0.90, 0.95), (0.42, 0.63, 0.90)
_HAZE_FROM_M = 30.0
# Depth, squared and over a tile's edge, at which a 96-pixel picture shows tiles of two pixels.
_BLUR_FROM_M = 60.0
# Which way stripes follow each other, in the thing's own frame: seen on every side of a box.
_STRIPED_ALONG = (0.60, 0.40, 0.69)
# Patterns are read this far below the surface, so that no cell's border lies in a face.
_BELOW_M = 0.00437
_CELLS_A_THING, _MAX_CELL_M = 6.0, 0.35
_GLOSS: Mapping[str, float] = {"steel": 0.7, "glass": 1.0}

# Red, green and blue, each `(V, R)`; apart like `Vectors`.
Rgb = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Paint:
    """The looks of V views as tensors; D doors and S straight pieces of lines a view.

    Attributes:
        floor: `(V, 2, 3)` the two RGB tones of the tiles.
        tiles: `(V, 3)` cosine and sine of the tiles' turn, over the edge of a tile; the edge.
        walls: `(V, 2, 3)` the two RGB tones of the stripes.
        stripe: `(V, 1)` width of a stripe in metres.
        doors: `(V, D, 7)` wall, middle, half width, height (0 where there is none), RGB.
        lines: `(V, S, 11)` start, direction, length, half width (0 where there is none), length of
            the line before it, whether it is dashed, RGB.
        things: `(12, V * N)` underside's middle, cosine and sine of the yaw, the pattern's cell,
            colour, and the pattern's other tone.
        material: `(V * N,)` int64, index into `MATERIALS`.
        tones: `(3, tones)` RGB of parts' tones; the first is unused.
        gloss: `(tones,)` how much parts of each tone mirror.
    """

    floor: Tensor
    tiles: Tensor
    walls: Tensor
    stripe: Tensor
    doors: Tensor
    lines: Tensor
    things: Tensor
    material: Tensor
    tones: Tensor
    gloss: Tensor

    def of_place(self, view: Tensor) -> Paint:
        """The bare places of chosen views, without doors and lines."""
        chosen = {
            name: getattr(self, name).index_select(0, view)
            for name in ("floor", "tiles", "walls", "stripe")
        }
        bare = {name: getattr(self, name)[:1, :0] for name in ("doors", "lines")}
        return dataclasses.replace(self, **chosen, **bare)


class Finish(NamedTuple):
    """What a surface does with light.

    Attributes:
        albedo: Colour.
        shiny: `(n,)` flat rays that met a surface that mirrors.
        gloss: `(n,)` how much.
    """

    albedo: Rgb
    shiny: Tensor
    gloss: Tensor


MATERIAL_NUMBERS = {"matte": 0, "shiny": 1, "striped": 2, "checked": 3}


def paint_scenes(scenes: Sequence[Scene], slots: int, device: torch.device | str) -> Paint:
    """Gather the looks of V scenes into tensors on a device; bodies in N slots a view."""
    floors = [scene.place.floor for scene in scenes]
    turns = [math.radians(floor.angle_deg) for floor in floors]
    tiles = [
        (math.cos(turn) / floor.scale_m, math.sin(turn) / floor.scale_m, floor.scale_m)
        for turn, floor in zip(turns, floors, strict=True)
    ]
    things = np.zeros((len(scenes), slots, 12))
    material = np.zeros((len(scenes), slots), np.int64)
    for row, kinds, scene in zip(things, material, scenes, strict=True):
        for slot, body in enumerate(scene.bodies):
            row[slot], kinds[slot] = _thing(body), MATERIAL_NUMBERS[body.material]

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

    return Paint(
        floor=tensor([floor.colors for floor in floors]),
        tiles=tensor(tiles),
        walls=tensor([scene.place.walls.colors for scene in scenes]),
        stripe=tensor([[scene.place.walls.scale_m] for scene in scenes]),
        doors=tensor(_padded([_doors(scene) for scene in scenes], 7)),
        lines=tensor(_padded([_lines(scene) for scene in scenes], 11)),
        things=tensor(things.reshape(-1, 12).T.copy()),
        material=torch.as_tensor(material.reshape(-1), device=device),
        tones=tensor(np.array([(0, 0, 0), *TONES.values()]).T.copy()),
        gloss=tensor([0.0, *(_GLOSS.get(tone, 0.0) for tone in TONES)]),
    )


def finish(pack: Pack, paint: Paint, hits: Hits) -> Finish:
    """Colours of the surfaces hit; the sky is given its own by `with_sky`."""
    albedo = [c.reshape(-1) for c in place_colors(paint, hits.point, hits.normal, hits.t)]
    ray = (hits.body.reshape(-1) >= 0).nonzero().view(-1)
    body, part = (c.reshape(-1).index_select(0, ray) for c in (hits.body, hits.part))
    tone = pack.parts.tone.index_select(0, part)
    colors = _thing_colors(paint, hits.point.at(ray), hits.normal.at(ray), body, tone)
    gloss = paint.gloss.index_select(0, tone)
    own = (tone == 0) & (paint.material.index_select(0, body) == MATERIAL_NUMBERS["shiny"])
    gloss = torch.maximum(gloss, own.to(gloss.dtype))
    shiny = (gloss > 0).nonzero().view(-1)
    shape = hits.t.shape
    return Finish(
        albedo=tuple(
            a.index_copy(0, ray, c).view(shape) for a, c in zip(albedo, colors, strict=True)
        ),
        shiny=ray.index_select(0, shiny),
        gloss=gloss.index_select(0, shiny),
    )


def with_sky(room: Tensor, light: Rgb, depth: Tensor, direction: Vectors) -> Rgb:
    """Put the sky behind open places, and haze before what is far away."""
    height = (direction.unit().z * 1.6).clamp(0, 1)
    is_open = torch.isinf(room[:, 2:]).to(height.dtype)
    haze = ((depth - _HAZE_FROM_M) / (HORIZON_M - _HAZE_FROM_M)).clamp(0, 1)
    haze = haze * (2 - haze) * is_open
    hazed = []
    for part, low, high in zip(light, _SKY_LOW, _SKY_HIGH, strict=True):
        sky = low + (high - low) * height
        hazed.append(part + (sky * sky - part) * haze)
    return tuple(hazed)


def _padded(rows: list[list[tuple[float, ...]]], width: int) -> np.ndarray:
    """Lists of different lengths as one array, zeros where a list ends."""
    table = np.zeros((len(rows), max(map(len, rows)), width))
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = np.reshape(values, (-1, width))
    return table


def _doors(scene: Scene) -> list[tuple[float, ...]]:
    return [
        (WALLS.index(d.wall), d.along_m, d.width_m / 2, d.height_m, *COLORS[d.color])
        for d in scene.place.doors
    ]


def _lines(scene: Scene) -> list[tuple[float, ...]]:
    return [piece for strip in scene.place.strips for piece in _pieces(strip)]


def _pieces(strip: Strip) -> list[tuple[float, ...]]:
    """The straight pieces of a line, each from one corner to the next."""
    color = _LINE_COLORS[strip.color]
    pieces, before = [], 0.0
    for start, end in zip(strip.points_m, strip.points_m[1:], strict=False):
        length = math.dist(start, end)
        ahead = tuple((b - a) / length for a, b in zip(start, end, strict=True))
        pieces.append((*start, *ahead, length, strip.width_m / 2, before, strip.dashed, *color))
        before += length
    return pieces


def _thing(body: Body) -> tuple[float, ...]:
    yaw = math.radians(body.yaw_deg)
    cell = min(max(body.extent_m) / _CELLS_A_THING, _MAX_CELL_M)
    color = COLORS[body.color]
    # Bright colours are paired with a darker tone, dark ones with a lighter one.
    bright = sum(color) / 3 > 0.45
    other = tuple(0.52 * c if bright else c + 0.40 * (1 - c) for c in color)
    return (*body.base_m, math.cos(yaw), math.sin(yaw), cell, *color, *other)


def place_colors(paint: Paint, point: Vectors, normal: Vectors, depth: Tensor) -> Rgb:
    """Floor with its lines, walls with their doors, ceiling."""
    is_floor, is_ceiling = normal.z > 0.5, normal.z < -0.5
    floor = _with_lines(paint, _tiles(paint, point, depth), point)
    walls = _with_doors(paint, _stripes(paint, point, normal), point, normal)
    panels = _panels(point)
    return tuple(
        torch.where(is_ceiling, panels, torch.where(is_floor, below, around))
        for below, around in zip(floor, walls, strict=True)
    )


def _tiles(paint: Paint, point: Vectors, depth: Tensor) -> Rgb:
    cosine, sine, edge = (paint.tiles[:, i, None] for i in range(3))
    column, to_column = _cell(cosine * point.x + sine * point.y)
    row, to_row = _cell(cosine * point.y - sine * point.x)
    grout = torch.minimum(to_column, to_row) * edge < _GROUT_M
    brightness = (0.92 + 0.12 * _speckle(column, row)) * torch.where(grout, 0.82, 1.0)
    near = _two_tone(paint.floor, column + row, brightness)
    # Tiles that are smaller than pixels are seen as their mean.
    blur = ((depth * depth / (_BLUR_FROM_M * edge) - 1) / 3).clamp(0, 1)
    return tuple(
        c + (0.97 * mean[:, None] - c) * blur
        for c, mean in zip(near, paint.floor.mean(dim=1).unbind(1), strict=True)
    )


def _stripes(paint: Paint, point: Vectors, normal: Vectors) -> Rgb:
    along = torch.where(normal.x.abs() > 0.5, point.y, point.x)
    # Each wall has a brightness of its own, so that the corners of the room show.
    side = 0.97 + 0.03 * normal.x + 0.05 * normal.y
    skirting = torch.where(point.z < _SKIRTING_M, 0.62, 1.0)
    return _two_tone(paint.walls, _cell(along / paint.stripe)[0], side * skirting)


def _panels(point: Vectors) -> Tensor:
    _, to_column = _cell(point.x / _PANEL_M)
    _, to_row = _cell(point.y / _PANEL_M)
    joint = torch.minimum(to_column, to_row) < 0.03
    return torch.where(joint, 0.95 * _CEILING, _CEILING)


def _with_lines(paint: Paint, floor: Rgb, point: Vectors) -> Rgb:
    """Paint the lines on the floor, the later ones on top."""
    for number in range(paint.lines.shape[1]):
        x, y, ahead_x, ahead_y, length, half, before, dashed, *color = (
            paint.lines[:, number, :, None].unbind(1)
        )  # fmt: skip
        from_x, from_y = point.x - x, point.y - y
        along = (from_x * ahead_x + from_y * ahead_y).clamp_min(0)
        along = torch.minimum(along, length)
        off_x, off_y = from_x - along * ahead_x, from_y - along * ahead_y
        whole = along + before
        gap = (whole - whole.to(torch.int32)) * dashed > 0.5
        painted = (off_x * off_x + off_y * off_y < half * half) & ~gap
        floor = _over(painted, color, floor)
    return floor


def _with_doors(paint: Paint, walls: Rgb, point: Vectors, normal: Vectors) -> Rgb:
    """Paint the doors on the walls: frame, leaf, two panels and a knob."""
    for number in range(paint.doors.shape[1]):
        wall, middle, half, height, *color = paint.doors[:, number, :, None].unbind(1)
        # East and west walls look along -x and +x, north and south ones along -y and +y.
        east_west, far = wall % 2 == 0, torch.where(wall < 2, -1.0, 1.0)
        facing = torch.where(east_west, normal.x, normal.y) * far > 0.5
        along = torch.where(east_west, point.y, point.x) - middle
        in_frame = (along.abs() < half + _FRAME_M) & (point.z < height + _FRAME_M)
        in_leaf = (along.abs() < half) & (point.z < height)
        # Two panels, the lower one up to just under the knob.
        to_rail = (point.z - _KNOB_HEIGHT_M).abs()
        in_panel = (along.abs() < half - _PANEL_MARGIN_M) & (to_rail > _PANEL_MARGIN_M / 2)
        in_panel &= (point.z > 1.5 * _PANEL_MARGIN_M) & (point.z < height - _PANEL_MARGIN_M)
        across, up = along - half + 1.6 * _KNOB_M, point.z - _KNOB_HEIGHT_M
        in_knob = across * across + up * up < _KNOB_M * _KNOB_M
        is_door = facing & in_frame & (height > 0)
        tone = torch.where(in_panel, _PANEL_TONE, 1.0)
        frame = torch.full_like(tone, _FRAME_TONE)
        leaf = [torch.where(in_leaf, c * tone, frame) for c in color]
        leaf = [torch.where(in_knob, k, c) for c, k in zip(leaf, _KNOB_TONE, strict=True)]
        walls = _over(is_door, leaf, walls)
    return walls


def _over(painted: Tensor, color: Sequence[Tensor], below: Rgb) -> Rgb:
    return tuple(torch.where(painted, c, b) for c, b in zip(color, below, strict=True))


def _thing_colors(
    paint: Paint, point: Vectors, normal: Vectors, body: Tensor, tone: Tensor
) -> list[Tensor]:
    """Colours of points on things, flat."""
    x, y, z, cosine, sine, cell, *colors = paint.things.index_select(1, body).unbind(0)
    below = point.along(normal, torch.full_like(x, -_BELOW_M))
    local = below.minus(Vectors(x, y, z)).turned(cosine, sine)
    material = paint.material.index_select(0, body)
    along = sum(c * share for c, share in zip(local, _STRIPED_ALONG, strict=True))
    stripe = _below(along / cell)
    check = _below(local.x / cell) + _below(local.y / cell) + _below(local.z / cell)
    number = torch.where(material == MATERIAL_NUMBERS["striped"], stripe, check)
    other = (number & 1).bool() & (material >= MATERIAL_NUMBERS["striped"])
    plain = tone == 0
    return [
        torch.where(
            plain,
            torch.where(other, colors[3 + i], colors[i]),
            paint.tones[i].index_select(0, tone),
        )
        for i in range(3)
    ]


def _two_tone(tones: Tensor, number: Tensor, brightness: Tensor) -> Rgb:
    """The first tone in even cells, the second in odd ones."""
    odd = (number & 1).bool()
    return tuple(
        torch.where(odd, tones[:, 1, channel, None], tones[:, 0, channel, None]) * brightness
        for channel in range(3)
    )


def _below(u: Tensor) -> Tensor:
    """The whole number below, int32."""
    return u.floor().to(torch.int32)


def _cell(u: Tensor) -> tuple[Tensor, Tensor]:
    """The whole number below, int32, and the distance to the nearest whole number."""
    below = _below(u)
    part = u - below
    return below, torch.minimum(part, 1 - part)


def _speckle(column: Tensor, row: Tensor) -> Tensor:
    """A fixed number in [0, 1) for each tile, from an integer hash."""
    mixed = column * 374761393 + row * 668265263
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed ^ (mixed >> 16)) & 0xFFFF).float() / 65536
