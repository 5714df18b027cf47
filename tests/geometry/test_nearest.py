"""Nearest neighbours against the definition, and at coordinates where float32 would fail."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from g2vlm_bench.geometry.nearest import NeighbourIndex


def test_query_agrees_with_the_definition() -> None:
    rng = np.random.default_rng(0)
    cloud, queries = rng.normal(size=(300, 3)), rng.normal(size=(100, 3))
    distances, indices = NeighbourIndex(cloud).query(queries)
    every = np.linalg.norm(queries[:, None] - cloud[None], axis=-1)
    np.testing.assert_allclose(distances, every.min(axis=1), atol=1e-12)
    np.testing.assert_array_equal(indices, every.argmin(axis=1))


def test_k_neighbours_agree_with_sklearn() -> None:
    rng = np.random.default_rng(1)
    cloud, queries = rng.normal(size=(200, 3)), rng.normal(size=(50, 3))
    distances, indices = NeighbourIndex(cloud).query(queries, k=5)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(cloud).kneighbors(queries)
    np.testing.assert_allclose(distances, expected[0], atol=1e-6)
    np.testing.assert_array_equal(indices, expected[1])


def test_utm_coordinates_keep_their_millimetres() -> None:
    rng = np.random.default_rng(2)
    cloud = rng.uniform(0, 50, size=(500, 3))
    offset = np.array([513_000.0, 5_403_000.0, 300.0])
    millimetre = np.array([0.001, 0, 0])
    near, _ = NeighbourIndex(cloud).query(cloud + millimetre)
    far, _ = NeighbourIndex(cloud + offset).query(cloud + offset + millimetre)
    np.testing.assert_allclose(far, near, atol=1e-8)
    assert NeighbourIndex(cloud + offset).query(cloud + offset)[0].max() == 0


def test_bad_clouds_are_refused() -> None:
    for cloud in (np.empty((0, 3)), np.ones((3, 2)), np.array([[0, np.nan, 0]])):
        with pytest.raises(ValueError, match="points: expected"):
            NeighbourIndex(cloud)
    index = NeighbourIndex(np.eye(3))
    assert len(index) == 3
    with pytest.raises(ValueError, match="non-finite"):
        index.query(np.full((1, 3), np.inf))
    with pytest.raises(ValueError, match="k from 1 to 3"):
        index.query(np.eye(3), k=4)


def test_no_query_points_is_no_error() -> None:
    distances, indices = NeighbourIndex(np.eye(3)).query(np.empty((0, 3)))
    assert distances.shape == indices.shape == (0,)
