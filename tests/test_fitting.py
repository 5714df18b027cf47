"""A floor of answers is fitted kind by kind, and never on the scene that is asked about."""

from __future__ import annotations

import pytest

from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.fitting import FittedByKind
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Inputs, Prediction, Sample, Target, Want

WANTS = frozenset({Want.ANSWER})
ANSWERS = ("left", "right")


class Spy(FittedAdapter):
    """Says which answers it was fitted on."""

    predicts = WANTS
    needs_images = False

    def fit(self, training) -> None:
        self.seen = [str(target.answer) for _, target in training]

    def predict(self, batch, wants):
        return [Prediction(answer=" ".join(self.seen)) for _ in batch]


def sample(name: str, cluster: str, answer: str | None, kind: str = "") -> Sample:
    def unopened() -> Inputs:
        raise AssertionError("no image is opened for a fit")

    target = Target(answer=answer, answer_type="choice", choices=ANSWERS, question_type=kind)
    return Sample(id=name, cluster=cluster, load_inputs=unopened, load_target=lambda: target)


def said(adapter, name: str) -> str:
    inputs = Inputs(id=name, answer_type="choice", choices=ANSWERS)
    return adapter.predict([inputs], WANTS)[0].answer


def test_nothing_of_the_asked_scene_has_a_part() -> None:
    samples = [sample(f"{c}{i}", f"scene {c}", f"{c}{i}") for c in range(23) for i in range(3)]
    fitted = FittedByKind(Spy(), samples)
    seen_by = {one.id: set(said(fitted, one.id).split()) for one in samples}
    for c in range(23):
        for i in range(3):
            seen = seen_by[f"{c}{i}"]
            assert not seen & {f"{c}{j}" for j in range(3)}
    # Every scene of the other half: 23 scenes are dealt as 12 and 11.
    assert {len(seen) for seen in seen_by.values()} == {33, 36}


def test_a_kind_is_fitted_on_its_own_kind_where_other_scenes_show_it() -> None:
    samples = [sample(f"n{i}", f"s{i}", "left", "near") for i in range(6)]
    samples += [sample(f"f{i}", f"s{i}", "right", "far") for i in range(6)]
    samples += [sample("once", "s0", "right", "rare")]
    majority = FittedByKind(Plugins().adapter("majority", {}, {}), samples)
    assert {said(majority, f"n{i}") for i in range(6)} == {"left"}
    assert {said(majority, f"f{i}") for i in range(6)} == {"right"}
    assert said(majority, "once") in ANSWERS  # by all kinds of the other scenes


def tagged(name: str, cluster: str, metres: float, family: str) -> Sample:
    target = Target(answer=metres, answer_type="number", unit="m")
    tags = {"family": family}
    return Sample(
        id=name, cluster=cluster, load_inputs=Inputs, load_target=lambda: target, tags=tags
    )


def test_a_training_split_is_fitted_kind_by_kind_too() -> None:
    training = [tagged(f"h{i}", f"t{i}", 0.5 + i / 10, "height") for i in range(3)]
    training += [tagged(f"d{i}", f"t{i}", 3.0 + i, "distance") for i in range(5)]
    # What is asked has answers of its own, which have no part in what is said.
    asked = [tagged(f"{kind}0", "s0", 99.0, kind) for kind in ("height", "distance", "width")]
    majority = FittedByKind(Plugins().adapter("majority", {}, {}), asked, training)
    heard = [
        majority.predict([Inputs(id=one.id, answer_type="number")], WANTS)[0].answer
        for one in asked
    ]
    # The medians of heights, of distances, and of all for a kind that training does not show.
    assert [float(answer) for answer in heard] == [0.6, 5.0, 3.5]


def test_a_kind_asked_in_another_form_is_fitted_on_that_form() -> None:
    training = [tagged(f"d{i}", f"t{i}", 3.0, "distance") for i in range(5)]
    asked = [sample("a", "one", "left", "distance")]
    training += [sample("t9", "t9", "right", "direction")]
    majority = FittedByKind(Plugins().adapter("majority", {}, {}), asked, training)
    assert said(majority, "a") == "right"


def test_a_training_split_without_answers_is_refused() -> None:
    asked = [sample("a", "one", "left"), sample("b", "two", "right")]
    with pytest.raises(BenchError, match="training split: expected answers to count, got none"):
        FittedByKind(Spy(), asked, [sample("t", "three", None)])


@pytest.mark.parametrize(
    "samples",
    [
        [sample("a", "one", "left"), sample("b", "one", "right")],
        [sample("a", "one", ""), sample("b", "two", None)],
    ],
)
def test_what_nothing_can_be_fitted_on_is_refused(samples) -> None:
    with pytest.raises(BenchError, match="expected answers in two scenes"):
        FittedByKind(Spy(), samples)
