"""`data`: where datasets come from, how they are fetched or made, and whether a folder is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g2vlm_bench.commands.shared import (
    Json,
    TasksDirs,
    between_commas,
    find_plugins,
    print_json,
)
from g2vlm_bench.errors import UsageError

if TYPE_CHECKING:
    from g2vlm_bench.data.catalogue import Entry
    from g2vlm_bench.plugins import Plugins

# Where data that this package makes are written.
MADE = Path("data")

app = typer.Typer(
    no_args_is_help=True,
    help="Datasets: where they come from, how they are fetched, whether a folder is whole.",
)

DatasetName = Annotated[str, typer.Argument(help="A dataset of `data list`.")]
Catalogue = Annotated[
    Path | None, typer.Option(help="A YAML file of your own datasets, instead of the shipped one.")
]


@app.command(name="list")
def data_list(catalogue: Catalogue = None, tasks_dir: TasksDirs = None, json: Json = False) -> None:
    """List the datasets that are known, their licences, and whether they can be fetched.

    Published question benchmarks stand under their tasks' names.
    """
    from g2vlm_bench.benchmarks import list_benchmarks
    from g2vlm_bench.data.catalogue import load_catalogue

    entries = list(load_catalogue(catalogue).values())
    benchmarks = [] if catalogue else list(list_benchmarks(find_plugins(tasks_dir, None)))
    if json:
        print_json([*entries, *benchmarks])
        return
    lines = [(entry.name, entry.how, entry.title, entry.licence) for entry in entries]
    lines += [(one.task, one.how, one.title, one.licence) for one in benchmarks]
    width = max((len(name) for name, *_ in lines), default=0)
    for name, how, title, licence in lines:
        typer.echo(f"{name:<{width}}  {how:<7}  {title} ({' '.join(licence.split())})")


def _entry(name: str, catalogue: Path | None, tasks_dir: list[Path] | None) -> Entry:
    """Find a dataset; a benchmark's name without its family is met with the whole one."""
    from g2vlm_bench.benchmarks import list_benchmarks
    from g2vlm_bench.data.catalogue import find_entry, load_catalogue

    if catalogue is None and name not in load_catalogue():
        benchmarks = list_benchmarks(find_plugins(tasks_dir, None))
        return find_entry(name, also=[one.task for one in benchmarks])
    return find_entry(name, catalogue)


def _prepare_benchmark(name: str, root: Path | None, plugins: Plugins) -> None:
    """A published benchmark's data are named by its task; `root` is what tasks start in."""
    from g2vlm_bench import benchmarks
    from g2vlm_bench.task import load_definition

    definition = load_definition(plugins.path("task", name))
    if definition.data.get("format") != benchmarks.FORMAT:
        raise UsageError(f"task '{name}'", expected="a published benchmark", got="another task")
    benchmark = benchmarks.describe(definition, plugins)
    typer.echo(benchmark.text())
    if root is not None:
        typer.echo(f"ready: {benchmarks.fetch(benchmark, root)}")


@app.command(name="prepare")
def data_prepare(
    name: DatasetName,
    root: Annotated[
        Path | None,
        typer.Option(
            help="The dataset's folder, of a benchmark the one that --data-root will name; "
            "without it nothing is fetched. "
            "Data that are made go to data/NAME."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of data that are made: which splits, by comma.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Of data that are made: tasks, by comma.")
    ] = None,
    catalogue: Catalogue = None,
    tasks_dir: TasksDirs = None,
) -> None:
    """Say where a dataset comes from, its licence and layout; fetch it where its source allows.

    Fetching goes on where it was cut, checks hashes, and unpacks within the folder only. The
    procedural world is made: written as a Hugging Face dataset, the same bytes on every run.
    """
    if "/" in name:
        _prepare_benchmark(name, root, find_plugins(tasks_dir, None))
        return
    entry = _entry(name, catalogue, tasks_dir)
    if not entry.made_by and (split or task):
        raise UsageError(f"dataset '{name}'", expected="no --split or --task", got="one")
    typer.echo(entry.text())
    if entry.made_by:
        from g2vlm_bench.making import make

        splits, tasks = between_commas(split) or ["test"], between_commas(task)
        folder = root or MADE / name
        for made in make(entry, folder, find_plugins(tasks_dir, None), splits, tasks):
            typer.echo(made.text())
    elif root is not None:
        from g2vlm_bench import acquire

        for ready in acquire.prepare(entry, root):
            typer.echo(ready.text())


@app.command(name="verify")
def data_verify(
    name: DatasetName,
    root: Annotated[
        Path | None, typer.Option(help="The dataset's folder; data/NAME for data that are made.")
    ] = None,
    catalogue: Catalogue = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Check a dataset's folder: hashes, counts, files that are missing."""
    from g2vlm_bench import acquire

    if "/" in name:
        raise UsageError(
            f"dataset '{name}'",
            expected="a dataset that is no task",
            got="a benchmark's task",
            fix=f"g2vlm-bench validate {name} --data-root DIR checks its rows, content and pins.",
        )

    entry = _entry(name, catalogue, tasks_dir)
    if entry.made_by:
        from g2vlm_bench.making import verify_made

        found = verify_made(entry, root or MADE / name, find_plugins(tasks_dir, None))
    elif root is None:
        raise UsageError(f"dataset '{name}'", expected="--root, the dataset's folder", got="none")
    else:
        found = acquire.verify(entry, root, find_plugins(tasks_dir, None))
    if json:
        print_json(found)
    else:
        typer.echo(found.text())
    if not found.ok:
        raise typer.Exit(1)


@app.command(name="sheet")
def data_sheet(
    name: Annotated[str, typer.Argument(help="A dataset that is made: world.")] = "world",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[Path, typer.Option(help="The picture, a PNG.")] = Path("world.png"),
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many scenes.")] = 12,
    place: Annotated[str, typer.Option(help="room, table_top, road, or mixed.")] = "mixed",
    views: Annotated[int, typer.Option(help="Pictures of a scene, 1 to 8.")] = 1,
    moving: Annotated[bool, typer.Option(help="Scenes in which things move; 2 views or more.")] = (
        False
    ),
    questions: Annotated[int, typer.Option(min=1, help="Questions under a scene.")] = 1,
    columns: Annotated[int, typer.Option(min=1, help="Scenes beside one another.")] = 2,
    side: Annotated[int, typer.Option(min=1, help="Width of a picture on the sheet.")] = 192,
) -> None:
    """Draw scenes of the procedural world: picture, depth, objects, a question and its answer."""
    from g2vlm_bench.sheet import write_sheet

    if name != "world":
        raise UsageError(f"dataset '{name}'", expected="one that is made: world", got="another")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}", expected="a name that ends in .png", got=f"'{out.name}'")
    write_sheet(
        out, split, n, per_scene=questions, columns=columns, picture_px=side,
        place=place, views=views, moving=moving,
    )  # fmt: skip
    typer.echo(f"{n} scenes: {out}")
