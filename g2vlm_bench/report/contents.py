"""What the report says of a board, as tables of text that every format writes in its own way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.board import Board, Floor, Row
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.published import PublishedNumber, beside
from g2vlm_bench.report.cells import (
    FEW_SCENES,
    CellText,
    arrow,
    counts,
    interval,
    is_tied,
    number,
    rank,
    result_cell,
)
from g2vlm_bench.store import RunRecord

HOW_RANKED = (
    "Models are ranked by their score: the mean over the columns, each brought to 0 (chance, or "
    "the metric's worst value) ... 1 (perfect). A failed sample counts as its metric's worst "
    "value, and a column that a model does not fill counts as failed throughout. A model's rank "
    "is one more than the number of models that are significantly better, by a paired bootstrap "
    "over scenes that judges all pairs of models together at 5 %. Equal ranks are marked =. "
    "Brackets are 95 % intervals from the same bootstrap. Rows made from the truth are there for "
    "reference and are not ranked."
)
HOW_FLOORED = (
    "A floor is a model that does not look at what it is asked about, or what a guess gets where "
    "the metric says so: to reach it is no skill. The best floor of each column stands below the "
    "ranking, and in its score the best of all columns together. A number is marked as not above "
    "floor unless it is significantly better than each floor's of its column, each by itself, "
    "paired over scenes, at 5 %."
)
NOT_ABOVE_FLOOR = "not above floor"
REFERENCE = "Made from the truth, not ranked"
PUBLISHED = (
    "Numbers as others have printed them: not measured here, not ranked, without intervals, and "
    "comparable only as far as their settings are. What is doubtful is marked and not corrected."
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's title, and in small what it is."""

    title: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A table's row: what it is of, and its cells.

    Attributes:
        note: What else to know of the row.
        reference: Whether it was made from the truth.
        floor: Whether it is of a model that does not look.
        summary: Whether it is of no model but says something of each column.
    """

    head: str
    cells: tuple[CellText, ...]
    rank: str = ""
    note: str = ""
    reference: bool = False
    floor: bool = False
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        corner: What the rows are.
        ranked: Whether the rows have ranks.
        remarks: What else to know of it, a sentence each.
    """

    caption: str
    corner: str
    columns: tuple[Heading, ...]
    lines: tuple[Line, ...]
    ranked: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def bodies(self) -> list[tuple[str, list[Line]]]:
        """The rows in their groups: first what is ranked, then what was made from the truth."""
        apart = [
            ("", [line for line in self.lines if not line.reference]),
            (REFERENCE, [line for line in self.lines if line.reference]),
        ]
        return [(title, lines) for title, lines in apart if lines]

    @property
    def notes(self) -> list[str]:
        """Why numbers have no interval, each reason once, and what else to know."""
        reasons = dict.fromkeys(cell.lacks for line in self.lines for cell in line.cells)
        return [*(f"No interval where {reason}." for reason in reasons if reason), *self.remarks]


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """A task of a board and its runs, in the order of the board's rows."""

    name: str
    runs: tuple[tuple[Path, RunRecord], ...]

    @property
    def first(self) -> RunRecord:
        """A run that stands for all: they agree on the task and its data."""
        return self.runs[0][1]

    @property
    def title(self) -> str:
        """The task's one line, or its name."""
        return str(self.first.task.definition.get("title") or self.name)

    @property
    def headline(self) -> str:
        """Name of the metric that the task is ranked by."""
        return str(self.first.task.definition["headline"])

    @property
    def specs(self) -> dict[str, MetricSpec]:
        """Every metric that some model was scored on; the fullest run says the order."""
        fullest = sorted(self.runs, key=lambda run: -len(run[1].metrics))
        return {spec.name: spec for _, record in fullest for spec in record.metrics}

    @property
    def definition(self) -> str:
        """The task file's content, as JSON."""
        return json.dumps(self.first.task.definition, indent=1, ensure_ascii=False)


def tasks_of(board: Board) -> list[TaskRuns]:
    """Gather the runs by task, in the order of the board's columns and rows."""
    place = {row.model: index for index, row in enumerate(board.rows)}
    runs = sorted(board.runs, key=lambda run: place[run[1].adapter.label])
    by_task = {
        name: tuple((path, record) for path, record in runs if record.task.name == name)
        for name in board.definition.tasks
    }
    return [TaskRuns(name, found) for name, found in by_task.items() if found]


def is_reference(row: Row, board: Board) -> bool:
    """Whether a row was made from the truth."""
    return any(r.adapter.reads_truth for _, r in board.runs if r.adapter.label == row.model)


def column_title(board: Board, index: int) -> str:
    """The short title of a column."""
    column = board.definition.columns[index]
    return column.title or column.task


def ranked_table(board: Board) -> Table:
    """The leaderboard itself."""
    headings = [Heading("Score\u00a0↑", "mean of the columns")]
    for index, (column, spec) in enumerate(zip(board.definition.columns, board.specs, strict=True)):
        title = column_title(board, index)
        if spec is not None:
            title += f"\u00a0{arrow(spec.higher_is_better)}"
        name = spec.name if spec is not None else column.metric or "headline"
        headings.append(Heading(title, f"{name}, {column.task}"))
    lines = tuple(
        Line(
            row.model,
            (_score_cell(row), *(_board_cell(board, row, i) for i in range(len(row.cells)))),
            rank=rank(row.rank, row.tied),
            note=f"provisional: {', '.join(row.provisional)}" if row.provisional else "",
            reference=is_reference(row, board),
            floor=row.is_floor,
        )
        for row in board.rows
    )
    return Table(
        "Models by rank", "Model", tuple(headings), (*lines, _floor_line(board)), ranked=True
    )


def _floor_line(board: Board) -> Line:
    """The best floor of each column, below the ranks."""
    cells = tuple(map(_floor_cell, (board.score_floor, *board.floors)))
    return Line("best floor", cells, summary=True)


def _floor_cell(floor: Floor | None) -> CellText:
    if floor is None:
        return CellText(value="none")
    return CellText(
        value=number(floor.value, bounded=True),
        interval=interval(floor.low, floor.high, bounded=True),
        lacks=FEW_SCENES if floor.low is None else "",
        note=floor.model or "of each column",
    )


def published_table(board: Board) -> Table | None:
    """What others have published of the columns; None where the board lays nothing beside them."""
    columns = board.definition.columns
    found = [
        {
            model: numbers
            for name in column.published
            for model, numbers in beside(board.definition.published, name).items()
        }
        for column in columns
    ]
    models = dict.fromkeys(model for by_model in found for model in by_model)
    if not models:
        return None
    notes: dict[str, int] = {}
    lines = []
    for model in models:
        cells = tuple(_published_cell(by_model.get(model, []), notes) for by_model in found)
        lines.append(Line(model, cells))
    headings = tuple(
        Heading(column_title(board, i), ", ".join(columns[i].published))
        for i in range(len(columns))
    )
    sources = dict.fromkeys(
        one.source for by_model in found for numbers in by_model.values() for one in numbers
    )
    said = [PUBLISHED, f"Sources: {'; '.join(sources)}."]
    said += [f"({mark}) {note}" for note, mark in notes.items()]
    return Table("Published elsewhere", "Model", headings, tuple(lines), remarks=tuple(said))


def _published_cell(numbers: Sequence[PublishedNumber], notes: dict[str, int]) -> CellText:
    if not numbers:
        return CellText(value="none")
    shown = []
    for one in numbers:
        said = [part for part in (one.setting, one.caveat) if part]
        marks = [str(notes.setdefault(part, len(notes) + 1)) for part in said]
        shown.append(f"{number(one.scaled, bounded=True)} ({', '.join(marks)})")
    return CellText(value="; ".join(shown))


def _score_cell(row: Row) -> CellText:
    if row.score is None:
        return CellText(value="none")
    known = row.low is not None and row.high is not None
    return CellText(
        value=number(row.score, bounded=True),
        interval=interval(row.low, row.high, bounded=True),
        lacks="" if known else FEW_SCENES,
        floored=NOT_ABOVE_FLOOR if row.above_floor is False else "",
        note=f"{row.survives_blind} survives blind" if row.survives_blind else "",
    )


def _board_cell(board: Board, row: Row, index: int) -> CellText:
    cell, spec = row.cells[index], board.specs[index]
    if cell.result is None or spec is None:
        missing = cell.note == "not run"
        return CellText(value="not run" if missing else "none", note="" if missing else cell.note)
    tied = is_tied(cell.rank, (other.cells[index].rank for other in board.rows))
    floored = NOT_ABOVE_FLOOR if cell.above_floor is False else ""
    return replace(result_cell(cell.result, spec, rank=rank(cell.rank, tied)), floored=floored)


def metric_tables(task: TaskRuns) -> list[Table]:
    """All metrics of a task for all models: a table a protocol, for two never share a column."""
    by_protocol: dict[str, list[MetricSpec]] = {}
    for spec in task.specs.values():
        by_protocol.setdefault(spec.protocol, []).append(spec)
    return [
        Table(
            f"{task.name}, protocol {protocol}" if protocol else task.name,
            "Model",
            (Heading("Samples"), *(_metric_heading(spec) for spec in specs)),
            tuple(
                Line(
                    record.adapter.label,
                    (_samples_cell(record), *(_metric_cell(record, spec) for spec in specs)),
                    reference=record.adapter.reads_truth,
                    floor=record.adapter.is_floor,
                )
                for _, record in task.runs
            ),
        )
        for protocol, specs in by_protocol.items()
    ]


def _metric_heading(spec: MetricSpec) -> Heading:
    unit = "" if spec.unit == "1" else spec.unit
    title = spec.name.partition("@")[0]
    return Heading(f"{title}\u00a0{arrow(spec.higher_is_better)}", unit)


def _samples_cell(record: RunRecord) -> CellText:
    n = record.counts
    return CellText(
        value=counts(n.get("scored", 0), n.get("failed", 0), n.get("unscored", 0)),
    )


def _metric_cell(record: RunRecord, spec: MetricSpec) -> CellText:
    result = record.result(spec.name)
    if result is None:
        refused = spec.name in record.refused
        return CellText(value="refused" if refused else "none")
    return result_cell(result, spec, usual=record.counts.get("scored", 0))


def refusals(task: TaskRuns) -> list[str]:
    """Which models were refused by which protocols, a line a model and reason."""
    found: dict[tuple[str, str], None] = {}
    for _, record in task.runs:
        found |= dict.fromkeys((record.adapter.label, why) for why in record.refused.values())
    return [f"{model}: {why}" for model, why in found]


def legend(task: TaskRuns) -> Table:
    """What each metric of a task is."""
    headings = tuple(map(Heading, ("Unit", "Better", "Perfect", "A failure counts", "Meaning")))
    lines = []
    for spec in task.specs.values():
        worst = "∞" if spec.worst is None else f"{spec.worst:g}"
        cells = (
            "none" if spec.unit == "1" else spec.unit,
            f"{arrow(spec.higher_is_better)} {'higher' if spec.higher_is_better else 'lower'}",
            f"{spec.best:g}",
            f"-{worst}" if spec.worst is None and spec.higher_is_better else worst,
            spec.description + (f"; chance {spec.chance:g}" if spec.chance is not None else ""),
        )
        lines.append(Line(spec.name, tuple(CellText(value=cell) for cell in cells)))
    return Table(f"{task.name}: its metrics", "Metric", headings, tuple(lines))


def category_tables(task: TaskRuns) -> list[Table]:
    """The headline within every category: a table a tag that tells samples apart."""
    spec = task.specs.get(task.headline)
    tags = dict.fromkeys(tag for _, record in task.runs for tag in record.categories)
    if spec is None:
        return []
    tables = []
    for tag in tags:
        values = dict.fromkeys(v for _, r in task.runs for v in r.categories.get(tag, ()))
        if len(values) < 2:
            continue
        lines = tuple(
            Line(value, tuple(_category_cell(r, tag, value, spec) for _, r in task.runs))
            for value in values
        )
        headings = tuple(
            Heading(r.adapter.label, "made from the truth" if r.adapter.reads_truth else "")
            for _, r in task.runs
        )
        caption = f"{task.name}: {spec.name} {arrow(spec.higher_is_better)} by {tag}"
        tables.append(Table(caption, tag, headings, lines))
    return tables


def _category_cell(record: RunRecord, tag: str, value: str, spec: MetricSpec) -> CellText:
    results = record.categories.get(tag, {}).get(value, [])
    result = next((r for r in results if r.metric == spec.name), None)
    return CellText(value="none") if result is None else result_cell(result, spec)


def parse_table(task: TaskRuns) -> Table | None:
    """How answers could be read; None for a task without answers."""
    statuses = sorted({status for _, record in task.runs for status in record.parse_statuses})
    if not statuses:
        return None
    lines = tuple(
        Line(
            record.adapter.label,
            tuple(CellText(value=str(record.parse_statuses.get(status, 0))) for status in statuses),
            reference=record.adapter.reads_truth,
        )
        for _, record in task.runs
    )
    caption = f"{task.name}: how the answers could be read"
    return Table(caption, "Model", tuple(map(Heading, statuses)), lines)


def cost_table(task: TaskRuns) -> Table:
    """Seconds and memory of every run of a task."""
    stages = list(dict.fromkeys(stage for _, r in task.runs for stage in r.seconds))
    places = list(dict.fromkeys(place for _, r in task.runs for place in r.peak_memory_mb))
    headings = [Heading(stage, "s") for stage in stages]
    headings += [Heading(f"memory, {place}", "MB, peak of the process") for place in places]
    lines = []
    for _, record in task.runs:
        found = [record.seconds.get(stage) for stage in stages]
        found += [record.peak_memory_mb.get(place) for place in places]
        cells = tuple(CellText(value="none" if v is None else number(v)) for v in found)
        lines.append(
            Line(record.adapter.label, cells, reference=record.adapter.reads_truth),
        )
    return Table(f"{task.name}: seconds and memory", "Model", tuple(headings), tuple(lines))


def run_table(board: Board) -> Table:
    """Every run behind the board, with what identifies it."""
    titles = (
        "Task",
        "Run",
        "Arguments",
        "Checkpoint",
        "Weights",
        "Device",
        "Batch",
        "Asked again",
        "Fitted on",
    )
    lines = []
    for task in tasks_of(board):
        for _, record in task.runs:
            adapter = record.adapter
            arguments = ", ".join(f"{k}={v}" for k, v in adapter.arguments.items())
            cells = (
                f"{task.name} v{record.task.version}",
                record.identity[:12],
                arguments,
                adapter.checkpoint or "",
                short_hash(adapter.weights_hash),
                f"{adapter.device}, {adapter.dtype}",
                str(adapter.batch_size),
                str(record.retried or ""),
                short_hash(adapter.fitted_on),
            )
            lines.append(Line(adapter.label, tuple(CellText(value=cell) for cell in cells)))
    return Table("The runs behind the table", "Model", tuple(map(Heading, titles)), tuple(lines))


def environments(board: Board) -> list[tuple[int, list[tuple[str, str]]]]:
    """Each environment that runs were made in: how many runs, and what it was."""
    found = Counter(msgspec.json.encode(record.environment) for _, record in board.runs)
    return [(n, _environment(msgspec.json.decode(text))) for text, n in found.items()]


def _environment(content: dict[str, Any]) -> list[tuple[str, str]]:
    dirty = {True: "with uncommitted changes", False: "clean", None: "not known"}
    packages = ", ".join(f"{k} {v}" for k, v in content["packages"].items())
    driver = f", driver {content['driver']}" if content["driver"] else ""
    return [
        ("Commit", content["commit"] or "none: an installed package"),
        ("Checkout", dirty[content["dirty"]]),
        ("Source", short_hash(content["code_hash"])),
        ("Python", f"{content['python']} on {content['system']}"),
        ("Device", f"{content['device']}{driver}, {content['threads']} threads"),
        ("Packages", packages),
    ]


def fingerprint(task: TaskRuns) -> list[tuple[str, str]]:
    """What the task and its data are, for the reader who wants to repeat it."""
    record, data = task.first, task.first.data
    definition = record.task.definition
    part = f", the first {data.limit} alone" if data.limit is not None else ""
    facts = [
        ("Task", f"{task.name}, version {record.task.version}, family {record.task.family}"),
        ("Headline", task.headline),
        ("Data", f"{data.source}, split {data.split}, {data.rows} samples{part}"),
        ("Revision", data.revision or "none given"),
        ("Content hash", data.content_hash + ("" if data.pinned else " (not pinned)")),
        ("Sample ids hash", data.ids_hash),
        ("Definition hash", record.task.definition_hash),
        ("Licence", str(definition.get("licence") or "not stated")),
        ("Citation", str(definition.get("citation") or "")),
    ]
    return [(name, text) for name, text in facts if text]


def made_from(board: Board) -> str:
    """One line that says of what the report was made."""
    models = len(board.rows)
    commits = sorted({(r.environment.commit or "an installed package")[:12] for _, r in board.runs})
    runs = f"{len(board.runs)} runs of {models} models" if board.runs else "no runs"
    made = f"{board.definition.name}, version {board.definition.version}: {runs}"
    # The runs' own time, not the clock's, so that the same runs give the same bytes.
    last = max((record.finished or "" for _, record in board.runs), default="")
    when = f", the last finished {last[:16].replace('T', ' ')} UTC" if last else ""
    return f"{made}{when}, at {', '.join(commits)}" if commits else made


def short_hash(text: str | None) -> str:
    """Shorten a hash, as people compare them.

    >>> short_hash("sha256:0123456789abcdef0123")
    'sha256:0123456789ab'
    """
    kind, colon, digest = (text or "").rpartition(":")
    return f"{kind}{colon}{digest[:12]}"
