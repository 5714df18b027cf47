"""TUM RGB-D sequences in their original layout, and Bonn's, which have the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_text
from g2vlm_bench.geometry.cameras import matrix_from_quaternion, pose_matrix
from g2vlm_bench.geometry.trajectory import mutually_nearest, nearest_in_time
from g2vlm_bench.paths import safe_join

# Colour cameras as the data set's page gives them ("Intrinsic Camera Calibration of the Kinect").
_CAMERAS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}


class TumRgbd(FrameReader):
    """TUM RGB-D sequences: `rgb.txt`, `depth.txt`, `groundtruth.txt` and the folders they name.

    Depth is a 16-bit PNG of 5000 a metre, 0 = none, registered to the colour camera to within a few
    pixels. Poses are `timestamp tx ty tz qx qy qz qw`, world_from_camera, metres. An image goes
    with the depth map nearest in time if that map's nearest image is this one, and with the pose
    nearest to the image's own time, none being interpolated (as evo does); images without either
    are left out. One split, `test`; peers take 8 sequences of freiburg3, the frames `[::3][:90]`.
    Licence: CC BY 4.0.

    Bonn RGB-D Dynamic has the same layout and `intrinsics: [542.822841, 542.57687, 315.59352,
    237.756098]`, but its `groundtruth.txt` is the trajectory of the markers on the camera, not of
    the camera: set `poses: false`. Peers take 5 sequences, the frames `[30:140]` in the order of
    each folder, not paired by time, and of those the depth only. Licence: that of its project page.

    Source: Sturm et al. 2012, "A Benchmark for the Evaluation of RGB-D SLAM Systems"; Palazzolo et
    al. 2019, "ReFusion".

    Args:
        root: The folder of the sequence, or of several.
        sequences: Folders below the root; each is a cluster.
        intrinsics: `[fx, fy, cx, cy]` of the colour camera, pixel centres at whole numbers; from
            the name of the sequence (`freiburg1`, 2 or 3) where it is not given.
        depth_scale: Stored value of one metre.
        max_difference_s: What lies farther apart in time does not belong together.
        poses: Whether to read poses; where False, images need only a depth map.
        sampling: Which images of a sequence make samples.
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
        poses: bool = True,
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        self.root = root.resolve()
        self.depth_scale, self.max_difference_s = depth_scale, max_difference_s
        self.poses = poses
        scenes = [self._scene(safe_join(self.root, name), intrinsics) for name in sequences]
        self.take(self.root, scenes, sampling, given)

    def _scene(self, folder: Path, intrinsics: Sequence[float] | None) -> Scene:
        camera = _camera(folder, intrinsics)
        lists = [folder / name for name in ("rgb.txt", "depth.txt")]
        lists += [folder / "groundtruth.txt"] if self.poses else []
        images, depths, *trajectory = (_timed(path) for path in lists)
        image_of, depth_of = mutually_nearest(_times(images), _times(depths), self.max_difference_s)
        times = _times(images)[image_of]
        has_pose = np.ones(len(times), bool)
        load_poses: list[Callable[[], NDArray[np.float64]] | None] = [None] * len(times)
        for poses in trajectory:
            pose_times = _times(poses)
            pose_of = nearest_in_time(times, pose_times)
            has_pose = np.abs(pose_times[pose_of] - times) <= self.max_difference_s
            load_poses = [partial(_pose, poses[at][1], lists[-1]) for at in pose_of]
        frames = []
        for index in np.flatnonzero(has_pose):
            image = safe_join(folder, images[image_of[index]][1][0])
            depth = safe_join(folder, depths[depth_of[index]][1][0])
            view = View(
                id=image.stem if folder == self.root else f"{folder.name}/{image.stem}",
                image=image,
                load_depth=partial(load_depth, depth, self.depth_scale),
                intrinsics=camera,
                load_pose=load_poses[index],
            )
            frames.append(Frame(view, (image, depth)))
        if not frames:
            raise BenchError(
                folder, expected="images with a depth map and a pose near in time", got="none"
            )
        return Scene(name=folder.name, frames=frames, shared=tuple(lists))


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


def _pose(words: Sequence[str], where: Path) -> NDArray[np.float64]:
    try:
        tx, ty, tz, qx, qy, qz, qw = map(float, words)
        rotation = matrix_from_quaternion(np.array([qw, qx, qy, qz]))
        return pose_matrix(rotation, np.array([tx, ty, tz]))
    except ValueError as error:
        raise BenchError(where, expected="tx ty tz qx qy qz qw", got=error) from None
