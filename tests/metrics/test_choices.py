"""Choices and yes / no: every usual form is read, and nothing is read that was not clearly said."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2vlm_bench.metrics.choices import parse_choice
from g2vlm_bench.metrics.yes_no import parse_yes_no

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
        ("Answer: B. Wait, the answer is C", COLOURS, 2),  # taken back, and marked anew
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


# What a careful human reads in answers that mislead a parser: an option's letter, or "-" where no
# option is clearly chosen. Yes / no and numbers follow below in the same form.
MISLEADING_CHOICES = [
    # lists of letters and options
    ("A) B) C)", "-"),
    ("A. B. C.", "-"),
    ("(A) (B) (C)", "-"),
    ("A; B; C", "-"),
    ("A. red box\nB. blue ball\nC. green cone", "-"),
    ("A. red box B. blue ball C. green cone", "-"),
    ("A) red box, B) blue ball, C) green cone", "-"),
    ("(A) red box (B) blue ball", "-"),
    ("Answer: A. red box B. blue ball C. green cone", "-"),
    ("red box, blue ball, green cone", "-"),
    ("Options:\nA. red box\nB. blue ball\nC. green cone\nAnswer: B", "B"),
    # two answers
    ("A, or maybe B", "-"),
    ("A. or B.", "-"),
    ("It is B. or C.", "-"),
    ("I think (A) or maybe B", "-"),
    ("(a) or b", "-"),
    ("A. red box or blue ball", "-"),
    ("Either A or B", "-"),
    ("A/B", "-"),
    ("<answer>A</answer> or <answer>B</answer>", "-"),
    # corrections
    ("A... wait, B", "-"),
    ("A. No wait, B.", "-"),
    ("A, no, B", "-"),
    ("A, actually B", "-"),
    ("A\n\nHmm, that is too far.", "-"),
    ("Answer: A. Actually B", "-"),
    ("The answer is A. No, B.", "-"),
    ("Answer: A\n\nWait, the ball is nearer.", "-"),
    ("The red box, sorry, the one behind it", "-"),
    ("Is it A? Wait. Answer: B", "B"),  # taken back before the answer was marked
    ("Sorry, it is hard to see. The red box, where people wait", "A"),
    ("\\boxed{A}\n\nWait, B", "-"),
    ("Answer: A\nNo, B.", "-"),
    ("Answer: A?", "-"),
    ("Final answer: B.\n\nExplanation: (A) is far. (C)? No, too far.", "B"),
    # explanations and contradictions
    ("B. Option A is too far away.", "B"),
    ("B. I would choose B over A.", "B"),
    ("The answer is B. It is nearer than A.", "B"),
    ("B. Based on image A, it is nearer", "B"),
    ("It was A at first, then B.", "-"),
    ("I am not sure. The red box", "A"),
    ("Not the red box. The blue ball.", "B"),
    ("The answer is B (not A).", "B"),
    ("B. Neither A nor C is near.", "B"),
    ("The red box or a purple one", "-"),
    ("The red or blue ball", "-"),
    ("blue ball (A)", "-"),
    ("red box (B)", "-"),
    ("red box (A)", "A"),
    # negations
    ("not A but B", "B"),
    ("A, not B", "A"),
    ("B, not A", "B"),
    ("The correct answer is B, not A", "B"),
    ("The answer is not A. The answer is B.", "B"),
    ("I don't think the answer is B", "-"),
    ("If the answer is B, the ball is near", "-"),
    ("Answer: B is wrong", "-"),
    ("(A) is wrong", "-"),
    ("A: wrong", "-"),
    ("Option A can be excluded", "-"),
    ("It is not true that B is correct", "-"),
    ("Everything but the red box", "-"),
    ("I doubt that it is the red box", "-"),
    ("I don't think it is the red box", "-"),
    ("The red box is wrong", "-"),
    ("The red box is not as near as the blue ball", "-"),
    ("The red box isn\u2019t.", "-"),
    # questions
    ("The red box? No, the blue ball", "-"),
    ("The red box? Yes, the green cone is behind it", "-"),
    ("The red box? No.", "-"),
    ("Which is nearest, the red box?", "-"),
    ("Is the answer A? No, it is B.", "-"),
    ("Which one is nearest?\nB", "B"),
    # other letters, empty reasoning
    ("\u0410", "-"),  # Cyrillic, and the next one
    ("\u041e\u0442\u0432\u0435\u0442: \u0412", "-"),
    ("\u0392", "-"),  # Greek
    ("\uff22", "B"),  # full width
    ("\u24b7", "B"),  # circled
    ("B\u0301", "-"),  # with an accent
    ("\u0662", "-"),  # a digit is no letter
    ("<think></think>B", "B"),
    ("<think>\n\n</think>\n\n(B)", "B"),
    # no letter, but a word
    ("A lot", "-"),
    ("Vitamin C.", "-"),
    ("C++", "-"),
    ("B-52", "-"),
]


@pytest.mark.parametrize(("text", "expected"), MISLEADING_CHOICES)
def test_misleading_choices_are_read_as_by_a_careful_human(text, expected) -> None:
    value = parse_choice(text, COLOURS).value
    assert ("-" if value is None else "ABC"[value]) == expected


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("A. left\nB. right", ["left", "right"]),
        ("Left? No.", ["left", "right"]),
        ("Left, no, right", ["left", "right"]),
        ("That's right, and so on", ["left", "right"]),
        ("There is nothing left", ["left", "right"]),
        ("It does not move left", ["left", "right"]),
        ("It isn't moving to the left", ["left", "right"]),
        ("no longer left", ["left", "right"]),
        ("the opposite of left", ["left", "right"]),
        ("It moved left, right?", ["left", "right"]),
        ("The floor? no, the red box", ["the floor", "the red box", "the table"]),
        ("A) B) C)", POINTS),
        ("A. A is closer B. B is closer", POINTS),
        ("A. In fact B is closer", POINTS),
        ("A is closer? No, B is closer.", POINTS),
        ("It is false that A is closer", POINTS),
        ("It is not the case that A is closer", POINTS),
    ],
)
def test_misleading_texts_of_options_are_not_read(text, choices) -> None:
    assert parse_choice(text, choices).status == "unparsed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A. A is closer than B", 0),  # the second letters are names of points
        ("A is closer than B", 0),
        ("B is closer, not A", 1),
    ],
)
def test_letters_that_are_names_in_the_options_do_not_disturb(text, expected) -> None:
    assert parse_choice(text, POINTS).value == expected


MISLEADING_YES_NO = [
    ("Yes, no", None),
    ("yes or no", None),
    ("Yes and no", None),
    ("yes/no", None),
    ("True / False", None),
    ("False / true", None),
    ("True. False.", None),
    ("Yes... wait, no", None),
    ("No, wait, yes", None),
    ("Yes, but no.", None),
    ("Yes\n\nHmm, let me check.", None),
    ("No, that is true", None),  # no, or true?
    ("not yes", False),
    ("is not true", False),
    ("not false", True),
    ("It is not true.", False),
    ("It isn\u2019t true.", False),
    ("That is not false.", True),
    ("No, it is not true", False),
    ("Yes, it is not false", True),
    ("Yes. The chair is not left of it. Actually, it is behind.", True),
    ("I don't think it is true.", None),
    ("I don't think that is false.", None),
    ("It is neither true nor false", None),
    ("It is unlikely to be true.", None),
    ("Never true.", None),
    ("The statement is true", True),
    ("I believe that it is not false.", True),
    ("It would be wrong to say yes.", None),
    ("It is not the case that the answer is yes.", None),
    ("I am not sure if it is true.", None),
    ("If yes, then the chair is near.", None),
    ("I cannot say yes or no.", None),
    ("Yes is the wrong answer.", None),
    ("Answer: yes or no", None),
    ("Answer: not yes", False),
    ("Is it true? No.", False),
    ("Is it near, yes or no? No.", False),
    ("Is it true?", None),
    ("Please answer yes or no.\nYes", None),
    ("No doubt, yes.", True),
    ("No doubt.", None),
    ("No-one", None),
    ("no. 1", None),
    ("\uff39\uff45\uff53", True),  # full width
    ("\u041d\u0435\u0442", False),  # Russian
    ("<think></think>No", False),
]


@pytest.mark.parametrize(("text", "expected"), MISLEADING_YES_NO)
def test_misleading_yes_no_is_read_as_by_a_careful_human(text, expected) -> None:
    assert parse_yes_no(text).value is expected
    choice = parse_choice(text, ANSWERS).value
    assert (None if choice is None else choice == 0) is expected


@pytest.mark.parametrize(
    "unit", ["A ", "(A) ", "A) ", "A or ", "not ", "(A) is not ", "red box ", "? ", "yes ", "yes, ",
             "not true ", "wait ", "A. wait", "\n", " ", ".", "or ", "if answer is "],
)  # fmt: skip
def test_a_model_that_repeats_itself_for_ever_is_read_in_linear_time(unit) -> None:
    # Quadratic time was tens of seconds here, which no test run would overlook.
    for text in (unit * 5_000, "(A) " + unit * 5_000, unit * 5_000 + "B"):
        parse_choice(text, COLOURS)
        parse_yes_no(text)
