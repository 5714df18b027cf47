"""A leaderboard as written (its definition) and as made (columns, rows, cells)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.published import PublishedNumber, beside, find_published, load_published
from g2vlm_bench.store import MetricResult, RunRecord
from g2vlm_bench.survival import Share
from g2vlm_bench.yaml_files import convert, read_yaml

if TYPE_CHECKING:
    import pandas as pd

# What a record of a published number leaves empty, in the order of a measured one's.
_RECORD = (
    *("kind", "board", "board_version", "model", "is_floor", "rank", "tied", "score", "score_low"),
    *("score_high", "score_floor", "score_above_floor", "survives_blind", "task", "metric", "unit"),
    *("value", "low", "high", "floor", "floor_model", "above_floor", "column_rank", "n_scored"),
    *("n_failed", "n_unscored", "n_clusters", "note", "provisional"),
    *("setting", "caveat", "source"),
)


class BoardColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of a board.

    Attributes:
        task: Whose runs it shows.
        metric: One of its metrics; its headline if absent.
        title: A short one.
        published: Columns of published tables whose numbers are laid beside it.
    """

    task: str
    metric: str | None = None
    title: str = ""
    published: list[str] = []


class BoardDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A board file, as written; it is a suite too: its tasks and the models it is run on.

    Attributes:
        name: The file's name; not a key in it.
        version: Raised by whoever changes a column.
        columns: What the table shows.
        models: Run where the user names none.
        published: Tables of numbers that others have published, `published/<name>.csv` beside the
            board's file, else among the shipped ones; written out into it when it is loaded.
    """

    name: str
    version: int
    title: str
    columns: Annotated[list[BoardColumn], msgspec.Meta(min_length=1)]
    models: list[str] = []
    description: str = ""
    published: list[PublishedNumber] = []

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
        above_floor: Whether the number is significantly better than each floor's of the column;
            None for what is no model's or a floor's, and where the column has no floor.
    """

    result: MetricResult | None
    rank: int | None = None
    note: str = ""
    above_floor: bool | None = None


@dataclass(frozen=True, slots=True)
class Floor:
    """The best number of models that do not look at what they are asked about.

    Attributes:
        model: Which of them has it, or that it is chance by definition of the metric; empty for a
            score, in which each column's best stand together.
        value: In the unit of the column, or a score.
        low: Lower end of its 95 % interval, None where it is undefined.
        high: Upper end.
    """

    model: str
    value: float
    low: float | None
    high: float | None


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
        survives_blind: What part of its score the same model reaches blind, where that is a row,
            too, and the score is significantly above 0.
        is_floor: Whether the model does not look at what it is asked about.
        above_floor: Whether the score is significantly better than that of the best floors
            together; None as in a cell.
    """

    model: str
    cells: tuple[Cell, ...]
    score: float | None
    low: float | None
    high: float | None
    rank: int | None
    tied: bool
    provisional: tuple[str, ...]
    survives_blind: Share | None = None
    is_floor: bool = False
    above_floor: bool | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """A rendered leaderboard: columns, rows in their order, and the runs behind them.

    Attributes:
        specs: The metric of each column, None where no model has a number.
        floors: The best floor of each column, None where it has none.
        score_floor: The score of the best floor of every column, None where a column has none.
    """

    definition: BoardDefinition
    specs: tuple[MetricSpec | None, ...]
    floors: tuple[Floor | None, ...]
    score_floor: Floor | None
    rows: tuple[Row, ...]
    runs: tuple[tuple[Path, RunRecord], ...] = field(default=(), repr=False)

    def frame(self) -> pd.DataFrame:
        """Give the table as a frame, a line per model and column."""
        import pandas as pd

        return pd.DataFrame(list(self.records()))

    def records(self) -> Iterable[dict[str, Any]]:
        """Give a flat mapping per model and column, for csv and json."""
        for row in self.rows:
            for column, spec, floor, cell in zip(
                self.definition.columns, self.specs, self.floors, row.cells, strict=True
            ):
                result = cell.result
                yield {
                    "kind": "measured",
                    "board": self.definition.name,
                    "board_version": self.definition.version,
                    "model": row.model,
                    "is_floor": row.is_floor,
                    "rank": row.rank,
                    "tied": row.tied,
                    "score": row.score,
                    "score_low": row.low,
                    "score_high": row.high,
                    "score_floor": self.score_floor.value if self.score_floor else None,
                    "score_above_floor": row.above_floor,
                    "survives_blind": row.survives_blind.value if row.survives_blind else None,
                    "task": column.task,
                    "metric": spec.name if spec else column.metric,
                    "unit": spec.unit if spec else None,
                    "value": result.value if result else None,
                    "low": result.low if result else None,
                    "high": result.high if result else None,
                    "floor": floor.value if floor else None,
                    "floor_model": floor.model if floor else None,
                    "above_floor": cell.above_floor,
                    "column_rank": cell.rank,
                    "n_scored": result.n_scored if result else 0,
                    "n_failed": result.n_failed if result else 0,
                    "n_unscored": result.n_unscored if result else 0,
                    "n_clusters": result.n_clusters if result else 0,
                    "note": cell.note or (result.unscored if result and result.undefined else ""),
                    "provisional": "; ".join(row.provisional),
                    "setting": "",
                    "caveat": "",
                    "source": "",
                }
        yield from self._published_records()

    def _published_records(self) -> Iterable[dict[str, Any]]:
        """Numbers that others have published: without rank, interval and counts."""
        for column, spec in zip(self.definition.columns, self.specs, strict=True):
            for name in column.published:
                for model, numbers in beside(self.definition.published, name).items():
                    for one in numbers:
                        yield dict.fromkeys(_RECORD) | {
                            "kind": "published",
                            "board": self.definition.name,
                            "board_version": self.definition.version,
                            "model": model,
                            "task": column.task,
                            "metric": f"published {name}",
                            "unit": spec.unit if spec else one.unit,
                            "value": one.scaled,
                            "setting": one.setting,
                            "caveat": one.caveat,
                            "source": one.source,
                        }


def load_board(path: Path) -> BoardDefinition:
    """Read a board file; its name is the file's.

    Raises:
        BenchError: The file is broken, has an unknown key, or names a published table or column
            that there is not.
    """
    content = read_yaml(path)
    names = content.get("published", [])
    if not isinstance(names, list):
        raise BenchError(f"{path}, key 'published'", expected="names of tables", got=names)
    tables = [load_published(find_published(path.parent, name)) for name in names]
    numbers = [msgspec.to_builtins(one) for table in tables for one in table]
    content = {"name": path.stem, **content, "published": numbers}
    definition = convert(content, BoardDefinition, path)
    known = {one.column for one in definition.published}
    for column in definition.columns:
        for name in column.published:
            if name not in known:
                raise BenchError(
                    f"{path}, column {column.task}",
                    expected="a column of the board's published tables",
                    got=f"'{name}'",
                    fix=nearest(name, known),
                )
    return definition
