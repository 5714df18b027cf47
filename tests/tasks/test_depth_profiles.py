"""Profiles against the numbers of the code they are named after.

The values are the peers' own, on `case` below, from
`scripts/conformance_depth.py --peers DIR --values` (seed 0, float32, torch 2.13 on a CPU).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from tests.tasks.depth_maps import depth_pair, poses

PEERS: dict[str, dict[str, float]] = {
    # CUT3R/CUT3R@8bc15dc
    "cut3r.mono": {
        "abs_rel": 0.075596191,
        "rmse": 0.478117943,
        "rmse_log": 0.0931046829,
        "delta1": 0.982747376,
    },
    "cut3r.mono_sintel": {
        "abs_rel": 0.075596191,
        "rmse": 0.478117943,
        "rmse_log": 0.0931046829,
        "delta1": 0.982747376,
    },
    "cut3r.video_scale": {
        "abs_rel": 0.0752635077,
        "rmse": 0.478579134,
        "rmse_log": 0.0928397849,
        "delta1": 0.983072937,
    },
    "cut3r.video_scale_shift": {
        "abs_rel": 0.0736324042,
        "rmse": 0.476220757,
        "rmse_log": 0.0910627097,
        "delta1": 0.984700501,
    },
    "cut3r.video_metric": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "delta1": 0.0462239571,
    },
    # Junyi42/monst3r@574cc77
    "monst3r.mono": {
        "abs_rel": 0.075596191,
        "rmse": 0.478117943,
        "rmse_log": 0.0931046829,
        "delta1": 0.982747376,
    },
    "monst3r.video_scale_shift_sintel": {
        "abs_rel": 0.0736324042,
        "rmse": 0.476220757,
        "rmse_log": 0.0910627097,
        "delta1": 0.984700501,
    },
    # yyfz/Pi3@97ce97b
    "pi3.mono": {
        "abs_rel": 0.0752635077,
        "rmse": 0.478579134,
        "rmse_log": 0.0928397849,
        "delta1": 0.983072937,
    },
    "pi3.video_scale": {
        "abs_rel": 0.0734360814,
        "rmse": 0.458862871,
        "rmse_log": 0.0911257938,
        "delta1": 0.985134542,
    },
    "pi3.video_scale_shift": {
        "abs_rel": 0.0721234754,
        "rmse": 0.457363218,
        "rmse_log": 0.0896924734,
        "delta1": 0.986653626,
    },
    "pi3.video_metric": {
        "abs_rel": 0.312269241,
        "rmse": 1.77580965,
        "rmse_log": 0.389263034,
        "delta1": 0.0474175363,
    },
    "g2vlm.mono_sintel": {
        "abs_rel": 0.0752635077,
        "rmse": 0.478579134,
        "rmse_log": 0.0928397849,
        "delta1": 0.983072937,
    },
    # microsoft/MoGe@0744441
    "moge.metric": {
        "abs_rel": 0.315106601,
        "delta1": 0.0462239571,
        "boundary_f1_r1": 0.164823353,
        "boundary_f1_r2": 0.238826293,
        "boundary_f1_r3": 0.318920826,
    },
    "moge.scale": {"abs_rel": 0.0741754249, "delta1": 0.983398438},
    "moge.affine": {
        "abs_rel": 0.071040757,
        "delta1": 0.988606751,
        "boundary_f1_r1": 0.147141914,
    },
    "moge.affine_disparity": {"abs_rel": 0.0721383989, "delta1": 0.987304688},
    # prs-eth/Marigold@b1dffaa
    "marigold.scannet": {
        "abs_rel": 0.0724305436,
        "rmse": 0.474487811,
        "rmse_log": 0.0896051005,
        "si_log": 0.0894205189,
        "i_rmse": 0.0214515701,
        "delta1": 0.986002624,
    },
    "marigold.nyu": {"abs_rel": 0.0710374191, "rmse": 0.479351193, "delta1": 0.987525165},
    "marigold.kitti": {"abs_rel": 0.0689212158, "rmse": 0.493948519, "delta1": 0.990842998},
    "marigold.eth3d_1024": {
        "abs_rel": 0.0722013414,
        "rmse": 0.47366941,
        "si_log": 0.089766798,
        "delta1": 0.98543334,
    },
    "marigold.disparity_nyu": {
        "abs_rel": 0.0710559338,
        "rmse": 0.498589516,
        "si_log": 0.0889344788,
        "delta1": 0.987990439,
    },
    # lpiccinelli-eth/UniDepth@8d8cfe4
    "unidepth.ibims_metric": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "si_log_sample": 0.0924629402,
        "median_log": 0.383665314,
        "delta1": 0.0462239571,
        "inlier_1.03": 0.0,
        "delta_auc": 0.656926155,
    },
    "unidepth.ibims_si": {
        "abs_rel": 0.0755961835,
        "delta1": 0.982747376,
        "inlier_1.03": 0.241861984,
    },
    "unidepth.ibims_ssi": {
        "abs_rel": 0.072427012,
        "delta1": 0.986002624,
        "inlier_1.03": 0.246744797,
    },
    "unidepth.nyu_si": {"abs_rel": 0.0722962841, "delta1": 0.986192167, "inlier_1.03": 0.261250824},
    "unidepth.kitti_si": {
        "abs_rel": 0.0685155243,
        "delta1": 0.991267323,
        "inlier_1.03": 0.273039967,
    },
    # lpiccinelli-eth/UniK3D@29f7862
    "unik3d.ibims_metric": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "si_log_sample": 0.0924629402,
        "median_log": 0.383665314,
        "delta1": 0.0462239571,
        "inlier_1.03": 0.0,
        "delta_auc": 0.656926155,
    },
    "unik3d.ibims_si": {"abs_rel": 0.0755961835, "delta1": 0.982747376, "inlier_1.03": 0.241861984},
    "unik3d.ibims_ssi": {
        "abs_rel": 0.0732545853,
        "delta1": 0.985677063,
        "inlier_1.03": 0.246419266,
    },
    # DepthAnything/Depth-Anything-V2@a561b84
    "depth_anything_v2.kitti": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "si_log_half": 0.286022872,
        "delta1": 0.0462239571,
    },
    # lmb-freiburg/robustmvd@627dffe
    "robustmvd.none": {"abs_rel": 0.315106659, "inlier_1.03": 0.0},
    "robustmvd.scale_shift": {"abs_rel": 0.073775878, "inlier_1.03": 0.246419258},
    "robustmvd.median": {"abs_rel": 0.0761971772, "inlier_1.03": 0.241536453},
    # facebookresearch/map-anything@f7ebafb
    "mapanything": {"abs_rel": 0.0754176623, "inlier_1.03": 0.244466141},
    # DepthAnything/Video-Depth-Anything@4f5ae23, benchmark/eval
    "video_depth_anything.scannet": {
        "abs_rel": 0.0726355762,
        "rmse": 0.483997591,
        "delta1": 0.986111104,
        "tae_published": 0.108376815,
    },
    # Ropedia/SpatialBench@7f06a37, benchmark/evaluation/run_benchmark.py: evaluate_scene
    "spatialbench.metric_5m": {
        "abs_rel": 0.287969023,
        "sq_rel": 0.343377739,
        "rmse": 1.18593574,
        "rmse_log": 0.354612023,
        "delta1": 0.0883543165,
        "inlier_1.10": 0.00382194245,
    },
    "spatialbench.median_5m": {
        "abs_rel": 0.0741911605,
        "sq_rel": 0.0310290083,
        "rmse": 0.339460671,
        "rmse_log": 0.0908652321,
        "delta1": 0.98448741,
        "inlier_1.03": 0.255845324,
        "tgm": 0.27225717,
    },
    # With benchmark/utils/misc.py: threshold_depth_map, at the 80th percentile
    "spatialbench.median_ropedia": {
        "abs_rel": 0.0742125437,
        "rmse": 0.39950344,
        "inlier_1.03": 0.247337444,
        "tgm": 0.278588273,
    },
}
# Those whose crop or fit depends on the size, videos of three maps, and predicted disparities.
SIZES = {
    "marigold.nyu": (480, 640),
    "marigold.kitti": (375, 1242),
    "marigold.eth3d_1024": (40, 1500),
    "marigold.disparity_nyu": (480, 640),
    "unidepth.nyu_si": (480, 640),
    "unidepth.kitti_si": (375, 1242),
}
VIDEOS = ("pi3.video", "video_depth_anything", "spatialbench")
DISPARITIES = ("marigold.disparity", "video_depth_anything")
# Where a peer's own sums in float32 move its number: how far it is from itself at most, over eight
# orders of the same pixels. The ten steps of IRLS weigh pixels on the line by 1e8; Adam's path
# forks on the last digit.
SPREAD = {
    "cut3r.video_scale": 6e-6,
    "pi3.mono": 6e-6,
    "g2vlm.mono_sintel": 6e-6,
    "pi3.video_scale": 3.5e-4,
    "cut3r.video_scale_shift": 5e-6,
    "monst3r.video_scale_shift_sintel": 5e-6,
    "pi3.video_scale_shift": 1.5e-5,
    # Normal equations inverted in float32: they move by 1e-5 with the order, and are 7e-5 off.
    "unidepth.ibims_ssi": 1e-4,
    "unik3d.ibims_ssi": 1e-4,
}
# Ratios in float32 put one or two pixels at a threshold on its other side: pixels that count.
AT_THRESHOLD = {
    "unidepth.ibims_ssi": 48 * 64,
    "unik3d.ibims_ssi": 48 * 64,
    "unidepth.nyu_si": 426 * 560,
    "unidepth.kitti_si": 206 * 1129,
}


def case(protocol: str) -> tuple[Target, Prediction]:
    """The maps that the peer was asked about."""
    frames = range(3 if protocol.startswith(VIDEOS) else 1)
    pairs = [depth_pair(seed, SIZES.get(protocol, (48, 64))) for seed in frames]
    is_disparity = protocol.startswith(DISPARITIES)
    camera = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
    return Target(
        depth_m=tuple(true for _, true in pairs),
        intrinsics=(camera,) * len(pairs),
        world_from_camera=poses(len(pairs)),
    ), Prediction(
        depth=tuple(1 / predicted if is_disparity else predicted for predicted, _ in pairs),
        ambiguity=Ambiguity.AFFINE_DISPARITY if is_disparity else Ambiguity.METRIC,
    )


def fields_of(protocol: str) -> list[dict[str, Any]]:
    profile, _, name = protocol.partition(".")
    plugins = Plugins.find()
    return load_profile(plugins.path("profile", profile)).expand("depth", name or None, profile)


def scored(load_family, protocol: str, metrics: list[str]) -> dict[str, float]:
    target, prediction = case(protocol)
    assert prediction.ambiguity is not None
    score = load_family("depth", metrics, *fields_of(protocol)).score(
        target, prediction, prediction.ambiguity
    )
    values = {key.partition("@")[0]: value for key, value in score.values.items()}
    return {metric: values[metric] for metric in metrics}


@pytest.mark.parametrize("protocol", PEERS)
def test_a_profile_gives_the_number_of_its_code(load_family, protocol) -> None:
    expected = PEERS[protocol]
    found = scored(load_family, protocol, list(expected))
    for metric, value in expected.items():
        share = metric.startswith(("delta", "inlier"))
        pixels = 2.01 / AT_THRESHOLD[protocol] if share and protocol in AT_THRESHOLD else None
        assert found[metric] == pytest.approx(value, rel=SPREAD.get(protocol, 1e-6), abs=pixels), (
            metric
        )


def test_diode_counts_all_that_its_mask_file_leaves(load_family) -> None:
    """0.6 and 350 m bound the prediction alone (Marigold@b1dffaa, script/depth/eval.py)."""
    rng = np.random.default_rng(0)
    true = np.geomspace(0.1, 900, 48 * 64, dtype=np.float32).reshape(48, 64)
    predicted = true * rng.lognormal(0, 0.1, true.shape).astype(np.float32)
    valid = rng.random(true.shape) < 0.9
    target = Target(depth_m=(np.where(valid, true, np.float32(np.nan)),))
    score = load_family("depth", ["abs_rel"], *fields_of("marigold.diode")).score(
        target, Prediction(depth=(predicted,)), Ambiguity.METRIC
    )
    x, y = predicted[valid].astype(float), true[valid].astype(float)
    aligned = np.polyval(np.polyfit(x, y, 1), x).clip(0.6, 350)
    expected = np.mean(np.abs(aligned - y) / y)
    assert score.values["abs_rel@marigold.diode"] == pytest.approx(expected, rel=1e-6)


# CUT3R/CUT3R@8bc15dc: cv2.resize(INTER_CUBIC) of OpenCV 5.0, `depth_evaluation` of the two images
# below, and `np.average` by `valid_pixels`, as in eval/monodepth/eval_metrics.py.
OF_TWO_IMAGES: dict[str, dict[str, float]] = {
    "cut3r.mono": {
        "abs_rel": 0.06643520189183098,
        "rmse": 4.30116469519479,
        "rmse_log": 0.08282418868371419,
        "delta1": 0.9901413576943534,
    },
    "cut3r.mono_sintel": {
        "abs_rel": 0.06448764660620948,
        "rmse": 3.803702411238467,
        "rmse_log": 0.08087767636410166,
        "delta1": 0.9912003702635369,
    },
    "cut3r.mono_bonn": {
        "abs_rel": 0.06535430803948791,
        "rmse": 3.877149205775898,
        "rmse_log": 0.08157968704020503,
        "delta1": 0.9909747445196021,
    },
}


@pytest.mark.parametrize("protocol", OF_TWO_IMAGES)
def test_two_images_that_are_resized_and_averaged(load_family, score, result, protocol) -> None:
    """Predicted at half the size; far truth beyond any cap, and a quarter of one truth missing."""
    expected = OF_TWO_IMAGES[protocol]
    family = load_family("depth", list(expected), *fields_of(protocol))
    lines = []
    for seed in (0, 1):
        predicted, true = depth_pair(seed)
        true = 10 * true
        true[: 12 * seed] = np.nan
        small = Prediction(depth=(predicted[::2, ::2],), ambiguity=Ambiguity.METRIC)
        lines.append(score(family, Target(depth_m=(true,)), small, id=str(seed)))
    found = {metric: result(family, lines, f"{metric}@{protocol}").value for metric in expected}
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("label", "counts"),
    [
        ("unidepth.ibims_metric", False),
        ("unik3d.ibims_metric", False),
        ("spatialbench.metric_20m", True),
    ],
)
def test_truth_at_the_cap_counts_as_in_the_masks_of_the_code(load_family, label, counts) -> None:
    """`AnnotationMask` of UniDepth and UniK3D is false there; SpatialBench's readers keep it."""
    (fields,) = fields_of(label)
    cap = fields["max_depth_m"]
    target = Target(depth_m=(np.array([[cap, cap / 2, 2 * cap]], np.float32),))
    prediction = Prediction(depth=(np.array([[2 * cap, cap / 2, cap]], np.float32),))
    found = load_family("depth", ["abs_rel"], fields).score(target, prediction, Ambiguity.METRIC)
    assert found.values == {f"abs_rel@{label}": 0.5 if counts else 0}


def test_spatialbench_leaves_out_what_is_not_predicted(load_family) -> None:
    """A third of it 0 and a sixth below; the values are `compute_depth_metrics`'s, of seed 0."""
    predicted, true = depth_pair()
    predicted[::3] = 0
    predicted[1::3, ::2] *= -1
    expected = {"abs_rel": 0.285463393, "rmse": 1.18578041, "rmse_log": 0.351362079}
    family = load_family("depth", list(expected), *fields_of("spatialbench.metric_5m"))
    target = Target(depth_m=(true,))
    values = family.score(target, Prediction(depth=(predicted,)), Ambiguity.METRIC).values
    labelled = {f"{name}@spatialbench.metric_5m": value for name, value in expected.items()}
    assert values == pytest.approx(labelled, rel=1e-6)


def test_spatialbench_leaves_out_a_tie_at_the_threshold(load_family) -> None:
    """Aligned 2.5 m beside 2 m; its `evaluate_scene` has 2 / 3, with 1e-8 m in double 1."""
    label = "spatialbench.median_3m"
    target = Target(depth_m=(np.array([[2, 2.5, 2.75]], np.float32),))
    prediction = Prediction(depth=(np.full((1, 3), 2, np.float32),))
    family = load_family("depth", ["delta1"], *fields_of(label))
    found = family.score(target, prediction, Ambiguity.METRIC)
    assert found.values == {f"delta1@{label}": 2 / 3}


RESIZED = {
    # F.interpolate of each peer, to twice the size.
    "depth_anything_v2.kitti": {"mode": "bilinear", "align_corners": True},
    "unidepth.eth3d_metric": {"mode": "bilinear", "align_corners": False},
    "cut3r.video_metric": {"mode": "bicubic", "align_corners": False},
    # skimage.transform.resize(order=0) there: the pixel whose area it lies in
    "robustmvd.none": {"mode": "nearest-exact"},
}


@pytest.mark.parametrize("protocol", RESIZED)
def test_a_smaller_prediction_is_resized_as_its_code_does(load_family, protocol) -> None:
    predicted, true = depth_pair()
    small = predicted[::2, ::2]
    given = torch.tensor(small.copy())[None, None]
    large = torch.nn.functional.interpolate(given, true.shape, **RESIZED[protocol])[0, 0].numpy()
    family = load_family("depth", ["abs_rel"], *fields_of(protocol))
    found, expected = (
        family.score(Target(depth_m=(true,)), Prediction(depth=(one,)), Ambiguity.METRIC).values
        for one in (small, large)
    )
    assert found == pytest.approx(expected, rel=1e-6)


def test_no_line_beats_the_default_in_abs_rel(load_family) -> None:
    best = {
        name: scored(load_family, f"default.{name}", ["abs_rel"])["abs_rel"]
        for name in ("metric", "scale", "affine")
    }
    assert best["metric"] > best["scale"] > best["affine"]
    for protocol, values in PEERS.items():
        if protocol.startswith(VIDEOS) or protocol in SIZES:
            continue
        if protocol.endswith(("scale", "mono", "_si", "median")):
            assert values["abs_rel"] > best["scale"] - 1e-6, protocol
        if protocol.endswith(("affine", "shift", "ssi", "scannet")):
            assert values["abs_rel"] > best["affine"] - 1e-6, protocol


def test_every_depth_profile_is_read_by_the_family(load_family) -> None:
    plugins = Plugins.find()
    for profile in plugins.names("profile"):
        loaded = load_profile(plugins.path("profile", profile))
        if "depth" in loaded.protocols:
            family = load_family("depth", ["abs_rel"], *loaded.expand("depth", None, profile))
            assert all(p.label.startswith(profile) for p in family.protocols)
