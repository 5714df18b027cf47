"""Truncated signed distances in Open3D's voxel grid, and the surface between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import invert_pose
from g2vlm_bench.geometry.clouds import _import_open3d
from g2vlm_bench.geometry.meshes import Mesh, in_order

Array = NDArray[np.float64]

# Open3D's own choices; the number of blocks is where it starts and grows from.
BLOCK_VOXELS = 16
_BLOCKS = 10_000


class ZVolume:
    """Distances along z, by Open3D's `VoxelBlockGrid`.

    Args:
        voxel_m: edge of a voxel.
        truncation_m: how far from the surface a depth map still says something.
        max_depth_m: farther depth is left out.
    """

    def __init__(self, voxel_m: float, truncation_m: float, max_depth_m: float) -> None:
        self._truncation_voxels = truncation_m / voxel_m
        self._max_depth_m = max_depth_m
        self._grid = new_grid(voxel_m, _BLOCKS)

    def integrate(self, depth: NDArray[np.float32], camera: Array, pose: Array) -> None:
        """Add a depth map.

        Args:
            depth: (H, W) metres along z, 0 where there is none.
            camera: (3, 3) pixels, pixel centres at +0.5.
            pose: (4, 4) world_from_camera.
        """
        near = np.where(depth <= self._max_depth_m, depth, np.float32(0))
        if not near.any():
            return
        open3d = _import_open3d()
        image = open3d.t.geometry.Image(near)
        seen = open3d.core.Tensor(camera), open3d.core.Tensor(invert_pose(pose))
        # Unit of the depth, largest depth, truncation.
        limits = 1.0, float(self._max_depth_m), self._truncation_voxels
        blocks = self._grid.compute_unique_block_coordinates(image, *seen, *limits)
        self._grid.integrate(blocks, image, *seen, *limits)

    def surface(self) -> Mesh:
        """The surface between the voxels before it and those behind it.

        Raises:
            ValueError: where there is none.
        """
        return surface_of(self._grid)


def new_grid(voxel_m: float, blocks: int) -> Any:
    """An empty grid of Open3D: truncated distances and weights of voxels, in blocks."""
    open3d = _import_open3d()
    single = open3d.core.float32
    return open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (single, single), (1, 1), float(voxel_m), BLOCK_VOXELS, blocks
    )


def surface_of(grid: Any) -> Mesh:
    """The surface of a grid, by Open3D's marching cubes.

    Raises:
        ValueError: where there is none.
    """
    mesh = _surface(grid)
    if mesh is None or len(mesh.triangles) == 0:
        raise ValueError("fusion: expected a surface, got none")
    return mesh


def _surface(grid: Any) -> Mesh | None:
    if grid.hashmap().size() == 0:
        return None
    try:
        mesh = grid.extract_triangle_mesh(weight_threshold=0.0)
    except RuntimeError:
        return None  # So Open3D ends where no voxel before a surface has one behind it.
    if mesh.is_empty() or "indices" not in mesh.triangle:
        return None
    vertices = mesh.vertex.positions.numpy().astype(np.float64)
    return in_order(Mesh(vertices, mesh.triangle.indices.numpy().astype(np.int64)))
