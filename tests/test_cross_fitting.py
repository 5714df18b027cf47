"""A floor without a training split is fitted on other scenes only, kind by kind."""

from __future__ import annotations

import pytest

from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.cross_fitting import CrossFitted
from g2vlm_bench.errors import BenchError
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
    fitted = CrossFitted(Spy(), samples)
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
    majority = CrossFitted(Plugins().adapter("majority", {}, {}), samples)
    assert {said(majority, f"n{i}") for i in range(6)} == {"left"}
    assert {said(majority, f"f{i}") for i in range(6)} == {"right"}
    assert said(majority, "once") in ANSWERS  # by all kinds of the other scenes


@pytest.mark.parametrize(
    "samples",
    [
        [sample("a", "one", "left"), sample("b", "one", "right")],
        [sample("a", "one", ""), sample("b", "two", None)],
    ],
)
def test_what_nothing_can_be_fitted_on_is_refused(samples) -> None:
    with pytest.raises(BenchError, match="expected answers in two scenes"):
        CrossFitted(Spy(), samples)
