"""lm-eval's own command line, with our adapters as `--model g2vlm_bench` and our question tasks.

    python -m g2vlm_bench.lm_eval_bridge --model g2vlm_bench \
        --model_args model=chance --tasks g2vlm_world_counting --limit 20

Everything else is lm-eval's; its index of 14,000 tasks is read only where one of them is named.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge import TASKS
from g2vlm_bench.lm_eval_bridge.finding import find_yaml, require_lm_eval


def main() -> None:
    """Register the model and the tasks, then hand over to lm-eval."""
    try:
        require_lm_eval()
        _run()
    except BenchError as error:
        sys.exit(f"error: {error}")


def _run() -> None:
    import lm_eval.tasks
    from lm_eval.__main__ import cli_evaluate

    from g2vlm_bench.lm_eval_bridge.models import register

    register()
    manager = lm_eval.tasks.TaskManager

    def with_ours(include_path: Any = None, **more: Any) -> Any:
        # lm-eval's command line has no option for it, and its own index takes 18 seconds.
        given = include_path if isinstance(include_path, list) else [include_path or TASKS]
        folders = list(dict.fromkeys([TASKS, *map(Path, given)]))
        return manager(include_path=folders, include_defaults=_names_others(folders), **more)

    lm_eval.tasks.TaskManager = with_ours
    cli_evaluate()


def _names_others(folders: list[Path]) -> bool:
    """Whether the command line names a task that none of the folders has."""
    words = sys.argv[1:]
    named = [
        word.partition("=")[2] if word.startswith("--tasks=") else following
        for word, following in zip(words, [*words[1:], ""], strict=True)
        if word == "--tasks" or word.startswith("--tasks=")
    ]
    names = [name for text in named for name in text.split(",") if name]
    return not names or not all(any(_has(folder, name) for folder in folders) for name in names)


def _has(folder: Path, name: str) -> bool:
    try:
        find_yaml(name, folder)
    except BenchError:
        return False
    return True


if __name__ == "__main__":
    main()
