"""Reference row: the truth itself, which must get the best value of every metric."""

from __future__ import annotations

import numpy as np

from g2vlm_bench.adapter import TruthAdapter
from g2vlm_bench.sample import Inputs, Prediction


class Oracle(TruthAdapter):
    """The perfect prediction, untouched."""

    def distort(self, perfect: Prediction, inputs: Inputs, rng: np.random.Generator) -> Prediction:
        """Return the perfect prediction."""
        return perfect
