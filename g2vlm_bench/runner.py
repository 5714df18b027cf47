"""The loop: samples go to a model, its predictions to a run folder, its scores to a record.

Predicting and scoring are two passes that meet only in the run folder, so that `score RUN` is the
very function that the run itself used.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from g2vlm_bench.adapter import Adapter, FittedAdapter, TruthAdapter, WrappingAdapter
from g2vlm_bench.data.export import configuration_of, export_of
from g2vlm_bench.data.pin import DataPins, Dataset, open_dataset, split_pins
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.environment import (
    Environment,
    code_hash,
    file_hash,
    is_shipped_reader,
    peak_memory_mb,
    scorer_hash,
)
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.fitting import HELD_OUT, FittedByKind
from g2vlm_bench.plugins import Plugins, check_arguments, load_class
from g2vlm_bench.predicting import AUTO_BATCH, Predictor
from g2vlm_bench.progress import progress
from g2vlm_bench.sample import Sample, Want
from g2vlm_bench.scoring import score_samples, write_results
from g2vlm_bench.shuffling import asked_otherwise, partners
from g2vlm_bench.store import (
    AdapterRecord,
    DataRecord,
    RunFolder,
    RunRecord,
    TaskRecord,
    disk_errors,
    identity_of,
)
from g2vlm_bench.talks import with_later_turns
from g2vlm_bench.task import Family, TaskDefinition
from g2vlm_bench.yaml_files import convert

# As a data root: whatever the Hub has is taken from there.
HUB = Path("hub:")
_DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d+)?")
_DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say of a run besides the model and the task.

    Attributes:
        out: Folder of run folders.
        data_root: Where tasks' `data.root` starts.
        device: For adapters that take one: `auto`, `cpu`, `cuda`, `cuda:1`.
        dtype: For adapters that take one: `auto`, `float32`, `bfloat16`, `float16`.
        batch_size: Samples a batch; `auto` starts large and halves when memory runs out.
        limit: Only the first samples; the run says so, and a board marks it.
        retry_failed: Whether samples whose prediction failed in an earlier call are asked again;
            else a failure is a result like any other.

    Raises:
        BenchError: An option has no such value, whether or not this adapter takes it.
    """

    out: Path = Path("runs")
    data_root: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    limit: int | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        """Refuse what a model that takes no such option would let pass, and a run would record."""
        if not _DEVICE.fullmatch(self.device):
            raise BenchError(
                "device", expected="auto, cpu, cuda, cuda:1 or the like", got=f"'{self.device}'"
            )
        if self.dtype not in _DTYPES:
            raise BenchError("dtype", expected=", ".join(_DTYPES), got=f"'{self.dtype}'")
        for name in ("batch_size", "limit"):
            count = getattr(self, name)
            if isinstance(count, int) and count < 1:
                raise BenchError(name, expected="1 or more", got=count)


class NotApplicableError(BenchError):
    """This model cannot take part in this task; others can."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task ready to run: its definition, its family, its data held to their pins.

    Attributes:
        scorer: Hashes of the files that make a score of a prediction, beside the core's own: the
            family, and a reader of the user's, whose truth the content hash need not cover.
    """

    definition: TaskDefinition
    family: Family
    dataset: Dataset
    reader_hash: str
    scorer: dict[str, str]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.definition.name

    @classmethod
    def load(
        cls, plugins: Plugins, definition: TaskDefinition, data_root: Path | None = None
    ) -> Task:
        """Make a task's family and open its data, checked against its pins.

        Raises:
            BenchError: The definition, its family or its data are not as they should be.
        """
        family = plugins.family(definition)
        where = f"task {definition.name}"
        pinned, options = split_pins(definition.data)
        pins = convert(pinned, DataPins, f"{where}, key 'data'")
        opened = partial(_open_reader, plugins, where, data_root)
        export = export_of(definition.name, pins.format, options, data_root)
        if export is None:
            reader = trainer = opened(pins, options)
        else:
            # The same data, read and not made: their hash says so, and that it is held to the pins.
            read = msgspec.structs.replace(pins, format="world_export", root=export.name)
            reader = opened(read, {"configuration": configuration_of(definition.name)})
            # What was not exported is made, once something is fitted on it.
            trainer = reader if pins.train_split in reader.splits else opened(pins, options)
            pins = read
        reader_path = plugins.path("reader", pins.format)
        reader_hash = file_hash(reader_path)
        # A shipped one is not named: made data and their export are read by two, and comparable.
        own_reader = {} if is_shipped_reader(reader_path) else {"reader": reader_hash}
        family_hash = file_hash(plugins.path("family", definition.family))
        return cls(
            definition=definition,
            family=family,
            dataset=open_dataset(pins, reader, where, trainer),
            reader_hash=reader_hash,
            scorer={"family": family_hash, **own_reader},
        )


def _open_reader(
    plugins: Plugins, where: str, data_root: Path | None, pins: DataPins, options: dict[str, Any]
) -> Reader:
    """Make the reader of a task's data."""
    reader = plugins.reader(pins.format)
    offered: dict[str, Any] = {"revision": pins.revision}
    if reader.from_hub and data_root == HUB:
        offered["root"] = None
    elif pins.root:
        offered["root"] = _data_folder(where, pins.root, data_root, options.get("hub", ""))
    return reader(**check_arguments(reader, options, f"{where}, key 'data'", offered))


@dataclass(slots=True)
class Model:
    """A model ready to run: the adapter, and what is recorded of it."""

    spec: str
    adapter: Adapter
    arguments: dict[str, Any] = field(default_factory=dict)
    source_hash: str = ""

    @classmethod
    def load(
        cls, plugins: Plugins, spec: str, arguments: dict[str, Any], options: Options
    ) -> Model:
        """Make the adapter of a model spec.

        Raises:
            BenchError: The model or an argument is unknown, or its weights cannot be loaded.
        """
        offered = {"device": options.device, "dtype": options.dtype}
        adapter = plugins.adapter(spec, arguments, offered)
        hashes = [file_hash(plugins.path("adapter", name)) for name in spec.split(":")]
        return cls(spec, adapter, arguments, ":".join(hashes))

    def wrapped(self, plugins: Plugins, wrapper: str) -> Model | None:
        """The same model in a wrapper, its weights loaded once; None where they do not go together.

        What is recorded of it is what `load` records of `wrapper:model`.
        """
        if isinstance(self.adapter, TruthAdapter | FittedAdapter | WrappingAdapter):
            return None
        if not self.adapter.looks:
            return None
        path = plugins.path("adapter", wrapper)
        try:
            adapter = load_class(path, WrappingAdapter)(self.adapter)
        except BenchError:  # it has nothing to wrap, such as answers to questions
            return None
        source_hash = f"{file_hash(path)}:{self.source_hash}"
        return Model(f"{wrapper}:{self.spec}", adapter, self.arguments, source_hash)


def run(task: Task, model: Model, options: Options) -> tuple[RunFolder, RunRecord]:
    """Score one model on one task, going on where an interrupted run of the same identity stopped.

    Raises:
        NotApplicableError: The model does not predict what the task scores.
        BenchError: The folder is being written by another process, or the disk is full.
        KeyboardInterrupt: Passed on after the run is marked as interrupted.
    """
    samples = task.dataset.samples[: options.limit]
    record = plan(task, model, options)
    begun = record.environment
    folder = RunFolder(options.out / _folder_name(task, model, record.identity))
    again: set[str] = set()
    with disk_errors(folder.path), folder:
        if folder.exists:
            stored = folder.read_record()
            if options.retry_failed:
                again = _to_retry(folder, samples)
            if stored.status == "complete" and not again:
                return folder, stored
            record.seconds, record.retried = stored.seconds, stored.retried + len(again)
            if any(True for _ in folder.predictions()):
                record.environment = begun.since(stored.environment)
        folder.write_record(record)
        if again:
            record.seconds.pop("score", None)
            held = [line.id for line in folder.predictions()]
            folder.keep_predictions(one for one in held if one not in again)
        try:
            with _stage(record, "predict"):
                _predict(task, model, record, folder, samples)
            record.status = "predicted"
            folder.write_record(record)
            with _stage(record, "score"):
                _score(task, record, folder, samples)
        except KeyboardInterrupt:
            record.status = "interrupted"
            folder.write_record(record)
            raise
        except NotApplicableError:
            # A floor that cannot be fitted here leaves no run that could ever be complete.
            if not record.retried:
                folder.discard()
            raise
        record.finished = datetime.now(UTC).isoformat(timespec="seconds")
        record.peak_memory_mb = peak_memory_mb()
        record.scored_with = begun.ended()
        record.environment = record.scored_with.since(record.environment)
        record.status = "complete"
        folder.write_record(record)
    return folder, record


def _to_retry(folder: RunFolder, samples: Sequence[Sample]) -> set[str]:
    failed = {line.id for line in folder.predictions() if line.error is not None}
    return with_later_turns(samples, failed)


def rescore(plugins: Plugins, path: Path, data_root: Path | None = None) -> RunRecord:
    """Score a run's stored predictions again; no model and no GPU are needed.

    The task is the one the run stored, not the one of that name today.

    Raises:
        NotComparableError: The data are no longer those the run was predicted on.
        BenchError: The folder is no run, or its predictions are not complete.
    """
    folder = RunFolder(path)
    record = folder.read_record()
    begun = Environment.gather()
    with disk_errors(path), folder:
        task = stored_task(plugins, record, data_root)
        samples = task.dataset.samples[: record.data.limit]
        # What a kill leaves half scored must not read as complete.
        record.status = "predicted"
        folder.write_record(record)
        record.seconds.pop("score", None)
        with _stage(record, "score"):
            _score(task, record, folder, samples)
        record.scored_with = begun.ended()
        record.status = "complete"
        folder.write_record(record)
    return record


def plan(task: Task, model: Model, options: Options) -> RunRecord:
    """Describe a run before it starts, and derive its identity from all that fixes its numbers.

    Raises:
        NotApplicableError: The model does not predict what the task scores.
    """
    adapter, definition = model.adapter, task.definition
    wants = choose_wants(task, model)
    metrics = task.family.servable(adapter.ambiguity)
    if not metrics:
        raise NotApplicableError(
            f"{model.spec} on {task.name}",
            expected="a protocol that its predictions can serve",
            got=f"{adapter.ambiguity} predictions, refused by every protocol of the task",
        )
    names = {spec.name for spec in metrics}
    adapter_record = AdapterRecord(
        spec=model.spec,
        arguments=msgspec.to_builtins(model.arguments, enc_hook=str),
        source_hash=model.source_hash,
        predicts=sorted(adapter.predicts),
        wants=sorted(wants),
        ambiguity=adapter.ambiguity,
        reads_truth=isinstance(adapter, TruthAdapter),
        is_floor=adapter.is_floor,
        fitted_on=_fitted_on(task, adapter),
        checkpoint=adapter.checkpoint,
        weights_hash=adapter.weights_hash,
        # "auto" would let a run begun on a GPU be finished on a CPU.
        device=adapter.device or options.device,
        dtype=options.dtype,
        batch_size=options.batch_size,
    )
    data = DataRecord(**asdict(task.dataset.fingerprint), limit=options.limit)
    environment = Environment.gather()
    definition_content = msgspec.to_builtins(definition)
    task_record = TaskRecord(
        name=definition.name,
        version=definition.version,
        family=definition.family,
        definition_hash=f"sha256:{identity_of(definition_content)}",
        definition=definition_content,
    )
    identity = identity_of(
        {
            "task": task_record,
            "data": data,
            "adapter": adapter_record,
            "family": task.scorer["family"],
            "reader": task.reader_hash,
            "code": code_hash(),
            "packages": environment.packages,
        }
    )
    return RunRecord(
        identity=identity,
        task=task_record,
        data=data,
        adapter=adapter_record,
        metrics=list(metrics),
        refused={
            spec.name: f"{adapter.ambiguity} predictions cannot be scored as {spec.protocol}"
            for spec in task.family.specs
            if spec.name not in names
        },
        seed=definition.seed,
        environment=environment,
    )


def choose_wants(task: Task, model: Model) -> frozenset[Want]:
    """Choose the first of a task's alternatives that a model predicts.

    Raises:
        NotApplicableError: It predicts none of them, or needs a training split that is not there.
    """
    adapter = model.adapter
    if isinstance(adapter, FittedAdapter) and _fitted_on(task, adapter) is None:
        raise NotApplicableError(
            f"{model.spec} on {task.name}",
            expected="a training split to fit the floor on",
            got="a task without one",
        )
    if adapter.needs_images and not task.dataset.reader.shows_images:
        raise NotApplicableError(
            f"{model.spec} on {task.name}",
            expected="a task that shows images",
            got="one without, for predictions made elsewhere",
        )
    for wants in task.family.wants:
        if wants <= adapter.predicts:
            return wants
    alternatives = " or ".join("+".join(sorted(wants)) for wants in task.family.wants)
    raise NotApplicableError(
        f"{model.spec} on {task.name}",
        expected=f"a model that predicts {alternatives}",
        got=", ".join(sorted(adapter.predicts)) or "one that predicts nothing",
    )


def _fitted_on(task: Task, adapter: Adapter) -> str | None:
    """What a floor is fitted on; None where there is nothing, or nothing is fitted."""
    if not isinstance(adapter, FittedAdapter):
        return None
    if task.dataset.training:
        return task.dataset.training_hash()
    return HELD_OUT if adapter.fits_answers else None


def _predict(
    task: Task, model: Model, record: RunRecord, folder: RunFolder, samples: Iterable[Sample]
) -> None:
    samples = list(samples)
    if (done := sum(1 for _ in folder.predictions())) < len(samples):
        _ask(task, model, record, folder, samples, done)
    if record.retried:
        # What was asked again stands behind the others.
        folder.keep_predictions(sample.id for sample in samples)


def _ask(
    task: Task,
    model: Model,
    record: RunRecord,
    folder: RunFolder,
    samples: Sequence[Sample],
    done: int,
) -> None:
    adapter = model.adapter
    if isinstance(adapter, FittedAdapter):
        adapter = _fit(task, model.spec, adapter)
    size = record.adapter.batch_size
    predictor = Predictor(
        adapter=adapter,
        family=task.family,
        wants=frozenset(Want(want) for want in record.adapter.wants),
        batch_size=AUTO_BATCH if isinstance(size, str) else size,
        seed=record.seed,
        partners=_partners(model, task.name, samples, record.seed),
    )
    with progress(f"{model.spec} on {task.name}", len(samples), done) as advance:
        predictor.run(folder, samples, advance)


def _partners(
    model: Model, task: str, samples: Sequence[Sample], seed: int
) -> Mapping[str, Sample]:
    if not model.adapter.swapped:
        return {}
    try:
        found = partners(samples, seed)
    except ValueError as error:
        raise NotApplicableError(f"{model.spec} on {task}", got=error) from None
    # Asked what it would be asked anyway, it is the model itself, and no floor for it.
    if model.adapter.swapped == "question" and not asked_otherwise(samples, found):
        raise NotApplicableError(
            f"{model.spec} on {task}", expected="questions that differ", got="one for all scenes"
        )
    return found


def _fit(task: Task, spec: str, adapter: FittedAdapter) -> Adapter:
    family, training = task.family, task.dataset.training
    try:
        if adapter.fits_answers:
            return FittedByKind(adapter, task.dataset.samples, training)
        adapter.fit((family.prepare(s.load_inputs()), s.load_target()) for s in training)
    except BenchError as error:
        raise NotApplicableError(
            f"{spec} on {task.name}", expected="a training split it can be fitted on", got=error
        ) from error
    return adapter


def _score(task: Task, record: RunRecord, folder: RunFolder, samples: Iterable[Sample]) -> None:
    samples = list(samples)
    with progress(f"scoring {record.adapter.label} on {task.name}", len(samples)) as advance:
        score_samples(folder, task.family, samples, record.metrics, record.ambiguity(), advance)
    record.scorer = {**task.scorer, "code": scorer_hash()}
    write_results(folder, record)


def stored_task(plugins: Plugins, record: RunRecord, data_root: Path | None) -> Task:
    """Load the task a run was made with, on the very data it was predicted on.

    Raises:
        NotComparableError: The data are no longer those.
    """
    definition = convert(record.task.definition, TaskDefinition, f"run of {record.task.name}")
    task = Task.load(plugins, definition, data_root)
    now = task.dataset.fingerprint
    if (now.ids_hash, now.content_hash) != (record.data.ids_hash, record.data.content_hash):
        raise NotComparableError(
            f"data of {record.task.name}",
            expected=record.data.content_hash,
            got=now.content_hash,
            fix="Score it on the data it was predicted on.",
        )
    return task


@contextmanager
def _stage(record: RunRecord, name: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        before = record.seconds.get(name, 0.0)
        record.seconds[name] = round(before + time.perf_counter() - started, 3)


def _folder_name(task: Task, model: Model, identity: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{task.name}--{model.spec}").strip("-.")
    return f"{slug[:150]}--{identity[:10]}"


def _data_folder(where: str, root: str, data_root: Path | None, hub: str = "") -> Path:
    folder = Path(root) if data_root is None else data_root / root
    copy = (
        f" a copy of {hub} in DIR/{root}; or --data-root {HUB} to take it from there" if hub else ""
    )
    if data_root is None and not folder.is_absolute():
        raise BenchError(
            f"{where}, data root '{root}'",
            expected="a folder of data",
            got="no --data-root",
            fix=f"Say where the data are: --data-root DIR{copy and ','}{copy}.",
        )
    if not folder.is_dir():
        raise BenchError(
            f"{where}, data root",
            expected="a folder",
            got=f"none at {folder}",
            fix=f"Put{copy}." if copy else "",
        )
    return folder
