"""Scatters of each point's k nearest points, compiled, without the neighbours being written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.compiled import (
    LANES,
    LEAF,
    MOST,
    REACH,
    STACK,
    Boxes,
    Leaves,
    Y,
    Z,
    kernel,
    leaves_near,
)
from g2vlm_bench.geometry.curve import Array, Indices

# Leaves along the curve whose points give a first bound: twice as many points as neighbours.
WINDOW = 8
# Candidates are filled up with points at infinity to whole blocks: no loop has a slow end.
BLOCK = 32
CANDIDATES = MOST * LEAF
# Rounds that look for a radius with k points within it: about 6 are needed, ties never end.
ROUNDS = 24
# Such rounds for the first bound, which need not be the least.
ROUGHLY = 8


def takes(count: int, k: int) -> bool:
    """Whether `scatters` is made for k neighbours in a cloud of so many points."""
    return count > WINDOW * LEAF >= 2 * k


def scatters(boxes: Boxes, k: int, rows: slice) -> tuple[Array, NDArray[np.bool_]]:
    """Sum the scatter of each point's k nearest points about their mean.

    Args:
        boxes: over points that `takes` admits.
        k: neighbours, 3 or more, the point itself among them.
        rows: consecutive points.

    Returns:
        (n, 3, 3), and whether each is known, (n,): it is not where points are too crowded to be
        compared, or the k-th and the next are equally far.
    """
    count = rows.stop - rows.start
    scatter, known = np.empty((count, 3, 3)), np.zeros(count, dtype=np.bool_)
    _scatters(*boxes, k, rows.start, rows.stop, scatter, known)
    return scatter, known


@kernel
def _gather(columns: Array, leaves: Leaves, count: int, near: Array) -> int:
    """Write the points of the leaves axis by axis, filled up with inf; return how many."""
    for j in range(count):
        for k in range(LEAF):
            for axis in range(3):
                near[axis, j * LEAF + k] = columns[axis, leaves[j] * LEAF + k]
    filled = (count * LEAF + BLOCK - 1) // BLOCK * BLOCK
    near[:, count * LEAF : filled] = np.inf
    return filled


@kernel
def _square_distances(near: Array, count: int, x: float, y: float, z: float, out: Array) -> None:
    for j in range(count):
        dx, dy, dz = near[0, j] - x, near[1, j] - y, near[2, j] - z
        out[j] = dx * dx + dy * dy + dz * dz


@kernel
def _greatest(squares: Array, count: int) -> float:
    greatest = 0.0
    for j in range(count):
        greatest = squares[j] if squares[j] > greatest else greatest
    return greatest


@kernel
def _number_within(squares: Array, count: int, limit: float) -> int:
    number = 0
    for j in range(count):
        number += 1 if squares[j] <= limit else 0
    return number


@kernel
def _radius(
    squares: Array, count: int, k: int, first: float, high: float, many: float, rounds: int
) -> tuple[float, bool]:
    """Find a squared radius with exactly k points within it; else one with at least k, and False.

    `high` is known to hold at least k, perhaps `many`. On a surface the count grows with the square
    of the radius, so that a straight line soon meets it.
    """
    low, few, limit = 0.0, 0.0, first
    for turn in range(rounds):
        within = _number_within(squares, count, limit)
        if within == k:
            return limit, True
        if within > k:
            high, many = limit, float(within)
        else:
            low, few = limit, float(within)
        share = 0.5 if turn % 3 == 2 else (k + 0.3 - few) / (many - few)
        limit = low + min(max(share, 0.04), 0.96) * (high - low)
    return high, False


@kernel
def _add_up(
    near: Array, squares: Array, count: int, limit: float, k: int, x: float, y: float, z: float,
    scatter: Array,
) -> None:  # fmt: skip
    """Write the scatter of the k points within the limit, from offsets to one of them."""
    a = b = c = xx = xy = xz = yy = yz = zz = 0.0
    for j in range(count):
        inside = squares[j] <= limit
        dx = near[0, j] - x if inside else 0.0
        dy = near[1, j] - y if inside else 0.0
        dz = near[2, j] - z if inside else 0.0
        a += dx
        b += dy
        c += dz
        xx += dx * dx
        xy += dx * dy
        xz += dx * dz
        yy += dy * dy
        yz += dy * dz
        zz += dz * dz
    scatter[0, 0], scatter[1, 1], scatter[2, 2] = xx - a * a / k, yy - b * b / k, zz - c * c / k
    scatter[0, 1] = scatter[1, 0] = xy - a * b / k
    scatter[0, 2] = scatter[2, 0] = xz - a * c / k
    scatter[1, 2] = scatter[2, 1] = yz - b * c / k


@kernel
def _scatters(
    groups: Array, columns: Array, starts: Indices, k: int, first: int, stop: int,
    scatter: Array, known: NDArray[np.bool_],
) -> None:  # fmt: skip
    lanes, stack, eight = np.zeros(6 * LANES), np.empty(STACK, np.int64), np.empty(8)
    leaves, window = np.empty(MOST, np.int32), np.empty(WINDOW, np.int32)
    near, squares = np.empty((3, CANDIDATES + BLOCK)), np.empty(CANDIDATES + BLOCK)
    # The last leaf may be filled up with points at infinity.
    full = columns.shape[1] // LEAF - 1
    for start in range(first, stop, LANES):
        for i in range(LANES):
            at = min(start + i, stop - 1)
            lanes[i], lanes[Y + i], lanes[Z + i] = columns[0, at], columns[1, at], columns[2, at]
        begin = min(max(start // LEAF - WINDOW // 2 + 1, 0), full - WINDOW)
        for j in range(WINDOW):
            window[j] = begin + j
        count = _gather(columns, window, WINDOW, near)
        for i in range(LANES):
            _square_distances(near, count, lanes[i], lanes[Y + i], lanes[Z + i], squares)
            high = _greatest(squares, count)
            square, _ = _radius(squares, count, k, high * k / count, high, float(count), ROUGHLY)
            # Boxes as far as the bound itself may hold the k-th.
            lanes[REACH + i] = square * (1 + 1e-12)
        length = leaves_near(groups, starts, lanes, stack, eight, leaves)
        if length < 0:
            continue
        count = _gather(columns, leaves, length, near)
        for i in range(min(LANES, stop - start)):
            x, y, z, high = lanes[i], lanes[Y + i], lanes[Z + i], lanes[REACH + i]
            _square_distances(near, count, x, y, z, squares)
            square, exact = _radius(squares, count, k, high, high, 2.0 * k, ROUNDS)
            if exact:
                at = start - first + i
                known[at] = True
                _add_up(near, squares, count, square, k, x, y, z, scatter[at])
