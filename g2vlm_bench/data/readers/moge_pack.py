"""The packs of MoGe's evaluation: NYUv2, KITTI, GSO, Sintel, HAMMER and more in one form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, grouped
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_png16, load_text, png_text
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]


class MogePack(FrameReader):
    """A pack: `.index.txt` and a folder for each sample that it names.

    Layout: `.index.txt` (a folder a line, relative to the pack), `SAMPLE/image.jpg`,
    `SAMPLE/depth.png`, `SAMPLE/meta.json`; segmentations are not read. Depth has 16 bits on a
    logarithmic scale: `near^(1-x) far^x` with `x = (value - 1) / 65533` and near and far as text of
    the PNG, times its `unit` where it has one; 0 = unknown, 65535 = infinite (sky), both none here.
    Depth is z. MoGe's configuration gives GSO, Sintel and Spring no unit: score those up to scale.
    Intrinsics (`meta.json`) are parts of the image's width and height, so that pixel centres are at
    +0.5. Every sample is its own world.

    MoGe scores crops warped to a size of each set; that is its protocol, not its data. Split: the
    index is `test`. Licence: that of each set the packs were made of.

    Source: Wang et al. 2025; MoGe's `utils/io.py` and `test/dataloader.py` (0744441); the packs
    `Ruicheng/monocular-geometry-evaluation`.

    Args:
        root: The folder of the pack.
        index: The list of samples.
        every: Take every n-th sample (MoGe's `subset`).
        cluster_folders: How many folders of a sample's path name its scene; each sample is one
            where it is 0.
        given: `intrinsics`, if a model is given them besides the image.
    """

    def __init__(
        self,
        root: Path,
        *,
        index: str = ".index.txt",
        every: int = 1,
        cluster_folders: int = 0,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        listing = safe_join(root, index)
        if every < 1:
            raise BenchError("key 'every'", expected="at least 1", got=every)
        names = [line.strip() for line in load_text(listing).splitlines() if line.strip()]
        frames = [
            ("/".join(Path(name).parts[:cluster_folders]), _frame(name, safe_join(root, name)))
            for name in names[::every]
        ]
        self.take(root, grouped(frames, [listing]), EACH_FRAME, given)


def _frame(name: str, folder: Path) -> Frame:
    image, depth, meta = (folder / file for file in ("image.jpg", "depth.png", "meta.json"))
    view = View(
        id=name,
        image=image,
        load_depth=partial(_depth, depth),
        intrinsics=partial(_intrinsics, meta, image),
    )
    return Frame(view, (image, depth, meta))


def _depth(path: Path) -> NDArray[np.float32]:
    values, text = load_png16(path), png_text(path)
    try:
        near, far, unit = float(text["near"]), float(text["far"]), float(text.get("unit", 1))
        if not (0 < near <= far < np.inf and 0 < unit < np.inf):
            raise ValueError(f"near {near:g}, far {far:g}, unit {unit:g}")
    except (KeyError, ValueError) as error:
        raise BenchError(
            path, expected="near and far as text of the PNG", got=error or "none"
        ) from None
    part = (values.astype(np.float64) - 1) / 65533
    depth = unit * near ** (1 - part) * far**part
    known = (values > 0) & (values < 65535)
    return np.where(known, depth, np.nan).astype(np.float32)


def _intrinsics(path: Path, image: Path) -> Array:
    try:
        parts = np.array(json.loads(load_text(path))["intrinsics"], dtype=np.float64).reshape(3, 3)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(path, expected="'intrinsics', 3x3", got=error) from None
    height, width = image_size(image)
    return pinhole((np.diag([width, height, 1.0]) @ parts).ravel().tolist(), 0.5, path)
