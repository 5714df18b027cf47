"""Exact weighted L1 fit of one slope to several columns of values, each with a shift or without.

A point map is three columns: its axes share a scale, and each may have a shift of its own. With the
best shifts put in, the loss is convex in the slope alone, so that two tangents bound it from below
between the places where they touch; it is best where it reaches that bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.l1_line import dot, weighted_median

Array = NDArray[np.float64]

# Above this a sample's fit says which values lie far from the line, and on which side of it.
_SOLVED_AT_ONCE = 16384
# A loss this near to its lower bound, as a share of the data's size, has reached it.
_ZERO = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values to be fitted to the truth, as slope * values + shift.

    Attributes:
        values: (N,) finite.
        truth: (N,) finite.
        weights: (N,) >= 0.
        shifted: Whether this column has a shift of its own; without one it is 0.
    """

    values: Array
    truth: Array
    weights: Array
    shifted: bool


@dataclass(frozen=True, slots=True)
class Tangent:
    """The loss with the best shifts at one slope, and a line below the loss that touches it there.

    Attributes:
        at: The slope.
        loss: There.
        rise: Of the touching line.
        shifts: One for each column.
    """

    at: float
    loss: float
    rise: float
    shifts: tuple[float, ...]


def tangent(columns: Sequence[Column], slope: float) -> Tangent:
    """Return the loss at a slope under the best shifts, and how it rises there."""
    loss, rise, shifts = 0.0, 0.0, []
    for column in columns:
        residual = column.truth - slope * column.values
        shift = weighted_median(residual, column.weights) if column.shifted else 0.0
        residual -= shift
        pulls = np.sign(residual) * column.weights
        loss += dot(pulls, residual)
        rise -= dot(pulls, column.values)
        on_line = residual == 0
        held = float(column.weights[on_line].sum())
        if column.shifted and held > 0:
            # What lies on the line balances the rest: so its shift stays the best one.
            balance = float(pulls.sum()) / held
            rise += balance * dot(column.weights[on_line], column.values[on_line])
        shifts.append(shift)
    return Tangent(slope, loss, rise, tuple(shifts))


def l1_slope(columns: Sequence[Column]) -> tuple[float, tuple[float, ...]]:
    """Return the slope and the shifts that minimise sum w |slope * v + shift - g| over all columns.

    The slope is 0 where it makes no difference, as for values that are alike in each column.

    Args:
        columns: with values, and with a positive sum of weights each.

    >>> ramp, two = np.arange(5.0), np.ones(5)
    >>> columns = [Column(ramp, 3 * ramp + 1, two, True), Column(ramp, 3 * ramp, two, False)]
    >>> slope, shifts = l1_slope(columns)
    >>> round(slope, 9), [round(shift, 9) for shift in shifts]
    (3.0, [1.0, 0.0])
    """
    # About their middles, so that large offsets cost no digits.
    middles = [_middle(column) if column.shifted else (0.0, 0.0) for column in columns]
    centred = [
        Column(column.values - value, column.truth - truth, column.weights, column.shifted)
        for column, (value, truth) in zip(columns, middles, strict=True)
    ]
    best = _solve(centred)
    moved = zip(best.shifts, middles, strict=True)
    return best.at, tuple(shift + truth - best.at * value for shift, (value, truth) in moved)


def _middle(column: Column) -> tuple[float, float]:
    if np.ptp(column.values) == 0:
        # Exactly, so that no slope is fitted to the rounding of a mean.
        return float(column.values[0]), float(column.truth[0])
    total = float(column.weights.sum())
    weights = column.weights / total
    return dot(weights, column.values), dot(weights, column.truth)


def _solve(columns: Sequence[Column]) -> Tangent:
    if max(column.values.size for column in columns) <= _SOLVED_AT_ONCE:
        return _descend(columns, _least_squares(columns))
    step = max(column.values.size for column in columns) // _SOLVED_AT_ONCE + 1
    some = [
        Column(c.values[::step], c.truth[::step], c.weights[::step], c.shifted) for c in columns
    ]
    if not all(column.weights.any() for column in some):
        return _descend(columns, _least_squares(columns))
    fit = _solve(some)
    for share in (0.03, 0.1, 0.3):
        reduced = [
            _with_means(column, fit.at, shift, share, step)
            for column, shift in zip(columns, fit.shifts, strict=True)
        ]
        fit = _descend([near for near, _ in reduced], fit.at)
        # A side's mean costs what its values cost while they stay on it, and less otherwise. So a
        # fit that leaves all on their sides is the best of all fits.
        sides = zip(columns, (sides for _, sides in reduced), fit.shifts, strict=True)
        if all(_stay(column, one, fit.at, shift) for column, one, shift in sides):
            return fit
    return _descend(columns, fit.at)


def _least_squares(columns: Sequence[Column]) -> float:
    energy = sum(dot(c.weights * c.values, c.values) for c in columns)
    product = sum(dot(c.weights * c.values, c.truth) for c in columns)
    return product / energy if energy > 0 else 0.0


def _with_means(
    column: Column, slope: float, shift: float, share: float, step: int
) -> tuple[Column, NDArray[np.int8]]:
    """The values near the line and one in place of those on each side; and who is on which side."""
    residual = column.truth - slope * column.values - shift
    band = float(np.quantile(np.abs(residual[::step]), share))
    sides = (residual > band).astype(np.int8) - (residual < -band).astype(np.int8)
    near = sides == 0
    parts = [(column.values[near], column.truth[near], column.weights[near])]
    for side in (-1, 1):
        weights = column.weights * (sides == side)
        total = float(weights.sum())
        if total > 0:
            mean = dot(weights, column.values) / total, dot(weights, column.truth) / total, total
            parts.append((np.array([mean[0]]), np.array([mean[1]]), np.array([mean[2]])))
    values, truth, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Column(values, truth, weights, column.shifted), sides


def _stay(column: Column, sides: NDArray[np.int8], slope: float, shift: float) -> bool:
    residual = column.truth - slope * column.values - shift
    return not bool((residual * sides < 0).any())


def _descend(columns: Sequence[Column], start: float) -> Tangent:
    """Close in on the best slope from both sides."""
    # Below this a difference of losses is rounding, and a rise is none.
    size = sum(dot(c.weights, np.abs(c.truth)) for c in columns)
    reach = sum(dot(c.weights, np.abs(c.values)) for c in columns)
    first = tangent(columns, start)
    if reach == 0 or abs(first.rise) <= _ZERO * reach:
        return first
    low, high = _bracket(columns, first, size, reach)
    while True:
        if low.rise == 0:
            return low
        if high.rise == 0:
            return high
        # Where the two touching lines meet: no slope between costs less than they do there.
        gap = high.at - low.at
        at = low.at + (high.loss - low.loss - high.rise * gap) / (low.rise - high.rise)
        least = low.loss + low.rise * (at - low.at)
        best = low if low.loss <= high.loss else high
        noise = _ZERO * (size + abs(at) * reach)
        if best.loss - least <= noise or not low.at < at < high.at:
            return best
        middle = tangent(columns, at)
        if middle.loss - least <= noise:
            return middle
        low, high = (middle, high) if middle.rise < 0 else (low, middle)


def _bracket(
    columns: Sequence[Column], first: Tangent, size: float, reach: float
) -> tuple[Tangent, Tangent]:
    """Two slopes between which the best one lies."""
    direction = -1.0 if first.rise > 0 else 1.0
    step = max(1e-3 * abs(first.at), 1e-6 * size / reach, 1e-300)
    inner = first
    while True:
        outer = tangent(columns, inner.at + direction * step)
        if outer.rise * direction >= 0 or not np.isfinite(outer.loss):
            return (inner, outer) if direction > 0 else (outer, inner)
        inner, step = outer, 4 * step
