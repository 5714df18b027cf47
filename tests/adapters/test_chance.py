from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Want

BOTH = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})


def questions(kind, count, choices=()) -> list[Inputs]:
    return [Inputs(id=f"q{i}", answer_type=kind, choices=choices) for i in range(count)]


def answers(adapter, batch) -> list[str]:
    return [prediction.answer for prediction in adapter.predict(batch, BOTH)]


@pytest.mark.parametrize(("kind", "choices"), [("choice", ("a", "b", "c", "d")), ("yes_no", ())])
def test_guesses_are_uniform(make, kind, choices) -> None:
    counts = Counter(answers(make("chance"), questions(kind, 4000, choices)))
    options = choices or ("yes", "no")
    assert set(counts) == set(options)
    p = 1 / len(options)
    # Five standard deviations of a binomial count; the draw is fixed by the ids anyway.
    slack = 5 * np.sqrt(4000 * p * (1 - p))
    assert all(abs(count - 4000 * p) < slack for count in counts.values())


def test_loglikelihoods_say_the_same_as_the_answer(make) -> None:
    for prediction in make("chance").predict(questions("choice", 50, ("a", "b", "c")), BOTH):
        likelihoods = np.exp(prediction.choice_loglikelihoods)
        assert likelihoods.sum() == pytest.approx(1.0)
        assert prediction.answer == "abc"[int(np.argmax(likelihoods))]


def test_the_letter_is_said_where_the_prompt_shows_letters(make) -> None:
    plain = questions("choice", 20, ("left", "right"))
    lettered = [replace(inputs, continuations=("A", "B")) for inputs in plain]
    said = {"left": "A", "right": "B"}
    adapter = make("chance")
    assert answers(adapter, lettered) == [said[each] for each in answers(adapter, plain)]


def test_numbers_fill_their_range(make) -> None:
    drawn = [float(a) for a in answers(make("chance", low=2, high=4), questions("number", 500))]
    assert 2 <= min(drawn) < 2.1
    assert 3.9 < max(drawn) <= 4


def test_nothing_is_guessed_where_text_is_wanted(make) -> None:
    assert answers(make("chance"), questions("text", 2)) == ["", ""]


def test_a_guess_depends_on_the_id_alone(make) -> None:
    batch = questions("number", 20)
    whole = answers(make("chance"), batch)
    one_by_one = [answers(make("chance"), [inputs])[0] for inputs in reversed(batch)]
    assert whole == one_by_one[::-1]
    assert len(set(whole)) > 15


def test_another_seed_guesses_otherwise(make) -> None:
    batch = questions("number", 20)
    assert answers(make("chance", seed=1), batch) != answers(make("chance"), batch)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, float("inf"))])
def test_an_empty_range_is_refused(make, low, high) -> None:
    with pytest.raises(BenchError, match="low < high"):
        make("chance", low=low, high=high)
