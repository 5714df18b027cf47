"""The run folder, written so that a kill costs one batch at most.

run.json                 what repeats the run, and its results; replaced as a whole
samples.jsonl            one line a sample, in the task's order, flushed
predictions/index.jsonl  one line a prediction, flushed when its file is complete
predictions/<id>.npz     arrays of one prediction, never pickled
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from g2vlm_bench.environment import Environment
from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Prediction

SCHEMA = 1
_BLOCK = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a path that cannot be written to gives: a file for a folder, no such folder, no permission.
_UNFIT = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
Status = Literal["scored", "failed", "unscored"]
S = TypeVar("S", bound=msgspec.Struct)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sample failed: at which stage, by which exception, saying what."""

    stage: Literal["inputs", "predict", "prediction", "target", "score"]
    kind: str
    message: str

    @classmethod
    def of(cls, stage: Any, error: BaseException) -> Failure:
        """Keep an exception as one line, even one that cannot be shown."""
        try:
            message = " ".join(str(error).split()) or "no message"
        except Exception:
            message = "its message cannot be shown"
        # JSON holds no lone surrogates, which the name of a file that is not UTF-8 is full of.
        return cls(stage=stage, kind=type(error).__name__, message=_escape(message)[:500])


class PredictionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `predictions/index.jsonl`.

    Attributes:
        prompt: What a language model was asked, exactly as it saw it; None where nothing was asked.
        system: What it was told before.
        drawn: All answers where several were drawn, `answer` the first of them.
        file: Name of the array file beside the index, None for a prediction of text alone.
        sha256: Of that file, so that an altered one is found before it is scored.
    """

    id: str
    seconds: float
    prompt: str | None = None
    system: str = ""
    answer: str | None = None
    drawn: tuple[str, ...] = ()
    ambiguity: Ambiguity | None = None
    file: str | None = None
    sha256: str | None = None
    error: Failure | None = None


class SampleLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `samples.jsonl`: how one sample ended.

    Attributes:
        values: Metric -> value; None where it is undefined for this prediction, and so failed.
        weights: Weight key -> weight; a metric whose weight is 0 does not apply to this sample.
        undefined: Weight key -> why the truth leaves its metrics undefined here; not known of older
            lines, whose weights of 0 are just left out.
        worst: What a failure counts as here, where that is not the metric's own worst.
        groups: Kind of group -> the group of samples that count as one question only together.
    """

    id: str
    cluster: str
    status: Status
    tags: dict[str, str] = {}
    groups: dict[str, str] = {}
    values: dict[str, float | None] = {}
    weights: dict[str, float] = {}
    undefined: dict[str, str] = {}
    worst: dict[str, float] = {}
    details: dict[str, Any] = {}
    seconds: float = 0.0
    error: Failure | None = None
    prediction: str | None = None
    prediction_sha256: str | None = None

    def without(self, error: Exception) -> SampleLine:
        """The same sample less what no line can hold, and so without a score."""
        unfit = ValueError(
            "expected tags and details as JSON: numbers, lists, mappings and text that is valid "
            f"Unicode: {error}"
        )
        line = msgspec.structs.replace(
            self,
            tags=_escaped(self.tags),
            groups=_escaped(self.groups),
            undefined=_escaped(self.undefined),
            details={},
        )
        if line.status != "scored":
            return line
        failure = Failure.of("score", unfit)
        return msgspec.structs.replace(line, status="failed", values={}, error=failure)


class MetricResult(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a run, with its interval and its three counts.

    Attributes:
        value: Mean with every failure at the metric's worst value; None where that is infinite.
        low: Lower end of the 95 % interval; None where it is undefined (fewer than two clusters).
        high: Upper end.
        value_scored: Mean (or median) over the scored samples alone, for reading beside `value`.
        n_unscored: Samples without truth, and those whose truth leaves this metric undefined.
        n_clusters: Scenes that were resampled.
        undefined: Why a truth leaves this metric undefined -> how many of the unscored.
    """

    metric: str
    unit: str
    higher_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    value_scored: float | None
    n_scored: int
    n_failed: int
    n_unscored: int
    n_clusters: int
    undefined: dict[str, int] = {}

    @property
    def unscored(self) -> str:
        """Say how many are unscored, and of how many of them the truth leaves this undefined."""
        reasons = "; ".join(f"{count} where {why}" for why, count in self.undefined.items())
        return f"{self.n_unscored} unscored" + (f" ({reasons})" if reasons else "")


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The task of a run, whole."""

    name: str
    version: int
    family: str
    definition_hash: str
    definition: dict[str, Any]


class DataRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a run."""

    source: str
    split: str
    revision: str
    rows: int
    ids_hash: str
    content_hash: str
    pinned: bool
    limit: int | None = None


class AdapterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a run.

    Attributes:
        source_hash: Of the adapter's file, and of the wrapper's before it.
        fitted_on: Hash of the training split that a floor was fitted on.
        reads_truth: Whether it is a reference row made from the truth, which is never ranked.
        is_floor: Whether its answers owe nothing to the images; not known of older runs.
    """

    spec: str
    arguments: dict[str, Any]
    source_hash: str
    predicts: list[str]
    wants: list[str]
    ambiguity: str | None
    reads_truth: bool
    is_floor: bool = False
    fitted_on: str | None = None
    checkpoint: str | None = None
    weights_hash: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | str = 1

    @property
    def label(self) -> str:
        """The model's name in tables: its arguments tell one checkpoint from another.

        >>> AdapterRecord.named("files", {"path": "out", "ambiguity": "scale"})
        'files(ambiguity=scale, path=out)'
        """
        return self.named(self.spec, self.arguments)

    @staticmethod
    def named(spec: str, arguments: Mapping[str, Any]) -> str:
        """Join a spec and its arguments into one name."""
        given = ", ".join(f"{key}={value}" for key, value in sorted(arguments.items()))
        return f"{spec}({given})" if given else spec


class RunRecord(msgspec.Struct, kw_only=True):
    """`run.json`: everything needed to repeat a run and to read its numbers.

    Attributes:
        refused: Metric -> why this model's predictions are not scored by it.
        environment: What it was predicted with, from its first session to its last.
        scorer: Hashes of the code that makes a score of a prediction, where runs that are compared
            must be equal.
        scored_with: What it was scored with last, packages included; not known of older runs.
        unreadable_truths: Of the unscored, those whose truth could not be opened or read.
        retried: Samples that had failed and were asked again because the user said so, and turns of
            talks that had heard a failure; no part of the identity.
        finished: When the run was completed, UTC; like seconds and memory no part of its identity.
        peak_memory_mb: Of the process so far, which may have run other models before.
    """

    schema: int = SCHEMA
    status: Literal["running", "interrupted", "predicted", "complete"] = "running"
    identity: str
    task: TaskRecord
    data: DataRecord
    adapter: AdapterRecord
    metrics: list[MetricSpec]
    refused: dict[str, str] = {}
    seed: int
    environment: Environment
    scorer: dict[str, str] = {}
    scored_with: Environment | None = None
    results: list[MetricResult] = []
    categories: dict[str, dict[str, list[MetricResult]]] = {}
    counts: dict[str, int] = {}
    unreadable_truths: int = 0
    parse_statuses: dict[str, int] = {}
    retried: int = 0
    finished: str | None = None
    seconds: dict[str, float] = {}
    peak_memory_mb: dict[str, float] = {}

    def ambiguity(self) -> Ambiguity | None:
        """Up to what the model's depth and points are known, None where it gives neither."""
        return None if self.adapter.ambiguity is None else Ambiguity(self.adapter.ambiguity)

    def result(self, metric: str) -> MetricResult | None:
        """Look up one number, None where the run does not have it."""
        return next((r for r in self.results if r.metric == metric), None)


def identity_of(parts: Mapping[str, Any]) -> str:
    """Hash all that determines a run's numbers; two models can never share an identity."""
    canonical = msgspec.json.encode(parts, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


class RunFolder:
    """One run on disk. As a context manager it holds the lock that keeps other writers out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> Self:
        (self.path / "predictions").mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BenchError(
                self.path,
                expected="no other writer",
                got="another process that is writing this run",
                fix="Wait for it, or give this one another --out.",
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "run.json").is_file()

    def discard(self) -> None:
        """Remove a run that turned out not to be one."""
        shutil.rmtree(self.path)

    def read_record(self) -> RunRecord:
        """Read `run.json`.

        Raises:
            BenchError: It is missing, broken, or of a newer schema.
        """
        path = self.path / "run.json"
        try:
            content = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            raise BenchError(
                self.path, expected="a run folder", got="no run.json", fix="Name a run's folder."
            ) from None
        except msgspec.DecodeError as error:
            raise BenchError(path, expected="JSON", got=str(error)) from None
        schema = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(schema, int) or schema > SCHEMA:
            raise BenchError(
                path,
                expected=f"schema {SCHEMA} or older",
                got=f"schema {schema}",
                fix="It was written by a newer g2vlm-bench; upgrade.",
            )
        try:
            return msgspec.convert(content, RunRecord)
        except msgspec.ValidationError as error:
            raise BenchError(path, expected="a run record", got=str(error)) from None

    def write_record(self, record: RunRecord) -> None:
        """Replace `run.json` as a whole."""
        encoded = msgspec.json.format(msgspec.json.encode(record), indent=1)
        write_atomically(self.path / "run.json", encoded + b"\n")

    def predictions(self) -> Iterator[PredictionLine]:
        """Read the index in the task's order; a line that a kill cut off does not count."""
        return _read_lines(self.path / "predictions" / "index.jsonl", PredictionLine)

    def append_predictions(self) -> LineWriter[PredictionLine]:
        """Open the index of predictions for appending, behind its last complete line."""
        path = self.path / "predictions" / "index.jsonl"
        _cut_torn_line(path)
        return LineWriter(path, "ab")

    def keep_predictions(self, ids: Iterable[str]) -> None:
        """Rewrite the index with the lines of these samples alone, in this order."""
        lines = {line.id: line for line in self.predictions()}
        kept = (msgspec.json.encode(lines[one]) + b"\n" for one in ids)
        write_atomically(self.path / "predictions" / "index.jsonl", b"".join(kept))

    def samples(self) -> Iterator[SampleLine]:
        """Read the scored samples in the task's order."""
        return _read_lines(self.path / "samples.jsonl", SampleLine)

    def rewrite_samples(self) -> SampleWriter:
        """Open `samples.jsonl` afresh."""
        return SampleWriter(self.path / "samples.jsonl", "wb")

    def save_prediction(
        self,
        sample_id: str,
        prediction: Prediction,
        seconds: float,
        prompt: str | None = None,
        system: str = "",
    ) -> PredictionLine:
        """Write a prediction's arrays and give the line that belongs into the index."""
        arrays = _to_arrays(prediction)
        file = digest = None
        if arrays:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **arrays)
            content = buffer.getvalue()
            file = f"{_file_name(sample_id)}.npz"
            digest = hashlib.sha256(content).hexdigest()
            write_atomically(self.path / "predictions" / file, content)
        return PredictionLine(
            id=sample_id,
            seconds=seconds,
            prompt=prompt,
            system=system,
            answer=prediction.answer,
            drawn=prediction.drawn,
            ambiguity=prediction.ambiguity,
            file=file,
            sha256=digest,
        )

    def load_prediction(self, line: PredictionLine) -> Prediction:
        """Read a stored prediction back.

        Raises:
            BenchError: Its file is missing, altered, or cannot be read.
        """
        arrays: dict[str, NDArray[Any]] = {}
        if line.file is not None:
            path = self.path / "predictions" / Path(line.file).name
            try:
                content = path.read_bytes()
            except OSError as error:
                raise BenchError(path, expected="a stored prediction", got=str(error)) from None
            if hashlib.sha256(content).hexdigest() != line.sha256:
                raise BenchError(
                    path,
                    expected="the file that was stored",
                    got="another content",
                    fix="Predict again into a new folder.",
                )
            try:
                with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                    arrays = dict(stored)
            except Exception as error:  # zipfile, zlib and numpy each raise their own
                raise BenchError(path, expected="arrays", got=str(error)) from None
        return _from_arrays(arrays, line)


class LineWriter(Generic[S]):
    """Appends JSON lines, each flushed to the file before the next."""

    def __init__(self, path: Path, mode: Literal["ab", "wb"]) -> None:
        self._file = path.open(mode)
        self._encoder = msgspec.json.Encoder(enc_hook=_plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, line: S) -> None:
        """Write one line and flush it."""
        self._file.write(self._encoder.encode(line) + b"\n")
        self._file.flush()


class SampleWriter(LineWriter[SampleLine]):
    """Writes scored samples; what cannot be written of one is its failure, not the run's."""

    def write(self, line: SampleLine) -> None:
        """Write one line and flush it."""
        try:
            super().write(line)
        except (TypeError, ValueError, RecursionError) as error:
            super().write(line.without(error))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a disk that is full or a path that cannot be written into an error of one line.

    Raises:
        BenchError: In place of the `OSError`; any other passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (*_FULL, *_UNFIT):
            raise
        full = "Make room and run it again: it goes on where it stopped."
        raise BenchError(
            path,
            expected="a place that can be written",
            got=error.strerror,
            fix=full if error.errno in _FULL else "Name another place.",
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        # On a full disk, what was half written would keep the room that is missing.
        with suppress(OSError):
            partial.unlink()
        raise


def _escaped(texts: Mapping[str, str]) -> dict[str, str]:
    return {_escape(key): _escape(text) for key, text in texts.items()}


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """Give a numpy scalar or array as plain numbers, which families put into details."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"expected numbers, text, lists or mappings, got {type(value).__name__}")


def _file_name(sample_id: str) -> str:
    # Percent-encoded, so that no id can name a place outside the folder, and short enough for one.
    # What is not the id itself carries its hash behind a '%', which stands in no unaltered name.
    # Upper case counts as altered: some file systems cannot tell 'A' from 'a'.
    name = quote(sample_id, safe=" ()+,=@").lstrip(".")
    if name != sample_id.lower() or not 0 < len(name) <= 180:
        name = f"{name[:150]}%{hashlib.sha256(sample_id.encode()).hexdigest()[:12]}"
    return name


def _read_lines(path: Path, kind: type[S]) -> Iterator[S]:
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise BenchError(
                    f"{path}:{number}", expected=f"a {kind.__name__}", got=str(error)
                ) from None


def _cut_torn_line(path: Path) -> None:
    if not path.is_file():
        return
    # Read backwards in blocks: an index of long answers is larger than memory should be.
    with path.open("rb+") as file:
        whole = file.seek(0, os.SEEK_END)
        while whole > 0:
            start = max(0, whole - _BLOCK)
            file.seek(start)
            whole = start + file.read(whole - start).rfind(b"\n") + 1
            if whole > start:
                break
        file.truncate(whole)


def _to_arrays(prediction: Prediction) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name in ("depth", "point_maps", "confidence", "intrinsics", "world_from_camera", "masks"):
        views = getattr(prediction, name)
        for index, view in enumerate(views or ()):
            arrays[f"{name}_{index:04d}"] = view
    for name in (
        *("points", "normals", "choice_loglikelihoods", "choice_is_greedy"),
        *("location", "embedding"),
    ):
        if getattr(prediction, name) is not None:
            arrays[name] = getattr(prediction, name)
    return arrays


def _from_arrays(arrays: Mapping[str, NDArray[Any]], line: PredictionLine) -> Prediction:
    def views(name: str) -> tuple[NDArray[Any], ...] | None:
        keys = sorted(key for key in arrays if key.startswith(f"{name}_"))
        return tuple(arrays[key] for key in keys) or None

    return Prediction(
        depth=views("depth"),
        point_maps=views("point_maps"),
        confidence=views("confidence"),
        intrinsics=views("intrinsics"),
        world_from_camera=views("world_from_camera"),
        points=arrays.get("points"),
        normals=arrays.get("normals"),
        choice_loglikelihoods=arrays.get("choice_loglikelihoods"),
        choice_is_greedy=arrays.get("choice_is_greedy"),
        masks=views("masks"),
        location=arrays.get("location"),
        embedding=arrays.get("embedding"),
        answer=line.answer,
        drawn=line.drawn,
        ambiguity=line.ambiguity,
    )
