"""Floor: the same depth in metres at every pixel (2 m, about the median of indoor scenes)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import pinhole
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want

# Of the longer side, where the task does not give the camera: that of a phone's main lens.
_FIELD_OF_VIEW_DEG = 65.0


class ConstantDepth(Adapter):
    """One depth everywhere. Under an aligned protocol every constant gets the same value.

    Its camera is the given one, or else a phone's.

    Args:
        depth_m: The depth in metres.
    """

    predicts = frozenset({Want.DEPTH, Want.INTRINSICS})
    ambiguity = Ambiguity.METRIC
    is_floor = True

    def __init__(self, depth_m: float = 2.0) -> None:
        if not (math.isfinite(depth_m) and depth_m > 0):
            raise BenchError(
                "model argument 'depth_m'", expected="a positive number of metres", got=depth_m
            )
        self.depth_m = depth_m

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Fill a map of the size of each image."""
        return [self._predict_one(inputs, Want.INTRINSICS in wants) for inputs in batch]

    def _predict_one(self, inputs: Inputs, with_camera: bool) -> Prediction:
        sizes = [(image.shape[0], image.shape[1]) for image in inputs.images]
        cameras = inputs.intrinsics or tuple(pinhole(*s, _FIELD_OF_VIEW_DEG) for s in sizes)
        return Prediction(
            depth=tuple(np.full(size, self.depth_m, np.float32) for size in sizes),
            intrinsics=cameras if with_camera else None,
        )
