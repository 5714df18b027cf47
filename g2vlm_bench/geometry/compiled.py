"""Kernels over sorted points, compiled by numba (the extra `fast`) where a cloud is large.

Sixteen points that follow each other are searched for together. One walk through a hierarchy of
bounding boxes finds the leaves (8 points each) that any of the sixteen needs, and these are
compared with all sixteen in vector registers. All of it is in float64 and exact: a leaf is left out
only where its box lies beyond what is known to hold the neighbours. Results do not depend on how
the work is divided among threads.

Arrays named `lanes` hold six rows of sixteen values: x, y, z, the square of a distance, the place
of the nearest point (-1: none), and the square of how far to look.

Source: boxes of an implicit hierarchy over a Morton curve as in Lauterbach et al. 2009; lists that
outlive motion as in Verlet 1967.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from g2vlm_bench.geometry.curve import Array, Indices

F = TypeVar("F", bound=Callable[..., object])
Leaves = NDArray[np.int32]

LANES = 16
LEAF = 8
FAN = 8
# Rows of `lanes`, each 16 values on.
Y, Z, SQUARE, PLACE, REACH = 16, 32, 48, 64, 80
# Boxes that wait to be looked into: fewer than 8 a level, at most 15 levels.
STACK = 128
# No NaN comes in, and sums may be taken in the order that vector registers like.
LIBERTIES = {"nnan", "nsz", "contract", "reassoc"}
# The most leaves that sixteen points are compared with at once.
MOST = 192


def kernel(function: F) -> F:
    """Compile a function at its first call, and keep the code where numba finds a place for it.

    Kept code is stale where a kernel of *another* file that it calls has changed: numba looks at
    the caller's file alone. Who edits kernels deletes `geometry/__pycache__`.
    """
    try:
        return cast(F, njit(cache=True, nogil=True, fastmath=LIBERTIES)(function))
    except RuntimeError:
        return cast(F, njit(nogil=True, fastmath=LIBERTIES)(function))


class Boxes(NamedTuple):
    """Bounding boxes over points in the order of a curve.

    Attributes:
        groups: (G, 6, 8) least x, y, z and greatest x, y, z of eight boxes each; level by level,
            that of the leaves first. A box of nothing has inf before -inf.
        columns: (3, 8 L) the points leaf by leaf, filled up with inf.
        starts: (levels + 1,) the first group of each level.
    """

    groups: Array
    columns: Array
    starts: Indices


def boxes_of(points: Array) -> Boxes:
    """Build the boxes over (N, 3) float64 points, N >= 1, along a curve."""
    return Boxes(*_boxes(points))


@kernel
def _boxes(points: Array) -> tuple[Array, Array, Indices]:
    n = len(points)
    leaves = (n + LEAF - 1) // LEAF
    counts = [leaves]
    while counts[-1] > FAN:
        counts.append((counts[-1] + FAN - 1) // FAN)
    starts = np.zeros(len(counts) + 1, np.int64)
    for level in range(len(counts)):
        starts[level + 1] = starts[level] + (counts[level] + FAN - 1) // FAN
    groups = np.empty((starts[-1], 6, FAN))
    groups[:, :3] = np.inf
    groups[:, 3:] = -np.inf
    columns = np.full((3, leaves * LEAF), np.inf)
    for i in range(n):
        g, c = i // (LEAF * FAN), i // LEAF % FAN
        for axis in range(3):
            columns[axis, i] = points[i, axis]
            groups[g, axis, c] = min(groups[g, axis, c], points[i, axis])
            groups[g, 3 + axis, c] = max(groups[g, 3 + axis, c], points[i, axis])
    for level in range(1, len(counts)):
        for j in range(counts[level]):
            child, parent, c = starts[level - 1] + j, starts[level] + j // FAN, j % FAN
            for axis in range(3):
                groups[parent, axis, c] = groups[child, axis].min()
                groups[parent, 3 + axis, c] = groups[child, 3 + axis].max()
    return groups, columns, starts


@kernel
def _to_boxes(
    groups: Array, g: int, lx: float, ly: float, lz: float, hx: float, hy: float, hz: float,
    squares: Array,
) -> None:  # fmt: skip
    """Write the squared distances from a box, or a point, to the eight boxes of a group."""
    for c in range(FAN):
        dx = max(max(groups[g, 0, c] - hx, lx - groups[g, 3, c]), 0.0)
        dy = max(max(groups[g, 1, c] - hy, ly - groups[g, 4, c]), 0.0)
        dz = max(max(groups[g, 2, c] - hz, lz - groups[g, 5, c]), 0.0)
        squares[c] = dx * dx + dy * dy + dz * dz


@kernel
def leaves_near(
    groups: Array, starts: Indices, lanes: Array, stack: Indices, squares: Array, leaves: Leaves
) -> int:
    """Write the leaves nearer to a lane than its reach; return how many, -1 for too many."""
    lx, ly, lz = lanes[0], lanes[Y], lanes[Z]
    hx, hy, hz = lx, ly, lz
    bound = 0.0
    for i in range(LANES):
        lx, hx = min(lx, lanes[i]), max(hx, lanes[i])
        ly, hy = min(ly, lanes[Y + i]), max(hy, lanes[Y + i])
        lz, hz = min(lz, lanes[Z + i]), max(hz, lanes[Z + i])
        bound = max(bound, lanes[REACH + i])
    found, top = 0, 1
    stack[0] = starts[-2] * 16 + len(starts) - 2
    while top > 0:
        top -= 1
        level, g = stack[top] & 15, stack[top] >> 4
        _to_boxes(groups, g, lx, ly, lz, hx, hy, hz, squares)
        for c in range(FAN):
            if squares[c] >= bound:
                continue
            if level > 0:
                below = starts[level - 1] + (g - starts[level]) * FAN + c
                stack[top] = below * 16 + level - 1
                top += 1
                continue
            x0, y0, z0 = groups[g, 0, c], groups[g, 1, c], groups[g, 2, c]
            x1, y1, z1 = groups[g, 3, c], groups[g, 4, c], groups[g, 5, c]
            # Counted, since a greatest value would not be vectorised.
            nearer = 0
            for i in range(LANES):
                dx = max(max(x0 - lanes[i], lanes[i] - x1), 0.0)
                dy = max(max(y0 - lanes[Y + i], lanes[Y + i] - y1), 0.0)
                dz = max(max(z0 - lanes[Z + i], lanes[Z + i] - z1), 0.0)
                nearer += 1 if dx * dx + dy * dy + dz * dz < lanes[REACH + i] else 0
            if nearer > 0:
                if found == len(leaves):
                    return -1
                leaves[found] = g * FAN + c
                found += 1
    return found


@kernel
def compare(columns: Array, leaves: Leaves, count: int, lanes: Array) -> None:
    """Lower the lanes' squares and places to the nearest point of the leaves."""
    for j in range(count):
        for first in range(leaves[j] * LEAF, (leaves[j] + 1) * LEAF, 4):
            # Four at a time by name: registers hold them, and a lane is written once for all four.
            x0, y0, z0 = columns[0, first], columns[1, first], columns[2, first]
            x1, y1, z1 = columns[0, first + 1], columns[1, first + 1], columns[2, first + 1]
            x2, y2, z2 = columns[0, first + 2], columns[1, first + 2], columns[2, first + 2]
            x3, y3, z3 = columns[0, first + 3], columns[1, first + 3], columns[2, first + 3]
            place = np.float64(first)
            for i in range(LANES):
                x, y, z = lanes[i], lanes[Y + i], lanes[Z + i]
                a = (x0 - x) * (x0 - x) + (y0 - y) * (y0 - y) + (z0 - z) * (z0 - z)
                b = (x1 - x) * (x1 - x) + (y1 - y) * (y1 - y) + (z1 - z) * (z1 - z)
                c = (x2 - x) * (x2 - x) + (y2 - y) * (y2 - y) + (z2 - z) * (z2 - z)
                d = (x3 - x) * (x3 - x) + (y3 - y) * (y3 - y) + (z3 - z) * (z3 - z)
                ab, at_ab = b if b < a else a, place + 1.0 if b < a else place
                cd, at_cd = d if d < c else c, place + 3.0 if d < c else place + 2.0
                least, at = cd if cd < ab else ab, at_cd if cd < ab else at_ab
                best, place_of_best = lanes[SQUARE + i], lanes[PLACE + i]
                lanes[PLACE + i] = at if least < best else place_of_best
                lanes[SQUARE + i] = least if least < best else best


@kernel
def search_one(
    groups: Array, columns: Array, starts: Indices, lanes: Array, i: int, stack: Indices,
    waiting: Array, squares: Array,
) -> None:  # fmt: skip
    """Lower one lane's square and place to the nearest point of all."""
    x, y, z = lanes[i], lanes[Y + i], lanes[Z + i]
    best, place = lanes[SQUARE + i], lanes[PLACE + i]
    stack[0], waiting[0], top = starts[-2] * 16 + len(starts) - 2, 0.0, 1
    while top > 0:
        top -= 1
        if waiting[top] >= best:
            continue
        level, g = stack[top] & 15, stack[top] >> 4
        _to_boxes(groups, g, x, y, z, x, y, z, squares)
        bottom = top
        for c in range(FAN):
            if squares[c] >= best:
                continue
            if level > 0:
                # The nearest box on top: it is looked into first.
                at = top
                while at > bottom and waiting[at - 1] < squares[c]:
                    waiting[at], stack[at] = waiting[at - 1], stack[at - 1]
                    at -= 1
                below = starts[level - 1] + (g - starts[level]) * FAN + c
                waiting[at], stack[at] = squares[c], below * 16 + level - 1
                top += 1
                continue
            for j in range((g * FAN + c) * LEAF, (g * FAN + c + 1) * LEAF):
                dx, dy, dz = columns[0, j] - x, columns[1, j] - y, columns[2, j] - z
                square = dx * dx + dy * dy + dz * dz
                if square < best:
                    best, place = square, np.float64(j)
    lanes[SQUARE + i], lanes[PLACE + i] = best, place
