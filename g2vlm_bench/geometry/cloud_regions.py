"""Clouds made thinner, and cut to where a scan has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from g2vlm_bench.geometry.nearest import check_cloud

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Neighbours of so many points are held at once, so 10^7 points need no more memory than a few.
THINNING_CHUNK = 1 << 14


def thin_greedily(points: NDArray[Any], radius: float, seed: int) -> Array:
    """Visit the points in random order and remove every other point within the radius.

    No two points that are left lie within the radius of each other (inclusive), and every removed
    one has such a point.

    Args:
        points: (N, 3).
        radius: in the unit of the points; 0.2 mm in DTU.
        seed: of the order.

    Returns:
        (M, 3), 1 <= M <= N, in the order visited.

    Raises:
        ValueError: for an empty cloud, non-finite points, or a radius that is not positive.

    Source: DTUeval-python (45b4fec), eval.py, whose order is not seeded.
    """
    cloud = check_cloud(points).copy()
    if not (radius > 0 and np.isfinite(radius)):
        raise ValueError(f"thinning: expected a radius above 0, got {radius}")
    np.random.default_rng(seed).shuffle(cloud, axis=0)
    centred = cloud - cloud.mean(axis=0)
    tree = cKDTree(centred)
    kept = np.ones(len(cloud), bool)
    for start in range(0, len(cloud), THINNING_CHUNK):
        # A removed point removes no other, so only those still standing are asked.
        rows = start + np.flatnonzero(kept[start : start + THINNING_CHUNK])
        near = tree.query_ball_point(centred[rows], radius, workers=-1)
        for row, neighbours in zip(rows, near, strict=True):
            if kept[row]:
                kept[neighbours] = False
                kept[row] = True
    return cloud[kept]


def voxel_means_on_world_grid(points: NDArray[Any], size: float) -> Array:
    """Replace the points of each voxel by their mean, on the grid through the origin.

    `clouds.voxel_downsample` starts the grid at the cloud, as Open3D does.

    Args:
        points: (N, 3) metres, N >= 1.
        size: edge of a voxel in metres.

    Returns:
        (M, 3), one point for each occupied voxel.

    Raises:
        ValueError: for an empty cloud, non-finite points, or a size that is not positive.

    Source: SpatialBench (7f06a37), evaluation/metrics.py, `_voxel_downsample_np`, in float32.
    """
    cloud = check_cloud(points)
    if not (size > 0 and np.isfinite(size)):
        raise ValueError(f"voxels: expected a size above 0, got {size}")
    _, voxel, population = np.unique(
        np.floor(cloud / size), axis=0, return_inverse=True, return_counts=True
    )
    low = cloud.min(axis=0)
    sums = [np.bincount(voxel.ravel(), weights=axis) for axis in (cloud - low).T]
    means: Array = np.stack(sums, axis=1) / population[:, None] + low
    return means


@dataclass(frozen=True, slots=True, eq=False)
class ObservedGrid:
    """The part of space that a scanner observed, as DTU's `ObsMask` gives it.

    Attributes:
        observed: (X, Y, Z) True where observed.
        low: (3,) centre of the first voxel, in the unit of the points.
        high: (3,) upper corner of the box that the voxels fill.
        voxel: edge of a voxel.
        plane: (4,) a, b, c, d of the ground; true points count where ax + by + cz + d > 0.
        margin: how far around the box a predicted point may lie and still serve completeness; twice
            as far above. 60 mm in DTU's evaluation.
    """

    observed: Mask
    low: Array
    high: Array
    voxel: float
    plane: Array
    margin: float = 60.0

    def near(self, points: NDArray[Any]) -> Mask:
        """Mark the predicted points that completeness may use, (N,)."""
        cloud = check_cloud(points, at_least=0)
        inside = (cloud >= self.low - self.margin) & (cloud < self.high + 2 * self.margin)
        return np.asarray(inside.all(axis=1))

    def seen(self, points: NDArray[Any]) -> Mask:
        """Mark the predicted points that accuracy judges, (N,): those in an observed voxel."""
        cloud = check_cloud(points, at_least=0)
        cell = np.around((cloud - self.low) / self.voxel)
        inside = ((cell >= 0) & (cell < self.observed.shape)).all(axis=1) & self.near(cloud)
        seen = np.zeros(len(cloud), bool)
        x, y, z = cell[inside].astype(np.int64).T
        seen[inside] = self.observed[x, y, z]
        return seen

    def above_plane(self, points: NDArray[Any]) -> Mask:
        """Mark the true points that completeness asks for, (M,): those above the ground."""
        cloud = check_cloud(points, at_least=0)
        return np.asarray(cloud @ self.plane[:3] + self.plane[3] > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Prism:
    """A crop volume: a polygon along one axis, between two bounds, as Tanks and Temples gives it.

    Attributes:
        polygon: (K, 2), K >= 3, corners in the two other axes, in their order; it need not be
            convex.
        axis: which the prism runs along.
        low: bound along the axis, inclusive.
        high: likewise.
    """

    polygon: Array
    axis: Literal[0, 1, 2]
    low: float
    high: float

    def holds(self, points: NDArray[Any]) -> Mask:
        """Mark the points inside, (N,)."""
        return in_prism(points, self.polygon, self.axis, self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One laser scan, with where it was taken from.

    Attributes:
        points: (N, 3) metres in the scanner's frame, the scanner at the origin.
        world_from_scan: (4, 4) rigid.
    """

    points: Array
    world_from_scan: Array


def in_prism(
    points: NDArray[Any],
    polygon: NDArray[Any],
    axis: Literal[0, 1, 2],
    low: float,
    high: float,
) -> Mask:
    """Mark the points inside a prism: a polygon along one axis, between two bounds.

    Args:
        points: (N, 3).
        polygon: (K, 2), K >= 3, corners in the two other axes, in their order; it need not be
            convex.
        axis: which the prism runs along.
        low: bound along the axis, inclusive.
        high: likewise.

    Raises:
        ValueError: for non-finite points, fewer than three corners, or bounds in the wrong order.

    Source: the crop volumes of Tanks and Temples (Knapitsch et al. 2017), by the even-odd rule.
    Points on its lower and left edges are out, on the others in, as Open3D has it (0.20.0,
    `SelectionPolygonVolume.crop_point_cloud`), by which that benchmark crops.
    """
    cloud, corners = check_cloud(points, at_least=0), np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not low <= high:
        raise ValueError(
            "prism: expected three corners (K, 2) or more and low <= high, "
            f"got {corners.shape}, {low} and {high}"
        )
    x, y = np.delete(cloud, axis, axis=1).T
    inside = np.zeros(len(cloud), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 >= y) != (y2 >= y)
        # Divided first, as Open3D does: on a slope rounding says which side a point is on.
        inside ^= crosses & (x <= x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    along = cloud[:, axis]
    return np.asarray(inside & (along >= low) & (along <= high))
