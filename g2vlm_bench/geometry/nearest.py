"""Exact nearest neighbours in a cloud."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


def check_cloud(points: NDArray[Any], name: str = "points", at_least: int = 1) -> Array:
    """Return the cloud in float64 after checking its shape, size and finiteness.

    Args:
        points: (N, 3) metres.
        name: what the error message calls it.
        at_least: the fewest points that make sense to the caller.

    Raises:
        ValueError: for another shape, fewer points, or a point that is NaN or infinite.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name}: expected shape (N, 3), got {array.shape}")
    if len(array) < at_least:
        raise ValueError(f"{name}: expected at least {at_least} points, got {len(array)}")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{name}: expected finite coordinates, "
            f"got {len(array) - int(finite.sum())} non-finite points of {len(array)}"
        )
    return array


class NeighbourIndex:
    """An index of one cloud, built once and asked by accuracy, completeness and normals alike.

    Coordinates are centred in float64 before anything else: the square of a UTM coordinate
    (5.4e6 m) has no digits left for millimetres.

    Args:
        points: (N, 3) metres, N >= 1.

    Attributes:
        points: the cloud in float64, as it was given.

    Raises:
        ValueError: for an empty cloud, another shape, or non-finite points.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self.points: Array = check_cloud(points)
        self._centre: Array = self.points.mean(axis=0)
        self._tree = cKDTree(self.points - self._centre)

    def __len__(self) -> int:
        return len(self.points)

    def query(self, points: NDArray[Any], k: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Return the distance to, and the index of, the k nearest indexed points of each point.

        Args:
            points: (M, 3) metres.
            k: how many neighbours, at most the number of indexed points.

        Returns:
            Euclidean distances in metres and indices, (M,) each for k = 1, else (M, k), nearest
            first.

        Raises:
            ValueError: for non-finite points, another shape, or a k out of range.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"neighbours: expected k from 1 to {len(self)}, got {k}")
        queries = check_cloud(points, at_least=0) - self._centre
        distances, indices = self._tree.query(queries, k=k, workers=-1)
        return np.asarray(distances), np.asarray(indices, dtype=np.int64)
