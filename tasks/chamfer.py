"""Point clouds against scanned or exact ones: Chamfer distance, F-score, normal consistency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry import alignment, cameras, clouds, lifting
from g2vlm_bench.geometry.lifting import View
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.metrics.points import CloudDistances
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, label_number

Array = NDArray[np.float64]
Metres = Annotated[float, msgspec.Meta(gt=0)]

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
_NORMALS = {"normal_consistency": "mean |cos| between the normals of nearest points, both ways"}


class ChamferProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a cloud is brought to the truth before it is measured.

    Attributes:
        alignment: `scale` makes the median distances from the camera equal; `se3` and `sim3` are
            fitted on corresponding pixels, so they need predicted depth. Under `scale` and `sim3`
            several depth maps that given cameras lift are brought to one scale before they are
            lifted, because the cameras' distances are metric whatever the depth is.
        icp_m: Largest distance of a pair in a point-to-point ICP behind the alignment; none if
            absent.
        frame: Frame of predicted points, and of the comparison.
        camera: Whether predicted depth is lifted by the true camera or by the predicted one.
        thresholds_m: Of precision, recall and F-score.
        voxel_m: Both clouds are reduced to the means of voxels of this size.
        crop_margin_m: Predicted points farther than this outside the truth's bounding box do not
            count.
    """

    alignment: Literal["none", "scale", "se3", "sim3"] = "none"
    icp_m: Metres | None = None
    frame: Literal["first_camera", "world"] = "first_camera"
    camera: Literal["given", "predicted"] = "given"
    thresholds_m: Annotated[tuple[Metres, ...], msgspec.Meta(min_length=1)] = (0.05,)
    voxel_m: Metres | None = None
    crop_margin_m: Annotated[float, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning: a camera's distances in a world, thresholds of one name."""
        if self.alignment == "scale" and self.frame == "world":
            raise ValueError("expected alignment scale in the frame first_camera, got world")
        if len(set(map(label_number, self.thresholds_m))) < len(self.thresholds_m):
            raise ValueError(f"expected thresholds that differ, got {self.thresholds_m}")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        parts: list[str] = ["metric" if self.alignment == "none" else self.alignment]
        if self.icp_m is not None:
            parts.append(f"icp{label_number(self.icp_m)}")
        parts += [] if self.frame == "first_camera" else [self.frame]
        parts += [] if self.camera == "given" else ["predicted_camera"]
        if self.voxel_m is not None:
            parts.append(f"voxel{label_number(self.voxel_m)}")
        if self.crop_margin_m is not None:
            parts.append(f"crop{label_number(self.crop_margin_m)}")
        return "+".join(parts)

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""
        return Ambiguity.METRIC if self.alignment in ("none", "se3") else Ambiguity.SCALE

    @property
    def needs_pixels(self) -> bool:
        """Whether the alignment is fitted on corresponding pixels."""
        return self.alignment in ("se3", "sim3")

    @property
    def brings_depth_to_scale(self) -> bool:
        """Whether depth is scaled before given cameras lift it."""
        return self.camera == "given" and self.alignment in ("scale", "sim3")


@dataclass(frozen=True, slots=True, eq=False)
class _Clouds:
    """Prediction and truth in one frame.

    Attributes:
        corresponding: The true point of each predicted one, where a protocol asks for it.
        depth_scale: By which several depth maps were scaled before they were lifted.
    """

    predicted: Array
    true: Array
    corresponding: Array | None
    predicted_normals: Array | None
    true_normals: Array | None
    depth_scale: float | None = None


class Chamfer(Family):
    """Clouds, predicted as points or lifted from predicted depth."""

    known_metrics = (*_DISTANCES, *_SHARES, *_NORMALS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(ChamferProtocol)
        _check_together(definition.name, self.protocols)
        depth = {Want.DEPTH}
        if any(protocol.camera == "predicted" for protocol in self.protocols):
            depth |= {Want.INTRINSICS, Want.POSES}
        from_depth = (frozenset(depth),)
        needs_pixels = any(protocol.needs_pixels for protocol in self.protocols)
        self.wants = from_depth if needs_pixels else (frozenset({Want.POINTS}), *from_depth)
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
        points, normals = _true_cloud(target, self.protocols[0].frame)
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
        _true_cloud(target, "world")
        has_pixels = target.depth_m and target.intrinsics
        has_poses = target.world_from_camera or len(target.depth_m or ()) == 1
        if any(p.needs_pixels for p in self.protocols) and not (has_pixels and has_poses):
            raise NoTruthError("the sample has no true depth and cameras to fit se3 or sim3 on")
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


def _measure_under(
    protocol: ChamferProtocol, target: Target, prediction: Prediction, details: dict[str, Any]
) -> _Measured:
    """Bring both clouds together as the protocol says; what was fitted goes into the details."""
    both = _gather(protocol, target, prediction)
    fitted = _align(protocol, both)
    predicted, true, normals = _reduce(protocol, both, fitted)
    details["alignment"][protocol.label] = {"depth_scale": both.depth_scale, **fitted.record()}
    details["points"][protocol.label] = [len(predicted), len(true)]
    distances = point_metrics.cloud_distances(predicted, true)
    return _Measured(predicted, true, normals, distances)


def _check_together(task: str, protocols: tuple[ChamferProtocol, ...]) -> None:
    where = f"task {task}, key 'protocols'"
    if len({protocol.frame for protocol in protocols}) > 1:
        raise BenchError(
            where,
            expected="one frame, which predicted points are in",
            got="first_camera and world",
            fix="Make a task of each.",
        )
    if any(protocol.icp_m is not None for protocol in protocols):
        try:
            clouds.icp_point_to_point(np.eye(3), np.eye(3), 1.0)
        except ImportError as error:
            # Found now and not sample by sample, where it would count as the model's failure.
            raise BenchError(f"{where}, icp_m", expected="Open3D", got=error) from error


def _specs(metric: str, protocol: ChamferProtocol) -> list[MetricSpec]:
    if metric in _DISTANCES:
        unit, description = _DISTANCES[metric]
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
            best=1.0,
            worst=0.0,
            description=(_SHARES | _NORMALS)[metric],
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
        return alignment.Similarity(1.0, np.eye(3), np.zeros(3))
    pose = cameras.invert_pose(target.world_from_camera[0])
    return alignment.Similarity(1.0, pose[:3, :3], pose[:3, 3])


def _gather(protocol: ChamferProtocol, target: Target, prediction: Prediction) -> _Clouds:
    true, true_normals = _true_cloud(target, protocol.frame)
    if prediction.points is not None and not protocol.needs_pixels:
        return _Clouds(prediction.points, true, None, prediction.normals, true_normals)
    if prediction.depth is None:
        raise ValueError("expected predicted points or depth, got neither")
    views = _views(protocol, target, prediction)
    rescaled = protocol.brings_depth_to_scale and len(views) > 1
    scale = lifting.shared_depth_scale(views) if rescaled else None
    corresponding = None
    if protocol.needs_pixels:
        to_frame = _to_frame(target, protocol.frame)
        poses = target.world_from_camera or (np.eye(4),)
        corresponding = to_frame.apply(lifting.true_cloud(views, poses))
    lifted = lifting.predicted_cloud(views, scale or 1.0)
    return _Clouds(lifted, true, corresponding, None, true_normals, scale)


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


def _align(protocol: ChamferProtocol, both: _Clouds) -> alignment.Similarity:
    fitted = alignment.Similarity(1.0, np.eye(3), np.zeros(3))
    if protocol.alignment == "scale" and both.depth_scale is None:
        fitted = alignment.median_norm_scale(both.predicted, both.true)
    elif protocol.needs_pixels:
        if both.corresponding is None:
            raise ValueError(f"expected true depth to fit {protocol.alignment} on, got none")
        with_scale = protocol.alignment == "sim3"
        fitted = alignment.umeyama(both.predicted, both.corresponding, with_scale=with_scale)
    if protocol.icp_m is None:
        return fitted
    moved = fitted.apply(both.predicted)
    return fitted.then(clouds.icp_point_to_point(moved, both.true, protocol.icp_m))


def _reduce(
    protocol: ChamferProtocol, both: _Clouds, fitted: alignment.Similarity
) -> tuple[Array, Array, tuple[Array, Array] | None]:
    """Align, crop and down-sample; normals survive only where no point is merged or dropped."""
    predicted, true = fitted.apply(both.predicted), both.true
    normals = None
    if both.predicted_normals is not None and both.true_normals is not None:
        normals = fitted.apply_normals(both.predicted_normals), both.true_normals
    if protocol.crop_margin_m is not None:
        margin = protocol.crop_margin_m
        predicted = clouds.crop_box(predicted, true.min(axis=0) - margin, true.max(axis=0) + margin)
        normals = None
    if protocol.voxel_m is not None:
        predicted = clouds.voxel_downsample(predicted, protocol.voxel_m)
        true = clouds.voxel_downsample(true, protocol.voxel_m)
        normals = None
    return predicted, true, normals


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
    if metric in _SHARES:
        share = getattr(point_metrics, metric)
        names = _threshold_names(metric, protocol).items()
        return {name: share(distances, threshold) for name, threshold in names}
    if metric == "normal_consistency":
        normals = measured.normals or (
            clouds.estimate_normals(measured.predicted),
            clouds.estimate_normals(measured.true),
        )
        return {metric: point_metrics.normal_consistency(distances, *normals)}
    name, *convention = metric.split("_")
    return {metric: getattr(point_metrics, name)(distances, *convention)}
