"""RealEstate10K: parts of the image as intrinsics, frames that could not be fetched, no depth."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.realestate10k import RealEstate10k
from g2vlm_bench.errors import BenchError


def line(time: int, shot) -> str:
    (fx, _, cx), (_, fy, cy) = shot.intrinsics[:2]
    numbers = [fx / 16, fy / 12, cx / 16, cy / 12, 0, 0, *shot.camera_from_world[:3].ravel()]
    return " ".join([str(time), *(f"{number:.9f}" for number in numbers)])


@pytest.fixture
def root(tmp_path, shots):
    (tmp_path / "cameras").mkdir()
    rows = ["https://www.youtube.com/watch?v=none"]
    for number, shot in enumerate(shots):
        rows.append(line(52553000 + number, shot))
        shot.write_image(tmp_path / f"images/000c3ab189999a83/{52553000 + number}.png")
    (tmp_path / "cameras/000c3ab189999a83.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_cameras_and_poses(root, shots) -> None:
    (sample,) = RealEstate10k(root, sampling=Sampling(views=0), given=["poses"]).samples("test")
    assert sample.cluster == "000c3ab189999a83"
    assert len(sample.load_inputs().world_from_camera) == 4
    target = sample.load_target()
    assert (target.depth_m, target.points_world) == (None, None)
    for shot, camera, pose in zip(shots, target.intrinsics, target.world_from_camera, strict=True):
        np.testing.assert_allclose(camera, shot.intrinsics, atol=1e-6)
        np.testing.assert_allclose(pose, shot.world_from_camera, atol=1e-6)


def test_frames_and_clips_that_are_gone_are_left_out(root) -> None:
    (root / "images/000c3ab189999a83/52553001.png").unlink()
    (root / "cameras/gone.txt").write_text("https://www.youtube.com/watch?v=gone\n")
    names = [sample.id for sample in RealEstate10k(root).samples("test")]
    assert names == [f"000c3ab189999a83/5255300{n}" for n in (0, 2, 3)]
    with pytest.raises(BenchError, match="clip 'other'"):
        RealEstate10k(root, clips=["other"])
    with pytest.raises(BenchError, match="at most 3 frames"):
        RealEstate10k(root, sampling=Sampling(random=10, views=0))


def test_what_is_wrong_is_named(root, shots) -> None:
    path = root / "cameras/000c3ab189999a83.txt"
    for bad, says in (("1 2 3", "19 numbers, got 3"), ("one", "19 numbers")):
        path.write_text(f"address\n{bad}\n")
        with pytest.raises(BenchError, match=f"line 2: expected {says}"):
            RealEstate10k(root)
    mirrored = line(52553000, shots[0]).split()
    mirrored[7:10] = [str(-float(word)) for word in mirrored[7:10]]
    path.write_text(f"address\n{' '.join(mirrored)}\n")
    with pytest.raises(BenchError, match=r"line 2: expected a rigid .*left-handed"):
        RealEstate10k(root).samples("test")[0].load_target()
