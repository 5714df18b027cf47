"""A perfect toy model: it reads depth and answer off the pixels."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


class Pixels(Adapter):
    """Notes every call in `log` and takes `seconds` for each."""

    predicts = frozenset({Want.DEPTH, Want.ANSWER})
    ambiguity = Ambiguity.METRIC

    def __init__(
        self, log: str = "", seconds: float = 0.0, weights: str = "a", dtype: str = "auto"
    ) -> None:
        self.log, self.seconds = log, seconds
        self.weights_hash = f"sha256:{weights}"

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(json.dumps([inputs.id for inputs in batch]) + "\n")
        time.sleep(self.seconds)
        return [
            Prediction(
                depth=tuple(image[..., 0].astype(np.float32) for image in inputs.images),
                answer=str(inputs.images[0][0, 0, 0]),
            )
            for inputs in batch
        ]
