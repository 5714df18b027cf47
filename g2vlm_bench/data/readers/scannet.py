"""ScanNet, with the frames of its `.sens` files exported."""

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
)
from g2vlm_bench.data.views import View, load_pose, numbers_of, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth


class Scannet(FrameReader):
    """Scenes `scene0707_00` with `color`, `depth`, `pose` and `intrinsic`, as the exporter writes.

    Layout: `SCENE/color/0.jpg` (1296 x 968), `SCENE/depth/0.png` (640 x 480, 16 bits, 1000 a metre,
    0 = none), `SCENE/pose/0.txt` (4x4 `world_from_camera`, metres; `-inf` throughout where tracking
    was lost), `SCENE/intrinsic/intrinsic_{color,depth}.txt` (4x4). Frames have numbers without
    leading zeros and are sorted by them: `2` before `10`. Colour and depth have cameras of their
    own; the depth map's points are made with the depth camera, whose pixels are those of the colour
    image only to within a few.

    Split: the whole folder is `test`; peers score scenes 0707 to 0806 of the official test set
    (pose and video depth: the frames `[:270:3]`, 90 of a scene), or 800 images of the validation
    set (Marigold). Licence: ScanNet terms of use, by application, no redistribution.

    Source: Dai et al. 2017, "ScanNet"; its `SensReader`.

    Args:
        root: The folder of the scenes.
        scenes: Names of folders; every one where none is given.
        skip_lost: Leave out frames without a pose before frames are taken. Where False, a sample
            with such a frame is unscored. Peers' rules count frames that are lost.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        skip_lost: bool = False,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        found = []
        for folder in listed(root, scenes, "scene"):
            cameras = [folder / f"intrinsic/intrinsic_{kind}.txt" for kind in ("color", "depth")]
            color, depth = (_intrinsics(path) for path in cameras)
            frames = [
                _frame(folder, image, color, depth)
                for image in images_of(folder / "color", "*.jpg")
                if not (skip_lost and _is_lost(folder / f"pose/{image.stem}.txt"))
            ]
            found.append(Scene(name=folder.name, frames=frames, shared=tuple(cameras)))
        self.take(root, found, sampling, given)


def _frame(
    folder: Path, image: Path, color: NDArray[np.float64], depth: NDArray[np.float64]
) -> Frame:
    depth_map, pose = folder / f"depth/{image.stem}.png", folder / f"pose/{image.stem}.txt"
    view = View(
        id=f"{folder.name}/{image.stem}",
        image=image,
        load_depth=partial(load_depth, depth_map, 1000.0),
        intrinsics=color,
        load_pose=partial(load_pose, pose),
        depth_intrinsics=depth,
    )
    return Frame(view, (image, depth_map, pose))


def _intrinsics(path: Path) -> NDArray[np.float64]:
    numbers = numbers_of(path)
    if len(numbers) != 16:
        raise BenchError(path, expected="a 4x4 matrix", got=f"{len(numbers)} numbers")
    return pinhole(np.reshape(numbers, (4, 4))[:3, :3].ravel().tolist(), 0.0, path)


def _is_lost(path: Path) -> bool:
    return not np.isfinite(numbers_of(path)).all()
