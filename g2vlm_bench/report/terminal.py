"""A board on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from g2vlm_bench.leaderboard import Board
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

    What holds for a whole column, such as its counts, is told once below the table.
    """
    from rich.text import Text

    table = contents.ranked_table(board)
    remarks = [_common(table, index) for index in range(len(table.columns))]
    console.print(Text(clean(board.definition.title or board.definition.name), style="bold"))
    for part in _parts(table, remarks, console.width):
        console.print(_drawn(table, remarks, part))
    notes = [
        "; ".join([clean(f"{heading.title}: {heading.note}"), *said])
        for heading, said in zip(table.columns, remarks, strict=True)
    ]
    if any(line.reference for line in table.lines):
        notes.append(f"ref: {contents.REFERENCE.lower()}")
    for note in [*notes, *_provisional(table)]:
        console.print(Text(note, style="dim"))


def _drawn(table: Table, remarks: Sequence[Sequence[str]], part: Sequence[int]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    shown.add_column("Rank", justify="right", no_wrap=True)
    shown.add_column("Model", overflow="fold", max_width=MODEL_WIDTH)
    for index in part:
        shown.add_column(Text(_title(table, index)), justify="right", overflow="fold")
    for group, (_, lines) in enumerate(table.bodies):
        if group:
            shown.add_section()
        for line in lines:
            cells = [_styled(line.cells[index], remarks[index]) for index in part]
            shown.add_row(line.rank or "ref", _head(line), *cells)
    return shown


def _parts(table: Table, remarks: Sequence[Sequence[str]], width: int) -> Iterator[list[int]]:
    """Cut the columns into parts that fit beside ranks and models."""
    longest = max((len(_head(line)) for line in table.lines), default=0)
    left = width - len("Rank") - min(longest, MODEL_WIDTH) - 2 * PADDING
    part: list[int] = []
    room = left
    for index in range(len(table.columns)):
        needed = PADDING + _width(table, remarks, index)
        if part and needed > room:
            yield part
            part, room = [], left
        part.append(index)
        room -= needed
    yield part


def _width(table: Table, remarks: Sequence[Sequence[str]], index: int) -> int:
    texts = [_title(table, index)]
    for line in table.lines:
        texts += _texts(line.cells[index], remarks[index])[:2]
    return max(map(len, texts))


def _common(table: Table, index: int) -> list[str]:
    """What is said once of a column: counts that all models share, and why intervals lack."""
    cells = [line.cells[index] for line in table.lines]
    counts = {cell.counts for cell in cells if cell.counts}
    lacking = {cell.interval for cell in cells if cell.interval and cell.interval[0] != "["}
    return [*(counts if len(counts) == 1 else ()), *sorted(lacking)]


def _title(table: Table, index: int) -> str:
    return clean(table.columns[index].title)


def _head(line: Line) -> str:
    return clean(line.head) + (" *" if line.note else "")


def _texts(cell: CellText, said: Sequence[str]) -> list[str]:
    value = f"{cell.value} ({cell.rank})" if cell.rank else cell.value
    below = [part for part in (cell.interval, cell.counts, cell.note) if part not in ("", *said)]
    return [value, *map(clean, below)]


def _styled(cell: CellText, said: Sequence[str]) -> Text:
    from rich.text import Text

    value, *below = _texts(cell, said)
    text = Text(value)
    for part in below:
        text.append(f"\n{part}", style="dim")
    return text


def _provisional(table: Table) -> Iterator[str]:
    by_note: dict[str, list[str]] = {}
    for line in table.lines:
        if line.note:
            by_note.setdefault(line.note, []).append(line.head)
    for note, models in by_note.items():
        whose = "all" if len(models) == len(table.lines) else ", ".join(models)
        yield clean(f"* {note} ({whose})")
