"""FastDepth's files of one frame each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.data.readers.hdf5_frames import Hdf5Frames
from g2vlm_bench.errors import BenchError

h5py = pytest.importorskip("h5py")


def write_frame(path: Path, **changes: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((3, 4, 6), np.uint8)
    rgb[:, 1, 2] = [10, 20, 30]
    depth = np.full((4, 6), 2.5, np.float32)
    depth[0, :4] = [0, np.nan, np.inf, -1]
    with h5py.File(path, "w") as file:
        for key, value in ({"rgb": rgb, "depth": depth} | changes).items():
            file[key] = value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("val/official/00001", "val/official/00002", "train/kitchen_0004/00001"):
        write_frame(tmp_path / f"{name}.h5")
    return tmp_path


def test_frames_and_splits(root: Path) -> None:
    found = Hdf5Frames(root, train="train/{scene}/{id}.h5", intrinsics=[5, 5, 2.5, 1.5])
    samples = found.samples("test")
    assert [(s.id, s.cluster) for s in samples] == [("00001", "00001"), ("00002", "00002")]
    assert [s.id for s in found.samples("train")] == ["kitchen_0004/00001"]
    assert Hdf5Frames(root).samples("train") == []
    assert samples[0].load_inputs().images[0][1, 2].tolist() == [10, 20, 30]
    target = samples[0].load_target()
    assert target.depth_m is not None
    assert np.isnan(target.depth_m[0][0, :4]).all()
    assert (target.depth_m[0][1:] == 2.5).all()
    assert target.points_world is not None
    assert len(target.points_world) == 20
    rooms = Hdf5Frames(root, test="train/{scene}/{id}.h5", cluster="{scene}").samples("test")
    assert rooms[0].cluster == "kitchen_0004"


def test_broken_files_fail_alone(root: Path) -> None:
    before = Hdf5Frames(root).content_hash("test")
    path = root / "val/official/00001.h5"
    path.write_bytes(path.read_bytes()[:500])
    found = Hdf5Frames(root)
    assert found.content_hash("test") != before
    first, second = found.samples("test")
    for load in (first.load_inputs, first.load_target):
        with pytest.raises(BenchError, match=r"00001\.h5: expected a whole HDF5 file"):
            load()
    assert second.load_target().depth_m is not None
    write_frame(path, rgb=np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(BenchError, match=r"'rgb' \(3, H, W\) of uint8, got uint8 of \(4, 6, 3\)"):
        first.load_inputs()
    write_frame(path, depth=np.zeros(3, np.float32))
    with pytest.raises(BenchError, match=r"'depth' \(H, W\)"):
        first.load_target()
    with pytest.raises(BenchError, match="expected files"):
        Hdf5Frames(root, test="nothing/{id}.h5")
