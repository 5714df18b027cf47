"""Configurations are read strictly, and those that are shipped are what their names say."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
import torch

from g2vlm_bench.errors import BenchError
from g2vlm_bench.reference.config import (
    Config,
    LossWeights,
    ModelConfig,
    Stage,
    TrainingConfig,
    config_from,
    known_configs,
    load_config,
)
from g2vlm_bench.reference.examples import check_stages
from g2vlm_bench.reference.model import G2Vlm

SHIPPED = {
    "nano": (5e6, 10e6), "nano_long": (5e6, 10e6), "nano_views": (5e6, 10e6),
    "nano_families": (5e6, 10e6), "nano_tells": (5e6, 10e6),
    "nano_poses": (5e6, 10e6), "nano_deep": (5e6, 10e6), "nano_words": (5e6, 10e6),
    "nano_fine": (5e6, 10e6), "nano_worded": (5e6, 10e6),
    "nano_agrees": (5e6, 10e6),
    "small": (80e6, 130e6), "base": (600e6, 900e6),
}  # fmt: skip


def test_what_is_shipped() -> None:
    assert known_configs() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_sizes(name: str) -> None:
    """Nano fits in 20 MB of 16-bit weights."""
    config = load_config(name)
    with torch.device("meta"):
        weights = sum(p.numel() for p in G2Vlm(config.model).parameters())
    fewest, most = SHIPPED[name]
    assert fewest < weights < most
    assert all(stage.side % config.model.patch == 0 for stage in config.training.stages)


@pytest.mark.parametrize("name", SHIPPED)
def test_stages_name_what_the_world_knows(name: str) -> None:
    check_stages(load_config(name).training.stages)


@pytest.mark.parametrize("name", SHIPPED)
def test_written_and_read_again(name: str) -> None:
    config = load_config(name)
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


STAGE = {"steps": 1, "side": 32, "scenes": 1}


def _plain() -> dict:
    model = {
        "width": 32, "heads": 4, "visual_layers": 1, "language_layers": 1, "trunk_layers": 2,
        "decoder_layers": 1, "vocabulary": 9,
    }  # fmt: skip
    return {"model": model, "training": {"stages": [STAGE]}}


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("model", "widht", 3, "widht"),
        ("model", "width", 30, "4 x heads"),
        ("model", "patch", 7, "patch"),
        ("model", "trunk_layers", 1, "trunk_layers"),
        ("training", "losses", {"depth": -1}, "losses"),
        ("training", "given", 2, "given"),
        ("training", "learning_rate", math.inf, "<= 1.0.*learning_rate"),
        ("training", "learning_rate", math.nan, "learning_rate"),
        ("training", "learning_rate", 1e30, "<= 1.0.*learning_rate"),
        ("training", "clip", math.inf, "clip"),
        ("training", "weight_decay", math.inf, "weight_decay"),
        ("training", "losses", {"depth": math.inf}, "depth"),
        ("training", "stages", [STAGE | {"poses": math.inf}], "poses"),
        ("model", "hidden", math.inf, "hidden"),
        ("training", "stages", [{"steps": 0, "side": 8, "scenes": 1}], "steps"),
        ("training", "stages", [], "length >= 1"),
        ("training", "stages", [STAGE | {"lengths": [48, 22]}], "lengths that rise, got"),
        ("training", "stages", [STAGE | {"lengths": [22, 22]}], "lengths that rise, got"),
    ],
)
def test_what_fits_nothing_is_refused(part: str, key: str, value: object, said: str) -> None:
    content = _plain()
    content[part][key] = value
    with pytest.raises(BenchError, match=said):
        config_from(content, "mine.yaml")


def test_each_step_has_a_stage_and_its_weights() -> None:
    content = _plain()
    stage = content["training"]["stages"][0]
    content["training"]["stages"] = [stage | {"steps": 2}, stage | {"steps": 3, "poses": 5.0}]
    training = config_from(content, "mine.yaml").training
    assert [training.stage_of(step).steps for step in (0, 1, 2, 4, 5)] == [2, 2, 3, 3, 3]
    assert training.losses_of(1) == training.losses
    later = training.losses_of(2)
    assert (later.rotation, later.translation) == (1.0, 5.0)
    assert msgspec.structs.replace(later, rotation=0.2, translation=1.0) == training.losses


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(msgspec.yaml.encode(_plain()))
    assert load_config(str(path)).model.width == 32
    with pytest.raises(BenchError, match="nano"):
        load_config("nanno")


def test_no_number_is_without_a_bound() -> None:
    """An infinite one could not be read back from the JSON of a model."""
    for struct in (ModelConfig, LossWeights, Stage, TrainingConfig):
        for each in msgspec.inspect.type_info(struct).fields:
            if isinstance(each.type, msgspec.inspect.FloatType):
                bounds = (each.type.le, each.type.lt)
                assert any(bound is not None for bound in bounds), (struct, each.name)


def test_a_key_named_twice_is_refused_with_its_line(tmp_path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("model:\n  width: 64\n  heads: 2\n  width: 96\n")
    with pytest.raises(BenchError, match=r"line 4: expected each key once, got 'width' again"):
        load_config(str(path))
