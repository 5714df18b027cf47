"""Normals of a cloud from the neighbours of its points."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.curve import Array, Indices
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index, compiles, in_chunks

# Neighbours of so many points are known at once: enough for all cores, and few enough that the
# allocator has the memory back at once. Fresh pages for four times as many cost a third more.
STRIDE = 1 << 16
# Neighbours of so many points are gathered at once: they fit into a core's cache.
BLOCK = 1 << 10
# Where two eigenvalues are closer than this share of the trace, the closed form loses digits.
CLOSE = 1e-3


def estimate_normals(points: NDArray[Any] | NeighbourIndex, k: int = 30) -> Array:
    """Estimate the normal at each point as the least direction of its k nearest points.

    A large cloud goes through compiled code where numba is installed (the extra `fast`), whose sums
    differ by rounding: 1e-9 of a unit vector.

    Args:
        points: (N, 3) metres, N >= 3, or its index.
        k: neighbours, the point itself among them; fewer where the cloud is smaller.

    Returns:
        (N, 3) unit vectors; their sign has no meaning.

    Raises:
        ValueError: for fewer than 3 points or neighbours, or non-finite points.

    Source: Hoppe et al. 1992; k = 30 is Open3D's default.
    """
    index = as_index(points, "points", at_least=3)
    if k < 3:
        raise ValueError(f"normals: expected at least 3 neighbours, got {k}")
    k = min(k, len(index))
    offsets, order = index.offsets, index.order
    columns = np.ascontiguousarray(offsets.T)
    normals = np.empty_like(offsets)
    if compiles(len(offsets)):
        from g2vlm_bench.geometry.compiled_normals import takes

        if takes(len(offsets), k):
            normals[order] = _compiled_normals(index, columns, k)
            return normals

    for start in range(0, len(offsets), STRIDE):
        rows = slice(start, start + STRIDE)
        _, places = index.nearest(offsets[rows], k)
        found = in_chunks(partial(_normals, columns, places), len(places))
        normals[order[rows]] = np.concatenate(found)
    return normals


def _compiled_normals(index: NeighbourIndex, columns: Array, k: int) -> Array:
    """Return the same normals along the curve, from scatters summed while neighbours are found."""
    from g2vlm_bench.geometry import compiled, compiled_normals

    offsets = index.offsets
    boxes = compiled.boxes_of(offsets)

    def some(chunk: slice) -> tuple[Array, NDArray[np.bool_]]:
        rows = slice(chunk.start, min(chunk.stop, len(offsets)))
        scatter, known = compiled_normals.scatters(boxes, k, rows)
        scatter[~known] = 0.0
        return least_directions(scatter), known

    found = in_chunks(some, len(offsets))
    normals = np.concatenate([directions for directions, _ in found])
    # Crowds and ties: the points whose neighbours are to be found one by one.
    rest = np.flatnonzero(~np.concatenate([known for _, known in found]))
    for start in range(0, len(rest), STRIDE):
        rows = rest[start : start + STRIDE]
        _, places = index.nearest(offsets[rows], k)
        normals[rows] = np.concatenate(in_chunks(partial(_normals, columns, places), len(rows)))
    return normals


def _normals(columns: Array, places: Indices, chunk: slice) -> Array:
    return least_directions(_covariances(columns, places[chunk]))


def least_directions(covariances: Array) -> Array:
    """Return the eigenvector of the least eigenvalue of each symmetric matrix.

    Args:
        covariances: (N, 3, 3) positive semi-definite.

    Returns:
        (N, 3) unit vectors of any sign; any least direction where there are several.

    Source: Smith 1961 (eigenvalues in closed form); the eigenvector is perpendicular to the rows
    of C - lambda I. Matrices whose two least eigenvalues are close are left to LAPACK.
    """
    traces = np.trace(covariances, axis1=1, axis2=2)
    # Entry by entry, each of all matrices in a row: several times as fast as matrix by matrix.
    entries = np.ascontiguousarray(covariances.reshape(-1, 9).T)
    entries /= np.where(traces > 0, traces, 1.0)
    xx, xy, xz, _, yy, yz, _, _, zz = entries
    least = _least_eigenvalues(xx, xy, xz, yy, yz, zz)
    a, b, c = xx - least, yy - least, zz - least
    crossed = np.array(
        [
            [xy * yz - xz * b, xz * xy - a * yz, a * b - xy * xy],
            [b * c - yz * yz, yz * xz - xy * c, xy * yz - b * xz],
            [yz * xz - c * xy, c * a - xz * xz, xz * xy - yz * a],
        ]
    )
    squares = np.einsum("ijn,ijn->in", crossed, crossed)
    longest = squares.argmax(axis=0)
    rows = np.arange(len(longest))
    lengths = np.sqrt(squares[longest, rows])
    close = lengths < CLOSE
    directions: Array = crossed[longest, :, rows] / np.where(close, 1.0, lengths)[:, None]
    if close.any():
        directions[close] = np.linalg.eigh(covariances[close])[1][:, :, 0]
    return directions


def _least_eigenvalues(xx: Array, xy: Array, xz: Array, yy: Array, yz: Array, zz: Array) -> Array:
    """Return the least eigenvalue of symmetric matrices of trace 1 (or 0), (N,)."""
    a, b, c = xx - 1 / 3, yy - 1 / 3, zz - 1 / 3
    spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    cosine = determinant / (2 * np.maximum(spread, 1e-100) ** 3)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0)) / 3
    eigenvalues: Array = 1 / 3 + 2 * spread * np.cos(angle + 2 * np.pi / 3)
    return eigenvalues


def _covariances(columns: Array, places: Indices) -> Array:
    """Return the scatter of each row's points about their mean, (N, 3, 3)."""
    scatter = np.empty((len(places), 3, 3))
    share = np.full(places.shape[1], 1 / places.shape[1])
    for start in range(0, len(places), BLOCK):
        block = slice(start, start + BLOCK)
        near = np.empty((3, *places[block].shape))
        for axis in range(3):
            # Any mode but the default writes to `out` without a copy; no place is out of range.
            columns[axis].take(places[block], out=near[axis], mode="wrap")
        near -= (near @ share)[:, :, None]
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
            scatter[block, i, j] = scatter[block, j, i] = np.einsum("nk,nk->n", near[i], near[j])
    return scatter
