"""A board as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import msgspec

from g2vlm_bench.board import Board
from g2vlm_bench.report import contents
from g2vlm_bench.report.cells import CellText, clean
from g2vlm_bench.report.contents import Heading, Line, Table
from g2vlm_bench.store import RunRecord


def as_markdown(board: Board) -> str:
    """Write the ranked table and every task's metrics as GitHub renders them."""
    definition = board.definition
    parts = [f"# {_md(definition.title or definition.name)}"]
    parts += [_md(definition.description)] if definition.description else []
    parts += [_md(contents.made_from(board)) + "."]
    parts += [_md(contents.HOW_RANKED), _md(contents.HOW_FLOORED)]
    ranked = contents.ranked_table(board)
    parts += _md_tables(ranked)
    parts.append(
        "\n".join(f"- {_md(h.title)}: `{_code(h.note)}`" for h in ranked.columns[1:] if h.note)
    )
    if published := contents.published_table(board):
        parts += [f"## {_md(published.caption)}", *_md_tables(published)]
    for task in contents.tasks_of(board):
        parts.append(f"## {_md(task.title)}")
        parts.append("\n".join(f"- {k}: `{_code(v)}`" for k, v in contents.fingerprint(task)))
        for table in contents.metric_tables(task):
            parts += [f"### {_md(table.caption)}", *_md_tables(table)]
        refused = contents.refusals(task)
        parts += ["\n".join(f"- refused: {_md(line)}" for line in refused)] if refused else []
    return "\n\n".join(parts) + "\n"


def as_csv(board: Board) -> str:
    """Write `board.records()`: a line per model and column, empty where there is no number."""
    records = list(board.records())
    buffer = io.StringIO()
    if records:
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return buffer.getvalue()


def as_json(board: Board) -> str:
    """Write the records with the full definition, the metrics, and what identifies every run."""
    content = {
        "definition": board.definition,
        "metrics": board.specs,
        "records": list(board.records()),
        "runs": [
            {"folder": path.name, **_identity(record)}
            for task in contents.tasks_of(board)
            for path, record in task.runs
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def as_latex(board: Board) -> str:
    """Write the ranked table for a paper; it needs the package booktabs."""
    table = contents.ranked_table(board)
    columns = len(table.columns) + 2
    title = board.definition.title or board.definition.name
    marks = r"; $\dagger$ marks provisional rows" if any(x.note for x in table.lines) else ""
    if any(cell.floored for line in table.lines for cell in line.cells):
        marks += rf"; $\circ$ marks numbers {contents.NOT_ABOVE_FLOOR}"
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(title)}. 95\,\% intervals in brackets; = marks ties{marks}.}}",
        rf"\begin{{tabular}}{{rl{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Rank", "Model", *(_tex(h.title) for h in table.columns)]) + r" \\",
    ]
    for title, body in table.bodies:
        lines.append(r"\midrule")
        if title:
            lines.append(rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{_tex(title)}}}}} \\")
        lines += [_tex_line(line) for line in body if not line.summary]
        for summary in (line for line in body if line.summary):
            lines += [r"\midrule", _tex_line(summary)]
    if published := contents.published_table(board):
        lines += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{_PUBLISHED}}}}} \\"]
        for line in published.lines:
            lines.append(_tex_line(replace(line, cells=(CellText(value=""), *line.cells))))
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [
        rf"% {_tex(heading.title)}: {_tex(heading.note)}"
        for heading in table.columns
        if heading.note
    ]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


_PUBLISHED = "Published elsewhere, not measured here and not ranked"


def _identity(record: RunRecord) -> dict[str, Any]:
    """A run without its per-category numbers, which its own `run.json` holds."""
    return {
        "identity": record.identity,
        "model": record.adapter.label,
        "task": record.task,
        "data": record.data,
        "adapter": record.adapter,
        "environment": record.environment,
        "scorer": record.scorer,
        "seed": record.seed,
        "results": record.results,
        "refused": record.refused,
        "counts": record.counts,
        "retried": record.retried,
        "parse_statuses": record.parse_statuses,
        "seconds": record.seconds,
        "peak_memory_mb": record.peak_memory_mb,
    }


def _md_tables(table: Table) -> list[str]:
    """The ranked table keeps what is not ranked apart, in a table of its own."""
    parts = []
    for title, lines in table.bodies if table.ranked else [("", table.lines)]:
        ranked = table.ranked and not title
        corner = ["Rank", table.corner] if ranked else [table.corner]
        rows = [
            [*map(_md, corner), *map(_md_heading, table.columns)],
            ["---:"] * ranked + ["---"] + ["---:"] * len(table.columns),
            *(_md_cells(line, ranked, marked=not table.ranked) for line in lines),
        ]
        parts += [f"*{_md(title)}*"] if title else []
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return [*parts, *map(_md, table.notes)]


def _md_heading(heading: Heading) -> str:
    unit = f" ({_md(heading.note)})" if heading.note and len(heading.note) < 6 else ""
    return _md(heading.title) + unit


def _md_cells(line: Line, ranked: bool, marked: bool) -> list[str]:
    head = f"**{_md(line.head)}**" if line.summary else _md(line.head)
    head += " *(floor)*" if line.floor else ""
    head += f"<br>{_md(line.note)}" if line.note else ""
    head += " *(made from the truth)*" if line.reference and marked else ""
    return [*([line.rank] if ranked else []), head, *map(_md_cell, line.cells)]


def _md_cell(cell: CellText) -> str:
    # The brackets of an interval are no link, and read better without backslashes.
    shown = f"{_md(cell.value)} {cell.interval}".strip()
    return f"{shown}<br>{_md(cell.remarks)}" if cell.remarks else shown


def _md(text: str) -> str:
    """Escape text so that Markdown shows it as it is, in a table cell too."""
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\|`*\[\]~$#!])", r"\\\1", text)
    # An underscore within a word is no emphasis, and names are easier to read without backslashes.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def _code(text: str) -> str:
    return clean(text).replace("`", "'")


def _tex_line(line: Line) -> str:
    cells = []
    for cell in line.cells:
        interval = rf" {{\scriptsize {_tex(cell.interval)}}}" if cell.interval else ""
        cells.append(_tex(cell.value) + (r"$^{\circ}$" if cell.floored else "") + interval)
    head = _tex(line.head) + (" (floor)" if line.floor else "")
    head += r"$^{\dagger}$" if line.note else ""
    return " & ".join([line.rank, head, *cells]) + r" \\"


_TEX = {
    "\\": r"\textbackslash{}",
    "\u00a0": "~",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "∞": r"$\infty$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    # A bracket behind a line's end would be read as an option of that line's end.
    "[": "{[}",
    "]": "{]}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in clean(text))
