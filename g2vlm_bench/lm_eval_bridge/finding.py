"""Finds one task of lm-eval by its name, without the index of all 14,000 that takes 18 seconds."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from g2vlm_bench.errors import BenchError, nearest


def require_lm_eval() -> Path:
    """Give the folder of the installed lm-eval; nothing of it is imported.

    Raises:
        BenchError: It is not installed.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            "lm-eval",
            expected="an installed lm-eval, for its tasks or its runner",
            got="none",
            fix="Install it: pip install 'g2vlm-bench[qa]'.",
        )
    return Path(spec.submodule_search_locations[0])


def find_yaml(name: str, tasks: Path | None = None) -> Path:
    """Find the file that defines a task.

    Args:
        name: The task's name, or the path of its YAML file.
        tasks: The folder of tasks; lm-eval's own where it is not given.

    Raises:
        BenchError: There is none of that name, or it names a group of tasks.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).absolute()
        if not path.is_file():
            raise BenchError(f"lm-eval task '{name}'", expected="a YAML file", got="no such file")
        return path
    folder = tasks or require_lm_eval() / "tasks"
    files = sorted(_yaml_files(folder), key=lambda path: _unlikely(path, folder, name))
    for path in files:
        if _defines("task", name, path.read_bytes()):
            return path
    for path in files:
        content = path.read_bytes()
        if _defines("group", name, content) or _defines("tag", name, content):
            raise BenchError(
                f"lm-eval task '{name}'",
                expected="a single task",
                got=f"a group of tasks ({path})",
                fix="Name its tasks, each as lm_eval:TASK.",
            )
    raise BenchError(
        f"lm-eval task '{name}'",
        expected=f"a task of {folder}",
        got="an unknown name",
        fix=nearest(name, {path.stem for path in files}),
    )


def _yaml_files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name.endswith(".yaml"))


def _unlikely(path: Path, folder: Path, name: str) -> tuple[bool, bool, str]:
    # Most tasks stand in a file of their name, or in a folder whose name begins theirs.
    family = path.relative_to(folder).parts[0].partition("_")[0]
    return (path.stem != name, not name.startswith(family), str(path))


def _defines(key: str, name: str, content: bytes) -> bool:
    if key.encode() not in content or name.encode() not in content:
        return False
    keyed = rb"^[\"']?" + key.encode() + rb"[\"']?:\s*"
    listed = rb"|^\s*-\s*" if key == "tag" else b""
    line = rb"(?:" + keyed + listed + rb")[\"']?%b[\"']?\s*(?:#.*)?$"
    return re.search(line % re.escape(name.encode()), content, re.MULTILINE) is not None
