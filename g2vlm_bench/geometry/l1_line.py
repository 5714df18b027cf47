"""Exact weighted L1 fits of a scale or a line: true optima, ties included.

All take values (N,), truth (N,) and weights (N,) >= 0 with a positive sum, finite float64. Least
absolute deviations have no closed form, but an optimum is a vertex: a line through two of the
points. The line turns about a point it passes through to the best second one, a weighted median,
until no turn helps.

Source: Bloomfield and Steiger 1980, "Least absolute deviations curve-fitting". Named departure:
theirs may stop early where several points lie on the line; here every one of them is tried.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Above this a median narrows its values down by a sample before it sorts them.
_SORTED_AT_ONCE = 1024
# Above this most points are held to the side of the line on which a sample's line has them.
_TURNED_AT_ONCE = 8192
# Residuals below this share of the data's size are zero: the line passes through those points.
_ZERO = 1e-12


def dot(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return sum a b of two vectors, by one thread.

    BLAS shares long ones among threads: on a machine that does something else, too, that costs
    many times what it saves, and the last digit would depend on their number.
    """
    return float(np.einsum("i,i->", a, b))


def weighted_median(values: Array, weights: Array) -> float:
    """Return the lower weighted median: the least value with half the weight at or below it.

    >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 3.0]))
    2.0
    """
    remaining = 0.5 * float(weights.sum())
    while values.size > _SORTED_AT_ONCE:
        low, high = _bracket(values, weights)
        kept = values < low
        weight = dot(weights, kept)
        if weight < remaining:
            within = ~kept & (values <= high)
            weight_within = dot(weights, within)
            if weight + weight_within >= remaining:
                if low == high:
                    return low
                kept, remaining = within, remaining - weight
            else:
                kept, remaining = values > high, remaining - weight - weight_within
        # All of them where the sample had but two values; none of them by rounding.
        if kept.all() or not kept.any():
            break
        values, weights = values[kept], weights[kept]
    order = np.argsort(values)
    at = int(np.searchsorted(np.cumsum(weights[order]), remaining))
    return float(values[order[min(at, values.size - 1)]])


def _bracket(values: Array, weights: Array) -> tuple[float, float]:
    """Two values between which the weighted median very probably lies, from a sample."""
    sampled = slice(None, None, values.size // (512 + 8 * int(values.size**0.5)) + 1)
    values, weights = values[sampled], weights[sampled]
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    # Four standard deviations of a sample's median.
    margin = min(0.4, 2 / values.size**0.5)
    ends = np.searchsorted(cumulative, cumulative[-1] * np.array([0.5 - margin, 0.5 + margin]))
    low, high = values[order[np.minimum(ends, order.size - 1)]]
    return float(low), float(high)


def l1_scale(values: Array, truth: Array, weights: Array) -> float:
    """Return the s that minimises sum w |s v - g|; the lowest where several do, 0 if all v are 0.

    >>> l1_scale(np.array([1.0, 1.0, 2.0]), np.array([2.0, 9.0, 4.0]), np.ones(3))
    2.0
    """
    used = (values != 0) & (weights > 0)
    if not used.any():
        return 0.0
    values, truth, weights = values[used], truth[used], weights[used]
    return weighted_median(truth / values, weights * np.abs(values))


def l1_line(values: Array, truth: Array, weights: Array) -> tuple[float, float]:
    """Return s and t that minimise sum w |s v + t - g|; s = 0 where all v are alike.

    Where several lines are optimal the result is one of them, the same one each time.

    >>> s, t = l1_line(np.arange(5.0), np.array([1.0, 3.0, 5.0, 7.0, 99.0]), np.ones(5))
    >>> round(s, 9), round(t, 9)
    (2.0, 1.0)
    """
    used = weights > 0
    if not used.all():
        values, truth, weights = values[used], truth[used], weights[used]
    # About the middle, so that large offsets cost no digits.
    centre, middle = float(values.mean()), float(truth.mean())
    scale, shift = _centred_line(values - centre, truth - middle, weights)
    return scale, shift + middle - scale * centre


def _centred_line(values: Array, truth: Array, weights: Array) -> tuple[float, float]:
    if values.min() == values.max():
        return 0.0, weighted_median(truth, weights)
    if values.size <= _TURNED_AT_ONCE:
        weighted = weights * values
        start = dot(weighted, truth) / dot(weighted, values)
        return _turned_line(values, truth, weights, start)
    some = slice(None, None, values.size // (_TURNED_AT_ONCE // 2))
    scale, shift = _centred_line(values[some], truth[some], weights[some])
    for share in (0.03, 0.1, 0.3):
        residual = truth - shift - scale * values
        band = float(np.quantile(np.abs(residual[some]), share))
        sides = residual > band, residual < -band
        near = ~(sides[0] | sides[1])
        scale, shift = _turned_line(*_with_means(values, truth, weights, near, sides), start=scale)
        # A side's mean costs what its points cost while they stay on it, and less than they do
        # otherwise. So a line that leaves all on their sides is the best of all lines.
        residual = truth - shift - scale * values
        if not (sides[0] & (residual < 0)).any() and not (sides[1] & (residual > 0)).any():
            return scale, shift
    return _turned_line(values, truth, weights, start=scale)


def _with_means(
    values: Array,
    truth: Array,
    weights: Array,
    near: NDArray[np.bool_],
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> tuple[Array, Array, Array]:
    """Points near the line, and one in place of those on each side of it."""
    parts = [(values[near], truth[near], weights[near])]
    for side in sides:
        weighted = weights * side
        total = float(weighted.sum())
        if total > 0:
            mean = dot(weighted, values) / total, dot(weighted, truth) / total, total
            parts.append((np.array([mean[0]]), np.array([mean[1]]), np.array([mean[2]])))
    columns = zip(*parts, strict=True)
    joined = [np.concatenate(column) for column in columns]
    return joined[0], joined[1], joined[2]


def _turned_line(values: Array, truth: Array, weights: Array, start: float) -> tuple[float, float]:
    scale = start
    shift = weighted_median(truth - scale * values, weights)
    zero = _ZERO * (float(np.abs(truth).max()) + abs(scale) * float(np.abs(values).max()))
    width = float(np.ptp(values))
    moved = True
    while moved:
        moved = False
        for centre, height in _helpful_turns(values, truth, weights, scale, shift, zero):
            turned = _turn(values - centre, truth - height, weights)
            # A turn that stays where it is was promised by rounding only.
            if turned is not None and abs(turned - scale) * width > zero:
                scale, shift, moved = turned, height - turned * centre, True
                break
    return scale, shift


def _turn(values: Array, truth: Array, weights: Array) -> float | None:
    """The best slope of a line through the origin; None where no other point gives it one."""
    used = values != 0
    if not used.any():
        return None
    if not used.all():
        values, truth, weights = values[used], truth[used], weights[used]
    return weighted_median(truth / values, weights * np.abs(values))


def _helpful_turns(
    values: Array, truth: Array, weights: Array, scale: float, shift: float, zero: float
) -> list[tuple[float, float]]:
    """Points on the line about which a turn lowers the loss, the steepest descent first.

    At the optimum there are none: the turns about the line's own points are the directions normal
    to the facets of the subdifferential, so that they alone decide whether it contains 0.
    """
    residual = truth - shift - scale * values
    pulls = np.copysign(weights, residual)
    on_line = np.flatnonzero(np.abs(residual) <= zero)
    pulls[on_line] = 0.0
    # -(pull_values, pull) is the gradient of the loss off the line.
    pull_values, pull = dot(pulls, values), float(pulls.sum())
    centres, first, inverse = np.unique(values[on_line], return_index=True, return_inverse=True)
    held = np.bincount(inverse, weights=weights[on_line])
    # sum over points on the line of w |v - centre|, for every centre at once.
    below = np.concatenate([[0.0], np.cumsum(held)])
    moment = np.concatenate([[0.0], np.cumsum(held * centres)])
    friction = centres * (below[:-1] + below[1:] - below[-1]) + (
        moment[-1] - moment[:-1] - moment[1:]
    )
    descent = np.abs(pull_values - centres * pull) - friction
    order = np.argsort(-descent, kind="stable")
    least = zero * 1e-3 * float(weights.sum())
    points = on_line[first[order[descent[order] > least]]]
    return [(float(values[at]), float(truth[at])) for at in points]
