from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


def test_it_returns_the_perfect_prediction_itself(make) -> None:
    perfect = Prediction(answer="yes")
    assert make("oracle").distort(perfect, Inputs(id="a"), np.random.default_rng(0)) is perfect


def test_it_predicts_everything_in_metres(make) -> None:
    oracle = make("oracle")
    assert oracle.predicts == frozenset(Want)
    assert oracle.ambiguity is Ambiguity.METRIC


def test_it_has_no_predict(make) -> None:
    with pytest.raises(TypeError, match="distort"):
        make("oracle").predict([Inputs(id="a")], frozenset({Want.ANSWER}))
