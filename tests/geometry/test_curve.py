"""The curve: every point once, neighbours together, repeated points side by side."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.curve import CROWD, along_curve


def sphere(n: int) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("far", [0, 7, 40])
def test_neighbours_are_kept_together_whatever_the_outliers(far: int) -> None:
    """Its promise is speed: a step along it is 0.08 m on average, and 1.3 m in a random order."""
    cloud = sphere(5000)
    cloud[:far] += np.array([1e6, -3e5, 2e6])
    order = along_curve(cloud).order
    np.testing.assert_array_equal(np.sort(order), np.arange(5000))
    near = cloud[order[order >= far]]
    assert np.linalg.norm(np.diff(near, axis=0), axis=1).mean() < 0.1


def test_few_repeated_points_do_not_matter() -> None:
    assert along_curve(np.repeat(sphere(100), 2, axis=0)).starts is None


def test_many_repeated_points_stand_side_by_side_and_the_first_speaks_for_them() -> None:
    cloud = np.concatenate([sphere(500), np.zeros((CROWD + 1, 3)), np.ones((CROWD + 1, 3))])
    cloud = np.random.default_rng(1).permutation(cloud)
    curve = along_curve(cloud)
    assert curve.starts is not None
    assert len(curve.distinct) == 502
    _, first = np.unique(cloud, axis=0, return_index=True)
    np.testing.assert_array_equal(np.sort(curve.distinct), np.sort(first))
    np.testing.assert_array_equal(curve.spread(cloud[curve.distinct]), cloud)


@pytest.mark.parametrize("cloud", [np.empty((0, 3)), np.ones((1, 3)), np.ones((500, 3))])
def test_clouds_without_extent(cloud: np.ndarray) -> None:
    curve = along_curve(cloud)
    np.testing.assert_array_equal(np.sort(curve.order), np.arange(len(cloud)))
    np.testing.assert_array_equal(curve.spread(cloud[curve.distinct]), cloud)


def test_points_of_one_cell_keep_their_order() -> None:
    np.testing.assert_array_equal(along_curve(np.ones((50, 3))).order, np.arange(50))
