"""Numbers that others have published: read from tables, laid beside measured ones, never ranked."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from g2vlm_bench.errors import BenchError
from g2vlm_bench.paths import safe_join
from g2vlm_bench.plugins import shipped

_SCALES = {"%": 0.01, "1": 1.0, "m": 1.0}


class PublishedNumber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number of a published table.

    Attributes:
        model: As the table names it.
        column: What it is of, such as `mindcube.avg`; a board's column names it to show it.
        value: As printed.
        unit: `%`, `1` or `m`.
        task: Our task that it may be laid beside; empty where there is none.
        setting: How it was come by, as far as that is said: which questions, prompt, scorer.
        caveat: What is doubtful of it: a misprint, columns that do not fit; it is never corrected.
        source: Whom to cite: paper, version and table, or repository, commit and file.
    """

    model: str
    column: str
    value: float
    unit: str
    task: str
    setting: str
    caveat: str
    source: str

    @property
    def scaled(self) -> float:
        """In the unit of our metrics: a share, or metres."""
        return self.value * _SCALES[self.unit]


def find_published(folder: Path, name: str) -> Path:
    """Find a table beside a board, else among those that are shipped."""
    own = safe_join(folder, f"published/{name}.csv")
    ours = safe_join(shipped("leaderboards"), f"published/{name}.csv")
    return ours if ours.is_file() and not own.exists() else own


def load_published(path: Path) -> list[PublishedNumber]:
    """Read a table of published numbers.

    Raises:
        BenchError: The file is missing, or a row lacks a column, a source, or has no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(path, expected="a table of published numbers", got=error) from None
    found = []
    for number, row in enumerate(rows, start=2):
        where = f"{path}, line {number}"
        try:
            one = msgspec.convert(row, PublishedNumber, strict=False)
        except msgspec.ValidationError as error:
            raise BenchError(where, got=error, fix="Mend the line.") from None
        is_number = math.isfinite(one.value)
        if one.unit not in _SCALES or not one.model or not one.source or not is_number:
            raise BenchError(
                where,
                expected=f"a model, a source, a finite value and a unit ({', '.join(_SCALES)})",
                got=f"'{one.model}', '{one.source}', {one.value}, '{one.unit}'",
            )
        found.append(one)
    return found


def beside(numbers: Sequence[PublishedNumber], column: str) -> dict[str, list[PublishedNumber]]:
    """Gather the numbers of a column by model; several where they differ in their setting."""
    found: dict[str, list[PublishedNumber]] = {}
    for one in numbers:
        if one.column == column:
            found.setdefault(one.model, []).append(one)
    return found
