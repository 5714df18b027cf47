"""Depth maps against true depth: ratio and error metrics under named alignments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import cameras, emulated_alignment
from g2vlm_bench.geometry import depth_alignment as fits
from g2vlm_bench.geometry.resampling import Kernel, nearest_valid_grid, resize_map
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import depth as depth_metrics
from g2vlm_bench.metrics.depth_edges import MAP_METRICS, has_edges
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, label_number

Alignment = Literal[
    "none",
    "median_scale",
    "least_squares_scale",
    "least_squares_scale_shift",
    "least_squares_scale_shift_disparity",
    "l1_scale",
    "l1_scale_shift",
    "l1_scale_shift_disparity",
    "lower_median_scale",
    "irls_scale",
    "adam_scale_shift",
    "ridge_scale_shift",
    "trimmed_scale_shift",
    "anchored_scale_shift",
    "mean_distance_scale",
]
Crop = Literal["eigen", "garg", "nyu"]
Resize = Literal["error", "nearest", "bilinear", "bicubic", "bilinear_point", "bilinear_corners"]
Metres = Annotated[float, msgspec.Meta(gt=0)]

# What a prediction may be known up to for each alignment to make sense of it, and its short label.
_ALIGNMENTS: dict[str, tuple[Ambiguity, str]] = {
    "none": (Ambiguity.METRIC, "metric"),
    "median_scale": (Ambiguity.SCALE, "median_scale"),
    "least_squares_scale": (Ambiguity.SCALE, "lsq_scale"),
    "least_squares_scale_shift": (Ambiguity.AFFINE, "lsq_affine"),
    "least_squares_scale_shift_disparity": (Ambiguity.AFFINE_DISPARITY, "lsq_affine_disparity"),
    "l1_scale": (Ambiguity.SCALE, "l1_scale"),
    "l1_scale_shift": (Ambiguity.AFFINE, "l1_affine"),
    "l1_scale_shift_disparity": (Ambiguity.AFFINE_DISPARITY, "l1_affine_disparity"),
    "lower_median_scale": (Ambiguity.SCALE, "lower_median_scale"),
    "irls_scale": (Ambiguity.SCALE, "irls_scale"),
    "adam_scale_shift": (Ambiguity.AFFINE, "adam_affine"),
    "ridge_scale_shift": (Ambiguity.AFFINE, "ridge_affine"),
    "trimmed_scale_shift": (Ambiguity.AFFINE, "trimmed_affine"),
    "anchored_scale_shift": (Ambiguity.AFFINE, "anchored_affine"),
    "mean_distance_scale": (Ambiguity.SCALE, "mean_distance_scale"),
}
_WEIGHTED = ("l1_scale", "l1_scale_shift", "l1_scale_shift_disparity", "anchored_scale_shift")
_IN_DISPARITY = ("least_squares_scale_shift_disparity", "l1_scale_shift_disparity")
_SIGNED = (*_IN_DISPARITY, "least_squares_scale_shift", "l1_scale_shift")
_KERNELS: dict[str, Kernel] = {
    "bicubic": "bicubic",
    "bilinear_point": "bilinear",
    "bilinear_corners": "bilinear_corners",
}

# Name -> unit, higher is better, best, worst, description.
_METRICS: dict[str, tuple[str, bool, float, float | None, str]] = {
    "abs_rel": ("1", False, 0.0, None, "mean |d - g| / g (Eigen et al. 2014)"),
    "sq_rel": ("m", False, 0.0, None, "mean (d - g)^2 / g (Eigen et al. 2014)"),
    "rmse": ("m", False, 0.0, None, "root of the mean (d - g)^2, image by image"),
    "rmse_log": ("1", False, 0.0, None, "root of the mean (ln d - ln g)^2, image by image"),
    "log10": ("1", False, 0.0, None, "mean |log10 d - log10 g|"),
    "si_log": ("1", False, 0.0, None, "standard deviation of ln d - ln g (not times 100)"),
    "si_log_half": ("1", False, 0.0, None, "root of mean e^2 - (mean e)^2 / 2, e = ln d - ln g"),
    "si_log_sample": ("1", False, 0.0, None, "si_log with the divisor N - 1 (not times 100)"),
    "i_rmse": ("1/m", False, 0.0, None, "root of the mean (1/d - 1/g)^2, image by image"),
    "delta1": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25"),
    "delta2": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^2"),
    "delta3": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^3"),
    "inlier_1.03": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.03"),
    "inlier_1.05": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.05"),
    "inlier_1.10": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.10"),
    "delta_auc": (
        "1", True, depth_metrics.DELTA_AUC_BEST, 0.0, "area below the share of ratios < 1.25^e"
    ),
    "boundary_f1_r1": ("1", True, 1.0, 0.0, "F1 of depth edges between neighbours (Depth Pro)"),
    "boundary_f1_r2": ("1", True, 1.0, 0.0, "F1 of depth edges within 2 pixels (MoGe)"),
    "boundary_f1_r3": ("1", True, 1.0, 0.0, "F1 of depth edges within 3 pixels (MoGe)"),
}  # fmt: skip


class DepthProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a depth map is brought to the truth before it is measured.

    Attributes:
        alignment: Fitted on the valid pixels; names as in `geometry/depth_alignment.py` and, for
            published code, `geometry/emulated_alignment.py`.
        scope: One alignment for all views of a sample together, or one for each.
        fit_weights: Of the pixels in an L1 fit; `inverse_depth` makes its loss AbsRel.
        fit_grid: Fit on the valid pixels nearest to a grid of so many cells along each side.
        fit_sign: Whether a fitted line may fall (`any`), by which the truth upside down scores as
            perfect. Peers allow it; here the best line that does not fall is taken.
        disparity_floor: Of an aligned disparity: the farthest truth's, a number of 1/m, or none.
        min_depth_m: Nearer truth does not count.
        max_depth_m: Farther truth does not count.
        bounds: Whether truth at the two bounds themselves counts (`closed`).
        max_over_near: Truth farther than this many times the 1% quantile of a view does not count.
        crop: Evaluation crop of the field.
        clip: Whether the aligned prediction is clipped to the depth range, as several peers do.
        clip_min_m: The aligned prediction is raised to this.
        clip_max_m: The aligned prediction is lowered to this.
        log_floor_m: The prediction is raised to this for logarithms only.
        relative_epsilon_m: Added to the truth that AbsRel divides by.
        every_edge_height: Depth edges count as missed at heights at which the truth has none.
        resize: What happens to a prediction of another size than the truth; `error` fails it.
            `nearest` and `bilinear` are Pillow's, `bicubic` is OpenCV's, `bilinear_point` and
            `bilinear_corners` are torch's without and with `align_corners`.
        pool: Metrics of all pixels of a sample, or of each view and then their mean.
        mean: Over images alike, or weighted by their valid pixels (MonST3R, CUT3R, Pi3).
    """

    alignment: Alignment = "none"
    scope: Literal["sample", "view"] = "sample"
    fit_weights: Literal["equal", "inverse_depth"] = "equal"
    fit_grid: Annotated[int, msgspec.Meta(ge=1)] | None = None
    fit_sign: Literal["positive", "any"] = "positive"
    disparity_floor: Literal["farthest", "none"] | Metres = "farthest"
    min_depth_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_depth_m: Metres | None = None
    bounds: Literal["open", "closed"] = "open"
    max_over_near: Annotated[float, msgspec.Meta(gt=1)] | None = None
    crop: Crop | None = None
    clip: bool = False
    clip_min_m: Metres | None = None
    clip_max_m: Metres | None = None
    log_floor_m: Metres | None = None
    relative_epsilon_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    every_edge_height: bool = False
    resize: Resize = "error"
    pool: Literal["pixels", "views"] = "pixels"
    mean: Literal["image", "pixel"] = "image"

    def __post_init__(self) -> None:
        """Refuse a range that leaves no depth, NaN included, and parts that would do nothing."""
        far = np.inf if self.max_depth_m is None else self.max_depth_m
        if not self.min_depth_m < far:
            raise ValueError(
                f"expected min_depth_m < max_depth_m, got {self.min_depth_m} and {far}"
            )
        if not (self.clip_min_m or 0) < (self.clip_max_m or np.inf):
            raise ValueError(
                f"expected clip_min_m < clip_max_m, got {self.clip_min_m} and {self.clip_max_m}"
            )
        if self.fit_weights != "equal" and self.alignment not in _WEIGHTED:
            raise ValueError(f"expected an L1 alignment to weigh, got {self.alignment}")
        if self.fit_sign != "positive" and self.alignment not in _SIGNED:
            raise ValueError(f"expected an alignment with a shift, got {self.alignment}")
        if self.disparity_floor != "farthest" and self.alignment not in _IN_DISPARITY:
            raise ValueError(f"expected an alignment in disparity, got {self.alignment}")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        parts = [_ALIGNMENTS[self.alignment][1]]
        if self.min_depth_m > 0:
            parts.append(f"min{label_number(self.min_depth_m)}")
        if self.max_depth_m is not None:
            parts.append(f"cap{label_number(self.max_depth_m)}")
        parts += [part for part in (self.crop, "clip" if self.clip else None) if part]
        parts += [] if self.resize == "error" else [self.resize]
        parts += [] if self.mean == "image" else ["pixel_mean"]
        return "+".join(parts + self._rarer_parts())

    def _rarer_parts(self) -> list[str]:
        floor = self.disparity_floor
        floor_text = floor if isinstance(floor, str) else label_number(floor)
        numbers = {
            "near_times": self.max_over_near,
            "clip_from": self.clip_min_m,
            "clip_to": self.clip_max_m,
            "log_floor": self.log_floor_m,
            "epsilon": self.relative_epsilon_m or None,
            "grid": self.fit_grid,
        }
        flags = {
            "view_fit": self.scope == "view",
            "view_pool": self.pool == "views",
            "weighted": self.fit_weights == "inverse_depth",
            "any_sign": self.fit_sign == "any",
            f"floor_{floor_text}": floor != "farthest",
            "closed": self.bounds == "closed",
            "every_edge": self.every_edge_height,
        }
        named = [f"{name}{label_number(n)}" for name, n in numbers.items() if n is not None]
        return named + [name for name, said in flags.items() if said]

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return _ALIGNMENTS[self.alignment][0]

    @property
    def needs_rays(self) -> bool:
        """Whether distances from the camera are compared, not depths."""
        return self.alignment == "mean_distance_scale"

    @property
    def weight(self) -> str | None:
        """Key of the samples' weights."""
        return f"pixels@{self.label}" if self.mean == "pixel" else None


class Depth(Family):
    """Depth of one view or several, which share one alignment unless a protocol says otherwise."""

    known_metrics = tuple(_METRICS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(DepthProtocol)
        self.wants = (frozenset({Want.DEPTH}),)
        self.specs = tuple(
            _spec(metric, protocol) for protocol in self.protocols for metric in definition.metrics
        )

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open."""
        if ambiguity is None:
            return ()
        labels = {p.label for p in self.protocols if ambiguity.can_serve(p.needs)}
        return tuple(spec for spec in self.specs if spec.protocol in labels)

    def truth(self, target: Target) -> Prediction:
        """The true depth, a constant where there is none: it is never measured there."""
        return Prediction(
            depth=tuple(np.where(np.isfinite(d), d, np.float32(1.0)) for d in _depths(target)),
            ambiguity=Ambiguity.METRIC,
        )

    def weights(self, target: Target) -> Mapping[str, float]:
        """Valid pixels under each protocol that weighs by them."""
        depths = _depths(target)
        counts = {p: sum(int(m.sum()) for m in _masks(depths, p)) for p in self.protocols}
        for protocol, count in counts.items():
            if count == 0:
                raise NoTruthError(f"no valid true depth under {protocol.label}")
        found = {p.weight: float(n) for p, n in counts.items() if p.weight is not None}
        for protocol in self.protocols:
            for metric in MAP_METRICS.keys() & set(self.definition.metrics):
                # A sample without a true edge is left out: nothing there could be met or missed.
                masks = _masks(depths, protocol)
                edged = any(map(partial(has_edges, radius=_radius(metric)), depths, masks))
                weight = counts[protocol] if protocol.mean == "pixel" else 1
                found[f"{metric}@{protocol.label}"] = float(weight * edged)
        return found

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        if prediction.depth is None:
            raise ValueError("expected a predicted depth map, got none")
        depths = _depths(target)
        if len(prediction.depth) != len(depths):
            raise ValueError(f"expected depth of {len(depths)} views, got {len(prediction.depth)}")
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            try:
                views = _views(prediction.depth, target, protocol)
                aligned, record = _aligned(views, protocol, ambiguity)
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            details["alignment"][protocol.label] = record
            for metric in self.definition.metrics:
                try:
                    value = _measured(metric, aligned, views, protocol)
                except ValueError as error:
                    undefined.append(f"{metric}@{protocol.label}: {error}")
                else:
                    values[f"{metric}@{protocol.label}"] = value
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)


def _spec(metric: str, protocol: DepthProtocol) -> MetricSpec:
    unit, higher_is_better, best, worst, description = _METRICS[metric]
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit=unit,
        higher_is_better=higher_is_better,
        best=best,
        worst=worst,
        weight=f"{metric}@{protocol.label}" if metric in MAP_METRICS else protocol.weight,
        description=description,
    )


def _depths(target: Target) -> tuple[NDArray[np.float32], ...]:
    if not target.depth_m:
        raise NoTruthError("the sample has no true depth")
    return target.depth_m


def _masks(
    depths: tuple[NDArray[np.float32], ...], protocol: DepthProtocol
) -> list[NDArray[np.bool_]]:
    near = protocol.min_depth_m
    far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
    if protocol.bounds == "closed":
        # The next number beyond a bound leaves the bound itself inside.
        far = float(np.nextafter(np.float32(far), np.float32(np.inf)))
        near = max(0.0, float(np.nextafter(np.float32(near), np.float32(-np.inf))))
    masks = [depth_metrics.valid_mask(depth, near, far, protocol.crop) for depth in depths]
    if protocol.max_over_near is None:
        return masks
    return [_near_enough(d, m, protocol.max_over_near) for d, m in zip(depths, masks, strict=True)]


def _near_enough(
    depth: NDArray[np.float32], mask: NDArray[np.bool_], ratio: float
) -> NDArray[np.bool_]:
    if not mask.any():
        return mask
    kept: NDArray[np.bool_] = mask & (depth <= np.quantile(depth[mask], 0.01) * ratio)
    return kept


@dataclass(frozen=True)
class _View:
    """One view under one protocol: predicted and true values of its valid pixels, (N,) each.

    `fitted` indexes those that an alignment is fitted on; `rays` are their lengths at depth 1.
    """

    mask: NDArray[np.bool_]
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    fitted: NDArray[np.int64] | slice
    rays: NDArray[np.float64] | None


def _views(
    predictions: Sequence[NDArray[np.float32]], target: Target, protocol: DepthProtocol
) -> list[_View]:
    """The views that have valid pixels."""
    depths = _depths(target)
    views = []
    for index, mask in enumerate(_masks(depths, protocol)):
        resized = _resized(predictions[index], depths[index].shape, protocol)
        if not mask.any():
            continue
        fitted: NDArray[np.int64] | slice = slice(None)
        if protocol.fit_grid is not None:
            # Flat places in the map become places among the valid pixels.
            fitted = (np.cumsum(mask) - 1)[nearest_valid_grid(mask, protocol.fit_grid)]
        views.append(
            _View(
                mask=mask,
                predicted=np.asarray(resized, np.float64)[mask],
                true=np.asarray(depths[index], np.float64)[mask],
                fitted=fitted,
                rays=_rays(target, index)[mask] if protocol.needs_rays else None,
            )
        )
    return views


def _rays(target: Target, index: int) -> NDArray[np.float64]:
    if target.intrinsics is None:
        raise ValueError("expected intrinsics to measure distances with, got none")
    points = cameras.unproject(np.ones(_depths(target)[index].shape), target.intrinsics[index])
    lengths: NDArray[np.float64] = np.linalg.norm(points, axis=-1)
    return lengths


def _aligned(
    views: list[_View], protocol: DepthProtocol, ambiguity: Ambiguity
) -> tuple[list[NDArray[np.float64]], Any]:
    """The aligned values of each view, and what was fitted, for the record."""
    if protocol.scope == "sample":
        fitted = [_fit(views, protocol, ambiguity)] * len(views)
    else:
        fitted = [_fit([view], protocol, ambiguity) for view in views]
    aligned = [
        _clipped(fit.apply(view.predicted), protocol)
        for fit, view in zip(fitted, views, strict=True)
    ]
    if protocol.scope == "sample" or len(views) == 1:
        return aligned, fitted[0].record()
    return aligned, [fit.record() for fit in fitted]


def _fit(views: list[_View], protocol: DepthProtocol, ambiguity: Ambiguity) -> fits.DepthAlignment:
    if protocol.alignment == "none":
        return fits.identity()
    predicted = np.concatenate([view.predicted[view.fitted] for view in views])
    true = np.concatenate([view.true[view.fitted] for view in views])
    options: dict[str, Any] = {}
    if protocol.fit_weights == "inverse_depth":
        options["weights"] = 1.0 / true
    if protocol.alignment in _IN_DISPARITY:
        is_disparity = ambiguity is Ambiguity.AFFINE_DISPARITY
        options["prediction_is"] = "disparity" if is_disparity else "depth"
        options["floor"] = protocol.disparity_floor
        if protocol.disparity_floor == "farthest":
            # Of all valid pixels, not only of those that are fitted.
            options["floor"] = 1.0 / max(float(view.true.max()) for view in views)
    if protocol.needs_rays:
        options["rays"] = np.concatenate(
            [view.rays[view.fitted] for view in views if view.rays is not None]
        )
    module = fits if hasattr(fits, protocol.alignment) else emulated_alignment
    fit: Callable[..., fits.DepthAlignment] = getattr(module, protocol.alignment)
    fitted = fit(predicted, true, **options)
    if fitted.scale < 0 and protocol.alignment in _SIGNED and protocol.fit_sign == "positive":
        # The loss is convex, so the best line that does not fall is flat: that of a constant.
        return fit(np.ones_like(predicted), true, **options)
    return fitted


def _measured(
    metric: str,
    aligned: list[NDArray[np.float64]],
    views: list[_View],
    protocol: DepthProtocol,
) -> float:
    if metric in MAP_METRICS:
        return _edge_score(metric, aligned, views, protocol)
    if protocol.pool == "pixels":
        true = np.concatenate([view.true for view in views])
        return _metric(metric, np.concatenate(aligned), true, protocol)
    values = [
        _metric(metric, depth, view.true, protocol)
        for depth, view in zip(aligned, views, strict=True)
    ]
    by_pixels = [view.true.size for view in views] if protocol.mean == "pixel" else None
    return float(np.average(values, weights=by_pixels))


def _edge_score(
    metric: str,
    aligned: list[NDArray[np.float64]],
    views: list[_View],
    protocol: DepthProtocol,
) -> float:
    """The mean over views that have a true edge."""
    maps = [
        (_map(depth, view.mask), _map(view.true, view.mask), view.mask)
        for depth, view in zip(aligned, views, strict=True)
    ]
    values = [
        MAP_METRICS[metric](*one, every_threshold=protocol.every_edge_height)
        for one in maps
        if has_edges(*one[1:], radius=_radius(metric))
    ]
    if not values:
        raise ValueError("expected an edge in the true depth, got none")
    return float(np.mean(values))


def _radius(metric: str) -> int:
    return int(metric[-1])


def _map(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    whole = np.full(mask.shape, np.nan)
    whole[mask] = values
    return whole


def _metric(
    metric: str,
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    protocol: DepthProtocol,
) -> float:
    if metric == "abs_rel":
        return depth_metrics.abs_rel(predicted, true, epsilon=protocol.relative_epsilon_m)
    if metric in depth_metrics.LOG_METRICS and protocol.log_floor_m is not None:
        predicted = depth_metrics.clip_prediction(predicted, protocol.log_floor_m, np.inf)
    return depth_metrics.DEPTH_METRICS[metric](predicted, true, None)


def _clipped(depth: NDArray[np.float64], protocol: DepthProtocol) -> NDArray[np.float64]:
    if protocol.clip:
        far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
        # A protocol without a near bound clips at a millimetre, so that logarithms are defined.
        depth = depth_metrics.clip_prediction(depth, protocol.min_depth_m or 1e-3, far)
    if protocol.clip_min_m is None and protocol.clip_max_m is None:
        return depth
    low = -np.inf if protocol.clip_min_m is None else protocol.clip_min_m
    high = np.inf if protocol.clip_max_m is None else protocol.clip_max_m
    return depth_metrics.clip_prediction(depth, low, high)


def _resized(
    depth: NDArray[np.float32], shape: tuple[int, ...], protocol: DepthProtocol
) -> NDArray[np.float32]:
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
