"""Sintel's binary depth and cameras, written byte by byte, and every way they break."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.sintel import Sintel
from g2vlm_bench.errors import BenchError

K = [1120, 0, 511.5, 0, 1120, 217.5, 0, 0, 1]
# The camera stands at (1, 2, 3) and looks along +x: its x axis is the world's -z.
WORLD_FROM_CAMERA = np.array([[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1.0]])


def write_camera(path: Path, camera_from_world: np.ndarray) -> None:
    numbers = [*K, *camera_from_world[:3].ravel()]
    path.write_bytes(struct.pack("<f21d", 202021.25, *numbers))


def write_frame(root: Path, sequence: str, number: int) -> None:
    for folder in ("final", "depth", "camdata_left"):
        (root / folder / sequence).mkdir(parents=True, exist_ok=True)
    name = f"{sequence}/frame_{number:04d}"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / f"final/{name}.png")
    depth = np.full((4, 6), 2.0, "<f4")
    depth[0, 0] = 1e9  # the sky
    (root / f"depth/{name}.dpt").write_bytes(struct.pack("<fii", 202021.25, 6, 4) + depth.tobytes())
    write_camera(root / f"camdata_left/{name}.cam", np.linalg.inv(WORLD_FROM_CAMERA))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for sequence in ("alley_2", "temple_3"):
        for number in (1, 2, 10):
            write_frame(tmp_path, sequence, number)
    return tmp_path


def test_depth_camera_and_pose(root: Path) -> None:
    sample = Sintel(root).samples("test")[0]
    assert (sample.id, sample.cluster) == ("alley_2/frame_0001", "alley_2")
    target = sample.load_target()
    assert target.depth_m is not None
    assert target.intrinsics is not None
    assert target.world_from_camera is not None
    assert target.points_world is not None
    # Sky is far, not invalid: protocols cap it.
    assert target.depth_m[0][0, 0] == np.float32(1e9)
    assert (target.depth_m[0][1:] == 2).all()
    # 511.5 with pixel centres at whole numbers is the middle of 1024 columns.
    assert target.intrinsics[0][:2, 2].tolist() == [512, 218]
    np.testing.assert_allclose(target.world_from_camera[0], WORLD_FROM_CAMERA, atol=1e-12)
    # Pixel (1, 5): the ray is ((5.5 - 512) / 1120, (1.5 - 218) / 1120, 1), times 2.
    x, y = -506.5 / 560, -216.5 / 560
    np.testing.assert_allclose(target.points_world[11], [1 + 2, 2 + y, 3 - x], atol=1e-6)


def test_sequences_and_frames_in_order(root: Path) -> None:
    found = Sintel(root, sequences=["temple_3"], sampling=Sampling(every=2, views=0))
    (sample,) = found.samples("test")
    assert sample.id == "temple_3/frame_0001-temple_3/frame_0010"
    assert len(sample.load_inputs().images) == 2


def test_missing_sequences_are_named(root: Path) -> None:
    with pytest.raises(BenchError, match=r"cave_2: expected the folder of a sequence"):
        Sintel(root, sequences=["cave_2"])
    (root / "final/empty").mkdir()
    with pytest.raises(BenchError, match=r"empty: expected images"):
        Sintel(root)
    with pytest.raises(BenchError, match="clean"):
        Sintel(root, render="clean")


def test_broken_frames_leave_their_samples_unscored(root: Path) -> None:
    before = Sintel(root).content_hash("test")
    depth = root / "depth/alley_2/frame_0001.dpt"
    depth.write_bytes(depth.read_bytes()[:-1])
    (root / "depth/alley_2/frame_0002.dpt").unlink()
    mirrored = np.linalg.inv(WORLD_FROM_CAMERA)
    mirrored[0] *= -1
    write_camera(root / "camdata_left/alley_2/frame_0010.cam", mirrored)
    lost = np.full((4, 4), np.inf)
    write_camera(root / "camdata_left/temple_3/frame_0001.cam", lost)
    (root / "camdata_left/temple_3/frame_0002.cam").write_bytes(b"PIEH")
    found = Sintel(root)
    assert found.content_hash("test") != before
    says = [
        r"frame_0001\.dpt: expected 96 bytes of numbers .6 x 4., got 95",
        r"frame_0002\.dpt.*No such file",
        r"frame_0010\.cam: expected a rigid 4x4 pose, got .*left-handed",
        r"frame_0001\.cam: expected a rigid 4x4 pose",
        r"frame_0002\.cam: expected a tag",
    ]
    for sample, message in zip(found.samples("test"), says, strict=False):
        assert sample.load_inputs().images
        with pytest.raises(BenchError, match=message):
            sample.load_target()
    assert found.samples("test")[5].load_target().points_world is not None
