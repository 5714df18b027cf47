"""Words become numbers and words again."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.reference.tokenizer import SPECIAL, Words

TEXTS = ["Is the red box left of the blue cone?", "It is 1.75 m, no?", "0 1 2 3 4 5 6 7 8 9", "yes"]


@pytest.fixture
def words() -> Words:
    return Words.learn(TEXTS)


def test_special_words_come_first(words: Words) -> None:
    marks = (words.pad, words.unknown, words.ask, words.option, words.answer, words.end)
    assert (*marks, words.scene) == tuple(range(len(SPECIAL)))


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("Is the RED box left of the blue cone?", "is the red box left of the blue cone?"),
        ("it is 12.5 m", "it is 12.5 m"),
        ("yes, 304", "yes, 304"),
        ("the purple box", "the box"),
    ],
)
def test_there_and_back(words: Words, text: str, again: str) -> None:
    """A word never seen is unknown and is not said."""
    assert words.decode(words.encode(text)) == again


def test_numbers_are_spelt(words: Words) -> None:
    assert len(words.encode("98712")) == 5
    assert words.unknown not in words.encode("98712")


def test_places_are_those_of_the_text(words: Words) -> None:
    text = "Is the  red box left?"
    numbers, spans = words.encode_with_places(text)
    assert numbers == words.encode(text)
    assert [text[a:b].lower() for a, b in spans] == ["is", "the", "red", "box", "left", "?"]


def test_a_prompt_ends_where_the_answer_begins(words: Words) -> None:
    prompt = words.prompt("left?", ["the box", "no"])
    assert prompt[0] == words.ask
    assert prompt[-1] == words.answer
    assert prompt.count(words.option) == 2
    assert words.decode([*prompt, *words.encode("yes"), words.end, *words.encode("no")]).endswith(
        "no yes"
    )


def test_the_order_of_texts_does_not_matter_where_counts_tell() -> None:
    assert len(Words.learn(TEXTS)) == len(Words.learn(TEXTS[::-1]))
    first, again = (Words.learn(iter(TEXTS)) for _ in range(2))
    assert first.encode(" ".join(TEXTS)) == again.encode(" ".join(TEXTS))


def test_saved_and_loaded(words: Words, tmp_path: Path) -> None:
    words.save(tmp_path / "words.json")
    assert Words.load(tmp_path / "words.json").encode(TEXTS[0]) == words.encode(TEXTS[0])
    assert len(Words.load(tmp_path / "words.json")) == len(words)


def test_no_tokenizer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="expected a tokenizer"):
        Words.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(BenchError, match="expected a tokenizer"):
        Words.load(tmp_path / "bad.json")
