"""Spatial QA: prompts, answers of every type, chance correction, categories, likelihoods."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import msgspec
import numpy as np
import pytest

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Prediction, Target
from g2vlm_bench.store import SampleLine
from g2vlm_bench.task import NoTruthError

METRICS = ["accuracy", "chance_corrected_accuracy", "mean_relative_accuracy", "unparsed"]
LIKELIHOOD = {"scoring": "loglikelihood"}
NAN, INF = float("nan"), float("inf")


def choice(answer: str, *choices: str) -> Target:
    return Target(answer=answer, choices=choices, answer_type="choice")


CHOICE = choice("left", "left", "right", "behind", "above")
YES = Target(answer="yes", answer_type="yes_no")
NO = Target(answer="no", answer_type="yes_no")
NUMBER = Target(answer=2.0, answer_type="number")
TEXT = Target(answer="red box", accepted=("crate",), answer_type="text")
EVERY = {"choice": CHOICE, "yes": YES, "no": NO, "number": NUMBER, "text": TEXT}


def said(text: str) -> Prediction:
    return Prediction(answer=text)


def likely(*values: float) -> Prediction:
    return Prediction(choice_loglikelihoods=np.array(values, float))


# --------------------------------------------------------------------------------- protocols


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
    assert set().union(*options) == fields - {"profile", "means"}
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


# ----------------------------------------------------------------------------------- prompts

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


# ----------------------------------------------------------------------------------- answers


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


def replace_id(line: SampleLine, id: str) -> SampleLine:
    return msgspec.structs.replace(line, id=id, cluster=id)


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


def test_mean_relative_accuracy_is_over_numbers_alone(load_family, score, result) -> None:
    family = load_family("spatial_qa", METRICS)
    lines = [replace_id(score(family, target, said("2.5")), kind) for kind, target in EVERY.items()]
    lines.append(replace_id(score(family, NUMBER, RuntimeError("boom")), "failed"))
    found = result(family, lines, "mean_relative_accuracy@strict")
    assert found.value == pytest.approx(0.6 / 2)
    assert (found.n_scored, found.n_failed, found.n_unscored) == (1, 1, 0)


# --------------------------------------------------------------------------- chance correction


def test_chance_corrected_accuracy_is_a_ratio_of_sums(load_family, score, result) -> None:
    rng = np.random.default_rng(3)
    targets = [
        CHOICE,
        choice("b", "a", "b"),
        choice("c", "a", "b", "c"),
        YES,
        NO,
        NUMBER,
        TEXT,
    ]
    options = [4, 2, 3, 2, 2, None, None]
    family = load_family("spatial_qa", ["chance_corrected_accuracy"])
    name = "chance_corrected_accuracy@strict"
    for _ in range(20):
        picked = rng.integers(len(targets), size=12)
        lines, credit, chances = [], 0.0, 0.0
        for number, index in enumerate(picked):
            target = targets[index]
            right = family.truth(target)
            answer = [right, said(""), said("2.5"), RuntimeError("boom")][rng.integers(4)]
            lines.append(score(family, target, answer, id=str(number)))
            earned = 0.6 if target is NUMBER and getattr(answer, "answer", "") == "2.5" else 0.0
            credit += 1.0 if answer is right else earned
            chances += 1 / options[index] if options[index] else 0.0
        expected = (credit - chances) / (len(picked) - chances)
        assert result(family, lines, name).value == pytest.approx(expected)


def test_chance_correction_by_hand(load_family, score, result) -> None:
    family = load_family("spatial_qa", ["accuracy", "chance_corrected_accuracy"])
    # Right of four options, wrong of two, failed of two: (1 - 1.25) / (3 - 1.25).
    lines = [
        score(family, CHOICE, said("A"), id="a"),
        score(family, YES, said("no"), id="b"),
        score(family, NO, RuntimeError("boom"), id="c"),
    ]
    found = result(family, lines, "chance_corrected_accuracy@strict")
    assert found.value == pytest.approx(-0.25 / 1.75)
    assert (found.n_scored, found.n_failed) == (2, 1)
    assert result(family, lines, "accuracy@strict").value == pytest.approx(1 / 3)


def test_a_guesser_has_chance_corrected_accuracy_0(load_family, score, result) -> None:
    family = load_family("spatial_qa", ["chance_corrected_accuracy"])
    # Every answer once to every question, so that the share of right ones is exactly chance.
    lines = [score(family, CHOICE, said(letter), id=letter) for letter in "ABCD"]
    lines += [score(family, YES, said(word), id=word) for word in ("yes", "no")]
    found = result(family, lines, "chance_corrected_accuracy@strict")
    assert found.value == pytest.approx(0, abs=1e-12)


def test_categories_have_numbers_of_their_own(load_family, score) -> None:
    family = load_family("spatial_qa", METRICS)
    lines = []
    for number, (target, text, tag) in enumerate(
        [(YES, "yes", "side"), (YES, "no", "side"), (NUMBER, "2", "size"), (NUMBER, "", "size")]
    ):
        line = score(family, target, said(text), id=str(number))
        lines.append(msgspec.structs.replace(line, tags={"family": tag}))
    gathered = aggregate(family.specs, lines)
    table = {
        value: {r.metric.partition("@")[0]: (r.value, r.n_scored) for r in results}
        for value, results in gathered.categories(seed=0)["family"].items()
    }
    assert table == {
        "side": {
            "accuracy": (0.5, 2),
            "chance_corrected_accuracy": (0, 2),
            "mean_relative_accuracy": (None, 0),
            "unparsed": (0, 2),
        },
        "size": {
            "accuracy": (0.5, 2),
            "chance_corrected_accuracy": (0.5, 2),
            "mean_relative_accuracy": (0.5, 2),
            "unparsed": (0.5, 2),
        },
    }
    assert gathered.parse_statuses == {"parsed": 3, "empty": 1}


# -------------------------------------------------------------------------------- likelihoods


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


# ------------------------------------------------------------------------------------- truth


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


# --------------------------------------------------------- published scorers, means, groups, places

REGION = np.zeros((40, 80), bool)
REGION[10:20, 20:60] = True
POINTS = Target(answer="", answer_type="points", region=REGION, image_size=(40, 80))
BOX = Target(answer="", answer_type="box", box=np.array([8.0, 4, 40, 24]), image_size=(40, 80))
MOVES = Target(answer="move_right:0.3,rotate_left:12", answer_type="camera_change")


def lines(family, asked: list[tuple[Target, str, dict, dict]]) -> list[SampleLine]:
    """Lines as the score stage writes them: target, answer, tags, groups."""
    found = []
    for number, (target, text, tags, groups) in enumerate(asked):
        score = family.score(target, said(text), None)
        found.append(
            SampleLine(
                id=str(number), cluster=str(number), status="scored", tags=tags, groups=groups,
                values={name: value for name, value in score.values.items() if value == value},
                weights=dict(family.weights(target)), worst=dict(family.worst(target)),
                details=dict(score.details),
            )
        )  # fmt: skip
    return found


def value(family, metric: str, asked) -> float:
    return aggregate(family.specs, lines(family, asked)).columns[metric].result(0).value


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


def test_a_published_scorer_stands_beside_the_strict_one(load_family) -> None:
    rules = {"rules": {"choice": "spar_exact_match"}}
    family = load_family("spatial_qa", ["accuracy", "unparsed"], {}, rules)
    found = family.score(CHOICE, said(""), None)
    assert found.values["accuracy@strict"] == 0
    assert found.values["accuracy@choice_spar_exact_match"] == 1
    assert found.values["unparsed@choice_spar_exact_match"] == 1  # right, and nothing was read
    # It has no rule for numbers, and leaves them out.
    asked = [(CHOICE, "A", {}, {}), (NUMBER, "2", {}, {})]
    gathered = aggregate(family.specs, lines(family, asked)).columns
    assert gathered["accuracy@choice_spar_exact_match"].result(0).n_scored == 1
    assert gathered["accuracy@strict"].result(0).n_scored == 2


def test_an_answer_that_leaves_the_published_mean_stands_in_ours_and_beside_it(load_family) -> None:
    family = load_family("spatial_qa", ["accuracy"], {}, {"rules": {"choice": "ost_judgement"}})
    asked = [(CHOICE, "left", {}, {}), (CHOICE, "", {}, {})]
    found = aggregate(family.specs, lines(family, asked)).columns["accuracy@choice_ost_judgement"]
    assert found.result(0).value == 0.5
    assert found.result(0).value_scored == 1.0


MEANS = {
    "means": {
        "overall": {"by": "kind", "of": ["a", ["b", "c"]]},
        "percent": {"by": "kind", "scale": 100},
        "a_alone": {"by": "kind", "of": ["a"]},
    }
}


def test_means_are_metrics_of_their_own_names(load_family) -> None:
    metrics = ["accuracy", "means"]
    family = load_family("spatial_qa", metrics, {}, LIKELIHOOD, options=MEANS)
    assert [spec.name for spec in family.specs][:4] == [
        "accuracy@strict", "overall@strict", "percent@strict", "a_alone@strict",
    ]  # fmt: skip
    asked = [
        (CHOICE, text, {"kind": kind}, {}) for text, kind in zip("AABABB", "aaabbc", strict=True)
    ]
    # a: 2 of 3, b: 1 of 2, c: 0 of 1.
    strict = load_family("spatial_qa", metrics, {}, options=MEANS)
    assert value(strict, "accuracy@strict", asked) == pytest.approx(3 / 6)
    assert value(strict, "overall@strict", asked) == pytest.approx((2 / 3 + (1 / 2 + 0) / 2) / 2)
    assert value(strict, "percent@strict", asked) == pytest.approx(100 * (2 / 3 + 1 / 2) / 3)
    assert value(strict, "a_alone@strict", asked) == pytest.approx(2 / 3)


def test_a_protocols_mean_takes_the_place_of_the_tasks(load_family) -> None:
    own = {"rules": {"choice": "first_token"}, "means": {"overall": {}}}
    family = load_family("spatial_qa", ["means"], {}, own, options=MEANS)
    asked = [
        (CHOICE, text, {"kind": kind}, {}) for text, kind in zip("AAABB", "aaabc", strict=True)
    ]
    assert value(family, "overall@strict", asked) == pytest.approx(0.5)
    assert value(family, "overall@choice_first_token", asked) == pytest.approx(3 / 5)


def test_a_mean_may_not_take_a_metrics_name(load_family) -> None:
    with pytest.raises(BenchError, match="expected names that no metric has, got 'unparsed'"):
        load_family("spatial_qa", ["means"], {}, options={"means": {"unparsed": {}}})


def test_circular_and_flip_groups_are_right_when_all_of_them_are(load_family) -> None:
    metrics = ["accuracy", "circular_accuracy", "flip_accuracy", "flip_circular_accuracy"]
    family = load_family("spatial_qa", metrics, {})
    asked = []
    for qid, text in (("q", "A"), ("q-1", "A"), ("q-flip", "A"), ("q-flip-1", "B")):
        groups = {
            "circular": "q-flip" if "flip" in qid else "q",
            "flip": qid.replace("-flip", ""),
            "flip_circular": "q",
        }
        asked.append((CHOICE, text, {}, groups))
    assert value(family, "accuracy@strict", asked) == 0.75
    assert value(family, "circular_accuracy@strict", asked) == 0.5  # q, not q-flip
    assert value(family, "flip_accuracy@strict", asked) == 0.5  # q and q-flip, not the -1
    assert value(family, "flip_circular_accuracy@strict", asked) == 0.0


def test_the_texts_to_weigh_of_a_choice_are_its_letters(load_family) -> None:
    family = load_family("spatial_qa", ["accuracy"], LIKELIHOOD)
    asked = Inputs(id="q", question="Where?", choices=("left", "right"), answer_type="choice")
    assert family.prepare(asked).continuations == ("A", "B")
    assert family.prepare(replace(asked, answer_type="text")).continuations == ()
