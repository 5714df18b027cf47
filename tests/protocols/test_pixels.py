"""Which pixels count: each part alone is tested where it is; here what they do together."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.lifting import thinned
from g2vlm_bench.metrics.depth import crop_mask
from g2vlm_bench.protocols.pixels import counted_pixels

DEPTH = np.random.default_rng(0).uniform(1, 100, (375, 1242)).astype(np.float32)


def test_fewer_pixels_are_left_of_those_that_count_otherwise() -> None:
    inside = crop_mask(375, 1242, "garg") & (DEPTH < 80) & (DEPTH > 2)
    range_m = {"min_depth_m": 2, "max_depth_m": 80}
    np.testing.assert_array_equal(counted_pixels(DEPTH, crop="garg", **range_m), inside)
    some = counted_pixels(DEPTH, crop="garg", at_most=20_000, **range_m)
    np.testing.assert_array_equal(some, inside & thinned(inside, 20_000))
    assert some.sum() == pytest.approx(20_000, rel=0.02)


def test_the_grid_is_of_the_benchmark_frame_where_the_crop_is() -> None:
    """As UniDepth and UniK3D, which cut KITTI's frames before anything else."""
    frame = DEPTH[375 - 352 :, 13 : 13 + 1216]
    inside = crop_mask(352, 1216, "garg") & (frame < 80)
    expected = np.zeros(DEPTH.shape, bool)
    expected[375 - 352 :, 13 : 13 + 1216] = inside & thinned(inside, 20_000)
    found = counted_pixels(DEPTH, max_depth_m=80, crop="garg_kb", at_most=20_000)
    np.testing.assert_array_equal(found, expected)
    whole = counted_pixels(DEPTH, max_depth_m=80, crop="garg_kb")
    assert (found != whole & thinned(whole, 20_000)).any()
