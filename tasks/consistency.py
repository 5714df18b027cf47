"""Do a model's words agree with its own depth? The same scene asked in words and in geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import cameras
from g2vlm_bench.geometry.relations import (
    METRIC_RELATIONS,
    ORDER_RELATIONS,
    answer_from_geometry,
)
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics.consistency import (
    AgreementPool,
    ConcordancePool,
    Lengths,
    Verdict,
    WrongAlike,
)
from g2vlm_bench.metrics.numbers import in_unit, parse_number
from g2vlm_bench.metrics.yes_no import parse_yes_no
from g2vlm_bench.protocols.serving import served_specs
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition

_INSTRUCTIONS = {"yes_no": "Answer with yes or no.", "number": "Answer with a single number."}
_METRICS = {
    "agreement": (0.0, "share of questions that words and geometry answer alike; of lengths, the "
                  "smaller over the larger"),
    "agreement_if_independent": (0.0, "agreement of the words with the geometry of other questions "
                                 "of the same kind and answer, in expectation"),
    "says_what_it_sees": (-1.0, "agreement beyond that of independent channels of the same "
                          "accuracies (kappa of being right); of lengths, Lin's concordance of "
                          "the log errors"),
    "words_accuracy": (0.0, "share of questions that the words answer rightly; of lengths, the "
                       "smaller over the larger"),
    "geometry_accuracy": (0.0, "share of questions that the geometry answers rightly; of lengths, "
                          "the smaller over the larger"),
    "wrong_alike": (0.0, "where either is wrong, share of questions on which both are wrong alike "
                    "(yes/no); 1 where neither ever is"),
}  # fmt: skip


# Stated lengths are rounded; the true one is what the rule makes of the true depth.
_STATED_TOLERANCE = 0.05


class ConsistencyProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which questions are put, and how geometry answers them.

    Depth is lifted by the given camera and read inside the true masks of the objects, so what is
    judged is where the model puts the named things, not whether it finds them.

    Attributes:
        questions: `order` has yes or no questions whose answers do not depend on the unit of
            depth; `metric` has lengths in metres.
    """

    questions: Literal["order", "metric"] = "order"

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name."""
        return self.questions

    @property
    def needs(self) -> Ambiguity:
        """Up to what depth must be known at least."""
        return Ambiguity.METRIC if self.questions == "metric" else Ambiguity.SCALE

    def asks(self, target: Target) -> bool:
        """Whether a question is one of its kind."""
        kinds = METRIC_RELATIONS if self.questions == "metric" else ORDER_RELATIONS
        return target.relation in kinds


@dataclass(frozen=True, slots=True)
class _Pools:
    agreement: AgreementPool
    alike: WrongAlike
    concordance: ConcordancePool


class Consistency(Family):
    """Words against the model's own geometry, and both against the truth.

    Cases in which it cannot tell: a model that never errs agrees with itself whatever ties its
    channels (`says_what_it_sees` is 1, and the accuracies beside it say why); words that follow
    another estimate of depth than the one handed out look untied; what both channels owe to one
    picture, such as a dark corner or two things nearly as far, looks tied. The last is small:
    `scripts/consistency_oracles.py` shows it on the shipped task, with three other ties.
    """

    known_metrics = tuple(_METRICS)
    # Geometry that is spoilt answers half of the yes/no questions rightly.
    enough_to_validate = 40

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(ConsistencyProtocol)
        self.wants = (
            frozenset({Want.ANSWER, Want.DEPTH}),
            frozenset({Want.ANSWER, Want.POINT_MAPS}),
        )
        self.specs = tuple(
            _spec(metric, protocol)
            for protocol in self.protocols
            for metric in definition.metrics
            if metric != "wrong_alike" or protocol.questions == "order"
        )

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open."""
        return served_specs(self.specs, self.protocols, ambiguity)

    def prepare(self, inputs: Inputs) -> Inputs:
        """Write the prompt."""
        instruction = _INSTRUCTIONS.get(inputs.answer_type or "", "")
        return replace(inputs, prompt=f"{inputs.question}\n{instruction}")

    def truth(self, target: Target) -> Prediction:
        """The true depth and the true answer."""
        answer = _answer(target)
        text = repr(answer) if isinstance(answer, float) else answer
        depth = tuple(np.where(np.isfinite(d), d, np.float32(1.0)) for d in _depths(target))
        return Prediction(answer=text, depth=depth, ambiguity=Ambiguity.METRIC)

    def weights(self, target: Target) -> Mapping[str, float]:
        """Weight 0 leaves a question out of the other protocols' metrics."""
        _answer(target)
        return {f"asked@{p.label}": float(p.asks(target)) for p in self.protocols}

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> _Pools:
        """Gather what words and geometry said; a model's failures stand at the worst by themselves.

        A truth that depth does not bear out is left out here as it is when scored.
        """
        verdicts: list[Verdict] = []
        lengths: list[Lengths] = []
        for target, prediction in pairs:
            if prediction is None:
                continue
            try:
                found = _compare(target, prediction).found
            except (ValueError, NoTruthError):
                continue
            if isinstance(found, Verdict):
                verdicts.append(found)
            elif found is not None:
                lengths.append(found)
        return _Pools(
            AgreementPool.of(verdicts), WrongAlike.of(verdicts), ConcordancePool.of(lengths)
        )

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Score one question as if it were the only one."""
        return self.score_in_pool(
            self.pool(iter([(target, prediction)])), target, prediction, ambiguity
        )

    def score_in_pool(
        self, pool: _Pools, target: Target, prediction: Prediction, ambiguity: Ambiguity
    ) -> SampleScore:
        """Compare what words and geometry say of one question, among all questions of the run."""
        protocols = [p for p in self.protocols if p.asks(target) and ambiguity.can_serve(p.needs)]
        compared = _compare(target, prediction)
        values = _values(pool, compared.found) if compared.found is not None else {}
        return SampleScore(
            values={
                f"{metric}@{protocol.label}": value
                for protocol in protocols
                for metric, value in values.items()
                if metric in self.definition.metrics
            },
            details={"parse_status": compared.parse_status, **compared.said},
        )


def _spec(metric: str, protocol: ConsistencyProtocol) -> MetricSpec:
    worst, description = _METRICS[metric]
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit="1",
        higher_is_better=True,
        best=1.0,
        worst=worst,
        chance=0.0 if metric == "says_what_it_sees" else None,
        weight=f"asked@{protocol.label}",
        description=description,
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """What words and geometry said; `found` is None where a length is missing."""

    found: Verdict | Lengths | None
    parse_status: str
    said: Mapping[str, Any]


def _compare(target: Target, prediction: Prediction) -> _Compared:
    """Set the words of one prediction beside its geometry.

    Raises:
        NoTruthError: The true depth does not bear out the true answer.
        ValueError: The prediction lacks an answer or geometry of the right size.
    """
    true = _true_by_geometry(target)
    if prediction.answer is None:
        raise ValueError("expected an answer as text, got none")
    maps = _point_map(target, prediction)
    try:
        seen: bool | float | None = _by_geometry(target, maps)
    except ValueError:
        # Geometry that is undefined at the object answers nothing; that is the model's failure.
        seen = None
    if isinstance(true, bool):
        spoken = parse_yes_no(prediction.answer)
        verdict = Verdict(
            stratum=(target.relation, true),
            words_right=spoken.value is true,
            geometry_right=seen is true,
            agree=seen is not None and spoken.value is seen,
        )
        said = {"true": true, "words": spoken.value, "geometry": seen}
        return _Compared(verdict, spoken.status, said)
    number = in_unit(parse_number(prediction.answer), target.unit)
    said = {"true": true, "words": number.value, "geometry": seen}
    if not number.value or number.value <= 0 or not seen or not math.isfinite(number.value):
        return _Compared(None, number.status, said)
    lengths = Lengths(target.relation, true, float(number.value), float(seen))
    return _Compared(lengths, number.status, said)


def _values(pools: _Pools, found: Verdict | Lengths) -> dict[str, float]:
    if isinstance(found, Lengths):
        nearness = {"words": found.words, "geometry": found.geometry}
        accuracy = {
            f"{channel}_accuracy": min(value, found.true) / max(value, found.true)
            for channel, value in nearness.items()
        }
        return {
            "agreement": found.closeness,
            "agreement_if_independent": pools.concordance.closeness_if_independent(found),
            "says_what_it_sees": pools.concordance.pseudo_value(found),
            **accuracy,
        }
    return {
        "agreement": float(found.agree),
        "agreement_if_independent": pools.agreement.agreement_if_independent(found),
        "says_what_it_sees": pools.agreement.pseudo_value(found),
        "words_accuracy": float(found.words_right),
        "geometry_accuracy": float(found.geometry_right),
        "wrong_alike": pools.alike.pseudo_value(found),
    }


def _answer(target: Target) -> str | float:
    """The true answer, a length as the true depth has it, to the last digit."""
    true = _true_by_geometry(target)
    if isinstance(true, bool):
        return "yes" if true else "no"
    return true


def _true_by_geometry(target: Target) -> bool | float:
    if not target.objects or target.depth_m is None or target.intrinsics is None:
        raise NoTruthError("the sample has no objects with depth and intrinsics")
    try:
        seen = _by_geometry(target, cameras.unproject(target.depth_m[0], target.intrinsics[0]))
    except ValueError as error:
        raise NoTruthError(f"true depth does not answer the question: {error}") from error
    if isinstance(seen, bool):
        borne_out = target.answer == ("yes" if seen else "no")
    else:
        stated = target.answer
        borne_out = isinstance(stated, float) and abs(seen / stated - 1) < _STATED_TOLERANCE
    if not borne_out:
        raise NoTruthError(f"true depth says {seen}, the stated answer is {target.answer!r}")
    return seen


def _by_geometry(target: Target, points: NDArray[np.float64]) -> bool | float:
    truth = _depths(target)[0]
    masks = [each.masks[0] & np.isfinite(truth) for each in target.objects]
    return answer_from_geometry(target.relation, [points[mask] for mask in masks], target.up)


def _point_map(target: Target, prediction: Prediction) -> NDArray[np.float64]:
    """The points that the model's first view shows, `(H, W, 3)` in its camera's frame."""
    shape = _depths(target)[0].shape
    if prediction.point_maps is not None:
        points = np.asarray(prediction.point_maps[0], np.float64)
    elif prediction.depth is not None and target.intrinsics is not None:
        points = cameras.unproject(prediction.depth[0], target.intrinsics[0])
    else:
        raise ValueError("expected predicted depth or point maps, got neither")
    if points.shape[:2] != shape:
        raise ValueError(f"expected geometry of the truth's size {shape}, got {points.shape[:2]}")
    return points


def _depths(target: Target) -> tuple[NDArray[np.float32], ...]:
    if target.depth_m is None:
        raise NoTruthError("the sample has no true depth")
    return target.depth_m
