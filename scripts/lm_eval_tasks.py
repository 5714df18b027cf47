"""Writes lm_eval_bridge/tasks: a file for lm-eval of each shipped task that asks questions.

python scripts/lm_eval_tasks.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Want

FOLDER = Path(__file__).parent.parent / "g2vlm_bench" / "lm_eval_bridge" / "tasks"
LANGUAGE = {Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS}
FILE = """\
# Written by scripts/lm_eval_tasks.py
task: {name}
class: !function g2vlm_bench.lm_eval_bridge.questions.QuestionTask
metadata: {{g2vlm_task: {task}}}
"""


def files() -> dict[str, str]:
    """Name -> content of every file that belongs there."""
    plugins = Plugins()
    found: dict[str, str] = {}
    for task in plugins.names("task"):
        wants = plugins.family(plugins.task(task)).wants
        if any(wanted <= LANGUAGE for wanted in wants):
            name = f"g2vlm_{task.partition('/')[2]}"
            if f"{name}.yaml" in found:
                sys.exit(f"two tasks are named {name}")
            found[f"{name}.yaml"] = FILE.format(name=name, task=task)
    return found


def main() -> None:
    """Write them, or say which are not as they should be."""
    wanted = files()
    here = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    if "--check" in sys.argv:
        wrong = sorted(name for name in {*wanted, *here} if wanted.get(name) != here.get(name))
        sys.exit(f"not current: {', '.join(wrong)}; run {sys.argv[0]}" if wrong else 0)
    FOLDER.mkdir(exist_ok=True)
    for name in set(here) - set(wanted):
        (FOLDER / name).unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
    print(f"{len(wanted)} tasks: {FOLDER}")


if __name__ == "__main__":
    main()
