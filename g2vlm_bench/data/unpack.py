"""Unpacks archives of strangers: what is written stays within one folder."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO

from g2vlm_bench.errors import BenchError
from g2vlm_bench.paths import safe_join

# Pictures and videos are compressed already; text and depth compress some twenty times.
MAX_RATIO = 200
_SMALL = 1 << 20
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError, ValueError),
)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path, root: Path, advance: Callable[[int], None] = lambda steps: None
) -> dict[str, str]:
    """Unpack a zip or tar archive (plain, gz, bz2, xz) into a folder.

    All members are looked at before anything is written. Every file is written beside its place and
    renamed, so that one of its final name is whole.

    Args:
        archive: The archive; its content tells which kind it is.
        root: The folder.
        advance: Told of bytes that were written.

    Returns:
        The SHA-256 of every file that was written, hexadecimal, by its name below the folder.

    Raises:
        BenchError: It is no archive, is damaged or encrypted, or holds a path that leads out of the
            folder, a link, or a device; it would swell beyond all measure; or the disk is full.
    """
    try:
        with _members(archive) as members:
            places = [(member, _place(member, root, archive)) for member in members]
            _refuse_bombs(members, archive)
            wanted, free = sum(member.size for member in members), shutil.disk_usage(root).free
            if wanted > free:
                raise BenchError(root, expected=f"{wanted} bytes of free disk", got=free)
            digests = {path: _write(member, path, advance) for member, path in places}
    except _DAMAGE as error:
        got = str(error) or type(error).__name__
        raise BenchError(archive, expected="a whole archive and room for it", got=got) from None
    folder = root.resolve()
    return {
        path.relative_to(folder).as_posix(): digest for path, digest in digests.items() if digest
    }


def _refuse_bombs(members: list[_Member], archive: Path) -> None:
    """Refuse an archive that would swell beyond all measure, before anything is written."""
    swelling, size = sum(member.size for member in members), archive.stat().st_size
    if swelling > _SMALL and swelling > MAX_RATIO * size:
        raise BenchError(
            archive,
            expected=f"at most {MAX_RATIO} times its packed size",
            got=f"{swelling} bytes from {size}",
            fix="Nothing was unpacked.",
        )


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield [_of_zip(opened, info) for info in opened.infolist()]
    else:
        with tarfile.open(archive) as tar:
            yield [_of_tar(tar, info) for info in tar.getmembers()]


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    # The upper half are Unix's mode bits; 0 where another system wrote the archive.
    mode = info.external_attr >> 16
    plain = not mode or S_ISREG(mode) or S_ISDIR(mode) or not mode & 0o170000
    is_folder = info.is_dir()
    return _Member(
        info.filename,
        info.file_size,
        is_folder,
        plain and not is_folder,
        lambda: archive.open(info),
    )


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    size = info.size if info.isreg() else 0
    return _Member(info.name, size, info.isdir(), info.isreg(), lambda: archive.extractfile(info))


def _place(member: _Member, root: Path, archive: Path) -> Path:
    if not member.is_folder and not member.is_file:
        raise BenchError(
            archive,
            expected="files and folders",
            got=f"a link or a device, '{member.name}'",
            fix="Nothing was unpacked.",
        )
    try:
        # A path of Windows is one long name here and leaves the folder there.
        return safe_join(root, member.name.replace("\\", "/"))
    except BenchError as error:
        raise BenchError(
            archive, expected=error.expected, got=error.got, fix="Nothing was unpacked."
        ) from None


def _write(member: _Member, path: Path, advance: Callable[[int], None]) -> str:
    """Write a member and return the hash of what was written; none of a folder."""
    if member.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    source = member.open()
    assert source is not None
    digest = hashlib.sha256()
    try:
        with source, beside.open("wb") as file:
            while block := source.read(1 << 20):
                digest.update(block)
                file.write(block)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    advance(member.size)
    return digest.hexdigest()
