"""Point-map profiles against the numbers of the code they are named after.

The values are the peers' own, on `point_case` below, from
`scripts/conformance_point_maps.py --peers DIR --values` (seeds 0 and 2, the latter with tied
predictions; float32, torch 2.13 on a CPU).
"""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.survey import survey
from tests.tasks.published import published_labels

PEERS: dict[tuple[str, int], dict[str, float]] = {
    # microsoft/MoGe@0744441
    ("moge.metric", 0): {"point_abs_rel": 0.17907574772834778, "point_delta1": 0.7082768082618713},
    ("moge.scale", 0): {"point_abs_rel": 0.09574643522500992, "point_delta1": 0.9782903790473938},
    ("moge.affine", 0): {
        "point_abs_rel": 0.07244430482387543,
        "point_delta1": 0.9850746393203735,
        "fov_x_error": 6.132970333099365,
    },
    ("moge.local", 0): {"local_abs_rel": 0.0994214837749799, "local_delta1": 0.9492076436678568},
    ("moge.local", 2): {"local_abs_rel": 0.11253705124060313, "local_delta1": 0.9275150299072266},
    ("moge.metric", 2): {"point_abs_rel": 0.1787232607603073, "point_delta1": 0.7516960501670837},
    ("moge.scale", 2): {"point_abs_rel": 0.1032358929514885, "point_delta1": 0.9484395980834961},
    ("moge.affine", 2): {
        "point_abs_rel": 0.08070998638868332,
        "point_delta1": 0.9796471910112360,
        "fov_x_error": 6.132970333099365,
    },
    # lpiccinelli-eth/UniDepth@8d8cfe4
    ("unidepth.ibims", 0): {"point_error": 1.7853379249572754},
    ("unidepth.ibims", 2): {"point_error": 1.6158114671707153},
    # lpiccinelli-eth/UniK3D@29f7862
    ("unik3d.ibims", 0): {
        "point_error": 1.7853379249572754,
        "point_abs_rel": 0.30757826566696167,
        "point_inlier_1.25": 0.07055631279945374,
        "ray_auc_15": 0.8427764773368835,
    },
    ("unik3d.ibims", 2): {
        "point_error": 1.6158114671707153,
        "point_abs_rel": 0.3022240698337555,
        "point_inlier_1.25": 0.09362279623746872,
        "ray_auc_15": 0.8292627930641174,
    },
    # facebookresearch/map-anything@f7ebafb
    ("mapanything", 0): {
        "point_abs_rel": 0.09510724246501923,
        "point_inlier_1.03": 0.256445050239563,
        "ray_error": 2.7782223224639893,
    },
    ("mapanything", 2): {
        "point_abs_rel": 0.10324739664793015,
        "point_inlier_1.03": 0.23880596458911896,
        "ray_error": 2.9731969833374023,
    },
}
# One ray of 737 lies within float32's rounding of one of the 100 angles: 1 / 737 / 100.
SPREAD = {("unik3d.ibims", 2, "ray_auc_15"): 2e-5}


def point_case(seed: int, ties: bool) -> tuple[Target, Prediction]:
    """Piecewise planes with holes, seen by a camera that is not quite the true one."""
    size = (24, 32)
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    depth = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    depth[rng.random(size) < 0.05] = np.nan
    camera = np.array([[32, 0, 16], [0, 32, 12], [0, 0, 1.0]])
    seen_by = camera * np.array([[1.15, 1, 1.02], [1, 1.15, 0.97], [1, 1, 1]])
    guess = (0.6 * np.nan_to_num(depth, nan=3.0) + 0.4) * rng.lognormal(0, 0.08, size)
    predicted = unproject(guess, seen_by) + np.array([0.05, -0.03, 0.1])
    if ties:
        predicted = np.round(predicted / 0.1037) * 0.1037
        predicted[..., 2] = np.maximum(predicted[..., 2], 2.0)
    target = Target(
        depth_m=(depth.astype(np.float32),),
        intrinsics=(camera,),
        # Four upright stripes, of which the first is no segment.
        segments=(np.tile((np.arange(32) * 4 // 32).astype(np.int32), (24, 1)),),
    )
    return target, Prediction(point_maps=(predicted.astype(np.float32),), intrinsics=(seen_by,))


@pytest.mark.parametrize(("label", "seed"), PEERS, ids=str)
def test_a_profile_gives_its_peers_numbers(load_family, label, seed) -> None:
    profile, _, name = label.partition(".")
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand("point_map", name or None, "")
    expected = PEERS[label, seed]
    family = load_family("point_map", list(expected), *fields)
    values = family.score(*point_case(seed, ties=seed == 2), Ambiguity.METRIC).values
    assert set(values) == {f"{metric}@{label}" for metric in expected}
    for metric, value in expected.items():
        tolerance = SPREAD.get((label, seed, metric), 1e-6)
        assert values[f"{metric}@{label}"] == pytest.approx(value, rel=tolerance), metric


def test_every_profile_of_point_maps_but_the_default_has_golden_values() -> None:
    """Those of UniDepth and UniK3D differ by the crop and the cap of a data set alone."""
    found = published_labels("point_map")
    of_data = {name for name in found if name.startswith("uni")}
    assert found - of_data | {"unidepth.ibims", "unik3d.ibims"} == {label for label, _ in PEERS}
    assert len(of_data) == 10


def test_one_map_under_every_profile() -> None:
    """What the protocol alone is worth: from .07 to .31 of the same points."""
    target, prediction = point_case(0, ties=False)
    readings = survey(Plugins.find(), "point_map", target, prediction, Ambiguity.METRIC)
    found = {r.protocol: r.values for r in readings}
    values = {name: of["point_abs_rel"] for name, of in found.items() if "point_abs_rel" in of}
    assert len(values) == 10
    assert set(found["moge.local"]) == {"local_abs_rel", "local_delta1"}
    assert set(found["unidepth.ibims"]) == {"point_error"}
    cropped = {f"uni{name}.{data}" for name in ("depth", "k3d") for data in ("kitti", "nyu")}
    assert {r.protocol for r in readings if "crop" in r.problem} == cropped
    assert min(values, key=values.get) == "default.affine"
    assert values["default.affine"] < values["moge.affine"]
    assert max(values.values()) > 4 * min(values.values())
    refused = survey(Plugins.find(), "point_map", target, prediction, Ambiguity.AFFINE)
    forgiving = {"default.affine", "moge.affine", "moge.local"}
    assert {r.protocol for r in refused if r.values} == forgiving
    others = [r.problem for r in refused if not r.values and r.protocol not in cropped]
    assert set(others) == {"refused: affine predictions"}


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        # lpiccinelli-eth/UniDepth@8d8cfe4: KittiCrop, eval_mask and eval_3d
        ("unidepth", {"point_error": 18.714147567749023}),
        # lpiccinelli-eth/UniK3D@29f7862: the same
        (
            "unik3d",
            {
                "point_error": 18.698095321655273,
                "point_abs_rel": 0.416032999753952,
                "point_inlier_1.25": 0.30128154158592224,
            },
        ),
    ],
)
def test_kittis_frames_are_cut_and_thinned_before_points_are_compared(
    load_family, profile, expected
) -> None:
    """185,429 pixels count, of which some 75,000 are left; seed 0, float32."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 100, (375, 1242)).astype(np.float32)
    camera = np.array([[700.0, 0, 620], [0, 700, 190], [0, 0, 1]])
    guess = (unproject(depth, camera) * rng.uniform(0.5, 2, (375, 1242, 1))).astype(np.float32)
    fields = load_profile(Plugins.find().path("profile", profile)).expand("point_map", "kitti", "")
    family = load_family("point_map", list(expected), *fields)
    target = Target(depth_m=(depth,), intrinsics=(camera,))
    found = family.score(target, Prediction(point_maps=(guess,)), Ambiguity.METRIC).values
    labelled = {f"{metric}@{profile}.kitti": value for metric, value in expected.items()}
    assert found == pytest.approx(labelled, rel=1e-6)


def test_thinned_maps_are_those_of_unidepth(load_family) -> None:
    # More than 75,000 valid pixels of 300 x 400: sqrt(75000 / 120000) of 300 and 400 are 237.17 and
    # 316.2, rounded down; each pixel of the small map is the nearest of the large one.
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 5, (300, 400)).astype(np.float32)
    camera = np.array([[400.0, 0, 200], [0, 400, 150], [0, 0, 1]])
    guess = (unproject(depth, camera) * rng.uniform(0.5, 2, (300, 400, 1))).astype(np.float32)
    rows, columns = (
        np.floor((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in ((237, 300), (316, 400))
    )
    kept = np.ix_(rows, columns)
    true = unproject(depth, camera)
    expected = np.linalg.norm(guess[kept] - true[kept], axis=-1).mean()
    profile = load_profile(Plugins.find().path("profile", "unik3d"))
    fields = profile.expand("point_map", "ibims", "")
    family = load_family("point_map", ["point_error"], *fields)
    target = Target(depth_m=(depth,), intrinsics=(camera,))
    found = family.score(target, Prediction(point_maps=(guess,)), Ambiguity.METRIC).values
    assert found["point_error@unik3d.ibims"] == pytest.approx(expected, rel=1e-6)
