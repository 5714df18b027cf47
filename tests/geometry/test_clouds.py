"""Voxels and crops against Open3D and the definitions; clouds from files, real and hand-made."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.geometry.clouds import (
    crop_box,
    read_cloud,
    voxel_downsample,
    write_ply,
)

UTM = np.array([513_000.0, 5_403_000.0, 300.0])


def bumpy_surface(n: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-1, 1, size=(n, 2))
    z = 0.3 * np.sin(3 * xy[:, 0]) * np.cos(2 * xy[:, 1]) + 0.2 * xy[:, 0] ** 2
    return np.column_stack([xy, z])


def open3d_cloud(points: np.ndarray):
    open3d = pytest.importorskip("open3d")
    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))


# ------------------------------------------------------------------------------ voxels, crops


def test_voxels_by_hand() -> None:
    # The grid starts at 0 - 0.5; the cells are [-0.5, 0.5), [0.5, 1.5), [1.5, 2.5), ...
    points = np.array([[2.0, 0, 0], [0.0, 0, 0], [0.4, 0, 0], [0.6, 0, 0]])
    expected = [[0.2, 0, 0], [0.6, 0, 0], [2, 0, 0]]
    np.testing.assert_allclose(voxel_downsample(points, 1.0), expected)


@pytest.mark.parametrize("size", [0.05, 0.3, 10.0])
def test_voxels_agree_with_open3d_as_sets(size) -> None:
    points = bumpy_surface()
    ours = voxel_downsample(points, size)
    theirs = np.asarray(open3d_cloud(points).voxel_down_sample(size).points)
    assert len(ours) == len(theirs)
    order = [np.lexsort(np.round(cloud, 9).T) for cloud in (ours, theirs)]
    np.testing.assert_allclose(ours[order[0]], theirs[order[1]], atol=1e-9)


def test_voxels_do_not_depend_on_the_order_of_points_or_a_utm_offset() -> None:
    points = bumpy_surface()
    expected = voxel_downsample(points, 0.1)
    shuffled = np.random.default_rng(1).permutation(points)
    np.testing.assert_allclose(voxel_downsample(shuffled, 0.1), expected, atol=1e-14)
    far = voxel_downsample(points + np.round(UTM), 0.1) - np.round(UTM)
    assert abs(len(far) - len(expected)) <= 2  # a point on a face may change sides by rounding


def test_bad_voxels_are_refused() -> None:
    for size in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="size above 0"):
            voxel_downsample(np.eye(3), size)
    with pytest.raises(ValueError, match="fit for an extent"):
        voxel_downsample(np.eye(3), 1e-9)
    with pytest.raises(ValueError, match="at least 1"):
        voxel_downsample(np.empty((0, 3)), 1.0)


def test_crop_keeps_the_faces_and_may_leave_nothing() -> None:
    points = np.array([[0.0, 0, 0], [1, 1, 1], [1, 1, 1.1], [0.5, 0.5, 0.5]])
    kept = crop_box(points, np.zeros(3), np.ones(3))
    np.testing.assert_array_equal(kept, points[[0, 1, 3]])
    assert crop_box(points, np.full(3, 5), np.full(3, 6)).shape == (0, 3)
    with pytest.raises(ValueError, match="low <= high"):
        crop_box(points, np.ones(3), np.zeros(3))


# --------------------------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("name", "kept", "dropped", "has_normals"),
    [
        ("stanford_bunny/bun_zipper_res3.ply", 1889, 0, False),
        ("stanford_bunny/bunnyData.pts", 30571, 0, False),
        ("redwood_frag115/frag_115.ply", 64365, 0, True),
        ("kitti_object_000001/velodyne/000001.bin", 120268, 0, False),
    ],
)
def test_real_files_need_no_open3d(realdata, monkeypatch, name, kept, dropped, has_normals) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    cloud = read_cloud(realdata / "pointclouds" / name)
    assert (len(cloud.points), cloud.n_dropped) == (kept, dropped)
    assert cloud.points.dtype == np.float64
    assert (cloud.normals is not None) == has_normals
    if cloud.normals is not None:
        np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1)


def test_invalid_pixels_of_an_organised_cloud_are_dropped_and_counted(realdata) -> None:
    pytest.importorskip("open3d")
    cloud = read_cloud(realdata / "pointclouds/mosd_test12/test12.pcd")
    assert (len(cloud.points), cloud.n_dropped) == (159979, 640 * 480 - 159979)


@pytest.mark.parametrize(
    "name", ["stanford_bunny/bun_zipper_res3.ply", "redwood_frag115/frag_115.ply"]
)
def test_real_files_agree_with_open3d(realdata, name) -> None:
    open3d = pytest.importorskip("open3d")
    path = realdata / "pointclouds" / name
    theirs = open3d.io.read_point_cloud(str(path))
    ours = read_cloud(path)
    np.testing.assert_array_equal(ours.points, np.asarray(theirs.points))
    if ours.normals is not None:
        np.testing.assert_allclose(ours.normals, np.asarray(theirs.normals), atol=1e-5)


def test_damaged_compressed_pcd_is_an_error(realdata, tmp_path: Path) -> None:
    pytest.importorskip("open3d")
    data = (realdata / "pointclouds/isprs_samp11/samp11-utm.pcd").read_bytes()
    path = tmp_path / "half.pcd"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half\.pcd: expected compressed points, got damaged"):
        read_cloud(path)


# ---------------------------------------------------------------------------- hand-made files


def test_without_open3d_the_error_names_the_packages(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    path = tmp_path / "packed.pcd"
    path.write_text(
        "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\n"
        "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA binary_compressed\n"
    )
    with pytest.raises(ImportError, match="apt-get install libusb-1") as caught:
        read_cloud(path)
    assert "\n" not in str(caught.value)


def test_ply_round_trip_with_normals_is_exact(tmp_path: Path) -> None:
    points = bumpy_surface(100) + UTM
    normals = np.tile([0.0, 0.6, 0.8], (100, 1))
    write_ply(tmp_path / "cloud.ply", points, normals)
    cloud = read_cloud(str(tmp_path / "cloud.ply"))
    np.testing.assert_array_equal(cloud.points, points)
    np.testing.assert_allclose(cloud.normals, normals)
    with pytest.raises(ValueError, match=r"arrays \(N, 3\)"):
        write_ply(tmp_path / "cloud.ply", points, normals[:5])


def test_ply_with_colours_is_read_by_open3d(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d")
    rng = np.random.default_rng(0)
    points, colors = rng.normal(size=(50, 3)), rng.integers(0, 256, (50, 3), np.uint8)
    normals = np.tile([0.0, 0.6, 0.8], (50, 1))
    write_ply(tmp_path / "cloud.ply", points, normals, colors)
    cloud = o3d.io.read_point_cloud(str(tmp_path / "cloud.ply"))
    np.testing.assert_array_equal(np.asarray(cloud.points), points)
    np.testing.assert_array_equal(np.asarray(cloud.normals), normals)
    np.testing.assert_array_equal(np.round(np.asarray(cloud.colors) * 255), colors)
    np.testing.assert_array_equal(read_cloud(tmp_path / "cloud.ply").points, points)
    with pytest.raises(ValueError, match=r"arrays \(N, 3\)"):
        write_ply(tmp_path / "cloud.ply", points, colors=colors[:5])


def test_a_zero_normal_makes_the_normals_unusable_but_not_the_points(tmp_path: Path) -> None:
    write_ply(tmp_path / "cloud.ply", np.eye(3), np.eye(3) * [1, 1, 0])
    cloud = read_cloud(tmp_path / "cloud.ply")
    assert cloud.normals is None
    assert len(cloud.points) == 3


def test_rows_without_coordinates_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "cloud.xyz"
    path.write_text("1 2 3\nnan 1 2\n4 5 inf\n7 8 9\n")
    cloud = read_cloud(path)
    assert cloud.points.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert cloud.n_dropped == 2


@pytest.mark.parametrize("name", ["empty.xyz", "empty.bin", "empty.ply", "empty.pcd", "empty.pts"])
def test_empty_files_are_errors(tmp_path: Path, name) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{name}: expected"):
        read_cloud(path)


def test_files_without_points_or_of_another_kind_are_errors(tmp_path: Path) -> None:
    write_ply(tmp_path / "none.ply", np.empty((0, 3)))
    with pytest.raises(ValueError, match="expected points, got 0"):
        read_cloud(tmp_path / "none.ply")
    (tmp_path / "nan.xyz").write_text("nan nan nan\n")
    with pytest.raises(ValueError, match="of which none is finite"):
        read_cloud(tmp_path / "nan.xyz")
    (tmp_path / "cloud.las").write_text("1 2 3\n")
    with pytest.raises(ValueError, match=r"expected \.ply, .* got \.las"):
        read_cloud(tmp_path / "cloud.las")
    with pytest.raises(FileNotFoundError):
        read_cloud(tmp_path / "missing.ply")
