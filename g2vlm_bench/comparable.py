"""Which runs may stand side by side: the same definition, data, samples and scorer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g2vlm_bench.aggregate import Column, aggregate
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.store import RunFolder, RunRecord


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Find run folders: those named, and those right below a folder named.

    Raises:
        BenchError: A path holds no run.
    """
    found: list[Path] = []
    for path in paths:
        here = [path] if (path / "run.json").is_file() else []
        below = sorted(p.parent for p in path.glob("*/run.json"))
        if not here and not below:
            raise BenchError(path, expected="a run folder, or a folder of runs", got="no run.json")
        found += here or below
    return list(dict.fromkeys(found))


def check_comparable(base: tuple[Path, RunRecord], other: tuple[Path, RunRecord]) -> None:
    """Check that the numbers of two runs of one task may stand side by side.

    Raises:
        NotComparableError: Definition, data, number of samples or scorer differ.
    """
    (base_path, one), (path, two) = base, other
    for what, expected, got in (
        ("task definition", one.task.definition_hash, two.task.definition_hash),
        ("data", one.data.content_hash, two.data.content_hash),
        ("limit of samples", one.data.limit, two.data.limit),
        ("scorer", one.scorer, two.scorer),
    ):
        if expected != got:
            raise NotComparableError(
                f"{what} of {one.task.name}",
                expected=f"{expected} as in {base_path}",
                got=f"{got} in {path}",
                fix="Run or score both in one version.",
            )


def check_rows(runs: Sequence[tuple[Path, RunRecord]]) -> None:
    """Check that runs make rows of one board: complete, comparable, one a model and task.

    Raises:
        NotComparableError: Two runs of one task differ in definition, data, samples or scorer, or
            two runs of one model in its weights, the adapter's source or the dtype.
        BenchError: A run is not complete, or a model has two runs of one task.
    """
    first: dict[str, tuple[Path, RunRecord]] = {}
    seen: dict[tuple[str, str], tuple[Path, RunRecord]] = {}
    models: dict[str, tuple[Path, RunRecord]] = {}
    for path, record in runs:
        if record.status != "complete":
            raise BenchError(
                path,
                expected="a complete run",
                got=f"one that is {record.status}",
                fix="Run it again: it goes on where it stopped.",
            )
        key = (record.task.name, record.adapter.label)
        if key in seen:
            raise _twice(seen[key], (path, record))
        seen[key] = path, record
        _check_one_model(models.setdefault(record.adapter.label, (path, record)), (path, record))
        check_comparable(first.setdefault(record.task.name, (path, record)), (path, record))


def _twice(first: tuple[Path, RunRecord], other: tuple[Path, RunRecord]) -> BenchError:
    """Say of two runs of one model and task what they differ in, and which is the newer."""
    (first_path, one), (path, two) = first, other
    differ = [
        f"{what} {before} and {after}"
        for what, before, after in (
            ("limit", one.data.limit, two.data.limit),
            ("weights", one.adapter.weights_hash, two.adapter.weights_hash),
            ("commit", one.environment.commit, two.environment.commit),
            ("seed", one.seed, two.seed),
        )
        if before != after
    ]
    newest = max((first, other), key=lambda run: run[1].finished or "")[0]
    return BenchError(
        f"{one.adapter.label} on {one.task.name}",
        expected="one run",
        got=f"{first_path} and {path}" + (f", of {', '.join(differ)}" if differ else ""),
        fix=f"Name the runs that are meant; the newest is {newest}.",
    )


def _check_one_model(first: tuple[Path, RunRecord], other: tuple[Path, RunRecord]) -> None:
    """Check that a row is one model: an adapter that was edited between tasks is two."""
    (first_path, one), (path, two) = first, other
    for what, expected, got in (
        (
            "weights",
            one.adapter.weights_hash or one.adapter.checkpoint,
            two.adapter.weights_hash or two.adapter.checkpoint,
        ),
        ("source", one.adapter.source_hash, two.adapter.source_hash),
        ("dtype", one.adapter.dtype, two.adapter.dtype),
    ):
        if expected != got:
            raise NotComparableError(
                f"{what} of {one.adapter.label}",
                expected=f"{expected} as in {first_path}",
                got=f"{got} in {path}",
                fix="A row is one model: make a board of each.",
            )


def gather(specs: Sequence[MetricSpec], run: tuple[Path, RunRecord]) -> dict[str, Column]:
    """Read a run's samples into columns.

    Raises:
        BenchError: `samples.jsonl` does not hold the samples that `run.json` counts.
    """
    path, record = run
    gathered = aggregate(specs, RunFolder(path).samples())
    if dict(gathered.statuses) != record.counts:
        raise BenchError(
            path / "samples.jsonl",
            expected=f"the samples that run.json counts, {record.counts}",
            got=dict(gathered.statuses),
            fix="Score the run again.",
        )
    return gathered.columns


def check_paired(metric: str, base: tuple[Path, Column], other: tuple[Path, Column]) -> None:
    """Check that two runs count the same samples, without which nothing about them is paired.

    Raises:
        NotComparableError: The truth of a sample could be opened for one of them only.
    """
    (base_path, one), (path, two) = base, other
    if not one.counts_as(two):
        raise NotComparableError(
            f"samples counted by {metric}",
            expected=f"the {len(one.values)} of {base_path}",
            got=f"{len(two.values)} in {path}, or others",
            fix="Score both again on the same data.",
        )
