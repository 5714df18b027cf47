"""Fetches a file over HTTP: goes on where it was cut, and keeps nothing whose hash is wrong."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from g2vlm_bench.data.catalogue import Download
from g2vlm_bench.errors import BenchError
from g2vlm_bench.paths import safe_join

_BLOCK = 1 << 20
_TIMEOUT_S = 60.0


class _Cut(Exception):
    """The connection ended before the file did."""


def name_of(download: Download) -> str:
    """Say which file below the dataset's folder a download becomes.

    Raises:
        BenchError: Neither the entry nor the address names one.
    """
    name = download.path or unquote(urlsplit(download.url).path).rpartition("/")[2]
    if not name:
        raise BenchError(
            download.url, expected="a file's name", got="none", fix="Give it a 'path'."
        )
    return name


def fetch(
    download: Download,
    root: Path,
    advance: Callable[[int], None] = lambda steps: None,
    attempts: int = 5,
    wait_s: float = 1.0,
) -> Path:
    """Fetch a file into a folder.

    What has arrived stands in `NAME.part` until its size and hash are right; then it is renamed, so
    that a file of its final name is whole. A cut connection is resumed where the server can, as is
    an interrupted call. A file that is there and right is not fetched again. Where no hash is
    known, whatever is there and whatever comes whole is right: `acquire.prepare` remembers its
    hash.

    Args:
        download: What, from where, and its hash if one is known.
        root: The folder; made if need be.
        advance: Told of bytes that have arrived, those of earlier calls included.
        attempts: How many connections in a row may bring nothing.
        wait_s: Wait before a further one; twice as long every time.

    Returns:
        The file.

    Raises:
        BenchError: The address has another scheme than http or https, the server refuses, the
            connection stays cut, the content is not what was announced, the disk is full, another
            process is at it, or another file of that name is there.
    """
    if urlsplit(download.url).scheme not in ("http", "https"):
        raise BenchError(download.url, expected="an address of http or https", got="another")
    target = safe_join(root, name_of(download))
    part = target.with_name(f"{target.name}.part")
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock.acquire(timeout=0):
            if not target.exists():
                _Transfer(download, part, advance).fill(attempts, wait_s)
                _check(download, part)
                os.replace(part, target)
            elif wrong := _wrong(download, target):
                raise BenchError(
                    target,
                    expected=wrong[0],
                    got="another",
                    fix="Move the file away and start again.",
                )
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        raise BenchError(target, expected="no other fetch of it", got="one under way") from None
    except OSError as error:
        got = error.strerror or str(error)
        fix = "Make room or choose another folder; the same command goes on."
        raise BenchError(part, expected="a file to write to", got=got, fix=fix) from None
    return target


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file, hexadecimal."""
    with path.open("rb") as file:
        # An MD5 that was published tells a broken file from a whole one, and guards nothing.
        empty = hashlib.new(algorithm, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: empty).hexdigest()


class _Transfer:
    """A file on its way into `NAME.part`.

    What an earlier connection brought goes on if a hash will tell whether the parts belong
    together, or else if the server gave a mark of the version (`ETag`, or the time of its last
    change), which is kept in `NAME.part.mark` and asked for again.
    """

    def __init__(self, download: Download, part: Path, advance: Callable[[int], None]) -> None:
        self.download, self.part, self.advance = download, part, advance
        self.mark_file = part.with_name(f"{part.name}.mark")
        self.total = download.bytes or None
        self.have = part.stat().st_size if part.exists() else 0
        advance(self.have)
        if self.have > (self.total or self.have) or not (download.digests or self._mark()):
            self._start_again()

    def fill(self, attempts: int, wait_s: float) -> None:
        """Connect until all of it is there, or so many connections in a row bring nothing."""
        self._check_room()
        # Of the most that ever arrived: a server without ranges may begin again and again.
        fruitless, most, why = 0, self.have, "nothing"
        while self.total is None or self.have < self.total:
            if fruitless == attempts:
                expected = f"{self.total} bytes" if self.total else "the file"
                raise BenchError(
                    self.download.url,
                    expected=expected,
                    got=f"{self.have}, then {why}",
                    fix="The same command goes on where it stopped.",
                )
            if fruitless:
                time.sleep(wait_s * 2 ** (fruitless - 1))
            try:
                self._connect()
            except _Cut as error:
                why = str(error)
            fruitless = 0 if self.have > most else fruitless + 1
            most = max(most, self.have)
        self.mark_file.unlink(missing_ok=True)

    def _connect(self) -> None:
        try:
            answer = urllib.request.urlopen(self._request(), timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is here is longer than what is there
                self._start_again()
            if error.code >= 500 or error.code in (416, 429):
                raise _Cut(f"HTTP {error.code} {error.reason}") from None
            raise BenchError(
                self.download.url,
                expected="the file",
                got=f"HTTP {error.code} {error.reason}",
                fix="See the source's page; its address may have changed.",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise _cut(error) from None
        with answer:
            if answer.status == 206 and not _starts_at(answer, self.have):
                self._start_again()
                raise _Cut("another part of the file than was asked for")
            if answer.status != 206:  # a server that knows no ranges, or has another version now
                self._start_again()
                self._keep_mark(answer)
            self._learn_total(answer)
            self._write(answer)
        if self.total is None:  # sent in chunks, of which the last one says that it is
            self.total = self.have
        if self.have < self.total:
            raise _Cut("the end of the connection")

    def _request(self) -> urllib.request.Request:
        headers = {"User-Agent": "g2vlm-bench", "Accept-Encoding": "identity"}
        # Without a hash that would tell, a server may have sent no mark to go on under.
        if self.have and not (self.download.digests or self._mark()):
            self._start_again()
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            if mark := self._mark():
                headers["If-Range"] = mark
        return urllib.request.Request(self.download.url, headers=headers)

    def _write(self, answer: http.client.HTTPResponse) -> None:
        with self.part.open("r+b" if self.have else "wb") as file:
            file.seek(self.have)
            for block in _blocks(answer):
                self.have += len(block)
                if self.total is not None and self.have > self.total:
                    file.truncate(0)
                    expected = f"{self.total} bytes"
                    raise BenchError(self.download.url, expected=expected, got="more of them")
                file.write(block)
                self.advance(len(block))

    def _learn_total(self, answer: http.client.HTTPResponse) -> None:
        length = answer.length
        said = None if length is None else self.have + length
        if not self.download.bytes and (not self.have or self.total is None):
            self.total = said
            self._check_room()
        if (
            said is None
            and self.total is None
            and "chunked" not in str(answer.headers.get("Transfer-Encoding", ""))
        ):
            raise BenchError(
                self.download.url,
                expected="a server that says the size of the file",
                got="none, so that a cut would not show",
                fix="Give the download its 'bytes'.",
            )
        if said is not None and said != self.total:
            raise BenchError(
                self.download.url,
                expected=f"{self.total} bytes",
                got=f"{said}, says the server",
                fix="The file has changed at its source.",
            )

    def _start_again(self) -> None:
        self.part.unlink(missing_ok=True)
        self.advance(-self.have)
        self.have = 0

    def _check_room(self) -> None:
        free, wanted = shutil.disk_usage(self.part.parent).free, (self.total or 0) - self.have
        if wanted > free:
            raise BenchError(
                self.part,
                expected=f"{wanted} bytes of free disk",
                got=free,
                fix="Make room or choose another folder; the same command goes on.",
            )

    def _mark(self) -> str:
        return self.mark_file.read_text(encoding="utf-8") if self.mark_file.is_file() else ""

    def _keep_mark(self, answer: http.client.HTTPResponse) -> None:
        tag = str(answer.headers.get("ETag", ""))
        # A weak tag (W/) is one of the meaning and not of the bytes.
        mark = tag if tag.startswith('"') else str(answer.headers.get("Last-Modified", ""))
        self.mark_file.unlink(missing_ok=True)
        if mark and not self.download.digests:
            self.mark_file.write_text(mark, encoding="utf-8")


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _cut(error) from None
        if not block:
            return
        yield block


def _cut(error: Exception) -> _Cut:
    return _Cut(str(getattr(error, "reason", error)) or type(error).__name__)


def _starts_at(answer: http.client.HTTPResponse, have: int) -> bool:
    given = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return given is not None and int(given[1]) == have


def _check(download: Download, part: Path) -> None:
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    if wrong := _wrong(download, part):
        part.unlink()
        raise BenchError(
            download.url,
            expected=wrong[0],
            got=wrong[1],
            fix="The file has changed at its source, or on its way; it was not kept.",
        )


def _wrong(download: Download, path: Path) -> tuple[str, str] | None:
    """Say which hash a file should have and which it has; None where every known one is right."""
    for algorithm, known in download.digests.items():
        if (got := hash_file(path, algorithm)) != known:
            return f"{algorithm} {known}", got
    return None
