"""TUM RGB-D sequences in their original layout, with the motion-capture trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.layout import hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.views import View, pinhole, sample_of_views, windows
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_text, safe_join
from g2vlm_bench.geometry.cameras import matrix_from_quaternion, pose_matrix
from g2vlm_bench.sample import Sample

# Colour cameras as the data set's page gives them ("Intrinsic Camera Calibration of the Kinect").
_CAMERAS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}


class _Frame(NamedTuple):
    view: View
    files: tuple[Path, ...]


class TumRgbd(Reader):
    """TUM RGB-D sequences: `rgb.txt`, `depth.txt`, `groundtruth.txt` and the folders they name.

    Depth is a 16-bit PNG of 5000 a metre, 0 = none, registered to the colour camera to within a few
    pixels. Poses are `timestamp tx ty tz qx qy qz qw`, world_from_camera, metres. An image goes
    with the depth map nearest in time if that map's nearest image is this one, and with the pose
    nearest to the image's own time, none being interpolated (as evo does); images without either
    are left out. One split, `test`. Licence: CC BY 4.0.

    Source: Sturm et al. 2012, "A Benchmark for the Evaluation of RGB-D SLAM Systems".

    Args:
        root: The folder of the sequence, or of several.
        sequences: Folders below the root; each is a cluster.
        intrinsics: `[fx, fy, cx, cy]` of the colour camera, pixel centres at whole numbers; from
            the name of the sequence (`freiburg1`, 2 or 3) where it is not given.
        depth_scale: Stored value of one metre.
        max_difference_s: What lies farther apart in time does not belong together.
        views: How many consecutive images make a sample.
        every: Take every n-th image only.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        sequences: Sequence[str] = (".",),
        intrinsics: Sequence[float] | None = None,
        depth_scale: float = 5000.0,
        max_difference_s: float = 0.02,
        views: int = 1,
        every: int = 1,
        given: Sequence[str] = (),
    ) -> None:
        self.root = root.resolve()
        self.given = given
        self.depth_scale, self.max_difference_s = depth_scale, max_difference_s
        self.lists: list[Path] = []
        self.groups: list[tuple[str, Sequence[_Frame]]] = []
        for name in sequences:
            folder = safe_join(self.root, name)
            frames = self._frames(folder, _camera(folder, intrinsics))
            self.groups += [(folder.name, group) for group in windows(frames, views, every)]

    def samples(self, split: str) -> Sequence[Sample]:
        """List the samples of all sequences, in order of time."""
        return [
            sample_of_views([frame.view for frame in group], cluster, self.given)
            for cluster, group in self.groups
        ]

    def content_hash(self, split: str) -> str:
        """Hash the lists, and the images and depth maps that the samples use."""
        files = [path for _, group in self.groups for frame in group for path in frame.files]
        return hash_content(self.root, [*self.lists, *files])

    def _frames(self, folder: Path, intrinsics: NDArray[np.float64]) -> list[_Frame]:
        self.lists += [folder / name for name in ("rgb.txt", "depth.txt", "groundtruth.txt")]
        images, depths, trajectory = (_timed(path) for path in self.lists[-3:])
        times, depth_times, pose_times = map(_times, (images, depths, trajectory))
        depth_of, image_of = _nearest(times, depth_times), _nearest(depth_times, times)
        pose_of = _nearest(times, pose_times)
        frames = []
        for index, (_, words) in enumerate(images):
            near, at = depth_of[index], pose_of[index]
            apart = max(abs(depth_times[near] - times[index]), abs(pose_times[at] - times[index]))
            if image_of[near] != index or apart > self.max_difference_s:
                continue
            image = safe_join(folder, words[0])
            depth = safe_join(folder, depths[near][1][0])
            view = View(
                id=image.stem if folder == self.root else f"{folder.name}/{image.stem}",
                image=image,
                load_depth=partial(load_depth, depth, self.depth_scale),
                intrinsics=intrinsics,
                load_pose=partial(_pose, trajectory[at][1], folder / "groundtruth.txt"),
            )
            frames.append(_Frame(view, (image, depth)))
        if not frames:
            raise BenchError(
                folder, expected="images with a depth map and a pose near in time", got="none"
            )
        return frames


def _camera(folder: Path, intrinsics: Sequence[float] | None) -> NDArray[np.float64]:
    named = [camera for name, camera in _CAMERAS.items() if name in folder.name]
    if intrinsics is None and not named:
        raise BenchError(
            folder,
            expected="a folder named after freiburg1, 2 or 3",
            got=f"'{folder.name}'",
            fix="Give the key 'intrinsics': [fx, fy, cx, cy].",
        )
    return pinhole(intrinsics if intrinsics is not None else named[0], 0.0, folder)


def _timed(path: Path) -> list[tuple[float, list[str]]]:
    rows = []
    for number, line in enumerate(load_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append((float(words[0]), words[1:]))
        except ValueError:
            raise BenchError(
                f"{path}, line {number}", expected="a time stamp", got=f"'{words[0]}'"
            ) from None
        if not words[1:]:
            raise BenchError(f"{path}, line {number}", expected="a file or a pose", got="nothing")
    if not rows:
        raise BenchError(path, expected="lines with time stamps", got="none")
    return sorted(rows)


def _times(rows: Sequence[tuple[float, list[str]]]) -> NDArray[np.float64]:
    return np.array([time for time, _ in rows])


def _nearest(queries: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    right = np.searchsorted(times, queries).clip(1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(times[left] - queries) <= np.abs(times[right] - queries)
    nearest: NDArray[np.int64] = np.where(nearer, left, right)
    return nearest


def _pose(words: Sequence[str], where: Path) -> NDArray[np.float64]:
    try:
        tx, ty, tz, qx, qy, qz, qw = map(float, words)
        rotation = matrix_from_quaternion(np.array([qw, qx, qy, qz]))
        return pose_matrix(rotation, np.array([tx, ty, tz]))
    except ValueError as error:
        raise BenchError(where, expected="tx ty tz qx qy qz qw", got=error) from None
