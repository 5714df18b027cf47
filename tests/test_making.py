"""`data prepare world` and `data verify world`: the tasks' own data, written and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from g2vlm_bench import api, cli
from g2vlm_bench.comparable import check_comparable
from g2vlm_bench.data.catalogue import find_entry
from g2vlm_bench.data.export import configuration_of
from g2vlm_bench.errors import BenchError
from g2vlm_bench.making import make, verify_made
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task

QUESTIONS = {
    "family": "spatial_qa",
    "metrics": ["accuracy", "chance_corrected_accuracy", "mean_relative_accuracy", "unparsed"],
    "headline": "chance_corrected_accuracy@strict",
}
DEPTH = {"family": "depth", "metrics": ["abs_rel", "delta1"], "headline": "delta1@metric"}
ASKED = {"content": "questions", "n": 6, "place": "mixed", "height": 24, "width": 24}
SEEN = {"n": 3, "views": 2, "height": 24, "width": 24}


def write_task(folder: Path, name: str, more: dict[str, Any], data: dict[str, Any]) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"title": name, "version": 1, **more, "data": data}))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks of the world, and the same tasks on its export."""
    folder = tmp_path_factory.mktemp("tasks")
    made = {"format": "world", "train_split": "train", "revision": "world-1"}
    for name, more, data in (
        ("spatial_qa/small", QUESTIONS, ASKED),
        ("depth/small", DEPTH, SEEN),
        ("depth/alike", DEPTH, SEEN),
    ):
        write_task(folder, name, more, made | data)
        read = {"format": "world_export", "root": "world", "train_split": "train"}
        read["configuration"] = configuration_of(name)
        write_task(folder, f"{name}_read", more, read)
    return folder


NAMES = ("depth/alike", "depth/small", "spatial_qa/small")


@pytest.fixture(scope="module")
def plugins(tasks: Path) -> Plugins:
    return Plugins((tasks,), ())


@pytest.fixture(scope="module")
def root(plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "world"
    list(make(find_entry("world"), root, plugins, ("test", "train"), NAMES))
    return root


def content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_tasks_of_the_same_data_share_files(root: Path) -> None:
    assert sorted(content(root)) == [
        "README.md",
        "SHA256SUMS",
        "depth-alike/test.parquet",
        "depth-alike/train.parquet",
        "export.json",
        "spatial_qa-small/test.parquet",
        "spatial_qa-small/train.parquet",
    ]
    listed = json.loads((root / "export.json").read_text())["configurations"]
    assert sorted(listed) == ["depth-alike", "depth-small", "spatial_qa-small"]
    assert listed["depth-small"]["splits"]["test"]["folder"] == "depth-alike"
    assert listed["spatial_qa-small"]["options"] == ASKED


def test_same_bytes_however_it_is_written(root: Path, plugins: Plugins, tmp_path: Path) -> None:
    """Task by task and split by split, in another order, and over what is there."""
    again = tmp_path / "again"
    for split in ("train", "test"):
        for name in reversed(NAMES):
            list(make(find_entry("world"), again, plugins, (split,), (name,)))
    list(make(find_entry("world"), again, plugins, ("test",), NAMES[:1]))
    assert content(again) == content(root)


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("oracle", "spatial_qa/small"),
        ("majority", "spatial_qa/small"),
        ("oracle", "depth/small"),
        ("constant_depth", "depth/small"),
    ],
)
def test_it_scores_as_what_is_generated(
    model: str, task: str, root: Path, plugins: Plugins, tmp_path: Path
) -> None:
    """Also where the task says nothing of the export: it reads what it would make otherwise."""
    ways = {task: None, f"{task}_read": root.parent, f"{task} again": root.parent}
    made, *read = (
        api.evaluate(model, name.split()[0], out=tmp_path, data_root=place, plugins=plugins).runs[0]
        for name, place in ways.items()
    )
    lines = [
        (line.id, line.cluster, line.status, line.tags, line.values) for line in made.samples()
    ]
    assert lines
    for run in read:
        assert lines == [
            (line.id, line.cluster, line.status, line.tags, line.values) for line in run.samples()
        ]
        assert run.record.results == made.record.results
        assert run.record.data.content_hash == made.record.data.content_hash
        assert run.record.data.source == "world_export:world"
    # A run of the task itself is another run, and may stand beside the generated one.
    assert made.record.data.source == "world"
    assert read[1].path != made.path
    check_comparable((made.path, made.record), (read[1].path, read[1].record))


def test_an_export_of_the_scored_split_alone(
    root: Path, plugins: Plugins, tasks: Path, tmp_path: Path
) -> None:
    """What is fitted is fitted on what is made, as if nothing had been exported."""
    list(make(find_entry("world"), tmp_path / "world", plugins, ("test",), NAMES))
    definition = plugins.task("depth/small")
    task, made = (Task.load(plugins, definition, folder) for folder in (tmp_path, None))
    assert task.dataset.fingerprint.source == "world_export:world"
    assert task.dataset.training_hash() == made.dataset.training_hash()
    ids = [sample.id for sample in task.dataset.training]
    assert ids == [sample.id for sample in made.dataset.training] != []


def test_an_export_of_other_options_is_refused(plugins: Plugins, tmp_path: Path) -> None:
    write_task(tmp_path / "tasks", "depth/small", DEPTH, {"format": "world", **SEEN, "n": 2})
    others = Plugins((tmp_path / "tasks",), ())
    list(make(find_entry("world"), tmp_path / "world", others, ("test",), ("depth/small",)))
    with pytest.raises(BenchError, match=r"data of depth/small: expected made with .*'n': 3"):
        Task.load(plugins, plugins.task("depth/small"), tmp_path)


def test_a_task_that_was_not_exported_is_generated(root: Path, tmp_path: Path) -> None:
    write_task(tmp_path, "depth/other", DEPTH, {"format": "world", **SEEN})
    others = Plugins((tmp_path,), ())
    task = Task.load(others, others.task("depth/other"), root.parent)
    assert task.dataset.fingerprint.source == "world"


@pytest.mark.parametrize("name", ["export.json", "depth-alike/test.parquet"])
def test_a_changed_export_is_not_scored(
    name: str, root: Path, plugins: Plugins, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "world")
    changed = tmp_path / "world" / name
    before = changed.read_bytes()
    # Another blank behind the list, or another bit in the midst of the pixels.
    middle = len(before) // 2
    flipped = before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :]
    changed.write_bytes(before + b" " if name == "export.json" else flipped)
    with pytest.raises(BenchError, match="expected a file as it was written, got a changed file"):
        Task.load(plugins, plugins.task("depth/small"), tmp_path)


def test_verify_finds_nothing_wrong(root: Path, plugins: Plugins) -> None:
    found = verify_made(find_entry("world"), root, plugins)
    assert found.ok
    said = [(check.what, check.got.split(",")[0]) for check in found.checks]
    assert said[0] == ("hashes of files", "as they were written")
    assert ("depth-alike, test", "3 samples") in said
    assert [what for what, _ in said].count("depth-small, test") == 0  # the same data: once


def test_verify_finds_what_another_version_made(
    root: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        plugins.reader("world"), "content_hash", lambda self, split: "sha256:another"
    )
    found = verify_made(find_entry("world"), root, plugins)
    assert not found.ok
    assert "which this version makes" in found.text()


def test_verify_without_a_folder(plugins: Plugins, tmp_path: Path) -> None:
    found = verify_made(find_entry("world"), tmp_path / "none", plugins)
    assert not found.ok
    assert "no such folder" in found.text()


def test_data_that_are_not_as_pinned_are_not_written(tmp_path: Path) -> None:
    pinned = {"format": "world", "n": 2, "height": 8, "width": 8, "rows": 3}
    write_task(tmp_path / "tasks", "depth/pinned", DEPTH, pinned)
    plugins = Plugins((tmp_path / "tasks",), ())
    with pytest.raises(BenchError, match=r"depth-pinned, rows: expected 3, got 2"):
        list(make(find_entry("world"), tmp_path / "out", plugins, ("test",), ("depth/pinned",)))


def test_a_folder_of_something_else_is_left_alone(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(BenchError, match="expected an empty folder or an export, got other files"):
        list(make(find_entry("world"), tmp_path, plugins, ("test",), NAMES))
    assert content(tmp_path) == {"letter.txt": b"mine"}


@pytest.mark.parametrize(
    ("splits", "names", "said"),
    [
        (("tset",), NAMES, "split of 'world'.*got 'tset'"),
        (("test",), ("depth/smal",), r"task 'depth/smal'.*Did you mean 'depth/small'"),
    ],
)
def test_unknown_names(
    splits: tuple[str, ...], names: tuple[str, ...], said: str, plugins: Plugins, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=said):
        list(make(find_entry("world"), tmp_path / "out", plugins, splits, names))


def test_the_command_line(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["g2vlm-bench", *words, "--tasks-dir", str(tasks)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    monkeypatch.chdir(tmp_path)
    assert call("data", "prepare", "world", "--task", "depth/small") == 0
    assert "3 samples" in capsys.readouterr().out
    assert call("data", "verify", "world") == 0
    assert call("data", "verify", "nyu_h5") == 2
    (tmp_path / "data/world/depth-alike/test.parquet").write_bytes(b"")
    assert call("data", "verify", "world", "--root", "data/world") == 1
    assert "WRONG depth-alike/test.parquet: a changed file" in capsys.readouterr().out
    assert call("data", "prepare", "nyu_h5", "--split", "test") == 2
