"""Intervals for weighted means: a bootstrap over scene clusters, seeded and paired by construction.

Two runs over the same clusters are resampled by the same draws, because the draws follow from the
clusters' names and the seed alone. So the difference of two runs' replicates is a paired bootstrap.
Numbers over different clusters that are to be put together, such as a board's columns, need draws
that go together, too: `SharedDraws`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

REPLICATES = 2000
LEVEL = 0.95
# Of n clusters that all differ from 0 to one side, every resample does too, and that happens by
# chance once in 2^(n-1): percentiles cannot cover 95 % before n = 6, and come close from here on.
FEWEST_FOR_PERCENTILES = 8
# Two sums of the same numbers in another order differ by rounding, always to the same side.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """A weighted mean or median and its replicates under resampling of clusters.

    Attributes:
        value: The statistic; a mean is infinite where a value is.
        replicates: `(REPLICATES,)` the statistic under each draw; empty for fewer than two clusters
            and for an infinite value.
        n_clusters: How many clusters were resampled.
    """

    value: float
    replicates: NDArray[np.float64]
    n_clusters: int

    def interval(self) -> tuple[float, float] | None:
        """Give the 95 % interval, None where it is undefined (see `confidence_interval`)."""
        return confidence_interval(self.value, self.replicates, self.n_clusters)


def cluster_bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    weights: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[str],
    seed: int,
    statistic: Literal["mean", "median"] = "mean",
    shared: SharedDraws | None = None,
) -> Bootstrap:
    """Resample clusters with replacement and take the weighted mean or median of each draw.

    Args:
        values: A value per sample; may be infinite, not NaN.
        weights: A non-negative weight per sample.
        clusters: The cluster of each sample.
        seed: Where the draws start; the same clusters and seed give the same draws.
        statistic: A median of an even number of equal weights is the mean of the middle two.
        shared: Draws to take in place of the clusters' own.

    Raises:
        ValueError: Nothing to average, a NaN, a negative weight, or weights that sum to zero.
    """
    value = np.asarray(values, np.float64)
    weight = np.asarray(weights, np.float64)
    if value.size == 0 or value.shape != weight.shape or len(clusters) != value.size:
        raise ValueError(
            f"expected as many values, weights and clusters, at least one; got {value.size}, "
            f"{weight.size}, {len(clusters)}"
        )
    usable = np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0
    if np.isnan(value).any() or not usable:
        raise ValueError(
            "expected values without NaN and weights of 0 or more, one of them positive; "
            f"got {int(np.isnan(value).sum())} NaN, weights from {weight.min()} to {weight.max()}"
        )
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    draws = _Draws(names.tolist(), seed, shared)
    if statistic == "median":
        return _median_bootstrap(value, weight, index, draws)
    mass: NDArray[np.float64] = np.bincount(index, weight).astype(np.float64)
    # What has no weight may be infinite, and 0 times that would be NaN.
    product = np.multiply(weight, value, out=np.zeros_like(value), where=weight > 0)
    total: NDArray[np.float64] = np.bincount(index, product).astype(np.float64)
    mean = float(total.sum() / mass.sum())
    if len(names) < 2 or not math.isfinite(mean):
        return Bootstrap(mean, np.empty(0), len(names))
    return Bootstrap(mean, _replicates(total, mass, draws), len(names))


def stratified_bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    weights: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[str],
    strata: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
    shared: SharedDraws | None = None,
) -> Bootstrap:
    """Resample clusters with replacement and take the mean of the strata's means of each draw.

    A cluster may have samples in several strata. A draw that misses a stratum takes its mean of the
    data, as `cluster_bootstrap` does for all.

    Args:
        values: A finite value per sample, or an infinite one.
        weights: A positive weight per sample.
        clusters: The cluster of each sample.
        strata: The stratum of each sample.
        shares: Of each stratum's mean in the whole; brought to a sum of 1 over those with samples.
        seed: Where the draws start, as in `cluster_bootstrap`.
        shared: Draws to take in place of the clusters' own.

    >>> values, strata = [1.0, 0.0, 1.0, 1.0], ["x", "x", "x", "y"]
    >>> stratified_bootstrap(values, [1] * 4, list("abcd"), strata, {"x": 1, "y": 1}, 0).value
    0.8333333333333333
    """
    value, weight = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    kinds, stratum = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    names, cluster = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    share = np.array([shares[kind] for kind in kinds.tolist()], np.float64)
    share /= share.sum()
    cell = cluster * len(kinds) + stratum
    size = len(names) * len(kinds)
    mass = np.bincount(cell, weight, minlength=size).reshape(len(names), -1)
    total = np.bincount(cell, weight * value, minlength=size).reshape(len(names), -1)
    means = total.sum(axis=0) / mass.sum(axis=0)
    whole = float(means @ share)
    if len(names) < 2 or not math.isfinite(whole):
        return Bootstrap(whole, np.empty(0), len(names))
    replicates = []
    for draws in _Draws(names.tolist(), seed, shared).blocks(len(names)):
        drawn = draws @ mass
        missed = np.broadcast_to(means, drawn.shape).copy()
        replicates.append(np.divide(draws @ total, drawn, out=missed, where=drawn > 0) @ share)
    return Bootstrap(whole, np.concatenate(replicates), len(names))


def _median_bootstrap(
    value: NDArray[np.float64],
    weight: NDArray[np.float64],
    index: NDArray[np.int64],
    draws: _Draws,
) -> Bootstrap:
    """Draws differ in the weights alone, so that the values are sorted once."""
    order = np.argsort(value, kind="stable")
    value, weight, index = value[order], weight[order], index[order]
    n_clusters = int(index.max()) + 1
    median = float(_weighted_medians(value, weight[None])[0])
    if n_clusters < 2 or not math.isfinite(median):
        return Bootstrap(median, np.empty(0), n_clusters)
    replicates = np.concatenate(
        [
            # A draw can miss every cluster that has weight; its median is that of the data.
            np.where(
                (drawn := times[:, index] * weight).any(axis=1),
                _weighted_medians(value, drawn),
                median,
            )
            for times in draws.blocks(len(value))
        ]
    )
    finite = bool(np.isfinite(replicates).all())
    return Bootstrap(median, replicates if finite else np.empty(0), n_clusters)


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The middle of values by weight; between two where exactly half the weight is on each side.

    >>> weighted_median([3.0, 1.0, 2.0, 9.0], [1, 1, 1, 1])
    2.5
    """
    value, weight = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    order = np.argsort(value, kind="stable")
    return float(_weighted_medians(value[order], weight[None, order])[0])


def _weighted_medians(
    ordered: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The middle of sorted values under each row of weights, between two where half is reached."""
    below = np.cumsum(weights, axis=1)
    half = below[:, -1:] / 2
    # Sums of floats that should be equal differ by rounding.
    tolerance = 1e-9 * half
    first = np.argmax(below >= half - tolerance, axis=1)
    second = np.argmax(below > half + tolerance, axis=1)
    return np.asarray((ordered[first] + ordered[second]) / 2)


def draws_seed(clusters: Sequence[str], seed: int) -> int:
    """Derive the seed of the draws from the clusters' names, so that runs on them are paired."""
    names = "\n".join([str(seed), *sorted(set(clusters))])
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:8], "big")


def confidence_interval(
    value: float, replicates: NDArray[np.float64], n_clusters: int, level: float = LEVEL
) -> tuple[float, float] | None:
    """Give an interval from replicates: expanded percentiles, or Student's t for few clusters.

    Args:
        value: The statistic on the data, such as a mean or a difference of two.
        replicates: The statistic under each draw; empty where it has no uncertainty to speak of.
        n_clusters: How many clusters were resampled.
        level: Of confidence.

    Returns:
        Its ends; None for fewer than two clusters, whose spread says nothing.
    """
    if replicates.size == 0 or n_clusters < 2:
        return None
    if n_clusters >= FEWEST_FOR_PERCENTILES:
        return expanded_percentile(replicates, n_clusters, level)
    # The bootstrap's variance divides by n where the sample variance divides by n - 1.
    error = float(replicates.std()) * math.sqrt(n_clusters / (n_clusters - 1))
    margin = float(stats.t.ppf((1 + level) / 2, n_clusters - 1)) * error
    return value - margin, value + margin


def may_tell(replicates: NDArray[np.float64], n_clusters: int) -> bool:
    """Whether replicates without spread mean anything: n coins fall alike once in 2^n.

    Of clusters that all agree resampling shows no spread, however few they are.
    """
    agree = replicates.size > 0 and float(np.ptp(replicates)) <= _ROUNDING
    return not agree or 2.0 ** (-n_clusters) <= (1 - LEVEL) / 2


def side(value: float, replicates: NDArray[np.float64], n_clusters: int) -> int:
    """Say on which side of 0 a number lies: 1 above, -1 below, 0 where that cannot be told.

    Args:
        value: Such as a difference of two paired numbers.
        replicates: The number under each draw.
        n_clusters: How many clusters were resampled.

    >>> side(1.0, np.ones(2000), n_clusters=5), side(1.0, np.ones(2000), n_clusters=6)
    (0, 1)
    """
    if not may_tell(replicates, n_clusters):
        return 0
    return direction(confidence_interval(value, replicates, n_clusters))


def bounded_interval(
    value: float, replicates: NDArray[np.float64], n_clusters: int, lowest: float, highest: float
) -> tuple[float, float] | None:
    """Give the interval of a number with bounds, and never one of no width by agreement.

    Where all n scenes agree, resampling them shows no spread, and "1.000 [1.000, 1.000]" of five
    scenes would claim what five scenes cannot show. A share q of other scenes stays unseen in n
    with probability (1 - q)^n; the q for which that is 2.5 % may lie at either bound (the exact
    binomial bound of Clopper and Pearson 1934 for shares of 0 and 1).

    Args:
        value: The number.
        replicates: The number under each draw.
        n_clusters: How many clusters were resampled.
        lowest: What no scene can be below.
        highest: What no scene can be above.

    >>> low, high = bounded_interval(1.0, np.ones(2000), 5, 0.0, 1.0)
    >>> round(low, 3), high
    (0.478, 1.0)
    """
    interval = confidence_interval(value, replicates, n_clusters)
    if interval is not None and float(np.ptp(replicates)) <= _ROUNDING:
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / n_clusters)
        return value - unseen * (value - lowest), value + unseen * (highest - value)
    return interval


def direction(interval: tuple[float, float] | None) -> int:
    """Say on which side of 0 an interval lies: 1 above, -1 below, 0 around it or undefined.

    >>> direction((0.1, 0.3)), direction((-0.1, 0.3)), direction(None)
    (1, 0, 0)
    """
    if interval is None:
        return 0
    return (interval[0] > _ROUNDING) - (interval[1] < -_ROUNDING)


def simultaneous_directions(
    values: NDArray[np.float64],
    replicates: NDArray[np.float64],
    n_clusters: int,
    level: float = LEVEL,
) -> NDArray[np.int64]:
    """Say of all pairs of models which is better, at one error rate for all pairs together.

    Judging each pair on its own would find a "better" one among ten equal models most of the time.
    The largest of all pairs' standardised differences under the draws gives one bound that all of
    them keep with the given probability (single-step max-T). Few clusters show too few different
    draws for that; there the error rate is divided among the pairs (Bonferroni).

    Args:
        values: `(M,)` a score per model, larger is better.
        replicates: `(M, B)` its value under each draw, the same draws for all.
        n_clusters: How many clusters were resampled, at least two.
        level: Probability that no pair of equal models is told apart.

    Returns:
        `(M, M)`: 1 where the row's model is better than the column's, -1 where worse, else 0.

    Source: Westfall and Young, Resampling-Based Multiple Testing (1993), section 2.3; with
    Student's t for the normal, as in `confidence_interval`, for few clusters.
    """
    first, second = np.triu_indices(len(values), 1)
    difference = values[first] - values[second]
    noise = replicates[first] - replicates[second] - difference[:, None]
    error = noise.std(axis=1)
    # A pair that differs by the same in every draw has no noise; rounding must not make one.
    steady = error <= 1e-12
    tail = (1 - level) / 2 / max(len(difference), 1)
    # Nor does a lack of noise in few clusters say much: n coins fall alike once in 2^(n-1).
    told = n_clusters >= FEWEST_FOR_PERCENTILES or 2.0 ** (-n_clusters) <= tail
    if n_clusters >= FEWEST_FOR_PERCENTILES and not steady.all():
        largest = (np.abs(noise[~steady]) / error[~steady, None]).max(axis=0)
        tail = float(stats.norm.sf(np.quantile(largest, level)))
    bound = float(stats.t.isf(tail, n_clusters - 1)) * math.sqrt(n_clusters / (n_clusters - 1))
    apart = np.where(
        steady, told & (np.abs(difference) > 1e-12), np.abs(difference) > bound * error
    )
    sides = np.zeros((len(values), len(values)), np.int64)
    sides[first, second] = np.where(apart, np.sign(difference), 0)
    return sides - sides.T


def expanded_percentile(
    replicates: NDArray[np.float64], n_clusters: int, level: float = LEVEL
) -> tuple[float, float]:
    """Give the percentiles of replicates, widened for the number of clusters.

    The plain percentile interval of n clusters is too narrow by sqrt((n-1)/n) and by z/t. Source:
    Hesterberg, "What Teachers Should Know About the Bootstrap" (2015), section 4.3.

    >>> expanded_percentile(np.arange(2001.0), n_clusters=10**9)
    (50.0, 1950.0)
    """
    tail = (1 - level) / 2
    t = stats.t.ppf(tail, n_clusters - 1) * math.sqrt(n_clusters / (n_clusters - 1))
    # Rounded, so that very many clusters give the plain percentiles to the last digit.
    widened = round(float(stats.norm.cdf(t)), 7)
    low, high = np.quantile(replicates, [widened, 1 - widened])
    return float(low), float(high)


def _replicates(
    total: NDArray[np.float64], mass: NDArray[np.float64], all_draws: _Draws
) -> NDArray[np.float64]:
    # A draw can miss every cluster that has weight; its mean is that of the data.
    whole = total.sum() / mass.sum()
    means = []
    for draws in all_draws.blocks(len(total)):
        drawn = draws @ mass
        means.append(
            np.divide(draws @ total, drawn, out=np.full(len(draws), whole), where=drawn > 0)
        )
    return np.concatenate(means)


# Clusters whose draws are kept: 2,000 of each, 16 MB.
_FEW_ENOUGH_TO_KEEP = 1000
# Numbers that are held at once of draws that are not kept.
_AT_ONCE = 4_000_000


class SharedDraws:
    """Draws of clusters for numbers over different ones of them, such as the columns of a board.

    All draws are taken from one endless sequence of picks of all clusters, a sequence for each
    replicate: those of n clusters are the first n picks that are among them. So each number's draws
    are what its own would be, n picks of n with replacement; numbers over the same clusters have
    the same; those over clusters of which most are the same have almost the same, so that their
    covariance is not lost; and those over others are independent.

    Args:
        clusters: All of them.
        seed: Where the draws start.
    """

    def __init__(self, clusters: Iterable[str], seed: int = 0) -> None:
        self._all = sorted(set(clusters))
        self._seed = seed
        self._kept: tuple[list[str], NDArray[np.float64]] | None = None

    def blocks(self, names: list[str]) -> Iterator[NDArray[np.float64]]:
        """How often each of these clusters is drawn, `(block, len(names))` at a time.

        Raises:
            KeyError: One is none of all clusters.
        """
        if self._kept is not None and self._kept[0] == names:
            yield self._kept[1]
            return
        place = {name: number for number, name in enumerate(self._all)}
        among = np.full(len(self._all), -1)
        among[[place[name] for name in names]] = np.arange(len(names))
        length = 2 * len(self._all)
        height = max(1, min(REPLICATES, _AT_ONCE // length))
        done = []
        for start in range(0, REPLICATES, height):
            rng = np.random.default_rng([draws_seed(self._all, self._seed), start])
            shape = min(height, REPLICATES - start), length
            picked = among[rng.integers(0, len(self._all), shape)]
            drawn = _first_picks(picked, len(names))
            # Of few among many the sequence may hold too few; the rest are picks of their own.
            own = np.random.default_rng([draws_seed(names, self._seed), start])
            lacking = len(names) - drawn.sum(axis=1).astype(int)
            drawn += own.multinomial(lacking, np.full(len(names), 1 / len(names)))
            done.append(drawn)
            if len(names) > _FEW_ENOUGH_TO_KEEP:
                yield done.pop()
        if done:
            self._kept = names, np.concatenate(done)
            yield self._kept[1]


def _first_picks(picked: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Count the first `count` picks of each row that are not -1, `(rows, count)`."""
    taken = picked >= 0
    taken &= np.cumsum(taken, axis=1) <= count
    row, column = np.nonzero(taken)
    cell = row * count + picked[row, column]
    return np.bincount(cell, minlength=len(picked) * count).reshape(-1, count).astype(np.float64)


class _Draws(NamedTuple):
    """Draws of some clusters: their own, or those that they share with others.

    Attributes:
        names: The clusters, in order.
        seed: Of their own draws.
        shared: Where others decide.
    """

    names: list[str]
    seed: int
    shared: SharedDraws | None

    def blocks(self, width: int) -> Iterator[NDArray[Any]]:
        """How often each cluster is drawn, `(block, clusters)` at a time.

        In blocks, so that memory stays small however many clusters there are, or however many
        values (`width`) are computed of each draw.
        """
        block = max(1, min(REPLICATES, _AT_ONCE // width))
        if self.shared is not None:
            for draws in self.shared.blocks(self.names):
                yield from (draws[at : at + block] for at in range(0, len(draws), block))
            return
        count, seed = len(self.names), draws_seed(self.names, self.seed)
        if width <= _FEW_ENOUGH_TO_KEEP:
            yield _all_draws(count, seed)
            return
        rng = np.random.default_rng(seed)
        even = np.full(count, 1 / count)
        for start in range(0, REPLICATES, block):
            yield rng.multinomial(count, even, size=min(block, REPLICATES - start))


@lru_cache(maxsize=2)
def _all_draws(count: int, seed: int) -> NDArray[np.float64]:
    """All draws at once, kept, since the metrics of a run are mostly of the same clusters."""
    even = np.full(count, 1 / count)
    draws = np.random.default_rng(seed).multinomial(count, even, size=REPLICATES).astype(np.float64)
    draws.setflags(write=False)
    return draws
