"""The packs of MoGe's evaluation: NYUv2, KITTI, GSO, Sintel, HAMMER and more in one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, grouped
from g2vlm_bench.data.viewport import Viewport, as_shown
from g2vlm_bench.data.views import View, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_labels, load_png16, load_text, png_text
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]

_NO_SEGMENTS = frozenset({"undefined", "unannotated", "background", "sky"})


class MogePack(FrameReader):
    """A pack: `.index.txt` and a folder for each sample that it names.

    Layout: `.index.txt` (a folder a line, relative to the pack), `SAMPLE/image.jpg`,
    `SAMPLE/depth.png`, `SAMPLE/meta.json` and, in some packs, `SAMPLE/segmentation.png`. Depth has
    16 bits on a logarithmic scale: `near^(1-x) far^x` with `x = (value - 1) / 65533` and near and
    far as text of the PNG, times its `unit` where it has one; 0 = unknown, 65535 = infinite (sky),
    both none here. Depth is z. MoGe's configuration gives GSO, Sintel and Spring no unit: score
    those up to scale. Intrinsics (`meta.json`) are parts of the image's width and height, so that
    pixel centres are at +0.5. Every sample is its own world.

    A segmentation is a PNG of 8 or 16 bits with the text `labels`, a JSON object of each segment's
    name and value. As in MoGe's loader `undefined`, `unannotated`, `background` and `sky` are no
    segments, nor are values without a name, those of too few pixels, and all but the largest; the
    others are numbered by falling size, as shown.

    MoGe shows and scores no stored picture: each is turned to its middle, cropped and brought to a
    size of its set, with its depth, camera and segments. `viewport` does the same; MoGe's sizes are
    640 x 480 of NYUv2 and iBims-1, 750 x 375 of KITTI, 2048 x 1365 of ETH3D, 512 x 512 of GSO,
    872 x 436 of Sintel, 1400 x 700 of DDAD, 1024 x 768 of DIODE, 1920 x 1080 of Spring and
    1664 x 832 of HAMMER (`configs/eval/all_benchmarks.json`). Without it all stored pixels count.
    Split: the index is `test`. Licence: that of each set the packs were made of.

    Source: Wang et al. 2025; MoGe's `utils/io.py` and `test/dataloader.py` (0744441); the packs
    `Ruicheng/monocular-geometry-evaluation`.

    Args:
        root: The folder of the pack.
        index: The list of samples.
        every: Take every n-th sample (MoGe's `subset`).
        cluster_folders: How many folders of a sample's path name its scene; each sample is one
            where it is 0.
        segmentation: Name of the segmentation beside an image; empty to read none.
        least_segment_px: Segments of fewer pixels do not count.
        most_segments: Of more segments the largest count.
        viewport: Width and height of what is shown; see `data.viewport`. As stored where none.
        given: `intrinsics`, if a model is given them besides the image.
    """

    def __init__(
        self,
        root: Path,
        *,
        index: str = ".index.txt",
        every: int = 1,
        cluster_folders: int = 0,
        segmentation: str = "segmentation.png",
        least_segment_px: int = 1000,
        most_segments: int = 100,
        viewport: Sequence[int] | None = None,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        listing = safe_join(root, index)
        if every < 1:
            raise BenchError("key 'every'", expected="at least 1", got=every)
        if viewport is not None and (len(viewport) != 2 or min(viewport) < 1):
            raise BenchError("key 'viewport'", expected="width and height", got=list(viewport))
        self.viewport = None if viewport is None else (viewport[0], viewport[1])
        names = [line.strip() for line in load_text(listing).splitlines() if line.strip()]
        self.segmentation = segmentation
        self.open_segments = partial(_segments, least_px=least_segment_px, most=most_segments)
        frames = [
            ("/".join(Path(name).parts[:cluster_folders]), self._frame(name, safe_join(root, name)))
            for name in names[::every]
        ]
        self.take(root, grouped(frames, [listing]), EACH_FRAME, given)

    def _frame(self, name: str, folder: Path) -> Frame:
        image, depth, meta = (folder / file for file in ("image.jpg", "depth.png", "meta.json"))
        labels = safe_join(folder, self.segmentation) if self.segmentation else None
        if labels is not None and not labels.is_file():
            labels = None  # most packs have none
        view = View(
            id=name,
            image=image,
            load_depth=partial(_depth, depth),
            intrinsics=partial(_intrinsics, meta, image),
        )
        seen = None
        if self.viewport is not None:
            seen = partial(_viewport, meta, image, *self.viewport)
            view = as_shown(view, image, seen)
        if labels is not None:
            view = replace(view, load_segments=partial(self.open_segments, labels, depth, seen))
        return Frame(view, (image, depth, meta, *([labels] if labels else [])))


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


def _segments(
    path: Path, depth: Path, seen: Callable[[], Viewport] | None, least_px: int, most: int
) -> NDArray[np.int32]:
    values, size = load_labels(path), image_size(depth)
    if values.shape != size:
        raise BenchError(path, expected=f"the size {size} of {depth.name}", got=values.shape)
    if seen is not None:
        values = seen().labels(values)
    named = _labels(path)
    sizes = dict(
        zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True)
    )
    counted = dict.fromkeys(value for name, value in named.items() if name not in _NO_SEGMENTS)
    large = [value for value in counted if value in sizes and sizes[value] >= least_px]
    largest = sorted(large, key=lambda value: -sizes[value])[:most]
    numbers = np.zeros(1 << 16, np.int32)
    numbers[largest] = np.arange(1, len(largest) + 1)
    return numbers[values]


def _labels(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(png_text(path).get("labels", ""), type=dict[str, int])
    except msgspec.DecodeError as error:
        expected = "'labels', names and values as JSON, as text of the PNG"
        raise BenchError(path, expected=expected, got=error) from None


def _viewport(meta: Path, image: Path, width: int, height: int) -> Viewport:
    size = image_size(image)
    _intrinsics(meta, image)  # which are checked there
    try:
        return Viewport(width, height, size, _parts(meta).astype(np.float32))
    except ValueError as error:
        expected = f"a view to bring to {width} x {height} pixels"
        raise BenchError(meta, expected=expected, got=error) from None


def _intrinsics(path: Path, image: Path) -> Array:
    height, width = image_size(image)
    return pinhole((np.diag([width, height, 1.0]) @ _parts(path)).ravel().tolist(), 0.5, path)


def _parts(path: Path) -> Array:
    """Intrinsics in parts of width and height."""
    try:
        return np.array(json.loads(load_text(path))["intrinsics"], dtype=np.float64).reshape(3, 3)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(path, expected="'intrinsics', 3x3", got=error) from None
