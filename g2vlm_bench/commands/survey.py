"""`protocols`: one prediction under every published protocol."""

from __future__ import annotations

import re
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
            help="Depth (png, pgm, npy, npz, exr, pfm, dpt), maps of points (npy, npz), a cloud or "
            "mesh (ply, pcd, xyz, pts, bin, obj, glb), or a trajectory (txt, csv, tum, kitti, "
            "euroc, colmap, COLMAP's images.txt or folder). Arrays may be stacks of frames."
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
    intrinsics: Annotated[
        Path | None,
        typer.Option(
            help="Text or npy file of the truth's fx, fy, cx, cy or 3x3 matrix; an npz may hold "
            "them itself, as `intrinsics`."
        ),
    ] = None,
    predicted_intrinsics: Annotated[
        Path | None,
        typer.Option(
            help="Likewise, of the prediction: its depth is lifted by its own camera where points "
            "are compared."
        ),
    ] = None,
    pixel_centre: Annotated[
        float, typer.Option(help="Where those files put the first pixel's centre, 0 or 0.5.")
    ] = 0.0,
    family: Annotated[
        str | None,
        typer.Option(help="Of maps with intrinsics: depth, point_map or chamfer."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Of trajectories with another suffix: tum, kitti, euroc, colmap."),
    ] = None,
    mesh_points: Annotated[
        int | None, typer.Option(min=0, help="Points drawn from a mesh; 0 takes its vertices.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Metrics of the family, by comma; a profile gives those of its code."),
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(
            help="Metres of precision, recall and F-score under the profile default, by comma; "
            "0.05 where none is named."
        ),
    ] = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Show one prediction under every published protocol: what the protocol alone is worth.

    A hole (NaN) of a prediction where the truth is valid is a failure. Exit code 1 where not one
    protocol gives a number.
    """
    from g2vlm_bench.sample import Ambiguity
    from g2vlm_bench.survey import survey
    from g2vlm_bench.survey_files import pair_of_files

    if ambiguity not in list(Ambiguity):
        raise UsageError("--ambiguity", expected=" or ".join(Ambiguity), got=f"'{ambiguity}'")
    if pixel_centre not in (0, 0.5):
        raise UsageError("--pixel-centre", expected="0 or 0.5", got=pixel_centre)
    pair = pair_of_files(
        prediction,
        truth,
        prediction_scale,
        truth_scale,
        family=family,
        trajectory_format=format,
        intrinsics=intrinsics,
        predicted_intrinsics=predicted_intrinsics,
        pixel_centre=pixel_centre,
        mesh_points=mesh_points,
    )
    readings = survey(
        find_plugins(tasks_dir, None),
        pair.family,
        pair.target,
        pair.prediction,
        Ambiguity(ambiguity),
        between_commas(metrics),
        _metres(thresholds),
        pair.notes,
    )
    if json:
        print_json(readings)
    else:
        for line in _table(readings):
            typer.echo(line)
    if not any(reading.values for reading in readings):
        raise typer.Exit(1)


def _metres(texts: str | None) -> list[float]:
    metres = []
    for text in between_commas(texts):
        try:
            length = float(text)
        except ValueError:
            length = 0.0
        if not 0 < length < float("inf"):
            raise UsageError("--thresholds", expected="metres, as in 0.05,0.1", got=f"'{text}'")
        metres.append(length)
    return metres


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
    told = [(f"warning: {text}", r.protocol) for r in readings for text in r.warnings or ()]
    told += [(reading.problem, reading.protocol) for reading in readings if reading.problem]
    # Protocols count other pixels, and say the same of them.
    alike: dict[str, dict[str, list[str]]] = {}
    for text, label in told:
        alike.setdefault(re.sub(r"\d+", "#", text), {}).setdefault(text, []).append(label)
    for texts in alike.values():
        labels = [label for of_text in texts.values() for label in of_text]
        others = " (others with other numbers)" if len(texts) > 1 else ""
        named = "all protocols" if len(labels) == len(readings) else ", ".join(labels)
        yield f"\n{next(iter(texts))}{others}:\n  {named}"
