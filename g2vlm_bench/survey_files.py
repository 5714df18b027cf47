"""A prediction and its truth from two files: maps, clouds or trajectories, by suffix and shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_text
from g2vlm_bench.geometry.meshes import read_points
from g2vlm_bench.geometry.trajectory import Pairs, associate
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.survey_maps import SUFFIXES, Maps, load_maps, read_intrinsics
from g2vlm_bench.trajectory_files import Trajectory, load_trajectory

_CLOUDS = (".ply", ".pcd", ".xyz", ".pts", ".bin", ".obj", ".glb")
# A .txt says by its columns which of the first two it is.
_TRAJECTORIES = {
    ".tum": "tum", ".kitti": "kitti", ".euroc": "euroc", ".csv": "euroc", ".colmap": "colmap"
}  # fmt: skip
_OF_MAPS = ("depth", "point_map", "chamfer")
_COLUMNS = {8: "tum", 12: "kitti"}
# As evo has it.
_TOLERANCE_S = 0.01


class Matched(NamedTuple):
    """How many poses two trajectories share, and how many each has."""

    both: int
    predicted: int
    true: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction, its truth, and the family that scores them.

    Attributes:
        family: Such as `depth`.
        target: The truth.
        prediction: Of the same views.
        matched: Of trajectories, whose other poses are left out of both.
    """

    family: str
    target: Target
    prediction: Prediction
    matched: Matched | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of numbers that are made of this pair; see `survey`."""
        if self.matched is None:
            return ()
        both, predicted, true = self.matched
        counts = {"true": true, "predicted": predicted}
        parts = [f"{both:,} of {n:,} {whose} poses" for whose, n in counts.items() if both < n]
        return (f"{' and '.join(parts)} matched",) if parts else ()


def pair_of_files(
    prediction: Path,
    truth: Path,
    prediction_scale: float | None = None,
    truth_scale: float | None = None,
    *,
    family: str | None = None,
    trajectory_format: str | None = None,
    intrinsics: Path | None = None,
    predicted_intrinsics: Path | None = None,
    pixel_centre: float = 0.0,
    mesh_points: int | None = None,
) -> Pair:
    """Read a pair of files of one kind.

    Clouds are in one frame. Trajectories are matched by time where both have times, within 10 ms,
    by name where both have names, else line by line; the pair notes how many. Of maps the family
    can be chosen: depth, and with the truth's intrinsics also the points that it lifts to, as maps
    or as one cloud.

    Args:
        prediction: Depth maps, maps of points, a cloud, or a trajectory; see `load_maps`.
        truth: Likewise; maps of points are taken for their depth.
        prediction_scale: Stored value of one metre, for integer depth maps.
        truth_scale: Likewise, of the truth.
        family: `depth`, `point_map` or `chamfer` for maps; without it depth, or point_map where
            points alone are predicted.
        trajectory_format: `tum`, `kitti`, `euroc` or `colmap`, whatever the suffixes say.
        intrinsics: File of the true ones, where the truth's own file has none; see
            `read_intrinsics`.
        predicted_intrinsics: File of the predicted ones, which predicted depth is lifted by, where
            the prediction's own file has none.
        pixel_centre: Where those files put the centre of the first pixel, 0 or 0.5.
        mesh_points: How many points are drawn from a mesh; without it a mesh is refused.

    Raises:
        BenchError: A suffix is unknown, the two are of different kinds, or a file is broken.
    """
    kind, true_kind = (
        "trajectory" if trajectory_format else _kind(path) for path in (prediction, truth)
    )
    if true_kind != kind:
        raise BenchError(truth, expected=f"a {kind} like the prediction", got=f"a {true_kind}")
    of_maps = {
        "--family": family,
        "--intrinsics": intrinsics,
        "--predicted-intrinsics": predicted_intrinsics,
    }
    option = next((name for name, value in of_maps.items() if value), None)
    if kind != "map" and option is not None:
        raise BenchError(option, expected="maps, which it is about", got=f"a {kind}")
    if kind == "cloud":
        return _clouds(prediction, truth, mesh_points)
    if kind == "trajectory":
        return _trajectories(prediction, truth, trajectory_format)
    mine = load_maps(prediction, prediction_scale, zero_is_none=False)
    true = load_maps(truth, truth_scale)
    if not true.depth:
        true = replace(true, depth=tuple(points[..., 2] for points in true.points))
    if intrinsics is not None:
        cameras = read_intrinsics(intrinsics, pixel_centre, len(true.depth))
        true = replace(true, intrinsics=cameras)
    if predicted_intrinsics is not None:
        frames = len(mine.depth or mine.points)
        cameras = read_intrinsics(predicted_intrinsics, pixel_centre, frames)
        mine = replace(mine, intrinsics=cameras)
    return _maps(mine, true, family or ("depth" if mine.depth else "point_map"))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "trajectory"
    for kind, suffixes in (
        ("map", SUFFIXES), ("cloud", _CLOUDS), ("trajectory", (*_TRAJECTORIES, ".txt")),
    ):  # fmt: skip
        if suffix in suffixes:
            return kind
    known = ", ".join((*SUFFIXES, *_CLOUDS, *_TRAJECTORIES, ".txt"))
    raise BenchError(path, expected=f"a file ending in {known}", got=f"'{suffix}'")


def _maps(mine: Maps, true: Maps, family: str) -> Pair:
    if family not in _OF_MAPS:
        raise BenchError("--family", expected=" or ".join(_OF_MAPS), got=f"'{family}'")
    found, wanted = len(mine.depth or mine.points), len(true.depth)
    if found != wanted:
        raise BenchError("maps", expected=f"as many frames as the truth, {wanted}", got=found)
    if family != "depth" and true.intrinsics is None:
        raise BenchError(
            f"family '{family}'",
            expected="intrinsics, to lift the truth's depth to points",
            got="none",
            fix="Give a file of them with --intrinsics.",
        )
    target = Target(
        depth_m=true.depth,
        intrinsics=true.intrinsics,
        world_from_camera=true.world_from_camera,
    )
    prediction = Prediction(
        depth=mine.depth or None,
        point_maps=mine.points or None,
        intrinsics=mine.intrinsics,
        world_from_camera=mine.world_from_camera,
    )
    return Pair(family, target, prediction)


def _clouds(prediction: Path, truth: Path, mesh_points: int | None) -> Pair:
    try:
        mine = read_points(prediction, mesh_points, dropping=False)
        true = read_points(truth, mesh_points)
    except (ValueError, OSError, ImportError) as error:
        raise BenchError("clouds", expected="two readable clouds", got=error) from None
    return Pair(
        "chamfer",
        Target(points_world=true.points, normals_world=true.normals),
        Prediction(points=mine.points, normals=mine.normals),
    )


def _trajectories(prediction: Path, truth: Path, named: str | None) -> Pair:
    mine, true = (load_trajectory(p, named or _format(p)) for p in (prediction, truth))
    rows = _matched(mine, true)
    return Pair(
        "camera_pose",
        Target(world_from_camera=tuple(true.world_from_camera[rows[1]])),
        Prediction(world_from_camera=tuple(mine.world_from_camera[rows[0]])),
        Matched(len(rows[0]), len(mine.world_from_camera), len(true.world_from_camera)),
    )


def _format(path: Path) -> str:
    """Name a trajectory's format by its suffix, or by how many numbers stand in a line."""
    if path.is_dir() or path.name == "images.txt":
        return "colmap"
    if path.suffix.lower() != ".txt":
        return _TRAJECTORIES[path.suffix.lower()]
    rows = (line.split() for line in load_text(path).splitlines())
    count = next((len(row) for row in rows if row and not row[0].startswith("#")), 0)
    if count not in _COLUMNS:
        raise BenchError(
            path,
            expected="a trajectory, 8 numbers a line (tum) or 12 (kitti)",
            got=count,
            fix="Name another format with --format.",
        )
    return _COLUMNS[count]


def _matched(mine: Trajectory, true: Trajectory) -> Pairs:
    if mine.times_s is not None and true.times_s is not None:
        try:
            return associate(mine.times_s, true.times_s, _TOLERANCE_S)
        except ValueError as error:
            raise BenchError("trajectories", expected="times in common", got=error) from None
    if mine.names is not None and true.names is not None:
        both = np.intersect1d(mine.names, true.names, return_indices=True)
        if not len(both[0]):
            raise BenchError("trajectories", expected="images of one name in both", got="none")
        return both[1], both[2]
    counts = len(mine.world_from_camera), len(true.world_from_camera)
    if counts[0] != counts[1]:
        raise BenchError(
            "trajectories without times or names in both",
            expected=f"as many poses as the truth, {counts[1]}",
            got=counts[0],
        )
    return np.arange(counts[0]), np.arange(counts[0])
