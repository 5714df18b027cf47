"""Chamfer: what each alignment undoes, what it needs, and who may be served by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix
from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Ambiguity, Prediction, Target

made = load_module(Path(__file__).with_name("seen_clouds.py"))
TURN = made.TURN
cloud, views, lifted, in_first_camera = made.cloud, made.views, made.lifted, made.in_first_camera


# ------------------------------------------------------------------------------ what is undone


def moved_depths(truth: Target, change: str) -> Prediction:
    """Predict every view's cloud moved by a similarity, through predicted cameras."""
    scale = 2.5 if change in ("scale", "sim3") else 1.0
    pose = pose_matrix(TURN, [0.4, -0.2, 0.3]) if change in ("se3", "sim3") else np.eye(4)
    poses = []
    for world_from_camera in truth.world_from_camera:
        first_from_camera = invert_pose(truth.world_from_camera[0]) @ world_from_camera
        scaled = first_from_camera.copy()
        scaled[:3, 3] *= scale
        poses.append(pose @ scaled)
    depths = tuple(scale * d for d in truth.depth_m)
    if change == "anisotropic":
        depths = tuple((d**1.5).astype(np.float32) for d in depths)
    return Prediction(depth=depths, intrinsics=truth.intrinsics, world_from_camera=tuple(poses))


@pytest.mark.parametrize(
    ("alignment", "undoes"),
    [
        ("none", {"nothing"}),
        ("se3", {"nothing", "se3"}),
        ("sim3", {"nothing", "scale", "se3", "sim3"}),
    ],
)
def test_an_alignment_undoes_its_group_and_no_more(load_family, score, alignment, undoes) -> None:
    # In the world frame predicted poses are taken as they come.
    truth = views(2)
    truth = replace(
        truth,
        points_world=in_first_camera(truth),
        world_from_camera=tuple(
            invert_pose(truth.world_from_camera[0]) @ p for p in truth.world_from_camera
        ),
    )
    protocol = {"alignment": alignment, "camera": "predicted", "frame": "world"}
    family = load_family("chamfer", ["chamfer_mean_l2"], protocol)
    for change in ("nothing", "scale", "se3", "sim3", "anisotropic"):
        line = score(family, truth, moved_depths(truth, change))
        (value,) = line.values.values()
        assert (value < 1e-6) == (change in undoes), change


def test_scale_undoes_a_scale_about_the_camera_and_no_more(load_family, score) -> None:
    truth = views()
    points = in_first_camera(truth)
    family = load_family("chamfer", ["chamfer_mean_l2"], {"alignment": "scale"}, {})
    for change, undone in (
        (4.0 * points, True),
        (points + np.array([0, 0, 0.5]), False),
        (points @ TURN.T, False),
        (-points, False),
    ):
        values = score(family, truth, Prediction(points=change)).values
        assert (values["chamfer_mean_l2@scale"] < 1e-9) == undone
        assert values["chamfer_mean_l2@metric"] > 0.05


def test_depth_brought_to_scale_is_not_scaled_again_by_its_cloud(load_family, score) -> None:
    # The scan knows a far part that no camera sees; its distances are not those of the pixels.
    truth = views(2)
    far = truth.points_world[:50] + np.array([0, 0, 30.0])
    scan = replace(truth, points_world=np.concatenate([truth.points_world, far]))
    family = load_family("chamfer", ["accuracy_mean"], {"alignment": "scale"})
    line = score(family, scan, lifted(truth, 0.4), Ambiguity.SCALE)
    assert line.values == {"accuracy_mean@scale": pytest.approx(0, abs=1e-6)}
    assert line.details["alignment"]["scale"]["depth_scale"] == pytest.approx(2.5)
    assert line.details["alignment"]["scale"]["scale"] == 1


@pytest.mark.parametrize("alignment", ["scale", "sim3"])
@pytest.mark.parametrize("n", [1, 3])
def test_the_scale_of_depth_is_undone_under_given_cameras(load_family, score, alignment, n) -> None:
    # The cameras stand at metric distances, so a scale of the lifted cloud would not do.
    truth = views(n)
    family = load_family("chamfer", ["chamfer_mean_l2"], {"alignment": alignment})
    line = score(family, truth, lifted(truth, 0.4), Ambiguity.SCALE)
    assert line.values[f"chamfer_mean_l2@{alignment}"] == pytest.approx(0, abs=1e-6)
    # One scale for all views: a second view at another one is not repaired.
    if n > 1:
        uneven = Prediction(depth=(truth.depth_m[0], *(2 * d for d in truth.depth_m[1:])))
        line = score(family, truth, uneven, Ambiguity.SCALE)
        assert line.values[f"chamfer_mean_l2@{alignment}"] > 0.05


def test_icp_brings_home_a_near_rigid_motion_and_no_scale(load_family, score) -> None:
    truth = views()
    points = in_first_camera(truth)
    family = load_family("chamfer", ["chamfer_mean_l2"], {"icp_m": 0.2}, {})
    nudge = Rotation.from_rotvec([0.02, 0.0, 0.01]).as_matrix()
    values = score(family, truth, Prediction(points=points @ nudge.T + [0.01, 0.02, 0])).values
    assert values["chamfer_mean_l2@metric+icp0.2"] < 1e-3 < values["chamfer_mean_l2@metric"]
    values = score(family, truth, Prediction(points=1.05 * points)).values
    assert values["chamfer_mean_l2@metric+icp0.2"] > 0.02
    # No pair within reach: ICP has nothing to say, and the other protocol still has.
    line = score(family, truth, Prediction(points=points + 50))
    assert line.values["chamfer_mean_l2@metric+icp0.2"] is None
    assert line.values["chamfer_mean_l2@metric"] > 50
    assert "expected pairs within 0.2 m" in line.error.message


@pytest.mark.parametrize(
    ("ambiguity", "served"),
    [
        (Ambiguity.METRIC, {"metric", "scale", "se3", "sim3"}),
        (Ambiguity.SCALE, {"scale", "sim3"}),
        (Ambiguity.AFFINE, set()),
        (Ambiguity.AFFINE_DISPARITY, set()),
        (None, set()),
    ],
)
def test_a_prediction_may_be_weakened_never_strengthened(
    load_family, score, ambiguity, served
) -> None:
    alignments = ("none", "scale", "se3", "sim3")
    family = load_family("chamfer", ["fscore"], *({"alignment": name} for name in alignments))
    assert {spec.protocol for spec in family.servable(ambiguity)} == served
    truth = views()
    weak = replace(lifted(truth), ambiguity=ambiguity)
    values = score(family, truth, weak, Ambiguity.METRIC).values
    scored = {name.partition("@")[2] for name, value in values.items() if value is not None}
    # A prediction that names no ambiguity has its model's.
    assert scored == ({"metric", *alignments[1:]} if ambiguity is None else served)


# --------------------------------------------------------------------------- cameras to fit on


def off_one_line(truth: Target) -> Target:
    """The same views from cameras that stand off one plane, where a mirror image is a rotation."""
    poses = tuple(
        pose_matrix(p[:3, :3], [i * i / 3, (i % 2) * 1.0, i * 1.0])
        for i, p in enumerate(truth.world_from_camera)
    )
    return replace(truth, world_from_camera=poses)


@pytest.mark.parametrize("alignment", ["sim3", "sim3_ransac", "sim3_symmetric", "se3"])
@pytest.mark.parametrize("centres", ["one point", "one line", "mirrored"])
def test_cameras_that_fix_no_rotation_fail(load_family, score, alignment, centres) -> None:
    truth = off_one_line(views(4))
    made = {
        "one point": lambda i: [1.0, 2, 3],
        "one line": lambda i: [1.0 * i, 2.0 * i, 0.5 * i],
        "mirrored": lambda i: truth.world_from_camera[i][:3, 3] * [-1, 1, 1],
    }[centres]
    poses = tuple(pose_matrix(np.eye(3), made(i)) for i in range(4))
    protocol = {
        "alignment": alignment, "fitted_on": "cameras", "camera": "predicted", "frame": "world",
    }  # fmt: skip
    family = load_family("chamfer", ["accuracy_mean"], protocol)
    line = score(family, truth, Prediction(points=truth.points_world, world_from_camera=poses))
    if centres == "mirrored":
        # The best rotation is found, and the prediction is none of the truth.
        assert np.linalg.det(line.details["alignment"][family.protocols[0].label]["rotation"]) > 0
        assert line.values[f"accuracy_mean@{family.protocols[0].label}"] > 0.02
    else:
        assert line.status == "failed"
        assert "span a plane" in line.error.message


def test_true_cameras_on_one_line_are_no_truth_to_fit_on(load_family, score) -> None:
    # `views` puts them on one line: no model is blamed for that.
    protocol = {"alignment": "sim3", "fitted_on": "cameras"}
    line = score(load_family("chamfer", ["accuracy_mean"], protocol), views(4), lifted(views(4)))
    assert line.status == "unscored"
    assert "three true cameras off one line" in line.error.message
