"""What a rule makes of one answer, and the few pieces that published rules share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from g2vlm_bench.metrics.answer_text import Status
from g2vlm_bench.sample import Target

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The floats of the benchmarks' own code: their rounding decides the ties.
_ALLOWED = 1 - np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True, slots=True)
class Counted:
    """An answer, read and counted.

    Attributes:
        score: 0 ... 1; None where the rule leaves the question out of its mean.
        read: What was read, for people; None where nothing was.
        how: The rule that decided.
        status: As in `ParsedAnswer`; a rule that scores what it could not read says `unparsed`.
    """

    score: float | None
    read: str | float | None
    how: str
    status: Status


Rule = Callable[[str, Target], Counted]


def unread(text: str, how: str, score: float | None = 0.0) -> Counted:
    """Count an answer of which nothing was read."""
    return Counted(score, None, how, "unparsed" if text.strip() else "empty")


def right_letter(target: Target) -> str:
    """The letter of the right option, in the order shown."""
    return LETTERS[target.choices.index(str(target.answer))]


def letters_of(target: Target) -> str:
    """The letters of all options."""
    return LETTERS[: len(target.choices)]


def final_answer(text: str) -> str:
    """What stands behind the thought, and of that what `<answer>` holds.

    As lmms-eval's RoboSpatial (remove_think) and its second OmniSpatial have it.
    """
    for tag in ("think", "thought"):
        text = re.sub(rf"^.*?</{tag}>", "", text, flags=re.S)
    tagged = re.search(r"<answer>(.*?)</answer>", text, re.S | re.I)
    return (tagged[1] if tagged else text).strip()


def by_letter(read: Callable[[str, Target], str | None], how: str) -> Rule:
    """Make a rule that is right where the letter read is, case included, that of the answer."""

    def rule(text: str, target: Target) -> Counted:
        letter = read(text, target)
        if letter is None:
            return unread(text, how)
        return Counted(float(letter == right_letter(target)), letter, how, "parsed")

    return rule


def relative_accuracy(error: float, *, strict: bool = False) -> float:
    """The share of the ten thresholds 0.50 ... 0.95 that a relative error meets.

    Args:
        error: |p - t| / |t|, or what a benchmark takes for it.
        strict: Compare by `<` (OST-Bench), not by `<=` (VSI-Bench).
    """
    met = error < _ALLOWED if strict else error <= _ALLOWED
    return float(met.mean())
