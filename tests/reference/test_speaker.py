"""What is said comes out in words that the harness can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.reference import speech
from g2vlm_bench.reference.checkpoint import load_reference
from g2vlm_bench.reference.inference import Inference, Pictures, Seen
from g2vlm_bench.reference.speaker import Question, Speaker
from g2vlm_bench.reference.tokenizer import Words

CHOICE = Question("which is nearer?", "choice", ("the red ball", "the box"))


@pytest.fixture(scope="module")
def speaker(tiny_reference: Path) -> Speaker:
    return Speaker(Inference(load_reference(tiny_reference)))


def look(speaker: Speaker, *seeds: int) -> list[Seen]:
    pictures = [
        np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in seeds
    ]
    return speaker.inference.look([Pictures(images=(picture,)) for picture in pictures])


def test_descriptions_keep_their_facts_through_the_tokenizer() -> None:
    """What the model would say word for word, small letters and all, states the same facts."""
    from g2vlm_bench.world.descriptions import describe, parse_facts
    from g2vlm_bench.world.layout import make_scene
    from g2vlm_bench.world.renderer import look as glance

    scenes = [make_scene(seed, "train", place) for seed in range(6) for place in ("room", "road")]
    texts = [
        describe(scene, sight, seed=0).text
        for scene, sight in zip(scenes, glance(scenes, 1), strict=True)
    ]
    words = Words.learn(texts)
    assert sum(len(parse_facts(text)) for text in texts) > 20
    for text in texts:
        assert parse_facts(words.decode(words.encode(text))) == parse_facts(text)


def test_an_option_is_as_likely_as_its_words(speaker: Speaker) -> None:
    first, second = look(speaker, 0, 1)
    (alone,) = speaker.log_likelihoods([(second, CHOICE)])
    both = speaker.log_likelihoods([(first, CHOICE), (second, CHOICE)])
    np.testing.assert_allclose(both[1], alone, rtol=1e-4)
    assert not np.allclose(both[0], both[1], rtol=1e-4)
    assert speaker.answer([(second, CHOICE)]) == [CHOICE.options[int(np.argmax(alone))]]


def test_an_option_is_said_to_its_end(speaker: Speaker) -> None:
    """Else one that another begins with would be likelier than that one, whatever is shown."""
    (seen,) = look(speaker, 0)
    question = Question("which is nearer?", "choice", ("the red", "the red ball"))
    (found,) = speaker.log_likelihoods([(seen, question)])
    prompt, expected = speaker.prompt(question), []
    for option in question.options:
        said = [*speaker.words.encode(option), speaker.words.end]
        tokens, _ = speech.say(speaker.model, seen.group.memory, [0], [[*prompt, *said]])
        chances = speaker.model.decoder.spoken(tokens)[0].detach().double().log_softmax(-1)
        each = [float(chances[len(prompt) - 1 + i, word]) for i, word in enumerate(said)]
        expected.append(sum(each))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_questions_of_all_kinds_keep_their_order(speaker: Speaker) -> None:
    first, second = look(speaker, 0, 1)
    asked = [
        (first, Question("how far is the ball?", "number")), (second, CHOICE),
        (second, Question("what is red?", "text")), (first, Question("is it red?", "yes_no")),
    ]  # fmt: skip
    together = speaker.answer(asked)
    assert together == [speaker.answer([each])[0] for each in asked]
    assert together[1] in CHOICE.options
    assert together[3] in ("yes", "no")


@pytest.mark.parametrize("kind", ["text", "description", "number"])
def test_something_is_said_and_no_mark(tiny_reference: Path, kind: str) -> None:
    """Even where the model would rather end at once, or say a mark."""
    import torch

    speaker = Speaker(Inference(load_reference(tiny_reference)))
    words = speaker.words
    with torch.no_grad():
        speaker.model.decoder.words.bias[[words.option, words.pad, words.unknown]] = 200.0
        speaker.model.decoder.words.bias[words.end] = 100.0
    (seen,) = look(speaker, 0)
    (said,) = speaker.answer([(seen, Question("what is it?", kind))])
    assert len(words.encode(said)) == 1
    assert words.unknown not in words.encode(said)


def test_a_phrase_is_found_in_every_view_of_its_own_scene(speaker: Speaker) -> None:
    first, second = look(speaker, 0, 1)
    phrase = Question("the red box", "phrase")
    ((masks, place),) = speaker.locate([(second, phrase)])
    both = speaker.locate([(first, phrase), (second, phrase)])
    np.testing.assert_array_equal(both[1][0][0], masks[0])
    np.testing.assert_allclose(both[1][1], place, atol=1e-4)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question("", "text"), "expected a question"),
        (Question("which?", "choice", ("one",)), "options to choose from, got 1"),
        (Question("is " * 130, "yes_no"), "at most 128 words with the answer, got 134"),
        (Question("red " * 127, "phrase"), "at most 128 words with the answer, got 129"),
    ],
)
def test_what_cannot_be_asked(speaker: Speaker, question: Question, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        speaker.check(question)
