"""Depth edges of an aligned map against those of the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.metrics.depth import Array, Mask, masked_pixels

# MoGe's thresholds, which it holds in single precision; they are the weights, too.
_EDGES = np.linspace(0.05, 0.25, 10, dtype=np.float32).astype(np.float64)


def boundary_f1(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: Mask | None = None,
    *,
    radius: int = 1,
    every_threshold: bool = False,
) -> float:
    """Return the F1 score of depth edges, averaged over ten edge heights weighted by themselves.

    A pixel and a neighbour no more than `radius` away form an edge of height t where the neighbour
    is more than 1 + t times as deep, t from 0.05 to 0.25. Pixels nearer than `radius` to the border
    are no centres.

    Args:
        prediction: aligned depth, (H, W); negative or zero depth has no edges.
        target: depth in metres, (H, W).
        mask: True where both count, (H, W); None for everywhere.
        radius: in pixels.
        every_threshold: count a height at which the truth has no edge as 0, as MoGe does, even for
            the truth itself; otherwise it is left out.

    Raises:
        ValueError: as the module says; also for maps too small for the radius, and where the truth
            has no edge of any height.

    Source: Bochkovskii et al. 2024 (Depth Pro), section 3.3; MoGe (0744441, moge/test/metrics.py,
    `boundary_f1`), whose names of precision and recall are swapped, to no effect.
    """
    values, truth = (np.asarray(array, dtype=np.float64) for array in (prediction, target))
    chosen = np.ones(truth.shape, dtype=bool) if mask is None else np.asarray(mask)
    masked_pixels(values, truth, chosen)
    if truth.ndim != 2 or min(truth.shape) <= 2 * radius or radius < 1:
        raise ValueError(
            f"depth metric: expected maps larger than twice the radius {radius}, got {truth.shape}"
        )
    both, predicted, true = (np.zeros(len(_EDGES)) for _ in range(3))
    for rows, columns in _disc(radius):
        near, far = _shifted(truth.shape, rows, columns, radius)
        valid = chosen[near] & chosen[far]
        in_truth = truth[far][valid] / truth[near][valid]
        starts, ends = values[near][valid], values[far][valid]
        in_prediction = np.divide(ends, starts, out=np.zeros_like(ends), where=starts > 0)
        both += _above(np.minimum(in_prediction, in_truth))
        predicted += _above(in_prediction)
        true += _above(in_truth)
    if not true.any():
        raise ValueError("boundary: expected an edge in the target, got none")
    scores = np.divide(2 * both, predicted + true, out=np.zeros(len(_EDGES)), where=true > 0)
    counted = np.ones(len(_EDGES), dtype=bool) if every_threshold else true > 0
    return float(np.average(scores[counted], weights=_EDGES[counted]))


def has_edges(target: NDArray[Any], mask: Mask | None = None, *, radius: int = 1) -> bool:
    """Return whether the truth has an edge of any height, so that `boundary_f1` is defined.

    Args:
        target: depth in metres, (H, W).
        mask: True where it counts, (H, W); None for everywhere.
        radius: in pixels.
    """
    truth = np.asarray(target, dtype=np.float64)
    chosen = np.ones(truth.shape, dtype=bool) if mask is None else np.asarray(mask)
    if min(truth.shape) <= 2 * radius:
        return False
    for rows, columns in _disc(radius):
        near, far = _shifted(truth.shape, rows, columns, radius)
        valid = chosen[near] & chosen[far]
        if (truth[far][valid] > (1 + _EDGES[0]) * truth[near][valid]).any():
            return True
    return False


def _disc(radius: int) -> list[tuple[int, int]]:
    steps = range(-radius, radius + 1)
    return [(i, j) for i in steps for j in steps if 0 < i * i + j * j <= radius * radius]


def _shifted(
    shape: tuple[int, ...], rows: int, columns: int, radius: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The centres, and their neighbours at an offset."""
    height, width = shape
    near = slice(radius, height - radius), slice(radius, width - radius)
    far = (
        slice(radius + rows, height - radius + rows),
        slice(radius + columns, width - radius + columns),
    )
    return near, far


def _above(ratios: Array) -> Array:
    """How many ratios are above 1 + t, for each edge height."""
    high = ratios[ratios > 1 + _EDGES[0]]
    passed = np.searchsorted(1 + _EDGES, high, side="left")
    counts = np.bincount(passed, minlength=len(_EDGES) + 1)
    above: Array = np.cumsum(counts[::-1])[::-1][1:].astype(np.float64)
    return above


MAP_METRICS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {f"boundary_f1_r{radius}": partial(boundary_f1, radius=radius) for radius in (1, 2, 3)}
)
