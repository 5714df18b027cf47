"""Chamfer: what each protocol says, golden values, lifted depth."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform, unproject
from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Prediction, Target

made = load_module(Path(__file__).with_name("seen_clouds.py"))
DISTANCES, SHARES, INTRINSICS, TURN = made.DISTANCES, made.SHARES, made.INTRINSICS, made.TURN
cloud, views, lifted, in_first_camera = made.cloud, made.views, made.lifted, made.in_first_camera
NAN = float("nan")


# ----------------------------------------------------------------------------------- protocols


def test_the_label_of_every_protocol_names_every_departure_from_the_default(load_family) -> None:
    names = set()
    count = 0
    for frame in ("first_camera", "world"):
        options = [
            {"alignment": alignment, "camera": camera, "frame": frame, **icp, **voxel, **crop}
            for alignment, camera, icp, voxel, crop in product(
                ["none", "scale", "se3", "sim3"],
                ["given", "predicted"],
                [{}, {"icp_m": 0.1}, {"icp_m": 0.15}],
                [{}, {"voxel_m": 0.1}, {"voxel_m": 1}],
                [{}, {"crop_margin_m": 0}, {"crop_margin_m": 0.1}],
            )
            if (alignment, frame) != ("scale", "world")
        ]
        count += len(options)
        names |= {s.name for s in load_family("chamfer", ["chamfer_sum_l2"], *options).specs}
    assert len(names) == count
    full = {
        "alignment": "sim3", "icp_m": 0.1, "frame": "world", "camera": "predicted",
        "thresholds_m": [0.05, 0.25], "voxel_m": 0.02, "crop_margin_m": 0.5,
    }  # fmt: skip
    family = load_family("chamfer", ["chamfer_mean_l2", "fscore"], full)
    published = {  # those of test_chamfer_profiles.py
        "profile", "metrics", "fitted_on", "fitted_per", "truth", "window_px", "at_most_pixels",
        "fusion", "curve", "inlier_ratio", "voxel_grid", "thin_m", "drop_beyond_m", "seed",
        "ransac", "max_depth_m", "crop", "consistency", "at_most_points", "scaled_icp", "region",
        "unit",
    }  # fmt: skip
    assert set(full) == set(type(family.protocols[0]).__struct_fields__) - published
    label = "sim3+icp0.1+world+predicted_camera+voxel0.02+crop0.5"
    assert [spec.name for spec in family.specs] == [
        f"chamfer_mean_l2@{label}", f"fscore_0.05m@{label}", f"fscore_0.25m@{label}",
    ]  # fmt: skip
    assert load_family("chamfer", ["chamfer_mean_l2"]).specs[0].name == "chamfer_mean_l2@metric"


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        ([{"voxel": 0.1}], "Did you mean 'voxel_m'?"),
        ([{"threshold_m": 0.1}], "Did you mean 'thresholds_m'?"),
        ([{"alignment": "sim(3)"}], "alignment"),
        ([{"thresholds_m": []}], "thresholds_m"),
        ([{"thresholds_m": [0.1, 0]}], "thresholds_m"),
        ([{"thresholds_m": [0.1, NAN]}], "thresholds_m"),
        ([{"thresholds_m": [0.1, 0.1]}], "thresholds that differ"),
        # Both would be named 0.1m.
        ([{"thresholds_m": [0.1, 0.10000001]}], "thresholds that differ"),
        ([{"voxel_m": 0}], "voxel_m"),
        ([{"icp_m": -1}], "icp_m"),
        ([{"crop_margin_m": -0.1}], "crop_margin_m"),
        ([{"alignment": "scale", "frame": "world"}], "first_camera"),
        ([{"frame": "world"}, {"frame": "first_camera"}], "one frame"),
        # Their distances would share a name.
        ([{"thresholds_m": [0.1]}, {"thresholds_m": [0.2]}], "protocols that differ"),
    ],
)
def test_a_protocol_without_meaning_is_refused_when_the_task_is_read(
    load_family, protocols, message
) -> None:
    with pytest.raises(BenchError, match="chamfer/test, key 'protocols'") as error:
        load_family("chamfer", ["fscore"], *protocols)
    assert message in str(error.value)


def test_without_open3d_fusion_is_refused_before_it_costs_a_model_its_score(
    load_family, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    fusion = {"voxel_m": 0.1, "truncation_m": 0.4, "max_depth_m": 9.0, "points": 100}
    with pytest.raises(BenchError, match=r"fusion.*Open3D.*apt-get install"):
        load_family("chamfer", ["fscore"], {"fusion": fusion})
    load_family("chamfer", ["fscore"], {"icp_m": 0.1})
    load_family("chamfer", ["fscore"], {"alignment": "sim3"})


# ------------------------------------------------------------------------------- golden values


def test_golden_values(load_family, score) -> None:
    # Along x. To the truth: 0 -> 0 (0), 2 -> 1 (1), 10 -> 12 (2). From it: 0, 1 -> 0 or 2 (1),
    # 12 -> 10 (2), 20 -> 10 (10).
    family = load_family("chamfer", [*DISTANCES, *SHARES], {"thresholds_m": [1, 1.5]})
    truth = cloud((0, 0, 0), (1, 0, 0), (12, 0, 0), (20, 0, 0))
    prediction = Prediction(points=np.array([[0.0, 0, 0], [2, 0, 0], [10, 0, 0]]))
    expected = {
        "accuracy_mean": 1,
        "accuracy_median": 1,
        "completeness_mean": 13 / 4,
        "completeness_median": 1.5,
        "chamfer_sum_l2": 1 + 13 / 4,
        "chamfer_mean_l2": (1 + 13 / 4) / 2,
        "chamfer_sum_squared": 5 / 3 + 105 / 4,
        "chamfer_mean_squared": (5 / 3 + 105 / 4) / 2,
        # Nearer than 1 strictly: 1 of 3 and 1 of 4; than 1.5: 2 of 3 and 2 of 4.
        "precision_1m": 1 / 3,
        "precision_1.5m": 2 / 3,
        "recall_1m": 1 / 4,
        "recall_1.5m": 2 / 4,
        "fscore_1m": 2 / (3 + 4),
        "fscore_1.5m": 4 / 7,
    }
    line = score(family, truth, prediction)
    assert line.values == {f"{k}@metric": pytest.approx(v) for k, v in expected.items()}
    assert line.details["points"] == {"metric": [3, 4]}


def test_fscore_is_0_where_nothing_is_near(load_family, score) -> None:
    family = load_family("chamfer", SHARES)
    line = score(
        family, cloud((0, 0, 0), (1, 0, 0)), Prediction(points=np.full((5, 3), 9.0) + np.eye(5, 3))
    )
    assert line.status == "scored"
    assert set(line.values.values()) == {0.0}


def test_normal_consistency_by_hand(load_family, score) -> None:
    family = load_family("chamfer", ["normal_consistency"])
    points = np.array([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    normals = np.eye(3)
    truth = Target(points_world=points, normals_world=normals)

    def value(predicted) -> float:
        line = score(family, truth, Prediction(points=points, normals=predicted))
        return line.values["normal_consistency@metric"]

    assert value(normals) == 1
    # The sign of a normal has no meaning.
    assert value(-normals) == 1
    # Two of three swapped: each at a right angle to the truth, in both directions.
    assert value(normals[[1, 0, 2]]) == pytest.approx(1 / 3)
    # 60 degrees for one of the three.
    tilted = normals.copy()
    tilted[0] = [0.5, np.sqrt(0.75), 0]
    assert value(tilted) == pytest.approx((0.5 + 1 + 1) / 3)
    for bad in (normals[:2], np.zeros((3, 3)), np.full((3, 3), NAN)):
        assert score(family, truth, Prediction(points=points, normals=bad)).status == "failed"


def test_voxels_and_crops_are_applied_after_the_alignment(load_family, score) -> None:
    # Cells of 1 m start half a cell below the least point: [-0.5, 0.5) and [9.5, 10.5).
    truth = cloud((0, 0, 0), (0.2, 0, 0), (0.4, 0, 0), (10, 0, 0))
    far = Prediction(
        points=np.array([[0.0, 0, 0], [0.2, 0, 0], [0.4, 0, 0], [10, 0, 0], [13, 0, 0]])
    )
    family = load_family(
        "chamfer", ["accuracy_mean"], {"voxel_m": 1}, {"crop_margin_m": 2}, {"crop_margin_m": 3}, {}
    )
    line = score(family, truth, far)
    assert line.values == {
        # Three means of the prediction, 0.2, 10 and 13, of which the last is 3 m away.
        "accuracy_mean@metric+voxel1": pytest.approx(3 / 3),
        "accuracy_mean@metric+crop2": 0,
        "accuracy_mean@metric+crop3": pytest.approx(3 / 5),
        "accuracy_mean@metric": pytest.approx(3 / 5),
    }
    assert line.details["points"] == {
        "metric+voxel1": [3, 2],
        "metric+crop2": [4, 4],
        "metric+crop3": [5, 4],
        "metric": [5, 4],
    }
    # The margin holds below the least coordinate too: 2 m are kept, 3 m are not.
    below = Prediction(points=np.array([[-2.0, 0, 0], [-3, 0, 0], [0, 0, 0], [10, 0, 0]]))
    line = score(load_family("chamfer", ["accuracy_mean"], {"crop_margin_m": 2}), truth, below)
    assert line.values == {"accuracy_mean@metric+crop2": pytest.approx(2 / 3)}
    truth = views()
    scaled = load_family(
        "chamfer", ["fscore"], {"alignment": "scale", "crop_margin_m": 0.01, "voxel_m": 0.05}
    )
    line = score(scaled, truth, Prediction(points=7 * in_first_camera(truth)))
    assert next(iter(line.values.values())) == pytest.approx(1)


# ------------------------------------------------------------------------------- depth, frames


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("frame", ["first_camera", "world"])
def test_depth_and_cameras_equal_the_cloud_given_as_points(load_family, score, frame, n) -> None:
    truth = views(n)
    rng = np.random.default_rng(0)
    depths = tuple(d * rng.uniform(0.9, 1.1, d.shape).astype(np.float32) for d in truth.depth_m)
    points = np.concatenate(
        [
            transform(unproject(d, INTRINSICS), pose).reshape(-1, 3)
            for d, pose in zip(depths, truth.world_from_camera, strict=True)
        ]
    )
    if frame == "first_camera":
        points = transform(points, invert_pose(truth.world_from_camera[0]))
    protocol = {"frame": frame, "thresholds_m": [0.1]}
    as_points = load_family("chamfer", [*DISTANCES, *SHARES, "normal_consistency"], protocol)
    cameras = {"intrinsics": truth.intrinsics, "world_from_camera": truth.world_from_camera}
    by_predicted = load_family(
        "chamfer", [*DISTANCES, *SHARES, "normal_consistency"], {**protocol, "camera": "predicted"}
    )
    expected = list(score(as_points, truth, Prediction(points=points)).values.values())
    given = score(as_points, truth, Prediction(depth=depths)).values.values()
    predicted = score(by_predicted, truth, Prediction(depth=depths, **cameras)).values.values()
    assert list(given) == pytest.approx(expected, abs=1e-9)
    assert list(predicted) == pytest.approx(expected, abs=1e-9)
    assert expected[0] > 0.01


def test_predicted_cameras_are_used_as_predicted(load_family, score) -> None:
    truth = views(2)
    family = load_family("chamfer", ["chamfer_mean_l2"], {"camera": "predicted"})
    right = {"depth": truth.depth_m, "intrinsics": truth.intrinsics}
    # Poses in another world frame are the same cameras as the first one sees them.
    elsewhere = pose_matrix(TURN, [5, 6, 7])
    moved = tuple(elsewhere @ pose for pose in truth.world_from_camera)
    name = "chamfer_mean_l2@metric+predicted_camera"
    line = score(family, truth, Prediction(**right, world_from_camera=moved))
    assert line.values[name] == pytest.approx(0, abs=1e-9)
    wide = (np.diag([0.5, 0.5, 1]) @ INTRINSICS,) * 2
    line = score(
        family, truth, Prediction(depth=truth.depth_m, intrinsics=wide, world_from_camera=moved)
    )
    assert line.values[name] > 0.1
    # Several views without poses are no cloud, and never one of identical cameras.
    for lacking in ({}, {"world_from_camera": moved[:1]}):
        assert score(family, truth, Prediction(**right, **lacking)).status == "failed"
    assert score(family, truth, Prediction(depth=truth.depth_m)).status == "failed"


def test_points_are_read_in_the_frame_that_the_protocol_names(load_family, score) -> None:
    truth = views()
    for frame, right, wrong in (
        ("first_camera", in_first_camera(truth), truth.points_world),
        ("world", truth.points_world, in_first_camera(truth)),
    ):
        family = load_family("chamfer", ["accuracy_mean"], {"frame": frame})
        (best,) = score(family, truth, Prediction(points=right)).values.values()
        (other,) = score(family, truth, Prediction(points=wrong)).values.values()
        assert best == pytest.approx(0, abs=1e-12)
        assert other > 0.1


def test_pixels_without_true_depth_are_not_lifted(load_family, score) -> None:
    truth = views()
    hole = truth.depth_m[0].copy()
    hole[:3] = NAN
    depth = truth.depth_m[0].copy()
    depth[:3] = 500
    family = load_family("chamfer", ["accuracy_mean"])
    masked = replace(truth, depth_m=(hole,))
    assert score(family, masked, Prediction(depth=(depth,))).values == {
        "accuracy_mean@metric": pytest.approx(0, abs=1e-9)
    }
    # A laser scan has no depth map: every pixel is lifted.
    laser = replace(truth, depth_m=None)
    assert score(family, laser, Prediction(depth=(depth,))).values["accuracy_mean@metric"] > 10
