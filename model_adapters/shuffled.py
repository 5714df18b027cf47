"""Wrapper, shuffled:MODEL: the same model asked the same questions about another scene's images."""

from __future__ import annotations

from collections.abc import Sequence

from g2vlm_bench.adapter import Adapter, WrappingAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import LANGUAGE, Inputs, Prediction, Want


class Shuffled(WrappingAdapter):
    """Shows images that have nothing to do with the question.

    What the wrapped model still gets right, it does not know from looking. Unlike a blind model it
    sees what it was trained to see. The runner chooses the scenes; see `shuffling.partners`.
    """

    swapped = "scene"
    is_floor = True

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self.predicts = inner.predicts & LANGUAGE
        if not self.predicts:
            raise BenchError(
                "model 'shuffled'",
                expected="a model that answers questions",
                got=f"one that predicts {', '.join(sorted(inner.predicts))}",
            )

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Ask the wrapped model."""
        return self.inner.predict(batch, wants)
