"""Depth maps against true depth: ratio and error metrics under named alignments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import depth_alignment
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import depth as depth_metrics
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, label_number

Alignment = Literal[
    "none",
    "median_scale",
    "least_squares_scale",
    "least_squares_scale_shift",
    "least_squares_scale_shift_disparity",
]
Crop = Literal["eigen", "garg", "nyu"]
Metres = Annotated[float, msgspec.Meta(gt=0)]

# What a prediction may be known up to for each alignment to make sense of it, and its short label.
_ALIGNMENTS: dict[str, tuple[Ambiguity, str]] = {
    "none": (Ambiguity.METRIC, "metric"),
    "median_scale": (Ambiguity.SCALE, "median_scale"),
    "least_squares_scale": (Ambiguity.SCALE, "lsq_scale"),
    "least_squares_scale_shift": (Ambiguity.AFFINE, "lsq_affine"),
    "least_squares_scale_shift_disparity": (Ambiguity.AFFINE_DISPARITY, "lsq_affine_disparity"),
}

# Name -> unit, higher is better, best, worst, description.
_METRICS: dict[str, tuple[str, bool, float, float | None, str]] = {
    "abs_rel": ("1", False, 0.0, None, "mean |d - g| / g (Eigen et al. 2014)"),
    "sq_rel": ("m", False, 0.0, None, "mean (d - g)^2 / g (Eigen et al. 2014)"),
    "rmse": ("m", False, 0.0, None, "root of the mean (d - g)^2, image by image"),
    "rmse_log": ("1", False, 0.0, None, "root of the mean (ln d - ln g)^2, image by image"),
    "log10": ("1", False, 0.0, None, "mean |log10 d - log10 g|"),
    "si_log": ("1", False, 0.0, None, "standard deviation of ln d - ln g (not times 100)"),
    "delta1": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25"),
    "delta2": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^2"),
    "delta3": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^3"),
    "inlier_1.03": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.03"),
    "inlier_1.05": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.05"),
    "inlier_1.10": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.10"),
}


class DepthProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a depth map is brought to the truth before it is measured.

    Attributes:
        alignment: Fitted on the valid pixels of all views of a sample together.
        min_depth_m: Nearer truth does not count.
        max_depth_m: Farther truth does not count.
        crop: Evaluation crop of the field.
        clip: Whether the aligned prediction is clipped to the depth range, as several peers do.
        resize: What happens to a prediction of another size than the truth; `error` fails it.
        mean: Over images alike, or weighted by their valid pixels (MonST3R, CUT3R, Pi3).
    """

    alignment: Alignment = "none"
    min_depth_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_depth_m: Metres | None = None
    crop: Crop | None = None
    clip: bool = False
    resize: Literal["error", "nearest", "bilinear"] = "error"
    mean: Literal["image", "pixel"] = "image"

    def __post_init__(self) -> None:
        """Refuse a range that leaves no depth, NaN included."""
        far = np.inf if self.max_depth_m is None else self.max_depth_m
        if not self.min_depth_m < far:
            raise ValueError(
                f"expected min_depth_m < max_depth_m, got {self.min_depth_m} and {far}"
            )

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
        return "+".join(parts)

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return _ALIGNMENTS[self.alignment][0]

    @property
    def weight(self) -> str | None:
        """Key of the samples' weights."""
        return f"pixels@{self.label}" if self.mean == "pixel" else None


class Depth(Family):
    """Depth of one view or several; the views of a sample share one alignment."""

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
        return {p.weight: float(n) for p, n in counts.items() if p.weight is not None}

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
            masks = _masks(depths, protocol)
            true = _stack(depths, masks)
            try:
                predicted = _predicted(prediction.depth, depths, masks, protocol)
                fitted = _align(predicted, true, protocol, ambiguity)
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            details["alignment"][protocol.label] = fitted.record()
            aligned = _clipped(fitted.apply(predicted), protocol)
            for metric in self.definition.metrics:
                try:
                    value = depth_metrics.DEPTH_METRICS[metric](aligned, true, None)
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
        weight=protocol.weight,
        description=description,
    )


def _depths(target: Target) -> tuple[NDArray[np.float32], ...]:
    if not target.depth_m:
        raise NoTruthError("the sample has no true depth")
    return target.depth_m


def _masks(
    depths: tuple[NDArray[np.float32], ...], protocol: DepthProtocol
) -> list[NDArray[np.bool_]]:
    far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
    return [
        depth_metrics.valid_mask(depth, protocol.min_depth_m, far, protocol.crop)
        for depth in depths
    ]


def _stack(maps: Any, masks: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
    return np.concatenate(
        [np.asarray(one, np.float64)[mask] for one, mask in zip(maps, masks, strict=True)]
    )


def _predicted(
    views: tuple[NDArray[np.float32], ...],
    depths: tuple[NDArray[np.float32], ...],
    masks: list[NDArray[np.bool_]],
    protocol: DepthProtocol,
) -> NDArray[np.float64]:
    """Gather the predicted values of all views where the truth counts."""
    resized = [_resized(p, g.shape, protocol) for p, g in zip(views, depths, strict=True)]
    return _stack(resized, masks)


def _align(
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    protocol: DepthProtocol,
    ambiguity: Ambiguity,
) -> depth_alignment.DepthAlignment:
    if protocol.alignment == "none":
        return depth_alignment.identity()
    if protocol.alignment == "least_squares_scale_shift_disparity":
        is_disparity = ambiguity is Ambiguity.AFFINE_DISPARITY
        return depth_alignment.least_squares_scale_shift_disparity(
            predicted, true, prediction_is="disparity" if is_disparity else "depth"
        )
    fits: dict[str, Callable[..., depth_alignment.DepthAlignment]] = {
        "median_scale": depth_alignment.median_scale,
        "least_squares_scale": depth_alignment.least_squares_scale,
        "least_squares_scale_shift": depth_alignment.least_squares_scale_shift,
    }
    return fits[protocol.alignment](predicted, true)


def _clipped(depth: NDArray[np.float64], protocol: DepthProtocol) -> NDArray[np.float64]:
    if not protocol.clip:
        return depth
    far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
    # A protocol without a near bound clips at a millimetre, so that logarithms are defined.
    return depth_metrics.clip_prediction(depth, protocol.min_depth_m or 1e-3, far)


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
    from PIL import Image

    how = Image.Resampling.NEAREST if protocol.resize == "nearest" else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(depth, np.float32), mode="F")
    return np.asarray(image.resize((shape[1], shape[0]), how), np.float32)
