"""Batches: what they hold fits together, repeats to the bit, and comes from no test scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
import torch
from msgspec import structs

from g2vlm_bench.geometry.cameras import project
from g2vlm_bench.reference import examples, feed
from g2vlm_bench.reference.batches import Drawn, draw
from g2vlm_bench.reference.config import Config, LossWeights, Stage, TrainingConfig
from g2vlm_bench.reference.encoders import pixel_rays
from g2vlm_bench.reference.examples import make_block, training_texts
from g2vlm_bench.reference.feed import Feeder
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.world.descriptions import describe
from g2vlm_bench.world.layout import make_scene
from tests.reference.conftest import TINY

STAGE = Stage(steps=3, side=32, scenes=2, views=2, questions=3, describes=0.0)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "BLOCK", 2)
        patch.setattr(feed, "_VALIDATION_BLOCKS", 1)
        yield


@pytest.fixture(scope="module")
def words(small_blocks: None) -> Words:
    return Words.learn(training_texts(16))


@pytest.fixture
def config() -> Config:
    training = TrainingConfig(stages=(STAGE, STAGE), pool=4, reuse=1)
    model = structs.replace(TINY, vocabulary=640, longest_text=128)
    return Config(model=model, training=training)


@pytest.fixture(scope="module")
def block(words: Words) -> list[examples.Example]:
    return make_block(0, STAGE, "train", words)


def _same(first: Drawn, second: Drawn) -> bool:
    def tensors(value: object) -> Iterator[torch.Tensor]:
        for each in fields(value):  # type: ignore[arg-type]
            part = getattr(value, each.name)
            if isinstance(part, torch.Tensor):
                yield part
            elif part is not None and each.name == "inputs":
                yield from tensors(part)

    pairs = list(zip(tensors(first), tensors(second), strict=True))
    return all(torch.equal(a.nan_to_num(-9), b.nan_to_num(-9)) for a, b in pairs)


def test_a_batch_fits_together(block, config) -> None:
    drawn = draw(block, STAGE, config, np.random.default_rng(1))
    views = drawn.depth.shape[1]
    texts, length = drawn.inputs.words.shape[1:]
    assert drawn.inputs.images.shape == (2, views, 3, 32, 32)
    assert drawn.masks.shape == (2, texts, views, 32, 32)
    assert drawn.places.shape == (2, texts, length, 3)
    assert texts == STAGE.questions
    assert 0 <= float(drawn.inputs.images.min()) <= float(drawn.inputs.images.max()) <= 1
    torch.testing.assert_close(drawn.first_from_camera[:, 0], torch.eye(4).expand(2, 4, 4))
    seen = drawn.normals.norm(dim=-1) > 0.5
    torch.testing.assert_close(
        drawn.normals[seen].norm(dim=-1), torch.ones(int(seen.sum())), atol=2e-3, rtol=0
    )
    # Normals of what is seen never point away from the camera.
    rays = pixel_rays(drawn.intrinsics, 32, 32)
    assert ((rays * drawn.normals).sum(-1)[seen] < 0.02).all()


def test_answers_are_words_after_the_prompt(block, words) -> None:
    for example in block:
        for text in (*example.questions, example.description):
            said = words.decode(text.words[text.answer :])
            assert said
            assert text.words[text.answer - 1] == words.answer
            assert text.words[-1] == words.end
            assert len(text.bodies) == len(text.words)


def test_phrases_know_their_thing(block, words) -> None:
    """The place of a phrase's last mark lies where its mask is, as far as it is in sight."""
    checked = 0
    for example in block:
        for phrase in example.phrases:
            assert phrase.words[-1] == words.answer
            assert phrase.bodies[-1] == phrase.body
            place = example.middles[phrase.body].astype(np.float64)
            shown = np.argwhere(example.ids[0] == phrase.body)
            assert len(shown)
            pixel, _ = project(place[None], example.intrinsics[0].astype(np.float64))
            low, high = shown.min(0) - 4, shown.max(0) + 5
            assert low[1] <= pixel[0, 0] <= high[1]
            assert low[0] <= pixel[0, 1] <= high[0] + 8
            checked += 1
    assert checked


def test_the_last_word_of_a_name_knows_its_thing(block, words) -> None:
    named = [(e, t) for e in block for t in e.questions if any(t.bodies)]
    assert named
    for example, text in named:
        # The answer's words tell no thing.
        assert not any(text.bodies[text.answer :])
        ends = [words.decode([w]) for w, body in zip(text.words, text.bodies, strict=True) if body]
        assert not {"the", "a", "red", "large"} & set(ends), ends
        assert max(text.bodies) < len(example.middles)


def test_places_are_those_of_the_things_spoken_of(block, config) -> None:
    drawn = draw(block, STAGE, config, np.random.default_rng(1))
    for scene, example in enumerate(block):
        for body, place in zip(
            drawn.bodies[scene].flatten(), drawn.places[scene].flatten(0, 1), strict=True
        ):
            np.testing.assert_array_equal(place.numpy(), example.middles[int(body)])


def test_what_each_pixel_shows(block, config) -> None:
    drawn = draw(block, STAGE, config, np.random.default_rng(1))
    ids = torch.from_numpy(np.stack([e.ids[: drawn.depth.shape[1]] for e in block]))
    assert (drawn.ids == ids).all()
    assert ((drawn.colors == 0) == (ids == 0)).all()
    assert ((drawn.kinds == 0) == (ids == 0)).all()


def test_what_is_given_beside_pictures(block, config) -> None:
    alone = structs.replace(config, training=structs.replace(config.training, prior=0.0, given=0.0))
    drawn = draw(block, STAGE, alone, np.random.default_rng(2))
    assert not drawn.inputs.depth_prior.isfinite().any()
    assert drawn.inputs.cloud is None
    assert drawn.inputs.hide is None
    assert not drawn.inputs.intrinsics.isfinite().any()
    assert drawn.plain.all()
    losses = LossWeights(masked=1.0)
    training = structs.replace(config.training, prior=1.0, given=1.0, losses=losses)
    drawn = draw(block, STAGE, structs.replace(config, training=training), np.random.default_rng(2))
    prior = drawn.inputs.depth_prior
    given = prior.isfinite()
    assert 0 < given.float().mean() < 0.3
    assert ((prior / drawn.depth)[given].log().abs() < 0.2).all()
    assert drawn.inputs.cloud.isfinite().any()
    assert 0.3 < drawn.inputs.hide.float().mean() < 0.7
    assert not drawn.plain.any()


def test_a_step_draws_the_same_wherever_one_starts(config, words) -> None:
    def feeder() -> Feeder:
        return Feeder(config, words, seed=3)

    unbroken = list(feeder().batches())
    assert len(unbroken) == 6
    for start in (2, 4):
        resumed = list(feeder().batches(start))
        assert len(resumed) == 6 - start
        assert all(_same(*pair) for pair in zip(resumed, unbroken[start:], strict=True))
    assert not _same(next(iter(Feeder(config, words, seed=4).batches())), unbroken[0])


def test_validation_scenes_are_others_and_always_the_same(config, words, monkeypatch) -> None:
    splits: list[str] = []
    made = examples.make_scene

    def spy(seed: int, split: str, *args: object, **kwargs: object) -> object:
        splits.append(split)
        return made(seed, split, *args, **kwargs)

    monkeypatch.setattr(examples, "make_scene", spy)
    first = Feeder(config, words, 3).validation(0)
    again = Feeder(config, words, 3).validation(5)
    assert set(splits) == {"validation"}
    assert all(_same(*pair) for pair in zip(first, again, strict=True))
    assert all(batch.plain.all() for batch in first)


def test_the_test_split_is_refused(words) -> None:
    with pytest.raises(ValueError, match="test"):
        make_block(0, STAGE, "test", words)


def test_easy_scenes_are_rooms_with_few_plain_bodies(words, monkeypatch) -> None:
    scenes = []
    monkeypatch.setattr(
        examples, "make_scene", lambda *a, **k: scenes.append(make_scene(*a, **k)) or scenes[-1]
    )
    make_block(1, structs.replace(STAGE, easy=1.0), "train", words)
    assert {scene.place.kind for scene in scenes} == {"room"}
    assert all(2 <= len(scene.shot(0)[0].bodies) <= 4 for scene in scenes)


def test_families_and_kinds_of_phrase_can_be_chosen(words) -> None:
    stage = structs.replace(STAGE, families=("direction",), finds=("name",))
    examples = make_block(2, stage, "train", words)
    assert {text.family for e in examples for text in e.questions} <= {"direction"}


def test_questions_are_no_longer_than_asked_for(words) -> None:
    both = [
        sum(
            (
                e.questions
                for e in make_block(2, structs.replace(STAGE, longest=most), "train", words)
            ),
            (),
        )
        for most in (20, 128)
    ]
    assert max(len(text.words) for text in both[0]) <= 20
    assert {text.words for text in both[0]} == {t.words for t in both[1] if len(t.words) <= 20}


def test_every_word_of_other_training_scenes_is_known(words) -> None:
    """A description of a scene that the tokenizer was not learnt from."""
    scene = make_scene(40, "train", "room")
    text = describe(scene, examples.look([scene], 1)[0], seed=0).text
    unknown = [number for number in words.encode(text) if number == words.unknown]
    assert len(unknown) <= 0.02 * len(words.encode(text))
