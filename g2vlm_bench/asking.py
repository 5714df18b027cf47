"""The reference model asked about pictures of one's own: an answer, and geometry as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.checkpoints import find_device
from g2vlm_bench.errors import BenchError, UsageError
from g2vlm_bench.files import load_rgb

if TYPE_CHECKING:
    from g2vlm_bench.reference.inference import Reconstruction

_CAMERAS = "cameras.json"
# What a 16-bit PNG of millimetres can hold.
_FARTHEST_M = 65.535
# Of lenses that draw a flat picture.
_NARROWEST_DEG, _WIDEST_DEG = 1.0, 170.0
# How clauses of questions begin, by what answers them; the first that begins so decides.
_YES_NO = re.compile(
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should|may|might|must)"
    r"(?:n't)?\b"
)
_NUMBER = re.compile(
    r"count\b|number of\b|(?:by )?how (?:many|much|far|long|tall|high|deep|wide|large|big|old)\b"
    r"|what(?: is|'s) the (?:\w+ )?(?:number|distance|depth|height|width|length|size|angle|area)\b"
)
_OPEN = re.compile(
    r"(?:(?:at|behind|below|by|from|in|of|on|to|under|with) )?"
    r"(?:what|which|who|whom|whose|where|when|why|how)\b"
)
_IN_UNITS = re.compile(r"\bin (?:square )?(?:meters?|metres?|degrees)\b")
# "left or right?" asks for one of two; "three or more?" does not.
_ALTERNATIVES = re.compile(r"\bor (?!more\b|less\b|fewer\b|not\b|with others\b)")


class _CameraRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A camera of `cameras.json`.

    Attributes:
        intrinsics: `(3, 3)` pixels.
        first_from_camera: `(4, 4)`, metres.
    """

    intrinsics: list[list[float]]
    first_from_camera: list[list[float]]


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
        question: One that yes, no or a number answers, or that begins with "describe"; any other
            with options.
        options: Where one of them is to be chosen.
        weights: `nano`, or a folder that `train` wrote.
        device: Where to compute.
        refinements: How often geometry is fed back, at most 16; the model's own where None.
        field_of_view_deg: Of all cameras along the longer side, where known; 1 to 170.
        intrinsics: `(3, 3)` of all cameras in pixels, where known.

    Raises:
        BenchError: A picture cannot be read, a word of the command fits nothing, nothing says among
            which answers the question chooses, there are no such weights, or what the model makes
            of the pictures is no number.
    """
    kind = kind_of(question, options)
    pictures = tuple(load_rgb(path) for path in images)
    cameras = _cameras(pictures, field_of_view_deg, intrinsics)

    from g2vlm_bench.reference.checkpoint import find_reference, load_reference
    from g2vlm_bench.reference.inference import Inference, Pictures
    from g2vlm_bench.reference.speaker import Question, Speaker

    reference = load_reference(find_reference(weights), str(find_device(device, "ask")))
    inference = Inference(reference, refinements=refinements)
    speaker = Speaker(inference)
    asked = Question(question, kind, tuple(options))
    try:
        speaker.check(asked)
        (seen,) = inference.look([Pictures(images=pictures, intrinsics=cameras)])
    except ValueError as error:
        raise BenchError(f"question: {error}") from None
    try:
        geometry = inference.reconstruct(seen)
    except ValueError as error:
        raise BenchError(f"geometry: {error}") from None
    (answer,) = speaker.answer([(seen, asked)])
    unknown: tuple[str, ...] = ()
    if kind != "description":
        unknown = reference.words.unknown_words(" ".join([question, *options]))
    chances: dict[str, float] = {}
    if options:
        (likelihoods,) = speaker.log_likelihoods([(seen, asked)])
        shares = np.exp(likelihoods - np.logaddexp.reduce(likelihoods))
        chances = dict(zip(options, shares.tolist(), strict=True))
    return Asked(answer=answer, chances=chances, unknown=unknown, geometry=geometry)


def kind_of(question: str, options: Sequence[str] = ()) -> str:
    """How a question is answered, one of `Question.kind`: the model learnt each in its own way.

    A choice was never learnt without options: asked so, the model says yes, no or a number.

    >>> kind_of("Is the box left of the ball?"), kind_of("How far is it, in meters?")
    ('yes_no', 'number')
    >>> kind_of("What color is the box?", ["red", "green"])
    'choice'

    Raises:
        UsageError: The question has no word, asks for a choice without options, or two options are
            one.
    """
    if not any(letter.isalnum() for letter in question):
        raise UsageError("question", expected="words", got=f"'{question}'")
    told = [" ".join(option.lower().split()) for option in options]
    twice = next((option for option in told if told.count(option) > 1), None)
    if twice is not None:
        raise UsageError("options", expected="each once", got=f"'{twice}' twice")
    if options:
        return "yes_no" if sorted(told) == ["no", "yes"] else "choice"
    text = " ".join(question.lower().split())
    if text.startswith("describe"):
        return "description"
    for clause in re.split(r"[.,:;?!()] ?", text):
        if _NUMBER.match(clause):
            return "number"
        if _YES_NO.match(clause) and not _ALTERNATIVES.search(text):
            return "yes_no"
        if _YES_NO.match(clause) or _OPEN.match(clause):
            break
    if _IN_UNITS.search(text):
        return "number"
    raise UsageError(
        "question", expected="one that yes, no or a number answers, or options to choose from",
        got=f"'{question}'", fix="Name the answers: --options red,green,blue.",
    )  # fmt: skip


def _cameras(
    pictures: Sequence[NDArray[np.uint8]],
    field_of_view_deg: float | None,
    intrinsics: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], ...] | None:
    from g2vlm_bench.geometry.cameras import check_intrinsics, pinhole

    if field_of_view_deg is not None and intrinsics is not None:
        raise BenchError("camera", expected="a field of view or intrinsics", got="both")
    if field_of_view_deg is not None and not _NARROWEST_DEG <= field_of_view_deg <= _WIDEST_DEG:
        raise BenchError(
            "field of view", expected=f"{_NARROWEST_DEG:g} to {_WIDEST_DEG:g} degrees",
            got=f"{field_of_view_deg:g}",
        )  # fmt: skip
    try:
        if intrinsics is not None:
            return (check_intrinsics(intrinsics),) * len(pictures)
        if field_of_view_deg is not None:
            return tuple(pinhole(p.shape[0], p.shape[1], field_of_view_deg) for p in pictures)
    except ValueError as error:
        raise BenchError(f"camera: {error}") from None
    return None


def write_geometry(geometry: Reconstruction, folder: Path, arrays: bool = False) -> list[Path]:
    """Write depth, a picture of it, cameras and a coloured cloud of all views.

    Files are `cameras.json`, `depth_000.png` (16 bits, millimetres, 0 = beyond 65.535 m) or
    `depth_000.npy` (float32 metres), `preview_000.png` (near is red), and `cloud.ply` in the first
    camera's frame (x right, y down, z forward, metres). Those of an earlier scene are removed.

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

    # First, because it tells the next call which files are there, even if this one is cut short.
    written = [folder / _CAMERAS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in earlier_files(folder):
            path.unlink()
        written[-1].write_bytes(msgspec.json.format(msgspec.json.encode(_camera_records(geometry))))
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
    except OSError as error:
        raise BenchError(folder, expected="a folder to write to", got=error.strerror) from None
    return written


def earlier_files(folder: Path) -> list[Path]:
    """What `write_geometry` wrote into a folder before, as its `cameras.json` tells.

    Nothing else in the folder is named: files that only have such names are none of these. The last
    one is `cameras.json`, without which nothing would tell of the others.
    """
    try:
        cameras = msgspec.json.decode((folder / _CAMERAS).read_bytes(), type=list[_CameraRecord])
    except (OSError, msgspec.DecodeError):
        return []
    views = [f"{view:03d}" for view in range(len(cameras))]
    names = [f"{name}_{view}.png" for view in views for name in ("depth", "preview")]
    names += [*(f"depth_{view}.npy" for view in views), "cloud.ply", _CAMERAS]
    return [folder / name for name in names if (folder / name).is_file()]


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


def _camera_records(geometry: Reconstruction) -> list[_CameraRecord]:
    return [
        _CameraRecord(camera.tolist(), pose.tolist())
        for camera, pose in zip(geometry.intrinsics, geometry.first_from_camera, strict=True)
    ]
