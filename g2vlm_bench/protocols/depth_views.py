"""A sample's predicted depth maps under a protocol: what is fitted, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import cameras, emulated_alignment
from g2vlm_bench.geometry import depth_alignment as fits
from g2vlm_bench.geometry.resampling import (
    Kernel,
    nearest_valid_grid,
    resize_map,
    thinned_columns,
)
from g2vlm_bench.metrics.depth import clip_prediction
from g2vlm_bench.protocols.depth import IN_DISPARITY, SIGNED, DepthProtocol
from g2vlm_bench.protocols.depth_truth import Array, Map, Mask, Once, Truth, masked, valid_key
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.task import NoTruthError

_KERNELS: dict[str, Kernel] = {
    "bicubic": "bicubic",
    "bilinear_point": "bilinear",
    "bilinear_corners": "bilinear_corners",
}


@dataclass(frozen=True)
class View:
    """One view that has valid pixels, under one protocol.

    Attributes:
        index: Of the view in its sample.
        mask: Its valid pixels, (H, W), N of them.
        whole: The predicted map in the truth's size, (H, W), not aligned.
        predicted: Predicted values of the valid pixels, (N,).
        true: Their true depth in metres, (N,).
        fitted: Which of them an alignment is fitted on.
        distances: Of predicted and true points from the first camera, (N,) each, where the
            protocol needs them.
    """

    index: int
    mask: Mask
    whole: Map
    predicted: Array
    true: Array
    fitted: NDArray[np.int64] | slice
    distances: tuple[Array, Array] | None


@dataclass(frozen=True)
class AlignedView:
    """One view, aligned.

    Attributes:
        view: As it was before.
        depth: Aligned depth of the valid pixels in metres, (N,).
        fit: What was fitted to get it.
        protocol: Under which.
    """

    view: View
    depth: Array
    fit: fits.DepthAlignment
    protocol: DepthProtocol

    @property
    def index(self) -> int:
        """Of the view in its sample."""
        return self.view.index

    @property
    def true(self) -> Array:
        """True depth of the valid pixels in metres, (N,)."""
        return self.view.true

    def predicted_map(self) -> Array:
        """The aligned depth as a map, NaN where the truth is not valid."""
        whole = np.full(self.view.mask.shape, np.nan)
        whole[self.view.mask] = self.depth
        return whole

    def whole_map(self) -> Array:
        """The aligned depth of all pixels, also where there is no truth."""
        return _clipped(self.fit.apply(self.view.whole), self.protocol)


class Pairing:
    """The predicted depth maps of a sample beside the true ones."""

    def __init__(
        self,
        truth: Truth,
        predictions: Sequence[Map],
        intrinsics: Sequence[Array] | None = None,
        world_from_camera: Sequence[Array] | None = None,
    ) -> None:
        """Raise ValueError where they are not as many; cameras are the predicted ones, if any."""
        if len(predictions) != len(truth.depths):
            raise ValueError(f"expected depth of {len(truth.depths)} views, got {len(predictions)}")
        self.truth = truth
        self.predictions = predictions
        self.intrinsics, self.world_from_camera = intrinsics, world_from_camera
        self._once = Once()

    def aligned(self, protocol: DepthProtocol, ambiguity: Ambiguity) -> list[AlignedView]:
        """Bring the views that have valid pixels to the truth.

        Raises:
            ValueError: The prediction has another size, or cannot be aligned.
        """
        masks = self.truth.masks(protocol)
        # Those without a valid pixel, too: another size is wrong in any view.
        maps = [self._resized(index, protocol) for index in range(len(masks))]
        views = [
            self._view(index, mask, whole, protocol, ambiguity)
            for index, (mask, whole) in enumerate(zip(masks, maps, strict=True))
            if mask.any()
        ]
        if not views:
            raise NoTruthError(f"no valid true depth under {protocol.label}")
        if protocol.scope == "sample":
            fitted = [_fit(views, protocol, ambiguity)] * len(views)
        else:
            fitted = [_fit([view], protocol, ambiguity) for view in views]
        return [
            AlignedView(view, _clipped(fit.apply(view.predicted), protocol), fit, protocol)
            for fit, view in zip(fitted, views, strict=True)
        ]

    def _view(
        self, index: int, mask: Mask, whole: Map, protocol: DepthProtocol, ambiguity: Ambiguity
    ) -> View:
        valid = valid_key(protocol)
        distances = None
        if protocol.needs_distances:
            first = 0 if protocol.scope == "sample" else index
            distances = self._distances(index, first, mask, whole, ambiguity)
        return View(
            index=index,
            mask=mask,
            whole=whole,
            predicted=self._once(
                ("predicted", index, valid, protocol.resize),
                lambda: masked(whole, mask),
            ),
            true=self.truth.values(index, protocol),
            fitted=self.truth.once(
                ("fitted", index, valid, protocol.fit_grid, protocol.fit_max_px),
                lambda: _places(mask, protocol),
            ),
            distances=distances,
        )

    def _distances(
        self, index: int, first: int, mask: Mask, whole: Map, ambiguity: Ambiguity
    ) -> tuple[Array, Array]:
        """How far a view's predicted and true points are from the first camera, (N,) each."""
        target = self.truth.target
        if target.intrinsics is None:
            raise ValueError("expected intrinsics to measure distances with, got none")
        intrinsics = self.intrinsics or target.intrinsics
        poses, true_poses = self.world_from_camera, target.world_from_camera
        if index != first:
            if true_poses is None:
                raise ValueError("expected true poses to measure distances over views, got none")
            if poses is None and not ambiguity.can_serve(Ambiguity.METRIC):
                raise ValueError(
                    "expected poses with a depth that is not metric, to put its views together, "
                    "got none"
                )
        return (
            _far(whole, mask, intrinsics, poses or true_poses, index, first),
            _far(self.truth.depths[index], mask, target.intrinsics, true_poses, index, first),
        )

    def _resized(self, index: int, protocol: DepthProtocol) -> Map:
        shape = self.truth.depths[index].shape
        return self._once(
            ("resized", index, protocol.resize),
            lambda: _resized(self.predictions[index], shape, protocol),
        )


def record_of(views: Sequence[AlignedView], protocol: DepthProtocol) -> Any:
    """What was fitted, for a sample's record: one alignment, or one for each view."""
    if protocol.scope == "sample" or len(views) == 1:
        return views[0].fit.record()
    return [view.fit.record() for view in views]


def _places(mask: Mask, protocol: DepthProtocol) -> NDArray[np.int64] | slice:
    """Where among the valid pixels an alignment is fitted."""
    if protocol.fit_grid is not None:
        # Flat places in the map become places among the valid pixels.
        return np.searchsorted(np.flatnonzero(mask), nearest_valid_grid(mask, protocol.fit_grid))
    if protocol.fit_max_px is not None:
        columns = thinned_columns(mask.shape[0], mask.shape[1], protocol.fit_max_px)
        order = (np.cumsum(mask) - 1).reshape(mask.shape)
        return order[:, columns][mask[:, columns]]
    return slice(None)


def _fit(
    views: Sequence[View], protocol: DepthProtocol, ambiguity: Ambiguity
) -> fits.DepthAlignment:
    if protocol.alignment == "none":
        return fits.identity()
    predicted = _joined([view.predicted[view.fitted] for view in views])
    true = _joined([view.true[view.fitted] for view in views])
    options: dict[str, Any] = {}
    if protocol.fit_weights == "inverse_depth":
        options["weights"] = 1.0 / true
    if protocol.alignment in IN_DISPARITY:
        is_disparity = ambiguity is Ambiguity.AFFINE_DISPARITY
        options["prediction_is"] = "disparity" if is_disparity else "depth"
        options["floor"] = protocol.disparity_floor
        if protocol.disparity_floor == "farthest":
            # Of all valid pixels, not only of those that are fitted.
            options["floor"] = 1.0 / max(float(view.true.max()) for view in views)
    if protocol.needs_distances:
        found = [(view.distances, view.fitted) for view in views if view.distances is not None]
        options["predicted_distances"] = _joined([of[0][fitted] for of, fitted in found])
        options["true_distances"] = _joined([of[1][fitted] for of, fitted in found])
    module = fits if hasattr(fits, protocol.alignment) else emulated_alignment
    fit: Callable[..., fits.DepthAlignment] = getattr(module, protocol.alignment)
    fitted = fit(predicted, true, **options)
    if fitted.scale < 0 and protocol.alignment in SIGNED and protocol.fit_sign == "positive":
        # The loss is convex, so the best line that does not fall is flat: that of a constant.
        return fit(np.ones_like(predicted), true, **options)
    return fitted


def _far(
    depth: Map,
    mask: Mask,
    intrinsics: Sequence[Array],
    poses: Sequence[Array] | None,
    index: int,
    first: int,
) -> Array:
    """How far the points of a view's masked pixels are from the first camera, (N,)."""
    rays = cameras.unproject(np.ones(depth.shape), intrinsics[index])[mask]
    values = masked(depth, mask)
    # What is not finite is refused by the fit; infinity times a ray's 0 would warn before.
    points: Array = rays * np.where(np.isfinite(values), values, np.nan)[:, None]
    if index != first and poses is not None:
        points = cameras.transform(points, cameras.invert_pose(poses[first]) @ poses[index])
    distances: Array = np.linalg.norm(points, axis=-1)
    return distances


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _clipped(depth: Array, protocol: DepthProtocol) -> Array:
    if protocol.clip:
        far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
        # A protocol without a near bound clips at a millimetre, so that logarithms are defined.
        depth = clip_prediction(depth, protocol.min_depth_m or 1e-3, far)
    if protocol.clip_min_m is None and protocol.clip_max_m is None:
        return depth
    low = -np.inf if protocol.clip_min_m is None else protocol.clip_min_m
    high = np.inf if protocol.clip_max_m is None else protocol.clip_max_m
    return clip_prediction(depth, low, high)


def _resized(depth: Map, shape: tuple[int, ...], protocol: DepthProtocol) -> Map:
    if depth.shape == shape:
        return depth
    if protocol.resize == "error":
        raise ValueError(
            f"expected a depth map of the truth's size {shape}, got {depth.shape}; "
            "predict at the image's size, or let the protocol say resize: bilinear"
        )
    if protocol.resize in _KERNELS:
        return resize_map(depth, (shape[0], shape[1]), _KERNELS[protocol.resize])
    from PIL import Image

    how = Image.Resampling.NEAREST if protocol.resize == "nearest" else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(depth, np.float32), mode="F")
    return np.asarray(image.resize((shape[1], shape[0]), how), np.float32)
