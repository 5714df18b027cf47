"""A made-up scene: a tilted plane before a few cameras, to be written in any format's own terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import invert_pose, pixel_grid
from g2vlm_bench.sample import Target

NORMAL = np.array([0.2, -0.3, 0.933])
OFFSET_M = 2.5


@dataclass(frozen=True)
class Shot:
    """A camera that sees the plane `NORMAL . X = OFFSET_M`."""

    intrinsics: np.ndarray  # 3x3, pixel centres at +0.5
    world_from_camera: np.ndarray  # 4x4, metres
    depth_m: np.ndarray  # (12, 16) float64

    @property
    def camera_from_world(self) -> np.ndarray:
        return invert_pose(self.world_from_camera)

    def write_image(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*self.depth_m.shape, 3), np.uint8)).save(path)

    def write_depth(self, path: Path, scale: float, hole: int = 0) -> None:
        """Write 16 bits of `scale` a metre; the first pixel is a hole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.round(self.depth_m * scale).astype(np.uint16)
        values[0, 0] = hole
        Image.fromarray(values).save(path)


@pytest.fixture(scope="session")
def shots() -> Sequence[Shot]:
    """Four cameras: different places and directions, one pair of intrinsics."""
    intrinsics = np.array([[14.0, 0, 8.5], [0, 15.0, 5.5], [0, 0, 1]])
    made = []
    for index in range(4):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0.1 * index, -0.05 * index, 0.2]).as_matrix()
        pose[:3, 3] = (0.3 * index, -0.1, 0.05 * index)
        rays = np.concatenate([pixel_grid(12, 16), np.ones((12, 16, 1))], -1)
        rays = rays @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
        # z is the parameter along rays whose camera z is 1.
        depth = (OFFSET_M - NORMAL @ pose[:3, 3]) / (rays @ NORMAL)
        assert (depth > 0.5).all()
        made.append(Shot(intrinsics, pose, depth))
    return made


@pytest.fixture(scope="session")
def agrees() -> Callable[..., None]:
    """Check a target against the shots it was written from: all points lie on the plane."""

    def check(
        target: Target, shots: Sequence[Shot], holes: int = 1, within_m: float = 0.002
    ) -> None:
        assert target.depth_m is not None
        assert target.points_world is not None
        assert target.intrinsics is not None
        assert target.world_from_camera is not None
        for shot, depth, camera, pose in zip(
            shots, target.depth_m, target.intrinsics, target.world_from_camera, strict=True
        ):
            assert depth.dtype == np.float32
            assert np.isnan(depth).sum() == holes
            assert np.isnan(depth[0, 0]) == bool(holes)
            np.testing.assert_allclose(depth[1:], shot.depth_m[1:], atol=within_m)
            np.testing.assert_allclose(camera, shot.intrinsics, atol=1e-4)
            np.testing.assert_allclose(pose, shot.world_from_camera, atol=1e-5)
        assert len(target.points_world) == len(shots) * (shots[0].depth_m.size - holes)
        off = target.points_world @ NORMAL - OFFSET_M
        assert np.abs(off).max() < within_m

    return check
