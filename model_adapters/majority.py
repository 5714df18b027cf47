"""Floor: the most frequent answer to its kind of question, in training or else of other scenes."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import LANGUAGE, Inputs, Prediction, Target, Want


class Majority(FittedAdapter):
    """What was right most often in training.

    choice: the offered option whose text was right most often; where texts tie (such as none
    seen), the one at the position that was right most often. yes_no and text: the most frequent
    answer. number: the median, which minimises the mean absolute error.
    """

    predicts = LANGUAGE
    needs_images = False
    fits_answers = True

    def __init__(self) -> None:
        self._forget()
        self._fitted = False

    def _forget(self) -> None:
        self._texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._positions: Counter[int] = Counter()
        self._numbers: list[float] = []

    def fit(self, training: Iterable[tuple[Inputs, Target]]) -> None:
        """Count the answers of the training split, and of no split seen before.

        Raises:
            BenchError: There is none to count, as where descriptions are scored by their facts.
        """
        self._forget()
        self._fitted = True
        for inputs, target in training:
            kind = target.answer_type or inputs.answer_type
            if target.answer is None or kind is None:
                continue
            if kind == "number":
                self._numbers.append(float(target.answer))
                continue
            text = str(target.answer)
            self._texts[kind][_key(text)] += 1
            offered = [_key(choice) for choice in target.choices or inputs.choices]
            if _key(text) in offered:
                self._positions[offered.index(_key(text))] += 1
        if not self._numbers and not any(self._texts.values()):
            raise BenchError(
                "model 'majority'", expected="answers to count in the training split", got="none"
            )

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Answer each question as most were; a type that training did not show fails.

        Raises:
            BenchError: `fit` was not called.
        """
        if not self._fitted:
            raise BenchError("model 'majority'", expected="a fit before predict", got="none")
        return [self._predict_one(inputs) for inputs in batch]

    def _predict_one(self, inputs: Inputs) -> Prediction | Exception:
        kind = inputs.answer_type
        if inputs.choices and kind is not None:
            scores = self._scores(kind, inputs.choices)
            return Prediction(
                # By its letter where the prompt shows letters: some scorers read nothing else.
                answer=(inputs.continuations or inputs.choices)[int(np.argmax(scores))],
                choice_loglikelihoods=np.log(scores / scores.sum()),
            )
        if kind == "number" and self._numbers:
            return Prediction(answer=f"{statistics.median(self._numbers):.6g}")
        if kind is not None and self._texts[kind]:
            return Prediction(answer=_most_frequent(self._texts[kind]))
        return BenchError(
            "model 'majority'", expected=f"{kind} answers in the training split", got="none"
        )

    def _scores(self, kind: str, choices: Sequence[str]) -> NDArray[np.float64]:
        """Score each option: a text counts whole, a position less than one text."""
        total = self._positions.total()
        places = [
            (self._positions[i] + 1) / (total + len(choices) + 1) for i in range(len(choices))
        ]
        texts = [self._texts[kind][_key(choice)] for choice in choices]
        return np.asarray(np.add(texts, places), np.float64)


def _key(text: str) -> str:
    return text.strip().casefold()


def _most_frequent(counts: Counter[str]) -> str:
    """Take the most frequent text, the alphabetically first of equals, whatever order came."""
    return min(counts, key=lambda text: (-counts[text], text))
