"""Camera and shadow rays against the scenes of V views, batched in torch.

Rays are asked only of parts that they may meet: a camera ray of the parts whose rectangle in the
picture holds it, a shadow ray of the parts whose ball it comes near. What remains are pairs of a
ray and a part; a minimum over the pairs of a ray, which no order can change, is what it meets.

Shapes: V views, R rays a view, P parts; pairs `(n,)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from g2vlm_bench.world.pack import Group, Pack
from g2vlm_bench.world.primitives import SOLIDS, TINY, Vectors

# Ground farther ahead than this is lost in the haze: sky.
HORIZON_M = 200.0
# Balls are taken a little larger than they are, so that rounding loses no shadow.
_LARGER = 1.02


class Pairs(NamedTuple):
    """Rays that may meet parts of one group.

    Attributes:
        ray: `(n,)` int64, `view * R + ray`.
        part: `(n,)` int64.
    """

    ray: Tensor
    part: Tensor


class Hits(NamedTuple):
    """What rays met first.

    Attributes:
        t: `(V, R)` ray parameter, infinite for the sky.
        part: `(V, R)` int64 part, -1 for the place and the sky.
        body: `(V, R)` int64 body `view * N + slot`, -1 for the place and the sky.
        normal: Unit normals in the world, towards the ray; 0 for the sky.
        point: The points met, world; for the sky, far away.
    """

    t: Tensor
    part: Tensor
    body: Tensor
    normal: Vectors
    point: Vectors


@dataclass(frozen=True, slots=True)
class _Met:
    """Pairs that do meet, before the place does: where."""

    group: Group
    ray: Tensor
    part: Tensor
    t: Tensor


def camera_pairs(pack: Pack) -> list[Pairs]:
    """Pairs of each group for the rays of whole pictures, ray = `row * W + column`."""
    device = pack.focal.device
    pairs = []
    for spans in pack.spans:
        first, length, part = (
            torch.as_tensor(a, device=device) for a in (spans.first, spans.length, spans.part)
        )
        total = int(spans.length.sum())
        shift = first - (length.cumsum(0) - length)
        ray = shift.repeat_interleave(length, output_size=total)
        ray = ray + torch.arange(total, device=device)
        pairs.append(Pairs(ray, part.repeat_interleave(length, output_size=total)))
    return pairs


def trace(pack: Pack, origin: Vectors, direction: Vectors, pairs: Sequence[Pairs]) -> Hits:
    """Find the first surface of each ray among the place and its pairs.

    Args:
        pack: The views.
        origin: `(V, 1)` inside the place and outside every body.
        direction: `(V, R)` of any length.
        pairs: Per group, the parts that each ray may meet.
    """
    t = leave_place(pack.room, origin, direction)
    shape, t = t.shape, t.reshape(-1)
    met = list(_meet(pack, origin, direction, pairs, t))
    part = torch.full_like(t, -1, dtype=torch.int64)
    near = origin.along(direction, t.view(shape).clamp_max(2 * HORIZON_M))
    normal = [c.reshape(-1) for c in place_normals(pack.room, near, t.view(shape))]
    if met:
        ray = torch.cat([m.ray for m in met])
        parts, times = (torch.cat([getattr(m, name) for m in met]) for name in ("part", "t"))
        t = t.scatter_reduce(0, ray, times, "amin")
        # Of parts that meet the ray at the same place, the first one.
        first = times == t.index_select(0, ray)
        none = len(pack.parts.body)
        best = torch.full_like(part, none)
        best = best.scatter_reduce(0, ray, torch.where(first, parts, none), "amin")
        part = torch.where(best == none, -1, best)
        for m in met:
            wins = (best.index_select(0, m.ray) == m.part).nonzero().view(-1)
            rays, members = m.ray.index_select(0, wins), m.part.index_select(0, wins)
            ahead = direction.at(rays)
            start = _pick(origin, rays, shape)
            point = start.along(ahead, m.t.index_select(0, wins))
            found = _part_normals(pack, m.group, members, point)
            normal = [c.index_copy(0, rays, f) for c, f in zip(normal, found, strict=True)]
    body = torch.full_like(part, -1)
    if met:
        body = torch.where(part < 0, -1, pack.parts.body.index_select(0, part.clamp_min(0)))
    t = t.view(shape)
    point = origin.along(direction, t.clamp_max(2 * HORIZON_M))
    return Hits(
        t, part.view(shape), body.view(shape), Vectors(*(c.view(shape) for c in normal)), point
    )


def silhouettes(pack: Pack, origin: Vectors, direction: Vectors, pairs: Sequence[Pairs]) -> Tensor:
    """Where each body would be seen alone, `(V, N, R)` bool."""
    t = leave_place(pack.room, origin, direction)
    views, rays = t.shape
    slots = pack.bodies.ids.shape[1]
    masks = torch.zeros(views * slots * rays, dtype=torch.bool, device=t.device)
    for met in _meet(pack, origin, direction, pairs, t.reshape(-1)):
        body = pack.parts.body.index_select(0, met.part)
        masks[body * rays + met.ray % rays] = True
    return masks.view(views, slots, rays)


def shadowed(pack: Pack, origin: Vectors, direction: Vectors, lamp: int, asked: Tensor) -> Tensor:
    """Whether a body stands between `origin` and a lamp, `(V, R)` bool.

    Args:
        pack: The views.
        origin: `(V, R)` points, lifted off the surfaces they are on.
        direction: `(V, R)` from there to the lamp.
        lamp: Which of the lights.
        asked: `(V, R)` bool, which rays matter; the others are not shadowed.
    """
    shape = direction.x.shape
    blocked = torch.zeros(direction.x.numel(), dtype=torch.bool, device=direction.x.device)
    for pairs, group in zip(
        _shadow_pairs(pack, direction, lamp, asked), pack.parts.groups, strict=True
    ):
        if not len(pairs.ray):
            continue
        enter, leave = _through(pack, group, pairs, origin.at(pairs.ray), direction.at(pairs.ray))
        stops = (enter < leave) & (enter < 1) & (leave > 0)
        blocked[pairs.ray[stops]] = True
    return blocked.view(shape)


def _shadow_pairs(pack: Pack, direction: Vectors, lamp: int, asked: Tensor) -> Iterator[Pairs]:
    """Per group, the parts whose balls the rays to a lamp come near."""
    lights = Vectors(*(pack.lights[:, lamp, i, None] for i in range(3)))
    square = direction.dot(direction)
    rays, bodies = [], []
    count, slots = direction.x.shape[1], pack.bodies.ids.shape[1]
    starts = torch.arange(len(square), device=square.device)[:, None]
    for slot in range(slots):
        to_ball = Vectors(*(c[:, slot, None] for c in pack.bodies.center)).minus(lights)
        near = _comes_near(to_ball, pack.bodies.radius[:, slot, None], direction, square)
        found = (near & asked).view(-1).nonzero().view(-1)
        rays.append(found)
        bodies.append((starts * slots + slot).expand(-1, count).reshape(-1).index_select(0, found))
    ray, body = torch.cat(rays), torch.cat(bodies)
    number = pack.bodies.part_count.index_select(0, body)
    ray = ray.repeat_interleave(number)
    place = pack.bodies.first_part.index_select(0, body) - (number.cumsum(0) - number)
    place = place.repeat_interleave(number) + torch.arange(len(ray), device=ray.device)
    part = pack.bodies.part_order.index_select(0, place)
    center = pack.parts.center.at(part)
    view = ray // count
    to_ball = center.minus(Vectors(*(c.view(-1).index_select(0, view) for c in lights)))
    near = (
        _comes_near(
            to_ball,
            pack.parts.radius.index_select(0, part),
            direction.at(ray),
            square.view(-1).index_select(0, ray),
        )
        .nonzero()
        .view(-1)
    )
    ray, part = ray.index_select(0, near), part.index_select(0, near)
    for group in pack.parts.groups:
        chosen = ((part >= group.start) & (part < group.stop)).nonzero().view(-1)
        yield Pairs(ray.index_select(0, chosen), part.index_select(0, chosen))


def _comes_near(to_ball: Vectors, radius: Tensor, to_lamp: Vectors, square: Tensor) -> Tensor:
    """Whether a segment to a lamp may meet a ball.

    Args:
        to_ball: From the lamp to the ball's centre.
        radius: Of the ball; 0 is met by nothing.
        to_lamp: From the segment's start to the lamp.
        square: Its square.
    """
    radius = _LARGER * radius
    back = -to_ball.dot(to_lamp)
    outside = to_ball.dot(to_ball) - radius * radius
    ahead = (back > 0) | (outside < 0)
    # Beyond the start by more than the radius: a square root is saved by squaring both sides.
    excess = back - square
    within = (excess < 0) | (excess * excess < radius * radius * square)
    return ahead & within & (back * back >= outside * square) & (radius > 0)


def _meet(
    pack: Pack, origin: Vectors, direction: Vectors, pairs: Sequence[Pairs], limit: Tensor
) -> Iterator[_Met]:
    """Which pairs meet before the place does; a group without any is left out."""
    for group, asked in zip(pack.parts.groups, pairs, strict=True):
        ahead = direction.at(asked.ray)
        start = _pick(origin, asked.ray, direction.x.shape)
        enter, leave = _through(pack, group, asked, start, ahead)
        near = torch.minimum(leave, limit.index_select(0, asked.ray))
        found = ((enter < near) & (enter > 0)).nonzero().view(-1)
        if len(found):
            yield _Met(
                group,
                asked.ray.index_select(0, found),
                asked.part.index_select(0, found),
                enter.index_select(0, found),
            )


def _pick(origin: Vectors, ray: Tensor, shape: torch.Size) -> Vectors:
    """Origins `(V, 1)` of flat rays."""
    view = ray // shape[1]
    return Vectors(*(c.view(-1).index_select(0, view) for c in origin))


def _through(
    pack: Pack, group: Group, pairs: Pairs, origin: Vectors, direction: Vectors
) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave their parts."""
    start = origin.minus(pack.parts.center.at(pairs.part))
    return SOLIDS[group.primitive].through(
        _to_own(pack, group, pairs.part, start),
        _to_own(pack, group, pairs.part, direction),
        pack.parts.half.at(pairs.part),
    )


def _to_own(pack: Pack, group: Group, part: Tensor, vectors: Vectors) -> Vectors:
    """World vectors in the parts' own axes."""
    cosine, sine = (c.index_select(0, part) for c in (pack.parts.cosine, pack.parts.sine))
    turned = vectors.turned(cosine, sine)
    return Vectors(*(turned[(group.axis + turn) % 3] for turn in (1, 2, 3)))


def _part_normals(pack: Pack, group: Group, part: Tensor, point: Vectors) -> Vectors:
    """Outward normals at points on parts of a group, world."""
    local = _to_own(pack, group, part, point.minus(pack.parts.center.at(part)))
    own = SOLIDS[group.primitive].normal(local, pack.parts.half.at(part))
    thing = Vectors(*(own[(axis - group.axis - 1) % 3] for axis in range(3)))
    cosine, sine = (c.index_select(0, part) for c in (pack.parts.cosine, pack.parts.sine))
    return thing.turned(cosine, -sine)


def leave_place(room: Tensor, origin: Vectors, direction: Vectors) -> Tensor:
    """Where rays meet walls, floor and ceiling; infinite for the sky."""
    half_x, half_y, height = (room[:, i, None] for i in range(3))
    reach = [
        (half - start * speed.sign()) / speed.abs().clamp_min(TINY)
        for half, start, speed in zip((half_x, half_y), origin[:2], direction[:2], strict=True)
    ]
    vertical = torch.where(direction.z < 0, origin.z, height - origin.z)
    up = vertical / direction.z.abs().clamp_min(TINY)
    t = torch.minimum(torch.minimum(reach[0], reach[1]), up)
    return torch.where(t > HORIZON_M, torch.inf, t)


def place_normals(room: Tensor, point: Vectors, t: Tensor) -> Vectors:
    """Inward normals of floor, ceiling and walls; 0 for the sky."""
    half_x, half_y, height = (room[:, i, None] for i in range(3))
    ground = torch.where(torch.isinf(t), 0.0, 1.0)
    out_x, out_y = point.x.abs() - half_x, point.y.abs() - half_y
    # In the open, both are minus infinity or, for the sky, no number: no wall.
    out_z = torch.maximum(-point.z, point.z - height)
    on_x = (out_x >= out_y) & (out_x >= out_z)
    on_y = ~on_x & (out_y >= out_z)
    on_z = ~(on_x | on_y)
    up = torch.where(point.z - height > -point.z, -1.0, 1.0)
    return Vectors(-point.x.sign() * on_x, -point.y.sign() * on_y, up * on_z * ground)
