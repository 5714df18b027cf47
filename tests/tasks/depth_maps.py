"""Depth maps, and what may be asked of them, for the tests of depth."""

from __future__ import annotations

import numpy as np

from g2vlm_bench.sample import Ambiguity, Prediction, Target

METRICS = [
    "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "si_log", "delta1", "delta2", "delta3",
    "inlier_1.03", "inlier_1.05", "inlier_1.10",
]  # fmt: skip
ALIGNMENTS = {
    "none": ("metric", Ambiguity.METRIC),
    "median_scale": ("median_scale", Ambiguity.SCALE),
    "least_squares_scale": ("lsq_scale", Ambiguity.SCALE),
    "least_squares_scale_shift": ("lsq_affine", Ambiguity.AFFINE),
    "least_squares_scale_shift_disparity": ("lsq_affine_disparity", Ambiguity.AFFINE_DISPARITY),
}
NEW_ALIGNMENTS = [
    "l1_scale", "l1_scale_shift", "l1_scale_shift_disparity", "lower_median_scale", "irls_scale",
    "adam_scale_shift", "ridge_scale_shift", "trimmed_scale_shift", "anchored_scale_shift",
    "mean_distance_scale", "bfgs_scale_shift",
]  # fmt: skip
TRUTH = [[1.0, 2.0], [4.0, 8.0]]
WRONG = [[2.0, 2.0], [4.0, 4.0]]


def maps(*views: object) -> tuple[np.ndarray, ...]:
    return tuple(np.array(view, np.float32) for view in views)


def target(*views: object) -> Target:
    return Target(depth_m=maps(*views))


def predicted(*views: object, ambiguity: Ambiguity | None = None) -> Prediction:
    return Prediction(depth=maps(*views), ambiguity=ambiguity)


def value_of(load_family, score, truth, prediction, metric="abs_rel", **protocol) -> float:
    family = load_family("depth", [metric], protocol)
    (found,) = score(family, truth, prediction).values.values()
    return found
