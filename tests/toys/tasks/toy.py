"""Toy family: the answer must be the number itself."""

from __future__ import annotations

import numpy as np

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition


class Exactly(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Right `within` so much."""

    within: float = 0.0

    @property
    def label(self) -> str:
        return f"within{self.within:g}"


class Toy(Family):
    """`right` is bounded, `error` is not."""

    known_metrics = ("right", "error")

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(Exactly)
        self.wants = (frozenset({Want.ANSWER}),)
        self.specs = tuple(
            MetricSpec(
                name=f"{metric}@{protocol.label}",
                unit="1",
                higher_is_better=metric == "right",
                best=1.0 if metric == "right" else 0.0,
                worst=0.0 if metric == "right" else None,
            )
            for protocol in self.protocols
            for metric in definition.metrics
        )

    def truth(self, target: Target) -> Prediction:
        return Prediction(answer=f"{self._answer(target):g}")

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        error = abs(float(prediction.answer or "") - self._answer(target))
        values = {}
        for protocol in self.protocols:
            values[f"right@{protocol.label}"] = float(error <= protocol.within)
            values[f"error@{protocol.label}"] = error
        # A numpy number, as families get them from their own arithmetic.
        return SampleScore(values=values, details={"error": np.float64(error)})

    def _answer(self, target: Target) -> float:
        if target.answer is None:
            raise NoTruthError("no answer")
        return float(target.answer)
