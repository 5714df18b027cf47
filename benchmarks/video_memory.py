"""Measures what a long video benchmark holds in memory: frames of one batch, and no more.

    python benchmarks/video_memory.py [--questions 5000] [--frames 32] [--batch-size 4]

Prints the figures and asserts nothing; tests/data/test_video.py counts living frames instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).parent.parent
TOYS = PROJECT / "tests" / "toys"
VIDEOS, SIZE, LENGTH = 8, (240, 320), 96

TASK = """title: Questions about videos
version: 1
family: spatial_qa
data:
  format: qa_hub
  root: videos
  files: [questions.jsonl]
  asks:
    id: "{{id}}"
    question: "{{question}}"
    answer: "{{answer}}"
    answer_type: number
    video: {{path: "{{video}}", sampling: {{rule: uniform, frames: {frames}}}}}
metrics: [accuracy, unparsed]
headline: accuracy@strict
"""
# In a process of its own, so that its peak is its own.
CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from g2vlm_bench.environment import peak_memory_mb
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Model, Options, Task, run

toys, task, root = map(Path, sys.argv[2:5])
plugins = Plugins((), (toys / "adapters",))
options = Options(out=root / "runs", data_root=root, batch_size=int(sys.argv[5]))
started = time.perf_counter()
loaded = Task.load(plugins, plugins.task(str(task)), root)
model = Model.load(plugins, "idle", {}, options)
listed, before = time.perf_counter() - started, peak_memory_mb()["host"]
_, record = run(loaded, model, options)
print(json.dumps({"list_s": listed, "before_mb": before, "peak_mb": peak_memory_mb()["host"],
                  "predict_s": record.seconds["predict"], "counts": record.counts}))
"""


def main() -> None:
    """Write the benchmark, run it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        task = write(root, given.questions, given.frames)
        command = [sys.executable, "-c", CHILD, PROJECT, TOYS, task, root, given.batch_size]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
    frame_mb = SIZE[0] * SIZE[1] * 3 / 2**20
    batch, everything = (n * given.frames * frame_mb for n in (given.batch_size, given.questions))
    print(
        f"{given.questions} questions, {given.frames} frames of {SIZE[1]}x{SIZE[0]} each, batches "
        f"of {given.batch_size}: {found['before_mb']:.0f} MB resident before predicting (listed in "
        f"{found['list_s']:.1f} s), {found['peak_mb']:.0f} MB at most; a batch of frames is "
        f"{batch:.0f} MB, all frames {everything:,.0f} MB; {found['predict_s']:.0f} s; "
        f"{found['counts']}"
    )


def write(root: Path, questions: int, frames: int) -> Path:
    """Write videos, questions and their task file."""
    import av

    folder = root / "videos"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(VIDEOS):
        with av.open(str(folder / f"{number}.mp4"), "w") as file:
            stream = file.add_stream("mpeg4", rate=24)
            stream.height, stream.width = SIZE
            stream.pix_fmt = "yuv420p"
            for _ in range(LENGTH):
                picture = noise.integers(0, 255, (*SIZE, 3), np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    rows = (
        {"id": str(n), "question": "How many?", "answer": str(n % 5), "video": f"{n % VIDEOS}.mp4"}
        for n in range(questions)
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    task = root / "spatial_qa" / "videos.yaml"
    task.parent.mkdir()
    task.write_text(TASK.format(frames=frames), encoding="utf-8")
    return task


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
