"""Trajectories from files: TUM, KITTI odometry, EuRoC and COLMAP, and every way they break.

All become `world_from_camera` in metres (COLMAP: in its own unit). Whatever is wrong with a file
ends as one `BenchError` that names it, and the line where it can.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench import colmap
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.files import load_text
from g2vlm_bench.geometry.trajectory import (
    invert_poses,
    poses_from_parts,
    rotations_from_quaternions,
    travel_steadiness,
)

Array = NDArray[np.float64]

_W_FIRST, _W_LAST = "qw qx qy qz", "qx qy qz qw"


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Poses as a file has them, in its order.

    Attributes:
        world_from_camera: (N, 4, 4) float64.
        times_s: (N,) seconds, increasing; None where the format has none.
        names: Image names, where the format has them.
    """

    world_from_camera: Array
    times_s: Array | None = None
    names: tuple[str, ...] | None = None


def load_trajectory(path: str | Path, format: str) -> Trajectory:
    """Read a trajectory of a named format.

    Args:
        path: The file.
        format: `tum`, `kitti`, `euroc` or `colmap`.

    Raises:
        BenchError: The format is unknown, or the file is broken.
    """
    if format not in READERS:
        raise BenchError(
            path,
            expected=f"a format of {', '.join(READERS)}",
            got=f"'{format}'",
            fix=nearest(format, READERS),
        )
    return READERS[format](Path(path))


def read_tum(path: str | Path) -> Trajectory:
    """Read `timestamp tx ty tz qx qy qz qw` lines, as TUM RGB-D and most SLAM programs write them.

    Quaternions that look as if they were written w first warn, here and in the other formats as if
    they were written w last.

    Raises:
        BenchError: The file is missing, empty or damaged, a line has no 8 numbers, a quaternion is
            no unit one, or times do not increase.
    """
    rows, lines = _table(path, 8, "timestamp tx ty tz qx qy qz qw")
    times = _times(path, rows, lines)
    return Trajectory(_poses(path, rows[:, [7, 4, 5, 6]], rows[:, 1:4], _W_LAST), times)


def read_kitti(path: str | Path) -> Trajectory:
    """Read lines of 12 numbers, the upper 3x4 of `world_from_camera` row by row (KITTI odometry).

    Raises:
        BenchError: The file is missing, empty or damaged, a line has no 12 numbers, or a rotation
            is not rigid within 1e-4.
    """
    rows, _ = _table(path, 12, "a 3x4 pose row by row")
    matrices = rows.reshape(-1, 3, 4)
    try:
        return Trajectory(poses_from_parts(matrices[:, :, :3], matrices[:, :, 3]))
    except ValueError as error:
        raise BenchError(path, expected="rigid 3x4 poses", got=error) from None


def read_euroc(path: str | Path) -> Trajectory:
    """Read `timestamp[ns], px, py, pz, qw, qx, qy, qz` and whatever follows (EuRoC MAV csv).

    What EuRoC's own ground truth poses is the body (the IMU), not a camera: move it by the
    extrinsics of `sensor.yaml` before it is compared with cameras.

    Raises:
        BenchError: The file is missing, empty or damaged, a line has fewer than 8 numbers or not as
            many as the first, a quaternion is no unit one, or times do not increase.
    """
    rows, lines = _table(path, None, "timestamp, px, py, pz, qw, qx, qy, qz, ...", comma=True)
    if rows.shape[1] < 8:
        raise BenchError(path, expected="at least 8 columns", got=rows.shape[1])
    times = _times(path, rows, lines) * 1e-9
    return Trajectory(_poses(path, rows[:, 4:8], rows[:, 1:4], _W_FIRST), times)


def read_colmap(path: str | Path) -> Trajectory:
    """Read the poses of a COLMAP model: `images.txt`, `images.bin`, or the folder of either.

    Its camera_from_world becomes the inverse. Poses are sorted by name, which is the order of
    frames, as COLMAP writes its own.

    Raises:
        BenchError: The file is missing, empty, cut or damaged, a quaternion is no unit one, or a
            name stands twice.
    """
    path = Path(path)
    poses = colmap.read_poses(colmap.part_of(path, "images") if path.is_dir() else path)
    numbers = np.array([pose.numbers for pose in poses])
    world_from_camera = _poses(path, numbers[:, :4], numbers[:, 4:], _W_FIRST, inverse=True)
    return Trajectory(world_from_camera, names=tuple(pose.name for pose in poses))


READERS: dict[str, Callable[[Path], Trajectory]] = {
    "tum": read_tum,
    "kitti": read_kitti,
    "euroc": read_euroc,
    "colmap": read_colmap,
}


def _table(
    path: str | Path, columns: int | None, expected: str, comma: bool = False
) -> tuple[Array, list[int]]:
    """Read lines of equally many finite numbers, and where each stands; `#` starts a comment."""
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, words in _words(load_text(path), comma):
        values = _numbers(words, f"{path}, line {number}")
        wanted = columns or (len(rows[0]) if rows else len(values))
        if len(values) != wanted:
            raise BenchError(
                f"{path}, line {number}",
                expected=f"{wanted} numbers ({expected})",
                got=len(values),
                fix=_other_format(len(values)),
            )
        rows.append(values)
        lines.append(number)
    if not rows:
        raise BenchError(path, expected=f"lines of {expected}", got="none")
    return np.array(rows), lines


def _words(text: str, comma: bool) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, [word.strip() for word in line.split(",")] if comma else line.split()


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise BenchError(where, expected="numbers", got=error) from None
    if not np.isfinite(values).all():
        raise BenchError(where, expected="finite numbers", got=" ".join(words)[:80])
    return values


def _other_format(columns: int) -> str:
    of = {8: "tum", 12: "kitti"}.get(columns)
    return f"Is it of the format {of}?" if of else "Fetch or write the file again."


def _times(path: str | Path, rows: Array, lines: list[int]) -> Array:
    times: Array = rows[:, 0]
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        index = int(late[0]) + 1
        raise BenchError(
            f"{path}, line {lines[index]}",
            expected=f"a time after {times[index - 1]:.6f}",
            got=f"{times[index]:.6f}",
            fix="Sort the lines by time, each time once.",
        )
    return times


def _poses(
    path: str | Path, wxyz: Array, positions: Array, order: str, inverse: bool = False
) -> Array:
    """Make poses, inverted where the file has those of the world, and warn of the other order."""

    def make(quaternions: Array) -> Array:
        poses = poses_from_parts(rotations_from_quaternions(quaternions), positions)
        return invert_poses(poses) if inverse else poses

    try:
        poses = make(wxyz)
    except ValueError as error:
        raise BenchError(path, expected="rigid poses", got=error) from None
    other, other_order = np.roll(wxyz, 1, axis=1), _W_LAST
    if order == _W_LAST:
        other, other_order = np.roll(wxyz, -1, axis=1), _W_FIRST
    # Most programs start at the identity; a camera that looks ahead sees its way straight ahead.
    why = ""
    if np.allclose(np.abs(other[0]), (1, 0, 0, 0), atol=1e-9):
        why = "the first rotation is half a turn, and the identity"
    elif travel_steadiness(poses) < 0.5 and travel_steadiness(make(other)) > 0.9:
        why = "the cameras look anywhere but along their way, and steadily along it"
    if why:
        said = f"{why} once quaternions are read as {other_order} and not as {order}"
        warnings.warn(f"{path}: {said}, which this format has: check the order", stacklevel=3)
    return poses
