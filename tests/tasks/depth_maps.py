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


def depth_pair(seed: int = 0, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray]:
    """Piecewise planes with steps, and a prediction of another scale, shift and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    true = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    predicted = (0.6 * true + 0.4) * rng.lognormal(0, 0.08, size)
    return predicted.astype(np.float32), true.astype(np.float32)


def poses(count: int) -> tuple[np.ndarray, ...]:
    """Cameras that step to the right and turn to the left."""
    found = [np.eye(4) for _ in range(count)]
    for index, pose in enumerate(found):
        sine, cosine = np.sin(0.02 * index), np.cos(0.02 * index)
        pose[[0, 0, 2, 2], [0, 2, 0, 2]] = cosine, -sine, sine, cosine
        pose[:3, 3] = 0.05 * index, 0, 0.01 * index
    return tuple(found)
