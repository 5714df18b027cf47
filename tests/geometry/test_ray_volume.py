"""Surfaces fused along rays are those of Open3D 0.19's `ScalableTSDFVolume`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import ray_volume
from g2vlm_bench.geometry.cameras import pose_matrix, unproject
from g2vlm_bench.geometry.fusion import fuse_tsdf
from g2vlm_bench.geometry.meshes import Mesh

CAMERA = np.array([[75.0, 0, 40], [0, 75.0, 30], [0, 0, 1]])
POSES = [
    pose_matrix(Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix(), [1.0, 2, 3]),
    pose_matrix(Rotation.from_rotvec([0.1, -0.2, 0.0]).as_matrix(), [1.2, 2.1, 2.9]),
]
NORMAL, DISTANCE = np.array([-0.5, 0, 1]), 4.5
SIZES = {"voxel_m": 0.04, "truncation_m": 0.16, "max_depth_m": 2.5}


def plane(pose: np.ndarray) -> np.ndarray:
    """Depth of a plane in the world, without the first rows."""
    rays = unproject(np.ones((60, 80), np.float32), CAMERA) @ pose[:3, :3].T
    depth = ((DISTANCE - NORMAL @ pose[:3, 3]) / (rays @ NORMAL)).astype(np.float32)
    depth[:4] = np.nan
    return depth


def fused(depths: list[np.ndarray], poses: list[np.ndarray], **changes: float) -> Mesh:
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"Open3D cannot be loaded: {error}")
    return fuse_tsdf(depths, [CAMERA] * len(depths), poses, along="ray", **(SIZES | changes))


def test_the_surface_of_open3d_0_19() -> None:
    """Golden values of its volume, of these maps (principal point at 39.5, 29.5 there)."""
    mesh = fused([plane(pose) for pose in POSES], POSES)
    assert (len(mesh.vertices), len(mesh.triangles)) == (3884, 7422)
    where = mesh.vertices
    np.testing.assert_allclose(where.mean(axis=0), [0.76182915, 1.78109166, 4.88095747], rtol=1e-6)
    np.testing.assert_allclose(where.std(axis=0), [0.6999709, 0.49654755, 0.35002221], rtol=1e-6)
    np.testing.assert_allclose(where.min(axis=0), [-0.54, 0.9, 4.22876544], rtol=1e-6)
    np.testing.assert_allclose(where.max(axis=0), [1.98, 2.74, 5.4942762], rtol=1e-6)
    corners = where[mesh.triangles]
    edges = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * np.linalg.norm(np.cross(*edges), axis=1).sum()
    assert area == pytest.approx(4.433645563672751, rel=1e-6)


def test_the_surface_lies_where_the_depth_says() -> None:
    mesh = fused([plane(POSES[0])], POSES[:1], max_depth_m=9)
    off = (mesh.vertices @ NORMAL - DISTANCE) / np.linalg.norm(NORMAL)
    # Half a voxel would be 0.02 m, half a pixel some 0.01 m.
    assert abs(off.mean()) < 0.002
    assert np.abs(off).max() < 0.02


def test_maps_that_say_nothing_change_nothing() -> None:
    empty = np.full((60, 80), np.nan, np.float32)
    alone = fused([plane(POSES[0])], POSES[:1])
    beside = fused([empty, plane(POSES[0]), np.zeros((60, 80))], [POSES[1], *POSES[:1], POSES[1]])
    np.testing.assert_array_equal(alone.vertices, beside.vertices)


def test_depth_at_the_limit_does_not_count() -> None:
    flat = np.full((60, 80), 2.0, np.float32)
    fused([flat], [np.eye(4)], max_depth_m=2.001)
    with pytest.raises(ValueError, match="a surface, got none"):
        fused([flat], [np.eye(4)], max_depth_m=2.0)
    # Truncated before the next voxel, so that there is none behind the surface.
    with pytest.raises(ValueError, match="a surface, got none"):
        fused([np.full((60, 80), 0.5, np.float32)], [np.eye(4)], truncation_m=0.01)
    with pytest.raises(ValueError, match="a camera and a pose"):
        fused([flat], [])
    with pytest.raises(ValueError, match="sizes above 0"):
        fused([flat], [np.eye(4)], truncation_m=0)


def test_depth_scattered_over_too_much_space_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(ray_volume, "_MOST_BLOCKS", 60)
    few = fused([np.full((60, 80), 0.5, np.float32)], [np.eye(4)])
    assert len(few.triangles) > 100
    rng = np.random.default_rng(0)
    wild = rng.uniform(1, 1000, (60, 80)).astype(np.float32)
    with pytest.raises(ValueError, match=r"at most 60 blocks of 0.64 m near depth, got [\d,]+: it"):
        fused([wild], [np.eye(4)], max_depth_m=1e6)
