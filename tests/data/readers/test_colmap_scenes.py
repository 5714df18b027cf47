"""Scenes with a COLMAP model: ScanNet++ with its toolkit's rendered depth."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.data.colmap import read_colmap
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


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1 1 0 0 0 0 0 0 9 a.jpg", "a known one"),
        ("1 1 0 0 0 0 0 0 1", "NAME"),
        ("1 one 0 0 0 0 0 0 1 a.jpg", "QW, QX"),
    ],
)
def test_lines_that_are_no_images(root, line, says) -> None:
    (root / "09c1414f1b/iphone/colmap/images.txt").write_text(line + "\n\n")
    with pytest.raises(BenchError, match=says):
        ColmapScenes(root)


@pytest.mark.parametrize("camera", ["1 PINHOLE 16 12 14", "1 EQUIRECTANGULAR 16 12", "1"])
def test_lines_that_are_no_cameras(root, shots, camera) -> None:
    write_model(root / "09c1414f1b/iphone/colmap", shots, camera)
    with pytest.raises(BenchError, match="a known MODEL"):
        ColmapScenes(root)


def test_quaternions_of_zero_norm_leave_one_image_unscored(root) -> None:
    path = root / "09c1414f1b/iphone/colmap/images.txt"
    path.write_text("1 0 0 0 0 0 0 0 1 frame_000000.jpg\n\n2 1 0 0 0 0 0 0 1 frame_000001.jpg\n")
    first, second = ColmapScenes(root).samples("test")
    with pytest.raises(BenchError, match=r"line 1: expected a rigid pose, got quaternion"):
        first.load_target()
    assert second.load_target().points_world is not None


def test_an_image_of_another_size_than_its_camera(root, shots) -> None:
    write_model(root / "09c1414f1b/iphone/colmap", shots, "1 PINHOLE 32 24 28 30 17 11")
    with pytest.raises(BenchError, match="32 x 24 pixels"):
        ColmapScenes(root).samples("test")[0].load_target()
    assert read_colmap(root / "09c1414f1b/iphone/colmap")[0].name == "frame_000000.jpg"
