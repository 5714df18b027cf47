"""Wrapper, misheard:MODEL: the same model shown the same images and asked about another scene."""

from __future__ import annotations

from collections.abc import Sequence

from g2vlm_bench.adapter import Adapter, WrappingAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import LANGUAGE, Inputs, Prediction, Want


class Misheard(WrappingAdapter):
    """Is asked what has nothing to do with the answer that is wanted; the options stay.

    What the wrapped model still gets right does not come of what it was asked: a model whose
    answers the question steers is at chance. The runner chooses whose question; see
    `shuffling.partners`.
    """

    swapped = "question"
    is_floor = True

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self.predicts = inner.predicts & LANGUAGE
        if not self.predicts:
            raise BenchError(
                "model 'misheard'",
                expected="a model that answers questions",
                got=f"one that predicts {', '.join(sorted(inner.predicts))}",
            )

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Ask the wrapped model."""
        return self.inner.predict(batch, wants)
