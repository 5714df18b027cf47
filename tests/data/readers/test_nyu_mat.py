"""NYU's MATLAB files, written in their true form: HDF5 with reversed dimensions, and v5 lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from g2vlm_bench.data.readers.nyu_mat import NyuMat
from g2vlm_bench.errors import BenchError

h5py = pytest.importorskip("h5py")
SCENES = ("kitchen_0001", "kitchen_0001", "office_0002")


def write_labelled(path: Path) -> None:
    with h5py.File(path, "w") as file:
        size = {"images": (3, 3, 640, 480), "depths": (3, 640, 480), "rawDepths": (3, 640, 480)}
        sets = {
            key: file.create_dataset(key, shape, "u1" if key == "images" else "f4", chunks=True)
            for key, shape in size.items()
        }
        for index in range(3):
            sets["images"][index, :, 5, 7] = [10, 20, 30]  # column 5, row 7
            sets["depths"][index, 5, 7] = index + 1
        cell = file.create_dataset("scenes", (1, 3), dtype=h5py.ref_dtype)
        for index, name in enumerate(SCENES):
            text = file.create_dataset(f"#refs#/{index}", data=[[ord(c)] for c in name], dtype="u2")
            cell[0, index] = text.ref


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_labelled(tmp_path / "nyu_depth_v2_labeled.mat")
    lists = {"testNdxs": np.array([[1], [3]], np.uint16), "trainNdxs": np.array([[2]], np.uint16)}
    savemat(tmp_path / "splits.mat", lists)
    return tmp_path


def test_frames_stand_upright(root: Path) -> None:
    found = NyuMat(root, given=["intrinsics"])
    samples = found.samples("test")
    assert [(s.id, s.cluster) for s in samples] == [
        ("0001", "kitchen_0001"),
        ("0003", "office_0002"),
    ]
    assert [s.id for s in found.samples("train")] == ["0002"]
    assert found.counts()["labelled"] == 3
    inputs = samples[1].load_inputs()
    assert inputs.images[0].shape == (480, 640, 3)
    assert inputs.images[0][7, 5].tolist() == [10, 20, 30]
    assert inputs.intrinsics is not None
    depth = samples[1].load_target().depth_m
    assert depth is not None
    assert depth[0][7, 5] == 3
    assert np.isfinite(depth[0]).sum() == 1
    raw = NyuMat(root, depth="rawDepths")
    empty = raw.samples("test")[0].load_target().depth_m
    assert empty is not None
    assert np.isnan(empty[0]).all()
    assert raw.content_hash("test") != found.content_hash("test")


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"testNdxs": [4], "trainNdxs": [1]}, "numbers from 1 to 3 in 'testNdxs'"),
        ({"testNdxs": [0], "trainNdxs": [1]}, "numbers from 1 to 3 in 'testNdxs'"),
        ({"testNdxs": [], "trainNdxs": [1]}, "numbers from 1 to 3 in 'testNdxs'"),
        ({"testNdxs": [1]}, "a MATLAB file with 'trainNdxs'"),
    ],
)
def test_broken_lists(root: Path, numbers: dict[str, list[int]], says: str) -> None:
    savemat(root / "splits.mat", numbers)
    with pytest.raises(BenchError, match=says):
        NyuMat(root)


@pytest.mark.parametrize("content", [b"", b"hello", b"MATLAB 5.0" + bytes(200)])
def test_damaged_lists(root: Path, content: bytes) -> None:
    (root / "splits.mat").write_bytes(content)
    with pytest.raises(BenchError, match=r"splits\.mat: expected a MATLAB file with"):
        NyuMat(root)


def test_damaged_frames(root: Path) -> None:
    path = root / "nyu_depth_v2_labeled.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match="a whole HDF5 file"):
        NyuMat(root)
    path.write_bytes(whole)
    with pytest.raises(BenchError, match="an array 'depth'"):
        NyuMat(root, depth="depth")
    with h5py.File(path, "a") as file:
        del file["depths"]
        file["depths"] = np.ones((3, 480, 640), np.float32)
    with pytest.raises(BenchError, match=r"'depths' of \(3, 640, 480\), got \(3, 480, 640\)"):
        NyuMat(root)
