"""Batches: what they hold fits together, repeats to the bit, and comes from no test scene."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import chain, groupby
from operator import itemgetter

import numpy as np
import pytest
import torch
from msgspec import structs

from g2vlm_bench.geometry.cameras import project
from g2vlm_bench.reference import examples, feed
from g2vlm_bench.reference.batches import Drawn, draw, rarities
from g2vlm_bench.reference.config import Config, LossWeights, Stage, TrainingConfig
from g2vlm_bench.reference.encoders import pixel_rays
from g2vlm_bench.reference.examples import COLOR_NUMBERS, make_block, training_texts
from g2vlm_bench.reference.feed import Feeder
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.world.descriptions import describe
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.queries import queries
from g2vlm_bench.world.questions import ask
from g2vlm_bench.world.scene import COLORS, Scene
from g2vlm_bench.world.sight import Sight
from tests.reference.conftest import TINY

STAGE = Stage(steps=3, side=32, scenes=2, views=(2,), questions=3, describes=0.0)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "BLOCK", 2)
        patch.setattr(feed, "_VALIDATION_BLOCKS", 1)
        yield


@pytest.fixture(scope="module")
def words(small_blocks: None) -> Words:
    return Words.learn(chain.from_iterable(training_texts(8)))


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
    # What is measured is off by 3 % of a distance, and a coordinate of a point by 1 %.
    assert (prior / drawn.depth)[given].log().std() == pytest.approx(0.03, rel=0.3)
    cloud = drawn.inputs.cloud
    off = (cloud / drawn.clouds[:, : cloud.shape[1]]).log()
    assert off[off.isfinite()].std() == pytest.approx(0.01, rel=0.3)
    assert 0.3 < drawn.inputs.hide.float().mean() < 0.7
    assert not drawn.plain.any()


def test_rare_families_are_drawn_more_often_where_that_is_asked_for(
    block, config, words, monkeypatch
) -> None:
    """Of two scenes: nine questions of depth and one of a route, and sixteen of depth."""

    def question(family: str) -> examples.Text:
        return examples.Text((words.ask, words.answer, words.end), 2, (0, 0, 0), 0, family, True)

    plain = replace(block[0], questions=tuple(question("depth") for _ in range(16)))
    mixed = replace(plain, questions=(question("route"), *plain.questions[:9]))
    assert rarities([plain, mixed]) == {"depth": 25**-0.5, "route": 1.0}
    stage = structs.replace(STAGE, scenes=1, questions=1, phrases=0, steps=400, describes=0.0)
    training = structs.replace(config.training, pool=2, reuse=1000)
    monkeypatch.setattr(feed, "make_block", lambda *_: [plain, mixed])

    def share(even: bool) -> float:
        stages = (structs.replace(stage, even=even),)
        config_ = structs.replace(config, training=structs.replace(training, stages=stages))
        drawn = Feeder(config_, words, 0).batches()
        return sum(batch.families == (("route",),) for batch in drawn) / stage.steps

    assert share(even=False) == pytest.approx(0.5 * 1 / 10, abs=0.04)
    # Wealth 3.2 and 2.8, a tenth of their mean for each; a route is 1 of 2.8.
    assert share(even=True) == pytest.approx((2.8 + 0.3) / 6.6 * 1 / 2.8, abs=0.08)


def test_batches_are_refined_up_to_k_times(block, config) -> None:
    stage = structs.replace(STAGE, refinements=2)
    times = {
        draw(block, stage, config, np.random.default_rng(seed)).refinements for seed in range(16)
    }
    assert times == {0, 1, 2}


def test_a_share_of_the_batches_is_told_descriptions(block, config) -> None:
    def told(describes: float, batches: int = 16) -> int:
        stage = structs.replace(STAGE, describes=describes)
        count = 0
        for seed in range(batches):
            drawn = draw(block, stage, config, np.random.default_rng(seed)).inputs
            first = [
                row[known].tolist()
                for row, known in zip(drawn.words[:, 0], drawn.words_known[:, 0], strict=True)
            ]
            is_told = [
                words == list(e.description.words[: len(words)])
                for words, e in zip(first, block, strict=True)
            ]
            # Of all its scenes or of none: these have long texts.
            assert len(set(is_told)) == 1
            count += is_told[0]
        return count

    assert told(0.0) == 0
    assert 0 < told(0.5) < 16
    assert told(1.0) == 16


def test_where_a_description_is_told_nothing_is_asked(block, config) -> None:
    stage = structs.replace(STAGE, describes=1.0, phrases=2, questions=7)
    without = [replace(block[0], phrases=()), block[1]]
    drawn = draw(without, stage, config, np.random.default_rng(0))
    assert drawn.inputs.words.shape[:2] == (2, 3)
    assert drawn.means.tolist() == [[False, False, False], [False, True, True]]
    assert drawn.families == (("",) * 3,) * 2


def test_questions_of_a_batch_are_of_like_length_where_that_is_asked_for(words, config) -> None:
    stage = structs.replace(STAGE, questions=9, phrases=1, lengths=(22, 48))
    block = make_block(3, stage, "train", words)
    lengths = {len(question.words) for each in block for question in each.questions}
    assert min(lengths) <= 22 < max(lengths) <= 48
    met = set()
    for seed in range(8):
        known = draw(block, stage, config, np.random.default_rng(seed)).inputs.words_known
        asked = known[:, :-1].sum(-1)
        assert asked.shape[1] == (8 if known.shape[2] <= 22 else 3)  # questions beside a phrase
        assert (asked <= 22).all() if known.shape[2] <= 22 else (asked > 22).all()
        met.add(asked.shape[1])
    assert met == {8, 3}


def test_a_scene_of_which_nothing_is_asked_does_not_lengthen_the_others(block, config) -> None:
    mute = replace(block[0], questions=())
    drawn = draw([mute, block[1]], STAGE, config, np.random.default_rng(0))
    longest = max(len(text.words) for text in (*block[1].questions, *mute.phrases))
    assert drawn.inputs.words.shape[2] <= longest < len(mute.description.words)


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


def test_another_seed_shows_other_scenes(config, words, monkeypatch) -> None:
    """What goes on from another training's weights must not begin with what that one has seen."""
    made: list[int] = []

    def noted(number, *others):
        made.append(number)
        return make_block(0, *others)

    monkeypatch.setattr(feed, "make_block", noted)
    shown = []
    for seed in (0, 1, 2):
        made.clear()
        feeder = Feeder(config, words, seed)
        assert len(list(feeder.batches())) == 6
        shown.append(set(made))
        assert shown[-1] <= set(feeder.blocks)
    assert min(shown[0]) == 0
    assert not shown[0] & shown[1]
    assert not shown[1] & shown[2]


def test_texts_speak_of_the_pictures_that_are_shown(words) -> None:
    stage = structs.replace(STAGE, views=3)
    assert stage.view_counts == (1, 2, 3)
    ordinals = ("first picture", "second picture", "third picture")
    spoken: list[set[str]] = []
    for number in range(6):
        block = make_block(number, stage, "train", words)
        assert {example.views for example in block} == {1 + number % 3}
        told = " ".join(words.decode(t.words) for e in block for t in (*e.questions, e.description))
        spoken.append({ordinal for ordinal in ordinals if ordinal in told})
        assert spoken[-1] <= (set(ordinals[: 1 + number % 3]) if number % 3 else set())
    assert set(ordinals[:2]) <= set().union(*spoken)


def test_numbers_of_pictures_take_turns_and_cost_alike(config, words) -> None:
    stage = structs.replace(STAGE, steps=40, scenes=4, views=(1, 2, 2, 4), pictures=4)
    training = structs.replace(config.training, stages=(stage,), pool=8, reuse=100)
    batches = Feeder(structs.replace(config, training=training), words, seed=0).batches()
    shapes = [tuple(batch.depth.shape[:2]) for batch in batches]
    assert set(shapes) == {(4, 1), (2, 2), (1, 4)}
    assert shapes.count((2, 2)) > shapes.count((4, 1))


def test_validation_scenes_are_others_and_always_the_same(config, words, monkeypatch) -> None:
    splits: list[str] = []
    made = examples.make_scene

    def spy(seed: int, split: str, *args: object, **kwargs: object) -> object:
        splits.append(split)
        return made(seed, split, *args, **kwargs)

    monkeypatch.setattr(examples, "make_scene", spy)
    training = structs.replace(config.training, prior=1.0)
    config = structs.replace(config, training=training)
    first = Feeder(config, words, 3).validation(0)
    again = Feeder(config, words, 3).validation(5)
    assert set(splits) == {"validation"}
    assert all(_same(*pair) for pair in zip(first, again, strict=True))
    # With pictures alone, whatever is given in training.
    assert all(batch.plain.all() and batch.inputs.cloud is None for batch in first)


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


def test_some_scenes_of_several_views_move_and_others_do_not() -> None:
    def moving(views: int, easy: float = 0.0) -> list[bool]:
        """Whether a thing stands elsewhere in the last view than in the first."""
        stage = structs.replace(STAGE, easy=easy)
        scenes = [examples._scene(seed, stage, views, "train") for seed in range(20)]
        ends = [[scene.shot(view)[0].bodies for view in (0, views - 1)] for scene in scenes]
        return [
            any((a.center_m != b.center_m).any() for a, b in zip(*both, strict=True))
            for both in ends
        ]

    # One in five or so.
    assert 1 <= sum(moving(views=2)) <= 8
    assert not any(moving(views=1))
    assert not any(moving(views=2, easy=1.0))


def _scenes_of(block: int, split: str) -> tuple[list[Scene], list[Sight]]:
    numbers = range(examples.BLOCK * block, examples.BLOCK * (block + 1))
    scenes = [examples._scene(seed, STAGE, 2, split) for seed in numbers]
    return scenes, examples.look(scenes, 2)


def test_families_and_kinds_of_phrase_can_be_chosen(words) -> None:
    stage = structs.replace(STAGE, families=("direction",), finds=("name", "trait"))
    chosen = make_block(2, stage, "train", words)
    assert {text.family for e in chosen for text in e.questions} == {"direction"}
    every = [
        queries(scene, sight, examples.PHRASES)
        for scene, sight in zip(*_scenes_of(2, "train"), strict=True)
    ]
    assert {query.kind for asked in every for query in asked} > {"name", "trait"}
    for example, asked in zip(chosen, every, strict=True):
        kept = [words.encode(q.text) for q in asked if q.kind in ("name", "trait")]
        # The last mark stands behind the phrase.
        assert [list(phrase.words[1:-1]) for phrase in example.phrases] == kept


def test_validation_is_asked_as_benchmarks_are(words) -> None:
    """Each question waits for its answer's turn, and each fact is asked once."""
    for example, asked in zip(
        make_block(1, STAGE, "validation", words),
        ask(*_scenes_of(1, "validation"), examples.QUESTIONS, gates="all", ways=1),
        strict=True,
    ):
        prompts = [[words.ask, *words.encode(question.text)] for question in asked]
        assert prompts
        for text, prompt in zip(example.questions, prompts, strict=True):
            assert list(text.words[: len(prompt)]) == prompt


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


def test_a_description_points_at_what_it_names_from_the_article_on(words) -> None:
    """From the left in the picture; all else points at nothing, the marks around it, too."""
    stage = Stage(steps=1, side=64, scenes=16)
    named = 0
    for example in chain(*(make_block(number, stage, "train", words) for number in range(8))):
        told = example.description
        assert len(told.bodies) == len(told.words)
        assert told.bodies[: told.answer] == (0,) * told.answer
        assert told.bodies[-1] == 0
        said = [words.decode([number]) for number in told.words]
        for body, group in groupby(zip(told.bodies, said, strict=True), key=itemgetter(0)):
            name = [word for _, word in group]
            assert body or not set(COLORS) & set(name) or "objects" in name
            if body:
                article, color, _ = name
                assert article in ("a", "an", "the")
                assert COLOR_NUMBERS[color] == example.colors[body]
                named += 1
        opening = said.index(".") if "." in said else 0
        first = list(dict.fromkeys(body for body in told.bodies[:opening] if body))
        bearings = [math.atan2(*example.middles[body][[0, 2]]) for body in first]
        assert bearings == sorted(bearings)
    assert named > 100


def test_every_word_of_other_training_scenes_is_known(words) -> None:
    """A description of a scene that the tokenizer was not learnt from."""
    scene = make_scene(40, "train", "room")
    text = describe(scene, examples.look([scene], 1)[0], seed=0).text
    unknown = [number for number in words.encode(text) if number == words.unknown]
    assert len(unknown) <= 0.02 * len(words.encode(text))
