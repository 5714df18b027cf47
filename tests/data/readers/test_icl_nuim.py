"""ICL-NUIM: y points up, and whoever forgets it gets a mirrored world."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.readers.icl_nuim import IclNuim
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import quaternion_from_matrix

MIRROR = np.diag([1.0, -1.0, 1.0])
NORMAL = np.array([0.1, 0.2, 0.97])


@pytest.fixture
def root(tmp_path, shots):
    """The plane n . X = 3 in the files' own terms, computed there: x right, y up, fy = -480."""
    folder = tmp_path / "living_room_traj0_frei_png"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    rays = np.stack([(columns - 319.5) / 481.2, (rows - 239.5) / -480.0, np.ones((480, 640))], -1)
    lines, pairs = [], []
    for number, shot in enumerate(shots[:2], start=1):
        pose = shot.world_from_camera
        depth = (3 - NORMAL @ pose[:3, 3]) / (rays @ pose[:3, :3].T @ NORMAL)
        values = np.round(depth * 5000).astype(np.uint16)
        values[0, 0] = 0
        Image.fromarray(values).save(folder / f"depth/{number}.png")
        Image.fromarray(np.zeros((480, 640, 3), np.uint8)).save(folder / f"rgb/{number}.png")
        w, x, y, z = quaternion_from_matrix(pose[:3, :3])
        numbers = [*pose[:3, 3], x, y, z, w]
        lines.append(" ".join([str(number), *(f"{value:.9f}" for value in numbers)]))
        pairs.append(f"{number} depth/{number}.png {number} rgb/{number}.png")
    (folder / "livingRoom0.gt.freiburg").write_text("\n".join(lines) + "\n")
    (folder / "associations.txt").write_text("\n".join(["0 depth/0.png 0 rgb/0.png", *pairs]))
    return tmp_path


def test_the_world_is_the_mirror_image_of_the_files(root, shots) -> None:
    samples = IclNuim(root).samples("test")
    assert [s.id for s in samples] == [f"living_room_traj0_frei_png/{n}" for n in (1, 2)]
    for sample, shot in zip(samples, shots, strict=False):
        target = sample.load_target()
        (camera,), (pose,) = target.intrinsics, target.world_from_camera
        np.testing.assert_allclose(camera, [[481.2, 0, 320], [0, 480, 240], [0, 0, 1]])
        np.testing.assert_allclose(pose[:3, 3], MIRROR @ shot.world_from_camera[:3, 3], atol=1e-8)
        points = target.points_world
        assert len(points) == 640 * 480 - 1
        np.testing.assert_allclose(points @ MIRROR @ NORMAL, 3, atol=3e-4)
        # With the poses as they stand in the file, the points of a camera in OpenCV's axes do not
        # lie on the plane.
        in_camera = (points - pose[:3, 3]) @ pose[:3, :3]
        naive = in_camera @ shot.world_from_camera[:3, :3].T + shot.world_from_camera[:3, 3]
        assert np.abs(naive @ NORMAL - 3).max() > 0.1


def test_numbers_may_be_offset(root) -> None:
    (sample,) = IclNuim(root, pose_offset=1).samples("test")[1:]
    assert sample.id.endswith("/1")


def test_what_is_wrong_is_named(root) -> None:
    folder = root / "living_room_traj0_frei_png"
    path = folder / "livingRoom0.gt.freiburg"
    path.write_text("1 0 0 0 0 0 0 0\n")
    with pytest.raises(BenchError, match="pose 1: expected tx ty tz qx qy qz qw, got quaternion"):
        IclNuim(root).samples("test")[0].load_target()
    for bad in ("1 0 0\n", "one 0 0 0 0 0 0 1\n"):
        path.write_text(bad)
        with pytest.raises(BenchError, match="a number and 7 words a line"):
            IclNuim(root)
    path.unlink()
    with pytest.raises(BenchError, match=r"one trajectory \*\.gt\.freiburg, got 0 files"):
        IclNuim(root)
