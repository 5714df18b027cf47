"""What a metric is: its name with the protocol in it, unit, direction and bounds."""

from __future__ import annotations

from typing import Literal

import msgspec


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric under one protocol: everything a table needs to know about a number.

    Attributes:
        name: `metric@protocol`, such as `abs_rel@median_scale`. Two protocols never share a name.
        unit: Unit of the value, "1" where it has none.
        higher_is_better: Direction.
        best: The value of a perfect prediction.
        worst: What a failed sample counts as; None where the metric has no bound, so that one
            failure makes the mean infinite.
        chance: The expected value of a guess, where that is known without the data.
        weight: Key of the per-sample weight in `SampleScore.weights`; every sample counts alike
            where it is absent. Ratio-of-sums statistics are weighted means too.
        statistic: What is reported of the samples' values. A median has no partial credit to lose,
            so it can be reported of a metric without a bound: few failures leave it finite.
        by: Tag whose values are averaged each alone, before their means are (a macro mean).
        shares: The share of each such mean, as (value of the tag, share); samples of other values
            are left out. Empty: all values alike. Where a run lacks a value, the others share.
        pooled: The samples of the values in `shares` are averaged together, all alike (a micro mean
            of some categories); the shares themselves say nothing then.
        together: Kind of group (`Sample.groups`) whose samples count as one, by the worst of them:
            a question is right when all its rotations are.
        description: One line for the table's legend, with the source of the definition.
    """

    name: str
    unit: str
    higher_is_better: bool
    best: float
    worst: float | None
    chance: float | None = None
    weight: str | None = None
    statistic: Literal["mean", "median"] = "mean"
    by: str | None = None
    shares: tuple[tuple[str, float], ...] = ()
    pooled: bool = False
    together: str | None = None
    description: str = ""

    @property
    def bounded(self) -> bool:
        """Whether a failure has a finite cost, which a leaderboard's headline must have."""
        return self.worst is not None

    @property
    def protocol(self) -> str:
        """The part of the name behind the `@`, empty for a metric with one convention only."""
        return self.name.partition("@")[2]
