"""What the YAML files of conftest.py name by `!function utils.NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

Doc = dict[str, Any]


def pictures(docs: datasets.Dataset) -> datasets.Dataset:
    return docs.cast_column("image", datasets.Image())


def stems(doc: Doc) -> list[str]:
    return [f"Of all things the {option}" for option in doc["options"]]


def made(rows: int, **more: Any) -> dict[str, datasets.Dataset]:
    """Data that depend on what the task's metadata say, as ruler's do on a tokenizer."""
    numbers = list(range(rows))
    texts = [f"What comes after {number}?" for number in numbers]
    return {"test": datasets.Dataset.from_dict({"question": texts, "answer": numbers})}


def said_at(references: list[str], predictions: list[str], k: int) -> dict[str, float]:
    """Names its metric only when it scores, as `pass_at_k` does."""
    return {f"said@{k}": float(len(predictions[0]) >= k), "length": float(len(predictions[0]))}


class Mixed(ConfigurableTask):  # type: ignore[misc]
    """Asks in its own way, as SQuAD 2 does: an answer, and how likely it is that there is none."""

    VERSION = 3
    DATASET_PATH = "json"

    def __init__(self, config: Doc | None = None) -> None:
        files = {"test": str(Path(__file__).with_name("rooms.jsonl"))}
        super().__init__(
            config={"metadata": {"version": 3}, "dataset_kwargs": {"data_files": files}}
        )

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> datasets.Dataset:
        return self.dataset["test"]

    def doc_to_text(self, doc: Doc) -> str:
        return str(doc["question"])

    def doc_to_target(self, doc: Doc) -> str:
        return str(doc["answer"])

    def construct_requests(
        self,
        doc: Doc,
        ctx: str,
        chat_template: Any = None,
        apply_chat_template: bool = False,
        **more: Any,
    ) -> list[Instance]:
        how = {"until": ["e"], "max_gen_toks": 6}
        return [
            Instance("loglikelihood", doc, ("Nobody knows.", " no answer"), 1, **more),
            Instance("generate_until", doc, (ctx, how), 0, **more),
            Instance("loglikelihood", doc, (ctx, " no answer"), 0, **more),
        ]

    def process_results(self, doc: Doc, results: list[Any]) -> dict[str, float]:
        said, (behind, _), (alone, _) = results
        found = {"has_a": float("a" in said), "informed": float(behind > alone)}
        # Not of every document, and beyond a share.
        return found | ({"gap": 10 * (behind - alone)} if doc["gold"] > 0 else {})

    def aggregation(self) -> dict[str, Any]:
        return {"has_a": mean, "informed": mean, "gap": mean}

    def higher_is_better(self) -> dict[str, bool]:
        return {"has_a": True, "informed": True, "gap": True}
