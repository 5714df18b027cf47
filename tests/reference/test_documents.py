"""What documents say of the reference model is what its logs, tables, and weights have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch.nn.functional as F
from msgspec import structs

from g2vlm_bench.reference.checkpoint import SHIPPED, find_reference, load_reference
from g2vlm_bench.reference.config import load_config
from g2vlm_bench.reference.examples import BLOCK
from g2vlm_bench.reference.feed import Feeder
from g2vlm_bench.reference.tokenizer import Words

PROJECT = Path(__file__).parents[2]
ABLATIONS = (PROJECT / "docs/ABLATIONS.md").read_text(encoding="utf-8")
TRAINING = " ".join((PROJECT / "docs/TRAINING.md").read_text(encoding="utf-8").split())
CARD = (SHIPPED / "nano/README.md").read_text(encoding="utf-8")
_FIGURE = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")


def log(name: str) -> list[dict[str, Any]]:
    content = (PROJECT / f"docs/training/{name}.jsonl").read_bytes()
    return [msgspec.json.decode(line) for line in content.splitlines()]


def test_what_is_said_to_lie_outside_the_whole_models_intervals() -> None:
    """By one criterion: all such figures are told in the paragraph below the table."""
    head, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in ABLATIONS.splitlines()
        if line.startswith(("| variant", "| whole", "| without"))
    )
    intervals = [tuple(map(float, _FIGURE.match(cell).groups()[1:])) for cell in rows[0][1:]]
    outside = {}
    for name, *cells in rows[1:]:
        for column, cell, (low, high) in zip(head[1:], cells, intervals, strict=True):
            figure = _FIGURE.match(cell)[1]
            if not low <= float(figure) <= high:
                outside[name.partition(" (")[0], column] = figure
    assert {column for _, column in outside} == {
        "normals, 2 views", "poses AUC@30", "text to scene recall@5",
    }  # fmt: skip
    told = ABLATIONS.partition("What can be told from it")[2].partition("**What cannot")[0]
    assert all(figure in told for figure in outside.values())
    for name in [name for name, column in outside if column == "poses AUC@30"]:
        part = name.removeprefix("without ")
        assert f"{outside[name, 'poses AUC@30']} without {part}" in " ".join(told.split())
    assert len(outside) == 6


def test_the_strengths_of_the_bias_that_is_shipped() -> None:
    parameters = load_reference(find_reference("nano")).model.named_parameters()
    learnt = {
        name.removesuffix(".bias.strength"): F.softplus(value.detach())
        for name, value in parameters
        if name.endswith(".bias.strength")
    }
    said = re.findall(r"(0\.\d+) to (0\.\d+) in\s+`((?:trunk|decoder)[.\w]+)`", ABLATIONS)
    assert {layer for *_, layer in said} == learnt.keys()
    for low, high, layer in said:
        assert (f"{learnt[layer].min():.3f}", f"{learnt[layer].max():.3f}") == (low, high)


def test_how_many_scenes_each_training_of_the_card_showed() -> None:
    (said,) = re.findall(r"some ([\d,]+) scenes, then\s+([\d, and]+)\.", CARD)
    counts = [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", " ".join(said))]
    trainings = re.findall(r"^\| `(nano\w*)` \| [^|]+ \| ([\d,]+) \|", CARD, re.MULTILINE)
    shown = [scenes_of(name, int(steps.replace(",", ""))) for name, steps in trainings]
    assert counts == pytest.approx(shown, rel=0.04)


def scenes_of(name: str, steps: int) -> int:
    """Scenes that a training shows in so many of its steps."""
    config = load_config(name)
    stages, left = [], steps
    for stage in config.training.stages:
        stages.append(structs.replace(stage, steps=min(stage.steps, max(left, 1))))
        left -= stage.steps
    cut = structs.replace(config, training=structs.replace(config.training, stages=tuple(stages)))
    return BLOCK * len(Feeder(cut, Words.learn(["a"]), 0).blocks)


def test_what_pictures_of_96_pixels_cost() -> None:
    large, small = (log(f"probe_{side}")[-2:] for side in (96, 64))
    large_min, small_min = (
        next(line["minutes"] for line in lines if "minutes" in line) for lines in (large, small)
    )
    assert large[-1]["step"] == small[-1]["step"] == 260
    assert f"{large_min / small_min:.1f} times as much" in TRAINING
    assert f"260 took {large_min:.1f} minutes for {small_min:.1f}" in TRAINING


def test_where_occlusion_went_after_it_was_learnt() -> None:
    right = {
        line["step"]: line["validation"].get("answers/occlusion")
        for line in log("nano_words")
        if "validation" in line
    }
    at = {step: f"{right[step]:.2f}" for step in (1200, 2000, 3000, 4000, max(right))}
    assert f"at step 1,200 occlusion stood at {at[1200]}" in TRAINING
    assert (
        f"{at[2000]} at step 2,000, {at[3000]} at 3,000, {at[4000]} at 4,000 "
        f"and {at[max(right)]} at the end" in TRAINING
    )
