"""What lmms-eval makes of an answer, benchmark by benchmark."""

from __future__ import annotations

import random
import re
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from answer_peers import rules
from answer_peers.checkouts import Peers, Scorer
from g2vlm_bench.protocols.counted import letters_of, right_letter
from g2vlm_bench.sample import Target


def scorers(peers: Peers) -> dict[str, Callable[[], Scorer]]:
    """A profile's rule -> how to make its peer."""
    return {
        "vsi_bench": lambda: rules.vsi(peers.lmms("vsibench")),
        "spar_bench": lambda: rules.spar(peers.lmms("sparbench")),
        "mindcube": lambda: rules.letter(peers.lmms("mindcube")["extract_answer"], strip=True),
        "omnispatial": lambda: rules.omnispatial(
            peers.folder / "lmms-eval/lmms_eval/tasks/omnispatial/utils.py", "re"
        ),
        "omnispatial_direct": lambda: _omni_direct(peers.lmms("omni_spatial")),
        "blink": lambda: rules.letter(peers.lmms("blink")["_extract_answer_letter"]),
        "cv_bench": lambda: rules.letter(peers.lmms("cv_bench")["_extract_answer_letter"]),
        "embspatial": lambda: rules.letter(peers.lmms("embspatial")["_extract_answer_letter"]),
        "viewspatial": lambda: rules.viewspatial(peers.lmms("viewspatial")),
        "mmsi_bench": lambda: rules.mmsi(peers.lmms("mmsi_bench")),
        "sat": lambda: _sat(peers.lmms("sat")),
        "erqa": lambda: _erqa(peers.own("lmms-eval", "lmms_eval/tasks/_task_utils/mcq_extract.py")),
        "three_d_sr": lambda: rules.letter(peers.lmms("3dsrbench")["extract_answer"], strip=True),
        "spatialviz": lambda: _spatialviz(peers.lmms("spatialviz")),
        "spatial457": lambda: _spatial457(peers.lmms("spatial457")),
        "site": lambda: _site(peers.lmms("sitebench")),
        "stare": lambda: _stare(peers.lmms("stare")),
        "refspatial": lambda: _masked(peers.lmms("refspatial"), "_text2pts", "_refspatial_acc", 1),
        "refspatial_grid": lambda: _masked(
            peers.lmms("refspatial"), "_text2pts", "_refspatial_acc", 1000
        ),
        "refspatial_json": lambda: _json_points(peers, "refspatial", "_refspatial_acc"),
        "where2place": lambda: _masked(
            peers.lmms("where2place"), "_text2pts", "_where2place_acc", 1
        ),
        "where2place_grid": lambda: _masked(
            peers.lmms("where2place"), "_text2pts", "_where2place_acc", 1000
        ),
        "where2place_json": lambda: _json_points(peers, "where2place", "_where2place_acc"),
        "robospatial": lambda: _robo_lmms(peers.lmms("robo_spatial"), first=False),
        "robospatial_first": lambda: _robo_lmms(peers.lmms("robo_spatial"), first=True),
    }


def _omni_direct(space: dict[str, Any]) -> Scorer:
    return lambda text, target: float(
        space["omni_spatial_process_results"](
            {"answer": target.choices.index(str(target.answer))}, [text]
        )["omni_spatial_score"]["score"]
    )


def _sat(space: dict[str, Any]) -> Scorer:
    # Its base class only keeps arguments; `apply` is what scores.
    apply = space["MultiChoiceRegexFilter"].apply

    def score(text: str, target: Target) -> float:
        options = zip(letters_of(target), target.choices, strict=True)
        question = "\n".join(f"{letter}. {choice}" for letter, choice in options)
        said = apply(None, [[text]], [{"question": question}])[0]
        # exact_match with ignore_case and ignore_punctuation, as the task's YAML asks.
        return float(re.sub(r"[^\w\s]", "", said).lower() == right_letter(target).lower())

    return score


def _erqa(space: dict[str, Any]) -> Scorer:
    extract = space["extract_mcq_answer"]
    return lambda text, target: float(extract(text, choices=list("ABCD")) == right_letter(target))


def _spatialviz(space: dict[str, Any]) -> Scorer:
    def score(text: str, target: Target) -> float:
        fields = ("Question", "Image_id", "Category", "Task", "Level")
        doc = {**dict.fromkeys(fields, ""), "Choices": [], "Answer": right_letter(target)}
        return float(
            space["spatialviz_process_results"](doc, [text])["spatialviz_score"]["is_correct"]
        )

    return score


def _spatial457(space: dict[str, Any]) -> Scorer:
    return lambda text, target: float(
        space["spatial457_process_results"]({"answer": rules.spelt(target)}, [text])[
            "spatial457_accuracy"
        ]["is_correct"]
    )


def _site(space: dict[str, Any]) -> Scorer:
    """Its random letter is answered by each letter in turn: the mean is its expectation."""

    def score(text: str, target: Target) -> float:
        letters = list(letters_of(target))
        found = []
        for letter in letters:
            space["random"] = types.SimpleNamespace(choice=lambda _, letter=letter: letter)
            found.append(space["parse_multi_choice_response"](text.strip(), letters))
        space["random"] = random
        return float(np.mean([letter == right_letter(target) for letter in found]))

    return score


def _stare(space: dict[str, Any]) -> Scorer:
    return lambda text, target: float(
        space["is_equal"](space["fast_extract_answer"](text), right_letter(target))
    )


def _masked(space: dict[str, Any], parse: str, accuracy: str, over: int) -> Scorer:
    return _points(
        lambda text, width, height: space[parse](text, width, height, over), space[accuracy]
    )


def _json_points(peers: Peers, task: str, accuracy: str) -> Scorer:
    parse = peers.own("lmms-eval", "lmms_eval/tasks/_task_utils/point_format.py")["parse_point2d"]
    return _points(parse, peers.lmms(task)[accuracy])


def _points(parse: Callable[..., Any], accuracy: Callable[..., float]) -> Scorer:
    def score(text: str, target: Target) -> float:
        mask = np.asarray(target.region).astype(int)
        return float(accuracy(mask, parse(text, mask.shape[1], mask.shape[0])))

    return score


def _robo_lmms(space: dict[str, Any], first: bool) -> Scorer:
    def score(text: str, target: Target) -> float:
        said = space["remove_think"](text)
        if target.answer_type == "yes_no":
            return float(space["evaluate_binary_answer"](target.answer, said))
        mask = np.asarray(target.region)
        points = space["json2pts"](said, width=mask.shape[1], height=mask.shape[0])
        inside = [
            0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x])
            for x, y in (points[:1] if first else points)
        ]
        return float(any(inside))

    return score
