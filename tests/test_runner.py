"""The loop: identities, runs that are cut off, disks that are full, scores without the model."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from g2vlm_bench import runner, scoring, store
from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.environment import code_hash
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Model, NotApplicableError, Options, Task, plan, rescore, run
from g2vlm_bench.sample import Ambiguity, Prediction, Want
from g2vlm_bench.store import RunFolder

PROJECT = Path(__file__).parent.parent
TOYS = Path(__file__).parent / "toys"


# The command line whose runs this process may go on with: the hash of the code is part of a run's
# identity, and who edits a file while the tests run must not make two runs of one.
AS_THIS_PROCESS = """
import sys
_, project, known, *arguments = sys.argv
sys.path.insert(0, project)
from g2vlm_bench import cli, environment
environment.code_hash = lambda: known
sys.argv = ["g2vlm-bench", *arguments]
cli.main()
"""


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The scored samples less what a clock says."""
    text = (folder / "samples.jsonl").read_text().splitlines()
    return [json.loads(line) | {"seconds": None} for line in text]


def _numbers(record: store.RunRecord) -> dict[str, Any]:
    return {
        key: msgspec.to_builtins(getattr(record, key))
        for key in ("results", "categories", "counts", "parse_statuses", "status", "identity")
    }


def _only_run(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def _wait(for_: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not for_():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command line as a user would, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", AS_THIS_PROCESS, PROJECT, code_hash(), *arguments]
        command += ["--tasks-dir", TOYS / "tasks", "--adapters-dir", TOYS / "adapters"]
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            # As a shell starts it; pytest's own handling of ctrl-C is not inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_killed_run_ends_as_one_never_killed(start, toy_run, tmp_path) -> None:
    log, out = tmp_path / "log", tmp_path / "killed"
    how = {"log": str(log), "seconds": 0.05}
    data = {"n": 24, "damaged": [5], "no_truth": [9]}
    task = tmp_path / "toy" / "long.yaml"
    task.parent.mkdir()
    text = (TOYS / "tasks" / "toy" / "echo.yaml").read_text()
    task.write_text(text.replace("n: 6", "n: 24, damaged: [5], no_truth: [9]"))
    command = ["run", "-m", "pixels", "-a", f"log={log}", "-a", "seconds=0.05", "-t", task]
    process = start(*command, "--batch-size", 4, "--out", out)
    index = out / "*" / "predictions" / "index.jsonl"
    _wait(
        lambda: any(p.read_bytes().count(b"\n") >= 9 for p in out.glob("/".join(index.parts[-3:]))),
        process,
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = RunFolder(_only_run(out))
    assert killed.read_record().status == "running"
    held = len(list(killed.predictions()))
    assert 9 <= held < 24
    # A kill can also tear the line that is being written.
    with (killed.path / "predictions" / "index.jsonl").open("ab") as file:
        file.write(b'{"id":"room-23","seco')

    plugins = Plugins((TOYS / "tasks",), (TOYS / "adapters",))
    options = Options(out=out, batch_size=4)
    resumed, record = run(
        Task.load(plugins, plugins.task(str(task))),
        Model.load(plugins, "pixels", how, options),
        options,
    )
    assert resumed.path == killed.path == _only_run(out)
    asked = [name for line in log.read_text().splitlines() for name in json.loads(line)]
    twice = len(asked) - len(set(asked))
    assert len(set(asked)) == 23, "all but the damaged one"
    assert twice <= 4, "at most one batch is predicted again"

    unbroken, whole = run(
        Task.load(plugins, plugins.task(str(task))),
        Model.load(plugins, "pixels", how, options),
        Options(out=tmp_path / "unbroken", batch_size=4),
    )
    assert _lines(resumed.path) == _lines(unbroken.path)
    assert _numbers(record) == _numbers(whole)
    assert record.counts == {"failed": 1, "scored": 22, "unscored": 1}
    assert data["n"] == len(_lines(resumed.path))


def test_ctrl_c_in_a_model_that_hangs(start, toys, toy_run, tmp_path) -> None:
    flag, out = tmp_path / "hangs", tmp_path / "runs"
    process = start(
        *["run", "-m", "hang", "-a", f"flag={flag}", "-t", "toy/echo"],
        *["--batch-size", 2, "--out", out],
    )
    _wait(flag.exists, process)
    again = {"arguments": {"flag": str(flag)}, "batch_size": 2}
    with pytest.raises(BenchError) as refused:
        toy_run("hang", **again)
    assert "another process that is writing this run" in str(refused.value)
    assert "\n" not in str(refused.value)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"interrupted: the same command goes on" in errors
    folder = RunFolder(_only_run(out))
    assert folder.read_record().status == "interrupted"
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(4)]

    flag.with_suffix(".mended").touch()
    _, record = toy_run("hang", **again)
    assert (record.status, record.counts) == ("complete", {"scored": 6})
    assert _only_run(out) == folder.path


def test_a_second_ctrl_c_ends_a_model_that_ignores_the_first(start, tmp_path) -> None:
    flag = tmp_path / "hangs"
    process = start(
        *["run", "-m", "hang", "-a", f"flag={flag}", "-a", "stubborn=true", "-t", "toy/echo"],
        *["--batch-size", 2, "--out", tmp_path / "runs"],
    )
    _wait(flag.exists, process)
    process.send_signal(signal.SIGINT)
    _wait(flag.with_suffix(".shrugged").exists, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert len(list(RunFolder(_only_run(tmp_path / "runs")).predictions())) == 4


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_run_cut_off_while_scoring_predicts_nothing_again(
    toy_run, tmp_path, monkeypatch, after
) -> None:
    log = tmp_path / "log"
    whole, _ = toy_run("pixels", {"log": str(log)}, out=tmp_path / "whole")
    log.unlink()
    _cut_off(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        toy_run("pixels", {"log": str(log)})
    folder = RunFolder(_only_run(tmp_path / "runs"))
    assert folder.read_record().status == "interrupted"
    monkeypatch.undo()
    log.unlink()
    _, record = toy_run("pixels", {"log": str(log)})
    assert record.status == "complete"
    assert not log.exists()
    assert _lines(folder.path) == _lines(whole.path)


def test_a_rescoring_cut_off_does_not_read_as_complete(toys, toy_run, monkeypatch) -> None:
    folder, record = toy_run("pixels")
    whole = (folder.path / "samples.jsonl").read_bytes()
    _cut_off(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        rescore(toys, folder.path)
    assert folder.read_record().status != "complete"
    monkeypatch.undo()
    again = rescore(toys, folder.path)
    assert _numbers(again) == _numbers(record)
    assert (folder.path / "samples.jsonl").read_bytes() == whole


def _cut_off(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    real, calls = scoring.score_sample, iter(range(100))

    def score_sample(*arguments: Any) -> Any:
        if next(calls) == after:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(scoring, "score_sample", score_sample)


@pytest.mark.parametrize("where", ["write_atomically", "LineWriter.write"])
@pytest.mark.parametrize("after", [0, 3, 7])
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    toy_run, tmp_path, monkeypatch, where, after
) -> None:
    owner, _, name = where.rpartition(".")
    target = getattr(store, owner) if owner else store
    real, calls = getattr(target, name), iter(range(100))

    def write(*arguments: Any) -> None:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    monkeypatch.setattr(target, name, write)
    with pytest.raises(BenchError) as caught:
        toy_run("pixels", task="toy/metres")
    assert "No space left on device. Make room and run it again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    folder, record = toy_run("pixels", task="toy/metres")
    assert (record.status, record.counts) == ("complete", {"scored": 6})
    assert len(_lines(folder.path)) == 6
    assert not list(folder.path.rglob("*.partial"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """A file system of a few pages, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        options = f"size={size}" + (",remount" if place.is_mount() else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no tmpfs can be mounted here: {error}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_disk_that_is_really_full(toy_run, small_disk, tmp_path) -> None:
    full = {"task": "toy/metres", "data": {"n": 60}, "out": small_disk("128k"), "batch_size": 4}
    with pytest.raises(BenchError, match="No space left on device"):
        toy_run("pixels", **full)
    held = len(list(RunFolder(_only_run(full["out"])).predictions()))
    assert 0 < held < 60
    small_disk("8m")
    folder, record = toy_run("pixels", **full)
    assert record.counts == {"scored": 60}
    whole, _ = toy_run("pixels", **(full | {"out": tmp_path / "whole"}))
    assert _lines(folder.path) == _lines(whole.path)


def test_a_place_for_runs_that_is_a_file_is_one_line(toy_run, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="expected a place that can be written"):
        toy_run("pixels", out=tmp_path / "file")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"device": "gpu"}, "device: expected auto, cpu, cuda"),
        ({"device": "cuda:"}, "device"),
        ({"dtype": "f8"}, "dtype: expected auto, float32, bfloat16, float16, got 'f8'"),
        ({"limit": 0}, "limit: expected 1 or more"),
        ({"limit": -1}, "limit: expected 1 or more"),
        ({"batch_size": 0}, "batch_size: expected 1 or more"),
    ],
)
def test_an_option_without_meaning_is_refused_whatever_the_model(option, expected) -> None:
    with pytest.raises(BenchError, match=expected):
        Options(**option)


def test_failed_samples_are_asked_again_when_the_user_says_so(toys, toy_run) -> None:
    model = Model.load(toys, "troubled", {"how": "raises"}, Options())
    _, record = toy_run(model)
    assert record.counts == {"failed": 1, "scored": 5}
    asked = len(model.adapter.sizes)
    # Mended, and not asked: a failure is a result.
    model.adapter.on = "nobody"
    _, record = toy_run(model)
    assert (record.counts, len(model.adapter.sizes)) == ({"failed": 1, "scored": 5}, asked)

    folder, record = toy_run(model, retry_failed=True)
    assert (record.counts, record.retried, record.status) == ({"scored": 6}, 1, "complete")
    assert model.adapter.sizes[asked:] == [1]
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(6)]
    whole, perfect = toy_run("pixels", out=folder.path.parent.parent / "whole")
    assert [line["values"] for line in _lines(folder.path)] == [
        line["values"] for line in _lines(whole.path)
    ]
    assert msgspec.to_builtins(record.results) == msgspec.to_builtins(perfect.results)
    # Nothing is left to ask.
    _, record = toy_run(model, retry_failed=True)
    assert (record.retried, len(model.adapter.sizes)) == (1, asked + 1)


def test_what_fails_again_stays_failed_and_a_killed_retry_goes_on(toys, toy_run) -> None:
    model = Model.load(toys, "troubled", {"how": "raises", "on": "room-0"}, Options())
    toy_run(model)
    _, record = toy_run(model, retry_failed=True)
    assert (record.counts, record.retried) == ({"failed": 1, "scored": 5}, 1)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    model.adapter.predict, predict = stopped, model.adapter.predict
    with pytest.raises(KeyboardInterrupt):
        toy_run(model, retry_failed=True)
    model.adapter.predict, model.adapter.on = predict, "nobody"
    folder, record = toy_run(model)
    assert (record.counts, record.retried) == ({"scored": 6}, 2)
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(6)]


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


def _house(folder: Path) -> Plugins:
    """The toys in a folder of their own, to be changed."""
    shutil.copytree(TOYS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Plugins((folder / "tasks",), (folder / "adapters",))


def _identity(plugins: Plugins, arguments: Any = None, weights: str = "", **options: Any) -> str:
    chosen = Options(**options)
    model = Model.load(plugins, "pixels", arguments or {}, chosen)
    model.adapter.weights_hash = weights or model.adapter.weights_hash
    return plan(Task.load(plugins, plugins.task("toy/echo")), model, chosen).identity


def _edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


YAML = "tasks/toy/echo.yaml"
OTHERS: dict[str, dict[str, Any] | Callable[[Path], None]] = {
    "argument": {"arguments": {"seconds": 0.001}},
    "weights": {"weights": "sha256:other"},
    "limit": {"limit": 3},
    "larger limit": {"limit": 100},
    "dtype": {"dtype": "bfloat16"},
    "device": {"device": "cuda:1"},
    "batch size": {"batch_size": 2},
    "adapter's source": _edit("adapters/pixels.py", "str(inputs", "str(1 + inputs"),
    "family's source": _edit("tasks/toy.py", "error <= protocol.within", "error < protocol.within"),
    "reader's source": _edit("tasks/readers/toy.py", "uint8)\n", "uint8) + 1\n"),
    "data": _edit(YAML, "n: 6", "n: 6, seed: 1"),
    "rows": _edit(YAML, "n: 6", "n: 7"),
    "ids": _edit(YAML, "n: 6", "names: [a, b, c, d, e, f]"),
    "option of the reader": _edit(YAML, "n: 6", "n: 6, words: 9"),
    "version": _edit(YAML, "version: 1", "version: 2"),
    "metrics": _edit(YAML, "[right, error]", "[right]"),
    "protocol": _edit(YAML, "metrics:", "protocols: [{}, {within: 1}]\nmetrics:"),
    "seed": _edit(YAML, "version:", "seed: 3\nversion:"),
    "revision": _edit(YAML, "n: 6", "n: 6, revision: b"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_identity(tmp_path, what) -> None:
    base = _identity(_house(tmp_path / "a"))
    change = OTHERS[what]
    other = _house(tmp_path / "b")
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


def test_a_model_that_predicts_something_else_is_told_so(toys, toy_run) -> None:
    with pytest.raises(
        NotApplicableError, match="expected a model that predicts depth, got answer"
    ):
        toy_run("hungry", task="toy/metres")


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        (Ambiguity.METRIC, set()),
        (Ambiguity.SCALE, {"abs_rel@metric", "delta1@metric"}),
    ],
)
def test_weaker_predictions_are_refused_by_stronger_protocols(
    toys, toy_run, declared, refused
) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = declared
    _, record = toy_run(model, task="toy/metres")
    assert set(record.refused) == refused
    assert {r.metric for r in record.results}.isdisjoint(refused)
    assert record.result("delta1@median_scale").value == 1.0


@pytest.mark.parametrize("declared", [Ambiguity.AFFINE, Ambiguity.AFFINE_DISPARITY])
def test_affine_predictions_take_no_part_where_every_protocol_refuses_them(
    toys, toy_run, declared
) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = declared
    with pytest.raises(NotApplicableError, match="refused by every protocol"):
        toy_run(model, task="toy/metres")


class _Says:
    """Change the ambiguity that a model says of one sample."""

    def __init__(self, predict: Any, said: Ambiguity) -> None:
        self.predict, self.said = predict, said

    def __call__(self, batch: Any, wants: Any) -> Any:
        answers = self.predict(batch, wants)
        return [
            Prediction(depth=a.depth, ambiguity=self.said if i.id == "room-1" else None)
            for i, a in zip(batch, answers, strict=True)
        ]


def test_one_weaker_prediction_fails_where_the_model_claims_more(toys, toy_run) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.predict = _Says(model.adapter.predict, Ambiguity.SCALE)
    _, record = toy_run(model, task="toy/metres")
    assert record.result("delta1@metric").value == pytest.approx(5 / 6)
    assert record.result("delta1@metric").n_failed == 1
    assert record.result("delta1@median_scale").value == 1.0


def test_one_stronger_prediction_is_not_scored_beyond_what_the_model_claims(toys, toy_run) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = Ambiguity.SCALE
    model.adapter.predict = _Says(model.adapter.predict, Ambiguity.METRIC)
    folder, record = toy_run(model, task="toy/metres")
    assert {r.metric for r in record.results} == {"abs_rel@median_scale", "delta1@median_scale"}
    assert all(set(line.values) == {r.metric for r in record.results} for line in folder.samples())


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
        assert _numbers(folder.read_record()) == _numbers(record)


def test_scoring_on_other_data_is_refused(toys, toy_run, tmp_path) -> None:
    house = _house(tmp_path / "house")
    folder, _ = toy_run("pixels")
    _edit("tasks/readers/toy.py", "hash_text([split,", 'hash_text(["other", split,')(
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
    house = _house(tmp_path / "house")
    folder, record = toy_run("pixels")
    _edit("tasks/toy/echo.yaml", "metrics: [right, error]", "metrics: [right]")(tmp_path / "house")
    assert _numbers(rescore(house, folder.path)) == _numbers(record)


def test_a_floor_that_cannot_be_fitted_leaves_no_run(toy_run, tmp_path) -> None:
    class Unfit(FittedAdapter):
        predicts = frozenset({Want.ANSWER})

        def fit(self, training):
            raise BenchError("floor", expected="depth", got="none")

        def predict(self, batch, wants):
            return []

    with pytest.raises(NotApplicableError, match="can be fitted on"):
        toy_run(Model("unfit", Unfit()))
    assert list((tmp_path / "runs").iterdir()) == []
