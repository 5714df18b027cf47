"""Hashes of a folder's data or weights, kept beside them, so that gigabytes are read once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec

HASHES_FILE = ".g2vlm-bench-hashes.json"
# A file that changed this lately may change again without another time: clocks of disks are coarse.
_SETTLED_NS = 3_000_000_000


class _Known(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was hashed."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    sha256: str

    def still_is(self, stat: os.stat_result) -> bool:
        """Whether the file was neither changed nor replaced since.

        The time of the last change (ctime) is the system's own: neither `cp -p`, an archive nor
        `touch` can set it, so that hashes which came along with a folder are not believed.
        """
        return self == _known(stat, self.sha256)


def _known(stat: os.stat_result, sha256: str) -> _Known:
    return _Known(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, sha256)


def hash_file(path: Path) -> str:
    """Hash a file's content: SHA-256, hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class KnownHashes:
    """Hashes files, and takes the hash of one that did not change from a file in their folder.

    A file counts as unchanged while size, both times (modified, changed) and inode are as they
    were. The folder's file is a cache and no pin: what is damaged or cannot be written is passed
    over, and everything is hashed.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, _Known] = {}
        self._kept = self._read()

    def of(self, path: Path) -> str:
        """Hash a file's content: SHA-256, hexadecimal.

        Raises:
            OSError: It cannot be read.
        """
        name, stat = str(path), path.stat()
        known = self._kept.get(name)
        if known is not None and known.still_is(stat):
            return known.sha256
        sha256 = hash_file(path)
        settled = time.time_ns() - _SETTLED_NS > max(stat.st_mtime_ns, stat.st_ctime_ns)
        if settled and (found := _known(stat, sha256)).still_is(path.stat()):
            self._found[name] = found
        return sha256

    def keep(self) -> None:
        """Write what was hashed beside the data, where they can be written to."""
        if not self._found:
            return
        # Again, since another task of the same folder may have written meanwhile.
        kept = {name: known for name, known in self._read().items() if Path(name).exists()}
        path = self._root / HASHES_FILE
        beside = self._root / f"{HASHES_FILE}.{os.getpid()}.part"
        try:
            beside.write_bytes(msgspec.json.encode(kept | self._found, order="sorted"))
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)

    def _read(self) -> dict[str, _Known]:
        try:
            content = (self._root / HASHES_FILE).read_bytes()
            return msgspec.json.decode(content, type=dict[str, _Known])
        except (OSError, msgspec.DecodeError):
            return {}
