"""What users give wrongly to `train`, and what broken files hold, is one line and loses nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from g2vlm_bench.errors import BenchError
from g2vlm_bench.reference.config import Config, Stage, TrainingConfig, config_from, load_config
from g2vlm_bench.world.layout.cameras import MAX_CAMERAS
from tests.reference.conftest import TINY

CONFIG = Config(
    model=structs.replace(TINY, vocabulary=640, longest_text=128),
    training=TrainingConfig(stages=(Stage(steps=2, side=16, scenes=1),), warm_up=1),
)


def one_line(error: pytest.ExceptionInfo[BenchError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert "got expected" not in said
    return said


# --------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    "content", [b"[1, 2", b"a: \xff\xfe", b"!!python/object:os.system {}", b"a: b: c"]
)
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(BenchError) as raised:
        load_config(str(path))
    assert "mine.yaml: expected a YAML or JSON file in UTF-8" in one_line(raised)


def test_the_json_of_a_trained_model_is_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    # A rate that YAML 1.1 takes for a text.
    config = structs.replace(CONFIG, training=structs.replace(CONFIG.training, learning_rate=1e-12))
    path.write_bytes(msgspec.json.encode(config))
    assert b"1e-12" in path.read_bytes()
    assert load_config(str(path)) == config
    path.write_text("{")
    with pytest.raises(BenchError, match="expected a YAML or JSON file"):
        load_config(str(path))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("side", 20, "whose side the patch 8 divides, got 20"), ("views", 100, "<= 8")],
)
def test_a_stage_that_cannot_be_rendered(key: str, value: int, said: str) -> None:
    content = msgspec.to_builtins(CONFIG)
    content["training"]["stages"][0][key] = value
    with pytest.raises(BenchError) as raised:
        config_from(content, "mine.yaml")
    assert said in one_line(raised)
    assert "configuration mine.yaml" in str(raised.value)


def test_a_stage_may_show_as_many_views_as_the_world_has() -> None:
    stage = msgspec.to_builtins(CONFIG.training.stages[0]) | {"views": MAX_CAMERAS}
    assert msgspec.convert(stage, Stage).views == MAX_CAMERAS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(stage | {"views": MAX_CAMERAS + 1}, Stage)
