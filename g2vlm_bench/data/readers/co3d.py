"""CO3Dv2: turntable videos of objects with structure-from-motion cameras and depth."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, Sampling, Scene
from g2vlm_bench.data.layout import find
from g2vlm_bench.data.views import View, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_png16, load_rgb
from g2vlm_bench.geometry.cameras import invert_pose
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]

# PyTorch3D's camera looks along z with x to the left and y up.
_OPENCV_FROM_PYTORCH3D = np.diag([-1.0, -1.0, 1.0])


class Co3d(FrameReader):
    """Sequences of CO3Dv2 as `frame_annotations.jgz`, or the test lists made of it, name them.

    Layout: `CATEGORY/frame_annotations.jgz` (gzipped JSON, one object a frame) and the files it
    names relative to the root: `CATEGORY/SEQUENCE/images/frame000001.jpg`, `.../depths/*.png`,
    `.../depth_masks/*.png`. The lists `CATEGORY_test.jgz` that VGGT's and Pi3's evaluations use
    (an object of sequences, each a list of frames with `filepath`, `R`, `T`, `focal_length`,
    `principal_point`) are read as well; they have no depth. A depth PNG holds the bits of float16
    numbers, times `scale_adjustment`; 0 and what the mask leaves out is none. Scale is that of the
    structure from motion, **not metres**: score up to scale only.

    Poses are `X_camera = X_world R + T` of row vectors in PyTorch3D's axes (x left, y up), made
    OpenCV here: t_xy and the first two columns of R negated, R transposed. Intrinsics are in
    normalised device coordinates (`ndc_norm_image_bounds`, or `ndc_isotropic`), made pixels with
    the image's size; the borders of the image are at +-1, so that pixel centres are at +0.5.

    Samples are tagged with their `category`, for means over categories.

    Split: the annotations given are `test`. Peers (VGGT, Pi3, G2VLM): sequences of at least 50
    frames none of which has T_x + T_y + T_z above 1e5, 10 random frames: `{random: 10, seed: 42,
    least: 50, views: 0}`; Pi3's list has 2506 sequences of 51 categories, 112,770 pairs. Licence:
    CC BY-NC 4.0.

    Source: Reizenstein et al. 2021; `co3d/dataset/data_types.py` (92283c4); Pi3's
    `datasets/co3d_v2.py` and `relpose/sampling.py` (97ce97b).

    Args:
        root: The folder of the categories.
        annotations: Pattern of the annotation files, below the root.
        categories: Names, in the order in which frames are drawn; all that the pattern finds where
            none is given. The placeholder of the pattern is then `{category}`.
        largest_translation: Sequences with a frame whose T sums up to more are left out.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        annotations: str = "{category}/frame_annotations.jgz",
        categories: Sequence[str] = (),
        largest_translation: float = 1e5,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        files = {match.names.get("category", ""): match.path for match in find(root, annotations)}
        found = []
        for category in categories or sorted(files):
            if category not in files:
                raise BenchError(root, expected=f"annotations of '{category}'", got="none")
            for name, frames in _sequences(files[category]).items():
                if max(sum(_camera(frame)["T"]) for frame in frames) > largest_translation:
                    continue
                where = f"{files[category]}, sequence '{name}'"
                made = [_frame(root, name, frame, where) for frame in frames]
                shared, tags = (files[category],), {"category": category}
                found.append(Scene(name=name, frames=made, shared=shared, tags=tags))
        self.take(root, found, sampling, given)


def _sequences(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the frames of each sequence, in the order of the file."""
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        if isinstance(content, dict):
            sequences: dict[str, list[dict[str, Any]]] = content
        else:
            sequences = {}
            for frame in content:
                sequences.setdefault(frame["sequence_name"], []).append(frame)
        for frames in sequences.values():
            for frame in frames:
                _check(frame)
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        got = f"{type(error).__name__}: {error}"
        raise BenchError(
            path, expected="gzipped annotations of frames", got=got, fix="Fetch the file again."
        ) from None
    return {name: frames for name, frames in sequences.items() if frames}


def _check(frame: Mapping[str, Any]) -> None:
    camera = _camera(frame)
    for key, shape in (
        ("R", (3, 3)),
        ("T", (3,)),
        ("focal_length", (2,)),
        ("principal_point", (2,)),
    ):
        if np.array(camera[key], dtype=np.float64).shape != shape:
            raise ValueError(f"expected '{key}' of shape {shape}")
    if not isinstance(_image(frame), str):
        raise ValueError("expected the path of an image")


def _camera(frame: Mapping[str, Any]) -> Mapping[str, Any]:
    camera: Mapping[str, Any] = frame.get("viewpoint", frame)
    return camera


def _image(frame: Mapping[str, Any]) -> Any:
    return frame["filepath"] if "filepath" in frame else frame["image"]["path"]


def _frame(root: Path, sequence: str, frame: Mapping[str, Any], where: str) -> Frame:
    image = safe_join(root, _image(frame))
    depth, camera = frame.get("depth"), _camera(frame)
    files, load = [image], None
    if depth is not None:
        mask = depth.get("mask_path")
        paths = [safe_join(root, name) for name in (depth["path"], mask) if name]
        files += paths
        load = partial(_depth, paths, float(depth["scale_adjustment"]))
    view = View(
        id=f"{sequence}/{image.stem}",
        image=image,
        load_depth=load,
        intrinsics=partial(_intrinsics, camera, image),
        load_pose=partial(_pose, camera["R"], camera["T"], f"{where}, {image.name}"),
    )
    return Frame(view, tuple(files))


def _depth(paths: Sequence[Path], scale: float) -> NDArray[np.float32]:
    bits = load_png16(paths[0])
    depth = bits.view(np.float16).astype(np.float32) * np.float32(scale)
    known = np.isfinite(depth) & (depth > 0)
    if len(paths) > 1:
        mask = load_rgb(paths[1])[..., 0] > 0
        if mask.shape != depth.shape:
            raise BenchError(paths[1], expected=f"the size {depth.shape}", got=mask.shape)
        known &= mask
    return np.where(known, depth, np.float32(np.nan))


def _intrinsics(camera: Mapping[str, Any], image: Path) -> Array:
    height, width = image_size(image)
    form = camera.get("intrinsics_format", "ndc_norm_image_bounds")
    halves = {
        "ndc_norm_image_bounds": (width / 2, height / 2),
        "ndc_isotropic": (min(width, height) / 2,) * 2,
    }
    if form not in halves:
        raise BenchError(image, expected=" or ".join(halves), got=f"intrinsics '{form}'")
    x, y = halves[form]
    focal, centre = camera["focal_length"], camera["principal_point"]
    values = (focal[0] * x, focal[1] * y, width / 2 - centre[0] * x, height / 2 - centre[1] * y)
    return pinhole(values, 0.5, image)


def _pose(rotation: Any, translation: Any, where: str) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3] = _OPENCV_FROM_PYTORCH3D @ np.transpose(rotation)
    matrix[:3, 3] = _OPENCV_FROM_PYTORCH3D @ np.array(translation, dtype=np.float64)
    return invert_pose(rigid(matrix.ravel().tolist(), where))
