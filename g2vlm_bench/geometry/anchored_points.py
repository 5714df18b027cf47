"""MoGe's restricted L1 fit of points: a scale, and a shift by which one point is met exactly.

Every point is tried as the anchor. Its loss is convex in the scale, and at one scale the losses of
all anchors follow from one sorting of each axis. So a few shared scales give every anchor a bound
below, and only those that may still beat the best one found are asked again.

Source: MoGe (0744441, moge/utils/alignment.py, `align_points_scale_xyz_shift`,
`align_points_scale_z_shift` and `align`), which solves each anchor by itself, in O(n^2 log n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.l1_line import dot, weighted_median
from g2vlm_bench.geometry.l1_slope import Column, l1_slope, tangent

Array = NDArray[np.float64]

# So few anchors are solved one by one, which costs less than one more shared scale.
_SOLVED_ALONE = 6
# An anchor has to be better by this share of the loss, or of the data's size, to be better at all.
_BETTER, _ZERO = 1e-12, 1e-14


def anchored_fit(
    points: Array, target: Array, weights: Array, shifted: Sequence[bool]
) -> tuple[float, Array]:
    """Return the scale and the shift (3,) that minimise sum w |scale * p + shift - g|_1 so.

    The shift is such that one point is met in every shifted axis. As there, an axis in which a
    point lies exactly beside the anchor costs nothing (in one without a shift: exactly beside 0),
    so that clamped or quantised predictions are drawn to the values that occur most.

    Where all points lie beside each other in this sense the scale is 0.

    Args:
        points: (N, 3) finite.
        target: (N, 3) finite.
        weights: (N,) >= 0 with a positive sum; only points with weight are anchors.
        shifted: which of the three axes have a shift.
    """
    used = weights > 0
    search = _Search(points[used], target[used], weights[used], tuple(shifted))
    scale, anchor = search.best()
    if anchor is None:
        columns = search.columns()
        return 0.0, np.array(tangent(columns, 0.0).shifts)
    return scale, np.where(shifted, search.target[anchor] - scale * search.points[anchor], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Losses:
    """Of every anchor at one scale: the loss, and the rise of a line below it that touches it."""

    at: float
    loss: Array
    rise: Array


class _Search:
    def __init__(
        self, points: Array, target: Array, weights: Array, shifted: tuple[bool, ...]
    ) -> None:
        self.points, self.target, self.weights = points, target, weights
        self.shifted = [axis for axis in range(3) if shifted[axis]]
        self.fixed = [axis for axis in range(3) if not shifted[axis]]
        # What lies beside an anchor would cost this much, at every scale alike.
        self.free = sum(
            (_free(points[:, axis], target[:, axis], weights) for axis in self.shifted),
            np.zeros(len(points)),
        )

    def columns(self) -> list[Column]:
        """The three axes, for the fit without the restriction."""
        return [
            Column(
                np.ascontiguousarray(self.points[:, axis]),
                np.ascontiguousarray(self.target[:, axis]),
                self.weights,
                axis in self.shifted,
            )
            for axis in range(3)
        ]

    def best(self) -> tuple[float, int | None]:
        """The best scale and its anchor; none where no scale makes a difference."""
        columns = self.columns()
        if all(np.ptp(c.values) == 0 if c.shifted else not c.values.any() for c in columns):
            return 0.0, None
        start = l1_slope(columns)[0]
        anchor = int(np.argmin(self._losses(start).loss))
        scale, lowest = self._solve(anchor)
        low, high = self._ends(columns, start, lowest)
        left, right = self._losses(low), self._losses(high)
        # Each anchor has a bracket of its own, which the shared scales narrow down.
        alive = np.arange(len(self.points))
        brackets = np.stack(
            [np.full(alive.size, low), left.loss, left.rise, np.full(alive.size, high),
             right.loss, right.rise]
        )  # fmt: skip
        size = sum(dot(c.weights, np.abs(c.truth)) for c in columns)
        while True:
            meet, least = _meet(brackets)
            # At a bracket's ends no anchor is better: the best one there has been solved.
            kept = (brackets[0] < meet) & (meet < brackets[3])
            kept &= least < lowest - (_BETTER * lowest + _ZERO * size)
            alive, brackets, meet, least = alive[kept], brackets[:, kept], meet[kept], least[kept]
            if alive.size <= _SOLVED_ALONE:
                break
            shared = self._losses(float(meet[np.argmin(least)]))
            candidate = int(alive[np.argmin(shared.loss[alive])])
            found, loss = self._solve(candidate)
            if loss < lowest:
                anchor, scale, lowest = candidate, found, loss
            brackets = _narrowed(brackets, shared, alive)
        for candidate in alive[np.argsort(least)]:
            found, loss = self._solve(int(candidate))
            if loss < lowest:
                anchor, scale, lowest = int(candidate), found, loss
        return scale, anchor

    def _ends(self, columns: list[Column], start: float, lowest: float) -> tuple[float, float]:
        """Scales beyond which no anchor can be as good, since not even the free fit is."""
        most = float(self.free.max()) + sum(
            dot(self.weights, np.where(c.values == 0, np.abs(c.truth), 0.0))
            for c in columns
            if not c.shifted
        )
        ends = []
        for direction in (-1.0, 1.0):
            step = 1e-4 * abs(start) or 1e-4
            while True:
                outer = tangent(columns, start + direction * step)
                if outer.loss - most >= lowest or not np.isfinite(outer.loss):
                    break
                step *= 3
            ends.append(outer.at)
        return ends[0], ends[1]

    def _losses(self, scale: float) -> _Losses:
        loss, rise = -self.free, np.zeros(len(self.points))
        for axis in self.fixed:
            values, truth = self.points[:, axis], self.target[:, axis]
            residual = truth - scale * values
            pulls = np.sign(residual) * self.weights * (values != 0)
            loss = loss + dot(pulls, residual)
            rise = rise - dot(pulls, values)
        for axis in self.shifted:
            values, weights = self.points[:, axis], self.weights
            residual = self.target[:, axis] - scale * values
            residual -= float(residual.mean())
            order = np.argsort(residual)
            weight, of_residual, of_values = (
                np.cumsum(sums[order]) for sums in (weights, weights * residual, weights * values)
            )
            # What lies below minus what lies above, for the anchors in their order.
            balance = 2 * weight - weight[-1]
            one = residual[order] * balance - (2 * of_residual - of_residual[-1])
            other = (2 * of_values - of_values[-1]) - values[order] * balance
            loss[order] += one
            rise[order] += other
        return _Losses(scale, loss, rise)

    def _solve(self, anchor: int) -> tuple[float, float]:
        """The best scale of one anchor, and its loss."""
        offsets, rises = self.points.copy(), self.target.copy()
        offsets[:, self.shifted] -= self.points[anchor, self.shifted]
        rises[:, self.shifted] -= self.target[anchor, self.shifted]
        weights = np.repeat(self.weights, 3)
        offset, rise = offsets.ravel(), rises.ravel()
        counted = offset != 0
        offset, rise, weights = offset[counted], rise[counted], weights[counted]
        if offset.size == 0:
            return 0.0, 0.0
        scale = weighted_median(rise / offset, weights * np.abs(offset))
        return scale, dot(weights, np.abs(scale * offset - rise))


def _meet(brackets: Array) -> tuple[Array, Array]:
    """Where the touching lines of each anchor's bracket meet, and how low they are there."""
    low, low_loss, low_rise, high, high_loss, high_rise = brackets
    turn = high_rise - low_rise
    gap = high - low
    fall = (high_loss - low_loss - high_rise * gap) / np.where(turn > 0, -turn, np.inf)
    # A loss that rises at its low end, or falls at its high one, is least there.
    step = np.where(low_rise >= 0, 0.0, np.where(high_rise <= 0, gap, np.clip(fall, 0.0, gap)))
    least = np.where(
        step == gap, high_loss, np.where(step == 0, low_loss, low_loss + low_rise * step)
    )
    return low + step, least


def _narrowed(brackets: Array, shared: _Losses, alive: NDArray[np.int64]) -> Array:
    one = np.stack([np.full(alive.size, shared.at), shared.loss[alive], shared.rise[alive]])
    inside = (brackets[0] < shared.at) & (shared.at < brackets[3])
    falls = one[2] < 0
    narrowed = brackets.copy()
    narrowed[:3] = np.where(inside & falls, one, brackets[:3])
    narrowed[3:] = np.where(inside & ~falls, one, brackets[3:])
    return narrowed


def _free(values: Array, truth: Array, weights: Array) -> Array:
    """For each anchor: sum w |g - g_anchor| over those of its own value."""
    order = np.lexsort((truth, values))
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    if starts.size == ordered.size:
        return np.zeros(values.size)
    counts = np.diff(np.append(starts, ordered.size))
    first, last = np.repeat(starts, counts), np.repeat(starts + counts, counts)
    # Sums of weights and weighted truths before each place.
    sums, moments = (np.append(0.0, np.cumsum(part[order])) for part in (weights, weights * truth))
    at = np.arange(ordered.size)
    height = truth[order]
    below = height * (sums[at] - sums[first]) - (moments[at] - moments[first])
    above = (moments[last] - moments[at]) - height * (sums[last] - sums[at])
    costs = np.zeros(values.size)
    costs[order] = np.where(counts.repeat(counts) > 1, below + above, 0.0)
    return costs
