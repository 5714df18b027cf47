"""Speaking from memory against the model's own pass over pictures and words together."""

from __future__ import annotations

import pytest
import torch

from g2vlm_bench.reference import speech

CLOSE = {"atol": 2e-4, "rtol": 2e-4}
END = 3


def texts_of(batch) -> tuple[list[int], list[list[int]]]:
    scenes, texts = [], []
    for scene in range(len(batch.words)):
        for words, known in zip(batch.words[scene], batch.words_known[scene], strict=True):
            scenes.append(scene)
            texts.append(words[known].tolist())
    return scenes, texts


@pytest.mark.parametrize("refinements", [0, 2])
@pytest.mark.parametrize("pointing", [True, False])
def test_words_from_memory_are_those_of_the_whole_pass(
    make_model, batch, refinements, pointing
) -> None:
    model = make_model(pointing=pointing)
    whole = model(batch, refinements)
    output, memory = speech.look(model, batch, refinements)
    scenes, texts = texts_of(batch)
    tokens, known = speech.say(model, memory, scenes, texts)
    expected = whole.text.flatten(0, 1)
    torch.testing.assert_close(known, batch.words_known.flatten(0, 1))
    torch.testing.assert_close(tokens[known], expected[known], **CLOSE)
    torch.testing.assert_close(output.geometry.log_depth, whole.geometry.log_depth, **CLOSE)
    torch.testing.assert_close(output.embedding, whole.embedding, **CLOSE)


def test_looking_leaves_no_hook_behind(make_model, batch) -> None:
    model = make_model()
    speech.look(model, batch)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_likelihood_is_the_product_of_its_words(make_model, batch) -> None:
    model = make_model()
    _, memory = speech.look(model, batch)
    prompt, answer = [1, 2, 3], [7, 9, END]
    (found,) = speech.log_likelihoods(model, memory, [1], [prompt], [answer])
    expected = 0.0
    for count, word in enumerate(answer):
        tokens, _ = speech.say(model, memory, [1], [[*prompt, *answer[:count]]])
        expected += float(model.decoder.spoken(tokens)[0, -1].detach().log_softmax(-1)[word])
    assert found == pytest.approx(expected, abs=1e-4)


def test_generation_says_the_likeliest_word_in_its_turn(make_model, batch) -> None:
    model = make_model()
    _, memory = speech.look(model, batch)
    prompts = [[1, 2, 3], [5, 6], [4, 4, 4, 4]]
    together = speech.generate(model, memory, [0, 1, 0], prompts, END, 5)
    for scene, prompt, said in zip([0, 1, 0], prompts, together, strict=True):
        assert speech.generate(model, memory, [scene], [prompt], END, 5) == [said]
        text = list(prompt)
        for word in said:
            tokens, _ = speech.say(model, memory, [scene], [text])
            assert int(model.decoder.spoken(tokens)[0, -1].argmax()) == word
            text.append(word)
        assert len(said) == 5 or said[-1] == END


def test_only_allowed_words_are_said_and_the_end_not_first(make_model, batch) -> None:
    model = make_model()
    with torch.no_grad():
        model.decoder.words.bias[END] = 100.0
        model.decoder.words.bias[20] = 1000.0
    _, memory = speech.look(model, batch)
    (said,) = speech.generate(model, memory, [0], [[1]], END, 5, allowed=[8, 9])
    assert len(said) == 2
    assert said[0] in (8, 9)
    assert said[1] == END


def test_nothing_is_said_beyond_the_last_place(make_model, batch) -> None:
    model = make_model()
    _, memory = speech.look(model, batch)
    (said,) = speech.generate(model, memory, [0], [[1] * 9], end=-1, most=99)
    assert len(said) == model.config.longest_text - 9


def test_more_texts_than_pass_at_once_keep_their_scenes(make_model, batch, monkeypatch) -> None:
    """Two at a time, of five: each as it is said alone."""
    monkeypatch.setattr(speech, "_AT_ONCE", 2)
    model = make_model()
    _, memory = speech.look(model, batch)
    scenes, prompts = [1, 0, 0, 1, 1], [[1, 2], [1, 2, 3], [5, 6], [1, 2], [5, 6]]
    answers = [[7, END], [9, END], [7, 8, END], [9, END], [7, END]]

    def likelihoods(those: slice) -> list[float]:
        given = (each[those] for each in (scenes, prompts, answers))
        return speech.log_likelihoods(model, memory, *given)

    alone = [likelihoods(slice(i, i + 1))[0] for i in range(5)]
    assert likelihoods(slice(None)) == pytest.approx(alone, rel=1e-4)
    said = speech.generate(model, memory, scenes, prompts, END, 4)
    for scene, prompt, words in zip(scenes, prompts, said, strict=True):
        assert speech.generate(model, memory, [scene], [prompt], END, 4) == [words]
