"""Strict readers of mesh files, in numpy; each returns vertices (V, 3) and triangles (T, 3)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cloud_files import PLY_TYPES, ply_vertices, read_ply_header

Array = NDArray[np.float64]
Triangles = NDArray[np.int64]
Faces = tuple[Array, Triangles]
Polygons = Triangles | list[list[int]]
Properties = list[tuple[str, np.dtype[Any] | None, np.dtype[Any]]]
_LENGTH = "length of "

GLB_MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
GLTF_TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
GLTF_TRIANGLES = 4


def read_ply_mesh(path: Path) -> Faces | None:
    """Return vertices and triangles of a PLY file, text or binary; None where it has no faces.

    Raises:
        ValueError: as `cloud_files.read_ply`, and for broken faces.

    Source: Turk 1994, the PLY polygon file format.
    """
    with path.open("rb") as file:
        header = read_ply_header(file, path)
        order, elements = header.order, header.elements
        if not any(name == "face" and count for name, count, _ in elements):
            return None
        body = file.read()
    columns = ply_vertices(path, header, body)
    vertices = np.stack([columns[axis].astype(np.float64) for axis in "xyz"], axis=1)
    _, count, properties = next(element for element in elements if element[0] == "face")
    # Before the faces stand vertices and what has no lists, as `ply_vertices` found.
    before = elements[: [name for name, _, _ in elements].index("face")]
    if order == "":
        first = sum(rows for _, rows, _ in before)
        polygons = _text_polygons(path, _lines(body)[first : first + count], count, properties)
        return vertices, _triangles(path, polygons, len(vertices))
    sizes = [sum(np.dtype(PLY_TYPES[kind]).itemsize for _, kind in p) for _, _, p in before]
    start = sum(rows * size for (_, rows, _), size in zip(before, sizes, strict=True))
    found = _binary_polygons(path, body[start:], count, _typed(path, header.lines, order))
    return vertices, _triangles(path, found, len(vertices))


def _typed(path: Path, header: list[str], order: str) -> Properties:
    """The properties of the faces: name, type of a list's length, type of an entry."""
    typed: Properties = []
    element = ""
    for words in (line.split() for line in header):
        match words:
            case ["element", name, _]:
                element = name
            case ["property", "list", *kinds, name] if element == "face":
                if len(kinds) != 2 or not set(kinds) <= PLY_TYPES.keys():
                    raise ValueError(f"{path}: expected a list of numbers, got {kinds}")
                length, entry = (np.dtype(order + PLY_TYPES[kind]) for kind in kinds)
                typed.append((name, length, entry))
            case ["property", kind, name] if element == "face":
                if kind not in PLY_TYPES:
                    raise ValueError(f"{path}: expected a known type, got {kind}")
                typed.append((name, None, np.dtype(order + PLY_TYPES[kind])))
    return typed


def read_obj(path: Path) -> Faces | None:
    """Return vertices and triangles of a Wavefront OBJ file; None where it has no faces.

    Raises:
        ValueError: for lines that are not numbers, or faces of vertices that are not there.

    Source: Wavefront, the object files format, version 3.0.
    """
    vertices: list[list[float]] = []
    polygons: list[list[int]] = []
    for number, line in enumerate(_lines(path.read_bytes()), start=1):
        kind, *words = line.split()
        try:
            if kind == "v":
                vertices.append([float(word) for word in words[:3]])
            elif kind == "f":
                corners = [int(word.partition("/")[0]) for word in words]
                # Counted from 1, or backwards from the last vertex so far.
                polygons.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
        except ValueError as error:
            raise ValueError(f"{path}: expected numbers in line {number}, got {error}") from error
    if any(len(vertex) != 3 for vertex in vertices):
        raise ValueError(f"{path}: expected three coordinates a vertex, got fewer")
    if not polygons:
        return None
    return np.array(vertices).reshape(-1, 3), _triangles(path, polygons, len(vertices))


def read_glb(path: Path) -> Faces | None:
    """Return vertices and triangles of a binary glTF 2.0 file, its nodes where they stand.

    Axes are the file's (y up). None where it has no triangles.

    Raises:
        ValueError: for another version, a broken or compressed file, or numbers out of range.

    Source: Khronos, glTF 2.0 specification, sections 3.6, 3.7 and 4.4.
    """
    scene, binary = _glb_chunks(path)
    vertices, triangles, count = [], [], 0
    try:
        for placed, mesh in _placed_meshes(scene):
            for primitive in mesh["primitives"]:
                if primitive.get("mode", GLTF_TRIANGLES) != GLTF_TRIANGLES:
                    continue
                points = _accessor(scene, binary, primitive["attributes"]["POSITION"])
                points = points.reshape(-1, 3).astype(np.float64)
                corners = (
                    _accessor(scene, binary, primitive["indices"]).astype(np.int64).ravel()
                    if "indices" in primitive
                    else np.arange(len(points))
                )
                if corners.size % 3 or (corners.size and corners.max() >= len(points)):
                    raise ValueError("triangles of vertices that are not there")
                vertices.append(points @ placed[:3, :3].T + placed[:3, 3])
                triangles.append(corners.reshape(-1, 3) + count)
                count += len(points)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: expected a glTF scene, got {error}") from error
    if not triangles:
        return None
    return np.concatenate(vertices), np.concatenate(triangles)


def _lines(body: bytes) -> list[str]:
    lines = (line.strip() for line in body.decode("latin-1").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _triangles(path: Path, polygons: Polygons, count: int) -> Triangles:
    """Cut polygons into fans, and check that their corners are among the vertices."""
    if isinstance(polygons, np.ndarray):
        triangles = polygons
    else:
        fans = [
            (polygon[0], polygon[i], polygon[i + 1])
            for polygon in polygons
            for i in range(1, len(polygon) - 1)
        ]
        triangles = np.array(fans, dtype=np.int64).reshape(-1, 3)
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < count:
        raise ValueError(
            f"{path}: expected faces of {count} vertices, "
            f"got vertices {triangles.min()} to {triangles.max()}"
        )
    return triangles


def _text_polygons(
    path: Path, rows: list[str], count: int, properties: list[tuple[str, str]]
) -> list[list[int]]:
    """Read the first list of each row; scalars before it are skipped."""
    at = next((i for i, (_, kind) in enumerate(properties) if kind == "list"), None)
    if at is None or len(rows) != count:
        raise ValueError(f"{path}: expected {count} faces as lists, got {len(rows)}")
    polygons = []
    for row in rows:
        words = row.split()
        try:
            size = int(words[at])
            polygon = [int(word) for word in words[at + 1 : at + 1 + size]]
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path}: expected a face, got '{row[:40]}'") from error
        if len(polygon) != size:
            raise ValueError(f"{path}: expected a face, got '{row[:40]}'")
        polygons.append(polygon)
    return polygons


def _binary_polygons(path: Path, body: bytes, count: int, properties: Properties) -> Polygons:
    """Read the faces' first list; all faces at once where each of their lists has three entries."""
    lists = [name for name, length, _ in properties if length is not None]
    if not lists:
        raise ValueError(f"{path}: expected faces as lists of vertices, got none")
    fields: list[Any] = []
    for name, length, entry in properties:
        fields += [(name, entry)] if length is None else [(_LENGTH + name, length)]
        fields += [] if length is None else [(name, entry, (3,))]
    layout = np.dtype(fields)
    if len(body) >= count * layout.itemsize:
        table = np.frombuffer(body, layout, count)
        if all((table[_LENGTH + name] == 3).all() for name in lists):
            triangles: Triangles = table[lists[0]].astype(np.int64)
            return triangles
    polygons: list[list[int]] = []
    place = 0
    for _ in range(count):
        for name, length, entry in properties:
            size = 1
            if length is not None:
                size = int(_numbers(path, body, place, 1, length)[0])
                place += length.itemsize
            values = _numbers(path, body, place, size, entry)
            place += values.nbytes
            if name == lists[0]:
                polygons.append(values.astype(np.int64).tolist())
    return polygons


def _numbers(path: Path, body: bytes, place: int, count: int, kind: np.dtype[Any]) -> NDArray[Any]:
    if count < 0 or place + count * kind.itemsize > len(body):
        raise ValueError(f"{path}: expected all of its faces, got {len(body)} bytes of them")
    return np.frombuffer(body, kind, count, place)


def _glb_chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    try:
        magic, version, length = struct.unpack_from("<III", data)
        if (magic, version) != (GLB_MAGIC, 2) or length > len(data):
            raise ValueError(f"{len(data)} bytes that start with {data[:12]!r}")
        chunks: dict[int, bytes] = {}
        place = 12
        while place < length:
            size, kind = struct.unpack_from("<II", data, place)
            if place + 8 + size > len(data):
                raise ValueError("a truncated chunk")
            chunks.setdefault(kind, data[place + 8 : place + 8 + size])
            place += 8 + size
        scene = json.loads(chunks[JSON_CHUNK])
    except (struct.error, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a binary glTF 2.0 file, got {error}") from error
    if not isinstance(scene, dict) or "KHR_draco_mesh_compression" in str(
        scene.get("extensionsRequired", "")
    ):
        raise ValueError(f"{path}: expected a glTF scene without compression, got another")
    return scene, chunks.get(BINARY_CHUNK, b"")


def _placed_meshes(scene: dict[str, Any]) -> list[tuple[Array, dict[str, Any]]]:
    """Walk the scene's nodes: each mesh with where it stands; all meshes where there are none."""
    nodes, meshes = scene.get("nodes", []), scene.get("meshes", [])
    if not nodes:
        return [(np.eye(4), mesh) for mesh in meshes]
    scenes = scene.get("scenes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    roots = [i for i in range(len(nodes)) if i not in children]
    if scenes:
        roots = scenes[scene.get("scene", 0)].get("nodes", [])
    found, left = [], [(np.eye(4), root) for root in roots]
    for _ in range(len(nodes)):
        if not left:
            break
        above, number = left.pop()
        node = nodes[number]
        placed = above @ _local(node)
        if "mesh" in node:
            found.append((placed, meshes[node["mesh"]]))
        left += [(placed, child) for child in node.get("children", [])]
    if left:
        raise ValueError("a node below two others")
    return found


def _local(node: dict[str, Any]) -> Array:
    if "matrix" in node:
        # Column by column.
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    local = np.eye(4)
    local[:3, :3] = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ) * np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    local[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return local


def _accessor(scene: dict[str, Any], binary: bytes, number: int) -> NDArray[Any]:
    accessor = scene["accessors"][number]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError("a sparse accessor")
    view = scene["bufferViews"][accessor["bufferView"]]
    if view.get("buffer", 0) != 0:
        raise ValueError("a buffer beside the file")
    width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
    kind = np.dtype(GLTF_TYPES[accessor["componentType"]])
    count, start = accessor["count"], view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", width * kind.itemsize)
    end = start + stride * (count - 1) + width * kind.itemsize
    if count < 1 or start < 0 or stride < width * kind.itemsize or end > len(binary):
        raise ValueError(f"{len(binary)} bytes of {end}")
    return np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize))
