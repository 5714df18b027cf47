"""What holds for every floor: blind to pixels and truth, the same in every batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.adapter import Adapter, FittedAdapter, TruthAdapter
from g2vlm_bench.plugins import Plugins, docstring, load_class
from g2vlm_bench.predicting import Predictor
from g2vlm_bench.sample import Inputs, Prediction, Sample, SampleScore, Target, Want
from g2vlm_bench.store import RunFolder
from g2vlm_bench.task import Family, TaskDefinition

FLOORS = ("constant_depth", "mean_depth", "plane", "static_camera", "majority", "chance")
REFERENCES = ("oracle", "scrambled")


def test_floors_and_wrappers_that_hide_the_scene_are_floors_and_nothing_else_is() -> None:
    plugins = Plugins()
    known = {name: plugins.path("adapter", name) for name in plugins.names("adapter")}
    marked = {name for name, path in known.items() if load_class(path, Adapter).is_floor}
    assert marked == {*FLOORS, "blind", "shuffled", "misheard"}


def batch() -> list[Inputs]:
    rng = np.random.default_rng(0)
    kinds = ("choice", "yes_no", "number", "text")
    return [
        Inputs(
            id=f"s{index}",
            images=(rng.integers(0, 255, (6 + index, 8, 3), dtype=np.uint8),),
            choices=("left", "right") if index % 4 == 0 else (),
            answer_type=kinds[index % 4],
        )
        for index in range(8)
    ]


def training() -> list[tuple[Inputs, Target]]:
    rng = np.random.default_rng(1)
    answers = {"choice": "left", "yes_no": "no", "number": 2.5, "text": "chair"}
    return [
        (
            replace(inputs, id=f"training {inputs.id}"),
            Target(
                depth_m=(rng.uniform(1, 5, (30, 40)).astype(np.float32),),
                answer=answers[inputs.answer_type],
                choices=inputs.choices,
                answer_type=inputs.answer_type,
            ),
        )
        for inputs in batch()
    ]


def fitted(make, name: str) -> Adapter:
    adapter = make(name)
    if isinstance(adapter, FittedAdapter):
        adapter.fit(iter(training()))
    return adapter


def same(one: Prediction, other: Prediction) -> bool:
    def equal(a, b) -> bool:
        return (a is None and b is None) or bool(np.array_equal(a, b))

    return (
        one.answer == other.answer
        and equal(one.choice_loglikelihoods, other.choice_loglikelihoods)
        and all(map(equal, one.depth or (), other.depth or ()))
    )


@pytest.mark.parametrize("name", FLOORS)
def test_the_split_into_batches_does_not_matter(make, name) -> None:
    inputs = batch()
    whole = fitted(make, name).predict(inputs, make(name).predicts)
    adapter = fitted(make, name)
    parts = [*adapter.predict(inputs[5:], adapter.predicts)]
    parts = [*adapter.predict(inputs[:5], adapter.predicts), *parts]
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("name", FLOORS)
def test_pixels_do_not_matter_and_stay_as_they_are(make, name) -> None:
    adapter = fitted(make, name)
    inputs = batch()
    for one in inputs:
        one.images[0].flags.writeable = False
    dark = [replace(one, images=(np.zeros_like(one.images[0]),)) for one in inputs]
    seen, unseen = (adapter.predict(b, adapter.predicts) for b in (inputs, dark))
    assert all(same(a, b) for a, b in zip(seen, unseen, strict=True))


@pytest.mark.parametrize("name", [*FLOORS, *REFERENCES, "blind", "files"])
def test_the_list_shows_a_line_about_it(name) -> None:
    path = Plugins().path("adapter", name)
    summary = (docstring(path) or "").splitlines()[0]
    assert 20 < len(summary) <= 100
    assert summary.endswith(".")


class Guessing(Family):
    """A family that would notice a look at the truth."""

    known_metrics = ("m",)
    wants = (frozenset({Want.ANSWER}),)

    def truth(self, target: Target) -> Prediction:
        return Prediction(answer=str(target.answer), depth=target.depth_m)

    def score(self, target, prediction, ambiguity) -> SampleScore:
        raise AssertionError


@pytest.mark.parametrize("name", [*FLOORS, *REFERENCES])
def test_only_reference_rows_ever_see_the_truth(make, tmp_path: Path, name) -> None:
    looked = []

    def look() -> Target:
        looked.append(name)
        return Target(answer="yes", depth_m=(np.ones((6, 8), np.float32),))

    samples = [
        Sample(id=one.id, cluster="c", load_inputs=lambda one=one: one, load_target=look)
        for one in batch()
    ]
    adapter = fitted(make, name)
    definition = TaskDefinition(
        name="t/t", version=1, family="t", data={}, metrics=["m"], headline="m"
    )
    folder = RunFolder(tmp_path / "run")
    with folder:
        Predictor(adapter, Guessing(definition), adapter.predicts, batch_size=3, seed=0).run(
            folder, samples, lambda count: None
        )
        assert len(list(folder.predictions())) == len(samples)
    assert bool(looked) == isinstance(adapter, TruthAdapter)
