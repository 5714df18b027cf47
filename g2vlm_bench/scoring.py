"""The score stage: stored predictions and truth become lines and results; no model needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Prediction, Sample, Target
from g2vlm_bench.store import Failure, PredictionLine, RunFolder, RunRecord, SampleLine
from g2vlm_bench.task import Family, NoTruthError


def score_samples(
    folder: RunFolder,
    family: Family,
    samples: Sequence[Sample],
    specs: Sequence[MetricSpec],
    ambiguity: Ambiguity | None,
    advance: Callable[[int], None],
) -> None:
    """Score every stored prediction into `samples.jsonl`, in the task's order.

    Raises:
        BenchError: The stored predictions are not those of these samples.
    """
    pool = family.pool(_pairs(folder, samples, ambiguity))
    lines = folder.predictions()
    with folder.rewrite_samples() as out:
        for sample in samples:
            line = next(lines, None)
            if line is None or line.id != sample.id:
                raise BenchError(
                    folder.path,
                    expected=f"a prediction of sample '{sample.id}'",
                    got="none" if line is None else f"one of '{line.id}'",
                    fix="Run it again: what is missing is predicted.",
                )
            out.write(score_sample(folder, family, sample, line, specs, ambiguity, pool))
            advance(1)


def score_sample(
    folder: RunFolder,
    family: Family,
    sample: Sample,
    line: PredictionLine,
    specs: Sequence[MetricSpec],
    ambiguity: Ambiguity | None,
    pool: Any = None,
) -> SampleLine:
    """Score one stored prediction; whatever goes wrong ends here, as this sample's own failure."""

    def ended(status: str, **more: object) -> SampleLine:
        return SampleLine(
            id=sample.id,
            cluster=sample.cluster,
            status=status,  # type: ignore[arg-type]
            tags={str(key): str(value) for key, value in sample.tags.items()},
            groups={str(key): str(value) for key, value in sample.groups.items()},
            seconds=line.seconds,
            prediction=line.file,
            prediction_sha256=line.sha256,
            **more,  # type: ignore[arg-type]
        )

    try:
        target = sample.load_target()
        counted = _counted(family, target)
    except Exception as error:
        return ended("unscored", error=Failure.of("target", error))
    undefined = counted["undefined"]
    if specs and all(spec.weight in undefined for spec in specs):
        reasons = "; ".join(dict.fromkeys(undefined.values()))
        nothing = Failure.of("target", NoTruthError(reasons))
        return ended("unscored", **counted, error=nothing)
    if line.error is not None:
        return ended("failed", **counted, error=line.error)
    try:
        prediction = folder.load_prediction(line)
        given = prediction.ambiguity or ambiguity or Ambiguity.METRIC
        score = family.score_in_pool(pool, target, prediction, given)
        values = {
            spec.name: float(score.values.get(spec.name, math.nan))
            for spec in specs
            if spec.weight is None or counted["weights"][spec.weight] > 0
        }
    except NoTruthError as error:
        return ended("unscored", error=Failure.of("target", error))
    except Exception as error:
        return ended("failed", **counted, error=Failure.of("score", error))
    missing = [name for name, value in values.items() if not math.isfinite(value)]
    return ended(
        "failed" if values and len(missing) == len(values) else "scored",
        # JSON has no NaN: what is undefined is null, and counts as failed for that metric.
        values={k: v if math.isfinite(v) else None for k, v in values.items()},
        details=dict(score.details),
        error=_undefined(missing, score.details) if missing else None,
        **counted,
    )


def _counted(family: Family, target: Target) -> dict[str, Any]:
    """What the truth alone says of how a sample counts, whatever was predicted."""
    weights = dict(family.weights(target))
    reasons = {key: family.undefined(key, target) for key, weight in weights.items() if weight == 0}
    return {
        "weights": weights,
        "undefined": {key: why for key, why in reasons.items() if why},
        "worst": dict(family.worst(target)),
    }


def _pairs(
    folder: RunFolder, samples: Sequence[Sample], ambiguity: Ambiguity | None
) -> Iterator[tuple[Target, Prediction | None]]:
    """Every target with its prediction, for families that score one among all."""
    for sample, line in zip(samples, folder.predictions(), strict=False):
        try:
            target = sample.load_target()
        except Exception:  # Scoring the sample says what is wrong with it.
            continue
        try:
            prediction = None if line.error is not None else folder.load_prediction(line)
        except Exception:
            prediction = None
        if prediction is None:
            yield target, None
        else:
            given = prediction.ambiguity or ambiguity or Ambiguity.METRIC
            yield target, replace(prediction, ambiguity=given)


def write_results(folder: RunFolder, record: RunRecord) -> None:
    """Aggregate `samples.jsonl` into the record, without writing it."""
    gathered = aggregate(record.metrics, folder.samples())
    record.results = gathered.results(record.seed)
    record.categories = gathered.categories(record.seed)
    record.parse_statuses = dict(sorted(gathered.parse_statuses.items()))
    record.unreadable_truths = gathered.unreadable_truths
    record.counts = dict(sorted(gathered.statuses.items()))


def _undefined(missing: Sequence[str], details: Mapping[str, object]) -> Failure:
    reasons = details.get("undefined")
    reason = f": {reasons}" if reasons else ""
    return Failure(
        stage="score", kind="Undefined", message=f"no finite {', '.join(missing)}{reason}"[:500]
    )
