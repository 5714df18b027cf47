"""Opens a task's data and holds it to its pins: split, revision, row count, content hash."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from g2vlm_bench.data.known_hashes import hash_file
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Sample


class DataPins(msgspec.Struct, frozen=True, kw_only=True):
    """What a task says of its data besides the reader's own options.

    Attributes:
        format: The reader.
        split: Which split is scored.
        train_split: Which split floors are fitted on; none where it is empty.
        root: Folder of the data, relative to `--data-root`; empty for data that needs no files.
        revision: The data's own version, recorded with every run.
        rows: Number of samples; checked before scoring.
        content_hash: `sha256:...` of the content; checked before scoring.
        awaits: Pins that nobody could know here, since the files were not here. `validate` records
            them in the folder of the data at first use, and they are held to that from then on.
        sources: Where columns, rows, prompts and licence are taken from, each with its commit.
    """

    format: str
    split: str = "test"
    train_split: str = ""
    root: str = ""
    revision: str = ""
    rows: int | None = None
    content_hash: str | None = None
    awaits: list[Literal["revision", "rows", "content_hash"]] = []
    sources: list[str] = []


class Recorded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found of a task's data at first use.

    Attributes:
        revision: As the data say themselves; empty where they do not.
        rows: Number of samples.
        content_hash: Of the content.
    """

    revision: str
    rows: int
    content_hash: str


RECORD_FILE = ".g2vlm-bench-pins.json"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is recorded of the data that a run was scored on.

    Attributes:
        source: Format and folder.
        split: Which split.
        revision: As the task pins it.
        rows: Number of samples of the split.
        ids_hash: `sha256:...` of the ids, in order.
        content_hash: `sha256:...` of the content.
        pinned: Whether the task pins rows and content, and both were as pinned.
    """

    source: str
    split: str
    revision: str
    rows: int
    ids_hash: str
    content_hash: str
    pinned: bool


@dataclass(frozen=True)
class Dataset:
    """A task's samples, held to their pins.

    Attributes:
        pins: What they are held to.
        samples: Of the scored split.
        fingerprint: What is recorded of them.
        reader: Which opened them.
        trainer: Which opens the training split.
        where: The task, for errors.
    """

    pins: DataPins
    samples: Sequence[Sample]
    fingerprint: Fingerprint
    reader: Reader
    trainer: Reader
    where: str

    @cached_property
    def training(self) -> Sequence[Sample]:
        """Samples of the training split, listed only for what is fitted on it; none without one.

        Raises:
            BenchError: A sample of the scored split is among them.
        """
        if not self.pins.train_split:
            return ()
        training = self.trainer.samples(self.pins.train_split)
        shared = {s.id for s in self.samples} & {s.id for s in training}
        if shared:
            raise BenchError(
                f"{self.where}, training split",
                expected="no sample of the scored split",
                got=f"'{min(shared)}' in both",
            )
        return training

    def training_hash(self) -> str:
        """Hash the content of the training split, computed only for what is fitted on it."""
        return self.trainer.content_hash(self.pins.train_split)


def split_pins(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a task's `data` section into the pins and the reader's own options."""
    names = {field.name for field in msgspec.structs.fields(DataPins)}
    pins = {key: value for key, value in data.items() if key in names}
    return pins, {key: value for key, value in data.items() if key not in names}


def open_dataset(
    pins: DataPins, reader: Reader, where: str, trainer: Reader | None = None
) -> Dataset:
    """List a task's samples and check them against its pins. Opens no image.

    Args:
        pins: What the task says of its data.
        reader: Made from the task's options.
        where: The task, for errors.
        trainer: Opens the training split where another reader than that of the scored one does.

    Raises:
        BenchError: A split is unknown or empty, an id stands twice or cannot be stored, or rows or
            content are not as pinned.
    """
    trainer = trainer or reader
    for split, opener in ((pins.split, reader), (pins.train_split, trainer)):
        if split and split not in opener.splits:
            raise BenchError(
                f"{where}, data split", expected=" or ".join(opener.splits), got=f"'{split}'"
            )
    samples = reader.samples(pins.split)
    _check_ids(samples, where)
    content = reader.content_hash(pins.split)
    found = Recorded(revision=reader.revision, rows=len(samples), content_hash=content)
    _hold(
        found,
        (pins.revision, pins.rows, pins.content_hash),
        where,
        "The data are not those the task was made for; fetch the pinned revision.",
    )
    if reader.keeps_record and (first := read_record(reader.keeps_record).get(where)):
        _hold(
            found,
            (first.revision, first.rows, first.content_hash),
            where,
            f"They were others at first use; remove {RECORD_FILE} to trust what is there now.",
        )
    fingerprint = Fingerprint(
        source=f"{pins.format}:{pins.root}" if pins.root else pins.format,
        split=pins.split,
        revision=pins.revision or reader.revision,
        rows=len(samples),
        ids_hash=hash_text(sample.id for sample in samples),
        content_hash=content,
        pinned=pins.rows is not None and pins.content_hash is not None,
    )
    return Dataset(pins, samples, fingerprint, reader, trainer, where)


def _hold(found: Recorded, pins: tuple[str, int | None, str | None], where: str, fix: str) -> None:
    revision, rows, content = pins
    checks = (
        ("revision", revision if found.revision else "", found.revision),
        ("rows", rows, found.rows),
        ("content", content, found.content_hash),
    )
    for what, pinned, got in checks:
        if pinned not in (None, "", got):
            raise BenchError(f"{where}, data {what}", expected=pinned, got=got, fix=fix)


def read_record(root: Path) -> dict[str, Recorded]:
    """Read what was found at first use, by task; nothing where nothing was recorded.

    Raises:
        BenchError: The record is damaged. It is not passed over: what was trusted once would then
            be trusted anew.
    """
    path = root / RECORD_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Recorded])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(
            path,
            expected="the record of first use",
            got=error,
            fix="Remove it to trust what is there.",
        ) from None


def record(dataset: Dataset, where: str) -> Path | None:
    """Record what a task's data are, where the task does not pin them and no record is there.

    Args:
        dataset: The task's data.
        where: The task, as `open_dataset` was told.

    Returns:
        The file, if something was written; None where the data are pinned, were recorded before,
        have no folder to record in, or it cannot be written to.
    """
    root, found = dataset.reader.keeps_record, dataset.fingerprint
    if root is None or found.pinned or where in (known := read_record(root)):
        return None
    known[where] = Recorded(
        revision=dataset.reader.revision, rows=found.rows, content_hash=found.content_hash
    )
    path = root / RECORD_FILE
    beside = root / f"{RECORD_FILE}.part"
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(known, order="sorted")))
        beside.replace(path)
    except OSError:
        return None
    return path


def hash_text(parts: Iterable[str]) -> str:
    """Hash a sequence of texts, as `sha256:<hex>`; where one part ends matters."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def hash_files(
    root: Path, paths: Iterable[Path], hash_one: Callable[[Path], str] = hash_file
) -> str:
    """Hash the names and contents of files below a folder, as `sha256:<hex>`.

    Args:
        root: The folder.
        paths: The files.
        hash_one: Gives one file's SHA-256.

    Raises:
        BenchError: A file is missing.
    """
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        try:
            content = hash_one(path)
        except OSError as error:
            raise BenchError(
                path, expected="a readable file", got=error.strerror or str(error)
            ) from None
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(f"{name} {content}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _check_ids(samples: Sequence[Sample], where: str) -> None:
    if not samples:
        raise BenchError(f"{where}, data", expected="at least one sample", got="none")
    for sample in samples:
        for name in (sample.id, sample.cluster):
            try:
                str.encode(name)
            except (TypeError, UnicodeEncodeError):  # JSON can spell half of a surrogate pair
                raise BenchError(
                    f"{where}, sample ids", expected="text that UTF-8 can hold", got=repr(name)
                ) from None
    twice = [name for name, count in Counter(s.id for s in samples).items() if count > 1]
    if twice:
        raise BenchError(
            f"{where}, sample ids", expected="each id once", got=f"'{twice[0]}' more than once"
        )
