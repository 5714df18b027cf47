"""The floor of camera pose: one pose for every view, whatever is seen."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.predicting import check_prediction
from g2vlm_bench.sample import Ambiguity, Want

WANTS = frozenset({Want.POSES})


def test_every_view_stands_at_the_first_camera(make, view) -> None:
    adapter = make("static_camera")
    assert (adapter.predicts, adapter.ambiguity) == (WANTS, Ambiguity.METRIC)
    inputs = [view(views=views, id=str(views)) for views in (1, 2, 5)]
    for one, answer in zip(inputs, adapter.predict(inputs, WANTS), strict=True):
        checked = check_prediction(answer, one, WANTS)
        assert len(checked.world_from_camera) == len(one.images)
        for pose in checked.world_from_camera:
            np.testing.assert_array_equal(pose, np.eye(4))


def test_views_share_no_array(make, view) -> None:
    (answer,) = make("static_camera").predict([view(views=2)], WANTS)
    answer.world_from_camera[0][0, 3] = 9
    assert answer.world_from_camera[1][0, 3] == 0


def test_it_takes_no_arguments(make) -> None:
    with pytest.raises(BenchError, match="known arguments"):
        make("static_camera", noise=1)
