"""Spatial QA: what a protocol asks, and answers of every type, right, wrong, unread and untrue."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Inputs, Target
from g2vlm_bench.task import NoTruthError

made = load_module(Path(__file__).with_name("known_answers.py"))
METRICS, LIKELIHOOD = made.METRICS, made.LIKELIHOOD
CHOICE, YES, NO, NUMBER, TEXT = made.CHOICE, made.YES, made.NO, made.NUMBER, made.TEXT
EVERY = made.EVERY
choice, said, replace_id = made.choice, made.said, made.replace_id
NAN, INF = float("nan"), float("inf")


# ----------------------------------------------------------------------------------- protocols


def test_the_label_of_every_protocol_names_every_departure_from_the_default(load_family) -> None:
    options = [
        {"scoring": scoring, **tolerance}
        for scoring, tolerance in product(
            ["generation", "loglikelihood"],
            [{}, {"tolerance": 0}, {"tolerance": 0.1}, {"tolerance": 0.15}],
        )
    ] + [
        {"point_scale": "thousand"},
        {"points": "any"},
        {"box_overlap": 0.75},
        {"rules": {"choice": "first_token"}},
        {"rules": {"choice": "first_token"}, "thought": "lmms_eval"},
        {"rules": {"number": "first_number", "choice": "first_token"}},
    ]
    family = load_family("spatial_qa", ["accuracy"], *options)
    fields = set(type(family.protocols[0]).__struct_fields__)
    # A mean is a metric of its own name.
    assert set().union(*options) == fields - {"profile", "means", "metrics"}
    assert [spec.protocol for spec in family.specs] == [
        "strict", "strict+tol0", "strict+tol0.1", "strict+tol0.15",
        "loglikelihood", "loglikelihood+tol0", "loglikelihood+tol0.1", "loglikelihood+tol0.15",
        "strict+thousand", "strict+any_point", "strict+iou0.75",
        "choice_first_token", "lmms_eval+choice_first_token",
        "choice_first_token+number_first_number",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("protocols", [{"scorin": "generation"}], "Did you mean 'scoring'?"),
        ("protocols", [{"scoring": "likelihood"}], "scoring"),
        ("protocols", [{"tolerance": -0.1}], "tolerance"),
        ("protocols", [{"tolerance": NAN}], "tolerance"),
        ("protocols", [{"rules": {"choice": "first_toke"}}], "Did you mean 'first_token'?"),
        ("protocols", [{"rules": {"number": "first_token"}}], "no rule 'first_token' for number"),
        ("protocols", [{"scoring": "loglikelihood", "rules": {"text": "x"}}], "rule"),
        ("protocols", [{"thought": "lmms_eval"}], "expected rules to remove thoughts for"),
        ("protocols", [{"means": {"overall": {"of": ["a"]}}}], "expected 'by'"),
        ("protocols", [{"means": {"m": {"by": "t", "of": ["a", ["a"]]}}}], "each value once"),
        ("protocols", [{"means": {"m": {"by": "t", "of": [[]]}}}], "expected values of a tag"),
        ("options", {"befor": "x"}, "Did you mean 'before'?"),
        ("options", {"instructions": {"choices": "x"}}, "Did you mean 'choice'?"),
        ("options", {"instructions": {"number": 3}}, "instructions"),
    ],
)
def test_a_broken_key_is_refused_when_the_task_is_read(load_family, key, content, message) -> None:
    protocols = content if key == "protocols" else [{}]
    options = content if key == "options" else {}
    with pytest.raises(BenchError, match=f"spatial_qa/test, key '{key}'") as error:
        load_family("spatial_qa", ["accuracy"], *protocols, options=options)
    assert message in str(error.value)


def test_what_a_model_must_predict(load_family) -> None:
    def wants(*scorings: str) -> list[set[str]]:
        protocols = [{"scoring": scoring} for scoring in scorings]
        return [{*w} for w in load_family("spatial_qa", ["accuracy"], *protocols).wants]

    assert wants("generation") == [{"answer"}]
    assert wants("loglikelihood") == [{"choice_loglikelihoods"}]
    assert wants("generation", "loglikelihood") == [{"answer", "choice_loglikelihoods"}]


# ------------------------------------------------------------------------------------- prompts

PROMPTS = {
    "choice": "Where is it?\nOptions:\nA. on the left\nB. 2.5 m away\n"
    "Answer with the option's letter from the given choices directly.",
    "yes_no": "Where is it?\nAnswer with yes or no.",
    "number": "Where is it?\nAnswer with a single number.",
    "text": "Where is it?\nAnswer the question using a single word or phrase.",
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_are_exactly_as_documented(load_family, kind) -> None:
    choices = ("on the left", "2.5 m away") if kind == "choice" else ()
    inputs = Inputs(id="a", question="Where is it?", choices=choices, answer_type=kind)
    assert load_family("spatial_qa", ["accuracy"]).prepare(inputs).prompt == PROMPTS[kind]
    family = load_family(
        "spatial_qa",
        ["accuracy"],
        options={"before": "Look.", "instructions": {"choice": "Letter!", "text": ""}},
    )
    head = "Look.\n" + "\n".join(PROMPTS[kind].splitlines()[:-1])
    tail = {"choice": "\nLetter!", "text": ""}.get(kind, "\n" + PROMPTS[kind].splitlines()[-1])
    assert family.prepare(inputs).prompt == head + tail


def test_only_yes_no_questions_are_given_options_and_the_question_stays_bare(load_family) -> None:
    family = load_family("spatial_qa", ["accuracy"], LIKELIHOOD)
    yes_no = family.prepare(Inputs(id="a", question="Is it?", answer_type="yes_no"))
    assert (yes_no.choices, yes_no.question) == (("yes", "no"), "Is it?")
    number = family.prepare(Inputs(id="a", question="How far?", answer_type="number"))
    assert number.choices == ()


# ------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("target", "right", "wrong"),
    [
        (CHOICE, ["A", "(a)", "A.", "left", "The answer is A."], ["B", "right", "E", "above"]),
        (YES, ["yes", "Yes.", "True"], ["no", "No, it is not."]),
        (NO, ["no", "False"], ["yes", "Yes"]),
        (NUMBER, ["2", "2.0", "two", "It is 2 m away."], ["3", "-2", "20"]),
        (TEXT, ["red box", "The red box.", "crate", "Answer: crate"], ["box", "red", "blue box"]),
    ],
)
def test_right_and_wrong_answers(load_family, score, target, right, wrong) -> None:
    family = load_family("spatial_qa", ["accuracy", "unparsed"], {"tolerance": 0})
    for text in right:
        assert score(family, target, said(text)).values["accuracy@strict+tol0"] == 1, text
    for text in wrong:
        assert score(family, target, said(text)).values["accuracy@strict+tol0"] == 0, text


@pytest.mark.parametrize("text", ["", "  \n", "...", "<think>A yes 2 red box", "I cannot tell."])
@pytest.mark.parametrize("kind", EVERY)
def test_an_empty_or_unreadable_answer_is_wrong_and_counted(
    load_family, score, result, kind, text
) -> None:
    family = load_family("spatial_qa", METRICS)
    line = score(family, EVERY[kind], said(text))
    assert line.status == "scored"
    assert line.values["accuracy@strict"] == 0
    assert line.values["chance_corrected_accuracy@strict"] <= 0
    readable = kind == "text" and text == "I cannot tell."
    assert line.values["unparsed@strict"] == (not readable)
    unreadable = text in ("...", "I cannot tell.")
    expected = "parsed" if readable else "unparsed" if unreadable else "empty"
    assert line.details["parse_status"] == expected
    assert line.details["strict"]["read"] == ("i cannot tell" if readable else None)
    # It stays in the denominator.
    both = [line, replace_id(score(family, EVERY[kind], family.truth(EVERY[kind])), "b")]
    assert result(family, both, "accuracy@strict").value == 0.5


def test_numbers_earn_their_mean_relative_accuracy_or_a_tolerance(load_family, score) -> None:
    family = load_family(
        "spatial_qa", ["accuracy", "mean_relative_accuracy"], {}, {"tolerance": 0.1}
    )
    # Errors 0, 5 %, 10 %, 25 %, 50 %, 55 % meet 10, 10, 9, 6, 1 and 0 of the allowances
    # 5 %, 10 % ... 50 %.
    for text, share, within in (
        ("2", 1, 1), ("2.1", 1, 1), ("1.8", 0.9, 1), ("2.5", 0.6, 0), ("3", 0.1, 0), ("3.1", 0, 0),
        ("-2", 0, 0), ("nothing", 0, 0),
    ):  # fmt: skip
        assert score(family, NUMBER, said(text)).values == {
            "accuracy@strict": share,
            "mean_relative_accuracy@strict": share,
            "accuracy@strict+tol0.1": within,
            "mean_relative_accuracy@strict+tol0.1": share,
        }


# --------------------------------------------------------------------------------------- truth


@pytest.mark.parametrize(
    "target",
    [
        Target(), Target(answer="left"), Target(answer_type="yes_no"),
        choice("left"), choice("left", "left"), choice("left", "right", "behind"),
        choice("left", "left", "Left."), choice("0", *map(str, range(27))),
        replace(YES, answer="Yes"), replace(YES, answer="maybe"),
        replace(NUMBER, answer="far"), replace(NUMBER, answer=NAN), replace(NUMBER, answer=INF),
        replace(TEXT, answer=""), replace(TEXT, answer="?!"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prediction", [said("no"), said("left"), RuntimeError("boom")])
def test_an_answer_that_none_could_match_is_no_truth(
    load_family, score, target, prediction
) -> None:
    family = load_family("spatial_qa", METRICS)
    assert score(family, target, prediction).status == "unscored"


@pytest.mark.parametrize("number", [0, 3, -7.25, 0.1 + 0.2, 1e-7, 1.5e16, 123456789.123456789])
def test_a_true_number_is_right_to_the_last_digit(load_family, score, number) -> None:
    family = load_family("spatial_qa", ["accuracy"], {"tolerance": 0})
    target = replace(NUMBER, answer=number)
    assert score(family, target, family.truth(target)).values == {"accuracy@strict+tol0": 1}


@pytest.mark.parametrize("kind", EVERY)
def test_a_failure_counts_as_a_wrong_answer(load_family, score, result, kind) -> None:
    family = load_family("spatial_qa", METRICS)
    failed = [score(family, EVERY[kind], RuntimeError("boom"))]
    wrong = [score(family, EVERY[kind], said(""))]
    for spec in family.specs:
        assert result(family, failed, spec.name).value == result(family, wrong, spec.name).value
    assert result(family, failed, "accuracy@strict").n_failed == 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("2.5 m", 1.0),
        ("2.5", 1.0),
        ("250 cm", 1.0),
        ("0.0025 km", 1.0),
        ("about 250 centimetres", 1.0),
        ("250 m", 0.0),
        ("2.5 cm", 0.0),
        ("2.5 seconds", 0.0),
    ],
)
def test_a_number_in_another_unit_is_converted_and_one_of_another_kind_is_not_read(
    load_family, score, answer, right
) -> None:
    family = load_family("spatial_qa", ["accuracy", "unparsed"], {"tolerance": 0})
    target = Target(answer=2.5, answer_type="number", unit="m")
    line = score(family, target, said(answer))
    assert line.values["accuracy@strict+tol0"] == right
    assert line.values["unparsed@strict+tol0"] == ("seconds" in answer)


# ---------------------------------------------------------------------------- places and moves

REGION = np.zeros((40, 80), bool)
REGION[10:20, 20:60] = True
POINTS = Target(answer="", answer_type="points", region=REGION, image_size=(40, 80))
BOX = Target(answer="", answer_type="box", box=np.array([8.0, 4, 40, 24]), image_size=(40, 80))
MOVES = Target(answer="move_right:0.3,rotate_left:12", answer_type="camera_change")


@pytest.mark.parametrize(
    ("target", "right", "half", "wrong"),
    [
        (POINTS, "(0.5, 0.4)", "[(0.5, 0.4), (0.9, 0.9)]", "(0.9, 0.9)"),
        (BOX, "[0.1, 0.1, 0.5, 0.6]", None, "[0.5, 0.5, 0.9, 0.9]"),
        (MOVES, "move_right:0.3, rotate_left:12", "move_right:0.3", "move_right:-3"),
    ],
)
def test_places_and_moves_are_counted(load_family, target, right, half, wrong) -> None:
    family = load_family("spatial_qa", ["accuracy", "chance_corrected_accuracy"], {})
    for text, expected in ((right, 1.0), (half, 0.5), (wrong, 0.0)):
        if text is not None:
            assert family.score(target, said(text), None).values["accuracy@strict"] == expected
    truth = family.score(target, family.truth(target), None)
    assert truth.values["accuracy@strict"] == 1
    assert truth.values["chance_corrected_accuracy@strict"] == 1


def test_a_guessed_point_is_right_by_the_regions_share_of_the_image(load_family) -> None:
    family = load_family("spatial_qa", ["accuracy", "chance_corrected_accuracy"], {})
    guess = 400 / 3200
    wrong = family.score(POINTS, said("(0.9, 0.9)"), None).values
    assert wrong["chance_corrected_accuracy@strict"] == pytest.approx(-guess / (1 - guess))


@pytest.mark.parametrize(
    "broken",
    [
        replace(POINTS, region=None),
        replace(POINTS, region=np.ones((40, 80), bool)),
        replace(POINTS, region=np.zeros((40, 80), bool)),
        replace(BOX, box=None),
        replace(MOVES, answer="nowhere"),
    ],
)
def test_a_place_that_no_answer_can_meet_or_miss_is_no_truth(load_family, broken) -> None:
    family = load_family("spatial_qa", ["accuracy"], {})
    with pytest.raises(NoTruthError):
        family.score(broken, said("(0.5, 0.5)"), None)


@pytest.mark.parametrize("scale", ["thousand", "pixel"])
def test_a_point_on_another_scale_than_asked_is_unparsed(load_family, scale) -> None:
    family = load_family("spatial_qa", ["accuracy", "unparsed"], {}, {"point_scale": scale})
    found = family.score(POINTS, said({"thousand": "(500, 400)", "pixel": "(40, 16)"}[scale]), None)
    assert found.values[f"accuracy@strict+{scale}"] == 1
    assert found.values["accuracy@strict"] == 0
    assert found.values["unparsed@strict"] == 1
