"""Triangle meshes: points drawn from their surface, and clouds from files that may hold a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.clouds import Cloud, read_cloud
from g2vlm_bench.geometry.mesh_files import read_glb, read_obj, read_ply_mesh

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) metres.
        triangles: (T, 3) int64, rows of the vertices.
    """

    vertices: Array
    triangles: NDArray[np.int64]


def read_mesh(path: Path | str) -> Mesh | None:
    """Read a mesh from a .ply, .obj or .glb file; None where it has no faces, or is another file.

    Polygons become fans of triangles.

    Raises:
        ValueError: for a corrupt or truncated file, or faces of vertices that are not there.
        OSError: where the file cannot be opened.
    """
    path = Path(path)
    readers = {".ply": read_ply_mesh, ".obj": read_obj, ".glb": read_glb}
    reader = readers.get(path.suffix.lower())
    found = None if reader is None else reader(path)
    return None if found is None else Mesh(*found)


def read_points(
    path: Path | str, mesh_points: int | None = None, seed: int = 0, dropping: bool = True
) -> Cloud:
    """Read a cloud, or draw one from the faces of a mesh.

    Args:
        path: as `clouds.read_cloud`, and .obj and .glb.
        mesh_points: how many points are drawn where the file has faces; 0 takes its vertices.
        seed: of drawing.
        dropping: whether points without coordinates, which scanners write, are left out; what a
            model says is refused for them, in a file as in an array.

    Raises:
        ValueError: as `clouds.read_cloud`, for points without coordinates that are not to be left
            out, and for a mesh where no number was given: its vertices alone say where its faces
            are small, not where its surface is.
        OSError: where the file cannot be opened.
        ImportError: as `clouds.read_cloud`.
    """
    mesh = read_mesh(path)
    if mesh is None or (mesh_points == 0 and Path(path).suffix.lower() == ".ply"):
        cloud = read_cloud(path)
        if cloud.n_dropped and not dropping:
            raise ValueError(
                f"{path}: expected finite points, got {cloud.n_dropped} of "
                f"{cloud.n_dropped + len(cloud.points)} that are NaN or infinite: write those "
                "alone that the model predicted"
            )
        return cloud
    if mesh_points is None:
        raise ValueError(
            f"{path}: expected a point cloud, got a mesh of {len(mesh.triangles)} triangles and no "
            "number of points to draw from them; 0 takes the vertices"
        )
    if mesh_points == 0:
        return Cloud(mesh.vertices, None, 0)
    return Cloud(sample_mesh(mesh, mesh_points, seed), None, 0)


def sample_mesh(mesh: Mesh, count: int, seed: int) -> Array:
    """Draw points from a surface, uniformly by area.

    Args:
        mesh: with an area above 0.
        count: how many points.
        seed: the same seed gives the same points.

    Returns:
        (count, 3) metres.

    Raises:
        ValueError: for a count below 1, broken triangles, or a mesh without area.

    Source: Osada et al. 2002, section 3.1.
    """
    if count < 1:
        raise ValueError(f"sampling: expected a count above 0, got {count}")
    vertices, triangles = np.asarray(mesh.vertices, dtype=np.float64), mesh.triangles
    if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError("sampling: expected triangles of known vertices, got others or none")
    corner, second, third = (vertices[triangles[:, i]] for i in range(3))
    areas = np.linalg.norm(np.cross(second - corner, third - corner), axis=1)
    if not (np.isfinite(areas).all() and areas.sum() > 0):
        raise ValueError("sampling: expected a mesh with an area, got none")
    generator = np.random.default_rng(seed)
    cumulative = np.cumsum(areas)
    drawn = generator.random(count) * cumulative[-1]
    chosen = np.searchsorted(cumulative, drawn, side="right").clip(max=len(areas) - 1)
    root, along = np.sqrt(generator.random((count, 1))), generator.random((count, 1))
    points: Array = (
        (1 - root) * corner[chosen]
        + root * (1 - along) * second[chosen]
        + root * along * third[chosen]
    )
    return points


def in_order(mesh: Mesh) -> Mesh:
    """The same mesh with its vertices and triangles in order of their coordinates.

    Open3D's threads write them in the order in which they happen to come, and points that are drawn
    from a mesh by a seed follow its order.
    """
    order = np.lexsort(mesh.vertices.T[::-1])
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    triangles = places[mesh.triangles]
    # Turned so that the first vertex is the least: the side that faces out stays.
    first = triangles.argmin(axis=1)[:, None]
    triangles = np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)
    return Mesh(mesh.vertices[order], triangles[np.lexsort(triangles.T[::-1])])
