"""The Python API: what the command line does, as functions that return typed objects."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from g2vlm_bench.board import Board, BoardDefinition, load_board
from g2vlm_bench.comparable import find_runs
from g2vlm_bench.errors import BenchError
from g2vlm_bench.floors import ALONE, WRAPPERS, Survival, survivals
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.ranking import build
from g2vlm_bench.runner import Model, NotApplicableError, Options, Task, rescore, run, stored_task
from g2vlm_bench.sample import Sample
from g2vlm_bench.store import RunFolder, RunRecord, SampleLine

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its folder and its record.

    Attributes:
        path: The run folder.
        record: The content of `run.json`.
    """

    path: Path
    record: RunRecord

    @property
    def n_failed(self) -> int:
        """Samples that failed, be it under one metric alone.

        Under how many is `n_failed_metrics`. What a floor leaves undefined is no failure of it:
        cameras that stand still have no path to align.
        """
        whole = self.record.counts.get("failed", 0)
        if self.record.adapter.is_floor:
            return whole
        return max([whole, *(result.n_failed for result in self.record.results)])

    @property
    def n_failed_metrics(self) -> int:
        """Metrics under which samples failed."""
        return sum(result.n_failed > 0 for result in self.record.results)

    def failures(self) -> dict[str, int]:
        """Count why samples failed, the most frequent first; reasons may differ in numbers."""
        statuses = ("failed",) if self.record.adapter.is_floor else ("failed", "scored")
        lines = RunFolder(self.path).samples()
        return _counted(line for line in lines if line.status in statuses)

    def unreadable_truths(self) -> dict[str, int]:
        """Count why truths could not be read, as `failures` does."""
        return _counted(
            line
            for line in RunFolder(self.path).samples()
            if line.status == "unscored" and line.error and line.error.kind != "NoTruthError"
        )

    def samples(self) -> list[SampleLine]:
        """Read how each sample ended."""
        return list(RunFolder(self.path).samples())

    def frame(self) -> pd.DataFrame:
        """Give the samples as a frame: a row a sample, a column a metric."""
        import pandas as pd

        rows = (
            {
                "id": line.id,
                "cluster": line.cluster,
                "status": line.status,
                **line.tags,
                **line.values,
                "seconds": line.seconds,
                "error": line.error.message if line.error else None,
            }
            for line in RunFolder(self.path).samples()
        )
        return pd.DataFrame(list(rows))

    def results_frame(self) -> pd.DataFrame:
        """Give the results as a frame: a row a metric, with its interval and counts."""
        import msgspec
        import pandas as pd

        return pd.DataFrame([msgspec.to_builtins(result) for result in self.record.results])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` did.

    Attributes:
        runs: One for each model and task that go together.
        skipped: Why a model did not take part in a task, one line each.
    """

    runs: tuple[Run, ...]
    skipped: tuple[str, ...]

    def survivals(self) -> list[Survival]:
        """How much of each model's score its floors reach, where there are any."""
        return survivals([(run.path, run.record) for run in self.runs])

    @property
    def n_failed(self) -> int:
        """Samples that failed, over all runs."""
        return sum(run.n_failed for run in self.runs)


def evaluate(
    models: Sequence[str] | str,
    tasks: Sequence[str] | str = (),
    *,
    suite: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    out: Path | str = "runs",
    data_root: Path | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    limit: int | None = None,
    retry_failed: bool = False,
    floors: bool = False,
    tasks_dirs: Sequence[Path | str] = (),
    adapters_dirs: Sequence[Path | str] = (),
    plugins: Plugins | None = None,
    on_run: Callable[[Run], None] | None = None,
) -> Evaluation:
    """Score models on tasks; an interrupted evaluation goes on where it stopped.

    Args:
        models: Names of adapters, `wrapper:model`, or none to run a suite's own.
        tasks: Names or files of tasks; `lm_eval:GROUP` stands for all tasks of that group.
        suite: A leaderboard whose tasks are run; of those, where tasks are named, only they.
        model_args: Arguments of the adapter; `model.key` goes to one of several models.
        out: Folder of run folders.
        data_root: Where the tasks' data roots start.
        device: For adapters that take one.
        dtype: For adapters that take one.
        batch_size: Samples a batch.
        limit: Only the first samples.
        retry_failed: Ask the model again about samples that failed in an earlier call; the run
            counts them.
        floors: Beside each model that answers questions the same one blind and shown another
            scene's images, and a guess and the most frequent answers once. A floor that was run
            before in `out` on the same task is taken from there.
        tasks_dirs: Folders of your own tasks and families.
        adapters_dirs: Folders of your own adapters.
        plugins: Used instead of the two above where it is given.
        on_run: Called with each run as it is finished.

    Raises:
        BenchError: A name, a task, the data or the model is not as it should be, a task is not of
            the suite, or no model goes with any task. Names and arguments of all models are checked
            before the first of them is made.
    """
    models = [models] if isinstance(models, str) else list(models)
    tasks = [tasks] if isinstance(tasks, str) else list(tasks)
    plugins = plugins or find_plugins(tasks_dirs, adapters_dirs)
    if suite is not None:
        board = load_board(plugins.path("leaderboard", suite))
        tasks, models = _of_suite(plugins, suite, board, tasks), models or list(board.models)
    if not models or not tasks:
        missing = "a model" if not models else "a task"
        raise BenchError("run", expected=missing, got="none", fix="Name one, or a suite.")
    options = Options(
        out=Path(out),
        data_root=None if data_root is None else Path(data_root),
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        limit=limit,
        retry_failed=retry_failed,
    )
    arguments = _arguments_by_model(models, model_args or {})
    arguments |= {floor: {} for floor in ALONE if floors and floor not in arguments}
    for spec, given in arguments.items():
        plugins.adapter_classes(spec, given, {"device": device, "dtype": dtype})
    names = dict.fromkeys(one for name in tasks for one in plugins.members(name))
    loaded = [Task.load(plugins, plugins.task(name), options.data_root) for name in names]
    runs: list[Run] = []
    skipped: list[str] = []
    asked: set[tuple[str, str]] = set()
    for spec in arguments:
        model = Model.load(plugins, spec, arguments[spec], options)
        beside = [model.wrapped(plugins, wrapper) for wrapper in WRAPPERS] if floors else []
        try:
            for one, task in product([model, *filter(None, beside)], loaded):
                if (one.spec, task.name) in asked:
                    continue
                asked.add((one.spec, task.name))
                try:
                    folder, record = run(task, one, options)
                except NotApplicableError as error:
                    skipped.append(str(error))
                    continue
                runs.append(Run(folder.path, record))
                if on_run is not None:
                    on_run(runs[-1])
        finally:
            model.adapter.close()
    if not runs:
        raise BenchError("run", expected="a model that goes with a task", got=skipped[0])
    return Evaluation(tuple(runs), tuple(skipped))


def score(
    path: Path | str,
    *,
    data_root: Path | str | None = None,
    tasks_dirs: Sequence[Path | str] = (),
    plugins: Plugins | None = None,
) -> Run:
    """Score a run's stored predictions again, without the model.

    Raises:
        NotComparableError: The data are no longer those of the run.
        BenchError: The folder is no complete run.
    """
    plugins = plugins or find_plugins(tasks_dirs)
    root = None if data_root is None else Path(data_root)
    return Run(Path(path), rescore(plugins, Path(path), root))


def leaderboard(
    board: str | BoardDefinition,
    runs: Sequence[Path | str],
    *,
    out: Path | str | None = None,
    data_root: Path | str | None = None,
    tasks_dirs: Sequence[Path | str] = (),
    plugins: Plugins | None = None,
) -> Board:
    """Make a ranked table of runs, and write it as md, csv, json and html where `out` is given.

    Args:
        board: Name or definition of a board.
        runs: Run folders, or folders of them.
        out: Folder of the report.
        data_root: Where the tasks' data roots start; without their data the report has no pictures.
        tasks_dirs: Folders of your own boards (`leaderboards/`).
        plugins: Used instead where it is given.

    Raises:
        NotComparableError: Two runs of one task differ in definition, data or scorer.
        BenchError: The board is unknown, or a run is not complete.
    """
    plugins = plugins or find_plugins(tasks_dirs)
    if isinstance(board, str):
        board = load_board(plugins.path("leaderboard", board))
    built = build(board, find_runs([Path(path) for path in runs]))
    if out is not None:
        from g2vlm_bench.report import write_report

        write_report(built, Path(out), _samples(plugins, built, data_root))
    return built


def find_plugins(
    tasks_dirs: Sequence[Path | str] = (), adapters_dirs: Sequence[Path | str] = ()
) -> Plugins:
    """Find the plug-ins: the shipped ones, those of the folders given, and installed ones."""
    return Plugins.find([Path(p) for p in tasks_dirs], [Path(p) for p in adapters_dirs])


def _samples(
    plugins: Plugins, board: Board, data_root: Path | str | None
) -> dict[str, Sequence[Sample]]:
    """Open the data behind a board for its pictures; a task whose data are elsewhere has none."""
    root = None if data_root is None else Path(data_root)
    found: dict[str, Sequence[Sample]] = {}
    for path, record in board.runs:
        if record.task.name not in found:
            try:
                found[record.task.name] = stored_task(plugins, record, root).dataset.samples
            except BenchError as error:
                warnings.warn(f"no pictures of {path.name}: {error}", stacklevel=3)
                found[record.task.name] = ()
    return found


def _of_suite(
    plugins: Plugins, suite: str, board: BoardDefinition, tasks: Sequence[str]
) -> list[str]:
    """Give the tasks of a suite, only those named where there are any."""
    for name in tasks:
        if any(plugins.task(one).name not in board.tasks for one in plugins.members(name)):
            raise BenchError(
                f"task '{name}'",
                expected=f"a task of the suite '{suite}'",
                got="another",
                fix=f"Leave the suite out, or name one of {', '.join(board.tasks)}.",
            )
    return list(tasks) or board.tasks


def _counted(lines: Iterable[SampleLine]) -> dict[str, int]:
    """Count the errors of samples, those that differ in numbers alone as the first of them."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for line in lines:
        if line.error is not None:
            text = f"{line.error.kind}: {line.error.message}"
            counts[first.setdefault(re.sub(r"\d+", "#", text), text)] += 1
    return dict(counts.most_common())


def _arguments_by_model(
    models: Sequence[str], arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    by_model: dict[str, dict[str, Any]] = {spec: {} for spec in models}
    for key, value in arguments.items():
        owner, dot, name = key.rpartition(".")
        if dot and owner not in by_model:
            raise BenchError(
                f"model argument '{key}'", expected=f"a model of {', '.join(models)}", got=owner
            )
        if not dot and len(by_model) > 1:
            raise BenchError(
                f"model argument '{key}'",
                expected="MODEL.key=value, since there are several models",
                got="no model",
            )
        by_model[owner or models[0]][name] = value
    return by_model
