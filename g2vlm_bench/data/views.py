"""Views: an image with its depth, camera and pose; and the samples made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_array, load_rgb, load_text
from g2vlm_bench.geometry.cameras import (
    check_intrinsics,
    check_pose,
    invert_pose,
    transform,
    unproject,
)
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import Inputs, Sample, Target

Array = NDArray[np.float64]

CAMERA_PARTS = ("intrinsics", "poses")
Camera = Array | Callable[[], Array]
Picture = Path | Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One image and what is known of it; nothing is opened before it is called.

    Attributes:
        id: Names it within its data.
        image: The image file, or what opens an image that is no file of its own, `(H, W, 3)` RGB.
        load_depth: Opens the depth map, `(H, W)` float32 metres, NaN invalid; None where there is
            none.
        intrinsics: 3x3, of the image, pixel centres at +0.5, or what opens them; None where
            unknown.
        load_pose: Opens `world_from_camera`, 4x4; None where unknown.
        image_size: `(H, W)` that the intrinsics are for; any where it is None.
        load_segments: Opens what each pixel of the depth map shows, `(H, W)` int32, 0 = no segment;
            None where unknown.
        depth_intrinsics: 3x3, of the depth map, where it has a camera of its own; where None, those
            of the image, scaled to the depth map's size.
    """

    id: str
    image: Picture
    load_depth: Callable[[], NDArray[np.float32]] | None = None
    intrinsics: Camera | None = None
    load_pose: Callable[[], Array] | None = None
    image_size: tuple[int, int] | None = None
    depth_intrinsics: Camera | None = None
    load_segments: Callable[[], NDArray[np.int32]] | None = None


def sample_of_views(
    views: Sequence[View],
    cluster: str,
    given: Sequence[str],
    load_points: Callable[[], Array] | None = None,
) -> Sample:
    """Make a sample of one view or of several of one scene.

    The target carries depth and segments where every view has some, intrinsics, poses (of a single
    view without one: the identity, so that the world is the camera's frame) and `points_world`: the
    scan where there is one, else the valid pixels of all views.

    Args:
        views: At least one; `first-last` is the sample's id where there are several.
        cluster: The scene; the sample's own id where it is empty.
        given: Which of `CAMERA_PARTS` the inputs hold besides the images.
        load_points: Opens a scan of the scene, `(N, 3)` metres in the world of the poses.
    """
    name = views[0].id if len(views) == 1 else f"{views[0].id}-{views[-1].id}"
    return Sample(
        id=name,
        cluster=cluster or name,
        load_inputs=partial(_inputs, name, tuple(views), check_given(given)),
        load_target=partial(_target, tuple(views), load_points),
    )


def check_given(given: Sequence[str]) -> frozenset[str]:
    """Check the key `given`.

    Raises:
        BenchError: It names something that is no part of a camera.
    """
    for part in given:
        if part not in CAMERA_PARTS:
            raise BenchError(
                "data, key 'given'", expected="a list of intrinsics, poses", got=f"'{part}'"
            )
    return frozenset(given)


def pinhole(values: Sequence[float], pixel_centre: float, where: object) -> Array:
    """Make intrinsics with pixel centres at +0.5 from those of a data set.

    Args:
        values: `fx, fy, cx, cy`, or the nine entries of the matrix row by row.
        pixel_centre: Where the data set puts the centre of the first pixel: 0 for most (TUM, KITTI,
            OpenCV), 0.5 for some (COLMAP).
        where: For the error.

    Raises:
        BenchError: The values are neither.
    """
    try:
        numbers = np.array(values, dtype=np.float64).ravel()
        if numbers.size == 4:
            fx, fy, cx, cy = numbers
            numbers = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
        matrix = check_intrinsics(numbers.reshape(3, 3))
    except (ValueError, TypeError) as error:
        raise BenchError(where, expected="fx, fy, cx, cy or a 3x3 matrix", got=error) from None
    shift = np.array([[1, 0, 0.5 - pixel_centre], [0, 1, 0.5 - pixel_centre], [0, 0, 1]])
    return shift @ matrix


def read_pinhole(root: Path, given: Sequence[float] | str, pixel_centre: float) -> Array:
    """Make intrinsics from numbers of a task file, or from a text file below the root.

    Raises:
        BenchError: The file is missing, or there are neither 4 nor 9 numbers.
    """
    if not isinstance(given, str):
        return pinhole(given, pixel_centre, f"{root}, key 'intrinsics'")
    path = safe_join(root, given)
    return pinhole(numbers_of(path), pixel_centre, path)


def load_pose(path: Path, inverse: bool = False) -> Array:
    """Read `world_from_camera` from a file of 4x4 numbers, as 7-Scenes and ScanNet have it.

    Args:
        path: A text or npy file.
        inverse: Whether the file holds `camera_from_world`.

    Raises:
        BenchError: The file is missing or holds no rigid pose, as where tracking was lost.
    """
    pose = rigid(numbers_of(path), path)
    return invert_pose(pose) if inverse else pose


def rigid(values: Sequence[float], where: object) -> Array:
    """Make a 4x4 pose of its 16 numbers, row by row, rounding errors of the rotation removed.

    Raises:
        BenchError: They are no rigid pose.
    """
    try:
        matrix = np.array(values, dtype=np.float64).reshape(4, 4)
        u, singular, vt = np.linalg.svd(matrix[:3, :3])
        if np.abs(singular - 1).max() > 1e-2:
            raise ValueError(f"a rotation of singular values {singular.round(4).tolist()}")
        matrix[:3, :3] = u @ vt
        return check_pose(matrix)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise BenchError(where, expected="a rigid 4x4 pose", got=error) from None


def numbers_of(path: Path) -> list[float]:
    """Read all numbers of an npy file, or of a text file, parted by spaces, commas or lines.

    Raises:
        BenchError: The file is missing, empty, or holds something else.
    """
    try:
        if path.suffix == ".npy":
            return [float(number) for number in load_array(path).ravel()]
        return [float(word) for word in load_text(path).replace(",", " ").split()]
    except (ValueError, TypeError) as error:
        raise BenchError(path, expected="numbers", got=error) from None


def _inputs(name: str, views: tuple[View, ...], given: frozenset[str]) -> Inputs:
    images = tuple(_opened_image(view.image) for view in views)
    for view, image in zip(views, images, strict=True):
        _check_size(view, image.shape[:2])
    return Inputs(
        id=name,
        images=images,
        intrinsics=_intrinsics(views) if "intrinsics" in given else None,
        world_from_camera=_poses(views) if "poses" in given else None,
    )


def _target(views: tuple[View, ...], load_points: Callable[[], Array] | None) -> Target:
    depths = tuple(view.load_depth() for view in views if view.load_depth is not None)
    segments = tuple(view.load_segments() for view in views if view.load_segments is not None)
    intrinsics, poses = _intrinsics(views), _poses(views)
    if poses is None and len(views) == 1:
        poses = (np.eye(4),)
    points = None if load_points is None else load_points()
    if points is None and intrinsics and poses and len(depths) == len(views):
        clouds = [
            transform(_points(view, depth, camera), pose)
            for view, depth, camera, pose in zip(views, depths, intrinsics, poses, strict=True)
        ]
        points = np.concatenate(clouds) if sum(map(len, clouds)) else None
    return Target(
        depth_m=depths if len(depths) == len(views) else None,
        points_world=points,
        intrinsics=intrinsics,
        world_from_camera=poses,
        segments=segments if len(segments) == len(views) else None,
    )


def _points(view: View, depth: NDArray[np.float32], intrinsics: Array) -> Array:
    picture = view.image
    height, width = picture().shape[:2] if callable(picture) else image_size(picture)
    _check_size(view, (height, width))
    if view.depth_intrinsics is not None:
        camera = _opened(view.depth_intrinsics)
    else:
        _check_shape(view, depth, (height, width))
        # With pixel centres at +0.5 a depth map of another size has its intrinsics scaled, no more.
        camera = np.diag([depth.shape[1] / width, depth.shape[0] / height, 1.0]) @ intrinsics
    points: Array = unproject(depth, camera).reshape(-1, 3)
    return points[np.isfinite(points[:, 2])]


def _check_shape(view: View, depth: NDArray[np.float32], size: tuple[int, int]) -> None:
    (rows, columns), (height, width) = depth.shape, size
    # A depth map of the same view, made smaller, is at most a pixel off the image's proportions.
    if abs(rows * width - columns * height) > max(height, width):
        raise BenchError(
            view.id,
            expected=f"depth in the proportions of its image, {width} x {height}",
            got=f"{columns} x {rows}",
            fix="Pair the image with its own depth map, or give depth a camera of its own.",
        )


def _opened_image(picture: Picture) -> NDArray[np.uint8]:
    return picture() if callable(picture) else load_rgb(picture)


def _opened(camera: Camera) -> Array:
    return camera() if callable(camera) else camera


def _intrinsics(views: Sequence[View]) -> tuple[Array, ...] | None:
    known = [_opened(view.intrinsics) for view in views if view.intrinsics is not None]
    return tuple(known) if len(known) == len(views) else None


def _poses(views: Sequence[View]) -> tuple[Array, ...] | None:
    known = [view.load_pose() for view in views if view.load_pose is not None]
    return tuple(known) if len(known) == len(views) else None


def _check_size(view: View, size: tuple[int, ...]) -> None:
    if view.image_size is not None and tuple(view.image_size) != tuple(size):
        raise BenchError(
            view.id if callable(view.image) else view.image,
            expected="{} x {} pixels, which the intrinsics are for".format(*view.image_size[::-1]),
            got="{} x {}".format(*size[::-1]),
            fix="Give the intrinsics that belong to these images.",
        )
