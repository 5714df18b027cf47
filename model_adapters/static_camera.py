"""Floor: a camera that never moves, every view at the pose of the first one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


class StaticCamera(Adapter):
    """The identity for every view.

    Its relative rotations are right where the true camera turns little; it has no direction to be
    right in, and no trajectory that could be aligned, so those metrics count as failed.
    """

    predicts = frozenset({Want.POSES})
    ambiguity = Ambiguity.METRIC
    is_floor = True

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Answer every view alike."""
        return [
            Prediction(world_from_camera=tuple(np.eye(4) for _ in inputs.images))
            for inputs in batch
        ]
