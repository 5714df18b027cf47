"""Floors beside a model, and how much of its score survives without looking.

A floor is what an answer is worth that the images had no part in: the same model asked without them
(`blind`), or shown another scene's (`shuffled`), the most frequent answers (`majority`), a guess
(`chance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.comparable import check_comparable, check_paired, gather
from g2vlm_bench.statistics import Bootstrap
from g2vlm_bench.store import RunRecord
from g2vlm_bench.survival import Share, surviving_share

WRAPPERS = ("blind", "shuffled")
ALONE = ("majority", "chance")


@dataclass(frozen=True, slots=True)
class Survival:
    """How much of a model's score on a task one floor reaches.

    Attributes:
        task: The task's name.
        metric: Its headline.
        model: The model's name in tables.
        floor: The floor's name.
        score: The model's number.
        reached: The floor's number.
        share: None where it cannot be told; then `note` says why.
    """

    task: str
    metric: str
    model: str
    floor: str
    score: float
    reached: float
    share: Share | None
    note: str = ""


def survivals(runs: Sequence[tuple[Path, RunRecord]]) -> list[Survival]:
    """Lay each model's floors beside it, task by task, on the task's headline.

    Chance is what the metric declares, else what the run of `chance` got on the same questions.

    Raises:
        NotComparableError: A floor's run differs in definition, data or scorer.
    """
    found = []
    for task in dict.fromkeys(record.task.name for _, record in runs):
        own = {r.adapter.label: (p, r) for p, r in runs if r.task.name == task}
        floors = {f"{wrapper}:{label}" for wrapper in WRAPPERS for label in own} | set(ALONE)
        for label, run in own.items():
            if label not in floors and not run[1].adapter.reads_truth:
                found += _beside(label, run, own)
    return found


def _beside(
    label: str, run: tuple[Path, RunRecord], own: dict[str, tuple[Path, RunRecord]]
) -> list[Survival]:
    record = run[1]
    name = str(record.task.definition["headline"])
    spec = next((spec for spec in record.metrics if spec.name == name), None)
    named = {wrapper: f"{wrapper}:{label}" for wrapper in WRAPPERS} | {f: f for f in ALONE}
    beside = {floor: own[key] for floor, key in named.items() if key in own}
    if spec is None or not beside:
        return []
    columns = {"": gather([spec], run)[name]}
    for floor, other in beside.items():
        check_comparable(run, other)
        columns[floor] = gather([spec], other)[name]
        check_paired(name, (run[0], columns[""]), (other[0], columns[floor]))
    boots = {floor: column.bootstrap(record.seed) for floor, column in columns.items()}
    score = boots.pop("")
    base = boots.get("chance")
    if score is None:
        return []
    n_clusters = len(set(columns[""].clusters))
    sign = 1.0 if spec.higher_is_better else -1.0

    def from_chance(boot: Bootstrap) -> tuple[float, NDArray[np.float64]] | None:
        if spec.chance is not None:
            return sign * (boot.value - spec.chance), sign * (boot.replicates - spec.chance)
        if base is None or base.replicates.size != boot.replicates.size:
            return None
        return sign * (boot.value - base.value), sign * (boot.replicates - base.replicates)

    found = []
    for floor, boot in boots.items():
        if boot is None:
            continue
        parts = from_chance(boot), from_chance(score)
        share = None
        note = "what a guess gets is not known"
        if parts[0] is not None and parts[1] is not None:
            share = surviving_share(parts[0], parts[1], n_clusters)
            note = "" if share else "the score is not significantly above chance"
        found.append(
            Survival(record.task.name, name, label, floor, score.value, boot.value, share, note)
        )
    return found
