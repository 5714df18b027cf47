"""Chamfer: what each protocol says, golden values, lifted depth, alignments, failures."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform, unproject
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import NoTruthError

NAN = float("nan")
DISTANCES = [
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median",
    "chamfer_sum_l2", "chamfer_mean_l2", "chamfer_sum_squared", "chamfer_mean_squared",
]  # fmt: skip
SHARES = ["precision", "recall", "fscore"]
INTRINSICS = np.array([[20.0, 0, 8], [0, 20.0, 6], [0, 0, 1]])
TURN = Rotation.from_rotvec([0.3, -0.7, 0.2]).as_matrix()


def cloud(*points: tuple[float, float, float]) -> Target:
    return Target(points_world=np.array(points, float))


def views(n: int = 1) -> Target:
    """A bumpy surface seen by posed cameras, and its visible points in the world."""
    rows, columns = np.mgrid[:12, :16]
    depths = tuple(
        (2.0 + 0.5 * np.sin(columns / (2.0 + i)) + 0.1 * rows).astype(np.float32) for i in range(n)
    )
    poses = tuple(
        pose_matrix(Rotation.from_rotvec([0.1, 0.2 * i, 0.05]).as_matrix(), [1.0 + i, 2.0, 0.5 * i])
        for i in range(n)
    )
    points = [
        transform(unproject(d, INTRINSICS), p).reshape(-1, 3)
        for d, p in zip(depths, poses, strict=True)
    ]
    return Target(
        depth_m=depths,
        points_world=np.concatenate(points),
        intrinsics=(INTRINSICS,) * n,
        world_from_camera=poses,
    )


def lifted(truth: Target, scale: float = 1.0) -> Prediction:
    return Prediction(depth=tuple(scale * d for d in truth.depth_m))


def in_first_camera(truth: Target) -> np.ndarray:
    return transform(truth.points_world, invert_pose(truth.world_from_camera[0]))


# --------------------------------------------------------------------------------- protocols


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
        "profile", "fitted_on", "fitted_per", "truth", "window_px", "at_most_pixels", "fusion",
        "curve", "inlier_ratio", "voxel_grid", "thin_m", "drop_beyond_m", "seed", "ransac",
        "consistency", "at_most_points", "scaled_icp", "region", "unit",
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


# ------------------------------------------------------------------------------ golden values


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


# --------------------------------------------------------------------------------- alignments


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


# ----------------------------------------------------------------------------------- failures

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


# ------------------------------------------------------------------------------------ bad clouds

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
    assert "digits for its threshold" in line.error.message
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
