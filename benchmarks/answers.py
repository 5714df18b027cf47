"""Measures how long it takes to score stored answers and to aggregate them with intervals.

    python benchmarks/answers.py [--answers 10000]

Writes a run of questions as VSI-Bench's (ten kinds, 288 scenes, answers in sentences), each scored
strictly, as the official scorer, as lmms-eval and as VLMEvalKit do, and scores it again from its
files, as `g2vlm-bench score` does. Prints seconds, CPU seconds and the load, and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench.plugins import Plugins  # noqa: E402
from g2vlm_bench.runner import Model, Options, Task, rescore, run  # noqa: E402
from g2vlm_bench.scorers import compare_scorers  # noqa: E402

TASK = """
version: 1
family: spatial_qa
data:
  {format: qa_jsonl, root: ., questions: rows.jsonl, id: "{id}", cluster: "{scene}",
  question: "{q}", answer: "{a}", answer_type: "{kind}", choices: options,
  tags: {question_type: "{type}"}}
protocols:
- {}
- {profile: official, name: vsi_bench}
- {profile: lmms_eval, name: vsi_bench}
- {profile: vlmevalkit, name: vsi_bench}
metrics: [accuracy, chance_corrected_accuracy, mean_relative_accuracy, means, unparsed]
headline: accuracy@strict
"""
ADAPTER = '''
"""Says what stands in a file."""

import json
from pathlib import Path

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Prediction, Want

SAID = json.loads(Path(__file__).with_name("said.json").read_text())


class Parrot(Adapter):
    predicts = frozenset({Want.ANSWER})

    def predict(self, inputs, wants):
        return [Prediction(answer=SAID[one.id]) for one in inputs]
'''
NUMBERS = [
    "object_counting",
    "object_abs_distance",
    "object_size_estimation",
    "room_size_estimation",
]
CHOICES = [
    "object_rel_distance", "object_rel_direction_easy", "object_rel_direction_medium",
    "object_rel_direction_hard", "route_planning", "obj_appearance_order",
]  # fmt: skip
OPTIONS = ["the brown chair", "a table", "the sofa by the window", "the lamp"]
WORDS = [
    "{}", "The answer is {}.", "<think>There are several things to weigh here: the table stands "
    "behind the sofa, and the camera turned left at first.</think>\nAnswer: {}", "({})",
    "I think it is {}, since it stands nearest to the window in the last frames.",
]  # fmt: skip


def write(home: Path, n: int) -> None:
    """Write the questions, a task and a model that answers from a file."""
    rng = random.Random(0)
    rows, said = [], {}
    for number in range(n):
        kind = rng.choice(NUMBERS + CHOICES)
        row: dict[str, object] = {"id": str(number), "scene": f"s{rng.randrange(288)}"}
        row |= {"q": "Where?", "type": kind}
        row |= {"options": OPTIONS, "kind": "number" if kind in NUMBERS else "choice"}
        row["a"] = str(rng.randint(1, 40) / 4) if kind in NUMBERS else rng.choice(OPTIONS)
        rows.append(row)
        answer = str(rng.randint(1, 40) / 4) if kind in NUMBERS else rng.choice("ABCD")
        said[str(number)] = rng.choice(WORDS).format(answer)
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (home / "tasks" / "asked").mkdir(parents=True)
    (home / "tasks" / "asked" / "often.yaml").write_text(TASK)
    (home / "adapters").mkdir()
    (home / "adapters" / "parrot.py").write_text(ADAPTER)
    (home / "adapters" / "said.json").write_text(json.dumps(said))


def main() -> None:
    """Make the run, and measure scoring it again and comparing its scorers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--answers", type=int, default=10_000)
    n = parser.parse_args().answers
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write(home, n)
        plugins = Plugins.find([home / "tasks"], [home / "adapters"])
        options = Options(out=home / "runs", data_root=home)
        task = Task.load(plugins, plugins.task("asked/often"), home)
        done, _ = run(task, Model.load(plugins, "parrot", {}, options), options)
        for name, work in (
            ("scored and aggregated with intervals", lambda: rescore(plugins, done.path, home)),
            ("compare_scorers", lambda: compare_scorers(plugins, done.path, data_root=home)),
        ):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            load = os.getloadavg()[0]
            print(f"{n} answers, 4 scorers, {name}: {wall:.1f} s, CPU {cpu:.1f} s, load {load:.1f}")


if __name__ == "__main__":
    main()
