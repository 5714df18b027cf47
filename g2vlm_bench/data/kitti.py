"""Calibration files of KITTI, of the raw recordings and of the stereo benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.views import pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_text


class KittiCamera(NamedTuple):
    """A rectified camera.

    Attributes:
        intrinsics: 3x3, pixel centres at +0.5.
        offset_m: Its centre's x in the frame of rectified camera 0.
        size: `(H, W)` of its images; None where the file does not say.
    """

    intrinsics: NDArray[np.float64]
    offset_m: float
    size: tuple[int, int] | None


def read_kitti_camera(path: Path, number: int) -> KittiCamera:
    """Read a rectified camera: 2 is the left colour camera, 3 the right one.

    The file is a `calib_cam_to_cam.txt` (raw recordings, stereo 2015: `P_rect_02`, `S_rect_02`) or
    one with `P2` (stereo 2012, odometry).

    Raises:
        BenchError: The file is missing or lacks the camera.
    """
    entries = dict(
        (key.strip(), value.split())
        for key, colon, value in (line.partition(":") for line in load_text(path).splitlines())
        if colon
    )
    try:
        words = entries.get(f"P_rect_{number:02d}") or entries[f"P{number}"]
        projection = np.array(words, dtype=np.float64).reshape(3, 4)
        size = entries.get(f"S_rect_{number:02d}")
        width, height = map(round, map(float, size or (0, 0)))
    except (KeyError, ValueError) as error:
        expected = f"P_rect_{number:02d} or P{number} of 12 numbers"
        raise BenchError(path, expected=expected, got=error) from None
    intrinsics = pinhole(projection[:, :3].ravel().tolist(), 0.0, path)
    # P = K [I | -centre].
    offset_m = -float(projection[0, 3]) / float(projection[0, 0])
    return KittiCamera(intrinsics, offset_m, (height, width) if size else None)
