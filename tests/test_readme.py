"""The README is run as it stands: its user adapter, its user task, its Python, its CI commands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.api import evaluate, find_plugins
from g2vlm_bench.validate import validate_task

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def block(mark: str) -> str:
    """The code between `<!-- mark -->` and `<!-- end -->`."""
    found = re.search(
        rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```\n<!-- end -->", README, re.DOTALL
    )
    assert found, f"the README has no block '{mark}'"
    return found.group(1)


def examples() -> dict[str, str]:
    """Path -> content of the README's example files."""
    return {
        name: block(f"example: {name}") for name in re.findall(r"<!-- example: (\S+) -->", README)
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder: the README's example files, and three frames of a camera."""
    for name, content in examples().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    rng = np.random.default_rng(0)
    for folder in ("rgb", "depth"):
        (tmp_path / "my_frames" / folder).mkdir(parents=True)
    for number in range(3):
        image = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"my_frames/rgb/{number}.png")
        depth = np.linspace(3000 + 500 * number, 1000, 48).astype(np.uint16)
        Image.fromarray(np.repeat(depth[:, None], 64, axis=1)).save(
            tmp_path / f"my_frames/depth/{number}.png"
        )
    return tmp_path


def test_the_examples_are_as_short_as_the_readme_claims() -> None:
    lengths = {name: len(content.splitlines()) for name, content in examples().items()}
    assert lengths["my_adapters/rising_floor.py"] < 30
    assert lengths["my_tasks/depth/my_frames.yaml"] < 20


def test_a_users_adapter_and_task_run_from_the_readmes_own_text(home: Path) -> None:
    done = evaluate(
        "rising_floor",
        ["depth/my_frames", "depth/world_rooms", "spatial_qa/world_rooms"],
        model_args={"nearest": 2.0},
        limit=3,
        out=home / "runs",
        data_root=home,
        tasks_dirs=[home / "my_tasks"],
        adapters_dirs=[home / "my_adapters"],
    )
    mine, rooms, questions = done.runs
    assert done.n_failed == 0
    assert mine.record.result("delta1@median_scale+cap10").value > 0.5  # type: ignore[union-attr]
    assert set(mine.record.refused) == {f"{m}@metric+cap10" for m in ("abs_rel", "rmse", "delta1")}
    assert rooms.record.adapter.arguments == {"nearest": 2.0}
    assert questions.record.counts["scored"] == 3


def test_a_users_task_is_validated_from_the_readmes_own_text(home: Path) -> None:
    report = validate_task(find_plugins([home / "my_tasks"]), "depth/my_frames", home)
    assert report.passed
    assert "rows: 3, content_hash: sha256:" in report.text()


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(import g2vlm_bench\n.*?)```", README, re.DOTALL)
    assert code
    exec(compile(code.group(1), "README.md", "exec"), {})


def test_the_readmes_python_of_the_reference_model_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    known: dict[str, object] = {}
    exec(compile(block("example in python: reference"), "README.md", "exec"), known)
    assert len(known["shape"].depth_m) == 2  # type: ignore[attr-defined]
    answers = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"\['(yes|no)', 'the (box|table)'\]", answers)


def test_ci_runs_the_readmes_two_commands() -> None:
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    for mark in ("main-command", "test-command"):
        assert f"$(readme {mark})" in script
        assert len(block(mark).splitlines()) == 1
