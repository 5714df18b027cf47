"""Point maps in the camera's own frame against true ones, under named alignments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics.point_maps import CAMERA_METRICS, RAY_METRICS
from g2vlm_bench.protocols.point_map import PointMapProtocol
from g2vlm_bench.protocols.point_map_views import Pairing, Truth, lifted
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, TaskDefinition

# Name -> unit, higher is better, best, worst, description.
_METRICS: dict[str, tuple[str, bool, float, float | None, str]] = {
    "point_abs_rel": ("1", False, 0.0, None, "mean |p - g| / |g| (MoGe)"),
    "point_delta1": ("1", True, 1.0, 0.0, "share of pixels with |p - g| < 0.25 min(|p|, |g|)"),
    "point_error": ("m", False, 0.0, None, "mean |p - g| (UniDepth)"),
    "point_rmse": ("m", False, 0.0, None, "root of the mean |p - g|^2, image by image"),
    "point_inlier_1.03": ("1", True, 1.0, 0.0, "share with max(|p|/|g|, |g|/|p|) < 1.03"),
    "point_inlier_1.25": ("1", True, 1.0, 0.0, "share with max(|p|/|g|, |g|/|p|) < 1.25"),
    "local_abs_rel": ("1", False, 0.0, None, "mean |p - g| / diameter, segment by segment (MoGe)"),
    "local_delta1": ("1", True, 1.0, 0.0, "share with |p - g| < 0.25 diameter, by segment (MoGe)"),
    "ray_auc_15": ("1", True, 1.0, 0.0, "area below the share of rays right within 0.5 to 15 deg"),
    "ray_auc_20": ("1", True, 1.0, 0.0, "area below the share of rays right within 0.5 to 20 deg"),
    "ray_auc_30": ("1", True, 1.0, 0.0, "area below the share of rays right within 0.5 to 30 deg"),
    "ray_error": ("deg", False, 0.0, 180.0, "mean angle between rays of every pixel (MapAnything)"),
    "fov_x_error": ("deg", False, 0.0, 180.0, "difference of horizontal fields of view (MoGe)"),
}


class PointMap(Family):
    """The point that each pixel sees, predicted as a map, or lifted from depth by a camera."""

    known_metrics = tuple(_METRICS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(PointMapProtocol)
        self._last: tuple[Target, Truth] | None = None
        cameras = {protocol.camera for protocol in self.protocols}
        if len(cameras) > 1:
            raise BenchError(
                f"task {definition.name}, key 'protocols'",
                expected="one camera to lift predicted depth by",
                got="predicted and given",
                fix="Make a task of each.",
            )
        of_camera = [metric for metric in definition.metrics if metric in CAMERA_METRICS]
        rays = [metric for metric in definition.metrics if metric.startswith("ray")] + of_camera
        if rays and cameras == {"given"}:
            raise BenchError(
                f"task {definition.name}, key 'metrics'",
                expected="no metric of rays or cameras where the given one lifts predicted depth",
                got=f"'{rays[0]}'",
                fix="Remove it: the camera and all rays are right there.",
            )
        maps, depth = frozenset({Want.POINT_MAPS}), frozenset({Want.DEPTH})
        if of_camera:
            maps |= {Want.INTRINSICS}
        # A map of points has a camera in it, so that it cannot be lifted by the given one.
        self.wants = (depth,) if cameras == {"given"} else (maps, depth | {Want.INTRINSICS})
        self.specs = tuple(
            _spec(metric, protocol)
            for protocol in self.protocols
            for metric in self.metrics_under(protocol)
        )

    def _truth(self, target: Target) -> Truth:
        # Weights and score are asked of one target in turn, and need the same masks.
        if self._last is None or self._last[0] is not target:
            self._last = target, Truth(target)
        return self._last[1]

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open."""
        if ambiguity is None:
            return ()
        labels = {p.label for p in self.protocols if ambiguity.can_serve(p.needs)}
        return tuple(spec for spec in self.specs if spec.protocol in labels)

    def truth(self, target: Target) -> Prediction:
        """The true points, at a depth of 1 where there is none: it is never measured there."""
        truth = Truth(target)
        depth = tuple(np.where(np.isfinite(d), d, np.float32(1.0)) for d in truth.depths)
        return Prediction(
            point_maps=lifted(depth, truth.intrinsics),
            depth=depth,
            intrinsics=truth.intrinsics,
            ambiguity=Ambiguity.METRIC,
        )

    def weights(self, target: Target) -> Mapping[str, float]:
        """Whether a sample has segments; else all with enough valid pixels count alike."""
        truth = self._truth(target)
        for protocol in self.protocols:
            truth.check(protocol)
        return {
            f"segments@{protocol.label}": float(truth.has_segments(protocol))
            for protocol in self.protocols
            if protocol.scope == "segment"
        }

    def undefined(self, key: str, target: Target) -> str:
        """Segments are all that a truth may lack here."""
        return "the truth has no segment with enough valid pixels to fit"

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        pairing = Pairing(self._truth(target), prediction, ambiguity)
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            wanted = self.metrics_under(protocol)
            apart = [metric for metric in wanted if metric in {*RAY_METRICS, *CAMERA_METRICS}]
            try:
                found, record = pairing.measure(
                    protocol, [metric for metric in wanted if metric not in apart]
                )
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            details["alignment"][protocol.label] = record
            for metric in apart:
                try:
                    if metric in CAMERA_METRICS:
                        found[metric] = pairing.of_cameras(metric)
                    else:
                        found[metric] = pairing.of_rays(metric, protocol)
                except ValueError as error:
                    undefined.append(f"{metric}@{protocol.label}: {error}")
            values |= {f"{metric}@{protocol.label}": value for metric, value in found.items()}
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)


def _spec(metric: str, protocol: PointMapProtocol) -> MetricSpec:
    unit, higher_is_better, best, worst, description = _METRICS[metric]
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit=unit,
        higher_is_better=higher_is_better,
        best=best,
        worst=worst,
        weight=f"segments@{protocol.label}" if protocol.scope == "segment" else None,
        description=description,
    )
