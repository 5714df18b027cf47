"""HDF5 files written by h5py itself: MATLAB's order, cells of texts, and every way they break."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.data.hdf5 import hdf5_shape, hdf5_texts, load_hdf5
from g2vlm_bench.errors import BenchError

h5py = pytest.importorskip("h5py")
STACK = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.mat"
    with h5py.File(found, "w") as file:
        file["depths"] = STACK
        file.create_dataset("packed", data=np.ones((200, 200)), compression="gzip")
        cell = file.create_dataset("scenes", (1, 2), dtype=h5py.ref_dtype)
        for index, name in enumerate(("kitchen_0001", "office_0002")):
            text = file.create_dataset(f"#refs#/{index}", data=[[ord(c)] for c in name], dtype="u2")
            cell[0, index] = text.ref
    return found


def test_whole_arrays_and_entries(path: Path) -> None:
    np.testing.assert_array_equal(load_hdf5(path, "depths"), STACK)
    np.testing.assert_array_equal(load_hdf5(path, "depths", 1), STACK[1])
    assert hdf5_shape(path, "depths") == (2, 3, 4)
    assert hdf5_texts(path, "scenes") == ["kitchen_0001", "office_0002"]


@pytest.mark.parametrize("index", [-1, 2])
def test_no_such_entry(path: Path, index: int) -> None:
    with pytest.raises(BenchError, match=r"entry -?\d of 'depths'"):
        load_hdf5(path, "depths", index)


def test_what_is_no_array_of_numbers(path: Path) -> None:
    with pytest.raises(BenchError, match="an array 'rgb', got #refs#, depths"):
        load_hdf5(path, "rgb")
    with pytest.raises(BenchError, match="an array '#refs#'"):
        load_hdf5(path, "#refs#")
    with pytest.raises(BenchError, match="numbers in 'scenes'"):
        load_hdf5(path, "scenes")
    with pytest.raises(BenchError, match="a cell of texts"):
        hdf5_texts(path, "depths")


def test_damaged_files_are_one_clear_line(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:100], whole[:-2000]):
        path.write_bytes(content)
        with pytest.raises(BenchError, match=r"a\.mat: expected a whole HDF5 file, got .*Fetch"):
            load_hdf5(path, "depths")
    with pytest.raises(BenchError, match=r"none\.mat: expected a whole HDF5 file"):
        load_hdf5(tmp_path / "none.mat", "depths")


def test_damage_within_a_compressed_array(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        at = file["packed"].id.get_chunk_info(0).byte_offset
    whole[at : at + 16] = bytes(16)
    path.write_bytes(whole)
    assert hdf5_shape(path, "packed") == (200, 200)
    with pytest.raises(BenchError, match="a whole HDF5 file"):
        load_hdf5(path, "packed")


def test_arrays_that_lead_to_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    """As data they could show a model any file of this machine."""
    (tmp_path / "secret").write_bytes(bytes(8))
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/depths")
        file["other"] = h5py.ExternalLink("b.h5", "depths")
        file.create_dataset("raw", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
        layout = h5py.VirtualLayout((2,), "f4")
        layout[:] = h5py.VirtualSource("b.h5", "depths", (2,))
        file.create_virtual_dataset("virtual", layout)
    for key in ("soft", "other"):
        with pytest.raises(BenchError, match=f"an array '{key}'"):
            load_hdf5(path, key)
    for key in ("raw", "virtual"):
        with pytest.raises(BenchError, match=f"'{key}' within the file"):
            load_hdf5(path, key)


def test_a_claimed_size_is_not_believed(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024))
    with pytest.raises(BenchError, match="at most 4 GiB"):
        load_hdf5(path, "huge")


def test_without_its_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BenchError, match=r"pip install g2vlm-bench\[hdf5\]"):
        load_hdf5(path, "depths")
