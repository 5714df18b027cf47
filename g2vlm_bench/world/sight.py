"""What the cameras of a scene see of each thing, in shares of their pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What the V cameras of one scene see of its B bodies; the body of id i stands at i - 1.

    Attributes:
        share: `(V, B)` visible pixels of each body over the picture's pixels.
        amodal_share: `(V, B)` pixels that it would fill alone in the place, over the picture's;
            never less than `share`.
        hidden_by: `(V, B, B)`; `[v, a, b]` is the share of the picture's pixels where a is what is
            seen and b lies behind it. 0 where a is b.
    """

    share: NDArray[np.float64]
    amodal_share: NDArray[np.float64]
    hidden_by: NDArray[np.float64]

    @property
    def visibility(self) -> NDArray[np.float64]:
        """`(V, B)` visible share of what the picture would show of each body alone, in [0, 1].

        NaN where it would show nothing.
        """
        amodal = self.amodal_share
        return np.divide(self.share, amodal, out=np.full_like(amodal, np.nan), where=amodal > 0)
