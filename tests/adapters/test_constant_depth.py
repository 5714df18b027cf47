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


def test_a_camera_comes_along_where_it_is_asked_for(make, view) -> None:
    adapter = make("constant_depth")
    given = np.array([[10.0, 0, 4], [0, 10.0, 3], [0, 0, 1]])
    told = adapter.predict([view(6, 8, intrinsics=(given,))], adapter.predicts)[0]
    np.testing.assert_array_equal(told.intrinsics[0], given)
    assumed = adapter.predict([view(6, 8)], adapter.predicts)[0]
    focal = 4 / np.tan(np.radians(32.5))  # half of the longer side, 8, at 65 degrees
    np.testing.assert_allclose(assumed.intrinsics[0], [[focal, 0, 4], [0, focal, 3], [0, 0, 1]])
    assert adapter.predict([view(6, 8)], DEPTH)[0].intrinsics is None


def test_it_claims_metric_depth_a_camera_and_nothing_else(make) -> None:
    adapter = make("constant_depth")
    assert adapter.predicts == DEPTH | {Want.INTRINSICS}
    assert adapter.ambiguity is Ambiguity.METRIC


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_constant_that_is_no_depth_is_refused(make, bad) -> None:
    with pytest.raises(BenchError, match=r"depth_m.*positive"):
        make("constant_depth", depth_m=bad)


def test_an_unknown_argument_is_refused_by_name(make) -> None:
    with pytest.raises(BenchError, match=r"'depth'.*Did you mean 'depth_m'"):
        make("constant_depth", depth=2.0)
