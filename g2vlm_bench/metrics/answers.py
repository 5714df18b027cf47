"""Parsers and scores of answers: the one module to import for questions.

The parsers are `parse_choice`, `parse_yes_no`, `parse_number` and `parse_text`. The scores run from
0 (wrong) to 1 (right). A missing answer (empty, or not to be parsed) is None to them, as in
`ParsedAnswer.value`: it scores 0 and stays in the denominator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from g2vlm_bench.metrics.answer_text import (
    ParsedAnswer,
    normalise_text,
    parse_letter_order,
    parse_text,
)
from g2vlm_bench.metrics.choices import parse_choice
from g2vlm_bench.metrics.numbers import parse_number
from g2vlm_bench.metrics.places import parse_box, parse_camera_change, parse_points
from g2vlm_bench.metrics.yes_no import parse_yes_no

__all__ = [
    "ParsedAnswer",
    "box_overlap",
    "exact_choice",
    "mean_relative_accuracy",
    "normalise_text",
    "parse_box",
    "parse_camera_change",
    "parse_choice",
    "parse_letter_order",
    "parse_number",
    "parse_points",
    "parse_text",
    "parse_yes_no",
    "text_match",
    "within_tolerance",
]


def exact_choice(predicted: int | bool | None, target: int | bool) -> float:
    """Return 1 for the right option or the right yes / no, else 0.

    Args:
        predicted: index of the chosen option, True / False of a yes / no question, or None.
        target: of the same type.

    Raises:
        ValueError: for a negative index, or an index beside a yes / no.
    """
    if not isinstance(target, bool) and target < 0:
        raise ValueError(f"exact choice: expected an index from 0, got {target}")
    if predicted is None:
        return 0.0
    if isinstance(predicted, bool) is not isinstance(target, bool):
        raise ValueError(f"exact choice: expected two of a type, got {predicted!r} and {target!r}")
    return float(predicted == target)


def mean_relative_accuracy(predicted: float | None, target: float) -> float:
    """Return the fraction of thresholds C in 0.50, 0.55 ... 0.95 with |p - t| / |t| <= 1 - C.

    Numbers are compared as the decimals they are written as: 1.1 for 1 is off by exactly 0.1. A
    target of 0 has no relative error; then 0 scores 1 and all else 0.

    Raises:
        ValueError: for a number that is not finite.

    Source: Yang et al. 2024 (VSI-Bench), equation 1, with the `<=` of its code. Departure: there
    the thresholds are floats, whose rounding decides the ties.
    """
    _check_finite(predicted, target)
    if predicted is None:
        return 0.0
    true = _exact(target)
    error = abs(_exact(predicted) - true)
    if true == 0:
        return float(error == 0)
    # 1 - C runs over 1/20 ... 10/20, so the passed thresholds are the k with error <= k |t| / 20.
    return sum(20 * error <= twentieths * abs(true) for twentieths in range(1, 11)) / 10


def within_tolerance(
    predicted: float | None, target: float, relative: float = 0.0, absolute: float = 0.0
) -> float:
    """Return 1 where |p - t| <= max(relative |t|, absolute), else 0; the decimals count as written.

    Raises:
        ValueError: for a number that is not finite, or a negative tolerance.
    """
    _check_finite(predicted, target, relative, absolute)
    if relative < 0 or absolute < 0:
        raise ValueError(f"tolerance: expected 0 or more, got {relative} and {absolute}")
    if predicted is None:
        return 0.0
    true = _exact(target)
    allowed = max(_exact(relative) * abs(true), _exact(absolute))
    return float(abs(_exact(predicted) - true) <= allowed)


def text_match(predicted: str | None, accepted: Sequence[str]) -> float:
    """Return 1 where the answer equals an accepted one after `normalise_text`, else 0.

    Raises:
        ValueError: for no accepted answer, or one that is empty.
    """
    answers = [normalise_text(answer) for answer in accepted]
    if not answers or "" in answers:
        raise ValueError(
            f"text match: expected accepted answers with words, got {list(accepted)!r}"
        )
    return float(predicted is not None and normalise_text(predicted) in answers)


def box_overlap(predicted: Sequence[float] | None, target: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom); 0 for None.

    Raises:
        ValueError: for a target without an area, or a number that is not finite.
    """
    _check_finite(*target, *(predicted or ()))
    if not (len(target) == 4 and target[0] < target[2] and target[1] < target[3]):
        raise ValueError(f"box: expected left < right and top < bottom, got {tuple(target)}")
    if predicted is None:
        return 0.0
    across = min(predicted[2], target[2]) - max(predicted[0], target[0])
    down = min(predicted[3], target[3]) - max(predicted[1], target[1])
    shared = max(across, 0.0) * max(down, 0.0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (predicted, target)]
    return float(shared / (sum(areas) - shared))


def _exact(number: float) -> Fraction:
    """Return the shortest decimal that stands for the number, exactly."""
    return Fraction(repr(float(number)))


def _check_finite(*numbers: float | None) -> None:
    for number in numbers:
        if number is not None and not math.isfinite(number):
            raise ValueError(f"answer score: expected finite numbers, got {number}")
