"""Emulated alignments: by hand, against plain definitions, and how far they are from their names.

That they give the peers' numbers is shown by scripts/conformance_depth.py, whose values are in
tests/tasks/test_depth_profiles.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.depth_alignment import (
    l1_scale,
    l1_scale_shift,
    least_squares_scale_shift,
    median_scale,
)
from g2vlm_bench.geometry.emulated_alignment import (
    adam_scale_shift,
    anchored_scale_shift,
    bfgs_scale_shift,
    irls_scale,
    lower_median_scale,
    ridge_scale_shift,
    trimmed_scale_shift,
)

FITS = [
    lower_median_scale,
    irls_scale,
    adam_scale_shift,
    bfgs_scale_shift,
    ridge_scale_shift,
    trimmed_scale_shift,
    anchored_scale_shift,
]


def noisy_pair(seed: int = 0, size: int = 201) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.uniform(1, 10, size)
    return target * rng.lognormal(0, 0.3, size), target


def test_lower_median_by_hand() -> None:
    # The lower of 3 and 8 by the lower of 1 and 2; the averages would give 5.5 / 1.5.
    assert lower_median_scale(np.array([1.0, 2.0]), np.array([3.0, 8.0])).scale == 3
    odd = noisy_pair()
    assert lower_median_scale(*odd).scale == median_scale(*odd).scale


def test_ten_steps_of_irls_come_near_the_l1_scale() -> None:
    for seed in range(5):
        pair = noisy_pair(seed)
        assert irls_scale(*pair).scale == pytest.approx(l1_scale(*pair).scale, rel=0.02)
    # By hand: p = (1, 1), g = (1, 3) starts at 2, where both residuals are 1: it stays.
    assert irls_scale(np.array([1.0, 1.0]), np.array([1.0, 3.0])).scale == pytest.approx(2)
    assert irls_scale(np.array([1.0, 1.0]), np.array([1e-5, 1e-5])).scale == 1e-3


def test_adam_moves_about_a_tenth_at_most() -> None:
    prediction, target = noisy_pair()
    for unit in (1.0, 30.0):
        start = lower_median_scale(prediction / unit, target + 5).scale
        fit = adam_scale_shift(prediction / unit, target + 5)
        assert abs(fit.scale - start) < 0.12
        assert 0 < fit.shift < 0.12


# `absolute_value_scaling` from (ratio of torch.median, 0): CUT3R/CUT3R@8bc15dc, Junyi42/monst3r
# @574cc77 and yyfz/Pi3@97ce97b, the same of all three; numpy 2.4.6, scipy 1.17.1, torch 2.13.
LAD = {
    0: (1.5617108554121029, -0.3074065409592583),
    1: (1.533208063172466, -0.23369116673014434),
}


@pytest.mark.parametrize("seed", LAD)
def test_bfgs_ends_where_the_peers_do(seed) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64] / np.array([48, 64])[:, None, None]
    true = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    predicted = ((0.6 * true + 0.4) * rng.lognormal(0, 0.08, (48, 64))).astype(np.float32)
    fit = bfgs_scale_shift(predicted, true.astype(np.float32))
    # Another release of scipy may leave the kinks elsewhere, hence the tolerance.
    assert (fit.scale, fit.shift) == pytest.approx(LAD[seed], rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_bfgs_comes_near_the_l1_fit_and_never_below_it(shift) -> None:
    def loss(fit, prediction, target) -> float:
        return float(np.abs(fit.apply(prediction) - target).sum())

    for seed in range(8):
        prediction, target = noisy_pair(seed)
        pair = prediction, target + shift
        best, found = loss(l1_scale_shift(*pair), *pair), loss(bfgs_scale_shift(*pair), *pair)
        assert best * (1 - 1e-12) <= found < 1.01 * best
        assert found < loss(lower_median_scale(*pair), *pair)


def test_ridge_is_least_squares_and_trimmed_of_the_nearest_95_percent() -> None:
    prediction, target = noisy_pair()
    ridge, plain = (
        ridge_scale_shift(prediction, target),
        least_squares_scale_shift(prediction, target),
    )
    assert (ridge.scale, ridge.shift) == pytest.approx((plain.scale, plain.shift), rel=1e-9)
    errors = np.abs(prediction - target)
    kept = errors < np.quantile(errors, 0.95)
    plain = least_squares_scale_shift(prediction[kept], target[kept])
    trimmed = trimmed_scale_shift(prediction, target)
    assert (trimmed.scale, trimmed.shift) == pytest.approx((plain.scale, plain.shift), rel=1e-4)


def anchored_slowly(prediction, target, weights) -> float:
    """The least cost over all anchors, each without the pixels that predict the same."""
    costs = []
    for anchor in range(len(prediction)):
        offsets, rises = prediction - prediction[anchor], target - target[anchor]
        others = offsets != 0
        slopes = rises[others] / offsets[others]
        costs += [weights[others] @ np.abs(s * offsets[others] - rises[others]) for s in slopes]
    return min(costs)


@pytest.mark.parametrize("step", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_tie_rule_by_its_definition(seed, step) -> None:
    prediction, target = noisy_pair(seed, size=60)
    prediction, weights = np.maximum(np.round(prediction / step) * step, 3.0), 1 / target
    fit = anchored_scale_shift(prediction, target, weights=weights)
    residuals = weights * np.abs(fit.apply(prediction) - target)
    # The line passes through an anchor, whose equals cost nothing.
    on_line = prediction[residuals < 1e-9]
    costs = [residuals[prediction != value].sum() for value in np.unique(on_line)]
    assert min(costs) == pytest.approx(anchored_slowly(prediction, target, weights), rel=1e-9)
    exact = l1_scale_shift(prediction, target, weights=weights)
    assert residuals.sum() >= (weights * np.abs(exact.apply(prediction) - target)).sum() - 1e-9


def test_without_ties_the_rule_changes_nothing() -> None:
    pair = noisy_pair()
    exact, anchored = l1_scale_shift(*pair), anchored_scale_shift(*pair)
    assert (anchored.scale, anchored.shift) == (
        pytest.approx(exact.scale),
        pytest.approx(exact.shift),
    )


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, g: (p, g, np.zeros(p.shape, bool)), "empty mask"),
        (lambda p, g: (p * np.nan, g), "non-finite"),
        (lambda p, g: (p, -g), "targets"),
        (lambda p, g: (p[1:], g), "one shape"),
    ],
)
def test_degenerate_input_is_refused(fit, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit(*change(*noisy_pair()))


@pytest.mark.parametrize("fit", FITS)
def test_a_mask_chooses_and_arguments_stay(fit) -> None:
    prediction, target = noisy_pair()
    mask = np.random.default_rng(1).random(prediction.shape) < 0.7
    copies = prediction.copy(), target.copy()
    assert fit(prediction, target, mask) == fit(prediction[mask], target[mask])
    assert fit(prediction, target).kind == fit.__name__
    np.testing.assert_array_equal((prediction, target), copies)


@pytest.mark.parametrize("fit", [lower_median_scale, irls_scale])
def test_a_prediction_of_zeros_has_no_scale(fit) -> None:
    with pytest.raises(ValueError, match="expected a me"):
        fit(np.zeros(3), np.ones(3))
