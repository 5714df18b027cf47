"""Camera poses against true ones: RRA, RTA and AUC of pairs, ATE and RPE of trajectories."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import poses as pose_metrics
from g2vlm_bench.metrics.poses import PairErrors
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition

Array = NDArray[np.float64]
Once = Callable[[Hashable, Callable[[], PairErrors]], PairErrors]

_THRESHOLDS_DEG = (3, 5, 10, 15, 30)
_PAIRS = {
    "rra": "share of pairs whose relative rotation is wrong by less than the threshold",
    "rta": "share of pairs whose baseline's direction is wrong by less than the threshold",
    "auc": "area under the share of pairs right in both angles, up to the threshold",
}
# Name -> unit, worst, description.
_TRAJECTORIES: dict[str, tuple[str, float | None, str]] = {
    "ate": ("m", None, "root mean square distance of the aligned camera positions"),
    "ate_mean": ("m", None, "mean distance of the aligned camera positions"),
    "rpe_translation": ("m", None, "root mean square translation error of motions"),
    "rpe_translation_mean": ("m", None, "mean translation error of motions"),
    "rpe_rotation": ("deg", 180.0, "root mean square rotation error of motions"),
    "rpe_rotation_mean": ("deg", 180.0, "mean rotation error of motions"),
}


class CameraPoseProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How predicted poses are brought to the true ones and compared.

    Attributes:
        alignment: Of whole trajectories for `ate` and `rpe_translation`, fitted on the camera
            positions. Angles of pairs and motions are the same under each.
        frame: Where unaligned positions are compared: with both trajectories in their first
            cameras, or in the world as predicted.
        pairs: Which pairs of cameras `rra`, `rta` and `auc` compare.
        composition: Their relative pose; see `trajectory.relative_poses`.
        direction: Whether a baseline may point the wrong way.
        zero_baseline: Whether pairs whose true cameras coincide have a direction; see
            `poses.translation_angles_deg`.
        auc: Its convention; see `poses.auc`.
        pooling: Of what pairs say: mean over sequences alike, over all pairs of all sequences, or
            of sequences within each `category` by their tags, and then over categories.
        rpe_delta: Frames between the two poses of a motion.
        rpe_overlap: Whether a motion starts at every frame, or where the last one ended.
    """

    alignment: Literal["none", "se3", "sim3"] = "none"
    frame: Literal["first_camera", "world"] = "first_camera"
    pairs: Literal["all", "consecutive"] = "all"
    composition: trajectory.Composition = "first_from_second"
    direction: pose_metrics.Direction = "signed"
    zero_baseline: pose_metrics.ZeroBaseline = "excluded"
    auc: pose_metrics.AucConvention = "area"
    pooling: Literal["sequence", "pair", "category"] = "sequence"
    rpe_delta: Annotated[int, msgspec.Meta(ge=1)] = 1
    rpe_overlap: bool = True

    def __post_init__(self) -> None:
        """Refuse what has no meaning: a frame behind an alignment, a sum that is none."""
        if self.alignment != "none" and self.frame == "world":
            raise ValueError(f"expected frame world without alignment, got {self.alignment}")
        if self.pooling == "pair" and self.auc in ("trapezoid", "mean_min"):
            raise ValueError(f"expected an auc that is a mean over pairs to pool, got {self.auc}")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name: every departure from the default is in it."""
        departures = {
            "world": self.frame == "world",
            "neighbours": self.pairs == "consecutive",
            self.composition: self.composition != "first_from_second",
            self.direction: self.direction == "sign_free",
            "zero_as_computed": self.zero_baseline == "as_computed",
            f"{self.auc}_auc": self.auc != "area",
            f"{self.pooling}_mean": self.pooling != "sequence",
            f"delta{self.rpe_delta}": self.rpe_delta != 1,
            "end_to_end": not self.rpe_overlap,
        }
        aligned = "metric" if self.alignment == "none" else self.alignment
        return "+".join([aligned, *(name for name, departs in departures.items() if departs)])


class CameraPose(Family):
    """Poses of the views of a sample, which is one sequence."""

    known_metrics = (
        *(f"{name}_{threshold}" for name in _PAIRS for threshold in _THRESHOLDS_DEG),
        *_TRAJECTORIES,
    )

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(CameraPoseProtocol)
        self.wants = (frozenset({Want.POSES}),)
        self.specs = tuple(
            _spec(metric, protocol)
            for protocol in self.protocols
            for metric in self.metrics_under(protocol)
        )

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """All but unaligned distances where poses are known up to scale, or nobody said."""
        if ambiguity is Ambiguity.METRIC:
            return self.specs
        refused = {
            f"{metric}@{protocol.label}"
            for protocol in self.protocols
            for metric in self.metrics_under(protocol)
            if _needs_metres(metric, protocol)
        }
        return tuple(spec for spec in self.specs if spec.name not in refused)

    def truth(self, target: Target) -> Prediction:
        """The true poses."""
        return Prediction(world_from_camera=tuple(_true(target)), ambiguity=Ambiguity.METRIC)

    def weights(self, target: Target) -> Mapping[str, float]:
        """How much the sequence counts: 0 where its true cameras leave a metric undefined."""
        true = _true(target)
        named = {spec.weight for spec in self.specs}
        weights: dict[str, float] = {}
        for protocol in self.protocols:
            weights |= _weights(true, protocol, f"directions@{protocol.label}" in named)
        return {name: weight for name, weight in weights.items() if name in named}

    def undefined(self, key: str, target: Target) -> str:
        """What the true cameras lack for a metric whose weight is 0."""
        kind, _, label = key.partition("@")
        protocol = next(one for one in self.protocols if one.label == label)
        true = _true(target)
        if kind == "directions":
            return "no two true cameras to compare stand apart"
        if kind != "positions" and len(true) <= protocol.rpe_delta:
            return "the true cameras are too few for a motion"
        if len(true) < 3:
            return "the true cameras are fewer than the 3 that an alignment needs"
        place = ("in one place", "in one line")[trajectory.extent_rank(true)]
        return f"the true cameras are all {place}"

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Compare under every protocol that the prediction can serve."""
        true = _true(target)
        predicted = _predicted(prediction, len(true))
        served = {spec.name for spec in self.servable(ambiguity)}
        values: dict[str, float] = {}
        details: dict[str, Any] = {"alignment": {}}
        undefined: list[str] = []

        def once(convention: Hashable, make: Callable[[], PairErrors]) -> PairErrors:
            return self.kept(target, (prediction, convention), make)

        for protocol in self.protocols:
            compared = _Comparison(protocol, predicted, true, once)
            for metric in self.metrics_under(protocol):
                name = f"{metric}@{protocol.label}"
                try:
                    values |= {name: compared.value(metric)} if name in served else {}
                except ValueError as error:
                    # What one metric cannot use is no failure under the others.
                    undefined.append(f"{name}: {error}")
            details["alignment"] |= compared.fitted
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        if trajectory.has_swapped_quaternions(predicted, true):
            details["warning"] = (
                "rotations fit the truth once their quaternions are read in another order "
                "(wxyz for xyzw, or the reverse)"
            )
        return SampleScore(values=values, details=details)


class _Comparison:
    """One prediction under one protocol; each part is computed once, when a metric asks for it."""

    def __init__(
        self, protocol: CameraPoseProtocol, predicted: Array, true: Array, once: Once
    ) -> None:
        self.protocol, self.predicted, self.true, self.once = protocol, predicted, true, once
        self.fitted: dict[str, Any] = {}

    def value(self, metric: str) -> float:
        """Compute a metric.

        Raises:
            ValueError: It is undefined of these poses.
        """
        name, _, threshold = metric.rpartition("_")
        if name == "auc":
            return pose_metrics.auc(self._pairs, int(threshold), self.protocol.auc)
        if name in _PAIRS:
            return float(getattr(pose_metrics, name)(self._pairs, int(threshold)))
        statistic: pose_metrics.Statistic = "mean" if metric.endswith("_mean") else "rmse"
        if metric.startswith("ate"):
            return pose_metrics.absolute_trajectory_error(*self._aligned, statistic)
        # Alignment turns all rotations alike, so that motions turn as they did before it.
        if metric.startswith("rpe_rotation"):
            return pose_metrics.summarise(self._motions(self.predicted)[1], statistic)
        return pose_metrics.summarise(self._motions(self._aligned[0])[0], statistic)

    @cached_property
    def _pairs(self) -> PairErrors:
        protocol = self.protocol
        convention = protocol.composition, protocol.direction, protocol.zero_baseline

        def compare() -> PairErrors:
            pairs = _pairs(len(self.true), protocol)
            return pose_metrics.pair_errors(self.predicted, self.true, pairs, *convention)

        # Few conventions serve many protocols, and all pairs of a long trajectory are millions.
        return self.once((protocol.pairs, *convention), compare)

    @cached_property
    def _aligned(self) -> tuple[Array, Array]:
        protocol = self.protocol
        if protocol.alignment == "none" and protocol.frame == "world":
            return self.predicted, self.true
        if protocol.alignment == "none":
            first = trajectory.in_first_camera
            return first(self.predicted), first(self.true)
        fitted = trajectory.align(self.predicted, self.true, protocol.alignment == "sim3")
        self.fitted[protocol.label] = fitted.record()
        return trajectory.move(self.predicted, fitted), self.true

    def _motions(self, predicted: Array) -> tuple[Array, Array]:
        protocol = self.protocol
        return pose_metrics.relative_errors(
            predicted, self.true, protocol.rpe_delta, protocol.rpe_overlap
        )


def _spec(metric: str, protocol: CameraPoseProtocol) -> MetricSpec:
    weight = _weight(metric, protocol)
    if metric in _TRAJECTORIES:
        unit, worst, description = _TRAJECTORIES[metric]
        return MetricSpec(
            name=f"{metric}@{protocol.label}",
            unit=unit,
            higher_is_better=False,
            best=0.0,
            worst=worst,
            weight=weight,
            description=description,
        )
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit="1",
        higher_is_better=True,
        best=1.0,
        worst=0.0,
        weight=weight,
        by="category" if protocol.pooling == "category" else None,
        description=_PAIRS[metric.rpartition("_")[0]],
    )


def _needs_metres(metric: str, protocol: CameraPoseProtocol) -> bool:
    measures_metres = metric.startswith(("ate", "rpe_translation"))
    return measures_metres and protocol.alignment != "sim3"


def _weight(metric: str, protocol: CameraPoseProtocol) -> str | None:
    """Name the weight of a metric; None where every sequence of two views or more counts alike."""
    name = metric.partition("_")[0]
    if metric in _TRAJECTORIES:
        turns = metric.startswith("rpe_rotation")
        kind = "turns" if turns else "positions" if name == "ate" else "motions"
        return f"{kind}@{protocol.label}"
    if name == "rta" and protocol.zero_baseline == "excluded":
        return f"directions@{protocol.label}"
    return f"pairs@{protocol.label}" if protocol.pooling == "pair" else None


def _weights(true: Array, protocol: CameraPoseProtocol, of_directions: bool) -> dict[str, float]:
    count = len(true)
    alignable = protocol.alignment == "none" or (count >= 3 and trajectory.extent_rank(true) >= 2)
    long_enough = count > protocol.rpe_delta
    weights = {
        f"pairs@{protocol.label}": float(
            count * (count - 1) // 2 if protocol.pairs == "all" else count - 1
        ),
        f"positions@{protocol.label}": float(alignable),
        f"motions@{protocol.label}": float(alignable and long_enough),
        f"turns@{protocol.label}": float(long_enough),
    }
    if of_directions:
        directions = int(pose_metrics.has_baseline(true, _pairs(count, protocol)).sum())
        by_pair = protocol.pooling == "pair"
        weights[f"directions@{protocol.label}"] = float(directions if by_pair else directions > 0)
    return weights


def _pairs(count: int, protocol: CameraPoseProtocol) -> trajectory.Pairs:
    return trajectory.all_pairs(count) if protocol.pairs == "all" else trajectory.pairs_apart(count)


def _true(target: Target) -> Array:
    if not target.world_from_camera or len(target.world_from_camera) < 2:
        raise NoTruthError("the sample has no two views with true poses")
    return trajectory.check_poses(target.world_from_camera, "true poses")


def _predicted(prediction: Prediction, count: int) -> Array:
    if prediction.world_from_camera is None:
        raise ValueError("expected a predicted pose of each view, got none")
    if len(prediction.world_from_camera) != count:
        got = len(prediction.world_from_camera)
        raise ValueError(f"expected poses of {count} views, got {got}")
    return trajectory.check_poses(prediction.world_from_camera, "predicted poses")
