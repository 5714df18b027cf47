"""Points in an order in which neighbours in space are neighbours in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

# A cell that holds more points than this is searched for repeated ones.
CROWD = 64
# The box of the curve is taken from so many points.
SAMPLE_SIZE = 1 << 12
CELL_BITS = 13


def _spread_bits() -> Indices:
    """Return every cell number of one axis with two zero bits between its bits."""
    cells = np.arange(1 << CELL_BITS)
    return sum((((cells >> bit) & 1) << (3 * bit) for bit in range(CELL_BITS)), start=0 * cells)


SPREAD = _spread_bits()


@dataclass(frozen=True, eq=False)
class Curve:
    """The order of a cloud along a Morton curve, repeated points side by side.

    Attributes:
        order: (N,) the index of the point at each place of the curve.
        starts: (D + 1,) the place of the first of each distinct point, and N; None where no cell of
            the curve is so crowded that repeated points would matter.
    """

    order: Indices
    starts: Indices | None

    @property
    def distinct(self) -> Indices:
        """The index of the first of each distinct point, along the curve, (D,)."""
        return self.order if self.starts is None else self.order[self.starts[:-1]]

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give each point the value of its distinct point.

        Args:
            values: (D, ...), along the curve.

        Returns:
            (N, ...), in the order of the cloud.
        """
        if self.starts is not None:
            values = np.repeat(values, np.diff(self.starts), axis=0)
        spread = np.empty_like(values)
        spread[self.order] = values
        return spread


def sample(points: Array) -> Array:
    """Return evenly many of the points: all up to 4,096, and no more than that."""
    return points[:: 1 + len(points) // SAMPLE_SIZE]


def along_curve(points: Array) -> Curve:
    """Sort a cloud along a Morton curve.

    Args:
        points: (N, 3) float64, finite.

    Source: Morton 1966.
    """
    if len(points) == 0:
        return Curve(np.empty(0, dtype=np.int64), None)
    keys, index_bits = _cells(points), len(points).bit_length()
    # Cell and index in one number: sorting numbers is several times faster than sorting by them.
    keys = np.sort((keys << index_bits) | np.arange(len(points)))
    order = keys & ((1 << index_bits) - 1)
    return Curve(order, _gather_repeated(points, order, keys >> index_bits))


def _cells(points: Array) -> Indices:
    """Return the number of each point's cell, few enough bits to leave room for its index."""
    # Between quantiles, because a few far outliers would leave all others in one cell.
    low, high = np.quantile(sample(points), [0.01, 0.99], axis=0)
    if not (low < high).any():
        low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    scale = (len(SPREAD) - 1) / extent if extent > 1e-300 else 0.0
    coarser = max(0, CELL_BITS - (63 - len(points).bit_length()) // 3)
    numbers = np.zeros(len(points), dtype=np.int64)
    for axis in range(3):
        cells = np.clip((points[:, axis] - low[axis]) * scale, 0, len(SPREAD) - 1)
        numbers |= SPREAD[cells.astype(np.int64) >> coarser] << axis
    return numbers


def _gather_repeated(points: Array, order: Indices, cells: Indices) -> Indices | None:
    """Bring repeated points together within the order, and return where each distinct one starts.

    A k-d tree cannot split repeated points: every query near would be compared with all of them.
    """
    firsts = np.flatnonzero(np.diff(cells, prepend=-1))
    population = np.diff(firsts, append=len(cells))
    if population.max() <= CROWD:
        return None
    crowded = np.flatnonzero(np.repeat(population > CROWD, population))
    within = np.lexsort((*points[order[crowded]].T, cells[crowded]))
    order[crowded] = order[crowded[within]]
    ordered = points[order]
    differs = (ordered[1:] != ordered[:-1]).any(axis=1)
    if differs.all():
        return None
    return np.concatenate([[0], np.flatnonzero(differs) + 1, [len(points)]])
