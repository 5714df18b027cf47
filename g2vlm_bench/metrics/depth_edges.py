"""Depth edges of an aligned map against those of the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.metrics.depth import Array, Mask, masked_pixels

# MoGe's thresholds, which it holds in single precision; they are the weights, too.
_EDGES = np.linspace(0.05, 0.25, 10, dtype=np.float32).astype(np.float64)
# Ratios are compared in single precision as there, so that steps of just an edge's height fall on
# the same side.
_RATIOS = (1 + _EDGES).astype(np.float32)

Levels = NDArray[np.int8]
# Ratios of so many pixels stay in a core's cache.
BAND = 1 << 14
# One pixel in so many.
FEW = 32


@dataclass(frozen=True, eq=False)
class DepthEdges:
    """The depth steps of a map between all pixels no more than a radius apart.

    Attributes:
        radius: in pixels.
        levels: for each offset (down, right) of one half of the disc and each pixel, (H, W), how
            many edge heights the step to its neighbour there reaches: positive where the neighbour
            is deeper, negative where the pixel itself is. Without meaning where the neighbour is
            off the map.
    """

    radius: int
    levels: Mapping[tuple[int, int], Levels]
    _counts: dict[int, Array] = field(default_factory=dict, init=False, repr=False)

    def any_within(self, radius: int) -> bool:
        """Whether there is an edge of any height; not where the map is too small for the radius."""
        return radius <= self.radius and bool(self.reached(radius).any())

    def reached(self, radius: int) -> Array:
        """How many pairs of pixels no more than a radius apart reach each edge height."""
        if radius not in self._counts:
            self._counts[radius] = sum(
                (
                    _reached(before, 1) + _reached(behind, -1)
                    for before, behind in self.within(radius)
                ),
                start=np.zeros(len(_EDGES)),
            )
        return self._counts[radius]

    def within(self, radius: int) -> Iterator[tuple[Levels, Levels]]:
        """Yield, offset by offset, the levels of centres before and behind a neighbour.

        Pixels nearer than the radius to the border are no centres.
        """
        for (down, right), levels in self.levels.items():
            if down * down + right * right <= radius * radius:
                rows, columns = (length - radius for length in levels.shape)
                before = levels[radius:rows, radius:columns]
                yield before, levels[radius - down : rows - down, radius - right : columns - right]


def find_edges(depth: NDArray[Any], radius: int = 1) -> DepthEdges:
    """Return the depth steps of a map.

    Args:
        depth: (H, W), NaN where it does not count; depth at or below 0 has no edges.
        radius: in pixels; the largest that the map has centres for is taken where that is less.

    Raises:
        ValueError: for something not (H, W).
    """
    values = np.asarray(depth, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"depth metric: expected a map (H, W), got {values.shape}")
    radius = min(radius, (min(values.shape) - 1) // 2)
    # Comparisons with NaN are false, so that neither end of an edge has to be looked up in a mask.
    flat = np.where(values > 0, values, np.float32(np.nan)).ravel()
    levels: dict[tuple[int, int], Levels] = {}
    for down, right in _half_disc(radius):
        # Rows end to end: neighbours beyond the end of one are in the next, and no centre has them.
        step = down * values.shape[1] + right
        here, there, steps = flat[: len(flat) - step], flat[step:], np.zeros(len(flat), np.int8)
        for first in range(0, len(here), BAND):
            band = slice(first, min(first + BAND, len(here)))
            steps[band] = _levels(here[band], there[band])
        levels[down, right] = steps.reshape(values.shape)
    return DepthEdges(radius, levels)


def edge_f1(
    predicted: DepthEdges, true: DepthEdges, *, radius: int = 1, every_threshold: bool = False
) -> float:
    """Return `boundary_f1` of steps that were found before, for any radius up to theirs.

    Raises:
        ValueError: where the truth has no edge of any height.
    """
    found, wanted, both = predicted.reached(radius), true.reached(radius), np.zeros(len(_EDGES))
    for ours, theirs in zip(predicted.within(radius), true.within(radius), strict=True):
        # The lower of two levels of one sign; where signs differ the result has the other one.
        both += _reached(np.minimum(ours[0], theirs[0]), 1)
        both += _reached(np.maximum(ours[1], theirs[1]), -1)
    if not wanted.any():
        raise ValueError("boundary: expected an edge in the target, got none")
    scores = np.divide(2 * both, found + wanted, out=np.zeros(len(_EDGES)), where=wanted > 0)
    counted = np.ones(len(_EDGES), dtype=bool) if every_threshold else wanted > 0
    return float(np.average(scores[counted], weights=_EDGES[counted]))


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
    maps = (np.where(chosen, array, np.nan) for array in (values, truth))
    predicted, true = (find_edges(one, radius) for one in maps)
    return edge_f1(predicted, true, radius=radius, every_threshold=every_threshold)


def has_edges(target: NDArray[Any], mask: Mask | None = None, *, radius: int = 1) -> bool:
    """Return whether the truth has an edge of any height, so that `boundary_f1` is defined.

    Args:
        target: depth in metres, (H, W).
        mask: True where it counts, (H, W); None for everywhere.
        radius: in pixels.
    """
    truth = np.asarray(target, dtype=np.float64)
    return find_edges(truth if mask is None else np.where(mask, truth, np.nan), radius).any_within(
        radius
    )


def _half_disc(radius: int) -> list[tuple[int, int]]:
    """One of each two opposite offsets in a disc, the nearest first."""
    steps = range(-radius, radius + 1)
    half = [(i, j) for i in steps for j in steps if (i, j) > (0, 0)]
    inside = [one for one in half if one[0] ** 2 + one[1] ** 2 <= radius * radius]
    return sorted(inside, key=lambda one: one[0] ** 2 + one[1] ** 2)


def _levels(here: NDArray[Any], there: NDArray[Any]) -> Levels:
    """How many edge heights the step reaches; negative where it leads nearer."""
    ratios = np.maximum(here, there) / np.minimum(here, there)
    is_edge = ratios > _RATIOS[0]
    levels: Levels = is_edge.view(np.int8)
    if _are_few(is_edge):
        edges = np.flatnonzero(is_edge)
        levels[edges] = _RATIOS.searchsorted(ratios[edges])
    else:
        for ratio in _RATIOS[1:]:
            levels += (ratios > ratio).view(np.int8)
    levels *= 1 - 2 * (here > there).view(np.int8)
    return levels


def _reached(levels: Levels, sign: int) -> Array:
    """How many steps of a sign reach each edge height."""
    # Passes over one piece of memory are faster than over a window of rows.
    steps, count = levels.ravel(), len(_EDGES)
    is_edge = steps > 0 if sign > 0 else steps < 0
    if _are_few(is_edge):
        of_level = np.bincount(abs(steps[np.flatnonzero(is_edge)]), minlength=count + 1)
        return of_level[:0:-1].cumsum()[::-1].astype(np.float64)
    heights = range(1, count + 1)
    counts = [np.count_nonzero(steps >= k if sign > 0 else steps <= -k) for k in heights]
    return np.array(counts, dtype=np.float64)


def _are_few(chosen: Mask) -> bool:
    """Whether to go to each chosen pixel is faster than ten times over all: true edges are few."""
    return bool(FEW * np.count_nonzero(chosen) < chosen.size)


MAP_METRICS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {f"boundary_f1_r{radius}": partial(boundary_f1, radius=radius) for radius in (1, 2, 3)}
)
