"""One prediction under every protocol that applies: what the protocol alone is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.plugins import Plugins, load_class
from g2vlm_bench.profile import Profile, Reported, load_profile
from g2vlm_bench.progress import progress
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target
from g2vlm_bench.task import Family, Kept, NoTruthError, TaskDefinition

# What a reader compares first; a family's other metrics can be asked for by name. A profile whose
# code gives none of them shows what it gives.
METRICS = {
    "depth": ("abs_rel", "rmse", "delta1"),
    "chamfer": ("accuracy_mean", "completeness_mean", "chamfer_mean_l2"),
    "point_map": ("point_abs_rel", "point_error", "point_delta1"),
    "camera_pose": ("auc_30", "ate", "rpe_translation"),
}


# Metrics of all pairs of poses; of more poses than this the pairs take minutes and gigabytes.
# KITTI's longest sequence has 4,981 frames.
_OF_ALL_PAIRS = ("rra_", "rta_", "auc_")
MOST_POSES = 5000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one protocol says of a prediction.

    Attributes:
        protocol: The protocol's label.
        values: Metric -> value, for those that are defined.
        problem: Why there is none; empty where there is.
        warnings: What to know of the values, and why some are left out.
    """

    protocol: str
    values: Mapping[str, float]
    problem: str = ""
    warnings: tuple[str, ...] = ()


def survey(
    plugins: Plugins,
    family: str,
    target: Target,
    prediction: Prediction,
    ambiguity: Ambiguity,
    metrics: Sequence[str] = (),
    thresholds_m: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> list[Reading]:
    """Score one prediction under every protocol of every profile of its family, each for itself.

    A progress bar shows on a terminal.

    Args:
        plugins: Where profiles and families are found.
        family: Such as `depth`.
        target: The truth.
        prediction: Of the same views.
        ambiguity: Up to what the prediction is known.
        metrics: Of the family; the usual few where none is named. A profile is asked for those that
            its published code gives.
        thresholds_m: Of clouds under the profile `default`, in place of its own; published
            protocols keep theirs. F-scores are among the usual metrics then.
        notes: What to know of all values, such as how many poses were matched; it stands first
            among the warnings of each reading that has values.

    Raises:
        BenchError: No profile says anything of the family, the family has no thresholds, a metric
            is unknown or under no protocol scored, or there are more than 5,000 poses and nothing
            but metrics of all their pairs is asked for.
    """
    profiles = [load_profile(plugins.path("profile", name)) for name in plugins.names("profile")]
    protocols = [
        (profile, str(fields.get("name", "")))
        for profile in profiles
        for fields in profile.protocols.get(family, [])
    ]
    if not protocols:
        raise BenchError(f"family '{family}'", expected="a profile of it", got="none")
    if thresholds_m and family != "chamfer":
        raise BenchError("--thresholds", expected="clouds to compare", got=f"family '{family}'")
    asked = list(metrics or METRICS.get(family, ()))
    if thresholds_m and not metrics:
        asked = [*dict.fromkeys([*asked, "fscore"])]
    if not asked:
        raise BenchError(f"family '{family}'", expected="metrics by name", got="none")
    _check_known(plugins, family, asked)
    _within_reach(asked, target)
    kept, readings, refusals = Kept(), [], []
    with progress("protocols", len(protocols)) as advance:
        for profile, name in protocols:
            try:
                wanted = _wanted(profile.reported(family, name), asked, by_name=bool(metrics))
                wanted, left_out = _within_reach(wanted, target)
                scorer = _scorer(plugins, family, profile, name, wanted, thresholds_m)
            except BenchError as error:
                # What one protocol does not define, another may.
                refusals.append(error)
                label = f"{profile.name}.{name}" if name else profile.name
                said = f"expected {error.expected}, got {error.got}"
                readings.append(Reading(label, {}, said))
            else:
                scorer.kept = kept
                readings.append(_reading(scorer, target, prediction, ambiguity, notes, left_out))
            advance(1)
    if len(refusals) == len(readings):
        raise refusals[0]
    return readings


def _check_known(plugins: Plugins, family: str, metrics: Sequence[str]) -> None:
    known = load_class(plugins.path("family", family), Family).known_metrics
    for metric in metrics:
        if metric not in known:
            raise BenchError(
                f"family '{family}'",
                expected="metrics of it",
                got=f"'{metric}'",
                fix=nearest(metric, known),
            )


def _wanted(reported: Reported | None, asked: list[str], by_name: bool) -> list[str]:
    """Choose what a protocol is asked for; all that it has where its metrics are not the usual."""
    if reported is None:
        return asked
    wanted = [metric for metric in asked if metric in reported.metrics]
    if by_name and not wanted:
        expected = f"a metric that its code gives: {', '.join(reported.metrics)}"
        raise BenchError("metrics", expected=expected, got=", ".join(asked))
    return wanted or list(reported.metrics)


def _within_reach(metrics: list[str], target: Target) -> tuple[list[str], tuple[str, ...]]:
    """Leave out metrics of all pairs of more poses than can be paired, and say so."""
    count = len(target.world_from_camera or ())
    of_pairs = [metric for metric in metrics if metric.startswith(_OF_ALL_PAIRS)]
    if count <= MOST_POSES or not of_pairs:
        return metrics, ()
    names, pairs = ", ".join(of_pairs), count * (count - 1) // 2
    rest = [metric for metric in metrics if metric not in of_pairs]
    if not rest:
        raise BenchError(
            names,
            expected=f"at most {MOST_POSES:,} poses, all pairs of which are compared",
            got=f"{count:,}",
            fix="Take every n-th pose, or ask for others, such as --metrics ate.",
        )
    said = f"{names} left out: of {count:,} poses it would compare {pairs:,} pairs"
    return rest, (f"{said}; it is computed for up to {MOST_POSES:,} poses",)


def _scorer(
    plugins: Plugins,
    family: str,
    profile: Profile,
    name: str,
    metrics: list[str],
    thresholds_m: Sequence[float],
) -> Family:
    own = {"thresholds_m": list(thresholds_m)} if thresholds_m and profile.name == "default" else {}
    definition = TaskDefinition(
        name=f"survey/{profile.name}",
        version=1,
        family=family,
        data={},
        metrics=metrics,
        headline="",
        protocols=[fields | own for fields in profile.expand(family, name, profile.name)],
    )
    return plugins.family(definition, check_headline=False)


def _reading(
    scorer: Family,
    target: Target,
    prediction: Prediction,
    ambiguity: Ambiguity,
    notes: Sequence[str],
    left_out: tuple[str, ...],
) -> Reading:
    """Score under the one protocol of a family."""
    label = str(scorer.definition.protocols[0]["profile"])
    if not scorer.servable(ambiguity):
        return Reading(label, {}, f"refused: {ambiguity.value} predictions")
    try:
        weights = scorer.weights(target)
        unasked = {
            spec.name: scorer.undefined(spec.weight, target)
            for spec in scorer.specs
            if spec.weight and not weights[spec.weight]
        }
        if len(unasked) == len(scorer.specs):
            return Reading(label, {}, "; ".join(_lacking(label, unasked)))
        score = scorer.score(target, prediction, ambiguity)
    except (NoTruthError, ValueError) as error:
        return Reading(label, {}, _without(label, str(error)))
    values = {
        name.partition("@")[0]: value
        for name, value in score.values.items()
        if name not in unasked and math.isfinite(value)
    }
    said = [*_said(label, score), *_lacking(label, unasked)]
    if not values:
        return Reading(label, {}, "; ".join(said) or "undefined for this prediction")
    return Reading(label, values, warnings=(*notes, *said, *left_out))


def _said(label: str, score: SampleScore) -> list[str]:
    """What a family says besides its values."""
    details = score.details
    return [
        _without(label, str(details[key])) for key in ("undefined", "warning") if key in details
    ]


def _lacking(label: str, unasked: Mapping[str, str]) -> list[str]:
    """Which metrics the truth leaves undefined, a line a reason."""
    said = []
    for why in dict.fromkeys(unasked.values()):
        names = ", ".join(sorted(name for name, reason in unasked.items() if reason == why))
        said.append(_without(label, f"{names} undefined: {why}"))
    return said


def _without(label: str, text: str) -> str:
    """Take the protocol's own label out of what it says, so that equal reasons read alike."""
    for part in (f"@{label}", f"{label}: ", f" under {label}"):
        text = text.replace(part, "")
    return text
