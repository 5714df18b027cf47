"""Rows of every kind of file, heavy columns left where they are, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g2vlm_bench.data.tables import open_table
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module

files = load_module(Path(__file__).with_name("small_files.py"))

ROWS = [{"id": str(n), "text": f'"{n}"\tand\nmore, ü', "image": "x" * (n + 1)} for n in range(5)]


def written(path: Path) -> Path:
    writers = {
        ".parquet": files.write_parquet,
        ".jsonl": files.write_json,
        ".json": files.write_json,
        ".tsv": files.write_tsv,
    }
    if path.suffix == ".csv":
        files.write_tsv(path, ROWS)
        content = path.read_text().replace("\tand", "@and").replace("\t", ",").replace("@", "\t")
        path.write_text(content)
    else:
        writers[path.suffix](path, ROWS)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json", ".tsv", ".csv"])
def test_rows_without_heavy_columns_and_cells_when_asked_for(tmp_path: Path, suffix: str) -> None:
    table = open_table(written(tmp_path / f"rows{suffix}"), {"image"})
    assert table.columns == ("id", "text", "image")
    assert table.rows == [{k: v for k, v in row.items() if k != "image"} for row in ROWS]
    for number in (4, 0, 3, 1, 2):
        assert table.cell(number, "image") == ROWS[number]["image"]


def test_a_heavy_column_is_read_a_row_group_at_a_time(tmp_path: Path, monkeypatch) -> None:
    import pyarrow.parquet as pq

    table = open_table(written(tmp_path / "rows.parquet"), {"image"})
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def spy(self, group, **options):
        read.append(group)
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    assert [table.cell(n, "image") for n in range(5)] == [row["image"] for row in ROWS]
    assert read == [0, 1, 2]


def test_a_cell_longer_than_a_spreadsheet_s(tmp_path: Path) -> None:
    long = "y" * 300_000
    files.write_tsv(tmp_path / "long.tsv", [{"id": "0", "image": long}])
    assert open_table(tmp_path / "long.tsv", set()).rows[0]["image"] == long


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.pkl", b"x", r"expected one of .parquet, .jsonl, .json, .tsv, .csv"),
        ("rows.parquet", b"PAR1", "expected a whole Parquet file"),
        ("rows.json", b"{}", "expected a list of objects, got dict"),
        ("rows.json", b"[1]", "expected a list of objects"),
        ("rows.json", b"[", "expected JSON"),
        ("rows.jsonl", b"{}\n[]\n", "line 2: expected an object"),
        ("rows.tsv", b"", "expected a first row of names"),
        ("rows.tsv", b"a\tb\n1\n", "row 1: expected 2 values, got 1"),
        ("rows.tsv", b"a\tb\n\xff\t1\n", "expected a table of UTF-8 text"),
        ("rows.csv", b'a,b\n"1,2\n', "expected a table of UTF-8 text"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=says):
        open_table(tmp_path / name, set())


@pytest.mark.parametrize("name", ["no.parquet", "no.json", "no.tsv"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(BenchError, match="expected a"):
        open_table(tmp_path / name, set())


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_bytes("\ufeffid\tb\n1\t2\n".encode())
    assert open_table(tmp_path / "rows.tsv", set()).rows == [{"id": "1", "b": "2"}]
    (tmp_path / "rows.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([{"a": 1}]).encode())
    assert open_table(tmp_path / "rows.json", set()).rows == [{"a": 1}]
