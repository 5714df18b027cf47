"""Our tasks and adapters in lm-eval: the numbers are ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g2vlm_bench import evaluate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import load_module

import_torchvision()
PROJECT = Path(__file__).parents[2]
tiny = load_module(PROJECT / "tests" / "adapters" / "tiny_vlms.py")

TASK = """
title: A few questions about a few scenes
version: 3
family: spatial_qa
data: {format: world, content: questions, place: room, n: 5, questions_per_scene: 3,
       split: test, train_split: train}
protocols: [{}, {scoring: loglikelihood}]
metrics: [accuracy, chance_corrected_accuracy, unparsed]
headline: accuracy@strict
"""
FILE = """
task: g2vlm_few
class: !function g2vlm_bench.lm_eval_bridge.questions.QuestionTask
metadata: {g2vlm_task: toys/few}
"""
BROKEN = '''
"""Answers every second question and breaks on the others."""
from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Prediction, Want
import numpy as np

class Broken(Adapter):
    predicts = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})

    def predict(self, batch, wants):
        return [
            ValueError("no") if i.id.endswith("0") else
            Prediction(answer="A", choice_loglikelihoods=np.arange(len(i.choices)) * 1.0)
            for i in batch
        ]
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folders: tasks, adapters, tasks for lm-eval, a checkpoint."""
    root = tmp_path_factory.mktemp("exported")
    for name, text in {
        "tasks/toys/few.yaml": TASK,
        "adapters/broken.py": BROKEN,
        "lm_eval/g2vlm_few.yaml": FILE,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    tiny.save("idefics3", root / "tiny")
    return root


@pytest.fixture(scope="module")
def in_lm_eval(place: Path) -> Callable[..., dict[str, Any]]:
    """lm-eval's Python API with the model by its name."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from g2vlm_bench.lm_eval_bridge.models import register

    register()
    metadata = {"tasks_dir": str(place / "tasks")}
    manager = TaskManager(
        include_path=str(place / "lm_eval"), include_defaults=False, metadata=metadata
    )

    def run(model: str | Any, task: Any = "g2vlm_few", **more: Any) -> dict[str, Any]:
        arguments = more.pop("arguments", {})
        given = {"model_args": {"model": model, **arguments}} if isinstance(model, str) else {}
        return simple_evaluate(
            model="g2vlm_bench" if isinstance(model, str) else model,
            tasks=[task],
            task_manager=manager,
            bootstrap_iters=0,
            batch_size=3,
            device="cpu",
            **given,
            **more,
        )

    return run


def arguments_of(model: str, place: Path) -> dict[str, Any]:
    takes = model.rpartition(":")[2] == "hf_vlm"
    return {"checkpoint": str(place / "tiny"), "max_new_tokens": 4} if takes else {}


@pytest.mark.parametrize(
    "model",
    ["hf_vlm", "blind:hf_vlm", "shuffled:hf_vlm", "chance", "majority", "oracle", "scrambled",
     "broken"],
)  # fmt: skip
def test_scores_are_identical(
    model: str, place: Path, in_lm_eval: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    arguments = arguments_of(model, place)
    run = evaluate(
        model,
        "toys/few",
        model_args=arguments,
        out=tmp_path,
        device="cpu",
        tasks_dirs=[place / "tasks"],
        adapters_dirs=[place / "adapters"],
    ).runs[0]
    theirs = in_lm_eval(model, arguments={**arguments, "adapters_dir": str(place / "adapters")})
    numbers = theirs["results"]["g2vlm_few"]
    assert len(run.record.results) == 6
    for result in run.record.results:
        assert numbers[f"{result.metric},none"] == result.value
        assert numbers.get(f"{result.metric}_stderr,none") == "N/A"
    assert theirs["versions"]["g2vlm_few"] == "3"
    assert theirs["n-samples"]["g2vlm_few"]["effective"] == run.record.data.rows
    if model == "broken":
        assert 0 < run.record.counts["failed"] < run.record.data.rows


def test_part_of_a_task_is_that_part(
    place: Path, in_lm_eval: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = evaluate("chance", "toys/few", out=tmp_path, limit=5, tasks_dirs=[place / "tasks"]).runs
    theirs = in_lm_eval("chance", limit=5)["results"]["g2vlm_few"]
    assert theirs["accuracy@strict,none"] == run[0].record.result("accuracy@strict").value


def test_nothing_is_opened_before_it_is_asked(
    in_lm_eval: Callable[..., dict[str, Any]], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    opened: list[str] = []
    manager = TaskManager(
        include_path=str(place / "lm_eval"),
        include_defaults=False,
        metadata={"tasks_dir": str(place / "tasks")},
    )
    task = manager.load(["g2vlm_few"])["tasks"]["g2vlm_few"]
    prepared = task.prepared
    monkeypatch.setattr(task, "prepared", lambda index: opened.append(index) or prepared(index))
    task.build_all_requests()
    assert len(task.instances) > len(task.docs)
    assert opened == []
    context, behind, shown = task.instances[0].args
    assert context
    assert behind["do_sample"] is False
    assert shown["visual"][0].size[0] > 8
    task.instances[0].resps.append("A")
    assert task.instances[0].args[2]["visual"][0].startswith("image ")


def test_a_model_of_lm_eval_answers_our_questions(
    in_lm_eval: Callable[..., dict[str, Any]],
) -> None:
    """Any LM gets words and images; here one that reads the options off the prompt."""
    from lm_eval.api.model import LM

    class First(LM):
        MULTIMODAL = True

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            assert all(request.args[2]["visual"] for request in requests)
            return ["A" if "\nA. " in request.args[0] else "yes" for request in requests]

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return [(-float(len(request.args[1])), False) for request in requests]

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

    numbers = in_lm_eval(First())["results"]["g2vlm_few"]
    assert 0 < numbers["accuracy@strict,none"] < 1


def test_logged_samples_hold_words_and_answers(in_lm_eval: Callable[..., dict[str, Any]]) -> None:
    samples = in_lm_eval("chance", limit=3, log_samples=True)["samples"]["g2vlm_few"]
    assert len(samples) == 3
    assert "Answer" in samples[0]["arguments"][0][0]
    assert samples[0]["arguments"][0][2]["visual"][0].startswith("image ")
    assert samples[0]["target"]
    json.dumps(samples)


def test_answers_kept_by_lm_eval_are_never_another_models(
    in_lm_eval: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """lm-eval's own keys hold no model: a second one would get the first one's answers."""
    kept = str(tmp_path / "kept")
    first = in_lm_eval("chance", limit=4, use_cache=kept)
    again = in_lm_eval("chance", limit=4, use_cache=kept)
    assert first["results"] == again["results"]
    with pytest.raises(BenchError, match="expected a file of this model's answers"):
        in_lm_eval("chance", limit=4, use_cache=kept, arguments={"seed": 7})
    with pytest.raises(BenchError, match="got one of another model's"):
        in_lm_eval("oracle", limit=4, use_cache=kept)


def test_tasks_of_lm_eval_with_our_model(folder: Path, place: Path, tmp_path: Path) -> None:
    """The same task, asked from either side."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from g2vlm_bench.lm_eval_bridge.models import AdapterLM

    tiny.save("llava_onevision", tmp_path / "tiny")
    arguments = {"checkpoint": str(tmp_path / "tiny"), "chat": False}
    model = AdapterLM("hf_vlm", device="cpu", batch_size=4, **arguments)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    for name in ("toy_choice", "toy_fewshot", "toy_generate", "toy_greedy", "toy_rolling",
                 "toy_seen", "toy_seen_choice"):  # fmt: skip
        theirs = simple_evaluate(
            model=model, tasks=[name], task_manager=manager, bootstrap_iters=0
        )["results"][name]
        run = evaluate(
            "hf_vlm",
            f"lm_eval:{folder / name}.yaml",
            model_args=arguments,
            out=tmp_path / "runs",
            device="cpu",
        ).runs[0]
        for result in run.record.results:
            metric, _, label = result.metric.partition("@")
            key = f"{metric},{label.partition('+')[2] or 'none'}"
            assert result.value == pytest.approx(theirs[key], rel=1e-4)


def test_a_floor_that_is_fitted_has_no_place_on_a_foreign_task(folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from g2vlm_bench.lm_eval_bridge.models import AdapterLM

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    with pytest.raises(BenchError, match="a fitted floor, which need a task of g2vlm_bench"):
        simple_evaluate(model=AdapterLM("majority"), tasks=["toy_choice"], task_manager=manager)


def test_geometry_is_refused() -> None:
    from g2vlm_bench.lm_eval_bridge.questions import QuestionTask

    with pytest.raises(BenchError, match="got one that asks for geometry"):
        QuestionTask({"task": "x", "metadata": {"g2vlm_task": "depth/world_rooms"}})


def test_registering_leaves_lm_evals_own_models_known() -> None:
    script = (
        "from g2vlm_bench.lm_eval_bridge.models import register; register(); register()\n"
        "from lm_eval.api.registry import get_model\n"
        "print(get_model('dummy').__name__, get_model('g2vlm_bench').__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert done.stdout.split() == ["DummyLM", "AdapterLM"]


def test_every_question_task_has_its_file() -> None:
    script = load_module(PROJECT / "scripts" / "lm_eval_tasks.py")
    here = {path.name: path.read_text() for path in script.FOLDER.glob("*.yaml")}
    assert here == script.files(), "run python scripts/lm_eval_tasks.py"
