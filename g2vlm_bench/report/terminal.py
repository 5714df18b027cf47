"""A board on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from g2vlm_bench.leaderboard import Board
from g2vlm_bench.report import contents
from g2vlm_bench.report.cells import CellText, clean
from g2vlm_bench.report.contents import Line, Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def print_board(board: Board, console: Console) -> None:
    """Print the ranked table, and what was made from the truth below it."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = contents.ranked_table(board)
    title = board.definition.title or board.definition.name
    shown = RichTable(title=Text(clean(title)), box=box.SIMPLE_HEAD, padding=(0, 1))
    shown.add_column("Rank", justify="right")
    shown.add_column("Model", overflow="fold")
    common = _common_counts(table)
    for heading in table.columns:
        shown.add_column(Text(clean(heading.title)), justify="right", overflow="fold")
    for title, lines in table.bodies:
        if title:
            shown.add_section()
            shown.add_row("", Text(title, style="dim italic"))
        for line in lines:
            cells = [_cell(c, usual) for c, usual in zip(line.cells, common, strict=True)]
            shown.add_row(line.rank, _head(line), *cells)
    console.print(shown)
    for heading, usual in zip(table.columns[1:], common[1:], strict=True):
        known = "; ".join(part for part in (heading.note, usual) if part)
        console.print(Text(clean(f"{heading.title}: {known}"), style="dim"))
    _print_provisional(table, console)


def _common_counts(table: Table) -> list[str]:
    """The counts that all models share in a column, told once below the table."""
    common = []
    for index in range(len(table.columns)):
        found = {c.counts for line in table.lines if (c := line.cells[index]).counts}
        common.append(found.pop() if len(found) == 1 else "")
    return common


def _head(line: Line) -> Text:
    from rich.text import Text

    return Text(clean(line.head) + (" *" if line.note else ""))


def _cell(cell: CellText, usual: str) -> Text:
    from rich.text import Text

    text = Text(cell.value)
    if cell.rank:
        text.append(f" ({cell.rank})", style="dim")
    counts = "" if cell.counts == usual else cell.counts
    for part in (cell.interval, counts, cell.note):
        if part:
            text.append(f"\n{clean(part)}", style="dim")
    return text


def _print_provisional(table: Table, console: Console) -> None:
    from rich.text import Text

    by_note: dict[str, list[str]] = {}
    for line in table.lines:
        if line.note:
            by_note.setdefault(line.note, []).append(line.head)
    for note, models in by_note.items():
        whose = "all" if len(models) == len(table.lines) else ", ".join(models)
        console.print(Text(clean(f"* {note} ({whose})"), style="dim"))
