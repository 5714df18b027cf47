from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, Want

DEPTH = frozenset({Want.DEPTH})


def test_every_pixel_of_every_view_is_two_metres(make, view) -> None:
    (prediction,) = make("constant_depth").predict([view(4, 5, views=2)], DEPTH)
    assert len(prediction.depth) == 2
    for depth in prediction.depth:
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, np.full((4, 5), 2.0))


def test_the_constant_is_an_argument(make, view) -> None:
    (prediction,) = make("constant_depth", depth_m=7.5).predict([view()], DEPTH)
    assert set(prediction.depth[0].flat) == {7.5}


def test_images_of_a_batch_keep_their_sizes(make, view) -> None:
    small, large = make("constant_depth").predict([view(2, 3), view(5, 4)], DEPTH)
    assert (small.depth[0].shape, large.depth[0].shape) == ((2, 3), (5, 4))


def test_it_claims_metric_depth_and_nothing_else(make) -> None:
    adapter = make("constant_depth")
    assert adapter.predicts == DEPTH
    assert adapter.ambiguity is Ambiguity.METRIC


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_constant_that_is_no_depth_is_refused(make, bad) -> None:
    with pytest.raises(BenchError, match=r"depth_m.*positive"):
        make("constant_depth", depth_m=bad)


def test_an_unknown_argument_is_refused_by_name(make) -> None:
    with pytest.raises(BenchError, match=r"'depth'.*Did you mean 'depth_m'"):
        make("constant_depth", depth=2.0)
