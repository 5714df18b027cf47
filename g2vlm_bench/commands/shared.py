"""Options and helpers that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from g2vlm_bench.plugins import Plugins

TasksDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--tasks-dir", help="Your own tasks, families, readers. Also G2VLM_BENCH_TASKS_DIR."
    ),
]
AdaptersDirs = Annotated[
    list[Path] | None,
    typer.Option("--adapters-dir", help="Your own adapters. Also G2VLM_BENCH_ADAPTERS_DIR."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder that the tasks' data roots start in.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def find_plugins(tasks_dirs: list[Path] | None, adapters_dirs: list[Path] | None) -> Plugins:
    """The shipped plug-ins and those of one's own folders."""
    from g2vlm_bench.plugins import Plugins

    return Plugins.find(tasks_dirs or (), adapters_dirs or ())


def between_commas(text: str | None) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def print_json(content: Any) -> None:
    """Print JSON for programs."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(content), indent=1).decode())
