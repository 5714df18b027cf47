"""Exact nearest neighbours in a cloud.

What costs time in a k-d tree of a million points is waiting for memory. So points and queries are
sorted along a Morton curve first, after which neighbours in space are neighbours in memory, and
queries that follow each other visit the same leaves. It changes the order of the work, not a digit
of its result. The tree is pykdtree's where that is installed (the extra `fast`), else scipy's,
which takes twice as long for the same distances.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from g2vlm_bench.geometry.curve import Array, Indices, along_curve, sample

if TYPE_CHECKING:
    from g2vlm_bench.geometry.alignment import Similarity

T = TypeVar("T")
# Queries, how many neighbours and how far -> distances and places, as `SortedTree.nearest`.
Ask = Callable[[Array, int, float], tuple[Array, Indices]]

LEAF_SIZE = 32
# Queries of one call of the tree: enough to hide the call, few enough to share one bound.
CHUNK = 1 << 14
# One query in so many is asked first, without a bound, to learn how far neighbours are.
SAMPLE_STEP = 128
# Below this many points a build is shorter than starting a thread for it.
BACKGROUND_SIZE = 1 << 15
# From this many points on compiled code saves more than the seconds that compiling takes once.
COMPILED_SIZE = 1 << 16


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
    if not np.isfinite(array).all():
        finite = int(np.isfinite(array).all(axis=1).sum())
        raise ValueError(
            f"{name}: expected finite coordinates, "
            f"got {len(array) - finite} non-finite points of {len(array)}"
        )
    return array


class NeighbourIndex:
    """An index of one cloud, built once and asked by accuracy, completeness, normals and ICP alike.

    Coordinates are centred in float64 before anything else: the square of a UTM coordinate
    (5.4e6 m) has no digits left for millimetres. A large cloud is indexed in a thread of its own,
    so that two indices made one after the other are built at the same time.

    Args:
        points: (N, 3) metres, N >= 1.

    Attributes:
        points: the cloud in float64, as it was given.

    Raises:
        ValueError: for an empty cloud, another shape, or non-finite points.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self.points: Array = check_cloud(points)
        self._motion: Similarity | None = None
        self._tree: Future[SortedTree] = Future()
        if len(self.points) < BACKGROUND_SIZE:
            self._tree.set_result(SortedTree(self.points))
        else:
            builder = ThreadPoolExecutor(1)
            self._tree = builder.submit(SortedTree, self.points)
            builder.shutdown(wait=False)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def order(self) -> Indices:
        """The index of the point at each place of the curve, (N,)."""
        return self._tree.result().curve.order

    @property
    def centre(self) -> Array:
        """The point that offsets are from, (3,)."""
        centre = self._tree.result().centre
        return centre if self._motion is None else self._motion.apply(centre)

    @property
    def offsets(self) -> Array:
        """The points less the centre, in the order of the curve, (N, 3)."""
        points = self._tree.result().points
        if self._motion is None:
            return points
        return self._motion.scale * self._motion.apply_normals(points)

    def moved(self, motion: Similarity) -> NeighbourIndex:
        """Return the index of the moved cloud, which shares the tree: all distances scale alike."""
        index = copy(self)
        index.points = motion.apply(self.points)
        index._motion = motion if self._motion is None else self._motion.then(motion)
        return index

    def query(
        self, points: NDArray[Any] | NeighbourIndex, k: int = 1, within_m: float = np.inf
    ) -> tuple[Array, Indices]:
        """Return the distance to, and the index of, the k nearest indexed points of each point.

        Args:
            points: (M, 3) metres, or the index of a cloud, which is sorted already.
            k: how many neighbours, at most the number of indexed points.
            within_m: points this far or farther are no neighbours; a bound saves time.

        Returns:
            Euclidean distances in metres and indices, (M,) each for k = 1, else (M, k), nearest
            first; inf and N where there is no neighbour. Points at the same distance come in any
            order.

        Raises:
            ValueError: for non-finite points, another shape, or a k or distance out of range.

        Source: Bentley 1975 (k-d trees, here scipy's), Morton 1966 (the curve).
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"neighbours: expected k from 1 to {len(self)}, got {k}")
        if not within_m > 0:
            raise ValueError(f"neighbours: expected a distance above 0, got {within_m}")
        if isinstance(points, NeighbourIndex):
            queries, curve = points.points, points._tree.result().curve
        else:
            queries = check_cloud(points, at_least=0)
            curve = along_curve(queries)
        offsets = queries.take(curve.distinct, axis=0) - self.centre
        distances, places = self.nearest(offsets, k, within_m)
        indices = np.append(self.order, len(self)).take(places)
        return curve.spread(distances), curve.spread(indices)

    def nearest(
        self, offsets: Array, k: int = 1, within_m: float = np.inf
    ) -> tuple[Array, Indices]:
        """Return distances and places of the k nearest points: `query` for sorted offsets.

        It keeps all cores busy by itself; many offsets at once are asked fastest.

        Args:
            offsets: (M, 3) points less the centre, those close to each other together.
            k: how many neighbours, at most N.
            within_m: points this far or farther are no neighbours.

        Returns:
            Metres and places on the curve, (M,) each for k = 1, else (M, k), nearest first; inf
            and N where there is no neighbour.
        """
        motion = self._motion
        if motion is None:
            return self._tree.result().nearest(offsets, k, within_m)
        back = motion.inverse().apply_normals(offsets) / motion.scale
        distances, places = self._tree.result().nearest(back, k, within_m / motion.scale)
        return distances * motion.scale, places


class SortedTree:
    """A k-d tree over points in the order of a Morton curve.

    Args:
        points: (N, 3) float64, finite, N >= 1.

    Attributes:
        curve: of the points.
        centre: (3,) what was subtracted from every point.
        points: (N, 3) the centred points in the order of the curve.
    """

    def __init__(self, points: Array) -> None:
        self.curve = along_curve(points)
        # Outliers would drag the mean far from the cloud, and far from it digits are lost.
        self.centre: Array = np.median(sample(points), axis=0)
        self.points: Array = points.take(self.curve.order, axis=0)
        self.points -= self.centre
        self._starts = self.curve.starts
        distinct = self.points if self._starts is None else self.points[self._starts[:-1]]
        self._distinct = len(distinct)
        self._ask = _tree_of(distinct)

    def nearest(self, queries: Array, k: int, within: float) -> tuple[Array, Indices]:
        """Return the distances and places of the k nearest points of each query, nearest first.

        Args:
            queries: (M, 3) centred; those that follow each other should be close.
            k: how many, at most N.
            within: points this far or farther are left out: distance inf, place N.

        Returns:
            (M,) each for k = 1, else (M, k).
        """
        wanted = min(k, self._distinct)
        distances, places = self._ask(queries, wanted, within)
        if self._starts is None:
            return distances, places
        return _with_repeated(self._starts, distances, places, k)


def _tree_of(points: Array) -> Ask:
    """Build the fastest tree there is; both compute the same distances."""
    try:
        from pykdtree.kdtree import KDTree
    except ImportError:
        return _scipy_tree_of(points)
    tree = KDTree(points)

    def ask(queries: Array, k: int, within: float) -> tuple[Array, Indices]:
        if not len(queries):
            return np.empty(_shape(0, k)), np.empty(_shape(0, k), dtype=np.int64)
        bound = None if within == np.inf else within
        distances, places = tree.query(queries, k, distance_upper_bound=bound)
        return distances, places.astype(np.int64)

    return ask


def _scipy_tree_of(points: Array) -> Ask:
    # Of all ways to build the tree this is the fastest, and with large leaves, which the curve lays
    # side by side, it is asked as fast as any. Compact nodes with splits in the middle of boxes
    # would take several times as long from points far off the surface.
    tree = cKDTree(points, leafsize=LEAF_SIZE, balanced_tree=False, compact_nodes=False)

    def ask(queries: Array, k: int, within: float) -> tuple[Array, Indices]:
        shape = _shape(len(queries), k)
        distances, places = np.empty(shape), np.empty(shape, dtype=np.int64)

        def ask_some(chunk: slice) -> None:
            # Neighbours of some queries tell how far to look for the others', which spares most of
            # the search; the few that have neighbours farther away are asked again.
            some = queries[chunk]
            first, _ = tree.query(some[::SAMPLE_STEP], k, distance_upper_bound=within)
            bound = min(1.3 * float(np.max(first)), within) or within
            distances[chunk], places[chunk] = tree.query(some, k, distance_upper_bound=bound)
            if bound < within:
                farthest = places[chunk] if k == 1 else places[chunk, -1]
                again = chunk.start + np.flatnonzero(farthest == tree.n)
                if again.size:
                    found = tree.query(queries[again], k, distance_upper_bound=within)
                    distances[again], places[again] = found

        in_chunks(ask_some, len(queries))
        return distances, places

    return ask


def _shape(rows: int, k: int) -> tuple[int, ...]:
    return (rows,) if k == 1 else (rows, k)


def as_index(cloud: NDArray[Any] | NeighbourIndex, name: str, at_least: int = 1) -> NeighbourIndex:
    """Return the cloud's index: itself where it is one.

    Args:
        cloud: (N, 3) metres, or its index.
        name: what the error message calls it.
        at_least: the fewest points that make sense to the caller.

    Raises:
        ValueError: as `check_cloud` does.
    """
    if isinstance(cloud, NeighbourIndex):
        check_cloud(cloud.points, name, at_least)
        return cloud
    return NeighbourIndex(check_cloud(cloud, name, at_least))


def compiles(count: int) -> bool:
    """Whether a cloud of so many points is worth compiled code, and numba is there to make it."""
    if count < COMPILED_SIZE:
        return False
    try:
        from g2vlm_bench.geometry import compiled  # noqa: F401
    except ImportError:
        return False
    return True


def in_chunks(work: Callable[[slice], T], count: int) -> list[T]:
    """Return what the work gives for each chunk of `count` rows, in order, on all cores.

    Args:
        work: called with a slice of rows; numpy and scipy release the interpreter meanwhile.
        count: of all rows.
    """
    chunks = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if len(chunks) < 2:
        return [work(chunk) for chunk in chunks]
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, chunks))


def _with_repeated(
    starts: Indices, distances: Array, places: Indices, k: int
) -> tuple[Array, Indices]:
    """Count every distinct neighbour as often as it is repeated, up to k."""
    if k == 1:
        return distances, starts[places]
    rows = len(distances)
    distances, places = distances.reshape(rows, -1), places.reshape(rows, -1)
    # A missing neighbour is repeated until the row is full.
    repeats = np.append(np.diff(starts), k)[places]
    before = np.cumsum(repeats, axis=1) - repeats
    repeats = np.clip(k - before, 0, repeats).ravel()
    offsets = np.arange(rows * k) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    first = np.repeat(starts[places].ravel(), repeats)
    return (
        np.repeat(distances.ravel(), repeats).reshape(rows, k),
        np.minimum(first + offsets, starts[-1]).reshape(rows, k),
    )
