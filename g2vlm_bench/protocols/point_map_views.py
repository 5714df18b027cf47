"""A sample's point maps under a protocol: which pixels count, what is fitted, what is measured.

What several protocols need of one sample (lifted maps, masks, places to fit on) is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import point_alignment as fits
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.geometry.resampling import nearest_valid_grid
from g2vlm_bench.metrics.point_maps import (
    CAMERA_METRICS,
    LOCAL_METRICS,
    POINT_METRICS,
    RAY_METRICS,
    PointPairs,
    abs_rel,
    compare,
    extent_of,
    norms_of,
)
from g2vlm_bench.protocols.pixels import counted_pixels
from g2vlm_bench.protocols.point_map import Counted, PointMapProtocol
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import NoTruthError

Array = NDArray[np.float64]
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Fewer fitted pixels make no segment, as in MoGe.
_LEAST_FITTED = 10


@dataclass(frozen=True, eq=False)
class View:
    """Predicted and true points of one view's valid pixels, (N, 3) each.

    Attributes:
        predicted: As they came.
        true: Metres.
        fitted: Which of them an alignment is fitted on.
        labels: Of their segments, (N,), where the target has them.
    """

    predicted: Array
    true: Array
    fitted: NDArray[np.int64] | slice
    labels: NDArray[np.int32] | None = None

    @cached_property
    def distances(self) -> Array:
        """Of the true points from the camera, (N,)."""
        return norms_of(self.true)

    def segments(self) -> Iterator[View]:
        """The parts of this view that are one segment each and have enough points to fit."""
        places = np.arange(len(self.true))[self.fitted]
        for fitted, chosen in _large_segments(self.labels, places):
            inside = np.cumsum(chosen) - 1
            yield View(self.predicted[chosen], self.true[chosen], inside[fitted])


class Truth:
    """The true point maps of a sample, lifted from its depth, and which of their pixels count."""

    def __init__(self, target: Target) -> None:
        """Raise `NoTruthError` where the target has no depth or no camera to lift it by."""
        if not target.depth_m or not target.intrinsics:
            lacking = "camera to lift its depth by" if target.depth_m else "true depth"
            raise NoTruthError(f"the sample has no {lacking}")
        self.depths: tuple[Map, ...] = target.depth_m
        self.intrinsics = target.intrinsics
        self.segments = target.segments
        self.masks = cache(self._masks)

    @cached_property
    def maps(self) -> tuple[Map, ...]:
        """A point map per view, NaN where there is no truth; rounded as a prediction is."""
        return lifted(self.depths, self.intrinsics)

    @cached_property
    def rays(self) -> Sequence[Array]:
        """The ray of every pixel of each view, (H, W, 3), 1 along z."""
        return _rays([depth.shape for depth in self.depths], self.intrinsics)

    def check(self, protocol: PointMapProtocol) -> None:
        """Raise `NoTruthError` where fewer pixels count than the protocol's fit has freedom."""
        found = sum(int(np.count_nonzero(mask)) for mask in self.masks(protocol.counted))
        if found < protocol.least_points:
            raise NoTruthError(
                f"expected {protocol.least_points} valid pixels or more under {protocol.label}, "
                f"got {found}"
            )

    def has_segments(self, protocol: PointMapProtocol) -> bool:
        """Whether a segment of some view has enough valid pixels to fit."""
        for labels, mask in zip(self.segments or (), self.masks(protocol.counted), strict=False):
            places = np.arange(np.count_nonzero(mask))[_places(mask, protocol.fit_grid)]
            if any(True for _ in _large_segments(labels[mask], places)):
                return True
        return False

    def _masks(self, counted: Counted) -> tuple[Mask, ...]:
        return tuple(counted_pixels(depth, **asdict(counted)) for depth in self.depths)


class Pairing:
    """The predicted point maps of a sample beside the true ones."""

    def __init__(self, truth: Truth, prediction: Prediction, ambiguity: Ambiguity) -> None:
        self.truth, self.prediction, self.ambiguity = truth, prediction, ambiguity
        self._maps = cache(self._predicted_maps)
        self._views = cache(self._valid_views)

    def measure(
        self, protocol: PointMapProtocol, metrics: Sequence[str]
    ) -> tuple[dict[str, float], Any]:
        """Return the metrics of the aligned prediction, and what was fitted.

        Raises:
            ValueError: The prediction has another size or is not finite where it counts.
            NoTruthError: Too few pixels count.
        """
        self.truth.check(protocol)
        views = self._views(protocol.counted, protocol.camera, protocol.fit_grid)
        if protocol.scope == "segment":
            return _local(views, protocol, metrics)
        groups = [views] if protocol.scope == "sample" else [[view] for view in views]
        fitted = [_fit(group, protocol) for group in groups]
        aligned = [
            (fit.apply(view.predicted), view.true, view.distances)
            for fit, group in zip(fitted, groups, strict=True)
            for view in group
        ]
        if protocol.pool == "pixels" and len(aligned) > 1:
            predicted, true, distances = map(np.concatenate, zip(*aligned, strict=True))
            aligned = [(predicted, true, distances)]
        compared = [compare(*parts) for parts in aligned]
        values = {
            metric: float(np.mean([_measured(metric, pairs, protocol) for pairs in compared]))
            for metric in metrics
        }
        records = [fit.record() for fit in fitted]
        return values, records[0] if len(records) == 1 else records

    def of_rays(self, metric: str, protocol: PointMapProtocol) -> float:
        """Return a metric of the rays of every pixel, whether its truth counts or not.

        Raises:
            ValueError: The prediction has another size, or no ray somewhere.
        """
        pairs = zip(self._predicted_rays(), self.truth.rays, strict=True)
        compared = [compare(mine.reshape(-1, 3), true.reshape(-1, 3)) for mine, true in pairs]
        by_pixels = [len(one.errors) for one in compared] if protocol.pool == "pixels" else None
        values = [RAY_METRICS[metric](one) for one in compared]
        return float(np.average(values, weights=by_pixels))

    def of_cameras(self, metric: str) -> float:
        """Return the mean over views of a metric of their cameras.

        Raises:
            ValueError: The prediction has no camera of each view, or what it has is none.
        """
        mine, true = self.prediction.intrinsics or (), self.truth.intrinsics
        if len(mine) != len(true):
            raise ValueError(f"expected predicted intrinsics of {len(true)} views, got {len(mine)}")
        of_one = CAMERA_METRICS[metric]
        views = zip(mine, true, self.truth.depths, strict=True)
        return float(np.mean([of_one(one, other, d.shape[1]) for one, other, d in views]))

    def _predicted_rays(self) -> Sequence[NDArray[Any]]:
        """A point on the ray of every pixel, (H, W, 3) each: by the camera, or of a point map."""
        maps = self._maps("predicted")
        if self.prediction.point_maps is None:
            # Depth need not be known for a ray.
            return _rays([one.shape[:2] for one in maps], self.prediction.intrinsics or ())
        for one in maps:
            lost = int((~np.isfinite(one).all(axis=-1)).sum())
            if lost:
                raise ValueError(
                    "expected a finite point at every pixel, since rays are compared where there "
                    f"is no truth, too; got {lost} others of {one.shape[0] * one.shape[1]}"
                )
        return maps

    def _valid_views(self, counted: Counted, camera: str, grid: int | None) -> list[View]:
        """The views that have valid pixels."""
        masks, maps = self.truth.masks(counted), self._maps(camera)
        segments = self.truth.segments or (None,) * len(masks)
        parts = zip(maps, self.truth.maps, masks, segments, strict=True)
        return [
            View(
                predicted=_points(predicted, mask),
                true=_points(true, mask),
                fitted=_places(mask, grid),
                labels=None if labels is None else labels[mask],
            )
            for predicted, true, mask, labels in parts
            if mask.any()
        ]

    def _predicted_maps(self, camera: str) -> tuple[Map, ...]:
        maps = self.prediction.point_maps if camera == "predicted" else None
        if maps is None:
            maps = self._lifted(camera)
        shapes, wanted = [m.shape for m in maps], [m.shape for m in self.truth.maps]
        if shapes != wanted:
            raise ValueError(
                f"expected point maps of the truth's sizes {wanted}, got {shapes}; "
                "predict at the image's size"
            )
        return maps

    def _lifted(self, camera: str) -> tuple[Map, ...]:
        depth = self.prediction.depth
        intrinsics = self.prediction.intrinsics
        if camera == "given":
            intrinsics = self.truth.intrinsics
        if depth is None or intrinsics is None:
            wanted = "depth" if camera == "given" else "point maps, or depth with intrinsics"
            raise ValueError(f"expected a prediction with {wanted}, got none")
        if not self.ambiguity.can_serve(Ambiguity.SCALE):
            raise ValueError(
                "expected depth to lift that is known up to scale at most, got "
                f"{self.ambiguity.value} depth: a shift of depth bends what is lifted from it"
            )
        if len(depth) != len(intrinsics):
            raise ValueError(
                f"expected intrinsics for {len(depth)} depth maps, got {len(intrinsics)}"
            )
        return lifted(depth, intrinsics)


def lifted(depths: Sequence[Map], intrinsics: Sequence[Array]) -> tuple[Map, ...]:
    """Lift depth maps, each by its camera, to point maps (H, W, 3); NaN where depth is none.

    Raises:
        ValueError: A camera is none.
    """
    pairs = zip(depths, intrinsics, strict=True)
    return tuple(unproject(depth, camera, np.float32) for depth, camera in pairs)


def _rays(sizes: Sequence[tuple[int, ...]], intrinsics: Sequence[Array]) -> list[Array]:
    pairs = zip(sizes, intrinsics, strict=True)
    return [unproject(np.ones(size), camera) for size, camera in pairs]


def _points(points: Map, mask: Mask) -> Array:
    """The points of the masked pixels, a quarter of the time of indexing by the mask."""
    return points.reshape(-1, 3).take(np.flatnonzero(mask), axis=0).astype(np.float64)


def _places(mask: Mask, grid: int | None) -> NDArray[np.int64] | slice:
    """Where among the valid pixels an alignment is fitted."""
    if grid is None:
        return slice(None)
    # Flat places in the map become places among the valid pixels.
    return np.searchsorted(np.flatnonzero(mask), nearest_valid_grid(mask, grid))


def _fit(views: Sequence[View], protocol: PointMapProtocol) -> fits.PointAlignment:
    if protocol.alignment == "none":
        return fits.identity()
    predicted = np.concatenate([view.predicted[view.fitted] for view in views])
    true = np.concatenate([view.true[view.fitted] for view in views])
    options: dict[str, Any] = {}
    if protocol.fit_weights == "inverse_distance":
        options["weights"] = 1.0 / np.concatenate([view.distances[view.fitted] for view in views])
    if protocol.fit_sign != "positive":
        options["sign"] = protocol.fit_sign
    fit: Callable[..., fits.PointAlignment] = getattr(fits, protocol.alignment)
    return fit(predicted, true, **options)


def _large_segments(
    labels: NDArray[np.int32] | None, places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Mask]]:
    """For each segment: which of the places lie in it, and all pixels that do."""
    if labels is None:
        return
    of_places = labels[places]
    found, counts = np.unique(of_places, return_counts=True)
    for label in found[(counts >= _LEAST_FITTED) & (found != 0)]:
        yield places[of_places == label], labels == label


def _local(
    views: Sequence[View], protocol: PointMapProtocol, metrics: Sequence[str]
) -> tuple[dict[str, float], Any]:
    """Means over all segments of all views, each under a fit of its own."""
    found: list[list[float]] = []
    records = []
    for segment in (part for view in views for part in view.segments()):
        fit = _fit([segment], protocol)
        pairs = compare(fit.apply(segment.predicted), segment.true)
        extent = extent_of(segment.true)
        found.append([LOCAL_METRICS[metric](pairs, extent) for metric in metrics])
        records.append(fit.record())
    if not found:
        return {}, records
    return dict(zip(metrics, map(float, np.mean(found, axis=0)), strict=True)), records


def _measured(metric: str, pairs: PointPairs, protocol: PointMapProtocol) -> float:
    if metric == "point_abs_rel":
        return abs_rel(pairs, protocol.relative_epsilon_m)
    return POINT_METRICS[metric](pairs)
