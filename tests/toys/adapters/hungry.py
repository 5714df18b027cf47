"""A toy model that has memory for two samples and notes what still lives when it is asked."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Inputs, Prediction, Want


class Hungry(Adapter):
    predicts = frozenset({Want.ANSWER})

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.still_alive: list[bool] = []
        self._last: weakref.ref[np.ndarray] | None = None

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        self.sizes.append(len(batch))
        self.still_alive.append(self._last is not None and self._last() is not None)
        activations = np.zeros(len(batch) * 10)
        self._last = weakref.ref(activations)
        if len(batch) > 2:
            raise MemoryError(f"{activations.nbytes} bytes")
        return [Prediction(answer=str(inputs.images[0][0, 0, 0])) for inputs in batch]
