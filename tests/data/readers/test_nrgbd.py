"""Neural RGB-D: numbers without zeros, OpenGL poses, lost frames, half pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.nrgbd import Nrgbd
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import transform


def write_room(folder: Path, frames: int = 11) -> None:
    for name in ("images", "depth"):
        (folder / name).mkdir(parents=True)
    (folder / "focal.txt").write_text("554.2562584220408\n")
    poses = []
    for number in range(frames):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / f"images/img{number}.png")
        depth = np.full((4, 6), 2000, np.uint16)
        depth[0, :2] = [0, 10_001]
        Image.fromarray(depth).save(folder / f"depth/depth{number}.png")
        pose = np.eye(4)
        pose[0, 3] = number
        poses.append(pose)
    np.savetxt(folder / "poses.txt", np.concatenate(poses))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_room(tmp_path / "whiteroom")
    return tmp_path


def test_frames_are_sorted_by_number(root: Path) -> None:
    samples = Nrgbd(root, sampling=Sampling(every=5)).samples("test")
    assert [s.id for s in samples] == ["whiteroom/0", "whiteroom/5", "whiteroom/10"]
    poses = [s.load_target().world_from_camera for s in samples]
    assert [pose[0][0, 3] for pose in poses if pose] == [0, 5, 10]


def test_opengl_camera_becomes_opencv(root: Path) -> None:
    target = Nrgbd(root).samples("test")[3].load_target()
    assert target.depth_m is not None
    assert target.world_from_camera is not None
    assert np.isnan(target.depth_m[0][0, :2]).all()
    # What lies 2 m before the camera lies at z = -2 in the frame of OpenGL, which is the world's.
    np.testing.assert_array_equal(
        transform(np.array([[0.0, 1, 2]]), target.world_from_camera[0]), [[3, -1, -2]]
    )


def test_principal_point_is_the_middle_of_the_image(root: Path) -> None:
    intrinsics = Nrgbd(root).samples("test")[0].load_target().intrinsics
    assert intrinsics is not None
    focal = 554.2562584220408
    assert intrinsics[0].tolist() == [[focal, 0, 3], [0, focal, 2], [0, 0, 1]]


def test_frames_without_a_pose_are_left_out_before_frames_are_taken(root: Path) -> None:
    lines = (root / "whiteroom/poses.txt").read_text().splitlines()
    lines[4:8] = ["nan nan nan nan"] * 4
    (root / "whiteroom/poses.txt").write_text("\n".join(lines))
    samples = Nrgbd(root, sampling=Sampling(every=2)).samples("test")
    assert [s.id.split("/")[1] for s in samples] == ["0", "3", "5", "7", "9"]


def test_a_missing_image_is_noticed(root: Path) -> None:
    (root / "whiteroom/images/img4.png").unlink()
    with pytest.raises(BenchError, match="a 4x4 pose of each of 10 images, got 176 numbers"):
        Nrgbd(root)


def test_broken_files(root: Path) -> None:
    folder = root / "whiteroom"
    lines = (folder / "poses.txt").read_text().splitlines()
    lines[0] = "-1 0 0 0"
    (folder / "poses.txt").write_text("\n".join(lines))
    with pytest.raises(BenchError, match=r"poses\.txt, frame 0: .*left-handed"):
        Nrgbd(root).samples("test")[0].load_target()
    (folder / "depth/depth1.png").write_bytes(b"\x89PNG")
    with pytest.raises(BenchError, match=r"depth1\.png"):
        Nrgbd(root).samples("test")[1].load_target()
    (folder / "focal.txt").write_text("554 554")
    with pytest.raises(BenchError, match=r"focal\.txt: expected one number, got 2"):
        Nrgbd(root).samples("test")[2].load_target()
    (folder / "poses.txt").write_text("1 2 3")
    with pytest.raises(BenchError, match="each of 11 images, got 3 numbers"):
        Nrgbd(root)
