"""How surfaces are lit: lamps with shadows, highlights, and soft contact shade."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.world.pack import Pack
from g2vlm_bench.world.paint import Paint, Rgb, finish, paint_scenes, place_colors, with_sky
from g2vlm_bench.world.primitives import Vectors
from g2vlm_bench.world.raycast import HORIZON_M, Hits, leave_place, place_normals, shadowed
from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS

_LIFT_M = 1e-3
# A highlight is the cosine from the mirrored ray to the lamp, to the power of 2^6.
_HIGHLIGHT_SQUARINGS = 6
_HIGHLIGHT = 1.3
# Share of the light that shiny surfaces mirror, seen face on, and seen at a slant.
_MIRROR, _MIRROR_SLANT = 0.10, 0.55
_SCENERY_LIGHT = 0.9
# How much of its box a thing must fill to keep the light away like a ball.
_FULL = 0.5


@dataclass(frozen=True, slots=True)
class Looks:
    """What the surfaces of V views look like.

    Attributes:
        paint: Colours and materials.
        ball: `(V, N)` radius of the ball that each body is to the ambient light.
        opaque: `(V, N)` how much of the light that ball keeps away, in [0, 1].
        base: `(V * N,)` height of each body's underside.
    """

    paint: Paint
    ball: Tensor
    opaque: Tensor
    base: Tensor


def looks_of(pack: Pack) -> Looks:
    """Gather the looks of a pack's scenes on its device."""
    slots, device = pack.bodies.ids.shape[1], pack.focal.device
    scenes = [scene for scene, _ in pack.shots]
    table = np.zeros((len(scenes), slots, 3))
    for row, scene in zip(table, scenes, strict=True):
        for slot, body in enumerate(scene.bodies):
            row[slot] = (sum(body.extent_m) / 6, _opaque(body), body.base_m[2])
    ball, opaque, base = torch.as_tensor(table, dtype=torch.float32, device=device).unbind(-1)
    return Looks(paint_scenes(scenes, slots, device), ball, opaque, base.reshape(-1))


def _opaque(body: Body) -> float:
    parts = KINDS[body.kind].build(body.extent_m)
    filled = sum(math.prod(part.extent_m) for part in parts) / math.prod(body.extent_m)
    return min(1.0, filled / _FULL)


def shade(pack: Pack, looks: Looks, direction: Vectors, hits: Hits) -> Rgb:
    """Linear light that comes along rays from the points hit; 1 is white, more may come."""
    surface = finish(pack, looks.paint, hits)
    normal = hits.normal
    # A little from the sides, so that two faces in the shadow are told apart.
    ambient = 0.41 + 0.05 * normal.z + 0.05 * normal.x + 0.03 * normal.y
    light = ambient * _openness(pack, looks, hits)
    start = hits.point.along(normal, torch.full_like(hits.t, _LIFT_M))
    ahead, facing_us = _mirrored(direction, hits, surface.shiny)
    glints = torch.zeros_like(ahead.x)
    for lamp in range(pack.lights.shape[1]):
        x, y, z, strength, reach = pack.lights[:, lamp, :, None].unbind(1)
        to_lamp = Vectors(x, y, z).minus(hits.point)
        square = to_lamp.dot(to_lamp)
        facing = (normal.dot(to_lamp) * square.rsqrt()).clamp_min(0)
        asked = (facing > 0) & (strength > 0)
        dark = shadowed(pack, start, to_lamp, lamp, asked).to(facing.dtype)
        arrives = (1 - dark) * strength / (1 + square / (reach * reach))
        light = light + facing * arrives
        glint = ahead.dot(to_lamp.at(surface.shiny).unit()).clamp_min(0)
        for _ in range(_HIGHLIGHT_SQUARINGS):
            glint = glint * glint
        glints = glints + _HIGHLIGHT * glint * arrives.reshape(-1).index_select(0, surface.shiny)
    away = 1 - facing_us
    mirrors = surface.gloss * (_MIRROR + (_MIRROR_SLANT - _MIRROR) * (away * away * away * away))
    scenery = _scenery(pack, looks, hits, surface.shiny, ahead)
    lit = []
    for albedo, around in zip(surface.albedo, scenery, strict=True):
        part = (albedo * albedo * light).view(-1)
        own = part.index_select(0, surface.shiny)
        shine = own + (around - own) * mirrors + surface.gloss * glints
        lit.append(part.index_copy(0, surface.shiny, shine).view(light.shape))
    if not any(scene.place.is_open for scene, _ in pack.shots):
        return tuple(lit)
    return with_sky(pack.room, tuple(lit), hits.t, direction)


def _mirrored(direction: Vectors, hits: Hits, shiny: Tensor) -> tuple[Vectors, Tensor]:
    """Unit directions in which chosen surfaces mirror, flat, and how far they face the camera."""
    ahead, normal = direction.at(shiny).unit(), hits.normal.at(shiny)
    cosine = ahead.dot(normal)
    return ahead.along(normal, -2 * cosine), (-cosine).clamp(0, 1)


def _scenery(pack: Pack, looks: Looks, hits: Hits, shiny: Tensor, ahead: Vectors) -> Rgb:
    """What chosen surfaces mirror of the bare place, evenly lit; each is a view of one ray."""
    view = shiny // hits.t.shape[1]
    room, paint = pack.room.index_select(0, view), looks.paint.of_place(view)
    start, ahead = (Vectors(*(c[:, None] for c in v)) for v in (hits.point.at(shiny), ahead))
    t = leave_place(room, start, ahead)
    point = start.along(ahead, t.clamp_max(HORIZON_M))
    colors = place_colors(paint, point, place_normals(room, point, t), t)
    light = with_sky(room, tuple(_SCENERY_LIGHT * c * c for c in colors), t, ahead)
    return tuple(c[:, 0] for c in light)


def _openness(pack: Pack, looks: Looks, hits: Hits) -> Tensor:
    """Share of the ambient light that reaches a point past the bodies, each taken as a ball."""
    body = hits.body.clamp_min(0).view(-1)
    base = looks.base.index_select(0, body).view(hits.t.shape)
    # Bodies darken towards what they stand on; all darkens towards the bodies before it.
    low = (0.55 + 1.5 * (hits.point.z - base)).clamp(max=1)
    open_share = torch.where(hits.body < 0, 1.0, low)
    own, height = hits.point.dot(hits.point), hits.point.dot(hits.normal)
    for slot in range(pack.bodies.ids.shape[1]):
        center = Vectors(*(c[:, slot, None] for c in pack.bodies.center))
        strength = 1.4 * looks.ball[:, slot, None] * looks.ball[:, slot, None]
        square = own - 2 * hits.point.dot(center) + center.dot(center)
        inverse = square.clamp_min(1e-3).rsqrt()
        above = (hits.normal.dot(center) - height).clamp_min(0) * inverse
        hidden = (strength * above * inverse * inverse).clamp(max=0.75)
        open_share = open_share * (1 - hidden * looks.opaque[:, slot, None])
    return open_share
