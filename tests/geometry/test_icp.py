"""ICP against Open3D's, step for step, and against what it must find."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import icp
from g2vlm_bench.geometry.alignment import Similarity, umeyama
from g2vlm_bench.geometry.icp import icp_point_to_point
from g2vlm_bench.geometry.nearest import NeighbourIndex

UTM = np.array([513_000.0, 5_403_000.0, 300.0])


def bumpy_surface(n: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-1, 1, size=(n, 2))
    z = 0.3 * np.sin(3 * xy[:, 0]) * np.cos(2 * xy[:, 1]) + 0.2 * xy[:, 0] ** 2
    return np.column_stack([xy, z])


def motion(degrees: float, metres: float) -> Similarity:
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.4, -0.8, 0.45])).as_matrix()
    return Similarity(1.0, turn, metres * np.array([0.6, 0.0, -0.8]))


def open3d_icp(source: np.ndarray, target: np.ndarray, reach_m: float, steps: int) -> np.ndarray:
    """Open3D's result as a 4x4, with the stopping rule of its defaults."""
    open3d = pytest.importorskip("open3d")
    registration = open3d.pipelines.registration
    clouds = [
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
        for points in (source, target)
    ]
    return registration.registration_icp(
        *clouds,
        reach_m,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(False),
        registration.ICPConvergenceCriteria(1e-6, 1e-6, steps),
    ).transformation


@pytest.mark.parametrize("steps", [1, 2, 5, 30, 200])
@pytest.mark.parametrize(
    ("degrees", "metres", "noise_m", "reach_m"),
    [
        (2, 0.02, 0.003, 0.1),  # near, as after a fit of corresponding pixels
        (20, 0.2, 0.003, 0.1),  # far: most points are out of reach at first
        (2, 0.02, 0.1, 0.1),  # points float above the surface, neighbours change often
        (2, 0.02, 0.003, 0.01),  # reach below the spacing: fitness changes with every step
        (5, 0.1, 0.01, 100.0),  # every point is paired
    ],
)
def test_every_step_is_that_of_open3d(degrees, metres, noise_m, reach_m, steps) -> None:
    target = bumpy_surface(3000)
    rng = np.random.default_rng(1)
    source = motion(degrees, metres).apply(bumpy_surface(2500, seed=2))
    source += rng.normal(scale=noise_m, size=source.shape)
    source[::100] += 50  # never paired
    fit = icp_point_to_point(source, target, reach_m, steps)
    expected = open3d_icp(source, target, reach_m, steps)
    np.testing.assert_allclose(fit.rotation, expected[:3, :3], atol=1e-9)
    np.testing.assert_allclose(fit.translation, expected[:3, 3], atol=1e-9)
    assert fit.scale == 1.0


def test_several_chunks_give_what_open3d_gives() -> None:
    target, source = bumpy_surface(30_000), bumpy_surface(40_000, seed=2)
    source += np.array([0.02, -0.01, 0.03])
    fit = icp_point_to_point(NeighbourIndex(source), NeighbourIndex(target), 0.1)
    expected = open3d_icp(source, target, 0.1, 30)
    np.testing.assert_allclose(fit.rotation, expected[:3, :3], atol=1e-9)
    np.testing.assert_allclose(fit.translation, expected[:3, 3], atol=1e-9)


@pytest.mark.parametrize("offset", [np.zeros(3), UTM])
def test_a_small_motion_is_undone_without_open3d(offset, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    target = bumpy_surface() + offset
    source = motion(1.2, 0.02).apply(target - offset) + offset
    fit = icp_point_to_point(source, target, max_correspondence_m=0.1)
    assert np.abs(fit.apply(source) - target).max() < 1e-3 * np.abs(source - target).max()
    assert np.linalg.det(fit.rotation) == pytest.approx(1)


def test_it_ends_where_umeyama_on_the_true_pairs_does() -> None:
    target = bumpy_surface()
    rng = np.random.default_rng(5)
    source = target + np.array([0.004, -0.002, 0.003]) + rng.normal(scale=1e-4, size=target.shape)
    fit = icp_point_to_point(source, target, max_correspondence_m=0.1)
    expected = umeyama(source, target, with_scale=False)
    np.testing.assert_allclose(fit.apply(source), expected.apply(source), atol=1e-4)


def test_moved_indices_are_fitted_where_they_were_moved_to() -> None:
    target, source = bumpy_surface(), bumpy_surface(1500, seed=2)
    enlarge = Similarity(2.0, motion(30, 0).rotation, np.array([1.0, 2, 3]))
    near = enlarge.then(motion(1, 0.02))
    fit = icp_point_to_point(
        NeighbourIndex(source).moved(near), NeighbourIndex(target).moved(enlarge), 0.2
    )
    expected = icp_point_to_point(near.apply(source), enlarge.apply(target), 0.2)
    np.testing.assert_allclose(fit.rotation, expected.rotation, atol=1e-12)
    np.testing.assert_allclose(fit.translation, expected.translation, atol=1e-12)


def test_a_cloud_fitted_to_itself_stays() -> None:
    target = bumpy_surface(500)
    fit = icp_point_to_point(target, target, 0.1)
    np.testing.assert_allclose(fit.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(fit.translation, 0, atol=1e-12)


def test_three_target_points() -> None:
    triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    fit = icp_point_to_point(triangle + 0.01, triangle, 0.1)
    np.testing.assert_allclose(fit.translation, -0.01, atol=1e-12)


def test_what_has_no_answer_is_an_error() -> None:
    target = bumpy_surface(50)
    with pytest.raises(ValueError, match=r"pairs within 0\.1 m, got none"):
        icp_point_to_point(target + 100, target, 0.1)
    line = np.linspace(0, 1, 50)[:, None] * [1.0, 1.0, 0]
    for points in (line, line[:2], line[:1]):
        with pytest.raises(ValueError, match="span a plane, got pairs on a point or line"):
            icp_point_to_point(points, points, 0.1)
    for clouds in ((np.empty((0, 3)), np.eye(3)), (np.eye(3), np.full((3, 3), np.nan))):
        with pytest.raises(ValueError, match="expected"):
            icp_point_to_point(*clouds, 0.1)
    with pytest.raises(ValueError, match="distance above 0"):
        icp_point_to_point(target, target, 0.0)


def test_memory_is_bounded_without_changing_the_fit(monkeypatch) -> None:
    target, source = bumpy_surface(), motion(2, 0.02).apply(bumpy_surface(2500, seed=2))
    expected = icp_point_to_point(source, target, 0.1)
    monkeypatch.setattr(icp, "STRIDE", 1000)
    fit = icp_point_to_point(source, target, 0.1)
    np.testing.assert_allclose(fit.rotation, expected.rotation, atol=1e-12)
    np.testing.assert_allclose(fit.translation, expected.translation, atol=1e-12)
