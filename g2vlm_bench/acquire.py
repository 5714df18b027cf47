"""Datasets of the catalogue: fetched where they may be, and checked where they lie."""

from __future__ import annotations

from pathlib import Path

import msgspec

from g2vlm_bench.data.catalogue import Download, Entry
from g2vlm_bench.data.fetch import fetch, name_of, sha256
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.unpack import unpack
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import safe_join
from g2vlm_bench.plugins import Plugins, check_arguments
from g2vlm_bench.progress import progress

_RECORD = ".g2vlm-bench.json"
_NAMED = 10


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was looked at.

    Attributes:
        what: What.
        ok: Whether it is as it should be.
        expected: What should be there; empty where nothing is known to compare with.
        got: What is there.
    """

    what: str
    ok: bool
    got: str
    expected: str = ""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `data verify` found.

    Attributes:
        name: The dataset.
        root: Its folder.
        ok: Whether every check is.
        checks: One for each download, split, and count.
        missing: Files below the root that samples need and that are not there.
    """

    name: str
    root: str
    ok: bool
    checks: list[Check]
    missing: list[str]

    def text(self) -> str:
        """Write it for people, a line a check."""
        lines = [f"{self.name} at {self.root}"]
        for check in self.checks:
            expected = f", expected {check.expected}" if check.expected and not check.ok else ""
            lines.append(
                f"  {'ok   ' if check.ok else 'WRONG'} {check.what}: {check.got}{expected}"
            )
        lines += [f"  missing {name}" for name in self.missing[:_NAMED]]
        if len(self.missing) > _NAMED:
            lines.append(f"  and {len(self.missing) - _NAMED} more")
        return "\n".join(lines)


def prepare(entry: Entry, root: Path) -> list[Path]:
    """Fetch and unpack what a dataset's source allows to be fetched.

    What was fetched and unpacked before is left alone; archives are removed once they are unpacked.

    Args:
        entry: The dataset.
        root: Its folder; made if need be.

    Returns:
        The files and folders that are ready.

    Raises:
        BenchError: The source wants an agreement, or something went wrong on the way; the same call
            goes on from there.
    """
    if not entry.download:
        raise BenchError(
            f"dataset '{entry.name}'",
            expected="files that may be fetched",
            got="none",
            fix=f"Fetch it from {entry.source} and lay it out as shown.",
        )
    ready = []
    total = sum(download.bytes for download in entry.download)
    with progress(f"fetching {entry.name} (bytes)", total) as advance:
        for download in entry.download:
            if download.sha256 in _unpacked(root):
                advance(download.bytes)
                ready.append(root)
                continue
            path = fetch(download, root, advance)
            if download.unpack:
                unpack(path, root)
                _remember(root, download)
                path.unlink()
            ready.append(root if download.unpack else path)
    return ready


def verify(entry: Entry, root: Path, plugins: Plugins) -> Verification:
    """Check a dataset in a folder: hashes of downloads, counts of samples, files that are missing.

    Reads every file that the samples depend on.

    Args:
        entry: The dataset.
        root: Its folder.
        plugins: Where its reader is found.
    """
    checks = [_of_download(download, root) for download in entry.download]
    missing: list[str] = []
    try:
        if not root.is_dir():
            raise BenchError(root, expected="the dataset's folder", got="no such folder")
        cls = plugins.reader(entry.format)
        arguments = check_arguments(cls, entry.options, f"dataset '{entry.name}'", {"root": root})
        reader = cls(**arguments)
    except BenchError as error:
        checks.append(Check(what="layout", ok=False, got=str(error)))
    else:
        for split in reader.splits:
            found, lacking = _of_split(reader, split, entry)
            checks += found
            missing += lacking
    ok = all(check.ok for check in checks) and not missing
    return Verification(name=entry.name, root=str(root), ok=ok, checks=checks, missing=missing)


def _of_download(download: Download, root: Path) -> Check:
    name = name_of(download)
    if download.sha256 in _unpacked(root):
        return Check(what=name, ok=True, got="unpacked")
    path = safe_join(root, name)
    got = sha256(path) if path.is_file() else "no such file"
    ok = got == download.sha256.lower()
    return Check(what=f"sha256 of {name}", ok=ok, got=got, expected=download.sha256)


def _of_split(reader: Reader, split: str, entry: Entry) -> tuple[list[Check], list[str]]:
    from g2vlm_bench.data.frames import FrameReader

    known = entry.counts.get(split)
    try:
        count = len(reader.samples(split))
        if not count and known is None:
            return [], []
        checks = [
            Check(
                what=f"samples of '{split}'",
                ok=count == known or (known is None and count > 0),
                got=str(count),
                expected="" if known is None else str(known),
            ),
            Check(what=f"content of '{split}'", ok=True, got=reader.content_hash(split)),
        ]
    except BenchError as error:
        return [Check(what=f"split '{split}'", ok=False, got=str(error))], []
    return checks, reader.missing(split) if isinstance(reader, FrameReader) else []


def _unpacked(root: Path) -> set[str]:
    try:
        return set(msgspec.json.decode((root / _RECORD).read_bytes(), type=list[str]))
    except (OSError, msgspec.DecodeError):
        return set()


def _remember(root: Path, download: Download) -> None:
    beside = root / f"{_RECORD}.part"
    beside.write_bytes(msgspec.json.encode(sorted({*_unpacked(root), download.sha256})))
    beside.replace(root / _RECORD)
