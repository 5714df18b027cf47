from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Target, Want

BOTH = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})


def fitted(make, *answers: tuple[str, object, tuple[str, ...]]):
    adapter = make("majority")
    adapter.fit(
        (Inputs(id=str(i)), Target(answer_type=kind, answer=answer, choices=choices))
        for i, (kind, answer, choices) in enumerate(answers)
    )
    return adapter


def ask(adapter, kind, choices=()):
    return adapter.predict([Inputs(id="q", answer_type=kind, choices=choices)], BOTH)[0]


def test_the_text_that_was_right_most_often_wins_wherever_it_stands(make) -> None:
    adapter = fitted(
        make,
        ("choice", "left", ("left", "right")),
        ("choice", "left", ("left", "right")),
        ("choice", "right", ("left", "right")),
    )
    assert ask(adapter, "choice", ("Right", " LEFT ")).answer == " LEFT "


def test_where_no_text_is_known_the_position_decides(make) -> None:
    adapter = fitted(
        make,
        ("choice", "b", ("a", "b", "c")),
        ("choice", "e", ("d", "e", "f")),
        ("choice", "g", ("g", "h", "i")),
    )
    assert ask(adapter, "choice", ("x", "y", "z")).answer == "y"


def test_a_text_seen_right_once_beats_every_position(make) -> None:
    adapter = fitted(make, *[("choice", "a", ("a", "b"))] * 50, ("choice", "c", ("d", "c")))
    assert ask(adapter, "choice", ("x", "c")).answer == "c"


def test_loglikelihoods_say_the_same_as_the_answer(make) -> None:
    adapter = fitted(make, ("choice", "b", ("a", "b")), ("choice", "b", ("a", "b")))
    prediction = ask(adapter, "choice", ("a", "b"))
    # Scores: a = 0 + (0 + 1) / (2 + 2 + 1) = 0.2; b = 2 + (2 + 1) / 5 = 2.6; sum 2.8
    np.testing.assert_allclose(prediction.choice_loglikelihoods, np.log([0.2 / 2.8, 2.6 / 2.8]))
    assert prediction.answer == "b"


def test_the_letter_is_said_where_the_prompt_shows_letters(make) -> None:
    adapter = fitted(make, ("choice", "right", ("left", "right")))
    inputs = Inputs(
        id="q", answer_type="choice", choices=("right", "left"), continuations=("A", "B")
    )
    assert adapter.predict([inputs], BOTH)[0].answer == "A"


def test_yes_or_no(make) -> None:
    adapter = fitted(make, ("yes_no", "no", ()), ("yes_no", "no", ()), ("yes_no", "yes", ()))
    assert ask(adapter, "yes_no").answer == "no"
    shown = ask(adapter, "yes_no", ("Yes", "No"))
    assert shown.answer == "No"
    assert int(np.argmax(shown.choice_loglikelihoods)) == 1


def test_numbers_get_the_median(make) -> None:
    adapter = fitted(make, *(("number", value, ()) for value in (1.0, 100.0, 2.5)))
    assert ask(adapter, "number").answer == "2.5"
    adapter = fitted(make, *(("number", value, ()) for value in (1.0, 4.0)))
    assert ask(adapter, "number").answer == "2.5"  # (1 + 4) / 2


def test_text_gets_the_mode_and_ties_the_alphabet(make) -> None:
    adapter = fitted(make, ("text", "sofa", ()), ("text", "chair", ()), ("text", "Sofa", ()))
    assert ask(adapter, "text").answer == "sofa"
    one, two = ("text", "sofa", ()), ("text", "chair", ())
    assert ask(fitted(make, one, two), "text").answer == "chair"
    assert ask(fitted(make, two, one), "text").answer == "chair"


def test_types_do_not_mix(make) -> None:
    adapter = fitted(make, ("yes_no", "no", ()), ("text", "lamp", ()), ("text", "lamp", ()))
    assert ask(adapter, "yes_no").answer == "no"


def test_an_unseen_type_fails_alone(make) -> None:
    adapter = fitted(make, ("yes_no", "no", ()))
    batch = [Inputs(id="1", answer_type="number"), Inputs(id="2", answer_type="yes_no")]
    failure, prediction = adapter.predict(batch, BOTH)
    assert isinstance(failure, BenchError)
    assert "number answers" in str(failure)
    assert prediction.answer == "no"


def test_a_second_fit_forgets_the_first(make) -> None:
    adapter = fitted(make, *[("yes_no", "no", ())] * 3)
    adapter.fit([(Inputs(id="1"), Target(answer_type="yes_no", answer="yes"))])
    assert ask(adapter, "yes_no").answer == "yes"


def test_it_wants_to_be_fitted_first(make) -> None:
    with pytest.raises(BenchError, match="fit before predict"):
        make("majority").predict([Inputs(id="1", answer_type="yes_no")], BOTH)


def test_a_split_without_answers_is_none_to_fit_on(make) -> None:
    with pytest.raises(BenchError, match="expected answers to count in the training split"):
        make("majority").fit(
            (Inputs(id="a"), target) for target in (Target(answer=None), Target(answer="left"))
        )
