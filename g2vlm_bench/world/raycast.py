"""Rays against the analytic primitives of scenes, one scene a view, batched in torch.

Shapes: V views, R rays a view, N body slots. Only +, -, *, /, roots and comparisons, element by
element, so that a ray's result is the same bits whatever it is batched with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.world.scene import COLORS, Scene

SHAPES = ("box", "sphere", "cylinder")
# Keeps a division by an exact 0 finite; less than the rounding of anything that matters.
_TINY = 1e-9


class Vectors(NamedTuple):
    """Three coordinates, each `(V, R)` or broadcastable to it; apart, they are faster."""

    x: Tensor
    y: Tensor
    z: Tensor

    def dot(self, other: Vectors) -> Tensor:
        """Scalar product, `(V, R)`."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def along(self, direction: Vectors, t: Tensor) -> Vectors:
        """The points `self + t * direction`."""
        return Vectors(*(o + t * d for o, d in zip(self, direction, strict=True)))

    def minus(self, other: Vectors) -> Vectors:
        """The differences `self - other`."""
        return Vectors(*(a - b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class Pack:
    """The scenes of V views as tensors; bodies are grouped into slots of one shape each.

    Attributes:
        shapes: The shape that each of the N slots holds in every view.
        center: `(V, N, 3)` centres, metres.
        half: `(V, N, 3)` half extents, metres; 0 where a view leaves the slot empty.
        turn: `(V, N, 2)` cosine and sine of the yaw.
        ids: `(V, N)` int32 instance ids.
        albedo: `(V, N, 3)` RGB in [0, 1].
        room: `(V, 3)` half width, half depth, height, metres.
        light: `(V, 3)` position of the lamp, metres.
    """

    shapes: tuple[str, ...]
    center: Tensor
    half: Tensor
    turn: Tensor
    ids: Tensor
    albedo: Tensor
    room: Tensor
    light: Tensor


class Hits(NamedTuple):
    """What rays met first.

    Attributes:
        t: `(V, R)` ray parameter.
        slot: `(V, R)` int64 body slot, -1 for the room.
        normal: Unit normals in the world, towards the ray.
        point: The points met, world.
    """

    t: Tensor
    slot: Tensor
    normal: Vectors
    point: Vectors


def pack_scenes(scenes: Sequence[Scene], device: torch.device | str) -> Pack:
    """Gather the scenes of V views into tensors on a device."""
    most = {s: max(sum(b.kind == s for b in scene.bodies) for scene in scenes) for s in SHAPES}
    shapes = tuple(shape for shape in SHAPES for _ in range(most[shape]))
    table = np.zeros((len(scenes), len(shapes), 12))
    for row, scene in zip(table, scenes, strict=True):
        for shape in SHAPES:
            slot = shapes.index(shape) if shape in shapes else 0
            for body in (b for b in scene.bodies if b.kind == shape):
                yaw = math.radians(body.yaw_deg)
                half = np.array(body.extent_m) / 2
                turn = (math.cos(yaw), math.sin(yaw))
                row[slot] = [*body.center_m, *half, *turn, body.id, *COLORS[body.color]]
                slot += 1
    rooms = [(*scene.place.half_m, scene.place.height_m) for scene in scenes]

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

    return Pack(
        shapes=shapes,
        center=tensor(table[..., 0:3]),
        half=tensor(table[..., 3:6]),
        turn=tensor(table[..., 6:8]),
        ids=tensor(table[..., 8]).to(torch.int32),
        albedo=tensor(table[..., 9:12]),
        room=tensor(rooms),
        light=tensor([scene.lights[0].position_m for scene in scenes]),
    )


def trace(pack: Pack, origin: Vectors, direction: Vectors) -> Hits:
    """Find the first surface of each ray; directions need no unit length.

    Origins must be inside the room and outside every body, so that every ray hits something.
    """
    t = _leave_room(pack, origin, direction)
    slot = torch.full_like(t, -1, dtype=torch.int64)
    for number in range(len(pack.shapes)):
        entry = _enter_body(pack, number, origin, direction)
        nearer = entry < t
        t = torch.where(nearer, entry, t)
        slot = torch.where(nearer, number, slot)
    point = origin.along(direction, t)
    return Hits(t, slot, _normals(pack, slot, point), point)


def root(values: Tensor) -> Tensor:
    """Square root by way of rsqrt, which torch does not cut into threads for small tensors.

    Handing a few thousand numbers to a second thread, as torch's sqrt, floor and index do, costs
    more than it saves, and a thousand times more on a machine whose cores are all busy.
    """
    return values * values.clamp_min(1e-30).rsqrt()


def shadowed(pack: Pack, origin: Vectors, direction: Vectors) -> Tensor:
    """Whether a body stands between `origin` and `origin + direction`, `(V, R)` bool."""
    blocked = torch.zeros_like(direction.x, dtype=torch.bool)
    for number in range(len(pack.shapes)):
        blocked |= _enter_body(pack, number, origin, direction) < 1
    return blocked


def _leave_room(pack: Pack, origin: Vectors, direction: Vectors) -> Tensor:
    half_x, half_y, height = (pack.room[:, i, None] for i in range(3))
    middle = Vectors(origin.x, origin.y, origin.z - height / 2)
    times = [
        (half - start * speed.sign()) / speed.abs().clamp_min(_TINY)
        for half, start, speed in zip((half_x, half_y, height / 2), middle, direction, strict=True)
    ]
    return torch.minimum(torch.minimum(times[0], times[1]), times[2])


def _enter_body(pack: Pack, slot: int, origin: Vectors, direction: Vectors) -> Tensor:
    """Ray parameter at which a ray enters the body of a slot; infinite where it never does."""
    center, half, turn = (
        part[:, slot, :, None].unbind(1) for part in (pack.center, pack.half, pack.turn)
    )
    local = origin.minus(Vectors(*center))
    if pack.shapes[slot] == "sphere":
        enter, leave = _through_round(local, direction, half[0])
    elif pack.shapes[slot] == "cylinder":
        zero = torch.zeros_like(half[0])
        flat = Vectors(local.x, local.y, zero), Vectors(direction.x, direction.y, zero)
        enter, leave = _through_round(*flat, half[0])
        enter, leave = _clip(enter, leave, local.z, direction.z, half[2])
    else:
        enter, leave = _through_box(_turned(local, turn), _turned(direction, turn), half)
    # A ray that starts on a surface (a shadow ray) must not meet that surface again.
    return torch.where((enter < leave) & (enter > 0), enter, torch.inf)


def _through_round(local: Vectors, direction: Vectors, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit of a sphere about 0, or of an endless cylinder where all z are 0.

    From the foot of the perpendicular, which loses no digits where b^2 - 4ac would (float32).
    """
    square = direction.dot(direction).clamp_min(_TINY)
    middle = -local.dot(direction) / square
    foot = local.along(direction, middle)
    reach = root(((radius * radius - foot.dot(foot)) / square).clamp_min(0))
    return middle - reach, middle + reach


def _through_box(
    local: Vectors, direction: Vectors, half: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    enter = torch.full_like(direction.x, -torch.inf)
    leave = torch.full_like(direction.x, torch.inf)
    for axis in range(3):
        enter, leave = _clip(enter, leave, local[axis], direction[axis], half[axis])
    return enter, leave


def _clip(
    enter: Tensor, leave: Tensor, start: Tensor, speed: Tensor, half: Tensor
) -> tuple[Tensor, Tensor]:
    """Narrow an interval of the ray to where one coordinate is within +-half."""
    inverse = 1 / (speed + _TINY)
    middle, reach = -start * inverse, half * inverse.abs()
    return torch.maximum(enter, middle - reach), torch.minimum(leave, middle + reach)


def _normals(pack: Pack, slot: Tensor, point: Vectors) -> Vectors:
    """Outward normals of bodies and inward normals of the room at points on them."""
    inside = _room_normals(pack, point)
    if not pack.shapes:
        return inside
    which = slot.clamp_min(0)
    center, half, turn = (
        [part[..., i].gather(1, which) for i in range(part.shape[-1])]
        for part in (pack.center, pack.half, pack.turn)
    )
    local = point.minus(Vectors(*center))
    numbers = torch.tensor([[SHAPES.index(s) for s in pack.shapes]], device=which.device)
    kinds = numbers.expand(len(which), -1).gather(1, which)
    round_ = Vectors(*(c / half[0].clamp_min(_TINY) for c in local))
    is_cap = local.z.abs() - half[2] > root(local.x * local.x + local.y * local.y) - half[0]
    cap = Vectors(torch.zeros_like(local.x), torch.zeros_like(local.x), local.z.sign())
    tube = Vectors(round_.x, round_.y, torch.zeros_like(local.x))
    faces = _turned(_face(_turned(local, turn), half), (turn[0], -turn[1]))
    chosen = []
    for axis in range(3):
        cylinder = torch.where(is_cap, cap[axis], tube[axis])
        body = torch.where(kinds == SHAPES.index("sphere"), round_[axis], cylinder)
        body = torch.where(kinds == SHAPES.index("box"), faces[axis], body)
        chosen.append(torch.where(slot < 0, inside[axis], body))
    return _unit(Vectors(*chosen))


def _room_normals(pack: Pack, point: Vectors) -> Vectors:
    half_x, half_y, height = (pack.room[:, i, None] for i in range(3))
    middle = Vectors(point.x, point.y, point.z - height / 2)
    outward = _face(middle, (half_x, half_y, height / 2))
    return Vectors(*(-c for c in outward))


def _face(local: Vectors, half: Sequence[Tensor]) -> Vectors:
    """The outward axis of the box face that a point is on."""
    out = [c.abs() - h for c, h in zip(local, half, strict=True)]
    on_x = (out[0] >= out[1]) & (out[0] >= out[2])
    on_y = ~on_x & (out[1] >= out[2])
    masks = (on_x, on_y, ~on_x & ~on_y)
    return Vectors(*(c.sign() * mask for c, mask in zip(local, masks, strict=True)))


def _turned(vectors: Vectors, turn: Sequence[Tensor]) -> Vectors:
    """World axes to a body's own; with the sine negated, back."""
    cosine, sine = turn
    x = cosine * vectors.x + sine * vectors.y
    y = cosine * vectors.y - sine * vectors.x
    return Vectors(x, y, vectors.z)


def _unit(vectors: Vectors) -> Vectors:
    length = root(vectors.dot(vectors)).clamp_min(_TINY)
    return Vectors(*(c / length for c in vectors))
