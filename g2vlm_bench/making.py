"""Data that this package makes: written to disk as the shipped tasks use them, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.acquire import Check, Verification
from g2vlm_bench.data.catalogue import Entry
from g2vlm_bench.data.export import (
    LAYOUT_VERSION,
    MANIFEST,
    Configuration,
    Manifest,
    Part,
    configuration_of,
    damaged,
    export,
    read_manifest,
    write_manifest,
)
from g2vlm_bench.data.pin import split_pins
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError, UsageError, nearest
from g2vlm_bench.plugins import Plugins, check_arguments
from g2vlm_bench.progress import progress


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was written.

    Attributes:
        path: The file.
        configurations: Their names: tasks that use the same data share it.
        rows: Number of samples.
        bytes: Its size.
    """

    path: Path
    configurations: list[str]
    rows: int
    bytes: int

    def text(self) -> str:
        """Write it for people."""
        names = ", ".join(self.configurations)
        return f"{self.path}  {self.rows} samples, {self.bytes / 1e6:.1f} MB  {names}"


@dataclass(frozen=True, slots=True)
class _Source:
    """The data of one or several tasks, before they are written."""

    names: list[str]
    folder: str
    reader: Reader
    format: str
    options: dict[str, Any]
    pins: dict[str, Any]

    @property
    def revision(self) -> str:
        return str(self.pins.get("revision", ""))

    def part(self, split: str) -> Part:
        """What a split holds, as the task pins it.

        Raises:
            BenchError: It is not what the task was made for.
        """
        rows, content = len(self.reader.samples(split)), self.reader.content_hash(split)
        if split == self.pins.get("split", "test"):
            for key, got in (("rows", rows), ("content_hash", content)):
                expected = self.pins.get(key)
                if expected not in (None, got):
                    raise BenchError(f"data of {self.folder}, {key}", expected=expected, got=got)
        return Part(folder=self.folder, rows=rows, content_hash=content)


def make(
    entry: Entry,
    root: Path,
    plugins: Plugins,
    splits: Sequence[str] = ("test",),
    tasks: Sequence[str] = (),
) -> Iterator[Made]:
    """Write splits of everything that tasks use of a made dataset, a configuration for each task.

    What was written before stays, and the same version of the data gives the same bytes.

    Args:
        entry: A dataset that a reader makes.
        root: Its folder; empty, or an earlier export.
        plugins: Where its reader and the tasks are found.
        splits: Which splits; what is fitted makes the training split itself where it is left out.
        tasks: Only these, or all tasks of the dataset where none is given.

    Yields:
        Each file, as it is written.

    Raises:
        BenchError: A name is unknown, the data are not as the tasks pin them, the folder holds
            something else, or the disk is full.
    """
    sources = _sources(entry, plugins, tasks)
    for split in splits:
        if split not in plugins.reader(entry.made_by).splits:
            known = " or ".join(plugins.reader(entry.made_by).splits)
            raise UsageError(f"split of '{entry.name}'", expected=known, got=f"'{split}'")
    manifest = _begun(root)
    for source in sources:
        for split in splits:
            with progress(f"making {source.folder} {split}", 1):
                part = source.part(split)
            with progress(f"writing {source.folder} {split}", part.rows) as advance:
                path = export(source.reader, split, root / source.folder, advance)
            for name in source.names:
                _enter(manifest, name, source, split, part)
            write_manifest(root, manifest)
            size = path.stat().st_size
            yield Made(path=path, configurations=source.names, rows=part.rows, bytes=size)


def verify_made(entry: Entry, root: Path, plugins: Plugins) -> Verification:
    """Check an export: the hash of every file, and whether it is what this version would make.

    Makes the scenes and the questions again, but renders no picture.

    Args:
        entry: A dataset that a reader makes.
        root: The folder of its export.
        plugins: Where its reader is found.
    """
    checks: list[Check] = []
    try:
        if not root.is_dir():
            raise BenchError(root, expected="the dataset's folder", got="no such folder")
        manifest = read_manifest(root)
        wrong = damaged(root, manifest)
    except BenchError as error:
        checks.append(Check(what="layout", ok=False, got=str(error)))
    else:
        checks += [Check(what=name, ok=False, got=said) for name, said in wrong.items()]
        if not wrong:
            checks.append(Check(what="hashes of files", ok=True, got="as they were written"))
        # Tasks of the same data share their files, and the work of checking them.
        alike = {
            msgspec.json.encode(one, order="sorted"): (name, one)
            for name, one in sorted(manifest.configurations.items(), reverse=True)
        }
        with progress(f"making {entry.name} again", len(alike)) as advance:
            for name, one in sorted(alike.values(), key=lambda named: named[0]):
                checks += _as_made(name, one, plugins)
                advance(1)
        checks.append(_how_many(entry, manifest, plugins))
    ok = all(check.ok for check in checks)
    return Verification(name=entry.name, root=str(root), ok=ok, checks=checks, missing=[])


def _sources(entry: Entry, plugins: Plugins, tasks: Sequence[str]) -> list[_Source]:
    """The data of the tasks asked for, those that are alike together."""
    definitions = _tasks_of(entry, plugins)
    for name in tasks:
        if name not in definitions:
            raise BenchError(
                f"task '{name}'",
                expected=f"a task of '{entry.name}'",
                fix=nearest(name, definitions),
            )
    alike: dict[bytes, list[str]] = {}
    for name, data in definitions.items():
        pins, options = split_pins(data)
        key = msgspec.json.encode([options, pins.get("revision", "")], order="sorted")
        alike.setdefault(key, []).append(name)
    cls = plugins.reader(entry.made_by)
    sources = []
    for names in alike.values():
        wanted = [configuration_of(name) for name in names if not tasks or name in tasks]
        if wanted:
            # The folder follows from all tasks alike, so that it is the same whichever are written.
            pins, options = split_pins(definitions[names[0]])
            reader = cls(**check_arguments(cls, options, f"task {names[0]}, key 'data'"))
            folder = configuration_of(names[0])
            sources.append(_Source(wanted, folder, reader, entry.made_by, options, pins))
    return sources


def _tasks_of(entry: Entry, plugins: Plugins) -> dict[str, dict[str, Any]]:
    """What the tasks of a dataset say of their data, by the task's name."""
    found = {name: plugins.task(name).data for name in plugins.names("task")}
    return {name: data for name, data in found.items() if data.get("format") == entry.made_by}


def _begun(root: Path) -> Manifest:
    """What the folder holds already; nothing else may be in it."""
    if root.is_dir() and any(root.iterdir()):
        if not (root / MANIFEST).is_file():
            raise BenchError(root, expected="an empty folder or an export", got="other files")
        manifest = read_manifest(root)
    else:
        manifest = Manifest(version=LAYOUT_VERSION)
        write_manifest(root, manifest)
    return manifest


def _enter(manifest: Manifest, name: str, source: _Source, split: str, part: Part) -> None:
    before = manifest.configurations.get(name)
    made = Configuration(
        format=source.format, options=source.options, revision=source.revision, splits={}
    )
    # Splits of other options or of another version of the data do not belong together.
    kept = before and msgspec.structs.replace(before, splits={}) == made
    splits = {**before.splits, split: part} if before and kept else {split: part}
    manifest.configurations[name] = msgspec.structs.replace(made, splits=splits)


def _as_made(name: str, one: Configuration, plugins: Plugins) -> Iterator[Check]:
    """Compare what was exported with what this version makes of the same options."""
    try:
        cls = plugins.reader(one.format)
        reader = cls(**check_arguments(cls, one.options, f"configuration '{name}'"))
        for split, part in sorted(one.splits.items()):
            rows, content = len(reader.samples(split)), reader.content_hash(split)
            yield Check(
                what=f"{name}, {split}",
                ok=(part.rows, part.content_hash) == (rows, content),
                got=f"{part.rows} samples, {part.content_hash}",
                expected=f"{rows} samples, {content}, which this version makes",
            )
    except BenchError as error:
        yield Check(what=name, ok=False, got=str(error))


def _how_many(entry: Entry, manifest: Manifest, plugins: Plugins) -> Check:
    wanted = {configuration_of(name) for name in _tasks_of(entry, plugins)}
    here = wanted & set(manifest.configurations)
    return Check(what="tasks", ok=True, got=f"{len(here)} of {len(wanted)} exported")
