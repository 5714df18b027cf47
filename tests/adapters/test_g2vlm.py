"""g2vlm on weights that have learnt nothing: shapes, sizes, batches, words, and every family."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, pinhole, project, transform
from g2vlm_bench.plugins import Plugins, load_module, shipped
from g2vlm_bench.predicting import check_prediction
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.sample import Ambiguity, Inputs, Want

ADAPTER = load_module(shipped("model_adapters") / "g2vlm.py")
GEOMETRY = frozenset({Want.DEPTH, Want.POINTS, Want.POINT_MAPS, Want.POSES, Want.INTRINSICS})
WORDS = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def make(tiny_reference: Path) -> Callable[..., Any]:
    def make_adapter(**arguments: Any) -> Any:
        arguments = {"weights": str(tiny_reference), "device": "cpu"} | arguments
        return ADAPTER.G2vlm(**arguments)

    return make_adapter


@pytest.fixture(scope="module")
def adapter(make: Callable[..., Any]) -> Any:
    return make()


def scene(name: str, *sizes: tuple[int, int], seed: int = 0, **more: Any) -> Inputs:
    rng = np.random.default_rng(seed)
    images = tuple(rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes)
    return Inputs(id=name, images=images, **more)


CHOICE = {
    "question": "Which is nearer to the box?",
    "choices": ("the red ball", "The Box", "left"),
    "answer_type": "choice",
}
YES_NO = {"question": "Is the red box nearer?", "answer_type": "yes_no", "choices": ("yes", "no")}
NUMBER = {"question": "How far is the ball, in meters?", "answer_type": "number"}


@pytest.mark.parametrize("sizes", [((32, 32),), ((45, 61), (45, 61)), ((64, 48), (20, 90))])
def test_geometry_has_the_sizes_of_the_pictures(adapter, sizes) -> None:
    inputs = scene("a", *sizes)
    (answer,) = adapter.predict([inputs], GEOMETRY)
    checked = check_prediction(answer, inputs, GEOMETRY)
    assert checked.ambiguity is Ambiguity.METRIC
    assert [d.shape for d in checked.depth] == list(sizes)
    assert [c.shape for c in checked.confidence] == list(sizes)
    assert [m.shape for m in checked.point_maps] == [(*size, 3) for size in sizes]
    assert all((d > 0).all() and np.isfinite(d).all() for d in checked.depth)
    assert all((c > 0).all() for c in checked.confidence)
    np.testing.assert_allclose(checked.world_from_camera[0], np.eye(4), atol=1e-6)
    assert len(checked.points) == len(checked.normals) > 0
    np.testing.assert_allclose(np.linalg.norm(checked.normals, axis=1), 1, atol=1e-5)


def test_parts_agree_with_one_another(adapter) -> None:
    """Points of the cloud fall on the pixels of their view, at its depth; sizes are the model's."""
    inputs = scene("a", (32, 40), (32, 40))
    (answer,) = adapter.predict([inputs], GEOMETRY)
    cloud = answer.points.reshape(2, 32, 40, 3)
    y, x = np.mgrid[:32, :40] + 0.5
    for view in range(2):
        camera = transform(cloud[view], invert_pose(answer.world_from_camera[view]))
        pixels, depth = project(camera, answer.intrinsics[view])
        np.testing.assert_allclose(depth, answer.depth[view], rtol=1e-4)
        np.testing.assert_allclose(pixels, np.stack([x, y], -1), atol=1e-2)
        np.testing.assert_allclose(answer.point_maps[view], camera, rtol=1e-3, atol=1e-4)


def test_normals_of_the_cloud_stand_in_the_first_cameras_frame(adapter) -> None:
    from g2vlm_bench.reference.inference import Pictures

    inference = adapter._inference
    (seen,) = inference.look([Pictures(images=scene("a", (32, 32), (32, 32)).images)])
    made = inference.reconstruct(seen)
    own = seen.group.output.geometry.normals[0].reshape(2, -1, 3).double().numpy()
    turned = [n @ p[:3, :3].T for n, p in zip(own, made.first_from_camera, strict=True)]
    np.testing.assert_allclose(made.normals, np.concatenate(turned), atol=1e-5)
    assert not np.allclose(turned[1], own[1], atol=0.01)


def test_given_cameras_are_used_and_given_back(adapter, make) -> None:
    camera = pinhole(45, 61, 40.0)
    inputs = scene("a", (45, 61), intrinsics=(camera,))
    (told,) = adapter.predict([inputs], GEOMETRY)
    (untold,) = adapter.predict([replace(inputs, intrinsics=None)], GEOMETRY)
    (deaf,) = make(use_intrinsics=False).predict([inputs], GEOMETRY)
    np.testing.assert_allclose(told.intrinsics[0], camera, rtol=1e-6)
    assert not np.allclose(told.depth[0], untold.depth[0], rtol=1e-4)
    np.testing.assert_array_equal(deaf.depth[0], untold.depth[0])


def test_a_skewed_camera_means_the_same_to_points_and_point_maps(adapter) -> None:
    camera = np.array([[60.0, 30, 16], [0, 60, 16], [0, 0, 1]])
    (answer,) = adapter.predict([scene("a", (32, 32), intrinsics=(camera,))], GEOMETRY)
    np.testing.assert_allclose(answer.intrinsics[0], camera, rtol=1e-6)
    np.testing.assert_allclose(answer.points, answer.point_maps[0].reshape(-1, 3), rtol=1e-4)


def test_priors_are_used_where_they_may_be(adapter, make) -> None:
    prior = np.full((45, 61), np.nan, np.float32)
    prior[::5, ::5] = 3.0
    points = np.random.default_rng(0).normal(size=(40, 3))
    plain = scene("a", (45, 61))
    for given in ({"depth_prior_m": (prior,)}, {"points": points}):
        inputs = replace(plain, **given)
        (with_prior,) = adapter.predict([inputs], GEOMETRY)
        (without,) = adapter.predict([plain], GEOMETRY)
        (deaf,) = make(use_prior=False).predict([inputs], GEOMETRY)
        assert not np.allclose(with_prior.depth[0], without.depth[0], rtol=1e-4)
        np.testing.assert_array_equal(deaf.depth[0], without.depth[0])


def test_one_picture_with_other_things_given_is_another_scene(adapter) -> None:
    plain = scene("a", (32, 32))
    prior = np.full((32, 32), np.nan, np.float32)
    prior[::5, ::5] = 3.0
    given = (
        {}, {"intrinsics": (pinhole(32, 32, 40.0),)}, {"intrinsics": (pinhole(32, 32, 80.0),)},
        {"depth_prior_m": (prior,)}, {"depth_prior_m": (2 * prior,)},
        {"points": np.eye(3)}, {"points": 2 * np.eye(3)},
    )  # fmt: skip
    batch = [replace(plain, **more) for more in given]
    depths = [answer.depth[0] for answer in adapter.predict(batch, GEOMETRY)]
    assert len({depth.tobytes() for depth in depths}) == len(given)
    for inputs, depth in zip(batch, depths, strict=True):
        (alone,) = adapter.predict([inputs], GEOMETRY)
        np.testing.assert_allclose(depth, alone.depth[0], rtol=1e-5)


def mixed_batch() -> list[Inputs]:
    return [
        scene("choice", (32, 32), seed=1, **CHOICE),
        scene("other", (40, 64), (40, 64), seed=2, **YES_NO),
        scene("same", (32, 32), seed=1, **NUMBER),
        scene("third", (32, 32), seed=3, **YES_NO),
        scene("words", (32, 32), seed=4, question="Describe the scene."),
        scene("camera", (32, 32), seed=5, intrinsics=(pinhole(32, 32, 50.0),), **NUMBER),
    ]


def test_a_batch_is_its_samples_one_by_one(adapter) -> None:
    """The tolerance that the adapter states: 1e-5 of a depth; words do not differ at all."""
    batch = mixed_batch()
    wants = GEOMETRY | WORDS
    together = adapter.predict(batch, wants)
    for inputs, answer in zip(batch, together, strict=True):
        (alone,) = adapter.predict([inputs], wants)
        for one, other in zip(answer.depth, alone.depth, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
        np.testing.assert_allclose(answer.points, alone.points, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            answer.choice_loglikelihoods, alone.choice_loglikelihoods, rtol=1e-4
        )
        assert answer.answer == alone.answer


def test_it_repeats_itself_to_the_bit(adapter) -> None:
    batch = mixed_batch()
    for one, other in zip(*(adapter.predict(batch, GEOMETRY) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.depth[0], other.depth[0])


def test_a_scene_is_looked_at_once(adapter, monkeypatch) -> None:
    from g2vlm_bench.reference import speech

    sizes = []
    plain = speech.look

    def counted(model: Any, batch: Any, refinements: Any) -> Any:
        sizes.append(len(batch.images))
        return plain(model, batch, refinements)

    monkeypatch.setattr(speech, "look", counted)
    adapter.predict(mixed_batch(), WORDS)
    assert sorted(sizes) == [1, 4]  # six questions about four scenes of one shape and one other


def test_answers_are_of_their_kind(adapter) -> None:
    choice, yes_no, number = adapter.predict(
        [scene("a", (32, 32), **kind) for kind in (CHOICE, YES_NO, NUMBER)], WORDS
    )
    assert choice.answer in CHOICE["choices"]
    assert choice.answer == CHOICE["choices"][int(np.argmax(choice.choice_loglikelihoods))]
    assert (choice.choice_loglikelihoods < 0).all()
    assert yes_no.answer in ("yes", "no")
    assert len(yes_no.choice_loglikelihoods) == 2
    assert set(number.answer) <= set("0123456789. ")
    assert number.answer[0] in "0123456789."


def test_an_option_is_told_by_its_letter_where_the_prompt_shows_letters(adapter) -> None:
    letters = tuple("ABCDE"[: len(CHOICE["choices"])])
    plain, lettered = adapter.predict(
        [scene("a", (32, 32), **CHOICE), scene("b", (32, 32), **CHOICE, continuations=letters)],
        frozenset({Want.ANSWER}),
    )
    same, _ = adapter.predict(
        [scene("a", (32, 32), **CHOICE, continuations=letters)] * 2, frozenset({Want.ANSWER})
    )
    assert same.answer == letters[CHOICE["choices"].index(plain.answer)]
    assert lettered.answer in letters


def test_no_and_yes_may_stand_in_any_order(adapter) -> None:
    one, other = adapter.predict(
        [scene("a", (32, 32), **(YES_NO | {"choices": c})) for c in (("yes", "no"), ("No", "Yes"))],
        WORDS,
    )
    np.testing.assert_allclose(
        one.choice_loglikelihoods, other.choice_loglikelihoods[::-1], rtol=1e-6
    )
    assert other.answer == one.answer.capitalize()


def test_the_question_reaches_the_model_in_the_words_that_it_learnt(adapter) -> None:
    from g2vlm_bench.reference.examples import _description, _phrase, _question
    from g2vlm_bench.world.questions import Question

    words = adapter._speaker.words
    for kind, options in ((CHOICE, CHOICE["choices"]), (YES_NO, ()), (NUMBER, ())):
        answer = {"choice": "left", "yes_no": "no", "number": 2.5}[str(kind["answer_type"])]
        learnt = _question(
            Question(
                family="",
                kind="",
                text=str(kind["question"]),
                answer_type=kind["answer_type"],
                choices=options,
                choice_bodies=(0,) * len(options),
                answer=answer,
                unit="",
                view=0,
                bodies=(),
                where=(),
                template="",
                held_out=False,
            ),
            words,
        )
        asked = ADAPTER._question(scene("a", (32, 32), **kind), points_out=False)
        assert adapter._speaker.prompt(asked) == list(learnt.words[: learnt.answer])
    phrase = ADAPTER._question(Inputs(id="a", question="the red box"), points_out=True)
    assert adapter._speaker.prompt(phrase) == list(_phrase("the red box", 1, words).words)
    told = ADAPTER._question(Inputs(id="a", question="Describe the scene: all."), points_out=False)
    learnt = _description("a box", (), words)
    assert adapter._speaker.prompt(told) == list(learnt.words[: learnt.answer])


@pytest.mark.parametrize("kind", [CHOICE, YES_NO, NUMBER], ids=["choice", "yes_no", "number"])
def test_a_prompt_alone_is_read(toys: Plugins, kind) -> None:
    family = Task.load(toys, small(toys, "spatial_qa/world", n=1)).family
    whole = family.prepare(Inputs(id="a", **kind))
    bare = ADAPTER._question(replace(whole, question=None), points_out=False)
    assert bare == ADAPTER._question(whole, points_out=False)


def test_masks_and_places(adapter) -> None:
    batch = [
        scene("a", (45, 61), (45, 61), question="the red box"),
        scene("b", (32, 32), question="the ball left of the box"),
    ]
    wants = frozenset({Want.MASKS, Want.LOCATION})
    for inputs, answer in zip(batch, adapter.predict(batch, wants), strict=True):
        checked = check_prediction(answer, inputs, wants)
        assert [m.shape for m in checked.masks] == [i.shape[:2] for i in inputs.images]
        assert np.isfinite(checked.location).all()


def test_a_text_is_found_and_answered_as_if_only_one_were_wanted(adapter) -> None:
    batch = [scene("yes", (32, 32), **YES_NO), scene("choice", (32, 32), seed=1, **CHOICE)]
    pointing = frozenset({Want.MASKS, Want.LOCATION})
    both, words, places = (
        adapter.predict(batch, wants) for wants in (WORDS | pointing, WORDS, pointing)
    )
    for inputs, one, said, found in zip(batch, both, words, places, strict=True):
        checked = check_prediction(one, inputs, WORDS | pointing)
        assert checked.answer == said.answer in inputs.choices
        np.testing.assert_array_equal(one.choice_loglikelihoods, said.choice_loglikelihoods)
        np.testing.assert_array_equal(one.masks[0], found.masks[0])
        np.testing.assert_array_equal(one.location, found.location)


def test_embeddings_of_texts_pictures_and_clouds(adapter) -> None:
    points = np.random.default_rng(1).normal(size=(50, 3))
    batch = [
        scene("image", (32, 32)),
        Inputs(id="text", question="a red box and a ball"),
        Inputs(id="cloud", points=points),
        Inputs(id="shuffled", points=points[::-1]),
        Inputs(id="nothing"),
    ]
    *answers, nothing = adapter.predict(batch, frozenset({Want.EMBEDDING}))
    vectors = [answer.embedding for answer in answers]
    assert [vector.shape for vector in vectors] == [(16,)] * 4
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[3], atol=1e-5)
    assert isinstance(nothing, ValueError)
    (alone,) = adapter.predict(batch[1:2], frozenset({Want.EMBEDDING}))
    np.testing.assert_array_equal(alone.embedding, vectors[1])


def test_the_blind_model_answers_by_the_words_alone(make, tiny_reference: Path) -> None:
    blind = Plugins().adapter(
        "blind:g2vlm", {"weights": str(tiny_reference)}, {"device": "cpu", "dtype": "auto"}
    )
    one, other = blind.predict(
        [scene(name, (32, 32), seed=seed, **CHOICE) for name, seed in (("a", 1), ("b", 2))], WORDS
    )
    np.testing.assert_array_equal(one.choice_loglikelihoods, other.choice_loglikelihoods)


def test_what_cannot_be_answered_fails_alone(adapter) -> None:
    long = "Is the box " + "nearer " * 200
    good, long_one, unasked, blind, odd, optionless = adapter.predict(
        [
            scene("good", (32, 32), **YES_NO),
            scene("long", (32, 32), question=long, answer_type="yes_no", choices=("yes", "no")),
            scene("unasked", (32, 32)),
            Inputs(id="blind", **YES_NO),
            scene("odd", (32, 32), (32, 32), intrinsics=(np.eye(3),), **YES_NO),
            scene("optionless", (32, 32), **(CHOICE | {"choices": ()})),
        ],
        WORDS,
    )
    assert good.answer in ("yes", "no")
    assert "at most 128 words" in str(long_one)
    assert "expected a question" in str(unasked)
    assert blind.answer in ("yes", "no")
    assert "expected intrinsics of 2 views, got 1" in str(odd)
    assert "options to choose from, got 0" in str(optionless)
    (lost,) = adapter.predict([Inputs(id="x")], GEOMETRY)
    assert "expected an image" in str(lost)


GREY = np.zeros((32, 32), np.uint8)
CAMERA = pinhole(32, 32, 60.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images": (GREY,)}, r"images \(H, W, 3\) uint8, got \(32, 32\) uint8"),
        ({"images": (np.zeros((32, 32, 4), np.uint8),)}, r"got \(32, 32, 4\)"),
        ({"images": (np.zeros((32, 32, 3)),)}, "float64"),
        ({"images": (np.zeros((0, 32, 3), np.uint8),)}, r"got \(0, 32, 3\)"),
        ({"intrinsics": (0 * CAMERA,)}, "positive focal lengths"),
        ({"intrinsics": (-CAMERA,)}, "positive focal lengths"),
        ({"intrinsics": (CAMERA[:2],)}, "intrinsics"),
        ({"points": np.zeros((0, 3))}, "a cloud with a finite point"),
        ({"points": np.full((4, 3), np.nan)}, "a cloud with a finite point"),
        ({"points": np.zeros((4, 6))}, r"points \(N, 3\), got \(4, 6\)"),
        ({"points": np.array([[1e20, 0, 1]])}, "points within 1e\\+09 m, got one at 1e\\+20 m"),
        ({"depth_prior_m": (np.ones((32, 32, 1)),)}, r"depth \(H, W\), got \(32, 32, 1\)"),
        ({"intrinsics": (pinhole(32, 32, 60.0) * [[1e-30], [1e-30], [1]],)}, "finite numbers"),
    ],
)  # fmt: skip
def test_pictures_that_are_none_fail_alone(adapter, given, words) -> None:
    good = scene("good", (32, 32))
    fine, bad = adapter.predict([good, replace(good, **given)], GEOMETRY)
    assert fine.depth[0].shape == (32, 32)
    assert isinstance(bad, ValueError)
    assert re.search(words, str(bad)), bad


def test_what_is_no_number_fails_alone_whatever_is_wanted(adapter) -> None:
    good = scene("good", (32, 32), **YES_NO)
    bad = replace(good, intrinsics=(pinhole(32, 32, 60.0) * [[1e-30], [1e-30], [1]],))
    for want in (Want.POSES, Want.EMBEDDING, Want.ANSWER, Want.MASKS):
        wants = frozenset({want})
        fine, failed = adapter.predict([good, bad], wants)
        (alone,) = adapter.predict([good], wants)
        assert isinstance(failed, ValueError)
        if want is Want.ANSWER:
            assert fine.answer == alone.answer
        else:
            one, other = (np.array(getattr(each, want.field)) for each in (fine, alone))
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_cloud_that_is_far_beyond_sense_has_no_embedding(adapter) -> None:
    near, far = np.eye(3), np.array([[1e20, 0, 1]])
    batch = [Inputs(id=str(i), points=points) for i, points in enumerate((near, far, 1e9 * near))]
    fine, refused, edge = adapter.predict(batch, frozenset({Want.EMBEDDING}))
    assert "points within 1e+09 m" in str(refused)
    for answer in (fine, edge):
        assert np.linalg.norm(answer.embedding) == pytest.approx(1, abs=1e-5)
    pictured = [scene(str(points[0, 0]), (32, 32), points=points) for points in (1e9 * near, far)]
    seen, unseen = adapter.predict(pictured, GEOMETRY)
    assert np.isfinite(seen.depth[0]).all()
    assert isinstance(unseen, ValueError)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 31), (1, 300), (300, 1)])
def test_pictures_of_any_size(adapter, size) -> None:
    inputs = scene("a", size)
    (answer,) = adapter.predict([inputs], GEOMETRY)
    checked = check_prediction(answer, inputs, GEOMETRY)
    assert np.isfinite(checked.depth[0]).all()
    # A strip is stretched to a quarter of its length, and not a million pixels long.
    assert len(checked.points) <= 4 * 32 * 32


def test_forty_views(adapter) -> None:
    inputs = scene("a", *[(32, 32)] * 40, **YES_NO)
    (answer,) = adapter.predict([inputs], GEOMETRY | WORDS)
    checked = check_prediction(answer, inputs, GEOMETRY | WORDS)
    assert len(checked.depth) == len(checked.world_from_camera) == 40
    assert np.isfinite(checked.points).all()
    assert checked.answer in ("yes", "no")


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_a_camera_that_is_no_number_is_none_that_is_given(adapter, spoilt) -> None:
    plain = scene("a", (45, 61))
    broken = pinhole(45, 61, 40.0)
    broken[0, 0] = spoilt
    (untold,) = adapter.predict([plain], GEOMETRY)
    (answer,) = adapter.predict([replace(plain, intrinsics=(broken,))], GEOMETRY)
    np.testing.assert_array_equal(answer.depth[0], untold.depth[0])
    np.testing.assert_array_equal(answer.intrinsics[0], untold.intrinsics[0])


def test_priors_that_are_no_depths_say_nothing(adapter) -> None:
    plain = scene("a", (45, 61))
    prior = np.full((45, 61), np.nan, np.float32)
    (empty,) = adapter.predict([replace(plain, depth_prior_m=(prior,))], GEOMETRY)
    prior[::9, ::9], prior[1::9, ::9], prior[2::9, ::9] = np.inf, -1.0, 0.0
    (odd,) = adapter.predict([replace(plain, depth_prior_m=(prior,))], GEOMETRY)
    np.testing.assert_array_equal(odd.depth[0], empty.depth[0])


def test_words_that_were_never_learnt_have_an_answer_too(adapter) -> None:
    text, choice, empty = adapter.predict(
        [
            scene("text", (32, 32), question="Zebra quux 这是什么?"),
            scene("choice", (32, 32), question="Zebra?", choices=("zorp", "blip")),
            scene("empty", (32, 32), question="Which is it?", choices=("red", "")),
        ],
        frozenset({Want.ANSWER}),
    )
    assert isinstance(text.answer, str)
    assert choice.answer in ("zorp", "blip")
    assert empty.answer in ("red", "")


def test_refinements_and_sides_are_chosen(make, adapter) -> None:
    inputs = scene("a", (64, 64))
    depths = [
        make(**arguments).predict([inputs], GEOMETRY)[0].depth[0]
        for arguments in ({}, {"refinements": 0}, {"refinements": 2}, {"side": 64})
    ]
    assert len({depth.tobytes() for depth in depths}) == 4
    assert len(make(side=64).predict([inputs], GEOMETRY)[0].points) == 64 * 64


def test_half_precision_is_near_and_full_is_the_default(make, adapter) -> None:
    inputs = scene("a", (32, 32), **YES_NO)
    wants = GEOMETRY | WORDS
    full, auto, half = (
        make(dtype=dtype).predict([inputs], wants)[0] for dtype in ("float32", "auto", "bfloat16")
    )
    np.testing.assert_array_equal(full.depth[0], auto.depth[0])
    assert not np.array_equal(full.depth[0], half.depth[0])
    np.testing.assert_allclose(half.depth[0], full.depth[0], rtol=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "huge"}, "weights 'huge'.*train --config nano"),
        ({"dtype": "float16"}, "precision.*bfloat16"),
        ({"device": "cuda:99"}, "device.*cuda:99"),
        ({"refinements": -1}, "refinements"),
        ({"side": 4}, "side.*8 or more"),
    ],
)
def test_arguments_that_fit_nothing_are_one_line(make, arguments, words) -> None:
    with pytest.raises(BenchError, match=words) as error:
        make(**arguments)
    assert "\n" not in str(error.value)


def test_shipped_weights_are_found_by_name(make, tiny_reference, tmp_path, monkeypatch) -> None:
    from g2vlm_bench.reference import checkpoint

    shutil.copytree(tiny_reference, tmp_path / "nano")
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    found, named = make(weights="nano"), make()
    assert found.weights_hash == named.weights_hash
    assert found.checkpoint.startswith("nano@")
    config = tmp_path / "nano" / checkpoint.CONFIG
    config.write_text(config.read_text().replace('"refinements": 1', '"refinements": 2'))
    assert make(weights="nano").weights_hash != named.weights_hash


def small(toys: Plugins, name: str, **data: Any) -> Any:
    """A shipped world task, unpinned and of few and small scenes."""
    definition = toys.task(name)
    kept = {k: v for k, v in definition.data.items() if k not in ("rows", "content_hash", "n")}
    changed = kept | {"n": 2, "height": 32, "width": 32} | data
    return msgspec.structs.replace(definition, data=changed)


@pytest.mark.parametrize(
    "name",
    [
        "depth/world_rooms", "depth/world_roads", "point_map/world_rooms",
        "chamfer/world_rooms_2_views", "camera_pose/world_rooms", "spatial_qa/world",
        "spatial_qa/world_moving", "scene_language/world_description",
        "scene_language/world_grounding", "scene_language/world_text_to_scene",
        "scene_language/world_image_to_cloud", "consistency/world",
    ],
)  # fmt: skip
def test_every_family_can_score_it(toys: Plugins, tiny_reference: Path, tmp_path, name) -> None:
    options = Options(out=tmp_path, device="cpu")
    model = Model.load(toys, "g2vlm", {"weights": str(tiny_reference)}, options)
    folder, record = run(Task.load(toys, small(toys, name)), model, options)
    assert all(line.error is None for line in folder.predictions())
    assert record.counts["scored"] > 0
    assert record.adapter.weights_hash == model.adapter.weights_hash
