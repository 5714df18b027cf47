"""Profiles: written out into the definition, fixed, and the only source of their label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import TaskDefinition

TASK = """
version: 1
family: depth
data: {format: world, content: depth, n: 2}
protocols: [%s]
metrics: [delta1]
headline: delta1@%s
"""
PROFILE = """
title: Of a user
reference: me/mine@123
quirks: []
protocols:
  depth:
    - {name: scale, alignment: median_scale}
    - {name: affine, alignment: least_squares_scale_shift, clip: true}
"""


REPORTS = """
reports:
  depth.scale: {metrics: [abs_rel, delta1], file: eval.py}
  "depth.a*": {metrics: [rmse], file: eval.py}
"""
GEOMETRY = ("camera_pose", "chamfer", "depth", "point_map")


@pytest.fixture
def load(tmp_path: Path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "depth").mkdir()

    def loaded(
        protocols: str, label: str = "mine.scale", reports: str = "", metrics: str = "[delta1]"
    ):
        (tmp_path / "profiles" / "mine.yaml").write_text(PROFILE + reports)
        task = TASK.replace("[delta1]", metrics) % (protocols, label)
        (tmp_path / "depth" / "t.yaml").write_text(task)
        plugins = Plugins.find([tmp_path])
        return plugins.family(plugins.task("depth/t"))

    return loaded


def test_a_profile_is_written_out_under_its_own_label(load) -> None:
    family = load("{profile: mine}, {alignment: median_scale}")
    assert [p.label for p in family.protocols] == ["mine.scale", "mine.affine", "median_scale"]
    written = family.definition.protocols
    assert written[1] == {
        "profile": "mine.affine", "alignment": "least_squares_scale_shift", "clip": True,
    }  # fmt: skip


def test_one_protocol_of_a_profile(load) -> None:
    family = load("{profile: mine, name: affine}", "mine.affine")
    assert [spec.name for spec in family.specs] == ["delta1@mine.affine"]


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        ("{profile: mien}", "Did you mean 'mine'"),
        ("{profile: mine, name: afine}", "Did you mean 'affine'"),
        ("{profile: mine, clip: false}", "the key 'clip' beside it"),
    ],
)
def test_what_is_refused(load, protocols, message) -> None:
    with pytest.raises(BenchError, match=message):
        load(protocols)


def test_a_metric_stands_under_each_protocol_that_defines_it(load) -> None:
    protocols = "{profile: mine}, {alignment: median_scale}"
    family = load(protocols, "mine.scale", REPORTS, "[delta1, rmse]")
    assert [spec.name for spec in family.specs] == [
        "delta1@mine.scale", "rmse@mine.affine", "delta1@median_scale", "rmse@median_scale",
    ]  # fmt: skip
    assert family.definition.protocols[1]["metrics"] == ["rmse"]
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, (8, 9)).astype(np.float32)
    found = family.score(
        Target(depth_m=(truth,)), Prediction(depth=(truth + 1,)), Ambiguity.METRIC
    )  # fmt: skip
    assert set(found.values) == {spec.name for spec in family.specs}


def test_a_protocol_that_is_written_out_may_name_its_metrics_too(load) -> None:
    family = load("{alignment: median_scale, metrics: [rmse]}, {}", "metric", "", "[delta1, rmse]")
    assert [spec.name for spec in family.specs] == [
        "rmse@median_scale", "delta1@metric", "rmse@metric",
    ]  # fmt: skip
    with pytest.raises(BenchError, match=r"metrics of median_scale: .* Did you mean 'rmse'"):
        load("{alignment: median_scale, metrics: [rmsee]}", "median_scale", "", "[rmse]")


@pytest.mark.parametrize(
    ("protocols", "metrics", "says"),
    [
        # A column that was asked for would be missing.
        ("{profile: mine}", "[delta1, rmse, log10]", "got 'log10'; mine.scale defines abs_rel, de"),
        # A protocol that was asked for would give none.
        ("{profile: mine}", "[delta1]", "got mine.affine, which defines rmse. Ask for one of"),
    ],
)
def test_what_a_profile_does_not_define_is_refused(load, protocols, metrics, says) -> None:
    with pytest.raises(BenchError) as refused:
        load(protocols, "mine.scale", REPORTS, metrics)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        ("{depth.metric: {metrics: [rmse], file: a.py}}", "reports on its protocols, got 'depth.m"),
        ("{chamfer: {metrics: [fscore], file: a.py}}", "reports on its protocols, got 'chamfer'"),
        # The first that fits counts, so that the second says nothing.
        (
            "{depth: {metrics: [rmse], file: a.py}, depth.scale: {metrics: [delta1], file: a.py}}",
            "got 'depth.scale'",
        ),
        ("{depth: {metrics: [], file: a.py}}", "length >= 1"),
        ("{depth: {metrics: [delta1, rmsee], file: a.py}}", "Did you mean 'rmse'"),
    ],
)
def test_reports_that_make_no_sense_are_refused(load, reports, says) -> None:
    with pytest.raises(BenchError) as refused:
        load("{profile: mine}", "mine.scale", f"\nreports: {reports}")
    assert says in str(refused.value)


@pytest.fixture
def maps(tmp_path: Path):
    """A depth map, and one that is three times as deep with some noise."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, (20, 30)).astype(np.float32)
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "prediction.npy", 3 * truth * rng.normal(1, 0.1, truth.shape))
    return tmp_path


def test_a_survey_reads_one_map_under_every_profile(load, maps, capsys) -> None:
    load("{profile: mine}")
    files = [str(maps / "prediction.npy"), str(maps / "truth.npy")]
    with pytest.raises(SystemExit) as ended:
        app(["protocols", *files, "--ambiguity", "affine", "--tasks-dir", str(maps), "--json"])
    assert ended.value.code == 0
    readings = {one["protocol"]: one for one in json.loads(capsys.readouterr().out)}
    assert readings["mine.scale"]["problem"] == "refused: affine predictions"
    assert 0.8 < readings["mine.affine"]["values"]["delta1"] <= 1
    assert set(readings["mine.affine"]["values"]) == {"abs_rel", "rmse", "delta1"}


def test_a_survey_of_another_size_says_so(maps, load, capsys) -> None:
    load("{profile: mine}")
    np.save(maps / "prediction.npy", np.ones((10, 15), np.float32))
    files = [str(maps / "prediction.npy"), str(maps / "truth.npy")]
    with pytest.raises(SystemExit):
        app(["protocols", *files, "--tasks-dir", str(maps), "--metrics", "delta1"])
    assert "expected a depth map of the truth's size" in capsys.readouterr().out


def test_every_shipped_profile_is_understood_by_its_families() -> None:
    plugins = Plugins.find()
    for name in plugins.names("profile"):
        profile = load_profile(plugins.path("profile", name))
        assert profile.title
        assert "@" in profile.reference
        for family in profile.protocols:
            assert profile.expand(family, None, name)
            assert family in plugins.names("family")


def test_every_published_profile_of_geometry_says_which_metrics_its_code_reports() -> None:
    plugins = Plugins.find()
    for name in plugins.names("profile"):
        profile = load_profile(plugins.path("profile", name))
        for family in set(GEOMETRY).intersection(profile.protocols):
            for fields in profile.protocols[family]:
                reported = profile.reported(family, fields.get("name", ""))
                without = name == "default"
                assert (reported is None) == without, (name, family, fields)


@pytest.mark.parametrize(
    ("family", "label", "metrics"),
    [
        # cameras_evaluation and compute_pose, Ropedia/SpatialBench@7f06a37 and DA3@2c21ea8
        ("camera_pose", "spatialbench.world_from_camera", "rra_3 rra_5 rta_3 rta_5 auc_3 auc_5 "
         "auc_15 auc_30"),
        ("camera_pose", "spatialbench.trajectory", "ate rpe_translation_mean rpe_rotation_mean"),
        ("camera_pose", "da3", "auc_3 auc_5 auc_15 auc_30"),
        # pose_ate_rmse, a mean, and pose_auc_5, facebookresearch/map-anything@f7ebafb
        ("camera_pose", "mapanything", "auc_5 ate_mean"),
        # eval_depth, lpiccinelli-eth/UniDepth@8d8cfe4: all of the prediction as it is, and three
        # of an aligned one
        ("depth", "unidepth.nyu_metric", "abs_rel sq_rel rmse rmse_log log10 si_log_sample "
         "median_log delta1 delta2 delta3 inlier_1.03 delta_auc"),
        ("depth", "unidepth.nyu_ssi", "abs_rel delta1 inlier_1.03"),
        # all eight of dense_n_view's, but those of poses and depth, facebookresearch/map-anything
        ("chamfer", "mapanything", "point_abs_rel point_inliers metric_scale_abs_rel"),
        ("point_map", "mapanything", "point_abs_rel point_inlier_1.03 ray_error"),
        # compute_metrics, microsoft/MoGe@0744441
        ("depth", "moge.affine_disparity", "abs_rel delta1"),
        ("point_map", "moge.affine", "point_abs_rel point_delta1 fov_x_error"),
        ("point_map", "moge.local", "local_abs_rel local_delta1"),
        # eval3d, ByteDance-Seed/Depth-Anything-3@2c21ea8
        ("chamfer", "da3.dtu_posed", "accuracy_mean completeness_mean chamfer_mean_l2"),
        ("chamfer", "da3.7scenes_posed", "accuracy_mean completeness_mean chamfer_mean_l2 "
         "precision recall fscore"),
    ],
)  # fmt: skip
def test_what_published_code_returns_is_what_its_profile_reports(family, label, metrics) -> None:
    profile, _, name = label.partition(".")
    reported = load_profile(Plugins.find().path("profile", profile)).reported(family, name)
    assert reported is not None
    assert " ".join(reported.metrics) == metrics


def test_the_definition_of_a_run_from_before_reports_is_scored_as_it_was() -> None:
    """Its protocols say no metrics: all that its task asked for, as its lines have them."""
    fields = {"profile": "vggt", "composition": "first_from_second", "direction": "sign_free"}
    definition = TaskDefinition(
        name="camera_pose/old", version=1, family="camera_pose", data={},
        metrics=["auc_30", "ate"], headline="auc_30@vggt", protocols=[fields],
    )  # fmt: skip
    family = Plugins.find().family(definition)
    assert [spec.name for spec in family.specs] == ["auc_30@vggt", "ate@vggt"]
