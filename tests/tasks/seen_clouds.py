"""Clouds, and a surface that cameras see, for the tests of chamfer."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform, unproject
from g2vlm_bench.sample import Prediction, Target

DISTANCES = [
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median",
    "chamfer_sum_l2", "chamfer_mean_l2", "chamfer_sum_squared", "chamfer_mean_squared",
]  # fmt: skip
SHARES = ["precision", "recall", "fscore"]
INTRINSICS = np.array([[20.0, 0, 8], [0, 20.0, 6], [0, 0, 1]])
TURN = Rotation.from_rotvec([0.3, -0.7, 0.2]).as_matrix()


def cloud(*points: tuple[float, float, float]) -> Target:
    return Target(points_world=np.array(points, float))


def views(n: int = 1) -> Target:
    """A bumpy surface seen by posed cameras, and its visible points in the world."""
    rows, columns = np.mgrid[:12, :16]
    depths = tuple(
        (2.0 + 0.5 * np.sin(columns / (2.0 + i)) + 0.1 * rows).astype(np.float32) for i in range(n)
    )
    poses = tuple(
        pose_matrix(Rotation.from_rotvec([0.1, 0.2 * i, 0.05]).as_matrix(), [1.0 + i, 2.0, 0.5 * i])
        for i in range(n)
    )
    points = [
        transform(unproject(d, INTRINSICS), p).reshape(-1, 3)
        for d, p in zip(depths, poses, strict=True)
    ]
    return Target(
        depth_m=depths,
        points_world=np.concatenate(points),
        intrinsics=(INTRINSICS,) * n,
        world_from_camera=poses,
    )


def lifted(truth: Target, scale: float = 1.0) -> Prediction:
    return Prediction(depth=tuple(scale * d for d in truth.depth_m))


def in_first_camera(truth: Target) -> np.ndarray:
    return transform(truth.points_world, invert_pose(truth.world_from_camera[0]))
