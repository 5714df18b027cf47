"""Finds one task of lm-eval by its name, without the index of all 14,000 that takes 18 seconds."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from g2vlm_bench.errors import BenchError, nearest

# What a group says of itself, and not of how its tasks are asked.
_OF_A_GROUP = {
    *("group", "group_alias", "task", "task_alias", "tag"),
    *("aggregate_metric_list", "weight_by_size", "metadata"),
}


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
    if group := _group_file(name, folder):
        raise BenchError(
            f"lm-eval task '{name}'",
            expected="a single task",
            got=f"a group of tasks ({group})",
            fix="Name one of its tasks; `run` takes the group, too, for all of them.",
        )
    raise BenchError(
        f"lm-eval task '{name}'",
        expected=f"a task of {folder}",
        got="an unknown name",
        fix=nearest(name, {path.stem for path in files}),
    )


def members(name: str, tasks: Path | None = None) -> list[str]:
    """List the tasks that a name stands for: itself, or all of a group or tag, each once.

    Only a group costs lm-eval's own index of everything: its members may stand in any folder, and
    take their tags from files that they include.

    Args:
        name: A task's, a group's or a tag's name, or the path of a task's file.
        tasks: The folder of tasks; lm-eval's own where it is not given.

    Raises:
        BenchError: The name is unknown, or the group asks its tasks in another way than they say.
    """
    folder = tasks or require_lm_eval() / "tasks"
    try:
        find_yaml(name, folder)
    except BenchError:
        if _group_file(name, folder) is None:
            raise
    else:
        return [name]
    from lm_eval.tasks import TaskManager

    index = TaskManager(include_path=str(folder), include_defaults=False).task_index
    return list(dict.fromkeys(_members(name, index, name)))


def _members(item: Any, index: Mapping[str, Any], where: str) -> Iterator[str]:
    """The tasks of one item of a group's list: a name, or a group written there."""
    if isinstance(item, str) and item in index:
        entry = index[item]
        if entry.kind.name == "TAG":
            yield from sorted(entry.tags)
        elif entry.kind.name == "GROUP":
            yield from _members(entry.cfg, index, where)
        else:
            yield item
        return
    changes = set(item) - _OF_A_GROUP if isinstance(item, dict) else {str(item)}
    if changes or "task" not in item:
        raise BenchError(
            f"lm-eval group '{where}'",
            expected="tasks as their own files say",
            got=f"others ({', '.join(sorted(changes)) or 'no task'})",
            fix="Name the tasks that you want, each as lm_eval:TASK.",
        )
    for one in item["task"] if isinstance(item["task"], list) else [item["task"]]:
        yield from _members(one, index, where)


def _group_file(name: str, folder: Path) -> Path | None:
    """The first file that defines a group or a tag; templates have no suffix."""
    for path in _files(folder, "yaml"):
        content = path.read_bytes()
        if _defines("group", name, content) or _defines("tag", name, content):
            return path
    return None


def _yaml_files(folder: Path) -> Iterator[Path]:
    return _files(folder, ".yaml")


def _files(folder: Path, end: str) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name.endswith(end))


def _unlikely(path: Path, folder: Path, name: str) -> tuple[bool, bool, str]:
    # Most tasks stand in a file of their name, or in a folder whose name begins theirs.
    family = path.relative_to(folder).parts[0].partition("_")[0]
    return (path.stem != name, not name.startswith(family), str(path))


def _defines(key: str, name: str, content: bytes) -> bool:
    if key.encode() not in content or name.encode() not in content:
        return False
    keyed = rb"^[\"']?" + key.encode() + rb"[\"']?:\s*"
    word = rb"[\"']?" + re.escape(name.encode()) + rb"[\"']?"
    forms = [keyed + word + rb"\s*(?:#.*)?$"]
    if key == "tag":
        forms += [
            rb"^\s*-\s*" + word + rb"\s*(?:#.*)?$",
            keyed + rb"\[(?:[^\]]*,)?\s*" + word + rb"\s*[,\]]",
        ]
    return any(re.search(form, content, re.MULTILINE) for form in forms)
