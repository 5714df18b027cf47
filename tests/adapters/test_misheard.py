"""misheard:MODEL: the right pictures and options, another scene's question."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.runner import NotApplicableError
from g2vlm_bench.sample import Inputs, Turn
from g2vlm_bench.shuffling import hearing, swapped


def asked(question: str | None, value: int) -> Inputs:
    return Inputs(
        id=f"s{value}", images=(np.full((2, 2, 3), value, np.uint8),), question=question,
        choices=("left", "right"), answer_type="choice", fields={"category": f"c{value}"},
        earlier=(Turn(prompt="And before?"),),
    )  # fmt: skip


def test_only_what_is_asked_is_the_others() -> None:
    own, other = asked("Is it left?", 1), asked("How far is it?", 2)
    heard = hearing(own, other)
    assert (heard.id, heard.question, heard.fields) == ("s1", "How far is it?", {"category": "c2"})
    assert heard.images is own.images
    assert (heard.choices, heard.answer_type) == (own.choices, own.answer_type)
    assert heard.earlier == ()
    assert own.question == "Is it left?"


def test_who_asks_nothing_has_no_question_to_give() -> None:
    with pytest.raises(ValueError, match="another sample's question, got none"):
        hearing(asked("Is it left?", 1), asked(None, 2))


def test_a_prompt_goes_with_its_question() -> None:
    own, other = (replace(asked(None, i), prompt=f"Prompt {i}") for i in (1, 2))
    assert hearing(own, other).prompt == "Prompt 2"
    with pytest.raises(ValueError, match="one question for all options, got one for each"):
        hearing(replace(own, contexts=("a", "b")), other)


def test_where_all_are_asked_the_same_it_would_be_the_model_itself(toy_run) -> None:
    with pytest.raises(NotApplicableError, match="questions that differ, got one for all scenes"):
        toy_run("misheard:pixels", task="toy/quiz", data={"alike": True})


def test_a_sample_that_cannot_be_opened_fails_alone(toy_run) -> None:
    folder, _ = toy_run("misheard:pixels", task="toy/quiz", data={"damaged": [0]})
    failed = [line.id for line in folder.predictions() if line.error]
    # Itself, and the one that would have been asked its question.
    assert 1 <= len(failed) <= 2
    assert "room-0" in failed


def test_what_is_swapped_is_what_the_adapter_says() -> None:
    own, other = asked("Is it left?", 1), asked("How far is it?", 2)
    assert swapped("question", own, other).question == other.question
    seen = swapped("scene", own, other)
    assert seen.question == own.question
    assert seen.images[0] is other.images[0]


def test_the_runner_asks_another_scenes_question(toy_run) -> None:
    prompts, answers = {}, {}
    for spec in ("pixels", "misheard:pixels"):
        folder, record = toy_run(spec, task="toy/quiz")
        assert record.adapter.label == spec
        lines = list(folder.predictions())
        prompts[spec] = {line.id: line.prompt for line in lines}
        answers[spec] = {line.id: folder.load_prediction(line).answer for line in lines}
    # It looks at the sample's own pictures.
    assert answers["pixels"] == answers["misheard:pixels"]
    own, heard = prompts["pixels"], prompts["misheard:pixels"]
    assert set(own) == set(heard)
    assert all(heard[name] != own[name] for name in own)
    assert set(heard.values()) <= set(own.values())


def test_one_sample_is_not_for_it(toy_run) -> None:
    with pytest.raises(NotApplicableError, match=r"misheard:pixels on toy/quiz.*two scenes"):
        toy_run("misheard:pixels", task="toy/quiz", limit=1)


def test_it_takes_part_where_answers_are_scored_only(make) -> None:
    with pytest.raises(BenchError, match="answers questions"):
        make("misheard:constant_depth")
