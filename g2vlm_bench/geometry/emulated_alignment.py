"""Alignments of depth as published code computes them, for its numbers only.

Each differs from the fit that its name suggests, and says how. `depth_alignment.py` has the fits
themselves; arguments, shapes and errors are as there, and what cannot be fitted raises ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from g2vlm_bench.geometry import l1_line
from g2vlm_bench.geometry.depth_alignment import Array, DepthAlignment, fit_pixels

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]


def lower_median_scale(
    prediction: Pixels, target: Pixels, mask: Mask | None = None
) -> DepthAlignment:
    """Fit scale = median(target) / median(prediction), both the lower of two middle values.

    Source: `torch.median` in MonST3R (574cc77, dust3r/depth_eval.py), CUT3R (8bc15dc,
    eval/monodepth/tools.py), UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py, `si`).
    """
    values, truth = fit_pixels(prediction, target, mask)
    middle, true = _lower_median(values), _lower_median(truth)
    if middle <= 0:
        raise ValueError(f"median scale: expected a median prediction above 0, got {middle:g}")
    return DepthAlignment("lower_median_scale", true / middle, 0.0)


def irls_scale(prediction: Pixels, target: Pixels, mask: Mask | None = None) -> DepthAlignment:
    """Approach the L1 scale by ten reweighted least-squares steps from the ratio of means.

    Ten steps do not converge: on heavy-tailed errors it is off the L1 scale by up to 1%. The scale
    is held at 0.001 or more.

    Source: CUT3R (8bc15dc, eval/video_depth/tools.py, `align_with_scale`), and Pi3 (97ce97b,
    utils/depth.py), whose monocular evaluation calls it "median-scale".
    """
    values, truth = fit_pixels(prediction, target, mask)
    mean = float(values.mean())
    if mean == 0:
        raise ValueError("IRLS scale: expected a mean prediction other than 0")
    scale = float(truth.mean()) / mean
    for _ in range(10):
        weights = 1.0 / (np.abs(scale * values - truth) + 1e-8)
        weighted = weights * values
        scale = l1_line.dot(weighted, truth) / l1_line.dot(weighted, values)
    return DepthAlignment("irls_scale", max(scale, 1e-3), 0.0)


def adam_scale_shift(
    prediction: Pixels, target: Pixels, mask: Mask | None = None, *, learning_rate: float = 1e-4
) -> DepthAlignment:
    """Walk 1000 steps of Adam on the L1 loss of scale and shift, from (median ratio, 0).

    A step moves each parameter by about the learning rate, so that neither gets farther than 0.1
    from its start: the result depends on the unit of the prediction and is no L1 fit.

    Source: MonST3R (574cc77, dust3r/depth_eval.py, `absolute_value_scaling2`), also CUT3R's and
    Pi3's "scale&shift"; Kingma and Ba 2015, algorithm 1. In float32, as there.
    """
    start = _single_precision(lower_median_scale(prediction, target, mask).scale)
    values, truth = (part.astype(np.float32) for part in fit_pixels(prediction, target, mask))
    position = np.array([start, 0.0], dtype=np.float32)
    first, second = np.zeros(2), np.zeros(2)
    previous = np.inf
    for step in range(1, 1001):
        residual = position[0] * values + position[1] - truth
        loss = float(np.float32(np.abs(residual).sum(dtype=np.float64)))
        signs = np.sign(residual)
        slope = np.array([(signs * values).sum(dtype=np.float64), signs.sum(dtype=np.float64)])
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        root = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        move = learning_rate * first / (1 - 0.9**step) / root
        position = (position - move).astype(np.float32)
        if abs(previous - loss) < 1e-6:
            break
        previous = loss
    return DepthAlignment("adam_scale_shift", float(position[0]), float(position[1]))


def bfgs_scale_shift(
    prediction: Pixels, target: Pixels, mask: Mask | None = None
) -> DepthAlignment:
    """Search the L1 fit of scale and shift by BFGS from (lower median ratio, 0).

    "lad" there. The loss has kinks, its slope is taken from differences of 1.5e-8, and the search
    ends where the line search fails, near the L1 optimum but not at it.

    Source: MonST3R (574cc77, dust3r/depth_eval.py, `absolute_value_scaling`, `align_with_lad`),
    also CUT3R's (8bc15dc) and Pi3's (97ce97b): `scipy.optimize.minimize` with its defaults, which
    are BFGS and a gradient below 1e-5. In double precision, as there under NumPy 2.
    """
    start = _single_precision(lower_median_scale(prediction, target, mask).scale)
    values, truth = fit_pixels(prediction, target, mask)

    def loss(line: Array) -> float:
        return float(np.abs(line[0] * values + line[1] - truth).sum())

    found = minimize(loss, [start, 0.0], method="BFGS")
    return DepthAlignment("bfgs_scale_shift", float(found.x[0]), float(found.x[1]))


def trimmed_scale_shift(
    prediction: Pixels, target: Pixels, mask: Mask | None = None
) -> DepthAlignment:
    """Fit a line by least squares to the 95% of pixels nearest to the truth before any alignment.

    For a prediction in another unit these are the near pixels, whatever their quality. 0.0001 is
    added to the diagonal of the normal equations.

    Named departure: where 95% of the errors are alike, as for the truth itself, this is the
    identity.

    Source: UniK3D (29f7862, unik3d/utils/evaluation_depth.py, `ssi`).
    """
    values, truth = fit_pixels(prediction, target, mask)
    errors = np.abs(truth.astype(np.float32) - values.astype(np.float32))
    kept = errors < np.quantile(errors, 0.95)
    if not kept.any():
        # Theirs becomes 0 here, the worst prediction for the best.
        return DepthAlignment("trimmed_scale_shift", 1.0, 0.0)
    scale, shift = _ridge_line(values[kept], truth[kept], 1e-4)
    return DepthAlignment("trimmed_scale_shift", scale, shift)


def ridge_scale_shift(
    prediction: Pixels, target: Pixels, mask: Mask | None = None
) -> DepthAlignment:
    """Fit a line by least squares with 1e-9 on the diagonal of the normal equations.

    Source: UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py, `ssi`), which solves them in
    float32, so that its own result moves in the fifth digit with the order of the pixels.
    """
    values, truth = fit_pixels(prediction, target, mask)
    scale, shift = _ridge_line(values, truth, 1e-9)
    return DepthAlignment("ridge_scale_shift", scale, shift)


def anchored_scale_shift(
    prediction: Pixels,
    target: Pixels,
    mask: Mask | None = None,
    *,
    weights: Pixels | None = None,
) -> DepthAlignment:
    """Fit the L1 line with MoGe's tie rule: the loss through a pixel leaves out its equals.

    Every pixel is tried as an anchor of the line, and pixels that predict the same value as the
    anchor cost nothing. Without ties this is the L1 optimum; with clamped or quantised predictions
    the line is drawn to the values that occur most.

    Args:
        prediction: depth up to scale and shift, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.
        weights: w > 0, same shape; None for equal ones.

    Source: MoGe (0744441, moge/utils/alignment.py, `align_depth_affine` and `align`).
    """
    values, truth = fit_pixels(prediction, target, mask)
    given = np.ones(np.shape(target)) if weights is None else np.asarray(weights, np.float64)
    chosen = given.ravel() if mask is None else given[mask]
    order = np.argsort(values, kind="stable")
    anchors = _Anchors(values[order], truth[order], chosen[order])
    scale, shift = anchors.best()
    return DepthAlignment("anchored_scale_shift", scale, shift)


def mean_distance_scale(
    prediction: Pixels,
    target: Pixels,
    mask: Mask | None = None,
    *,
    predicted_distances: Pixels,
    true_distances: Pixels,
) -> DepthAlignment:
    """Fit scale = mean distance of the target's points / mean distance of the predicted ones.

    Depths divided by the mean distance of their own cloud have the same relative errors.

    Args:
        prediction: depth up to scale, any shape; all views of a cloud together.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.
        predicted_distances: of the predicted points from the first predicted camera, same shape,
            in the prediction's unit.
        true_distances: of the true points from the first camera in metres, same shape.

    Raises:
        ValueError: also where the predicted distances are all 0.

    Source: MapAnything (f7ebafb, mapanything/utils/geometry.py, `normalize_multiple_pointclouds`;
    benchmarking/dense_n_view/benchmark.py divides depths by it).
    """
    fit_pixels(prediction, target, mask)
    predicted, true = (
        float(np.asarray(given, np.float64)[... if mask is None else mask].sum())
        for given in (predicted_distances, true_distances)
    )
    if predicted <= 0:
        raise ValueError("mean distance: expected predicted depths other than 0")
    return DepthAlignment("mean_distance_scale", true / predicted, 0.0)


class _Anchors:
    """The anchors of a line, in groups of one predicted value, and what a line through each costs.

    Within a group the cost of the rest is convex in the anchor's height, so that its slope says on
    which side the best member is, and how much cheaper it can be at most. No line costs less than
    the L1 optimum, so that a group whose ties are worth less than what is already saved need not be
    tried.
    """

    def __init__(self, values: Array, truth: Array, weights: Array) -> None:
        self.values, self.truth, self.weights = values, truth, weights
        _, self.starts = np.unique(values, return_index=True)
        self.ends = np.append(self.starts[1:], values.size)

    def best(self) -> tuple[float, float]:
        scale, shift = l1_line.l1_line(self.values, self.truth, self.weights)
        if len(self.starts) == 1:
            return scale, shift
        least = l1_line.dot(self.weights, np.abs(scale * self.values + shift - self.truth))
        free = self._largest_tie_costs()
        # A line of the optimum passes through some anchor: ties that cost nothing are one bound.
        best, lowest = (scale, shift), least
        for group in np.argsort(-free, kind="stable"):
            if free[group] <= 0 or least - free[group] >= lowest:
                break
            cost, line = self._best_of_group(int(group), lowest)
            if cost < lowest:
                best, lowest = line, cost
        return best

    def _largest_tie_costs(self) -> Array:
        weight = np.add.reduceat(self.weights, self.starts)
        moment = np.add.reduceat(self.weights * self.truth, self.starts)
        # Convex in the anchor's height, hence largest at the lowest or the highest.
        above_lowest = moment - weight * np.minimum.reduceat(self.truth, self.starts)
        below_highest = weight * np.maximum.reduceat(self.truth, self.starts) - moment
        costs: Array = np.maximum(above_lowest, below_highest)
        # Of a single pixel that is rounding, not 0.
        return np.where(self.ends - self.starts > 1, costs, 0.0)

    def _best_of_group(self, group: int, lowest: float) -> tuple[float, tuple[float, float]]:
        """The cheapest line through a member; any other where none is below the lowest."""
        tied = slice(self.starts[group], self.ends[group])
        centre, heights = float(self.values[tied][0]), np.unique(self.truth[tied])
        offsets = np.delete(self.values, tied) - centre
        truth, weights = np.delete(self.truth, tied), np.delete(self.weights, tied)
        best, cheapest = (0.0, 0.0), np.inf
        low, high = 0, len(heights) - 1
        while low <= high:
            middle = (low + high) // 2
            height = float(heights[middle])
            scale = l1_line.l1_scale(offsets, truth - height, weights)
            cost, slope = _cost_through(scale * offsets + height - truth, offsets, weights)
            if cost < cheapest:
                best, cheapest = (scale, height - scale * centre), cost
            farthest = float(heights[low] if slope > 0 else heights[high])
            if cost + slope * (farthest - height) >= min(lowest, cheapest):
                break
            low, high = (low, middle - 1) if slope > 0 else (middle + 1, high)
        return cheapest, best


def _cost_through(residuals: Array, offsets: Array, weights: Array) -> tuple[float, float]:
    """The cost of the best line through an anchor, and its slope in the anchor's height.

    The pixels on the line hold its direction: each takes a part of the pull of the others.
    """
    sizes = np.abs(residuals)
    on_line = sizes <= 1e-12 * float(np.abs(offsets).max() + sizes.max())
    pulls = np.where(on_line, 0.0, np.copysign(weights, residuals))
    held, turned = weights[on_line], offsets[on_line]
    share = l1_line.dot(pulls, offsets) / max(l1_line.dot(held, np.abs(turned)), 1e-300)
    slope = float(pulls.sum()) - share * l1_line.dot(held, np.sign(turned))
    return l1_line.dot(weights, sizes), slope


def _single_precision(start: float) -> float:
    """Round a start as its peers do; the way from there depends on it."""
    if start > float(np.finfo(np.float32).max):
        raise ValueError(f"expected a start that single precision holds, got {start:g}")
    return float(np.float32(start))


def _lower_median(values: Array) -> float:
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle)[middle])


def _ridge_line(values: Array, truth: Array, ridge: float) -> tuple[float, float]:
    normal = np.array(
        [[l1_line.dot(values, values) + ridge, values.sum()], [values.sum(), values.size + ridge]]
    )
    right = np.array([l1_line.dot(values, truth), truth.sum()])
    scale, shift = np.linalg.solve(normal, right)
    return float(scale), float(shift)
