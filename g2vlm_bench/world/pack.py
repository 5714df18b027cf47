"""The scenes of a batch of views as flat tensors: parts, bodies, places and lights.

Shapes: V views, N body slots a view (as many as the fullest view has), P parts of all views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.world.primitives import SOLIDS, Vectors
from g2vlm_bench.world.scene import Body, Camera, Scene
from g2vlm_bench.world.shapes import AXES, KINDS, TONES

Shot = tuple[Scene, Camera]
Array = NDArray[np.float64]

# Primitive and axis as one number, so that parts of a group share their formula and their axes.
_GROUPS = [(primitive, axis) for primitive in SOLIDS for axis in range(3)]
_TONE_NAMES = ("", *TONES)
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
# Subpixels lie up to half a pixel from the centre; the rest is for rounding.
_MARGIN_PX = 0.51
_MIN_DEPTH_M = 1e-3


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of one primitive about one axis: `start <= part < stop`."""

    primitive: str
    axis: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The P parts of V views, grouped by primitive and axis; each tensor is `(P,)`.

    Attributes:
        groups: The groups, in the order of the parts.
        center: World.
        half: Half extents in the primitive's own frame.
        cosine: Of the thing's yaw.
        sine: Of the thing's yaw.
        eye: The camera in the primitive's own frame.
        body: Flat index of its body's slot, `view * N + slot`, int64.
        view: Its view, int64.
        tone: Index into `_TONE_NAMES`, int64; 0 is the thing's own colour.
    """

    groups: tuple[Group, ...]
    center: Vectors
    half: Vectors
    cosine: Tensor
    sine: Tensor
    eye: Vectors
    body: Tensor
    view: Tensor
    tone: Tensor


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of V views in N slots; a slot that a view leaves empty has radius 0.

    Attributes:
        ids: `(V, N)` int32 instance ids.
        center: `(V, N)` each, middle of the bounding box, world.
        half: `(V, N)` each, half extents in its own frame.
        cosine: `(V, N)` of its yaw.
        sine: `(V, N)` of its yaw.
        radius: `(V, N)` of the ball about its centre that holds it.
        first_part: `(groups, V * N)` int64, its first part of each group; the others follow.
        part_count: `(groups, V * N)` int64, how many it has of each group.
    """

    ids: Tensor
    center: Vectors
    half: Vectors
    cosine: Tensor
    sine: Tensor
    radius: Tensor
    first_part: Tensor
    part_count: Tensor


@dataclass(frozen=True, slots=True)
class Spans:
    """Where a group's parts can be seen: runs of pixels within rows, on the host.

    Attributes:
        first: Flat index of a run's first pixel, `(view * H + row) * W + column`.
        length: Its number of pixels.
        part: The part that can be seen there.
    """

    first: NDArray[np.int64]
    length: NDArray[np.int64]
    part: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pack:
    """V views on a device, ready to shoot rays at.

    Attributes:
        shots: What was packed.
        parts: Primitives.
        bodies: Things.
        room: `(V, 3)` half width, half depth, height, metres; all infinite in the open.
        lights: `(V, L, 5)` position, strength and reach; strength 0 where a view has fewer.
        spans: Per group of parts, the pixels that may show them.
        axes: `(V, 3, 3)` rotation world_from_camera.
        position: `(V, 3)` camera, metres.
        focal: `(V, 1)` pixels.
    """

    shots: Sequence[Shot]
    parts: Parts
    bodies: Bodies
    room: Tensor
    lights: Tensor
    spans: tuple[Spans, ...]
    axes: Tensor
    position: Tensor
    focal: Tensor


def pack_shots(shots: Sequence[Shot], height: int, width: int, device: torch.device | str) -> Pack:
    """Gather the scenes and cameras of V views into tensors on a device.

    Raises:
        ValueError: A camera looks nowhere, or is outside its place or inside a body; a round part
            is not as wide as it is deep.
    """
    poses = np.stack([_pose(camera) for _, camera in shots])
    focal = np.array([camera.intrinsics(height, width)[0, 0] for _, camera in shots])
    slots = max(1, *(len(scene.bodies) for scene, _ in shots))
    table = _part_table([scene for scene, _ in shots], slots)
    order = np.argsort(table["group"], kind="stable")
    table = {key: values[order] for key, values in table.items()}
    groups = tuple(_groups(table["group"]))
    eye = _eyes(shots, table, groups, poses, slots)
    lights = np.zeros((len(shots), max(len(scene.lights) for scene, _ in shots), 5))
    lights[..., 4] = 1.0
    for row, (scene, _) in zip(lights, shots, strict=True):
        for place, light in zip(row, scene.lights, strict=False):
            place[:] = (*light.position_m, light.strength, light.reach_m)

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

    def index(values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values.astype(np.int64), device=device)

    return Pack(
        shots=shots,
        parts=Parts(
            groups=groups,
            center=Vectors(*(tensor(c) for c in table["center"].T)),
            half=Vectors(*(tensor(c) for c in table["half"].T)),
            cosine=tensor(table["turn"][:, 0]),
            sine=tensor(table["turn"][:, 1]),
            eye=Vectors(*(tensor(c) for c in eye.T)),
            body=index(table["body"]),
            view=index(table["body"] // slots),
            tone=index(table["tone"]),
        ),
        bodies=_bodies([scene for scene, _ in shots], slots, table["body"], groups, tensor, index),
        room=tensor([scene.place.reach_m for scene, _ in shots]),
        lights=tensor(lights),
        spans=tuple(_spans(table, group, poses, focal, slots, (height, width)) for group in groups),
        axes=tensor(poses[:, :3, :3]),
        position=tensor(poses[:, :3, 3]),
        focal=tensor(focal[:, None]),
    )


def _pose(camera: Camera) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        pose = camera.world_from_camera
    if not (np.isfinite(pose).all() and 0 < camera.fov_deg < 180):
        raise ValueError(
            "expected a camera with a field of view between 0 and 180 degrees, that looks neither "
            f"at itself nor straight up or down, got {camera}"
        )
    return pose


@lru_cache(maxsize=4096)
def _own_parts(kind: str, extent: tuple[float, float, float]) -> Array:
    """Group, tone, centre and half extents of a thing's parts, `(parts, 8)`, in its own frame.

    Half extents stand in the order of the primitive's own axes: its turning axis last.
    """
    rows = []
    for part in KINDS[kind].build(extent):
        axis = AXES.index(part.axis)
        half = [part.extent_m[(axis + turn) % 3] / 2 for turn in (1, 2, 3)]
        across = half if part.primitive == "sphere" else half[:2]
        if part.primitive != "box" and max(across) > min(across) * (1 + 1e-6):
            raise ValueError(
                f"expected a {part.primitive} as wide as deep, got {part} of a {kind} of {extent} m"
            )
        group, tone = _GROUPS.index((part.primitive, axis)), _TONE_NAMES.index(part.tone)
        rows.append([group, tone, *part.center_m, *half])
    return np.array(rows)


def _part_table(scenes: Sequence[Scene], slots: int) -> dict[str, Array]:
    """Every part of every view: columns by name, rows by view and body."""
    bodies = [
        (view * slots + slot, body)
        for view, scene in enumerate(scenes)
        for slot, body in enumerate(scene.bodies)
    ]
    own = [_own_parts(body.kind, body.extent_m) for _, body in bodies]
    counts = [len(rows) for rows in own]
    rows = np.concatenate([np.zeros((0, 8)), *own])

    def repeat(values: Sequence[tuple[float, ...]], width: int) -> Array:
        return np.repeat(np.array(values, np.float64).reshape(-1, width), counts, axis=0)

    yaws = [math.radians(body.yaw_deg) for _, body in bodies]
    turn = repeat([(math.cos(yaw), math.sin(yaw)) for yaw in yaws], 2)
    base = repeat([body.base_m for _, body in bodies], 3)
    (cosine, sine), (x, y, z) = turn.T, rows[:, 2:5].T
    return {
        "group": rows[:, 0],
        "tone": rows[:, 1],
        "center": base + np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=1),
        "half": rows[:, 5:8],
        "turn": turn,
        "body": repeat([(number,) for number, _ in bodies], 1)[:, 0],
    }


def _groups(numbers: Array) -> Iterator[Group]:
    start = 0
    for number, members in groupby(numbers.astype(int)):
        stop = start + len(list(members))
        primitive, axis = _GROUPS[number]
        yield Group(primitive, axis, start, stop)
        start = stop


def _own_axes(table: dict[str, Array], group: Group) -> Array:
    """World directions of the primitives' own axes, `(parts, 3, 3)`, one a row."""
    cosine, sine = table["turn"][group.start : group.stop].T
    zero, one = np.zeros_like(sine), np.ones_like(sine)
    things = np.array([[cosine, sine, zero], [-sine, cosine, zero], [zero, zero, one]])
    return np.moveaxis(things, -1, 0)[:, [(group.axis + turn) % 3 for turn in (1, 2, 3)]]


def _eyes(
    shots: Sequence[Shot],
    table: dict[str, Array],
    groups: tuple[Group, ...],
    poses: Array,
    slots: int,
) -> Array:
    """The camera in each part's own frame, `(P, 3)`.

    Raises:
        ValueError: A camera is inside a part, or outside the room: its rays have no first surface.
    """
    for scene, camera in shots:
        if not scene.place.holds(camera.position_m):
            raise ValueError(f"expected a camera inside the place of {scene.id}, got {camera}")
    eyes = np.zeros((len(table["body"]), 3))
    for group in groups:
        members = slice(group.start, group.stop)
        view = table["body"][members].astype(int) // slots
        axes = _own_axes(table, group)
        away = poses[view, :3, 3] - table["center"][members]
        eyes[members] = np.einsum("pij,pj->pi", axes, away)
        ahead = np.einsum("pij,pj->pi", axes, poses[view, :3, 2])
        vectors = (
            Vectors(*torch.as_tensor(v).unbind(1))
            for v in (eyes[members], ahead, table["half"][members])
        )
        enter, leave = SOLIDS[group.primitive].through(*vectors)
        inside = ((enter <= 0) & (leave > 0) & (enter < leave)).numpy()
        if inside.any():
            scene, camera = shots[int(view[inside][0])]
            raise ValueError(
                f"expected a camera outside every body of {scene.id}, got {camera} inside body "
                f"{int(table['body'][members][inside][0]) % slots + 1}"
            )
    return eyes


def _bodies(
    scenes: Sequence[Scene],
    slots: int,
    part_body: Array,
    groups: tuple[Group, ...],
    tensor: Callable[[object], Tensor],
    index: Callable[[NDArray[Any]], Tensor],
) -> Bodies:
    """Bodies by view and slot, and which parts each one has."""
    table = np.zeros((len(scenes), slots, 10))
    for row, scene in zip(table, scenes, strict=True):
        if scene.bodies:
            row[: len(scene.bodies)] = [_body_row(body) for body in scene.bodies]
    columns = [tensor(table[..., column]) for column in range(10)]
    count = np.zeros((len(groups), len(scenes) * slots), np.int64)
    first = np.zeros_like(count)
    for number, group in enumerate(groups):
        owners = part_body[group.start : group.stop].astype(int)
        count[number] = np.bincount(owners, minlength=count.shape[1])
        first[number] = group.start + np.cumsum(count[number]) - count[number]
    return Bodies(
        ids=columns[0].to(torch.int32),
        center=Vectors(*columns[1:4]),
        half=Vectors(*columns[4:7]),
        cosine=columns[7],
        sine=columns[8],
        radius=columns[9],
        first_part=index(first),
        part_count=index(count),
    )


def _body_row(body: Body) -> tuple[float, ...]:
    """Its id, centre, half extents, the cosine and sine of its yaw, and its ball's radius."""
    (x, y, z), (wide, deep, high) = body.base_m, body.extent_m
    yaw = math.radians(body.yaw_deg)
    middle, half = (x, y, z + high / 2), (wide / 2, deep / 2, high / 2)
    return (body.id, *middle, *half, math.cos(yaw), math.sin(yaw), _ball_radius(body))


def _ball_radius(body: Body) -> float:
    if body.kind == "sphere":
        return body.extent_m[0] / 2
    return math.hypot(*body.extent_m) / 2


def _spans(
    table: dict[str, Array],
    group: Group,
    poses: Array,
    focal: Array,
    slots: int,
    size: tuple[int, int],
) -> Spans:
    """Runs of pixels that may show each part: the rectangle about its box's corners."""
    height, width = size
    members = slice(group.start, group.stop)
    view = table["body"][members].astype(int) // slots
    corners = (table["half"][members, None] * _CORNERS) @ _own_axes(table, group)
    corners += (table["center"][members] - poses[view, :3, 3])[:, None]
    corners = corners @ poses[view, :3, :3]
    depth = corners[..., 2]
    middle = np.array([width / 2, height / 2])
    flat = corners[..., :2] / np.maximum(depth, _MIN_DEPTH_M)[..., None]
    flat = flat * focal[view, None, None] + middle
    # Pixel i has its centre at i + 0.5.
    low = np.ceil(flat.min(axis=1) - 0.5 - _MARGIN_PX)
    high = np.floor(flat.max(axis=1) - 0.5 + _MARGIN_PX) + 1
    # A box that reaches behind the camera has no rectangle: it may be anywhere.
    crosses = (depth.min(axis=1) < _MIN_DEPTH_M)[:, None]
    low = np.clip(np.where(crosses, 0, low), 0, 2 * middle).astype(int)
    high = np.clip(np.where(crosses, 2 * middle, high), 0, 2 * middle).astype(int)
    extent = np.maximum(high - low, 0) * (depth.max(axis=1) > 0)[:, None]
    rows = np.where(extent[:, 0] > 0, extent[:, 1], 0)
    part = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(part)) - np.repeat(np.cumsum(rows) - rows, rows) + low[part, 1]
    return Spans(
        first=(view[part] * height + row) * width + low[part, 0],
        length=extent[part, 0],
        part=part + group.start,
    )
