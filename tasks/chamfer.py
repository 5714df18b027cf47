"""Point clouds against scanned or exact ones: Chamfer distance, F-score, normal consistency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry import (
    alignment,
    cameras,
    cloud_alignment,
    cloud_regions,
    clouds,
    fusion,
    lifting,
)
from g2vlm_bench.geometry.lifting import View
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.metrics.points import CloudDistances
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, label_number

Array = NDArray[np.float64]
Metres = Annotated[float, msgspec.Meta(gt=0)]
_UNMOVED = alignment.Similarity(1.0, np.eye(3), np.zeros(3))

_DISTANCES = {
    "accuracy_mean": ("m", "mean distance from the prediction to the truth"),
    "accuracy_median": ("m", "median distance from the prediction to the truth"),
    "completeness_mean": ("m", "mean distance from the truth to the prediction"),
    "completeness_median": ("m", "median distance from the truth to the prediction"),
    "chamfer_sum_l2": ("m", "accuracy + completeness, means of unsquared distances"),
    "chamfer_mean_l2": ("m", "(accuracy + completeness) / 2, means of unsquared distances"),
    "chamfer_sum_squared": ("m^2", "sum of both directions' mean squared distances"),
    "chamfer_mean_squared": ("m^2", "half the sum of both directions' mean squared distances"),
}
_SHARES = {
    "precision": "share of predicted points nearer than the threshold to the truth",
    "recall": "share of true points nearer than the threshold to the prediction",
    "fscore": "harmonic mean of precision and recall at the threshold",
}
_NORMALS = {
    "normal_consistency": "mean |cos| between the normals of nearest points, both ways",
    "normal_consistency_median": "median |cos| between the normals of nearest points, both ways",
    "normal_accuracy_mean": "mean |cos| at the true point nearest to each predicted one (NC1)",
    "normal_accuracy_median": "median |cos| at the true point nearest to each predicted one (NC1)",
    "normal_completeness_mean": "mean |cos| at the predicted point nearest to each true one (NC2)",
    "normal_completeness_median": "median |cos| at the predicted point nearest to each true (NC2)",
}
_CURVE = {"fscore_curve": "mean F-score over the curve's thresholds"}
_PAIRS = {
    "point_abs_rel": "mean |p - g| / |g| over corresponding pixels, mean over views",
    "point_inliers": "share of pixels whose distances' ratio is below the protocol's, over views",
}


class Fusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Depth maps become a surface, and the surface a cloud.

    Attributes:
        voxel_m: Edge of a voxel of the signed distance volume.
        truncation_m: How far from the surface a depth map still says something.
        max_depth_m: Farther depth is left out.
        points: Drawn from the surface.
    """

    voxel_m: Metres
    truncation_m: Metres
    max_depth_m: Metres
    points: Annotated[int, msgspec.Meta(ge=2)]


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


class ChamferProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a cloud is brought to the truth before it is measured.

    Attributes:
        alignment: `scale` makes the median distances from the camera equal, `mean_norm` the mean
            ones, `joint_median` the median z and the median spread; `se3` and the kinds of `sim3`
            are fitted on correspondences. Several depth maps that given cameras lift are first
            brought to one scale under all that undo one, because the cameras' distances are metric
            whatever the depth is.
        fitted_on: What corresponds: pixels, for which depth is predicted, or the cameras' centres.
            Centres fitted for the sake of depth under given cameras yield its scale alone.
        fitted_per: One fit for the sample, or one for each view.
        truth: The sample's cloud, or the true depth of the very pixels that were lifted.
        window_px: Only this many central rows and columns count; the fit still sees all.
        at_most_pixels: Every view is thinned to about so many pixels.
        fusion: The aligned depth maps are fused, and points drawn from the surface.
        icp_m: Largest distance of a pair in a point-to-point ICP behind the alignment; none if
            absent.
        frame: Frame of predicted points, and of the comparison.
        camera: Whether predicted depth is lifted by the true camera or by the predicted one.
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
        "none", "scale", "mean_norm", "joint_median", "se3", "sim3", "sim3_ransac", "sim3_symmetric"
    ] = "none"
    fitted_on: Literal["pixels", "cameras"] = "pixels"
    fitted_per: Literal["sample", "view"] = "sample"
    truth: Literal["cloud", "pixels"] = "cloud"
    window_px: Annotated[int, msgspec.Meta(ge=2)] | None = None
    at_most_pixels: Annotated[int, msgspec.Meta(ge=4)] | None = None
    fusion: Fusion | None = None
    icp_m: Metres | None = None
    frame: Literal["first_camera", "world"] = "first_camera"
    camera: Literal["given", "predicted"] = "given"
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
        about_camera = self.alignment in ("scale", "mean_norm", "joint_median")
        if about_camera and self.frame == "world":
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
        by_pixel = self.fitted_per == "view" or self.window_px or self.at_most_pixels
        if self.fusion is not None and (by_pixel or self.truth == "pixels"):
            raise ValueError("expected no pixels to be named where fusion merges them")
        if (self.window_px or self.at_most_pixels) and self.truth != "pixels":
            raise ValueError("expected truth pixels where only some pixels count, got cloud")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        parts: list[str] = ["metric" if self.alignment == "none" else self.alignment]
        parts += [] if self.fitted_on == "pixels" else ["on_cameras"]
        parts += [] if self.fitted_per == "sample" else ["per_view"]
        parts += [] if self.truth == "cloud" else ["pixels"]
        if self.fusion is not None:
            sizes = msgspec.structs.astuple(self.fusion)
            parts.append("tsdf" + "_".join(map(label_number, sizes)))
        parts += self._numbers("window", "window_px") + self._numbers("atmost", "at_most_pixels")
        parts += self._numbers("icp", "icp_m")
        parts += [] if self.frame == "first_camera" else [self.frame]
        parts += [] if self.camera == "given" else ["predicted_camera"]
        parts += self._numbers("voxel", "voxel_m")
        parts += [] if self.voxel_grid == "cloud" else ["world_grid"]
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

    def _numbers(self, name: str, field: str) -> list[str]:
        value = getattr(self, field)
        return [] if value is None else [f"{name}{label_number(value)}"]

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return Ambiguity.METRIC if self.alignment in ("none", "se3") else Ambiguity.SCALE

    @property
    def needs_pixels(self) -> bool:
        """Whether corresponding pixels are fitted on or compared with."""
        fits_pixels = self.alignment not in ("none", "scale") and self.fitted_on == "pixels"
        return fits_pixels or self.truth == "pixels"

    @property
    def needs_depth(self) -> bool:
        """Whether predicted points will not do."""
        return self.needs_pixels or self.fusion is not None or self.fitted_on == "cameras"

    @property
    def brings_depth_to_scale(self) -> bool:
        """Whether depth is scaled before given cameras lift it."""
        undoes_scale = self.alignment not in ("none", "se3")
        return self.camera == "given" and undoes_scale and self.fitted_on == "pixels"


@dataclass(frozen=True, slots=True, eq=False)
class _Clouds:
    """Prediction and truth in one frame.

    Attributes:
        true: None where the truth is that of the pixels.
        corresponding: The true point of each predicted one, where a protocol asks for it.
        depth_scale: By which several depth maps were scaled before they were lifted.
        views: That the prediction was lifted from.
        fitted: By the cameras, before anything else is.
    """

    predicted: Array
    true: Array | None
    corresponding: Array | None = None
    predicted_normals: Array | None = None
    true_normals: Array | None = None
    depth_scale: float | None = None
    views: tuple[View, ...] = ()
    fitted: alignment.Similarity | None = None


class Chamfer(Family):
    """Clouds, predicted as points or lifted from predicted depth."""

    known_metrics = (*_DISTANCES, *_SHARES, *_NORMALS, *_CURVE, *_PAIRS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(ChamferProtocol)
        _check_together(definition, self.protocols)
        depth = {Want.DEPTH}
        if any(protocol.camera == "predicted" for protocol in self.protocols):
            depth |= {Want.INTRINSICS, Want.POSES}
        if any(protocol.fitted_on == "cameras" for protocol in self.protocols):
            depth |= {Want.POSES}
        from_depth = (frozenset(depth),)
        needs_depth = any(protocol.needs_depth for protocol in self.protocols)
        self.wants = from_depth if needs_depth else (frozenset({Want.POINTS}), *from_depth)
        self.specs = tuple(
            spec
            for protocol in self.protocols
            for metric in definition.metrics
            for spec in _specs(metric, protocol)
        )

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open."""
        if ambiguity is None:
            return ()
        labels = {p.label for p in self.protocols if ambiguity.can_serve(p.needs)}
        return tuple(spec for spec in self.specs if spec.protocol in labels)

    def truth(self, target: Target) -> Prediction:
        """The true cloud, and the depth it was lifted from where there is one."""
        points, normals = None, None
        if target.points_world is not None and len(target.points_world) >= 2:
            points, normals = _true_cloud(target, self.protocols[0].frame)
        elif not all(protocol.needs_depth for protocol in self.protocols):
            raise NoTruthError("the sample has no true cloud")
        return Prediction(
            points=points,
            normals=normals,
            depth=target.depth_m,
            intrinsics=target.intrinsics,
            world_from_camera=target.world_from_camera,
            ambiguity=Ambiguity.METRIC,
        )

    def weights(self, target: Target) -> Mapping[str, float]:
        """None: every sample with the truth that the protocols need counts alike."""
        if any(protocol.truth == "cloud" for protocol in self.protocols):
            _true_cloud(target, "world")
        has_pixels = target.depth_m and target.intrinsics
        has_poses = target.world_from_camera or len(target.depth_m or ()) == 1
        if any(p.needs_pixels for p in self.protocols) and not (has_pixels and has_poses):
            raise NoTruthError("the sample has no true depth and cameras to fit se3 or sim3 on")
        on_cameras = any(protocol.fitted_on == "cameras" for protocol in self.protocols)
        if on_cameras and len(target.world_from_camera or ()) < 3:
            raise NoTruthError("the sample has no three true cameras to fit on")
        return {}

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}, "points": {}}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            try:
                measured = _measure_under(protocol, target, prediction, details)
                for metric in self.definition.metrics:
                    values |= _values(metric, protocol, measured, undefined)
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Two clouds as they are compared, and their distances."""

    predicted: Array
    true: Array
    normals: tuple[Array, Array] | None
    distances: CloudDistances
    pairs: tuple[tuple[Array, Array], ...] = ()


def _measure_under(
    protocol: ChamferProtocol, target: Target, prediction: Prediction, details: dict[str, Any]
) -> _Measured:
    """Bring both clouds together as the protocol says; what was fitted goes into the details."""
    both = _gather(protocol, target, prediction)
    predicted, true, record = _align(protocol, both)
    pairs = _pairs(predicted, true, both.views) if protocol.truth == "pixels" else ()
    if protocol.truth == "pixels":
        counted = _counted_pixels(protocol, both.views)
        predicted, true = predicted[counted], true[counted]
    normals = None
    if both.predicted_normals is not None and both.true_normals is not None:
        # Only predicted points have normals of their own, and those are under one fit.
        normals = both.predicted_normals @ np.transpose(record["rotation"]), both.true_normals
    if protocol.icp_m is not None:
        icp = clouds.icp_point_to_point(predicted, true, protocol.icp_m)
        predicted = icp.apply(predicted)
        normals = normals and (icp.apply_normals(normals[0]), normals[1])
        record = record | {"icp": icp.record()}
    predicted, true, merged = _reduce(protocol, predicted, true)
    details["alignment"][protocol.label] = {"depth_scale": both.depth_scale, **record}
    details["points"][protocol.label] = [len(predicted), len(true)]
    distances = point_metrics.cloud_distances(predicted, true)
    return _Measured(predicted, true, None if merged else normals, distances, pairs)


def _check_together(definition: TaskDefinition, protocols: tuple[ChamferProtocol, ...]) -> None:
    where = f"task {definition.name}, key 'protocols'"
    if len({protocol.frame for protocol in protocols}) > 1:
        raise BenchError(
            where,
            expected="one frame, which predicted points are in",
            got="first_camera and world",
            fix="Make a task of each.",
        )
    by_pixel = [metric for metric in definition.metrics if metric in _PAIRS]
    if by_pixel and any(protocol.truth != "pixels" for protocol in protocols):
        raise BenchError(where, expected=f"truth: pixels, for {by_pixel[0]}", got="truth: cloud")
    if any(protocol.fusion is not None for protocol in protocols):
        try:
            fusion.require_open3d()
        except ImportError as error:
            # Found now and not sample by sample, where it would count as the model's failure.
            raise BenchError(f"{where}, fusion", expected="Open3D", got=error) from error


def _specs(metric: str, protocol: ChamferProtocol) -> list[MetricSpec]:
    if metric in _DISTANCES or metric == "point_abs_rel":
        unit, description = (_DISTANCES | {"point_abs_rel": ("1", _PAIRS["point_abs_rel"])})[metric]
        return [
            MetricSpec(
                name=f"{metric}@{protocol.label}",
                unit=unit,
                higher_is_better=False,
                best=0.0,
                worst=None,
                description=description,
            )
        ]
    names = _threshold_names(metric, protocol) if metric in _SHARES else {metric: 0.0}
    return [
        MetricSpec(
            name=f"{name}@{protocol.label}",
            unit="1",
            higher_is_better=True,
            best=protocol.curve.best if metric in _CURVE else 1.0,
            worst=0.0,
            description=(_SHARES | _NORMALS | _CURVE | _PAIRS)[metric],
        )
        for name in names
    ]


def _threshold_names(metric: str, protocol: ChamferProtocol) -> dict[str, float]:
    return {f"{metric}_{label_number(t)}m": t for t in protocol.thresholds_m}


def _true_cloud(target: Target, frame: str) -> tuple[Array, Array | None]:
    if target.points_world is None or len(target.points_world) < 2:
        raise NoTruthError("the sample has no true cloud")
    move = _to_frame(target, frame)
    normals = target.normals_world
    return move.apply(target.points_world), None if normals is None else move.apply_normals(normals)


def _to_frame(target: Target, frame: str) -> alignment.Similarity:
    if frame == "world" or not target.world_from_camera:
        return _UNMOVED
    pose = cameras.invert_pose(target.world_from_camera[0])
    return alignment.Similarity(1.0, pose[:3, :3], pose[:3, 3])


def _gather(protocol: ChamferProtocol, target: Target, prediction: Prediction) -> _Clouds:
    true, true_normals = None, None
    if protocol.truth == "cloud":
        true, true_normals = _true_cloud(target, protocol.frame)
    if prediction.points is not None and not protocol.needs_depth:
        return _Clouds(prediction.points, true, None, prediction.normals, true_normals)
    if prediction.depth is None:
        raise ValueError("expected predicted points or depth, got neither")
    views = tuple(_views(protocol, target, prediction))
    scale, fitted = None, None
    if protocol.brings_depth_to_scale and len(views) > 1:
        scale = lifting.shared_depth_scale(views)
    if protocol.fitted_on == "cameras":
        fitted = _fit_cameras(protocol, target, prediction)
        if protocol.camera == "given":
            scale, fitted = fitted.scale, _UNMOVED
    corresponding = None
    if protocol.needs_pixels:
        to_frame = _to_frame(target, protocol.frame)
        poses = target.world_from_camera or (np.eye(4),)
        corresponding = to_frame.apply(lifting.true_cloud(views, poses))
    lifted = lifting.predicted_cloud(views, scale or 1.0)
    return _Clouds(lifted, true, corresponding, None, true_normals, scale, views, fitted)


def _fit_cameras(
    protocol: ChamferProtocol, target: Target, prediction: Prediction
) -> alignment.Similarity:
    """Fit the predicted cameras' centres to the true ones, both in the protocol's frame."""
    centres = []
    for poses in (prediction.world_from_camera or (), target.world_from_camera or ()):
        if len(poses) < 3:
            raise ValueError(f"expected three cameras to fit on at least, got {len(poses)}")
        from_world = np.eye(4) if protocol.frame == "world" else cameras.invert_pose(poses[0])
        centres.append(np.stack([(from_world @ pose)[:3, 3] for pose in poses]))
    return _fit(protocol, *centres)


def _views(protocol: ChamferProtocol, target: Target, prediction: Prediction) -> list[View]:
    cams = prediction if protocol.camera == "predicted" else target
    depths = prediction.depth or ()
    if cams.intrinsics is None:
        raise ValueError(f"expected {protocol.camera} intrinsics to lift depth by, got none")
    poses = cams.world_from_camera or ((np.eye(4),) if len(depths) == 1 else ())
    expected = len(target.depth_m or target.intrinsics or cams.intrinsics)
    counts = len(depths), len(cams.intrinsics), len(poses)
    if counts != (expected,) * 3:
        raise ValueError(
            f"expected {expected} depth maps, each with intrinsics and a pose; "
            f"got {counts[0]}, {counts[1]} and {counts[2]}"
        )
    from_world = np.eye(4) if protocol.frame == "world" else cameras.invert_pose(poses[0])
    truths = target.depth_m or (None,) * expected
    true_intrinsics = target.intrinsics or (None,) * expected
    return [
        lifting.lift(depths[i], cams.intrinsics[i], from_world @ poses[i], truths[i], matrix)
        for i, matrix in enumerate(true_intrinsics)
    ]


def _align(protocol: ChamferProtocol, both: _Clouds) -> tuple[Array, Array, dict[str, Any]]:
    """Give the prediction aligned, the truth it is compared with, and what was fitted."""
    corresponding = both.corresponding
    if protocol.needs_pixels and corresponding is None:
        raise ValueError(f"expected true depth to fit {protocol.alignment} on, got none")
    true = corresponding if protocol.truth == "pixels" else both.true
    assert true is not None
    if protocol.fitted_per == "view" and corresponding is not None:
        labels = lifting.view_numbers(both.views)
        fit = partial(_fit, protocol)
        moved, fits = cloud_alignment.align_segments(fit, both.predicted, corresponding, labels)
        return moved, true, {"views": [fitted.record() for fitted in fits.values()]}
    fitted = both.fitted or _UNMOVED
    scaled_already = both.depth_scale is not None and protocol.alignment in ("scale", "mean_norm")
    if protocol.fitted_on == "pixels" and not scaled_already:
        fitted = _fit(protocol, both.predicted, true if corresponding is None else corresponding)
    if protocol.fusion is None:
        return fitted.apply(both.predicted), true, fitted.record()
    return _fused(protocol, both, fitted), true, fitted.record()


def _fit(protocol: ChamferProtocol, source: Array, target: Array) -> alignment.Similarity:
    match protocol.alignment:
        case "none":
            return _UNMOVED
        case "scale":
            return alignment.median_norm_scale(source, target)
        case "mean_norm":
            return cloud_alignment.mean_norm_scale(source, target)
        case "joint_median":
            return cloud_alignment.joint_median(source, target)
        case "sim3_ransac":
            return cloud_alignment.umeyama_ransac(source, target, protocol.seed)
        case "sim3_symmetric":
            return cloud_alignment.symmetric_similarity(source, target)
        case _:
            return alignment.umeyama(source, target, with_scale=protocol.alignment == "sim3")


def _fused(protocol: ChamferProtocol, both: _Clouds, fitted: alignment.Similarity) -> Array:
    """Fuse the aligned depth maps and draw points from their surface."""
    assert protocol.fusion is not None
    depth_scale = both.depth_scale or 1.0
    depths = [lifting.depth_map(view, depth_scale * fitted.scale) for view in both.views]
    poses = [
        cameras.pose_matrix(fitted.rotation @ view.pose[:3, :3], fitted.apply(view.pose[:3, 3]))
        for view in both.views
    ]
    sizes = protocol.fusion
    matrices = [view.intrinsics for view in both.views]
    mesh = fusion.fuse_tsdf(
        depths, matrices, poses, sizes.voxel_m, sizes.truncation_m, sizes.max_depth_m
    )
    return fusion.sample_mesh(mesh, sizes.points, protocol.seed)


def _counted_pixels(protocol: ChamferProtocol, views: tuple[View, ...]) -> NDArray[np.bool_]:
    counted = np.ones(sum(len(view.predicted) for view in views), bool)
    if protocol.window_px is not None:
        counted &= lifting.central_window(views, protocol.window_px)
    if protocol.at_most_pixels is not None:
        counted &= lifting.at_most_pixels(views, protocol.at_most_pixels)
    return counted


def _pairs(
    predicted: Array, true: Array, views: tuple[View, ...]
) -> tuple[tuple[Array, Array], ...]:
    """Give prediction and truth of each view's pixels."""
    ends = np.cumsum([len(view.predicted) for view in views])[:-1]
    return tuple(zip(np.split(predicted, ends), np.split(true, ends), strict=True))


def _reduce(protocol: ChamferProtocol, predicted: Array, true: Array) -> tuple[Array, Array, bool]:
    """Crop, thin and down-sample; also say whether a point was merged or dropped."""
    if protocol.crop_margin_m is not None:
        margin = protocol.crop_margin_m
        predicted = clouds.crop_box(predicted, true.min(axis=0) - margin, true.max(axis=0) + margin)
    if protocol.thin_m is not None:
        predicted = cloud_regions.thin_greedily(predicted, protocol.thin_m, protocol.seed)
    if protocol.voxel_m is not None:
        means = clouds.voxel_downsample
        if protocol.voxel_grid == "world":
            means = cloud_regions.voxel_means_on_world_grid
        predicted, true = means(predicted, protocol.voxel_m), means(true, protocol.voxel_m)
    cuts = protocol.crop_margin_m, protocol.thin_m, protocol.voxel_m
    return predicted, true, any(cut is not None for cut in cuts)


def _values(
    metric: str, protocol: ChamferProtocol, measured: _Measured, undefined: list[str]
) -> dict[str, float]:
    try:
        found = _measure(metric, protocol, measured)
    except ValueError as error:
        undefined.append(f"{metric}@{protocol.label}: {error}")
        return {}
    return {f"{name}@{protocol.label}": value for name, value in found.items()}


def _measure(metric: str, protocol: ChamferProtocol, measured: _Measured) -> dict[str, float]:
    distances = measured.distances
    if metric in _PAIRS:
        return {metric: float(np.mean([_pair_metric(metric, protocol, p) for p in measured.pairs]))}
    if metric in _NORMALS:
        return {metric: _normals(metric, measured)}
    if metric in _CURVE:
        curve = protocol.curve
        thresholds = np.geomspace(curve.from_m, curve.to_m, curve.steps)
        value = point_metrics.fscore_curve(distances, thresholds, curve.squared, curve.divide_by)
        return {metric: value}
    if metric in _SHARES:
        share = getattr(point_metrics, metric)
        names = _threshold_names(metric, protocol).items()
        return {name: share(distances, threshold) for name, threshold in names}
    if protocol.drop_beyond_m is not None:
        distances = point_metrics.without_outliers(distances, protocol.drop_beyond_m)
    name, *convention = metric.split("_")
    return {metric: getattr(point_metrics, name)(distances, *convention)}


def _pair_metric(metric: str, protocol: ChamferProtocol, pair: tuple[Array, Array]) -> float:
    if metric == "point_abs_rel":
        return point_metrics.relative_error(*pair)
    return point_metrics.norm_ratio_inliers(*pair, protocol.inlier_ratio)


def _normals(metric: str, measured: _Measured) -> float:
    normals = measured.normals or (
        clouds.estimate_normals(measured.predicted),
        clouds.estimate_normals(measured.true),
    )
    statistic: Literal["mean", "median"] = "median" if metric.endswith("median") else "mean"
    one, other = point_metrics.normal_agreement(measured.distances, *normals, statistic)
    if metric.startswith("normal_consistency"):
        return (one + other) / 2
    return one if metric.startswith("normal_accuracy") else other
