"""Each format read as written, and each way it can be cut or spoiled refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.geometry.cloud_files import (
    read_kitti_bin,
    read_pcd,
    read_ply,
    read_text,
    write_ply,
)

ASCII_PLY = b"""ply\r
format ascii 1.0\r
comment camera first, then the points\r
element camera 1\r
property float f\r
element vertex 2\r
property uchar red\r
property float x\r
property float y\r
property float z\r
element face 1\r
property list uchar int vertex_indices\r
end_header\r
525\r
255 1 2 3\r
0 4.5 -5 6e1\r
3 0 1 1\r
"""
ASCII_PCD = b"""# .PCD v0.7
VERSION 0.7
FIELDS x y z label
SIZE 4 4 4 4
TYPE F F F U
COUNT 1 1 1 1
WIDTH 2
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS 2
DATA ascii
1 2 3 7
nan nan nan 8
"""


def save(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_text_ply_with_an_element_before_the_vertices(tmp_path: Path) -> None:
    columns = read_ply(save(tmp_path, "a.ply", ASCII_PLY))
    assert list(columns) == ["red", "x", "y", "z"]
    assert [columns[name].tolist() for name in "xyz"] == [[1, 4.5], [2, -5], [3, 60]]


@pytest.mark.parametrize(("form", "order"), [("little", "<"), ("big", ">")])
def test_binary_ply_of_both_byte_orders(tmp_path: Path, form, order) -> None:
    header = (
        f"ply\nformat binary_{form}_endian 1.0\nelement camera 1\nproperty double f\n"
        "element vertex 2\nproperty float x\nproperty uchar red\nproperty double y\n"
        "property short z\nend_header\n"
    )
    rows = [(1.5, 255, -2.25, -300), (4.0, 0, 1e300, 7)]
    body = struct.pack(f"{order}d", 525) + b"".join(struct.pack(f"{order}fBdh", *r) for r in rows)
    columns = read_ply(save(tmp_path, "b.ply", header.encode() + body + b"faces"))
    for column, values in zip(columns.values(), zip(*rows, strict=True), strict=True):
        assert column.tolist() == list(values)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_ply_is_an_error_in_text_and_binary(tmp_path: Path, keep) -> None:
    write_ply(tmp_path / "binary.ply", np.random.default_rng(0).normal(size=(100, 3)))
    rows = b"".join(b"%d 0 1\n" % row for row in range(100))
    properties = b"".join(b"property float %c\n" % name for name in b"xyz")
    text = b"ply\nformat ascii 1.0\nelement vertex 100\n" + properties + b"end_header\n" + rows
    for data in (text, (tmp_path / "binary.ply").read_bytes()):
        with pytest.raises(ValueError, match=r"cut\.ply: expected"):
            read_ply(save(tmp_path, "cut.ply", data[: int(len(data) * keep)]))
    with pytest.raises(ValueError, match="expected 100 points, got the data of 99"):
        read_ply(save(tmp_path, "cut.ply", (tmp_path / "binary.ply").read_bytes()[:-1]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ply\r", b"PNG\r", "starts with 'ply'"),
        (b"format ascii", b"format ebcdic", "broken"),
        (b"format ascii 1.0\r\n", b"", "no format line"),
        (b"element vertex 2", b"element vertex two", "broken"),
        (b"element vertex 2", b"element vertex -2", "broken one .element vertex -2"),
        (b"element vertex 2", b"element vertex 99999999999", "expected 99999999999 points"),
        (b"element vertex 2", b"element point 2", "got a list|element 'vertex'"),
        (b"property float x", b"property quad x", "unknown type"),
        (b"property float x", b"property list uchar int x", "list"),
        (b"end_header", b"the_end", "ends with|broken"),
        (b"0 4.5 -5 6e1", b"0 4.5 minus 6e1", "rows of numbers"),
        (b"0 4.5 -5 6e1", b"0 4.5 -5", "rows of numbers"),
    ],
)
def test_spoiled_ply_is_an_error(tmp_path: Path, old, new, message) -> None:
    assert old in ASCII_PLY
    with pytest.raises(ValueError, match=message):
        read_ply(save(tmp_path, "spoiled.ply", ASCII_PLY.replace(old, new, 1)))


def test_binary_ply_that_announces_too_much_allocates_nothing(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", np.eye(3))
    data = (tmp_path / "a.ply").read_bytes().replace(b"vertex 3", b"vertex 3000000000000")
    with pytest.raises(ValueError, match="expected 3000000000000 points, got the data of 3"):
        read_ply(save(tmp_path, "b.ply", data))


def test_pcd_text_and_binary(tmp_path: Path) -> None:
    columns = read_pcd(save(tmp_path, "a.pcd", ASCII_PCD))
    assert columns is not None
    assert columns["x"][0] == 1
    assert np.isnan(columns["z"][1])
    header = ASCII_PCD.split(b"DATA")[0] + b"DATA binary\n"
    body = struct.pack("<fffIfffI", 1, 2, 3, 7, 4, 5, 6, 8)
    columns = read_pcd(save(tmp_path, "b.pcd", header + body))
    assert columns is not None
    assert columns["y"].tolist() == [2, 5]
    assert columns["label"].tolist() == [7, 8]
    with pytest.raises(ValueError, match="expected 2 points, got the data of 1"):
        read_pcd(save(tmp_path, "c.pcd", header + body[:-1]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"nan nan nan 8\n", b"", "expected 2 points of 4 numbers, got 1"),
        (b"nan nan nan 8\n", b"nan nan\n", "rows of numbers"),
        (b"POINTS 2\n", b"", "broken one"),
        (b"SIZE 4 4 4 4", b"SIZE 4 4 4", "broken one"),
        (b"SIZE 4 4 4 4", b"SIZE 4 4 4 x", "broken one"),
        (b"DATA ascii", b"DATA lzma", "ascii or binary"),
        (b"# .PCD", b"RIFFxx", "starts with '#'"),
        (b"DATA ascii\n", b"", "header that ends with 'DATA'"),
    ],
)
def test_spoiled_pcd_is_an_error(tmp_path: Path, old, new, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_pcd(save(tmp_path, "spoiled.pcd", ASCII_PCD.replace(old, new, 1)))


def test_pts_counts_its_points(tmp_path: Path) -> None:
    columns = read_text(save(tmp_path, "a.pts", b"2\r\n1 2 3 9\r\n4 5 6 9\r\n"))
    assert [columns[name].tolist() for name in "xyz"] == [[1, 4], [2, 5], [3, 6]]
    with pytest.raises(ValueError, match="expected 3 points of 3 numbers, got 2"):
        read_text(save(tmp_path, "b.pts", b"3\n1 2 3\n4 5 6\n"))
    with pytest.raises(ValueError, match="number of points in line 1"):
        read_text(save(tmp_path, "c.pts", b"1 2 3\n4 5 6\n"))


@pytest.mark.parametrize("text", [b"1 2 3\nhello\n4 5 6\n", b"1 2\n3 4\n", b"1 2 3\n4 5\n"])
def test_spoiled_xyz_is_an_error(tmp_path: Path, text) -> None:
    with pytest.raises(ValueError, match=r"spoiled\.xyz: expected"):
        read_text(save(tmp_path, "spoiled.xyz", text))


def test_kitti_bin(tmp_path: Path) -> None:
    rows = np.arange(8, dtype="<f4").reshape(2, 4)
    np.testing.assert_array_equal(read_kitti_bin(save(tmp_path, "a.bin", rows.tobytes())), rows)
    with pytest.raises(ValueError, match="expected 16 bytes a point, got 31 bytes"):
        read_kitti_bin(save(tmp_path, "b.bin", rows.tobytes()[:-1]))
