"""Turns of one talk: never in one batch, and each hears what the model itself said before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.sample import Inputs, Prediction, Sample, Target, Turn, Want
from g2vlm_bench.talks import Talks, next_batch

standins = load_module(Path(__file__).with_name("data") / "standins.py")


def sample(name: str, after: str = "") -> Sample:
    return Sample(
        id=name,
        cluster=name,
        load_inputs=lambda: Inputs(id=name, question=name),
        load_target=Target,
        after=after,
    )


def test_a_batch_ends_before_a_turn_whose_turn_before_is_in_it() -> None:
    pending = [sample("a"), sample("b"), sample("a2", "a"), sample("b2", "b"), sample("c")]
    assert [one.id for one in next_batch(pending, 16)] == ["a", "b"]
    assert [one.id for one in next_batch(pending[2:], 16)] == ["a2", "b2", "c"]
    assert [one.id for one in next_batch(pending[2:], 1)] == ["a2"]
    assert next_batch([], 4) == []


def test_the_turns_before_with_what_was_answered() -> None:
    turns = [sample("1"), sample("2", "1"), sample("3", "2")]
    talks = Talks.of(turns)
    assert set(talks.samples) == {"1", "2"}
    talks.remember("1", "one")
    talks.remember("2", None)
    talks.remember("3", "of no use to anyone")
    assert [(one.id, said) for one, said in talks.before(turns[2])] == [("1", "one"), ("2", "")]
    assert talks.before(turns[0]) == []
    with pytest.raises(BenchError, match="expected an answer to '4', the turn before, got none"):
        talks.before(sample("5", "4"))


class Listening(Adapter):
    """Says how many turns it heard, and what it said in the last one."""

    predicts = frozenset({Want.ANSWER})

    def __init__(self) -> None:
        self.heard: dict[str, tuple[Turn, ...]] = {}
        self.batches: list[list[str]] = []

    def predict(self, inputs: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        self.batches.append([one.id for one in inputs])
        self.heard |= {one.id: one.earlier for one in inputs}
        return [Prediction(answer=f"{one.id} after {len(one.earlier)}") for one in inputs]


def talk(tmp_path: Path) -> Task:
    if not (tmp_path / "ost_bench").exists():
        standins.ost(tmp_path / "ost_bench")
    return Task.load(Plugins(), Plugins().task("spatial_qa/ost_bench"), tmp_path)


def test_a_model_hears_itself_and_sees_the_earlier_pictures(tmp_path: Path) -> None:
    adapter = Listening()
    folder, _ = run(talk(tmp_path), Model("listening", adapter), Options(out=tmp_path / "runs"))
    assert adapter.batches == [["0", "3"], ["1", "4"], ["2", "5"]]
    last = adapter.heard["5"]
    assert [turn.answer for turn in last] == ["3 after 0", "4 after 1"]
    assert [len(turn.images) for turn in last] == [2, 2]
    assert last[0].prompt == "You walk through a room.<image><image>Turn 0: what now?"
    assert adapter.heard["0"] == ()
    prompts = {line.id: line.prompt for line in folder.predictions()}
    assert prompts["5"] == "You walk through a room.<image><image>Turn 2: what now?"


def test_who_is_shown_another_scene_does_not_see_its_own_in_earlier_turns(tmp_path: Path) -> None:
    class Shuffled(Listening):
        swapped = "scene"

    adapter = Shuffled()
    run(talk(tmp_path), Model("shuffled", adapter), Options(out=tmp_path / "runs"))
    assert [turn.images for turn in adapter.heard["5"]] == [(), ()]
    assert [turn.answer for turn in adapter.heard["5"]] == ["3 after 0", "4 after 1"]


def test_a_talk_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    class Cut(Listening):
        def predict(self, inputs, wants):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            return super().predict(inputs, wants)

    task, options = talk(tmp_path), Options(out=tmp_path / "runs")
    with pytest.raises(KeyboardInterrupt):
        run(task, Model("listening", Cut()), options)
    adapter = Listening()
    run(task, Model("listening", adapter), options)
    assert adapter.batches == [["1", "4"], ["2", "5"]]
    assert [turn.answer for turn in adapter.heard["2"]] == ["0 after 0", "1 after 1"]


def test_a_failed_turn_is_heard_as_silence(tmp_path: Path) -> None:
    class Failing(Listening):
        def predict(self, inputs, wants):
            if any(one.id == "0" for one in inputs):
                raise ValueError("no")
            return super().predict(inputs, wants)

    adapter = Failing()
    _, record = run(talk(tmp_path), Model("failing", adapter), Options(out=tmp_path / "runs"))
    assert adapter.heard["1"][0].answer == ""
    assert record.counts["failed"] == 1


def test_a_turn_that_is_asked_again_has_the_later_ones_asked_again(tmp_path: Path) -> None:
    class Failing(Listening):
        mended = False

        def predict(self, inputs, wants):
            if not self.mended and any(one.id == "1" for one in inputs):
                raise ValueError("no")
            return super().predict(inputs, wants)

    task, adapter = talk(tmp_path), Failing()
    run(task, Model("failing", adapter), Options(out=tmp_path / "runs"))
    adapter.mended, adapter.batches = True, []
    again = Options(out=tmp_path / "runs", retry_failed=True)
    folder, record = run(task, Model("failing", adapter), again)
    # "2" heard the silence of "1"; the other talk, "3" to "5", is left as it was.
    assert adapter.batches == [["1"], ["2"]]
    assert [turn.answer for turn in adapter.heard["2"]] == ["0 after 0", "1 after 1"]
    assert "failed" not in record.counts
    assert record.retried == 2
    assert [line.id for line in folder.predictions()] == [one.id for one in task.dataset.samples]


def test_readers_without_talks_have_none() -> None:
    assert Reader.keeps_record is None
    assert Talks.of([sample("a"), sample("b")]).samples == {}
