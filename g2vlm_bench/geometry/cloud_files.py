"""Strict readers of point cloud files, in numpy: what is missing is an error, never an invention.

Open3D answers a truncated PLY, PTS or text PCD with the announced number of points, the missing
ones being whatever was in memory (0.20.0). So these formats are read here; each reader returns the
columns of the file by name, and `clouds.read_cloud` makes a cloud of them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]

PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
PLY_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
HEADER_LIMIT = 1 << 16
# Name, count, and the name and type of each property.
PlyElement = tuple[str, int, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class PlyHeader:
    """What stands before the data of a PLY file.

    Attributes:
        lines: As they are.
        order: Byte order as numpy writes it, empty for text.
        elements: In the order of the data.
    """

    lines: list[str]
    order: str
    elements: list[PlyElement]


def read_ply(path: Path) -> Columns:
    """Return the scalar properties of the vertices of a PLY file, text or binary.

    Elements after the vertices (faces) are not read.

    Raises:
        ValueError: for a bad header, list properties before the last vertex, or fewer vertices
            than the header announces.

    Source: Turk 1994, the PLY polygon file format.
    """
    with path.open("rb") as file:
        return ply_vertices(path, read_ply_header(file, path), file.read())


def read_ply_header(file: BinaryIO, path: Path) -> PlyHeader:
    """Read what stands before the data of a PLY file, and no further.

    Raises:
        ValueError: for a bad header.
    """
    lines = _read_header(file, path, b"ply", b"end_header")
    return PlyHeader(lines, *_ply_elements(path, lines))


def ply_vertices(path: Path, header: PlyHeader, body: bytes) -> Columns:
    """Return the vertices in the data of a PLY file, as `read_ply`."""
    order, skipped = header.order, 0
    for name, count, properties in header.elements:
        if any(kind not in PLY_TYPES for _, kind in properties):
            raise ValueError(f"{path}: expected scalar properties, got a list or unknown type")
        if name == "vertex":
            if order == "":
                return _text_columns(path, body, [name for name, _ in properties], count, skipped)
            layout = np.dtype([(name, order + PLY_TYPES[kind]) for name, kind in properties])
            return _binary_columns(path, body[skipped:], layout, count)
        size = sum(np.dtype(PLY_TYPES[kind]).itemsize for _, kind in properties)
        skipped += count * (size if order else 1)
    raise ValueError(f"{path}: expected an element 'vertex', got none")


def read_pcd(path: Path) -> Columns | None:
    """Return the fields of a PCD file in text or binary form; None where it is compressed.

    Raises:
        ValueError: for a bad header, or fewer points than it announces.

    Source: Point Cloud Library, the PCD file format, version 0.7.
    """
    with path.open("rb") as file:
        header, body = _read_header(file, path, b"#", b"DATA", b"VERSION"), file.read()
    entries = {line.split()[0]: line.split()[1:] for line in header if line.strip()}
    try:
        points = int(entries["POINTS"][0])
        form = entries["DATA"][0]
        fields = list(zip(entries["FIELDS"], entries["TYPE"], entries["SIZE"], strict=True))
        counts = [int(count) for count in entries.get("COUNT", ["1"] * len(fields))]
        layout = np.dtype(
            [
                (name, f"<{kind.lower()}{size}", (count,) if count > 1 else ())
                for (name, kind, size), count in zip(fields, counts, strict=True)
            ]
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected a PCD header, got a broken one ({error})") from error
    if form == "binary_compressed":
        return None
    if form == "binary":
        return _binary_columns(path, body, layout, points)
    if form != "ascii" or max(counts, default=0) > 1:
        raise ValueError(f"{path}: expected DATA ascii or binary of scalar fields, got {form}")
    return _text_columns(path, body, list(layout.names or ()), points)


def read_text(path: Path) -> Columns:
    """Return x, y, z of a text file with one point a line (.xyz), further columns ignored.

    A .pts file starts with the number of its points, which is then checked.

    Raises:
        ValueError: for a line that is not numbers, ragged lines, or a wrong number of points.
    """
    body = path.read_bytes()
    expected = None
    if path.suffix.lower() == ".pts":
        first, _, body = body.partition(b"\n")
        try:
            expected = int(first)
        except ValueError as error:
            raise ValueError(
                f"{path}: expected the number of points in line 1, got {first[:40]!r}"
            ) from error
    return _text_columns(path, body, ["x", "y", "z"], expected)


def read_kitti_bin(path: Path) -> NDArray[np.float32]:
    """Return a KITTI laser scan: (N, 4) float32, x y z in metres (sensor frame) and reflectance.

    Raises:
        ValueError: for a file whose size is not a multiple of 16 bytes.

    Source: Geiger et al. 2013, KITTI raw data, devkit readme.
    """
    data = path.read_bytes()
    if len(data) % 16 != 0:
        raise ValueError(f"{path}: expected 16 bytes a point, got {len(data)} bytes in all")
    return np.frombuffer(data, dtype="<f4").reshape(-1, 4)


def write_ply(
    path: Path,
    points: NDArray[Any],
    normals: NDArray[Any] | None = None,
    colors: NDArray[np.uint8] | None = None,
) -> None:
    """Write a binary PLY file with float64 coordinates and 8-bit colours.

    Args:
        path: the file to write; an existing one is replaced.
        points: (N, 3).
        normals: (N, 3) or None.
        colors: (N, 3) red, green and blue, or None.

    Raises:
        ValueError: for other shapes.
    """
    parts = {"x y z": points, "nx ny nz": normals, "red green blue": colors}
    given = {names: np.asarray(part) for names, part in parts.items() if part is not None}
    if any(part.shape != (len(given["x y z"]), 3) for part in given.values()):
        got = ", ".join(str(part.shape) for part in given.values())
        raise ValueError(f"{path}: expected arrays (N, 3), got {got}")
    kinds = {"x y z": ("double", "<f8"), "nx ny nz": ("double", "<f8")}
    columns = [
        (name, *kinds.get(names, ("uchar", "u1")), part[:, axis])
        for names, part in given.items()
        for axis, name in enumerate(names.split())
    ]
    rows = np.empty(len(given["x y z"]), [(name, kind) for name, _, kind, _ in columns])
    for name, _, _, values in columns:
        rows[name] = values
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(rows)}",
        *(f"property {spoken} {name}" for name, spoken, _, _ in columns),
        "end_header",
    ]
    with path.open("wb") as file:
        file.write("\n".join(header).encode() + b"\n")
        file.write(rows.tobytes())


def _read_header(
    file: BinaryIO, path: Path, magic: bytes, last: bytes, alternative: bytes | None = None
) -> list[str]:
    """Read the lines of a text header up to the line that starts with `last`."""
    line = file.readline(HEADER_LIMIT)
    if not line.startswith((magic, alternative) if alternative else magic):
        raise ValueError(
            f"{path}: expected a file that starts with {magic.decode()!r}, got {line[:8]!r}"
        )
    lines = []
    while line and file.tell() <= HEADER_LIMIT:
        lines.append(line.decode("latin-1").strip())
        if line.startswith(last):
            return lines
        line = file.readline(HEADER_LIMIT)
    raise ValueError(f"{path}: expected a header that ends with {last.decode()!r}, got none")


def _ply_elements(path: Path, header: list[str]) -> tuple[str, list[PlyElement]]:
    """Return the byte order ('' for text) and each element's name, count and (name, type)s."""
    order: str | None = None
    elements: list[PlyElement] = []
    try:
        for words in (line.split() for line in header[1:-1]):
            match words:
                case ["format", form, _]:
                    order = PLY_BYTE_ORDERS[form]
                case ["element", name, count] if not count.startswith("-"):
                    elements.append((name, int(count), []))
                case ["property", kind, name]:
                    elements[-1][2].append((name, kind))
                case ["property", "list", *_, name]:
                    elements[-1][2].append((name, "list"))
                case ["comment" | "obj_info", *_] | []:
                    pass
                case _:
                    raise ValueError(" ".join(words))
        if order is None:
            raise ValueError("no format line")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path}: expected a PLY header, got a broken one ({error})") from error
    return order, elements


def _binary_columns(path: Path, body: bytes, layout: np.dtype[Any], count: int) -> Columns:
    available = len(body) // layout.itemsize if layout.itemsize else 0
    if not 0 <= count <= available:
        raise ValueError(f"{path}: expected {count} points, got the data of {available}")
    table = np.frombuffer(body, dtype=layout, count=count)
    return {name: table[name] for name in layout.names or ()}


def _text_columns(
    path: Path, body: bytes, names: list[str], count: int | None, skip: int = 0
) -> Columns:
    try:
        # An empty table is reported below; numpy would warn on standard error.
        text = io.StringIO(body.decode("latin-1"))
        lines = [line for line in text if line.strip() and not line.startswith("#")]
        lines = lines[skip:] if count is None else lines[skip : skip + count]
        table = np.loadtxt(lines, ndmin=2) if lines else np.empty((0, len(names)))
    except ValueError as error:
        raise ValueError(f"{path}: expected rows of numbers, got otherwise ({error})") from error
    if table.shape[1] < len(names) or (count is not None and len(table) != count):
        raise ValueError(
            f"{path}: expected {'some' if count is None else count} points of {len(names)} "
            f"numbers, got {len(table)} of {table.shape[1]}"
        )
    return {name: table[:, column] for column, name in enumerate(names)}
