"""Truncated signed distances along the ray, as Open3D's older volume has them.

This is what published code computes with an Open3D before 0.20, whose `ScalableTSDFVolume` yields
no surface any more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import invert_pose
from g2vlm_bench.geometry.clouds import _import_open3d
from g2vlm_bench.geometry.meshes import Mesh
from g2vlm_bench.geometry.z_volume import BLOCK_VOXELS, new_grid, surface_of

Array = NDArray[np.float64]
Single = NDArray[np.float32]

# A block is looked at where one of every fourth pixel of a row and of a column lies near it.
_STRIDE = 4
_MARGIN_PX = np.float32(1e-4)
# Blocks that are integrated at once: a million voxels.
_AT_ONCE = 256
# In all: five gigabytes. A room of 10 m in voxels of 8 mm has some 60,000.
_MOST_BLOCKS = 150_000


class RayVolume:
    """Distances along the ray: of each voxel the mean of what depth maps say, and how many do.

    A voxel is its middle, not its corner; it looks at the pixel that it falls into.

    Args:
        voxel_m: edge of a voxel.
        truncation_m: how far from the surface a depth map still says something.
        max_depth_m: depth of so much, or farther, is left out.

    Source: Open3D 0.19, `pipelines/integration/ScalableTSDFVolume.cpp` and
    `UniformTSDFVolume.cpp`, in single precision where they are.
    """

    def __init__(self, voxel_m: float, truncation_m: float, max_depth_m: float) -> None:
        self.voxel_m, self.truncation_m, self.max_depth_m = voxel_m, truncation_m, max_depth_m
        self.block_m = voxel_m * BLOCK_VOXELS
        self.places: dict[tuple[int, ...], int] = {}
        self.distances = np.zeros((0, BLOCK_VOXELS**3), np.float32)
        self.weights = np.zeros_like(self.distances)

    def integrate(self, depth: Single, camera: Array, pose: Array) -> None:
        """Add a depth map.

        Args:
            depth: (H, W) metres along z, 0 where there is none.
            camera: (3, 3) pixels, pixel centres at +0.5.
            pose: (4, 4) world_from_camera.

        Raises:
            ValueError: depth is scattered over more space than memory can hold.
        """
        depth = np.where(depth < self.max_depth_m, depth, np.float32(0))
        blocks = self._near(depth, camera, pose)
        rows = self._rows(blocks)
        rays = _ray_lengths(depth.shape, camera)
        for start in range(0, len(blocks), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._update(rows[part], blocks[part], depth, rays, camera, invert_pose(pose))

    def surface(self) -> Mesh:
        """The surface between the voxels before it and those behind it, by `ZVolume`'s grid.

        Raises:
            ValueError: where there is none.
        """
        core = _import_open3d().core
        grid = new_grid(self.voxel_m, max(len(self.places), 1))
        if self.places:
            keys = np.array([*self.places], np.int32)
            slots, _ = grid.hashmap().activate(core.Tensor(keys))
            shape = (-1, *(BLOCK_VOXELS,) * 3, 1)
            for name, values in (("tsdf", self.distances), ("weight", self.weights)):
                held = values[: len(keys)].reshape(shape)
                grid.attribute(name)[slots.to(core.int64)] = core.Tensor(np.ascontiguousarray(held))
        mesh = surface_of(grid)
        return Mesh(mesh.vertices + self.voxel_m / 2, mesh.triangles)

    def _near(self, depth: Single, camera: Array, pose: Array) -> NDArray[np.int64]:
        """Blocks that lie within the truncation of some of the points, `(B, 3)`."""
        rows, columns = np.indices(depth.shape)[:, ::_STRIDE, ::_STRIDE]
        along = depth[::_STRIDE, ::_STRIDE].astype(np.float64)
        seen = along > 0
        pixels = np.stack([columns[seen] + 0.5, rows[seen] + 0.5, np.ones(seen.sum())], axis=-1)
        points = (pixels @ np.linalg.inv(camera).T) * along[seen][:, None]
        points = points @ pose[:3, :3].T + pose[:3, 3]
        low, high = (
            np.floor((points + side * self.truncation_m) / self.block_m).astype(np.int64)
            for side in (-1, 1)
        )
        # Most points share their range of blocks with others.
        ranges = np.unique(np.concatenate([low, high], axis=1), axis=0)
        found: set[tuple[int, ...]] = set()
        for x0, y0, z0, x1, y1, z1 in ranges.tolist():
            found.update(
                (x, y, z)
                for x in range(x0, x1 + 1)
                for y in range(y0, y1 + 1)
                for z in range(z0, z1 + 1)
            )
        return np.array(sorted(found), np.int64).reshape(-1, 3)

    def _rows(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the blocks are kept; new ones are made."""
        rows = [self.places.setdefault(tuple(key), len(self.places)) for key in blocks.tolist()]
        count = len(self.places)
        if count > _MOST_BLOCKS:
            raise ValueError(
                f"fusion: expected at most {_MOST_BLOCKS:,} blocks of {self.block_m:g} m near "
                f"depth, got {count:,}: it is scattered over too much space"
            )
        if count > len(self.distances):
            room = min(count + count // 4, _MOST_BLOCKS) - len(self.distances)
            more = np.zeros((room, BLOCK_VOXELS**3), np.float32)
            self.distances = np.concatenate([self.distances, more])
            self.weights = np.concatenate([self.weights, more])
        return np.array(rows, np.int64)

    def _update(
        self,
        rows: NDArray[np.int64],
        blocks: NDArray[np.int64],
        depth: Single,
        rays: Single,
        camera: Array,
        camera_from_world: Array,
    ) -> None:
        places = self._seen(blocks, camera_from_world.astype(np.float32))
        fx, fy, cx, cy = (np.float32(camera[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
        height, width = depth.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = places[0] * fx / places[2] + cx, places[1] * fy / places[2] + cy
        inside = (
            (places[2] > 0)
            & (u >= _MARGIN_PX) & (u < np.float32(width) - _MARGIN_PX)
            & (v >= _MARGIN_PX) & (v < np.float32(height) - _MARGIN_PX)
        )  # fmt: skip
        block, at = np.nonzero(inside)
        pixels = v[inside].astype(np.int64), u[inside].astype(np.int64)
        true = depth[pixels]
        distance = (true - places[2][inside]) * rays[pixels]
        told = (true > 0) & (distance > np.float32(-self.truncation_m))
        where = rows[block[told]], at[told]
        share = np.minimum(np.float32(1), distance[told] / np.float32(self.truncation_m))
        weight = self.weights[where]
        mean = (self.distances[where] * weight + share) / (weight + 1)
        self.distances[where], self.weights[where] = mean, weight + 1

    def _seen(self, blocks: NDArray[np.int64], camera_from_world: Single) -> Single:
        """Middles of voxels in the camera's frame, `(3, B, 4096)`, x fastest, as in Open3D's grid.

        Summed in the order of the source, step by step along z: in another one in a thousand
        voxels falls into the next pixel.
        """
        voxel = np.float32(self.voxel_m)
        along = np.float32(self.voxel_m * 0.5) + voxel * np.arange(BLOCK_VOXELS, dtype=np.float32)
        origins = (blocks * self.block_m).astype(np.float32)
        x, y = (along + origins[:, axis, None] for axis in (0, 1))
        z = along[0] + origins[:, 2, None, None]
        columns = camera_from_world[:3].T[..., None, None, None]
        first = columns[0] * x[:, None] + columns[1] * y[..., None] + columns[2] * z + columns[3]
        steps = np.broadcast_to(
            columns[2][:, None] * voxel, (3, len(blocks), BLOCK_VOXELS - 1, 1, 1)
        )
        layers = np.concatenate(
            [first[:, :, None], np.broadcast_to(steps, (*steps.shape[:3], *first.shape[2:]))],
            axis=2,
        )
        found: Single = np.add.accumulate(layers, axis=2).reshape(3, len(blocks), -1)
        return found


def _ray_lengths(shape: tuple[int, ...], camera: Array) -> Single:
    """How long a ray is at a depth of 1, `(H, W)`."""
    rows, columns = (np.arange(count, dtype=np.float32) + np.float32(0.5) for count in shape)
    x = (columns - np.float32(camera[0, 2])) / np.float32(camera[0, 0])
    y = (rows - np.float32(camera[1, 2])) / np.float32(camera[1, 1])
    lengths: Single = np.sqrt(np.square(x)[None] + np.square(y)[:, None] + np.float32(1))
    return lengths
