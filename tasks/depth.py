"""Depth maps against true depth: ratio and error metrics under named alignments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics.depth import DELTA_AUC_BEST
from g2vlm_bench.protocols.depth import DepthProtocol
from g2vlm_bench.protocols.depth_measuring import (
    SOMETIMES_UNDEFINED,
    Measured,
    edge_radius,
    is_defined,
)
from g2vlm_bench.protocols.depth_truth import Truth
from g2vlm_bench.protocols.depth_views import Pairing, record_of
from g2vlm_bench.protocols.serving import served_specs
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, TaskDefinition

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
    "median_log": ("1", False, 0.0, None, "|median of ln d - ln g| (UniDepth; not times 100)"),
    "i_rmse": ("1/m", False, 0.0, None, "root of the mean (1/d - 1/g)^2, image by image"),
    "delta1": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25"),
    "delta2": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^2"),
    "delta3": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.25^3"),
    "inlier_1.03": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.03"),
    "inlier_1.05": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.05"),
    "inlier_1.10": ("1", True, 1.0, 0.0, "share of pixels with max(d/g, g/d) < 1.10"),
    "delta_auc": (
        "1", True, DELTA_AUC_BEST, 0.0, "area below the share of ratios < 1.25^e"
    ),
    "temporal_flicker": (
        "1", False, 0.0, None, "mean change of ln d - ln g at a pixel from frame to frame"
    ),
    "tgm": (
        "m", False, 0.0, None, "how far the mean change from frame to frame is from the truth's"
    ),
    "tae": (
        "1", False, 0.0, None, "misfit of frames moved by the true cameras, beside the truth's"
    ),
    "tae_published": (
        "1", False, 0.0, None, "misfit of frames moved by the true cameras (Video Depth Anything)"
    ),
    "boundary_f1_r1": ("1", True, 1.0, 0.0, "F1 of depth edges between neighbours (Depth Pro)"),
    "boundary_f1_r2": ("1", True, 1.0, 0.0, "F1 of depth edges within 2 pixels (MoGe)"),
    "boundary_f1_r3": ("1", True, 1.0, 0.0, "F1 of depth edges within 3 pixels (MoGe)"),
}  # fmt: skip


class Depth(Family):
    """Depth of one view or several, which share one alignment unless a protocol says otherwise."""

    known_metrics = tuple(_METRICS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(DepthProtocol)
        self.wants = (frozenset({Want.DEPTH}),)
        self.specs = tuple(
            _spec(metric, protocol)
            for protocol in self.protocols
            for metric in self.metrics_under(protocol)
        )
        self._radius = edge_radius(definition.metrics)
        self._last: tuple[Target, Truth] | None = None

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics under protocols that forgive what the prediction leaves open."""
        return served_specs(self.specs, self.protocols, ambiguity)

    def truth(self, target: Target) -> Prediction:
        """The true depth, a constant where there is none: it is never measured there."""
        depths = self._truth(target).depths
        return Prediction(
            depth=tuple(np.where(np.isfinite(d), d, np.float32(1.0)) for d in depths),
            ambiguity=Ambiguity.METRIC,
        )

    def weights(self, target: Target) -> Mapping[str, float]:
        """Valid pixels under each protocol that weighs by them, and what is left out."""
        truth = self._truth(target)
        found: dict[str, float] = {}
        for protocol in self.protocols:
            count = truth.count(protocol)
            if count == 0:
                raise NoTruthError(f"no valid true depth under {protocol.label}")
            if protocol.weight is not None:
                found[protocol.weight] = float(count)
            weight = count if protocol.mean == "pixel" else 1
            for metric in SOMETIMES_UNDEFINED.keys() & self.metrics_under(protocol):
                asked = is_defined(metric, truth, protocol, self._radius)
                found[f"{metric}@{protocol.label}"] = float(weight * asked)
        return found

    def undefined(self, key: str, target: Target) -> str:
        """What the truth lacks for a metric whose weight is 0."""
        return SOMETIMES_UNDEFINED[key.partition("@")[0]]

    def truth_falls_short(self, spec: MetricSpec) -> str:
        """Why the truth does not get the best value: TAE as it is published has no zero."""
        if spec.name.startswith("tae_published@"):
            return "what one frame hides from the next counts as its error"
        return super().truth_falls_short(spec)

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Align and measure under every protocol that the prediction can serve."""
        if prediction.depth is None:
            raise ValueError("expected a predicted depth map, got none")
        pairing = Pairing(
            self._truth(target),
            prediction.depth,
            prediction.intrinsics,
            prediction.world_from_camera,
        )
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not ambiguity.can_serve(protocol.needs):
                continue
            try:
                views = pairing.aligned(protocol, ambiguity)
            except ValueError as error:
                # What one protocol cannot use is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            details["alignment"][protocol.label] = record_of(views, protocol)
            measured = Measured(views, pairing.truth, protocol, self._radius)
            for metric in self.metrics_under(protocol):
                name = f"{metric}@{protocol.label}"
                try:
                    values[name] = measured.value(metric)
                except ValueError as error:
                    undefined.append(f"{name}: {error}")
            for kind, found in measured.details.items():
                details.setdefault(kind, {})[protocol.label] = found
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)

    def _truth(self, target: Target) -> Truth:
        # Weights and score are asked of one target in turn, and need the same masks and edges.
        if self._last is None or self._last[0] is not target:
            self._last = target, Truth(target)
        return self._last[1]


def _spec(metric: str, protocol: DepthProtocol) -> MetricSpec:
    unit, higher_is_better, best, worst, description = _METRICS[metric]
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit=unit,
        higher_is_better=higher_is_better,
        best=best,
        worst=worst,
        weight=f"{metric}@{protocol.label}" if metric in SOMETIMES_UNDEFINED else protocol.weight,
        description=description,
    )
