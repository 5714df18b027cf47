"""Nearest neighbours against the definition, wherever a fast search might cut a corner."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sklearn.neighbors import NearestNeighbors

from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.curve import CROWD
from g2vlm_bench.geometry.nearest import NeighbourIndex, in_chunks

UTM = np.array([513_000.0, 5_403_000.0, 300.0])


def surface(n: int, seed: int = 0) -> np.ndarray:
    """A noisy sphere of radius 1."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points + rng.normal(scale=0.005, size=(n, 3))


def all_distances(queries: np.ndarray, cloud: np.ndarray) -> np.ndarray:
    return np.linalg.norm(queries[:, None] - cloud[None], axis=-1)


def outliers(n: int) -> np.ndarray:
    cloud = surface(n)
    cloud[:: n // 7] += np.array([1e6, -3e5, 2e6])
    return cloud


RNG = np.random.default_rng(0)
CLOUDS = {
    "volume": RNG.normal(size=(300, 3)),
    "surface": surface(300),
    "utm": surface(300) + UTM,
    "utm float32": (surface(300) * 100 + UTM).astype(np.float32),
    "outliers": outliers(300),
    "repeated": np.repeat(surface(6), 2 * CROWD, axis=0),
    "half repeated": np.concatenate([surface(300), np.zeros((300, 3))])[RNG.permutation(600)],
    "all the same": np.full((300, 3), 0.1),
    "line": np.linspace(0, 1, 300)[:, None] * [1.0, 2.0, -3.0],
    "plane": RNG.uniform(size=(300, 3)) * [1, 1, 0],
    "grid": np.stack(np.meshgrid(*[np.arange(7.0)] * 3), axis=-1).reshape(-1, 3),
    "one": np.array([[1.0, 2, 3]]),
    "two": np.array([[1.0, 2, 3], [4, 5, 6]]),
    "tiny": surface(300) * 1e-9,
}


@pytest.fixture(params=["pykdtree", "scipy"])
def _tree(request, monkeypatch) -> None:
    """Both trees, whichever would be taken."""
    if request.param == "scipy":
        monkeypatch.setitem(sys.modules, "pykdtree.kdtree", None)
    else:
        pytest.importorskip("pykdtree", reason="the extra `fast` is not installed")


@pytest.mark.usefixtures("_tree")
@pytest.mark.parametrize("k", [1, 2, 5, 200])
@pytest.mark.parametrize("name", CLOUDS)
def test_neighbours_agree_with_the_definition(name: str, k: int) -> None:
    cloud = CLOUDS[name]
    k = min(k, len(cloud))
    spread = np.ptp(cloud, axis=0).max() or 1.0
    shift = RNG.normal(scale=0.02 * spread, size=(40, 3))
    queries = np.concatenate([cloud[RNG.integers(0, len(cloud), 40)] + shift, cloud[:20]])
    distances, indices = NeighbourIndex(cloud).query(queries, k=k)
    every = all_distances(queries.astype(np.float64), cloud.astype(np.float64))
    # Rounding of the coordinates themselves, which at UTM size is 1e-9 m.
    atol = 4e-16 * np.abs(cloud).max()
    expected = np.sort(every, axis=1)[:, :k]
    distances, indices = distances.reshape(-1, k), indices.reshape(-1, k)
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=atol)
    # Among equals any may be named, but it must be one of them, and none twice.
    named = np.take_along_axis(every, indices, axis=1)
    np.testing.assert_allclose(named, expected, rtol=1e-12, atol=atol)
    assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("name", CLOUDS)
def test_the_tree_does_not_change_a_distance(name: str, monkeypatch) -> None:
    pytest.importorskip("pykdtree", reason="the extra `fast` is not installed")
    cloud = CLOUDS[name]
    queries = cloud + RNG.normal(scale=0.02, size=cloud.shape)
    k = min(4, len(cloud))
    fast, _ = NeighbourIndex(cloud).query(queries, k=k)
    monkeypatch.setitem(sys.modules, "pykdtree.kdtree", None)
    plain, _ = NeighbourIndex(cloud).query(queries, k=k)
    np.testing.assert_allclose(fast, plain, rtol=1e-15)


@settings(max_examples=50, deadline=None)
@given(
    cloud=arrays(np.int8, st.tuples(st.integers(1, 200), st.just(3)), elements=st.integers(0, 3)),
    queries=arrays(np.int8, (5, 3), elements=st.integers(-2, 6)),
    k=st.integers(1, 200),
)
def test_whatever_the_ties(cloud: np.ndarray, queries: np.ndarray, k: int) -> None:
    k = min(k, len(cloud))
    distances, _ = NeighbourIndex(cloud).query(queries, k=k)
    expected = np.sort(all_distances(queries.astype(float), cloud.astype(float)), axis=1)[:, :k]
    np.testing.assert_allclose(distances.reshape(-1, k), expected)


@pytest.mark.usefixtures("_tree")
@pytest.mark.parametrize("offset", [np.zeros(3), UTM])
def test_large_clouds_agree_with_the_plain_tree(offset) -> None:
    """Several chunks, a tree built in the background, and outliers on both sides."""
    cloud, queries = outliers(40_000) + offset, surface(50_000, seed=1) + offset
    queries[::9999] -= 1e6
    distances, indices = NeighbourIndex(cloud).query(queries)
    expected, nearest = cKDTree(cloud - offset).query(queries - offset)
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=5e-9 if offset.any() else 0)
    if not offset.any():
        np.testing.assert_array_equal(indices, nearest)


def test_a_million_points() -> None:
    cloud = surface(1_000_000)
    index = NeighbourIndex(cloud)
    queries = surface(20, seed=1)
    distances, indices = index.query(queries)
    np.testing.assert_allclose(
        distances, [np.linalg.norm(cloud - q, axis=1).min() for q in queries]
    )
    np.testing.assert_allclose(np.linalg.norm(cloud[indices] - queries, axis=1), distances)


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
    millimetre = np.array([0.001, 0, 0])
    near, _ = NeighbourIndex(cloud).query(cloud + millimetre)
    far, _ = NeighbourIndex(cloud + UTM).query(cloud + UTM + millimetre)
    np.testing.assert_allclose(far, near, atol=1e-8)
    assert NeighbourIndex(cloud + UTM).query(cloud + UTM)[0].max() == 0


@pytest.mark.usefixtures("_tree")
@pytest.mark.parametrize("k", [1, 3])
def test_a_bound_leaves_out_what_is_as_far_or_farther(k: int) -> None:
    cloud = np.concatenate([np.arange(400.0)[:, None] * [1, 0, 0], np.zeros((200, 3))])
    queries = np.array([[-0.5, 0, 0], [100.25, 0, 0], [100.25, 0.9, 0], [0, 5, 0]])
    distances, indices = NeighbourIndex(cloud).query(queries, k=k, within_m=0.75)
    every = np.sort(all_distances(queries, cloud), axis=1)[:, :k]
    expected = np.where(every < 0.75, every, np.inf).reshape(distances.shape)
    np.testing.assert_allclose(distances, expected)
    np.testing.assert_array_equal(indices == len(cloud), np.isinf(expected))
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="distance above 0"):
            NeighbourIndex(cloud).query(queries, within_m=bad)


@pytest.mark.parametrize("repeats", [1, 2 * CROWD])
def test_an_index_may_ask_an_index(repeats: int) -> None:
    cloud, queries = surface(500), surface(400, seed=1)
    queries = RNG.permutation(np.concatenate([queries, np.repeat(queries[:3], repeats, axis=0)]))
    expected = NeighbourIndex(cloud).query(queries)
    for ours, plain in zip(
        NeighbourIndex(cloud).query(NeighbourIndex(queries)), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("offset", [np.zeros(3), UTM])
def test_a_moved_index_is_the_index_of_the_moved_cloud(offset) -> None:
    cloud, queries = surface(500) + offset, surface(400, seed=1) * 3 + offset
    first = Similarity(1.5, Rotation.from_rotvec([0.1, 0.2, -0.3]).as_matrix(), -offset)
    second = Similarity(2.0, Rotation.from_rotvec([-0.5, 0.2, 0.1]).as_matrix(), 2 * offset)
    moved = NeighbourIndex(cloud).moved(first).moved(second)
    fresh = NeighbourIndex(second.apply(first.apply(cloud)))
    atol = 1e-15 if not offset.any() else 2e-8
    np.testing.assert_allclose(moved.points, fresh.points)
    for bound in (np.inf, 2.0):
        ours, plain = (index.query(queries, k=2, within_m=bound) for index in (moved, fresh))
        np.testing.assert_allclose(ours[0], plain[0], rtol=1e-12, atol=atol)
        np.testing.assert_array_equal(ours[1], plain[1])
    np.testing.assert_allclose(moved.centre + moved.offsets, moved.points[moved.order], atol=atol)


def test_arguments_stay_as_they_were() -> None:
    cloud, queries = surface(100), surface(50, seed=1)
    kept = cloud.copy(), queries.copy()
    NeighbourIndex(cloud).query(queries)
    np.testing.assert_array_equal(cloud, kept[0])
    np.testing.assert_array_equal(queries, kept[1])


def test_chunks_cover_every_row_once_and_in_order() -> None:
    for count in (0, 1, 1 << 14, 100_000):
        slices = in_chunks(lambda chunk: chunk, count)
        rows = np.concatenate([np.arange(count)[s] for s in slices]) if slices else np.arange(0)
        np.testing.assert_array_equal(rows, np.arange(count))


def test_bad_clouds_are_refused() -> None:
    for cloud in (np.empty((0, 3)), np.ones((3, 2)), np.array([[0, np.nan, 0]])):
        with pytest.raises(ValueError, match="points: expected"):
            NeighbourIndex(cloud)
    index = NeighbourIndex(np.eye(3))
    assert len(index) == 3
    with pytest.raises(ValueError, match="1 non-finite points of 1"):
        index.query(np.full((1, 3), np.inf))
    with pytest.raises(ValueError, match="k from 1 to 3"):
        index.query(np.eye(3), k=4)


def test_no_query_points_is_no_error() -> None:
    distances, indices = NeighbourIndex(np.eye(3)).query(np.empty((0, 3)))
    assert distances.shape == indices.shape == (0,)
