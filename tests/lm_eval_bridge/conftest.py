"""Tasks of lm-eval written by hand over small local files; nothing is fetched."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# Before `datasets` is imported: it reads them once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

pytest.importorskip("lm_eval")

ROOMS = ("kitchen", "bathroom", "office", "hall", "garage", "cellar", "attic")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and YAML of six tasks."""
    root = tmp_path_factory.mktemp("lm_eval_tasks")
    os.environ["HF_DATASETS_CACHE"] = str(root / "cache")
    rng = np.random.default_rng(0)
    rows = [
        {
            "question": f"Which room has a {thing}? It is number {i}.",
            "options": [str(o) for o in rng.permutation(ROOMS)[:4]],
            "gold": int(rng.integers(4)),
            "answer": str(rng.integers(10)),
        }
        for i, thing in enumerate(["table", "bath", "desk", "sofa", "car", "lamp", "chair", "bed"])
    ]
    _write_rows(root / "rooms.jsonl", rows)
    pictures = []
    for i, row in enumerate(rows[:5]):
        path = root / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(path)
        pictures.append({**row, "image": str(path)})
    _write_rows(root / "pictures.jsonl", pictures)
    for name, published in PUBLISHED.items():
        _write_rows(root / f"{name}.jsonl", published)
    (root / "utils.py").write_text(Path(__file__).with_name("toy_tasks.py").read_text())
    for name, text in YAMLS.items():
        (root / f"{name}.yaml").write_text(text.replace("ROOT", str(root)))
    for name, file in SHIPPED.items():
        (root / f"{name}.yaml").write_text(
            f"include: {lm_eval_tasks() / file}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs: {{data_files: {{test: {root}/{name}.jsonl,"
            f" train: {root}/{name}.jsonl}}}}\n"
            "test_split: test\n" + CHANGED.get(name, "")
        )
    return root


def lm_eval_tasks() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tasks"


# lm-eval's own files, on rows in the form of their data.
SHIPPED = {
    "winogrande": "winogrande/default.yaml",
    "crows_pairs_english": "crows_pairs/crows_pairs_english.yaml",
    "mutual": "mutual/mutual.yaml",
    "gsm8k_cot_self_consistency": "gsm8k/gsm8k-cot-self-consistency.yaml",
}
CHANGED = {
    # So near to 0 that only one answer can be drawn.
    "gsm8k_cot_self_consistency": "repeats: 9\nnum_fewshot: 1\n"
    'generation_kwargs: {until: ["Q:"], do_sample: true, temperature: 1.0e-5, max_gen_toks: 9}\n',
}
PUBLISHED: dict[str, list[dict[str, Any]]] = {
    "winogrande": [
        {
            "sentence": f"The {a} did not fit into the {b} since the _ was too {how}.",
            "option1": a,
            "option2": b,
            "answer": answer,
        }
        for a, b, how, answer in [
            ("table", "lift", "large", "1"),
            ("lamp", "box", "small", "2"),
            ("sofa", "hall", "wide", "1"),
        ]
    ],
    "crows_pairs_english": [
        {"sent_more": f"The {a} is old.", "sent_less": f"The {b} is old."}
        for a, b in [("house", "mouse"), ("door", "floor"), ("lamp", "ramp")]
    ],
    "mutual": [
        {
            "article": f"m : where is my {thing} ?",
            "options": [f"f : in the {room} ." for room in ROOMS[:4]],
            "answers": answer,
        }
        for thing, answer in [("bag", "A"), ("hat", "D"), ("dog", "B")]
    ],
    "gsm8k_cot_self_consistency": [
        {"question": f"There are {n} chairs and 2 more. How many?", "answer": f"So #### {n + 2}"}
        for n in (3, 5)
    ],
}


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


_DATA = """
dataset_path: json
dataset_kwargs: {data_files: {test: ROOT/rooms.jsonl, train: ROOT/rooms.jsonl}}
test_split: test
"""
_PICTURES = """
dataset_path: json
dataset_kwargs: {data_files: {test: ROOT/pictures.jsonl}}
test_split: test
process_docs: !function utils.pictures
doc_to_image: [image]
"""
_METRICS = """
metric_list:
"""


def _metric(name: str, aggregation: str = "mean", higher: bool = True, more: str = "") -> str:
    listed = f"  - {{metric: {name}, aggregation: {aggregation}, higher_is_better: "
    return f"{listed}{str(higher).lower()}{more}}}\n"


_CHOICES = """
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: options
doc_to_target: gold
"""
_SAID = """
output_type: generate_until
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: answer
generation_kwargs: {until: ["\\n", "e"], max_gen_toks: 12}
"""
_VOTES = """
repeats: 3
filter_list:
  - name: first
    filter: [{function: regex, regex_pattern: "([a-m])"}, {function: take_first}]
  - name: "maj@2"
    filter: [{function: take_first_k, k: 2}, {function: majority_vote}, {function: take_first}]
"""

YAMLS = {
    "toy_choice": "task: toy_choice\n" + _DATA + _CHOICES + "num_fewshot: 0\n" + _METRICS
    + _metric("acc") + _metric("acc_norm") + "metadata: {version: 2.0}\n",
    "toy_fewshot": "task: toy_fewshot\n" + _DATA + _CHOICES
    + "fewshot_split: train\nnum_fewshot: 2\n" + _METRICS + _metric("acc")
    + _metric("mcc", "matthews_corrcoef"),
    "toy_generate": "task: toy_generate\n" + _DATA + _SAID + """
filter_list:
  - name: digit
    filter: [{function: regex, regex_pattern: "(\\\\d)"}, {function: take_first}]
  - name: whole
    filter: [{function: take_first}]
""" + _METRICS + _metric("exact_match", more=", ignore_case: true"),
    "toy_greedy": "task: toy_greedy\n" + _DATA + """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{options[0]}}"
""" + _METRICS + _metric("acc") + _metric("perplexity", "perplexity", higher=False),
    "toy_rolling": "task: toy_rolling\n" + _DATA + """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: question
""" + _METRICS + _metric("word_perplexity", "weighted_perplexity", higher=False)
    + _metric("bits_per_byte", "bits_per_byte", higher=False),
    "toy_seen": "task: toy_seen\n" + _PICTURES + _SAID.replace('"Q:', '"<image>Q:') + _METRICS
    + _metric("exact_match"),
    "toy_seen_choice": "task: toy_seen_choice\n" + _PICTURES
    + _CHOICES.replace('"Question', '"<image>Question') + _METRICS + _metric("acc"),
    "toy_blanks": "task: toy_blanks\n" + _DATA + """
output_type: multiple_choice
doc_to_text: gold
doc_to_choice: !function utils.stems
doc_to_target: "is the one that was meant."
fewshot_split: train
num_fewshot: 1
""" + _METRICS + _metric("acc"),
    "toy_mutual": "task: toy_mutual\n" + _DATA + _CHOICES + _METRICS + _metric("acc")
    + _metric("acc_mutual_info"),
    "toy_repeats": "task: toy_repeats\n" + _DATA + _SAID + _VOTES + _METRICS
    + _metric("exact_match"),
    "toy_drawn": "task: toy_drawn\n" + _DATA
    + _SAID.replace("until:", "do_sample: true, temperature: 1.0e-5, top_p: 0.9, until:")
    + _VOTES + _METRICS + _metric("exact_match"),
    "toy_own_metric": "task: toy_own_metric\n" + _DATA + _SAID + _METRICS
    + _metric("!function utils.said_at", more=", k: 3") + _metric("exact_match"),
    "toy_made": "task: toy_made\ncustom_dataset: !function utils.made\ntest_split: test\n" + _SAID
    + "metadata: {version: 1, rows: 3}\n" + _METRICS + _metric("exact_match"),
    "toy_mixed": "task: toy_mixed\nclass: !function utils.Mixed\n",
    "toy_group": "group: toy_group\ntask: [toy_choice, toy_generate]\n",
}  # fmt: skip
