"""Clouds that are missing, bad or without a truth: what they count as, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.task import NoTruthError

made = load_module(Path(__file__).with_name("seen_clouds.py"))
cloud, views, lifted = made.cloud, made.views, made.lifted
NAN = float("nan")
TWO = cloud((0, 0, 0), (1, 0, 0))


@pytest.mark.parametrize(
    "protocol", [{}, {"alignment": "scale"}, {"voxel_m": 0.5}, {"crop_margin_m": 1}]
)
@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 3)), np.zeros((1, 3)), np.full((4, 3), NAN), np.full((4, 3), np.inf),
        np.zeros((4, 2)), np.zeros(3), np.zeros((2, 2, 3)),
    ],
    ids=["empty", "one", "nan", "inf", "flat", "vector", "map"],
)  # fmt: skip
def test_a_cloud_that_is_none_fails_at_the_worst_value(
    load_family, score, result, points, protocol
) -> None:
    family = load_family("chamfer", ["fscore", "chamfer_mean_l2"], protocol)
    truth = cloud((1, 0, 0), (2, 0, 0), (3, 0, 0))
    line = score(family, truth, Prediction(points=points))
    assert line.status == "failed"
    assert line.error.message
    share, distance = (result(family, [line], spec.name) for spec in family.specs)
    assert (share.value, share.n_scored, share.n_failed) == (0, 0, 1)
    assert distance.value is None


@pytest.mark.parametrize("bad", [NAN, np.inf, 0.0, -1.0])
def test_depth_that_cannot_be_lifted_fails(load_family, score, bad) -> None:
    truth = views()
    depth = truth.depth_m[0].copy()
    depth[3, 3] = bad
    family = load_family("chamfer", ["fscore"])
    assert score(family, truth, Prediction(depth=(depth,))).status == "failed"
    for wrong in ((), (depth[1:],), (truth.depth_m[0],) * 2):
        assert score(family, truth, Prediction(depth=wrong)).status == "failed"
    assert score(family, truth, Prediction(answer="a cloud")).status == "failed"


@pytest.mark.parametrize("prediction", [Prediction(points=np.eye(3)), RuntimeError("boom")])
@pytest.mark.parametrize("points", [None, np.empty((0, 3)), np.zeros((1, 3))])
def test_without_a_true_cloud_a_sample_is_unscored_whatever_was_predicted(
    load_family, score, points, prediction
) -> None:
    family = load_family("chamfer", ["fscore"])
    assert score(family, Target(points_world=points), prediction).status == "unscored"


@pytest.mark.parametrize("lacks", ["depth_m", "intrinsics"])
def test_without_true_pixels_sim3_has_no_truth(load_family, score, lacks) -> None:
    family = load_family("chamfer", ["fscore"], {"alignment": "sim3"})
    truth = replace(views(), **{lacks: None})
    with pytest.raises(NoTruthError):
        family.weights(truth)
    assert score(family, truth, lifted(views())).status == "unscored"


def test_what_one_protocol_cannot_use_is_no_failure_under_the_others(load_family, score) -> None:
    family = load_family(
        "chamfer", ["precision", "normal_consistency"], {}, {"crop_margin_m": 0.5}, {"voxel_m": 50}
    )
    line = score(family, TWO, Prediction(points=np.array([[9.0, 0, 0], [9, 1, 0], [9, 0, 1]])))
    assert line.status == "scored"
    assert line.values == {
        "precision_0.05m@metric": 0,
        # Two true points have no normals.
        "normal_consistency@metric": None,
        "precision_0.05m@metric+crop0.5": None,
        "normal_consistency@metric+crop0.5": None,
        "precision_0.05m@metric+voxel50": None,
        "normal_consistency@metric+voxel50": None,
    }
    assert "expected at least 2 points" in line.error.message


def test_what_a_model_must_predict(load_family) -> None:
    def wants(**protocol) -> list[set[str]]:
        return [{*w} for w in load_family("chamfer", ["fscore"], protocol).wants]

    assert wants() == [{"points"}, {"depth"}]
    assert wants(alignment="sim3") == [{"depth"}]
    assert wants(camera="predicted") == [{"points"}, {"depth", "intrinsics", "poses"}]


UTM = np.array([5.4e5, 5.4e6, 300.0])


def test_float32_coordinates_at_utm_offsets_are_told_not_scored(load_family, score) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 10, (200, 3))
    family = load_family("chamfer", ["accuracy_mean"], {"frame": "world"})
    truth = Target(points_world=points + UTM)
    (value,) = score(family, truth, Prediction(points=points + UTM + 0.003)).values.values()
    assert value == pytest.approx(0.003 * np.sqrt(3), rel=1e-4)
    single = (points + UTM).astype(np.float32).astype(np.float64)
    line = score(family, truth, Prediction(points=single))
    assert line.status == "failed"
    assert "tell 0.05 m apart, got float32 ones rounded to 0.5 m" in line.error.message
    line = score(family, Target(points_world=single), Prediction(points=points + UTM))
    assert line.status == "unscored"
    assert "threshold of 0.05 m: its coordinates are 0.5 m apart" in line.error.message
    # Near the origin float32 is as good as any.
    near = Target(points_world=points.astype(np.float32).astype(np.float64))
    assert score(family, near, Prediction(points=near.points_world)).status == "scored"


@pytest.mark.parametrize(
    ("protocol", "points", "says"),
    [
        ({}, np.zeros((1, 3)), "at least 2 points"),
        ({"icp_m": 9}, np.array([[0.0, 0, 0], [1, 0, 0]]), "point or line"),
        ({"icp_m": 9}, np.zeros((5, 3)), "point or line"),
        ({"icp_m": 0.1}, np.eye(3) + 40, "pairs within 0.1 m, got none"),
        ({"scaled_icp": [{"within_m": 9}]}, np.eye(3)[:2], "at least 3 points"),
        ({"scaled_icp": [{"within_m": 9}]}, np.zeros((5, 3)), "span a plane"),
        ({"scaled_icp": [{"within_m": 0.1}]}, np.eye(3) + 40, "pairs within 0.1 m, got none"),
        ({"scaled_icp": [{"within_m": 0.1, "voxel_m": 1e-30}]}, np.eye(3), "expected a size fit"),
        ({"thin_m": 1}, np.array([[0.0, 0, 0], [NAN, 1, 1]]), "finite"),
    ],
)
def test_small_and_lost_clouds_fail_with_their_reason(
    load_family, score, protocol, points, says
) -> None:
    rng = np.random.default_rng(0)
    family = load_family("chamfer", ["fscore"], protocol)
    line = score(family, Target(points_world=rng.uniform(size=(50, 3))), Prediction(points=points))
    assert line.status == "failed"
    assert says in line.error.message


def test_two_points_are_a_cloud_without_normals(load_family, score) -> None:
    family = load_family("chamfer", ["fscore", "normal_consistency"])
    line = score(family, TWO, Prediction(points=TWO.points_world))
    assert line.values["fscore_0.05m@metric"] == 1
    assert line.values["normal_consistency@metric"] is None
    assert "at least 3 points" in line.error.message
