"""Small run folders made by hand, so that a test sees which number came from where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from g2vlm_bench.board import Board, BoardColumn, BoardDefinition
from g2vlm_bench.environment import Environment
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.ranking import build
from g2vlm_bench.sample import Prediction
from g2vlm_bench.scoring import write_results
from g2vlm_bench.store import (
    AdapterRecord,
    DataRecord,
    Failure,
    RunFolder,
    RunRecord,
    SampleLine,
    TaskRecord,
    identity_of,
)

DELTA = MetricSpec(
    name="delta1@median_scale", unit="1", higher_is_better=True, best=1.0, worst=0.0,
    description="share of pixels < 1.25",
)  # fmt: skip
RMSE = MetricSpec(name="rmse@metric", unit="m", higher_is_better=False, best=0.0, worst=None)
ACCURACY = MetricSpec(
    name="accuracy@strict", unit="1", higher_is_better=True, best=1.0, worst=0.0, chance=0.25
)
ENVIRONMENT = Environment(
    commit="0123456789abcdef", dirty=False, code_hash="sha256:feed", python="3.11.0",
    system="Linux", packages={"numpy": "2.4.0"}, device="cpu", driver=None, threads=2,
)  # fmt: skip

Lines = Sequence[SampleLine]


def line(
    index: int, values: dict[str, float | None] | None, cluster: str | None = None, **more: Any
) -> SampleLine:
    """A sample that was scored, or that failed where there are no values."""
    error = None if values is not None else Failure(stage="predict", kind="Oops", message="no")
    return SampleLine(
        id=f"sample-{index}",
        cluster=cluster or f"scene-{index}",
        status="scored" if values is not None else "failed",
        values=values or {},
        error=error,
        **more,
    )


def scored(spec: MetricSpec, *values: float | None) -> Lines:
    return [line(i, None if v is None else {spec.name: v}) for i, v in enumerate(values)]


def make_run(
    out: Path,
    task: str,
    model: str,
    metrics: Sequence[MetricSpec],
    lines: Lines,
    predictions: Sequence[Prediction] = (),
    *,
    headline: str = "",
    pinned: bool = True,
    adapter: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write a complete run folder; its results are aggregated from its lines."""
    about = {
        "source_hash": "sha256:33",
        "ambiguity": "metric",
        "reads_truth": False,
        "wants": ["depth"],
        "predicts": [],
    }
    definition = {"headline": headline or metrics[0].name, "title": f"Title of {task}"}
    record = RunRecord(
        status="complete",
        identity=identity_of({"task": task, "model": model}),
        task=TaskRecord(
            name=task,
            version=1,
            family=task.partition("/")[0],
            definition_hash="sha256:dd",
            definition=definition,
        ),
        data=DataRecord(
            source="world",
            split="test",
            revision="r1",
            rows=len(lines),
            ids_hash="sha256:11",
            content_hash="sha256:22",
            pinned=pinned,
        ),
        adapter=AdapterRecord(spec=model, arguments={}, **(about | (adapter or {}))),
        metrics=list(metrics),
        seed=0,
        environment=ENVIRONMENT,
        seconds={"predict": 1.5},
        peak_memory_mb={"host": 512.0},
        **more,
    )
    folder = RunFolder(out / f"run-{record.identity[:16]}")
    with folder:
        with folder.rewrite_samples() as samples:
            for one in lines:
                samples.write(one)
        with folder.append_predictions() as index:
            for one, prediction in zip(lines, predictions, strict=False):
                index.write(folder.save_prediction(one.id, prediction, 0.1))
        write_results(folder, record)
        folder.write_record(record)
    return folder.path


def board_of(*paths: Path, tasks: dict[str, str], title: str = "A board") -> Board:
    """A board with a column a task."""
    columns = [BoardColumn(task=task, title=column) for task, column in tasks.items()]
    definition = BoardDefinition(name="test", version=3, title=title, columns=columns)
    return build(definition, paths)


def floored_board(out: Path) -> Board:
    """A floor, one model above it and one that is not, and a column without a floor."""
    rooms, clouds = "depth/rooms", "chamfer/rooms"

    def values(low: float) -> Lines:
        return scored(DELTA, *(low + 0.01 * (i % 5) for i in range(24)))

    return board_of(
        make_run(out, rooms, "flat", [DELTA], values(0.4), adapter={"is_floor": True}),
        make_run(out, rooms, "skilled", [DELTA], values(0.6)),
        make_run(out, rooms, "useless", [DELTA], values(0.4)),
        make_run(out, clouds, "skilled", [DELTA], values(0.6)),
        tasks={rooms: "Depth", clouds: "Cloud"},
    )


def usual_board(out: Path) -> Board:
    """Two models that tie, one with a failure, a refusal and a mark, and an oracle."""
    rooms, questions = "depth/rooms", "spatial_qa/rooms"
    both = [line(i, {DELTA.name: i % 2, RMSE.name: 2.0 * i}) for i in range(24)]
    zeros = [line(i, {DELTA.name: 0.0, RMSE.name: 9.0}) for i in range(23)]
    refused = {ACCURACY.name: "affine predictions cannot be scored as strict"}
    headline, truth = ACCURACY.name, {"reads_truth": True}
    ones, fours = scored(DELTA, *[1.0] * 24), scored(RMSE, *[1.0] * 4)
    return board_of(
        make_run(out, rooms, "first", [DELTA, RMSE], both),
        make_run(out, rooms, "second", [DELTA, RMSE], both),
        make_run(out, rooms, "failing", [DELTA, RMSE], [*zeros, line(23, None)], pinned=False),
        make_run(out, rooms, "oracle", [DELTA], ones, adapter=truth),
        make_run(out, questions, "first", [ACCURACY], scored(ACCURACY, *[1.0, 0.0, 1.0, 1.0] * 3)),
        make_run(out, questions, "second", [ACCURACY], scored(ACCURACY, *[1.0, 0.0, 1.0, 1.0] * 3)),
        make_run(out, questions, "failing", [RMSE], fours, headline=headline, refused=refused),
        tasks={rooms: "Depth", questions: "QA"},
    )
