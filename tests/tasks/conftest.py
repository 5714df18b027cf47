"""Families as a task file makes them, and samples scored the way a run scores them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.plugins import load_class
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Sample, Target
from g2vlm_bench.scoring import score_sample
from g2vlm_bench.store import Failure, MetricResult, PredictionLine, SampleLine
from g2vlm_bench.task import Family, TaskDefinition

TASKS = Path(__file__).parents[2] / "tasks"


@pytest.fixture(scope="session")
def load_family() -> Callable[..., Family]:
    """Make a family: `load_family("depth", metrics, *protocols, options=...)`."""

    def load(name: str, metrics: list[str], *protocols: dict[str, Any], **more: Any) -> Family:
        definition = TaskDefinition(
            name=f"{name}/test",
            version=1,
            family=name,
            data={},
            metrics=metrics,
            headline="",
            protocols=list(protocols) or [{}],
            **more,
        )
        return load_class(TASKS / f"{name}.py", Family)(definition)

    return load


@pytest.fixture(scope="session")
def score() -> Callable[..., SampleLine]:
    """Score one prediction, or an exception in its place, as the score stage does."""

    def scored(
        family: Family,
        target: Target,
        prediction: Prediction | Exception,
        ambiguity: Ambiguity | None = Ambiguity.METRIC,
        id: str = "a",
        pool: Any = None,
    ) -> SampleLine:
        failed = isinstance(prediction, Exception)
        line = PredictionLine(
            id=id, seconds=0.0, error=Failure.of("predict", prediction) if failed else None
        )
        sample = Sample(
            id=id, cluster=id, load_inputs=lambda: Inputs(id=id), load_target=lambda: target
        )
        folder = SimpleNamespace(load_prediction=lambda line: prediction)
        specs = family.servable(ambiguity)
        return score_sample(folder, family, sample, line, specs, ambiguity, pool)

    return scored


@pytest.fixture(scope="session")
def result() -> Callable[..., MetricResult]:
    """Reduce scored samples to one number."""

    def reduced(family: Family, lines: list[SampleLine], metric: str) -> MetricResult:
        return aggregate(family.specs, lines).columns[metric].result(seed=0)

    return reduced
