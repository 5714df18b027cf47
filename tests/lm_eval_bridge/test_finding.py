"""What a name of lm-eval stands for: a task, or those of a group, however it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm_bench import evaluate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge import finding
from g2vlm_bench.plugins import Plugins

FILES = {
    "one.yaml": "task: one\n",
    "two.yaml": "include: _template_yaml\ntask: two\n",
    "far/three.yaml": "include: ../_template_yaml\ntask: three\n",
    "four.yaml": "task: four\ntag: [small, odd]\n",
    "_template_yaml": "tag: small\n",
    "pair.yaml": "group: pair\ntask: [one, two]\n",
    "nested.yaml": "group: nested\ntask: [pair, small, {group: inner, task: [four]}]\n",
    "changed.yaml": "group: changed\ntask:\n  - task: one\n    num_fewshot: 5\n",
    "gone.yaml": "group: gone\ntask: [one, five]\n",
}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one", ["one"]),
        ("pair", ["one", "two"]),
        # Two and three have the tag of the template that they include.
        ("small", ["four", "three", "two"]),
        ("odd", ["four"]),
        ("nested", ["one", "two", "four", "three"]),
    ],
)
def test_a_group_stands_for_all_its_tasks_once(tasks: Path, name: str, found: list[str]) -> None:
    assert finding.members(name, tasks) == found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("changed", "expected tasks as their own files say, got others (num_fewshot)"),
        ("gone", "expected tasks as their own files say, got others (five)"),
        ("smal", "got an unknown name"),
    ],
)
def test_a_group_that_would_be_asked_otherwise_is_refused(
    tasks: Path, name: str, said: str
) -> None:
    with pytest.raises(BenchError) as caught:
        finding.members(name, tasks)
    assert said in str(caught.value)


def test_run_takes_a_group(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_home(name: str) -> list[str]:
        names = finding.members(name, folder)
        return [str(folder / f"{one}.yaml") for one in names]

    family = Plugins.find().path("family", "lm_eval")
    from g2vlm_bench.plugins import load_module

    monkeypatch.setattr(load_module(family), "members", at_home)
    done = evaluate("chance", "lm_eval:toy_group", out=tmp_path)
    assert [one.record.task.name for one in done.runs] == [
        "lm_eval/toy_choice", "lm_eval/toy_generate"
    ]  # fmt: skip
