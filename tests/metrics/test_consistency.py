from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from g2vlm_bench.metrics.consistency import (
    AgreementPool,
    ConcordancePool,
    Lengths,
    Verdict,
    WrongAlike,
)


def verdicts(words: list[int], geometry: list[int], stratum: str = "a") -> list[Verdict]:
    """Two answers to yes/no questions: they agree where both are right or both are wrong."""
    return [
        Verdict(stratum, bool(w), bool(g), w == g) for w, g in zip(words, geometry, strict=True)
    ]


def test_a_coefficient_by_hand() -> None:
    # p = 3/4, q = 1/2: E = 3/4 * 1/2 + 1/2 * 1/4 = 1/2; they differ once in four: 1 - (1/4) / E.
    pool = AgreementPool.of(verdicts([1, 1, 1, 0], [1, 1, 0, 0]))
    assert pool.expected == pytest.approx(0.5)
    assert pool.coefficient == pytest.approx(0.5)


def test_it_is_cohens_kappa_of_being_right() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    words, geometry = rng.random((2, 200)) < [[0.7], [0.6]]
    pool = AgreementPool.of(verdicts(words.tolist(), geometry.tolist()))
    assert pool.coefficient == pytest.approx(sklearn.cohen_kappa_score(words, geometry))


@pytest.mark.parametrize("right", [0.95, 0.7, 0.5])
def test_words_that_follow_geometry_are_told_from_words_right_for_another_reason(right) -> None:
    rng = np.random.default_rng(1)
    n = 4000
    geometry = (rng.random(n) < right).tolist()
    others = (rng.random(n) < right).tolist()
    follows = AgreementPool.of(verdicts(geometry, geometry))
    apart = AgreementPool.of(verdicts(others, geometry))
    contrary = AgreementPool.of(verdicts([not g for g in geometry], geometry))
    assert follows.coefficient == 1.0
    assert abs(apart.coefficient) < 4 / math.sqrt(n)
    assert contrary.coefficient < -0.05


def test_words_always_right_are_not_tied_to_geometry_that_errs() -> None:
    pool = AgreementPool.of(verdicts([1] * 10, [1] * 7 + [0] * 3))
    assert pool.coefficient == pytest.approx(0.0)


def test_two_channels_of_one_bias_are_not_tied() -> None:
    # Both say yes to all: right where it is true. Agreement is whole, evidence is none; and one
    # disagreement more shows it.
    both = [*verdicts([1] * 6, [1] * 6, "yes"), *verdicts([0] * 6, [0] * 6, "no")]
    pool = AgreementPool.of(both)
    assert (pool.expected, pool.coefficient) == (0.0, 1.0)
    # Pooled over the strata, it would be 1 - (1/12) / (1/2) = 0.83.
    nearly = [*verdicts([1] * 5 + [0], [1] * 6, "yes"), *both[6:]]
    assert AgreementPool.of(nearly).coefficient == pytest.approx(0.0)


def test_it_is_symmetric_and_bounded() -> None:
    for words in product([0, 1], repeat=3):
        for geometry in product([0, 1], repeat=3):
            one = AgreementPool.of(verdicts(list(words), list(geometry))).coefficient
            other = AgreementPool.of(verdicts(list(geometry), list(words))).coefficient
            assert one == pytest.approx(other)
            assert -1 <= one <= 1
    silent = [Verdict("a", words_right=False, geometry_right=True, agree=False)] * 3
    assert AgreementPool.of(silent).coefficient == pytest.approx(0.0)
    neither = [Verdict("a", words_right=False, geometry_right=False, agree=False)] * 3
    assert AgreementPool.of(neither).coefficient == -1.0
    assert AgreementPool.of([]).coefficient == 1.0


def random_verdicts(rng: np.random.Generator, n: int) -> list[Verdict]:
    """Half of the words follow the geometry; two strata."""
    geometry = rng.random(n) < 0.7
    words = np.where(rng.random(n) < 0.5, geometry, rng.random(n) < 0.8)
    strata = rng.choice(["a", "b"], n)
    return [
        Verdict(s, bool(w), bool(g), bool(w == g))
        for s, w, g in zip(strata, words, geometry, strict=True)
    ]


@pytest.mark.parametrize("kind", [AgreementPool, WrongAlike])
def test_pseudo_values_have_the_mean_and_the_spread_of_the_coefficient(kind) -> None:
    rng = np.random.default_rng(2)
    drawn = random_verdicts(rng, 400)
    pool = kind.of(drawn)
    whole = pool.coefficient if kind is AgreementPool else pool.ratio
    values = np.array([pool.pseudo_value(v) for v in drawn])
    assert values.mean() == pytest.approx(whole)
    replicates = []
    for _ in range(400):
        again = kind.of([drawn[i] for i in rng.integers(len(drawn), size=len(drawn))])
        replicates.append(again.coefficient if kind is AgreementPool else again.ratio)
    assert values.std() / math.sqrt(len(drawn)) == pytest.approx(np.std(replicates), rel=0.15)


def test_the_agreement_of_independent_channels_has_its_mean() -> None:
    rng = np.random.default_rng(3)
    drawn = random_verdicts(rng, 300)
    pool = AgreementPool.of(drawn)
    assert np.mean([pool.agreement_if_independent(v) for v in drawn]) == pytest.approx(
        1 - pool.expected
    )


def lengths(words: np.ndarray, geometry: np.ndarray, true: float = 2.0) -> list[Lengths]:
    return [Lengths("a", true, w, g) for w, g in zip(words, geometry, strict=True)]


def test_concordance_of_lengths() -> None:
    rng = np.random.default_rng(4)
    seen, other = np.exp(0.3 * rng.standard_normal((2, 3000))) * 2
    assert ConcordancePool.of(lengths(seen, seen)).coefficient == 1.0
    assert abs(ConcordancePool.of(lengths(other, seen)).coefficient) < 0.06
    assert ConcordancePool.of(lengths(4 / seen, seen)).coefficient < -0.9
    # Words that add noise of the same spread: cov = s^2, var u = 2 s^2: 2 / (2 + 1) of Lin's.
    blurred = seen * np.exp(0.3 * rng.standard_normal(3000))
    assert ConcordancePool.of(lengths(blurred, seen)).coefficient == pytest.approx(2 / 3, abs=0.04)


def test_concordance_is_lins() -> None:
    rng = np.random.default_rng(5)
    u, w = 0.2 * rng.standard_normal((2, 50)) + [[0.1], [0.0]]
    pool = ConcordancePool.of(lengths(2 * np.exp(u), 2 * np.exp(w)))
    lin = 2 * np.cov(u, w, ddof=0)[0, 1] / (u.var() + w.var() + (u.mean() - w.mean()) ** 2)
    assert pool.coefficient == pytest.approx(lin)
    mirrored = ConcordancePool.of(lengths(2 * np.exp(w), 2 * np.exp(u)))
    assert mirrored.coefficient == pytest.approx(lin)


def test_pseudo_values_of_concordance() -> None:
    rng = np.random.default_rng(6)
    u = 0.3 * rng.standard_normal(400)
    w = 0.6 * u + 0.2 * rng.standard_normal(400)
    drawn = lengths(2 * np.exp(u), 2 * np.exp(w))
    pool = ConcordancePool.of(drawn)
    values = np.array([pool.pseudo_value(one) for one in drawn])
    assert values.mean() == pytest.approx(pool.coefficient)
    replicates = [
        ConcordancePool.of([drawn[i] for i in rng.integers(400, size=400)]).coefficient
        for _ in range(300)
    ]
    assert values.std() / 20 == pytest.approx(np.std(replicates), rel=0.2)


def test_a_wild_length_weighs_no_more_than_a_factor_of_four() -> None:
    assert Lengths("a", 1.0, 1e9, 1e-9).log_errors == (math.log(4), -math.log(4))
