"""A board on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from g2vlm_bench.board import Board
from g2vlm_bench.report import contents
from g2vlm_bench.report.cells import CellText, clean
from g2vlm_bench.report.contents import Line, Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

MODEL_WIDTH = 24
PADDING = 3


def print_board(board: Board, console: Console) -> None:
    """Print the ranked table in as many parts as the console's width asks for.

    The counts that a whole column shares are told once, below the table.
    """
    from rich.text import Text

    table = contents.ranked_table(board)
    common = [_common(table, index) for index in range(len(table.columns))]
    console.print(Text(clean(board.definition.title or board.definition.name), style="bold"))
    for part in _parts(table, console.width):
        console.print(_drawn(table, common, part))
    notes = [
        clean(f"{heading.title}: {heading.note}") + (f"; {counts}" if counts else "")
        for heading, counts in zip(table.columns, common, strict=True)
    ]
    notes += table.notes
    if any(line.reference for line in table.lines):
        notes.append(f"ref: {contents.REFERENCE.lower()}")
    if any(cell.floored for line in table.lines for cell in line.cells):
        notes.append(f"°: {contents.NOT_ABOVE_FLOOR}")
    for note in [*notes, *_provisional(table)]:
        console.print(Text(note, style="dim"))


def _drawn(table: Table, common: Sequence[str], part: Sequence[int]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    shown.add_column("Rank", justify="right", no_wrap=True)
    shown.add_column("Model", overflow="fold", max_width=MODEL_WIDTH)
    for index in part:
        width = _width(table, index)
        title = Text(_title(table, index))
        shown.add_column(title, justify="right", overflow="fold", max_width=width)
    for group, (_, lines) in enumerate(table.bodies):
        if group:
            shown.add_section()
        for line in lines:
            cells = [_styled(line.cells[index], common[index]) for index in part]
            shown.add_row(line.rank or "ref" * line.reference, Text(_head(line)), *cells)
    return shown


def _parts(table: Table, width: int) -> Iterator[list[int]]:
    """Cut the columns into parts that fit beside ranks and models."""
    longest = max((len(_head(line)) for line in table.lines), default=0)
    left = width - len("Rank") - min(longest, MODEL_WIDTH) - 2 * PADDING
    part: list[int] = []
    room = left
    for index in range(len(table.columns)):
        needed = PADDING + _width(table, index)
        if part and needed > room:
            yield part
            part, room = [], left
        part.append(index)
        room -= needed
    yield part


def _width(table: Table, index: int) -> int:
    """The width of a column without its notes, which are folded into it."""
    usual = _common(table, index)
    cells = [line.cells[index] for line in table.lines]
    texts = [text for cell in cells for text in (_value(cell), cell.interval)]
    texts += [cell.counts for cell in cells if cell.counts != usual]
    return max(map(len, [_title(table, index), *texts]))


def _common(table: Table, index: int) -> str:
    """The counts of a column, where all models share them; they are said once."""
    counts = {line.cells[index].counts for line in table.lines} - {""}
    return counts.pop() if len(counts) == 1 else ""


def _title(table: Table, index: int) -> str:
    return clean(table.columns[index].title)


def _head(line: Line) -> str:
    return clean(line.head) + " (floor)" * line.floor + " *" * bool(line.note)


def _value(cell: CellText) -> str:
    value = cell.value + "°" * bool(cell.floored)
    return f"{value} ({cell.rank})" if cell.rank else value


def _styled(cell: CellText, usual: str) -> Text:
    from rich.text import Text

    text = Text(_value(cell))
    counts = "" if cell.counts == usual else cell.counts
    for part in filter(None, (cell.interval, counts, cell.note)):
        text.append(f"\n{clean(part)}", style="dim")
    return text


def _provisional(table: Table) -> Iterator[str]:
    by_note: dict[str, list[str]] = {}
    for line in table.lines:
        if line.note:
            by_note.setdefault(line.note, []).append(line.head)
    for note, models in by_note.items():
        whose = "all" if len(models) == len(table.lines) else ", ".join(models)
        yield clean(f"* {note} ({whose})")
