"""Tanks and Temples: photographs, a camera log, and a laser scan with its alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import (
    EACH_FRAME,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    images_of,
    listed,
    load_scan,
)
from g2vlm_bench.data.views import View, numbers_of, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_text
from g2vlm_bench.geometry.cloud_regions import Prism
from g2vlm_bench.sample import Target

Array = NDArray[np.float64]

# The tau of each scene, metres: python_toolbox/evaluation/config.py.
TOLERANCE_M = {
    "Barn": 0.01,
    "Caterpillar": 0.005,
    "Church": 0.025,
    "Courthouse": 0.025,
    "Ignatius": 0.003,
    "Meetingroom": 0.01,
    "Truck": 0.005,
}


class TanksAndTemples(FrameReader):
    """Training scenes of Tanks and Temples: images, `SCENE_COLMAP_SfM.log`, `SCENE.ply`.

    Layout: `SCENE/images/000001.jpg` (or `SCENE/000001.jpg`), `SCENE/SCENE_COLMAP_SfM.log` (for
    each image three whole numbers and a 4x4 `world_from_camera`, in the world of the
    reconstruction that comes with the data), `SCENE/SCENE_trans.txt` (4x4, a rotation times a
    scale: from that world into the scan's, metres) and `SCENE/SCENE.ply` (the scan). The n-th pose
    is that of the n-th image. World is the scan's, so that points and poses are metric. There are
    no depth maps, and no intrinsics: give them where they are known.

    The truth is the whole scan. For the official evaluation (profile `tanks_and_temples`) it comes
    with the crop volume, where `SCENE.json` is there (Open3D's `SelectionPolygonVolume`: a polygon
    along an axis, in the scan's world), and the threshold tau of the scene.

    Split: the 7 training scenes (Barn, Caterpillar, Church, Courthouse, Ignatius, Meetingroom,
    Truck) are `test` here; the scans of the others are not public. Licence: that of its page.

    Source: Knapitsch et al. 2017; `TanksAndTemples/evaluation` (3c2c212).

    Args:
        root: The folder of the scenes.
        scenes: Names of folders; every one where none is given.
        intrinsics: `[fx, fy, cx, cy]` of the images, pixel centres at whole numbers.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        intrinsics: Sequence[float] | None = None,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        camera = None
        if intrinsics is not None:
            camera = pinhole(intrinsics, 0.0, "key 'intrinsics'")
        found = [_scene(folder, camera) for folder in listed(root, scenes, "scene")]
        self.take(root, found, sampling, given)


def _scene(folder: Path, camera: Array | None) -> Scene:
    name = folder.name
    below = folder / "images"
    images = images_of(below if below.is_dir() else folder, "*.jpg")
    log, alignment = folder / f"{name}_COLMAP_SfM.log", folder / f"{name}_trans.txt"
    scan = folder / f"{name}.ply"
    numbers = numbers_of(log)
    if len(numbers) != 19 * len(images):
        raise BenchError(
            log,
            expected=f"19 numbers for each of {len(images)} images",
            got=f"{len(numbers)} in all",
            fix="Fetch all images that the log is for; it knows them by their order alone.",
        )
    scan_from_log = _similarity(alignment)
    frames = [
        Frame(
            View(
                id=f"{name}/{image.stem}",
                image=image,
                intrinsics=camera,
                load_pose=partial(_pose, numbers[19 * at + 3 : 19 * at + 19], scan_from_log, log),
            ),
            (image,),
        )
        for at, image in enumerate(images)
    ]
    crop = folder / f"{name}.json"
    there = crop.is_file()
    return Scene(
        name=name,
        frames=frames,
        shared=(log, alignment, scan, *([crop] if there else ())),
        load_points=load_scan(scan),
        complete=partial(_complete, crop if there else None, TOLERANCE_M.get(name)),
    )


def _complete(crop: Path | None, tolerance_m: float | None, target: Target) -> Target:
    return replace(target, crop=None if crop is None else _prism(crop), tolerance_m=tolerance_m)


class Volume(msgspec.Struct, frozen=True):
    """A crop volume as Open3D writes it."""

    orthogonal_axis: Literal["X", "Y", "Z"]
    axis_min: float
    axis_max: float
    bounding_polygon: list[tuple[float, float, float]]


def _prism(path: Path) -> Prism:
    try:
        volume = msgspec.json.decode(load_text(path), type=Volume)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BenchError(path, expected="a crop volume", got=error) from None
    corners = np.array(volume.bounding_polygon, dtype=np.float64)
    if len(corners) < 3 or not volume.axis_min <= volume.axis_max:
        got = f"{len(corners)} corners from {volume.axis_min} to {volume.axis_max}"
        raise BenchError(path, expected="three corners or more, axis_min <= axis_max", got=got)
    axes: dict[str, Literal[0, 1, 2]] = {"X": 0, "Y": 1, "Z": 2}
    axis = axes[volume.orthogonal_axis]
    return Prism(np.delete(corners, axis, axis=1), axis, volume.axis_min, volume.axis_max)


def _similarity(path: Path) -> Array:
    numbers = numbers_of(path)
    if len(numbers) != 16 or not np.isfinite(numbers).all():
        got = f"{len(numbers)} numbers, {np.isfinite(numbers).sum()} of them finite"
        raise BenchError(path, expected="a 4x4 matrix", got=got)
    matrix = np.reshape(numbers, (4, 4))
    determinant = float(np.linalg.det(matrix[:3, :3]))
    if not determinant > 0:
        raise BenchError(
            path, expected="a rotation times a scale", got=f"determinant {determinant:g}"
        )
    unscaled = matrix.copy()
    unscaled[:3, :3] /= determinant ** (1 / 3)
    rigid(unscaled.ravel().tolist(), path)
    return matrix


def _pose(numbers: Sequence[float], scan_from_log: Array, where: Path) -> Array:
    log_from_camera = rigid(numbers, where)
    moved = scan_from_log @ log_from_camera
    # The scale moves the camera; it does not stretch its axes.
    moved[:3, :3] /= np.linalg.det(scan_from_log[:3, :3]) ** (1 / 3)
    return rigid(moved.ravel().tolist(), where)
