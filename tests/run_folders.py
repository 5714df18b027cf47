"""Run folders read and compared, and plug-ins to change, for the tests of the loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench import store
from g2vlm_bench.plugins import Plugins

TOYS = Path(__file__).parent / "toys"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The scored samples less what a clock says."""
    text = (folder / "samples.jsonl").read_text().splitlines()
    return [json.loads(line) | {"seconds": None} for line in text]


def numbers_of(record: store.RunRecord) -> dict[str, Any]:
    """What a run came to, less its times and places."""
    return {
        key: msgspec.to_builtins(getattr(record, key))
        for key in ("results", "categories", "counts", "parse_statuses", "status", "identity")
    }


def only_run(out: Path) -> Path:
    """The one run of a folder of runs."""
    (folder,) = out.iterdir()
    return folder


def house_of(folder: Path) -> Plugins:
    """The toys in a folder of their own, to be changed."""
    shutil.copytree(TOYS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Plugins((folder / "tasks",), (folder / "adapters",))


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a file of a folder that is given later."""

    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change
