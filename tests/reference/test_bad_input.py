"""What users give wrongly to `train`, and what broken files hold, is one line and loses nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from msgspec import structs
from PIL import Image
from safetensors.torch import load_file, save_file

from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.reference import examples, feed, running, training
from g2vlm_bench.reference.checkpoint import load_reference, load_state, save_reference, save_state
from g2vlm_bench.reference.config import Config, Stage, TrainingConfig, config_from, load_config
from g2vlm_bench.reference.encoders import PublicVit
from g2vlm_bench.reference.feed import LARGEST_SEED
from g2vlm_bench.reference.model import G2Vlm
from g2vlm_bench.reference.pictures import PictureFeeder
from g2vlm_bench.reference.running import LOG, STATE, Plan
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.reference.training import train
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.layout.cameras import MAX_CAMERAS
from tests.reference.conftest import TINY

CONFIG = Config(
    model=structs.replace(TINY, vocabulary=64, longest_text=128),
    training=TrainingConfig(stages=(Stage(steps=3, side=16, scenes=1),), warm_up=1),
)
PLAN = Plan(save_every_s=0.0, seed=5)
TEXTS = ["is the red box left of the ball", "yes", "no"]


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "training_texts", lambda blocks: [TEXTS])
    monkeypatch.setattr(running, "_LOGGED_EVERY", 1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures to learn from without truth, which needs no world."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 20), (200, 40, 90)).save(folder / name)
    return folder


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
    expected = "a YAML or JSON file in UTF-8" if b"\xff" in content else "YAML"
    assert f"mine.yaml: expected {expected}, got" in one_line(raised)


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"families": ("depth", "directoin")}, "families of number 2: expected known ones, "
         "got 'directoin'. Did you mean 'direction'?"),
        ({"finds": ("nmae",)}, "finds of number 2: expected known ones, got 'nmae'. "
         "Did you mean 'name'?"),
    ],
)  # fmt: skip
def test_a_name_of_a_later_stage_is_known_before_the_first(
    tmp_path: Path, names: dict[str, tuple[str, ...]], said: str
) -> None:
    (stage,) = CONFIG.training.stages
    stages = (stage, structs.replace(stage, **names))
    config = structs.replace(CONFIG, training=structs.replace(CONFIG.training, stages=stages))
    with pytest.raises(BenchError) as raised:
        train(config, tmp_path / "out", PLAN)
    assert said in one_line(raised)
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------- folders of a training


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_without_its_state_is_not_trained_over(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    train(CONFIG, out, PLAN, pictures=pictures)
    (out / STATE).unlink()
    before = contents(out)
    with pytest.raises(BenchError) as raised:
        train(CONFIG, out, PLAN, pictures=pictures)
    assert "got a model alone" in one_line(raised)
    assert contents(out) == before


def test_a_finished_training_is_called_again(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    train(CONFIG, out, PLAN, pictures=pictures)
    before = contents(out)
    train(CONFIG, out, PLAN, pictures=pictures)
    assert contents(out) == before


def test_other_pictures_are_another_training(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    train(CONFIG, out, PLAN._replace(steps=1), pictures=pictures)
    (pictures / "b.png").rename(pictures / "c.png")
    with pytest.raises(BenchError, match="a training of the same pictures") as raised:
        train(CONFIG, out, PLAN, pictures=pictures)
    one_line(raised)
    # The same ones may stand elsewhere.
    (pictures / "c.png").rename(pictures / "b.png")
    train(CONFIG, out, PLAN, pictures=pictures.rename(tmp_path / "moved"))


def test_names_without_a_file_are_no_pictures(tmp_path: Path, pictures: Path) -> None:
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (pictures / "folder.png").mkdir()
    feeder = PictureFeeder(pictures, CONFIG, 0)
    assert [name for name, _ in feeder.listing()] == ["a.png", "b.png"]


def test_states_that_do_not_name_their_pictures_go_on(tmp_path: Path, pictures: Path) -> None:
    """Those of older versions know neither words nor pictures."""
    out = tmp_path / "out"
    train(CONFIG, out, PLAN._replace(steps=1), pictures=pictures)
    learner = torch.nn.ModuleDict({"learner": running.Learner(CONFIG, None)})
    learner["average"] = running.averaged(learner["learner"].model, 0.998)
    optimizer = torch.optim.AdamW(running.parameter_groups(learner["learner"], 0.05))
    load_state(out / STATE, learner, optimizer)
    facts = running.read_facts(out / STATE)
    older = {name: facts[name] for name in facts.keys() - {"words", "pictures"}}
    assert len(older) == len(facts) - 2
    save_state(out / STATE, learner, optimizer, older)
    train(CONFIG, out, PLAN, pictures=pictures)
    assert running.read_facts(out / STATE)["step"] == "3"


def test_words_of_another_are_not_taken(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    Words.learn(["red green blue"]).save(out / "tokenizer.json")
    with pytest.raises(BenchError, match="got other words") as raised:
        train(CONFIG, out, PLAN, pictures=pictures)
    one_line(raised)
    # Nor after the training has begun.
    train(CONFIG, tmp_path / "other", PLAN._replace(steps=1), pictures=pictures)
    Words.learn(["red green blue"]).save(tmp_path / "other" / "tokenizer.json")
    with pytest.raises(BenchError, match="a training of the same words"):
        train(CONFIG, tmp_path / "other", PLAN, pictures=pictures)


def test_out_that_is_a_file(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BenchError, match="a folder with a log to write to") as raised:
            train(CONFIG, out, PLAN, pictures=pictures)
        one_line(raised)
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "out" / LOG).mkdir(parents=True)
    with pytest.raises(BenchError, match=r"log\.jsonl: expected a folder with a log"):
        train(CONFIG, tmp_path / "out", PLAN, pictures=pictures)


def test_lines_that_are_none_leave_the_log(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    train(CONFIG, out, PLAN._replace(steps=1), pictures=pictures)
    with (out / LOG).open("a") as file:
        file.write('[1]\n{"a":1}\n{"step":"x"}\n"step"\n')
    train(CONFIG, out, PLAN, pictures=pictures)
    lines = [json.loads(line) for line in (out / LOG).read_bytes().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]
    assert len(lines) == len([line for line in lines if "step" in line])


@pytest.mark.parametrize("device", ["tpu", "gpu", "", "cpu:x"])
def test_a_device_that_is_none(device: str) -> None:
    with pytest.raises(BenchError, match="--device: expected one that is here") as raised:
        training.make_plan(device, "auto")
    assert f"got '{device}'" in one_line(raised)


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "BLOCK", 2)
    monkeypatch.setattr(feed, "_VALIDATION_BLOCKS", 1)


@pytest.mark.usefixtures("small_world")
def test_a_training_that_went_astray_writes_no_model(tmp_path: Path) -> None:
    wild = structs.replace(CONFIG.training, learning_rate=1e30, pool=4)
    with pytest.raises(BenchError, match="numbers in the last validation, got none") as raised:
        train(structs.replace(CONFIG, training=wild), tmp_path, PLAN)
    assert "Lower training.learning_rate" in one_line(raised)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.usefixtures("small_world")
def test_what_counts_is_the_last_validation_of_all_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call with nothing left to do but to write the model does not write it, either."""
    config = structs.replace(CONFIG, training=structs.replace(CONFIG.training, pool=4))
    figures = {"abs_rel": np.nan, "delta1": 0.5}
    monkeypatch.setattr(running, "measure", lambda *_: figures)
    for _ in range(2):
        with pytest.raises(BenchError, match="validation, got none for abs_rel"):
            train(config, tmp_path, PLAN._replace(steps=2))
        assert not (tmp_path / "model.safetensors").exists()
    figures["abs_rel"] = 0.2
    train(config, tmp_path, PLAN)
    load_reference(tmp_path)


@pytest.mark.parametrize(("value", "half"), [(np.nan, False), (np.inf, False), (7e4, True)])
def test_weights_that_would_be_no_numbers_are_not_written(
    tmp_path: Path, value: float, half: bool
) -> None:
    """Of 16-bit floats the largest is 65,504."""
    model = G2Vlm(CONFIG.model)
    with torch.no_grad():
        model.camera[0, 0] = value
    with pytest.raises(BenchError, match="weights that are numbers, got none in camera") as raised:
        save_reference(tmp_path / "model", model, Words.learn(TEXTS), CONFIG, half)
    one_line(raised)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("seed", [10**20 - 1, 10**16 - 1, LARGEST_SEED + 1, -1])
def test_a_seed_that_the_world_has_no_scenes_for(seed: int) -> None:
    with pytest.raises(BenchError, match=f"--seed: expected 0 to {LARGEST_SEED}, got {seed}"):
        training.make_plan("cpu", "float32", seed=seed)


def test_the_largest_seed_has_a_scene_in_its_last_block() -> None:
    assert training.make_plan("cpu", "float32", seed=LARGEST_SEED).seed == LARGEST_SEED
    last = ((LARGEST_SEED + 1) * feed._BLOCKS_OF_A_SEED) * examples.BLOCK - 1
    assert make_scene(last, "train", "room").bodies
    with pytest.raises(BenchError, match="world seed"):
        make_scene(last + feed._BLOCKS_OF_A_SEED * examples.BLOCK, "train", "room")


# --------------------------------------------------------------------------- broken models


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_reference(tmp_path / "model", G2Vlm(CONFIG.model), Words.learn(TEXTS), CONFIG)
    return tmp_path / "model"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(trained: Path, value: float) -> None:
    load_reference(trained)
    weights = load_file(trained / "model.safetensors")
    weights["camera"].view(-1)[0] = value
    save_file(weights, trained / "model.safetensors")
    with pytest.raises(BenchError, match="weights that are numbers, got none in camera") as raised:
        load_reference(trained)
    one_line(raised)


def test_weights_of_another_size(trained: Path) -> None:
    """The first that differs is named, with both shapes, and the others are counted."""
    wide = structs.replace(CONFIG, model=structs.replace(CONFIG.model, width=48))
    (trained / "config.json").write_bytes(msgspec.json.encode(wide))
    with pytest.raises(BenchError, match=r"expected camera of shape \(2, 48\)") as raised:
        load_reference(trained)
    said = one_line(raised).removeprefix(str(trained))
    assert re.search(r"got \(2, 32\), and \d+ more of another shape$", said)
    assert len(said) < 200


def test_words_that_the_model_has_no_room_for(trained: Path) -> None:
    many = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    Words.learn(many).save(trained / "tokenizer.json")
    with pytest.raises(BenchError, match=r"the 64 words of config\.json at most, got 71") as raised:
        load_reference(trained)
    one_line(raised)


def test_a_tokenizer_of_another_project(trained: Path) -> None:
    content = json.loads((trained / "tokenizer.json").read_text())
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "[ASK]"]
    number = content["model"]["vocab"].pop("[ASK]")
    content["model"]["vocab"]["asked"] = number
    (trained / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(BenchError, match=r"got one without \[ASK\]"):
        load_reference(trained)


# --------------------------------------------------------------------------- public encoders


def test_public_encoders_that_are_none(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import_torchvision()
    (tmp_path / "empty").mkdir()
    text = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    transformers.BertModel(text).save_pretrained(tmp_path / "text")
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    vit = transformers.Dinov2Model(transformers.Dinov2Config(**sizes, image_size=28, patch_size=14))
    vit.save_pretrained(tmp_path / "partly")
    weights = load_file(tmp_path / "partly" / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, tmp_path / "partly" / "model.safetensors", metadata={"format": "pt"})
    for name, said in {
        "missing": "that transformers can load", "empty": "that transformers can load",
        "text": "expected dinov2 or dinov2_with_registers, got 'bert'",
        "partly": "expected every weight, got none named layernorm.weight",
    }.items():  # fmt: skip
        with pytest.raises(BenchError) as raised:
            PublicVit(32, 8, str(tmp_path / name))
        assert said in one_line(raised)
