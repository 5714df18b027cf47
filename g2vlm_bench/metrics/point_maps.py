"""Metrics of aligned point maps: each predicted point against the true one of its pixel.

`compare` measures all pairs once; every metric is a small reducer of its result, in float64. One
is of the cameras alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import field_of_view_x_deg

Array = NDArray[np.float64]

# Degrees from which the area below the share of right rays is taken.
_FIRST_ANGLE_DEG = 0.5
# So many points stay in a core's cache while they are measured.
BLOCK = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class PointPairs:
    """Predicted points beside the true ones, in the camera's own frame, metres.

    Attributes:
        prediction: (N, 3) aligned.
        target: (N, 3).
        errors: |p - g|, (N,).
        prediction_norms: |p|, (N,).
        target_norms: |g|, (N,), above 0.
    """

    prediction: Array
    target: Array
    errors: Array
    prediction_norms: Array
    target_norms: Array


def compare(
    prediction: NDArray[Any], target: NDArray[Any], target_norms: Array | None = None
) -> PointPairs:
    """Measure predicted points against the true ones.

    Args:
        prediction: (N, 3) aligned, metres; row i belongs to row i of the target.
        target: (N, 3) metres, the camera at the origin.
        target_norms: |g|, (N,), where they are known already.

    Raises:
        ValueError: for shapes that differ or are no points, no point at all, values that are not
            finite, or a true point at the camera itself.
    """
    points, truth = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if points.shape != truth.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"point metric: expected points (N, 3) twice, got {points.shape} and {truth.shape}"
        )
    if len(points) == 0:
        raise ValueError("point metric: expected at least one valid pixel, got none")
    predicted_norms = norms_of(points)
    if not np.isfinite(predicted_norms).all():
        raise ValueError(
            "point metric: expected finite predictions at the valid pixels, "
            f"got {int((~np.isfinite(predicted_norms)).sum())} non-finite of {len(points)}"
        )
    norms = norms_of(truth) if target_norms is None else target_norms
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ValueError("point metric: expected finite true points off the camera, got others")
    return PointPairs(points, truth, norms_of(points, truth), predicted_norms, norms)


def abs_rel(pairs: PointPairs, epsilon: float = 0.0) -> float:
    """Return mean |p - g| / (|g| + epsilon), a fraction.

    Source: MoGe (Wang et al. 2024), section 4; its code (0744441, moge/test/metrics.py,
    `rel_point`) has the epsilon 1e-6.
    """
    return float(np.mean(pairs.errors / (pairs.target_norms + epsilon)))


def delta1(pairs: PointPairs) -> float:
    """Return the share of points with |p - g| < 0.25 min(|p|, |g|).

    Source: MoGe (0744441, moge/test/metrics.py, `delta1_point`).
    """
    nearer = np.minimum(pairs.prediction_norms, pairs.target_norms)
    return float(np.mean(pairs.errors < 0.25 * nearer))


def mean_error(pairs: PointPairs) -> float:
    """Return mean |p - g|, in metres.

    Source: UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py), which calls it `MSE_3d`.
    """
    return float(np.mean(pairs.errors))


def rmse(pairs: PointPairs) -> float:
    """Return sqrt(mean |p - g|^2), in metres."""
    return float(np.sqrt(np.mean(pairs.errors**2)))


def norm_inliers(pairs: PointPairs, ratio: float) -> float:
    """Return the share of points with max(|p| / |g|, |g| / |p|) < ratio.

    Only distances from the camera are compared: a point on its other side passes.

    Args:
        pairs: of points.
        ratio: above 1.

    Raises:
        ValueError: for another ratio.

    Source: MapAnything (f7ebafb, mapanything/utils/metrics.py, `thresh_inliers`) with 1.03; UniK3D
    (29f7862, unik3d/utils/evaluation_depth.py, `tau_3d`) with 1.25.
    """
    if not ratio > 1:
        raise ValueError(f"norm ratio: expected a ratio above 1, got {ratio}")
    predicted, true = pairs.prediction_norms, pairs.target_norms
    # Multiplied out, so that a prediction at the camera is an outlier without a division.
    return float(np.mean((predicted < ratio * true) & (true < ratio * predicted)))


def ray_auc(pairs: PointPairs, limit_deg: float) -> float:
    """Return the area below the share of points whose rays differ by an angle or less.

    The trapezoidal rule on 100 angles from 0.5 degrees to the limit, divided by their span: 1 where
    all rays are right within half a degree. A point at the camera itself has no ray and is wrong.

    Args:
        pairs: of points.
        limit_deg: above 0.5.

    Raises:
        ValueError: for another limit.

    Source: UniK3D (Piccinelli et al. 2025), rho_A; 29f7862, unik3d/utils/evaluation_depth.py,
    `rho`, which takes 15 degrees for images that see less than 100 degrees from the axis, else 20.
    """
    if not limit_deg > _FIRST_ANGLE_DEG:
        raise ValueError(f"ray AUC: expected a limit above 0.5 degrees, got {limit_deg}")
    angles = _ray_angles_deg(pairs)
    limits = np.linspace(_FIRST_ANGLE_DEG, limit_deg, 100)
    shares = np.searchsorted(np.sort(angles), limits, side="right") / len(angles)
    return float(np.trapezoid(shares, limits) / (limit_deg - _FIRST_ANGLE_DEG))


def ray_error(pairs: PointPairs) -> float:
    """Return the mean angle between predicted and true rays, in degrees, 0 to 180.

    Only directions are compared. A point at the camera itself has no ray and is wrong by 180.

    Args:
        pairs: a point on each pixel's ray; a camera tells rays where no depth is known, too.

    Source: MapAnything (f7ebafb, benchmarking/dense_n_view/benchmark.py, `ray_dirs_err_deg`, by
    mapanything/utils/metrics.py, `l2_distance_of_unit_ray_directions_to_angular_error`), which
    counts every pixel.
    """
    return float(np.mean(_ray_angles_deg(pairs)))


def fov_x_error(prediction: NDArray[Any], target: NDArray[Any], width: int) -> float:
    """Return the difference of two cameras' horizontal fields of view, in degrees, 0 to 180.

    Args:
        prediction: (3, 3) intrinsics of one view, pixels.
        target: (3, 3) the true ones.
        width: of the view, pixels.

    Raises:
        ValueError: as `field_of_view_x_deg`.

    Source: MoGe (0744441, moge/test/metrics.py, `compute_metrics`, `fov_x` `mae`).
    """
    return abs(field_of_view_x_deg(prediction, width) - field_of_view_x_deg(target, width))


def _ray_angles_deg(pairs: PointPairs) -> Array:
    """The angle between either ray of each pixel, (N,)."""
    points, truth = pairs.prediction, pairs.target
    # Exact at small angles, where the arc cosine has lost half of its digits.
    across = norms_of(np.cross(points, truth))
    along = np.einsum("ni,ni->n", points, truth)
    angles: Array = np.degrees(np.arctan2(across, along))
    angles[pairs.prediction_norms == 0] = 180.0
    return angles


def local_abs_rel(pairs: PointPairs, diameter_m: float) -> float:
    """Return mean |p - g| / diameter of one segment's points.

    Args:
        pairs: of the segment.
        diameter_m: of its true points, above 0; as `extent_of`.

    Raises:
        ValueError: for a segment without extent.

    Source: MoGe (0744441, moge/test/metrics.py, `rel_point_local`).
    """
    return float(np.mean(pairs.errors)) / _checked_extent(diameter_m)


def local_delta1(pairs: PointPairs, diameter_m: float) -> float:
    """Return the share of one segment's points with |p - g| < 0.25 diameter.

    Arguments and errors as in `local_abs_rel`.

    Source: MoGe (0744441, moge/test/metrics.py, `delta1_point_local`).
    """
    return float(np.mean(pairs.errors < 0.25 * _checked_extent(diameter_m)))


def extent_of(points: Array) -> float:
    """Return the longest edge of the box around points (N, 3), in their unit.

    Source: MoGe (0744441, moge/test/metrics.py, `compute_metrics`), which calls it diameter.
    """
    return float(np.ptp(points, axis=0).max())


def _checked_extent(diameter_m: float) -> float:
    if not diameter_m > 0:
        raise ValueError(f"local points: expected a segment with extent, got {diameter_m}")
    return diameter_m


PointMetric = Callable[[PointPairs], float]

POINT_METRICS: Mapping[str, PointMetric] = MappingProxyType(
    {
        "point_abs_rel": abs_rel,
        "point_delta1": delta1,
        "point_error": mean_error,
        "point_rmse": rmse,
        "point_inlier_1.03": partial(norm_inliers, ratio=1.03),
        "point_inlier_1.25": partial(norm_inliers, ratio=1.25),
        "ray_auc_15": partial(ray_auc, limit_deg=15.0),
        "ray_auc_20": partial(ray_auc, limit_deg=20.0),
        "ray_auc_30": partial(ray_auc, limit_deg=30.0),
    }
)
# Of the rays of all pixels, and not only of those whose true point is known.
RAY_METRICS: Mapping[str, PointMetric] = MappingProxyType({"ray_error": ray_error})
# Of the predicted and the true camera of a view, and its width.
CAMERA_METRICS: Mapping[str, Callable[[Array, Array, int], float]] = MappingProxyType(
    {"fov_x_error": fov_x_error}
)
LOCAL_METRICS: Mapping[str, Callable[[PointPairs, float], float]] = MappingProxyType(
    {"local_abs_rel": local_abs_rel, "local_delta1": local_delta1}
)


def norms_of(points: Array, origins: Array | None = None) -> Array:
    """Return the distances of points (N, 3) from the origin, or each from its own, (N,)."""
    norms = np.empty(len(points))
    for first in range(0, len(points), BLOCK):
        rows = slice(first, first + BLOCK)
        squares = points[rows] ** 2 if origins is None else (points[rows] - origins[rows]) ** 2
        np.sqrt(squares[:, 0] + squares[:, 1] + squares[:, 2], out=norms[rows])
    return norms
