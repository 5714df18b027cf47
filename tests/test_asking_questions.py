"""What kind of answer a question asks for, told from its words alone."""

from __future__ import annotations

import string

import pytest

from g2vlm_bench.asking import kind_of
from g2vlm_bench.errors import UsageError
from g2vlm_bench.world.language.phrases import all_templates

NUMBERS = {
    "count", "count_on", "distance", "depth", "height", "top", "size", "room_width", "room_length",
    "room_height", "room_area", "moved_m", "turned_deg",
}  # fmt: skip
YES_NO = {
    "claim", "vertical", "own_claim", "on", "falls", "stays", "in", "outside", "hides", "clear_of",
    "half_seen", "half_hidden", "slides", "slides_safely", "could_stand", "too_wide", "exactly",
    "at_least", "fewer_than", "more", "exists", "exists_not", "compared", "nearer_than",
    "farther_than", "moves", "rests",
}  # fmt: skip
WORDS = {
    "viewer": "the camera", "here": "the picture", "shown": "the first picture", "one": "picture 1",
    "two": "picture 2", "first": "picture 1", "last": "picture 4", "ground": "the floor",
    "relation": "to the left of", "not": "not ", "number": "three", "things": "red boxes",
    "others": "blue cones", "an_a": "a red box", "extreme": "top left corner", "across": "30",
    "down": "40", "cm": "12", "way": "to the right", "door": "blue door",
}  # fmt: skip


def worded(kind: str) -> list[str]:
    """All wordings of a kind, with phrases in their slots."""
    templates = all_templates()[kind]
    return [
        template.format(
            **{
                slot: WORDS.get(slot, f"green object {slot}")
                for _, slot, _, _ in string.Formatter().parse(template)
                if slot is not None
            }
        )
        for template in (*templates.seen, *templates.held_out)
    ]


@pytest.mark.parametrize("kind", sorted(all_templates().keys() - {"find"}))
def test_every_wording_of_the_world(kind: str) -> None:
    """Choices cannot be answered without options; with them any question is one."""
    for text in worded(kind):
        assert kind_of(text, ["a", "b"]) == "choice"
        if kind in NUMBERS | YES_NO:
            assert kind_of(text) == ("number" if kind in NUMBERS else "yes_no"), text
        else:
            with pytest.raises(UsageError, match="--options"):
                kind_of(text)


@pytest.mark.parametrize(
    "question",
    [
        "What color is the cone?", "What is on the table?", "Is the box red or blue?",
        "Where is the ball?", "How is the box painted?", "the red box", "Welche Farbe hat es?",
        "what is the biggest thing", "Find the ball.",
    ],
)  # fmt: skip
def test_an_open_question_asks_for_options(question: str) -> None:
    with pytest.raises(UsageError, match="--options red,green,blue") as raised:
        kind_of(question)
    assert question in str(raised.value)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("IS  the box on the table", "yes_no"),
        ("Isn't the box on the table?", "yes_no"),
        ("Aren't there three boxes or more?", "yes_no"),
        ("How many boxes?", "number"),
        ("What's the distance to the box?", "number"),
        ("number of boxes", "number"),
        ("Describe the scene.", "description"),
    ],
)
def test_questions_of_ones_own(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_yes_and_no_as_options_are_asked_as_they_were_learnt() -> None:
    assert kind_of("Is the box red or blue?", ["No", "yes"]) == "yes_no"
    assert kind_of("Is the box red?", ["yes", "no", "maybe"]) == "choice"


@pytest.mark.parametrize("options", [["yes", "yes"], ["red", "a  Box", "A box"]])
def test_options_differ(options: list[str]) -> None:
    with pytest.raises(UsageError, match="options: expected each once"):
        kind_of("Which?", options)


@pytest.mark.parametrize("question", ["?", " . ", ""])
def test_a_question_has_words(question: str) -> None:
    for options in ([], ["yes", "no"]):
        with pytest.raises(UsageError, match="question: expected words"):
            kind_of(question, options)
