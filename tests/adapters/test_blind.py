from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Drawing, Inputs, Turn, Want

SPY = '''"""Keeps what it is shown."""
from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Prediction, Want

class Spy(Adapter):
    predicts = frozenset({Want.ANSWER, Want.DEPTH})
    ambiguity = Ambiguity.SCALE
    checkpoint = "weights@1"
    weights_hash = "sha256:12"
    closed = False

    def predict(self, batch, wants):
        self.seen = (list(batch), wants)
        return [Prediction(answer=i.id) for i in batch]

    def close(self):
        self.closed = True
'''
ANSWER = frozenset({Want.ANSWER})


@pytest.fixture
def blind_spy(tmp_path: Path):
    (tmp_path / "spy.py").write_text(SPY)
    return Plugins.find(adapters_dirs=[tmp_path]).adapter("blind:spy", {}, {})


def test_the_model_sees_the_words_and_nothing_of_the_scene(blind_spy) -> None:
    depth = np.ones((4, 4), np.float32)
    inputs = Inputs(
        id="s1",
        images=(np.ones((4, 4, 3), np.uint8),),
        intrinsics=(np.eye(3),),
        world_from_camera=(np.eye(4),),
        depth_prior_m=(depth,),
        points=np.zeros((2, 3)),
        question="Which?",
        prompt="Which? (A) (B)",
        choices=("a", "b"),
        answer_type="choice",
        continuations=(" A", " B"),
        contexts=("It is", "Or is it"),
        max_new_tokens=9,
        stop=(".",),
        drawing=Drawing(temperature=0.7),
        earlier=(Turn(prompt="What?", images=(np.ones((4, 4, 3), np.uint8),), answer="a box"),),
        system="Look.",
        fields={"category": "support"},
    )
    predictions = blind_spy.predict([inputs], ANSWER)
    (seen,), wants = blind_spy.inner.seen
    shown = {f.name: getattr(seen, f.name) for f in dataclasses.fields(seen)}
    (turn,) = shown.pop("earlier")
    assert (turn.prompt, turn.images, turn.answer) == ("What?", (), "a box")
    # Spelled out: a field added to Inputs must be judged here.
    assert shown == {
        "id": "s1",
        "images": (),
        "intrinsics": None,
        "world_from_camera": None,
        "depth_prior_m": None,
        "points": None,
        "question": "Which?",
        "prompt": "Which? (A) (B)",
        "choices": ("a", "b"),
        "answer_type": "choice",
        "continuations": (" A", " B"),
        "contexts": ("It is", "Or is it"),
        "max_new_tokens": 9,
        "stop": (".",),
        "drawing": Drawing(temperature=0.7),
        "system": "Look.",
        "fields": {"category": "support"},
    }
    assert wants == ANSWER
    assert [p.answer for p in predictions] == ["s1"]
    assert len(inputs.images) == 1


def test_it_is_the_wrapped_model_in_all_else(blind_spy) -> None:
    assert blind_spy.ambiguity is Ambiguity.SCALE
    assert blind_spy.checkpoint == "weights@1"
    assert blind_spy.weights_hash == "sha256:12"
    blind_spy.close()
    assert blind_spy.inner.closed


def test_it_takes_part_where_answers_are_scored_only(blind_spy) -> None:
    assert blind_spy.predicts == ANSWER


def test_a_model_without_words_cannot_be_asked_blindly(make) -> None:
    with pytest.raises(BenchError, match=r"answers questions.*depth"):
        make("blind:constant_depth")


def test_it_needs_a_model(make) -> None:
    with pytest.raises(BenchError, match="no model to wrap"):
        make("blind")


def test_the_truth_cannot_be_wrapped(make) -> None:
    with pytest.raises(BenchError, match="reference row"):
        make("blind:oracle")
