"""What part of a score a floor reaches: a ratio of two numbers that were measured in pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.statistics import FEWEST_FOR_PERCENTILES, LEVEL, side


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a score a floor reaches, both counted from chance.

    Attributes:
        value: 0 where the floor is at chance, 1 where it is as good as the model.
        low: Lower end of the 95 % interval, None where it is undefined.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Write it in per cent.

        >>> str(Share(0.456, 0.3, None)), str(Share(0.456, None, None))
        ('46 % [30, no end]', '46 %')
        """
        shown = f"{100 * self.value:.0f} %"
        if self.low is None and self.high is None:
            return shown
        ends = ("no end" if end is None else f"{100 * end:.0f}" for end in (self.low, self.high))
        return f"{shown} [{', '.join(ends)}]"


def surviving_share(
    floor: tuple[float, NDArray[np.float64]],
    score: tuple[float, NDArray[np.float64]],
    n_clusters: int,
) -> Share | None:
    """Divide a floor by a score, both counted from chance, higher being better.

    A ratio is worth its name only where its denominator is clear of 0; so it is undefined unless
    the score is above chance with its whole interval. The interval is of percentiles of the paired
    replicates' ratios; a replicate at or below chance has no ratio and stands at the end of its
    floor's sign, so that an interval that depends on it has no end there.

    Args:
        floor: The floor's value, and its replicates under the draws that the score's have.
        score: The model's.
        n_clusters: How many scenes were resampled.

    Returns:
        None where the score is not significantly above chance.

    >>> draws = np.linspace(0.35, 0.45, 2000)
    >>> str(surviving_share((0.1, draws / 4), (0.4, draws), 50))
    '25 % [25, 25]'
    >>> surviving_share((0.0, draws - 0.4), (0.0, draws - 0.4), 50) is None
    True
    """
    if side(*score, n_clusters) <= 0:
        return None
    value = floor[0] / score[0]
    if n_clusters < FEWEST_FOR_PERCENTILES or floor[1].size != score[1].size:
        return Share(value, None, None)
    above = score[1] > 0
    ends = np.copysign(np.inf, floor[1])
    ratios = np.divide(floor[1], score[1], out=ends, where=above)
    tails = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    low, high = (float(end) if math.isfinite(end) else None for end in tails)
    return Share(value, low, high)
