"""Camera and shadow rays against the scenes of V views, batched in torch.

Rays are asked only of parts that they may meet: a camera ray of the parts whose rectangle in the
picture holds it, a shadow ray of the parts of bodies whose box it crosses. What remains are pairs
of a ray and a part; a minimum over the pairs of a ray, which no order can change, is what it meets.

Shapes: V views, R rays a view, P parts; pairs `(n,)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from g2vlm_bench.world.pack import Group, Pack
from g2vlm_bench.world.primitives import SOLIDS, TINY, Vectors, root

# Ground farther ahead than this is lost in the haze: sky.
HORIZON_M = 200.0
# Balls and boxes are taken a little larger than they are, so that rounding loses no shadow.
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
    """Pairs of a group that do meet before the place does, and where."""

    group: Group
    ray: Tensor
    part: Tensor
    t: Tensor


class Meetings(NamedTuple):
    """All that rays meet.

    Attributes:
        place: `(V, R)` where they meet the place.
        things: The parts that they meet before it; groups that none meets are left out.
    """

    place: Tensor
    things: list[_Met]


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


def meet(pack: Pack, origin: Vectors, direction: Vectors, pairs: Sequence[Pairs]) -> Meetings:
    """Find all that camera rays meet among the place and their pairs.

    Args:
        pack: The views.
        origin: `(V, 1)`, the cameras.
        direction: `(V, R)` of any length.
        pairs: Per group, the parts that each ray may meet.
    """
    place = leave_place(pack.room, origin, direction)
    limit, things = place.view(-1), []
    for group, asked in zip(pack.parts.groups, pairs, strict=True):
        enter, leave = SOLIDS[group.primitive].through(
            pack.parts.eye.at(asked.part),
            _to_own(pack, group, asked.part, direction.at(asked.ray)),
            pack.parts.half.at(asked.part),
        )
        near = torch.minimum(leave, limit.index_select(0, asked.ray))
        found = ((enter < near) & (enter > 0)).nonzero().view(-1)
        if len(found):
            ray, part, t = (c.index_select(0, found) for c in (*asked, enter))
            things.append(_Met(group, ray, part, t))
    return Meetings(place, things)


def trace(pack: Pack, origin: Vectors, direction: Vectors, met: Meetings) -> Hits:
    """Find the first surface of each ray among all that it meets; arguments as in `meet`."""
    shape, t = met.place.shape, met.place.view(-1)
    part = torch.full_like(t, -1, dtype=torch.int64)
    body = part
    if met.things:
        ray, parts, times = (
            torch.cat([getattr(m, name) for m in met.things]) for name in ("ray", "part", "t")
        )
        t = t.scatter_reduce(0, ray, times, "amin")
        # Of parts that meet the ray at the same place, the first one.
        none = len(pack.parts.body)
        parts = torch.where(times == t.index_select(0, ray), parts, none)
        first = torch.full_like(part, none).scatter_reduce(0, ray, parts, "amin")
        part = torch.where(first == none, -1, first)
        body = torch.where(part < 0, -1, pack.parts.body.index_select(0, part.clamp_min(0)))
    point = origin.along(direction, t.view(shape).clamp_max(2 * HORIZON_M))
    normal = [c.reshape(-1) for c in place_normals(pack.room, point, t.view(shape))]
    for m in met.things:
        wins = (part.index_select(0, m.ray) == m.part).nonzero().view(-1)
        rays, members = m.ray.index_select(0, wins), m.part.index_select(0, wins)
        found = _part_normals(pack, m.group, members, point.at(rays))
        normal = [c.index_copy(0, rays, f) for c, f in zip(normal, found, strict=True)]
    return Hits(
        t=t.view(shape),
        part=part.view(shape),
        body=body.view(shape),
        normal=Vectors(*(c.view(shape) for c in normal)),
        point=point,
    )


def silhouettes(pack: Pack, met: Meetings) -> Tensor:
    """Where each body would be seen alone, `(V, N, R)` bool."""
    views, rays = met.place.shape
    slots = pack.bodies.ids.shape[1]
    masks = torch.zeros(views * slots * rays, dtype=torch.bool, device=met.place.device)
    for m in met.things:
        body, view = (c.index_select(0, m.part) for c in (pack.parts.body, pack.parts.view))
        masks[(body - view) * rays + m.ray] = True
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
    blocked = torch.zeros(asked.numel(), dtype=torch.bool, device=asked.device)
    ray, body = _near_boxes(pack, origin, direction, lamp, asked)
    for number, group in enumerate(pack.parts.groups):
        count = pack.bodies.part_count[number].index_select(0, body)
        rays = ray.repeat_interleave(count)
        first = pack.bodies.first_part[number].index_select(0, body)
        part = (first - (count.cumsum(0) - count)).repeat_interleave(count)
        part = part + torch.arange(len(part), device=part.device)
        start = origin.at(rays).minus(pack.parts.center.at(part))
        enter, leave = SOLIDS[group.primitive].through(
            _to_own(pack, group, part, start),
            _to_own(pack, group, part, direction.at(rays)),
            pack.parts.half.at(part),
        )
        blocked[rays[_between(enter, leave)]] = True
    return blocked.view(asked.shape)


def _between(enter: Tensor, leave: Tensor) -> Tensor:
    """Whether the interval is met by a segment from 0 to 1."""
    return torch.maximum(enter, torch.zeros_like(enter)) < leave.clamp_max(1)


def _near_boxes(
    pack: Pack, origin: Vectors, direction: Vectors, lamp: int, asked: Tensor
) -> tuple[Tensor, Tensor]:
    """Flat rays to a lamp, and the bodies whose boxes they meet."""
    bodies = pack.bodies
    views, slots = bodies.ids.shape
    lights = Vectors(*(pack.lights[:, lamp, i, None] for i in range(3)))
    square = direction.dot(direction)
    length = root(square)
    first_body = torch.arange(views, device=square.device)[:, None] * slots
    first_body = first_body.expand_as(square).reshape(-1)
    rays, numbers = [], []
    for slot in range(slots):
        to_ball = Vectors(*(c[:, slot, None] for c in bodies.center)).minus(lights)
        near = _near_ball(to_ball, bodies.radius[:, slot, None], direction, square, length)
        found = (near & asked).view(-1).nonzero().view(-1)
        rays.append(found)
        numbers.append(first_body.index_select(0, found) + slot)
    ray, body = torch.cat(rays), torch.cat(numbers)
    cosine, sine = (c.view(-1).index_select(0, body) for c in (bodies.cosine, bodies.sine))
    start = origin.at(ray).minus(bodies.center.at(body)).turned(cosine, sine)
    ahead = direction.at(ray).turned(cosine, sine)
    crosses = _between(*SOLIDS["box"].through(start, ahead, bodies.half.at(body).times(_LARGER)))
    found = crosses.nonzero().view(-1)
    return ray.index_select(0, found), body.index_select(0, found)


def _near_ball(
    to_ball: Vectors, radius: Tensor, to_lamp: Vectors, square: Tensor, length: Tensor
) -> Tensor:
    """Whether a segment to a lamp may meet a ball.

    Args:
        to_ball: From the lamp to the ball's centre.
        radius: Of the ball.
        to_lamp: From the segment's start to the lamp.
        square: Its square.
        length: Its length.
    """
    radius = _LARGER * radius
    back = to_ball.times(-1.0).dot(to_lamp)
    outside = to_ball.dot(to_ball) - radius * radius
    # Three conditions as one, which is faster: the line meets the ball, the ball does not begin
    # beyond the segment's start, and it is on the lamp's near side, or about the lamp.
    line = back * back - outside * square
    reach = radius * length - (back - square)
    side = back - outside.clamp_max(0)
    return torch.minimum(torch.minimum(line, reach), side) > 0


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
