"""Measures what the harness itself costs: start-up, memory, samples a second.

    python benchmarks/light.py

Prints the figures and asserts nothing: they belong to the machine they were taken on.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PROJECT = Path(__file__).parent.parent
TOYS = PROJECT / "tests" / "toys"

TEXT = """title: Questions without images
version: 1
family: spatial_qa
data: {{format: qa_jsonl, root: text, questions: text-{n}.jsonl, id: "{{id}}", question: "{{q}}",
  answer: "{{a}}", answer_type: number}}
metrics: [accuracy, unparsed]
headline: accuracy@strict
"""
IMAGES = """title: Questions about four large images each
version: 1
family: spatial_qa
data: {format: qa_jsonl, root: images, questions: questions.jsonl, id: "{id}", question: "{q}",
  answer: "{a}", answer_type: number,
  images: ["{id}-0.jpg", "{id}-1.jpg", "{id}-2.jpg", "{id}-3.jpg"]}
metrics: [accuracy, unparsed]
headline: accuracy@strict
"""

# Run in a process of its own, so that its peak is its own: memory before the first prediction and
# at the most, the seconds of predicting, and those of the whole run by a clock of its own.
CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.environment import peak_memory_mb
from g2vlm_bench.runner import Model, Options, Task, run

def peak():
    return peak_memory_mb()["host"]

toys, task, root, out = map(Path, sys.argv[2:6])
plugins = Plugins((), (toys / "adapters",))
options = Options(out=out, data_root=root)
loaded = Task.load(plugins, plugins.task(str(task)), root)
model = Model.load(plugins, "idle", {}, options)
before, started = peak(), time.perf_counter()
_, record = run(loaded, model, options)
print(json.dumps({"before_mb": before, "peak_mb": peak(), "counts": record.counts,
                  "predict_s": record.seconds["predict"], "all_s": time.perf_counter() - started}))
"""


def main() -> None:
    """Print every figure."""
    for command in (["--help"], ["list", "tasks"], ["list", "models"]):
        print(f"start-up, {' '.join(command):<12} {startup_seconds(command):.2f} s (median of 5)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        task = write_images(root, questions=60)
        found = measure(task, root)
        print(
            f"60 questions with 4 images of 1024x1024: {found['before_mb']:.0f} MB resident before "
            f"predicting, {found['peak_mb']:.0f} MB at most"
        )
        for n in (1000, 5000):
            found = measure(write_text(root, n), root)
            print(
                f"{n} questions of text: {n / found['all_s']:.0f} samples/s from start to result, "
                f"{n / found['predict_s']:.0f} samples/s while predicting, "
                f"{found['before_mb']:.0f} MB before, {found['peak_mb']:.0f} MB at most"
            )


def startup_seconds(command: list[str], times: int = 5) -> float:
    """Median wall-clock seconds of a command in a fresh process."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, PROJECT / "run_eval.py", *command], check=True, capture_output=True
        )
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(task: Path, root: Path) -> dict[str, Any]:
    """Run the do-nothing model on a task in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, PROJECT, TOYS, task, root, out],
            check=True,
            capture_output=True,
            text=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_text(root: Path, n: int) -> Path:
    """Write a task of `n` questions without images."""
    rows = ({"id": f"q{i}", "q": f"How many, {i}? " + "word " * 40, "a": "1"} for i in range(n))
    return _write(root, "text", f"text-{n}.jsonl", rows, TEXT.format(n=n))


def write_images(root: Path, questions: int, size: int = 1024) -> Path:
    """Write a task of questions with four images each, small on disk and large in memory."""
    folder = root / "images"
    folder.mkdir(parents=True)
    for i in range(questions):
        for view in range(4):
            shade = np.full((size, size, 3), (i * 4 + view) % 256, np.uint8)
            Image.fromarray(shade).save(folder / f"q{i}-{view}.jpg", quality=30)
    rows = ({"id": f"q{i}", "q": "How many?", "a": "1"} for i in range(questions))
    return _write(root, "images", "questions.jsonl", rows, IMAGES)


def _write(root: Path, folder: str, file: str, rows: Any, task: str) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = root / "light" / f"{Path(file).stem}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(task)
    return path


if __name__ == "__main__":
    main()
