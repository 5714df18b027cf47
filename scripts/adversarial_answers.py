"""Answers that readers stumble over, and our scores of them under every profile.

Both stand in tests/protocols: the answers in adversarial_answers.yaml, and in
adversarial_scores.json the scores of the published code, written by conformance_answers.py.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.protocols.answers import QaProtocol
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.yaml_files import convert

ANSWERS = Path(__file__).parent.parent / "tests" / "protocols" / "adversarial_answers.yaml"
SCORES = ANSWERS.with_name("adversarial_scores.json")
SOURCES = ("official", "lmms_eval", "vlmevalkit")


@cache
def read_answers() -> tuple[dict[str, Target], list[tuple[str, str, float | str]]]:
    """Read the adversarial answers: targets by name; each answer with its target and score."""
    content = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
    targets = {name: target_of(fields) for name, fields in content["targets"].items()}
    answers = [
        (name, said, strict) for name, rows in content["answers"].items() for said, strict in rows
    ]
    return targets, answers


def target_of(fields: dict[str, Any]) -> Target:
    """Make a target of a YAML's fields; a region is given as top, left, bottom, right."""
    fields = dict(fields)
    if "choices" in fields:
        fields["choices"] = tuple(fields["choices"])
    if "image_size" in fields:
        fields["image_size"] = tuple(fields["image_size"])
    if "region" in fields:
        top, left, bottom, right = fields["region"]
        fields["region"] = np.zeros(fields["image_size"], bool)
        fields["region"][top:bottom, left:right] = True
    if "polygon" in fields:
        fields["polygon"] = np.array(fields["polygon"], float)
    return Target(**fields)


def profiles() -> dict[str, QaProtocol]:
    """Every published scorer that we have a profile of, by its label."""
    plugins = Plugins.find()
    found = {}
    for name in SOURCES:
        profile = load_profile(plugins.path("profile", name))
        for fields in profile.expand("spatial_qa", None, name):
            protocol = convert(fields, QaProtocol, name)
            found[protocol.label] = protocol
    return found


def ours(protocol: QaProtocol, text: str, target: Target) -> float | None:
    """Our score under a profile; None where the answer leaves the mean."""
    return protocol.count(target, Prediction(answer=text)).score
