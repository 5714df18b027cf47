"""shuffled:MODEL, from the command's point of view: right words, another scene's pictures."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.runner import NotApplicableError
from g2vlm_bench.sample import Inputs, Sample, Target, Turn
from g2vlm_bench.shuffling import partners, showing


def samples(*scenes: str) -> list[Sample]:
    return [
        Sample(id=f"s{i}", cluster=scene, load_inputs=lambda: Inputs(id=""), load_target=Target)
        for i, scene in enumerate(scenes)
    ]


def test_every_sample_gets_one_of_another_scene() -> None:
    given = samples(*"aaabbcdd")
    found = partners(given, seed=0)
    assert set(found) == {sample.id for sample in given}
    for sample in given:
        assert found[sample.id].cluster != sample.cluster
    by_scene = {s.cluster: {found[o.id].cluster for o in given if o.cluster == s.cluster}
                for s in given}  # fmt: skip
    # One scene for all questions of a scene, and each scene for one other.
    assert sorted(len(shown) for shown in by_scene.values()) == [1] * 4
    assert set().union(*by_scene.values()) == set("abcd")


def test_partners_follow_from_the_seed_alone() -> None:
    given = samples(*"aabbccddeeff")
    one, again, other = ({k: v.id for k, v in partners(given, seed).items()} for seed in (1, 1, 2))
    assert one == again
    assert one != other
    backwards = {k: v.cluster for k, v in partners(given[::-1], 1).items()}
    assert backwards == {k: v.cluster for k, v in partners(given, 1).items()}


def test_one_scene_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="two scenes or more, got 1"):
        partners(samples("a", "a"), 0)


def test_all_that_shows_the_scene_is_the_others() -> None:
    def view(value: int) -> np.ndarray:
        return np.full((2, 2, 3), value, np.uint8)

    own = Inputs(
        id="own", question="Which?", images=(view(1), view(2), view(3)), choices=("a", "b"),
        points=np.ones((1, 3)), earlier=(Turn(prompt="What?", images=(view(9),)),),
    )  # fmt: skip
    other = Inputs(
        id="other", question="Who?", images=(view(7), view(8)),
        intrinsics=(np.eye(3), 2 * np.eye(3)),
    )  # fmt: skip
    shown = showing(own, other)
    assert (shown.id, shown.question, shown.choices) == ("own", "Which?", ("a", "b"))
    assert [int(image[0, 0, 0]) for image in shown.images] == [7, 8, 7]
    assert [float(k[0, 0]) for k in shown.intrinsics or ()] == [1, 2, 1]
    assert shown.points is None
    assert [turn.images for turn in shown.earlier] == [()]
    with pytest.raises(ValueError, match="another sample's images, got none"):
        showing(own, Inputs(id="text"))


def test_the_runner_shows_another_scene(toy_run) -> None:
    # A toy sample's answer is the value of its pixels, two samples a house.
    plain, _ = toy_run("pixels")
    said = {line.id: plain.load_prediction(line).answer for line in plain.predictions()}
    answers = {}
    for size in (1, 4):
        folder, record = toy_run("shuffled:pixels", batch_size=size)
        assert record.adapter.label == "shuffled:pixels"
        answers[size] = {
            line.id: folder.load_prediction(line).answer for line in folder.predictions()
        }
    assert answers[1] == answers[4]
    assert set(answers[1].values()) <= set(said.values())
    assert all(answers[1][name] != said[name] for name in said)


def test_one_sample_is_not_for_it(toy_run, tmp_path) -> None:
    with pytest.raises(NotApplicableError, match=r"shuffled:pixels on toy/echo.*two scenes"):
        toy_run("shuffled:pixels", limit=1)
    assert not list((tmp_path / "runs").iterdir())


def test_it_takes_part_where_answers_are_scored_only(make) -> None:
    with pytest.raises(BenchError, match="answers questions"):
        make("shuffled:constant_depth")
