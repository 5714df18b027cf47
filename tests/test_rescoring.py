"""Stored predictions scored again: without the model, on the data and by the task of the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from g2vlm_bench.board import BoardColumn, BoardDefinition
from g2vlm_bench.comparable import check_comparable
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.ranking import build
from g2vlm_bench.runner import Model, Options, Task, rescore, run

PROJECT = Path(__file__).parent.parent
TOYS = Path(__file__).parent / "toys"
folders = load_module(Path(__file__).with_name("run_folders.py"))
numbers_of, house_of, edit = folders.numbers_of, folders.house_of, folders.edit


def test_scoring_needs_neither_models_nor_heavy_packages(toy_run, tmp_path) -> None:
    runs = [
        toy_run("pixels", data={"damaged": [1], "no_truth": [2]}),
        toy_run("troubled", {"how": "nan"}, task="toy/metres"),
        toy_run("pixels", task="toy/quiz"),
    ]
    before = [(folder.path / "samples.jsonl").read_bytes() for folder, _ in runs]
    house = tmp_path / "house"
    for room in ("g2vlm_bench", "tasks", "leaderboards"):
        shutil.copytree(PROJECT / room, house / room, ignore=shutil.ignore_patterns("__pycache__"))
    script = """
import sys
BLOCKED = {"torch", "torchvision", "transformers", "open3d", "lm_eval", "datasets"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
from g2vlm_bench import api
import g2vlm_bench
from pathlib import Path
assert Path(g2vlm_bench.__file__).parents[1] == Path(sys.argv[1])
for run in sys.argv[3:]:
    assert api.score(run, tasks_dirs=[sys.argv[2]]).record.status == "complete"
assert not BLOCKED & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, house, TOYS / "tasks", *(f.path for f, _ in runs)],
        env=os.environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [(folder.path / "samples.jsonl").read_bytes() for folder, _ in runs] == before
    for folder, record in runs:
        assert numbers_of(folder.read_record()) == numbers_of(record)


def test_scoring_on_other_data_is_refused(toys, toy_run, tmp_path) -> None:
    house = house_of(tmp_path / "house")
    folder, _ = toy_run("pixels")
    edit("tasks/readers/toy.py", "hash_text([split,", 'hash_text(["other", split,')(
        tmp_path / "house"
    )
    whole = (folder.path / "samples.jsonl").read_bytes()
    with pytest.raises(NotComparableError, match="Score it on the data it was predicted on"):
        rescore(house, folder.path)
    assert (folder.path / "samples.jsonl").read_bytes() == whole
    assert folder.read_record().status == "complete"


def test_scoring_a_run_whose_predictions_are_not_all_there_is_one_line(toys, toy_run) -> None:
    folder, _ = toy_run("pixels")
    index = folder.path / "predictions" / "index.jsonl"
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(BenchError, match="expected a prediction of sample 'room-3', got none"):
        rescore(toys, folder.path)
    assert folder.read_record().status != "complete"


def test_scoring_again_uses_the_task_as_it_was(toy_run, tmp_path) -> None:
    house = house_of(tmp_path / "house")
    folder, record = toy_run("pixels")
    edit("tasks/toy/echo.yaml", "metrics: [right, error]", "metrics: [right]")(tmp_path / "house")
    assert numbers_of(rescore(house, folder.path)) == numbers_of(record)


def test_scores_of_an_uncommitted_scorer_are_provisional(toys, toy_run, checkout) -> None:
    folder, record = toy_run("pixels")
    checkout.move_to("b")
    checkout.edit()
    again = rescore(toys, folder.path)
    assert again.environment == record.environment
    assert (again.scored_with.commit, again.scored_with.dirty) == ("b" * 40, True)
    assert "uncommitted changes" in _marks(folder.path)
    checkout.move_to("c")
    assert rescore(toys, folder.path).scored_with.dirty is False
    assert "uncommitted changes" not in _marks(folder.path)


def test_scoring_again_does_not_make_predictions_of_a_dirty_checkout_clean(
    toys, toy_run, checkout
) -> None:
    checkout.edit()
    folder, _ = toy_run("pixels")
    checkout.move_to("b")
    assert rescore(toys, folder.path).environment.dirty is True
    assert "uncommitted changes" in _marks(folder.path)


def _marks(path: Path) -> tuple[str, ...]:
    columns = [BoardColumn(task="toy/echo")]
    (row,) = build(BoardDefinition(name="b", version=1, title="B", columns=columns), [path]).rows
    return row.provisional


def test_a_users_reader_that_tells_another_truth_is_another_scorer(tmp_path) -> None:
    house = house_of(tmp_path / "house")
    options = Options(out=tmp_path / "runs")

    def evaluated(plugins: Plugins) -> tuple[Path, Any]:
        task = Task.load(plugins, plugins.task("toy/echo"))
        folder, record = run(task, Model.load(plugins, "pixels", {}, options), options)
        return folder.path, record

    one = evaluated(house)
    edit("tasks/readers/toy.py", "float(self._value(i))", "1 + float(self._value(i))")(
        tmp_path / "house"
    )
    edited = Plugins(house.tasks_dirs, house.adapters_dirs)
    other = evaluated(edited)
    assert one[1].data == other[1].data, "the content hash covers ids alone"
    with pytest.raises(NotComparableError, match="scorer of toy/echo"):
        check_comparable(one, other)
    again = rescore(edited, one[0])
    assert again.scorer == other[1].scorer
    check_comparable((one[0], again), other)
