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
from g2vlm_bench.files import safe_join

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
    an interrupted call. A file that is there and right is not fetched again.

    Args:
        download: What, from where, and its hash.
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
                _fill(download, part, advance, attempts, wait_s)
                _check(download, part)
                os.replace(part, target)
            elif sha256(target) != download.sha256.lower():
                raise BenchError(
                    target,
                    expected=f"sha256 {download.sha256}",
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


def sha256(path: Path) -> str:
    """Hash a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(
    download: Download,
    part: Path,
    advance: Callable[[int], None],
    attempts: int,
    wait_s: float,
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > download.bytes:
        part.unlink()
        have = 0
    free = shutil.disk_usage(part.parent).free
    if download.bytes - have > free:
        raise BenchError(
            part,
            expected=f"{download.bytes - have} bytes of free disk",
            got=free,
            fix="Make room or choose another folder; the same command goes on.",
        )
    advance(have)
    # Of the most that ever arrived: a server without ranges may begin again and again.
    fruitless, most, why = 0, have, "nothing"
    while have < download.bytes:
        if fruitless == attempts:
            raise BenchError(
                download.url,
                expected=f"{download.bytes} bytes",
                got=f"{have}, then {why}",
                fix="The same command goes on where it stopped.",
            )
        if fruitless:
            time.sleep(wait_s * 2 ** (fruitless - 1))
        try:
            _connect(download, part, have, advance)
        except _Cut as error:
            why = str(error)
        have = part.stat().st_size if part.exists() else 0
        fruitless = 0 if have > most else fruitless + 1
        most = max(most, have)


def _connect(download: Download, part: Path, have: int, advance: Callable[[int], None]) -> None:
    headers = {"User-Agent": "g2vlm-bench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(download.url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is here is longer than what is there
            part.unlink(missing_ok=True)
            advance(-have)
        if error.code >= 500 or error.code in (416, 429):
            raise _Cut(f"HTTP {error.code} {error.reason}") from None
        raise BenchError(
            download.url,
            expected="the file",
            got=f"HTTP {error.code} {error.reason}",
            fix="See the source's page; its address may have changed.",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _cut(error) from None
    with answer:
        resumed = answer.status == 206
        if resumed and not _starts_at(answer, have):
            part.unlink(missing_ok=True)
            advance(-have)
            raise _Cut("another part of the file than was asked for")
        if have and not resumed:  # a server that knows no ranges sends the whole file again
            advance(-have)
            have = 0
        with part.open("r+b" if resumed else "wb") as file:
            file.seek(have)
            for block in _blocks(answer):
                have += len(block)
                if have > download.bytes:
                    file.truncate(0)
                    raise BenchError(
                        download.url, expected=f"{download.bytes} bytes", got="more of them"
                    )
                file.write(block)
                advance(len(block))
    if have < download.bytes:
        raise _Cut("the end of the connection")


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
    got = sha256(part)
    if got != download.sha256.lower():
        part.unlink()
        raise BenchError(
            download.url,
            expected=f"sha256 {download.sha256}",
            got=got,
            fix="The file has changed at its source, or on its way; it was not kept.",
        )
