"""Scores of answers: golden values, exact decimals, and real outputs scored by their authors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2vlm_bench.metrics.answers import (
    exact_choice,
    mean_relative_accuracy,
    normalise_text,
    parse_choice,
    text_match,
    within_tolerance,
)


def test_exact_choice() -> None:
    assert exact_choice(2, 2) == 1
    assert exact_choice(1, 2) == 0
    assert exact_choice(True, True) == 1
    assert exact_choice(False, True) == 0
    assert exact_choice(None, 0) == exact_choice(None, False) == 0
    with pytest.raises(ValueError, match="two of a type"):
        exact_choice(1, True)  # in Python 1 == True
    with pytest.raises(ValueError, match="index from 0"):
        exact_choice(0, -1)


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        (10, 10, 1.0),
        (10.5, 10, 1.0),  # error .05 <= 1 - .95: all ten
        (11, 10, 0.9),  # .10: all but C = .95
        (1.1, 1, 0.9),  # the same; in floats 1.1 - 1 = .10000000000000009
        (0.7, 1, 0.5),  # .30 <= 1 - C for C = .50 ... .70; in floats it is .30000000000000004
        (1.5, 1, 0.1),  # .50: C = .50 alone
        (0.5, 1, 0.1),
        (1.51, 1, 0.0),
        (0, 1, 0.0),
        (-1, 1, 0.0),
        (-9.5, -10, 1.0),
        (0, 0, 1.0),
        (1e-9, 0, 0.0),
    ],
)  # fmt: skip
def test_mean_relative_accuracy(prediction, target, expected) -> None:
    assert mean_relative_accuracy(prediction, target) == expected


@given(
    prediction=st.floats(-100, 100, allow_subnormal=False),
    target=st.floats(0.01, 100, allow_subnormal=False),
)
def test_mean_relative_accuracy_follows_the_float_definition_but_at_ties(
    prediction, target
) -> None:
    error = abs(prediction - target) / target
    thresholds = 1 - np.linspace(0.5, 0.95, 10)
    if np.abs(error - thresholds).min() > 1e-9:
        expected = (error <= thresholds).mean()
        assert mean_relative_accuracy(prediction, target) == pytest.approx(expected)


def test_within_tolerance() -> None:
    assert within_tolerance(1.1, 1.0, relative=0.1) == 1  # as decimals; not so in floats
    assert within_tolerance(1.1001, 1.0, relative=0.1) == 0
    assert within_tolerance(0.3, 0.0, absolute=0.3) == 1
    assert within_tolerance(0.3, 0.0, relative=0.9) == 0
    assert within_tolerance(12, 10, relative=0.1, absolute=2) == 1  # the larger of 1 and 2
    assert within_tolerance(3, 3) == 1
    assert within_tolerance(-9, -10, relative=0.1) == 1
    with pytest.raises(ValueError, match="0 or more"):
        within_tolerance(1, 1, relative=-0.1)


def test_text_match() -> None:
    assert text_match("The Sofa.", ["chair", "sofa"]) == 1
    assert text_match("a sofa bed", ["sofa"]) == 0
    assert text_match("", ["sofa"]) == text_match(None, ["sofa"]) == 0
    for accepted in ([], ["?"], ["sofa", ""]):
        with pytest.raises(ValueError, match="accepted answers with words"):
            text_match("sofa", accepted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The Red-Box ", "red box"),
        ("on/above", "on above"),
        ("2.5 m.", "2.5 m"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("x-ray, isn't", "x ray isnt"),
        ("A", "a"),
        ("\uff21\uff22", "ab"),
        ("snake_case", "snake case"),
        ("", ""),
        ("?!.", ""),
    ],
)
def test_normalise_text(text, expected) -> None:
    assert normalise_text(text) == expected


BLINK_CHOICES = {
    "Spatial_Relation": ["yes", "no"],
    "Relative_Depth": ["A is closer", "B is closer"],
    "Multi-view_Reasoning": ["left", "right"],
}


@pytest.mark.parametrize(
    ("model", "subtask", "accuracy"),
    [
        ("GPT4o", "Spatial_Relation", 0.6923),
        ("GPT4o", "Relative_Depth", 0.7419),
        ("llava-v1.5-7b-xtuner", "Spatial_Relation", 0.6853),
        ("llava-v1.5-7b-xtuner", "Relative_Depth", 0.5161),
        ("llava-v1.5-7b-xtuner", "Multi-view_Reasoning", 0.3835),
    ],
)
def test_blink_outputs_get_the_accuracy_that_their_authors_got(
    realdata, model, subtask, accuracy
) -> None:
    path = realdata / "spatial_qa" / f"blink_outputs_{model}" / f"{subtask}.json"
    scores = []
    for item in json.loads(path.read_text())["val"]:
        parsed = parse_choice(item["full_prediction"], BLINK_CHOICES[subtask])
        scores.append(exact_choice(parsed.value, "AB".index(item["answer"][1])))
    assert np.mean(scores) == pytest.approx(accuracy, abs=5e-5)


def test_free_answers_of_gpt4o_are_read_as_their_authors_read_them_or_not_at_all(realdata) -> None:
    path = realdata / "spatial_qa/blink_outputs_GPT4o/Multi-view_Reasoning.json"
    items = json.loads(path.read_text())["val"]
    parsed = [parse_choice(item["full_prediction"], ["left", "right"]) for item in items]
    read = [(p.value, "AB".find(i["prediction"][1])) for p, i in zip(parsed, items, strict=True)]
    assert all(ours == theirs for ours, theirs in read if ours is not None)
    assert sum(ours is not None for ours, _ in read) > 10
