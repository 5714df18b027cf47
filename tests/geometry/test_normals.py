"""Normals against Open3D, LAPACK, and surfaces whose normals are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import normals as normals_module
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.nearest import NeighbourIndex
from g2vlm_bench.geometry.normals import estimate_normals, least_directions

UTM = np.array([513_000.0, 5_403_000.0, 300.0])


def bumpy_surface(n: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-1, 1, size=(n, 2))
    z = 0.3 * np.sin(3 * xy[:, 0]) * np.cos(2 * xy[:, 1]) + 0.2 * xy[:, 0] ** 2
    return np.column_stack([xy, z])


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs((ours * theirs).sum(axis=-1))


@pytest.mark.parametrize("offset", [np.zeros(3), UTM])
def test_normals_of_a_sphere_are_its_radii(offset) -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    normals = estimate_normals(directions * 2 + offset)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert cosines(normals, directions).min() > 0.99


def test_normals_agree_with_open3d_up_to_sign() -> None:
    open3d = pytest.importorskip("open3d")
    points = bumpy_surface()
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals()  # its default: 30 nearest neighbours
    assert cosines(estimate_normals(points), np.asarray(cloud.normals)).min() > 1 - 1e-9


def test_an_index_and_a_moved_index_serve_as_well() -> None:
    points = bumpy_surface(20_000)
    index, expected = NeighbourIndex(points), estimate_normals(points)
    np.testing.assert_array_equal(estimate_normals(index), expected)
    move = Similarity(2.0, Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix(), np.ones(3))
    turned = move.apply_normals(expected)
    assert cosines(estimate_normals(index.moved(move)), turned).min() > 1 - 1e-9


def test_normals_of_a_cloud_smaller_than_k() -> None:
    square = np.array([[0.0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
    np.testing.assert_allclose(np.abs(estimate_normals(square)), np.tile([0, 0, 1], (4, 1)))
    with pytest.raises(ValueError, match="at least 3 points"):
        estimate_normals(square[:2])
    with pytest.raises(ValueError, match="at least 3 neighbours"):
        estimate_normals(square, k=2)


def test_lines_and_repeated_points_have_unit_normals_too() -> None:
    line = np.linspace(0, 1, 100)[:, None] * [1.0, 2, 2] / 3
    normals = estimate_normals(line)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    np.testing.assert_allclose(normals @ [1.0, 2, 2], 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(estimate_normals(np.ones((500, 3))), axis=1), 1)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    "eigenvalues",
    [
        (0, 1, 1), (0, 1e-3, 1), (1e-9, 0.5, 1), (0.2, 0.3, 1), (0.999, 1, 1), (1, 1, 1),
        (0, 0, 1), (0, 1e-9, 1), (0.5, 0.5 + 1e-7, 1), (0, 0, 0),
    ],
)  # fmt: skip
def test_least_directions_are_as_least_as_lapacks(eigenvalues, scale) -> None:
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(size=(200, 3))).as_matrix()
    matrices = scale * turns @ np.diag(np.array(eigenvalues, float)) @ turns.transpose(0, 2, 1)
    directions = least_directions(matrices)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    energy = np.einsum("ni,nij,nj->n", directions, matrices, directions)
    np.testing.assert_allclose(energy, scale * eigenvalues[0], atol=1e-12 * scale)
    if eigenvalues[1] - eigenvalues[0] > 0.01 * eigenvalues[2]:
        assert cosines(directions, turns[:, :, 0]).min() > 1 - 1e-12


def test_memory_is_bounded_without_changing_a_normal(monkeypatch) -> None:
    points = bumpy_surface()
    expected = estimate_normals(points)
    monkeypatch.setattr(normals_module, "STRIDE", 300)
    np.testing.assert_array_equal(estimate_normals(points), expected)
