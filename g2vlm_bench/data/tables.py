"""Rows of Parquet, JSON lines, JSON, TSV and CSV; pictures are read when they are asked for.

What stands in a heavy column (pictures, masks) stays in its file: a table of ten gigabytes costs
the memory of its words.
"""

from __future__ import annotations

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_jsonl, load_text

# Samples are opened in order, so the row group that was read last holds the next one too.
_GROUPS_KEPT = 2


class Table(ABC):
    """A file of rows.

    Attributes:
        path: The file.
        columns: Its columns' names, in order.
        rows: Every row without its heavy columns.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]

    @abstractmethod
    def cell(self, number: int, column: str) -> Any:
        """Open one cell of a heavy column.

        Raises:
            BenchError: The file has gone, or is damaged there.
        """


def open_table(path: Path, heavy: Collection[str]) -> Table:
    """Open a file of rows by its suffix.

    Args:
        path: `.parquet`, `.jsonl`, `.json` (a list of objects), `.tsv` or `.csv`.
        heavy: Columns that are read only when a cell is asked for.

    Raises:
        BenchError: The file is missing, damaged, or of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in _KINDS:
        raise BenchError(path, expected=f"one of {', '.join(_KINDS)}", got=f"'{path.name}'")
    return _KINDS[suffix](path, heavy)


class _Json(Table):
    """JSON lines, or one list of objects; all of it is read."""

    def __init__(self, path: Path, heavy: Collection[str]) -> None:
        self.path = path
        rows = load_jsonl(path) if path.suffix == ".jsonl" else _json_list(path)
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))
        self._cells = [{key: row[key] for key in heavy if key in row} for row in rows]
        self.rows = [{k: v for k, v in row.items() if k not in heavy} for row in rows]

    def cell(self, number: int, column: str) -> Any:
        return self._cells[number].get(column)


class _Separated(Table):
    """Values separated by tabs or commas, quoted as spreadsheets do; a first row of names.

    Where each row begins is remembered, so that a cell is read without those before it.
    """

    def __init__(self, path: Path, heavy: Collection[str]) -> None:
        self.path, self._delimiter = path, "\t" if path.suffix.lower() == ".tsv" else ","
        self._starts: list[int] = []
        self.rows = []
        with _long_fields(), _opened(path) as (lines, told):
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            self.columns = tuple(next(reader, ()))
            if not self.columns:
                raise BenchError(path, expected="a first row of names", got="an empty file")
            while True:
                start = told()
                values = next(reader, None)
                if values is None:
                    break
                self._starts.append(start)
                row = self._named(values, len(self._starts))
                self.rows.append({k: v for k, v in row.items() if k not in heavy})

    def cell(self, number: int, column: str) -> Any:
        with _long_fields(), _opened(self.path, self._starts[number]) as (lines, _):
            values = next(csv.reader(lines, delimiter=self._delimiter, strict=True), [])
        return self._named(values, number + 1)[column]

    def _named(self, values: Sequence[str], number: int) -> dict[str, str]:
        if len(values) != len(self.columns):
            raise BenchError(
                f"{self.path}, row {number}",
                expected=f"{len(self.columns)} values",
                got=len(values),
            )
        return dict(zip(self.columns, values, strict=True))


class _Parquet(Table):
    """Parquet; a heavy column is read a row group at a time."""

    def __init__(self, path: Path, heavy: Collection[str]) -> None:
        self.path = path
        with _whole_parquet(path):
            import pyarrow.parquet as pq

            file = pq.ParquetFile(path)
            self.columns = tuple(file.schema_arrow.names)
            light = [name for name in self.columns if name not in heavy]
            self.rows = file.read(columns=light).to_pylist() if light else []
            groups = (file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
            self._ends = _running_sums(groups)
        self._group = lru_cache(maxsize=_GROUPS_KEPT)(self._read_group)

    def cell(self, number: int, column: str) -> Any:
        group = next(i for i, end in enumerate(self._ends) if number < end)
        first = self._ends[group - 1] if group else 0
        return self._group(group, column)[number - first].as_py()

    def _read_group(self, group: int, column: str) -> Any:
        with _whole_parquet(self.path):
            import pyarrow.parquet as pq

            return pq.ParquetFile(self.path).read_row_group(group, columns=[column]).column(column)


_KINDS: dict[str, Callable[[Path, Collection[str]], Table]] = {
    ".parquet": _Parquet,
    ".jsonl": _Json,
    ".json": _Json,
    ".tsv": _Separated,
    ".csv": _Separated,
}


def _json_list(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(load_text(path))
    except (ValueError, RecursionError) as error:
        raise BenchError(path, expected="JSON", got=error) from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise BenchError(path, expected="a list of objects", got=type(content).__name__)
    return content


@contextmanager
def _opened(path: Path, start: int = 0) -> Iterator[tuple[Iterator[str], Callable[[], int]]]:
    """Open a text file at a byte, with a function that tells the byte behind the last line read."""
    position = start

    def lines() -> Iterator[str]:
        nonlocal position
        for line in file:
            position += len(line)
            yield line.decode("utf-8-sig" if position == len(line) else "utf-8")

    try:
        with path.open("rb") as file:
            file.seek(start)
            yield lines(), lambda: position
    except OSError as error:
        raise BenchError(path, expected="a readable file", got=error.strerror) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BenchError(path, expected="a table of UTF-8 text", got=error) from None


@contextmanager
def _long_fields() -> Iterator[None]:
    # A picture in base64 is longer than what the module takes for an attack.
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def _whole_parquet(path: Path) -> Iterator[None]:
    try:
        import pyarrow
    except ImportError:
        raise BenchError(
            path, expected="the package pyarrow", got="none", fix="pip install g2vlm-bench[qa]"
        ) from None
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        got = str(error).partition("\n")[0]
        raise BenchError(path, expected="a whole Parquet file", got=got) from None


def _running_sums(counts: Iterator[int]) -> list[int]:
    sums: list[int] = []
    for count in counts:
        sums.append(count + (sums[-1] if sums else 0))
    return sums
