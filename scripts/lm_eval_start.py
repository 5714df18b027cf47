"""How long it takes until a task of lm-eval is ready to be asked, each time in a fresh process.

python scripts/lm_eval_start.py [TASK ...]

A task is a name that lm-eval knows (its data must be in the cache) or the path of a YAML file;
without one, a file of 100 questions is made. `ready` is the time to the first question, from the
start of Python; `index` is lm-eval's own TaskManager, which every command of its own waits for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

READY = """
import resource, sys, time
started = time.perf_counter()
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
plugins = Plugins()
task = Task.load(plugins, plugins.task("lm_eval:" + sys.argv[1]))
task.dataset.samples[0].load_inputs()
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, len(task.dataset.samples))
"""
FOUND = """
import sys, time
started = time.perf_counter()
from g2vlm_bench.lm_eval_bridge.finding import find_yaml
find_yaml(sys.argv[1])
print(time.perf_counter() - started, time.process_time(), 1)
"""
INDEX = """
import time
started = time.perf_counter()
from lm_eval.tasks import TaskManager
print(time.perf_counter() - started, time.process_time(), len(TaskManager().all_tasks))
print(time.perf_counter() - started, time.process_time(), 1)
"""
TOY = """
task: toy
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: [left, right]
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def measure(what: str, script: str, *arguments: str) -> None:
    """Run a script in a process of its own and print what it says of its time."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{what}: {done.stderr.strip().splitlines()[-1]}")
        return
    wall, cpu, count = done.stdout.strip().splitlines()[-1].split()
    print(f"{what}: {float(wall):.2f} s ({float(cpu):.2f} s of CPU), {count} found")


def main() -> None:
    """Measure each task named, then lm-eval's index."""
    with tempfile.TemporaryDirectory() as folder:
        names = sys.argv[1:]
        if not names:
            rows = Path(folder, "rows.jsonl")
            row = json.dumps({"question": "Where is the lamp?", "gold": 1})
            rows.write_text(f"{row}\n" * 100)
            toy = Path(folder, "toy.yaml")
            toy.write_text(TOY.format(rows=rows))
            names = [str(toy)]
        for name in names:
            measure(f"ready {name}", READY, name)
    for name in ("arc_easy", "mmlu_anatomy", "mmmu_val_art"):
        measure(f"file of {name}", FOUND, name)
    measure("index", INDEX)


if __name__ == "__main__":
    main()
