"""Every task file of real data: its pins hold, its inputs open, and truth scores best."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm_bench.acquire import verify
from g2vlm_bench.data.catalogue import Entry
from g2vlm_bench.data.pin import split_pins
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
from g2vlm_bench.sample import Ambiguity, Prediction, Want

PLUGINS = Plugins.find()
TASKS = [name for name in PLUGINS.names("task") if "/real_" in name]


def test_families_of_geometry_and_of_words_have_real_tasks() -> None:
    assert {name.partition("/")[0] for name in TASKS} >= {
        "camera_pose", "chamfer", "depth", "point_map", "spatial_qa",
    }  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_pins_hold_and_the_truth_is_best(realdata: Path, name: str) -> None:
    definition = PLUGINS.task(name)
    task = Task.load(PLUGINS, definition, realdata)
    assert task.dataset.fingerprint.pinned
    assert definition.licence
    assert definition.citation
    specs = {spec.name: spec for spec in task.family.specs}
    assert specs[definition.headline].bounded
    sample = task.dataset.samples[0]
    inputs, target = task.family.prepare(sample.load_inputs()), sample.load_target()
    assert inputs.id == sample.id
    truth = task.family.truth(target)
    values = task.family.score(target, truth, Ambiguity.METRIC).values
    assert set(values) >= set(specs)
    for metric in specs:
        value = values[metric]
        if not metric.startswith("chance_corrected"):
            assert value == pytest.approx(specs[metric].best, abs=1e-9), metric


@pytest.mark.parametrize("name", TASKS)
def test_data_verify_finds_the_real_folders_whole(realdata: Path, name: str) -> None:
    """Counts, content and missing files of `data verify` are those that the tasks pin."""
    definition = PLUGINS.task(name)
    given, options = split_pins(definition.data)
    entry = Entry(
        name="real",
        title=definition.title,
        format=given["format"],
        options=options,
        source="shared",
        licence=definition.licence,
        layout="as it lies",
        counts={"test": given["rows"]},
    )
    found = verify(entry, realdata / given.get("root", ""), PLUGINS)
    assert found.ok, found.text()
    assert {check.what: check.got for check in found.checks} == {
        "samples of 'test'": str(given["rows"]),
        "content of 'test'": given["content_hash"],
    }


def test_scans_are_scored_on_clouds_made_elsewhere(realdata: Path, tmp_path: Path) -> None:
    """The ground points as a prediction of all points: accuracy 0, completeness trap 5's means."""
    pytest.importorskip("open3d")
    for name in ("samp11", "samp52"):
        source = realdata / f"pointclouds/isprs_{name}/{name}-utm-ground.pcd"
        (tmp_path / f"{name}.pcd").write_bytes(source.read_bytes())
    adapter = PLUGINS.adapter("files", {"path": str(tmp_path), "ambiguity": "metric"}, {})
    task = Task.load(PLUGINS, PLUGINS.task("chamfer/real_airborne"), realdata)
    for sample, mean_m in zip(task.dataset.samples, (2.30, 0.59), strict=True):
        (prediction,) = adapter.predict([sample.load_inputs()], frozenset({Want.POINTS}))
        assert isinstance(prediction, Prediction)
        values = task.family.score(sample.load_target(), prediction, Ambiguity.METRIC).values
        assert values["accuracy_mean@metric+world"] == 0
        assert values["completeness_mean@metric+world"] == pytest.approx(mean_m, abs=0.005)
