"""Metrics of a predicted cloud against the true one.

`cloud_distances` finds both directions of nearest neighbours once; every metric is a small reducer
of its result. Distances are Euclidean, in metres, unsquared unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cloud_regions import ObservedGrid
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index, check_cloud

Array = NDArray[np.float64]
Statistic = Literal["mean", "median"]


@dataclass(frozen=True, eq=False)
class CloudDistances:
    """Nearest-neighbour distances between a predicted cloud (N points) and the true one (M).

    Attributes:
        prediction_to_target: (N,) metres.
        target_to_prediction: (M,) metres.
        nearest_target: (N,) index of the true point nearest to each predicted one.
        nearest_prediction: (M,) index of the predicted point nearest to each true one.
    """

    prediction_to_target: Array
    target_to_prediction: Array
    nearest_target: NDArray[np.int64]
    nearest_prediction: NDArray[np.int64]


def cloud_distances(
    prediction: NDArray[Any] | NeighbourIndex, target: NDArray[Any] | NeighbourIndex
) -> CloudDistances:
    """Find the nearest neighbours between two clouds in both directions.

    Args:
        prediction: (N, 3) metres, aligned, or its index where it is used again.
        target: (M, 3) metres, likewise.

    Raises:
        ValueError: for clouds of fewer than two points, other shapes, or non-finite points.
    """
    # One point has no extent; its scores would say where it is, not what it looks like.
    predicted, true = as_index(prediction, "prediction", 2), as_index(target, "target", 2)
    forward, nearest_target = true.query(predicted)
    backward, nearest_prediction = predicted.query(true)
    return CloudDistances(forward, backward, nearest_target, nearest_prediction)


def observed_distances(
    prediction: NDArray[Any] | NeighbourIndex,
    target: NDArray[Any] | NeighbourIndex,
    observed: ObservedGrid,
) -> CloudDistances:
    """Find the nearest neighbours between two clouds where a scanner has seen.

    Accuracy judges the predicted points in observed voxels, against the whole truth; completeness
    asks for the true points above the ground, among the predicted points near the box.

    Args:
        prediction: (N, 3), thinned, or its index.
        target: (M, 3), or its index.
        observed: what the scanner saw, in the clouds' frame and unit.

    Returns:
        Distances of those points only; `nearest_prediction` counts the points near the box.

    Raises:
        ValueError: for non-finite points, other shapes, or where no point is left to judge.

    Source: Jensen et al. 2014 (DTU); DTUeval-python (45b4fec), eval.py.
    """
    predicted, true = as_index(prediction, "prediction"), as_index(target, "target")
    is_near, is_seen = observed.near(predicted.points), observed.seen(predicted.points)
    asked = true.points[observed.above_plane(true.points)]
    seen = predicted.points[is_seen]
    if not (len(seen) and len(asked)):
        raise ValueError(
            "observed: expected predicted points in observed voxels and true ones above the "
            f"ground, got {len(seen)} and {len(asked)}"
        )
    # A prediction that lies near the box as a whole has its index already.
    near = predicted if is_near.all() else NeighbourIndex(predicted.points[is_near])
    forward, nearest_target = true.query(seen)
    backward, nearest_prediction = near.query(asked)
    return CloudDistances(forward, backward, nearest_target, nearest_prediction)


def accuracy(distances: CloudDistances, statistic: Statistic = "mean") -> float:
    """Return the mean or median distance from the prediction to the truth, in metres.

    Source: Seitz et al. 2006; unclipped, as in Spann3R (f89d6a2).
    """
    return _reduce(distances.prediction_to_target, statistic)


def completeness(distances: CloudDistances, statistic: Statistic = "mean") -> float:
    """Return the mean or median distance from the truth to the prediction, in metres.

    Source: Seitz et al. 2006; unclipped, as in Spann3R (f89d6a2).
    """
    return _reduce(distances.target_to_prediction, statistic)


def chamfer(
    distances: CloudDistances,
    directions: Literal["sum", "mean"],
    distance: Literal["l2", "squared"],
) -> float:
    """Return the Chamfer distance in the convention that the arguments name.

    Args:
        distances: of the two clouds.
        directions: `sum` of the two directions' means (Open3D, pytorch3d), or the `mean` of the
            two, half of it ("overall" of DTU, VGGT and DA3).
        distance: `l2` in metres, or `squared` in square metres (pytorch3d).

    Raises:
        ValueError: for another convention.
    """
    if directions not in ("sum", "mean") or distance not in ("l2", "squared"):
        raise ValueError(
            "chamfer: expected directions sum or mean and distance l2 or squared, "
            f"got {directions!r} and {distance!r}"
        )
    power = 1 if distance == "l2" else 2
    total = float(
        np.mean(distances.prediction_to_target**power)
        + np.mean(distances.target_to_prediction**power)
    )
    return total if directions == "sum" else total / 2


def without_outliers(distances: CloudDistances, limit_m: float) -> CloudDistances:
    """Return the distances below the limit (strictly): farther points are dropped, not clipped.

    A prediction far from everything is thereby not punished at all; DTU's tables are made so.

    Args:
        distances: of the two clouds.
        limit_m: in the unit of the clouds; 20 mm in DTU.

    Raises:
        ValueError: for a limit that is not positive, or where no distance of a direction is left.

    Source: Jensen et al. 2014 (DTU); DTUeval-python (45b4fec), eval.py, `max_dist`.
    """
    if not limit_m > 0:
        raise ValueError(f"outliers: expected a limit above 0, got {limit_m}")
    forward = distances.prediction_to_target < limit_m
    backward = distances.target_to_prediction < limit_m
    if not (forward.any() and backward.any()):
        raise ValueError(f"outliers: expected distances below {limit_m:g} both ways, got none")
    return CloudDistances(
        distances.prediction_to_target[forward],
        distances.target_to_prediction[backward],
        distances.nearest_target[forward],
        distances.nearest_prediction[backward],
    )


def precision(distances: CloudDistances, threshold_m: float) -> float:
    """Return the fraction of predicted points nearer than the threshold to the truth (strictly).

    Source: Knapitsch et al. 2017 (Tanks and Temples), section 4.

    Raises:
        ValueError: for a threshold that is not positive.
    """
    return _fraction_below(distances.prediction_to_target, threshold_m)


def recall(distances: CloudDistances, threshold_m: float) -> float:
    """Return the fraction of true points nearer than the threshold to the prediction (strictly).

    Source: Knapitsch et al. 2017 (Tanks and Temples), section 4.

    Raises:
        ValueError: for a threshold that is not positive.
    """
    return _fraction_below(distances.target_to_prediction, threshold_m)


def fscore(distances: CloudDistances, threshold_m: float) -> float:
    """Return 2 P R / (P + R) at the threshold, and 0 where both are 0.

    Source: Knapitsch et al. 2017 (Tanks and Temples), section 4; its code divides by zero there.

    Raises:
        ValueError: for a threshold that is not positive.
    """
    p, r = precision(distances, threshold_m), recall(distances, threshold_m)
    return 2 * p * r / (p + r) if p + r > 0 else 0.0


def fscore_curve(
    distances: CloudDistances,
    thresholds_m: NDArray[Any],
    squared: bool = False,
    divide_by: Literal["intervals", "thresholds"] = "intervals",
) -> float:
    """Return the mean F-score over thresholds, by the trapezoid rule with steps of one.

    Args:
        distances: of the two clouds.
        thresholds_m: (K,) ascending, K >= 2.
        squared: whether squared distances are compared with them, so that 0.01 m lets 0.1 m pass.
        divide_by: the K - 1 `intervals`, which gives 1 to the truth, or the K `thresholds`, which
            gives it (K - 1) / K.

    Raises:
        ValueError: for fewer than two thresholds, or one that is not positive.

    Source: UniDepth (8d8cfe4), utils/evaluation_depth.py, `f1_score`: squared, by thresholds.
    """
    thresholds = np.asarray(thresholds_m, dtype=np.float64)
    if thresholds.ndim != 1 or len(thresholds) < 2 or not (thresholds > 0).all():
        raise ValueError(f"curve: expected two thresholds above 0 or more, got {thresholds}")
    power = 2 if squared else 1
    p, r = (
        np.searchsorted(np.sort(values**power), thresholds, side="left") / len(values)
        for values in (distances.prediction_to_target, distances.target_to_prediction)
    )
    total = np.where(p + r > 0, p + r, 1.0)
    area = float(np.trapezoid(2 * p * r / total))
    return area / (len(thresholds) - (1 if divide_by == "intervals" else 0))


def normal_agreement(
    distances: CloudDistances,
    prediction_normals: NDArray[Any],
    target_normals: NDArray[Any],
    statistic: Statistic = "mean",
) -> tuple[float, float]:
    """Return NC1 and NC2: |cos| between normals of nearest points, in either direction.

    Args:
        distances: of the two clouds.
        prediction_normals: (N, 3), of any length and sign.
        target_normals: (M, 3), likewise.
        statistic: mean or median over the points.

    Returns:
        NC1 from the prediction to the truth, NC2 from the truth to the prediction.

    Raises:
        ValueError: for normals that do not match the clouds, are not finite, or have zero length.

    Source: Spann3R (f89d6a2), spann3r/tools/eval_recon.py.
    """
    predicted = _unit(prediction_normals, len(distances.prediction_to_target), "prediction")
    true = _unit(target_normals, len(distances.target_to_prediction), "target")
    forward = np.abs((predicted * true[distances.nearest_target]).sum(axis=1))
    backward = np.abs((true * predicted[distances.nearest_prediction]).sum(axis=1))
    return _reduce(forward, statistic), _reduce(backward, statistic)


def normal_consistency(
    distances: CloudDistances,
    prediction_normals: NDArray[Any],
    target_normals: NDArray[Any],
    statistic: Statistic = "mean",
) -> float:
    """Return (NC1 + NC2) / 2 of `normal_agreement`."""
    return sum(normal_agreement(distances, prediction_normals, target_normals, statistic)) / 2


def relative_error(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the mean of |p - g| / |g| over corresponding points with a g off the origin.

    Args:
        prediction: (N, 3), aligned; row i corresponds to row i of the target.
        target: (N, 3), origin at the camera that distances are relative to.

    Raises:
        ValueError: for clouds that differ in size, non-finite points, or no point off the origin.

    Source: MapAnything (f7ebafb), utils/metrics.py, `m_rel_ae`.
    """
    predicted, true = _pairs_off_origin(prediction, target)
    errors = np.linalg.norm(predicted - true, axis=1)
    return float((errors / np.linalg.norm(true, axis=1)).mean())


def norm_ratio_inliers(prediction: NDArray[Any], target: NDArray[Any], ratio: float) -> float:
    """Return the share of corresponding points with max(|p| / |g|, |g| / |p|) below the ratio.

    Only distances from the origin are compared: a point on the other side of the camera passes.

    Args:
        prediction: (N, 3), aligned; row i corresponds to row i of the target.
        target: (N, 3), origin at the camera that distances are relative to.
        ratio: above 1; compared strictly.

    Raises:
        ValueError: as `relative_error`, and for a ratio of 1 or less.

    Source: MapAnything (f7ebafb), utils/metrics.py, `thresh_inliers`, with a ratio of 1.03.
    """
    if not ratio > 1:
        raise ValueError(f"inliers: expected a ratio above 1, got {ratio}")
    predicted, true = (np.linalg.norm(c, axis=1) for c in _pairs_off_origin(prediction, target))
    # Multiplied out, so that a prediction at the origin is an outlier without a division.
    return float(((predicted < ratio * true) & (true < ratio * predicted)).mean())


def scale_error(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Return |m(p) - m(g)| / m(g), m being the mean distance from the origin: how wrong metres are.

    Args:
        prediction: (N, 3) metres, not aligned, origin at the first camera.
        target: (M, 3) metres, likewise.

    Raises:
        ValueError: for an empty cloud, non-finite points, or true points all at the origin.

    Source: MapAnything (f7ebafb), benchmarking/dense_n_view/benchmark.py, `metric_scale_abs_rel`,
    of the factors of `normalize_multiple_pointclouds`.
    """
    means = [
        float(np.linalg.norm(check_cloud(points, name), axis=1).mean())
        for points, name in ((prediction, "prediction"), (target, "target"))
    ]
    if not means[1] > 0:
        raise ValueError("scale error: expected true points off the origin, got none")
    return abs(means[0] - means[1]) / means[1]


def _pairs_off_origin(prediction: NDArray[Any], target: NDArray[Any]) -> tuple[Array, Array]:
    predicted, true = check_cloud(prediction, "prediction"), check_cloud(target, "target")
    if len(predicted) != len(true):
        raise ValueError(f"expected corresponding rows, got {len(predicted)} and {len(true)}")
    off = np.linalg.norm(true, axis=1) > 0
    if not off.any():
        raise ValueError("expected true points off the origin, got none")
    return predicted[off], true[off]


def _reduce(distances: Array, statistic: Statistic) -> float:
    if statistic == "mean":
        return float(np.mean(distances))
    if statistic == "median":
        return float(np.median(distances))
    raise ValueError(f"statistic: expected mean or median, got {statistic!r}")


def _fraction_below(distances: Array, threshold_m: float) -> float:
    if not threshold_m > 0:
        raise ValueError(f"threshold: expected metres above 0, got {threshold_m}")
    return float(np.mean(distances < threshold_m))


def _unit(normals: NDArray[Any], count: int, name: str) -> Array:
    array = check_cloud(normals, f"{name} normals")
    if len(array) != count:
        raise ValueError(
            f"{name} normals: expected one for each of {count} points, got {len(array)}"
        )
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError(f"{name} normals: expected lengths above 0, got 0")
    directions: Array = array / lengths
    return directions
