"""Training asks what the consistency of words and geometry asks, in its words."""

from __future__ import annotations

import pytest

from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.config import Stage
from g2vlm_bench.reference.examples import Example, make_block
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.world.agreement import agreement_wordings
from g2vlm_bench.world.reader import WorldReader


@pytest.fixture(scope="module")
def words() -> Words:
    return load_reference(find_reference("nano")).words.extended(agreement_wordings())


def block(words: Words, split: str = "train", **options: int) -> list[Example]:
    return make_block(0, Stage(steps=1, side=96, scenes=1, views=1, **options), split, words)


def test_what_is_asked_is_what_the_task_asks(words: Words) -> None:
    """The very questions of the task's training split, in the same pictures."""
    made = block(words, agreements=8)
    samples = WorldReader(n=16, content="agreement", place="mixed").samples("train")
    expected: dict[str, list[tuple[str, str]]] = {}
    for sample in samples:
        inputs, target = sample.load_inputs(), sample.load_target()
        assert inputs.question is not None
        answer = target.answer
        told = f"{answer:.2f}" if isinstance(answer, float) else str(answer)
        expected.setdefault(sample.cluster, []).append(
            (words.decode(words.encode(inputs.question)), words.decode(words.encode(told)))
        )
    found = [
        [
            (words.decode(text.words[: text.answer]), words.decode(text.words[text.answer :]))
            for text in example.questions
            if text.family == "agreement"
        ]
        for example in made
    ]
    assert [each for each in found if each] == list(expected.values())
    assert sum(map(len, found)) > 60


def test_names_stand_for_their_bodies(words: Words) -> None:
    for example in block(words, agreements=8, reworded=1):
        for text in example.questions:
            if text.family == "agreement":
                assert words.unknown not in text.words
                assert 1 <= len(set(text.bodies) - {0}) <= 2
                assert text.scored == (text.words[text.answer] in words.encode("yes no"))


def test_they_stand_beside_all_others(words: Words) -> None:
    for split in ("train", "validation"):
        plain, more = block(words, split), block(words, split, agreements=3)
        for before, after in zip(plain, more, strict=True):
            count = len(before.questions)
            assert after.questions[:count] == before.questions
            assert len(after.questions) <= count + 3
        assert any(len(b.questions) < len(a.questions) for b, a in zip(plain, more, strict=True))
