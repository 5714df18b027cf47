"""Depth alignments recover what was applied, are invariant under it, and agree with references."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from g2vlm_bench.geometry.depth_alignment import (
    DepthAlignment,
    identity,
    l1_scale,
    l1_scale_shift,
    l1_scale_shift_disparity,
    least_squares_scale,
    least_squares_scale_shift,
    least_squares_scale_shift_disparity,
    median_scale,
)

from_depth = partial(least_squares_scale_shift_disparity, prediction_is="depth")
from_disparity = partial(least_squares_scale_shift_disparity, prediction_is="disparity")
l1_from_depth = partial(l1_scale_shift_disparity, prediction_is="depth")
l1_from_disparity = partial(l1_scale_shift_disparity, prediction_is="disparity")
DEPTH_FITS = [
    median_scale,
    least_squares_scale,
    least_squares_scale_shift,
    from_depth,
    from_disparity,
    l1_scale,
    l1_scale_shift,
    l1_from_depth,
    l1_from_disparity,
]


def noisy_pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.uniform(1, 10, size=(12, 16))
    prediction = target * rng.uniform(0.7, 1.3, size=target.shape)
    return prediction, target, rng.random(target.shape) < 0.8


def test_identity_changes_nothing() -> None:
    prediction = np.array([[1.0, np.nan, -2.0]])
    np.testing.assert_array_equal(identity().apply(prediction), prediction)


def test_median_scale_by_hand() -> None:
    # medians: (2 + 4) / 2 = 3 of the target, (1 + 2) / 2 = 1.5 of the prediction; 3 / 1.5 = 2.
    # torch.median would take the lower ones: 2 / 1 = 2; [1, 2] -> [3, 8]: (5.5 / 1.5), torch 3.
    assert median_scale(np.array([1.0, 2.0]), np.array([2.0, 4.0])).scale == 2.0
    assert median_scale(np.array([1.0, 2.0]), np.array([3.0, 8.0])).scale == pytest.approx(
        5.5 / 1.5
    )


def test_least_squares_scale_by_hand() -> None:
    # (1 * 2 + 2 * 3) / (1 + 4) = 8 / 5
    assert least_squares_scale(np.array([1.0, 2.0]), np.array([2.0, 3.0])).scale == 1.6


def test_scale_shift_agrees_with_numpy_lstsq_on_the_mask_only() -> None:
    prediction, target, mask = noisy_pair()
    fit = least_squares_scale_shift(prediction, target, mask)
    design = np.stack([prediction[mask], np.ones(mask.sum())], axis=1)
    expected = np.linalg.lstsq(design, target[mask], rcond=None)[0]
    np.testing.assert_allclose([fit.scale, fit.shift], expected, rtol=1e-10)
    spoiled = np.where(mask, prediction, np.nan)
    assert least_squares_scale_shift(spoiled, target, mask) == fit


def test_scale_shift_survives_a_large_offset() -> None:
    prediction, target, _ = noisy_pair()
    small = least_squares_scale_shift(prediction, target).apply(prediction)
    large = least_squares_scale_shift(prediction + 1e6, target).apply(prediction + 1e6)
    np.testing.assert_allclose(large, small, rtol=1e-8)


def test_disparity_fit_is_the_line_through_inverse_depth() -> None:
    _, target, mask = noisy_pair()
    fit = from_disparity(3 / target - 0.5, target, mask)  # 1 / g = (p + 0.5) / 3
    assert (fit.scale, fit.shift) == (pytest.approx(1 / 3), pytest.approx(0.5 / 3))
    np.testing.assert_allclose(fit.apply(3 / target - 0.5)[mask], target[mask])
    depth = 1 / (3 / target + 0.5)
    np.testing.assert_allclose(from_depth(depth, target, mask).apply(depth)[mask], target[mask])


def test_disparity_below_the_farthest_truth_is_raised_to_it() -> None:
    target = np.array([1.0, 2.0, 4.0])
    fit = from_disparity(1 / target, target)
    # Disparities -1 and 0 stand for "beyond infinity"; 1 / max target = 1 / 4.
    np.testing.assert_allclose(fit.apply(np.array([-1.0, 0.0, 0.1, 0.5])), [4, 4, 4, 2])
    assert np.isnan(fit.apply(np.array([np.nan]))).all()


def test_non_positive_depth_outside_the_mask_becomes_nan_in_a_disparity_fit() -> None:
    target = np.array([1.0, 2.0, 4.0, 3.0])
    prediction = np.array([1.0, 2.0, 4.0, 0.0])
    fit = from_depth(prediction, target, target != 3)
    np.testing.assert_allclose(fit.apply(prediction), [1, 2, 4, np.nan])


@pytest.mark.parametrize("fit", DEPTH_FITS)
def test_frames_of_a_sequence_share_one_alignment_when_stacked(fit) -> None:
    prediction, target, mask = noisy_pair()
    stacked = fit(prediction.reshape(2, 6, 16), target.reshape(2, 6, 16), mask.reshape(2, 6, 16))
    assert stacked == fit(prediction, target, mask)


@settings(max_examples=30, deadline=None)
@given(a=st.floats(0.01, 100), b=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_each_alignment_is_invariant_under_its_group_and_no_more(a, b, seed) -> None:
    prediction, target, mask = noisy_pair(seed)
    groups = {
        median_scale: lambda p: a * p,
        least_squares_scale: lambda p: a * p,
        least_squares_scale_shift: lambda p: -a * p + b,
        from_disparity: lambda p: a * p + b,
        from_depth: lambda p: a * p,
        l1_scale: lambda p: a * p,
        l1_scale_shift: lambda p: -a * p + b,
        l1_from_disparity: lambda p: a * p + b,
    }
    for fit, change in groups.items():
        before = fit(prediction, target, mask).apply(prediction)
        changed = change(prediction)
        after = fit(changed, target, mask).apply(changed)
        np.testing.assert_allclose(after, before, rtol=1e-6, err_msg=str(fit))
    for fit in (median_scale, least_squares_scale, l1_scale):
        before = fit(prediction, target, mask).apply(prediction)
        shifted = prediction + 2.0
        assert not np.allclose(fit(shifted, target, mask).apply(shifted), before)


@pytest.mark.parametrize(
    "fit", [median_scale, least_squares_scale, least_squares_scale_shift, l1_scale, l1_scale_shift]
)
def test_truth_is_left_alone(fit) -> None:
    _, target, mask = noisy_pair()
    result = fit(target, target, mask)
    assert result.scale == pytest.approx(1)
    assert result.shift == pytest.approx(0, abs=1e-12)


def test_least_squares_fits_beat_every_other_fit_of_their_kind() -> None:
    prediction, target, mask = noisy_pair()

    def error(parameters, with_shift: bool) -> np.ndarray:
        shift = parameters[1] if with_shift else 0.0
        return parameters[0] * prediction[mask] + shift - target[mask]

    scale = least_squares(error, [0.5], args=(False,)).x
    line = least_squares(error, [0.5, 0.1], args=(True,)).x
    assert least_squares_scale(prediction, target, mask).scale == pytest.approx(scale[0])
    fit = least_squares_scale_shift(prediction, target, mask)
    assert [fit.scale, fit.shift] == pytest.approx(list(line))


@pytest.mark.parametrize("constant", [2.0, 0.1, 1e9])
def test_constant_prediction_becomes_the_mean(constant) -> None:
    target = np.array([1.0, 2.0, 4.0])
    prediction = np.full(3, constant)
    fit = least_squares_scale_shift(prediction, target)
    assert (fit.scale, fit.shift) == (0.0, pytest.approx(7 / 3))
    disparity = from_disparity(prediction, target)
    assert (disparity.scale, disparity.shift) == (0.0, pytest.approx((1 + 0.5 + 0.25) / 3))


@pytest.mark.parametrize("fit", DEPTH_FITS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, g, m: (p, g, np.zeros_like(m)), "empty mask"),
        (lambda p, g, m: (np.where(m, np.nan, p), g, m), "non-finite"),
        (lambda p, g, m: (np.where(m, np.inf, p), g, m), "non-finite"),
        (lambda p, g, m: (p, np.where(m, np.nan, g), m), "targets"),
        (lambda p, g, m: (p, -g, m), "targets"),
        (lambda p, g, m: (p[:, :-1], g, m), "one shape"),
        (lambda p, g, m: (p, g, m.astype(int)), "bool mask"),
    ],
)
def test_degenerate_input_is_refused(fit, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit(*change(*noisy_pair()))


@pytest.mark.parametrize("fit", [median_scale, least_squares_scale, l1_scale])
@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_scale_never_turns_negative_into_depth(fit, factor) -> None:
    _, target, mask = noisy_pair()
    with pytest.raises(ValueError, match="above 0"):
        fit(factor * target, target, mask)


def test_depth_without_disparity_is_refused() -> None:
    target = np.array([1.0, 2.0, 4.0])
    with pytest.raises(ValueError, match="1 of 3 at or below 0"):
        from_depth(np.array([1.0, 0.0, 2.0]), target)
    with pytest.raises(ValueError, match="'depth' or 'disparity'"):
        least_squares_scale_shift_disparity(target, target, prediction_is="inverse")  # type: ignore[arg-type]


def test_records_are_plain_and_arguments_untouched() -> None:
    prediction, target, mask = noisy_pair()
    copies = prediction.copy(), target.copy(), mask.copy()
    for fit in DEPTH_FITS:
        result = fit(prediction, target, mask)
        result.apply(prediction)
        assert json.loads(json.dumps(result.record())) == result.record()
    for array, copy in zip((prediction, target, mask), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_l1_fits_by_hand() -> None:
    # |s - 1| + |2 s - 2| + |4 s - 9|: the ratio 1 has the weights 1 + 2, the ratio 9 / 4 has 4.
    values, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 9.0])
    assert l1_scale(values, target).scale == 2.25
    # Weighted by 1 / target the weights are 1, 1 and 4 / 9.
    assert l1_scale(values, target, weights=1 / target).scale == 1
    # 1 + 2 v at four of five.
    fit = l1_scale_shift(np.arange(5.0), np.array([1.0, 3.0, 5.0, 70.0, 9.0]))
    assert (fit.scale, fit.shift) == (pytest.approx(2), pytest.approx(1))
    # 1 / g = 0.5 v + 0.25 at four of five.
    disparity = np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    truth = 1 / (0.5 * disparity + 0.25)
    truth[2] = 0.1
    fit = l1_from_disparity(disparity, truth)
    assert (fit.scale, fit.shift) == (pytest.approx(0.5), pytest.approx(0.25))


@pytest.mark.parametrize("constant", [2.0, 0.1, 1e9])
def test_constant_prediction_becomes_the_median(constant) -> None:
    fit = l1_scale_shift(np.full(3, constant), np.array([1.0, 2.0, 4.0]))
    assert (fit.scale, fit.shift) == (0, pytest.approx(2))


@pytest.mark.parametrize("weights", [-np.ones(3), np.zeros(3), np.full(3, np.nan), np.ones(2)])
def test_weights_that_weigh_nothing_are_refused(weights) -> None:
    target = np.array([1.0, 2.0, 4.0])
    for fit in (l1_scale, l1_scale_shift, l1_from_depth):
        with pytest.raises(ValueError, match="weights"):
            fit(target, target, weights=weights)


def test_disparity_floors() -> None:
    target = np.array([1.0, 2.0, 4.0])
    below = np.array([-0.5, 0.0, 0.002])
    floors = {"farthest": [4, 4, 4], 0.001: [1000, 1000, 500], "none": [-2, np.nan, 500]}
    for floor, expected in floors.items():
        fit = from_disparity(1 / target, target, floor=floor)
        exact = DepthAlignment(**{**fit.record(), "scale": 1.0, "shift": 0.0})
        np.testing.assert_allclose(exact.apply(below), expected)
