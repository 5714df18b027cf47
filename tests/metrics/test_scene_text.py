from __future__ import annotations

import pytest

from g2vlm_bench.metrics.scene_text import (
    chrf,
    decided_share,
    harmonic_mean,
    precision_recall,
    resolve_names,
)


def test_precision_and_recall_by_hand() -> None:
    assert precision_recall({1, 2, 3, 4}, {1, 2}) == (0.5, 1.0)
    assert precision_recall([], {1}) == (0.0, 0.0)
    assert precision_recall({1, 2}, {1, 2}) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least one true fact"):
        precision_recall({1}, set())


def test_what_is_undecided_is_neither_right_nor_wrong() -> None:
    stated, true, undecided = {"a", "b", "x", "y"}, {"a", "c"}, {"x", "y", "z"}
    assert precision_recall(stated, true, undecided) == (1 / 2, 1 / 2)
    assert decided_share(stated, undecided) == 2 / 4
    # Who states nothing that is decided states nothing.
    assert precision_recall({"x"}, true, undecided) == (0.0, 0.0)
    assert decided_share({"x"}, undecided) == decided_share([], undecided) == 0.0
    with pytest.raises(ValueError, match="expected no true fact undecided, got 'a'"):
        precision_recall(stated, true, {"a"})


def test_harmonic_mean() -> None:
    assert harmonic_mean(1.0, 0.5) == pytest.approx(2 / 3)
    assert harmonic_mean(0.0, 0.0) == 0.0


def test_chrf_is_sacrebleus_best_reference() -> None:
    text = "a red box on the table"
    assert chrf(text, ["something else", text]) == 1.0
    assert chrf("", [text]) == 0.0
    assert 0.3 < chrf("the red box is on a table", [text]) < 0.9
    with pytest.raises(ValueError, match="at least one reference"):
        chrf(text, [])


def test_chrf_of_single_characters_by_hand() -> None:
    # "ab" against "ac": 1-grams 1 of 2 both ways, 2-grams 0 of 1: P = R = 1/4.
    assert chrf("ab", ["ac"]) == pytest.approx(0.25)


def test_the_only_table_needs_no_color() -> None:
    true = {
        ("blue table", "is", "there"), ("red box", "is", "there"), ("green box", "is", "there"),
        ("red object", "is", "there"), ("box", "number", "2"),
    }  # fmt: skip
    stated = {
        ("red box", "on", "table"), ("box", "on", "table"), ("table", "is", "there"),
        ("table", "number", "1"), ("lamp", "left of", "table"), ("table", "is", "shiny"),
    }  # fmt: skip
    assert resolve_names(stated, true) == {
        ("red box", "on", "blue table"), ("box", "on", "blue table"), ("table", "is", "there"),
        ("table", "number", "1"), ("lamp", "left of", "blue table"), ("blue table", "is", "shiny"),
    }  # fmt: skip
