from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Target, Want

DEPTH = frozenset({Want.DEPTH})
SCENE = Inputs(id="training")


def fitted(make, *maps: np.ndarray):
    adapter = make("mean_depth")
    adapter.fit((SCENE, Target(depth_m=(depth.astype(np.float32),))) for depth in maps)
    return adapter


def test_the_mean_of_constant_maps(make, view) -> None:
    adapter = fitted(make, np.full((48, 64), 2.0), np.full((48, 64), 5.0))
    (prediction,) = adapter.predict([view(30, 40)], DEPTH)
    # (2 + 5) / 2
    np.testing.assert_allclose(prediction.depth[0], 3.5)
    assert prediction.depth[0].dtype == np.float32
    assert prediction.depth[0].shape == (30, 40)


def test_every_map_counts_alike_whatever_its_size(make, view) -> None:
    adapter = fitted(make, np.full((480, 640), 2.0), np.full((24, 32), 5.0))
    np.testing.assert_allclose(adapter.predict([view()], DEPTH)[0].depth[0], 3.5)


def test_invalid_pixels_do_not_count(make, view) -> None:
    half = np.full((48, 64), 2.0)
    half[::2] = np.nan  # every cell keeps valid pixels
    half[1, 1] = 0.0
    half[3, 3] = np.inf
    np.testing.assert_allclose(fitted(make, half).predict([view()], DEPTH)[0].depth[0], 2.0)


def test_a_cell_without_truth_gets_the_mean_of_the_others(make, view) -> None:
    depth = np.full((24, 32), np.nan)
    depth[:12, :16], depth[:12, 16:] = 2.0, 6.0  # the lower half was never seen
    (prediction,) = fitted(make, depth).predict([view(24, 32)], DEPTH)
    np.testing.assert_allclose(prediction.depth[0][12:], 4.0)  # (2 + 6) / 2
    np.testing.assert_allclose(prediction.depth[0][:12, :16], 2.0)


def test_the_grid_is_returned_at_its_own_size(make, view) -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (24, 32))
    (prediction,) = fitted(make, depth).predict([view(24, 32)], DEPTH)
    np.testing.assert_allclose(prediction.depth[0], depth, rtol=1e-6)


def test_a_cell_is_the_mean_of_its_pixels(make, view) -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (48, 96))
    expected = depth.reshape(24, 2, 32, 3).mean(axis=(1, 3))
    (prediction,) = fitted(make, depth).predict([view(24, 32)], DEPTH)
    np.testing.assert_allclose(prediction.depth[0], expected, rtol=1e-6)


def test_a_ramp_stays_a_ramp_between_the_outermost_cell_centres(make, view) -> None:
    ramp = np.tile(np.arange(32) + 0.5, (24, 1))  # depth = column in cells
    (prediction,) = fitted(make, ramp).predict([view(10, 320)], DEPTH)
    # A pixel of a tenth of a cell: column (j + 0.5) / 10, kept at the centres of the edge cells.
    expected = np.clip((np.arange(320) + 0.5) / 10, 0.5, 31.5)
    np.testing.assert_allclose(prediction.depth[0], np.tile(expected, (10, 1)), rtol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (20, 3)])
def test_a_map_smaller_than_the_grid_leaves_no_gap(make, view, size) -> None:
    depth = np.full(size, 3.0)
    depth[0, 0] = 9.0
    (prediction,) = fitted(make, depth).predict([view(24, 32)], DEPTH)
    assert prediction.depth[0][0, 0] == 9.0
    assert prediction.depth[0].max() == 9.0
    if depth.size > 1:
        assert prediction.depth[0][-1, -1] == 3.0


def test_every_view_of_training_and_test_counts(make, view) -> None:
    adapter = make("mean_depth")
    views = tuple(np.full((24, 32), d, np.float32) for d in (1.0, 2.0, 6.0))
    adapter.fit([(SCENE, Target(depth_m=views))])
    (prediction,) = adapter.predict([view(views=2)], DEPTH)
    assert [set(depth.flat) for depth in prediction.depth] == [{3.0}, {3.0}]  # (1 + 2 + 6) / 3


def test_a_second_fit_forgets_the_first(make, view) -> None:
    adapter = fitted(make, np.full((24, 32), 9.0))
    adapter.fit([(SCENE, Target(depth_m=(np.full((24, 32), 2.0, np.float32),)))])
    np.testing.assert_allclose(adapter.predict([view()], DEPTH)[0].depth[0], 2.0)


def test_memory_does_not_grow_with_the_split(make) -> None:
    adapter = make("mean_depth")
    tracemalloc.start()
    adapter.fit(
        (SCENE, Target(depth_m=(np.full((100, 100), i + 1, np.float32),))) for i in range(200)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # 200 maps of 40 kB are 8 MB


@pytest.mark.parametrize(
    "target", [Target(), Target(depth_m=(np.full((4, 4), np.nan, np.float32),))]
)
def test_a_split_without_depth_is_refused(make, target) -> None:
    with pytest.raises(BenchError, match="training split with depth"):
        make("mean_depth").fit([(SCENE, target)])


def test_it_wants_to_be_fitted_first(make, view) -> None:
    with pytest.raises(BenchError, match="fit before predict"):
        make("mean_depth").predict([view()], DEPTH)
