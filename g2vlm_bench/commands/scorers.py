"""`compare_scorers`: stored answers under every scorer, and where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2vlm_bench.commands.shared import (
    DataRoot,
    Json,
    TasksDirs,
    between_commas,
    find_plugins,
    print_json,
)


def compare_scorers(
    run: Annotated[Path, typer.Argument(help="A run folder of a question task.")],
    profiles: Annotated[
        str,
        typer.Option(
            help="Scorers beside the run's own, by comma: PROFILE or PROFILE.NAME of "
            "`list profiles`; all for every one that can read these questions."
        ),
    ] = "",
    show: Annotated[int, typer.Option(min=0, help="Answers that differ to list.")] = 10,
    data_root: DataRoot = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Count a run's stored answers as each scorer does: scores, intervals, answers that differ.

    Nothing is predicted and the run is not changed. The first scorer is the one that the others are
    compared with, on the same scenes.
    """
    from g2vlm_bench.scorers import compare_scorers as compared
    from g2vlm_bench.scorers import table

    plugins = find_plugins(tasks_dir, None)
    found = compared(plugins, run, between_commas(profiles), data_root)
    if json:
        print_json(found)
        return
    for line in table(found, show):
        typer.echo(line)
