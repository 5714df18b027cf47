"""Pictures of samples: depth with its error, clouds from above and from the front, questions."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report.cells import number
from g2vlm_bench.report.choosing import Choice, Entry, choose, entries, shown_runs, value_text
from g2vlm_bench.report.contents import TaskRuns
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Sample, Target

Array = NDArray[np.float64]
Rgb = NDArray[np.uint8]

WIDTH = 224
VIEWS = 4
GAP = 6
LARGEST_ERROR = 0.5
NOTHING = (128, 128, 128)
PAPER, TRUE_POINT, PREDICTED_POINT = (250, 250, 250), (64, 120, 180), (216, 96, 16)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image inlined into the page.

    Attributes:
        uri: The image as a data URI.
        alt: What it shows, for who does not see it.
        caption: What stands below it.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer and whether it is right."""

    model: str
    text: str
    verdict: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its truth and the answers it got.

    Attributes:
        options: Every option, and whether it is the true one.
    """

    text: str
    options: tuple[tuple[str, bool], ...]
    truth: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One sample as it is shown."""

    choice: Choice
    pictures: tuple[Picture, ...] = ()
    question: Question | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of one task, and how to read them."""

    how_to_read: str
    panels: tuple[Panel, ...]
    left_out: str = ""


def gallery(task: TaskRuns, samples: Sequence[Sample], budget: int) -> Gallery | None:
    """Picture some samples of a task.

    Args:
        task: The task and its runs.
        samples: The task's samples; only those shown are opened.
        budget: Bytes that the task's images may take on the page; at least one sample is shown.
    """
    spec = task.specs.get(task.headline)
    is_answered = task.first.task.family == "spatial_qa"
    choices = choose(task, 6 if is_answered else 3)
    if spec is None or not choices:
        return None
    by_id = {sample.id: sample for sample in samples}
    of = entries(shown_runs(task), {choice.sample_id for choice in choices})
    panels: list[Panel] = []
    used = 0
    for choice in choices:
        panel = _panel(task, choice, by_id.get(choice.sample_id), of(choice.sample_id), spec)
        used += sum(len(picture.uri) for picture in panel.pictures)
        if panels and used > budget:
            break
        panels.append(panel)
    return Gallery(_how_to_read(panels, task), tuple(panels), _left_out(task, choices, panels))


def _left_out(task: TaskRuns, choices: Sequence[Choice], panels: Sequence[Panel]) -> str:
    samples = len(choices) - len(panels)
    models = sum(not r.adapter.reads_truth for _, r in task.runs) - len(shown_runs(task))
    parts = [f"{samples} more samples"] if samples else []
    parts += [f"{models} lower-ranked models"] if models > 0 else []
    return f"Left out to keep the page small: {' and '.join(parts)}." if parts else ""


def _how_to_read(panels: Sequence[Panel], task: TaskRuns) -> str:
    if any(panel.question for panel in panels):
        return "The true option is marked; below it what each model said."
    if task.first.task.family == "chamfer":
        return (
            "Blue: true points; orange: predicted points, aligned as the headline's protocol "
            "scores them. Left: seen from above (x to the right, z up the page); right: from the "
            "front (x to the right, y down)."
        )
    return (
        "Depth: yellow is near, violet is far, on the truth's own scale. Each model's depth is "
        "shown aligned as the headline's protocol scores it; beside it |d - g| / g, black is 0 and "
        f"pale yellow is {LARGEST_ERROR:g} or more. Grey: no truth, or no number."
    )


def _panel(
    task: TaskRuns,
    choice: Choice,
    sample: Sample | None,
    models: Sequence[Entry],
    spec: MetricSpec,
) -> Panel:
    if sample is None:
        return Panel(choice, problem="This sample is no longer in the data.")
    try:
        inputs, target = sample.load_inputs(), sample.load_target()
    except (BenchError, OSError, ValueError) as error:
        kind = type(error).__name__
        return Panel(choice, problem=f"This sample could not be opened ({kind}).")
    pictures = [*_input_pictures(inputs)]
    question = None
    if target.answer is not None:
        question = _question(inputs, target, models, spec)
    elif target.depth_m and task.first.task.family != "chamfer":
        pictures += _depth_pictures(target, models, spec)
    elif target.points_world is not None:
        pictures += _cloud_pictures(target, models, spec)
    return Panel(choice, tuple(pictures), question)


def _input_pictures(inputs: Inputs) -> Iterator[Picture]:
    total = len(inputs.images)
    for index, image in enumerate(inputs.images[:VIEWS]):
        which = f", view {index + 1} of {total}" if total > 1 else ""
        yield _jpeg(_resized(image), f"Input image of {inputs.id}{which}", f"input{which}")


def _depth_pictures(target: Target, models: Sequence[Entry], spec: MetricSpec) -> Iterator[Picture]:
    assert target.depth_m is not None
    true = np.asarray(target.depth_m[0], np.float64)
    near, far = _range_of(true)
    span = f"{number(near)} to {number(far)} m"
    views = f", first of {len(target.depth_m)} views" if len(target.depth_m) > 1 else ""
    shown = _coloured(true, near, far, "viridis_r")
    yield _jpeg(shown, f"True depth, {span}{views}", f"true depth, {span}{views}")
    for entry in models:
        caption = f"{entry.model}: {value_text(entry, spec)}"
        if entry.prediction is None or not entry.prediction.depth:
            yield _empty(shown.shape, f"{caption} ({entry.problem or 'no depth'})")
            continue
        depth = np.asarray(entry.prediction.depth[0], np.float64)
        fit = entry.detail("alignment", spec.protocol)
        if not isinstance(fit, Mapping):
            yield _unaligned(depth, entry, caption)
            continue
        aligned = _like(_aligned_depth(depth, fit), true.shape)
        error = np.abs(aligned - true) / np.where(true > 0, true, np.nan)
        pair = _beside(
            _coloured(aligned, near, far, "viridis_r"),
            _coloured(error, 0.0, LARGEST_ERROR, "inferno"),
        )
        alt = f"Depth predicted by {entry.model}, and its relative error"
        yield _jpeg(pair, alt, f"{caption} ({_fit_text(fit)})")


def _unaligned(depth: Array, entry: Entry, caption: str) -> Picture:
    """A prediction that the headline's protocol refused, on a scale of its own."""
    ambiguity = entry.prediction and entry.prediction.ambiguity or entry.record.ambiguity()
    is_disparity = ambiguity is Ambiguity.AFFINE_DISPARITY
    low, high = _range_of(depth)
    colours = "viridis" if is_disparity else "viridis_r"
    what = "affine disparity" if is_disparity else "depth"
    return _jpeg(
        _coloured(depth, low, high, colours),
        f"Predicted {what} of {entry.model}, on its own scale",
        f"{caption} ({what} as predicted, on its own scale)",
    )


def _fit_text(fit: Mapping[str, Any]) -> str:
    scale, shift = float(fit["scale"]), float(fit["shift"])
    if scale == 1 and shift == 0:
        return "as predicted"
    where = " in disparity" if fit["fitted_in"] == "disparity" else ""
    return f"scale {number(scale)}" + (f", shift {number(shift)}{where}" if shift else where)


def _aligned_depth(depth: Array, fit: Mapping[str, Any]) -> Array:
    """Apply a stored depth alignment, as `DepthAlignment.apply` does."""
    values = depth
    if fit["fitted_in"] == "depth":
        return np.asarray(fit["scale"] * values + fit["shift"])
    if fit["prediction_is"] == "depth":
        values = 1 / np.where(values > 0, values, np.nan)
    return np.asarray(1 / np.maximum(fit["scale"] * values + fit["shift"], fit["min_disparity"]))


def _cloud_pictures(target: Target, models: Sequence[Entry], spec: MetricSpec) -> Iterator[Picture]:
    assert target.points_world is not None
    # The label of a protocol names every departure from the default, the camera's frame.
    parts = spec.protocol.split("+")
    true = np.asarray(target.points_world, np.float64)
    if "world" not in parts and target.world_from_camera:
        true = _moved(true, _inverse(target.world_from_camera[0]))
    low, high = _box(true)
    size = " x ".join(number(float(side)) for side in high - low)
    views = _views([(true, TRUE_POINT)], low, high)
    yield _png(views, f"True points, {size} m", f"truth, {size} m")
    for entry in models:
        caption = f"{entry.model}: {value_text(entry, spec)}"
        predicted = _predicted_cloud(target, entry.prediction, parts)
        if predicted is None:
            yield _empty(views.shape, f"{caption} ({entry.problem or 'no points'})")
            continue
        fit = entry.detail("alignment", spec.protocol)
        if isinstance(fit, Mapping):
            turned = predicted @ np.asarray(fit["rotation"], np.float64).T
            predicted = fit["scale"] * turned + np.asarray(fit["translation"], np.float64)
        outside = 1 - float(np.mean(((predicted >= low) & (predicted <= high)).all(axis=1)))
        caption += f" ({outside:.0%} outside the picture)" if outside >= 0.005 else ""
        both = _views([(true, TRUE_POINT), (predicted, PREDICTED_POINT)], low, high)
        yield _png(both, f"Points predicted by {entry.model} over the truth", caption)


def _predicted_cloud(
    target: Target, prediction: Prediction | None, parts: Sequence[str]
) -> Array | None:
    """The predicted points, or predicted depth lifted by the camera that the protocol names."""
    if prediction is None:
        return None
    points = prediction.points
    if points is None:
        cameras = prediction if "predicted_camera" in parts else target
        if not prediction.depth or not cameras.intrinsics:
            return None
        poses = cameras.world_from_camera or (np.eye(4),) * len(prediction.depth)
        views = list(zip(prediction.depth, cameras.intrinsics, poses, strict=False))
        points = np.concatenate([_moved(_lifted(d, k), pose) for d, k, pose in views])
        if "world" not in parts:
            points = _moved(points, _inverse(poses[0]))
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    return points if len(points) else None


def _lifted(depth: NDArray[np.float32], intrinsics: Array) -> Array:
    rows, columns = (np.indices(depth.shape) + 0.5).reshape(2, -1)
    pixels = np.stack([columns, rows, np.ones_like(rows)])
    return np.asarray((np.linalg.inv(intrinsics) @ pixels * depth.reshape(-1)).T)


def _moved(points: Array, pose: Array) -> Array:
    return points @ pose[:3, :3].T + pose[:3, 3]


def _inverse(pose: Array) -> Array:
    return np.linalg.inv(pose)


def _question(
    inputs: Inputs, target: Target, models: Sequence[Entry], spec: MetricSpec
) -> Question:
    truth = f"{target.answer:g}" if isinstance(target.answer, float | int) else str(target.answer)
    return Question(
        text=inputs.question or "",
        options=tuple((choice, choice == truth) for choice in target.choices),
        truth=", or ".join((truth, *target.accepted)),
        answers=tuple(_answer(entry, spec) for entry in models),
    )


def _answer(entry: Entry, spec: MetricSpec) -> Answer:
    read = entry.detail(spec.protocol, "read")
    text = entry.stored.answer if entry.stored is not None else None
    by_likelihood = f"{read} (most likely)" if read is not None else ""
    shown = by_likelihood if text is None else text
    if len(shown) > 300:
        shown = f"{shown[:300]} ... ({len(shown)} characters)"
    verdict = _verdict(entry, spec)
    note = entry.problem if verdict == "failed" else ""
    if verdict in ("right", "wrong", "partly right") and read is not None and text is not None:
        note = f"read as {read}" if str(read) != text else ""
    return Answer(entry.model, shown, verdict, note)


def _verdict(entry: Entry, spec: MetricSpec) -> str:
    if entry.line is None or entry.line.status != "scored":
        return "not scored" if entry.line is None else entry.line.status
    status = entry.detail(spec.protocol, "status") or entry.detail("parse_status")
    if status not in (None, "parsed"):
        return str(status)
    value = entry.value(f"accuracy@{spec.protocol}")
    value = entry.value(spec.name) if value is None else value
    if value is None:
        return "not scored"
    return "right" if value >= spec.best else "wrong" if value <= 0 else "partly right"


def _range_of(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [2, 98])
    return float(low), float(high if high > low else low + 1)


def _coloured(values: Array, low: float, high: float, colours: str) -> Rgb:
    """Colour a map, at the page's width; nearest pixels, so that no depth is mixed with none."""
    import matplotlib

    height = max(1, round(values.shape[0] * WIDTH / values.shape[1]))
    values = _like(values, (height, WIDTH))
    unit = np.clip((values - low) / (high - low), 0, 1)
    rgb = matplotlib.colormaps[colours](np.nan_to_num(unit), bytes=True)[..., :3]
    rgb[~np.isfinite(values)] = NOTHING
    return np.asarray(rgb, np.uint8)


def _like(values: Array, shape: tuple[int, ...]) -> Array:
    """Take the nearest pixels, so that a map has another size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _box(points: Array) -> tuple[Array, Array]:
    """A box around most of the truth, with room for what misses it."""
    low, high = np.percentile(points, [1, 99], axis=0)
    margin = 0.15 * max(float((high - low).max()), 1e-6)
    return low - margin, high + margin


def _views(clouds: Sequence[tuple[Array, tuple[int, int, int]]], low: Array, high: Array) -> Rgb:
    """Draw clouds from above and from the front, at one scale."""
    return _beside(_view(clouds, low, high, (0, 2), True), _view(clouds, low, high, (0, 1), False))


def _view(
    clouds: Sequence[tuple[Array, tuple[int, int, int]]],
    low: Array,
    high: Array,
    axes: tuple[int, int],
    upwards: bool,
) -> Rgb:
    picked = list(axes)
    span = high - low
    centre = (low + high)[picked] / 2
    metres_per_pixel = float(span.max()) / WIDTH
    image = np.empty((WIDTH, WIDTH, 3), np.float64)
    image[:] = PAPER
    for points, colour in clouds:
        xy = ((points[:, picked] - centre) / metres_per_pixel + WIDTH / 2).astype(int)
        inside = ((points >= low) & (points <= high) & np.isfinite(points)).all(axis=1)
        xy = np.clip(xy[inside], 0, WIDTH - 1)
        rows = WIDTH - 1 - xy[:, 1] if upwards else xy[:, 1]
        counts = np.zeros((WIDTH, WIDTH))
        np.add.at(counts, (rows, xy[:, 0]), 1.0)
        # A pixel is as strong as its points are many, up to the usual count of a filled pixel.
        usual = np.median(counts[counts > 0]) if counts.any() else 1.0
        strength = np.where(counts > 0, np.clip(counts / usual, 0.45, 0.85), 0.0)[..., None]
        image = image * (1 - strength) + np.asarray(colour, np.float64) * strength
    return np.asarray(np.round(image), np.uint8)


def _beside(left: Rgb, right: Rgb) -> Rgb:
    gap = np.full((left.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def _resized(image: Rgb) -> Rgb:
    from PIL import Image

    height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
    small = Image.fromarray(image).resize((WIDTH, min(height, 2 * WIDTH)), Image.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)


def _jpeg(image: Rgb, alt: str, caption: str) -> Picture:
    return _inlined(image, alt, caption, "JPEG", quality=85)


def _png(image: Rgb, alt: str, caption: str) -> Picture:
    return _inlined(image, alt, caption, "PNG", optimize=True)


def _empty(shape: tuple[int, ...], caption: str) -> Picture:
    image = np.full((shape[0], shape[1], 3), NOTHING, np.uint8)
    return _png(image, "No prediction to show", caption)


def _inlined(image: Rgb, alt: str, caption: str, kind: str, **options: Any) -> Picture:
    from PIL import Image

    picture = Image.fromarray(image)
    if kind == "PNG":
        picture = picture.quantize(64)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    uri = f"data:image/{kind.lower()};base64,{encoded}"
    return Picture(uri, alt, caption, picture.width, picture.height)
