"""ICL-NUIM renderings: TUM's form, in a camera whose y axis points up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, Sampling, Scene, listed
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_text
from g2vlm_bench.geometry.cameras import matrix_from_quaternion, pose_matrix
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]

# What the page gives is fy = -480: the file's camera has y up, a left-handed frame.
_INTRINSICS = (481.2, 480.0, 319.5, 239.5)
_MIRROR = np.diag([1.0, -1.0, 1.0])


class IclNuim(FrameReader):
    """Sequences `living_room_traj0_frei_png`, `office_traj0_frei_png`, as their archives unpack.

    Layout: `associations.txt` (`number depth/0.png number rgb/0.png`), `rgb/0.png`, `depth/0.png`
    (640 x 480, 16 bits, 5000 a metre, z, 0 = none) and the trajectory `*.gt.freiburg`
    (`number tx ty tz qx qy qz qw`, `world_from_camera`, metres). An image goes with the pose of its
    own number; images without one are left out. Trajectories start at 1 and images at 0; whether
    image n goes with pose n or n + 1 is not documented: see `pose_offset`.

    The trap: fx, fy, cx, cy are 481.2, -480, 319.5, 239.5, that is x right, **y up**, z forward.
    With fy = +480 and the poses as they are, everything comes out mirrored. Here y is turned over
    in the camera and in the world, `M R M` and `M t` with `M = diag(1, -1, 1)`, so that fy is +480,
    the camera is OpenCV's, and the world is the file's mirror image.

    One split, `test`. Licence: CC BY 3.0 (data page).

    Source: Handa et al. 2014, "A Benchmark for RGB-D Visual Odometry, 3D Reconstruction and SLAM".

    Args:
        root: The folder of the sequences.
        sequences: Names of folders; every one where none is given.
        pose_offset: What is added to an image's number to find its pose.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        sequences: Sequence[str] = (),
        pose_offset: int = 0,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        scenes = [_scene(folder, pose_offset) for folder in listed(root, sequences, "sequence")]
        self.take(root, scenes, sampling, given)


def _scene(folder: Path, pose_offset: int) -> Scene:
    trajectories = sorted(folder.glob("*.gt.freiburg"))
    if len(trajectories) != 1:
        raise BenchError(
            folder, expected="one trajectory *.gt.freiburg", got=f"{len(trajectories)} files"
        )
    pairs, trajectory = folder / "associations.txt", trajectories[0]
    poses = {int(float(row[0])): row[1:] for row in _rows(trajectory, 8)}
    frames = []
    for number, depth_name, _, image_name in _rows(pairs, 4):
        key = int(float(number)) + pose_offset
        if key not in poses:
            continue
        image, depth = safe_join(folder, image_name), safe_join(folder, depth_name)
        view = View(
            id=f"{folder.name}/{image.stem}",
            image=image,
            load_depth=partial(load_depth, depth, 5000.0),
            intrinsics=pinhole(_INTRINSICS, 0.0, folder),
            load_pose=partial(_pose, poses[key], f"{trajectory}, pose {key}"),
            image_size=(480, 640),
        )
        frames.append(Frame(view, (image, depth)))
    return Scene(name=folder.name, frames=frames, shared=(pairs, trajectory))


def _rows(path: Path, width: int) -> list[list[str]]:
    rows = [line.split() for line in load_text(path).splitlines() if line.strip()]
    for row in rows:
        try:
            float(row[0])
            if len(row) != width:
                raise ValueError(f"{len(row)} words")
        except ValueError as error:
            expected = f"a number and {width - 1} words a line"
            raise BenchError(path, expected=expected, got=error) from None
    return rows


def _pose(words: Sequence[str], where: str) -> Array:
    try:
        tx, ty, tz, qx, qy, qz, qw = map(float, words)
        rotation = matrix_from_quaternion(np.array([qw, qx, qy, qz]))
        return pose_matrix(_MIRROR @ rotation @ _MIRROR, _MIRROR @ np.array([tx, ty, tz]))
    except ValueError as error:
        raise BenchError(where, expected="tx ty tz qx qy qz qw", got=error) from None
