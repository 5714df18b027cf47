"""What makes a run the same run: all that fixes its numbers, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from g2vlm_bench import runner
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Model, NotApplicableError, Options, Task, plan

folders = load_module(Path(__file__).with_name("run_folders.py"))
house_of, edit = folders.house_of, folders.edit


def test_a_complete_run_is_reused_without_predicting(toy_run, tmp_path) -> None:
    log = tmp_path / "log"
    folder, record = toy_run("pixels", {"log": str(log)})
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    log.unlink()
    same, again = toy_run("pixels", {"log": str(log)})
    assert same.path == folder.path
    assert msgspec.to_builtins(again) == msgspec.to_builtins(record)
    assert before == {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    assert not log.exists()


def _identity(plugins: Plugins, arguments: Any = None, weights: str = "", **options: Any) -> str:
    chosen = Options(**options)
    model = Model.load(plugins, "pixels", arguments or {}, chosen)
    model.adapter.weights_hash = weights or model.adapter.weights_hash
    return plan(Task.load(plugins, plugins.task("toy/echo")), model, chosen).identity


YAML = "tasks/toy/echo.yaml"
OTHERS: dict[str, dict[str, Any] | Callable[[Path], None]] = {
    "argument": {"arguments": {"seconds": 0.001}},
    "weights": {"weights": "sha256:other"},
    "limit": {"limit": 3},
    "larger limit": {"limit": 100},
    "dtype": {"dtype": "bfloat16"},
    "device": {"device": "cuda:1"},
    "batch size": {"batch_size": 2},
    "adapter's source": edit("adapters/pixels.py", "str(inputs", "str(1 + inputs"),
    "family's source": edit("tasks/toy.py", "error <= protocol.within", "error < protocol.within"),
    "reader's source": edit("tasks/readers/toy.py", "uint8)\n", "uint8) + 1\n"),
    "data": edit(YAML, "n: 6", "n: 6, seed: 1"),
    "rows": edit(YAML, "n: 6", "n: 7"),
    "ids": edit(YAML, "n: 6", "names: [a, b, c, d, e, f]"),
    "option of the reader": edit(YAML, "n: 6", "n: 6, words: 9"),
    "version": edit(YAML, "version: 1", "version: 2"),
    "metrics": edit(YAML, "[right, error]", "[right]"),
    "protocol": edit(YAML, "metrics:", "protocols: [{}, {within: 1}]\nmetrics:"),
    "seed": edit(YAML, "version:", "seed: 3\nversion:"),
    "revision": edit(YAML, "n: 6", "n: 6, revision: b"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_identity(tmp_path, what) -> None:
    base = _identity(house_of(tmp_path / "a"))
    change = OTHERS[what]
    other = house_of(tmp_path / "b")
    assert _identity(other) == base, "where the files lie does not matter"
    if isinstance(change, dict):
        assert _identity(other, **change) != base
    else:
        change(tmp_path / "b")
        assert _identity(Plugins(other.tasks_dirs, other.adapters_dirs)) != base


def test_another_identity_for_another_core(toys, monkeypatch) -> None:
    base = _identity(toys)
    monkeypatch.setattr(runner, "code_hash", lambda: "sha256:other")
    assert _identity(toys) != base


def test_a_fitted_floor_is_known_by_what_it_was_fitted_on(toys, toy_task) -> None:
    model = Model.load(toys, "mean_depth", {}, Options())
    record = plan(toy_task("toy/metres"), model, Options())
    assert record.adapter.fitted_on == toy_task("toy/metres").dataset.training_hash()
    other = plan(toy_task("toy/metres", data={"seed": 1}), model, Options())
    assert other.adapter.fitted_on != record.adapter.fitted_on
    with pytest.raises(NotApplicableError, match="a training split to fit the floor on"):
        plan(toy_task("toy/metres", data={"train_split": ""}), model, Options())
