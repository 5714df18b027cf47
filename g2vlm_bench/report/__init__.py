"""The report of a board: one page, tables for papers and programs, a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from g2vlm_bench.board import Board
from g2vlm_bench.report.tables import as_csv, as_json, as_latex, as_markdown
from g2vlm_bench.report.terminal import print_board
from g2vlm_bench.sample import Sample
from g2vlm_bench.store import disk_errors, write_atomically

__all__ = ["print_board", "write_report"]


def write_report(
    board: Board,
    out: Path,
    samples: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> list[Path]:
    """Write a board as `leaderboard.{md,csv,json,tex}` and as one self-contained `index.html`.

    The same runs give the same bytes: nothing is taken from the clock or from where the runs stand.

    Args:
        board: The ranked table and its runs.
        out: Folder of the report; made if absent.
        samples: Task name -> its samples, of which the few that are pictured are opened. A task
            that is absent here has no pictures.

    Returns:
        The files written.
    """
    from g2vlm_bench.report.page import as_html

    contents = {
        "leaderboard.md": as_markdown(board),
        "leaderboard.csv": as_csv(board),
        "leaderboard.json": as_json(board),
        "leaderboard.tex": as_latex(board),
        "index.html": as_html(board, samples),
    }
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_atomically(out / name, text.encode())
    return [out / name for name in contents]
