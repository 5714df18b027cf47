"""Cameras against the formulas written out, scipy's rotations, and round trips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import (
    check_intrinsics,
    check_pose,
    invert_pose,
    matrix_from_quaternion,
    pinhole,
    pixel_grid,
    pose_matrix,
    project,
    quaternion_from_matrix,
    relative_pose,
    transform,
    unproject,
)

INTRINSICS = np.array([[500.0, 0.0, 3.0], [0.0, 400.0, 2.0], [0.0, 0.0, 1.0]])


def random_pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return pose_matrix(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3) * 5)


def test_pixel_centres_are_at_half() -> None:
    grid = pixel_grid(2, 3)
    assert grid.shape == (2, 3, 2)
    assert grid[0, 0].tolist() == [0.5, 0.5]
    assert grid[1, 2].tolist() == [2.5, 1.5]  # row 1, column 2: x = 2 + 0.5, y = 1 + 0.5


def test_unproject_one_pixel_by_hand() -> None:
    depth = np.full((4, 6), np.nan, dtype=np.float32)
    depth[1, 5] = 2.0
    points = unproject(depth, INTRINSICS)
    # x = (5.5 - 3) / 500 * 2 = 0.01, y = (1.5 - 2) / 400 * 2 = -0.0025, z = 2
    np.testing.assert_allclose(points[1, 5], [0.01, -0.0025, 2.0], rtol=1e-15)
    assert np.isnan(points[0, 0]).all()
    assert np.isfinite(points).all(axis=-1).sum() == 1


def test_infinite_depth_has_no_point() -> None:
    # The ray through x = cx has a zero component, and inf * 0 would be NaN in x alone.
    points = unproject(np.array([[np.inf]]), np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]))
    assert np.isnan(points).all()


def test_project_undoes_unproject_with_skew() -> None:
    skewed = INTRINSICS.copy()
    skewed[0, 1] = 7.0
    depth = np.random.default_rng(0).uniform(0.5, 9, size=(4, 6))
    pixels, z = project(unproject(depth, skewed), skewed)
    np.testing.assert_allclose(pixels, pixel_grid(4, 6), atol=1e-10)
    np.testing.assert_allclose(z, depth)


def test_points_behind_the_camera_have_no_pixel() -> None:
    pixels, z = project(np.array([[0.0, 0, -1], [0, 0, 0], [0, 0, 1]]), INTRINSICS)
    assert np.isnan(pixels[:2]).all()
    assert pixels[2].tolist() == [3.0, 2.0]
    assert z.tolist() == [-1, 0, 1]


@pytest.mark.parametrize("size", [(48, 64), (64, 48)])
def test_a_pinhole_sees_its_field_of_view_from_edge_to_edge(size) -> None:
    camera = pinhole(*size, 65.0)
    middle = np.array([size[1], size[0]]) / 2
    longer = np.array([size[1], size[0]]) == max(size)
    ends = [np.append(middle + sign * 32 * longer, 1) for sign in (-1, 1)]
    left, right = (np.linalg.inv(camera) @ end for end in ends)
    cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(65.0)


@pytest.mark.parametrize("wrong", [(0, 5, 60.0), (5, 5, 0.0), (5, 5, 180.0), (5, 5, np.nan)])
def test_no_pinhole_is_so_wide(wrong) -> None:
    with pytest.raises(ValueError, match="pinhole: expected"):
        pinhole(*wrong)


def test_pose_round_trip_and_relative_pose() -> None:
    first, second = random_pose(1), random_pose(2)
    points = np.random.default_rng(3).normal(size=(5, 7, 3))
    np.testing.assert_allclose(invert_pose(first), np.linalg.inv(first), atol=1e-12)
    np.testing.assert_allclose(transform(transform(points, first), invert_pose(first)), points)
    through_world = transform(transform(points, second), invert_pose(first))
    np.testing.assert_allclose(transform(points, relative_pose(first, second)), through_world)


def test_relative_pose_does_not_depend_on_the_world_frame() -> None:
    first, second, world = random_pose(1), random_pose(2), random_pose(4)
    moved = relative_pose(world @ first, world @ second)
    np.testing.assert_allclose(moved, relative_pose(first, second), atol=1e-12)


def test_quaternion_by_hand_and_against_scipy() -> None:
    # 90 degrees about z: w = z = cos 45 deg; x axis goes to y axis.
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        matrix_from_quaternion(np.array([half, 0, 0, half])) @ [1, 0, 0], [0, 1, 0], atol=1e-15
    )
    for seed in range(20):
        rotation = Rotation.random(rng=np.random.default_rng(seed))
        wxyz = quaternion_from_matrix(rotation.as_matrix())
        assert wxyz[0] >= 0
        np.testing.assert_allclose(wxyz, rotation.as_quat(canonical=True)[[3, 0, 1, 2]])
        np.testing.assert_allclose(matrix_from_quaternion(-3 * wxyz), rotation.as_matrix())


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(4), "finite .3, 3. matrix"),
        (np.diag([np.nan, 1, 1]), "non-finite"),
        (np.diag([-1.0, 1, 1]), "positive focal lengths"),
        (np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 1]]), "rows"),
        (np.diag([1.0, 1, 2]), "rows"),
    ],
)
def test_bad_intrinsics_are_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_intrinsics(matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "finite .4, 4. matrix"),
        (np.full((4, 4), np.inf), "non-finite"),
        (np.diag([1.0, 1, -1, 1]), "left-handed"),
        (np.diag([2.0, 2, 2, 1]), "orthonormal"),
        (np.eye(4) + np.eye(4, k=-3), "last row"),
    ],
)
def test_bad_poses_are_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pose(matrix)


@pytest.mark.parametrize("quaternion", [np.zeros(4), np.ones(3), np.array([1, np.nan, 0, 0])])
def test_bad_quaternions_are_refused(quaternion: np.ndarray) -> None:
    with pytest.raises(ValueError, match="quaternion: expected"):
        matrix_from_quaternion(quaternion)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pixel_grid(0, 3),
        lambda: unproject(np.ones(4), INTRINSICS),
        lambda: project(np.ones((2, 2)), INTRINSICS),
        lambda: transform(np.float64(1), np.eye(4)),
        lambda: pose_matrix(np.eye(3), np.zeros(4)),
    ],
)
def test_wrong_shapes_are_refused(call) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()
