"""Which samples are pictured, and what was stored of them: chosen by score, never by chance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report.cells import number
from g2vlm_bench.report.contents import TaskRuns
from g2vlm_bench.sample import Prediction
from g2vlm_bench.store import PredictionLine, RunFolder, RunRecord, SampleLine

MODELS = 6
S = TypeVar("S", SampleLine, PredictionLine)


@dataclass(frozen=True, slots=True)
class Choice:
    """A sample that is shown, and why it is this one."""

    sample_id: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What a model made of a sample.

    Attributes:
        line: How the sample ended, None where the run lacks it.
        stored: Its line in the index of predictions.
        prediction: None where it failed or cannot be read.
        problem: Why there is no prediction.
    """

    record: RunRecord
    line: SampleLine | None
    stored: PredictionLine | None
    prediction: Prediction | None
    problem: str = ""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.record.adapter.label

    def value(self, metric: str) -> float | None:
        """The sample's own value of a metric."""
        return None if self.line is None else self.line.values.get(metric)

    def detail(self, *keys: str) -> Any:
        """Look into what explains the numbers; None where a key is absent."""
        found: Any = None if self.line is None else self.line.details
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def shown_runs(task: TaskRuns) -> list[tuple[Path, RunRecord]]:
    """The runs that are pictured: those of ranked models, for a reference looks like the truth."""
    ranked = [run for run in task.runs if not run[1].adapter.reads_truth]
    return (ranked or list(task.runs))[:MODELS]


def choose(task: TaskRuns, count: int) -> list[Choice]:
    """Choose samples from the worst to the best of the model with the best headline.

    Args:
        task: The task and its runs.
        count: How many are chosen, evenly over the ranks; fewer where the task has fewer.
    """
    spec = task.specs.get(task.headline)
    best = None if spec is None else _best_run(task, spec)
    if spec is None or best is None:
        return []
    path, record = best
    ordered = _worst_first(RunFolder(path), spec)
    if not ordered:
        return []
    last = len(ordered) - 1
    places = dict.fromkeys(round(i * last / max(count - 1, 1)) for i in range(count))
    model = record.adapter.label
    return [Choice(ordered[place], _why(place, last + 1, model)) for place in places]


def _best_run(task: TaskRuns, spec: MetricSpec) -> tuple[Path, RunRecord] | None:
    def goodness(run: tuple[Path, RunRecord]) -> float:
        result = run[1].result(spec.name)
        value = None if result is None else result.value
        if value is None:
            return float("-inf")
        return value if spec.higher_is_better else -value

    runs = [run for run in shown_runs(task) if run[1].result(spec.name) is not None]
    return max(runs, key=goodness, default=None)


def _worst_first(folder: RunFolder, spec: MetricSpec) -> list[str]:
    """Order the samples that have truth; a failed one is worse than any value."""
    keyed = []
    for place, line in enumerate(folder.samples()):
        if line.status == "unscored" or (spec.weight and line.weights.get(spec.weight) == 0):
            continue
        value = line.values.get(spec.name) if line.status == "scored" else None
        signed = float("-inf") if value is None else value if spec.higher_is_better else -value
        keyed.append((signed, place, line.id))
    return [sample_id for _, _, sample_id in sorted(keyed)]


def _why(place: int, total: int, model: str) -> str:
    if total == 1:
        return "the only sample"
    if place == 0:
        return f"the worst of {total} for {model}"
    if place == total - 1:
        return f"the best of {total} for {model}"
    middle = "the median, " if place == round((total - 1) / 2) else ""
    return f"{middle}number {place + 1} of {total} from the worst for {model}"


def entries(
    runs: Sequence[tuple[Path, RunRecord]], ids: Collection[str]
) -> Callable[[str], list[Entry]]:
    """Find what every model made of some samples.

    Args:
        runs: The runs to look into.
        ids: The samples wanted; the rest of each run is read past.

    Returns:
        A function from one of the ids to an entry a run, which reads arrays only when called.
    """
    found = []
    for path, record in runs:
        folder = RunFolder(path)
        lines = _by_id(folder.samples(), ids)
        found.append((folder, record, lines, _by_id(folder.predictions(), ids)))

    def of(sample_id: str) -> list[Entry]:
        return [
            _entry(folder, record, lines.get(sample_id), stored.get(sample_id))
            for folder, record, lines, stored in found
        ]

    return of


def _by_id(lines: Any, ids: Collection[str]) -> dict[str, Any]:
    return {line.id: line for line in lines if line.id in ids}


def _entry(
    folder: RunFolder, record: RunRecord, line: SampleLine | None, stored: PredictionLine | None
) -> Entry:
    error = (stored and stored.error) or (line and line.error)
    problem = f"{error.stage} failed: {error.kind}: {error.message}" if error else ""
    if stored is None or stored.error is not None:
        return Entry(record, line, stored, None, problem or "no prediction is stored")
    try:
        return Entry(record, line, stored, folder.load_prediction(stored), problem)
    except BenchError as unreadable:
        # Where the run stands is of no interest on a page, and would differ between machines.
        reason = f"the stored prediction cannot be read: expected {unreadable.expected}"
        return Entry(record, line, stored, None, problem or reason)


def value_text(entry: Entry, spec: MetricSpec) -> str:
    """Write a sample's own value of a metric, or how the sample ended instead."""
    value = entry.value(spec.name)
    if value is None:
        status = "refused" if spec.name in entry.record.refused else None
        return status or ("none" if entry.line is None else entry.line.status)
    return f"{spec.name} {number(value, spec.bounded)}"
