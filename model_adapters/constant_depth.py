"""Floor: the same depth in metres at every pixel (2 m, about the median of indoor scenes)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


class ConstantDepth(Adapter):
    """One depth everywhere. Under an aligned protocol every constant gets the same value.

    Args:
        depth_m: The depth in metres.
    """

    predicts = frozenset({Want.DEPTH})
    ambiguity = Ambiguity.METRIC

    def __init__(self, depth_m: float = 2.0) -> None:
        if not (math.isfinite(depth_m) and depth_m > 0):
            raise BenchError(
                "model argument 'depth_m'", expected="a positive number of metres", got=depth_m
            )
        self.depth_m = depth_m

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Fill a map of the size of each image."""
        return [
            Prediction(
                depth=tuple(
                    np.full(image.shape[:2], self.depth_m, np.float32) for image in inputs.images
                )
            )
            for inputs in batch
        ]
