"""Point clouds against scanned or exact ones: Chamfer distance, F-score, normal consistency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry import fusion
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.protocols.clouds import SCALE_METRIC, CloudProtocol
from g2vlm_bench.protocols.clouds_gathering import TrueCloud
from g2vlm_bench.protocols.clouds_measuring import Measured, measure
from g2vlm_bench.protocols.serving import served_specs
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, TaskDefinition, label_number

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
    SCALE_METRIC: "|m_p - m_g| / m_g of the mean distances from the first camera, before the fit",
}
_PAIR_ERRORS = ("point_abs_rel", SCALE_METRIC)


class Chamfer(Family):
    """Clouds, predicted as points or lifted from predicted depth."""

    known_metrics = (*_DISTANCES, *_SHARES, *_NORMALS, *_CURVE, *_PAIRS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(CloudProtocol)
        _check_together(definition, self.protocols)
        self.wants = _wants(self.protocols)
        self.specs = tuple(
            spec
            for protocol in self.protocols
            for metric in self.metrics_under(protocol)
            for spec in _specs(metric, protocol)
        )

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open.

        Of one without metres its scale is no error, whatever the protocol forgives.
        """
        served = served_specs(self.specs, self.protocols, ambiguity)
        return tuple(spec for spec in served if _tells(spec.name.partition("@")[0], ambiguity))

    def truth(self, target: Target) -> Prediction:
        """The true cloud, and the depth it was lifted from where there is one."""
        cloud = self._true_cloud(target)
        if cloud is None and not all(protocol.needs_depth for protocol in self.protocols):
            raise NoTruthError("the sample has no true cloud")
        return Prediction(
            points=None if cloud is None else cloud.points,
            normals=None if cloud is None else cloud.normals,
            depth=target.depth_m,
            intrinsics=target.intrinsics,
            world_from_camera=target.world_from_camera,
            ambiguity=Ambiguity.METRIC,
        )

    def weights(self, target: Target) -> Mapping[str, float]:
        """None: every sample with the truth that the protocols need counts alike."""
        for protocol in self.protocols:
            if lacking := protocol.lacks(target):
                raise NoTruthError(f"the sample has no {lacking}")
        return {}

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}, "points": {}}
        undefined: list[str] = []
        true = self._true_cloud(target)
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            try:
                sized = protocol.in_metres(target)
                measured = measure(sized, target, prediction, true)
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            details["alignment"][protocol.label] = measured.alignment
            details["points"][protocol.label] = [len(measured.predicted), len(measured.true)]
            for metric in self.metrics_under(protocol):
                if not _tells(metric, ambiguity):
                    continue
                names = _threshold_names(metric, protocol)
                shares = dict(zip(names, sized.thresholds_m, strict=True))
                values |= _values(metric, sized, measured, shares, undefined)
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)

    def _true_cloud(self, target: Target) -> TrueCloud | None:
        if target.points_world is None or len(target.points_world) < 2:
            return None
        return TrueCloud.of(target, self.protocols[0].frame)


def _tells(metric: str, ambiguity: Ambiguity | None) -> bool:
    """Whether a metric says anything of a prediction that is known up to so much."""
    return metric != SCALE_METRIC or ambiguity is Ambiguity.METRIC


def _wants(protocols: tuple[CloudProtocol, ...]) -> tuple[frozenset[Want], ...]:
    """Say what a model may predict: points if all protocols take them, or depth."""
    points, depth = {Want.POINTS}, {Want.DEPTH}
    if any(protocol.camera == "predicted" for protocol in protocols):
        depth |= {Want.INTRINSICS, Want.POSES}
    if any(protocol.fitted_on == "cameras" for protocol in protocols):
        points, depth = points | {Want.POSES}, depth | {Want.POSES}
    if any(protocol.needs_depth for protocol in protocols):
        return (frozenset(depth),)
    return frozenset(points), frozenset(depth)


def _check_together(definition: TaskDefinition, protocols: tuple[CloudProtocol, ...]) -> None:
    where = f"task {definition.name}, key 'protocols'"
    if len({protocol.frame for protocol in protocols}) > 1:
        raise BenchError(
            where,
            expected="one frame, which predicted points are in",
            got="first_camera and world",
            fix="Make a task of each.",
        )
    of_clouds = [protocol for protocol in protocols if protocol.truth != "pixels"]
    for metric in _PAIRS.keys() & definition.metrics:
        if any(protocol.defines(metric) for protocol in of_clouds):
            raise BenchError(where, expected=f"truth: pixels, for {metric}", got="truth: cloud")
    if any(protocol.fusion is not None for protocol in protocols):
        try:
            fusion.require_open3d()
        except ImportError as error:
            # Found now and not sample by sample, where it would count as the model's failure.
            raise BenchError(f"{where}, fusion", expected="Open3D", got=error) from error


def _specs(metric: str, protocol: CloudProtocol) -> list[MetricSpec]:
    if metric in _DISTANCES or metric in _PAIR_ERRORS:
        unit, description = _DISTANCES.get(metric) or ("1", _PAIRS[metric])
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
    names = _threshold_names(metric, protocol) if metric in _SHARES else [metric]
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


def _threshold_names(metric: str, protocol: CloudProtocol) -> list[str]:
    unit = "m" if protocol.unit == "metre" else "tau"
    return [f"{metric}_{label_number(t)}{unit}" for t in protocol.thresholds_m]


def _values(
    metric: str,
    protocol: CloudProtocol,
    measured: Measured,
    shares: Mapping[str, float],
    undefined: list[str],
) -> dict[str, float]:
    try:
        found = _measure(metric, protocol, measured, shares)
    except ValueError as error:
        undefined.append(f"{metric}@{protocol.label}: {error}")
        return {}
    return {f"{name}@{protocol.label}": value for name, value in found.items()}


def _measure(
    metric: str, protocol: CloudProtocol, measured: Measured, shares: Mapping[str, float]
) -> dict[str, float]:
    distances = measured.distances
    if metric == SCALE_METRIC:
        return {metric: point_metrics.scale_error(*measured.unaligned)}
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
        return {name: measured.share(metric, threshold) for name, threshold in shares.items()}
    if protocol.drop_beyond_m is not None:
        distances = point_metrics.without_outliers(distances, protocol.drop_beyond_m)
    name, *convention = metric.split("_")
    return {metric: getattr(point_metrics, name)(distances, *convention)}


def _pair_metric(metric: str, protocol: CloudProtocol, pair: tuple[Array, Array]) -> float:
    if metric == "point_abs_rel":
        return point_metrics.relative_error(*pair)
    return point_metrics.norm_ratio_inliers(*pair, protocol.inlier_ratio)


def _normals(metric: str, measured: Measured) -> float:
    statistic: Literal["mean", "median"] = "median" if metric.endswith("median") else "mean"
    both = point_metrics.normal_agreement(measured.distances, *measured.normals, statistic)
    if metric.startswith("normal_consistency"):
        return sum(both) / 2
    return both[0] if metric.startswith("normal_accuracy") else both[1]
