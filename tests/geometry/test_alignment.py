"""Alignments recover what was applied, are invariant under it, and agree with numpy and scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.alignment import Similarity, median_norm_scale, scale_only, umeyama


def random_similarity(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(rng=rng).as_matrix()
    return Similarity(float(rng.uniform(0.1, 10)), rotation, rng.normal(size=3) * 20)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(3, 50))
def test_umeyama_recovers_a_similarity(seed, count) -> None:
    truth = random_similarity(seed)
    source = np.random.default_rng(seed + 1).normal(size=(count, 3))
    fit = umeyama(source, truth.apply(source))
    assert fit.scale == pytest.approx(truth.scale, rel=1e-8)
    np.testing.assert_allclose(fit.rotation, truth.rotation, atol=1e-7)
    np.testing.assert_allclose(fit.translation, truth.translation, atol=1e-6)


def test_umeyama_rotation_agrees_with_scipy_on_noisy_points() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(200, 3))
    target = random_similarity(3).apply(source) + rng.normal(size=(200, 3))
    fit = umeyama(source, target, with_scale=False)
    centred = [cloud - cloud.mean(axis=0) for cloud in (target, source)]
    expected, _ = Rotation.align_vectors(*centred)
    np.testing.assert_allclose(fit.rotation, expected.as_matrix(), atol=1e-10)
    assert fit.scale == 1.0


def test_umeyama_is_the_least_squares_optimum() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(60, 3))
    target = random_similarity(5).apply(source) + 0.5 * rng.normal(size=(60, 3))
    fit = umeyama(source, target)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        moved = parameters[0] * Rotation.from_rotvec(parameters[1:4]).apply(source) + parameters[4:]
        return (moved - target).ravel()

    start = [fit.scale, *Rotation.from_matrix(fit.rotation).as_rotvec(), *fit.translation]
    best = least_squares(residuals, np.array(start) + 0.05)
    assert (residuals(np.array(start)) ** 2).sum() <= 2 * best.cost * (1 + 1e-9)


def test_umeyama_of_a_mirrored_cloud_is_a_rotation() -> None:
    source = np.random.default_rng(2).normal(size=(100, 3))
    fit = umeyama(source, source * [1, 1, -1])
    assert np.linalg.det(fit.rotation) == pytest.approx(1)
    assert fit.scale < 1  # a reflection would have fitted with scale 1


def test_umeyama_of_planar_points_is_determined() -> None:
    source = np.random.default_rng(3).normal(size=(30, 3)) * [1, 1, 0]
    truth = random_similarity(8)
    fit = umeyama(source, truth.apply(source))
    np.testing.assert_allclose(fit.rotation, truth.rotation, atol=1e-8)


def test_umeyama_at_utm_coordinates() -> None:
    source = np.random.default_rng(4).normal(size=(50, 3)) * 100 + [5e5, 5.4e6, 300]
    rotation = Rotation.from_rotvec([0, 0, 0.3]).as_matrix()
    target = (source - source.mean(axis=0)) @ rotation.T + source.mean(axis=0)
    fit = umeyama(source, target)
    assert np.abs(fit.apply(source) - target).max() < 1e-6


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "at least 3"),
        (np.zeros((5, 3)), np.zeros((5, 3)), "rank 0"),
        (np.outer(np.arange(5.0), [1, 2, 3]), np.outer(np.arange(5.0), [0, 1, 0]), "rank 1"),
        (np.eye(3), np.zeros((4, 3)), "corresponding"),
        (np.full((3, 3), np.nan), np.eye(3), "non-finite"),
        (np.eye(4), np.eye(4), "shape"),
    ],
)
def test_degenerate_clouds_are_refused(source, target, message) -> None:
    with pytest.raises(ValueError, match=message):
        umeyama(source, target)


def test_scale_only_and_median_norm_scale_by_hand() -> None:
    source = np.array([[1.0, 0, 0], [0, 2, 0]])
    target = np.array([[2.0, 0, 0], [0, 3, 0]])
    # (1 * 2 + 2 * 3) / (1 + 4) = 1.6; medians 2.5 / 1.5
    assert scale_only(source, target).scale == 1.6
    assert median_norm_scale(source, target).scale == pytest.approx(2.5 / 1.5)
    # No correspondence is needed: three points against two.
    assert median_norm_scale(np.vstack([source, [[0, 0, 1.5]]]), target).scale == 2.5 / 1.5


@pytest.mark.parametrize("fit", [scale_only, median_norm_scale])
def test_cloud_scales_refuse_what_has_none(fit) -> None:
    for source in (np.zeros((3, 3)), np.empty((0, 3)), np.full((3, 3), np.inf)):
        with pytest.raises(ValueError, match="expected"):
            fit(source, np.ones((3, 3)))
    with pytest.raises(ValueError, match="above 0"):
        scale_only(-np.ones((3, 3)), np.ones((3, 3)))


def test_similarity_inverse_then_and_normals() -> None:
    first, second = random_similarity(1), random_similarity(2)
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    np.testing.assert_allclose(first.inverse().apply(first.apply(points)), points)
    np.testing.assert_allclose(first.then(second).apply(points), second.apply(first.apply(points)))
    turned = first.apply_normals(points)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(points, axis=-1))
    record = first.record()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {"scale", "rotation", "translation"}
