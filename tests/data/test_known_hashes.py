"""A file's hash is kept while the file is the same, and never longer."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from g2vlm_bench.data import known_hashes
from g2vlm_bench.data.known_hashes import HASHES_FILE, KnownHashes
from g2vlm_bench.data.readers.qa_hub import QaHub
from g2vlm_bench.data.row_map import Pictures, RowMap


def hashed(path: Path) -> str:
    known = KnownHashes(path.parent)
    found = known.of(path)
    known.keep()
    assert found == hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")
    assert hashed(path) == hashed(path) == hashed(path)
    assert read == ["big.zip"]


def test_what_changed_is_read_again_even_where_size_and_time_are_as_before(
    tmp_path: Path, read: list[str]
) -> None:
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")
    first, stat = hashed(path), path.stat()
    time.sleep(0.02)  # more than a tick of the disk's clock
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashed(path) != first

    other = tmp_path / "other"
    other.write_bytes(b"six")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    hashed(path)
    assert len(read) == 3


def test_hashes_that_came_along_with_a_copied_folder_are_not_believed(
    tmp_path: Path, read: list[str]
) -> None:
    """The sender of a folder can write any cache and any mtime, but not another machine's ctime."""
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")
    hashed(path)
    content = (tmp_path / HASHES_FILE).read_text()
    lie = content.replace(hashlib.sha256(b"one").hexdigest(), "0" * 64)
    assert lie != content
    stat = path.stat()
    copy = tmp_path / "copy"
    copy.write_bytes(b"one")
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    copy.replace(path)
    (tmp_path / HASHES_FILE).write_text(lie)
    hashed(path)


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path) -> None:
    """It may change again within one tick of the disk's clock."""
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")
    assert time.time_ns() - path.stat().st_mtime_ns < known_hashes._SETTLED_NS
    hashed(path)
    assert not (tmp_path / HASHES_FILE).exists()


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"[]", b'{"a": 1}', b'{"a": [1, 2]}'])
def test_a_damaged_cache_is_passed_over_and_mended(
    content: bytes, tmp_path: Path, read: list[str]
) -> None:
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")
    (tmp_path / HASHES_FILE).write_bytes(content)
    hashed(path)
    hashed(path)
    assert read == ["big.zip"]


def test_a_folder_that_cannot_be_written_to_is_hashed_each_time(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.zip"
    path.write_bytes(b"one")

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_bytes", refuse)
    hashed(path)
    hashed(path)
    assert read == ["big.zip", "big.zip"]
    assert [one.name for one in tmp_path.iterdir()] == ["big.zip"]


def test_two_tasks_of_one_folder_keep_each_other_s_hashes(tmp_path: Path, read: list[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    one, two = KnownHashes(tmp_path), KnownHashes(tmp_path)
    one.of(tmp_path / "a")
    two.of(tmp_path / "b")
    one.keep()
    two.keep()
    hashed(tmp_path / "a")
    hashed(tmp_path / "b")
    assert sorted(read) == ["a", "b"]


def test_a_benchmark_s_pictures_are_read_once_and_hashed_alike(
    tmp_path: Path, read: list[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "Where?", "a": "here", "i": "a.png"}\n')
    (tmp_path / "a.png").write_bytes(b"a picture")
    asks = RowMap(
        question="{q}",
        answer="{a}",
        answer_type="text",
        images=Pictures(columns=["i"], kind="path"),
    )

    def content() -> str:
        return QaHub(tmp_path, asks=asks, files=["rows.jsonl"]).content_hash("test")

    first = content()
    assert sorted(read) == ["a.png", "rows.jsonl"]
    assert content() == first
    assert len(read) == 2
    (tmp_path / HASHES_FILE).unlink()
    assert content() == first, "what is kept does not count as content"
    (tmp_path / "a.png").write_bytes(b"A picture")
    assert content() != first


def test_what_is_kept_beside_the_rows_is_not_taken_for_rows(
    tmp_path: Path, read: list[str]
) -> None:
    (tmp_path / "rows.json").write_text('[{"q": "Where?", "a": "here"}]')
    asks = RowMap(question="{q}", answer="{a}", answer_type="text")
    for _ in range(2):
        reader = QaHub(tmp_path, asks=asks, files=["*.json"])
        reader.content_hash("test")
        assert [path.name for path in reader.paths] == ["rows.json"]
    assert (tmp_path / HASHES_FILE).exists()
