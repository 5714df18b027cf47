"""Profiles against the numbers of the code they are named after.

The values are the peers' own, on `depth_pair` below, from
`scripts/conformance_depth.py --peers DIR --values` (seed 0, float32, torch 2.13 on a CPU).
"""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import load_profile

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
        "boundary_f1_r3": 0.318920826,
    },
    "moge.scale": {"abs_rel": 0.0741754249, "delta1": 0.983398438},
    "moge.affine": {"abs_rel": 0.071040757, "delta1": 0.988606751},
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
    # lpiccinelli-eth/UniDepth@8d8cfe4
    "unidepth.ibims_metric": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "si_log_sample": 0.0924629402,
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
    # lpiccinelli-eth/UniK3D@29f7862
    "unik3d.ibims_metric": {
        "abs_rel": 0.31510666,
        "rmse": 1.8690691,
        "rmse_log": 0.393791288,
        "si_log_sample": 0.0924629402,
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
    "robustmvd.median": {"abs_rel": 0.0761971772, "inlier_1.03": 0.241536453},
    # facebookresearch/map-anything@f7ebafb
    "mapanything": {"abs_rel": 0.0754176623, "inlier_1.03": 0.244466141},
}
# Where a peer's own sums in float32 move its number, by how much: scripts/conformance_depth.py.
SPREAD = {
    "cut3r.video_scale": 2e-4,
    "pi3.mono": 2e-4,
    "g2vlm.mono_sintel": 2e-4,
    "unidepth.ibims_ssi": 2e-3,
    "unik3d.ibims_ssi": 2e-3,
    "cut3r.video_scale_shift": 5e-6,
    "monst3r.video_scale_shift_sintel": 5e-6,
}


def depth_pair(seed: int = 0, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray]:
    """Piecewise planes with steps, and a prediction of another scale, shift and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    true = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    predicted = (0.6 * true + 0.4) * rng.lognormal(0, 0.08, size)
    return predicted.astype(np.float32), true.astype(np.float32)


def scored(load_family, profile: str, name: str, metrics: list[str]) -> dict[str, float]:
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand("depth", name or None, profile)
    family = load_family("depth", metrics, *fields)
    predicted, true = depth_pair()
    camera = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
    values = family.score(
        Target(depth_m=(true,), intrinsics=(camera,)),
        Prediction(depth=(predicted,), ambiguity=Ambiguity.METRIC),
        Ambiguity.METRIC,
    ).values
    return {key.partition("@")[0]: value for key, value in values.items()}


@pytest.mark.parametrize("protocol", PEERS)
def test_a_profile_gives_the_number_of_its_code(load_family, protocol) -> None:
    profile, _, name = protocol.partition(".")
    expected = PEERS[protocol]
    found = scored(load_family, profile, name, list(expected))
    assert found == pytest.approx(expected, rel=SPREAD.get(protocol, 1e-6))


def test_no_line_beats_the_default_in_abs_rel(load_family) -> None:
    best = {
        name: scored(load_family, "default", name, ["abs_rel"])["abs_rel"]
        for name in ("metric", "scale", "affine")
    }
    assert best["metric"] > best["scale"] > best["affine"]
    for protocol, values in PEERS.items():
        if protocol.endswith(("scale", "mono", "_si", "median")):
            assert values["abs_rel"] > best["scale"] - 1e-6, protocol
        if protocol.endswith(("affine", "shift", "ssi", "scannet")):
            assert values["abs_rel"] > best["affine"] - 1e-6, protocol


def test_every_depth_profile_is_read_by_the_family(load_family) -> None:
    plugins = Plugins.find()
    for profile in plugins.names("profile"):
        loaded = load_profile(plugins.path("profile", profile))
        if "depth" in loaded.protocols:
            family = load_family("depth", ["delta1"], *loaded.expand("depth", None, profile))
            assert all(p.label.startswith(profile) for p in family.protocols)
