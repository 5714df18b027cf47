"""Datasets of the catalogue: fetched where they may be, and checked where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from g2vlm_bench.data.catalogue import Download, Entry
from g2vlm_bench.data.fetch import fetch, hash_file, name_of
from g2vlm_bench.data.lock import LOCK_FILE, Fetched, read_lock, write_lock
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.unpack import unpack
from g2vlm_bench.errors import BenchError
from g2vlm_bench.paths import safe_join
from g2vlm_bench.plugins import Plugins, check_arguments
from g2vlm_bench.progress import progress

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
        unchecked: Counts that the catalogue knows and the reader cannot take, by their names.
    """

    name: str
    root: str
    ok: bool
    checks: list[Check]
    missing: list[str]
    unchecked: dict[str, int] = {}

    def text(self) -> str:
        """Write it for people, a line a check."""
        lines = [f"{self.name} at {self.root}"]
        for check in self.checks:
            expected = ""
            if check.expected:
                expected = ", as expected" if check.ok else f", expected {check.expected}"
            lines.append(
                f"  {'ok   ' if check.ok else 'WRONG'} {check.what}: {check.got}{expected}"
            )
        if self.unchecked:
            counts = ", ".join(f"{count} {what}" for what, count in self.unchecked.items())
            lines.append(f"  not checked, for its reader cannot count them: {counts}")
        lines += [f"  missing {name}" for name in self.missing[:_NAMED]]
        if len(self.missing) > _NAMED:
            lines.append(f"  and {len(self.missing) - _NAMED} more")
        return "\n".join(lines)


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A download that is ready.

    Attributes:
        path: The file; the folder that it was unpacked into where it was an archive.
        sha256: Of what was fetched.
        trusted: Whether that hash was unknown before and is now remembered.
    """

    path: Path
    sha256: str
    trusted: bool

    def text(self) -> str:
        """Write it for people."""
        said = f"ready: {self.path}"
        if self.trusted:
            said += (
                f"\n  its hash was not known: sha256 {self.sha256} is trusted from now on, and "
                f"remembered in {LOCK_FILE}"
            )
        return said


def prepare(entry: Entry, root: Path) -> list[Prepared]:
    """Fetch and unpack what a dataset's source allows to be fetched.

    What was fetched and unpacked before is left alone; archives are removed once they are unpacked.
    A download whose hash the catalogue does not know is trusted the first time: its hash is
    remembered in the folder, and a later fetch that brings something else is refused.

    Args:
        entry: The dataset.
        root: Its folder; made if need be.

    Returns:
        What is ready, in the entry's order.

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
    total = sum(download.bytes for download in entry.download)
    with progress(f"fetching {entry.name} (bytes)", total) as advance:
        return [_prepare(download, root, advance) for download in entry.download]


def _prepare(download: Download, root: Path, advance: Callable[[int], None]) -> Prepared:
    name = name_of(download)
    # Read before anything is unpacked, so that no archive can bring a record of its own.
    locked = read_lock(root)
    before = locked.get(name)
    known = download.sha256.lower() or (before.sha256 if before else "")
    if before and before.unpacked is not None and before.sha256 == known:
        advance(before.bytes)
        return Prepared(path=safe_join(root, name).parent, sha256=known, trusted=False)
    size = before.bytes if before and before.sha256 == known else download.bytes
    path = fetch(msgspec.structs.replace(download, sha256=known, bytes=size), root, advance)
    fetched = Fetched(
        url=download.url,
        sha256=known or hash_file(path),
        bytes=path.stat().st_size,
        unpacked=unpack(path, path.parent) if download.unpack else None,
    )
    write_lock(root, {**locked, name: fetched})
    if download.unpack:
        path.unlink()
    ready = path.parent if download.unpack else path
    return Prepared(path=ready, sha256=fetched.sha256, trusted=not (known or download.md5))


def verify(entry: Entry, root: Path, plugins: Plugins) -> Verification:
    """Check a dataset in a folder: hashes of downloads, counts, files that are missing.

    Reads every file that the samples depend on.

    Args:
        entry: The dataset.
        root: Its folder.
        plugins: Where its reader is found.
    """
    checks = [_of_download(download, root) for download in entry.download]
    missing: list[str] = []
    unchecked: dict[str, int] = {}
    try:
        if not root.is_dir():
            raise BenchError(root, expected="the dataset's folder", got="no such folder")
        cls = plugins.reader(entry.format)
        offered = {"root": entry.layout_root(root)}
        arguments = check_arguments(cls, entry.options, f"dataset '{entry.name}'", offered)
        reader = cls(**arguments)
    except BenchError as error:
        checks.append(Check(what="layout", ok=False, got=str(error)))
    else:
        for split in reader.splits:
            found, lacking = _of_split(reader, split, entry)
            checks += found
            missing += lacking
        known = {what: n for what, n in entry.counts.items() if what not in reader.splits}
        found, unchecked = _of_counts(reader, known)
        checks += found
    ok = all(check.ok for check in checks) and not missing
    return Verification(
        name=entry.name,
        root=str(root),
        ok=ok,
        checks=checks,
        missing=missing,
        unchecked=unchecked,
    )


def _of_download(download: Download, root: Path) -> Check:
    name = name_of(download)
    try:
        fetched = read_lock(root).get(name)
    except BenchError as error:
        return Check(what=name, ok=False, got=str(error))
    digests = ({"sha256": fetched.sha256} if fetched else {}) | download.digests
    if fetched and fetched.unpacked is not None and fetched.sha256 == digests["sha256"]:
        return _of_unpacked(name, fetched.unpacked, safe_join(root, name).parent)
    path = safe_join(root, name)
    # Laid out by hand: what is missing, the reader's own files tell.
    if not digests:
        return Check(what=name, ok=True, got="not fetched here, of no known hash")
    if fetched is None and download.unpack and not path.is_file():
        return Check(what=name, ok=True, got="not fetched here")
    algorithm, known = next(iter(digests.items()))
    got = hash_file(path, algorithm) if path.is_file() else "no such file"
    since = "" if download.digests else ", as first fetched"
    return Check(what=f"{algorithm} of {name}{since}", ok=got == known, got=got, expected=known)


def _of_unpacked(archive: str, digests: Mapping[str, str], root: Path) -> Check:
    wrong = []
    for name, digest in digests.items():
        path = safe_join(root, name)
        if not path.is_file():
            wrong.append(f"{name} (gone)")
        elif hash_file(path) != digest:
            wrong.append(f"{name} (changed)")
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    got = f"{len(digests)} files" if not wrong else f"{', '.join(wrong[:_NAMED])}{more}"
    expected = f"{len(digests)} files as unpacked"
    return Check(what=f"content of {archive}", ok=not wrong, got=got, expected=expected)


def _of_counts(reader: Reader, known: Mapping[str, int]) -> tuple[list[Check], dict[str, int]]:
    """Compare what is known besides samples; what the reader cannot count comes back."""
    if not known:
        return [], {}
    try:
        counts = reader.counts()
    except BenchError as error:
        return [Check(what="counts", ok=False, got=str(error))], {}
    checks = [
        Check(what=what, ok=counts[what] == n, got=str(counts[what]), expected=str(n))
        for what, n in known.items()
        if what in counts
    ]
    return checks, {what: n for what, n in known.items() if what not in counts}


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
