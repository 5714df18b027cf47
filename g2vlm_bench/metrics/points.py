"""Metrics of a predicted cloud against the true one.

`cloud_distances` finds both directions of nearest neighbours once; every metric is a small reducer
of its result. Distances are Euclidean, in metres, unsquared unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.nearest import NeighbourIndex, check_cloud

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
    predicted, true = _index(prediction, "prediction"), _index(target, "target")
    forward, nearest_target = true.query(predicted.points)
    backward, nearest_prediction = predicted.query(true.points)
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


def normal_consistency(
    distances: CloudDistances,
    prediction_normals: NDArray[Any],
    target_normals: NDArray[Any],
) -> float:
    """Return (NC1 + NC2) / 2: the mean |cos| between normals of nearest points, both directions.

    Args:
        distances: of the two clouds.
        prediction_normals: (N, 3), of any length and sign.
        target_normals: (M, 3), likewise.

    Raises:
        ValueError: for normals that do not match the clouds, are not finite, or have zero length.

    Source: Spann3R (f89d6a2), NC1 from prediction to truth, NC2 from truth to prediction.
    """
    predicted = _unit(prediction_normals, len(distances.prediction_to_target), "prediction")
    true = _unit(target_normals, len(distances.target_to_prediction), "target")
    forward = np.abs((predicted * true[distances.nearest_target]).sum(axis=1))
    backward = np.abs((true * predicted[distances.nearest_prediction]).sum(axis=1))
    return float((forward.mean() + backward.mean()) / 2)


def _index(cloud: NDArray[Any] | NeighbourIndex, name: str) -> NeighbourIndex:
    # One point has no extent; its scores would say where it is, not what it looks like.
    if isinstance(cloud, NeighbourIndex):
        check_cloud(cloud.points, name, at_least=2)
        return cloud
    return NeighbourIndex(check_cloud(cloud, name, at_least=2))


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
