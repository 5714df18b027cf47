"""Every documented quirk of a published scorer, one line each, beside the strict reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.protocols.answers import RULES, Mean, QaProtocol
from g2vlm_bench.protocols.true_answers import true_answer
from g2vlm_bench.sample import Prediction, Target

adversarial = load_module(Path(__file__).parents[2] / "scripts" / "adversarial_answers.py")
PROFILES = {"strict": QaProtocol(), **adversarial.profiles()}


def choice(answer: str, *choices: str, kind: str = "") -> Target:
    return Target(answer=answer, choices=choices, answer_type="choice", question_type=kind)


def number(answer: float, kind: str = "", unit: str = "") -> Target:
    return Target(answer=answer, answer_type="number", question_type=kind, unit=unit)


def change(answer: str) -> Target:
    return Target(answer=answer, answer_type="camera_change")


def place(*corners: tuple[int, int]) -> Target:
    """A region of columns 40 to 59 and rows 20 to 29 in an image of 100 x 100."""
    region = np.zeros((100, 100), bool)
    region[20:30, 40:60] = True
    polygon = np.array(corners or [(40, 20), (60, 20), (60, 30), (40, 30)], float)
    return Target(
        answer="", answer_type="points", region=region, polygon=polygon, image_size=(100, 100)
    )


A = choice("left", "left", "right", "front", "back")
B = choice("right", "left", "right", "front", "back")
FIRST = choice("left", "left", "right", kind="x(Judgement)")
LONG = choice("in front", "in front", "behind and to the left of it", kind="x(Judgement)")
COUNT = "Agent_visible_info-quantity(Counting)"
ESTIMATE = "Agent_state-position(Estimation)"
SAID_JSON = '```json\n[{"point_2d": [900, 900]}, {"point_2d": [500, 250]}]\n```'
QUIRKS = {
    "an empty answer is right": (A, "", {"official.spar_bench": 1, "strict": 0}),
    "a word that starts with the letter": (B, "Both", {"official.spar_bench": 1, "strict": 0}),
    "a string that begins with it": (A, "Apple", {"official.spar_bench": 1, "strict": 0}),
    "the word Answer starts with A": (A, "Answer: B", {"official.spar_bench": 1, "strict": 0}),
    "unparsed becomes A": (A, "I cannot tell", {"official.omnispatial": 1, "strict": 0}),
    "and is wrong elsewhere": (B, "I cannot tell", {"lmms_eval.omnispatial": 0, "strict": 0}),
    "a letter in lower case": (B, "answer: b", {"official.omnispatial": 0, "strict": 1}),
    "first token only": (A, "(A)", {"official.vsi_bench": 0, "vlmevalkit.vsi_bench": 1}),
    "a sentence": (A, "The answer is A", {"official.vsi_bench": 0, "vlmevalkit.vsi_bench": 1}),
    "a hedge": (A, "A or B", {"official.vsi_bench": 1, "vlmevalkit.vsi_bench": 0, "strict": 0}),
    "I think reads as I": (B, "I think B", {"lmms_eval.blink": 0, "strict": 1}),
    "the article": (A, "a chair", {"lmms_eval.viewspatial": 1, "strict": 0}),
    "the e of i.e.": (B, "Right, i.e. B", {"lmms_eval.mmsi_bench": 0, "official.mmsi_bench": 1}),
    "a letter of a word": (B, "The answer is Box", {"lmms_eval.spatialviz": 1, "strict": 0}),
    "a random letter's mean": (A, "no idea", {"lmms_eval.site": 0.25, "strict": 0}),
    "last capital before a stop": (B, "B, not C.", {"official.mindcube": 0, "strict": 1}),
    "judged by GPT there": (B, "The answer is (B).", {"official.blink": 0, "strict": 1}),
    "an option named and denied": (B, "not right", {"vlmevalkit.blink": 1, "strict": 0}),
    "brackets kept": (B, "The answer is (B)", {"lmms_eval.stare": 0, "strict": 1}),
    "a space chooses the first": (FIRST, " ", {"official.ost_bench": 1, "strict": 0}),
    "letters attract long options": (LONG, "it is in front of the table", {
        "official.ost_bench": 0, "strict": 1,
    }),
    "an empty answer leaves the mean": (FIRST, "", {"official.ost_bench": None, "strict": 0}),
    "so does a failure": (FIRST, "Failed", {"vlmevalkit.ost_bench": None, "official.ost_bench": 1}),
    "words inside words": (number(1, COUNT), "someone", {"official.ost_bench": 1, "strict": 0}),
    "3.0 counts": (number(3, COUNT), "3.0", {
        "official.ost_bench": 1, "vlmevalkit.ost_bench": 0, "strict": 1,
    }),
    # |44 - 40| / 40 is 0.1: <= 0.10 meets one threshold more than <.
    "< in relative accuracy": (number(40, ESTIMATE), "44", {
        "official.ost_bench": 0.8, "vlmevalkit.vsi_bench": 0.9, "strict": 0.9,
    }),
    "<= in relative accuracy": (number(40), "60", {
        "official.vsi_bench": 0.1, "official.ost_bench": 0.0, "strict": 0.1,
    }),
    "thousands separator": (number(1200), "1,200", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 0, "vlmevalkit.vsi_bench": 0, "strict": 1,
    }),
    "number in a sentence": (number(3), "There are 3 boxes.", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 1, "strict": 1,
    }),
    "number word": (number(2), "two chairs", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 1, "strict": 1,
    }),
    "unit glued": (number(2.5, unit="m"), "2.5m", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 1, "strict": 1,
    }),
    "a range": (number(2), "between 2 and 3", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 0.1, "strict": 0,
    }),
    "two units": (number(3.5), "3.5 meters (11.5 feet)", {
        "official.vsi_bench": 1, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 0, "strict": 1,
    }),
    "an exponent": (number(150), "1.5e2", {
        "official.vsi_bench": 1, "lmms_eval.vsi_bench": 0, "vlmevalkit.vsi_bench": 1, "strict": 1,
    }),
    "a thought": (number(4), "<think>maybe 7</think>4", {
        "official.vsi_bench": 0, "lmms_eval.vsi_bench": 1, "vlmevalkit.vsi_bench": 1, "strict": 1,
    }),
    "twenty-one is -1": (number(21), "twenty-one", {"vlmevalkit.vsi_bench": 0, "strict": 1}),
    "18-56 is -56": (number(56), "18-56", {"vlmevalkit.vsi_bench": 0, "strict": 0}),
    "6m2 is 2": (number(2), "6m2", {"vlmevalkit.vsi_bench": 1, "strict": 0}),
    ".8 is 8": (number(8), ".8", {"lmms_eval.vsi_bench": 1, "strict": 0}),
    "a minus sign is lost": (number(3), "-3", {"official.spar_bench": 1, "strict": 0}),
    "the last of several views": (number(3, "depth_prediction_oc_mv"), "view 1: 3", {
        "official.spar_bench": 1,
    }),
    "the first of one view": (number(3, "depth_prediction_oc"), "view 1: 3", {
        "official.spar_bench": 0,
    }),
    # Along x 0.25 for 0.2: relative to the truth 0.25 (6 of 10), to the answer 0.2 (7 of 10). The
    # other four axes do not move: 1 each under both, and nothing under the strict reading.
    "arguments swapped": (change("move_right:0.2"), "move_right:0.25", {
        "official.spar_bench": 4.7 / 5, "vlmevalkit.spar_bench": 4.6 / 5, "strict": 0.6,
    }),
    "an answer of zeros": (change("move_right:0.2"), "move_right:0", {
        # A distance of 0.2 to the answer of 0 meets 6 of 10 thresholds by its floats.
        "official.spar_bench": 4.6 / 5, "vlmevalkit.spar_bench": 0.8, "strict": 0,
    }),
    # " move_up" is another key, so that the answer is taken to be 0 there: a distance of 0.4.
    "a space behind the comma": (change("move_right:2,move_up:0.4"), "move_right:2, move_up:0.4", {
        "official.spar_bench": 4.3 / 5, "vlmevalkit.spar_bench": 1, "strict": 1,
    }),
    "any of several points": (place(), SAID_JSON, {
        "lmms_eval.robospatial": 1, "lmms_eval.robospatial_first": 0, "vlmevalkit.refspatial": 0.5,
    }),
    "an upright rectangle": (place(), "(0.5, 0.25)", {
        "vlmevalkit.robospatial": 0, "official.robospatial": 1, "strict": 1,
    }),
    "a slanted one": (place((38, 20), (60, 22), (62, 30), (40, 28)), "(0.5, 0.25)", {
        "vlmevalkit.robospatial": 1, "official.robospatial": 1,
    }),
    "whole numbers are pixels": (place(), "(50, 25)", {
        "official.refspatial": 1, "lmms_eval.refspatial": 0, "strict": 0,
    }),
    "the scale guessed": (place(), '[{"point_2d": [500, 250]}]', {
        "vlmevalkit.refspatial": 1, "lmms_eval.refspatial": 0,
    }),
    "substrings of the last line": (Target(answer="yes", answer_type="yes_no"), "I know: yes", {
        "lmms_eval.robospatial": 0, "strict": 1,
    }),
    "the start of the answer": (Target(answer="no", answer_type="yes_no"), "Nothing fits", {
        "vlmevalkit.robospatial": 1, "official.robospatial": 1, "strict": 0,
    }),
    "one kind of vehicle": (Target(answer="suv", answer_type="text"), "sedan", {
        "vlmevalkit.spatial457": 1, "lmms_eval.spatial457": 0, "strict": 0,
    }),
    "any count is a yes": (Target(answer="Yes", answer_type="text"), "3", {
        "vlmevalkit.spatial457": 1, "lmms_eval.spatial457": 0, "strict": 0,
    }),
    "1 and true are the same": (Target(answer="1", answer_type="text"), "True", {
        "lmms_eval.spatial457": 1, "vlmevalkit.spatial457": 0, "strict": 0,
    }),
}  # fmt: skip


@pytest.mark.parametrize("quirk", list(QUIRKS))
def test_a_quirk(quirk) -> None:
    target, said, expected = QUIRKS[quirk]
    scores = {p: PROFILES[p].count(target, Prediction(answer=said)).score for p in expected}
    assert scores == {p: pytest.approx(score) for p, score in expected.items()}


def test_a_truth_of_zero_stops_vsi_bench_and_counts_elsewhere() -> None:
    zero = number(0.0)
    with pytest.raises(ValueError, match="expected a truth other than 0"):
        PROFILES["official.vsi_bench"].count(zero, Prediction(answer="0"))
    assert PROFILES["vlmevalkit.vsi_bench"].count(zero, Prediction(answer="0")).score == 1
    assert PROFILES["official.spar_bench"].count(zero, Prediction(answer="0.3")).score == 0.5
    assert PROFILES["strict"].count(zero, Prediction(answer="0.3")).score == 0


def test_a_negative_truth_makes_every_answer_right_in_vsi_bench() -> None:
    assert PROFILES["official.vsi_bench"].count(number(-2.0), Prediction(answer="9")).score == 1
    assert PROFILES["strict"].count(number(-2.0), Prediction(answer="9")).score == 0


@pytest.mark.parametrize("profile", ["official.ost_bench", "vlmevalkit.ost_bench"])
def test_an_estimate_of_0_has_no_value_in_ost_bench_and_one_in_the_strict_reading(profile) -> None:
    zero = number(0, kind=ESTIMATE)
    with pytest.raises(ValueError, match="expected a truth other than 0"):
        PROFILES[profile].count(zero, Prediction(answer="0"))
    assert PROFILES["strict"].count(zero, Prediction(answer="0")).score == 1


def test_a_profile_leaves_out_kinds_that_it_has_no_rule_for() -> None:
    assert not PROFILES["official.mindcube"].applies(number(1))
    assert PROFILES["official.mindcube"].applies(A)


def test_every_rule_is_used_by_a_profile() -> None:
    used = {(kind, rule) for p in PROFILES.values() for kind, rule in p.rules.items()}
    assert used == {(kind, rule) for kind, rules in RULES.items() for rule in rules}


def test_a_region_of_another_size_than_the_image_is_refused() -> None:
    wrong = Target(
        answer="", answer_type="points", region=np.ones((5, 5), bool), image_size=(100, 100)
    )
    with pytest.raises(ValueError, match="expected a region as large as the image"):
        PROFILES["strict"].count(wrong, Prediction(answer="(0.5, 0.5)"))


@pytest.mark.parametrize(
    ("target", "form", "written"),
    [
        (B, "", "B"),
        (B, "Answer: {letter}", "Answer: B"),
        (B, "{text}", "right"),
        (number(2.5), "", "2.5"),
        (place(), "[{{{gx}, {gy}}}]", "[{445, 245}]"),
    ],
)
def test_the_truth_is_written_as_the_prompt_asks(target, form, written) -> None:
    assert true_answer(target, form) == written


@pytest.mark.parametrize("scale", ["unit", "thousand", "pixel"])
def test_the_truth_of_points_and_boxes_is_best_on_every_scale(scale) -> None:
    strict = QaProtocol(point_scale=scale)
    box = Target(
        answer="", answer_type="box", box=np.array([10.0, 20, 60, 80]), image_size=(100, 200)
    )
    for target in (place(), box):
        said = Prediction(answer=true_answer(target, "", scale))
        assert strict.count(target, said).score == 1


def test_a_mean_of_means_says_each_share() -> None:
    mean = Mean(by="kind", of=["a", ["b", ["c", "d"]]])
    assert mean.shares == (("a", 0.5), ("b", 0.25), ("c", 0.125), ("d", 0.125))
    vsi = PROFILES["official.vsi_bench"].means["overall"]
    assert dict(vsi.shares)["object_counting"] == pytest.approx(1 / 8)
    assert dict(vsi.shares)["object_rel_direction_easy"] == pytest.approx(1 / 24)
    assert sum(dict(vsi.shares).values()) == pytest.approx(1)


# Where a model goes on without end: each stopped a run once, or kept one busy for minutes.
ENDLESS = {
    "blanks behind a phrase": "The answer is" + "\n" * 4000 + " left",
    "a word for a number": "hundred " * 400,
    "brackets": "[" * 4_000,
    "brackets in a code fence": "```json\n" + "[" * 4_000,
    "digits": "9" * 4000,
    "a point of many digits": f"({'9' * 4000}, 0.5)",
    "a pair of shares of many digits": f"[{'9' * 4000}, {'9' * 400}.5]",
    "a point in JSON": '[{"point_2d": [' + "9" * 4000 + ", 1]}]",
    "a point in fenced JSON": '```json\n[{"point_2d": [' + "9" * 4000 + ", 1]}]\n```",
    "a box": "(0.1, 0.1, 9999999999.5, 99999999.5)",
    "a fraction": "1/" + "9" * 4000,
    "a box in pixels that is read as shares": "(100, 200, 30000, 40000)",
    "a small number that int() cannot read": "\u00b2",
    "a list": "[" + "9" * 4000 + "]",
    "a move": "move_right:" + "9" * 4000,
    "an answer line": "answer: " + "9" * 4000 + ", reason: none",
    "a JSON number": '{"answer": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_every_rule_reads_a_text_without_end(text: str) -> None:
    targets = [A, FIRST, number(3, kind=COUNT), number(3.0, kind=ESTIMATE), change("move_left:1")]
    targets += [Target(answer="yes", answer_type="yes_no"), Target(answer="3", answer_type="text")]
    for target in [*targets, place()]:
        for name, profile in PROFILES.items():
            if profile.applies(target):
                counted = profile.count(target, Prediction(answer=text))
                assert counted.score is None or 0 <= counted.score <= 1, name


def test_a_box_counts_as_all_its_pixels_within_the_image_and_beyond_it() -> None:
    """RefSpatial: those outside are wrong; VLMEvalKit moves each of them to the edge first."""
    region = np.random.default_rng(0).random((20, 30)) < 0.4
    target = Target(answer="", answer_type="points", region=region, image_size=(20, 30))
    pixels = [(x, y) for y in range(-2, 23) for x in range(24, 36)]
    inside = [0 <= x < 30 and 0 <= y < 20 and region[y, x] for x, y in pixels]
    said = Prediction(answer=f"({24 / 30:.3f}, -0.1, 1.2, 1.15)")
    assert PROFILES["official.refspatial"].count(target, said).score == np.mean(inside)
    moved = [region[min(max(y, 0), 19), min(max(x, 0), 29)] for x, y in pixels]
    assert PROFILES["vlmevalkit.refspatial"].count(target, said).score == np.mean(moved)
