"""Alignments of point maps: what each undoes, and what none of them accepts."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2vlm_bench.geometry import point_alignment as fits

# What each alignment undoes: a positive scale, and a shift along these axes.
UNDOES = {
    "least_squares_scale": (True, (0, 0, 0)),
    "mean_norm_scale": (True, (0, 0, 0)),
    "l1_scale": (True, (0, 0, 0)),
    "l1_z_shift": (False, (0, 0, 1)),
    "l1_xyz_shift": (False, (1, 1, 1)),
    "l1_scale_z_shift": (True, (0, 0, 1)),
    "l1_scale_xyz_shift": (True, (1, 1, 1)),
    "anchored_scale_z_shift": (True, (0, 0, 1)),
    "anchored_scale_xyz_shift": (True, (1, 1, 1)),
}
SHIFTS = [name for name in UNDOES if name.endswith("shift")]
SCALES = [name for name in UNDOES if not name.endswith("shift")]


def pair(seed: int, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.uniform([-2, -1.5, 1], [2, 1.5, 8], (size, 3))
    return target * rng.lognormal(0, 0.1, (size, 1)) + rng.normal(0, 0.05, (size, 3)), target


@given(st.integers(0, 10**6), st.floats(0.01, 100), st.tuples(*[st.floats(-20, 20)] * 3))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", UNDOES)
def test_it_undoes_its_own_group(name, seed, scale, shift) -> None:
    points, target = pair(seed)
    scales, axes = UNDOES[name]
    moved = (scale if scales else 1.0) * points + np.array(shift) * axes
    fit = getattr(fits, name)
    aligned = fit(points, target).apply(points)
    again = fit(moved, target).apply(moved)
    # The L1 optimum may be flat: what is the same is the loss.
    assert np.abs(again - target).sum() == pytest.approx(np.abs(aligned - target).sum(), rel=1e-6)
    exact = (scale if scales else 1.0) * target + np.array(shift) * axes
    np.testing.assert_allclose(fit(exact, target).apply(exact), target, atol=1e-8)


@pytest.mark.parametrize("name", UNDOES)
def test_it_undoes_no_more_than_that(name) -> None:
    points, target = pair(3)
    scales, axes = UNDOES[name]
    fit = getattr(fits, name)
    costs = np.abs(fit(points, target).apply(points) - target).sum()
    beyond = [points * [1, 1, 3], points[:, [2, 0, 1]], -points + 2 * points.mean(axis=0)]
    beyond += [] if scales else [3 * points]
    beyond += [points + 3 * (1 - np.array(axes))] if 0 in axes else []
    if name.startswith("anchored"):
        beyond = beyond[:2]  # MoGe's scale may be negative
    for other in beyond:
        try:
            aligned = fit(other, target).apply(other)
        except ValueError:
            continue  # a scale below 0
        assert np.abs(aligned - target).sum() > 1.5 * costs


def test_golden_fits() -> None:
    points = np.array([[1.0, 0, 2], [0, 1, 2], [2, 2, 4]])
    target = np.array([[2.0, 0, 4], [0, 2, 4], [4, 4, 30]])
    # ratios g / p, weights |p|: 2 (1), 2 (2), 2 (1), 2 (2), 2 (2), 2 (2), 7.5 (4): half of 14 at 2.
    assert fits.l1_scale(points, target).scale == 2.0
    # sum p g = 2 + 8 + 2 + 8 + 8 + 8 + 120, sum p p = 1 + 4 + 1 + 4 + 4 + 4 + 16
    assert fits.least_squares_scale(points, target).scale == pytest.approx(156 / 34)
    # the weight of the last point, 3, is more than half of the sum 5
    heavy = fits.l1_xyz_shift(points, target, np.array([1.0, 1, 3]))
    assert heavy.shift == (2, 2, 26)
    assert fits.l1_z_shift(points, target).shift == (0, 0, 2)
    norms = np.linalg.norm(target, axis=1).sum() / np.linalg.norm(points, axis=1).sum()
    assert fits.mean_norm_scale(points, target).scale == pytest.approx(norms)


def test_a_map_is_as_good_as_a_list() -> None:
    points, target = pair(1, 60)
    listed = fits.l1_scale_xyz_shift(points, target)
    mapped = fits.l1_scale_xyz_shift(points.reshape(6, 10, 3), target.reshape(6, 10, 3))
    assert listed == mapped
    assert mapped.apply(points.reshape(6, 10, 3)).shape == (6, 10, 3)
    assert listed.record() == {
        "kind": "l1_scale_xyz_shift", "scale": listed.scale, "shift": list(listed.shift)
    }  # fmt: skip


@pytest.mark.parametrize("name", ["l1_scale_z_shift", "l1_scale_xyz_shift"])
def test_points_inside_out_do_not_fit_unless_asked(name) -> None:
    target = pair(1)[1] - [0, 0, 4.5]
    positive, free = (
        getattr(fits, name)(-target, target),
        getattr(fits, name)(-target, target, sign="any"),
    )
    assert positive.scale == 0
    assert free.scale == pytest.approx(-1)


def test_the_restricted_fit_never_costs_less_than_the_best() -> None:
    for seed in range(10):
        points, target = pair(seed)
        costs = [
            np.abs(fit(points, target).apply(points) - target).sum()
            for fit in (fits.l1_scale_xyz_shift, fits.anchored_scale_xyz_shift)
        ]
        assert costs[0] <= costs[1] * (1 + 1e-12)
        assert costs[1] < 1.05 * costs[0]


def test_arguments_stay_as_they_were() -> None:
    points, target = pair(1)
    kept = points.copy(), target.copy()
    for name in UNDOES:
        getattr(fits, name)(points, target).apply(points)
    np.testing.assert_array_equal(points, kept[0])
    np.testing.assert_array_equal(target, kept[1])


@pytest.mark.parametrize("name", SHIFTS)
def test_one_point_everywhere_is_fitted_by_its_shift(name) -> None:
    points = np.tile([0.5, 0.25, 2.0], (60, 1))
    found = getattr(fits, name)(points, pair(1)[1])
    assert np.isfinite([found.scale, *found.shift]).all()


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("points", [np.zeros((60, 3)), -pair(1)[1]])
def test_a_scale_that_is_none_is_an_error(name, points) -> None:
    if name == "mean_norm_scale" and points.any():
        return  # it looks at distances only
    with pytest.raises(ValueError, match="expected a best scale above 0"):
        getattr(fits, name)(points, pair(1)[1])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", UNDOES)
def test_one_or_two_points_are_fitted(name, count) -> None:
    points, target = pair(5, count)
    found = getattr(fits, name)(points, target)
    assert np.isfinite([found.scale, *found.shift]).all()


BAD = {
    "none": lambda p, g: (p[:0], g[:0]),
    "NaN": lambda p, g: (np.where(np.arange(60)[:, None] == 3, np.nan, p), g),
    "inf": lambda p, g: (np.where(np.arange(60)[:, None] == 3, np.inf, p), g),
    "NaN truth": lambda p, g: (p, np.where(np.arange(60)[:, None] == 3, np.nan, g)),
    "another size": lambda p, g: (p[:-1], g),
    "one that broadcasts": lambda p, g: (p[:1], g),
    "two columns": lambda p, g: (p[:, :2], g[:, :2]),
    "depth": lambda p, g: (p[:, 2], g[:, 2]),
}


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("name", UNDOES)
def test_input_without_meaning_is_refused(name, how) -> None:
    with pytest.raises(ValueError, match=r"point alignment: expected .* got"):
        getattr(fits, name)(*BAD[how](*pair(1)))


@pytest.mark.parametrize(
    "weights", [np.zeros(60), -np.ones(60), np.full(60, np.nan), np.ones(59), np.ones((60, 3))]
)
def test_weights_without_meaning_are_refused(weights) -> None:
    for name in (n for n in UNDOES if n.startswith(("l1", "anchored"))):
        with pytest.raises(ValueError, match="weights"):
            partial(getattr(fits, name), *pair(1))(weights)
