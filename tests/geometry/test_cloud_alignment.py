"""Published alignments of clouds: what each undoes, by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.alignment import Similarity, umeyama
from g2vlm_bench.geometry.cloud_alignment import (
    align_segments,
    icp_with_scale,
    joint_median,
    lower_median_scale,
    mean_norm_scale,
    symmetric_similarity,
    umeyama_ransac,
)

MOTION = Similarity(1.7, Rotation.from_rotvec([0.3, -0.6, 0.2]).as_matrix(), np.array([4.0, -2, 9]))


def pairs(count: int = 60, outliers: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(count, 3))
    target = MOTION.apply(source)
    target[:outliers] += rng.normal(scale=30, size=(outliers, 3))
    return source, target


def same(found: Similarity, expected: Similarity, tolerance: float = 1e-9) -> bool:
    return (
        abs(found.scale / expected.scale - 1) < tolerance
        and np.allclose(found.rotation, expected.rotation, atol=tolerance)
        and np.allclose(found.translation, expected.translation, atol=tolerance * 100)
    )


def test_ransac_leaves_outliers_aside_that_umeyama_follows() -> None:
    source, target = pairs(outliers=12)
    options = {"iterations": 200, "sample_size": 4, "inlier_m": 0.01}
    assert same(umeyama_ransac(source, target, seed=1, **options), MOTION)
    assert not same(umeyama(source, target), MOTION, 0.01)


def test_ransac_is_repeatable_and_its_default_threshold_needs_no_unit() -> None:
    source, target = pairs(40, outliers=6)
    first, again, other = (umeyama_ransac(source, target, seed) for seed in (3, 3, 4))
    assert first.record() == again.record()
    assert first.record() != other.record()
    smaller = umeyama_ransac(source, target / 1000, 3)
    assert smaller.scale * 1000 == pytest.approx(first.scale)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_ransac_of_true_pairs_is_umeyama_however_few(count) -> None:
    source, target = pairs(count)
    assert same(umeyama_ransac(source, target, seed=0), MOTION, 1e-6)
    rigid = umeyama_ransac(source, MOTION.apply_normals(source), seed=0, with_scale=False)
    assert rigid.scale == 1


def test_ransac_of_a_mirrored_cloud_is_a_rotation() -> None:
    source, _ = pairs()
    found = umeyama_ransac(source, source * [1, 1, -1], seed=0)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.eye(3)[:2], np.eye(3)[:2]),
        (np.zeros((5, 3)), np.ones((5, 3))),
        (np.outer(np.arange(5), [1, 2, 3]), np.outer(np.arange(5), [1, 2, 3])),
        (np.full((5, 3), np.nan), np.ones((5, 3))),
        (np.eye(3), np.ones((4, 3))),
    ],
    ids=["two", "point", "line", "nan", "sizes"],
)
def test_ransac_refuses_what_fixes_no_rotation(source, target) -> None:
    with pytest.raises(ValueError, match="expected"):
        umeyama_ransac(source, target, seed=0)


def test_the_symmetric_fit_is_its_own_inverse_and_umeyama_is_not() -> None:
    source, target = pairs()
    assert same(symmetric_similarity(source, target), MOTION)
    noisy = target + np.random.default_rng(1).normal(size=target.shape)
    there, back = symmetric_similarity(source, noisy), symmetric_similarity(noisy, source)
    assert there.scale * back.scale == pytest.approx(1, rel=1e-12)
    assert umeyama(source, noisy).scale * umeyama(noisy, source).scale < 0.9
    np.testing.assert_allclose(there.rotation, umeyama(source, noisy).rotation, atol=1e-12)


def test_joint_median_by_hand() -> None:
    # Lower medians of four: (1, 1, 1); distances from it 1.73, 0, 1.73, 3.46 -> 1.73, and
    # twice that for the target, whose median z is 2 * 1 + 5 = 7. z: 2 * 1 + t = 7, t = 5.
    source = np.repeat([[0.0], [1], [2], [3]], 3, axis=1)
    found = joint_median(source, 2 * source + [100, -50, 5])
    assert found.scale == pytest.approx(2)
    # x and y are not shifted: the cameras stand there.
    assert found.translation.tolist() == pytest.approx([0, 0, 5])
    np.testing.assert_array_equal(found.rotation, np.eye(3))


def test_joint_median_bounds_the_spread_of_the_prediction() -> None:
    # A spread of 1e-6 counts as 1e-3, so the scale is 1 / 1e-3 and not 1 / 1e-6.
    target = np.array([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    assert joint_median(target * 1e-6, target).scale == pytest.approx(1000)
    with pytest.raises(ValueError, match="extent"):
        joint_median(target, np.ones((3, 3)))


def test_mean_norm_scale_by_hand() -> None:
    # Mean distances 2 and 3.
    source = np.array([[1.0, 0, 0], [0, 3, 0]])
    assert mean_norm_scale(source, np.array([[0.0, 0, 3]])).scale == pytest.approx(1.5)
    with pytest.raises(ValueError, match="above 0"):
        mean_norm_scale(np.zeros((2, 3)), source)


def test_lower_median_scale_by_hand() -> None:
    source = np.array([[1.0, 0, 0], [0, 3, 0], [0, 0, 5], [0, 7, 0]])
    # The lower of 3 and 5, and 6.
    assert lower_median_scale(source, np.array([[0.0, 0, 6]])).scale == pytest.approx(2)
    with pytest.raises(ValueError, match="median distances above 0"):
        lower_median_scale(np.zeros((2, 3)), source)


@pytest.mark.parametrize("fit", [joint_median, lower_median_scale, mean_norm_scale])
@pytest.mark.parametrize("bad", [np.empty((0, 3)), np.full((4, 3), np.nan), np.zeros((4, 2))])
def test_clouds_that_are_none_are_refused(fit, bad) -> None:
    good = np.random.default_rng(0).normal(size=(4, 3))
    for source, target in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match="expected"):
            fit(source, target)


def test_segments_are_aligned_each_by_itself() -> None:
    source, target = pairs(30)
    labels = np.repeat([2, 0, 7], 10)
    target[labels == 7] *= 3
    aligned, fits = align_segments(umeyama, source, target, labels)
    np.testing.assert_allclose(aligned, target, atol=1e-9)
    assert list(fits) == [0, 2, 7]
    assert fits[7].scale == pytest.approx(3 * MOTION.scale)
    assert np.abs(umeyama(source, target).apply(source) - target).max() > 1
    with pytest.raises(ValueError, match="segment 9: "):
        align_segments(umeyama, source, target, np.repeat([2, 9], [28, 2]))
    with pytest.raises(ValueError, match="one label for each"):
        align_segments(umeyama, source, target, labels[:-1])


def test_arguments_are_left_alone_and_utm_coordinates_lose_nothing() -> None:
    source, target = pairs(50)
    offset = np.array([5.4e5, 5.4e6, 300.0])
    before = source.copy(), target.copy()
    found = umeyama_ransac(source + offset, target + offset, seed=0)
    # Relative to the offset, whose last digit is some 1e-9 m.
    np.testing.assert_allclose(found.apply(source + offset), target + offset, atol=1e-6)
    joint_median(source, target)
    np.testing.assert_array_equal(source, before[0])
    np.testing.assert_array_equal(target, before[1])


def bumpy(count: int = 800, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    flat = rng.uniform(size=(count, 2))
    return np.column_stack([flat, 0.2 * np.sin(6 * flat[:, 0]) * np.cos(5 * flat[:, 1])])


SCALED = Similarity(1.03, Rotation.from_rotvec([0.02, -0.01, 0.03]).as_matrix(), np.full(3, 0.01))


def test_icp_with_a_scale_undoes_a_small_similarity() -> None:
    target = bumpy()
    found = icp_with_scale(SCALED.inverse().apply(target), target, 0.2, max_iterations=200)
    assert same(found, SCALED, 1e-6)
    far = np.array([5.4e5, 5.4e6, 300.0])
    start = SCALED.inverse().apply(target)
    at_utm = icp_with_scale(start + far, target + far, 0.2, max_iterations=200)
    assert np.abs(at_utm.apply(start + far) - far - target).max() < 1e-5


@pytest.mark.parametrize(("steps", "still"), [(1, 1e-6), (3, 1e-6), (30, 1e-6), (30, 20.0)])
def test_every_step_with_a_scale_is_that_of_open3d(steps, still) -> None:
    open3d = pytest.importorskip("open3d", reason="compared with Open3D")
    registration = open3d.pipelines.registration
    source = SCALED.inverse().apply(bumpy(seed=1))
    clouds = [
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
        for points in (source, bumpy())
    ]
    theirs = registration.registration_icp(
        *clouds,
        0.04,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(True),
        registration.ICPConvergenceCriteria(1e-6, still, steps),
    ).transformation
    found = icp_with_scale(source, bumpy(), 0.04, steps, still)
    assert np.allclose(found.scale * found.rotation, theirs[:3, :3], atol=1e-9)
    assert np.allclose(found.translation, theirs[:3, 3], atol=1e-9)


@pytest.mark.parametrize(
    ("source", "reach", "message"),
    [
        (bumpy() + 9, 0.1, "pairs within 0.1 m, got none"),
        (bumpy(), 0.0, "distance above 0"),
        (np.empty((0, 3)), 0.1, "at least 1 points"),
        (np.full((3, 3), np.nan), 0.1, "finite"),
        (bumpy()[:1], 0.1, "at least 3 points"),
        (bumpy()[:2], 0.1, "at least 3 points"),
        (np.zeros((9, 3)), 0.1, "span a plane"),
    ],
)
def test_icp_with_a_scale_that_has_no_answer_is_an_error(source, reach, message) -> None:
    with pytest.raises(ValueError, match=message):
        icp_with_scale(source, bumpy(), reach)
