"""Fused surfaces lie where the depth says; points that maps agree on are their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import pose_matrix, transform, unproject
from g2vlm_bench.geometry.fusion import consistent_points, fuse_tsdf
from g2vlm_bench.geometry.meshes import Mesh, in_order

CAMERA = np.array([[75.0, 0, 40], [0, 75.0, 30], [0, 0, 1]])


def slanted() -> np.ndarray:
    """Depth of the plane z = 2 + x / 2 in the camera."""
    rays = unproject(np.ones((60, 80)), CAMERA)
    return 2 / (1 - 0.5 * rays[..., 0])


def fused(depths, poses, **options):
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"Open3D cannot be loaded: {error}")
    options = {"voxel_m": 0.04, "truncation_m": 0.16, "max_depth_m": 10} | options
    return fuse_tsdf(depths, [CAMERA] * len(depths), poses, **options)


def test_a_fused_surface_is_where_the_depth_says_in_the_world() -> None:
    pose = pose_matrix(Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix(), [1.0, 2, 3])
    depth = slanted()
    depth[:4] = np.nan
    mesh = fused([depth, slanted()], [pose, pose])
    local = transform(mesh.vertices, np.linalg.inv(pose))
    off = (local[:, 2] - 2 - 0.5 * local[:, 0]) / np.sqrt(1.25)
    assert len(mesh.triangles) > 1000
    # A shift by half a pixel would be 0.004 m on one side; a voxel has 0.04 m.
    assert abs(off.mean()) < 0.001
    assert np.abs(off).max() < 0.02


def test_depth_beyond_the_limit_makes_no_surface() -> None:
    near = fused([slanted()], [np.eye(4)], max_depth_m=2.0)
    # Blocks of 16 voxels around the limit are filled by nearer pixels only.
    assert near.vertices[:, 2].max() < 2.05
    for depth in (np.full((60, 80), np.nan), np.full((60, 80), 50.0), np.zeros((60, 80))):
        with pytest.raises(ValueError, match="a surface"):
            fused([depth], [np.eye(4)])
    # Truncated before the next voxel, so that there is none behind the surface.
    with pytest.raises(ValueError, match="a surface"):
        fused([np.full((60, 80), 0.5)], [np.eye(4)], truncation_m=0.01)
    with pytest.raises(ValueError, match="a camera and a pose"):
        fused([slanted()], [])
    with pytest.raises(ValueError, match="sizes above 0"):
        fused([slanted()], [np.eye(4)], voxel_m=0)


def test_a_mesh_in_order_is_the_same_however_it_was_written() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.integers(0, 4, (40, 3)) + rng.random((40, 3)).round(2)
    triangles = np.array([rng.choice(40, 3, replace=False) for _ in range(60)])
    shuffle = rng.permutation(40)
    turned = np.array([np.roll(triangle, rng.integers(3)) for triangle in triangles])
    written = Mesh(vertices[shuffle], np.argsort(shuffle)[turned][rng.permutation(60)])
    one, other = in_order(Mesh(vertices, triangles)), in_order(written)
    np.testing.assert_array_equal(one.vertices, other.vertices)
    np.testing.assert_array_equal(one.triangles, other.triangles)

    def sides(mesh: Mesh) -> np.ndarray:
        a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
        return np.sort(np.cross(b - a, c - a).round(9), axis=0)

    np.testing.assert_allclose(sides(one), sides(Mesh(vertices, triangles)), atol=1e-8)


SMALL = np.array([[8.0, 0, 4], [0, 8.0, 3], [0, 0, 1]])


def plane_from(pose: np.ndarray) -> np.ndarray:
    """Depth of the plane z = 2 + x / 5 - y / 10 in the world, seen by a small camera."""
    normal = np.array([-0.2, 0.1, 1.0])
    rays = unproject(np.ones((6, 8)), SMALL) @ pose[:3, :3].T
    return (2 - normal @ pose[:3, 3]) / (rays @ normal)


def agreed(depths, poses, within, views) -> np.ndarray:
    """The definition, pixel by pixel."""
    maps = []
    for depth, pose in zip(depths, poses, strict=True):
        usable = depth > 0
        lifted = transform(unproject(np.where(usable, depth, 0.0), SMALL), pose)
        maps.append(lifted)
    found = []
    for depth, points in zip(depths, maps, strict=True):
        for point in points[depth > 0]:
            met = []
            for theirs, pose in zip(maps, poses, strict=True):
                local = pose[:3, :3].T @ (point - pose[:3, 3])
                x, y = (SMALL @ local)[:2] / local[2] - 0.5
                column, row = int(np.floor(x)), int(np.floor(y))
                seen = np.zeros(3)
                for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    if 0 <= row + i < 6 and 0 <= column + j < 8 and local[2] > 0:
                        share = abs(1 - i - (y - row)) * abs(1 - j - (x - column))
                        seen += share * theirs[row + i, column + j]
                if np.linalg.norm(seen - point) < within:
                    met.append(seen)
            if len(met) >= views:
                found.append(np.mean(met, axis=0))
    return np.array(found)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_consistent_points_are_their_definition(views) -> None:
    rng = np.random.default_rng(0)
    poses = [
        pose_matrix(Rotation.from_rotvec(0.05 * rng.normal(size=3)).as_matrix(), [0.1 * i, 0, 0])
        for i in range(4)
    ]
    depths = [plane_from(pose) * rng.normal(1, 0.005, (6, 8)) for pose in poses]
    depths[1][2:4, 3] = np.nan
    depths[2][5] = 0.0
    found = consistent_points(depths, [SMALL] * 4, poses, 0.02, views)
    expected = agreed([np.nan_to_num(d) for d in depths], poses, 0.02, views)
    assert len(found) == len(expected) > 20
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_maps_that_do_not_agree_leave_nothing_and_lists_must_match() -> None:
    apart = [plane_from(np.eye(4)), 2 * plane_from(np.eye(4))]
    assert consistent_points(apart, [SMALL] * 2, [np.eye(4)] * 2, 0.01, 2).shape == (0, 3)
    for depths in (apart[:1], [apart[0], apart[1][1:]], []):
        with pytest.raises(ValueError, match="depth maps of one size"):
            consistent_points(depths, [SMALL] * 2, [np.eye(4)] * 2, 0.01, 2)
