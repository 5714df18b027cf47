"""lm-eval's tasks here: the numbers are lm-eval's own, of the same model on the same samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2vlm_bench import evaluate, score
from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge import harness
from g2vlm_bench.lm_eval_bridge.finding import find_yaml
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Task
from g2vlm_bench.store import RunFolder
from g2vlm_bench.validate import validate_task

import_torchvision()
SHIPPED = ("winogrande", "crows_pairs_english", "mutual", "gsm8k_cot_self_consistency")
tiny = load_module(Path(__file__).parents[1] / "adapters" / "tiny_vlms.py")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny.save("llava_onevision", tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def models(checkpoint: Path) -> Callable[[str, str], Any]:
    """Models as lm-eval knows them: one written from its documentation, and its own."""
    made: dict[tuple[str, bool], Any] = {}

    def make(kind: str, task: str) -> Any:
        key = (kind, task == "toy_seen")
        if key not in made:
            made[key] = by_hand_model(checkpoint) if kind == "by hand" else own_model(*key)
        return made[key]

    def own_model(kind: str, sees: bool) -> Any:
        pytest.importorskip("accelerate", reason="lm-eval's own models need accelerate")
        from lm_eval.models.hf_vlms import HFMultimodalLM
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        if sees:
            return HFMultimodalLM(pretrained=str(checkpoint), batch_size=1, device="cpu")
        return HFLM(
            pretrained=AutoModelForImageTextToText.from_pretrained(checkpoint).eval(),
            tokenizer=AutoTokenizer.from_pretrained(checkpoint),
            backend="causal",
            batch_size=1,
        )

    return make


@pytest.fixture(scope="session")
def of_lm_eval(folder: Path) -> Callable[..., dict[str, Any]]:
    """lm-eval's own evaluator and aggregation."""
    import lm_eval.models  # noqa: F401
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)

    def run(name: str, model: Any) -> dict[str, Any]:
        return simple_evaluate(
            model=model, tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=True
        )

    return run


def by_hand_model(checkpoint: Path) -> Any:
    """One request at a time, straight from the definitions."""
    import torch
    from lm_eval.api.model import LM
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
    ids_of = processor.tokenizer.encode
    begin = [processor.tokenizer.eos_token_id]

    class ByHand(LM):
        MULTIMODAL = True

        def weigh(self, before: list[int], after: list[int]) -> tuple[float, bool]:
            ids = torch.tensor([before + after])
            with torch.inference_mode():
                logs = model(input_ids=ids).logits[0].float().log_softmax(-1)
            steps = [(logs[len(before) + i - 1], token) for i, token in enumerate(after)]
            greedy = all(int(log.argmax()) == token for log, token in steps)
            return float(sum(log[token] for log, token in steps)), greedy

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            pairs = [request.args for request in requests]
            before = [ids_of(context) or begin for context, _ in pairs]
            whole = [(not context) * begin + ids_of(context + text) for context, text in pairs]
            return [self.weigh(b, w[len(b) :]) for b, w in zip(before, whole, strict=True)]

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return [self.weigh(begin, ids_of(request.args[0]))[0] for request in requests]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return [self.answer(*request.args) for request in requests]

        def answer(self, context: str, how: dict[str, Any], seen: Any = None) -> str:
            images = {"images": [seen["visual"]]} if seen else {}
            inputs = processor(text=[context], return_tensors="pt", **images)
            out = model.generate(**inputs, max_new_tokens=how["max_gen_toks"], do_sample=False)
            text = processor.decode(
                out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
            for end in how["until"]:
                text = text.split(end)[0]
            return str(text)

    return ByHand()


def ours(name: str, folder: Path, checkpoint: Path, out: Path, **more: Any) -> Any:
    return evaluate(
        "hf_vlm",
        f"lm_eval:{folder / name}.yaml",
        model_args={"checkpoint": str(checkpoint), "chat": False},
        out=out,
        device="cpu",
        **more,
    ).runs[0]


@pytest.mark.parametrize(
    "name",
    [
        *("toy_choice", "toy_fewshot", "toy_generate", "toy_greedy", "toy_rolling", "toy_seen"),
        *("toy_blanks", "toy_mutual", "toy_repeats", "toy_drawn", "toy_mixed"),
        *("toy_own_metric", "toy_made", *SHIPPED),
    ],
)
@pytest.mark.parametrize("kind", ["by hand", "lm-eval's own"])
def test_the_same_numbers_as_lm_eval(
    kind: str,
    name: str,
    folder: Path,
    checkpoint: Path,
    of_lm_eval: Callable[..., dict[str, Any]],
    models: Callable[[str, str], Any],
    tmp_path: Path,
) -> None:
    """On the same weights: hf_vlm here, a model of lm-eval there."""
    theirs = of_lm_eval(name, models(kind, name))
    run = ours(name, folder, checkpoint, tmp_path, batch_size=3)
    expected = {
        key: value
        for key, value in theirs["results"][name].items()
        if "," in key and "stderr" not in key and isinstance(value, int | float)
    }
    assert expected
    for key, value in expected.items():
        metric, _, filter_name = key.partition(",")
        label = "lm_eval" if filter_name == "none" else f"lm_eval+{filter_name}"
        result = run.record.result(f"{metric.replace('@', '_at_')}@{label}")
        assert result.value == pytest.approx(value, rel=1e-5, abs=1e-9)
    protocols = [result.metric.partition("@")[2] for result in run.record.results]
    assert all(protocol.startswith("lm_eval") for protocol in protocols)
    assert len(run.record.results) == len(expected)
    assert run.record.counts == {"scored": theirs["n-samples"][name]["effective"]}


@pytest.mark.parametrize("kind", ["by hand", "lm-eval's own"])
def test_the_same_text_and_likelihoods_sample_by_sample(
    kind: str,
    folder: Path,
    checkpoint: Path,
    of_lm_eval: Callable[..., dict[str, Any]],
    models: Callable[[str, str], Any],
    tmp_path: Path,
) -> None:
    said = {}
    for name in ("toy_seen", "toy_fewshot"):
        run = RunFolder(ours(name, folder, checkpoint, tmp_path).path)
        said[name] = [run.load_prediction(line) for line in run.predictions()]
    seen = of_lm_eval("toy_seen", models(kind, "toy_seen"))["samples"]["toy_seen"]
    texts = [sample["resps"][0][0] for sample in seen]
    assert [prediction.answer for prediction in said["toy_seen"]] == texts
    assert any(texts)
    samples = of_lm_eval("toy_fewshot", models(kind, ""))["samples"]["toy_fewshot"]
    for prediction, sample in zip(said["toy_fewshot"], samples, strict=True):
        expected = [response[0][0] for response in sample["resps"]]
        np.testing.assert_allclose(prediction.choice_loglikelihoods, expected, rtol=1e-5)
        greedy = [response[0][1] for response in sample["resps"]]
        assert prediction.choice_is_greedy.tolist() == greedy


def test_options_about_images(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    """lm-eval's own multimodal model weighs no options; here the images count."""
    run = ours("toy_seen_choice", folder, checkpoint, tmp_path)
    assert run.record.result("acc@lm_eval").n_scored == 5


def test_rescoring_needs_no_model(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    run = ours("toy_fewshot", folder, checkpoint, tmp_path)
    assert score(run.path).record.results == run.record.results


def test_a_mean_of_documents_has_lm_evals_interval(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    result = ours("toy_fewshot", folder, checkpoint, tmp_path).record.result("mcc@lm_eval")
    assert result.n_clusters == 8
    assert result.low < result.value < result.high


def test_a_metric_of_some_documents_is_their_mean(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Its interval is that of as many documents as it is of, and holds a number of any size."""
    run = ours("toy_mixed", folder, checkpoint, tmp_path)
    gap = run.record.result("gap@lm_eval")
    values = [line.values["gap@lm_eval"] for line in RunFolder(run.path).samples()]
    assert gap.value == pytest.approx(np.mean(values))
    assert 0 < values.count(gap.value) < 8
    assert gap.low < gap.value < gap.high
    (spec,) = [spec for spec in run.record.metrics if spec.name == "gap@lm_eval"]
    assert spec.worst is None


def test_pseudo_values_have_the_statistics_mean_and_spread() -> None:
    """Of a mean they are the items themselves; in groups their spread is that of the items."""
    rng = np.random.default_rng(0)
    items = list(rng.normal(2.0, 3.0, 2000))
    assert harness.pseudo_values(np.mean, items[:50]) == pytest.approx(items[:50])
    grouped = np.array(harness.pseudo_values(np.mean, items))
    assert grouped.mean() == pytest.approx(np.mean(items), abs=1e-12)
    # 200 groups of 10: the standard deviation is known to about 1 in sqrt(2 * 200).
    assert grouped.std() == pytest.approx(np.std(items), rel=0.15)
    ratio = harness.pseudo_values(lambda some: 1 / sum(item > 0 for item in some), [0.0, 2.0, 0.0])
    assert ratio == pytest.approx([1.0, 1.0, 1.0])
    product = harness.pseudo_values(lambda some: float(np.exp(np.mean(some))), [0.1, 0.2, 0.4])
    assert np.mean(product) == pytest.approx(np.exp(0.7 / 3))


def test_images_are_opened_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Image as ImageFeature

    opened = []
    decode = ImageFeature.decode_example
    monkeypatch.setattr(
        ImageFeature,
        "decode_example",
        lambda self, value, **more: opened.append(1) or decode(self, value, **more),
    )
    harness.load.cache_clear()
    plugins = Plugins()
    task = Task.load(plugins, plugins.task(f"lm_eval:{folder / 'toy_seen.yaml'}"))
    # lm-eval itself tries the first document.
    assert len(opened) <= 1
    for sample in task.dataset.samples:
        sample.load_target()
    assert len(opened) <= 1
    assert task.dataset.samples[3].load_inputs().images[0].shape == (40, 60, 3)
    assert len(opened) <= 2


def test_truth_is_best(folder: Path) -> None:
    for name in ("toy_choice", "toy_generate", "toy_seen_choice", "toy_blanks", "toy_mutual"):
        report = validate_task(Plugins(), f"lm_eval:{folder / name}.yaml", None, None)
        assert report.passed, report.text()


def test_the_prompt_is_lm_evals(folder: Path) -> None:
    plugins = Plugins()
    task = Task.load(plugins, plugins.task(f"lm_eval:{folder / 'toy_fewshot.yaml'}"))
    inputs = task.dataset.samples[0].load_inputs()
    assert inputs.prompt.count("Question: ") == 3
    assert inputs.prompt.endswith("Answer:")
    assert all(text.startswith(" ") for text in inputs.continuations)
    assert task.definition.name == "lm_eval/toy_fewshot"


def test_another_definition_or_other_data_are_another_task(folder: Path, tmp_path: Path) -> None:
    def hash_of(edit: Callable[[str], str], rows: Callable[[str], str]) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        (place / "rooms.jsonl").write_text(rows((folder / "rooms.jsonl").read_text()))
        text = (folder / "toy_choice.yaml").read_text().replace(str(folder), str(place))
        (place / "toy_choice.yaml").write_text(edit(text))
        plugins = Plugins()
        task = Task.load(plugins, plugins.task(f"lm_eval:{place / 'toy_choice.yaml'}"))
        return str(task.dataset.fingerprint.content_hash)

    def same(text: str) -> str:
        return text

    first = hash_of(same, same)
    assert hash_of(lambda text: text.replace("Answer:", "Say:"), same) != first
    assert hash_of(same, lambda text: text.replace("a bath", "a tub")) != first


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("toy_chioce", "lm-eval task 'toy_chioce': expected a task of .*toy_choice"),
        ("toy_group", "expected a single task, got a group of tasks"),
        ("nowhere.yaml", "expected a YAML file, got no such file"),
    ],
)
def test_names_that_are_no_task(name: str, complaint: str, folder: Path) -> None:
    with pytest.raises(BenchError, match=complaint):
        find_yaml(name, folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("rooms.jsonl", "missing.jsonl"), "expected a task whose data can be read, got FileNot"),
        (
            ("doc_to_choice: options", "doc_to_choice: nothing"),
            "expected a task whose data can be read",
        ),
        (
            ("num_fewshot: 0", "generation_kwargs: {num_beams: 4}"),
            "expected greedy decoding or drawing, got num_beams",
        ),
        (
            ("num_fewshot: 0", "generation_kwargs: {repetition_penalty: 1.2}"),
            "expected greedy decoding or drawing, got repetition_penalty",
        ),
        (("num_fewshot: 0", "unsafe_code: true"), "expected HF_ALLOW_CODE_EVAL=1, since it runs"),
    ],
)
def test_tasks_that_cannot_be_asked(change: tuple[str, str], complaint: str, folder: Path) -> None:
    text = (folder / "toy_choice.yaml").read_text()
    assert change[0] in text
    path = folder / "changed.yml"
    path.write_text(text.replace(*change))
    harness.load.cache_clear()
    with pytest.raises(BenchError, match=complaint) as caught:
        Plugins().task(f"lm_eval:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("humaneval", "expected HF_ALLOW_CODE_EVAL=1"),
        ("code2text_python", "got num_beams"),
        ("common_voice_en", "got audio"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_fetched(
    name: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(BenchError, match=complaint):
        harness.load(name)


def test_a_model_that_knows_of_no_contexts_is_not_asked(folder: Path) -> None:
    plugins = Plugins()
    wanted = {
        name: sorted(
            Task.load(plugins, plugins.task(f"lm_eval:{folder / name}.yaml")).family.wants[0]
        )
        for name in ("toy_choice", "toy_blanks", "toy_mutual", "toy_mixed")
    }
    assert wanted == {
        "toy_choice": ["choice_loglikelihoods"],
        "toy_blanks": ["context_loglikelihoods"],
        "toy_mutual": ["context_loglikelihoods"],
        "toy_mixed": ["answer", "context_loglikelihoods"],
    }


def test_without_lm_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"lm-eval: expected an installed lm-eval.*pip install"):
        find_yaml("arc_easy")


def test_a_published_task_is_found_by_its_name() -> None:
    assert find_yaml("arc_easy").name == "arc_easy.yaml"
    assert find_yaml("hellaswag").parent.name == "hellaswag"
    # Its key stands in quotes.
    assert find_yaml("mmlu_anatomy").stem == "mmlu_anatomy"


def test_a_family_without_tasks_of_its_own() -> None:
    with pytest.raises(BenchError, match="a family that finds tasks by itself"):
        Plugins().task("spatial_qa:world")
