"""Pictures and videos that rows name: below a folder, in its archives, or in the rows themselves.

An archive is read member by member and never unpacked, so that no name in it can lead anywhere;
what would swell beyond all measure is refused before it is opened.
"""

from __future__ import annotations

import base64
import binascii
import os
import posixpath
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from g2vlm_bench.data.unpack import MAX_RATIO
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_bytes
from g2vlm_bench.paths import safe_join

# The largest videos of the benchmarks are some hundred megabytes.
MAX_MEMBER_BYTES = 2 << 30
_SMALL = 1 << 20
_ARCHIVES_OPEN = 16
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


class Media:
    """Files that rows name by a path.

    Args:
        root: The folder; no path leads out of it.
        archives: Zip files whose members are looked up where the folder has no such file.
    """

    def __init__(self, root: Path, archives: Sequence[Path] = ()) -> None:
        self.root, self.archives = root.resolve(), tuple(archives)

    def bytes_of(self, name: str) -> bytes:
        """Read a file whole.

        Raises:
            BenchError: There is none, it is empty or damaged, its path leads out of the folder, or
                it is a member that would swell beyond all measure.
        """
        path = self.path(name)
        if path.is_file() or not self.archives:
            return load_bytes(path)
        member = posixpath.normpath(name)
        if member not in self._members:
            raise BenchError(
                path,
                expected="a file, or a member of " + ", ".join(p.name for p in self.archives),
                got="none",
            )
        return _read(*self._members[member])

    def source(self, name: str) -> Path | bytes:
        """Name a file where it lies; a member's content where it is within an archive."""
        path = self.path(name)
        return path if path.is_file() else self.bytes_of(name)

    def path(self, name: str) -> Path:
        """Say where a file lies, or would.

        Raises:
            BenchError: The path leads out of the folder.
        """
        if self._blobs is not None and not Path(name).is_absolute() and ".." not in name:
            path = (self.root / name).resolve()
            if path.is_relative_to(self._blobs):
                return path
        return safe_join(self.root, name)

    @cached_property
    def _blobs(self) -> Path | None:
        """Where the Hub's cache keeps the contents that its folders of revisions link to."""
        is_cache = self.root.parent.name == "snapshots"
        return self.root.parent.parent / "blobs" if is_cache else None

    @cached_property
    def _members(self) -> dict[str, tuple[Path, zipfile.ZipInfo]]:
        found: dict[str, tuple[Path, zipfile.ZipInfo]] = {}
        for path in self.archives:
            try:
                with zipfile.ZipFile(path) as archive:
                    infos = archive.infolist()
            except _DAMAGE as error:
                raise BenchError(path, expected="a whole zip archive", got=error) from None
            for info in infos:
                found.setdefault(posixpath.normpath(info.filename), (path, info))
        return found


def embedded_bytes(cell: Any, where: str) -> bytes:
    """Give the content of a picture that stands in a row.

    Args:
        cell: Bytes, `{bytes:, path:}` as `datasets` writes pictures, or base64.
        where: The row, for the error.

    Raises:
        BenchError: It is none of them, or has no content.
    """
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    if isinstance(cell, str):
        try:
            cell = base64.b64decode("".join(cell.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BenchError(where, expected="a picture in base64", got=error) from None
    if not isinstance(cell, bytes) or not cell:
        got = "none" if not cell else type(cell).__name__
        raise BenchError(where, expected="a picture's bytes", got=got)
    return cell


@lru_cache(maxsize=_ARCHIVES_OPEN)
def _archive(path: Path, modified_ns: int, size: int, process: int) -> zipfile.ZipFile:
    """Open an archive, and keep it open: its list of members is read once, not for each of them.

    Once in each process, since those that were forked share a place in the file.
    """
    return zipfile.ZipFile(path)


def _read(path: Path, info: zipfile.ZipInfo) -> bytes:
    where = f"{path}:{info.filename}"
    swells = info.file_size > _SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1)
    if swells or info.file_size > MAX_MEMBER_BYTES:
        raise BenchError(
            where,
            expected=f"at most {MAX_MEMBER_BYTES} bytes and {MAX_RATIO} times its packed size",
            got=f"{info.file_size} bytes from {info.compress_size}",
        )
    try:
        stat = path.stat()
        archive = _archive(path, stat.st_mtime_ns, stat.st_size, os.getpid())
        with archive.open(info) as file:
            # What is declared is what is read: a member that holds more fails by its checksum.
            content = file.read(info.file_size + 1)
    except _DAMAGE as error:
        raise BenchError(where, expected="a whole member", got=error) from None
    if not content:
        raise BenchError(where, expected="content", got="an empty member")
    return content
