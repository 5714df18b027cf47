"""Every task file of real data: its pins hold, its inputs open, and truth scores best."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
from g2vlm_bench.sample import Ambiguity

PLUGINS = Plugins.find()
TASKS = [name for name in PLUGINS.names("task") if "/real_" in name]


def test_every_family_has_real_tasks() -> None:
    assert {name.partition("/")[0] for name in TASKS} == {"depth", "chamfer", "spatial_qa"}


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
    assert set(values) == set(specs)
    for metric, value in values.items():
        if not metric.startswith("chance_corrected"):
            assert value == pytest.approx(specs[metric].best, abs=1e-9), metric
