"""`protocols`: one prediction under every published protocol."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g2vlm_bench.commands.shared import Json, TasksDirs, between_commas, find_plugins, print_json
from g2vlm_bench.errors import UsageError

if TYPE_CHECKING:
    from g2vlm_bench.survey import Reading


def protocols(
    prediction: Annotated[
        Path,
        typer.Argument(
            help="A depth map (png, npy, npz, exr, pfm, dpt), a cloud (ply, pcd, xyz, pts, bin) "
            "or a trajectory (tum, kitti, euroc, colmap)."
        ),
    ],
    truth: Annotated[Path, typer.Argument(help="The true one.")],
    ambiguity: Annotated[
        str, typer.Option(help="Of the prediction: metric, scale, affine, affine_disparity.")
    ] = "metric",
    prediction_scale: Annotated[
        float | None, typer.Option(help="Stored value of one metre, for png and pgm.")
    ] = None,
    truth_scale: Annotated[float | None, typer.Option(help="Likewise, of the truth.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Metrics of the family, by comma.")] = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Show one prediction under every published protocol: what the protocol alone is worth."""
    from g2vlm_bench.sample import Ambiguity
    from g2vlm_bench.survey import survey
    from g2vlm_bench.survey_files import pair_of_files

    if ambiguity not in list(Ambiguity):
        raise UsageError("--ambiguity", expected=" or ".join(Ambiguity), got=f"'{ambiguity}'")
    pair = pair_of_files(prediction, truth, prediction_scale, truth_scale)
    readings = survey(
        find_plugins(tasks_dir, None),
        pair.family,
        pair.target,
        pair.prediction,
        Ambiguity(ambiguity),
        between_commas(metrics),
    )
    if json:
        print_json(readings)
        return
    for line in _table(readings):
        typer.echo(line)


def _table(readings: list[Reading]) -> Iterable[str]:
    """Values first, then what is to be known of them, then why the others have none."""
    with_values = [reading for reading in readings if reading.values]
    names = list(dict.fromkeys(name for reading in with_values for name in reading.values))
    if with_values:
        width = max(len(reading.protocol) for reading in with_values)
        wide = max(12, *map(len, names))
        yield " ".join([f"{'protocol':<{width}}", *(f"{name:>{wide}}" for name in names)])
        for reading in with_values:
            values = (reading.values.get(name) for name in names)
            cells = (f"{'-' if v is None else format(v, '.4f'):>{wide}}" for v in values)
            yield f"{reading.protocol:<{width}} {' '.join(cells)}"
    else:
        yield "No protocol gives a number."
    told: dict[str, list[str]] = {}
    for reading in readings:
        for text in reading.warnings or ():
            told.setdefault(f"warning: {text}", []).append(reading.protocol)
    for reading in readings:
        if reading.problem:
            told.setdefault(reading.problem, []).append(reading.protocol)
    for text, labels in told.items():
        of_all = len(labels) == len(readings)
        yield f"\n{text}:\n  {'all protocols' if of_all else ', '.join(labels)}"
