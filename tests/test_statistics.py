"""The cluster bootstrap against scipy, a slow definition, and what an interval promises."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from g2vlm_bench.statistics import (
    FEWEST_FOR_PERCENTILES,
    REPLICATES,
    SharedDraws,
    cluster_bootstrap,
    confidence_interval,
    direction,
    draws_seed,
    expanded_percentile,
    simultaneous_directions,
    stratified_bootstrap,
)

INF, NAN = float("inf"), float("nan")


def alone(values: np.ndarray, seed: int = 0):
    """Every value a cluster of its own."""
    return cluster_bootstrap(
        values, np.ones(len(values)), [f"s{i}" for i in range(len(values))], seed
    )


# ------------------------------------------------------------------------------------ replicates


def test_many_single_clusters_agree_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=400)
    ours = alone(values)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    )
    assert ours.value == pytest.approx(values.mean())
    assert ours.replicates.shape == (REPLICATES,)
    assert ours.replicates.std() == pytest.approx(theirs.standard_error, rel=0.06)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.interval() == pytest.approx(tuple(theirs.confidence_interval), abs=0.06 * width)


def test_unequal_clusters_and_weights_agree_with_the_slow_definition() -> None:
    rng = np.random.default_rng(2)
    clusters = [f"room{i}" for i in rng.integers(0, 12, size=60)]
    values, weights = rng.normal(size=60), rng.integers(0, 5, size=60).astype(float)
    ours = cluster_bootstrap(values, weights, clusters, seed=5)
    names = sorted(set(clusters))
    rows = {name: [i for i, c in enumerate(clusters) if c == name] for name in names}
    slow = []
    for _ in range(REPLICATES):
        drawn = [i for name in rng.choice(names, size=len(names)) for i in rows[name]]
        slow.append(np.average(values[drawn], weights=weights[drawn]))
    assert ours.value == pytest.approx(np.average(values, weights=weights))
    assert ours.n_clusters == len(names)
    assert ours.replicates.mean() == pytest.approx(np.mean(slow), abs=0.015)
    assert ours.replicates.std() == pytest.approx(np.std(slow), rel=0.08)
    ends = np.percentile(slow, [2.5, 50, 97.5])
    assert np.percentile(ours.replicates, [2.5, 50, 97.5]) == pytest.approx(ends, abs=0.05)
    # Not the same as resampling samples as if scenes did not matter.
    whole = cluster_bootstrap(
        np.repeat(rng.normal(size=12), 20), np.ones(240), np.repeat(names, 20).tolist(), seed=0
    )
    samples = alone(np.repeat(rng.normal(size=12), 20))
    assert whole.replicates.std() > 2 * samples.replicates.std()


def test_every_replicate_is_a_mean_of_three_draws() -> None:
    # Of clusters 0, 1 and 10 every mean is (a + b + c) / 3, and each one comes up.
    possible = {round(sum(draw) / 3, 9) for draw in product([0, 1, 10], repeat=3)}
    assert set(alone(np.array([0.0, 1, 10])).replicates.round(9)) == possible


def test_a_cluster_without_weight_moves_nothing() -> None:
    # A draw of the weightless cluster alone has no mean of its own.
    boot = cluster_bootstrap([4.0, 99.0], [1.0, 0.0], ["a", "b"], seed=0)
    assert boot.value == 4
    assert set(boot.replicates) == {4.0}


def test_very_many_clusters_are_drawn_in_blocks() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    replicates = alone(values).replicates
    assert replicates.shape == np.unique(replicates).shape == (REPLICATES,)
    assert replicates.std() == pytest.approx(values.std() / np.sqrt(3000), rel=0.06)


# ------------------------------------------------------------------------------ seeds and pairing


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    values = np.arange(9.0)
    assert np.array_equal(alone(values, 3).replicates, alone(values, 3).replicates)
    assert not np.array_equal(alone(values, 3).replicates, alone(values, 4).replicates)


def test_draws_do_not_depend_on_the_order_of_samples() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=30), rng.uniform(1, 2, size=30)
    clusters = [f"c{i % 7}" for i in range(30)]
    order = rng.permutation(30)
    one = cluster_bootstrap(values, weights, clusters, seed=1)
    two = cluster_bootstrap(values[order], weights[order], [clusters[i] for i in order], seed=1)
    assert two.replicates == pytest.approx(one.replicates)


def test_two_runs_on_the_same_clusters_are_paired() -> None:
    rng = np.random.default_rng(4)
    hard = rng.normal(size=40) * 5
    one, two = alone(hard), alone(hard + 0.3 + 0.01 * rng.normal(size=40))
    difference = two.replicates - one.replicates
    # The scenes' difficulty, 500 times the noise, falls out of the difference.
    assert difference.std() < 0.01 < 0.5 < one.replicates.std()
    low, high = confidence_interval(two.value - one.value, difference, 40)
    assert 0.28 < low < 0.3 < high < 0.32
    shifted = alone(hard + 0.3).replicates - one.replicates
    assert shifted == pytest.approx(0.3)


@pytest.mark.parametrize("seed", [0, -1, 2**70, -(2**70)])
def test_any_integer_is_a_seed(seed) -> None:
    assert alone(np.arange(9.0), seed).interval() is not None
    assert 0 <= draws_seed(["a"], seed) < 2**64


def test_draws_follow_from_the_names_of_the_clusters() -> None:
    assert draws_seed(["b", "a", "b"], 0) == draws_seed(["a", "b"], 0)
    assert draws_seed(["a", "b"], 0) != draws_seed(["a", "c"], 0)


# ----------------------------------------------------------------------------------------- median


def test_a_median_is_numpys_and_its_draws_those_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)
    clusters = [f"c{i % 8}" for i in range(40)]
    boot = cluster_bootstrap(values, np.ones(40), clusters, 3, "median")
    assert boot.value == pytest.approx(np.median(values))
    # The same draws, cluster by cluster, as those that the mean takes.
    counts = np.random.default_rng(draws_seed(clusters, 3)).multinomial(8, [1 / 8] * 8, size=2000)
    cluster = np.arange(40) % 8
    slow = [np.median(np.repeat(values, drawn[cluster])) for drawn in counts]
    assert boot.replicates == pytest.approx(slow)


def test_a_median_outlives_a_few_failures_and_weights_count() -> None:
    values = np.array([1.0, 2.0, 3.0, np.inf, np.inf])
    clusters = list("abcde")
    boot = cluster_bootstrap(values, np.ones(5), clusters, 0, "median")
    assert boot.value == 3.0
    # Some draws have more failures than not: no interval can be given.
    assert boot.interval() is None
    weighted = cluster_bootstrap(values, [5, 1, 1, 1, 0], clusters, 0, "median")
    assert weighted.value == 1.0
    with pytest.raises(ValueError, match="NaN"):
        cluster_bootstrap([np.nan], [1.0], ["a"], 0, "median")


# -------------------------------------------------------------------------------------- intervals


def test_expanded_percentiles_by_hand() -> None:
    # t(0.025, 9) sqrt(10 / 9) = -2.2622 * 1.0541 = -2.3846, and Phi(-2.3846) = 0.00855.
    low, high = expanded_percentile(np.arange(100001.0), n_clusters=10)
    assert low == pytest.approx(855, abs=2)
    assert high == pytest.approx(100000 - 855, abs=2)
    plain = expanded_percentile(np.arange(2001.0), n_clusters=10**9)
    assert plain == (50.0, 1950.0)


def test_few_clusters_have_students_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert alone(values).interval() == pytest.approx(tuple(expected), rel=0.08)


@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_an_interval_covers_what_it_promises(n) -> None:
    """Means of n normal clusters around 0: 95 % of the intervals hold the 0."""
    rng = np.random.default_rng(n)
    trials, covered, plain = 400, 0, 0
    for trial in range(trials):
        boot = alone(rng.normal(size=n), trial)
        low, high = boot.interval()
        covered += low <= 0 <= high
        low, high = np.quantile(boot.replicates, [0.025, 0.975])
        plain += low <= 0 <= high
    # Three standard errors of a share of 400 at 0.95 are 0.033.
    assert covered / trials == pytest.approx(0.95, abs=0.033)
    if n <= 10:
        assert plain / trials < 0.93


def test_two_scenes_alone_prove_nothing() -> None:
    # Percentiles would call every two differences of one sign significant, one in two by chance.
    boot = alone(np.array([0.1, 0.4]))
    assert boot.replicates.min() > 0
    assert direction(boot.interval()) == 0
    # Where two scenes agree closely they may.
    assert direction(alone(np.array([0.4, 0.41])).interval()) == 1


@pytest.mark.parametrize("n", [FEWEST_FOR_PERCENTILES - 1, FEWEST_FOR_PERCENTILES])
def test_both_kinds_of_interval_meet(n) -> None:
    boot = alone(np.random.default_rng(0).normal(size=n))
    student = stats.t.ppf(0.975, n - 1) * boot.replicates.std() * math.sqrt(n / (n - 1))
    low, high = boot.interval()
    assert (high - low) / 2 == pytest.approx(student, rel=0.2)


def test_direction_forgives_rounding_alone() -> None:
    assert [direction(i) for i in [(1e-9, 1), (-1, -1e-9), (-1, 1), (0, 0), (1e-16, 1), None]] == [
        1, -1, 0, 0, 0, 0,
    ]  # fmt: skip


# --------------------------------------------------------------------------------- degenerate input


def test_one_cluster_has_no_interval() -> None:
    boot = cluster_bootstrap([1.0, 5.0], [1.0, 1.0], ["a", "a"], seed=0)
    assert (boot.value, boot.n_clusters, boot.interval()) == (3, 1, None)
    assert confidence_interval(1.0, np.arange(5.0), 1) is None
    assert confidence_interval(1.0, np.empty(0), 9) is None


@pytest.mark.parametrize("infinite", [INF, -INF])
def test_an_infinite_mean_has_no_interval(infinite) -> None:
    boot = cluster_bootstrap([1.0, infinite, 2.0], np.ones(3), ["a", "b", "c"], seed=0)
    assert (boot.value, boot.interval()) == (infinite, None)


@pytest.mark.filterwarnings("error")
def test_what_has_no_weight_may_be_infinite() -> None:
    boot = cluster_bootstrap([1.0, INF, 3.0], [1.0, 0.0, 1.0], ["a", "b", "c"], seed=0)
    assert boot.value == 2
    assert np.isfinite(boot.replicates).all()


def test_equal_values_have_an_interval_of_no_width() -> None:
    for n in (2, 5, 20):
        assert alone(np.full(n, 0.1)).interval() == pytest.approx((0.1, 0.1), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "weights", "clusters"),
    [
        ([], [], []),
        ([1.0, 2.0], [1.0], ["a", "b"]),
        ([1.0, 2.0], [1.0, 1.0], ["a"]),
        ([1.0, NAN], [1.0, 1.0], ["a", "b"]),
        ([1.0, 2.0], [1.0, NAN], ["a", "b"]),
        ([1.0, 2.0], [1.0, INF], ["a", "b"]),
        ([1.0, 2.0], [0.0, 0.0], ["a", "b"]),
        ([1.0, 2.0], [1.0, -1.0], ["a", "b"]),
        ([1.0, 2.0], [3.0, -1.0], ["a", "b"]),
    ],
)
def test_what_has_no_mean_raises(values, weights, clusters) -> None:
    with pytest.raises(ValueError, match="expected"):
        cluster_bootstrap(values, weights, clusters, seed=0)


def _models(values, seed):
    """Scores and replicates of models that share their scenes: one row of `values` a model."""
    clusters = [f"scene-{index}" for index in range(values.shape[1])]
    boots = [cluster_bootstrap(row, np.ones(len(row)), clusters, seed) for row in values]
    return np.array([boot.value for boot in boots]), np.stack([boot.replicates for boot in boots])


@pytest.mark.parametrize("n_clusters", [4, 12])
def test_equal_models_are_told_apart_once_in_twenty_boards(n_clusters) -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for board in range(150):
        values, draws = _models(rng.normal(size=(5, n_clusters)), board)
        wrong += bool(simultaneous_directions(values, draws, n_clusters).any())
    # 5 % of 150 boards are 7.5, with a standard deviation of 2.7; pair by pair it would be some 40.
    assert wrong <= 15


@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_guesses_that_happen_to_agree_in_few_scenes_are_no_difference(n_clusters) -> None:
    # Two scenes, one model right twice and one wrong twice: one board of eight, and no noise.
    rng = np.random.default_rng(7)
    wrong = 0
    for board in range(60):
        guesses = rng.integers(2, size=(5, n_clusters)).astype(float)
        values, draws = _models(guesses, board)
        wrong += bool(simultaneous_directions(values, draws, n_clusters).any())
    # 5 % of 60 boards are 3, with a standard deviation of 1.7.
    assert wrong <= 8


def test_models_that_differ_are_told_apart_in_the_right_direction() -> None:
    rng = np.random.default_rng(0)
    values, draws = _models(rng.normal(size=(3, 30)) + np.array([[0.0], [3.0], [3.0]]), 0)
    expected = [[0, -1, -1], [1, 0, 0], [1, 0, 0]]
    assert simultaneous_directions(values, draws, 30).tolist() == expected


def test_a_difference_without_noise_counts_and_equality_does_not() -> None:
    row = np.random.default_rng(0).normal(size=20)
    values, draws = _models(np.stack([row, row + 0.25, row]), 0)
    expected = [[0, -1, 0], [1, 0, 1], [0, -1, 0]]
    assert simultaneous_directions(values, draws, 20).tolist() == expected


def test_a_stratified_mean_is_the_mean_of_means_and_its_bootstrap_that_of_each() -> None:
    rng = np.random.default_rng(4)
    clusters = np.array([f"c{i}" for i in rng.integers(0, 40, 300)])
    strata = rng.choice(["x", "y", "z"], 300, p=[0.7, 0.2, 0.1])
    values = rng.random(300) + (strata == "y")
    weights = rng.uniform(0.5, 2.0, 300)
    shares = {"x": 1.0, "y": 2.0, "z": 1.0}
    boot = stratified_bootstrap(values, weights, clusters, strata, shares, seed=3)
    means = {s: np.average(values[strata == s], weights=weights[strata == s]) for s in shares}
    assert boot.value == pytest.approx((means["x"] + 2 * means["y"] + means["z"]) / 4)
    # The plain definition, with the same draws: resample clusters, take each stratum's mean.
    names, index = np.unique(clusters, return_inverse=True)
    draws = np.random.default_rng(draws_seed(names.tolist(), 3))
    times = draws.multinomial(len(names), np.full(len(names), 1 / len(names)), size=2000)[:50]
    for drawn, replicate in zip(times, boot.replicates, strict=False):
        weight = drawn[index] * weights
        plain = {s: np.average(values[strata == s], weights=weight[strata == s]) for s in shares}
        assert replicate == pytest.approx((plain["x"] + 2 * plain["y"] + plain["z"]) / 4)


def test_one_stratum_is_the_plain_bootstrap() -> None:
    values, clusters = [1.0, 0.0, 0.5, 1.0], ["a", "b", "b", "c"]
    plain = cluster_bootstrap(values, np.ones(4), clusters, seed=1)
    one = stratified_bootstrap(values, np.ones(4), clusters, ["s"] * 4, {"s": 0.3}, seed=1)
    assert one.value == pytest.approx(plain.value)
    np.testing.assert_allclose(one.replicates, plain.replicates)


def test_a_stratum_that_a_draw_misses_keeps_its_mean() -> None:
    boot = stratified_bootstrap(
        [1.0, 0.0], np.ones(2), ["a", "b"], ["x", "y"], {"x": 1, "y": 1}, seed=0
    )
    assert set(np.unique(boot.replicates)) == {0.5}


# --------------------------------------------------------------------------------- shared draws


def _drawn(shared: SharedDraws, names: list[str]) -> np.ndarray:
    return np.concatenate(list(shared.blocks(sorted(names))))


SCENES = [f"scene-{number:03d}" for number in range(48)]


@pytest.mark.parametrize("count", [2, 12, 47, 48])
def test_shared_draws_of_some_clusters_are_those_they_would_have_alone(count) -> None:
    drawn = _drawn(SharedDraws(SCENES, seed=3), SCENES[:count])
    assert drawn.shape == (2000, count)
    np.testing.assert_array_equal(drawn.sum(axis=1), count)
    # A multinomial: mean 1, variance 1 - 1/n, covariances -1/n.
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.12)
    assert drawn.var(axis=0).mean() == pytest.approx(1 - 1 / count, abs=0.05)
    covariances = np.cov(drawn.T)[np.triu_indices(count, 1)]
    assert covariances.mean() == pytest.approx(-1 / count, abs=0.02)


def test_numbers_about_mostly_the_same_scenes_keep_their_covariance() -> None:
    values = np.random.default_rng(0).normal(size=48)
    shared = SharedDraws(SCENES)
    whole, most, again = (
        cluster_bootstrap(values[:count], np.ones(count), SCENES[:count], 0, shared=shared)
        for count in (48, 46, 48)
    )
    np.testing.assert_array_equal(whole.replicates, again.replicates)
    assert np.corrcoef(whole.replicates, most.replicates)[0, 1] > 0.9
    one, other = (
        cluster_bootstrap(values[half], np.ones(24), np.array(SCENES)[half].tolist(), 0,
                          shared=shared)
        for half in (slice(24), slice(24, 48))
    )  # fmt: skip
    assert abs(np.corrcoef(one.replicates, other.replicates)[0, 1]) < 0.08
    assert whole.replicates.std() == pytest.approx(values.std() / np.sqrt(48), rel=0.08)


def test_shared_draws_serve_medians_strata_and_more_clusters_than_are_kept() -> None:
    shared = SharedDraws(SCENES)
    values = np.arange(48.0)
    median = cluster_bootstrap(values, np.ones(48), SCENES, 0, "median", shared)
    strata = ["x"] * 24 + ["y"] * 24
    means = stratified_bootstrap(values, np.ones(48), SCENES, strata, {"x": 1, "y": 1}, 0, shared)
    draws = _drawn(shared, SCENES)
    halves = [draws[:, part] @ values[part] / draws[:, part].sum(axis=1)
              for part in (slice(24), slice(24, 48))]  # fmt: skip
    np.testing.assert_allclose(means.replicates, np.mean(halves, axis=0))
    assert median.replicates.shape == (2000,)
    many = [f"{number:05d}" for number in range(1500)]
    drawn = _drawn(SharedDraws(many), many)
    np.testing.assert_array_equal(drawn.sum(axis=1), 1500)
    mean = cluster_bootstrap(np.arange(1500.0), np.ones(1500), many, 0, shared=SharedDraws(many))
    np.testing.assert_allclose(mean.replicates, drawn @ np.arange(1500.0) / 1500)


def test_a_cluster_that_is_none_of_all_is_an_error() -> None:
    with pytest.raises(KeyError, match="elsewhere"):
        list(SharedDraws(SCENES).blocks(["elsewhere"]))
