"""The reference model asked about pictures of one's own: an answer, and geometry as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.checkpoints import find_device
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_rgb

if TYPE_CHECKING:
    from g2vlm_bench.reference.inference import Reconstruction

# What a 16-bit PNG of millimetres can hold.
_FARTHEST_M = 65.535


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What the model answered.

    Attributes:
        answer: In words.
        chances: Of each option in the model's eyes, together 1; empty where there were none.
        unknown: Words of the question that the model never learnt.
        geometry: Of the scene that the pictures show.
    """

    answer: str
    chances: dict[str, float]
    unknown: tuple[str, ...]
    geometry: Reconstruction


def ask(
    images: Sequence[Path],
    question: str,
    options: Sequence[str] = (),
    *,
    weights: str = "nano",
    device: str = "auto",
    refinements: int | None = None,
    field_of_view_deg: float | None = None,
    intrinsics: NDArray[np.float64] | None = None,
) -> Asked:
    """Ask the reference model about pictures of one scene.

    Args:
        images: One or more views; the first camera's frame is that of the cloud.
        question: One that begins with "describe" asks for a description.
        options: Where one of them is to be chosen.
        weights: `nano`, or a folder that `train` wrote.
        device: Where to compute.
        refinements: How often geometry is fed back; the model's own where None.
        field_of_view_deg: Of all cameras along the longer side, where known.
        intrinsics: `(3, 3)` of all cameras in pixels, where known.

    Raises:
        BenchError: A picture cannot be read, a word of the command fits nothing, or there are no
            such weights.
    """
    pictures = tuple(load_rgb(path) for path in images)
    cameras = _cameras(pictures, field_of_view_deg, intrinsics)

    from g2vlm_bench.reference.checkpoint import find_reference, load_reference
    from g2vlm_bench.reference.inference import Inference, Pictures
    from g2vlm_bench.reference.speaker import Question, Speaker

    reference = load_reference(find_reference(weights), str(find_device(device, "ask")))
    inference = Inference(reference, refinements=refinements)
    speaker = Speaker(inference)
    describes = question.lower().startswith("describe") and not options
    kind = "choice" if options else "description" if describes else "text"
    asked = Question(question, kind, tuple(options))
    try:
        speaker.check(asked)
        (seen,) = inference.look([Pictures(images=pictures, intrinsics=cameras)])
    except ValueError as error:
        raise BenchError("question", got=str(error)) from None
    (answer,) = speaker.answer([(seen, asked)])
    chances: dict[str, float] = {}
    if options:
        (likelihoods,) = speaker.log_likelihoods([(seen, asked)])
        shares = np.exp(likelihoods - np.logaddexp.reduce(likelihoods))
        chances = dict(zip(options, shares.tolist(), strict=True))
    return Asked(
        answer=answer,
        chances=chances,
        unknown=() if describes else reference.words.unknown_words(" ".join([question, *options])),
        geometry=inference.reconstruct(seen),
    )


def _cameras(
    pictures: Sequence[NDArray[np.uint8]],
    field_of_view_deg: float | None,
    intrinsics: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], ...] | None:
    from g2vlm_bench.geometry.cameras import check_intrinsics, pinhole

    if field_of_view_deg is not None and intrinsics is not None:
        raise BenchError("camera", expected="a field of view or intrinsics", got="both")
    try:
        if intrinsics is not None:
            return (check_intrinsics(intrinsics),) * len(pictures)
        if field_of_view_deg is not None:
            return tuple(pinhole(p.shape[0], p.shape[1], field_of_view_deg) for p in pictures)
    except ValueError as error:
        raise BenchError("camera", got=str(error)) from None
    return None


def write_geometry(geometry: Reconstruction, folder: Path, arrays: bool = False) -> list[Path]:
    """Write depth, a picture of it, cameras and a coloured cloud of all views.

    Files are `depth_000.png` (16 bits, millimetres, 0 = beyond 65.535 m) or `depth_000.npy`
    (float32 metres), `preview_000.png` (near is red), `cameras.json`, and `cloud.ply` in the
    first camera's frame (x right, y down, z forward, metres).

    Args:
        geometry: Of one scene.
        folder: Is made where missing.
        arrays: Whether depth is written as `.npy`.

    Returns:
        The files.

    Raises:
        BenchError: The folder cannot be written to.
    """
    from g2vlm_bench.geometry.cloud_files import write_ply

    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        low, high = _range(geometry.depth_m)
        for view, depth in enumerate(geometry.depth_m):
            name = folder / f"depth_{view:03d}"
            if arrays:
                written.append(name.with_suffix(".npy"))
                np.save(written[-1], depth, allow_pickle=False)
            else:
                written.append(name.with_suffix(".png"))
                _save_png(np.where(depth <= _FARTHEST_M, depth * 1000, 0).round(), written[-1])
            written.append(folder / f"preview_{view:03d}.png")
            _save_preview(depth, low, high, written[-1])
        written.append(folder / "cloud.ply")
        write_ply(written[-1], geometry.points, geometry.normals, geometry.colors)
        written.append(folder / "cameras.json")
        written[-1].write_bytes(msgspec.json.format(msgspec.json.encode(_camera_records(geometry))))
    except OSError as error:
        raise BenchError(folder, expected="a folder to write to", got=error.strerror) from None
    return written


def _range(depths: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """One range of colours for all views, of inverse depth."""
    from g2vlm_bench.report.drawing import range_of

    return range_of(np.concatenate([1 / depth.ravel().astype(np.float64) for depth in depths]))


def _save_png(millimetres: NDArray[Any], path: Path) -> None:
    from PIL import Image

    Image.fromarray(millimetres.astype(np.uint16)).save(path)


def _save_preview(depth: NDArray[np.float32], low: float, high: float, path: Path) -> None:
    from PIL import Image

    from g2vlm_bench.report.drawing import painted

    Image.fromarray(painted(1 / depth.astype(np.float64), low, high, "turbo")).save(path)


def _camera_records(geometry: Reconstruction) -> list[dict[str, Any]]:
    return [
        {"intrinsics": camera.tolist(), "first_from_camera": pose.tolist()}
        for camera, pose in zip(geometry.intrinsics, geometry.first_from_camera, strict=True)
    ]
