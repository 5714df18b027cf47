"""Which rows of a table show the same first picture: they ask about one scene."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.data.known_hashes import KnownHashes
from g2vlm_bench.data.media import embedded_bytes
from g2vlm_bench.data.questions import list_of
from g2vlm_bench.data.tables import Table
from g2vlm_bench.errors import BenchError

PICTURES_FILE = ".g2vlm-bench-pictures.json"
# Enough that two of a million pictures are not taken for one, and short in a record.
_DIGITS = 16
# The hash of a file and a column of it -> a name for each row.
_Kept = dict[str, list[str]]


def name_pictures(root: Path, table: Table, column: str) -> list[str]:
    """Name each row's first picture by its content; "" where there is none that can be read.

    The names are kept in the folder by the hash of the file that they are of, so that a table of
    gigabytes is read once. The folder's file is a cache: what is damaged or cannot be written is
    passed over.

    Args:
        root: The folder of the data.
        table: Rows that hold their pictures.
        column: Where they stand, one or a list.
    """
    known = KnownHashes(root)
    key = f"{known.of(table.path)}:{column}"
    known.keep()
    kept = _read(root / PICTURES_FILE)
    if len(kept.get(key, ())) == len(table.rows):
        return kept[key]
    names = [_name(table.cell(number, column)) for number in range(len(table.rows))]
    _write(root / PICTURES_FILE, kept | {key: names})
    return names


def _name(cell: Any) -> str:
    try:
        content = embedded_bytes(next(iter(list_of(cell, "picture")), None), "picture")
    except BenchError:  # the sample itself fails when its turn comes
        return ""
    return f"picture-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return {}


def _write(path: Path, kept: _Kept) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(msgspec.json.encode(kept, order="sorted"))
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
