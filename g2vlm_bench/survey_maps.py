"""Depth maps and maps of points from one file: a frame, a stack of frames, cameras beside them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.views import numbers_of, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_array, load_depth
from g2vlm_bench.geometry.cameras import check_intrinsics
from g2vlm_bench.geometry.trajectory import check_poses

Array = NDArray[np.float64]
Map = NDArray[np.float32]

_ARRAYS = (".npy", ".npz")
SUFFIXES = (".png", ".pgm", *_ARRAYS, ".exr", ".pfm", ".dpt")


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What a file says of N frames.

    Attributes:
        depth: (H, W) metres a frame, NaN where there is none.
        points: (H, W, 3) metres a frame, each in its own camera.
        intrinsics: 3x3 a frame, pixels, pixel centres at +0.5.
        world_from_camera: 4x4 a frame.
    """

    depth: tuple[Map, ...] = ()
    points: tuple[Map, ...] = ()
    intrinsics: tuple[Array, ...] | None = None
    world_from_camera: tuple[Array, ...] | None = None


def load_maps(path: Path, scale: float | None = None, zero_is_none: bool = True) -> Maps:
    """Read depth or maps of points of one frame or several.

    An npy holds depth (H, W) or (N, H, W), or points (H, W, 3) or (N, H, W, 3). An npz holds one
    such array, or `depth`, `points` or both, and where known `intrinsics` (3, 3) or (N, 3, 3) with
    pixel centres at +0.5, and `world_from_camera` (N, 4, 4). All else is one depth map.

    Args:
        path: The file.
        scale: Stored value of one metre; see `load_depth`.
        zero_is_none: Whether a depth of 0 in an array is none, as in truths. A model's 0 is a 0.

    Raises:
        BenchError: The file is broken, or an array of another shape.
    """
    if path.suffix.lower() not in _ARRAYS:
        return Maps((load_depth(path, scale),))
    names = _members(path)
    if len(names) < 2:
        return _of_shape(load_array(path), path, scale, zero_is_none)
    parts = {
        name: load_array(path, name)
        for name in ("depth", "points", "intrinsics", "world_from_camera")
        if name in names
    }
    if "depth" not in parts and "points" not in parts:
        got = ", ".join(names)
        raise BenchError(path, expected="an array 'depth' or 'points'", got=got)
    maps = [
        _of_shape(parts[name], path, scale, zero_is_none)
        for name in ("depth", "points")
        if name in parts
    ]
    depth, points = (sum((getattr(m, part) for m in maps), ()) for part in ("depth", "points"))
    count = len(depth or points)
    return Maps(
        depth,
        points,
        _intrinsics(parts["intrinsics"], path, count) if "intrinsics" in parts else None,
        _poses(parts["world_from_camera"], path) if "world_from_camera" in parts else None,
    )


def read_intrinsics(path: Path, pixel_centre: float, frames: int) -> tuple[Array, ...]:
    """Read the intrinsics of frames: `fx fy cx cy` or 3x3, for all or one after another (3x3).

    Args:
        path: A text or npy file of the numbers.
        pixel_centre: Where they put the centre of the first pixel, 0 or 0.5.
        frames: How many there are.

    Raises:
        BenchError: The file is broken, or holds those of another number of frames.
    """
    numbers = numbers_of(path)
    if len(numbers) in (4, 9):
        return (pinhole(numbers, pixel_centre, path),) * frames
    if len(numbers) != 9 * frames:
        expected = f"fx, fy, cx, cy, or a 3x3 matrix, or {frames} of them"
        raise BenchError(path, expected=expected, got=f"{len(numbers)} numbers")
    return tuple(
        pinhole(numbers[at : at + 9], pixel_centre, path) for at in range(0, 9 * frames, 9)
    )


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []  # An npy; or load_array says what is wrong.


def _of_shape(array: NDArray[Any], path: Path, scale: float | None, zero_is_none: bool) -> Maps:
    if array.dtype.kind not in "uif" or not array.size:
        raise BenchError(path, expected="real numbers", got=f"{array.dtype} of {array.shape}")
    if scale is not None and not scale > 0:
        raise BenchError(path, expected="a scale above 0", got=scale)
    metres = array / np.float64(scale or 1.0)
    if array.ndim in (3, 4) and array.shape[-1] == 3:
        points = metres.reshape(-1, *array.shape[-3:])
        return Maps(points=tuple(np.where(np.isfinite(points), points, np.nan).astype(np.float32)))
    if array.ndim in (3, 4) and array.shape[-1] == 1:
        metres = metres[..., 0]
    if metres.ndim not in (2, 3):
        expected = "depth (H, W) or (N, H, W), or points (H, W, 3) or (N, H, W, 3)"
        raise BenchError(path, expected=expected, got=f"shape {array.shape}")
    depth = metres.reshape(-1, *metres.shape[-2:])
    known = np.isfinite(depth)
    if zero_is_none:
        known &= depth != 0
    return Maps(tuple(np.where(known, depth, np.nan).astype(np.float32)))


def _intrinsics(array: NDArray[Any], path: Path, frames: int) -> tuple[Array, ...]:
    matrices = array[None] if array.ndim == 2 else array
    try:
        checked = tuple(check_intrinsics(matrix) for matrix in matrices)
    except (ValueError, TypeError) as error:
        expected = "'intrinsics' (3, 3) or (N, 3, 3)"
        raise BenchError(path, expected=expected, got=error) from None
    return checked * frames if array.ndim == 2 else checked


def _poses(array: NDArray[Any], path: Path) -> tuple[Array, ...]:
    try:
        return tuple(check_poses(array))
    except (ValueError, TypeError) as error:
        raise BenchError(path, expected="'world_from_camera' (N, 4, 4)", got=error) from None
