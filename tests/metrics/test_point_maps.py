"""Metrics of point maps by hand, by plain definition, and what leaves them as they are."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from g2vlm_bench.metrics import point_maps
from g2vlm_bench.metrics.point_maps import POINT_METRICS, compare

TARGET = np.random.default_rng(0).uniform([-2, -1.5, 1], [2, 1.5, 8], (50, 3))
BEST = {name: 0.0 if name in ("point_abs_rel", "point_error", "point_rmse") else 1.0
        for name in POINT_METRICS}  # fmt: skip
# What leaves a metric as it is, when it happens to prediction and truth alike, or to the former.
OF_BOTH_IN_SCALE = set(POINT_METRICS) - {"point_error", "point_rmse"}
OF_DIRECTION = {"point_inlier_1.03", "point_inlier_1.25"}
OF_LENGTH = {name for name in POINT_METRICS if name.startswith("ray")}


def noisy(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return TARGET * rng.lognormal(0, 0.1, (50, 1)) + rng.normal(0, 0.1, (50, 3))


def test_golden_values() -> None:
    # |g| = 5, 3 and 2; |p - g| = 1, 0 and 4; |p| = 6, 3 and 2.
    target = np.array([[0.0, 3, 4], [1, 2, 2], [0, 0, 2]])
    prediction = np.array([[0, 3.6, 4.8], [1, 2, 2], [0, 0, -2]])
    pairs = compare(prediction, target)
    np.testing.assert_allclose(pairs.errors, [1, 0, 4])
    assert point_maps.abs_rel(pairs) == pytest.approx((1 / 5 + 0 + 4 / 2) / 3)
    assert point_maps.abs_rel(pairs, epsilon=1.0) == pytest.approx((1 / 6 + 0 + 4 / 3) / 3)
    # 1 < 0.25 * 5, 0 < 0.25 * 3, not 4 < 0.25 * 2
    assert point_maps.delta1(pairs) == pytest.approx(2 / 3)
    assert point_maps.mean_error(pairs) == pytest.approx(5 / 3)
    assert point_maps.rmse(pairs) == pytest.approx(np.sqrt(17 / 3))
    # ratios 1.2, 1 and 1: the point behind the camera is as far as it should be
    assert point_maps.norm_inliers(pairs, 1.25) == 1
    assert point_maps.norm_inliers(pairs, 1.03) == pytest.approx(2 / 3)
    # angles 0, 0 and 180 degrees
    assert point_maps.ray_auc(pairs, 15) == pytest.approx(2 / 3)


def test_local_values_by_hand() -> None:
    # A box of 3 x 2 x 1: the longest edge is 3. Errors 0.5, 0 and 1: of them two below 0.75.
    target = np.array([[0.0, 0, 1], [3, 0, 2], [1, 2, 1]])
    pairs = compare(target + np.array([[0.5, 0, 0], [0, 0, 0], [0, 0, 1]]), target)
    extent = point_maps.extent_of(target)
    assert extent == 3
    assert point_maps.local_abs_rel(pairs, extent) == pytest.approx((0.5 + 0 + 1) / 3 / 3)
    assert point_maps.local_delta1(pairs, extent) == pytest.approx(2 / 3)


def test_the_area_below_the_rays_by_definition() -> None:
    degrees = np.array([0.2, 3.0, 7.0, 14.0, 15.1, 40.0])
    target = np.tile([0.0, 0, 2], (6, 1))
    prediction = np.stack(
        [np.sin(np.radians(degrees)), 0 * degrees, np.cos(np.radians(degrees))], axis=1
    )
    limits = np.linspace(0.5, 15, 100)
    shares = [(degrees <= limit).mean() for limit in limits]
    expected = np.trapezoid(shares, limits) / 14.5
    assert point_maps.ray_auc(compare(prediction, target), 15) == pytest.approx(expected)


def test_the_error_of_rays_is_their_mean_angle() -> None:
    # 0, 90 and 180 degrees, and a point without a ray; lengths do not matter.
    target = np.array([[0.0, 0, 2], [3, 0, 0], [0, 1, 0], [0, 0, 1]])
    prediction = np.array([[0.0, 0, 9], [0, 0, 1], [0, -5, 0], [0, 0, 0]])
    assert point_maps.ray_error(compare(prediction, target)) == pytest.approx((90 + 180 + 180) / 4)
    # As MapAnything has it, by the length of the chord between unit rays.
    rays = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (noisy(3), TARGET)]
    chord = np.linalg.norm(rays[0] - rays[1], axis=1)
    expected = np.degrees(2 * np.arcsin(chord / 2)).mean()
    assert point_maps.ray_error(compare(noisy(3), TARGET)) == pytest.approx(expected, rel=1e-12)
    assert point_maps.ray_error(compare(7 * TARGET, TARGET)) == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_field_of_view_by_hand() -> None:
    # Of 640 pixels: 90 degrees at 320, 2 atan(1 / sqrt 3) = 60 at 320 sqrt 3.
    wide, narrow = np.diag([320.0, 9, 1]), np.diag([320 * np.sqrt(3), 7, 1])
    narrow[:2, 2] = 100, -50
    assert point_maps.fov_x_error(narrow, wide, 640) == pytest.approx(30, rel=1e-12)
    assert point_maps.fov_x_error(wide, narrow, 640) == pytest.approx(30, rel=1e-12)
    assert point_maps.fov_x_error(wide, wide, 640) == 0
    # Twice the picture at twice the focal length.
    twice = [one * [[2], [2], [1]] for one in (narrow, wide)]
    assert point_maps.fov_x_error(*twice, 1280) == pytest.approx(30, rel=1e-12)
    with pytest.raises(ValueError, match="positive width"):
        point_maps.fov_x_error(wide, wide, 0)
    for broken in (np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(2)):
        with pytest.raises(ValueError, match="intrinsics"):
            point_maps.fov_x_error(broken, wide, 640)


def test_truth_is_best_and_noise_is_not() -> None:
    for name, metric in POINT_METRICS.items():
        assert metric(compare(TARGET, TARGET)) == pytest.approx(BEST[name], abs=1e-15), name
        assert abs(metric(compare(2 * noisy(1)[::-1], TARGET)) - BEST[name]) > 1e-3, name


@given(st.integers(0, 1000), st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("name", POINT_METRICS)
def test_each_is_invariant_under_what_it_claims(name, seed, scale) -> None:
    metric, prediction = POINT_METRICS[name], noisy(seed)
    value = metric(compare(prediction, TARGET))
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = metric(compare(prediction @ turn.T, TARGET @ turn.T))
    assert turned == pytest.approx(value, rel=1e-9)
    order = np.random.default_rng(seed).permutation(50)
    assert metric(compare(prediction[order], TARGET[order])) == pytest.approx(value, rel=1e-12)
    larger = metric(compare(scale * prediction, scale * TARGET))
    assert larger == pytest.approx(value * (1 if name in OF_BOTH_IN_SCALE else scale), rel=1e-9)
    if name in OF_DIRECTION:
        assert metric(compare(-prediction, TARGET)) == value
    if name in OF_LENGTH:
        assert metric(compare(scale * prediction, TARGET)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", POINT_METRICS)
def test_none_is_invariant_under_more(name) -> None:
    metric = POINT_METRICS[name]
    if name not in OF_DIRECTION:
        assert metric(compare(-TARGET, TARGET)) != BEST[name]
    if name not in OF_LENGTH:
        assert metric(compare(1.3 * TARGET, TARGET)) != BEST[name]
    assert metric(compare(TARGET + np.array([0.5, 0, 0.5]), TARGET)) != BEST[name]


def test_a_prediction_at_the_camera_is_as_wrong_as_it_can_be() -> None:
    pairs = compare(np.zeros((50, 3)), TARGET)
    assert point_maps.abs_rel(pairs) == pytest.approx(1)
    for name in POINT_METRICS:
        if BEST[name] == 1:
            assert POINT_METRICS[name](pairs) == 0, name


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (partial(point_maps.norm_inliers, ratio=1.0), "ratio above 1"),
        (partial(point_maps.norm_inliers, ratio=np.nan), "ratio above 1"),
        (partial(point_maps.ray_auc, limit_deg=0.5), "limit above 0.5"),
        (partial(point_maps.local_abs_rel, diameter_m=0.0), "a segment with extent"),
        (partial(point_maps.local_delta1, diameter_m=np.nan), "a segment with extent"),
    ],
)
def test_thresholds_without_meaning(call, says) -> None:
    with pytest.raises(ValueError, match=says):
        call(compare(TARGET, TARGET))
