"""Published scorers' functions, taken from their checkouts without what they do not need.

Of a file only plain imports, functions, classes and constants are executed, so that nothing is
downloaded and no model is run.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm_bench.sample import Target

PLAIN = {
    "re", "json", "math", "ast", "string", "random", "copy", "os", "numpy", "collections", "typing",
    "functools", "logging", "word2number", "pandas", "time", "enum", "dataclasses",
}  # fmt: skip
# Text and truth in, score out; None leaves the mean.
Scorer = Callable[[str, Target], float | None]


@cache
def names_of(path: Path) -> dict[str, Any]:
    """Execute a file's plain imports, functions, classes and constants, each where it can be."""
    module = types.ModuleType(path.stem)
    space = module.__dict__
    import pandas

    space |= {"re": re, "json": json, "np": np, "pd": pandas, "num2words": _num2words}
    space["logger"] = space["eval_logger"] = _Silent()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            plain = all((name or "").split(".")[0] in PLAIN for name in named)
            if not plain or (isinstance(node, ast.ImportFrom) and node.level):
                continue
        elif isinstance(node, ast.ClassDef):
            node.bases = []
        elif isinstance(node, ast.For):
            calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
            if any(not ast.unparse(call).endswith(".items()") for call in calls):
                continue
        elif not isinstance(node, ast.FunctionDef | ast.Assign | ast.AnnAssign):
            continue
        part = ast.fix_missing_locations(ast.Module([node], []))
        with contextlib.suppress(Exception):
            exec(compile(part, str(path), "exec"), space)
    return space


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _num2words(value: int, lang: str = "en") -> str:
    """What num2words says up to twenty, so that the peer needs no package."""
    words = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty"
    )
    return words.split()[value]


@dataclass(frozen=True)
class Peers:
    """The folder with the checkouts, each by its repository's name."""

    folder: Path

    def lmms(self, task: str) -> dict[str, Any]:
        """A task's functions in lmms-eval."""
        return names_of(self.folder / "lmms-eval" / "lmms_eval" / "tasks" / task / "utils.py")

    def kit(self, file: str) -> dict[str, Any]:
        """A file's functions in VLMEvalKit, with what it imports from its neighbours."""
        base = self.folder / "VLMEvalKit" / "vlmeval"
        space = names_of(base / file)
        if file == "dataset/utils/spatial_bench/cal_scores.py":
            return space
        tools = names_of(base / "dataset" / "utils" / "spatial_bench" / "tools" / "utils.py")
        scores = names_of(base / "dataset" / "utils" / "spatial_bench" / "cal_scores.py")
        space.setdefault("Point2DParser", tools.get("Point2DParser"))
        space.setdefault("mean_relative_accuracy", scores["mean_relative_accuracy"])
        return space

    def own(self, repository: str, file: str) -> dict[str, Any]:
        """A benchmark's own file."""
        return names_of(self.folder / repository / file)
