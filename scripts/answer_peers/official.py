"""What the benchmarks' own repositories make of an answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from answer_peers import rules
from answer_peers.checkouts import Peers, Scorer
from g2vlm_bench.protocols.counted import letters_of, right_letter
from g2vlm_bench.sample import Target


def scorers(peers: Peers) -> dict[str, Callable[[], Scorer]]:
    """A profile's rule -> how to make its peer."""
    omnispatial = peers.folder / "OmniSpatial/api_eval.py"
    return {
        "vsi_bench": lambda: rules.vsi(
            peers.own("thinking-in-space", "lmms_eval/tasks/vsibench/utils.py")
        ),
        "spar_bench": lambda: rules.spar(
            peers.own("SPAR", "lmms-eval/lmms_eval/tasks/sparbench/utils.py")
        ),
        "mindcube": lambda: rules.letter(
            peers.own("MindCube", "src/evaluation/core/extractors.py")["extract_answer"]
        ),
        "omnispatial": lambda: rules.omnispatial(omnispatial, "re"),
        "omnispatial_json": lambda: rules.omnispatial(omnispatial, "json"),
        "omnispatial_direct": lambda: rules.omnispatial(omnispatial, "direct"),
        "ost_bench": lambda: rules.ost(peers.own("OST-Bench", "evaluation/OST_evaluator.py"), None),
        "blink": lambda: _blink(peers.own("BLINK_Benchmark", "eval/test_benchmark.py")),
        "viewspatial": lambda: rules.viewspatial(peers.own("ViewSpatial-Bench", "evaluate.py")),
        "mmsi_bench": lambda: _mmsi_readme(peers.folder / "MMSI-Bench/README.md"),
        "all_angles": lambda: rules.can_infer(
            peers.own("All-Angles-Bench", "VLMEvalkit/vlmeval/utils/matching_util.py")
        ),
        "spatialmqa": lambda: _spatialmqa(
            peers.folder / "SpatialMQA/Code/close_models/gpt4_zero_shot.py"
        ),
        "refspatial": lambda: _roborefer(peers.own("RoboRefer", "Evaluation/summarize_acc.py")),
        "robospatial": lambda: _robo_own(peers.own("RoboSpatial-Eval", "evaluation.py")),
    }


def _blink(space: dict[str, Any]) -> Scorer:
    space["match_multiple_choice"] = lambda *_: "(Z) Failed to get multiple choice"

    def score(text: str, target: Target) -> float:
        known = [f"({letter})" for letter in letters_of(target)]
        doc = {"choices": list(target.choices), "question": ""}
        return float(space["analyze_answer"](doc, text, known) == f"({right_letter(target)})")

    return score


def _mmsi_readme(path: Path) -> Scorer:
    code = next(
        block
        for block in path.read_text(encoding="utf-8").split("```")
        if "def extract_single_choice_with_word_boundary" in block
    )
    space: dict[str, Any] = {"re": re}
    exec(compile(code, str(path), "exec"), space)
    return rules.mmsi(space)


def _spatialmqa(path: Path) -> Scorer:
    """Its two lines: what is taken for the answer, and what it is held against."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "model_answer.strip()" in ast.unparse(node.value)
    )
    test = next(
        node for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and ast.unparse(node) == "output in data['answer']"
    )  # fmt: skip
    run = [compile(ast.Expression(part), str(path), "eval") for part in (taken, test)]

    def score(text: str, target: Target) -> float:
        said = eval(run[0], {"model_answer": text})
        return float(eval(run[1], {"output": said, "data": {"answer": str(target.answer)}}))

    return score


def _roborefer(space: dict[str, Any]) -> Scorer:
    def score(text: str, target: Target) -> float | None:
        mask = np.asarray(target.region).astype(np.uint8)
        try:
            points = space["text2pts"](text, mask.shape[1], mask.shape[0])
        except Exception:
            return None
        if not len(points):
            return 0.0
        inside = [
            0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x])
            for x, y in points
        ]
        return float(np.mean(inside))

    return score


def _robo_own(space: dict[str, Any]) -> Scorer:
    return lambda text, target: float(
        space["evaluate_answer"](
            str(target.answer) if target.answer_type == "yes_no" else rules.polygon(target), text
        )[0]
    )
