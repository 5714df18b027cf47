"""How a predicted cloud is brought to the true one before it is measured: what a task may write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.clouds import resolution
from g2vlm_bench.metrics.depth import Crop
from g2vlm_bench.protocols.pixels import counted_pixels
from g2vlm_bench.sample import Ambiguity, Target
from g2vlm_bench.task import Protocol, label_number

Metres = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
# Of the prediction as it came, whatever the alignment forgives.
SCALE_METRIC = "metric_scale_abs_rel"
# Fitted about the camera, without correspondences or with.
_ABOUT_CAMERA = ("scale", "lower_median_scale", "mean_norm", "joint_median")


class Fusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Depth maps become a surface, and the surface a cloud.

    Attributes:
        voxel_m: Edge of a voxel of the signed distance volume.
        truncation_m: How far from the surface a depth map still says something.
        max_depth_m: Farther depth is left out.
        points: Drawn from the surface.
        along: Whether distances from the surface are measured along z, or along the ray as by
            Open3D's older volume.
    """

    voxel_m: Metres
    truncation_m: Metres
    max_depth_m: Metres
    points: Annotated[int, msgspec.Meta(ge=2)]
    along: Literal["z", "ray"] = "z"


class Consistency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pixels become points where several depth maps agree.

    Attributes:
        within_m: How near another map's point must be.
        views: How many maps must agree, the pixel's own among them.
    """

    within_m: Metres
    views: Count


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds, evenly spaced in their logarithm, and how F-scores over them are averaged.

    Attributes:
        from_m: The first threshold.
        to_m: The last one.
        steps: How many.
        squared: Whether squared distances are compared with them.
        divide_by: `intervals` gives the truth 1; `thresholds` gives it (steps - 1) / steps.
    """

    from_m: Metres = 0.01
    to_m: Metres = 1.0
    steps: Annotated[int, msgspec.Meta(ge=2)] = 100
    squared: bool = False
    divide_by: Literal["intervals", "thresholds"] = "intervals"

    @property
    def best(self) -> float:
        """What the truth gets."""
        return 1.0 if self.divide_by == "intervals" else (self.steps - 1) / self.steps


class Ransac(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fits of random subsets, of which the one that explains most pairs wins.

    Attributes:
        subsets: How many.
        size: Pairs of a subset; half of all if absent.
        inlier_m: Pairs nearer than this are explained; the median distance of the plain fit if
            absent.
    """

    subsets: Count = 10
    size: Annotated[int, msgspec.Meta(ge=3)] | None = None
    inlier_m: Metres | None = None


class ScaledIcp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ICP that fits a scale besides the rigid motion.

    Attributes:
        within_m: Largest distance of a pair.
        voxel_m: Both clouds are reduced to the means of voxels of this size first.
        at_most: Else of either cloud every n-th point is used, so that about so many are left.
        still_rmse_m: It ends where the pairs' number stands still and their RMSE changes by less.
    """

    within_m: Metres
    voxel_m: Metres | None = None
    at_most: Count | None = None
    still_rmse_m: Metres = 1e-6


class CloudProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a cloud is brought to the truth before it is measured.

    Attributes:
        alignment: `scale` makes the median distances from the camera equal (`lower_median_scale`
            the lower of two middle ones), `mean_norm` the mean ones, `joint_median` the median z
            and the median spread; `se3` and the kinds of `sim3` are fitted on correspondences.
            Several depth maps that given cameras lift are first brought to one scale under all that
            undo one, because the cameras' distances are metric whatever the depth is.
        fitted_on: What corresponds: pixels, for which depth is predicted, or the cameras' centres.
            Centres fitted for the sake of depth under given cameras yield its scale alone.
        fitted_per: One fit for the sample, or one for each view.
        ransac: Of `sim3_ransac`.
        truth: The sample's cloud, or the true depth of the very pixels that were lifted.
        max_depth_m: Pixels whose truth is this far or farther are not lifted.
        crop: Nor are those outside an evaluation crop of the field, by name.
        at_most_pixels: Of the rest of every view about so many are lifted.
        window_px: Only this many central rows and columns count; the fit still sees all.
        fusion: The aligned depth maps are fused, and points drawn from the surface.
        consistency: Only pixels count that several of the aligned depth maps agree on.
        at_most_points: Of more predicted points so many are drawn.
        scaled_icp: ICPs with a scale behind the alignment, one after the other, in the region.
        icp_m: Largest distance of a pair in a point-to-point ICP behind the alignment; none if
            absent.
        frame: Frame of predicted points, and of the comparison.
        camera: Whether predicted depth is lifted by the true camera or by the predicted one.
        region: Where points count: `everywhere`; where the scanner has `observed` (DTU: accuracy
            in observed voxels, completeness above the ground); in the sample's `crop` volume
            (Tanks and Temples); or as the scanner's `beams` tell (ETH3D: shares only, inclusive
            and averaged over voxels, and no word on what no beam has passed).
        unit: Of `thresholds_m`, `voxel_m` and `scaled_icp`: the metre, or the sample's own
            tolerance.
        thresholds_m: Of precision, recall and F-score.
        curve: Of the mean F-score over many thresholds.
        inlier_ratio: Of distances from the first camera, for `point_inliers`.
        voxel_m: Both clouds are reduced to the means of voxels of this size.
        voxel_grid: Where the voxels start: half a voxel below each cloud, or at the origin.
        thin_m: Predicted points nearer than this to one that was kept are removed.
        crop_margin_m: Predicted points farther than this outside the truth's bounding box do not
            count.
        drop_beyond_m: Distances of this size or more do not count.
        seed: Of RANSAC, thinning and drawing points.
    """

    alignment: Literal[
        "none", "scale", "lower_median_scale", "mean_norm", "joint_median",
        "se3", "sim3", "sim3_ransac", "sim3_symmetric",
    ] = "none"  # fmt: skip
    fitted_on: Literal["pixels", "cameras"] = "pixels"
    fitted_per: Literal["sample", "view"] = "sample"
    ransac: Ransac = Ransac()
    truth: Literal["cloud", "pixels"] = "cloud"
    max_depth_m: Metres | None = None
    crop: Crop | None = None
    at_most_pixels: Annotated[int, msgspec.Meta(ge=4)] | None = None
    window_px: Annotated[int, msgspec.Meta(ge=2)] | None = None
    fusion: Fusion | None = None
    consistency: Consistency | None = None
    at_most_points: Annotated[int, msgspec.Meta(ge=2)] | None = None
    scaled_icp: tuple[ScaledIcp, ...] = ()
    icp_m: Metres | None = None
    frame: Literal["first_camera", "world"] = "first_camera"
    camera: Literal["given", "predicted"] = "given"
    region: Literal["everywhere", "observed", "crop", "beams"] = "everywhere"
    unit: Literal["metre", "tolerance"] = "metre"
    thresholds_m: Annotated[tuple[Metres, ...], msgspec.Meta(min_length=1)] = (0.05,)
    curve: Curve = Curve()
    inlier_ratio: Annotated[float, msgspec.Meta(gt=1)] = 1.03
    voxel_m: Metres | None = None
    voxel_grid: Literal["cloud", "world"] = "cloud"
    thin_m: Metres | None = None
    crop_margin_m: Annotated[float, msgspec.Meta(ge=0)] | None = None
    drop_beyond_m: Metres | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning: a camera's distances in a world, thresholds of one name."""
        if self.alignment in _ABOUT_CAMERA and self.frame == "world":
            raise ValueError(
                f"expected alignment {self.alignment} in the frame first_camera, got world"
            )
        if len(set(map(label_number, self.thresholds_m))) < len(self.thresholds_m):
            raise ValueError(f"expected thresholds that differ, got {self.thresholds_m}")
        if self.curve.from_m >= self.curve.to_m:
            raise ValueError(f"expected a curve upwards, got {self.curve}")
        on_points = self.alignment.startswith(("se3", "sim3"))
        if not on_points and (self.fitted_on, self.fitted_per) != ("pixels", "sample"):
            raise ValueError(
                "expected alignment se3 or a kind of sim3 where it is fitted on cameras or "
                f"per view, got {self.alignment}"
            )
        if self.fitted_on == "cameras" and self.fitted_per == "view":
            raise ValueError("expected more than the one camera of a view to fit on")
        some_pixels = self.window_px is not None or self._chooses_pixels
        by_pixel = self.fitted_per == "view" or some_pixels
        merges = self.fusion is not None or self.consistency is not None
        if merges and (by_pixel or self.truth == "pixels"):
            raise ValueError("expected no pixels to be named where fusion merges them")
        if self.fusion is not None and self.consistency is not None:
            raise ValueError("expected one way of merging depth maps, got fusion and consistency")
        if some_pixels and self.truth != "pixels":
            raise ValueError("expected truth pixels where only some pixels count, got cloud")
        if self.region != "everywhere" and (self.frame, self.truth) != ("world", "cloud"):
            raise ValueError(
                f"expected frame world and truth cloud, which the region {self.region} is of; "
                f"got {self.frame} and {self.truth}"
            )

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        parts: list[str] = ["metric" if self.alignment == "none" else self.alignment]
        parts += self._sizes("ransac", "ransac")
        parts += self._name("fitted_on", "on_cameras") + self._name("fitted_per", "per_view")
        parts += self._name("truth", "pixels")
        parts += self._sizes("tsdf", "fusion") + self._sizes("agree", "consistency")
        parts += self._numbers("to", "max_depth_m") + self._name("crop")
        parts += self._numbers("atmost", "at_most_pixels") + self._numbers("window", "window_px")
        parts += self._numbers("cap", "at_most_points")
        parts += [_sizes("scaled_icp", step) for step in self.scaled_icp]
        parts += self._numbers("icp", "icp_m") + self._name("frame")
        parts += self._name("camera", "predicted_camera")
        parts += self._name("region") + self._name("unit", "in_tolerances")
        parts += self._numbers("voxel", "voxel_m") + self._name("voxel_grid", "world_grid")
        parts += self._numbers("thin", "thin_m") + self._numbers("crop", "crop_margin_m")
        parts += self._numbers("drop", "drop_beyond_m")
        if self.curve != Curve():
            limits = [self.curve.from_m, self.curve.to_m, self.curve.steps]
            squared = ["squared"] if self.curve.squared else []
            by = [] if self.curve.divide_by == "intervals" else [self.curve.divide_by]
            parts.append("_".join(["curve", *map(label_number, limits), *squared, *by]))
        parts += [] if self.inlier_ratio == 1.03 else [f"ratio{label_number(self.inlier_ratio)}"]
        parts += [] if self.seed == 0 else [f"seed{self.seed}"]
        return "+".join(parts)

    def defines(self, metric: str) -> bool:
        """Whether a metric has a meaning where the protocol says which points count, and where."""
        of_shares = metric in ("precision", "recall", "fscore")
        in_region = {"beams": of_shares, "observed": not metric.startswith("normal_")}
        if metric == SCALE_METRIC and not self.keeps_metres:
            return False
        return super().defines(metric) and in_region.get(self.region, True)

    def _name(self, field: str, name: str = "") -> list[str]:
        value = getattr(self, field)
        return [] if value == _DEFAULTS[field] else [name or value]

    def _numbers(self, name: str, field: str) -> list[str]:
        value = getattr(self, field)
        return [] if value is None else [f"{name}{label_number(value)}"]

    def _sizes(self, name: str, field: str) -> list[str]:
        value = getattr(self, field)
        return [] if value == _DEFAULTS[field] else [_sizes(name, value)]

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return Ambiguity.METRIC if self.alignment in ("none", "se3") else Ambiguity.SCALE

    @property
    def needs_pixels(self) -> bool:
        """Whether corresponding pixels are fitted on or compared with."""
        by_distances = self.alignment in ("none", "scale", "lower_median_scale")
        fits_pixels = not by_distances and self.fitted_on == "pixels"
        return fits_pixels or self.truth == "pixels"

    @property
    def _chooses_pixels(self) -> bool:
        return (self.max_depth_m, self.crop, self.at_most_pixels) != (None, None, None)

    def lifted_where(self, true_depth: NDArray[Any]) -> NDArray[Any]:
        """Give a view's true depth, (H, W), with NaN at pixels that are not lifted.

        Raises:
            ValueError: The crop is of another size.
        """
        if not self._chooses_pixels:
            return true_depth
        lifted = counted_pixels(
            true_depth, max_depth_m=self.max_depth_m, crop=self.crop, at_most=self.at_most_pixels
        )
        return np.where(lifted, true_depth, np.nan)

    def _lifts_points_of(self, true_depths: Sequence[NDArray[Any]]) -> bool:
        lifted = (np.isfinite(self.lifted_where(depth)).sum() for depth in true_depths)
        return not self._chooses_pixels or sum(map(int, lifted)) >= 2

    @property
    def needs_depth(self) -> bool:
        """Whether predicted points will not do."""
        merges = self.fusion is not None or self.consistency is not None
        scales_depth = self.fitted_on == "cameras" and self.camera == "given"
        return self.needs_pixels or merges or scales_depth

    @property
    def brings_depth_to_scale(self) -> bool:
        """Whether depth is scaled before given cameras lift it."""
        undoes_scale = self.alignment not in ("none", "se3")
        return self.camera == "given" and undoes_scale and self.fitted_on == "pixels"

    @property
    def keeps_metres(self) -> bool:
        """Whether points stand where they were predicted, from the first camera, until the fit."""
        scaled_before = self.camera == "given" and self.alignment not in ("none", "se3")
        return self.frame == "first_camera" and not scaled_before

    @property
    def truth_falls_short(self) -> str:
        """Why the truth itself does not get the best value: what is done to a prediction alone."""
        reasons = {
            "fused surfaces are near the true points, not on them": self.fusion,
            "only some of the true points are lifted from pixels that agree": self.consistency,
            "thinning leaves holes between the points of a prediction": self.thin_m,
            "of a large prediction only some points are drawn": self.at_most_points,
        }
        return "; ".join(reason for reason, value in reasons.items() if value is not None)

    def lacks(self, target: Target) -> str:
        """What of the truth this protocol needs and the sample does not have; empty if nothing."""
        poses = target.world_from_camera or ()
        pixels = target.depth_m and target.intrinsics and (poses or len(target.depth_m) == 1)
        of_cloud = self.truth == "cloud"
        needed = {
            "true cloud": not of_cloud or len(_points(target)) >= 2,
            _DIGITS: not of_cloud or self._resolves(target),
            "two pixels of true depth that count": self._lifts_points_of(target.depth_m or ()),
            "true depth and cameras to fit se3 or sim3 on": not self.needs_pixels or pixels,
            "three true cameras off one line to fit on": (
                self.fitted_on == "pixels" or _span_a_plane(poses)
            ),
            "observed space": self.region != "observed" or target.observed,
            "crop volume": self.region != "crop" or target.crop,
            "laser scans with their poses": self.region != "beams" or target.scans,
            "tolerance": self.unit == "metre" or target.tolerance_m,
        }
        missing = next((name for name, there in needed.items() if not there), "")
        if missing == _DIGITS and target.points_world is not None:
            finest, apart = self.finest_m(target), resolution(target.points_world)
            missing += (
                f" of {label_number(finest)} m: its coordinates are {label_number(apart)} m apart"
            )
        return missing

    def _resolves(self, target: Target) -> bool:
        points = target.points_world
        return points is None or resolution(points) <= self.finest_m(target)

    def finest_m(self, target: Target) -> float:
        """The smallest threshold, in metres: what coordinates must be able to tell apart."""
        unit = 1.0 if self.unit == "metre" else target.tolerance_m or 1.0
        return unit * min(self.thresholds_m)

    def in_metres(self, target: Target) -> Self:
        """The same protocol, under the same label, with its lengths in metres."""
        if self.unit == "metre":
            return self
        if target.tolerance_m is None:
            raise ValueError("expected a tolerance of the sample, got none")
        unit = target.tolerance_m
        steps = [
            msgspec.structs.replace(
                step,
                within_m=step.within_m * unit,
                voxel_m=None if step.voxel_m is None else step.voxel_m * unit,
            )
            for step in self.scaled_icp
        ]
        return msgspec.structs.replace(
            self,
            profile=self.label,
            unit="metre",
            scaled_icp=tuple(steps),
            thresholds_m=tuple(threshold * unit for threshold in self.thresholds_m),
            voxel_m=None if self.voxel_m is None else self.voxel_m * unit,
        )


_DIGITS = "true cloud with digits for its threshold"
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(CloudProtocol)}


def _sizes(name: str, struct: msgspec.Struct) -> str:
    said = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, str):
            said += [] if value == field.default else [value]
        else:
            said.append("-" if value is None else label_number(value))
    return name + "_".join(said)


def _points(target: Target) -> tuple[object, ...]:
    return () if target.points_world is None else tuple(target.points_world[:2])


def _span_a_plane(poses: Sequence[NDArray[np.float64]]) -> bool:
    """Whether the cameras' centres fix a rotation."""
    if len(poses) < 3:
        return False
    centres = np.stack([pose[:3, 3] for pose in poses])
    spread = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
    return bool(spread[1] > 1e-5 * spread[0])
