"""A board: a definition and runs become a ranked table in which every number has an interval.

Models are ranked by the mean of their columns, each brought to 0 (chance, or the metric's worst
value) ... 1 (perfect); a column that a model cannot fill counts 0. A model's rank is one more than
the number of models that are significantly better: those against which the 95 % interval of the
paired difference excludes 0. So nothing stands behind a model without being shown to be worse than
another one. Significance is not transitive: a noisy model may share the first rank with one that
beats a steadier model between them. Each pair is judged by itself, so among many equal models some
pair differs by chance. Where a column has fewer than two scenes its uncertainty is unknown, and
then so is that of every score: all are tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.aggregate import Column, aggregate
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.statistics import REPLICATES, Bootstrap, confidence_interval, direction
from g2vlm_bench.store import MetricResult, RunFolder, RunRecord
from g2vlm_bench.task import convert, read_yaml

if TYPE_CHECKING:
    import pandas as pd


class BoardColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column: a task, one of its metrics (its headline if absent), a short title."""

    task: str
    metric: str | None = None
    title: str = ""


class BoardDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A board file, as written; it is a suite too: its tasks and the models it is run on.

    Attributes:
        name: The file's name; not a key in it.
        version: Raised by whoever changes a column.
        columns: What the table shows.
        models: Run where the user names none.
    """

    name: str
    version: int
    title: str
    columns: list[BoardColumn]
    models: list[str] = []
    description: str = ""

    @property
    def tasks(self) -> list[str]:
        """The tasks of the board, each once, in order."""
        return list(dict.fromkeys(column.task for column in self.columns))


@dataclass(frozen=True, slots=True)
class Cell:
    """A model's number in one column.

    Attributes:
        result: None where the model has no run of the task, or its prediction was refused.
        rank: Among the ranked models of the column; equal where the difference is not significant.
        note: Why there is no number.
    """

    result: MetricResult | None
    rank: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One model on a board.

    Attributes:
        score: Mean of the columns, each from 0 (chance or worst) to 1 (perfect); below 0 for a
            model that is worse than chance. Reference rows have one too.
        low: Lower end of the score's 95 % interval, None where it is undefined.
        high: Upper end.
        rank: None for a reference row, which is made from the truth.
        tied: Whether another model has the same rank.
        provisional: Why a published board would not accept this row; empty if it would.
    """

    model: str
    cells: tuple[Cell, ...]
    score: float | None
    low: float | None
    high: float | None
    rank: int | None
    tied: bool
    provisional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A rendered leaderboard: columns, rows in their order, and the runs behind them."""

    definition: BoardDefinition
    specs: tuple[MetricSpec | None, ...]
    rows: tuple[Row, ...]
    runs: tuple[tuple[Path, RunRecord], ...] = field(default=(), repr=False)

    def frame(self) -> pd.DataFrame:
        """Give the table as a frame, a line per model and column."""
        import pandas as pd

        return pd.DataFrame(list(self.records()))

    def records(self) -> Iterable[dict[str, Any]]:
        """Give a flat mapping per model and column, for csv and json."""
        for row in self.rows:
            for column, spec, cell in zip(
                self.definition.columns, self.specs, row.cells, strict=True
            ):
                result = cell.result
                yield {
                    "board": self.definition.name,
                    "board_version": self.definition.version,
                    "model": row.model,
                    "rank": row.rank,
                    "tied": row.tied,
                    "score": row.score,
                    "score_low": row.low,
                    "score_high": row.high,
                    "task": column.task,
                    "metric": spec.name if spec else column.metric,
                    "unit": spec.unit if spec else None,
                    "value": result.value if result else None,
                    "low": result.low if result else None,
                    "high": result.high if result else None,
                    "column_rank": cell.rank,
                    "n_scored": result.n_scored if result else 0,
                    "n_failed": result.n_failed if result else 0,
                    "n_unscored": result.n_unscored if result else 0,
                    "n_clusters": result.n_clusters if result else 0,
                    "note": cell.note,
                    "provisional": "; ".join(row.provisional),
                }


@dataclass(slots=True)
class _Entry:
    """A run's number in one column, with its replicates."""

    record: RunRecord
    spec: MetricSpec
    result: MetricResult
    bootstrap: Bootstrap | None

    def skill(self) -> tuple[float, NDArray[np.float64]]:
        """Bring the number to 0 ... 1, and its replicates with it."""
        base = self.spec.worst if self.spec.chance is None else self.spec.chance
        if self.bootstrap is None or base is None:
            return 0.0, np.empty(0)
        span = self.spec.best - base
        return (self.bootstrap.value - base) / span, (self.bootstrap.replicates - base) / span


def load_board(path: Path) -> BoardDefinition:
    """Read a board file; its name is the file's.

    Raises:
        BenchError: The file is broken or has an unknown key.
    """
    return convert({"name": path.stem, **read_yaml(path)}, BoardDefinition, path)


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Find run folders: those named, and those right below a folder named.

    Raises:
        BenchError: A path holds no run.
    """
    found: list[Path] = []
    for path in paths:
        here = [path] if (path / "run.json").is_file() else []
        below = sorted(p.parent for p in path.glob("*/run.json"))
        if not here and not below:
            raise BenchError(path, expected="a run folder, or a folder of runs", got="no run.json")
        found += here or below
    return list(dict.fromkeys(found))


def build(definition: BoardDefinition, paths: Sequence[Path]) -> Board:
    """Make a board of runs.

    Args:
        definition: What the table shows.
        paths: Run folders; runs of other tasks than the board's are left out.

    Raises:
        NotComparableError: Two runs of one task differ in definition, data, samples or scorer, or
            two runs of one model in its weights.
        BenchError: A run is not complete, a model has two runs of one task, or no run is of a task
            of the board.
    """
    everything = [(path, RunFolder(path).read_record()) for path in paths]
    runs = [(path, record) for path, record in everything if record.task.name in definition.tasks]
    if not runs:
        raise BenchError(
            f"leaderboard {definition.name}",
            expected=f"runs of {', '.join(definition.tasks)}",
            got=", ".join(sorted({r.task.name for _, r in everything})) or "no runs",
        )
    _check_runs(runs)
    columns = [_column(column, runs) for column in definition.columns]
    specs = tuple(next((e.spec for e in column.values()), None) for column in columns)
    models = list(dict.fromkeys(record.adapter.spec for _, record in runs))
    ranks = [_column_ranks(column) for column in columns]
    scores = {model: _score(model, columns) for model in models}
    references = {r.adapter.spec for _, r in runs if r.adapter.reads_truth}
    order = _ranks({m: s for m, s in scores.items() if m not in references}, _few(columns))
    rows = []
    for model in models:
        own = [record for _, record in runs if record.adapter.spec == model]
        value, replicates = scores[model]
        low, high = confidence_interval(value, replicates, _few(columns)) or (None, None)
        rows.append(
            Row(
                model=model,
                cells=tuple(
                    _cell(model, column, rank, definition.columns[i], own)
                    for i, (column, rank) in enumerate(zip(columns, ranks, strict=True))
                ),
                score=value,
                low=low,
                # Student's interval may reach beyond what is perfect.
                high=None if high is None else min(high, 1.0),
                rank=order.get(model),
                tied=list(order.values()).count(order.get(model, -1)) > 1,
                provisional=_provisional(own),
            )
        )
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0, -(row.score or 0), row.model))
    return Board(definition, specs, tuple(rows), tuple(runs))


def check_comparable(base: tuple[Path, RunRecord], other: tuple[Path, RunRecord]) -> None:
    """Check that the numbers of two runs of one task may stand side by side.

    Raises:
        NotComparableError: Definition, data, number of samples or scorer differ.
    """
    (base_path, one), (path, two) = base, other
    for what, expected, got in (
        ("task definition", one.task.definition_hash, two.task.definition_hash),
        ("data", one.data.content_hash, two.data.content_hash),
        ("limit of samples", one.data.limit, two.data.limit),
        ("scorer", one.scorer, two.scorer),
    ):
        if expected != got:
            raise NotComparableError(
                f"{what} of {one.task.name}",
                expected=f"{expected} as in {base_path}",
                got=f"{got} in {path}",
                fix="Run or score both in one version.",
            )


def _check_runs(runs: Sequence[tuple[Path, RunRecord]]) -> None:
    first: dict[str, tuple[Path, RunRecord]] = {}
    seen: dict[tuple[str, str], Path] = {}
    weights: dict[str, tuple[Path, str | None]] = {}
    for path, record in runs:
        if record.status != "complete":
            raise BenchError(
                path,
                expected="a complete run",
                got=f"one that is {record.status}",
                fix="Run it again: it goes on where it stopped.",
            )
        key = (record.task.name, record.adapter.spec)
        if key in seen:
            raise BenchError(
                f"{record.adapter.spec} on {record.task.name}",
                expected="one run",
                got=f"{seen[key]} and {path}",
                fix="Name the runs that are meant.",
            )
        seen[key] = path
        loaded = record.adapter.weights_hash or record.adapter.checkpoint
        weights_path, others = weights.setdefault(record.adapter.spec, (path, loaded))
        if others != loaded:
            raise NotComparableError(
                f"weights of {record.adapter.spec}",
                expected=f"{others} as in {weights_path}",
                got=f"{loaded} in {path}",
                fix="A row is one model: make a board of each.",
            )
        check_comparable(first.setdefault(record.task.name, (path, record)), (path, record))


def _column(column: BoardColumn, runs: Sequence[tuple[Path, RunRecord]]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    first: tuple[Path, Column] | None = None
    for path, record in runs:
        if record.task.name != column.task:
            continue
        name = column.metric or record.task.definition["headline"]
        spec = next((spec for spec in record.metrics if spec.name == name), None)
        if spec is None:
            continue
        if not spec.bounded:
            raise BenchError(f"column {column.task}", expected="a bounded metric", got=f"'{name}'")
        gathered = aggregate([spec], RunFolder(path).samples()).columns[name]
        first = first or (path, gathered)
        check_paired(name, first, (path, gathered))
        entries[record.adapter.spec] = _Entry(
            record, spec, gathered.result(record.seed), gathered.bootstrap(record.seed)
        )
    return entries


def check_paired(metric: str, base: tuple[Path, Column], other: tuple[Path, Column]) -> None:
    """Check that two runs count the same samples, without which nothing about them is paired.

    Raises:
        NotComparableError: The truth of a sample could be opened for one of them only.
    """
    (base_path, one), (path, two) = base, other
    if not one.counts_as(two):
        raise NotComparableError(
            f"samples counted by {metric}",
            expected=f"the {len(one.values)} of {base_path}",
            got=f"{len(two.values)} in {path}, or others",
            fix="Score both again on the same data.",
        )


def _score(
    model: str, columns: Sequence[Mapping[str, _Entry]]
) -> tuple[float, NDArray[np.float64]]:
    """Take the mean over the columns, and of the replicates draw by draw."""
    skills = [
        # A column that the model cannot fill counts 0, without uncertainty.
        column[model].skill() if model in column else (0.0, np.zeros(_draws(column)))
        for column in columns
    ]
    value = float(np.mean([value for value, _ in skills]))
    if len({replicates.size for _, replicates in skills}) > 1:
        return value, np.empty(0)
    return value, np.mean([replicates for _, replicates in skills], axis=0)


def _draws(column: Mapping[str, _Entry]) -> int:
    """How many draws the column's runs have; all of them count the same samples."""
    sizes = [entry.skill()[1].size for entry in column.values()]
    return min(sizes, default=REPLICATES)


def _column_ranks(column: Mapping[str, _Entry]) -> dict[str, int]:
    ranked = {m: e.skill() for m, e in column.items() if not e.record.adapter.reads_truth}
    return _ranks(ranked, _few([column]))


def _ranks(
    scores: Mapping[str, tuple[float, NDArray[np.float64]]], n_clusters: int
) -> dict[str, int]:
    """Rank by significance: one more than the number of models that are significantly better."""
    better = dict.fromkeys(scores, 0)
    for one, other in combinations(scores, 2):
        (value, draws), (other_value, other_draws) = scores[one], scores[other]
        if draws.size != other_draws.size:
            continue
        side = direction(confidence_interval(value - other_value, draws - other_draws, n_clusters))
        if side:
            better[other if side > 0 else one] += 1
    return {model: 1 + count for model, count in better.items()}


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
        return Cell(column[model].result, ranks.get(model))
    record = next((r for r in own if r.task.name == definition.task), None)
    if record is None:
        return Cell(None, note="not run")
    name = definition.metric or record.task.definition["headline"]
    return Cell(None, note=record.refused.get(name, "no such metric"))


def _provisional(records: Sequence[RunRecord]) -> tuple[str, ...]:
    reasons = []
    if any(record.environment.dirty for record in records):
        reasons.append("uncommitted changes")
    if any(record.data.limit is not None for record in records):
        reasons.append("only part of the samples")
    if not all(record.data.pinned for record in records):
        reasons.append("data not pinned")
    return tuple(reasons)
