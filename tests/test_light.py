"""Starting imports nothing heavy, and images are in memory only while their batch is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
HEAVY = {
    *("torch", "torchvision", "transformers", "lm_eval", "open3d", "datasets", "pandas"),
    *("matplotlib", "scipy", "sklearn", "PIL", "jinja2"),
}
SCRIPT = """
import sys
sys.argv = ["g2vlm-bench", *sys.argv[1:]]
try:
    import runpy
    runpy.run_path("run_eval.py", run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\nimported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["list", "tasks"],
        ["list", "models"],
        ["list", "families"],
        ["list", "datasets"],
        ["list", "suites"],
        ["list", "metrics", "--json"],
        ["data", "list"],
        ["data", "prepare", "nyu_png"],
    ],
    ids=" ".join,
)
def test_starting_and_listing_import_nothing_heavy(command) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.rpartition("imported:")[2].split())
    assert "g2vlm_bench" in imported
    assert not imported & HEAVY


@pytest.fixture(scope="module")
def light():
    """The benchmark, whose measurements are held to the limits that are promised."""
    spec = importlib.util.spec_from_file_location("light", PROJECT / "benchmarks" / "light.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_images_are_in_memory_only_while_their_batch_is(light, tmp_path) -> None:
    found = light.measure(light.write_images(tmp_path, questions=60), tmp_path)
    assert found["counts"] == {"scored": 60}
    # All 240 images at once are 755 MB.
    assert found["before_mb"] < 500
    assert found["peak_mb"] < 500


def test_memory_does_not_grow_with_the_length_of_a_run(light, tmp_path) -> None:
    # Both long enough for the bootstrap's largest block of draws.
    short = light.measure(light.write_text(tmp_path, 2000), tmp_path)
    long = light.measure(light.write_text(tmp_path, 4000), tmp_path)
    assert long["counts"] == {"scored": 4000}
    # What does grow is the list of the samples, their ids and their numbers.
    kb_a_sample = (long["peak_mb"] - short["peak_mb"]) / 2000 * 1024
    assert kb_a_sample < 5
