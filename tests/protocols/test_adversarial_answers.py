"""Answers that readers stumble over: strict scores by hand, published ones by their own code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.profile import load_profile
from g2vlm_bench.protocols.answers import QaProtocol
from g2vlm_bench.sample import Prediction

adversarial = load_module(Path(__file__).parents[2] / "scripts" / "adversarial_answers.py")
TARGETS, ANSWERS = adversarial.read_answers()
RECORDED = json.loads(adversarial.SCORES.read_text())
PROFILES = adversarial.profiles()
MARKS = {"?": ("unparsed", 0.0), "-": ("empty", 0.0)}


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_strict_reading_is_that_of_a_careful_person(name) -> None:
    wrong = []
    for target, said, expected in ANSWERS:
        if target != name:
            continue
        counted = QaProtocol().count(TARGETS[name], Prediction(answer=said))
        status, score = MARKS.get(expected, ("parsed", expected))
        if (counted.status, counted.score) != (status, pytest.approx(score)):
            wrong.append((said, expected, counted))
    assert not wrong


@pytest.mark.parametrize("label", list(PROFILES))
def test_a_profile_scores_as_the_code_it_names(label) -> None:
    protocol = PROFILES[label]
    asked = [(t, s) for t, s, _ in ANSWERS if protocol.applies(TARGETS[t])]
    scores = [adversarial.ours(protocol, said, TARGETS[name]) for name, said in asked]
    assert scores == pytest.approx(RECORDED["scores"][label], abs=1e-12)


def test_the_file_is_large_and_recorded_at_the_profiles_commits() -> None:
    assert len(ANSWERS) >= 300
    assert set(RECORDED["scores"]) == set(PROFILES)
    for name, reference in RECORDED["peers"].items():
        path = Plugins.find().path("profile", name)
        assert load_profile(path).reference == reference


def test_no_unread_answer_is_ever_right_by_the_strict_reading() -> None:
    """Some published scorer gives marks for what says nothing; the strict reading never does."""
    unread = [(t, s) for t, s, expected in ANSWERS if expected in MARKS]
    for name, said in unread:
        assert QaProtocol().count(TARGETS[name], Prediction(answer=said)).score == 0
    rewarded = {
        (name, said)
        for name, said in unread
        for protocol in PROFILES.values()
        if protocol.applies(TARGETS[name]) and adversarial.ours(protocol, said, TARGETS[name]) == 1
    }
    assert ("left_of_4", "") in rewarded  # SPAR-Bench
    assert ("left_of_4", " ") in rewarded  # OST-Bench
    assert ("left_of_4", "I don't know") in rewarded  # OmniSpatial
