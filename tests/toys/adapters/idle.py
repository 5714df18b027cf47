"""A toy model that does nothing, for measuring what the harness itself costs."""

from __future__ import annotations

from collections.abc import Sequence

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Inputs, Prediction, Want


class Idle(Adapter):
    predicts = frozenset({Want.ANSWER})

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        return [Prediction(answer="1")] * len(batch)
