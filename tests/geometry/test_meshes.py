"""Meshes: points drawn by area and by seed, files of three formats, and every way they break."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.geometry.cloud_files import write_ply
from g2vlm_bench.geometry.clouds import read_cloud
from g2vlm_bench.geometry.meshes import Mesh, read_mesh, read_points, sample_mesh

SQUARES = Mesh(  # a unit square, and one of three times its area beside it
    np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [4, 0, 0], [4, 1, 0]]),
    np.array([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]]),
)


def test_points_are_drawn_by_area_and_by_seed() -> None:
    points = sample_mesh(SQUARES, 40_000, seed=1)
    assert np.array_equal(points, sample_mesh(SQUARES, 40_000, seed=1))
    assert not np.array_equal(points, sample_mesh(SQUARES, 40_000, seed=2))
    assert (points[:, 2] == 0).all()
    assert ((points >= 0) & (points <= [4, 1, 0])).all()
    # Uniform on the 4 x 1 rectangle: each tenth of x holds a tenth; sqrt(n p q) = 60.
    counts, _ = np.histogram(points[:, 0], bins=10, range=(0, 4))
    assert np.abs(counts - 4000).max() < 5 * 60
    counts, _ = np.histogram(points[:, 1], bins=10, range=(0, 1))
    assert np.abs(counts - 4000).max() < 5 * 60


@pytest.mark.parametrize(
    ("mesh", "count", "message"),
    [
        (SQUARES, 0, "count above 0"),
        (Mesh(SQUARES.vertices, np.array([[0, 1, 9]])), 5, "known vertices"),
        (Mesh(SQUARES.vertices, np.empty((0, 3), np.int64)), 5, "known vertices"),
        (Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 5, "an area"),
        (Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), 5, "an area"),
    ],
)
def test_what_has_no_surface_is_refused(mesh, count, message) -> None:
    with pytest.raises(ValueError, match=message):
        sample_mesh(mesh, count, seed=0)


# ------------------------------------------------------------------------------------- the files

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FANS = [[0, 1, 2], [0, 2, 3]]


def ply(path: Path, faces: list[list[int]], order: str = "<", extra: bool = False) -> Path:
    """A PLY mesh, binary or text; `extra` puts a scalar and a second list into each face."""
    form = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
    header = f"ply\nformat {form} 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    header += f"property float z\nelement face {len(faces)}\n"
    header += "property uchar flag\n" if extra else ""
    header += "property list uchar int vertex_indices\n"
    header += "property list uchar float uv\n" if extra else ""
    body = b""
    for vertex in SQUARE:
        numbers = " ".join(map(str, vertex)) + "\n"
        body += struct.pack(f"{order}3f", *vertex) if order else numbers.encode()
    for face in faces:
        if order:
            body += struct.pack(f"{order}B", 7) if extra else b""
            body += struct.pack(f"{order}B{len(face)}i", len(face), *face)
            body += struct.pack(f"{order}B2f", 2, 0.5, 0.5) if extra else b""
        else:
            words = ["7"] * extra + [str(len(face)), *map(str, face)] + ["2 0.5 0.5"] * extra
            body += (" ".join(words) + "\n").encode()
    path.write_bytes(header.encode() + b"end_header\n" + body)
    return path


@pytest.mark.parametrize("order", ["<", ">", ""])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("faces", [FANS, [[0, 1, 2, 3]], [[0, 1, 2], [0, 1, 2, 3]]])
def test_ply_faces_of_any_kind(tmp_path: Path, order, extra, faces) -> None:
    mesh = read_mesh(ply(tmp_path / "a.ply", faces, order, extra))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    expected = [row for face in faces for row in (FANS if len(face) == 4 else [face])]
    assert mesh.triangles.tolist() == expected


def test_a_cloud_is_no_mesh(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", SQUARE)
    assert read_mesh(tmp_path / "a.ply") is None
    assert read_mesh(ply(tmp_path / "b.ply", [])) is None
    np.testing.assert_array_equal(read_points(tmp_path / "a.ply").points, SQUARE)
    (tmp_path / "a.xyz").write_text("1 2 3\n")
    assert read_mesh(tmp_path / "a.xyz") is None


OBJ = "# a square\nv 0 0 0\nv 1 0 0\nv 1 1 0 1.0\nv 0 1 0\nvn 0 0 1\ng one\n"


@pytest.mark.parametrize(
    "face", ["f 1 2 3 4", "f 1/1 2/2/1 3//1 4", "f -4 -3 -2 -1", "f 1 2 3\nf 1 3 4"]
)
def test_obj_faces_of_any_kind(tmp_path: Path, face) -> None:
    path = tmp_path / "a.obj"
    path.write_text(f"{OBJ}{face}\n")
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.triangles.tolist() == FANS
    path.write_text(OBJ)
    assert read_mesh(path) is None


def glb(path: Path, **changes) -> Path:
    """A binary glTF: the square, lifted, turned and doubled by two nodes above each other."""
    indices = np.array(FANS, "<u2").tobytes()
    points = SQUARE.astype("<f4").tobytes()
    scene = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"children": [1], "translation": [0, 0, 5], "scale": [2, 2, 2]},
            # A quarter turn about z: x becomes y.
            {"mesh": 0, "rotation": [0, 0, 0.5**0.5, 0.5**0.5]},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 12},
        ],
        "buffers": [{"byteLength": 60}],
    } | changes  # fmt: skip
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", 60, 0x004E4942) + points + indices
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
    return path


def test_glb_meshes_stand_where_their_nodes_do(tmp_path: Path) -> None:
    mesh = read_mesh(glb(tmp_path / "a.glb"))
    expected = 2 * SQUARE @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).T + [0.0, 0, 5]
    np.testing.assert_allclose(mesh.vertices, expected, atol=1e-7)
    assert mesh.triangles.tolist() == FANS
    matrix = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 8, 9, 1]
    mesh = read_mesh(glb(tmp_path / "a.glb", nodes=[{"mesh": 0, "matrix": matrix}]))
    np.testing.assert_allclose(mesh.vertices, SQUARE + np.array([7.0, 8, 9]))
    lines = {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 1}]}]}
    assert read_mesh(glb(tmp_path / "a.glb", **lines)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": [{"mesh": 9}]},
        {"nodes": [{"children": [0]}], "scenes": [{"nodes": [0]}]},
        {"accessors": []},
        {"bufferViews": [{"buffer": 1}] * 2},
        {"bufferViews": [{"buffer": 0, "byteOffset": 40}] * 2},
        {"accessors": [{"componentType": 5126, "count": 4, "type": "VEC3"}] * 2},
        {"meshes": [{"primitives": [{"attributes": {}}]}]},
        {"meshes": 5},
        {"extensionsRequired": ["KHR_draco_mesh_compression"]},
    ],
)
def test_glb_scenes_that_are_none(tmp_path: Path, changes) -> None:
    with pytest.raises(ValueError, match=r"a\.glb: expected a glTF scene"):
        read_mesh(glb(tmp_path / "a.glb", **changes))


def test_files_that_were_cut_are_errors(tmp_path: Path) -> None:
    for path, least in (
        (glb(tmp_path / "a.glb"), 0),
        (ply(tmp_path / "a.ply", FANS), 160),
        (ply(tmp_path / "b.ply", [[0, 1, 2, 3]]), 160),
        (ply(tmp_path / "c.ply", FANS, ""), 160),
    ):
        whole = path.read_bytes()
        for size in range(least, len(whole) - 1, 7):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=rf"{path.stem}\{path.suffix}: expected"):
                read_mesh(path)


@pytest.mark.parametrize("face", ["f 1 2 9", "f 1 2 -9", "f 0 1 2", "f one 2 3", "v 1 2\nf 1 2 3"])
def test_obj_files_that_are_broken(tmp_path: Path, face) -> None:
    (tmp_path / "a.obj").write_text(f"{OBJ}{face}\n")
    with pytest.raises(ValueError, match=r"a\.obj: expected"):
        read_mesh(tmp_path / "a.obj")


def test_ply_faces_of_vertices_that_are_not_there(tmp_path: Path) -> None:
    for face in ([0, 1, 4], [0, -1, 2]):
        with pytest.raises(ValueError, match="faces of 4 vertices"):
            read_mesh(ply(tmp_path / "a.ply", [face]))


def test_a_mesh_is_drawn_from_by_number_and_seed_or_refused(tmp_path: Path) -> None:
    path = ply(tmp_path / "a.ply", FANS)
    with pytest.raises(ValueError, match="got a mesh of 2 triangles and no number of points"):
        read_points(path)
    points = read_points(path, 1000, seed=3).points
    np.testing.assert_array_equal(points, sample_mesh(Mesh(SQUARE, np.array(FANS)), 1000, 3))
    assert not np.array_equal(points, read_points(path, 1000, seed=4).points)
    np.testing.assert_array_equal(read_points(path, 0).points, SQUARE)
    (tmp_path / "a.obj").write_text(f"{OBJ}f 1 2 3\n")
    np.testing.assert_array_equal(read_points(tmp_path / "a.obj", 0).points, SQUARE)


def both(open3d, path: Path):
    return read_mesh(path), open3d.io.read_triangle_mesh(str(path))


def test_the_bunny_reads_as_open3d_reads_it(realdata: Path) -> None:
    open3d = pytest.importorskip("open3d", reason="compared with Open3D")
    folder = realdata / "pointclouds/stanford_bunny"
    mesh, theirs = both(open3d, folder / "bun_zipper_res3.ply")
    np.testing.assert_allclose(mesh.vertices, np.asarray(theirs.vertices), atol=1e-7)
    np.testing.assert_array_equal(mesh.triangles, np.asarray(theirs.triangles))
    # It puts the vertices of an OBJ file into another order.
    mesh, theirs = both(open3d, folder / "stanford-bunny.obj")
    assert len(mesh.triangles) == len(theirs.triangles)
    corners = mesh.vertices[mesh.triangles]
    sides = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(*sides), axis=1).sum() / 2
    assert area == pytest.approx(theirs.get_surface_area(), rel=1e-7)  # in float32 there
    # A scan that was meshed keeps its normals where its vertices are asked for.
    assert read_points(folder.parent / "redwood_frag115/frag_115.ply", 0).normals is not None
    drawn = read_points(folder / "bun_zipper_res3.ply", 5000).points
    scanned = read_cloud(folder / "bun_zipper_res3.ply").points
    assert drawn.min(axis=0) == pytest.approx(scanned.min(axis=0), abs=0.003)
