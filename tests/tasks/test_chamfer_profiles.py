"""Published cloud protocols: what each profile says, truth is best, and its peer's own numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform, unproject
from g2vlm_bench.geometry.cloud_regions import ObservedGrid, Prism, Scan
from g2vlm_bench.metrics.depth import crop_mask
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target, Want
from g2vlm_bench.task import NoTruthError

CAMERA = np.array([[30.0, 0, 16], [0, 30.0, 12], [0, 0, 1]])
PIXELS = {"camera": "predicted", "truth": "pixels"}
FUSION = {"voxel_m": 0.08, "truncation_m": 0.32, "max_depth_m": 9.0, "points": 3000}


def room(n: int = 4) -> Target:
    """A bumpy surface seen by cameras that stand off a line."""
    rows, columns = np.mgrid[:24, :32]
    depths, poses = [], []
    for i in range(n):
        waves = np.sin(columns / (3.0 + i / 2)) + np.cos(rows / 3.5)
        depths.append((2.0 + 0.2 * waves).astype(np.float32))
        turn = Rotation.from_rotvec([0.05 * i, 0.1 * i, 0.02]).as_matrix()
        poses.append(pose_matrix(turn, [1.0 + 0.3 * i, 2.0 - 0.2 * (i % 2), 0.1 * i * i]))
    depths[0][:3] = np.nan
    clouds = [
        transform(unproject(d, CAMERA), p).reshape(-1, 3)
        for d, p in zip(depths, poses, strict=True)
    ]
    seen = [cloud[np.isfinite(cloud).all(axis=1)] for cloud in clouds]
    points = np.concatenate(seen)
    low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
    corners = np.array([low[:2], [high[0], low[1]], high[:2], [low[0], high[1]]])
    return Target(
        depth_m=tuple(depths),
        points_world=points,
        intrinsics=(CAMERA,) * n,
        world_from_camera=tuple(poses),
        observed=ObservedGrid(
            np.ones(np.ceil((high - low) / 0.2).astype(int) + 1, bool),
            low,
            high,
            0.2,
            np.array([0, 0, 1.0, 9.0]),
            margin=0.06,
        ),
        crop=Prism(corners, 2, low[2], high[2]),
        scans=tuple(
            Scan(transform(cloud, invert_pose(pose)), pose)
            for cloud, pose in zip(seen, poses, strict=True)
        ),
        tolerance_m=0.05,
    )


ELSEWHERE = pose_matrix(Rotation.from_rotvec([0.3, -0.7, 0.2]).as_matrix(), [5.0, 6, 7])


def predicted(
    truth: Target,
    scale: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
    turn: np.ndarray = ELSEWHERE,
) -> Prediction:
    """The truth in another frame and scale, its depth noisy, holes filled."""
    rng = np.random.default_rng(seed)
    poses = [turn @ pose for pose in truth.world_from_camera]
    for pose in poses:
        pose[:3, 3] *= scale
    depths = [
        (scale * np.nan_to_num(d, nan=2.0) * (1 + noise * rng.normal(size=d.shape))).astype(
            np.float32
        )
        for d in truth.depth_m
    ]
    return Prediction(
        depth=tuple(depths), intrinsics=truth.intrinsics, world_from_camera=tuple(poses)
    )


# ------------------------------------------------------------------------------------ the fields


def test_every_new_field_is_in_the_label_and_two_never_share_one(load_family) -> None:
    base = {"alignment": "sim3", "truth": "pixels"}
    options = [
        {}, {"alignment": "sim3_ransac"}, {"alignment": "sim3_symmetric"}, {"fitted_per": "view"},
        {"alignment": "mean_norm"}, {"alignment": "joint_median"}, {"fitted_on": "cameras"},
        {"alignment": "lower_median_scale"}, {"max_depth_m": 9}, {"crop": "eigen"},
        {"window_px": 224}, {"at_most_pixels": 500}, {"thin_m": 0.2}, {"drop_beyond_m": 20},
        {"voxel_m": 0.1}, {"voxel_m": 0.1, "voxel_grid": "world"}, {"inlier_ratio": 1.25},
        {"seed": 3}, {"curve": {"steps": 50}}, {"curve": {"squared": True}},
        {"curve": {"divide_by": "thresholds"}}, {"curve": {"from_m": 0.02, "to_m": 2.0}},
        {"truth": "cloud", "fusion": FUSION}, {"truth": "cloud"},
        {"truth": "cloud", "fusion": FUSION | {"points": 5000}},
    ]  # fmt: skip
    family = load_family("chamfer", ["fscore_curve"], *({**base, **option} for option in options))
    assert len({spec.name for spec in family.specs}) == len(options)
    for one, other in combinations(family.protocols, 2):
        assert one.label != other.label
    assert family.protocols[-1].label == "sim3+tsdf0.08_0.32_9_5000"
    along_rays = load_family(
        "chamfer", ["fscore"], {"fusion": FUSION | {"points": 5000, "along": "ray"}}
    )
    assert "tsdf0.08_0.32_9_5000_ray" in along_rays.protocols[0].label


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"alignment": "joint_median", "frame": "world"}, "first_camera"),
        ({"alignment": "mean_norm", "fitted_on": "cameras"}, "kind of sim3"),
        ({"alignment": "scale", "fitted_per": "view"}, "kind of sim3"),
        ({"alignment": "sim3", "fitted_on": "cameras", "fitted_per": "view"}, "one camera"),
        ({"fusion": FUSION, "truth": "pixels"}, "fusion merges"),
        ({"window_px": 224}, "truth pixels"),
        ({"at_most_pixels": 224}, "truth pixels"),
        ({"max_depth_m": 9}, "truth pixels"),
        ({"crop": "garg"}, "truth pixels"),
        ({"alignment": "lower_median_scale", "frame": "world"}, "first_camera"),
        ({"curve": {"from_m": 1.0, "to_m": 0.5}}, "upwards"),
        ({"curve": {"step": 1}}, "step"),
    ],
)
def test_what_has_no_meaning_is_refused(load_family, protocol, message) -> None:
    with pytest.raises(BenchError, match=message):
        load_family("chamfer", ["fscore"], protocol)


def test_metrics_of_pixels_are_refused_where_pixels_are_not_compared(load_family) -> None:
    with pytest.raises(BenchError, match="truth: pixels, for point_abs_rel"):
        load_family("chamfer", ["point_abs_rel"], {"alignment": "sim3"})


@pytest.mark.parametrize(
    "protocol",
    [
        {"truth": "pixels", "alignment": "mean_norm"},  # given cameras, so that depth is scaled
        {**PIXELS, "frame": "world"},
    ],
)
def test_metres_are_compared_only_where_they_are_kept(load_family, protocol) -> None:
    with pytest.raises(BenchError, match="metric_scale_abs_rel"):
        load_family("chamfer", ["metric_scale_abs_rel"], protocol)


def test_a_fitted_scale_is_an_error_of_what_is_metric_alone(load_family, score) -> None:
    truth, told = room(), ["point_abs_rel", "metric_scale_abs_rel"]
    family = load_family("chamfer", told, {**PIXELS, "alignment": "mean_norm"}, PIXELS)
    near, far = (score(family, truth, predicted(truth, scale)).values for scale in (1.0, 1.25))
    for protocol in family.protocols:
        name = f"metric_scale_abs_rel@{protocol.label}"
        assert near[name] == pytest.approx(0, abs=1e-6)
        assert far[name] == pytest.approx(0.25, rel=1e-5)
        assert name not in {spec.name for spec in family.servable(Ambiguity.SCALE)}
        assert name not in family.score(truth, predicted(truth), Ambiguity.SCALE).values
    label = family.protocols[0].label
    assert far[f"point_abs_rel@{label}"] == pytest.approx(0, abs=1e-5)
    spec = next(one for one in family.specs if one.name.startswith("metric_scale"))
    assert (spec.unit, spec.higher_is_better, spec.best, spec.worst) == ("1", False, 0, None)


def test_what_a_model_must_predict(load_family) -> None:
    def wants(protocol) -> list[frozenset[Want]]:
        return list(load_family("chamfer", ["fscore"], protocol).wants)

    posed = frozenset({Want.DEPTH, Want.POSES})
    assert wants({"alignment": "sim3", "fitted_on": "cameras"}) == [posed]
    assert wants({"fusion": FUSION}) == [frozenset({Want.DEPTH})]
    assert wants(PIXELS) == [posed | {Want.INTRINSICS}]
    assert frozenset({Want.POINTS}) in wants({"thin_m": 0.1})


# ----------------------------------------------------------------------------------- the profiles

METRICS = [
    "accuracy_mean", "completeness_median", "chamfer_mean_l2", "fscore", "fscore_curve",
    "normal_consistency_median",
]  # fmt: skip


def shipped() -> list[str]:
    plugins = Plugins.find()
    found = {name: load_profile(plugins.path("profile", name)) for name in plugins.names("profile")}
    return [name for name, profile in found.items() if "chamfer" in profile.protocols]


def fields_of(name: str) -> list[dict]:
    profile = load_profile(Plugins.find().path("profile", name))
    return profile.expand("chamfer", None, "a test")


def families_of(load_family, name):
    """Two protocols of a profile, the others differ by numbers alone; small, and for a room."""
    for fields in fields_of(name)[:2]:
        # A crop is of frames that are larger than the room's.
        fields = {key: value for key, value in fields.items() if key != "crop"}
        # A million points tell no more of the code than some thousands do.
        if "fusion" in fields:
            fields = fields | {"fusion": FUSION, "voxel_m": 0.15, "thresholds_m": [0.3]}
        yield load_family("chamfer", fields.get("metrics", METRICS), fields)


def in_its_world(family) -> np.ndarray:
    """Where a prediction may stand: anywhere, if the protocol finds it."""
    protocol = family.protocols[0]
    found = protocol.frame == "first_camera" or protocol.alignment != "none"
    return ELSEWHERE if found else np.eye(4)


@pytest.mark.parametrize("name", shipped())
def test_truth_in_another_frame_is_best_under_every_profile(load_family, score, name) -> None:
    truth = room()
    for family in families_of(load_family, name):
        turn, short = in_its_world(family), family.protocols[0].truth_falls_short
        values = score(family, truth, predicted(truth, turn=turn)).values
        noisy = score(family, truth, predicted(truth, noise=0.1, turn=turn)).values
        judged = [s for s in family.specs if not s.name.startswith("normal")]
        if short:
            # Near the truth's points and not on them: no share of a curve of short distances.
            judged = [spec for spec in judged if not spec.name.startswith("fscore_curve")]
        for spec in judged:
            assert values[spec.name] == pytest.approx(spec.best, abs=0.15 if short else 1e-4)
        assert judged
        worse = [abs(noisy[spec.name] - spec.best) for spec in judged]
        assert max(worse) > 1e-3 + max(abs(values[spec.name] - spec.best) for spec in judged)


@pytest.mark.parametrize("name", shipped())
def test_a_profile_forgives_a_scale_only_if_it_says_so(load_family, score, name) -> None:
    truth = room()
    for family in families_of(load_family, name):
        turn = in_its_world(family)
        spec = family.specs[0]
        value = score(family, truth, predicted(truth, 3.0, turn=turn)).values.get(spec.name)
        forgiven = family.protocols[0].needs is not Ambiguity.METRIC
        assert (value is not None and abs(value - spec.best) < 0.2) == forgiven, spec.name


# -------------------------------------------------------------------------------- parts by hand


def test_pixels_are_compared_pixel_by_pixel_in_their_window(load_family, score) -> None:
    truth = room(1)
    depth = truth.depth_m[0].copy()
    depth = np.nan_to_num(depth, nan=1.0)
    depth[:, :8] *= 1.5  # outside the central 16 pixels
    family = load_family(
        "chamfer", ["accuracy_mean", "point_abs_rel"], {"truth": "pixels", "window_px": 16},
        {"truth": "pixels"},
    )  # fmt: skip
    line = score(family, truth, Prediction(depth=(depth,)))
    assert line.values["accuracy_mean@metric+pixels+window16"] == pytest.approx(0, abs=1e-6)
    assert line.values["accuracy_mean@metric+pixels"] > 0.1
    assert line.details["points"]["metric+pixels+window16"] == [256, 256]
    # Relative errors are of all pixels: 8 of 32 columns are off by a half.
    assert line.values["point_abs_rel@metric+pixels"] == pytest.approx(0.5 * 8 / 32, rel=1e-4)


def test_each_view_may_have_a_fit_of_its_own(load_family, score) -> None:
    truth = room(2)
    uneven = predicted(truth)
    uneven = replace(uneven, depth=(uneven.depth[0], 3 * uneven.depth[1]))
    family = load_family(
        "chamfer", ["accuracy_mean"], {**PIXELS, "alignment": "sim3"},
        {**PIXELS, "alignment": "sim3", "fitted_per": "view"},
    )  # fmt: skip
    line = score(family, truth, uneven)
    together, apart = line.values.values()
    assert apart == pytest.approx(0, abs=1e-5) != together
    views = line.details["alignment"]["sim3+per_view+pixels+predicted_camera"]["views"]
    assert views[0]["scale"] == pytest.approx(3 * views[1]["scale"], rel=1e-5)


def test_cameras_fix_the_scale_of_depth(load_family, score) -> None:
    truth = room()
    fitted = {"alignment": "sim3", "fitted_on": "cameras"}
    family = load_family("chamfer", ["accuracy_mean"], fitted, {**fitted, "camera": "predicted"})
    line = score(family, truth, predicted(truth, 2.5))
    assert all(value == pytest.approx(0, abs=1e-5) for value in line.values.values())
    assert line.details["alignment"]["sim3+on_cameras"]["depth_scale"] == pytest.approx(0.4)
    # Depth that is not on the scale of its own cameras is not repaired.
    off = replace(predicted(truth, 2.5), depth=predicted(truth).depth)
    assert min(score(family, truth, off).values.values()) > 0.1
    for few in (1, 2):
        assert score(family, room(few), predicted(room(few))).status == "unscored"


def test_far_distances_are_dropped_and_near_points_thinned(load_family, score) -> None:
    # To the truth 0, 0.1, 7; thinned by 0.5 one of the first two is left.
    truth = Target(points_world=np.array([[0.0, 0, 0], [9, 0, 0]]))
    points = np.array([[0.0, 0, 0], [0.1, 0, 0], [2, 0, 0]])
    family = load_family("chamfer", ["accuracy_mean"], {"drop_beyond_m": 7.5}, {"thin_m": 0.5})
    line = score(family, truth, Prediction(points=points))
    assert line.values["accuracy_mean@metric+drop7.5"] == pytest.approx((0 + 0.1 + 2) / 3)
    assert line.details["points"]["metric+thin0.5"] == [2, 2]


def test_fusion_needs_a_surface(load_family, score) -> None:
    truth = room()
    family = load_family("chamfer", ["fscore"], {"fusion": FUSION | {"max_depth_m": 0.5}})
    line = score(family, truth, Prediction(depth=predicted(truth).depth))
    assert line.status == "failed"
    assert "expected a surface" in line.error.message


def test_pixels_that_do_not_count_are_points_of_neither_fit_nor_distance(
    load_family, score
) -> None:
    """The truth without them gives the same number, the truth with all of them another."""
    truth = room(1)
    answer = predicted(truth, 1.7, 0.05, 3)
    (depth,) = truth.depth_m
    inside = crop_mask(*depth.shape, "garg") & (depth < 2)
    bare = replace(truth, depth_m=(np.where(inside, depth, np.nan),))
    base = {**PIXELS, "alignment": "lower_median_scale"}
    cut = {**base, "max_depth_m": 2, "crop": "garg"}

    def value(truth: Target, protocol: dict[str, Any], answer: Prediction = answer) -> float:
        line = score(load_family("chamfer", ["chamfer_mean_l2"], protocol), truth, answer)
        (found,) = line.values.values()
        return found

    assert value(truth, cut) == value(bare, base) != value(truth, base)
    half = {"at_most_pixels": int(inside.sum()) // 2}
    assert value(truth, cut | half) == value(bare, base | half) != value(truth, cut)
    # What is not lifted need not be predicted, and where all is cut there is no truth.
    holed = replace(answer, depth=(np.where(inside, answer.depth[0], np.nan),))
    assert value(truth, cut, holed) == value(truth, cut)
    family = load_family("chamfer", ["chamfer_mean_l2"], {**base, "max_depth_m": 0.01})
    with pytest.raises(NoTruthError, match="two pixels of true depth that count"):
        family.weights(truth)


def test_clouds_are_compared_in_the_first_cameras_frame(load_family, score) -> None:
    truth = room(2)
    far = np.eye(4)
    far[:3, 3] = [5.4e5, 5.4e6, 300]
    moved = replace(
        truth,
        points_world=truth.points_world + far[:3, 3],
        world_from_camera=tuple(far @ pose for pose in truth.world_from_camera),
    )
    family = load_family("chamfer", ["accuracy_mean"], {**PIXELS, "alignment": "joint_median"})
    (near,) = score(family, truth, predicted(truth, noise=0.05)).values.values()
    (at_utm,) = score(family, moved, predicted(truth, noise=0.05)).values.values()
    assert at_utm == pytest.approx(near, rel=1e-6)


# --------------------------------------------------------------------------- the peers' own numbers

# By the functions of scripts/cloud_peers on `room()` and `predicted(room(), 1.7, 0.05, 3)`: the
# peers' code at the commit that stands there, NumPy 2.4, Open3D 0.20, float64.
GOLDEN = {
    # yyfz/Pi3@97ce97b, mv_recon/utils.py behind mv_recon/eval.py's steps
    ("pi3", None): {
        "accuracy_mean": 0.06679425, "accuracy_median": 0.0589602268,
        "completeness_mean": 0.0533348703, "completeness_median": 0.0561157776,
        "normal_accuracy_mean": 0.884105384, "normal_accuracy_median": 0.962779431,
        "normal_completeness_mean": 0.903295819, "normal_completeness_median": 0.964725229,
    },
    # HengyiWang/spann3r@f89d6a2, spann3r/loss.py and spann3r/tools/eval_recon.py
    ("spann3r", None): {
        "accuracy_mean": 0.0672782863, "accuracy_median": 0.0598953588,
        "completeness_mean": 0.0533231948, "completeness_median": 0.0578988335,
        "normal_accuracy_mean": 0.885876924, "normal_accuracy_median": 0.963639015,
        "normal_completeness_mean": 0.903061889, "normal_completeness_median": 0.966004184,
    },
    # CUT3R/CUT3R@8bc15dc, eval/mv_recon; its window is larger than these images
    ("cut3r", None): {
        "accuracy_mean": 0.0672782863, "completeness_mean": 0.0533231948,
        "normal_accuracy_mean": 0.885876924, "normal_completeness_mean": 0.903061889,
    },
    # facebookresearch/map-anything@f7ebafb, mapanything/utils; counts inliers in float32
    ("mapanything", None): {
        "point_abs_rel": 0.0338602249, "point_inliers": 0.519484758,
        "metric_scale_abs_rel": 0.701568809,
    },
}  # fmt: skip


@pytest.mark.parametrize(("profile", "protocol"), GOLDEN, ids=lambda key: str(key))
def test_the_peers_number_on_the_same_prediction(load_family, score, profile, protocol) -> None:
    expected = GOLDEN[profile, protocol]
    (fields,) = load_profile(Plugins.find().path("profile", profile)).expand(
        "chamfer", protocol, "a test"
    )
    family = load_family("chamfer", list(expected), fields)
    line = score(family, room(), predicted(room(), 1.7, 0.05, 3))
    assert line.values == {
        f"{name}@{profile}": pytest.approx(value, rel=1e-6) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        # lpiccinelli-eth/UniK3D@29f7862, `eval_3d` on the first view, thresholds as for iBims-1
        ("unik3d.ibims", {"chamfer_mean_l2": 0.999634099, "fscore_curve": 0.041976694}),
        ("unik3d.ibims_si", {"fscore_curve": 0.952852011}),
        # lpiccinelli-eth/UniDepth@8d8cfe4, likewise
        ("unidepth.ibims", {"chamfer_mean_l2": 0.999634099, "fscore_curve": 0.041976694}),
    ],
)
def test_eval_3ds_number_on_the_same_prediction(load_family, score, label, expected) -> None:
    profile, _, name = label.partition(".")
    (fields,) = load_profile(Plugins.find().path("profile", profile)).expand(
        "chamfer", name, "a test"
    )
    family = load_family("chamfer", list(expected), fields)
    line = score(family, room(1), predicted(room(1), 1.7, 0.05, 3))
    assert line.values == {
        f"{metric}@{label}": pytest.approx(value, rel=1e-6) for metric, value in expected.items()
    }
