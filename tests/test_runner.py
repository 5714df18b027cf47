"""The loop: options, failures asked again, what a model claims and what protocols make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.runner import Model, NotApplicableError, Options
from g2vlm_bench.sample import Ambiguity, Prediction, Want

folders = load_module(Path(__file__).with_name("run_folders.py"))
lines_of = folders.lines_of


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"device": "gpu"}, "device: expected auto, cpu, cuda"),
        ({"device": "cuda:"}, "device"),
        ({"dtype": "f8"}, "dtype: expected auto, float32, bfloat16, float16, got 'f8'"),
        ({"limit": 0}, "limit: expected 1 or more"),
        ({"limit": -1}, "limit: expected 1 or more"),
        ({"batch_size": 0}, "batch_size: expected 1 or more"),
    ],
)
def test_an_option_without_meaning_is_refused_whatever_the_model(option, expected) -> None:
    with pytest.raises(BenchError, match=expected):
        Options(**option)


def test_failed_samples_are_asked_again_when_the_user_says_so(toys, toy_run) -> None:
    model = Model.load(toys, "troubled", {"how": "raises"}, Options())
    _, record = toy_run(model)
    assert record.counts == {"failed": 1, "scored": 5}
    asked = len(model.adapter.sizes)
    # Mended, and not asked: a failure is a result.
    model.adapter.on = "nobody"
    _, record = toy_run(model)
    assert (record.counts, len(model.adapter.sizes)) == ({"failed": 1, "scored": 5}, asked)

    folder, record = toy_run(model, retry_failed=True)
    assert (record.counts, record.retried, record.status) == ({"scored": 6}, 1, "complete")
    assert model.adapter.sizes[asked:] == [1]
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(6)]
    whole, perfect = toy_run("pixels", out=folder.path.parent.parent / "whole")
    assert [line["values"] for line in lines_of(folder.path)] == [
        line["values"] for line in lines_of(whole.path)
    ]
    assert msgspec.to_builtins(record.results) == msgspec.to_builtins(perfect.results)
    # Nothing is left to ask.
    _, record = toy_run(model, retry_failed=True)
    assert (record.retried, len(model.adapter.sizes)) == (1, asked + 1)


def test_what_fails_again_stays_failed_and_a_killed_retry_goes_on(toys, toy_run) -> None:
    model = Model.load(toys, "troubled", {"how": "raises", "on": "room-0"}, Options())
    toy_run(model)
    _, record = toy_run(model, retry_failed=True)
    assert (record.counts, record.retried) == ({"failed": 1, "scored": 5}, 1)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    model.adapter.predict, predict = stopped, model.adapter.predict
    with pytest.raises(KeyboardInterrupt):
        toy_run(model, retry_failed=True)
    model.adapter.predict, model.adapter.on = predict, "nobody"
    folder, record = toy_run(model)
    assert (record.counts, record.retried) == ({"scored": 6}, 2)
    assert [line.id for line in folder.predictions()] == [f"room-{i}" for i in range(6)]


def test_a_commit_while_a_run_goes_on_does_not_make_it_clean(toys, toy_run, checkout) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    predict = model.adapter.predict

    def committing(*arguments: Any) -> Any:
        checkout.move_to("b")
        return predict(*arguments)

    checkout.edit()
    model.adapter.predict = committing
    _, record = toy_run(model)
    for made in (record.environment, record.scored_with):
        assert (made.commit, made.dirty, made.other_commits) == ("a" * 40, True, ("b" * 40,))


def test_changes_made_while_a_run_goes_on_are_seen(toys, toy_run, checkout) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    predict = model.adapter.predict
    model.adapter.predict = lambda *given: checkout.edit() or predict(*given)
    _, record = toy_run(model)
    assert (record.environment.commit, record.environment.dirty) == ("a" * 40, True)


@pytest.mark.parametrize(("after", "kept"), [(2, True), (0, False)])
def test_a_run_that_goes_on_keeps_what_its_predictions_were_made_with(
    toys, toy_run, checkout, after, kept
) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    predict, calls = model.adapter.predict, iter(range(9))

    def stopped(*arguments: Any) -> Any:
        if next(calls) == after:
            raise KeyboardInterrupt
        return predict(*arguments)

    checkout.edit()
    model.adapter.predict = stopped
    with pytest.raises(KeyboardInterrupt):
        toy_run(model, batch_size=2)
    checkout.move_to("b")
    model.adapter.predict = predict
    folder, record = toy_run(model, batch_size=2)
    made, scored = record.environment, record.scored_with
    # Where nothing was predicted before, the run begins now.
    assert (made.commit[0], made.dirty) == (("a", True) if kept else ("b", False))
    assert made.other_commits == (("b" * 40,) if kept else ())
    assert (scored.commit[0], scored.dirty, scored.other_commits) == ("b", False, ())
    assert folder.read_record() == record


def test_a_model_that_predicts_something_else_is_told_so(toys, toy_run) -> None:
    with pytest.raises(
        NotApplicableError, match="expected a model that predicts depth, got answer"
    ):
        toy_run("hungry", task="toy/metres")


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        (Ambiguity.METRIC, set()),
        (Ambiguity.SCALE, {"abs_rel@metric", "delta1@metric"}),
    ],
)
def test_weaker_predictions_are_refused_by_stronger_protocols(
    toys, toy_run, declared, refused
) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = declared
    _, record = toy_run(model, task="toy/metres")
    assert set(record.refused) == refused
    assert {r.metric for r in record.results}.isdisjoint(refused)
    assert record.result("delta1@median_scale").value == 1.0


@pytest.mark.parametrize("declared", [Ambiguity.AFFINE, Ambiguity.AFFINE_DISPARITY])
def test_affine_predictions_take_no_part_where_every_protocol_refuses_them(
    toys, toy_run, declared
) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = declared
    with pytest.raises(NotApplicableError, match="refused by every protocol"):
        toy_run(model, task="toy/metres")


class _Says:
    """Change the ambiguity that a model says of one sample."""

    def __init__(self, predict: Any, said: Ambiguity) -> None:
        self.predict, self.said = predict, said

    def __call__(self, batch: Any, wants: Any) -> Any:
        answers = self.predict(batch, wants)
        return [
            Prediction(depth=a.depth, ambiguity=self.said if i.id == "room-1" else None)
            for i, a in zip(batch, answers, strict=True)
        ]


def test_one_weaker_prediction_fails_where_the_model_claims_more(toys, toy_run) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.predict = _Says(model.adapter.predict, Ambiguity.SCALE)
    _, record = toy_run(model, task="toy/metres")
    assert record.result("delta1@metric").value == pytest.approx(5 / 6)
    assert record.result("delta1@metric").n_failed == 1
    assert record.result("delta1@median_scale").value == 1.0


def test_one_stronger_prediction_is_not_scored_beyond_what_the_model_claims(toys, toy_run) -> None:
    model = Model.load(toys, "pixels", {}, Options())
    model.adapter.ambiguity = Ambiguity.SCALE
    model.adapter.predict = _Says(model.adapter.predict, Ambiguity.METRIC)
    folder, record = toy_run(model, task="toy/metres")
    assert {r.metric for r in record.results} == {"abs_rel@median_scale", "delta1@median_scale"}
    assert all(set(line.values) == {r.metric for r in record.results} for line in folder.samples())


def test_a_floor_that_cannot_be_fitted_leaves_no_run(toy_run, tmp_path) -> None:
    class Unfit(FittedAdapter):
        predicts = frozenset({Want.ANSWER})

        def fit(self, training):
            raise BenchError("floor", expected="depth", got="none")

        def predict(self, batch, wants):
            return []

    with pytest.raises(NotApplicableError, match="can be fitted on"):
        toy_run(Model("unfit", Unfit()))
    assert list((tmp_path / "runs").iterdir()) == []
