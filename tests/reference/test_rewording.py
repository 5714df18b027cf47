"""Questions of training are said otherwise, never as only the test split's are."""

from __future__ import annotations

import string
from functools import lru_cache

import numpy as np
import pytest

from g2vlm_bench.reference import rewording
from g2vlm_bench.reference.batches import stretched_places
from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.config import Stage
from g2vlm_bench.reference.examples import make_block
from g2vlm_bench.reference.rewording import reword
from g2vlm_bench.world.language.phrases import Mention, Phrase, all_templates, fill
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import Question, ask
from g2vlm_bench.world.renderer import look
from g2vlm_bench.world.scene import PLACES

VIEWER = "the camera of the first picture"


@lru_cache(maxsize=1)
def questions() -> list[Question]:
    scenes = [make_scene(seed, "train", PLACES[seed % 3]) for seed in range(30)]
    return [each for asked in ask(scenes, look(scenes, 2), 20) for each in asked]


def ways(text: str, *names: str) -> set[str]:
    """Everything that a question becomes in 300 draws."""
    mentions = [
        Mention(body, text.index(name), text.index(name) + len(name))
        for body, name in enumerate(names, start=1)
    ]
    rng = np.random.default_rng(0)
    return {reword(text, mentions, rng)[0] for _ in range(300)}


@pytest.mark.parametrize(
    ("text", "among"),
    [
        (
            f"Seen from {VIEWER}, is the red box to the left or to the right of the blue cone?",
            f"Is the red box to the right or to the left of the blue cone, looking from {VIEWER}?",
        ),
        (
            f"Seen from {VIEWER}, is the red box in front of the blue cone or behind it?",
            f"From the point of view of {VIEWER}, is the red box behind the blue cone or in front "
            "of it?",
        ),
        (
            "Is the red box resting on the blue cone?",
            "Is it true that the red box is standing on the blue cone?",
        ),
        (
            "Would you say that the red box is not standing on the blue cone?",
            "Is the red box not standing on the blue cone?",
        ),
        (
            "Would the red box fall if one took the blue cone away?",
            "Would the red box fall if the blue cone were taken away?",
        ),
        (
            "Does the red box cover a part of the blue cone in the first picture?",
            "In the first picture, does the red box cover a part of the blue cone?",
        ),
        (
            "In the first picture, is the blue cone partly hidden by the red box?",
            "In the first picture, is it true that the blue cone is partly covered by the red box?",
        ),
        ("In meters, how tall is the red box?", "How tall is the red box, in meters?"),
    ],
)
def test_a_question_is_said_otherwise(text: str, among: str) -> None:
    names = [name for name in ("red box", "blue cone") if name in text]
    assert among in ways(text, *names)


@pytest.mark.parametrize(
    "text",
    [
        # What is named decides, and of two sentences the first must stay the first.
        "One walks from the red box straight to the blue cone. Which of the two is passed first?",
        "Compared with the red box, is the blue cone in front (nearer) or behind (farther away)?",
        "Tell what the red box is.",
    ],
)
def test_what_would_lose_its_sense_stays(text: str) -> None:
    names = [name for name in ("red box", "blue cone") if name in text]
    assert ways(text, *names) == {text}


def test_alternatives_turn_and_the_middle_stays() -> None:
    text = "Where in it is the red box: in the left, the middle or the right third?"
    assert ways(text, "red box") == {text}


def test_names_keep_their_bodies_and_words_are_known() -> None:
    words = load_reference(find_reference("nano")).words
    rng = np.random.default_rng(1)
    changed = 0
    for question in questions():
        text, where = reword(question.text, question.where, rng)
        before = sorted((m.body, question.text[m.start : m.end]) for m in question.where)
        assert sorted((m.body, text[m.start : m.end]) for m in where) == before
        assert [m.start for m in where] == sorted(m.start for m in where)
        assert words.unknown not in words.encode(text), text
        changed += text != question.text
    assert 0.3 < changed / len(questions()) < 0.6


def filled(template: str) -> tuple[str, tuple[Mention, ...]]:
    slots = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    things = {"a": Phrase("red box", (1,)), "b": Phrase("blue cone", (2,))}
    other = {"not": Phrase(""), "viewer": Phrase(VIEWER), "relation": Phrase("above")}
    return fill(template, {s: things.get(s) or other.get(s) or Phrase("pictures") for s in slots})


def fits(text: str, mentions: tuple[Mention, ...]) -> bool:
    return rewording._is_held_out(rewording._marked(text, mentions)[0])


def test_every_held_out_wording_is_known_as_such() -> None:
    for templates in all_templates().values():
        assert all(fits(*filled(template)) for template in templates.held_out)
    seen = [each for templates in all_templates().values() for each in templates.seen]
    # A slot may stand for anything, so that a few of the others fit as well.
    assert sum(fits(*filled(template)) for template in seen) < 0.03 * len(seen)


def test_nothing_is_said_as_only_the_test_split_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[bool] = []
    true = rewording._is_held_out

    def recorded(marked: str) -> bool:
        judged.append(true(marked))
        return judged[-1]

    monkeypatch.setattr(rewording, "_is_held_out", recorded)
    rng = np.random.default_rng(2)
    made = [(q, *reword(q.text, q.where, rng)) for q in questions() for _ in range(3)]
    # The rules alone would say some.
    assert sum(judged) > 10
    monkeypatch.undo()
    assert not any(fits(text, where) for q, text, where in made if text != q.text)


def test_training_is_reworded_and_validation_is_not() -> None:
    words = load_reference(find_reference("nano")).words
    plain = Stage(steps=1, side=16, scenes=1, views=1)
    other = Stage(steps=1, side=16, scenes=1, views=1, reworded=1.0)
    for split, alike in (("train", False), ("validation", True)):
        told = [
            [e.questions for e in make_block(1, stage, split, words)] for stage in (plain, other)
        ]
        assert (told[0] == told[1]) is alike
        # Answers stay, and so does what they are asked of.
        ends = [
            [
                (text.family, text.words[text.answer :], sorted(filter(None, text.bodies)))
                for mine in each
                for text in mine
            ]
            for each in told
        ]
        assert ends[0] == ends[1]


def test_stretched_words_stay_in_turn_and_within_the_text() -> None:
    rng = np.random.default_rng(3)
    assert stretched_places((4, 5, 6), 0.0, 128, rng) is None
    places = stretched_places((16, 16, 40), 0.5, 64, rng)
    assert places is not None
    assert (places[..., 1:] > places[..., :-1]).all()
    assert places.min() == 0
    assert places.max() == 63
    near = (places[..., -1] == 39).float().mean()
    assert 0.4 < near < 0.6
