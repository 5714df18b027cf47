"""Do a model's words follow its own geometry? Agreement beyond what the truth explains.

Agreement alone does not tell: two channels that are both right agree, whatever ties them. What
tells is whether they err **together**. `AgreementPool` compares how often words and geometry
disagree with how often two independent channels of the same accuracies would, within each kind of
question and each true answer; `ConcordancePool` does so for numbers by the errors' logarithms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Errors beyond a factor of 4 count as 4, so that one answer does not outweigh all others.
_LARGEST_LOG_ERROR = math.log(4)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What words and geometry said to one question with a few possible answers.

    Attributes:
        stratum: Kind of question and true answer. Strata are compared within, since two channels
            that both know left from right and both guess heights would else seem to be tied.
        words_right: Whether the words are right.
        geometry_right: Whether the geometry is right.
        agree: Whether both give the same answer; not where one gives none.
    """

    stratum: Hashable
    words_right: bool
    geometry_right: bool
    agree: bool


@dataclass(frozen=True, slots=True)
class AgreementPool:
    """Agreement of words and geometry over many questions, beyond what the truth explains.

    With D the share of questions on which they disagree and E that of two independent channels
    with the same accuracies, `E = sum over strata of n_r / n (p_r (1 - q_r) + q_r (1 - p_r))`, the
    coefficient is `1 - D / E`: 1 where they never disagree, 0 where their errors are independent,
    negative where one is right when the other is wrong. It is Cohen's kappa (1960) of the events
    "words right" and "geometry right" within strata; symmetric in the two; in [-1, 1].

    A mean it is not, so each question gets a pseudo-value, the coefficient plus its influence
    (Jaeckel's infinitesimal jackknife, 1972). Their mean is the coefficient exactly, and their
    bootstrap has its spread to first order.

    Attributes:
        disagreement: D.
        expected: E.
        strata: Per stratum its E and both accuracies.
    """

    disagreement: float
    expected: float
    strata: Mapping[Hashable, tuple[float, float, float]]

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> AgreementPool:
        """Pool verdicts; of none, nothing is expected and nothing disagrees."""
        grouped: dict[Hashable, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            grouped[verdict.stratum].append(verdict)
        count = sum(map(len, grouped.values())) or 1
        disagreement = sum(not v.agree for group in grouped.values() for v in group) / count
        strata, expected = {}, 0.0
        for stratum, group in grouped.items():
            p = sum(v.words_right for v in group) / len(group)
            q = sum(v.geometry_right for v in group) / len(group)
            strata[stratum] = p * (1 - q) + q * (1 - p), p, q
            expected += len(group) / count * strata[stratum][0]
        return cls(disagreement, expected, strata)

    @property
    def coefficient(self) -> float:
        """`1 - D / E`; 1 where nothing disagrees, -1 where only what was not expected does."""
        if self.disagreement == 0:
            return 1.0
        if self.expected == 0:
            return -1.0
        return max(1 - self.disagreement / self.expected, -1.0)

    def pseudo_value(self, verdict: Verdict) -> float:
        """One question's part in the coefficient; their mean over the pool is the coefficient."""
        at_a_bound = self.coefficient == -1.0
        if self.disagreement == 0 or self.expected == 0 or at_a_bound:
            return self.coefficient
        influence_d = (not verdict.agree) - self.disagreement
        influence_e = self._expected_of(verdict) - self.expected
        change = -influence_d + self.disagreement / self.expected * influence_e
        return self.coefficient + change / self.expected

    def agreement_if_independent(self, verdict: Verdict) -> float:
        """One question's part in `1 - E`, the agreement of a shuffled pairing within strata."""
        return 1 - self._expected_of(verdict)

    def _expected_of(self, verdict: Verdict) -> float:
        """E of the verdict's stratum, and how the verdict moves it; the mean is E."""
        expected, p, q = self.strata[verdict.stratum]
        moved = (1 - 2 * q) * (verdict.words_right - p) + (1 - 2 * p) * (verdict.geometry_right - q)
        return expected + moved


@dataclass(frozen=True, slots=True)
class WrongAlike:
    """Where words or geometry are wrong: how often both are, and say the same.

    A ratio of sums, `both wrong alike / either wrong`, with pseudo-values as in `AgreementPool`.

    Attributes:
        ratio: 1 where nothing is ever wrong.
        mass: Share of questions on which either is wrong.
    """

    ratio: float
    mass: float

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> WrongAlike:
        """Pool verdicts."""
        either = [v for v in verdicts if not (v.words_right and v.geometry_right)]
        alike = sum(v.agree for v in either)
        ratio = alike / len(either) if either else 1.0
        return cls(ratio, len(either) / max(len(verdicts), 1))

    def pseudo_value(self, verdict: Verdict) -> float:
        """One question's part in the ratio; their mean over the pool is the ratio."""
        if verdict.words_right and verdict.geometry_right:
            return self.ratio
        return self.ratio + (verdict.agree - self.ratio) / self.mass


@dataclass(frozen=True, slots=True)
class Lengths:
    """A true length, and what words and geometry said it was; all positive."""

    stratum: Hashable
    true: float
    words: float
    geometry: float

    @property
    def log_errors(self) -> tuple[float, float]:
        """`ln(words / true)` and `ln(geometry / true)`, each within a factor of 4."""
        errors = (math.log(self.words / self.true), math.log(self.geometry / self.true))
        first, second = (min(max(e, -_LARGEST_LOG_ERROR), _LARGEST_LOG_ERROR) for e in errors)
        return first, second

    @property
    def closeness(self) -> float:
        """`min / max` of what words and geometry say, in (0, 1]."""
        return min(self.words, self.geometry) / max(self.words, self.geometry)


@dataclass(frozen=True, slots=True)
class ConcordancePool:
    """Concordance of the errors of spoken and seen lengths.

    Lin's coefficient (1989) of the log errors u and w, pooled over strata:
    `2 C / (M + 2 C)` with C their covariance within strata and M the mean of `(u - w)^2`. 1 where
    they are equal, 0 where they vary independently; symmetric; in [-1, 1]. Pseudo-values as in
    `AgreementPool`.

    Attributes:
        covariance: C.
        difference: M.
        errors: Per stratum `(n, 2)`, u and w of every length.
    """

    covariance: float
    difference: float
    errors: Mapping[Hashable, Array]

    @classmethod
    def of(cls, lengths: Iterable[Lengths]) -> ConcordancePool:
        """Pool lengths; of none, nothing differs."""
        grouped: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
        for one in lengths:
            grouped[one.stratum].append(one.log_errors)
        count = sum(map(len, grouped.values())) or 1
        errors = {stratum: np.array(pairs) for stratum, pairs in grouped.items()}
        products = sum(float(np.prod(e - e.mean(axis=0), axis=1).sum()) for e in errors.values())
        squares = sum(float(((e[:, 0] - e[:, 1]) ** 2).sum()) for e in errors.values())
        return cls(products / count, squares / count, errors)

    @property
    def coefficient(self) -> float:
        """`2 C / (M + 2 C)`; 1 where nothing differs."""
        if self.difference == 0:
            return 1.0
        return 2 * self.covariance / (self.difference + 2 * self.covariance)

    def pseudo_value(self, one: Lengths) -> float:
        """One length's part in the coefficient; their mean over the pool is the coefficient."""
        if self.difference == 0:
            return 1.0
        (u, w), (mean_u, mean_w) = one.log_errors, self.errors[one.stratum].mean(axis=0)
        influence_c = (u - mean_u) * (w - mean_w) - self.covariance
        influence_m = (u - w) ** 2 - self.difference
        total = self.difference + 2 * self.covariance
        change = 2 * (self.difference * influence_c - self.covariance * influence_m) / total**2
        return float(self.coefficient + change)

    def closeness_if_independent(self, one: Lengths) -> float:
        """Mean closeness of the words to the geometry's errors on all lengths of the stratum."""
        u, _ = one.log_errors
        return float(np.exp(-np.abs(u - self.errors[one.stratum][:, 1])).mean())
