"""The gate: was a new run worse than an old one? Paired on shared samples, by scene cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from g2vlm_bench.aggregate import Column
from g2vlm_bench.comparable import check_comparable, check_paired, find_runs, gather
from g2vlm_bench.errors import BenchError, NotComparableError, nearest
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.statistics import Bootstrap, confidence_interval, direction, may_tell
from g2vlm_bench.store import RunFolder, RunRecord, disk_errors, write_atomically


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of one task, new against base.

    Attributes:
        base: The old value; infinite where a sample failed on a metric without a bound.
        new: The new value; None where the new run's predictions are refused.
        worsening: How much worse the new value is, in the metric's unit; negative is better. None
            where it is refused, or where no sample was scored in both runs.
        low: Lower end of the 95 % interval of the worsening, None where it is undefined.
        high: Upper end.
        allowed: The worsening the user allows, None where significance decides.
        regressed: Whether this is a regression.
        scored: Where failures leave a metric without a bound no number to compare, what the samples
            say that both runs scored: how many they are, their old value and their new one. The
            worsening is theirs then, and more failures are a regression besides.
        failed: How many samples failed, old and new.
    """

    task: str
    metric: str
    base: float
    new: float | None
    worsening: float | None
    low: float | None
    high: float | None
    allowed: float | None
    regressed: bool
    scored: tuple[int, float, float] | None = None
    failed: tuple[int, int] = (0, 0)

    @property
    def judged(self) -> bool:
        """Whether anything could have made this a regression: one scene alone proves nothing."""
        if self.regressed or self.new is None:
            return True
        limited = self.allowed is not None and self.worsening is not None
        return limited or self.low is not None

    def text(self) -> str:
        """Describe the difference in one line."""
        verdict = "WORSE" if self.regressed else "ok   " if self.judged else "?    "
        said = f"{verdict} {self.task} {self.metric}: {self.base:.4f} -> "
        if self.new is None:
            return f"{said}refused"
        said += f"{self.new:.4f}"
        if self.scored is not None:
            count, old, late = self.scored
            said += f" ({self.failed[0]} -> {self.failed[1]} failed)"
            if not count:
                return f"{said}, no sample scored in both"
            said += f", of {count} scored in both {old:.4f} -> {late:.4f}"
        unknown = " (no interval: too few scenes)"
        interval = unknown if self.low is None else f" [{self.low:+.4f}, {self.high:+.4f}]"
        limit = "" if self.allowed is None else f", allowed {self.allowed:g}"
        return f"{said}, worse by {self.worsening:+.4f}{interval}{limit}"


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


def compare(
    base: Path | str, new: Path | str, max_drop: Mapping[str, float] | None = None
) -> Comparison:
    """Compare runs of the same tasks.

    A metric is worse where the 95 % interval of the paired difference lies wholly on that side. A
    metric that the new run's predictions are refused for is worse. Where failures make the mean of
    a metric without a bound infinite, more of them are worse, and the samples that both runs scored
    are compared.

    Args:
        base: A run folder, or a folder of runs of one model.
        new: Likewise; it may have further tasks.
        max_drop: Metric (`delta1@median_scale`, or `delta1` under every protocol) -> the worsening
            that is allowed. Where it is given, only the metrics named are judged.

    Raises:
        NotComparableError: Definition, data, scorer or samples differ, the new run lacks a task,
            nothing was scored, a metric with a limit has nothing to be held to it, or no difference
            has an interval or a limit to be judged by.
        BenchError: A run is not complete, a metric named is in no task, or what is allowed is no
            number.
    """
    old_runs, new_runs = _by_task(Path(base)), _by_task(Path(new))
    lacking = sorted(set(old_runs) - set(new_runs))
    if lacking:
        # A gate that passes what was not run is open.
        raise NotComparableError(
            new,
            expected=f"a run of {', '.join(lacking)}, as in {base}",
            got=f"{', '.join(sorted(new_runs))}",
            fix="Run them, or name the run folders that are meant.",
        )
    limits = dict(max_drop or {})
    known = {spec.name for _, record in old_runs.values() for spec in record.metrics}
    for name, allowed in limits.items():
        if not math.isfinite(allowed):
            raise BenchError("--max-drop", expected=f"a finite number for {name}", got=f"{allowed}")
        if not any(name in _names(metric) for metric in known):
            raise BenchError(
                "--max-drop",
                expected="a metric of the runs",
                got=f"'{name}'",
                fix=nearest(name, known | {metric.partition("@")[0] for metric in known}),
            )
    differences = tuple(
        difference
        for task in sorted(old_runs)
        for difference in _differences(old_runs[task], new_runs[task], limits)
    )
    if not differences:
        raise NotComparableError(
            f"{base} and {new}", expected="a metric with scored samples", got="none"
        )
    for name in limits:
        held = [each.judged for each in differences if name in _names(each.metric)]
        # What was to be held to a limit and was not must not pass.
        if not (held and all(held)):
            raise NotComparableError(
                f"{base} and {new}", expected=f"a sample that both scored by {name}", got="none"
            )
    if not any(difference.judged for difference in differences):
        raise NotComparableError(
            f"{base} and {new}",
            expected="scenes enough for the interval of a difference",
            got="too few that both scored",
            fix="Say what is allowed: --max-drop METRIC=X.",
        )
    return Comparison(differences)


def write_junit(comparison: Comparison, path: Path) -> None:
    """Write the differences as JUnit XML, a test case each."""
    failures = sum(difference.regressed for difference in comparison.differences)
    skipped = sum(not difference.judged for difference in comparison.differences)
    suite = ElementTree.Element(
        "testsuite",
        name="g2vlm-bench compare",
        tests=str(len(comparison.differences)),
        failures=str(failures),
        skipped=str(skipped),
    )
    for difference in comparison.differences:
        case = ElementTree.SubElement(
            suite, "testcase", classname=difference.task, name=difference.metric
        )
        if difference.regressed:
            failure = ElementTree.SubElement(case, "failure", message=difference.text())
            failure.text = difference.text()
        elif not difference.judged:
            ElementTree.SubElement(case, "skipped", message=difference.text())
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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
    record = base[1]
    check_comparable(base, new)
    specs = [spec for spec in record.metrics if not limits or _allowed(spec, limits) is not None]
    served = {spec.name for spec in new[1].metrics}
    old_columns = gather(specs, base)
    new_columns = gather(specs, new)
    found = []
    for spec in specs:
        old, late = old_columns[spec.name], new_columns[spec.name]
        check_paired(spec.name, (base[0], old), (new[0], late))
        if (before := old.bootstrap(record.seed)) is None:
            continue
        after = late.bootstrap(record.seed) if spec.name in served else None
        found.append(_judged(spec, record, (old, before), (late, after), _allowed(spec, limits)))
    return found


def _names(metric: str) -> tuple[str, str]:
    """What a metric may be called: with its protocol, and under every one."""
    return metric, metric.partition("@")[0]


def _allowed(spec: MetricSpec, limits: Mapping[str, float]) -> float | None:
    return limits.get(spec.name, limits.get(spec.name.partition("@")[0]))


def _judged(
    spec: MetricSpec,
    record: RunRecord,
    base: tuple[Column, Bootstrap],
    new: tuple[Column, Bootstrap | None],
    allowed: float | None,
) -> Difference:
    (old_column, old), (new_column, late) = base, new
    task = record.task.name
    if late is None:
        return Difference(task, spec.name, old.value, None, None, None, None, allowed, True)
    if _has_a_number(old) and _has_a_number(late):
        worsening, interval, regressed = _worsening(spec, old, late, allowed)
        low, high = interval or (None, None)
        return Difference(
            task, spec.name, old.value, late.value, worsening, low, high, allowed, regressed
        )
    either = [one or two for one, two in zip(old_column.failed, new_column.failed, strict=True)]
    failed = sum(old_column.failed), sum(new_column.failed)
    more = failed[1] > failed[0]
    one, two = (
        column.without(either).bootstrap(record.seed) for column in (old_column, new_column)
    )
    if one is None or two is None:
        return Difference(
            task, spec.name, old.value, late.value, None, None, None, allowed, more,
            (0, math.nan, math.nan), failed,
        )  # fmt: skip
    worsening, interval, regressed = _worsening(spec, one, two, allowed)
    low, high = interval or (None, None)
    return Difference(
        task, spec.name, old.value, late.value, worsening, low, high, allowed, regressed or more,
        (either.count(False), one.value, two.value), failed,
    )  # fmt: skip


def _has_a_number(boot: Bootstrap) -> bool:
    """Whether failures leave a finite number, under every draw, too: a median may bear some."""
    return math.isfinite(boot.value) and (boot.replicates.size > 0 or boot.n_clusters < 2)


def _worsening(
    spec: MetricSpec, old: Bootstrap, late: Bootstrap, allowed: float | None
) -> tuple[float, tuple[float, float] | None, bool]:
    """How much worse a number is, the interval of that, and whether it is a regression."""
    sign = -1.0 if spec.higher_is_better else 1.0
    worse = sign * (late.value - old.value) + 0.0  # never -0.0, which reads as a gain
    draws = sign * (late.replicates - old.replicates)
    interval = confidence_interval(worse, draws, old.n_clusters)
    # Few scenes that all say the same have no spread, and would seem to be sure.
    if worse and not may_tell(draws, old.n_clusters):
        interval = None
    if allowed is None:
        return worse, interval, direction(interval) > 0
    # 0.8 - 0.7 is more than 0.1 by rounding.
    return worse, interval, worse > allowed + 1e-12 * max(1.0, abs(allowed))
