"""One set of stored answers under every scorer: what each makes of them, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from g2vlm_bench.aggregate import Aggregate, Column, aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.runner import stored_task
from g2vlm_bench.scoring import score_sample
from g2vlm_bench.statistics import confidence_interval
from g2vlm_bench.store import MetricResult, RunFolder, RunRecord, SampleLine
from g2vlm_bench.task import Family, TaskDefinition

# Which metrics tell scorers apart, where a task's family knows them.
METRICS = ("accuracy", "unparsed", "circular_accuracy", "flip_accuracy", "means")


class ScorerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one scorer makes of a run.

    Attributes:
        scorer: The protocol's label, such as `official.vsi_bench`.
        results: Its numbers: `accuracy`, `unparsed`, and the means that it reports.
        above_first: Its accuracy less that of the first scorer, with the paired 95 % interval;
            empty where they count other questions, or there are fewer than two scenes.
    """

    scorer: str
    results: list[MetricResult]
    above_first: tuple[float, ...]


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that scorers count differently.

    Attributes:
        answer: The model's text.
        scores: Scorer -> its score; None where it leaves the answer out of its mean.
        read: Scorer -> what it read, and how.
    """

    id: str
    answer: str
    scores: dict[str, float | None]
    read: dict[str, str]


class ScorerComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A run under several scorers.

    Attributes:
        n_answers: Answers that any of them counts.
        rows: A row a scorer, in the task's order.
        disagreements: Every answer that two of them count differently.
    """

    task: str
    model: str
    n_answers: int
    rows: list[ScorerRow]
    disagreements: list[Disagreement]


def compare_scorers(
    plugins: Plugins, path: Path, profiles: Sequence[str] = (), data_root: Path | None = None
) -> ScorerComparison:
    """Count a run's stored answers under several scorers; the run is not changed.

    Args:
        plugins: Where the run's family and the profiles are found.
        path: A run folder.
        profiles: Further scorers, `PROFILE` or `PROFILE.NAME`; `all` for every published one that
            has a rule for the run's questions. The run's own protocols come first.
        data_root: Where the task's data root starts.

    Raises:
        NotComparableError: The data are no longer those of the run.
        BenchError: The folder is no complete run of questions, or a profile is unknown.
    """
    folder = RunFolder(path)
    record = folder.read_record()
    task = stored_task(plugins, record, data_root)
    family = _family(plugins, task.definition, profiles)
    samples = task.dataset.samples[: record.data.limit]
    lines: list[SampleLine] = []
    said: dict[str, str] = {}
    with folder:
        for sample, stored in zip(samples, folder.predictions(), strict=False):
            if stored.id != sample.id:
                raise BenchError(
                    path, expected=f"a prediction of '{sample.id}'", got=f"'{stored.id}'"
                )
            lines.append(
                score_sample(folder, family, sample, stored, family.specs, record.ambiguity())
            )
            if stored.error is None:
                said[sample.id] = folder.load_prediction(stored).answer or ""
    if len(lines) < len(samples):
        raise BenchError(
            path,
            expected=f"{len(samples)} stored answers",
            got=str(len(lines)),
            fix="Run it again: what is missing is predicted.",
        )
    return _compared(record, family, lines, said)


def _family(plugins: Plugins, definition: TaskDefinition, profiles: Sequence[str]) -> Family:
    """The run's family with its own protocols and the profiles beside them."""
    where = f"task {definition.name}"
    own = [dict(fields) for fields in definition.protocols]
    known = {str(fields.get("profile", "")) for fields in own}
    for name in _named(plugins, definition.family, profiles):
        profile, _, one = name.partition(".")
        for fields in load_profile(plugins.path("profile", profile)).expand(
            definition.family, one or None, where
        ):
            if fields["profile"] not in known:
                known.add(fields["profile"])
                own.append(fields)
    with_all = replace(definition, protocols=own)
    metrics = [m for m in METRICS if m in plugins.family(with_all, False).known_metrics]
    if "accuracy" not in metrics:
        raise BenchError(where, expected="questions, which have scorers", got=definition.family)
    return plugins.family(replace(with_all, metrics=metrics), False)


def _named(plugins: Plugins, family: str, profiles: Sequence[str]) -> list[str]:
    if "all" not in profiles:
        return list(profiles)
    names = plugins.names("profile")
    return [
        name for name in names if family in load_profile(plugins.path("profile", name)).protocols
    ]


def _compared(
    record: RunRecord, family: Family, lines: Sequence[SampleLine], said: dict[str, str]
) -> ScorerComparison:
    gathered = aggregate(family.specs, lines)
    labels = list(dict.fromkeys(spec.protocol for spec in family.specs))
    # A scorer without a rule for any of these questions has nothing to say.
    labels = [label for label in labels if gathered.columns[f"accuracy@{label}"].values]
    kinds = {kind for line in lines for kind in line.groups}
    specs = [spec for spec in family.specs if spec.together is None or spec.together in kinds]
    rows = [_row(label, labels[0], specs, gathered, record.seed) for label in labels]
    found = [one for line in lines if (one := _disagreement(line, labels, said)) is not None]
    return ScorerComparison(
        task=record.task.name,
        model=record.adapter.label,
        n_answers=sum(line.status != "unscored" for line in lines),
        rows=rows,
        disagreements=found,
    )


def _row(
    label: str, first: str, specs: Sequence[MetricSpec], gathered: Aggregate, seed: int
) -> ScorerRow:
    own = (gathered.columns[spec.name] for spec in specs if spec.protocol == label)
    columns = [column for column in own if column.values]
    one, two = (gathered.columns[f"accuracy@{name}"] for name in (label, first))
    return ScorerRow(
        scorer=label,
        results=[column.result(seed) for column in columns],
        above_first=() if label == first else _difference(one, two, seed),
    )


def _difference(one: Column, two: Column, seed: int) -> tuple[float, ...]:
    if not one.counts_as(two):
        return ()
    mine, theirs = one.bootstrap(seed), two.bootstrap(seed)
    if mine is None or theirs is None:
        return ()
    value = mine.value - theirs.value
    interval = confidence_interval(value, mine.replicates - theirs.replicates, mine.n_clusters)
    return () if interval is None else (value, *interval)


def _disagreement(
    line: SampleLine, labels: Sequence[str], said: dict[str, str]
) -> Disagreement | None:
    details = {label: found for label in labels if (found := line.details.get(label))}
    scores = {label: line.values.get(f"accuracy@{label}") for label in details}
    if len({None if score is None else round(score, 9) for score in scores.values()}) < 2:
        return None
    return Disagreement(
        id=line.id,
        answer=said.get(line.id, ""),
        scores=scores,
        read={label: _read(found) for label, found in details.items()},
    )


def _read(found: dict[str, Any]) -> str:
    read = "nothing" if found["read"] is None else str(found["read"])
    return f"{read} ({found['how']})"


def table(comparison: ScorerComparison, shown: int) -> list[str]:
    """Write a comparison for people.

    Args:
        comparison: What is written.
        shown: How many of the answers that differ are listed.
    """
    head = f"{comparison.model} on {comparison.task}, {comparison.n_answers} answers"
    width = max(len(row.scorer) for row in comparison.rows)
    out = [
        head,
        "",
        f"{'scorer':<{width}}  {'number':<22} {'answers':>7} {'value':>8}  95 % interval",
    ]
    for row in comparison.rows:
        for result in row.results:
            name = result.metric.partition("@")[0]
            n = result.n_scored + result.n_failed
            numbers = f"{n:>7} {_number(result.value)}  {_span(result)}"
            out.append(f"{row.scorer:<{width}}  {name:<22} {numbers}")
        if row.above_first:
            value, low, high = row.above_first
            less = f"less {comparison.rows[0].scorer}'s"
            numbers = f"{'':>7} {value:+8.4f}  [{low:+.4f}, {high:+.4f}]"
            out.append(f"{row.scorer:<{width}}  {less:<22} {numbers}")
    different = comparison.disagreements
    out += ["", f"{len(different)} answers are counted differently" + (":" if different else ".")]
    for one in different[:shown]:
        said = one.answer if len(one.answer) <= 70 else one.answer[:67] + "..."
        out.append(f"  {one.id}: {said!r}")
        for label, score in one.scores.items():
            counted = "left out" if score is None else f"{score:.4g}"
            out.append(f"    {label:<{width}}  {counted:<8}  read {one.read[label]}")
    if len(different) > shown:
        out.append(f"  ... and {len(different) - shown} more; --json holds them all.")
    return out


def _number(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.4f}"


def _span(result: MetricResult) -> str:
    if result.low is None or result.high is None:
        return "-"
    return f"[{result.low:.4f}, {result.high:.4f}]"
