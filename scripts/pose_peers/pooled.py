"""What evaluations make of many sequences: one mean over all pairs, or one of each category."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from g2vlm_bench.aggregate import Aggregate, aggregate
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Sample, Target
from g2vlm_bench.scoring import score_sample
from g2vlm_bench.store import PredictionLine
from pose_peers.angular import errors_of, shares
from pose_peers.cases import PAIRS, Sequence, Values, family


def theirs(module: Any, sequences: list[Sequence]) -> Values:
    """RRA, RTA and AUC over all pairs of all sequences, as their main functions gather them."""
    errors = [errors_of(module, sequence) for sequence in sequences]
    rotation, translation = (np.concatenate(parts) for parts in zip(*errors, strict=True))
    return shares(module, rotation, translation)


def ours(label: str, sequences: list[Sequence]) -> Values:
    """What a run of these sequences reports under a profile."""
    return _values(_run(label, [(sequence, "") for sequence in sequences]).columns)


def theirs_by_category(module: Any, categories: dict[str, list[Sequence]]) -> Values:
    """Each category's numbers over all its pairs, and the mean of the categories' AUC."""
    found = {name: theirs(module, sequences) for name, sequences in categories.items()}
    values = {f"{name} {metric}": v for name, many in found.items() for metric, v in many.items()}
    aucs = [metric for metric in PAIRS if metric.startswith("auc")]
    return values | {
        f"mean {metric}": float(np.mean([many[metric] for many in found.values()]))
        for metric in aucs
    }


def ours_by_category(label: str, categories: dict[str, list[Sequence]]) -> Values:
    """What a run reports of each category, a tag of its sequences, and the means of these."""
    tagged = [(sequence, name) for name, many in categories.items() for sequence in many]
    by_tag = _run(label, tagged).by_tag["category"]
    found = {name: _values(columns) for name, columns in by_tag.items()}
    values = {f"{name} {metric}": v for name, many in found.items() for metric, v in many.items()}
    return values | {
        f"mean {metric}": float(np.mean([many[metric] for many in found.values()]))
        for metric in PAIRS
    }


def _run(label: str, sequences: list[tuple[Sequence, str]]) -> Aggregate:
    """Score sequences of some categories as a run does."""
    scorer = family(label, PAIRS)
    lines = []
    for index, (sequence, category) in enumerate(sequences):
        target = Target(world_from_camera=tuple(sequence.true))
        answer = Prediction(world_from_camera=tuple(sequence.predicted))
        sample = Sample(
            id=str(index), cluster=str(index), tags={"category": category},
            load_inputs=partial(Inputs, id=str(index)), load_target=partial(_same, target),
        )  # fmt: skip
        folder: Any = SimpleNamespace(load_prediction=partial(_same, answer))
        line = PredictionLine(id=str(index), seconds=0.0, error=None)
        served = scorer.servable(Ambiguity.METRIC)
        lines.append(score_sample(folder, scorer, sample, line, served, Ambiguity.METRIC))
    return aggregate(scorer.specs, lines)


def _same(given: Any, *_: object) -> Any:
    return given


def _values(columns: dict[str, Any]) -> Values:
    return {name.partition("@")[0]: column.result(seed=0).value for name, column in columns.items()}
