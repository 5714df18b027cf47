"""A board as one page that needs nothing else: no script, no font, no image from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g2vlm_bench.board import Board, Floor, Row
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report import contents
from g2vlm_bench.report.cells import arrow, clean, number
from g2vlm_bench.report.contents import TaskRuns
from g2vlm_bench.sample import Sample

if TYPE_CHECKING:
    from jinja2 import Environment

    from g2vlm_bench.report.pictures import Gallery

# Of the images on the page; the tables come on top.
PICTURE_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class ForestLine:
    """A model's value and interval, as percentages of the axis.

    Attributes:
        at: None where there is no number; `text` then says why.
    """

    model: str
    text: str
    at: float | None
    low: float | None
    high: float | None
    reference: bool


@dataclass(frozen=True, slots=True)
class Forest:
    """A column as a plot: a line a model, on one axis.

    Attributes:
        chance: Where guessing is on the axis, None where that is not known.
        floor: Where the best floor is on it, None where there is none.
    """

    title: str
    note: str
    left: str
    right: str
    chance: float | None
    floor: float | None
    lines: tuple[ForestLine, ...]


@dataclass(frozen=True, slots=True)
class TaskSection:
    """All that the page says of one task."""

    task: TaskRuns
    anchor: str
    facts: list[tuple[str, str]]
    metrics: list[contents.Table]
    legend: contents.Table
    refusals: list[str]
    categories: list[contents.Table]
    parsed: contents.Table | None
    costs: contents.Table
    gallery: Gallery | None


def as_html(board: Board, samples: Mapping[str, Sequence[Sample]]) -> str:
    """Write the page.

    Args:
        board: The ranked table and its runs.
        samples: Task name -> its samples, for the pictures.
    """
    environment = _environment()
    table = contents.ranked_table(board)
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        board=board,
        css=_as_it_is(css),
        made_from=contents.made_from(board),
        how_ranked=contents.HOW_RANKED,
        how_floored=contents.HOW_FLOORED,
        published=contents.published_table(board),
        ranked=table,
        forests=_forests(board),
        sections=_sections(board, samples),
        environments=contents.environments(board),
        runs=contents.run_table(board),
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Names, answers and error messages are untrusted text: everything is escaped.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_cleaned,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _cleaned(value: Any) -> Any:
    # Text that was rendered already is of a subclass of str, and keeps its line ends.
    return clean(value) if type(value) is str else value


def _breakable(text: str) -> Any:
    """Let a long metric name break where its parts meet."""
    from markupsafe import Markup, escape

    # No escaped character is written with one of these.
    return Markup(re.sub(r"([+@/])", r"\1<wbr>", str(escape(clean(text)))))


def _as_it_is(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _sections(board: Board, samples: Mapping[str, Sequence[Sample]]) -> list[TaskSection]:
    tasks = contents.tasks_of(board)
    shown = [task for task in tasks if task.name in samples]
    sections = []
    for index, task in enumerate(tasks, start=1):
        pictures = None
        if task in shown:
            from g2vlm_bench.report.pictures import gallery

            pictures = gallery(task, samples[task.name], PICTURE_BYTES // len(shown))
        sections.append(
            TaskSection(
                task=task,
                anchor=f"task-{index}",
                facts=contents.fingerprint(task),
                metrics=contents.metric_tables(task),
                legend=contents.legend(task),
                refusals=contents.refusals(task),
                categories=contents.category_tables(task),
                parsed=contents.parse_table(task),
                costs=contents.cost_table(task),
                gallery=pictures,
            )
        )
    return sections


def _forests(board: Board) -> list[Forest]:
    forests = [_score_forest(board)] if board.rows else []
    for index, spec in enumerate(board.specs):
        if spec is not None:
            forests.append(_column_forest(board, index, spec))
    return forests


def _score_forest(board: Board) -> Forest:
    found = [(row, row.score, row.low, row.high, "none") for row in board.rows]
    note = _marked("mean of the columns", {"best floors solid": board.score_floor})
    return _forest(board, "Score ↑", note, (0.0, 1.0), found, floor=board.score_floor)


def _column_forest(board: Board, index: int, spec: MetricSpec) -> Forest:
    found = []
    for row in board.rows:
        cell = row.cells[index]
        r = cell.result
        missing = "not run" if cell.note == "not run" else "none"
        found.append(
            (row, r.value, r.low, r.high, "none") if r else (row, None, None, None, missing)
        )
    # Below chance there is nothing to see, unless a model is there.
    worst = spec.best if spec.worst is None else spec.worst
    start = worst if spec.chance is None else spec.chance
    title = f"{contents.column_title(board, index)} {arrow(spec.higher_is_better)}"
    floor = board.floors[index]
    note = _marked(spec.name, {"chance dashed": spec.chance, "best floor solid": floor})
    return _forest(board, title, note, (start, spec.best), found, spec.chance, floor)


def _marked(name: str, marks: Mapping[str, object]) -> str:
    return ", ".join([name, *(text for text, mark in marks.items() if mark is not None)])


def _forest(
    board: Board,
    title: str,
    note: str,
    ends: tuple[float, float],
    found: Sequence[tuple[Row, float | None, float | None, float | None, str]],
    chance: float | None = None,
    floor: Floor | None = None,
) -> Forest:
    numbers = [v for _, *values, _ in found for v in values if v is not None]
    left, right = min([*ends, *numbers]), max([*ends, *numbers])
    span = right - left or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - left) / span, 2)

    lines = tuple(
        ForestLine(
            row.model,
            missing if value is None else number(value, bounded=True),
            place(value),
            place(low),
            place(high),
            contents.is_reference(row, board),
        )
        for row, value, low, high, missing in found
    )
    at = place(None if floor is None else floor.value)
    return Forest(title, note, f"{left:.3g}", f"{right:.3g}", place(chance), at, lines)
