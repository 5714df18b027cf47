"""Training: resumed equals unbroken, nothing of the test split, and files that load back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from msgspec import structs
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.reference import examples, feed, running, training
from g2vlm_bench.reference.batches import Drawn
from g2vlm_bench.reference.checkpoint import load_reference, save_reference
from g2vlm_bench.reference.config import Config, Stage, TrainingConfig
from g2vlm_bench.reference.examples import training_texts
from g2vlm_bench.reference.feed import Feeder
from g2vlm_bench.reference.model import Batch, G2Vlm
from g2vlm_bench.reference.running import (
    LOG,
    STATE,
    Learner,
    Plan,
    Run,
    averaged,
    learning_rate,
    parameter_groups,
)
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.reference.training import train
from g2vlm_bench.reference.validation import measure
from tests.reference.conftest import TINY

STEPS = 4
CONFIG = Config(
    model=structs.replace(TINY, vocabulary=640, longest_text=128),
    training=TrainingConfig(
        stages=(
            Stage(steps=2, side=16, scenes=3, easy=1.0, questions=2),
            Stage(steps=2, side=16, scenes=2, views=2, questions=2),
        ),
        warm_up=2,
        pool=4,
    ),
)
PLAN = Plan(validate_every=2, save_every_s=0.0, seed=5)
(TEXTS,) = training_texts(1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "BLOCK", 2)
    monkeypatch.setattr(feed, "_VALIDATION_BLOCKS", 1)
    monkeypatch.setattr(training, "training_texts", lambda blocks: [TEXTS])
    monkeypatch.setattr(running, "_LOGGED_EVERY", 1)


def _kill_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let batches end as a process does that is killed while it waits for one."""
    batches = Feeder.batches

    def dying(self: Feeder, start: int = 0) -> Iterator[Drawn]:
        for number, drawn in enumerate(batches(self, start), start):
            if number == step:
                raise KeyboardInterrupt
            yield drawn

    monkeypatch.setattr(Feeder, "batches", dying)


def _log(folder: Path) -> list[dict]:
    lines = [msgspec.json.decode(line) for line in (folder / LOG).read_bytes().splitlines()]
    return [{k: v for k, v in line.items() if k != "minutes"} for line in lines]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["plain", "started-in-halves-ahead"])
def test_killed_and_resumed_equals_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """Also where it began at trained weights, computes in half floats, and renders ahead."""
    # Threads, because another process would not know of this test's small blocks.
    monkeypatch.setattr(feed, "_workers", ThreadPoolExecutor)
    plan, start = PLAN, None
    if elsewhere:
        start = tmp_path / "start"
        train(CONFIG, start, PLAN._replace(steps=1))
        plan = PLAN._replace(precision="bfloat16", workers=2, half=True, seed=6)

    train(CONFIG, tmp_path / "whole", plan, start=start)
    with pytest.MonkeyPatch.context() as patch:
        _kill_before(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, tmp_path / "broken", plan, start=start)
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    # What was logged after the last state is done again; a kill may cut its last line short.
    with (tmp_path / "broken" / LOG).open("a") as file:
        file.write('{"step":4,"skipped":0,"loss":9.0}\n{"step":4,"ski')
    train(CONFIG, tmp_path / "broken", plan._replace(workers=0), start=start)
    for name in ("model.safetensors", "config.json", "tokenizer.json", STATE):
        whole, broken = (tmp_path / folder / name for folder in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes(), name
    assert _log(tmp_path / "whole") == _log(tmp_path / "broken")
    assert [line["step"] for line in _log(tmp_path / "whole")] == [1, 2, 2, 3, 4, 4]


def test_stopped_by_the_clock_it_is_of_use_and_goes_on(tmp_path: Path) -> None:
    train(CONFIG, tmp_path / "whole", PLAN)
    for _ in range(STEPS):
        train(CONFIG, tmp_path / "parts", PLAN._replace(minutes=0.0))
        load_reference(tmp_path / "parts")
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_another_seed_is_another_model_and_no_resumption(tmp_path: Path) -> None:
    plan = PLAN._replace(steps=1)
    train(CONFIG, tmp_path / "a", plan)
    train(CONFIG, tmp_path / "b", plan._replace(seed=6))
    first, second = ((tmp_path / f / "model.safetensors").read_bytes() for f in "ab")
    assert first != second
    with pytest.raises(BenchError, match="same seed"):
        train(CONFIG, tmp_path / "a", plan._replace(seed=6))


def test_no_scene_of_the_test_split_is_ever_made(tmp_path: Path, monkeypatch) -> None:
    splits = set()
    made = examples.make_scene

    def spy(seed: int, split: str, *args: object, **kwargs: object) -> object:
        splits.add(split)
        return made(seed, split, *args, **kwargs)

    monkeypatch.setattr(examples, "make_scene", spy)
    monkeypatch.setattr(training, "training_texts", training_texts)
    monkeypatch.setattr(training, "_TEXTS_OF", 1)
    train(CONFIG, tmp_path, PLAN)
    assert splits == {"train", "validation"}


def test_what_is_trained_loads_and_answers_alike(tmp_path: Path) -> None:
    told: list[str] = []
    train(CONFIG, tmp_path, PLAN._replace(steps=2), said=told.append)
    assert "step 2" in told[0]
    assert "abs_rel" in told[0]
    loaded = load_reference(tmp_path)
    assert loaded.config == CONFIG
    assert loaded.words.encode("the red box") == Words.learn(TEXTS).encode("the red box")
    learner = Learner(CONFIG, None)
    run = Run(CONFIG, PLAN, learner, Feeder(CONFIG, loaded.words, 5), tmp_path, print)
    run.resume()
    batch = Batch(images=torch.rand(1, 2, 3, 16, 16))
    first, second = (m.eval()(batch).geometry.log_depth for m in (run.smoothed, loaded.model))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    # What was measured at the end is what was written, and not the weights of the last step.
    figures = [measure(m, run.source.validation(1)) for m in (loaded.model, run.learner.model)]
    assert _log(tmp_path)[-1]["validation"] == figures[0] != figures[1]


def test_sixteen_bit_weights_are_half_the_size(tmp_path: Path, make_model) -> None:
    words = Words.learn(["the red box"])
    config = structs.replace(CONFIG, model=TINY)
    model = make_model()
    sizes = []
    for half in (False, True):
        save_reference(tmp_path, model, words, config, half)
        sizes.append((tmp_path / "model.safetensors").stat().st_size)
        loaded = load_reference(tmp_path).model
        for name, value in model.state_dict().items():
            expected = value.half().float() if half else value
            torch.testing.assert_close(loaded.state_dict()[name], expected, atol=0, rtol=0)
    assert sizes[1] < 0.6 * sizes[0]


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _wider(folder: Path) -> None:
    wide = structs.replace(CONFIG, model=structs.replace(CONFIG.model, width=48))
    (folder / "config.json").write_bytes(msgspec.json.encode(wide))


def _deeper(folder: Path) -> None:
    deep = structs.replace(CONFIG, model=structs.replace(CONFIG.model, trunk_layers=6))
    (folder / "config.json").write_bytes(msgspec.json.encode(deep))


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("spoil", [_without_config, _wider, _deeper, _cut])
def test_a_folder_that_is_spoilt_is_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    torch.manual_seed(0)
    save_reference(tmp_path, G2Vlm(CONFIG.model), Words.learn(TEXTS), CONFIG)
    spoil(tmp_path)
    with pytest.raises(BenchError, match="expected"):
        load_reference(tmp_path)


class _Broken(Feeder):
    """Gives pictures that are no numbers at steps 1 and 2."""

    def batches(self, start: int = 0) -> Iterator[Drawn]:
        for number, drawn in enumerate(super().batches(start), start):
            if number in (1, 2):
                drawn.inputs.images.fill_(torch.nan)
            yield drawn


def _first_step(
    tmp_path: Path, plan: Plan, training: TrainingConfig
) -> tuple[dict[str, float], float]:
    """What one step says, and the norm of the gradient that the optimizer meets."""
    config = structs.replace(CONFIG, training=training)
    torch.manual_seed(0)
    source = Feeder(config, Words.learn(TEXTS), 5)
    run = Run(config, plan, Learner(config, None), source, tmp_path, print)
    met: list[torch.Tensor] = []
    run.optimizer.register_step_pre_hook(
        lambda *_: met.append(
            torch.stack([p.grad.norm() for p in run.learner.parameters() if p.grad is not None])
        )
    )
    said = run.take(next(source.batches()))
    return said, float(met[0].norm())


def test_a_step_clips_its_gradient_and_computes_as_precisely_as_asked_for(tmp_path: Path) -> None:
    loose, tight = (structs.replace(CONFIG.training, clip=clip) for clip in (1e6, 1e-3))
    said, met = _first_step(tmp_path, PLAN, loose)
    clipped, small = _first_step(tmp_path, PLAN, tight)
    assert said == clipped
    assert met == pytest.approx(said["gradient"], rel=1e-5)
    assert small == pytest.approx(1e-3, rel=1e-3)
    rough, _ = _first_step(tmp_path, PLAN._replace(precision="bfloat16"), loose)
    assert rough["loss"] != said["loss"]
    assert rough["loss"] == pytest.approx(said["loss"], rel=0.05)


def test_each_step_learns_at_its_own_rate(tmp_path: Path) -> None:
    run = Run(
        CONFIG, PLAN, Learner(CONFIG, None), Feeder(CONFIG, Words.learn(TEXTS), 5), tmp_path, print
    )
    rates: list[set[float]] = []
    run.optimizer.register_step_pre_hook(
        lambda *_: rates.append({group["lr"] for group in run.optimizer.param_groups})
    )
    run.go()
    assert rates == [{learning_rate(step, STEPS, CONFIG.training)} for step in range(STEPS)]
    assert len(set.union(*rates)) == STEPS - 1  # the warm-up of two steps ends at the highest


def test_losses_count_as_the_stage_of_their_step_says(tmp_path: Path) -> None:
    first, second = CONFIG.training.stages
    config = _with_stages(first, structs.replace(second, views=(2,), poses=5.0))
    source = Feeder(config, Words.learn(TEXTS), 5)
    run = Run(config, PLAN, Learner(config, None), source, tmp_path, print)
    plain = msgspec.to_builtins(config.training.losses)
    for step, weights in ((0, plain), (2, plain | {"rotation": 1.0, "translation": 5.0})):
        run.step = step
        said = run.take(next(source.batches(step)))
        parts = [weight * said[name] for name, weight in weights.items() if name in said]
        assert said["loss"] == pytest.approx(sum(parts), rel=1e-5)
        assert (said["translation"] > 0) is (step == 2)


@pytest.mark.parametrize("refinements", [0, 2])
def test_a_step_refines_as_often_as_was_drawn(tmp_path: Path, refinements: int) -> None:
    learner, source = Learner(CONFIG, None), Feeder(CONFIG, Words.learn(TEXTS), 5)
    run = Run(CONFIG, PLAN, learner, source, tmp_path, print)
    steps: list[int] = []
    learner.model.register_forward_hook(lambda *made: steps.append(len(made[-1].steps)))
    run.take(replace(next(source.batches()), refinements=refinements))
    assert steps == [refinements + 1]


def test_steps_that_are_no_numbers_change_nothing_and_are_counted(tmp_path, monkeypatch) -> None:
    words = Words.learn(TEXTS)
    learner = Learner(CONFIG, None)
    run = Run(CONFIG, PLAN, learner, _Broken(CONFIG, words, 5), tmp_path, print)
    before: list[torch.Tensor] = []
    take = run.take

    def watched(drawn: Drawn) -> dict[str, float]:
        before.append(learner.model.decoder.words.weight.detach().clone())
        return take(drawn)

    monkeypatch.setattr(run, "take", watched)
    run.go()
    before.append(learner.model.decoder.words.weight.detach())
    changed = [not torch.equal(*pair) for pair in pairwise(before)]
    assert changed == [True, False, False, True]
    assert run.skipped == 2
    assert all(p.isfinite().all() for p in learner.parameters())


def test_a_training_that_never_yields_numbers_stops(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(running, "_MOST_SKIPPED", 2)
    source = _Broken(CONFIG, Words.learn(TEXTS), 5)
    run = Run(CONFIG, PLAN, Learner(CONFIG, None), source, tmp_path, print)
    with pytest.raises(BenchError, match="a loss that is a number"):
        run.go()


def test_biases_norms_and_embeddings_do_not_decay() -> None:
    learner = Learner(CONFIG, None)
    decayed, free = parameter_groups(learner, 0.1)
    names = {id(p): name for name, p in learner.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    assert {names[id(p)] for p in free["params"] if p.ndim > 1} == set(running._NO_DECAY)
    assert all(p.ndim > 1 for p in decayed["params"])


def _pictures(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    (folder / "sub").mkdir(parents=True)
    for name, size in (("a.png", (40, 30)), ("sub/b.jpg", (18, 60))):
        pixels = rng.integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_pictures_without_truth_teach_to_paint(tmp_path: Path, monkeypatch) -> None:
    """The world is not asked for anything but words."""
    monkeypatch.setattr(examples, "make_scene", lambda *a, **k: pytest.fail("a scene was made"))
    train(CONFIG, tmp_path / "out", PLAN, pictures=_pictures(tmp_path / "in"))
    lines = [line for line in _log(tmp_path / "out") if "loss" in line]
    assert len(lines) == STEPS
    assert all(line["masked"] == line["loss"] > 0 for line in lines)
    assert load_reference(tmp_path / "out").config.training.losses.masked == 1
    with pytest.raises(BenchError, match="pictures"):
        train(CONFIG, tmp_path / "out2", PLAN, pictures=tmp_path / "none")
    for path in (tmp_path / "in").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(BenchError, match=r"expected an? (whole )?image"):
        train(CONFIG, tmp_path / "out3", PLAN, pictures=tmp_path / "in")


def test_painting_is_learnt(tmp_path: Path) -> None:
    """Of one picture of one colour, after some steps."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 20), (200, 40, 90)).save(tmp_path / "in/a.png")
    stage = Stage(steps=30, side=16, scenes=2)
    config = structs.replace(
        CONFIG, training=TrainingConfig(stages=(stage,), warm_up=5, learning_rate=3e-3)
    )
    train(config, tmp_path / "out", PLAN._replace(save_every_s=99), pictures=tmp_path / "in")
    painted = [line["masked"] for line in _log(tmp_path / "out") if "masked" in line]
    assert painted[-1] < 0.2 * painted[0]


def test_a_public_transformer_is_trained_and_loaded(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    import_torchvision()
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=14)).save_pretrained(
        tmp_path / "vit"
    )
    out = tmp_path / "out"
    train(CONFIG, out, PLAN._replace(steps=1), public=str(tmp_path / "vit"))
    loaded = load_reference(out).model
    learner = Learner(CONFIG, str(tmp_path / "vit"))
    untrained = learner.model.visual.public.vit.state_dict()
    trained = loaded.visual.public.vit.state_dict()
    assert any(not torch.equal(trained[name], untrained[name]) for name in trained)
    batch = Batch(images=torch.rand(1, 1, 3, 16, 16))
    Run(CONFIG, PLAN, learner, Feeder(CONFIG, Words.learn(TEXTS), 5), out, print).resume()
    torch.testing.assert_close(
        loaded(batch).geometry.log_depth, learner.model.eval()(batch).geometry.log_depth
    )
    # Another training that starts there keeps this encoder, and takes no other.
    with pytest.raises(BenchError, match="none beside --start-from"):
        train(CONFIG, tmp_path / "next", PLAN, public=str(tmp_path / "vit"), start=out)
    train(CONFIG, tmp_path / "next", PLAN._replace(steps=1), start=out)
    assert load_reference(tmp_path / "next").model.visual.public is not None


def test_the_plan_of_this_machine() -> None:
    if not torch.cuda.is_available():
        assert training.make_plan("auto", "auto")[:2] == ("cpu", "float32")
        with pytest.raises(BenchError, match="cuda"):
            training.make_plan("cuda", "auto")
    assert training.make_plan("cpu", "bfloat16", seed=3).seed == 3
    with pytest.raises(BenchError, match="float8"):
        training.make_plan("cpu", "float8")


def test_a_vocabulary_that_is_too_small_is_said(tmp_path: Path) -> None:
    small = structs.replace(CONFIG, model=structs.replace(CONFIG.model, vocabulary=50))
    with pytest.raises(BenchError, match=r"model\.vocabulary: expected at least [1-9]\d\d, and"):
        train(small, tmp_path, PLAN)


def test_a_vocabulary_that_is_too_small_is_said_at_the_first_scenes(
    tmp_path: Path, monkeypatch
) -> None:
    def texts(blocks: int) -> Iterator[list[str]]:
        yield ["the red box"]
        yield ["the red ball", "no"]
        pytest.fail("scenes were made whose words have no room")

    monkeypatch.setattr(training, "training_texts", texts)
    # Seven marks, three words and two.
    small = structs.replace(CONFIG, model=structs.replace(CONFIG.model, vocabulary=11))
    with pytest.raises(BenchError, match=r"at least 12, and more for more scenes, got 11"):
        train(small, tmp_path, PLAN)


def test_reading_the_texts_shows_how_far_it_is(tmp_path: Path, monkeypatch) -> None:
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def bar(title: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        yield lambda steps: told.append((title, total, steps))

    monkeypatch.setattr(training, "progress", bar)
    monkeypatch.setattr(training, "_TEXTS_OF", 3)
    monkeypatch.setattr(training, "training_texts", lambda blocks: [TEXTS] * blocks)
    train(CONFIG, tmp_path, PLAN._replace(steps=1))
    assert told == [("read texts", 3, 1)] * 3


def test_a_training_starts_from_what_another_learnt(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(CONFIG, first, PLAN._replace(steps=1))
    # So slow that it learns nothing.
    idle = structs.replace(
        CONFIG, training=structs.replace(CONFIG.training, learning_rate=1e-12, weight_decay=0)
    )
    train(idle, second, PLAN._replace(steps=1, seed=6), start=first)
    before, after = load_reference(first), load_reference(second)
    for name, value in before.model.state_dict().items():
        torch.testing.assert_close(after.model.state_dict()[name], value, msg=name)
    assert before.words.encode("the red box") == after.words.encode("the red box")


def test_a_training_learns_more_words_than_it_starts_with(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(CONFIG, first, PLAN._replace(steps=1))
    (stage, _) = CONFIG.training.stages
    asking = structs.replace(CONFIG.training, stages=(structs.replace(stage, agreements=2),))
    config = structs.replace(CONFIG, training=asking)
    plan = PLAN._replace(steps=1)
    train(config, second, plan, start=first)
    known, more = (load_reference(folder).words for folder in (first, second))
    assert known.vocabulary.items() < more.vocabulary.items()
    assert more.unknown_words("its level") == ()
    # Called again, it goes on with those.
    train(config, second, plan._replace(steps=2), start=first)
    narrow = structs.replace(config, model=structs.replace(config.model, vocabulary=len(known)))
    with pytest.raises(BenchError, match=f"vocabulary.*at least {len(more)}, got {len(known)}"):
        train(narrow, tmp_path / "third", plan)


def test_a_training_starts_deeper(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(CONFIG, first, PLAN._replace(steps=1))
    few = CONFIG.model.trunk_layers
    deeper = structs.replace(
        CONFIG,
        model=structs.replace(CONFIG.model, trunk_layers=few + 4),
        training=structs.replace(CONFIG.training, learning_rate=1e-12, weight_decay=0),
    )
    train(deeper, second, PLAN._replace(steps=1), start=first)
    before, after = load_reference(first), load_reference(second)
    assert len(after.model.trunk.layers) == few + 4
    batch = Batch(images=torch.rand(1, 2, 3, 16, 16))
    depths = [one.model(batch, 1).geometry.log_depth for one in (before, after)]
    torch.testing.assert_close(*depths)


def test_a_training_that_started_elsewhere_is_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(CONFIG, first, PLAN._replace(steps=1))
    train(CONFIG, second, PLAN._replace(steps=1), start=first)
    with pytest.raises(BenchError, match="a training of the same start"):
        train(CONFIG, second, PLAN._replace(steps=2))
    wider = structs.replace(CONFIG, model=structs.replace(CONFIG.model, hidden=2.0))
    with pytest.raises(BenchError, match="a model of the configuration's sizes"):
        train(wider, tmp_path / "third", PLAN, start=first)


def test_the_rate_is_held_until_it_falls() -> None:
    plain = TrainingConfig(stages=CONFIG.training.stages, warm_up=10, falls=0.2)
    rates = [learning_rate(step, 110, plain) for step in range(111)]
    assert rates[9:91] == pytest.approx([plain.learning_rate] * 82)
    assert all(before > after for before, after in pairwise(rates[90:]))
    assert rates[100] == pytest.approx(0.505 * plain.learning_rate)
    assert rates[110] == pytest.approx(0.01 * plain.learning_rate)


def test_shipped_weights_are_the_moving_average_of_those_of_the_steps() -> None:
    model = G2Vlm(CONFIG.model)
    average = averaged(model, 0.25)
    expected = None
    for step in range(4):
        with torch.no_grad():
            model.camera.fill_(float(step))
        average.update_parameters(model)
        # The first is taken as it is; 2 of 11, then a quarter is kept.
        kept = min(0.25, (1 + step) / (10 + step))
        expected = step if expected is None else kept * expected + (1 - kept) * step
    assert isinstance(average.module, G2Vlm)
    torch.testing.assert_close(
        average.module.camera, torch.full_like(model.camera, float(expected or 0))
    )


def _with_stages(*stages: Stage, **changes: Any) -> Config:
    changes = {"warm_up": 1, "falls": 0.5} | changes
    training = structs.replace(CONFIG.training, stages=stages, **changes)
    return structs.replace(CONFIG, training=training)


def test_stages_to_come_may_change_and_stages_done_may_not(tmp_path: Path) -> None:
    first, second = CONFIG.training.stages
    held = structs.replace(second, steps=6)
    train(_with_stages(first, held), tmp_path / "out", PLAN._replace(steps=2))
    # The whole, as if the later stage had always been this one.
    other = structs.replace(second, questions=3, steps=8)
    train(_with_stages(first, other), tmp_path / "whole", PLAN._replace(steps=4))
    train(_with_stages(first, other), tmp_path / "out", PLAN._replace(steps=4))
    for name in ("model.safetensors", STATE):
        whole, out = (tmp_path / folder / name for folder in ("whole", "out"))
        assert whole.read_bytes() == out.read_bytes(), name
    with pytest.raises(BenchError, match="same config"):
        train(_with_stages(structs.replace(first, scenes=2), other), tmp_path / "out", PLAN)
    with pytest.raises(BenchError, match="same config"):
        train(_with_stages(first, other, clip=0.5), tmp_path / "out", PLAN)
    # So few steps that the rate would have fallen already.
    with pytest.raises(BenchError, match="same config"):
        train(_with_stages(first, structs.replace(other, steps=2)), tmp_path / "out", PLAN)
