"""Spring: rendered film scenes in stereo, whose disparity gives dense, detailed depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene, images_of, listed
from g2vlm_bench.data.hdf5 import load_hdf5
from g2vlm_bench.data.views import View, numbers_of, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose

_BASELINE_M = 0.065


class Spring(FrameReader):
    """Left images with depth from the true disparity, and cameras.

    Layout: `SEQUENCE/frame_left/frame_left_0001.png` (1920 x 1080),
    `SEQUENCE/disp1_left/disp1_left_0001.dsp5` and `SEQUENCE/cam_data/{intrinsics,extrinsics}.txt`
    of one line a frame, the first for frame 1: `fx fy cx cy`, and the 16 numbers of a 4x4
    `camera_from_world`. A `.dsp5` is an HDF5 file with `disparity`, twice the image's size in both
    directions, in pixels of the image; every second value is taken, as in the authors' code. depth
    = fx * 0.065 m / disparity; where that is not positive and finite (NaN: the sky) there is none.
    The principal point is taken for pixel centres at whole numbers.

    Split: the whole folder is `test`; only the archive `train` has truth. Needs the extra `hdf5`.
    Licence: CC BY 4.0.

    Source: Mehl et al. 2023, "Spring"; its `pointcloud.py` (9c4212a); that the extrinsics are
    camera_from_world is taken from its users' loaders, which invert them.

    Args:
        root: The folder `train`.
        sequences: Names of folders; every one where none is given.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        sequences: Sequence[str] = (),
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        scenes = [_scene(folder) for folder in listed(root, sequences, "sequence")]
        self.take(root, scenes, sampling, given)


def _scene(folder: Path) -> Scene:
    images = images_of(folder / "frame_left", "frame_left_????.png")
    files = [folder / f"cam_data/{name}.txt" for name in ("intrinsics", "extrinsics")]
    cameras, poses = (_rows(path, size) for path, size in zip(files, (4, 16), strict=True))
    frames = []
    for image in images:
        number = image.stem.removeprefix("frame_left_")
        row = int(number) - 1 if number.isdecimal() else -1
        if not 0 <= row < min(len(cameras), len(poses)):
            got = f"{len(cameras)} and {len(poses)} lines"
            raise BenchError(folder / "cam_data", expected=f"cameras of frame {number}", got=got)
        disparity = folder / f"disp1_left/disp1_left_{number}.dsp5"
        view = View(
            id=f"{folder.name}/{number}",
            image=image,
            load_depth=partial(_depth, disparity, float(cameras[row][0])),
            intrinsics=partial(pinhole, cameras[row].tolist(), 0.0, files[0]),
            load_pose=partial(_pose, poses[row].tolist(), f"{files[1]}, line {row + 1}"),
        )
        frames.append(Frame(view, (image, disparity)))
    return Scene(name=folder.name, frames=frames, shared=tuple(files))


def _rows(path: Path, size: int) -> NDArray[np.float64]:
    numbers = numbers_of(path)
    if len(numbers) % size:
        got = f"{len(numbers)} numbers"
        raise BenchError(path, expected=f"{size} numbers a line", got=got)
    return np.reshape(numbers, (-1, size))


def _depth(path: Path, focal_px: float) -> NDArray[np.float32]:
    disparity = load_hdf5(path, "disparity").astype(np.float64)
    if disparity.ndim != 2:
        raise BenchError(path, expected="a disparity (H, W)", got=f"shape {disparity.shape}")
    disparity = disparity[::2, ::2]
    disparity[~(np.isfinite(disparity) & (disparity > 0))] = np.nan
    return (focal_px * _BASELINE_M / disparity).astype(np.float32)


def _pose(camera_from_world: list[float], where: str) -> NDArray[np.float64]:
    return invert_pose(rigid(camera_from_world, where))
