"""Checks a task before anyone trusts it: truth must score best, a scrambled truth must not."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from g2vlm_bench.data.pin import record
from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.sample import IMAGE_MARK
from g2vlm_bench.store import RunRecord

# Alignments and nearest neighbours are computed in float64; depth itself is float32.
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found of a task.

    Attributes:
        task: Its name.
        rows: Samples of the scored split, and how many were tried.
        prompt: What a language model sees of the first sample; empty for a task without questions.
        pictures: How many pictures it sees with that, and where they stand; empty for none.
        unscored: How many of those tried have no truth that can be scored.
        problems: What is wrong, one line each.
        content_hash: Of the data as they are here, for pinning.
        pinned: Whether the task pins rows and content.
        revision: Of the data, as the task pins it or as they say themselves.
        recorded: The file in which this first use of data that are not pinned was recorded.
    """

    task: str
    rows: tuple[int, int]
    prompt: str
    pictures: str
    unscored: int
    problems: tuple[str, ...]
    content_hash: str
    pinned: bool
    revision: str = ""
    recorded: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def text(self, prompt: bool = True) -> str:
        """Describe the findings in a few lines."""
        rows, tried = self.rows
        lines = [f"{'ok  ' if self.passed else 'FAIL'} {self.task}: {rows} samples, {tried} tried"]
        if self.unscored:
            lines.append(f"     {self.unscored} of those tried have no truth that can be scored")
        if not self.pinned:
            revision = f"revision: {self.revision}, " if self.revision else ""
            lines.append(
                f"     not pinned; pin with {revision}rows: {rows}, "
                f"content_hash: {self.content_hash}"
            )
        if self.recorded:
            lines.append(f"     first use recorded in {self.recorded}, and held to from now on")
        lines += [f"     {problem}" for problem in self.problems]
        if prompt and self.prompt:
            lines += [f"     prompt of the first sample{self.pictures}:"]
            lines += [f"     | {line}" for line in self.prompt.splitlines()]
        return "\n".join(lines)


def validate_task(
    plugins: Plugins, name: str, data_root: Path | None = None, samples: int | None = None
) -> Validation:
    """Score the truth and a scrambled truth on a task's first samples.

    Args:
        plugins: Where the task is found.
        name: Of the task.
        data_root: Where its data root starts.
        samples: How many samples are tried; as many as the family needs where None.

    Raises:
        BenchError: The task or its data cannot be loaded.
    """
    task = Task.load(plugins, plugins.task(name), data_root)
    if not task.dataset.samples:
        raise BenchError(f"task {task.name}", expected="at least one sample", got="none")
    _ = task.dataset.training  # refused where it holds what is scored
    tried = samples or task.family.enough_to_validate
    with tempfile.TemporaryDirectory(prefix="g2vlm_bench_validate_") as folder:
        options = Options(out=Path(folder), data_root=data_root, limit=tried)
        records = {
            reference: run(task, Model.load(plugins, reference, {}, options), options)[1]
            for reference in ("oracle", "scrambled")
        }
    prompt, pictures = _first_prompt(task)
    return Validation(
        task=task.name,
        rows=(len(task.dataset.samples), min(tried, len(task.dataset.samples))),
        prompt=prompt,
        pictures=pictures,
        unscored=records["oracle"].counts.get("unscored", 0),
        problems=(
            *_not_best(records["oracle"], _falling_short(task)),
            *_still_best(records["scrambled"]),
        ),
        content_hash=task.dataset.fingerprint.content_hash,
        pinned=task.dataset.fingerprint.pinned,
        revision=task.dataset.fingerprint.revision,
        recorded=record(task.dataset, f"task {task.name}"),
    )


def _first_prompt(task: Task) -> tuple[str, str]:
    try:
        first = task.family.prepare(task.dataset.samples[0].load_inputs())
    except BenchError:
        # Inputs that cannot be opened are among the problems already, as failed samples.
        return "", ""
    told = f"[system]\n{first.system}\n[question]\n" if first.system else ""
    prompt = f"{told}{first.prompt}" if first.prompt else ""
    count = len(first.images)
    if not prompt or not count:
        return prompt, ""
    where = f"at its {IMAGE_MARK}" if IMAGE_MARK in prompt else "before it"
    return prompt, f", {count} image{'s' * (count > 1)} {where}"


def _falling_short(task: Task) -> frozenset[str]:
    """Name the metrics of which it is said that the truth does not get the best value."""
    family = task.family
    return frozenset(spec.name for spec in family.specs if family.truth_falls_short(spec))


def _not_best(record: RunRecord, falling_short: frozenset[str]) -> Sequence[str]:
    problems = []
    for spec in record.metrics:
        result = record.result(spec.name)
        if result is None or result.n_scored + result.n_failed == 0:
            continue
        if result.n_failed:
            problems.append(f"{spec.name}: the truth itself failed on {result.n_failed} samples")
        elif spec.name not in falling_short and not _is_best(spec, result.value):
            problems.append(
                f"{spec.name}: expected the truth to score {spec.best}, got {result.value}"
            )
    if not record.counts.get("scored"):
        problems.append("expected samples with truth, got none that could be scored")
    return problems


def _still_best(record: RunRecord) -> Sequence[str]:
    return [
        f"{spec.name}: expected a scrambled truth to score worse than {spec.best}, got that"
        for spec in record.metrics
        if (result := record.result(spec.name)) is not None
        and result.n_scored + result.n_failed > 0
        and spec.name.partition("@")[0] != "unparsed"
        and _is_best(spec, result.value)
    ]


def _is_best(spec: MetricSpec, value: float | None) -> bool:
    return value is not None and math.isclose(value, spec.best, abs_tol=_TOLERANCE)
