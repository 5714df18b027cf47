"""Thinning and regions, against plain definitions and Open3D."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry import cloud_regions
from g2vlm_bench.geometry.cloud_regions import (
    ObservedGrid,
    in_prism,
    thin_greedily,
    voxel_means_on_world_grid,
)

CLOUD = np.random.default_rng(0).uniform(size=(400, 3))
BAD_CLOUDS = [np.empty((0, 3)), np.full((2, 3), np.nan), np.zeros((3, 2))]


def slow_thinning(points: np.ndarray, radius: float, seed: int) -> np.ndarray:
    order = points.copy()
    np.random.default_rng(seed).shuffle(order, axis=0)
    kept: list[np.ndarray] = []
    for point in order:
        if all(np.linalg.norm(point - other) > radius for other in kept):
            kept.append(point)
    return np.array(kept)


@pytest.mark.parametrize("chunk", [7, 1 << 14])
def test_thinning_is_its_definition(monkeypatch, chunk) -> None:
    monkeypatch.setattr(cloud_regions, "THINNING_CHUNK", chunk)
    np.testing.assert_array_equal(thin_greedily(CLOUD, 0.15, 5), slow_thinning(CLOUD, 0.15, 5))


def test_thinning_is_seeded_inclusive_and_leaves_the_cloud_alone() -> None:
    before = CLOUD.copy()
    assert not np.array_equal(thin_greedily(CLOUD, 0.1, 0), thin_greedily(CLOUD, 0.1, 1))
    np.testing.assert_array_equal(CLOUD, before)
    line = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert len(thin_greedily(line, 1.0, 0)) == 1
    assert len(thin_greedily(line, 0.999, 0)) == 2
    assert len(thin_greedily(line[:1], 1.0, 0)) == 1
    # UTM-sized coordinates keep their millimetres.
    assert len(thin_greedily(0.002 * line + [5.4e5, 5.4e6, 0], 0.001, 0)) == 2


@pytest.mark.parametrize("bad", BAD_CLOUDS)
def test_what_is_no_cloud_is_refused(bad) -> None:
    for cut in (lambda c: thin_greedily(c, 1, 0), lambda c: voxel_means_on_world_grid(c, 1)):
        with pytest.raises(ValueError, match="expected"):
            cut(bad)
    for size in (0, -1, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            thin_greedily(CLOUD, size, 0)
        with pytest.raises(ValueError, match="above 0"):
            voxel_means_on_world_grid(CLOUD, size)


def test_voxels_of_the_world_grid_by_hand() -> None:
    # Cells of 1 m through the origin: [-1, 0) and [0, 1), wherever the cloud starts.
    points = np.array([[-0.1, 0, 0], [0.2, 0, 0], [0.9, 0.5, 0], [-0.3, 0, 0]])
    np.testing.assert_allclose(
        voxel_means_on_world_grid(points, 1.0), [[-0.2, 0, 0], [0.55, 0.25, 0]]
    )


def grid(**changes) -> ObservedGrid:
    observed = np.zeros((2, 2, 2), bool)
    observed[1, 0, 0] = True
    parts = {
        "observed": observed, "low": np.zeros(3), "high": np.full(3, 10.0), "voxel": 10.0,
        "plane": np.array([0.0, 0, 1, -1]), "margin": 1.0,
    }  # fmt: skip
    return ObservedGrid(**(parts | changes))


def test_an_observed_grid_by_hand() -> None:
    points = np.array(
        [[10.0, 0, 0], [5.1, 0, 0], [4.9, 0, 0], [11.9, 0, 0], [12, 0, 0], [-1, 0, 0], [-1.1, 0, 0]]
    )
    # Cells are centred: 5.1 rounds to the observed one, 4.9 to the other; 12 = high + 2 margins is
    # out, -1 = low - margin is in.
    assert grid().near(points).tolist() == [True, True, True, True, False, True, False]
    assert grid().seen(points).tolist() == [True, True, False, True, False, False, False]
    assert grid().seen(np.full((1, 3), 1e9)).tolist() == [False]
    heights = np.array([[0.0, 0, 1], [0, 0, 1.01], [0, 0, 5]])
    assert grid().above_plane(heights).tolist() == [False, True, True]


def test_a_prism_by_hand_and_against_open3d() -> None:
    # An L in x and y, with the notch at the upper right.
    corners = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
    points = np.array([[0.5, 0.5, 0], [1.5, 1.5, 0], [1.5, 0.5, 0], [0.5, 1.5, 2], [3, 0.5, 0]])
    assert in_prism(points, corners, 2, -1, 1).tolist() == [True, False, True, False, False]
    cloud = np.random.default_rng(3).uniform(-1, 3, size=(3000, 3))
    # Every third point lies on a line of the edges, some on corners: flat floors are so.
    cloud[::3] = np.round(2 * cloud[::3]) / 2
    for axis in (0, 1, 2):
        kept = cropped_by_open3d(cloud, corners, axis)
        np.testing.assert_array_equal(cloud[in_prism(cloud, corners, axis, -0.5, 1.5)], kept)


def cropped_by_open3d(cloud: np.ndarray, corners: np.ndarray, axis: int) -> np.ndarray:
    """The points that Open3D keeps, from -0.5 to 1.5 along the axis."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        pytest.skip(f"Open3D cannot be loaded: {error}")
    volume = open3d.visualization.SelectionPolygonVolume()
    volume.orthogonal_axis, volume.axis_min, volume.axis_max = "XYZ"[axis], -0.5, 1.5
    volume.bounding_polygon = open3d.utility.Vector3dVector(np.insert(corners, axis, 0.0, axis=1))
    legacy = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud))
    return np.asarray(volume.crop_point_cloud(legacy).points)


def test_points_on_the_slopes_of_a_prism_are_on_open3ds_side() -> None:
    """Rounding decides there, so that the sum has to be taken in Open3D's order."""
    rng = np.random.default_rng(1)
    for index in range(400):
        corners = np.round(rng.normal(size=(rng.integers(3, 8), 2)), 1)
        cloud, axis = np.round(rng.normal(size=(300, 3)), 1), index % 3
        kept = cropped_by_open3d(cloud, corners, axis)
        np.testing.assert_array_equal(cloud[in_prism(cloud, corners, axis, -0.5, 1.5)], kept)


def test_a_point_on_a_slope_by_hand() -> None:
    # By fractions, -0.7 lies on the edge from (0.5, 1.4) to (-1, 0.9), at 4/5 of it. In float64
    # 0.5 + 0.8 * -1.5 ends at -0.7000000000000002, left of the point, which is out in Open3D 0.20;
    # 0.5 + -0.4 * -1.5 / -0.5 would end at -0.7.
    corners = np.array([[0.5, 1.4], [-1.0, 0.9], [-2.0, 1.4]])
    assert in_prism(np.array([[-0.7, 1.0, 0.0]]), corners, 2, -1, 1).tolist() == [False]
    assert in_prism(np.array([[-0.7 - 1e-9, 1.0, 0.0]]), corners, 2, -1, 1).tolist() == [True]


def test_a_prism_without_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="three corners"):
        in_prism(CLOUD, np.zeros((2, 2)), 2, 0, 1)
    with pytest.raises(ValueError, match="low <= high"):
        in_prism(CLOUD, np.eye(3)[:, :2], 2, 1, 0)
