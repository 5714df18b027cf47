"""From samples to numbers: failures at their worst value, counts beside every mean."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.statistics import (
    Bootstrap,
    SharedDraws,
    bounded_interval,
    cluster_bootstrap,
    stratified_bootstrap,
    weighted_median,
)
from g2vlm_bench.store import MetricResult, SampleLine


@dataclass(slots=True)
class Column:
    """One metric over a run's samples, gathered line by line; a failure stands at its worst.

    Samples that count as one only together (`MetricSpec.together`) stand here as one, by the worst
    of them, from the first of them on.
    """

    spec: MetricSpec
    ids: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    n_unscored: int = 0
    undefined: Counter[str] = field(default_factory=Counter)
    _places: dict[str, int] = field(default_factory=dict)
    _members: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Note the values of the tag that a mean of means is of; a run adds many lines."""
        self._members = frozenset(value for value, _ in self.spec.shares)

    def add(self, line: SampleLine) -> None:
        """Count a sample as scored, failed or unscored; skip one that the metric is not for."""
        stratum = "" if self.spec.by is None else line.tags.get(self.spec.by, "")
        if self._members and stratum not in self._members:
            return
        undefined = line.undefined.get(self.spec.weight or "")
        if undefined is not None:
            self.undefined[undefined] += 1
        if line.status == "unscored" or undefined is not None:
            self.n_unscored += 1
            return
        weight = 1.0 if self.spec.weight is None else line.weights[self.spec.weight]
        if weight == 0:
            return
        value = line.values.get(self.spec.name) if line.status == "scored" else None
        worst = line.worst.get(self.spec.name, _worst(self.spec))
        failed = value is None or not math.isfinite(value)
        counted = worst if value is None or failed else value
        place = self._place(line)
        if place < len(self.values):
            worse = min if self.spec.higher_is_better else max
            self.values[place] = worse(self.values[place], counted)
            self.worst[place] = worse(self.worst[place], worst)
            self.failed[place] |= failed
            return
        self.ids.append(line.id)
        self.values.append(counted)
        self.worst.append(worst)
        self.weights.append(weight)
        self.clusters.append(line.cluster)
        self.strata.append("" if self.spec.pooled else stratum)
        self.failed.append(failed)

    def _place(self, line: SampleLine) -> int:
        """Where a sample stands: behind all others, or with its group."""
        group = None if self.spec.together is None else line.groups.get(self.spec.together)
        if group is None:
            return len(self.values)
        return self._places.setdefault(group, len(self.values))

    def counts_as(self, other: Column) -> bool:
        """Whether both count the same samples with the same weights, so that they are paired."""
        return (self.ids, self.clusters, self.strata, self.weights) == (
            other.ids, other.clusters, other.strata, other.weights
        )  # fmt: skip

    def without(self, left_out: Sequence[bool]) -> Column:
        """The samples that are not left out."""
        rest = Column(self.spec)
        for name in ("ids", "values", "weights", "clusters", "strata", "failed", "worst"):
            pairs = zip(getattr(self, name), left_out, strict=True)
            setattr(rest, name, [value for value, out in pairs if not out])
        return rest

    def bootstrap(self, seed: int, shared: SharedDraws | None = None) -> Bootstrap | None:
        """Resample the clusters; None where no sample, or none with weight, has truth."""
        return self._bootstrap(self.values, seed, shared)

    def all_failed(self, seed: int, shared: SharedDraws | None = None) -> Bootstrap | None:
        """What a model gets that fails on every one of these samples."""
        return self._bootstrap(self.worst, seed, shared)

    def _bootstrap(
        self, values: Sequence[float], seed: int, shared: SharedDraws | None
    ) -> Bootstrap | None:
        if sum(self.weights) <= 0:
            return None
        counted = values, self.weights, self.clusters
        if self.spec.by is not None and not self.spec.pooled:
            return stratified_bootstrap(*counted, self.strata, self._shares(), seed, shared)
        return cluster_bootstrap(*counted, seed, self.spec.statistic, shared)

    def _shares(self) -> dict[str, float]:
        if self.spec.pooled or not self.spec.shares:
            return dict.fromkeys(self.strata, 1.0)
        return dict(self.spec.shares)

    def result(self, seed: int) -> MetricResult:
        """Reduce to a number with its interval and counts."""
        boot = self.bootstrap(seed)
        value = boot.value if boot is not None and math.isfinite(boot.value) else None
        low, high = _interval(self.spec, boot)
        return MetricResult(
            metric=self.spec.name,
            unit=self.spec.unit,
            higher_is_better=self.spec.higher_is_better,
            value=value,
            low=low,
            high=high,
            value_scored=self._of_scored(),
            n_scored=self.failed.count(False),
            n_failed=self.failed.count(True),
            n_unscored=self.n_unscored,
            n_clusters=len(set(self.clusters)),
            undefined=dict(sorted(self.undefined.items())),
        )

    def _of_scored(self) -> float | None:
        kept = [
            (v, w, s)
            for v, w, s, f in zip(self.values, self.weights, self.strata, self.failed, strict=True)
            if not f
        ]
        if sum(w for _, w, _ in kept) <= 0:
            return None
        if self.spec.statistic == "median":
            return weighted_median([v for v, _, _ in kept], [w for _, w, _ in kept])
        mass, total = defaultdict[str, float](float), defaultdict[str, float](float)
        for value, weight, stratum in kept:
            mass[stratum] += weight
            total[stratum] += weight * value
        shares = self._shares()
        return sum(shares[s] * total[s] / mass[s] for s in mass) / sum(shares[s] for s in mass)


def _interval(spec: MetricSpec, boot: Bootstrap | None) -> tuple[float, float] | tuple[None, None]:
    """Give the interval within what values there can be."""
    if boot is None:
        return None, None
    lowest, highest = sorted((spec.best, _worst(spec)))
    drawn = boot.value, boot.replicates, boot.n_clusters
    interval = bounded_interval(*drawn, lowest, highest) if spec.bounded else boot.interval()
    if interval is None:
        return None, None
    # Bounds that somebody else's metric does not keep bound no interval of it.
    if not lowest - 1e-9 <= boot.value <= highest + 1e-9:
        return interval
    # Student's interval of a share may reach beyond 1.
    return max(interval[0], lowest), min(interval[1], highest)


def _worst(spec: MetricSpec) -> float:
    if spec.worst is not None:
        return spec.worst
    return -math.inf if spec.higher_is_better else math.inf


@dataclass(slots=True)
class Aggregate:
    """All numbers of a run, gathered in one pass over its samples."""

    columns: dict[str, Column]
    by_tag: dict[str, dict[str, dict[str, Column]]]
    parse_statuses: Counter[str]
    statuses: Counter[str]
    unreadable_truths: int

    def results(self, seed: int) -> list[MetricResult]:
        """Reduce every metric."""
        return [column.result(seed) for column in self.columns.values()]

    def categories(self, seed: int) -> dict[str, dict[str, list[MetricResult]]]:
        """Reduce every metric within every value of every tag."""
        return {
            tag: {
                value: [column.result(seed) for column in columns.values()]
                for value, columns in sorted(values.items())
            }
            for tag, values in sorted(self.by_tag.items())
        }


def aggregate(specs: Sequence[MetricSpec], lines: Iterable[SampleLine]) -> Aggregate:
    """Gather a run's samples into columns, over all and within every tag.

    Args:
        specs: The metrics of the run.
        lines: Its samples.
    """

    def columns() -> dict[str, Column]:
        return {spec.name: Column(spec) for spec in specs}

    whole = columns()
    by_tag: dict[str, dict[str, dict[str, Column]]] = defaultdict(lambda: defaultdict(columns))
    parse_statuses: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    unreadable = 0
    for line in lines:
        groups = [whole, *(by_tag[tag][value] for tag, value in line.tags.items())]
        for group in groups:
            for column in group.values():
                column.add(line)
        statuses[line.status] += 1
        if line.status == "unscored" and line.error and line.error.kind != "NoTruthError":
            unreadable += 1
        if (parsed := line.details.get("parse_status")) is not None:
            parse_statuses[str(parsed)] += 1
    return Aggregate(whole, dict(by_tag), parse_statuses, statuses, unreadable)
