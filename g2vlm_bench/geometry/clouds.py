"""Point clouds: reading, down-sampling and crops, with ICP and normals; the one door to Open3D.

Open3D is imported to read compressed PCD files; all else runs without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cloud_files import (
    Columns,
    read_kitti_bin,
    read_pcd,
    read_ply,
    read_text,
    write_ply,
)
from g2vlm_bench.geometry.icp import icp_point_to_point
from g2vlm_bench.geometry.nearest import check_cloud
from g2vlm_bench.geometry.normals import estimate_normals

__all__ = [
    "Cloud",
    "crop_box",
    "estimate_normals",
    "icp_point_to_point",
    "read_cloud",
    "read_kitti_bin",
    "resolution",
    "voxel_downsample",
    "write_ply",
]

Array = NDArray[np.float64]

SYSTEM_LIBRARIES = "libusb-1.0-0 libegl1 libgl1 libx11-6 libidn2-0"
NORMAL_NAMES = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


@dataclass(frozen=True, eq=False)
class Cloud:
    """A cloud as a file held it, less its points without coordinates.

    Attributes:
        points: (N, 3) float64, in the unit of the file, finite, N >= 1.
        normals: (N, 3) float64 of unit length, or None where the file has none or an unusable one.
        n_dropped: how many points of the file were dropped because a coordinate is NaN or infinite.
    """

    points: Array
    normals: Array | None
    n_dropped: int


def read_cloud(path: Path | str) -> Cloud:
    """Read a cloud from a .ply, .pcd, .xyz, .pts or KITTI .bin file.

    Points with NaN or infinite coordinates, the mark of invalid pixels in organised clouds, are
    dropped and counted.

    Raises:
        ValueError: for another suffix, a corrupt or truncated file, or one without finite points.
        OSError: where the file cannot be opened.
        ImportError: for a compressed PCD file where Open3D cannot be loaded.
    """
    path = Path(path)
    columns = _read_columns(path)
    if not {"x", "y", "z"} <= columns.keys():
        raise ValueError(f"{path}: expected columns x, y and z, got {', '.join(columns) or 'none'}")
    points = _stack(columns, ("x", "y", "z"))
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        raise ValueError(f"{path}: expected points, got {len(points)} of which none is finite")
    normals = next(
        (_stack(columns, names) for names in NORMAL_NAMES if columns.keys() >= set(names)), None
    )
    if normals is not None:
        normals = _unit_normals(normals[finite])
    return Cloud(points[finite], normals, int((~finite).sum()))


def voxel_downsample(points: NDArray[Any], size: float) -> Array:
    """Replace the points of each voxel by their mean.

    The grid starts half a voxel below the smallest coordinates, as Open3D's does.

    Args:
        points: (N, 3) metres, N >= 1.
        size: edge of a voxel in metres.

    Returns:
        (M, 3), one point for each occupied voxel, in the order of x, then y, then z index.

    Raises:
        ValueError: for an empty cloud, non-finite points, a size that is not positive, or one so
            small that the voxels cannot be numbered.
    """
    cloud = check_cloud(points)
    if not (size > 0 and np.isfinite(size)):
        raise ValueError(f"voxels: expected a size above 0, got {size}")
    offsets = cloud - cloud.min(axis=0)
    cells = np.floor(offsets / size + 0.5)
    counts = cells.max(axis=0) + 1
    if counts.prod() >= 2**62:
        raise ValueError(
            f"voxels: expected a size fit for an extent of {offsets.max():g}, got {size}"
        )
    keys = np.ravel_multi_index(tuple(cells.astype(np.int64).T), tuple(counts.astype(np.int64)))
    _, voxel, population = np.unique(keys, return_inverse=True, return_counts=True)
    sums = [np.bincount(voxel, weights=offsets[:, axis]) for axis in range(3)]
    means: Array = np.stack(sums, axis=1) / population[:, None] + cloud.min(axis=0)
    return means


def resolution(points: NDArray[Any]) -> float:
    """Return how far apart the numbers are that the largest coordinate was rounded to.

    Clouds that went through float32 on their way to float64 hold nothing else: at UTM-sized
    coordinates (5.4e6 m) they are rounded to half a metre.

    >>> resolution(np.array([[5.4e5, 5.4e6, 0.0]])), resolution(np.array([[5.4e5, 5.4e6, 0.1]]))
    (0.5, 9.313225746154785e-10)

    Args:
        points: (N, 3), finite.
    """
    cloud = np.asarray(points)
    if not cloud.size:
        return 0.0
    largest = np.abs(cloud).max()
    with np.errstate(over="ignore"):
        is_single = bool((cloud.astype(np.float32) == cloud).all())
    return float(np.spacing(np.float32(largest) if is_single else np.float64(largest)))


def crop_box(points: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Array:
    """Return the points inside an axis-aligned box, its faces included.

    Args:
        points: (N, 3).
        low: (3,) smallest coordinates.
        high: (3,) largest coordinates.

    Returns:
        (M, 3), M <= N, in their order; possibly none.

    Raises:
        ValueError: for non-finite points, other shapes, or a corner below the other.
    """
    cloud = check_cloud(points, at_least=0)
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if lower.shape != (3,) or upper.shape != (3,) or not (lower <= upper).all():
        raise ValueError(f"crop: expected corners low <= high of shape (3,), got {low}, {high}")
    return cloud[((cloud >= lower) & (cloud <= upper)).all(axis=1)]


def _read_columns(path: Path) -> Columns:
    suffix = path.suffix.lower()
    if suffix == ".ply":
        return read_ply(path)
    if suffix == ".pcd":
        columns = read_pcd(path)
        return _read_compressed_pcd(path) if columns is None else columns
    if suffix in (".xyz", ".pts"):
        return read_text(path)
    if suffix == ".bin":
        return dict(zip("xyz", read_kitti_bin(path)[:, :3].T, strict=True))
    raise ValueError(
        f"{path}: expected .ply, .pcd, .xyz, .pts or .bin, got {suffix or 'no suffix'}"
    )


def _read_compressed_pcd(path: Path) -> Columns:
    """Read by Open3D, which returns an empty cloud where the compressed block is damaged."""
    open3d = _import_open3d()
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        cloud = open3d.io.read_point_cloud(str(path))
    if len(cloud.points) == 0:
        raise ValueError(f"{path}: expected compressed points, got damaged data")
    columns = dict(zip("xyz", np.asarray(cloud.points).T, strict=True))
    if cloud.has_normals():
        columns |= dict(zip(NORMAL_NAMES[0], np.asarray(cloud.normals).T, strict=True))
    return columns


def _stack(columns: Columns, names: tuple[str, ...]) -> Array:
    return np.stack([columns[name].astype(np.float64) for name in names], axis=1)


def _unit_normals(normals: Array) -> Array | None:
    """Return them at unit length; None where one has no direction, so that all are estimated."""
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    usable = np.isfinite(lengths).all() and (lengths > 0).all()
    return normals / lengths if usable else None


def _import_open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise ImportError(
            f"open3d cannot be loaded ({error}); "
            f"on Debian and Ubuntu it needs: apt-get install {SYSTEM_LIBRARIES}"
        ) from error
    return open3d
