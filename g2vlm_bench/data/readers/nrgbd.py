"""Neural RGB-D: nine rendered rooms with perfect depth and poses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene, images_of, listed
from g2vlm_bench.data.views import View, numbers_of, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_depth

# OpenGL's camera looks along -z with y up.
_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


class Nrgbd(FrameReader):
    """Rooms with `images`, `depth`, `focal.txt` and `poses.txt`.

    Layout: `ROOM/images/img0.png` (640 x 480), `ROOM/depth/depth0.png`, numbers without leading
    zeros and sorted as numbers. Depth is a 16-bit PNG in millimetres, 0 = none; what is farther
    than `max_depth_m` does not count, as in peers. `focal.txt` is one number (554.2562584220408);
    the principal point is the centre of the image in pixel centres at +0.5 (320, 240), as in the
    authors' rays; peers that take 320 for pixel centres at whole numbers are half a pixel off.
    `poses.txt` has four lines a frame, `world_from_camera` in metres, of OpenGL's camera (y up, z
    back). A frame whose lines are `nan` has no pose and is left out before frames are taken.

    Split: the whole folder is `test`. Peers take of each room every 40th frame (Spann3R), every
    500th but at least two (CUT3R: `{every: 500, spread: 2}`), every 500th (Pi3 "sparse": 26 frames,
    one room has a single one) or every 100th (Pi3 "dense": 114 frames). Licence: of the rooms'
    models, CC BY and CC0 by room; the project page names them.

    Source: Azinovic et al. 2022, "Neural RGB-D Surface Reconstruction"; its `nerf_helpers.py`
    (94d3de4).

    Args:
        root: The folder of the rooms.
        scenes: Names of rooms; every one where none is given.
        depth: Folder of the depth maps: `depth` (true), `depth_with_noise` or `depth_filtered`.
        max_depth_m: Farther depth does not count.
        sampling: Which frames of a room make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        depth: str = "depth",
        max_depth_m: float = 10.0,
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        self.depth, self.max_depth_m = depth, max_depth_m
        rooms = [self._scene(folder) for folder in listed(root, scenes, "room")]
        self.take(root, rooms, sampling, given)

    def _scene(self, folder: Path) -> Scene:
        images = images_of(folder / "images", "img*.png")
        poses = _poses(folder / "poses.txt", len(images))
        focal = numbers_of(folder / "focal.txt")
        frames = []
        for image, pose in zip(images, poses, strict=True):
            if not np.isfinite(pose).all():
                continue
            number = image.stem.removeprefix("img")
            depth = folder / self.depth / f"depth{number}.png"
            view = View(
                id=f"{folder.name}/{number}",
                image=image,
                load_depth=partial(_depth, depth, self.max_depth_m),
                intrinsics=partial(_intrinsics, focal, image),
                load_pose=partial(_pose, pose, f"{folder / 'poses.txt'}, frame {number}"),
            )
            frames.append(Frame(view, (image, depth)))
        shared = (folder / "focal.txt", folder / "poses.txt")
        return Scene(name=folder.name, frames=frames, shared=shared)


def _poses(path: Path, count: int) -> NDArray[np.float64]:
    numbers = numbers_of(path)
    if len(numbers) != 16 * count:
        got = f"{len(numbers)} numbers"
        raise BenchError(path, expected=f"a 4x4 pose of each of {count} images", got=got)
    return np.reshape(numbers, (count, 4, 4))


def _pose(world_from_opengl: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    return rigid((world_from_opengl @ _OPENCV_FROM_OPENGL).ravel().tolist(), where)


def _intrinsics(focal: Sequence[float], image: Path) -> NDArray[np.float64]:
    height, width = image_size(image)
    where = image.parent.parent / "focal.txt"
    if len(focal) != 1:
        raise BenchError(where, expected="one number", got=f"{len(focal)} numbers")
    return pinhole([focal[0], focal[0], width / 2, height / 2], 0.5, where)


def _depth(path: Path, max_depth_m: float) -> NDArray[np.float32]:
    depth_m = load_depth(path, 1000.0)
    return np.where(depth_m <= max_depth_m, depth_m, np.float32(np.nan))
