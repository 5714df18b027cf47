"""Relations between things read from points on them: which is nearer, what stands on what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORDER_RELATIONS = ("nearer", "left", "above", "on")
METRIC_RELATIONS = ("distance", "range")
RELATIONS = (*ORDER_RELATIONS, *METRIC_RELATIONS)

# A thing's lowest and highest points, without the few that a silhouette smears.
_LOW, _HIGH = 0.05, 0.95
# A thing is on another where its foot is this near to the other's top, in its own heights.
_GAP = 0.35


def answer_from_geometry(
    relation: str, objects: Sequence[Array], up: Array | None = None
) -> bool | float:
    """Answer a question about one or two objects from points on them.

    Args:
        relation: `nearer` (is the first nearer to the camera than the second), `left` (further
            left in the camera's frame), `above` (higher), `on` (does the first stand on the
            second), `distance` (between the middles of what is seen of both), `range` (from the
            camera to the middle of what is seen of the first).
        objects: `(N, 3)` points of each object in the camera's frame; any unit for the first four,
            whose answers do not depend on it, metres for the others.
        up: `(3,)` unit vector against gravity in that frame, for `above` and `on`.

    Returns:
        A truth value, or a length in the points' unit. The middle of an object is the median of
        its points, coordinate by coordinate; its distance to the camera the median of theirs.

    Raises:
        ValueError: The relation is unknown, an object has no finite point, or `up` is missing.
    """
    if relation not in RELATIONS:
        raise ValueError(f"expected a relation of {', '.join(RELATIONS)}, got {relation!r}")
    wanted = 1 if relation == "range" else 2
    if len(objects) != wanted:
        raise ValueError(f"expected {wanted} objects for {relation!r}, got {len(objects)}")
    points = [_finite(cloud) for cloud in objects]
    if relation in ("nearer", "range"):
        ranges = [float(np.median(np.linalg.norm(cloud, axis=1))) for cloud in points]
        return ranges[0] if relation == "range" else ranges[0] < ranges[1]
    middles = [np.median(cloud, axis=0) for cloud in points]
    if relation == "distance":
        return float(np.linalg.norm(middles[0] - middles[1]))
    if relation == "left":
        return bool(middles[0][0] < middles[1][0])
    if up is None:
        raise ValueError(f"expected the direction of gravity for {relation!r}, got none")
    if relation == "above":
        return bool(middles[0] @ up > middles[1] @ up)
    return _stands_on(points[0], points[1], up)


def _finite(cloud: Array) -> Array:
    kept = np.asarray(cloud, np.float64).reshape(-1, 3)
    kept = kept[np.isfinite(kept).all(axis=1)]
    if len(kept) == 0:
        raise ValueError("expected finite points on the object, got none")
    return kept


def _stands_on(upper: Array, lower: Array, up: Array) -> bool:
    """Whether the foot of one is at the top of the other, and over it; free of any unit."""
    low, high = np.quantile(upper @ up, [_LOW, _HIGH])
    top = np.quantile(lower @ up, _HIGH)
    level = np.eye(3) - np.outer(up, up)
    middle, other = np.median(upper, axis=0) @ level, np.median(lower, axis=0) @ level
    reach = np.quantile(np.linalg.norm(lower @ level - other, axis=1), _HIGH)
    near = abs(low - top) <= _GAP * (high - low)
    return bool(near and np.linalg.norm(middle - other) <= reach)
