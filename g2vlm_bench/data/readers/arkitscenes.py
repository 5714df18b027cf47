"""ARKitScenes videos: iPad images with LiDAR depth, one camera file a frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from g2vlm_bench.data.frames import (
    EACH_FRAME,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    listed,
)
from g2vlm_bench.data.views import View, numbers_of, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_rgb
from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix

Array = NDArray[np.float64]


class Arkitscenes(FrameReader):
    """Videos of the `raw` or `3dod` part of ARKitScenes, as its download script lays them out.

    Layout: `VIDEO/lowres_wide/VIDEO_TIME.png` (256 x 192), `VIDEO/lowres_depth/VIDEO_TIME.png`
    (16 bits, 1000 a metre, 0 = none), `VIDEO/confidence/VIDEO_TIME.png` (8 bits, 0 low to 2 high),
    `VIDEO/lowres_wide_intrinsics/VIDEO_TIME.pincam` (`width height fx fy cx cy`, a time that may
    differ by a millisecond) and `VIDEO/lowres_wide.traj` (`time`, axis times angle, translation:
    `camera_from_world`, metres); in `3dod` all of it below `VIDEO/VIDEO_frames`. A frame goes with
    the pose nearest in time; frames without one are left out. The depth is ARKit's fusion of
    LiDAR and image, a weak truth. Where pixel centres are is not documented: 0 is taken.

    Split: the whole folder is `test`; the source has `Training` and `Validation` videos. No peer's
    evaluation on it is known: it is training data of many models. Licence: ARKitScenes licence
    (non-commercial research).

    Source: Baruch et al. 2021, "ARKitScenes"; its `DATA.md` (0747a44) and
    `threedod/.../tenFpsDataLoader.py` (3267be7).

    Args:
        root: The folder of the videos, such as `raw/Validation`.
        videos: Names of folders; every one where none is given.
        least_confidence: Depth of a lower confidence is no truth.
        max_difference_s: What lies farther apart in time does not belong together.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        videos: Sequence[str] = (),
        least_confidence: int = 0,
        max_difference_s: float = 0.005,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        self.least_confidence, self.max_difference_s = least_confidence, max_difference_s
        found = [self._scene(folder) for folder in listed(root, videos, "video")]
        self.take(root, found, sampling, given)

    def _scene(self, video: Path) -> Scene:
        below = video / f"{video.name}_frames"
        folder = below if below.is_dir() else video
        path = folder / "lowres_wide.traj"
        numbers = numbers_of(path)
        if len(numbers) % 7:
            raise BenchError(path, expected="7 numbers a line", got=f"{len(numbers)} in all")
        poses = np.reshape(numbers, (-1, 7))
        cameras = {
            _milliseconds(file): file
            for file in (folder / "lowres_wide_intrinsics").glob("*.pincam")
        }
        frames = []
        for image in sorted((folder / "lowres_wide").glob("*.png"), key=_milliseconds):
            time = _milliseconds(image)
            nearest = poses[np.abs(poses[:, 0] - time / 1000).argmin()]
            if abs(nearest[0] - time / 1000) > self.max_difference_s:
                continue
            files = [image, folder / "lowres_depth" / image.name]
            files += [folder / "confidence" / image.name] if self.least_confidence else []
            # Times are printed with three decimals, rounded now one way and now the other.
            near = [cameras[t] for t in (time, time - 1, time + 1) if t in cameras]
            expected = folder / "lowres_wide_intrinsics" / f"{image.stem}.pincam"
            camera = near[0] if near else expected
            view = View(
                id=f"{video.name}/{image.stem}",
                image=image,
                load_depth=partial(_depth, files[1:], self.least_confidence),
                intrinsics=partial(_intrinsics, camera),
                load_pose=partial(_pose, nearest, path),
            )
            frames.append(Frame(view, (*files, camera)))
        return Scene(name=video.name, frames=frames, shared=(path,))


def _milliseconds(path: Path) -> int:
    try:
        return round(float(path.stem.rpartition("_")[2]) * 1000)
    except ValueError:
        raise BenchError(path, expected="a name VIDEO_TIME", got=f"'{path.stem}'") from None


def _depth(files: Sequence[Path], least_confidence: int) -> NDArray[np.float32]:
    depth = load_depth(files[0], 1000.0)
    if len(files) == 1:
        return depth
    confidence = load_rgb(files[1])[..., 0]
    if confidence.shape != depth.shape:
        raise BenchError(
            files[1], expected=f"the depth map's size {depth.shape}", got=confidence.shape
        )
    return np.where(confidence >= least_confidence, depth, np.float32(np.nan))


def _intrinsics(path: Path) -> Array:
    numbers = numbers_of(path)
    if len(numbers) != 6:
        raise BenchError(path, expected="width height fx fy cx cy", got=f"{len(numbers)} numbers")
    return pinhole(numbers[2:], 0.0, path)


def _pose(row: Array, where: Path) -> Array:
    try:
        return invert_pose(pose_matrix(Rotation.from_rotvec(row[1:4]).as_matrix(), row[4:]))
    except ValueError as error:
        raise BenchError(where, expected="time, axis times angle, translation", got=error) from None
