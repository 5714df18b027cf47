"""How a depth map is brought to the truth before it is measured: the fields of a task file."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from g2vlm_bench.metrics.depth import SCALE_METRICS, Crop
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.task import Protocol, label_number

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
    "bfgs_scale_shift",
    "ridge_scale_shift",
    "trimmed_scale_shift",
    "anchored_scale_shift",
    "mean_distance_scale",
]
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
    "bfgs_scale_shift": (Ambiguity.AFFINE, "bfgs_affine"),
    "ridge_scale_shift": (Ambiguity.AFFINE, "ridge_affine"),
    "trimmed_scale_shift": (Ambiguity.AFFINE, "trimmed_affine"),
    "anchored_scale_shift": (Ambiguity.AFFINE, "anchored_affine"),
    "mean_distance_scale": (Ambiguity.SCALE, "mean_distance_scale"),
}
WEIGHTED = ("l1_scale", "l1_scale_shift", "l1_scale_shift_disparity", "anchored_scale_shift")
IN_DISPARITY = ("least_squares_scale_shift_disparity", "l1_scale_shift_disparity")
SIGNED = (*IN_DISPARITY, "least_squares_scale_shift", "l1_scale_shift")


class DepthProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a depth map is brought to the truth before it is measured.

    Attributes:
        alignment: Fitted on the valid pixels; names as in `geometry/depth_alignment.py` and, for
            published code, `geometry/emulated_alignment.py`.
        scope: One alignment for all views of a sample together, or one for each.
        fit_weights: Of the pixels in an L1 fit; `inverse_depth` makes its loss AbsRel.
        fit_grid: Fit on the valid pixels nearest to a grid of so many cells along each side.
        fit_max_px: Fit on columns thinned so that the longer side would keep so many pixels; the
            rows all stay, as in Marigold's code.
        fit_sign: Whether a fitted line may fall (`any`), by which the truth upside down scores as
            perfect. Peers allow it; here the best line that does not fall is taken.
        disparity_floor: Of an aligned disparity: the farthest truth's, a number of 1/m, or none.
        min_depth_m: Nearer truth does not count.
        max_depth_m: Farther truth does not count.
        bounds: Whether truth at the two bounds themselves counts (`closed`).
        max_over_near: Truth farther than this many times the 1% quantile of a view does not count.
        max_quantile: Nor does truth farther than this quantile of a view, pixels without truth
            counted as 0 m.
        crop: Evaluation crop of the field, by name; `_kb` is taken of KITTI's benchmark crop.
        clip: Whether the aligned prediction is clipped to the depth range, as several peers do.
        clip_min_m: The aligned prediction is raised to this.
        clip_max_m: The aligned prediction is lowered to this.
        skip_to_m: Pixels whose aligned prediction is at this or below are left out of all but
            temporal and edge metrics, so that a model may leave out its worst (SpatialBench).
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
    fit_max_px: Annotated[int, msgspec.Meta(ge=1)] | None = None
    fit_sign: Literal["positive", "any"] = "positive"
    disparity_floor: Literal["farthest", "none"] | Metres = "farthest"
    min_depth_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_depth_m: Metres | None = None
    bounds: Literal["open", "closed"] = "open"
    max_over_near: Annotated[float, msgspec.Meta(gt=1)] | None = None
    max_quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    crop: Crop | None = None
    clip: bool = False
    clip_min_m: Metres | None = None
    clip_max_m: Metres | None = None
    skip_to_m: Metres | None = None
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
        if self.fit_grid is not None and self.fit_max_px is not None:
            raise ValueError("expected fit_grid or fit_max_px, got both")
        if self.fit_weights != "equal" and self.alignment not in WEIGHTED:
            raise ValueError(f"expected an L1 alignment to weigh, got {self.alignment}")
        if self.fit_sign != "positive" and self.alignment not in SIGNED:
            raise ValueError(f"expected an alignment with a shift, got {self.alignment}")
        if self.disparity_floor != "farthest" and self.alignment not in IN_DISPARITY:
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
            "nearest": self.max_quantile,
            "clip_from": self.clip_min_m,
            "clip_to": self.clip_max_m,
            "skip_to": self.skip_to_m,
            "log_floor": self.log_floor_m,
            "epsilon": self.relative_epsilon_m or None,
            "grid": self.fit_grid,
            "fit_px": self.fit_max_px,
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

    def defines(self, metric: str) -> bool:
        """Whether a metric is a number: how far a map is out of scale is none of a fitted one."""
        fitted = metric in SCALE_METRICS and self.alignment != "none"
        return super().defines(metric) and not fitted

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return _ALIGNMENTS[self.alignment][0]

    @property
    def needs_distances(self) -> bool:
        """Whether distances of points from the first camera are compared, not depths."""
        return self.alignment == "mean_distance_scale"

    @property
    def weight(self) -> str | None:
        """Key of the samples' weights."""
        return f"pixels@{self.label}" if self.mean == "pixel" else None
