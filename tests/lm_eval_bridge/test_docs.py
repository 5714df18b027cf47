"""The commands of docs/LM_EVAL.md run as they stand, but for what a reader would fetch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import load_module

import_torchvision()
PROJECT = Path(__file__).parents[2]
tiny = load_module(PROJECT / "tests" / "adapters" / "tiny_vlms.py")
TEXT = (PROJECT / "docs" / "LM_EVAL.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs(number: int, folder: Path, tmp_path: Path) -> None:
    language, text = BLOCKS[number]
    here = {
        "Qwen/Qwen2.5-VL-3B-Instruct": str(tiny.save("qwen2_5_vl", tmp_path / "tiny")),
        "lm_eval:arc_easy": f"lm_eval:{folder / 'toy_choice.yaml'}",
        "python -m": f"{sys.executable} -m",
        "g2vlm-bench ": f"{sys.executable} -m g2vlm_bench.cli ",
    }
    command = [sys.executable, "-c", text]
    if language == "sh":
        for name, stand_in in here.items():
            text = text.replace(name, stand_in)
        command = text.split()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    expected = ["acc@lm_eval", "accuracy@strict", "'accuracy@strict,none': 1.0"]
    assert expected[number] in done.stdout


def test_importing_the_bridge_imports_nothing_of_lm_eval() -> None:
    script = (
        "import sys, g2vlm_bench.lm_eval_bridge.harness, g2vlm_bench.lm_eval_bridge\n"
        "print([m for m in ('lm_eval', 'datasets', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert done.stdout.strip() == "[]"
