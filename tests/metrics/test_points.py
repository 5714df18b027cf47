"""Cloud metrics: golden values, brute force, Open3D, invariances, and real airborne scans."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cloud_regions import ObservedGrid
from g2vlm_bench.geometry.clouds import read_cloud
from g2vlm_bench.geometry.nearest import NeighbourIndex
from g2vlm_bench.metrics.points import (
    accuracy,
    chamfer,
    cloud_distances,
    completeness,
    fscore,
    fscore_curve,
    norm_ratio_inliers,
    normal_agreement,
    normal_consistency,
    observed_distances,
    precision,
    recall,
    relative_error,
    scale_error,
    without_outliers,
)

# Prediction to truth: 0, 1, 4 (from 5 to 1); truth to prediction: 0, 0.
PREDICTION = np.array([[0.0, 0, 0], [0, 1, 0], [5, 0, 0]])
TARGET = np.array([[0.0, 0, 0], [1, 0, 0]])


def random_clouds(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(300, 3)), rng.normal(size=(200, 3)) + 0.1


def test_golden_values() -> None:
    distances = cloud_distances(PREDICTION, TARGET)
    assert distances.prediction_to_target.tolist() == [0, 1, 4]
    assert distances.target_to_prediction.tolist() == [0, 1]
    assert accuracy(distances) == 5 / 3
    assert accuracy(distances, "median") == 1
    assert completeness(distances) == 1 / 2
    assert completeness(distances, "median") == 1 / 2
    assert chamfer(distances, "sum", "l2") == pytest.approx(5 / 3 + 1 / 2)
    assert chamfer(distances, "mean", "l2") == pytest.approx((5 / 3 + 1 / 2) / 2)
    assert chamfer(distances, "sum", "squared") == pytest.approx(17 / 3 + 1 / 2)
    assert chamfer(distances, "mean", "squared") == pytest.approx((17 / 3 + 1 / 2) / 2)
    # d < 1 is strict: one of three, one of two; 2 * (1/3) * (1/2) / (5/6) = 0.4
    assert precision(distances, 1.0) == 1 / 3
    assert recall(distances, 1.0) == 1 / 2
    assert fscore(distances, 1.0) == pytest.approx(0.4)
    assert precision(distances, 1.0 + 1e-9) == 2 / 3


def test_fscore_without_any_hit_is_zero() -> None:
    assert fscore(cloud_distances(PREDICTION, TARGET + 100), 0.5) == 0.0


def test_both_directions_agree_with_brute_force() -> None:
    prediction, target = random_clouds()
    distances = cloud_distances(prediction, target)
    every = cdist(prediction, target)
    np.testing.assert_allclose(distances.prediction_to_target, every.min(axis=1))
    np.testing.assert_allclose(distances.target_to_prediction, every.min(axis=0))
    np.testing.assert_array_equal(distances.nearest_target, every.argmin(axis=1))
    np.testing.assert_array_equal(distances.nearest_prediction, every.argmin(axis=0))


def test_agreement_with_open3d() -> None:
    open3d = pytest.importorskip("open3d")
    prediction, target = random_clouds(1)
    clouds = [
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud))
        for cloud in (prediction, target)
    ]
    distances = cloud_distances(prediction, target)
    forward = np.asarray(clouds[0].compute_point_cloud_distance(clouds[1]))
    backward = np.asarray(clouds[1].compute_point_cloud_distance(clouds[0]))
    np.testing.assert_allclose(distances.prediction_to_target, forward)
    np.testing.assert_allclose(distances.target_to_prediction, backward)


def test_a_shared_index_gives_the_same_distances() -> None:
    prediction, target = random_clouds()
    plain = cloud_distances(prediction, target)
    shared = cloud_distances(NeighbourIndex(prediction), NeighbourIndex(target))
    np.testing.assert_array_equal(shared.prediction_to_target, plain.prediction_to_target)
    np.testing.assert_array_equal(shared.target_to_prediction, plain.target_to_prediction)


def test_truth_is_best() -> None:
    cloud, _ = random_clouds()
    distances = cloud_distances(cloud, cloud)
    assert accuracy(distances) == completeness(distances) == 0
    assert chamfer(distances, "sum", "squared") == 0
    assert fscore(distances, 1e-9) == 1
    normals = np.random.default_rng(0).normal(size=cloud.shape)
    assert normal_consistency(distances, normals, -2 * normals) == pytest.approx(1)


def test_invariant_under_a_rigid_motion_of_both_and_the_order_of_points() -> None:
    prediction, target = random_clouds()
    rotation = Rotation.from_rotvec([0.3, -1, 2]).as_matrix()
    shift = np.array([5e5, 5.4e6, 300])
    moved = cloud_distances(prediction @ rotation.T + shift, target[::-1] @ rotation.T + shift)
    plain = cloud_distances(prediction, target)
    for score in (accuracy, completeness, lambda d: chamfer(d, "sum", "l2")):
        assert score(moved) == pytest.approx(score(plain), rel=1e-7)
    assert accuracy(cloud_distances(3 * prediction, 3 * target)) == pytest.approx(
        3 * accuracy(plain)
    )


def test_swapping_the_clouds_swaps_the_directions() -> None:
    prediction, target = random_clouds()
    plain, swapped = cloud_distances(prediction, target), cloud_distances(target, prediction)
    assert accuracy(plain) == completeness(swapped)
    assert precision(plain, 0.3) == recall(swapped, 0.3)
    assert chamfer(plain, "mean", "l2") == pytest.approx(chamfer(swapped, "mean", "l2"))


def test_normal_consistency_by_hand() -> None:
    distances = cloud_distances(TARGET, TARGET)
    up, slanted = np.tile([0.0, 0, 1], (2, 1)), np.array([[0.0, 0, -1], [0, 3, 4]])
    # |cos| = 1 and 4 / 5 in both directions: (0.9 + 0.9) / 2
    assert normal_consistency(distances, up, slanted) == pytest.approx(0.9)
    for bad in (np.ones((3, 3)), np.zeros((2, 3)), np.full((2, 3), np.nan)):
        with pytest.raises(ValueError, match="normals: expected"):
            normal_consistency(distances, up, bad)


def test_unknown_conventions_are_refused() -> None:
    distances = cloud_distances(PREDICTION, TARGET)
    with pytest.raises(ValueError, match="directions sum or mean"):
        chamfer(distances, "max", "l2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="l2 or squared"):
        chamfer(distances, "sum", "l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mean or median"):
        accuracy(distances, "max")  # type: ignore[arg-type]
    for threshold in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            fscore(distances, threshold)


@pytest.mark.parametrize(("name", "expected_m"), [("samp11", 2.30), ("samp52", 0.59)])
def test_airborne_ground_is_a_subset_of_all_returns(realdata, name, expected_m) -> None:
    pytest.importorskip("open3d")  # the files are compressed
    folder = realdata / "pointclouds" / f"isprs_{name}"
    everything = read_cloud(folder / f"{name}-utm.pcd").points
    ground = read_cloud(folder / f"{name}-utm-ground.pcd").points
    distances = cloud_distances(ground, everything)
    assert distances.prediction_to_target.max() == 0
    assert completeness(distances) == pytest.approx(expected_m, abs=0.005)


def test_bunny_distances_are_those_of_the_manifest(realdata) -> None:
    folder = realdata / "pointclouds/stanford_bunny"
    points = read_cloud(folder / "bunnyData.pts").points
    mesh = read_cloud(folder / "bun_zipper_res3.ply").points
    # MANIFEST.json: the median distance from the pts file to the decimated mesh is 0.00223.
    assert accuracy(cloud_distances(points, mesh), "median") == pytest.approx(0.00223, abs=5e-6)


# ------------------------------------------------------------------------- published conventions


def test_outliers_are_dropped_and_not_clipped() -> None:
    # Distances 0 and 25 one way, 0 and 1 the other.
    distances = cloud_distances(
        np.array([[0.0, 0, 0], [26, 0, 0]]), np.array([[0.0, 0, 0], [1, 0, 0]])
    )
    kept = without_outliers(distances, 20)
    assert (accuracy(distances), accuracy(kept)) == (12.5, 0)
    assert completeness(kept) == 0.5
    # Strictly below: a distance at the limit goes.
    assert accuracy(without_outliers(distances, 25)) == 0
    assert accuracy(without_outliers(distances, 25.001)) == 12.5
    far = cloud_distances(np.eye(3) + 50, np.eye(3))
    with pytest.raises(ValueError, match="got none"):
        without_outliers(far, 20)
    with pytest.raises(ValueError, match="above 0"):
        without_outliers(distances, 0)


def test_observed_distances_by_hand() -> None:
    observed = ObservedGrid(
        np.ones((2, 2, 2), bool), np.zeros(3), np.ones(3), 1.0, np.array([0.0, 0, 1, 0]), 3.0
    )
    prediction = np.array([[0.0, 0, 1], [0, 0, 2.5], [0, 0, 90]])
    target = np.array([[0.0, 0, 1.25], [0, 0, 3], [0, 0, -1]])
    found = observed_distances(prediction, target, observed)
    # Accuracy judges the first point only (the second is in no voxel, the third far off), against
    # all of the truth; completeness skips the truth below ground and may use the second point.
    assert found.prediction_to_target.tolist() == [0.25]
    assert found.target_to_prediction.tolist() == [0.25, 0.5]
    with pytest.raises(ValueError, match="observed"):
        observed_distances(prediction[2:], target, observed)
    with pytest.raises(ValueError, match="observed"):
        observed_distances(prediction, target[2:], observed)


def test_the_curve_of_fscores_by_hand() -> None:
    # Distances 0.2 both ways: F is 0 at 0.1 and 0.2, 1 at 0.3; squared, 0.04 passes all of them.
    distances = cloud_distances(
        np.array([[0.0, 0, 0], [0, 9, 0]]), np.array([[0.2, 0, 0], [0.2, 9, 0]])
    )
    thresholds = np.array([0.1, 0.2, 0.3])
    assert fscore_curve(distances, thresholds) == pytest.approx((0 + 0.5) / 2)
    assert fscore_curve(distances, thresholds, divide_by="thresholds") == pytest.approx(0.5 / 3)
    assert fscore_curve(distances, thresholds, squared=True) == 1
    assert fscore_curve(distances, thresholds, True, "thresholds") == pytest.approx(2 / 3)
    for bad in (thresholds[:1], -thresholds, thresholds[None]):
        with pytest.raises(ValueError, match="thresholds above 0"):
            fscore_curve(distances, bad)


def test_the_curve_is_the_fscore_at_each_threshold() -> None:
    rng = np.random.default_rng(0)
    distances = cloud_distances(rng.normal(size=(200, 3)), rng.normal(size=(150, 3)))
    thresholds = np.linspace(0.05, 1.0, 20)
    slow = np.trapezoid([fscore(distances, t) for t in thresholds]) / 19
    assert fscore_curve(distances, thresholds) == pytest.approx(slow, rel=1e-12)


def test_normals_in_either_direction_and_their_medians() -> None:
    points = np.array([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    distances = cloud_distances(points, points[:2])
    tilted = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1]])
    true = np.array([[1.0, 0, 0], [1, 0, 0]])
    # To the truth 1, 0.6 and 0; from it 1 and 0.6.
    assert normal_agreement(distances, tilted, true) == pytest.approx((1.6 / 3, 0.8))
    assert normal_agreement(distances, tilted, true, "median") == pytest.approx((0.6, 0.8))
    assert normal_consistency(distances, tilted, true, "median") == pytest.approx(0.7)


def test_the_error_of_a_scale_is_that_of_the_mean_distance() -> None:
    # Mean distances 3 and 2, of clouds that need not correspond.
    true = np.array([[1.0, 0, 0], [0, 3, 0]])
    predicted = np.array([[0, 0, -3.0], [0, 1, 0], [5, 0, 0]])
    assert scale_error(predicted, true) == pytest.approx(0.5)
    assert scale_error(true, predicted) == pytest.approx(1 / 3)
    assert scale_error(true, true) == 0
    assert scale_error(0 * true, true) == 1
    for bad in (np.full((2, 3), np.nan), np.empty((0, 3))):
        with pytest.raises(ValueError, match="expected"):
            scale_error(bad, true)
    with pytest.raises(ValueError, match="true points off the origin, got none"):
        scale_error(true, 0 * true)


def test_relative_errors_and_norm_ratios_by_hand() -> None:
    true = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 4], [0, 0, 0]])
    predicted = np.array([[1.02, 0, 0], [0, -2, 0], [0, 0, 5], [7, 7, 7]])
    # 0.02, 4 / 2 and 1 / 4; the point at the origin is left out.
    assert relative_error(predicted, true) == pytest.approx((0.02 + 2 + 0.25) / 3)
    # The second lies opposite, and passes: only its norm is compared.
    assert norm_ratio_inliers(predicted, true, 1.03) == pytest.approx(2 / 3)
    assert norm_ratio_inliers(0 * predicted, true, 1.03) == 0
    assert (relative_error(true, true), norm_ratio_inliers(true, true, 1.03)) == (0, 1)
    for bad in (true[:2], np.full((4, 3), np.nan), np.empty((0, 3))):
        for metric in (relative_error, lambda p, g: norm_ratio_inliers(p, g, 1.03)):
            with pytest.raises(ValueError, match="expected"):
                metric(bad, true)
            with pytest.raises(ValueError, match="expected"):
                metric(true, 0 * true)
    with pytest.raises(ValueError, match="ratio above 1"):
        norm_ratio_inliers(true, true, 1)
