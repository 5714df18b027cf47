"""`validate` passes tasks whose truth is best, and finds those where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.validate import validate_task

TOYS = Path(__file__).parent / "toys"


@pytest.fixture
def changed(tmp_path):
    """The toys with one line of a file changed."""

    def change(file: str, old: str, new: str) -> Plugins:
        folder = tmp_path / "house"
        shutil.copytree(TOYS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        return Plugins((folder / "tasks",), (folder / "adapters",))

    return change


@pytest.mark.parametrize("name", ["toy/echo", "toy/metres", "toy/quiz"])
def test_toy_tasks_are_valid(toys, name) -> None:
    report = validate_task(toys, name)
    assert report.passed, report.problems
    assert report.rows == (6, 4)
    assert not report.pinned
    assert f"rows: 6, content_hash: {report.content_hash}" in report.text()


def test_the_prompt_is_shown_as_a_model_sees_it(toys) -> None:
    report = validate_task(toys, "toy/quiz")
    assert "| room-0 word word word\n     | Answer with a single number." in report.text()
    assert "Answer with" not in report.text(prompt=False)


FAMILY, TASK = "tasks/toy.py", "tasks/toy/echo.yaml"
RIGHT, ERROR = "float(error <= protocol.within)", "] = error\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (FAMILY, RIGHT, "0.5", "expected the truth to score 1.0, got 0.5"),
        (FAMILY, RIGHT, "1.0", "right@within0: expected a scrambled truth to score worse than"),
        (FAMILY, ERROR, "] = 0.0\n", "expected a scrambled truth to score worse than"),
        (FAMILY, ERROR, "] = float('nan')\n", "the truth itself failed on 4 samples"),
        (FAMILY, ERROR, "] = error + 1e-3\n", "expected the truth to score 0.0, got 0.001"),
        (FAMILY, "error = abs(", "raise OSError(", "the truth itself failed on 4 samples"),
        (TASK, "n: 6", "n: 6, no_truth: [0, 1, 2, 3]", "got none that could be scored"),
        (TASK, "n: 6", "n: 6, lost_truth: [0, 1, 2, 3]", "got none that could be scored"),
        (TASK, "n: 6", "n: 6, damaged: [1]", "the truth itself failed on 1 samples"),
    ],
)
def test_what_is_wrong_is_found(changed, file, old, new, says) -> None:
    report = validate_task(changed(file, old, new), "toy/echo")
    assert not report.passed
    assert any(says in problem for problem in report.problems), report.problems
    assert report.text().startswith("FAIL toy/echo: 6 samples, 4 tried")


def test_a_protocol_may_say_that_the_truth_falls_short(changed, tmp_path) -> None:
    plugins = changed(FAMILY, RIGHT, "0.5")
    family = tmp_path / "house" / FAMILY
    says = "    @property\n    def truth_falls_short(self):\n        return 'merged'\n\n"
    label = "    @property\n    def label"
    text = family.read_text()
    assert label in text
    family.write_text(text.replace(label, says + label))
    assert validate_task(plugins, "toy/echo").passed


def test_a_task_that_cannot_be_loaded_is_one_line(changed) -> None:
    plugins = changed(TASK, "n: 6", "n: 0")
    with pytest.raises(BenchError, match="at least one sample, got none"):
        validate_task(plugins, "toy/echo")
