"""SpatialBench (Ropedia): scenes of 19 data sets in one form, their frames pinned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene
from g2vlm_bench.data.viewport import Cropped, as_shown
from g2vlm_bench.data.views import View, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import (
    image_size,
    load_array,
    load_depth,
    load_png16,
    load_raw_depth,
    load_rgb,
    load_text,
)
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]

_PICTURES = (".png", ".jpg", ".jpeg")
_DEPTHS = (*_PICTURES, ".exr", ".npy", ".bin", "")
_PNG_SCALES = {
    "uint16_png_div1000": 1000.0,
    "uint16_png_div1000_rectified": 1000.0,
    "uint16_png_div100": 100.0,
    "uint16_png_div_655.35": 655.35,
}
_SKY = 65500
# Of the readers in benchmark/datasets/data_readers.py (7f06a37); the width and height of a data set
# whose pictures differ is 518 and what their own proportions make it, in patches.
_PATCH = 14
_BY_ASPECT = 0
_SIZES = {
    "droid": (518, 294), "ropedia": (518, 518), "tum": (518, 392), "nrgbd": (518, 392),
    "7scenes": (518, 392), "adt": (518, 518), "robotwin": (518, 294), "rlbench": (518, 294),
    "robolab": (518, 294), "tanks_and_temples": (518, 378), "dtu": (518, 378),
    "eth3d": (518, 350), "hiroom": (518, 518), "scannetpp": (518, 378), "vkitti": (518, 154),
    "waymo": (518, 350), "kitti_odometry": (518, 154), "omniworld": (518, _BY_ASPECT),
    "lingbot": (518, _BY_ASPECT),
}  # fmt: skip
_Sizes = Callable[[str], tuple[int, int] | None]


class Entry(msgspec.Struct, frozen=True):
    """A scene of the index."""

    scene_id: str
    source_dataset: str
    scene_path: str
    tags: dict[str, str]
    frame_indices: list[int]

    @property
    def words(self) -> set[str]:
        """What the keys `tags` and `without` may name."""
        return {*self.tags.values(), self.source_dataset}


class Spatialbench(FrameReader):
    """Scenes that `all_scenes.json` lists, below `DENSITY/DATASET/SCENE_PATH`.

    Layout of a scene, as its archives unpack: `images/`, `depths/`, `poses/` (npy, 3x4 or 4x4
    `world_from_camera`, OpenCV, metres), `intrinsics/intrinsic.npy` or one npy a frame,
    `meta.json` (`depth_format`, `intrinsic_mode`) and, where there are some, `depth_masks/` and
    `conf_masks/` (0 and low: no truth), `sky_masks/` (not 0: no truth). Files belong together by
    their order. Only the frames of the index are there, so its `frame_indices` are counted and not
    followed; one sample is one entry with all its frames. Depth is z, encoded as `meta.json` says;
    0 and sky are none. Pixel centres are at whole numbers, as the benchmark's own unprojection has
    them.

    Not read, and said so: images stored with distortion (`image_state: distorted_original`, some of
    ScanNet++), frames to be flipped (`pyrep_flip`, RLBench), depth of game scenes
    (`uint16_png_inverse_encoded`, OmniWorld), `aliasing_masks` (255 marks what is aliased; the
    benchmark does not use them either). The benchmark shows no stored picture: each is cut around
    its principal point and resized to 518 pixels in width and a height of its data set, with its
    depth and camera, which `viewport: benchmark` does too; without it all stored pixels count. That
    it drops depth above a limit of each data set and cuts Ropedia's at its 80th percentile is its
    protocol.

    Split: the index is `test`: 546 scenes (sparse, medium, dense and single views). Licence: that
    of each source.

    Source: SpatialBench 2026 (arXiv 2605.27367); `benchmark/datasets` (7f06a37).

    Args:
        root: The folder of `sparse`, `medium`, `dense`, `single`.
        index: The list of scenes, which comes with the benchmark's code; below the root.
        tags: Take only scenes that have all of these: a density, a data set, `indoor`, ...
        without: Leave out scenes that have one of these.
        least_confidence: Depth of a lower confidence is no truth (benchmark: 0.5).
        viewport: `benchmark`, or one width and height for all; see `data.viewport`. As stored where
            none.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        index: str = "all_scenes.json",
        tags: Sequence[str] = (),
        without: Sequence[str] = (),
        least_confidence: float = 0.5,
        viewport: Literal["benchmark"] | Sequence[int] | None = None,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        sizes = _sizes(viewport)
        listing = safe_join(root, index)
        try:
            entries = msgspec.json.decode(load_text(listing), type=list[Entry])
        except msgspec.DecodeError as error:
            raise BenchError(listing, expected="a list of scenes", got=error) from None
        self.n_listed = len(entries)
        scenes = [
            _scene(root, entry, listing, least_confidence, sizes)
            for entry in entries
            if set(tags) <= entry.words and entry.words.isdisjoint(without)
        ]
        self.take(root, scenes, Sampling(views=0), given)

    def counts(self) -> dict[str, int]:
        """Count the scenes that the index has, taken or not (`listed`), too."""
        return super().counts() | {"listed": self.n_listed}


def _sizes(viewport: str | Sequence[int] | None) -> _Sizes:
    """What size pictures of a data set are shown at."""
    if viewport is None:
        return lambda dataset: None
    if viewport == "benchmark":
        return _SIZES.get
    if isinstance(viewport, str) or len(viewport) != 2 or min(viewport) < 1:
        got = viewport if isinstance(viewport, str) else list(viewport)
        raise BenchError("key 'viewport'", expected="benchmark, or width and height", got=got)
    size = viewport[0], viewport[1]
    return lambda dataset: size


def _scene(
    root: Path, entry: Entry, listing: Path, least_confidence: float, sizes: _Sizes
) -> Scene:
    density = entry.tags.get("view_density", "")
    folder = safe_join(root, Path(density, entry.source_dataset, entry.scene_path))
    meta = folder / "meta.json"
    facts = _meta(meta)
    images = _files(folder / "images", _PICTURES, len(entry.frame_indices))
    count = len(images)
    has_depth = facts.get("depth_format", "none") != "none"
    depths = _files(folder / "depths", _DEPTHS, count) if has_depth else [None] * count
    has_poses = facts.get("pose", "") != "none"
    poses = _files(folder / "poses", (".npy",), count) if has_poses else [None] * count
    cameras = [folder / "intrinsics/intrinsic.npy"] * count
    if facts.get("intrinsic_mode", "shared") != "shared":
        cameras = _files(folder / "intrinsics", (".npy",), count)
    masks = [
        (_files(folder / name, _PICTURES, count), keep)
        for name, keep in (
            ("depth_masks", lambda mask: mask > 0),
            ("sky_masks", lambda mask: mask == 0),
            ("conf_masks", lambda mask: mask >= least_confidence),
        )
        if (folder / name).is_dir()
    ]
    frames = []
    for at, (image, depth, pose, camera) in enumerate(
        zip(images, depths, poses, cameras, strict=True)
    ):
        of_frame = [(files[at], keep) for files, keep in masks]
        view = View(
            id=f"{entry.scene_id}/{image.stem}",
            image=image,
            load_depth=partial(_depth, depth, facts["depth_format"], of_frame) if depth else None,
            intrinsics=partial(_intrinsics, camera),
            load_pose=partial(_pose, pose) if pose else None,
        )
        if (size := sizes(entry.source_dataset)) is not None:
            view = as_shown(view, image, partial(_cropped, camera, image, size))
        files = (image, camera, *(file for file, _ in of_frame))
        frames.append(Frame(view, (*files, *(file for file in (depth, pose) if file))))
    cluster = f"{entry.source_dataset}/{entry.scene_path}"
    return Scene(name=cluster, frames=frames, shared=(listing, meta))


def _cropped(camera: Path, image: Path, size: tuple[int, int]) -> Cropped:
    stored = image_size(image)
    width, height = size
    if height == _BY_ASPECT:
        height = round(stored[0] / stored[1] * width / _PATCH) * _PATCH
    matrix = _intrinsics(camera)
    matrix[:2, 2] -= 0.5
    try:
        return Cropped(width, height, stored, matrix.astype(np.float32))
    except ValueError as error:
        expected = f"a view to bring to {width} x {height} pixels"
        raise BenchError(camera, expected=expected, got=error) from None


def _meta(path: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads(load_text(path))
    except ValueError as error:
        raise BenchError(path, expected="JSON", got=error) from None
    if not isinstance(facts, dict):
        raise BenchError(path, expected="an object {...}", got=type(facts).__name__)
    fix = "Leave its data set out by the key 'without'."
    if facts.get("image_state") == "distorted_original":
        raise BenchError(path, expected="images without distortion", got="distorted ones", fix=fix)
    if facts.get("pyrep_flip"):
        raise BenchError(path, expected="upright frames", got="'pyrep_flip'", fix=fix)
    form = str(facts.get("depth_format", "none"))
    known = {*_PNG_SCALES, "npy_float32_meters", "exr_float32", "none"}
    if form not in known and not re.fullmatch(r"float32_binary\w*_\d+x\d+", form):
        raise BenchError(path, expected="a depth format that is read", got=f"'{form}'", fix=fix)
    return facts


def _files(folder: Path, suffixes: Sequence[str], count: int) -> list[Path]:
    names = {"intrinsic.npy", "K_rect.npy", "K_distorted.npy", "distortion_coeffs.npy"}
    found = sorted(
        path
        for path in folder.glob("*")
        if path.suffix.lower() in suffixes and path.name not in names
    )
    if len(found) != count:
        raise BenchError(folder, expected=f"{count} files, as the index says", got=len(found))
    return found


def _depth(
    path: Path, form: str, masks: Sequence[tuple[Path, Callable[[Array], NDArray[np.bool_]]]]
) -> NDArray[np.float32]:
    if form in _PNG_SCALES:
        values = load_png16(path)
        sky = values >= _SKY if form == "uint16_png_div100" else np.zeros(values.shape, np.bool_)
        depth = np.where(sky | (values == 0), np.nan, values / _PNG_SCALES[form]).astype(np.float32)
    elif form.startswith("float32_binary"):
        height, width = map(int, form.rpartition("_")[2].split("x"))
        depth = load_raw_depth(path, (height, width))
    else:
        depth = load_depth(path, 1.0)
    for mask, keep in masks:
        parts = _mask(mask)
        if parts.shape != depth.shape:
            raise BenchError(mask, expected=f"the size {depth.shape}", got=parts.shape)
        depth = np.where(keep(parts), depth, np.float32(np.nan))
    return depth


def _mask(path: Path) -> Array:
    """Read a mask as parts of the whole, whether of 8 or 16 bits."""
    try:
        return load_png16(path) / 65535.0
    except BenchError:
        return load_rgb(path)[..., 0] / 255.0


def _intrinsics(path: Path) -> Array:
    return pinhole(load_array(path).ravel().tolist(), 0.0, path)


def _pose(path: Path) -> Array:
    numbers = load_array(path).ravel().tolist()
    return rigid([*numbers, 0, 0, 0, 1] if len(numbers) == 12 else numbers, path)
