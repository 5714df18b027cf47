"""Iterated closest points over a shared index, without the searches that cannot change a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.curve import Array, Indices
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index, in_chunks

# Open3D's stopping rule: the change of fitness (a fraction) and of RMSE (metres) in one step.
TOLERANCE = 1e-6
# More candidates cost more to compare at every step, fewer have to be searched again more often.
CANDIDATES = 12
# Candidates of so many points are found at once: some hundred megabytes.
STRIDE = 1 << 18
# Candidates of so many points are compared at once: they fit into a core's cache.
BLOCK = 1 << 11


def icp_point_to_point(
    source: NDArray[Any] | NeighbourIndex,
    target: NDArray[Any] | NeighbourIndex,
    max_correspondence_m: float,
    max_iterations: int = 30,
) -> Similarity:
    """Fit the rigid motion of the source onto the target by iterated closest points.

    Each iteration pairs every source point with its nearest target point within the given distance
    and fits a rigid motion to the pairs. It starts from the clouds as they stand and stops when
    fitness (the fraction of paired points) and their RMSE both change by less than 1e-6, as
    Open3D's `registration_icp` does by default.

    The twelve nearest target points of each point are kept from its last search. While it has moved
    by m since, all others are the twelfth's distance less m away at least, so the nearest of the
    twelve is the nearest of all if it is no farther than that; else the point is searched again.
    This is exact, and spares most searches.

    Args:
        source: (N, 3) metres, or its index.
        target: (M, 3) metres, or its index.
        max_correspondence_m: pairs this far apart or farther are left out.
        max_iterations: at most so many steps.

    Raises:
        ValueError: for empty clouds, non-finite points, no pair within the distance, or pairs on
            one point or line, which leave the rotation undetermined.

    Source: Besl and McKay 1992; the rotation by Umeyama 1991, equations 38 to 43; kept
    neighbours as in Greenspan and Godin 2001 ("A nearest neighbor method for efficient ICP").
    """
    if not max_correspondence_m > 0:
        raise ValueError(f"ICP: expected a distance above 0, got {max_correspondence_m}")
    pairing = _Pairing(as_index(source, "source"), as_index(target, "target"), max_correspondence_m)
    rotation, translation = np.eye(3), np.zeros(3)
    pairs = pairing.after(rotation, translation)
    for _ in range(max_iterations):
        rotation, translation = pairs.best_motion()
        previous, pairs = pairs, pairing.after(rotation, translation)
        if pairs.resembles(previous):
            break
    centre = pairing.centre
    return Similarity(1.0, rotation, translation + centre - rotation @ centre)


@dataclass(frozen=True)
class _Pairs:
    """Sums over pairs, about the target's centre.

    Attributes:
        fitness: the fraction of source points that are paired.
        rmse: of the pairs' distances, in metres.
        source_mean: (3,) of the paired source points as they stood before ICP.
        target_mean: (3,) of their neighbours.
        covariance: (3, 3) of target by source.
    """

    fitness: float
    rmse: float
    source_mean: Array
    target_mean: Array
    covariance: Array

    def best_motion(self) -> tuple[Array, Array]:
        """Return rotation and translation of the source as it stood before ICP."""
        left, spread, right = np.linalg.svd(self.covariance)
        if spread[1] <= 1e-10 * spread[0] or spread[0] == 0:
            raise ValueError("ICP: expected pairs that span a plane, got pairs on a point or line")
        sign = np.sign(np.linalg.det(left) * np.linalg.det(right))
        rotation = left @ np.diag([1.0, 1.0, sign]) @ right
        return rotation, self.target_mean - rotation @ self.source_mean

    def resembles(self, other: _Pairs) -> bool:
        """Whether a step changed so little that the next would not matter."""
        return (
            abs(self.fitness - other.fitness) < TOLERANCE
            and abs(self.rmse - other.rmse) < TOLERANCE
        )


class _Pairing:
    """The nearest target point of each source point, kept from step to step.

    All arrays follow the source's curve; points are offsets from the target's centre.
    """

    def __init__(self, source: NeighbourIndex, target: NeighbourIndex, reach_m: float) -> None:
        self.centre = target.centre
        self._target, self._reach_m = target, reach_m
        self._start: Array = source.points.take(source.order, axis=0) - self.centre
        # (3, M + 1); the last stands for no neighbour.
        self._neighbours = np.vstack([target.offsets, np.full(3, np.inf)]).T.copy()
        count, self._k = len(self._start), min(CANDIDATES, len(target))
        self._candidates = np.full((count, self._k), len(target), dtype=np.int32)
        # Where each point was searched from, and how far all but its candidates were at least.
        self._searched_at: Array = np.zeros((count, 3))
        self._others_m: Array = np.full(count, -np.inf)

    def after(self, rotation: Array, translation: Array) -> _Pairs:
        """Pair the source, moved by rotation and translation from where it started.

        Raises:
            ValueError: where no pair is within reach.
        """
        turn = np.ascontiguousarray(rotation.T)

        sums, products = np.zeros(8), np.zeros((3, 3))
        for start in range(0, len(self._start), STRIDE):
            rows = slice(start, start + STRIDE)
            added = self._pair(rows, self._start[rows] @ turn + translation)
            sums += added[0]
            products += added[1]
        count = sums[0]
        if count == 0:
            raise ValueError(f"ICP: expected pairs within {self._reach_m} m, got none")
        source_mean, target_mean = sums[2:5] / count, sums[5:8] / count
        return _Pairs(
            fitness=float(count / len(self._start)),
            rmse=float(np.sqrt(sums[1] / count)),
            source_mean=source_mean,
            target_mean=target_mean,
            covariance=products / count - np.outer(target_mean, source_mean),
        )

    def _pair(self, rows: slice, here: Array) -> tuple[Array, Array]:
        """Bring the neighbours of some rows up to date and return their sums.

        Returns:
            (8,) the number of pairs, their squared distances, source and target points; and (3, 3)
            the products of target and source points.
        """
        places, distances = np.empty(len(here), dtype=np.int64), np.empty(len(here))
        candidates, start = self._candidates[rows], self._start[rows]
        searched_at, others_m = self._searched_at[rows], self._others_m[rows]

        def compare(chunk: slice) -> Indices:
            found = self._nearest_candidate(candidates[chunk], here[chunk])
            places[chunk], distances[chunk] = found
            moved = here[chunk] - searched_at[chunk]
            others = others_m[chunk] - np.sqrt(np.einsum("ij,ij->i", moved, moved))
            late: Indices = np.flatnonzero(np.minimum(distances[chunk], self._reach_m) > others)
            late += chunk.start
            return late

        def add_up(chunk: slice) -> tuple[Array, Array]:
            paired = np.flatnonzero(distances[chunk] < self._reach_m)
            source = start[chunk].take(paired, axis=0)
            target = self._neighbours.take(places[chunk].take(paired), axis=1)
            squares = float((distances[chunk][paired] ** 2).sum())
            sums = np.concatenate([[paired.size, squares], source.sum(axis=0), target.sum(axis=1)])
            return sums, target @ source

        stale = np.concatenate(in_chunks(compare, len(here)))
        if stale.size:
            places[stale], distances[stale] = self._search(stale + rows.start, here[stale])
        sums, products = zip(*in_chunks(add_up, len(here)), strict=True)
        return np.sum(sums, axis=0), np.sum(products, axis=0)

    def _nearest_candidate(
        self, candidates: NDArray[np.int32], here: Array
    ) -> tuple[Indices, Array]:
        places, distances = np.empty(len(here), dtype=np.int64), np.empty(len(here))
        for start in range(0, len(here), BLOCK):
            block = slice(start, start + BLOCK)
            known = candidates[block].astype(np.int64)
            squares, along = np.zeros(known.shape), np.empty(known.shape)
            for axis in range(3):
                # Any mode but the default writes to `out` without a copy; no place is out of range.
                self._neighbours[axis].take(known, out=along, mode="wrap")
                along -= here[block, axis, None]
                along *= along
                squares += along
            rows, nearest = np.arange(len(known)), squares.argmin(axis=1)
            places[block] = known[rows, nearest]
            distances[block] = np.sqrt(squares[rows, nearest])
        return places, distances

    def _search(self, rows: Indices, here: Array) -> tuple[Indices, Array]:
        # Farther than pairs are, so that a point without one is not searched for at every step.
        within_m = 1.5 * self._reach_m
        distances, places = self._target.nearest(here, self._k, within_m)
        distances, places = distances.reshape(-1, self._k), places.reshape(-1, self._k)
        self._candidates[rows] = places
        self._searched_at[rows] = here
        all_known = self._k == len(self._target)
        self._others_m[rows] = np.inf if all_known else np.minimum(distances[:, -1], within_m)
        return places[:, 0], distances[:, 0]
