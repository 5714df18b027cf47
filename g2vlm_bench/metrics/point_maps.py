"""Metrics of aligned point maps: each predicted point against the true one of its pixel.

Every metric takes `(prediction, target)`, (N, 3) each in the camera's own frame, row i of one
pixel; it computes in float64 and returns one float. All raise ValueError for shapes that differ or
are no points, no point at all, values that are not finite, or a true point at the camera itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = NDArray[Any]

# Degrees from which the area below the share of right rays is taken.
_FIRST_ANGLE_DEG = 0.5


def abs_rel(prediction: Points, target: Points, epsilon: float = 0.0) -> float:
    """Return mean |p - g| / (|g| + epsilon), a fraction.

    Source: MoGe (Wang et al. 2024), section 4; its code (0744441, moge/test/metrics.py,
    `rel_point`) has the epsilon 1e-6.
    """
    errors, _, true = _distances(prediction, target)
    return float(np.mean(errors / (true + epsilon)))


def delta1(prediction: Points, target: Points) -> float:
    """Return the share of points with |p - g| < 0.25 min(|p|, |g|).

    Source: MoGe (0744441, moge/test/metrics.py, `delta1_point`).
    """
    errors, predicted, true = _distances(prediction, target)
    return float(np.mean(errors < 0.25 * np.minimum(predicted, true)))


def mean_error(prediction: Points, target: Points) -> float:
    """Return mean |p - g|, in metres.

    Source: UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py), which calls it `MSE_3d`.
    """
    return float(np.mean(_distances(prediction, target)[0]))


def rmse(prediction: Points, target: Points) -> float:
    """Return sqrt(mean |p - g|^2), in metres."""
    return float(np.sqrt(np.mean(_distances(prediction, target)[0] ** 2)))


def norm_inliers(prediction: Points, target: Points, ratio: float) -> float:
    """Return the share of points with max(|p| / |g|, |g| / |p|) < ratio.

    Only distances from the camera are compared: a point on its other side passes.

    Args:
        prediction: (N, 3).
        target: (N, 3).
        ratio: above 1.

    Raises:
        ValueError: as the module says; also for a ratio of 1 or less.

    Source: MapAnything (f7ebafb, mapanything/utils/metrics.py, `thresh_inliers`) with 1.03; UniK3D
    (29f7862, unik3d/utils/evaluation_depth.py, `tau_3d`) with 1.25.
    """
    if not ratio > 1:
        raise ValueError(f"norm ratio: expected a ratio above 1, got {ratio}")
    _, predicted, true = _distances(prediction, target)
    # Multiplied out, so that a prediction at the camera is an outlier without a division.
    return float(np.mean((predicted < ratio * true) & (true < ratio * predicted)))


def ray_auc(prediction: Points, target: Points, limit_deg: float) -> float:
    """Return the area below the share of points whose rays differ by an angle or less.

    The trapezoidal rule on 100 angles from 0.5 degrees to the limit, divided by their span: 1 where
    all rays are right within half a degree. A point at the camera itself has no ray and is wrong.

    Args:
        prediction: (N, 3).
        target: (N, 3).
        limit_deg: above 0.5.

    Raises:
        ValueError: as the module says; also for another limit.

    Source: UniK3D (Piccinelli et al. 2025), rho_A; 29f7862, unik3d/utils/evaluation_depth.py,
    `rho`, which takes 15 degrees for images that see less than 100 degrees from the axis, else 20.
    """
    if not limit_deg > _FIRST_ANGLE_DEG:
        raise ValueError(f"ray AUC: expected a limit above 0.5 degrees, got {limit_deg}")
    points, truth = _pairs(prediction, target)
    # Exact at small angles, where the arc cosine has lost half of its digits.
    across = np.linalg.norm(np.cross(points, truth), axis=1)
    along = np.einsum("ni,ni->n", points, truth)
    angles = np.degrees(np.arctan2(across, along))
    angles[~points.any(axis=1)] = 180.0
    limits = np.linspace(_FIRST_ANGLE_DEG, limit_deg, 100)
    shares = np.searchsorted(np.sort(angles), limits, side="right") / len(angles)
    return float(np.trapezoid(shares, limits) / (limit_deg - _FIRST_ANGLE_DEG))


PointMetric = Callable[[Points, Points], float]

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


def _distances(prediction: Points, target: Points) -> tuple[Array, Array, Array]:
    """|p - g|, |p| and |g|, (N,) each."""
    points, truth = _pairs(prediction, target)
    return (
        np.asarray(np.linalg.norm(points - truth, axis=1), np.float64),
        np.asarray(np.linalg.norm(points, axis=1), np.float64),
        np.asarray(np.linalg.norm(truth, axis=1), np.float64),
    )


def _pairs(prediction: Points, target: Points) -> tuple[Array, Array]:
    points, truth = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if points.shape != truth.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"point metric: expected points (N, 3), got {points.shape} and {truth.shape}"
        )
    if len(points) == 0:
        raise ValueError("point metric: expected at least one valid pixel, got none")
    if not np.isfinite(points).all():
        wrong = int((~np.isfinite(points)).any(axis=1).sum())
        raise ValueError(
            "point metric: expected finite predictions at the valid pixels, "
            f"got {wrong} non-finite of {len(points)}"
        )
    if not np.isfinite(truth).all() or not truth.any(axis=1).all():
        raise ValueError("point metric: expected finite true points off the camera, got others")
    return points, truth
