"""The gate: was a new run worse than an old one? Paired on shared samples, by scene cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError, NotComparableError, nearest
from g2vlm_bench.leaderboard import check_comparable, find_runs
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.statistics import expanded_percentile
from g2vlm_bench.store import RunFolder, RunRecord, write_atomically


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of one task, new against base.

    Attributes:
        worsening: How much worse the new value is, in the metric's unit; negative is better.
        low: Lower end of the 95 % interval of the worsening, None where it is undefined.
        high: Upper end.
        allowed: The worsening the user allows, None where significance decides.
        regressed: Whether this is a regression.
    """

    task: str
    metric: str
    base: float | None
    new: float | None
    worsening: float | None
    low: float | None
    high: float | None
    allowed: float | None
    regressed: bool

    def text(self) -> str:
        """Describe the difference in one line."""
        verdict = "WORSE" if self.regressed else "ok   "
        if self.worsening is None:
            return f"{verdict} {self.task} {self.metric}: {self.base} -> {self.new}"
        interval = "" if self.low is None else f" [{self.low:+.4f}, {self.high:+.4f}]"
        limit = "" if self.allowed is None else f", allowed {self.allowed:g}"
        return (
            f"{verdict} {self.task} {self.metric}: {self.base:.4f} -> {self.new:.4f}, "
            f"worse by {self.worsening:+.4f}{interval}{limit}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """All metrics of all tasks that two runs share."""

    differences: tuple[Difference, ...]

    @property
    def regressed(self) -> bool:
        """Whether any metric is a regression."""
        return any(difference.regressed for difference in self.differences)

    def records(self) -> list[dict[str, Any]]:
        """Give the differences as mappings."""
        return [asdict(difference) for difference in self.differences]

    def text(self) -> str:
        """Describe every difference, a line each."""
        return "\n".join(difference.text() for difference in self.differences)


def compare(base: Path, new: Path, max_drop: Mapping[str, float] | None = None) -> Comparison:
    """Compare runs of the same tasks.

    Args:
        base: A run folder, or a folder of runs of one model.
        new: Likewise.
        max_drop: Metric (`delta1@median_scale`, or `delta1` under every protocol) -> the worsening
            that is allowed. Where it is given, only the metrics named are judged.

    Raises:
        NotComparableError: Definition, data, scorer or samples differ, or no task is shared.
        BenchError: A run is not complete, or a metric named is in no task.
    """
    old_runs, new_runs = _by_task(base), _by_task(new)
    shared = sorted(set(old_runs) & set(new_runs))
    if not shared:
        raise NotComparableError(
            f"{base} and {new}",
            expected="a task that both were run on",
            got=f"{', '.join(old_runs)} and {', '.join(new_runs)}",
        )
    limits = dict(max_drop or {})
    known = {spec.name for task in shared for spec in old_runs[task][1].metrics}
    for name in limits:
        if not any(name in (metric, metric.partition("@")[0]) for metric in known):
            raise BenchError(
                "--max-drop",
                expected="a metric of the runs",
                got=f"'{name}'",
                fix=nearest(name, known),
            )
    return Comparison(
        tuple(
            difference
            for task in shared
            for difference in _differences(old_runs[task], new_runs[task], limits)
        )
    )


def write_junit(comparison: Comparison, path: Path) -> None:
    """Write the differences as JUnit XML, a test case each."""
    failures = sum(difference.regressed for difference in comparison.differences)
    suite = ElementTree.Element(
        "testsuite",
        name="g2vlm-bench compare",
        tests=str(len(comparison.differences)),
        failures=str(failures),
    )
    for difference in comparison.differences:
        case = ElementTree.SubElement(
            suite, "testcase", classname=difference.task, name=difference.metric
        )
        if difference.regressed:
            failure = ElementTree.SubElement(case, "failure", message=difference.text())
            failure.text = difference.text()
    write_atomically(path, ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def _by_task(path: Path) -> dict[str, tuple[Path, RunRecord]]:
    runs: dict[str, tuple[Path, RunRecord]] = {}
    for folder in find_runs([path]):
        record = RunFolder(folder).read_record()
        if record.status != "complete":
            raise BenchError(folder, expected="a complete run", got=f"one that is {record.status}")
        if record.task.name in runs:
            raise BenchError(
                path,
                expected="one run of each task",
                got=f"several of {record.task.name}",
                fix="Name the run folder that is meant.",
            )
        runs[record.task.name] = (folder, record)
    return runs


def _differences(
    base: tuple[Path, RunRecord], new: tuple[Path, RunRecord], limits: Mapping[str, float]
) -> list[Difference]:
    old_record, new_record = base[1], new[1]
    check_comparable(base, new)
    names = {spec.name for spec in new_record.metrics}
    specs = [spec for spec in old_record.metrics if spec.name in names]
    old_columns = aggregate(specs, RunFolder(base[0]).samples()).columns
    new_columns = aggregate(specs, RunFolder(new[0]).samples()).columns
    found = []
    for spec in specs:
        allowed = limits.get(spec.name, limits.get(spec.name.partition("@")[0]))
        if limits and allowed is None:
            continue
        old, late = (c[spec.name].bootstrap(old_record.seed) for c in (old_columns, new_columns))
        if old is None or late is None:
            continue
        sign = -1.0 if spec.higher_is_better else 1.0
        interval = None
        if old.replicates.size and old.replicates.size == late.replicates.size:
            interval = expanded_percentile(
                sign * (late.replicates - old.replicates), old.n_clusters
            )
        found.append(_judged(spec, old_record.task.name, old.value, late.value, interval, allowed))
    return found


def _judged(
    spec: MetricSpec,
    task: str,
    base: float,
    new: float,
    interval: tuple[float, float] | None,
    allowed: float | None,
) -> Difference:
    finite = abs(base) != float("inf") and abs(new) != float("inf")
    worsening = (base - new if spec.higher_is_better else new - base) if finite else None
    if worsening is None:
        # Infinite means a failure of an unbounded metric; more of them is worse.
        regressed = abs(new) == float("inf") and abs(base) != float("inf")
    elif allowed is not None:
        regressed = worsening > allowed
    else:
        regressed = interval is not None and interval[0] > 0
    low, high = interval or (None, None)
    return Difference(task, spec.name, base, new, worsening, low, high, allowed, regressed)
