"""ICP and normals of large clouds by compiled code, against the plain path."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree

from g2vlm_bench.geometry import nearest
from g2vlm_bench.geometry.icp import icp_point_to_point
from g2vlm_bench.geometry.normals import estimate_normals

pytest.importorskip("numba", reason="the extra `fast` is not installed")

from g2vlm_bench.geometry import compiled
from g2vlm_bench.geometry.compiled import boxes_of
from g2vlm_bench.geometry.compiled_icp import MovingCloud
from g2vlm_bench.geometry.compiled_normals import scatters, takes
from g2vlm_bench.geometry.nearest import NeighbourIndex, compiles

RNG = np.random.default_rng(0)
UTM = np.array([513_000.0, 5_403_000.0, 300.0])


def surface(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-1, 1, size=(n, 2))
    return np.column_stack([xy, 0.3 * np.sin(3 * xy[:, 0]) * np.cos(2 * xy[:, 1])])


def ball(n: int) -> np.ndarray:
    points = RNG.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


FAR = surface(3000)
FAR[::500] += [1e6, -3e5, 2e6]
CLOUDS = {
    "surface": surface(3000),
    "volume": RNG.normal(size=(3000, 3)),
    "outliers": FAR,
    "repeated": np.repeat(surface(30), 3000, axis=0),
    "all the same": np.full((100_000, 3), 0.25),
    "grid": np.stack(np.meshgrid(*[np.arange(12.0)] * 3), axis=-1).reshape(-1, 3),
    "utm": surface(3000) + UTM,
    "one": np.ones((1, 3)),
    "two": np.array([[1.0, 2, 3], [4, 5, 6]]),
    "three": np.eye(3),
}
QUERIES = {
    "near": lambda cloud: cloud[RNG.integers(0, len(cloud), 300)] + RNG.normal(0, 0.02, (300, 3)),
    "far": lambda cloud: cloud[RNG.integers(0, len(cloud), 50)] + RNG.normal(0, 100, (50, 3)),
    "one place": lambda cloud: np.tile(cloud.mean(axis=0), (40, 1)),
    "one": lambda cloud: cloud[:1] + 0.01,
}


@pytest.mark.parametrize("reach", [0.05, 1e9])
@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("name", CLOUDS)
def test_pairs_are_the_nearest_after_every_motion(name, queries, reach) -> None:
    index = NeighbourIndex(CLOUDS[name])
    target = index.offsets
    start = QUERIES[queries](CLOUDS[name]) - index.centre
    moving = MovingCloud(start, target, index.nearest(start, 1, reach)[1], reach)
    tree = cKDTree(target)
    for shift in np.cumsum([np.zeros(3), *RNG.normal(0, 0.004, (6, 3))], axis=0):
        sums = moving.sums(np.eye(3), shift)
        expected, _ = tree.query(start + shift, distance_upper_bound=reach)
        expected = expected[expected < reach]
        assert sums[0] == len(expected)
        np.testing.assert_allclose(sums[1], (expected**2).sum(), rtol=1e-9, atol=1e-18)


def test_all_targets_equally_far_are_too_many_for_a_list() -> None:
    cloud = ball(50_000)
    nearest_of_all = np.full(20, np.linalg.norm(cloud, axis=1).argmin())
    moving = MovingCloud(np.zeros((20, 3)), cloud, nearest_of_all, 2.0)
    for shift in (0.0, 0.001, 0.002):
        sums = moving.sums(np.eye(3), np.array([shift, 0, 0]))
        expected = np.linalg.norm(cloud - [shift, 0, 0], axis=1).min()
        np.testing.assert_allclose(sums[:2], [20, 20 * expected**2], rtol=1e-12)


def test_icp_is_that_of_the_plain_path(monkeypatch) -> None:
    target = surface(9000)
    source = surface(7001, seed=1) * [1, 1, 1.02] + [0.01, -0.02, 0.03]
    source[::100] += 50
    plain = icp_point_to_point(source, target, 0.1)
    monkeypatch.setattr(nearest, "COMPILED_SIZE", 1)
    fast = icp_point_to_point(source, target, 0.1)
    np.testing.assert_allclose(fast.rotation, plain.rotation, atol=1e-12)
    np.testing.assert_allclose(fast.translation, plain.translation, atol=1e-12)
    again = icp_point_to_point(source, target, 0.1)
    np.testing.assert_array_equal(again.translation, fast.translation)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "g2vlm_bench.geometry.compiled")
    monkeypatch.delattr("g2vlm_bench.geometry.compiled")
    assert not compiles(1 << 20)
    np.testing.assert_array_equal(
        icp_point_to_point(source, target, 0.1).translation, plain.translation
    )


@pytest.mark.parametrize("k", [3, 30, 32])
@pytest.mark.parametrize("name", CLOUDS)
def test_scatters_are_those_of_the_nearest_points(name, k) -> None:
    index = NeighbourIndex(CLOUDS[name])
    points = index.offsets
    if not takes(len(points), k):
        assert len(points) <= 64
        return
    scatter, known = scatters(boxes_of(points), k, slice(0, len(points)))
    _, places = cKDTree(points).query(points[known], k)
    near = points[places] - points[known][:, None]
    near -= near.mean(axis=1, keepdims=True)
    expected = np.einsum("nki,nkj->nij", near, near)
    off = np.abs(scatter[known] - expected).max(axis=(1, 2), initial=0)
    assert (off <= 1e-9 * np.trace(expected, axis1=1, axis2=2)).all()
    assert known.mean() > {"surface": 0.9, "volume": 0.9, "utm": 0.9, "outliers": 0.8}.get(name, -1)


@pytest.mark.parametrize("k", [3, 30, 32, 33])
@pytest.mark.parametrize("name", ["surface", "volume", "utm", "small"])
def test_normals_are_those_of_the_plain_path(name, k, monkeypatch) -> None:
    cloud = CLOUDS["surface"][:64] if name == "small" else CLOUDS[name]
    plain = estimate_normals(cloud, k)
    monkeypatch.setattr(nearest, "COMPILED_SIZE", 1)
    fast = estimate_normals(cloud, k)
    cosines = np.abs((plain * fast).sum(axis=1))
    if k > 3:
        assert cosines.min() > 1 - 1e-9
    # Three points nearly on a line have hardly a normal.
    assert (cosines > 1 - 1e-9).mean() > 0.99


@pytest.mark.parametrize("name", ["repeated", "all the same", "grid", "outliers", "three"])
def test_crowds_and_ties_still_have_normals(name, monkeypatch) -> None:
    monkeypatch.setattr(nearest, "COMPILED_SIZE", 1)
    found = estimate_normals(CLOUDS[name])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_results_do_not_depend_on_the_cores(monkeypatch) -> None:
    cloud, moved = surface(40_000), surface(40_000, seed=1) + np.array([0.01, 0, 0.02])
    monkeypatch.setattr(nearest, "COMPILED_SIZE", 1)
    fit, normals = icp_point_to_point(moved, cloud, 0.1), estimate_normals(cloud)
    monkeypatch.setattr(nearest.os, "sched_getaffinity", lambda _: {0}, raising=False)
    np.testing.assert_array_equal(icp_point_to_point(moved, cloud, 0.1).rotation, fit.rotation)
    np.testing.assert_array_equal(estimate_normals(cloud), normals)


def test_no_pair_within_reach_is_the_same_error(monkeypatch) -> None:
    cloud = surface(200)
    monkeypatch.setattr(nearest, "COMPILED_SIZE", 1)
    with pytest.raises(ValueError, match=r"pairs within 0\.1 m, got none"):
        icp_point_to_point(cloud + 100, cloud, 0.1)


def test_small_clouds_are_not_compiled_for() -> None:
    assert not compiles(nearest.COMPILED_SIZE - 1)
    assert compiles(nearest.COMPILED_SIZE)


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch) -> None:
    def njit(cache: bool = False, **_: object):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.kernel(len) is len


def test_boxes_hold_their_points() -> None:
    points = surface(1000)
    boxes = boxes_of(points)
    np.testing.assert_array_equal(boxes.columns[:, :1000].T, points)
    top = boxes.groups[boxes.starts[-2]]
    np.testing.assert_array_equal(top[:3].min(axis=1), points.min(axis=0))
    np.testing.assert_array_equal(top[3:].max(axis=1), points.max(axis=0))
