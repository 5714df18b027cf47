"""Models that answer the procedural world's questions from their words alone, without a picture.

- majority: the answer that is right most often, of those offered;
- place: the place among the options that is right most often;
- sizes: which of the things named is of the larger kind (a table is larger than a ring), and
  whether that one or the other is more often right;
- bag of words: logistic regression on which words stand in question and option, alone and crossed;
- text model: a small neural network on words and pairs of neighbouring words of both.

Chance is 1 / options. For numbers it is the best constant of the train split for what is asked, by
mean relative accuracy (share of the tolerances 5 %, 10 %, ..., 50 % that are met), for counts by
the share of right ones; there the two models predict a distribution and guess by it.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.language.phrases import SYNONYMS
from g2vlm_bench.world.questions import Question
from g2vlm_bench.world.shapes import KINDS, spoken

Array = NDArray[np.float64]

MODELS = ("majority", "place", "sizes", "bag of words", "text model")
COUNTS = ("0", "1", "2", "3")
TOLERANCES = np.linspace(0.05, 0.5, 10)
# Typical size of a kind, by its nouns.
_SIZES = {
    word: each.sizes_m["medium"][0]
    for kind, each in KINDS.items()
    for word in (spoken(kind), *SYNONYMS.get(kind, ()))
}


def probe(train: Sequence[Question], test: Sequence[Question]) -> Mapping[str, Array]:
    """Fit every model on a family's train questions and let it answer the test questions.

    Questions with options, and measures, are answered each in their own way.

    Returns:
        By model, and for `chance`: how right it is on each test question, from 0 to 1.
    """
    right = {name: np.full(len(test), np.nan) for name in ("chance", *MODELS)}
    for scores, is_measure in ((_options_scores, False), (_measure_scores, True)):
        known = [q for q in train if bool(q.unit) == is_measure]
        asked = [i for i, q in enumerate(test) if bool(q.unit) == is_measure]
        if known and asked:
            for name, values in scores(known, [test[i] for i in asked]).items():
                right[name][asked] = values
    return right


def options_of(question: Question) -> tuple[str, ...]:
    """What can be answered, where it is no measure."""
    if question.answer_type == "yes_no":
        return ("yes", "no")
    return COUNTS if question.answer_type == "number" else question.choices


def _answer(question: Question) -> str:
    is_count = question.answer_type == "number"
    return str(int(question.answer)) if is_count else str(question.answer)


def _options_scores(train: list[Question], test: list[Question]) -> dict[str, Array]:
    """Whether each model is right, question by question."""
    share = _win_rates(train)
    constant = np.array([_answer(q) == _likely(q, share) for q in test], float)
    chance = [1 / len(options_of(q)) for q in test]
    is_count = [q.answer_type == "number" for q in test]
    places = Counter((q.kind, len(q.choices), options_of(q).index(_answer(q))) for q in train)
    often = [[places[q.kind, len(q.choices), i] for i in range(len(options_of(q)))] for q in test]
    placed = [int(np.argmax(times)) for times in often]
    by_place = np.array([options_of(q)[i] == _answer(q) for q, i in zip(test, placed, strict=True)])
    return {
        # Nobody would guess a count evenly.
        "chance": np.where(is_count, constant, chance),
        "majority": constant,
        # An order that is always the same is no place; counts and yes or no have none.
        "place": np.where([bool(q.choices) for q in test], by_place, chance),
        "sizes": _by_sizes(train, test),
        "bag of words": _guess(train, test, _crossed, network=False),
        "text model": _guess(train, test, _neighbours, network=True),
    }


def _win_rates(train: list[Question]) -> Mapping[tuple[str, str], float]:
    wins, offers = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for question in train:
        wins[question.kind, _answer(question)] += 1
        offers.update((question.kind, option) for option in options_of(question))
    # Seldom offered options say little: they count as if offered and lost once more.
    return {key: wins[key] / (offers[key] + 2) for key in offers}


def _likely(question: Question, share: Mapping[tuple[str, str], float]) -> str:
    return max(options_of(question), key=lambda option: share.get((question.kind, option), 0.0))


def _by_sizes(train: list[Question], test: list[Question]) -> Array:
    """Whether the rule is right that knows only which thing named is of the larger kind."""
    wins = Counter((q.kind, _size_order(q), _size_place(q, _answer(q))) for q in train)

    def guess(question: Question) -> str:
        order = _size_order(question)
        return max(
            options_of(question), key=lambda o: wins[question.kind, order, _size_place(question, o)]
        )

    return np.array([guess(q) == _answer(q) for q in test], float)


def _size_order(question: Question) -> str:
    """Whether the first thing named in the text is of a larger kind than the second."""
    sizes = [_SIZES[word] for word in re.findall(r"\w+", question.text) if word in _SIZES]
    return "" if len(sizes) < 2 else f"{np.sign(sizes[0] - sizes[1]):+.0f}"


def _size_place(question: Question, option: str) -> str:
    """How many options are of larger kinds; the option itself where it names no kind."""
    sizes = [_SIZES.get(each.split()[-1], 0.0) for each in options_of(question)]
    own = _SIZES.get(option.split()[-1])
    return option if own is None else str(sum(size > own for size in sizes))


def _crossed(question: Question, place: int, option: str) -> list[str]:
    """Words of the option, crossed with those of the question, its place, and what it is not."""
    asked = [question.kind, *re.findall(r"\w+", question.text.lower())]
    others = [word for other in options_of(question) if other != option for word in other.split()]
    own = option.split()
    crossed = [f"{word}&{mine}" for word in asked for mine in own]
    against = [f"{mine}>{other}" for mine in own for other in others]
    return [*own, f"place{place}", *crossed, *against, *(f"not {other}" for other in others)]


def _neighbours(question: Question, place: int, option: str) -> list[str]:
    """Words and pairs of neighbouring words of the question and of the option, and its rivals."""
    words = [question.kind, *re.findall(r"\w+", question.text.lower())]
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    own = [f"own {word}" for word in [option, *option.split()]]
    others = [f"other {word}" for o in options_of(question) if o != option for word in o.split()]
    return [*words, *pairs, *own, *others, f"place {place}"]


def _guess(train: list[Question], test: list[Question], features: Any, network: bool) -> Array:
    """Score each option by a model of its features, take the best, and say whether it is right."""
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    hasher = FeatureHasher(1 << 14, input_type="string", alternate_sign=False)

    def rows(listed: list[Question]) -> Any:
        return hasher.transform(
            [features(q, place, o) for q in listed for place, o in enumerate(options_of(q))]
        )

    truth = [option == _answer(q) for q in train for option in options_of(q)]
    model = (
        MLPClassifier(
            hidden_layer_sizes=(32,), alpha=1e-2, max_iter=25, early_stopping=True, random_state=0
        )
        if network
        else LogisticRegression(C=0.1, max_iter=200)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows(train), truth)
    scores = iter(model.predict_proba(rows(test))[:, 1])
    guesses = [max((next(scores), o) for o in options_of(q))[1] for q in test]
    return np.array([g == _answer(q) for g, q in zip(guesses, test, strict=True)], float)


def relative_accuracy(guess: Array, truth: Array) -> Array:
    """Share of the tolerances that each guess meets."""
    error = np.abs(guess - truth) / np.abs(truth)
    return np.asarray((error[:, None] < TOLERANCES).mean(axis=1))


def _measure_scores(train: list[Question], test: list[Question]) -> dict[str, Array]:
    """Mean relative accuracy of the best constant of each kind, and of models of the words."""
    constant = {kind: _best_constant(train, kind) for kind in {q.kind for q in train}}
    test = [q for q in test if q.kind in constant]
    truth = np.array([float(q.answer) for q in test])
    chance = relative_accuracy(np.array([constant[q.kind] for q in test]), truth)
    return {
        "chance": chance,
        "majority": chance,
        "place": chance,
        "sizes": chance,
        "bag of words": relative_accuracy(_estimate(train, test, constant, False), truth),
        "text model": relative_accuracy(_estimate(train, test, constant, True), truth),
    }


def _best_constant(train: list[Question], kind: str) -> float:
    values = np.array([float(q.answer) for q in train if q.kind == kind])
    tried = np.quantile(values, np.linspace(0.02, 0.98, 49))
    means = [relative_accuracy(np.full(len(values), each), values).mean() for each in tried]
    return float(tried[int(np.argmax(means))])


def _estimate(
    train: list[Question], test: list[Question], constant: Mapping[str, float], network: bool
) -> Array:
    """Guess measures from the words as well as a model can.

    It predicts a distribution over ten bins of how many times its kind's constant a measure is,
    and guesses what promises the best relative accuracy under it. A plain regression would lose to
    the constant only because it aims at the mean.
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    hasher = FeatureHasher(1 << 12, input_type="string", alternate_sign=False)

    def rows(listed: list[Question]) -> Any:
        return hasher.transform([_neighbours_of(q) for q in listed])

    times = np.array([float(q.answer) / constant[q.kind] for q in train])
    bins = np.searchsorted(np.quantile(times, np.linspace(0.1, 0.9, 9)), times)
    tried = np.unique(np.append(np.quantile(times, np.linspace(0.02, 0.98, 49)), 1.0))
    promise = np.stack(
        [relative_accuracy(np.full(len(times), each), times) for each in tried]
    )  # fmt: skip
    by_bin = np.stack([promise[:, bins == each].mean(axis=1) for each in np.unique(bins)])
    model = (
        MLPClassifier(hidden_layer_sizes=(32,), alpha=1e-2, early_stopping=True, random_state=0)
        if network
        else LogisticRegression(C=0.05, max_iter=200)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows(train), bins)
    best: Array = tried[np.argmax(model.predict_proba(rows(test)) @ by_bin, axis=1)]
    return np.array([constant[q.kind] for q in test]) * best


def _neighbours_of(question: Question) -> list[str]:
    words = [question.kind, *re.findall(r"\w+", question.text.lower())]
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]
