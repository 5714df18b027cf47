"""Spatial QA by likelihoods: the most likely option is the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Inputs

made = load_module(Path(__file__).with_name("known_answers.py"))
LIKELIHOOD = made.LIKELIHOOD
CHOICE, YES, NO, NUMBER, TEXT = made.CHOICE, made.YES, made.NO, made.NUMBER, made.TEXT
choice, said, likely = made.choice, made.said, made.likely
NAN, INF = float("nan"), float("inf")


def test_the_most_likely_option_is_the_answer(load_family, score) -> None:
    family = load_family("spatial_qa", ["accuracy", "unparsed"], LIKELIHOOD)

    def accuracy(target, *values: float) -> float:
        return score(family, target, likely(*values)).values["accuracy@loglikelihood"]

    assert accuracy(CHOICE, -1, -2, -3, -4) == 1
    assert accuracy(CHOICE, -1, -0.5, -3, -4) == 0
    assert accuracy(choice("d", "a", "b", "c", "d"), -INF, -INF, -INF, -900) == 1
    # The first of the options of a yes / no question is yes.
    assert (accuracy(YES, -1, -2), accuracy(YES, -2, -1)) == (1, 0)
    assert (accuracy(NO, -1, -2), accuracy(NO, -2, -1)) == (0, 1)


@pytest.mark.parametrize(
    ("target", "values"),
    [(CHOICE, (-1, -1, -1, -1)), (CHOICE, (-1, -1, -2, -3)), (YES, (-1, -1)), (NO, (-1, -1)),
     (CHOICE, (-INF,) * 4)],
)  # fmt: skip
def test_a_tie_is_unparsed_and_never_the_first_option(load_family, score, target, values) -> None:
    family = load_family("spatial_qa", ["accuracy", "unparsed"], LIKELIHOOD)
    line = score(family, target, likely(*values))
    assert line.values == {"accuracy@loglikelihood": 0, "unparsed@loglikelihood": 1}


@pytest.mark.parametrize("values", [(), (-1, -2), (-1, -2, -3, NAN), (-1, -2, -3, -4, -5)], ids=str)
def test_likelihoods_that_are_none_fail(load_family, score, values) -> None:
    family = load_family("spatial_qa", ["accuracy", "chance_corrected_accuracy"], LIKELIHOOD)
    line = score(family, CHOICE, likely(*values))
    assert line.status == "failed"
    assert line.worst["chance_corrected_accuracy@loglikelihood"] == pytest.approx(-1 / 3)
    assert score(family, CHOICE, said("A")).status == "failed"


def test_a_question_without_options_has_no_part_in_likelihoods(load_family, score, result) -> None:
    family = load_family("spatial_qa", ["accuracy"], LIKELIHOOD)
    lines = [
        score(family, NUMBER, likely(), id="a"),
        score(family, TEXT, RuntimeError("boom"), id="b"),
        score(family, YES, likely(-1, -2), id="c"),
    ]
    found = result(family, lines, "accuracy@loglikelihood")
    assert (found.value, found.n_scored, found.n_failed) == (1, 1, 0)


def test_what_one_protocol_lacks_is_no_failure_under_the_other(load_family, score) -> None:
    family = load_family("spatial_qa", ["accuracy"], {}, LIKELIHOOD)
    line = score(family, CHOICE, said("A"))
    assert line.values == {"accuracy@strict": 1, "accuracy@loglikelihood": None}
    line = score(family, CHOICE, likely(-1, -2, -3, -4))
    assert line.values == {"accuracy@strict": None, "accuracy@loglikelihood": 1}
    assert score(family, NUMBER, said("2")).values == {"accuracy@strict": 1}


def test_the_texts_to_weigh_of_a_choice_are_its_letters(load_family) -> None:
    family = load_family("spatial_qa", ["accuracy"], LIKELIHOOD)
    asked = Inputs(id="q", question="Where?", choices=("left", "right"), answer_type="choice")
    assert family.prepare(asked).continuations == ("A", "B")
    assert family.prepare(replace(asked, answer_type="text")).continuations == ()
