"""Scenes with a COLMAP model: ScanNet++ with its toolkit's rendered depth."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.colmap_scenes import ColmapScenes
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import quaternion_from_matrix


def write_model(folder, shots, camera="1 PINHOLE 16 12 14 15 8.5 5.5") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(f"# a comment\n{camera}\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, shot in reversed(list(enumerate(shots))):
        pose = [
            *quaternion_from_matrix(shot.camera_from_world[:3, :3]),
            *shot.camera_from_world[:3, 3],
        ]
        lines.append(
            f"{number + 7} {' '.join(map(repr, map(float, pose)))} 1 frame_{number:06}.jpg"
        )
        lines.append("" if number == 1 else "1.5 2.5 -1 3.5 4.5 17")
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def text_to_binary(folder) -> tuple[bytes, bytes]:
    """Write the pinhole model of `write_model` as COLMAP's format page describes it."""
    cameras = struct.pack("<Q", 1) + struct.pack("<IiQQ4d", 1, 1, 16, 12, 14, 15, 8.5, 5.5)
    lines = (folder / "images.txt").read_text().splitlines()[1:]
    images = struct.pack("<Q", len(lines) // 2)
    for pose, points in zip(lines[::2], lines[1::2], strict=True):
        words, numbers = pose.split(), [float(word) for word in points.split()]
        images += struct.pack("<I7dI", int(words[0]), *map(float, words[1:8]), int(words[8]))
        images += words[9].encode() + b"\0" + struct.pack("<Q", len(numbers) // 3)
        for x, y, point in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
            images += struct.pack("<ddq", x, y, int(point))
    return cameras, images


@pytest.fixture
def root(tmp_path, shots):
    device = tmp_path / "09c1414f1b/iphone"
    write_model(device / "colmap", shots)
    for number, shot in enumerate(shots):
        shot.write_image(device / f"rgb/frame_{number:06}.jpg")
        shot.write_depth(device / f"render_depth/frame_{number:06}.png", 1000)
    return tmp_path


def test_depth_cameras_and_poses_agree(root, shots, agrees) -> None:
    (sample,) = ColmapScenes(root, sampling=Sampling(views=0)).samples("test")
    assert sample.cluster == "09c1414f1b"
    agrees(sample.load_target(), shots)


def test_images_that_are_not_there_are_left_out(root) -> None:
    (root / "09c1414f1b/iphone/rgb/frame_000001.jpg").unlink()
    names = [sample.id for sample in ColmapScenes(root).samples("test")]
    assert names == [f"09c1414f1b/frame_00000{n}" for n in (0, 2, 3)]
    assert len(ColmapScenes(root, only="3.").samples("test")) == 1
    patterns = ["09c1414f1b/*2.jpg", "another/*"]
    names = [sample.id for sample in ColmapScenes(root, without=patterns).samples("test")]
    assert names == [f"09c1414f1b/frame_00000{n}" for n in (0, 3)]


def test_a_scan_is_the_truth_in_place_of_depth(root) -> None:
    (root / "09c1414f1b/scan.xyz").write_text("1 2 3\n4 5 6\n")
    (sample, *_) = ColmapScenes(root, depth="", scan="{scene}/scan.xyz").samples("test")
    target = sample.load_target()
    assert target.depth_m is None
    np.testing.assert_array_equal(target.points_world, [[1, 2, 3], [4, 5, 6]])
    (root / "09c1414f1b/scan.xyz").write_text("")
    with pytest.raises(BenchError, match=r"scan\.xyz: expected a point cloud"):
        sample.load_target()


def test_cameras_that_distort_are_refused_unless_that_is_asked_for(root, shots) -> None:
    for camera in (
        "1 OPENCV 16 12 14 15 8.5 5.5 0.1 0 0 0",
        "1 OPENCV_FISHEYE 16 12 14 15 8.5 5.5 0 0 0 0",
        "1 SIMPLE_RADIAL 16 12 14 8.5 5.5 0.1",
    ):
        write_model(root / "09c1414f1b/iphone/colmap", shots, camera)
        with pytest.raises(BenchError, match="without distortion, got the camera model"):
            ColmapScenes(root)
        assert len(ColmapScenes(root, ignore_distortion=True).samples("test")) == 4
    write_model(root / "09c1414f1b/iphone/colmap", shots, "1 OPENCV 16 12 14 15 8.5 5.5 0 0 0 0")
    assert len(ColmapScenes(root).samples("test")) == 4


def test_a_model_in_binary_form_is_the_same_and_is_what_is_hashed(root, shots) -> None:
    folder = root / "09c1414f1b/iphone/colmap"
    text = ColmapScenes(root)
    cameras, images = text_to_binary(folder)
    for name in ("cameras.txt", "images.txt"):
        (folder / name).unlink()
    (folder / "cameras.bin").write_bytes(cameras)
    (folder / "images.bin").write_bytes(images)
    binary = ColmapScenes(root)
    for one, other in zip(text.samples("test"), binary.samples("test"), strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(
            one.load_target().points_world, other.load_target().points_world
        )
    before = binary.content_hash("test")
    (folder / "images.bin").write_bytes(images[:-1] + b"\1")
    assert binary.content_hash("test") != before
    assert not binary.missing("test")


def test_sparse_points_are_a_scan(root) -> None:
    (root / "09c1414f1b/iphone/colmap/points3D.txt").write_text("7 1 2 3 9 9 9 0.5 1 0 2 4\n")
    reader = ColmapScenes(root, scan="{scene}/iphone/colmap/points3D.txt")
    points = reader.samples("test")[0].load_target().points_world
    np.testing.assert_array_equal(points, [[1, 2, 3]])


def test_quaternions_of_zero_norm_leave_one_image_unscored(root) -> None:
    path = root / "09c1414f1b/iphone/colmap/images.txt"
    path.write_text("1 0 0 0 0 0 0 0 1 frame_000000.jpg\n\n2 1 0 0 0 0 0 0 1 frame_000001.jpg\n\n")
    first, second = ColmapScenes(root).samples("test")
    with pytest.raises(BenchError, match=r"line 1: expected a rigid pose, got quaternion"):
        first.load_target()
    assert second.load_target().points_world is not None


def test_an_image_of_another_size_than_its_camera(root, shots) -> None:
    write_model(root / "09c1414f1b/iphone/colmap", shots, "1 PINHOLE 32 24 28 30 17 11")
    with pytest.raises(BenchError, match="32 x 24 pixels"):
        ColmapScenes(root).samples("test")[0].load_target()
