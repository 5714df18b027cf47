"""Spring: HDF5 disparity of twice the size, cameras by line, the sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.spring import Spring
from g2vlm_bench.errors import BenchError

h5py = pytest.importorskip("h5py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "0001"
    for name in ("frame_left", "disp1_left", "cam_data"):
        (folder / name).mkdir(parents=True)
    disparity = np.full((8, 12), 99.0, np.float32)
    disparity[::2, ::2] = 13.0
    disparity[0, :6:2] = [np.nan, 0, -1]
    for number in (1, 2):
        image = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
        image.save(folder / f"frame_left/frame_left_{number:04d}.png")
        with h5py.File(folder / f"disp1_left/disp1_left_{number:04d}.dsp5", "w") as file:
            file.create_dataset("disparity", data=disparity, compression="gzip")
    (folder / "cam_data/intrinsics.txt").write_text("1000 1000 2.5 1.5\n2000 2000 2.5 1.5\n")
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = -7
    lines = [" ".join(map(str, pose.ravel())) for pose in poses]
    (folder / "cam_data/extrinsics.txt").write_text("\n".join(lines))
    return tmp_path


def test_depth_and_cameras_of_each_frame(root: Path) -> None:
    (sample,) = Spring(root, sampling=Sampling(views=0)).samples("test")
    assert (sample.id, sample.cluster) == ("0001/0001-0001/0002", "0001")
    target = sample.load_target()
    assert target.depth_m is not None
    assert target.world_from_camera is not None
    assert target.intrinsics is not None
    for depth, metres in zip(target.depth_m, (5.0, 10.0), strict=True):  # f * 0.065 / 13
        assert np.isnan(depth[0, :3]).all()
        np.testing.assert_allclose(depth[1:], np.full((3, 6), metres))
    # The file has camera_from_world.
    assert target.world_from_camera[1][0, 3] == 7
    assert target.intrinsics[1][0].tolist() == [2000, 0, 3]


def test_missing_cameras_and_broken_files(root: Path) -> None:
    folder = root / "0001"
    path = folder / "disp1_left/disp1_left_0001.dsp5"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(BenchError, match=r"disp1_left_0001\.dsp5: expected a whole HDF5 file"):
        Spring(root).samples("test")[0].load_target()
    with h5py.File(path, "w") as file:
        file["disparity"] = np.ones((2, 3, 4))
    with pytest.raises(BenchError, match=r"a disparity .H, W."):
        Spring(root).samples("test")[0].load_target()
    with h5py.File(path, "w") as file:
        file["flow"] = np.ones((2, 3))
    with pytest.raises(BenchError, match="an array 'disparity', got flow"):
        Spring(root).samples("test")[0].load_target()
    (folder / "cam_data/intrinsics.txt").write_text("1000 1000 2.5 1.5\n")
    with pytest.raises(BenchError, match="cameras of frame 0002, got 1 and 2 lines"):
        Spring(root)
    (folder / "cam_data/intrinsics.txt").write_text("1000 1000 2.5\n")
    with pytest.raises(BenchError, match="4 numbers a line, got 3"):
        Spring(root)
