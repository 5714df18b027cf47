"""Depth metrics: golden values with their arithmetic, sklearn, invariances, masks and crops."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error

from g2vlm_bench.metrics.depth import (
    DELTA_AUC_BEST,
    DEPTH_METRICS,
    abs_rel,
    clip_prediction,
    crop_mask,
    depth_metrics,
    log10,
    median_log,
    near_enough,
    ratio_within,
    rmse,
    rmse_log,
    si_log,
    si_log_sample_std,
    sq_rel,
    valid_mask,
)

# Ratios: 2, 1 / 2, 1 and 1.25 (exactly at the first threshold, which is strict).
PREDICTION = np.array([[2.0, 1.0], [4.0, 5.0]])
TARGET = np.array([[1.0, 2.0], [4.0, 4.0]])
# As torch makes them, on which UniDepth takes the share.
EXPONENTS = torch.linspace(0.01, 5.0, 100).double().numpy()
GOLDEN = {
    "abs_rel": (1 / 1 + 1 / 2 + 0 + 1 / 4) / 4,
    "sq_rel": (1 / 1 + 1 / 2 + 0 + 1 / 4) / 4,
    "rmse": sqrt((1 + 1 + 0 + 1) / 4),
    "rmse_log": sqrt((log(2) ** 2 + log(2) ** 2 + 0 + log(1.25) ** 2) / 4),
    "log10": (2 * log(2) + log(1.25)) / 4 / log(10),
    # mean e = log(1.25) / 4, because log 2 and log 1/2 cancel
    "si_log": sqrt((2 * log(2) ** 2 + log(1.25) ** 2) / 4 - (log(1.25) / 4) ** 2),
    "si_log_half": sqrt((2 * log(2) ** 2 + log(1.25) ** 2) / 4 - (log(1.25) / 4) ** 2 / 2),
    "si_log_sample": sqrt((2 * log(2) ** 2 + log(1.25) ** 2 - log(1.25) ** 2 / 4) / 3),
    "median_log": 0.0,  # log 1/2, 0, log 1.25, log 2: the lower of two middle ones
    "i_rmse": sqrt((0.5**2 + 0.5**2 + 0 + 0.05**2) / 4),
    "delta1": 1 / 4,
    "delta2": 2 / 4,  # 1.5625: 1 and 1.25
    "delta3": 2 / 4,  # 1.953125 < 2
    "inlier_1.03": 1 / 4,
    "inlier_1.05": 1 / 4,
    "inlier_1.10": 1 / 4,
    # Ratios 1, 1.25 and 2 twice, at every exponent.
    "delta_auc": np.trapezoid(
        [(1 + (1.25**e > 1.25) + 2 * (1.25**e > 2)) / 4 for e in EXPONENTS], EXPONENTS
    )
    / 5,
}


def random_pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.5, 20, size=(9, 11))
    return target * rng.lognormal(0, 0.3, target.shape), target, rng.random(target.shape) < 0.7


@pytest.mark.parametrize("name", DEPTH_METRICS)
def test_golden_values(name) -> None:
    assert DEPTH_METRICS[name](PREDICTION, TARGET, None) == pytest.approx(GOLDEN[name], rel=1e-14)


def test_one_pass_equals_the_single_metrics() -> None:
    values = depth_metrics(*random_pair())
    assert list(values) == list(DEPTH_METRICS)
    assert values == {name: metric(*random_pair()) for name, metric in DEPTH_METRICS.items()}
    assert list(depth_metrics(PREDICTION, TARGET, names=["rmse", "abs_rel"])) == ["rmse", "abs_rel"]
    with pytest.raises(ValueError, match="got 'delta4'"):
        depth_metrics(PREDICTION, TARGET, names=["delta4"])


def test_agreement_with_sklearn() -> None:
    prediction, target, mask = random_pair()
    p, g = prediction[mask], target[mask]
    assert abs_rel(prediction, target, mask) == pytest.approx(mean_absolute_percentage_error(g, p))
    assert rmse(prediction, target, mask) == pytest.approx(root_mean_squared_error(g, p))
    expected = root_mean_squared_error(np.log(g), np.log(p))
    assert rmse_log(prediction, target, mask) == pytest.approx(expected)


def test_the_three_definitions_of_si_log() -> None:
    prediction, target, mask = random_pair()
    e = np.log(prediction[mask]) - np.log(target[mask])
    marigold = sqrt((e**2).mean() - e.mean() ** 2)
    depth_anything = sqrt((e**2).mean() - 0.5 * e.mean() ** 2)
    assert si_log(prediction, target, mask) == pytest.approx(marigold)
    assert si_log(prediction, target, mask, mean_weight=0.5) == pytest.approx(depth_anything)
    assert si_log(prediction, target, mask, mean_weight=0.0) == pytest.approx(
        rmse_log(prediction, target, mask)
    )
    unidepth = np.std(e, ddof=1)
    assert si_log_sample_std(prediction, target, mask) == pytest.approx(unidepth)
    with pytest.raises(ValueError, match="weight from 0 to 1"):
        si_log(prediction, target, mask, mean_weight=1.5)


def test_median_log_is_the_lower_of_two_middle_errors_by_its_size() -> None:
    errors = np.array([3.0, -0.7, -2.0, 0.4])
    target = np.array([1.0, 4.0, 9.0, 2.0])
    prediction = target * np.exp(errors)
    assert median_log(prediction, target) == pytest.approx(0.7)
    assert median_log(prediction, target, np.array([True, True, False, True])) == pytest.approx(0.4)
    # As UniDepth does, times 100.
    theirs = (torch.tensor(prediction).log() - torch.tensor(target).log()).median().abs()
    assert median_log(prediction, target) == pytest.approx(float(theirs), rel=1e-14)
    # A few wild pixels do not move it, a scale moves it by its logarithm.
    assert median_log(1.1 * target, target) == pytest.approx(log(1.1))


def test_si_log_of_one_pixel_would_always_be_perfect() -> None:
    for metric in (si_log, si_log_sample_std):
        with pytest.raises(ValueError, match="at least 2 pixels, got 1"):
            metric(np.array([3.0]), np.array([1.0]))


@pytest.mark.parametrize("name", DEPTH_METRICS)
def test_truth_is_best_and_nothing_else_is(name) -> None:
    prediction, target, mask = random_pair()
    higher_is_better = name.startswith(("delta", "inlier"))
    best = DELTA_AUC_BEST if name == "delta_auc" else 1.0 if higher_is_better else 0.0
    assert DEPTH_METRICS[name](target, target, mask) == best
    score = DEPTH_METRICS[name](prediction, target, mask)
    assert score < best if higher_is_better else score > best


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_invariances(factor, seed) -> None:
    prediction, target, mask = random_pair(seed)
    # A change of unit changes what has a unit by the factor and nothing else.
    for name, metric in DEPTH_METRICS.items():
        unit = {"sq_rel": factor, "rmse": factor, "i_rmse": 1 / factor}.get(name, 1)
        expected = metric(prediction, target, mask) * unit
        assert metric(factor * prediction, factor * target, mask) == pytest.approx(
            expected, rel=1e-9, abs=1e-12
        )
    assert si_log(factor * prediction, target, mask) == pytest.approx(
        si_log(prediction, target, mask)
    )


@pytest.mark.parametrize("name", DEPTH_METRICS)
def test_what_the_mask_hides_does_not_count(name) -> None:
    prediction, target, mask = random_pair()
    spoiled = np.where(mask, prediction, np.nan), np.where(mask, target, -1.0)
    metric = DEPTH_METRICS[name]
    assert metric(*spoiled, mask) == metric(prediction, target, mask)


@pytest.mark.parametrize("name", DEPTH_METRICS)
def test_float32_input_is_computed_in_float64(name) -> None:
    prediction, target = (array.astype(np.float32) for array in random_pair()[:2])
    double = DEPTH_METRICS[name](prediction.astype(np.float64), target.astype(np.float64), None)
    assert DEPTH_METRICS[name](prediction, target, None) == double


def test_non_positive_predictions_are_errors_but_no_crash() -> None:
    prediction, target = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 1.0, 2.0])
    assert abs_rel(prediction, target) == 1.0  # (2 + 1 + 0) / 3
    assert sq_rel(prediction, target) == pytest.approx(5 / 3)  # (4 + 1 + 0) / 3
    assert rmse(prediction, target) == pytest.approx(sqrt(5 / 3))
    assert ratio_within(prediction, target, threshold=1.25) == pytest.approx(1 / 3)
    assert ratio_within(-target, target, threshold=1e9) == 0.0
    for metric in (rmse_log, log10, si_log, si_log_sample_std, median_log):
        with pytest.raises(ValueError, match=r"2 of 3 at or below 0 \(clip them first\)"):
            metric(prediction, target)
        clipped = clip_prediction(prediction, 1e-3, np.inf)
        assert np.isfinite(metric(clipped, target))


def test_clip_repairs_the_range_but_no_failure() -> None:
    values = np.array([-1.0, 0.5, 99.0, np.nan, np.inf, -np.inf])
    clipped = clip_prediction(values, 0.1, 80.0)
    np.testing.assert_array_equal(clipped, [0.1, 0.5, 80, np.nan, np.inf, -np.inf])
    assert values[0] == -1
    with pytest.raises(ValueError, match="low <= high"):
        clip_prediction(values, 2.0, 1.0)


@pytest.mark.parametrize("threshold", [1.0, 0.5, np.nan])
def test_a_ratio_threshold_is_above_one(threshold) -> None:
    with pytest.raises(ValueError, match="above 1"):
        ratio_within(PREDICTION, TARGET, threshold=threshold)


def test_valid_mask_excludes_its_bounds_and_what_is_not_finite() -> None:
    target = np.array([[0.0, 1e-3, 1.0], [10.0, np.nan, np.inf]])
    assert valid_mask(target).tolist() == [[False, True, True], [True, False, False]]
    assert valid_mask(target, 1e-3, 10.0).tolist() == [[False, False, True], [False] * 3]
    for bounds in ((-1.0, 5.0), (5.0, 5.0), (np.nan, 5.0)):
        with pytest.raises(ValueError, match="min_depth < max_depth"):
            valid_mask(target, *bounds)


@pytest.mark.parametrize(
    ("crop", "size", "rows", "columns"),
    [
        # int(.3324324 * 352) = 117, int(.91351351 * 352) = 321, int(.0359477 * 1216) = 43,
        # int(.96405229 * 1216) = 1172
        ("eigen", (352, 1216), (117, 321), (43, 1172)),
        # int(.40810811 * 352) = 143, int(.99189189 * 352) = 349
        ("garg", (352, 1216), (143, 349), (43, 1172)),
        # the same fractions at 375 x 1242
        ("garg", (375, 1242), (153, 371), (44, 1197)),
        # of 352 x 1216 from row 375 - 352 = 23 and column (1242 - 1216) // 2 = 13
        ("garg_kb", (375, 1242), (23 + 143, 23 + 349), (13 + 43, 13 + 1172)),
        ("eigen_kb", (375, 1242), (23 + 117, 23 + 321), (13 + 43, 13 + 1172)),
        # an odd margin, (1241 - 1216) // 2 = 12
        ("garg_kb", (376, 1241), (24 + 143, 24 + 349), (12 + 43, 12 + 1172)),
        ("garg_kb", (352, 1216), (143, 349), (43, 1172)),
        ("nyu", (480, 640), (45, 471), (41, 601)),
    ],
)
def test_crops(crop, size, rows, columns) -> None:
    mask = crop_mask(*size, crop)
    inside = np.argwhere(mask)
    assert inside.min(axis=0).tolist() == [rows[0], columns[0]]
    assert inside.max(axis=0).tolist() == [rows[1] - 1, columns[1] - 1]
    assert mask.sum() == (rows[1] - rows[0]) * (columns[1] - columns[0])
    target = np.ones(size)
    target[:200] = np.nan
    np.testing.assert_array_equal(valid_mask(target, crop=crop), mask & np.isfinite(target))


def test_bad_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="480 x 640, got 240 x 320"):
        crop_mask(240, 320, "nyu")
    for size in ((351, 1216), (352, 1215)):
        with pytest.raises(ValueError, match=r"crop eigen_kb: expected .* 352 x 1216 or larger"):
            crop_mask(*size, "eigen_kb")
    with pytest.raises(ValueError, match="got 'center_kb'"):
        crop_mask(400, 1300, "center_kb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 'center'"):
        crop_mask(4, 4, "center")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(H, W\)"):
        valid_mask(np.ones(5), crop="eigen")


def test_abs_rel_with_an_epsilon_by_hand() -> None:
    # |3 - 1| / (1 + 1) and |2 - 4| / (4 + 1)
    assert abs_rel(np.array([3.0, 2.0]), np.array([1.0, 4.0]), epsilon=1.0) == pytest.approx(0.7)


@pytest.mark.parametrize("times", [1.5, 3, 1000])
@pytest.mark.parametrize("spread", [0.1, 2.0])
def test_what_is_near_enough_follows_from_the_quantile_even_where_none_is_needed(
    times, spread
) -> None:
    rng = np.random.default_rng(0)
    target = rng.lognormal(0, spread, (30, 40)).astype(np.float32)
    target[rng.random(target.shape) < 0.1] = np.nan
    mask = valid_mask(target, 0.2)
    expected = mask & (target <= np.quantile(target[mask], 0.01) * times)
    np.testing.assert_array_equal(near_enough(target, mask, times), expected)
    assert not near_enough(target, np.zeros_like(mask), times).any()
