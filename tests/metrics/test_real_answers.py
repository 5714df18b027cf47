"""Answers of real models: recorded accuracies come out again, and what the strict reading adds."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from g2vlm_bench.protocols.answers import QaProtocol
from g2vlm_bench.sample import Prediction, Target

STRICT, BLINK = QaProtocol(), QaProtocol(rules={"choice": "blink_letter"})
LMMS = QaProtocol(rules={"choice": "leading_letter"})
# The options of the three parts, as BLINK's data have them.
OPTIONS = {
    "Spatial_Relation": ("yes", "no"),
    "Relative_Depth": ("A is closer", "B is closer"),
    "Multi-view_Reasoning": ("left", "right"),
}
# realdata/spatial_qa/MANIFEST.json, reference_result.
RECORDED = {
    "GPT4o": {"Spatial_Relation": 0.6923, "Relative_Depth": 0.7419, "Multi-view_Reasoning": 0.594},
    "llava-v1.5-7b-xtuner": {
        "Spatial_Relation": 0.6853, "Relative_Depth": 0.5161, "Multi-view_Reasoning": 0.3835,
    },
}  # fmt: skip
CASES = [(model, part) for model in RECORDED for part in OPTIONS]


def blink(realdata: Path, model: str, part: str) -> list[tuple[Target, str, str]]:
    """The questions with gold: truth, full answer, and the letter that the authors extracted."""
    path = realdata / "spatial_qa" / f"blink_outputs_{model}" / f"{part}.json"
    options = OPTIONS[part]
    return [
        (
            Target(
                answer=options["AB".index(row["answer"][1])], choices=options, answer_type="choice"
            ),
            row["full_prediction"],
            row["prediction"],
        )
        for row in json.loads(path.read_text())["val"]
    ]


def scores(protocol: QaProtocol, rows: list[tuple[Target, str, str]]) -> list[float]:
    return [float(protocol.count(t, Prediction(answer=said)).score) for t, said, _ in rows]


@pytest.mark.parametrize(("model", "part"), CASES)
def test_blinks_recorded_accuracy_comes_out_of_the_letters_it_extracted(
    realdata, model, part
) -> None:
    rows = [(target, letter, "") for target, _, letter in blink(realdata, model, part)]
    for protocol in (STRICT, BLINK, LMMS):
        found = scores(protocol, rows)
        assert sum(found) / len(found) == pytest.approx(RECORDED[model][part], abs=5e-5)


@pytest.mark.parametrize(("model", "part"), CASES)
def test_of_the_full_answers_too_where_no_judge_was_asked(realdata, model, part) -> None:
    rows = blink(realdata, model, part)
    for target, said, letter in rows:
        counted = BLINK.count(target, Prediction(answer=said))
        # What GPT-3.5 was asked there is unread here.
        assert counted.read in (None, letter.strip("()"))
    strict, unread = scores(STRICT, rows), [r for r in rows if _unread(r)]
    assert len(unread) == (55 if (model, part) == ("GPT4o", "Multi-view_Reasoning") else 0)
    if not unread:
        assert sum(strict) / len(strict) == pytest.approx(RECORDED[model][part], abs=5e-5)
        assert scores(BLINK, rows) == strict


@pytest.mark.parametrize(("model", "part"), CASES)
def test_the_other_half_which_no_rule_was_made_on_reads_as_the_judge_did(
    realdata, model, part
) -> None:
    """The `test` answers have no gold, but the letter that the authors, or GPT-3.5, extracted."""
    path = realdata / "spatial_qa" / f"blink_outputs_{model}" / f"{part}.json"
    options = OPTIONS[part]
    target = Target(answer=options[0], choices=options, answer_type="choice")
    for row in json.loads(path.read_text())["test"]:
        counted = STRICT.count(target, Prediction(answer=row["full_prediction"]))
        assert counted.read == options["AB".index(row["prediction"][1])]


def _unread(row: tuple[Target, str, str]) -> bool:
    return BLINK.count(row[0], Prediction(answer=row[1])).status == "unparsed"


def test_what_each_scorer_makes_of_sentences(realdata) -> None:
    """Answers such as "The camera is moving to the right (option B)", which a judge read once."""
    rows = blink(realdata, "GPT4o", "Multi-view_Reasoning")
    counted = [STRICT.count(target, Prediction(answer=said)) for target, said, _ in rows]
    assert Counter(one.status for one in counted) == {"parsed": 133}
    # With the judge, on every answer.
    options = OPTIONS["Multi-view_Reasoning"]
    assert [one.read for one in counted] == [options["AB".index(letter[1])] for *_, letter in rows]
    kit = QaProtocol(rules={"choice": "inferred_letter"})
    accuracies = [round(sum(scores(p, rows)) / 133, 4) for p in (STRICT, BLINK, kit, LMMS)]
    # lmms-eval's rule reads the T of "The".
    assert accuracies == [0.594, 0.391, 0.3759, 0.015]


def motion(realdata: Path) -> list[tuple[Target, str, str, str]]:
    """Camera motions: truth, full answer, what the authors extracted, and the prompt."""
    folder = realdata / "spatial_qa" / "model_outputs_cammotion_psi"
    said = [json.loads(line) for line in (folder / "chat_history.jsonl").open()]
    read = [json.loads(line) for line in (folder / "inference.jsonl").open()]
    kinds = ("clockwise", "counterclockwise", "no movement")
    return [
        (
            Target(answer=two["label"], choices=kinds, answer_type="choice"),
            one["raw_output"],
            two["pred"],
            one["prompt"],
        )
        for one, two in zip(said, read, strict=True)
    ]


def option_named(text: str, prompt: str) -> str:
    """Put the option in the place of its number, as its reader would."""
    options = dict(re.findall(r"^\s*(\d+)\. (.*?)(?: rotation)? \u2013", prompt, re.M))
    match = re.search(r"<ans>\s*(\d+)\s*[.)]?.*?</ans>", text, re.S)
    return f"<ans>{options[match[1]]}</ans>" if match and match[1] in options else text


def test_camera_motions_recorded_accuracy_comes_out_of_what_was_extracted(realdata) -> None:
    rows = motion(realdata)
    recorded = json.loads(
        (realdata / "spatial_qa/model_outputs_cammotion_psi/metrics.json").read_text()
    )
    extracted = [(target, said, "") for target, _, said, _ in rows]
    assert sum(scores(STRICT, extracted)) / len(rows) == pytest.approx(recorded["accuracy"])


def test_camera_motions_read_from_the_full_answers(realdata) -> None:
    rows = motion(realdata)
    counted = [
        STRICT.count(target, Prediction(answer=option_named(said, prompt)))
        for target, said, _, prompt in rows
    ]
    statuses = Counter(one.status for one in counted)
    # The two that the authors could not extract name their option in words.
    assert statuses == {"parsed": 120}
    extracted = [(one.read, row[2]) for one, row in zip(counted, rows, strict=True)]
    assert all(mine == theirs for mine, theirs in extracted if theirs != "Not extracted")
    assert sum(one.score for one in counted) / 120 == pytest.approx(0.1)
