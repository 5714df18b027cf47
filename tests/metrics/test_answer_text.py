"""The shared rules: reasoning blocks, short text, and a record that cannot contradict itself."""

from __future__ import annotations

import pytest

from g2vlm_bench.metrics.answer_text import ParsedAnswer, after_reasoning, parse_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("<think>a</think> b", "b"),
        ("<think>a</think> b <reasoning>c</reasoning> d", "d"),
        ("a</think>b", "b"),
        ("b <think>a", ""),
        ("<think>a", ""),
        ("<THINK>a</THINK>b", "b"),
    ],
)
def test_reasoning_is_left_out(text, expected) -> None:
    assert after_reasoning(text) == expected


def test_a_model_that_repeats_a_tag_for_ever_is_read_in_linear_time() -> None:
    # Quadratic time was 20 s here, which no test run would overlook.
    for tag in ("<answer>", "<think>", "</think>", "\\boxed{"):
        assert parse_text(tag * 20_000).status in ("unparsed", "empty", "parsed")


def test_short_text() -> None:
    assert parse_text("The Sofa.").value == "sofa"
    assert parse_text("I see a chair. Answer: the sofa").value == "sofa"
    assert parse_text("<answer>Sofa</answer>").value == "sofa"
    assert parse_text("Answer: sofa\nAnswer: chair").status == "unparsed"
    assert parse_text("Answer: sofa. Wait, chair").status == "unparsed"
    assert parse_text("I don't think the answer is sofa").status == "unparsed"
    assert parse_text("people who wait").value == "people who wait"
    assert parse_text("?!").status == "unparsed"
    assert parse_text("<think>sofa").status == "empty"


@pytest.mark.parametrize(("value", "status"), [(0, "empty"), (1, "unparsed"), (None, "parsed")])
def test_a_value_stands_exactly_where_something_was_parsed(value, status) -> None:
    with pytest.raises(ValueError, match="exactly where"):
        ParsedAnswer(value, status, "a rule")
