"""Published rules that several sources share, each made of the functions that a peer has for it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from answer_peers.checkouts import Scorer
from g2vlm_bench.protocols.counted import letters_of, right_letter
from g2vlm_bench.sample import Target


def letter(extract: Callable[[str], Any], strip: bool = False) -> Scorer:
    """Letters that a function of the peer extracts, held against the right one."""
    return lambda text, target: float(
        extract(text.strip() if strip else text) == right_letter(target)
    )


def vsi(space: dict[str, Any]) -> Scorer:
    """VSI-Bench's rule: a letter, or MRA of a number."""

    def score(text: str, target: Target) -> float:
        truth = right_letter(target) if target.answer_type == "choice" else str(target.answer)
        kind = {"choice": "route_planning", "number": "object_counting"}[str(target.answer_type)]
        doc: dict[str, Any] = {"question_type": kind, "ground_truth": truth}
        space["vsibench_process_results"](doc, [text])
        return float(doc["accuracy" if target.answer_type == "choice" else "MRA:.5:.95:.05"])

    return score


def spar(space: dict[str, Any]) -> Scorer:
    """SPAR-Bench's rule: a letter, MRA of a number, or a camera's change."""

    def score(text: str, target: Target) -> float:
        kinds = {"choice": "position_matching", "number": "depth_prediction_oc"}
        kind = kinds.get(str(target.answer_type), "view_change_infer")
        if target.question_type.endswith("_mv"):
            kind = target.question_type
        truth = right_letter(target) if target.answer_type == "choice" else str(target.answer)
        doc = {"task": kind, "answer": truth}
        space["sparbench_process_results"](doc, [text])
        key = {"choice": "accuracy", "number": "MRA:.5:.95:.05"}
        return float(doc[key.get(str(target.answer_type), "vci_metric")])

    return score


def omnispatial(path: Path, mode: str) -> Scorer:
    """The branch of OmniSpatial's `if eval_type == ...` for one mode of evaluation."""
    branch = next(
        node.body for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.If)
        and "eval_type" in (test := ast.unparse(node.test)) and f"'{mode}'" in test
    )  # fmt: skip
    run = compile(ast.fix_missing_locations(ast.Module(branch, [])), str(path), "exec")

    def score(text: str, target: Target) -> float:
        truth = right_letter(target)
        space: dict[str, Any] = {"re": re, "json": json, "response": text}
        space |= {"gt_letter": truth, "grounded_output": truth}
        exec(run, space)
        return float(space["flag"])

    return score


def viewspatial(space: dict[str, Any]) -> Scorer:
    """ViewSpatial-Bench's rule: the option of the last line."""
    extract = space["extract_option"]
    return lambda text, target: float(extract(text.split("\n")[-1]) == right_letter(target))


def mmsi(space: dict[str, Any]) -> Scorer:
    """MMSI-Bench's rule."""
    rule = space["extract_single_choice_with_word_boundary"]
    return lambda text, target: float(rule(text, right_letter(target)) or 0.0)


def can_infer(space: dict[str, Any]) -> Scorer:
    """VLMEvalKit's `can_infer`, whose descendants are in other repositories."""
    space["cp"], space["os"] = __import__("copy"), __import__("os")

    def score(text: str, target: Target) -> float:
        options = dict(zip(letters_of(target), target.choices, strict=True))
        return float(space["can_infer"](text, options) == right_letter(target))

    return score


def ost(space: dict[str, Any], left_out: str | None) -> Scorer:
    """OST-Bench's rule; an answer with `left_out` in it leaves the mean, as an empty one does."""

    def score(text: str, target: Target) -> float | None:
        if not text or (left_out and left_out in text):
            return None
        form = {"choice": "x(Judgement)"}.get(str(target.answer_type), target.question_type)
        if target.answer_type == "number" and "(" not in form:
            form = "x(Counting)"
        answer = target.answer if target.answer_type == "choice" else float(target.answer)  # type: ignore[arg-type]
        sample = {"type": form, "answer": answer, "option": list(target.choices)}
        sample["pred"] = space["process_answer"](text)
        return float(space["OST_evaluator"]().evaluation(sample)["metric"])

    return score


def polygon(target: Target) -> str:
    """The true region's corners as RoboSpatial's data spell them: shares of width and height."""
    height, width = target.image_size  # type: ignore[misc]
    return str([(float(x) / width, float(y) / height) for x, y in target.polygon])  # type: ignore[union-attr]


def spelt(target: Target) -> str:
    """The answer as Spatial457's data spell it: Yes, No, whole numbers, words."""
    if target.answer_type == "number":
        return f"{target.answer:g}"
    return str(target.answer).capitalize() if target.answer_type == "yes_no" else str(target.answer)
