"""A prediction and its truth from two files: depth maps, clouds or trajectories, by suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry.clouds import read_cloud
from g2vlm_bench.geometry.trajectory import Pairs, associate
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.trajectory_files import Trajectory, load_trajectory

_MAPS = (".png", ".pgm", ".npy", ".npz", ".exr", ".pfm", ".dpt")
_CLOUDS = (".ply", ".pcd", ".xyz", ".pts", ".bin")
_TRAJECTORIES = {".tum": "tum", ".kitti": "kitti", ".euroc": "euroc", ".colmap": "colmap"}
# As evo has it.
_TOLERANCE_S = 0.01


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction, its truth, and the family that scores them."""

    family: str
    target: Target
    prediction: Prediction


def pair_of_files(
    prediction: Path,
    truth: Path,
    prediction_scale: float | None = None,
    truth_scale: float | None = None,
) -> Pair:
    """Read a pair of files of one kind.

    Clouds are in one frame; trajectories are matched by time where both have times, within 10 ms,
    else line by line.

    Args:
        prediction: A depth map, a cloud, or a trajectory.
        truth: Likewise.
        prediction_scale: Stored value of one metre, for integer depth maps.
        truth_scale: Likewise, of the truth.

    Raises:
        BenchError: A suffix is unknown, the two are of different kinds, or a file is broken.
    """
    kind = _kind(prediction)
    if _kind(truth) != kind:
        raise BenchError(truth, expected=f"a {kind} like the prediction", got=f"a {_kind(truth)}")
    if kind == "depth map":
        return Pair(
            "depth",
            Target(depth_m=(load_depth(truth, truth_scale),)),
            Prediction(depth=(load_depth(prediction, prediction_scale),)),
        )
    if kind == "cloud":
        return _clouds(prediction, truth)
    return _trajectories(prediction, truth)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    for kind, suffixes in (
        ("depth map", _MAPS), ("cloud", _CLOUDS), ("trajectory", tuple(_TRAJECTORIES)),
    ):  # fmt: skip
        if suffix in suffixes:
            return kind
    known = ", ".join((*_MAPS, *_CLOUDS, *_TRAJECTORIES))
    raise BenchError(path, expected=f"a file ending in {known}", got=f"'{suffix}'")


def _clouds(prediction: Path, truth: Path) -> Pair:
    try:
        mine, true = read_cloud(prediction), read_cloud(truth)
    except (ValueError, OSError) as error:
        raise BenchError("clouds", expected="two readable clouds", got=error) from None
    return Pair(
        "chamfer",
        Target(points_world=true.points, normals_world=true.normals),
        Prediction(points=mine.points, normals=mine.normals),
    )


def _trajectories(prediction: Path, truth: Path) -> Pair:
    mine, true = (load_trajectory(p, _TRAJECTORIES[p.suffix.lower()]) for p in (prediction, truth))
    rows = _matched(mine, true)
    return Pair(
        "camera_pose",
        Target(world_from_camera=tuple(true.world_from_camera[rows[1]])),
        Prediction(world_from_camera=tuple(mine.world_from_camera[rows[0]])),
    )


def _matched(mine: Trajectory, true: Trajectory) -> Pairs:
    if mine.times_s is not None and true.times_s is not None:
        try:
            return associate(mine.times_s, true.times_s, _TOLERANCE_S)
        except ValueError as error:
            raise BenchError("trajectories", expected="times in common", got=error) from None
    counts = len(mine.world_from_camera), len(true.world_from_camera)
    if counts[0] != counts[1]:
        raise BenchError(
            "trajectories without times", expected=f"as many poses as the truth, {counts[1]}",
            got=counts[0],
        )  # fmt: skip
    return np.arange(counts[0]), np.arange(counts[0])
