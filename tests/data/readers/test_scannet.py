"""ScanNet: numbers without zeros, two cameras, lost poses."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.scannet import Scannet
from g2vlm_bench.errors import BenchError


@pytest.fixture
def root(tmp_path, shots):
    """Four frames, 0, 1, 2 and 10, of which 1 is lost."""
    scene = tmp_path / "scene0707_00"
    for name in ("pose", "intrinsic"):
        (scene / name).mkdir(parents=True)
    for kind in ("color", "depth"):
        matrix = np.eye(4)
        matrix[:3, :3] = shots[0].intrinsics
        matrix[:2, 2] -= 0.5
        np.savetxt(scene / f"intrinsic/intrinsic_{kind}.txt", matrix)
    for number, shot in zip((0, 1, 2, 10), shots, strict=True):
        shot.write_image(scene / f"color/{number}.jpg")
        shot.write_depth(scene / f"depth/{number}.png", 1000)
        pose = np.full((4, 4), -np.inf) if number == 1 else shot.world_from_camera
        np.savetxt(scene / f"pose/{number}.txt", pose)
    return tmp_path


def test_depth_cameras_and_poses_agree(root, shots, agrees) -> None:
    samples = Scannet(root).samples("test")
    assert [s.id for s in samples] == [f"scene0707_00/{n}" for n in (0, 1, 2, 10)]
    assert {s.cluster for s in samples} == {"scene0707_00"}
    agrees(samples[0].load_target(), shots[:1])
    agrees(samples[3].load_target(), shots[3:])


def test_points_are_made_with_the_camera_of_the_depth_map(root, shots, agrees) -> None:
    path = root / "scene0707_00/intrinsic/intrinsic_color.txt"
    wrong = np.loadtxt(path)
    wrong[0, 0] *= 1.1
    np.savetxt(path, wrong)
    target = Scannet(root).samples("test")[0].load_target()
    assert target.intrinsics[0][0, 0] == pytest.approx(14.0 * 1.1)
    points = target.points_world @ np.array([0.2, -0.3, 0.933])
    np.testing.assert_allclose(points, 2.5, atol=0.002)


def test_lost_frames_are_unscored_or_left_out(root, shots, agrees) -> None:
    lost = Scannet(root).samples("test")[1]
    assert lost.load_inputs().images
    with pytest.raises(BenchError, match=r"pose/1\.txt: expected a rigid 4x4 pose"):
        lost.load_target()
    (sample,) = Scannet(root, skip_lost=True, sampling=Sampling(views=0)).samples("test")
    assert sample.id == "scene0707_00/0-scene0707_00/10"
    agrees(sample.load_target(), [shots[0], shots[2], shots[3]])


def test_what_is_wrong_is_named(root) -> None:
    with pytest.raises(BenchError, match="scene0000_00: expected the folder of a scene"):
        Scannet(root, scenes=["scene0000_00"])
    pose = root / "scene0707_00/pose/0.txt"
    np.savetxt(pose, np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(BenchError, match="left-handed"):
        Scannet(root).samples("test")[0].load_target()
    before = Scannet(root).content_hash("test")
    pose.unlink()
    assert Scannet(root).content_hash("test") != before
    intrinsic = root / "scene0707_00/intrinsic/intrinsic_depth.txt"
    intrinsic.write_text("1 2 3")
    with pytest.raises(BenchError, match="expected a 4x4 matrix, got 3 numbers"):
        Scannet(root)
