"""Point clouds against scanned or exact ones: Chamfer distance, F-score, normal consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import alignment, cameras, clouds
from g2vlm_bench.geometry.nearest import NeighbourIndex
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.metrics.points import CloudDistances
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, label_number

Array = NDArray[np.float64]

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
            fitted on corresponding pixels, so they need predicted depth.
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
    icp_m: float | None = None
    frame: Literal["first_camera", "world"] = "first_camera"
    camera: Literal["given", "predicted"] = "given"
    thresholds_m: tuple[float, ...] = (0.05,)
    voxel_m: float | None = None
    crop_margin_m: float | None = None

    @property
    def label(self) -> str:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Clouds:
    """Prediction and truth in one frame; rows correspond where both were lifted from pixels."""

    predicted: Array
    true: Array
    corresponding: Array | None
    predicted_normals: Array | None
    true_normals: Array | None


class Chamfer(Family):
    """Clouds, predicted as points or lifted from predicted depth."""

    known_metrics = (*_DISTANCES, *_SHARES, *_NORMALS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(ChamferProtocol)
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

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}, "points": {}}
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            both = _gather(protocol, target, prediction)
            fitted = _align(protocol, both)
            predicted, true, normals = _reduce(protocol, both, fitted)
            details["alignment"][protocol.label] = fitted.record()
            details["points"][protocol.label] = [len(predicted), len(true)]
            index = NeighbourIndex(true)
            distances = point_metrics.cloud_distances(NeighbourIndex(predicted), index)
            for metric in self.definition.metrics:
                for name, value in _measure(metric, protocol, distances, predicted, true, normals):
                    values[f"{name}@{protocol.label}"] = value
        return SampleScore(values=values, details=details)


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
    predicted, corresponding = _lift(protocol, target, prediction)
    return _Clouds(predicted, true, corresponding, None, true_normals)


def _lift(
    protocol: ChamferProtocol, target: Target, prediction: Prediction
) -> tuple[Array, Array | None]:
    """Lift predicted depth into the protocol's frame, at the pixels whose true depth is known."""
    cams = prediction if protocol.camera == "predicted" else target
    if cams.intrinsics is None or prediction.depth is None:
        raise ValueError(f"expected {protocol.camera} intrinsics to lift depth by, got none")
    views = len(prediction.depth)
    poses = cams.world_from_camera or (np.eye(4),) * views
    if not len(poses) == len(cams.intrinsics) == views:
        raise ValueError(
            f"expected a camera for each of {views} depth maps, got {len(cams.intrinsics)}"
        )
    reference = poses[0] if protocol.frame == "first_camera" else np.eye(4)
    predicted, true = [], []
    for view in range(views):
        depth = prediction.depth[view]
        truth = target.depth_m[view] if target.depth_m else None
        if truth is not None and depth.shape != truth.shape:
            raise ValueError(
                f"expected a depth map of the truth's size {truth.shape}, got {depth.shape}"
            )
        valid = np.ones(depth.shape, bool) if truth is None else np.isfinite(truth)
        if not (np.isfinite(depth[valid]) & (depth[valid] > 0)).all():
            raise ValueError("expected finite positive depth to lift to points, got others")
        pose = cameras.invert_pose(reference) @ poses[view]
        lifted = cameras.unproject(depth, cams.intrinsics[view])[valid]
        predicted.append(cameras.transform(lifted, pose))
        if truth is not None and target.intrinsics is not None:
            points = cameras.unproject(truth, target.intrinsics[view])[valid]
            true_poses = target.world_from_camera or (np.eye(4),) * views
            to_frame = _to_frame(target, protocol.frame)
            true.append(to_frame.apply(cameras.transform(points, true_poses[view])))
    return np.concatenate(predicted), np.concatenate(true) if len(true) == views else None


def _align(protocol: ChamferProtocol, both: _Clouds) -> alignment.Similarity:
    fitted = alignment.Similarity(1.0, np.eye(3), np.zeros(3))
    if protocol.alignment == "scale":
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


def _measure(
    metric: str,
    protocol: ChamferProtocol,
    distances: CloudDistances,
    predicted: Array,
    true: Array,
    normals: tuple[Array, Array] | None,
) -> list[tuple[str, float]]:
    if metric in _SHARES:
        share = getattr(point_metrics, metric)
        names = _threshold_names(metric, protocol).items()
        return [(name, share(distances, threshold)) for name, threshold in names]
    if metric == "normal_consistency":
        if normals is None:
            normals = clouds.estimate_normals(predicted), clouds.estimate_normals(true)
        return [(metric, point_metrics.normal_consistency(distances, *normals))]
    name, *convention = metric.split("_")
    return [(metric, getattr(point_metrics, name)(distances, *convention))]
