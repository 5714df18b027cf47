"""A board: a definition and runs become a ranked table in which every number has an interval.

Models are ranked by the mean of their columns, each brought to 0 (chance, or the metric's worst
value) ... 1 (perfect); a column that a model does not fill counts as if it had failed on every
sample. A model's rank is one more than the number of models that are significantly better: paired
on the same scenes, all pairs judged together and all columns under the same draws of scenes, so
that a board of equal models shows a difference once in twenty times. So nothing stands behind a
model without being shown to be worse than another one. Significance is not transitive: a noisy
model may share the first rank with one that beats a steadier model between them. Where a column has
fewer than two scenes its uncertainty is unknown, and then so is that of every score: all are tied.

Whether a model beats the floors is no ranking: it is asked of the model alone, floor by floor, so
that who else stands on the board makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.aggregate import Column
from g2vlm_bench.board import Board, BoardColumn, BoardDefinition, Cell, Floor, Row
from g2vlm_bench.comparable import check_paired, check_rows, gather
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.statistics import (
    REPLICATES,
    Bootstrap,
    SharedDraws,
    bounded_interval,
    side,
    simultaneous_directions,
)
from g2vlm_bench.store import MetricResult, RunFolder, RunRecord
from g2vlm_bench.survival import Share, surviving_share

BY_DEFINITION = "chance by definition"


class Skill(NamedTuple):
    """A number brought to 0 (chance, or the metric's worst) ... 1 (perfect).

    Attributes:
        value: The number.
        replicates: The number under each draw; empty where it has no uncertainty to speak of.
        lowest: What it could have been at worst, below 0 where that is below chance.
        highest: What it could have been at best.
    """

    value: float
    replicates: NDArray[np.float64]
    lowest: float = 0.0
    highest: float = 1.0

    def interval(self, n_clusters: int) -> tuple[float, float] | tuple[None, None]:
        """Give the 95 % interval, within what the number could have been."""
        ends = bounded_interval(self.value, self.replicates, n_clusters, self.lowest, self.highest)
        # Student's interval may reach beyond what is perfect.
        return (None, None) if ends is None else (ends[0], min(ends[1], self.highest))


# A guess that is known by definition, and a column that nobody fills.
_ZERO = Skill(0.0, np.zeros(REPLICATES), 0.0, 0.0)


@dataclass(slots=True)
class _Entry:
    """A run's number in one column, under the draws of the board."""

    record: RunRecord
    spec: MetricSpec
    result: MetricResult
    bootstrap: Bootstrap | None
    all_failed: Bootstrap | None

    def skill(self) -> Skill:
        """Bring the number to 0 ... 1, and its replicates with it."""
        return self._skill(self.bootstrap)

    def skill_of_none(self) -> Skill:
        """What a model gets that has no run here: that of one which fails on every sample."""
        return self._skill(self.all_failed)

    def _skill(self, boot: Bootstrap | None) -> Skill:
        base = self.spec.worst if self.spec.chance is None else self.spec.chance
        worst = self.spec.worst
        if boot is None or base is None or worst is None:
            return Skill(0.0, np.empty(0))
        span = self.spec.best - base
        return Skill(
            (boot.value - base) / span, (boot.replicates - base) / span, (worst - base) / span
        )


def build(definition: BoardDefinition, paths: Sequence[Path]) -> Board:
    """Make a board of runs.

    Args:
        definition: What the table shows.
        paths: Run folders; runs of other tasks than the board's are left out.

    Raises:
        NotComparableError: Two runs of one task differ in definition, data, samples or scorer, or
            two runs of one model in its weights, the adapter's source or the dtype.
        BenchError: A run is not complete, a model has two runs of one task, no run is of a task of
            the board, or a column's metric is none of its task.
    """
    everything = [(path, RunFolder(path).read_record()) for path in paths]
    runs = [(path, record) for path, record in everything if record.task.name in definition.tasks]
    if not runs:
        raise BenchError(
            f"leaderboard {definition.name}",
            expected=f"runs of {', '.join(definition.tasks)}",
            got=", ".join(sorted({r.task.name for _, r in everything})) or "no runs",
        )
    check_rows(runs)
    gathered = [_gathered(column, runs) for column in definition.columns]
    # The same draws for all columns: two about mostly the same scenes are not independent.
    scenes = {name for column in gathered for _, _, one in column.values() for name in one.clusters}
    draws = SharedDraws(scenes)
    columns = [_column(column, draws) for column in gathered]
    specs = tuple(next((e.spec for e in column.values()), None) for column in columns)
    models = list(dict.fromkeys(record.adapter.label for _, record in runs))
    ranks = [_column_ranks(column) for column in columns]
    scores = {model: _score(model, columns) for model in models}
    references = {r.adapter.label for _, r in runs if r.adapter.reads_truth}
    floors = {r.adapter.label for _, r in runs if r.adapter.is_floor}
    best_floors = _score_of_floors(columns)
    n_clusters = _few(columns)
    order = _ranks({m: s for m, s in scores.items() if m not in references}, n_clusters)
    rows = []
    for model in models:
        own = [record for _, record in runs if record.adapter.label == model]
        low, high = scores[model].interval(n_clusters)
        held = best_floors if model not in references | floors else None
        rows.append(
            Row(
                model=model,
                cells=tuple(
                    _cell(model, column, rank, definition.columns[i], own)
                    for i, (column, rank) in enumerate(zip(columns, ranks, strict=True))
                ),
                score=scores[model].value,
                low=low,
                high=high,
                rank=order.get(model),
                tied=list(order.values()).count(order.get(model, -1)) > 1,
                provisional=_provisional(own),
                survives_blind=_survives_blind(model, columns),
                is_floor=model in floors,
                above_floor=None if held is None else _is_better(scores[model], held, n_clusters),
            )
        )
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0, -(row.score or 0), row.model))
    return Board(
        definition,
        specs,
        tuple(map(_floor, columns)),
        None if best_floors is None else _together(best_floors, n_clusters),
        tuple(rows),
        tuple(runs),
    )


_Gathered = Mapping[str, tuple[RunRecord, MetricSpec, Column]]


def _gathered(column: BoardColumn, runs: Sequence[tuple[Path, RunRecord]]) -> _Gathered:
    """Read the samples of a column's runs, by model."""
    found: dict[str, tuple[RunRecord, MetricSpec, Column]] = {}
    first: tuple[Path, Column] | None = None
    for path, record in runs:
        if record.task.name != column.task:
            continue
        name = column.metric or record.task.definition["headline"]
        spec = next((spec for spec in record.metrics if spec.name == name), None)
        if spec is None and name not in record.refused:
            known = {*record.refused, *(spec.name for spec in record.metrics)}
            raise BenchError(
                f"column {column.task}",
                expected="a metric of the task",
                got=f"'{name}'",
                fix=nearest(name, known),
            )
        if spec is None:
            continue
        if not spec.bounded:
            bounded = [each.name for each in record.metrics if each.bounded]
            raise BenchError(
                f"column {column.task}",
                expected="a metric with a worst value, which is what a failed sample counts as",
                got=f"'{name}', which has none",
                fix=f"Take one of {', '.join(bounded)}." if bounded else None,
            )
        gathered = gather([spec], (path, record))[name]
        first = first or (path, gathered)
        check_paired(name, first, (path, gathered))
        found[record.adapter.label] = record, spec, gathered
    return found


def _column(column: _Gathered, draws: SharedDraws) -> dict[str, _Entry]:
    return {
        model: _Entry(
            record,
            spec,
            one.result(record.seed),
            one.bootstrap(record.seed, draws),
            one.all_failed(record.seed, draws),
        )
        for model, (record, spec, one) in column.items()
    }


def _score(model: str, columns: Sequence[Mapping[str, _Entry]]) -> Skill:
    """Take the mean over the columns, and of the replicates draw by draw."""
    return _mean([_skill_in(column, model) for column in columns])


def _mean(skills: Sequence[Skill]) -> Skill:
    value, lowest, highest = (
        float(np.mean([getattr(skill, name) for skill in skills]))
        for name in ("value", "lowest", "highest")
    )
    replicates = np.empty(0)
    if len({skill.replicates.size for skill in skills}) == 1:
        replicates = np.mean([skill.replicates for skill in skills], axis=0)
    return Skill(value, replicates, lowest, highest)


def _score_of_floors(columns: Sequence[Mapping[str, _Entry]]) -> Skill | None:
    """The score of each column's best floor together; None where a column has none."""
    best: list[Skill] = []
    for column in columns:
        label = _best_floor(column)
        if column and not label:
            return None
        best.append(_floors(column)[label] if label else _ZERO)
    return _mean(best)


def _best_floor(column: Mapping[str, _Entry]) -> str:
    """The floor of the best number, of equals the first by name; empty where there is none."""
    floors = _floors(column)
    return max(sorted(floors), key=lambda label: floors[label].value, default="")


def _floors(column: Mapping[str, _Entry]) -> dict[str, Skill]:
    """What the floors of a column reach; where its metric says what a guess gets, that is one."""
    found = {
        label: entry.skill()
        for label, entry in column.items()
        if entry.record.adapter.is_floor and entry.bootstrap is not None
    }
    if any(entry.spec.chance is not None for entry in column.values()):
        found[BY_DEFINITION] = _ZERO
    return found


def _floor(column: Mapping[str, _Entry]) -> Floor | None:
    label = _best_floor(column)
    if label == BY_DEFINITION:
        chance = next(entry.spec.chance for entry in column.values())
        return None if chance is None else Floor(label, chance, chance, chance)
    result = column[label].result if label else None
    if result is None or result.value is None:
        return None
    return Floor(label, result.value, result.low, result.high)


def _together(score: Skill, n_clusters: int) -> Floor:
    return Floor("", score.value, *score.interval(n_clusters))


def _above_floors(model: str, column: Mapping[str, _Entry]) -> bool | None:
    """Whether a model's number is significantly better than each floor's of its column."""
    floors, own = _floors(column), column[model]
    about = own.record.adapter
    if not floors or own.bootstrap is None or about.is_floor or about.reads_truth:
        return None
    # To beat all of several, each at 5 %, is no likelier by chance than to beat one.
    return all(_is_better(own.skill(), floor, _few([column])) for floor in floors.values())


def _is_better(one: Skill, other: Skill, n_clusters: int) -> bool:
    """Whether a number is significantly better than another, paired, this pair alone."""
    if one.replicates.size != other.replicates.size:
        return False
    return side(one.value - other.value, one.replicates - other.replicates, n_clusters) > 0


def _survives_blind(model: str, columns: Sequence[Mapping[str, _Entry]]) -> Share | None:
    """What part of a score needs no images, over the columns that the model filled blind, too."""
    blind = f"blind:{model}"
    both = [column for column in columns if model in column and blind in column]
    if not both:
        return None
    floor, own = _score(blind, both), _score(model, both)
    return surviving_share(floor[:2], own[:2], _few(both))


def _skill_in(column: Mapping[str, _Entry], model: str) -> Skill:
    if model in column:
        return column[model].skill()
    # All runs of a column count the same samples, so any of them tells what failing costs. Leaving
    # a task out must not beat failing at it; a column that nobody fills says nothing of anyone.
    others = next(iter(column.values()), None)
    return _ZERO if others is None else others.skill_of_none()


def _column_ranks(column: Mapping[str, _Entry]) -> dict[str, int]:
    ranked = {m: e.skill() for m, e in column.items() if not e.record.adapter.reads_truth}
    return _ranks(ranked, _few([column]))


def _ranks(scores: Mapping[str, Skill], n_clusters: int) -> dict[str, int]:
    """Rank by significance: one more than the number of models that are significantly better."""
    models = list(scores)
    # Those whose score has no uncertainty to speak of cannot be told apart from any other.
    size = max((skill.replicates.size for skill in scores.values()), default=0)
    known = [model for model in models if scores[model].replicates.size == size > 0]
    if len(known) < 2 or n_clusters < 2:
        return dict.fromkeys(models, 1)
    values = np.array([scores[model].value for model in known])
    draws = np.stack([scores[model].replicates for model in known])
    sides = simultaneous_directions(values, draws, n_clusters)
    better = dict(zip(known, (sides < 0).sum(axis=1).tolist(), strict=True))
    return {model: 1 + better.get(model, 0) for model in models}


def _few(columns: Sequence[Mapping[str, _Entry]]) -> int:
    counts = [entry.result.n_clusters for column in columns for entry in column.values()]
    return min(counts, default=0)


def _cell(
    model: str,
    column: Mapping[str, _Entry],
    ranks: Mapping[str, int],
    definition: BoardColumn,
    own: Sequence[RunRecord],
) -> Cell:
    if model in column:
        return Cell(
            column[model].result, ranks.get(model), above_floor=_above_floors(model, column)
        )
    record = next((r for r in own if r.task.name == definition.task), None)
    if record is None:
        return Cell(None, note="not run")
    name = definition.metric or record.task.definition["headline"]
    return Cell(None, note=record.refused[name])


def _provisional(records: Sequence[RunRecord]) -> tuple[str, ...]:
    reasons = []
    # Clean predictions may have been scored again by a metric that nobody else has.
    made_with = [one for record in records for one in (record.environment, record.scored_with)]
    if any(one is not None and one.dirty for one in made_with):
        reasons.append("uncommitted changes")
    if any(record.unreadable_truths for record in records):
        reasons.append("truths that could not be read")
    if any(record.data.limit is not None for record in records):
        reasons.append("only part of the samples")
    if not all(record.data.pinned for record in records):
        reasons.append("data not pinned")
    return tuple(reasons)
