"""Our side of conformance: a family under one protocol of a shipped profile, for any metric."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.task import Family, TaskDefinition


@cache
def family_of(family: str, profile: str, protocol: str, metrics: tuple[str, ...]) -> Family:
    """A family as a task would have it.

    Args:
        family: Its name.
        profile: The profile's name.
        protocol: Of the profile; empty where it has but one.
        metrics: Whatever the peer's functions give, which may be more than its programs report.
    """
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand(
        family, protocol or None, "a script"
    )[0]
    fields.pop("metrics", None)
    definition = TaskDefinition(
        name=f"{family}/conformance", version=1, family=family, data={},
        metrics=list(metrics), headline="", protocols=[fields],
    )  # fmt: skip
    return plugins.family(definition, check_headline=False)


def unlabelled(values: Mapping[str, float]) -> dict[str, float]:
    """Values by their metric alone."""
    return {name.partition("@")[0]: value for name, value in values.items()}
