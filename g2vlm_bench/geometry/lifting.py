"""Depth maps lifted by cameras into clouds that remember their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.alignment import median_norm_scale
from g2vlm_bench.geometry.cameras import transform, unproject

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One depth map lifted in its own camera, at the pixels whose true depth is known.

    Attributes:
        valid: (H, W) the N pixels that were lifted, in the order of rows.
        predicted: (N, 3) predicted points in the camera that lifted them.
        true: (N, 3) true points in the true camera; None where there is no true depth.
        intrinsics: (3, 3) pixels, of the camera that lifted the prediction.
        pose: (4, 4) from the camera that lifted the prediction to the frame of comparison.
    """

    valid: Mask
    predicted: Array
    true: Array | None
    intrinsics: Array
    pose: Array


def lift(
    depth: NDArray[Any],
    intrinsics: NDArray[Any],
    pose: NDArray[Any],
    true_depth: NDArray[Any] | None = None,
    true_intrinsics: NDArray[Any] | None = None,
) -> View:
    """Lift a predicted depth map, and the true one beside it, at the pixels with true depth.

    Args:
        depth: (H, W) predicted, along z; finite and positive wherever it is lifted.
        intrinsics: (3, 3) pixels, of the camera that lifts the prediction.
        pose: (4, 4) from that camera to the frame of comparison.
        true_depth: (H, W) metres, NaN where unknown; without it every pixel is lifted.
        true_intrinsics: (3, 3) pixels, of the camera that lifts the truth.

    Raises:
        ValueError: for maps of two sizes, or a predicted depth that cannot be lifted.
    """
    if true_depth is not None and depth.shape != true_depth.shape:
        raise ValueError(
            f"expected a depth map of the truth's size {true_depth.shape}, got {depth.shape}"
        )
    valid = np.ones(depth.shape, bool) if true_depth is None else np.isfinite(true_depth)
    if not (np.isfinite(depth[valid]) & (depth[valid] > 0)).all():
        raise ValueError("expected finite positive depth to lift to points, got others")
    true = None
    if true_depth is not None and true_intrinsics is not None:
        true = unproject(true_depth, true_intrinsics)[valid]
    points = unproject(depth, intrinsics)[valid]
    return View(valid, points, true, np.asarray(intrinsics), np.asarray(pose))


def predicted_cloud(views: Sequence[View], scale: float = 1.0) -> Array:
    """Return the predicted points of all views, (N, 3) in the frame of comparison.

    Args:
        views: of one sample.
        scale: on the depth, before the poses move it.
    """
    return np.concatenate([transform(scale * view.predicted, view.pose) for view in views])


def true_cloud(views: Sequence[View], poses: Sequence[NDArray[Any]]) -> Array:
    """Return the true point of every predicted one, (N, 3), under the true poses.

    Args:
        views: of one sample.
        poses: (4, 4) each, from the true camera to the frame of comparison.

    Raises:
        ValueError: where a view has no true depth.
    """
    moved = [transform(_true(view), pose) for view, pose in zip(views, poses, strict=True)]
    return np.concatenate(moved)


def depth_map(view: View, scale: float = 1.0) -> Array:
    """Return the scaled depth that was lifted, (H, W), and NaN where none was."""
    depth = np.full(view.valid.shape, np.nan)
    depth[view.valid] = scale * view.predicted[:, 2]
    return depth


def view_numbers(views: Sequence[View]) -> NDArray[np.int64]:
    """Return which view each point of the clouds comes from, (N,)."""
    return np.repeat(np.arange(len(views)), [len(view.predicted) for view in views])


def shared_depth_scale(views: Sequence[View]) -> float:
    """Fit the one scale of several depth maps, from distances to each map's own camera.

    Raises:
        ValueError: where a view has no true depth, or a median distance is zero.
    """
    if any(view.true is None for view in views):
        raise ValueError("expected true depth to scale the depth of several views by, got none")
    true = np.concatenate([_true(view) for view in views])
    return median_norm_scale(np.concatenate([view.predicted for view in views]), true).scale


def central_window(views: Sequence[View], size: int) -> Mask:
    """Mark the points whose pixels lie in the centre of their image.

    Args:
        views: of one sample.
        size: edge of the window in pixels; rows H // 2 - size // 2 and the size - 1 behind it,
            columns likewise.

    Returns:
        (N,) for the clouds of these views.

    Source: CUT3R (8bc15dc), eval/mv_recon/launch.py, with a size of 224.
    """
    if size < 1:
        raise ValueError(f"window: expected a size above 0, got {size}")
    marks = []
    for view in views:
        height, width = view.valid.shape
        top, left = (max(edge // 2 - size // 2, 0) for edge in (height, width))
        inside = np.zeros(view.valid.shape, bool)
        inside[top : height // 2 - size // 2 + size, left : width // 2 - size // 2 + size] = True
        marks.append(inside[view.valid])
    return np.concatenate(marks)


def thinned(valid: Mask, limit: int) -> Mask:
    """Mark a regular subset of pixels, so that about `limit` of the valid ones are left.

    Both edges of an image are shortened by sqrt(limit / valid pixels) and rounded down; each pixel
    of the small image takes the nearest one of the large image.

    Args:
        valid: (H, W).
        limit: of valid pixels.

    Returns:
        (H, W); of its pixels only the valid ones count.

    Source: UniDepth (8d8cfe4), utils/evaluation_depth.py, `eval_3d`, with torch's `nearest-exact`.
    """
    if limit < 1:
        raise ValueError(f"pixels: expected a limit above 0, got {limit}")
    ratio = min(1.0, float(np.sqrt(limit / max(int(valid.sum()), 1))))
    chosen = np.zeros(valid.shape, bool)
    rows, columns = (_nearest(edge, int(edge * ratio)) for edge in valid.shape)
    chosen[np.ix_(rows, columns)] = True
    return chosen


def _nearest(edge: int, small: int) -> NDArray[np.int64]:
    # In single precision, as torch has it: where a centre falls between two pixels, it decides.
    step = np.float32(edge) / np.float32(max(small, 1))
    places = np.floor((np.arange(small, dtype=np.float32) + np.float32(0.5)) * step)
    indices: NDArray[np.int64] = np.minimum(places.astype(np.int64), edge - 1)
    return indices


def _true(view: View) -> Array:
    if view.true is None:
        raise ValueError("expected true depth in every view, got none in one")
    return view.true
