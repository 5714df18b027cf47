"""One prediction under every protocol that applies: what the protocol alone is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import NoTruthError, TaskDefinition, load_profile

# What a reader compares first; a family's other metrics can be asked for by name.
METRICS = {
    "depth": ("abs_rel", "rmse", "delta1"),
    "chamfer": ("accuracy_mean", "completeness_mean", "chamfer_mean_l2"),
    "point_map": ("point_abs_rel", "point_error", "point_delta1"),
    "camera_pose": ("auc_30", "ate", "rpe_translation"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one protocol says of a prediction.

    Attributes:
        protocol: The protocol's label.
        values: Metric -> value, for those that are defined.
        problem: Why there is none; empty where there is.
    """

    protocol: str
    values: Mapping[str, float]
    problem: str = ""


def survey(
    plugins: Plugins,
    family: str,
    target: Target,
    prediction: Prediction,
    ambiguity: Ambiguity,
    metrics: Sequence[str] = (),
) -> list[Reading]:
    """Score one prediction under every profile that says something of its family.

    Args:
        plugins: Where profiles and families are found.
        family: Such as `depth`.
        target: The truth.
        prediction: Of the same views.
        ambiguity: Up to what the prediction is known.
        metrics: Of the family; the usual few where none is named.

    Raises:
        BenchError: No profile says anything of the family, or a metric is unknown.
    """
    profiles = [load_profile(plugins.path("profile", name)) for name in plugins.names("profile")]
    names = [profile.name for profile in profiles if family in profile.protocols]
    if not names:
        raise BenchError(f"family '{family}'", expected="a profile of it", got="none")
    wanted = list(metrics or METRICS.get(family, ()))
    if not wanted:
        raise BenchError(f"family '{family}'", expected="metrics by name", got="none")
    return [
        reading
        for name in names
        for reading in _readings(plugins, family, name, target, prediction, ambiguity, wanted)
    ]


def _readings(
    plugins: Plugins,
    family: str,
    profile: str,
    target: Target,
    prediction: Prediction,
    ambiguity: Ambiguity,
    metrics: list[str],
) -> list[Reading]:
    definition = plugins.written_out(
        TaskDefinition(
            name=f"survey/{profile}",
            version=1,
            family=family,
            data={},
            metrics=metrics,
            headline="",
            protocols=[{"profile": profile}],
        )
    )
    scorer = plugins.family(definition, check_headline=False)
    labels = list(dict.fromkeys(spec.protocol for spec in scorer.specs))
    served = {spec.protocol for spec in scorer.servable(ambiguity)}
    refused = f"refused: {ambiguity.value} predictions"
    try:
        score = scorer.score(target, prediction, ambiguity)
    except (NoTruthError, ValueError) as error:
        return [Reading(label, {}, str(error) if label in served else refused) for label in labels]
    undefined = str(score.details.get("undefined", "undefined for this prediction"))
    readings = []
    for label in labels:
        values = {
            name.partition("@")[0]: value
            for name, value in score.values.items()
            if name.partition("@")[2] == label
        }
        problem = "" if values else undefined if label in served else refused
        readings.append(Reading(label, values, problem))
    return readings
