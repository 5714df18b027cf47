"""Profiles: written out into the definition, fixed, and the only source of their label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.task import load_profile

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


@pytest.fixture
def load(tmp_path: Path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(PROFILE)
    (tmp_path / "depth").mkdir()

    def loaded(protocols: str, label: str = "mine.scale"):
        (tmp_path / "depth" / "t.yaml").write_text(TASK % (protocols, label))
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
