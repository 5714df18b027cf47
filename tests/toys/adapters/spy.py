"""A toy model that keeps everything it is handed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


class Spy(Adapter):
    predicts = frozenset({Want.DEPTH, Want.ANSWER})
    ambiguity = Ambiguity.METRIC

    def __init__(self) -> None:
        self.handed: list[Any] = []

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        self.handed.append((batch, wants))
        return [
            Prediction(
                depth=tuple(np.ones(image.shape[:2], np.float32) for image in inputs.images),
                answer="1",
            )
            for inputs in batch
        ]
