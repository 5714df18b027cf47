"""ARKitScenes: camera files whose times are a millisecond off, axis-angle poses, confidence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.arkitscenes import Arkitscenes
from g2vlm_bench.errors import BenchError

TIMES = (305.244, 305.344, 305.444, 305.544)


@pytest.fixture
def video(tmp_path, shots):
    folder = tmp_path / "41069021"
    for name in ("lowres_wide_intrinsics", "confidence"):
        (folder / name).mkdir(parents=True)
    lines = []
    for time, camera_time, shot in zip(
        TIMES, (305.244, 305.345, 305.443, 305.544), shots, strict=True
    ):
        name = f"41069021_{time:.3f}"
        shot.write_image(folder / f"lowres_wide/{name}.png")
        shot.write_depth(folder / f"lowres_depth/{name}.png", 1000)
        confidence = np.full((12, 16), 2, np.uint8)
        confidence[1, 1] = 1
        Image.fromarray(confidence).save(folder / f"confidence/{name}.png")
        camera = f"41069021_{camera_time:.3f}.pincam"
        (folder / "lowres_wide_intrinsics" / camera).write_text("16 12 14 15 8.0 5.0")
        rotation = Rotation.from_matrix(shot.camera_from_world[:3, :3]).as_rotvec()
        numbers = (time + 0.002, *rotation, *shot.camera_from_world[:3, 3])
        lines.append(" ".join(f"{number:.9f}" for number in numbers))
    (folder / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    return folder


def test_depth_cameras_and_poses_agree(video, shots, agrees) -> None:
    (sample,) = Arkitscenes(video.parent, sampling=Sampling(views=0)).samples("test")
    assert sample.id == "41069021/41069021_305.244-41069021/41069021_305.544"
    agrees(sample.load_target(), shots)


def test_the_3dod_part_has_a_folder_more(video, shots, agrees) -> None:
    below = video / "41069021_frames"
    below.mkdir()
    for path in list(video.iterdir()):
        if path != below:
            path.rename(below / path.name)
    agrees(Arkitscenes(video.parent).samples("test")[0].load_target(), shots[:1])


def test_low_confidence_is_no_truth(video) -> None:
    sample = Arkitscenes(video.parent, least_confidence=2).samples("test")[0]
    (depth,) = sample.load_target().depth_m
    assert np.isnan(depth[0, 0]) and np.isnan(depth[1, 1]) and np.isnan(depth).sum() == 2  # noqa: PT018


def test_frames_without_a_pose_near_in_time_are_left_out(video) -> None:
    path = video / "lowres_wide.traj"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert len(Arkitscenes(video.parent).samples("test")) == 3


def test_what_is_wrong_is_named(video) -> None:
    camera = video / "lowres_wide_intrinsics/41069021_305.244.pincam"
    camera.write_text("16 12 14")
    with pytest.raises(BenchError, match="expected width height fx fy cx cy, got 3"):
        Arkitscenes(video.parent).samples("test")[0].load_target()
    camera.unlink()
    with pytest.raises(BenchError, match=r"305\.244\.pincam: expected a readable file"):
        Arkitscenes(video.parent).samples("test")[0].load_target()
    depth = video / "lowres_depth/41069021_305.344.png"
    depth.write_bytes(depth.read_bytes()[:60])
    with pytest.raises(BenchError, match=r"305\.344\.png"):
        Arkitscenes(video.parent).samples("test")[1].load_target()
    camera.write_text("16 12 14 15 8.0 5.0")
    (video / "lowres_wide.traj").write_text("305.244 0 0 0 nan 0 0")
    with pytest.raises(BenchError, match=r"lowres_wide\.traj: expected time, axis"):
        Arkitscenes(video.parent).samples("test")[0].load_target()
    (video / "lowres_wide.traj").write_text("305.244 0 0 0 0 0")
    with pytest.raises(BenchError, match="7 numbers a line"):
        Arkitscenes(video.parent)
    (video / "lowres_wide/odd.png").write_bytes(b"")
    (video / "lowres_wide.traj").write_text("305.244 0 0 0 0 0 0")
    with pytest.raises(BenchError, match="a name VIDEO_TIME"):
        Arkitscenes(video.parent)
