"""Folders of HDF5 files of one image with its depth map each, as FastDepth packs NYU Depth v2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, Sampling, grouped
from g2vlm_bench.data.hdf5 import load_hdf5
from g2vlm_bench.data.layout import Match, fill, find
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError


class Hdf5Frames(FrameReader):
    """Files with `rgb` (3, H, W) uint8 and `depth` (H, W) in metres.

    Layout: `val/official/{id}.h5` and `train/{scene}/{id}.h5`, 640 x 480 for NYU, whose depth is
    the filled-in one. 0 and what is not finite = none. The packed test frames do not name their
    rooms, so each is a cluster of its own, and intervals come out too narrow: `nyu_mat` knows the
    rooms. Splits: `test` (654 for NYU) and `train` (video frames). Needs the extra `hdf5`.
    Licence: NYU states none; research use is customary.

    Source: Ma and Karaman 2018, "Sparse-to-Dense"; Silberman et al. 2012.

    Args:
        root: The folder.
        test: Pattern of the files of the split `test`.
        train: Pattern of the files of the split `train`; such a split is empty where it is empty.
        cluster: Pattern of the scene's name, such as `{scene}`; each sample is one where empty.
        intrinsics: `[fx, fy, cx, cy]` of the images, pixel centres at whole numbers.
        sampling: Which frames of a scene make samples.
        given: `intrinsics`, if a model is given them besides the image.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self,
        root: Path,
        *,
        test: str = "val/official/{id}.h5",
        train: str = "",
        cluster: str = "",
        intrinsics: Sequence[float] | None = None,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        camera = None
        if intrinsics is not None:
            camera = pinhole(intrinsics, 0.0, f"{root}, key 'intrinsics'")
        scored, training = (
            grouped(_frame(match, cluster, camera) for match in find(root, pattern))
            if pattern
            else []
            for pattern in (test, train)
        )
        self.take(root, scored, sampling, given, train=training)


def _frame(match: Match, cluster: str, camera: NDArray[np.float64] | None) -> tuple[str, Frame]:
    view = View(
        id=match.id,
        image=partial(_image, match.path),
        load_depth=partial(_depth, match.path),
        intrinsics=camera,
    )
    names = {"id": match.id, **match.names}
    return fill(cluster, names, "key 'cluster'"), Frame(view, (match.path,))


def _image(path: Path) -> NDArray[np.uint8]:
    image = load_hdf5(path, "rgb")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != 3:
        got = f"{image.dtype} of {image.shape}"
        raise BenchError(path, expected="'rgb' (3, H, W) of uint8", got=got)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def _depth(path: Path) -> NDArray[np.float32]:
    depth_m = load_hdf5(path, "depth")
    if depth_m.ndim != 2:
        raise BenchError(path, expected="'depth' (H, W)", got=f"shape {depth_m.shape}")
    known = np.isfinite(depth_m) & (depth_m > 0)
    return np.where(known, depth_m, np.nan).astype(np.float32)
