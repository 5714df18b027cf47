"""Runs that are killed, stopped or cut off end as if they had never been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from g2vlm_bench import scoring
from g2vlm_bench.environment import code_hash
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Model, Options, Task, rescore, run
from g2vlm_bench.store import RunFolder

PROJECT = Path(__file__).parent.parent
TOYS = Path(__file__).parent / "toys"
folders = load_module(Path(__file__).with_name("run_folders.py"))
lines_of, numbers_of, only_run = folders.lines_of, folders.numbers_of, folders.only_run


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
    killed = RunFolder(only_run(out))
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
    assert resumed.path == killed.path == only_run(out)
    asked = [name for line in log.read_text().splitlines() for name in json.loads(line)]
    twice = len(asked) - len(set(asked))
    assert len(set(asked)) == 23, "all but the damaged one"
    assert twice <= 4, "at most one batch is predicted again"

    unbroken, whole = run(
        Task.load(plugins, plugins.task(str(task))),
        Model.load(plugins, "pixels", how, options),
        Options(out=tmp_path / "unbroken", batch_size=4),
    )
    assert lines_of(resumed.path) == lines_of(unbroken.path)
    assert numbers_of(record) == numbers_of(whole)
    assert record.counts == {"failed": 1, "scored": 22, "unscored": 1}
    assert data["n"] == len(lines_of(resumed.path))


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
    folder = RunFolder(only_run(out))
    assert folder.read_record().status == "interrupted"
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(4)]

    flag.with_suffix(".mended").touch()
    _, record = toy_run("hang", **again)
    assert (record.status, record.counts) == ("complete", {"scored": 6})
    assert only_run(out) == folder.path


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
    assert len(list(RunFolder(only_run(tmp_path / "runs")).predictions())) == 4


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
    folder = RunFolder(only_run(tmp_path / "runs"))
    assert folder.read_record().status == "interrupted"
    monkeypatch.undo()
    log.unlink()
    _, record = toy_run("pixels", {"log": str(log)})
    assert record.status == "complete"
    assert not log.exists()
    assert lines_of(folder.path) == lines_of(whole.path)


def test_a_rescoring_cut_off_does_not_read_as_complete(toys, toy_run, monkeypatch) -> None:
    folder, record = toy_run("pixels")
    whole = (folder.path / "samples.jsonl").read_bytes()
    _cut_off(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        rescore(toys, folder.path)
    assert folder.read_record().status != "complete"
    monkeypatch.undo()
    again = rescore(toys, folder.path)
    assert numbers_of(again) == numbers_of(record)
    assert (folder.path / "samples.jsonl").read_bytes() == whole


def _cut_off(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    real, calls = scoring.score_sample, iter(range(100))

    def score_sample(*arguments: Any) -> Any:
        if next(calls) == after:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(scoring, "score_sample", score_sample)
