"""Stereo data with true disparity: Middlebury, KITTI, ETH3D, Scene Flow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, grouped
from g2vlm_bench.data.kitti import read_kitti_camera
from g2vlm_bench.data.layout import fill, find
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_rgb, load_text
from g2vlm_bench.paths import safe_join


class Rig(NamedTuple):
    """A rectified pair of cameras.

    Attributes:
        focal_px: Focal length.
        baseline_m: Distance of the two centres.
        doffs_px: The right principal point's x less the left one's.
        intrinsics: Of the left camera, pixel centres at +0.5; None where unknown.
    """

    focal_px: float
    baseline_m: float
    doffs_px: float
    intrinsics: NDArray[np.float64] | None


class StereoDisparity(FrameReader):
    """Left images with true disparity, from which follows their depth.

    depth = focal * baseline / (disparity + doffs), metres (Scharstein et al. 2014). Disparity is a
    pfm in pixels (infinite = none) or a PNG of 16 bits (KITTI: 256 a pixel, 0 = none) or 8; where
    it and doffs make no positive sum the depth is invalid. Calibration comes from a file, of
    Middlebury (`calib.txt`, its baseline in millimetres) or KITTI (`P_rect_02` and `P_rect_03`, or
    `P2` and `P3`), or from the options. The right image is not shown to a model: the task is depth
    of one image. One split, `test`. Licences: Middlebury, free for research; KITTI, CC BY-NC-SA
    3.0; Scene Flow, research use.

    Middlebury 2003 has 8-bit disparity (4 a pixel for cones and teddy of quarter size, 0 = none)
    and no calibration: with `focal_px: 1, baseline_m: 1` its depth is known up to scale only, and a
    protocol without an alignment makes no sense. Scene Flow's baseline is 1 in a unit that is no
    metre, so the same holds.

    Args:
        root: The folder.
        image: Pattern of the left images, such as `{id}/im0.png`.
        disparity: Pattern of the disparity maps.
        disparity_scale: Stored value of one pixel of disparity; needed for PNG.
        grey8: Whether the disparity is a PNG of 8 bits, as Middlebury's until 2006.
        invalid: Stored disparities that mean "none".
        calibration: Pattern of calibration files.
        focal_px: Focal length, where there is no such file.
        baseline_m: Baseline, where there is no such file.
        doffs_px: Offset of the principal points, where there is no such file.
        principal_point: `[cx, cy]` of the left camera, pixel centres at whole numbers, where there
            is no such file; without it there are no points, only depth.
        mask: Pattern of 8-bit images that are 255 where a pixel counts, such as Middlebury's
            `mask0nocc.png`, which leaves out what only one camera sees.
        cluster: Pattern of the scene's name; each sample is one where it is empty.
        sampling: Which images of a scene make samples.
        given: `intrinsics`, if a model is given them besides the image.
    """

    def __init__(
        self,
        root: Path,
        *,
        image: str,
        disparity: str,
        disparity_scale: float | None = None,
        grey8: bool = False,
        invalid: Sequence[float] = (0,),
        calibration: str = "",
        focal_px: float | None = None,
        baseline_m: float | None = None,
        doffs_px: float = 0.0,
        principal_point: Sequence[float] | None = None,
        mask: str = "",
        cluster: str = "",
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        rig = None
        if not calibration:
            if focal_px is None or baseline_m is None:
                expected = "'calibration', or 'focal_px' and 'baseline_m'"
                raise BenchError(root, expected=expected, got="neither")
            rig = _rig(focal_px, baseline_m, doffs_px, principal_point)
        opener = _load_grey8 if grey8 else load_depth
        open_disparity = partial(opener, scale=disparity_scale, invalid=tuple(invalid))
        frames = []
        for match in find(root, image):
            names = {"id": match.id, **match.names}
            paths = [
                safe_join(root, fill(pattern, names, f"pattern '{pattern}'"))
                for pattern in (disparity, mask, calibration)
                if pattern
            ]
            its_rig = rig or read_rig(paths[-1])
            view = View(
                id=match.id,
                image=match.path,
                load_depth=partial(
                    _depth, partial(open_disparity, paths[0]), paths[1] if mask else None, its_rig
                ),
                intrinsics=its_rig.intrinsics,
            )
            name = fill(cluster, names, "key 'cluster'")
            frames.append((name, Frame(view, (match.path, *paths))))
        self.take(root, grouped(frames), sampling, given)


def read_rig(path: Path) -> Rig:
    """Read a calibration file of Middlebury or KITTI.

    Raises:
        BenchError: The file is missing, or lacks a camera.
    """
    if re.search(r"^P", load_text(path), flags=re.MULTILINE):
        left, right = read_kitti_camera(path, 2), read_kitti_camera(path, 3)
        baseline_m = right.offset_m - left.offset_m
        doffs_px = float(right.intrinsics[0, 2] - left.intrinsics[0, 2])
        return Rig(float(left.intrinsics[0, 0]), baseline_m, doffs_px, left.intrinsics)
    return read_middlebury(path)


def read_middlebury(path: Path) -> Rig:
    """Read a `calib.txt` of Middlebury Stereo v3; its baseline is in millimetres.

    Raises:
        BenchError: The file is missing or lacks `cam0`, `baseline` or `doffs`.
    """
    entries = dict(re.findall(r"^(\w+)\s*=\s*(.+?)\s*$", load_text(path), flags=re.MULTILINE))
    try:
        camera = [float(word) for word in re.split(r"[\s;]+", entries["cam0"].strip("[]"))]
        baseline_m, doffs_px = float(entries["baseline"]) / 1000, float(entries.get("doffs", 0))
    except (KeyError, ValueError) as error:
        raise BenchError(path, expected="cam0=[...], baseline=, doffs=", got=error) from None
    return Rig(camera[0], baseline_m, doffs_px, pinhole(camera, 0.0, path))


def _rig(
    focal_px: float, baseline_m: float, doffs_px: float, centre: Sequence[float] | None
) -> Rig:
    intrinsics = None
    if centre is not None:
        intrinsics = pinhole((focal_px, focal_px, *centre), 0.0, "key 'principal_point'")
    return Rig(focal_px, baseline_m, doffs_px, intrinsics)


def _load_grey8(path: Path, scale: float | None, invalid: Sequence[float]) -> NDArray[np.float32]:
    stored = load_rgb(path)[..., 0]
    if scale is None or not scale > 0:
        raise BenchError(path, expected="a key 'disparity_scale' above 0", got=scale)
    return np.where(np.isin(stored, list(invalid)), np.nan, stored / scale).astype(np.float32)


def _depth(
    load_disparity: partial[NDArray[np.float32]], mask: Path | None, rig: Rig
) -> NDArray[np.float32]:
    disparity = load_disparity().astype(np.float64) + rig.doffs_px
    disparity[~(disparity > 0)] = np.nan
    if mask is not None:
        counts = load_rgb(mask)[..., 0] == 255
        if counts.shape != disparity.shape:
            raise BenchError(mask, expected=f"size {disparity.shape}", got=counts.shape)
        disparity[~counts] = np.nan
    return (rig.focal_px * rig.baseline_m / disparity).astype(np.float32)
