"""How a point map is brought to the truth before it is measured: the fields of a task file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np

from g2vlm_bench.metrics.depth import Crop
from g2vlm_bench.metrics.point_maps import RAY_METRICS
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.task import Protocol, label_number

Alignment = Literal[
    "none",
    "least_squares_scale",
    "mean_norm_scale",
    "l1_scale",
    "l1_z_shift",
    "l1_xyz_shift",
    "l1_scale_z_shift",
    "l1_scale_xyz_shift",
    "anchored_scale_z_shift",
    "anchored_scale_xyz_shift",
]
Metres = Annotated[float, msgspec.Meta(gt=0)]

# What a prediction may be known up to for each alignment to make sense of it, and its short label.
# A map that is known up to a shift along all axes is not known well enough for one along z.
_ALIGNMENTS: dict[str, tuple[Ambiguity, str]] = {
    "none": (Ambiguity.METRIC, "metric"),
    "least_squares_scale": (Ambiguity.SCALE, "lsq_scale"),
    "mean_norm_scale": (Ambiguity.SCALE, "mean_norm_scale"),
    "l1_scale": (Ambiguity.SCALE, "l1_scale"),
    "l1_z_shift": (Ambiguity.METRIC, "l1_z_shift"),
    "l1_xyz_shift": (Ambiguity.METRIC, "l1_xyz_shift"),
    "l1_scale_z_shift": (Ambiguity.SCALE, "l1_scale_z_shift"),
    "l1_scale_xyz_shift": (Ambiguity.AFFINE, "l1_affine"),
    "anchored_scale_z_shift": (Ambiguity.SCALE, "anchored_scale_z_shift"),
    "anchored_scale_xyz_shift": (Ambiguity.AFFINE, "anchored_affine"),
}
_SIGNED = ("l1_scale_z_shift", "l1_scale_xyz_shift")


@dataclass(frozen=True, slots=True)
class Counted:
    """Which pixels count; protocols that agree in it share their masks."""

    min_depth_m: float
    max_depth_m: float | None
    max_over_near: float | None
    crop: Crop | None
    at_most: int | None


class PointMapProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a point map is brought to the truth before it is measured, in the camera's own frame.

    Attributes:
        alignment: Fitted on the valid pixels; names as in `geometry/point_alignment.py`.
        scope: One alignment for all views of a sample together, one for each, or one for each
            segment of each: then the `local_` metrics alone are defined, which compare errors with
            the segment's size.
        fit_weights: Of the points in an L1 fit; `inverse_distance` makes its loss relative.
        fit_grid: Fit on the valid pixels nearest to a grid of so many cells along each side.
        fit_sign: Whether a fitted scale may be negative (`any`), where there is a shift.
        camera: Whether predicted depth is lifted by the predicted camera or by the true one, which
            then does a part of the model's work. A predicted point map needs neither.
        min_depth_m: Nearer truth does not count.
        max_depth_m: Farther truth does not count.
        max_over_near: Truth farther than this many times the 1% quantile of a view's depth does not
            count.
        crop: Evaluation crop of the field, by name; `_kb` is taken of KITTI's benchmark crop.
        at_most_pixels: Every view is thinned to about so many valid pixels, on a grid.
        relative_epsilon_m: Added to the distances that `point_abs_rel` divides by.
        pool: Metrics of all pixels of a sample, or of each view and then their mean.
    """

    alignment: Alignment = "none"
    scope: Literal["sample", "view", "segment"] = "sample"
    fit_weights: Literal["equal", "inverse_distance"] = "equal"
    fit_grid: Annotated[int, msgspec.Meta(ge=1)] | None = None
    fit_sign: Literal["positive", "any"] = "positive"
    camera: Literal["predicted", "given"] = "predicted"
    min_depth_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_depth_m: Metres | None = None
    max_over_near: Annotated[float, msgspec.Meta(gt=1)] | None = None
    crop: Crop | None = None
    at_most_pixels: Annotated[int, msgspec.Meta(ge=4)] | None = None
    relative_epsilon_m: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    pool: Literal["pixels", "views"] = "pixels"

    def __post_init__(self) -> None:
        """Refuse a range that leaves no depth, NaN included, and parts that would do nothing."""
        far = np.inf if self.max_depth_m is None else self.max_depth_m
        if not self.min_depth_m < far:
            raise ValueError(
                f"expected min_depth_m < max_depth_m, got {self.min_depth_m} and {far}"
            )
        if self.fit_weights != "equal" and not self.weighs:
            raise ValueError(f"expected an L1 alignment to weigh, got {self.alignment}")
        if self.fit_sign != "positive" and self.alignment not in _SIGNED:
            raise ValueError(f"expected l1_scale with a shift, got {self.alignment}")
        if self.scope == "segment" and (self.alignment == "none" or self.pool != "pixels"):
            raise ValueError("expected an alignment and no pool of views where segments are fitted")
        if self.fit_grid is not None and self.alignment == "none":
            raise ValueError("expected an alignment to fit on a grid, got none")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        numbers = {
            "min": self.min_depth_m or None,
            "cap": self.max_depth_m,
            "near_times": self.max_over_near,
            "at_most": self.at_most_pixels,
            "epsilon": self.relative_epsilon_m or None,
            "grid": self.fit_grid,
        }
        flags = {
            "given_camera": self.camera == "given",
            str(self.crop): self.crop is not None,
            f"{self.scope}_fit": self.scope != "sample",
            "view_pool": self.pool == "views",
            "weighted": self.fit_weights == "inverse_distance",
            "any_sign": self.fit_sign == "any",
        }
        named = [f"{name}{label_number(n)}" for name, n in numbers.items() if n is not None]
        said = [name for name, holds in flags.items() if holds]
        return "+".join([_ALIGNMENTS[self.alignment][1], *named, *said])

    def defines(self, metric: str) -> bool:
        """Whether a metric is of segments where they are fitted, and of all pixels elsewhere.

        A shift would turn every ray, so that the error of rays is none of an alignment with one.
        """
        of_segments = metric.startswith("local_")
        turned = metric in RAY_METRICS and self.alignment.endswith("shift")
        return super().defines(metric) and of_segments == (self.scope == "segment") and not turned

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return _ALIGNMENTS[self.alignment][0]

    @property
    def counted(self) -> Counted:
        """Which pixels count."""
        return Counted(
            self.min_depth_m, self.max_depth_m, self.max_over_near, self.crop, self.at_most_pixels
        )

    @property
    def weighs(self) -> bool:
        """Whether points have weights in the fit."""
        return self.alignment.startswith(("l1", "anchored"))

    @property
    def least_points(self) -> int:
        """Of a sample: fewer would fit anything."""
        if self.alignment == "none":
            return 1
        return 3 if self.alignment.endswith("shift") else 2
