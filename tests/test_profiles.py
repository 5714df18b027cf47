"""Profiles: written out into the definition, fixed, and the only source of their label."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_every_shipped_profile_is_understood_by_its_families() -> None:
    plugins = Plugins.find()
    for name in plugins.names("profile"):
        profile = load_profile(plugins.path("profile", name))
        assert profile.title
        assert "@" in profile.reference
        for family in profile.protocols:
            assert profile.expand(family, None, name)
            assert family in plugins.names("family")
