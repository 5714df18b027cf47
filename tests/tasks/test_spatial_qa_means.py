"""Spatial QA: how samples become one number, by chance, kinds and groups, and as published."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Target
from g2vlm_bench.store import SampleLine

made = load_module(Path(__file__).with_name("known_answers.py"))
METRICS, LIKELIHOOD = made.METRICS, made.LIKELIHOOD
CHOICE, YES, NO, NUMBER, TEXT = made.CHOICE, made.YES, made.NO, made.NUMBER, made.TEXT
EVERY = made.EVERY
choice, said, replace_id = made.choice, made.said, made.replace_id


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


# -------------------------------------------------------------------------- numbers and chance


def test_mean_relative_accuracy_is_over_numbers_alone(load_family, score, result) -> None:
    family = load_family("spatial_qa", METRICS)
    lines = [replace_id(score(family, target, said("2.5")), kind) for kind, target in EVERY.items()]
    lines.append(replace_id(score(family, NUMBER, RuntimeError("boom")), "failed"))
    found = result(family, lines, "mean_relative_accuracy@strict")
    assert found.value == pytest.approx(0.6 / 2)
    assert (found.n_scored, found.n_failed, found.n_unscored) == (1, 1, 0)


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


# ------------------------------------------------------------ published scorers, means, groups


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
