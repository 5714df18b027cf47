"""COLMAP models, in text and in binary form: cameras, images and points.

A model is a folder of `cameras`, `images` and `points3D`, each `.txt` or `.bin`. Poses in the files
are `camera_from_world` with quaternions wxyz; pixel centres are at +0.5, as here. A model fixes no
unit. Whatever is wrong with a file ends as one `BenchError` that names it, and the line or the
record where it can.

Source: COLMAP's documentation, "Output Format"; its `scene/reconstruction_io_{text,binary}.cc`
and `sensor/models.h` (5d968cf).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_bytes, load_text
from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix
from g2vlm_bench.geometry.trajectory import rotations_from_quaternions

Array = NDArray[np.float64]

# Where fx, fy, cx, cy stand among a model's parameters, and how many that distort come after them;
# in the order of COLMAP's numbers, from 0.
_MODELS = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), 0),
    "PINHOLE": ((0, 1, 2, 3), 0),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), 1),
    "RADIAL": ((0, 0, 1, 2), 2),
    "OPENCV": ((0, 1, 2, 3), 4),
    "OPENCV_FISHEYE": ((0, 1, 2, 3), 4),
    "FULL_OPENCV": ((0, 1, 2, 3), 8),
    "FOV": ((0, 1, 2, 3), 1),
    "SIMPLE_RADIAL_FISHEYE": ((0, 0, 1, 2), 1),
    "RADIAL_FISHEYE": ((0, 0, 1, 2), 2),
    "THIN_PRISM_FISHEYE": ((0, 1, 2, 3), 8),
    "RAD_TAN_THIN_PRISM_FISHEYE": ((0, 1, 2, 3), 12),
}
_AGAIN = "Fetch or write the file again."


@dataclass(frozen=True, slots=True, eq=False)
class ColmapCamera:
    """A camera of a model.

    Attributes:
        model: COLMAP's name of it.
        size: `(H, W)` of its images.
        intrinsics: 3x3, pixels, pixel centres at +0.5.
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
class ColmapPose:
    """An image of a model, without its camera.

    Attributes:
        name: Its file, relative to a folder of images.
        camera_id: The number of its camera.
        numbers: `qw, qx, qy, qz, tx, ty, tz` of `camera_from_world`, as in the file.
        where: Its line or record, for errors.
    """

    name: str
    camera_id: int
    numbers: tuple[float, ...]
    where: str

    def world_from_camera(self) -> Array:
        """Make the 4x4 pose.

        Raises:
            BenchError: The quaternion is no unit one, or a number is not finite.
        """
        try:
            rotation = rotations_from_quaternions(np.array([self.numbers[:4]]))[0]
            return invert_pose(pose_matrix(rotation, np.array(self.numbers[4:])))
        except ValueError as error:
            raise BenchError(self.where, expected="a rigid pose", got=error) from None


@dataclass(frozen=True, slots=True, eq=False)
class ColmapImage(ColmapPose):
    """An image of a model.

    Attributes:
        camera: Its camera.
    """

    camera: ColmapCamera


@dataclass(frozen=True, slots=True, eq=False)
class ColmapModel:
    """The cameras and images of a model.

    Attributes:
        images: Sorted by name.
        files: The files that were read.
    """

    images: Sequence[ColmapImage]
    files: tuple[Path, ...]


def read_model(folder: Path) -> ColmapModel:
    """Read cameras and images, from the binary files where a folder has both forms, as COLMAP does.

    Args:
        folder: Where `cameras` and `images` are, `.bin` or `.txt`.

    Raises:
        BenchError: A file is missing or broken, or an image has an unknown camera.
    """
    paths = tuple(part_of(folder, part) for part in ("cameras", "images"))
    cameras = read_cameras(paths[0])
    images = []
    for pose in read_poses(paths[1]):
        if pose.camera_id not in cameras:
            known = ", ".join(map(str, cameras))
            raise BenchError(
                pose.where, expected=f"a camera of {paths[0].name} ({known})", got=pose.camera_id
            )
        images.append(
            ColmapImage(
                pose.name, pose.camera_id, pose.numbers, pose.where, cameras[pose.camera_id]
            )
        )
    return ColmapModel(images, paths)


def part_of(folder: Path, part: str) -> Path:
    """Name a model's file of cameras, images or points3D, the binary one where there are both."""
    binary = folder / f"{part}.bin"
    return binary if binary.is_file() else folder / f"{part}.txt"


def read_cameras(path: Path) -> Mapping[int, ColmapCamera]:
    """Read `cameras.txt` or `cameras.bin`, by number.

    Raises:
        BenchError: The file is missing or broken, or a camera of a model that is unknown.
    """
    rows = _cameras_in_binary if _is_binary(path) else _cameras_in_text
    cameras: dict[int, ColmapCamera] = {}
    for where, number, model, size, values in rows(path):
        if number in cameras:
            raise BenchError(where, expected="each camera once", got=f"{number} again")
        places, _ = _MODELS[model]
        fx, fy, cx, cy = (values[place] for place in places)
        if not np.isfinite(values).all() or min(fx, fy) <= 0 or min(size) < 1:
            got = f"{size[1]} x {size[0]} and {' '.join(f'{value:g}' for value in values)}"
            raise BenchError(where, expected="a size and finite parameters, focal > 0", got=got)
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        cameras[number] = ColmapCamera(model, size, matrix, tuple(values[max(places) + 1 :]))
    if not cameras:
        raise BenchError(path, expected="cameras", got="none")
    return cameras


def read_poses(path: Path) -> list[ColmapPose]:
    """Read `images.txt` or `images.bin`, sorted by name, which is the order of frames.

    In text an image has two lines, the second, of its keypoints, may be empty.

    Raises:
        BenchError: The file is missing, empty, cut or damaged, a name stands twice, or the header
            of a text counts more or fewer images.
    """
    rows = _poses_in_binary if _is_binary(path) else _poses_in_text
    poses: dict[str, ColmapPose] = {}
    for pose in rows(path):
        if pose.name in poses:
            raise BenchError(pose.where, expected="each image once", got=f"'{pose.name}' again")
        poses[pose.name] = pose
    if not poses:
        raise BenchError(path, expected="images", got="none")
    return [poses[name] for name in sorted(poses)]


def read_points(path: Path) -> Array:
    """Read the positions of `points3D.txt` or `points3D.bin`.

    Returns:
        (N, 3) float64 in the model's world and unit, in the order of the file.

    Raises:
        BenchError: The file is missing, empty, cut or damaged, or a position is not finite.
    """
    rows = _points_in_binary if _is_binary(path) else _points_in_text
    points = np.array(list(rows(path)), dtype=np.float64).reshape(-1, 3)
    if not len(points):
        raise BenchError(path, expected="points", got="none")
    if not (finite := np.isfinite(points).all(axis=1)).all():
        got = f"{np.count_nonzero(~finite)} of {len(points)} that are not"
        raise BenchError(path, expected="finite points", got=got)
    return points


def _is_binary(path: Path) -> bool:
    # It starts with a count of 64 bits, whose upper bytes are 0; a text has no such byte.
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(8)
    except OSError:
        return False  # whoever reads the text says what is wrong


# ------------------------------------------------------------------------------------------- text


def _lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Give lines with where they stand, none of them a comment; empty ones are kept."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            yield f"{path}, line {number}", line.strip()


def _check_count(path: Path, text: str, kind: str, found: int) -> None:
    """Compare the number of records with the header's, which alone shows a cut between two."""
    said = re.search(rf"^#.*Number of {kind}: *(\d+)", text, re.MULTILINE)
    if said and int(said[1]) != found:
        expected = f"{said[1]} {kind}, as its header says"
        raise BenchError(path, expected=expected, got=found, fix=_AGAIN)


def _cameras_in_text(path: Path) -> Iterator[tuple[str, int, str, tuple[int, int], list[float]]]:
    text, count = load_text(path), 0
    for where, line in _lines(path, text):
        if not line:
            continue
        words = line.split()
        try:
            number, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            values = [float(word) for word in words[4:]]
            places, distorting = _MODELS[model]
            if len(values) != max(places) + 1 + distorting:
                raise ValueError("another number of parameters")
        except (ValueError, IndexError, KeyError):
            expected = "CAMERA_ID, a known MODEL, WIDTH, HEIGHT and its parameters"
            raise BenchError(where, expected=expected, got=f"'{line[:60]}'") from None
        count += 1
        yield where, number, model, (height, width), values
    _check_count(path, text, "cameras", count)


def _poses_in_text(path: Path) -> Iterator[ColmapPose]:
    text, count = load_text(path), 0
    lines = _lines(path, text)
    for where, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        try:
            pose = ColmapPose(words[9], int(words[8]), tuple(map(float, words[1:8])), where)
        except (ValueError, IndexError):
            expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
            raise BenchError(where, expected=expected, got=f"'{line[:80]}'") from None
        _, points = next(lines, ("", None))
        if points is None or len(points.split()) % 3:
            expected = "a second line for it, of X Y POINT3D_ID or empty"
            raise BenchError(where, expected=expected, got="none that is whole", fix=_AGAIN)
        count += 1
        yield pose
    _check_count(path, text, "images", count)


def _points_in_text(path: Path) -> Iterator[tuple[float, ...]]:
    text, count = load_text(path), 0
    for where, line in _lines(path, text):
        if not line:
            continue
        words = line.split()
        try:
            if len(words) < 8 or len(words) % 2:
                raise ValueError("another number of words")
            yield float(words[1]), float(words[2]), float(words[3])
        except ValueError:
            expected = "POINT3D_ID X Y Z R G B ERROR and pairs of IMAGE_ID, POINT2D_IDX"
            raise BenchError(where, expected=expected, got=f"'{line[:60]}'") from None
        count += 1
    _check_count(path, text, "points", count)


# ----------------------------------------------------------------------------------------- binary


class _Records:
    """The records of a binary file, whose first number counts them; little-endian throughout.

    Use it by iterating: each turn is a record, which `take`, `skip` and `word` then read on from.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self.content, self.at, self.where = load_bytes(path), 0, str(path)
        (self.count,) = self.take("<Q")

    def __iter__(self) -> Iterator[str]:
        for number in range(1, self.count + 1):
            self.where = f"{self.path}, {self.kind} {number} of {self.count}"
            yield self.where
        if self.at != len(self.content):
            expected = f"its end after {self.count} {self.kind}s, at {self.at} bytes"
            raise BenchError(self.path, expected=expected, got=f"{len(self.content)} bytes")

    def take(self, form: str) -> tuple[Any, ...]:
        """Read numbers, as `struct` names them."""
        start = self.at
        self.skip(struct.calcsize(form))
        return struct.unpack_from(form, self.content, start)

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        if self.at + size > len(self.content):
            expected = f"{size} bytes after the first {self.at}"
            got = f"{len(self.content) - self.at}, where the file of {len(self.content)} bytes ends"
            raise BenchError(self.where, expected=expected, got=got, fix=_AGAIN)
        self.at += size

    def word(self) -> str:
        """Read text that ends with a zero."""
        end = self.content.find(b"\0", self.at)
        if end < 0:
            got = f"none before the file ends, at {len(self.content)} bytes"
            raise BenchError(
                self.where, expected=f"the end of a name after byte {self.at}", got=got, fix=_AGAIN
            )
        start, self.at = self.at, end + 1
        try:
            return self.content[start:end].decode()
        except UnicodeDecodeError as error:
            raise BenchError(self.where, expected="a name in UTF-8", got=error) from None


def _cameras_in_binary(path: Path) -> Iterator[tuple[str, int, str, tuple[int, int], list[float]]]:
    names = list(_MODELS)
    records = _Records(path, "camera")
    for where in records:
        number, model, width, height = records.take("<IiQQ")
        if not 0 <= model < len(names):
            expected = f"a camera model of number 0 to {len(names) - 1}"
            raise BenchError(where, expected=expected, got=model)
        places, distorting = _MODELS[names[model]]
        values = records.take(f"<{max(places) + 1 + distorting}d")
        yield where, number, names[model], (height, width), list(values)


def _poses_in_binary(path: Path) -> Iterator[ColmapPose]:
    records = _Records(path, "image")
    for where in records:
        _, *numbers, camera = records.take("<I7dI")
        pose = ColmapPose(records.word(), camera, tuple(numbers), where)
        records.skip(24 * records.take("<Q")[0])
        yield pose


def _points_in_binary(path: Path) -> Iterator[tuple[float, ...]]:
    records = _Records(path, "point")
    for _ in records:
        _, x, y, z, *_, observations = records.take("<Q3d3BdQ")
        records.skip(8 * observations)
        yield x, y, z
