"""Whatever an adapter does to one sample, its batch-mates are scored and no score is given away."""

from __future__ import annotations

import gc
import json
import types
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.predicting import check_prediction, rng_of
from g2vlm_bench.runner import Model, Options, Task, rescore, run
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Sample, Target, Want
from g2vlm_bench.task import Family

ANSWER = frozenset({Want.ANSWER})
# Everything that makes a depth prediction useless, and what the failure must say.
BAD_DEPTH = {
    "raises": "a model of two lines",
    "raises unshowable": "cannot be shown",
    "raises surrogate": r"file \udcff",
    "exits": "0",
    "too few": "expected 1 predictions, got 0",
    "too many": "expected 1 predictions, got 2",
    "nothing": "got NoneType",
    "text": "got str",
    "mapping": "got dict",
    "generator": "got generator",
    "none item": "got NoneType",
    "text item": "got str",
    "exception item": "the model said no",
    "exception class": "got type",
    "no depth, no answer": "expected a prediction with 'depth', got none",
    "nan": "",
    "inf": "",
    "too large for float32": "",
    "three channels": "(any, any), got (6, 8, 3)",
    "empty map": "(0, 8)",
    "objects": "dtype object",
    "words": "dtype <U",
    "complex": "dtype complex",
    "ragged": "",
    "gradient": "requires grad",
    "bare map": "got ndarray",
    "another view": "for 1 views, got 2",
    "bytes as answer": "got bytes",
    "answer cut in a surrogate": "expected 'answer' as text that is valid Unicode",
    "unknown ambiguity": "'sometimes' is not a valid Ambiguity",
}
BAD_ANSWER = {
    "number as answer": "got int",
    "empty answer": "could not convert",
    "raises": "a model of two lines",
    "exception item": "the model said no",
}


@pytest.mark.parametrize("how", BAD_DEPTH)
def test_bad_depth_fails_its_own_sample_only(toy_run, how) -> None:
    folder, record = toy_run("troubled", {"how": how}, task="toy/metres", batch_size=4)
    lines = {line.id: line for line in folder.samples()}
    assert record.status == "complete"
    assert record.counts == {"failed": 1, "scored": 5}
    for name, line in lines.items():
        if name != "room-2":
            assert line.values["abs_rel@metric"] == 0.0, name
            assert line.values["delta1@metric"] == 1.0, name
    failed = lines["room-2"]
    assert failed.status == "failed"
    assert failed.error is not None
    assert BAD_DEPTH[how] in failed.error.message
    # One of six at the worst value 0.
    assert record.result("delta1@metric").value == pytest.approx(5 / 6)
    assert record.result("delta1@metric").n_failed == 1
    assert record.result("abs_rel@metric").value is None, "an unbounded metric has no mean"


@pytest.mark.parametrize("how", BAD_ANSWER)
def test_bad_answer_fails_its_own_sample_only(toy_run, how) -> None:
    folder, record = toy_run("troubled", {"how": how}, batch_size=4)
    assert record.counts == {"failed": 1, "scored": 5}
    failed = next(line for line in folder.samples() if line.id == "room-2")
    assert BAD_ANSWER[how] in failed.error.message
    assert record.result("right@within0").value == pytest.approx(5 / 6)


@pytest.mark.parametrize("how", ["negative", "zero"])
def test_depth_at_or_behind_the_camera_is_as_wrong_as_it_can_be(toy_run, how) -> None:
    folder, record = toy_run("troubled", {"how": how}, task="toy/metres", batch_size=4)
    line = next(line for line in folder.samples() if line.id == "room-2")
    assert line.values["delta1@metric"] == 0.0
    assert line.values["abs_rel@metric"] == {"negative": 2.0, "zero": 1.0}[how]
    assert record.result("delta1@metric").value == pytest.approx(5 / 6)
    # No scale turns it into the truth, not even a negative one.
    assert line.values.get("abs_rel@median_scale") is None
    assert record.result("delta1@median_scale").n_failed == 1


def test_partly_invalid_depth_is_not_as_good_as_a_whole_one(toy_run) -> None:
    folder, record = toy_run("troubled", {"how": "some nan"}, task="toy/metres")
    line = next(line for line in folder.samples() if line.id == "room-2")
    assert record.result("delta1@metric").value < 1.0, line


def test_a_model_that_changes_its_inputs_gets_fresh_ones_when_it_is_asked_again(toy_run) -> None:
    folder, record = toy_run("troubled", {"how": "mutates, then raises"}, batch_size=4)
    assert record.counts == {"scored": 6}
    assert record.result("right@within0").value == 1.0, [line.values for line in folder.samples()]


def test_a_batch_halves_when_memory_runs_out_and_nothing_of_it_is_held(toys, toy_run) -> None:
    model = Model.load(toys, "hungry", {}, Options())
    _, record = toy_run(model, data={"n": 20}, batch_size=8)
    assert record.result("right@within0").value == 1.0
    # 8 fail and are asked one by one; 4 fail likewise; from then on two at a time.
    assert model.adapter.sizes == [8, *[1] * 8, 4, *[1] * 4, *[2] * 4]
    assert not any(model.adapter.still_alive), "a traceback held what had run out of memory"


def test_a_damaged_image_fails_alone_and_is_not_asked_for(toys, toy_run, tmp_path) -> None:
    log = tmp_path / "log"
    folder, record = toy_run("pixels", {"log": str(log)}, data={"damaged": [1]}, batch_size=4)
    assert record.counts == {"failed": 1, "scored": 5}
    failed = next(line for line in folder.samples() if line.status == "failed")
    assert (failed.id, failed.error.stage) == ("room-1", "inputs")
    assert failed.error.message == "room-1.png: expected an image, got half of one"
    assert log.read_text().splitlines() == [
        '["room-0", "room-2", "room-3"]',
        '["room-4", "room-5"]',
    ]


def test_a_batch_of_damaged_images_asks_nothing(toy_run, tmp_path) -> None:
    log = tmp_path / "log"
    _, record = toy_run("pixels", {"log": str(log)}, data={"n": 2, "damaged": [0, 1]})
    assert record.counts == {"failed": 2}
    assert record.result("right@within0").value == 0.0
    assert not log.exists()


def test_samples_without_truth_are_unscored_and_leave_the_denominator(toy_run) -> None:
    folder, record = toy_run(
        "troubled", {"how": "raises"}, data={"no_truth": [0], "lost_truth": [4]}
    )
    lines = {line.id: line for line in folder.samples()}
    assert record.counts == {"failed": 1, "scored": 3, "unscored": 2}
    assert lines["room-4"].error.message == "room-4.truth: expected a file, got none"
    result = record.result("right@within0")
    assert (result.value, result.n_scored, result.n_failed, result.n_unscored) == (0.75, 3, 1, 2)


def test_the_oracle_is_perfect_and_truth_that_is_lost_is_unscored(toy_run) -> None:
    _, record = toy_run("oracle", data={"lost_truth": [3]})
    assert record.counts == {"scored": 5, "unscored": 1}
    assert record.result("right@within0").value == 1.0


def test_randomness_depends_on_the_sample_alone(toy_run) -> None:
    one, _ = toy_run("scrambled", batch_size=1)
    four, _ = toy_run("scrambled", batch_size=4)
    assert [s.values for s in one.samples()] == [s.values for s in four.samples()]
    assert rng_of(0, "a").random() == rng_of(0, "a").random() != rng_of(0, "b").random()
    assert rng_of(1, "a").random() != rng_of(0, "a").random()


HALF = "\ud83d"


@pytest.mark.parametrize(
    ("field", "text", "fails"),
    [
        ("question", f"Is 3 {HALF} even?", ("inputs", "expected 'prompt' as text that is valid")),
        ("kind", HALF, ("score", "expected tags and details as JSON")),
        # The oracle says it.
        ("answer", f"no{HALF}", ("prediction", "expected 'answer' as text that is valid")),
    ],
)
def test_half_a_surrogate_pair_in_the_data_fails_its_own_sample_only(
    tmp_path, field, text, fails
) -> None:
    rows = [{"id": str(i), "question": f"Is {i} even?", "answer": "no"} for i in range(6)]
    rows = [row | {"kind": "parity"} for row in rows]
    rows[3][field] = text
    house = _house_of_questions(tmp_path, rows)
    options = Options(out=tmp_path / "runs", data_root=tmp_path, batch_size=4)
    task = Task.load(house, house.task("mine/parity"), tmp_path)
    folder, record = run(task, Model.load(house, "oracle", {}, options), options)
    assert (record.status, record.counts) == ("complete", {"failed": 1, "scored": 5})
    failed = next(line for line in folder.samples() if line.status == "failed")
    assert (failed.id, failed.error.stage) == ("3", fails[0])
    assert fails[1] in failed.error.message
    assert failed.tags["kind"] == (r"\ud83d" if field == "kind" else "parity")
    assert rescore(house, folder.path, tmp_path).counts == record.counts


def _house_of_questions(folder: Path, rows: list[dict[str, str]]) -> Plugins:
    (folder / "tasks" / "mine").mkdir(parents=True)
    (folder / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tasks" / "mine" / "parity.yaml").write_text(
        """
title: Parity
version: 1
family: spatial_qa
data:
  {format: qa_jsonl, root: ., questions: questions.jsonl, question: "{question}",
   answer: "{answer}", answer_type: text, id: "{id}", tags: {kind: "{kind}"}}
metrics: [accuracy]
headline: accuracy@strict
"""
    )
    return Plugins((folder / "tasks",), ())


def test_a_model_is_not_asked_what_could_not_be_recorded(toys, toy_run, monkeypatch) -> None:
    model = Model.load(toys, "hungry", {}, Options())
    honest = Family.prepare

    def prepare(family: Family, inputs: Inputs) -> Inputs:
        system = HALF if inputs.id == "room-2" else ""
        return replace(honest(family, inputs), system=system)

    monkeypatch.setattr(Family, "prepare", prepare)
    folder, record = toy_run(model, batch_size=6)
    assert record.counts == {"failed": 1, "scored": 5}
    failed = next(line for line in folder.samples() if line.status == "failed")
    assert (failed.id, failed.error.stage) == ("room-2", "inputs")
    assert "'system' as text that is valid Unicode" in failed.error.message
    assert model.adapter.sizes[0] == 5


def test_what_is_stored_is_a_copy_of_one_dtype() -> None:
    depth = np.full((2, 3), 2, np.int16)
    inputs = Inputs(id="a", images=(np.zeros((2, 3, 3), np.uint8),))
    given = Prediction(depth=(depth,), answer=np.str_("yes"), ambiguity="scale")  # type: ignore[arg-type]
    kept = check_prediction(given, inputs, ANSWER)
    assert kept.depth[0].dtype == np.float32
    assert not np.shares_memory(kept.depth[0], depth)
    assert type(kept.answer) is str, "numpy's own text cannot be written as JSON"
    assert kept.ambiguity is Ambiguity.SCALE


@pytest.mark.parametrize(
    ("maps", "says"),
    [
        ((np.ones((2, 3)),), r"'point_maps' of shape \(any, any, 3\), got \(2, 3\)"),
        ((np.ones((2, 3, 4)),), r"'point_maps' of shape \(any, any, 3\), got \(2, 3, 4\)"),
        ((np.ones((2, 3, 3)),) * 2, "'point_maps' for 1 views, got 2"),
        (None, "a prediction with 'point_maps', got none"),
    ],
)
def test_point_maps_are_checked(maps, says) -> None:
    inputs = Inputs(id="a", images=(np.zeros((2, 3, 3), np.uint8),))
    wants = frozenset({Want.POINT_MAPS})
    good = check_prediction(Prediction(point_maps=(np.ones((2, 3, 3)),)), inputs, wants)
    assert good.point_maps[0].dtype == np.float32
    with pytest.raises(ValueError, match=says):
        check_prediction(Prediction(point_maps=maps), inputs, wants)


@pytest.mark.parametrize("task", ["toy/echo", "toy/metres"])
def test_an_adapter_can_reach_no_truth(toys, toy_task, toy_run, task) -> None:
    spy = Model.load(toys, "spy", {}, Options())
    toy_run(spy, task=task, batch_size=4)
    _assert_no_truth(spy.adapter.handed, toy_task(task).dataset.samples)
    assert sum(len(batch) for batch, _ in spy.adapter.handed) == 6


@pytest.mark.parametrize(
    "name", ["depth/world_rooms", "chamfer/world_rooms", "spatial_qa/world_rooms"]
)
def test_inputs_of_shipped_tasks_hold_no_truth(name) -> None:
    plugins = Plugins()
    task = Task.load(plugins, plugins.task(name))
    samples = task.dataset.samples[:2]
    inputs = [task.family.prepare(sample.load_inputs()) for sample in samples]
    _assert_no_truth(inputs, samples)


def test_the_search_for_truth_would_find_it(toy_task) -> None:
    sample = toy_task().dataset.samples[0]
    target = sample.load_target()
    hidden = lambda: target  # noqa: E731 - a closure is one of the places to look in
    image = np.zeros((6, 8, 3), np.float32)
    image[..., 1] = target.depth_m[0]
    for smuggled in ([target], [sample], [hidden], [{"x": (image[..., 1],)}], [image]):
        with pytest.raises(AssertionError):
            _assert_no_truth(smuggled, [sample])


def _assert_no_truth(handed: Any, samples: Iterable[Sample]) -> None:
    truths = [array for sample in samples for array in _arrays(sample.load_target())]
    for thing in _reachable(handed):
        assert not isinstance(thing, Target | Sample), f"reached a {type(thing).__name__}"
        if isinstance(thing, np.ndarray):
            for truth in truths:
                planes = [thing]
                if thing.ndim == truth.ndim + 1 and thing.dtype.kind == "f":
                    planes = list(np.moveaxis(thing, -1, 0))
                for plane in planes:
                    same = plane.shape == truth.shape and plane.dtype.kind == truth.dtype.kind
                    assert not (same and np.array_equal(plane, truth, equal_nan=True)), "the truth"


def _arrays(target: Target) -> list[np.ndarray]:
    return [thing for thing in _reachable(target) if isinstance(thing, np.ndarray)]


def _reachable(start: Any) -> list[Any]:
    """Everything that is held, however deep; what merely exists in modules is not handed over."""
    apart = (type, types.ModuleType, types.CodeType)
    seen: dict[int, Any] = {}
    todo = [start]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, apart):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, types.FunctionType):
            todo += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
        elif isinstance(thing, np.ndarray):
            todo.append(thing.base)
        else:
            todo += gc.get_referents(thing)
    return list(seen.values())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"masks": (np.ones((2, 3)),)}, "'masks' as bool arrays, got another dtype"),
        ({"masks": (np.ones(3, bool),)}, r"'masks' of shape \(any, any\), got \(3,\)"),
        ({"masks": (np.ones((2, 3), bool),) * 2}, "'masks' for 1 views, got 2"),
        ({"location": np.ones(2)}, r"'location' of shape \(3\), got \(2,\)"),
        ({"embedding": np.ones((1, 4))}, r"'embedding' of shape \(any\), got \(1, 4\)"),
    ],
)
def test_masks_locations_and_embeddings_are_checked(given, says) -> None:
    inputs = Inputs(id="a", images=(np.zeros((2, 3, 3), np.uint8),))
    good = Prediction(masks=(np.eye(3, dtype=bool),), location=[1, 2, 3], embedding=[1, 2])
    checked = check_prediction(good, inputs, frozenset({Want.MASKS, Want.LOCATION, Want.EMBEDDING}))
    assert checked.masks[0].dtype == np.bool_
    assert checked.location.dtype == checked.embedding.dtype == np.float64
    with pytest.raises((TypeError, ValueError), match=says):
        check_prediction(Prediction(**given), inputs, frozenset())
