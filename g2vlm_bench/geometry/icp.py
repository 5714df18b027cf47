"""Iterated closest points over a shared index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.curve import Array
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index, compiles

# Open3D's stopping rule: the change of fitness (a fraction) and of RMSE (metres) in one step.
TOLERANCE = 1e-6
# So many points are paired at once, which bounds the memory.
STRIDE = 1 << 18


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

    Every step has every nearest neighbour. Where numba is installed (the extra `fast`), large
    clouds keep lists of what may become a neighbour while they move (`compiled_icp.MovingCloud`),
    and the motion differs by rounding: 1e-12. Without it each step searches anew: interpreted
    code would compare a dozen kept neighbours for as long as a search along the curve takes.

    Args:
        source: (N, 3) metres, or its index.
        target: (M, 3) metres, or its index.
        max_correspondence_m: pairs this far apart or farther are left out.
        max_iterations: at most so many steps.

    Raises:
        ValueError: for empty clouds, non-finite points, no pair within the distance, or pairs on
            one point or line, which leave the rotation undetermined.

    Source: Besl and McKay 1992; the rotation by Umeyama 1991, equations 38 to 43.
    """
    if not max_correspondence_m > 0:
        raise ValueError(f"ICP: expected a distance above 0, got {max_correspondence_m}")
    clouds = as_index(source, "source"), as_index(target, "target")
    kind = _CompiledPairing if compiles(min(map(len, clouds))) else _Pairing
    pairing = kind(*clouds, max_correspondence_m)
    rotation, translation = np.eye(3), np.zeros(3)
    previous: _Pairs | None = None
    for _ in range(max_iterations):
        pairs = pairing.after(rotation, translation)
        if previous is not None and pairs.resembles(previous):
            break
        rotation, translation = pairs.best_motion()
        previous = pairs
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
    """The nearest target point of each source point within reach.

    All arrays follow the source's curve; points are offsets from the target's centre.
    """

    def __init__(self, source: NeighbourIndex, target: NeighbourIndex, reach_m: float) -> None:
        self.centre = target.centre
        self._target, self._reach_m = target, reach_m
        self._start: Array = source.points.take(source.order, axis=0) - self.centre
        self._neighbours = target.offsets

    def after(self, rotation: Array, translation: Array) -> _Pairs:
        """Pair the source, moved by rotation and translation from where it started.

        Raises:
            ValueError: where no pair is within reach.
        """
        sums = self._sums(rotation, translation)
        count = sums[0]
        if count == 0:
            raise ValueError(f"ICP: expected pairs within {self._reach_m} m, got none")
        source_mean, target_mean = sums[2:5] / count, sums[5:8] / count
        return _Pairs(
            fitness=float(count / len(self._start)),
            rmse=float(np.sqrt(sums[1] / count)),
            source_mean=source_mean,
            target_mean=target_mean,
            covariance=sums[8:].reshape(3, 3) / count - np.outer(target_mean, source_mean),
        )

    def _sums(self, rotation: Array, translation: Array) -> Array:
        """Return the pairs' number, squares, points, neighbours and products, (17,)."""
        motion = Similarity(1.0, rotation, translation)
        sums, products = np.zeros(8), np.zeros((3, 3))
        for first in range(0, len(self._start), STRIDE):
            start = self._start[first : first + STRIDE]
            found, places = self._target.nearest(motion.apply(start), 1, self._reach_m)
            paired = found < self._reach_m
            if not paired.all():
                start, found, places = start[paired], found[paired], places[paired]
            target = self._neighbours.take(places, axis=0)
            # BLAS would wake threads for sums this short, and the search would have to share cores.
            totals = np.einsum("ni->i", start), np.einsum("ni->i", target)
            sums += [len(found), np.einsum("n,n->", found, found), *totals[0], *totals[1]]
            products += np.einsum("ni,nj->ij", target, start)
        return np.concatenate([sums, products.ravel()])


class _CompiledPairing(_Pairing):
    """The same pairs by compiled code, from places that a first search found."""

    def __init__(self, source: NeighbourIndex, target: NeighbourIndex, reach_m: float) -> None:
        from g2vlm_bench.geometry.compiled_icp import MovingCloud

        super().__init__(source, target, reach_m)
        _, places = target.nearest(self._start, 1, reach_m)
        self._cloud = MovingCloud(self._start, self._neighbours, places, reach_m)

    def _sums(self, rotation: Array, translation: Array) -> Array:
        return self._cloud.sums(rotation, translation)
