"""Tanks and Temples: photographs, a camera log, and a laser scan with its alignment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

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

Array = NDArray[np.float64]


class TanksAndTemples(FrameReader):
    """Training scenes of Tanks and Temples: images, `SCENE_COLMAP_SfM.log`, `SCENE.ply`.

    Layout: `SCENE/images/000001.jpg` (or `SCENE/000001.jpg`), `SCENE/SCENE_COLMAP_SfM.log` (for
    each image three whole numbers and a 4x4 `world_from_camera`, in the world of the
    reconstruction that comes with the data), `SCENE/SCENE_trans.txt` (4x4, a rotation times a
    scale: from that world into the scan's, metres) and `SCENE/SCENE.ply` (the scan). The n-th pose
    is that of the n-th image. World is the scan's, so that points and poses are metric. There are
    no depth maps, and no intrinsics: give them where they are known.

    Of the official evaluation, cropping (`SCENE.json`) and the voxels and threshold of each scene
    belong to the protocol, not to a sample: the truth here is the whole scan.

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
    shared = (log, alignment, scan)
    return Scene(name=name, frames=frames, shared=shared, load_points=load_scan(scan))


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
