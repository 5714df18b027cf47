"""The command line: exit codes, one line an error, JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench import __version__, cli

TOYS = Path(__file__).parent / "toys"


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def error(self) -> str:
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in self.err
        return line


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Call the command line in this process, with the toys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("G2VLM_BENCH_TASKS_DIR", str(TOYS / "tasks"))
    monkeypatch.setenv("G2VLM_BENCH_ADAPTERS_DIR", str(TOYS / "adapters"))

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["g2vlm-bench", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        return Ended(code, *capsys.readouterr())

    return call


RUN = ("run", "-m", "pixels", "-t", "toy/echo", "--out", "out")


def test_run_prints_results_with_their_counts(call) -> None:
    done = call(*RUN)
    assert done.code == 0, done.err
    assert "pixels on toy/echo  (out/toy-echo--pixels--" in done.out
    assert "right@within0  1.0000 [0.2924, 1.0000]  1    6 scored, 0 failed, 0 unscored" in done.out


def test_run_prints_json_alone(call) -> None:
    done = call(*RUN, "--json", "--limit", 4)
    assert done.code == 0, done.err
    (run,) = json.loads(done.out)
    assert (run["status"], run["data"]["limit"], run["counts"]) == ("complete", 4, {"scored": 4})
    assert Path(run["run"], "run.json").is_file()


def test_failed_samples_are_exit_code_5(call) -> None:
    done = call("run", "-m", "troubled", "-a", "how=raises", "-t", "toy/echo", "--out", "out")
    assert done.code == 5
    assert "1 samples failed; samples.jsonl says why" in done.err
    (run,) = Path("out").iterdir()
    assert call("score", run).code == 5
    again = call(
        "run", "-m", "troubled", "-a", "how=raises", "-t", "toy/echo", "--out", "out",
        "--retry-failed",
    )  # fmt: skip
    assert again.code == 5
    assert json.loads((run / "run.json").read_text())["retried"] == 1


def test_a_failure_under_some_metrics_is_exit_code_5_as_well(call) -> None:
    arguments = ("run", "-m", "troubled", "-a", "how=zero", "-t", "toy/metres", "--out", "out")
    done = call(*arguments)
    assert done.code == 5
    # Zero everywhere is a depth map, but has no median to scale by.
    counts = "1 of 6 failed under 2 of 4 metrics"
    assert f"(6 scored; {counts})" in done.err
    (run,) = Path("out").iterdir()
    assert f"troubled(how=zero) on toy/metres: {counts} ({run / 'samples.jsonl'})" in done.err
    assert "  1: Undefined: no finite abs_rel@median_scale, delta1@median_scale" in done.err
    assert "1 samples failed" in done.err
    assert call("score", run).code == 5


def test_what_a_floor_leaves_undefined_is_no_failure(call) -> None:
    done = call("run", "-m", "static_camera", "-t", "camera_pose/world_rooms", "--limit", 1)
    assert "ate@sim3                inf (1 failed)" in done.out
    assert done.code == 0, done.err


def test_failures_say_why_the_most_frequent_reasons_first(call) -> None:
    done = call("run", "-m", "troubled", "-a", "how=raises", "-t", "toy/echo", "--out", "out")
    (run,) = Path("out").iterdir()
    counts = "1 of 6 failed under 2 of 2 metrics"
    assert f"troubled(how=raises) on toy/echo: {counts} ({run / 'samples.jsonl'})" in done.err
    assert "  1: RuntimeError: a model of two lines\n" in done.err


def test_reasons_that_differ_in_numbers_alone_are_counted_together(call, tmp_path) -> None:
    text = (TOYS / "tasks" / "toy" / "echo.yaml").read_text()
    task = tmp_path / "mine" / "echo.yaml"
    task.parent.mkdir()
    task.write_text(text.replace("n: 6", "n: 6, damaged: [1, 2], lost_truth: [4, 5]"))
    done = call("run", "-m", "pixels", "-t", task)
    assert done.code == 5
    assert ": room-1.png: expected an image, got half of one\n" in done.err
    assert "pixels on mine/echo: the truth of 2 of 6 could not be read (" in done.err
    assert done.err.count("\n  2: ") == 2


@pytest.mark.parametrize("wrong", [("-m", "pixels,pixel"), ("-m", "pixels,idle,blind:oracle")])
def test_a_wrong_model_is_found_before_the_first_one_runs(call, wrong) -> None:
    done = call("run", *wrong, "-t", "toy/echo", "--out", "out")
    assert done.code == 1
    assert done.error()
    assert not Path("out").exists()


def test_a_wrong_argument_of_a_second_model_is_found_before_the_first_one_runs(call) -> None:
    arguments = ("-m", "chance,pixels", "-a", "pixels.secnds=1")
    done = call("run", *arguments, "-t", "toy/echo", "--out", "out")
    assert "Did you mean 'seconds'?" in done.error()
    assert not Path("out").exists()


def test_what_finished_before_an_error_is_printed(call, tmp_path) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "unmade.py").write_text(UNMADE)
    arguments = ("-m", "pixels,unmade", "-t", "toy/echo", "--adapters-dir", tmp_path / "adapters")
    done = call("run", *arguments)
    assert done.code == 1
    assert "got FileNotFoundError: weights.pt" in done.error()
    assert "right@within0  1.0000" in done.out
    (run,) = json.loads(call("run", *arguments, "--json").out)
    assert run["adapter"]["spec"] == "pixels"


UNMADE = """from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Want

class Unmade(Adapter):
    predicts = frozenset({Want.ANSWER})

    def __init__(self):
        raise FileNotFoundError("weights.pt")

    def predict(self, batch, wants):
        return []
"""
BOARD = """title: Mine
version: 1
description: Two toys.
columns:
  - {task: toy/echo, title: Echo}
  - {task: toy/quiz, title: Quiz}
models: [pixels]
"""


@pytest.fixture
def board(tmp_path, monkeypatch) -> str:
    """A board of two toys, beside them in the environment."""
    path = tmp_path / "boards" / "leaderboards" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(BOARD)
    folders = f"{TOYS / 'tasks'}{os.pathsep}{path.parent.parent}"
    monkeypatch.setenv("G2VLM_BENCH_TASKS_DIR", folders)
    return "mine"


def test_a_task_narrows_a_suite_to_itself(call, board) -> None:
    done = call("run", "--suite", board, "-t", "toy/quiz", "--out", "out")
    assert done.code == 0, done.err
    assert [path.name.partition("--")[0] for path in Path("out").glob("*--*")] == ["toy-quiz"]
    other = call("run", "--suite", board, "-t", "toy/metres", "--out", "other")
    assert other.code == 1
    assert "task 'toy/metres': expected a task of the suite 'mine', got another" in other.error()
    assert "name one of toy/echo, toy/quiz" in other.error()
    assert not Path("other").exists()


def test_a_board_without_its_data_says_so_in_a_line(call, board, tmp_path, monkeypatch) -> None:
    call("run", "--suite", board, "--out", "out")
    shutil.copytree(TOYS / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pyc*"))
    reader = tmp_path / "tasks" / "readers" / "toy.py"
    reader.write_text(reader.read_text().replace("hash_text([split,", 'hash_text(["x", split,'))
    folders = f"{tmp_path / 'tasks'}{os.pathsep}{tmp_path / 'boards'}"
    monkeypatch.setenv("G2VLM_BENCH_TASKS_DIR", folders)
    done = call("leaderboard", board, "out")
    assert done.code == 0, done.err
    (echo, quiz) = done.err.splitlines()
    assert echo.startswith("note: no pictures of toy-echo--pixels--")
    assert quiz.startswith("note: no pictures of toy-quiz--pixels--")


def test_models_and_tasks_that_do_not_go_together_are_skipped_with_a_reason(call) -> None:
    done = call("run", "-m", "pixels,hungry", "-t", "toy/echo,toy/metres", "--out", "out")
    assert done.code == 0
    assert "skipped: hungry on toy/metres: expected a model that predicts depth" in done.err
    assert len(list(Path("out").iterdir())) == 3
    alone = call("run", "-m", "hungry", "-t", "toy/metres", "--out", "out")
    assert alone.code == 1
    assert "expected a model that goes with a task, got hungry on toy/metres" in alone.error()


def test_models_and_tasks_may_be_repeated_as_well(call) -> None:
    done = call("run", "-m", "pixels", "-t", "toy/echo", "-t", "toy/metres", "-m", "hungry")
    assert done.code == 0, done.err
    assert len(list(Path("runs/tasks").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "-m", "pixel", "-t", "toy/echo"), 1, "Did you mean 'pixels'?"),
        (("run", "-m", "pixels", "-t", "toy/ecko"), 1, "Did you mean 'toy/echo'?"),
        (("run", "-m", "pixels", "-t", "toy"), 1, "got the name of a family. Name its tasks: toy/"),
        (("run", "-m", "pixels", "-t", "toy/*"), 1, "tasks: toy/echo, toy/metres, toy/quiz;"),
        (("run", "-m", "pixels", "-t", "echo"), 1, "Did you mean 'toy/echo'?"),
        (("run", "-m", "pixels", "--suite", "quik"), 1, "Did you mean 'quick'?"),
        (("run", "-m", "pixels", "-t", "none.yaml"), 1, "expected a YAML file, got no file"),
        (("run", "-m", "pixels"), 1, "expected a task, got none"),
        (("run", "-t", "toy/echo"), 1, "expected a model, got none"),
        ((*RUN, "-a", "secnds=1"), 1, "Did you mean 'seconds'?"),
        ((*RUN, "-a", "a.b=1"), 1, "expected a model of pixels, got a"),
        ((*RUN, "-a", "seconds"), 2, "expected KEY=VALUE"),
        ((*RUN, "-a", "=1"), 2, "expected KEY=VALUE"),
        ((*RUN, "-a", "seconds=[1"), 2, "expected a value that YAML can read"),
        ((*RUN, "--device", "gpu"), 1, "device: expected auto, cpu, cuda"),
        ((*RUN, "--dtype", "f8"), 1, "dtype: expected auto, float32"),
        ((*RUN, "--batch-size", "0"), 2, "expected a positive number or 'auto', got '0'"),
        ((*RUN, "--batch-size", "-1"), 2, "expected a positive number or 'auto'"),
        ((*RUN, "--tasks-dir", "nowhere"), 1, "expected a folder of plug-ins, got no such folder"),
        (("score", "nowhere"), 1, "expected a run folder, got no run.json"),
        (("score", "."), 1, "expected a run folder, got no run.json"),
        (("validate", "toy/ecko"), 1, "Did you mean 'toy/echo'?"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_an_exit_code(call, arguments, code, says) -> None:
    done = call(*arguments)
    assert done.code == code, done.err
    assert says in done.error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("rum",),
        ("run", "--modle", "x"),
        (*RUN, "--limit", "0"),
        (*RUN, "--limit", "few"),
        ("list", "taskz"),
        ("score",),
        ("leaderboard", "quick"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_exit_code_2(call, arguments) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_other_data_are_exit_code_4(call, tmp_path, monkeypatch) -> None:
    call(*RUN)
    (run,) = Path("out").iterdir()
    shutil.copytree(TOYS / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pyc*"))
    reader = tmp_path / "tasks" / "readers" / "toy.py"
    reader.write_text(reader.read_text().replace("hash_text([split,", 'hash_text(["x", split,'))
    monkeypatch.setenv("G2VLM_BENCH_TASKS_DIR", str(tmp_path / "tasks"))
    done = call("score", run)
    assert done.code == 4
    assert "data of toy/echo: expected sha256:" in done.error()


def test_a_run_of_a_newer_schema_is_one_line(call) -> None:
    call(*RUN)
    (run,) = Path("out").iterdir()
    (run / "run.json").write_text('{"schema": 1000}')
    for command in (RUN, ("score", run)):
        done = call(*command)
        assert done.code == 1
        assert "expected schema 1 or older, got schema 1000" in done.error()


def test_score_changes_nothing(call) -> None:
    call(*RUN)
    (run,) = Path("out").iterdir()
    before = (run / "samples.jsonl").read_bytes()
    first = json.loads((run / "run.json").read_text())
    done = call("score", run, "--json")
    assert done.code == 0
    (again,) = json.loads(done.out)
    assert (run / "samples.jsonl").read_bytes() == before
    for record in (first, again):
        del record["seconds"]
    del again["run"]
    assert again == first


def test_validate_says_what_it_tried_and_fails_a_task_that_is_wrong(call, tmp_path) -> None:
    done = call("validate", "toy/quiz", "toy/metres", "--samples", 2)
    assert done.code == 0
    assert "ok   toy/quiz: 6 samples, 2 tried" in done.out
    assert "| Answer with a single number." in done.out
    wrong = tmp_path / "toy" / "wrong.yaml"
    wrong.parent.mkdir()
    text = (TOYS / "tasks" / "toy" / "echo.yaml").read_text()
    wrong.write_text(text.replace("n: 6", "n: 6, damaged: [1]"))
    done = call("validate", "toy/ecko", wrong, "toy/metres")
    assert done.code == 1
    assert "Did you mean 'toy/echo'?" in done.error()
    assert "FAIL toy/wrong" in done.out
    assert "ok   toy/metres" in done.out, "what is wrong with one task does not hide another"


def test_lists(call) -> None:
    for what, name in (
        ("tasks", "toy/echo"),
        ("models", "pixels"),
        ("families", "toy"),
        ("datasets", "toy"),
        ("suites", "quick"),
        ("leaderboards", "quick"),
        ("metrics", "toy: right"),
    ):
        done = call("list", what)
        assert done.code == 0, done.err
        assert any(line.startswith(f"{name} ") for line in done.out.splitlines()), what
        listed = json.loads(call("list", what, "--json").out)
        assert name in [entry["name"] for entry in listed]


def test_help_and_version(call) -> None:
    assert __version__ in call("--version").out
    done = call("--help")
    assert done.code == 0
    for command in ("run", "list", "validate", "score", "leaderboard", "compare"):
        assert command in done.out


def test_ctrl_c_is_as_it_was_afterwards(call) -> None:
    before = signal.getsignal(signal.SIGINT)
    call("--version")
    assert signal.getsignal(signal.SIGINT) is before


def test_questions_with_missing_and_damaged_images_fail_alone(call, tmp_path) -> None:
    data = tmp_path / "data" / "quiz"
    data.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(data / "good.png")
    whole = (data / "good.png").read_bytes()
    (data / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (data / "empty.png").write_bytes(b"")
    (data / "text.png").write_text("no image")
    names = ["good", "truncated", "empty", "text", "missing", "good"]
    rows = [
        {"id": f"{i}-{name}", "image": f"{name}.png", "q": "Is it?", "a": "yes"}
        for i, name in enumerate(names)
    ]
    (data / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = tmp_path / "mine" / "quiz.yaml"
    task.parent.mkdir()
    task.write_text("""
title: Mine
version: 1
family: spatial_qa
data: {format: qa_jsonl, root: quiz, questions: quiz.jsonl, id: "{id}", question: "{q}",
  answer: "{a}", answer_type: yes_no, images: ["{image}"]}
metrics: [accuracy]
headline: accuracy@strict
""")
    command = ("run", "-m", "pixels", "-t", task, "--data-root", tmp_path / "data")
    done = call(*command, "--out", "out", "--json")
    assert done.code == 5, done.err
    (run,) = json.loads(done.out)
    assert run["counts"] == {"failed": 4, "scored": 2}
    lines = map(json.loads, Path(run["run"], "samples.jsonl").read_text().splitlines())
    failed = {line["id"]: line["error"] for line in lines if line["status"] == "failed"}
    assert set(failed) == {"1-truncated", "2-empty", "3-text", "4-missing"}
    for name, error in failed.items():
        assert error["stage"] == "inputs"
        assert name.partition("-")[2] + ".png" in error["message"]
