"""Choices and yes / no: every usual form is read, and nothing is read that was not clearly said."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2vlm_bench.metrics.choices import parse_choice, parse_yes_no

COLOURS = ["red box", "blue ball", "green cone"]
POINTS = ["A is closer", "B is closer"]
SIDES = ["left", "right", "in front of", "behind"]
NESTED = ["left", "left of the box", "on/above"]
ANSWERS = ["yes", "no"]


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("B", COLOURS, 1),
        ("b", COLOURS, 1),
        ("(B)", COLOURS, 1),
        ("[B]", COLOURS, 1),
        ("B.", COLOURS, 1),
        ("B)", COLOURS, 1),
        (" **B** ", COLOURS, 1),
        ("Option B", COLOURS, 1),
        ("B: the blue ball", COLOURS, 1),
        ("B. blue ball", COLOURS, 1),
        ("B - blue ball", COLOURS, 1),
        ("B, the blue ball", COLOURS, 1),
        ("A, because it is near", COLOURS, 0),
        ("Answer: B", COLOURS, 1),
        ("Answer:\nB", COLOURS, 1),
        ("Answer B", COLOURS, 1),
        ("**Answer:** B", COLOURS, 1),
        ("**Final Answer**: C", COLOURS, 2),
        ("Final answer: (b)", COLOURS, 1),
        ("the answer is (B)", COLOURS, 1),
        ("The answer is B because it is near", COLOURS, 1),
        ("The answer is A because of its size", COLOURS, 0),
        ("The correct option is B", COLOURS, 1),
        ("My answer is option B.", COLOURS, 1),
        ("C is correct", COLOURS, 2),
        ("Option C is the right one", COLOURS, 2),
        ("It is B.", COLOURS, 1),
        ("I look at the box.\n\nB", COLOURS, 1),
        ("<answer>B</answer>", COLOURS, 1),
        ("so \\boxed{B} it is", COLOURS, 1),
        ("\\boxed{\\text{B}}", COLOURS, 1),
        ("Red Box", COLOURS, 0),
        ("A red box.", COLOURS, 0),  # the article, and by luck the letter
        ("A blue ball", COLOURS, 1),  # the article, and not the letter
        ("Answer: A blue ball", COLOURS, 1),
        ("A: red box", COLOURS, 0),
        ("The red box is nearest.", COLOURS, 0),
        ("not the red box but the blue ball", COLOURS, 1),
        ("(A) A is closer", POINTS, 0),
        ("A is closer", POINTS, 0),
        ("Point B is closer", POINTS, 1),
        ("option B is wrong, option A is right", POINTS, 0),
        ("to the left", SIDES, 0),
        ("in front of the right chair", ["in front of", "behind"], 0),
        ("It is not on the left but right", SIDES, 1),
        ("It is on the left of the box", NESTED, 1),
        ("left", NESTED, 0),
        ("above", ["above", "below"], 0),
        ("On above", NESTED, 2),
        ("(B) no\n\nThe car is not beneath the cat.", ANSWERS, 1),
        ("Yes, there is no car in front.", ANSWERS, 0),
        ("No, it is not.", ANSWERS, 1),
    ],
)
def test_clear_answers_are_read(text, choices, expected) -> None:
    parsed = parse_choice(text, choices)
    assert (parsed.value, parsed.status) == (expected, "parsed"), parsed


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("D", COLOURS),  # no such option
        ("I", COLOURS),
        ("A and B", COLOURS),
        ("A, B", COLOURS),
        ("B or C", COLOURS),
        ("I think it is B or C", COLOURS),
        ("Answer: B or C", COLOURS),
        ("A. red box\nB. blue ball\nC. green cone", COLOURS),  # the options repeated
        ("(A) blue ball", COLOURS),  # letter and text contradict each other
        ("Answer: A. blue ball", COLOURS),
        ("A: B", COLOURS),
        ("Answer: B. Wait, the answer is C", COLOURS),
        ("Answer: A\nAnswer: B", COLOURS),
        ("The answer is not B", COLOURS),
        ("Not (B).", COLOURS),
        ("It is not the red box", COLOURS),
        ("It isn't the red box", COLOURS),
        ("A red box stands left of a blue ball", COLOURS),
        ("blue", COLOURS),  # part of an option
        ("A purple box", COLOURS),
        ("I cannot tell from the image.", COLOURS),
        ("The chair is closer", POINTS),  # the article of an option is a name here
        ("There is no car", ANSWERS),
        ("No idea", ANSWERS),
        ("yes and no", ANSWERS),
    ],
)
def test_unclear_answers_are_not_read(text, choices) -> None:
    parsed = parse_choice(text, choices)
    assert (parsed.value, parsed.status) == (None, "unparsed"), parsed


@pytest.mark.parametrize("text", ["", "  \n", "**", "<think>B", "<think>It is B.</think>\n"])
def test_nothing_said_is_empty(text) -> None:
    parsed = parse_choice(text, COLOURS)
    assert (parsed.value, parsed.status) == (None, "empty")


@pytest.mark.parametrize(
    "text",
    [
        "<think>Perhaps (A), or is the answer C?</think>B",
        "Perhaps (A). Answer: C</think>\nB",  # the template wrote the opening tag
        "<Thinking>A</Thinking><think>C</think> Answer: B",
        "(A) or (C)? Answer: B",
    ],
)
def test_reasoning_and_unmarked_text_do_not_count_beside_an_answer(text) -> None:
    assert parse_choice(text, COLOURS).value == 1


def test_bad_options_are_refused() -> None:
    for choices in (["red"], ["red", "Red."], ["red", ""], [str(n) for n in range(27)]):
        with pytest.raises(ValueError, match="2 to 26 options"):
            parse_choice("A", choices)


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_gives_an_option_or_none(text) -> None:
    for choices in (COLOURS, POINTS, ANSWERS):
        parsed = parse_choice(text, choices)
        assert (parsed.value is None) == (parsed.status != "parsed")
        assert parsed.value is None or 0 <= parsed.value < len(choices)
    assert parse_yes_no(text).value in (True, False, None)


def test_real_outputs_in_words_are_read_as_their_authors_read_them(realdata) -> None:
    folder = realdata / "spatial_qa/model_outputs_cammotion_psi"
    options = ["counterclockwise", "clockwise", "no movement"]
    lines = [(folder / f"{name}.jsonl").read_text() for name in ("chat_history", "inference")]
    read = 0
    for chat, inference in zip(*(text.splitlines() for text in lines), strict=True):
        theirs = json.loads(inference)["pred"]
        ours = parse_choice(json.loads(chat)["raw_output"], options).value
        # Most outputs give a number of the authors' own list, which is no option here.
        if ours is not None and theirs != "Not extracted":
            assert options[ours] == theirs
            read += 1
    assert read == 26


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True),
        ("No.", False),
        ("**Yes**", True),
        ("True", True),
        ("false.", False),
        ("No, there is a chair.", False),
        ("Yes, there is no car", True),
        ("no it is not", False),
        ("I would say no.", False),
        ("Answer: yes", True),
        ("The answer is no, because it is far", False),
        ("It looks near.\nYes", True),
        ("<think>no</think> yes", True),
    ],
)
def test_yes_no_is_read(text, expected) -> None:
    parsed = parse_yes_no(text)
    assert (parsed.value, parsed.status) == (expected, "parsed")


@pytest.mark.parametrize(
    "text",
    [
        "No idea", "There is no car", "No car is visible", "Not sure", "yes and no", "Yes\nNo",
        "No, yes", "Answer: yes. Answer: no", "Nothing", "Yesterday", "maybe", "None",
    ],
)  # fmt: skip
def test_unclear_yes_no_is_not_read(text) -> None:
    assert parse_yes_no(text).status == "unparsed"


def test_empty_yes_no() -> None:
    assert parse_yes_no(" ").status == parse_yes_no("<think>yes").status == "empty"
