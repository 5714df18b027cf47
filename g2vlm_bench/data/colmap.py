"""COLMAP models in text form: `cameras.txt` and `images.txt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_text
from g2vlm_bench.geometry.cameras import invert_pose, matrix_from_quaternion, pose_matrix

Array = NDArray[np.float64]

# Parameters of each model: fx, fy, cx, cy as indices, then how many distort.
_MODELS = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), 0),
    "PINHOLE": ((0, 1, 2, 3), 0),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), 1),
    "RADIAL": ((0, 0, 1, 2), 2),
    "OPENCV": ((0, 1, 2, 3), 4),
    "OPENCV_FISHEYE": ((0, 1, 2, 3), 4),
    "FULL_OPENCV": ((0, 1, 2, 3), 8),
    "SIMPLE_RADIAL_FISHEYE": ((0, 0, 1, 2), 1),
    "RADIAL_FISHEYE": ((0, 0, 1, 2), 2),
    "THIN_PRISM_FISHEYE": ((0, 1, 2, 3), 8),
}


@dataclass(frozen=True, slots=True, eq=False)
class ColmapCamera:
    """A camera of a COLMAP model.

    Attributes:
        model: COLMAP's name of it.
        size: `(H, W)` of its images.
        intrinsics: 3x3; COLMAP's pixel centres are at +0.5, as here.
        distortion: The parameters after those, in COLMAP's order.
    """

    model: str
    size: tuple[int, int]
    intrinsics: Array
    distortion: tuple[float, ...]

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return "FISHEYE" not in self.model and not any(self.distortion)


@dataclass(frozen=True, slots=True, eq=False)
class ColmapImage:
    """An image of a COLMAP model.

    Attributes:
        name: Its file, relative to a folder of images.
        camera: Its camera.
        pose: `qw, qx, qy, qz, tx, ty, tz` of `camera_from_world`, as in the file.
        where: Its line, for errors.
    """

    name: str
    camera: ColmapCamera
    pose: tuple[float, ...]
    where: str

    def world_from_camera(self) -> Array:
        """Make the 4x4 pose.

        Raises:
            BenchError: The quaternion has no direction, or a number is not finite.
        """
        try:
            rotation = matrix_from_quaternion(np.array(self.pose[:4]))
            return invert_pose(pose_matrix(rotation, np.array(self.pose[4:])))
        except ValueError as error:
            raise BenchError(self.where, expected="a rigid pose", got=error) from None


def read_colmap(folder: Path) -> list[ColmapImage]:
    """Read the images of a model, sorted by name.

    Every image has two lines, and the second, its keypoints, may be empty; so lines are counted,
    not filtered.

    Args:
        folder: Where `cameras.txt` and `images.txt` are.

    Raises:
        BenchError: A file is missing, or a line is none of a camera or an image.

    Source: COLMAP's documentation, "Output Format".
    """
    cameras = _cameras(folder / "cameras.txt")
    path = folder / "images.txt"
    lines = [
        (number, line.strip())
        for number, line in enumerate(load_text(path).splitlines(), start=1)
        if not line.startswith("#")
    ]
    while lines and not lines[0][1]:
        del lines[0]
    images = []
    for number, line in lines[::2]:
        if not line:
            continue
        where = f"{path}, line {number}"
        words = line.split(maxsplit=9)
        try:
            pose = tuple(map(float, words[1:8]))
            camera, name = cameras[words[8]], words[9]
        except (ValueError, IndexError, KeyError):
            expected = "IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID (a known one), NAME"
            raise BenchError(where, expected=expected, got=f"'{line[:60]}'") from None
        images.append(ColmapImage(name, camera, pose, where))
    return sorted(images, key=lambda image: image.name)


def _cameras(path: Path) -> dict[str, ColmapCamera]:
    cameras = {}
    for number, line in enumerate(load_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        try:
            name, model, width, height = words[0], words[1], int(words[2]), int(words[3])
            values = list(map(float, words[4:]))
            places, distorting = _MODELS[model]
            if len(values) != max(places) + 1 + distorting:
                raise ValueError("another number of parameters")
        except (ValueError, IndexError, KeyError):
            expected = "CAMERA_ID, a known MODEL, WIDTH, HEIGHT and its parameters"
            raise BenchError(where, expected=expected, got=f"'{line[:60]}'") from None
        fx, fy, cx, cy = (values[place] for place in places)
        cameras[name] = ColmapCamera(
            model,
            (height, width),
            np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]),
            tuple(values[max(places) + 1 :]),
        )
    return cameras
