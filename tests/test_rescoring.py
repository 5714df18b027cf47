"""Stored predictions scored again: without the model, on the data and by the task of the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.runner import rescore

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
