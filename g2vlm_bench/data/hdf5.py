"""Arrays from HDF5 files, of which MATLAB's v7.3 files are a kind: the one door of h5py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError

T = TypeVar("T")

_MAX_BYTES = 4 << 30


def load_hdf5(path: Path, key: str, index: int | None = None) -> NDArray[Any]:
    """Read an array of numbers.

    MATLAB's arrays come with their dimensions in reverse: `depths(480, 640, 1449)` is
    `(1449, 640, 480)` here.

    Args:
        path: The file.
        key: Name of the array.
        index: Read only this entry of its first dimension.

    Raises:
        BenchError: The file is missing or damaged, has no such array or entry, holds something
            else than numbers there, or leads to another file; or h5py is not installed.
    """

    def read(file: Any) -> NDArray[Any]:
        array = _array(file, key, path)
        if array.dtype.kind not in "uifb":
            raise BenchError(path, expected=f"numbers in '{key}'", got=f"dtype {array.dtype}")
        if index is not None and not (array.ndim and 0 <= index < len(array)):
            raise BenchError(path, expected=f"entry {index} of '{key}'", got=f"shape {array.shape}")
        wanted = array.nbytes if index is None else array.nbytes // len(array)
        if wanted > _MAX_BYTES:
            raise BenchError(path, expected="at most 4 GiB an array", got=f"{wanted} bytes")
        return np.asarray(array[()] if index is None else array[index])

    return _opened(path, read)


def hdf5_shape(path: Path, key: str) -> tuple[int, ...]:
    """Read the shape of an array, and nothing of its content; raises as `load_hdf5`."""
    return _opened(path, lambda file: tuple(_array(file, key, path).shape))


def hdf5_texts(path: Path, key: str) -> list[str]:
    """Read a MATLAB cell of texts; raises as `load_hdf5`."""

    def read(file: Any) -> list[str]:
        cell = _array(file, key, path)
        if cell.dtype.kind != "O":
            raise BenchError(path, expected=f"a cell of texts in '{key}'", got=cell.dtype)
        texts = [_inside(file[reference], key, path)[()] for reference in np.ravel(cell)]
        return ["".join(map(chr, np.ravel(text))) for text in texts]

    return _opened(path, read)


def _opened(path: Path, read: Callable[[Any], T]) -> T:
    try:
        import h5py
    except ImportError:
        raise BenchError(
            path, expected="the package h5py", got="none", fix="pip install g2vlm-bench[hdf5]"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return read(file)
    except BenchError:
        raise
    except Exception as error:  # h5py raises whatever the C library found
        raise BenchError(
            path,
            expected="a whole HDF5 file",
            got=str(error) or type(error).__name__,
            fix="Fetch the file again.",
        ) from None


def _array(file: Any, key: str, path: Path) -> Any:
    # Links and external storage could read any file of this machine as if it were data.
    link = file.get(key, getlink=True)
    array = file.get(key) if type(link).__name__ == "HardLink" else None
    if array is None or not hasattr(array, "shape"):
        raise BenchError(path, expected=f"an array '{key}'", got=", ".join(file) or "nothing")
    return _inside(array, key, path)


def _inside(array: Any, key: str, path: Path) -> Any:
    if array.external or array.is_virtual:
        raise BenchError(path, expected=f"'{key}' within the file", got="a link to other files")
    return array
