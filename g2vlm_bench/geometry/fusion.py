"""Depth maps fused: into a surface, or into the points that several of them agree on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import (
    check_intrinsics,
    invert_pose,
    project,
    transform,
    unproject,
)
from g2vlm_bench.geometry.clouds import _import_open3d
from g2vlm_bench.geometry.meshes import Mesh
from g2vlm_bench.geometry.ray_volume import RayVolume
from g2vlm_bench.geometry.z_volume import ZVolume

Array = NDArray[np.float64]


def require_open3d() -> None:
    """Do nothing where Open3D can be loaded, which fusion needs.

    Raises:
        ImportError: where it cannot; the message says what it needs.
    """
    _import_open3d()


def fuse_tsdf(
    depths_m: Sequence[NDArray[Any]],
    intrinsics: Sequence[NDArray[Any]],
    world_from_camera: Sequence[NDArray[Any]],
    voxel_m: float,
    truncation_m: float,
    max_depth_m: float,
    along: Literal["z", "ray"] = "z",
) -> Mesh:
    """Fuse posed depth maps into a truncated signed distance volume and extract its surface.

    Args:
        depths_m: (H, W) metres along z, each; NaN or not positive where there is none.
        intrinsics: (3, 3) pixels, each, pixel centres at +0.5; without skew.
        world_from_camera: (4, 4), each.
        voxel_m: edge of a voxel.
        truncation_m: how far from the surface a depth map still says something.
        max_depth_m: farther depth is left out; along the ray, depth of just as much, too.
        along: what distances are measured along: `z` as Open3D's `VoxelBlockGrid`, `ray` as its
            `ScalableTSDFVolume` before 0.20, which published code uses.

    Raises:
        ValueError: where counts differ, a size is not positive, no surface comes out, or, along
            the ray, depth is scattered over more space than memory can hold.
        ImportError: where Open3D cannot be loaded.

    Source: Curless and Levoy 1996, in float32; `volumes` says how each is computed.
    """
    if not len(depths_m) == len(intrinsics) == len(world_from_camera):
        raise ValueError(
            "fusion: expected a camera and a pose for each depth map, "
            f"got {len(depths_m)}, {len(intrinsics)} and {len(world_from_camera)}"
        )
    if not min(voxel_m, truncation_m, max_depth_m) > 0:
        raise ValueError(
            f"fusion: expected sizes above 0, got {voxel_m}, {truncation_m} and {max_depth_m}"
        )
    volume = (ZVolume if along == "z" else RayVolume)(voxel_m, truncation_m, max_depth_m)
    for depth, matrix, pose in zip(depths_m, intrinsics, world_from_camera, strict=True):
        values = np.where(_usable(depth), depth, 0).astype(np.float32)
        volume.integrate(values, check_intrinsics(matrix), np.asarray(pose, dtype=np.float64))
    return volume.surface()


def consistent_points(
    depths_m: Sequence[NDArray[Any]],
    intrinsics: Sequence[NDArray[Any]],
    world_from_camera: Sequence[NDArray[Any]],
    within_m: float,
    views: int,
) -> Array:
    """Return the points of pixels that several depth maps agree on, each the mean of their points.

    A map agrees with a pixel's point if its own point, interpolated between the four pixels around
    where it sees that point, is nearer than the threshold. The pixel's own map agrees.

    Args:
        depths_m: (H, W) metres along z, each of one size; NaN or not positive where there is none.
        intrinsics: (3, 3) pixels, each, pixel centres at +0.5.
        world_from_camera: (4, 4), each.
        within_m: strictly nearer.
        views: how many maps must agree.

    Returns:
        (N, 3) metres, map by map in the order of pixels; possibly none.

    Raises:
        ValueError: where counts or sizes differ.

    Source: Depth-Anything-3 (2c21ea8), bench/datasets/dtu.py, `_fuse_consistent_points`, in
    float32. As there, a pixel without depth stands at its camera and a pixel beyond the image at
    the origin where it is interpolated with others, which mostly ends their agreement.
    """
    counts = len(depths_m), len(intrinsics), len(world_from_camera)
    if len(set(counts)) > 1 or len({depth.shape for depth in depths_m}) != 1:
        raise ValueError(
            "consistency: expected depth maps of one size, each with a camera and a pose; "
            f"got {counts[0]}, {counts[1]} and {counts[2]}"
        )
    maps: list[Array] = []
    for depth, matrix, pose in zip(depths_m, intrinsics, world_from_camera, strict=True):
        points = transform(unproject(np.asarray(depth, dtype=np.float64), matrix), pose)
        maps.append(np.where(_usable(depth)[..., None], points, np.asarray(pose)[:3, 3]))
    found = []
    for depth, points in zip(depths_m, maps, strict=True):
        mine = points[_usable(depth)]
        total, agreed = np.zeros_like(mine), np.zeros(len(mine))
        for theirs, matrix, pose in zip(maps, intrinsics, world_from_camera, strict=True):
            pixels, along = project(transform(mine, invert_pose(pose)), matrix)
            seen = _interpolated(theirs, np.where(along[:, None] > 0, pixels, -1.0))
            near = np.linalg.norm(seen - mine, axis=1) < within_m
            total[near] += seen[near]
            agreed += near
        kept = agreed >= views
        found.append(total[kept] / agreed[kept, None])
    return np.concatenate(found)


def _usable(depth: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(depth) & (depth > 0))


def _interpolated(points: Array, pixels: Array) -> Array:
    """Interpolate a map of points (H, W, 3) at pixels (N, 2), zero beyond it."""
    size = np.array(points.shape[1::-1])
    # Far beyond the image all is alike, and whole numbers stay small.
    places = np.clip(pixels - 0.5, -2.0, size + 1.0)
    corner = np.floor(places).astype(np.int64)
    right, down = (places - corner).T
    total: Array = np.zeros((len(pixels), 3))
    for step, share in (
        ((0, 0), (1 - right) * (1 - down)),
        ((1, 0), right * (1 - down)),
        ((0, 1), (1 - right) * down),
        ((1, 1), right * down),
    ):
        tap = corner + np.array(step)
        inside = np.asarray(((tap >= 0) & (tap < size)).all(axis=1))
        columns, rows = tap[inside].T
        total[inside] += share[inside, None] * points[rows, columns]
    return total
