"""Predictions drawn beside the truth: depth with its error, clouds, cameras, masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.cameras import invert_pose, transform, unproject
from g2vlm_bench.geometry.depth_alignment import DepthAlignment
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report import drawing
from g2vlm_bench.report.cells import number
from g2vlm_bench.report.choosing import Entry, value_text
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Target

Array = NDArray[np.float64]

LARGEST_ERROR = 0.5
_MASKED_VIEWS = 2


def depth_pictures(
    target: Target, models: Sequence[Entry], spec: MetricSpec, from_points: bool
) -> Iterator[drawing.Picture]:
    """Draw the first view's true depth, then each model's as it was aligned, with its error."""
    assert target.depth_m is not None
    true = np.asarray(target.depth_m[0], np.float64)
    near, far = drawing.range_of(true)
    span = f"{number(near)} to {number(far)} m"
    views = f", first of {len(target.depth_m)} views" if len(target.depth_m) > 1 else ""
    shown = drawing.coloured(true, near, far, "viridis_r")
    yield drawing.jpeg(shown, f"True depth, {span}{views}", f"true depth, {span}{views}")
    for entry in models:
        caption = f"{entry.model}: {value_text(entry, spec)}"
        depth = _depth(entry, from_points)
        if depth is None:
            yield drawing.empty(shown.shape, f"{caption} ({entry.problem or 'no depth'})")
            continue
        fit = entry.detail("alignment", spec.protocol)
        if isinstance(fit, list):
            fit = fit[0]  # one for each view, of which the first is shown
        if isinstance(fit, Mapping) and isinstance(fit.get("shift"), list):
            fit = {**fit, "shift": fit["shift"][2]}  # of points, along z
        if not isinstance(fit, Mapping):
            yield _unaligned(depth, entry, caption)
            continue
        aligned = drawing.like(DepthAlignment(**fit).apply(depth), true.shape)
        error = np.abs(aligned - true) / np.where(true > 0, true, np.nan)
        pair = drawing.beside(
            drawing.coloured(aligned, near, far, "viridis_r"),
            drawing.coloured(error, 0.0, LARGEST_ERROR, "inferno"),
        )
        alt = f"Depth predicted by {entry.model}, and its relative error"
        yield drawing.jpeg(pair, alt, f"{caption} ({_fit_text(fit)})")


def _depth(entry: Entry, from_points: bool) -> Array | None:
    """The first view's depth as it was scored: itself, or the z of the point map if it has one."""
    said = entry.prediction
    if said is not None and from_points and said.point_maps:
        return np.asarray(said.point_maps[0], np.float64)[..., 2]
    if said is not None and said.depth:
        return np.asarray(said.depth[0], np.float64)
    return None


def _unaligned(depth: Array, entry: Entry, caption: str) -> drawing.Picture:
    """A prediction that the headline's protocol refused, on a scale of its own."""
    ambiguity = (entry.prediction and entry.prediction.ambiguity) or entry.record.ambiguity()
    is_disparity = ambiguity is Ambiguity.AFFINE_DISPARITY
    low, high = drawing.range_of(depth)
    colours = "viridis" if is_disparity else "viridis_r"
    what = "affine disparity" if is_disparity else "depth"
    return drawing.jpeg(
        drawing.coloured(depth, low, high, colours),
        f"Predicted {what} of {entry.model}, on its own scale",
        f"{caption} ({what} as predicted, on its own scale)",
    )


def _fit_text(fit: Mapping[str, Any]) -> str:
    scale, shift = float(fit["scale"]), float(fit["shift"])
    if scale == 1 and shift == 0:
        return "as predicted"
    where = " in disparity" if fit.get("fitted_in") == "disparity" else ""
    return f"scale {number(scale)}" + (f", shift {number(shift)}{where}" if shift else where)


def cloud_pictures(
    target: Target, models: Sequence[Entry], spec: MetricSpec
) -> Iterator[drawing.Picture]:
    """Draw the true points, then each model's over them as they were aligned."""
    assert target.points_world is not None
    true = np.asarray(target.points_world, np.float64)
    up = in_world(spec.protocol)
    if not up and target.world_from_camera:
        true = transform(true, invert_pose(target.world_from_camera[0]))
    low, high = drawing.box(true)
    size = " x ".join(number(float(side)) for side in high - low)
    views = drawing.views([(true, drawing.TRUE)], low, high, up)
    yield drawing.png(views, f"True points, {size} m", f"truth, {size} m")

    def over_the_truth(entry: Entry, caption: str) -> drawing.Picture | None:
        predicted = _predicted_cloud(target, entry.prediction, spec.protocol)
        if predicted is None:
            return None
        fit = entry.detail("alignment", spec.protocol)
        if isinstance(fit, Mapping):
            rotation, translation = np.array(fit["rotation"]), np.array(fit["translation"])
            predicted = Similarity(fit["scale"], rotation, translation).apply(predicted)
        outside = 1 - float(np.mean(((predicted >= low) & (predicted <= high)).all(axis=1)))
        caption += f" ({outside:.0%} outside the picture)" if outside >= 0.005 else ""
        clouds = [(true, drawing.TRUE), (predicted, drawing.PREDICTED)]
        both = drawing.views(clouds, low, high, up)
        return drawing.png(both, f"Points predicted by {entry.model} over the truth", caption)

    yield from _one_each(models, spec, over_the_truth, views.shape, "no points")


def camera_pictures(
    target: Target, models: Sequence[Entry], spec: MetricSpec
) -> Iterator[drawing.Picture]:
    """Draw the true cameras, then each model's beside them."""
    assert target.world_from_camera is not None
    in_truth = np.asarray(target.world_from_camera, np.float64)
    up = in_world(spec.protocol)
    true = in_truth if up else trajectory.in_first_camera(in_truth)
    positions = true[:, :3, 3]
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = " x ".join(number(float(side)) for side in high - low)
    margin = max(0.4 * float((high - low).max()), 0.05)
    low, high = low - margin, high + margin
    shown = drawing.cameras([(true, drawing.TRUE)], low, high, up)
    truth = f"{len(true)} cameras, {size} m"
    yield drawing.png(shown, f"True cameras: {truth}", f"truth: {truth}")

    def beside_the_truth(entry: Entry, caption: str) -> drawing.Picture | None:
        predicted = _predicted_cameras(entry.prediction, true)
        if predicted is None:
            return None
        placed, how = _beside_the_truth(predicted, in_truth, entry, spec)
        inside = ((placed[:, :3, 3] >= low) & (placed[:, :3, 3] <= high)).all(axis=1)
        away = int((~inside).sum())
        how += f"; {away} outside the picture" if away else ""
        both = drawing.cameras([(true, drawing.TRUE), (placed, drawing.PREDICTED)], low, high, up)
        alt = f"Cameras predicted by {entry.model} beside the true ones"
        return drawing.png(both, alt, f"{caption} ({how})")

    yield from _one_each(models, spec, beside_the_truth, shown.shape, "no poses to draw")


def _predicted_cameras(prediction: Prediction | None, true: Array) -> Array | None:
    said = None if prediction is None else prediction.world_from_camera
    if said is None or len(said) != len(true):
        return None
    try:
        return trajectory.check_poses(said, "predicted poses")
    except ValueError:
        return None


def _beside_the_truth(
    predicted: Array, true: Array, entry: Entry, spec: MetricSpec
) -> tuple[Array, str]:
    """Bring predicted cameras to the frame of the picture, and say how.

    Poses that are known up to scale have no scale under a headline of angles; the picture gives
    them one.
    """
    fit = entry.detail("alignment", spec.protocol)
    if isinstance(fit, Mapping):
        rotation, translation = np.array(fit["rotation"]), np.array(fit["translation"])
        moved = trajectory.move(predicted, Similarity(fit["scale"], rotation, translation))
        return invert_pose(true[0]) @ moved, f"aligned, scale {number(fit['scale'])}"
    if in_world(spec.protocol):
        return predicted, "as predicted"
    placed, true = trajectory.in_first_camera(predicted), trajectory.in_first_camera(true)
    ambiguity = (entry.prediction and entry.prediction.ambiguity) or entry.record.ambiguity()
    if ambiguity is Ambiguity.METRIC:
        return placed, "as predicted"
    squares = float((placed[:, :3, 3] ** 2).sum())
    scale = float((placed[:, :3, 3] * true[:, :3, 3]).sum()) / squares if squares else 1.0
    scale = scale if scale > 0 else 1.0
    placed[:, :3, 3] *= scale
    return placed, f"scale {number(scale)}, for the picture only"


def in_world(protocol: str) -> bool:
    """Whether clouds are compared in the world's frame; the default is the first camera's."""
    return "world" in protocol.split("+")


def _predicted_cloud(target: Target, prediction: Prediction | None, protocol: str) -> Array | None:
    """The predicted points, or predicted depth lifted by the camera that the protocol names."""
    if prediction is None:
        return None
    parts = protocol.split("+")
    # An alignment that is fitted on corresponding pixels is one of lifted depth.
    points = None if parts[0] in ("se3", "sim3") else prediction.points
    if points is None:
        cameras = prediction if "predicted_camera" in parts else target
        if not prediction.depth or not cameras.intrinsics:
            return None
        poses = cameras.world_from_camera or (np.eye(4),) * len(prediction.depth)
        truths = target.depth_m or (None,) * len(prediction.depth)
        views = zip(prediction.depth, truths, cameras.intrinsics, poses, strict=False)
        points = np.concatenate([transform(_lifted(d, g, k), pose) for d, g, k, pose in views])
        if not in_world(protocol):
            points = transform(points, invert_pose(poses[0]))
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    return points if len(points) else None


def _lifted(
    depth: NDArray[np.float32], truth: NDArray[np.float32] | None, intrinsics: Array
) -> Array:
    """Lift depth to points, at the pixels that are scored: those with true depth, where known."""
    lifted = unproject(depth, intrinsics)
    if truth is None or truth.shape != depth.shape:
        return lifted.reshape(-1, 3)
    return np.asarray(lifted[np.isfinite(truth)])


def mask_pictures(
    inputs: Inputs, target: Target, models: Sequence[Entry], spec: MetricSpec
) -> Iterator[drawing.Picture]:
    """Draw the object that a phrase means, outlined, then each model's mask over its views."""
    true = target.objects[0].masks
    views = list(zip(inputs.images, true, strict=False))[:_MASKED_VIEWS]
    shown = drawing.row([drawing.marked(image, mask, None) for image, mask in views])
    many = f", first {len(views)} of {len(true)} views" if len(true) > len(views) else ""
    yield drawing.jpeg(shown, "The object that the phrase means", f"truth{many}")

    def tinted(entry: Entry, caption: str) -> drawing.Picture | None:
        said = None if entry.prediction is None else entry.prediction.masks
        if said is None or len(said) != len(true):
            return None
        pictures = [
            drawing.marked(image, mask, predicted)
            for (image, mask), predicted in zip(views, said, strict=False)
        ]
        alt = f"What {entry.model} took the phrase to mean"
        return drawing.jpeg(drawing.row(pictures), alt, caption)

    yield from _one_each(models, spec, tinted, shown.shape, "no masks")


def _one_each(
    models: Sequence[Entry],
    spec: MetricSpec,
    draw: Callable[[Entry, str], drawing.Picture | None],
    shape: tuple[int, ...],
    nothing: str,
) -> Iterator[drawing.Picture]:
    """Draw what each model predicted, or leave its place empty and say why."""
    for entry in models:
        caption = f"{entry.model}: {value_text(entry, spec)}"
        drawn = draw(entry, caption)
        yield drawn or drawing.empty(shape, f"{caption} ({entry.problem or nothing})")
