r"""How published scorers read and count a number or a camera's change, each with its quirks.

Commits as in `letters`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping

from g2vlm_bench.protocols.counted import Counted, Rule, relative_accuracy, unread
from g2vlm_bench.protocols.tail_letter import behind_thought
from g2vlm_bench.sample import Target


def first_token_number(text: str) -> float | None:
    """VSI-Bench: the first token as Python reads a float; "1,200" and "2.5m" are no numbers."""
    try:
        return float(text.split(" ")[0].rstrip(".").strip())
    except ValueError:
        return None


_SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
]  # fmt: skip
_LARGE = {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "hundred": 100, "thousand": 1000,
}  # fmt: skip
_WORDS = {word: value for value, word in enumerate(_SMALL)} | _LARGE


def first_number(text: str) -> float | None:
    """VSI-Bench in lmms-eval: the first number in digits or words, whichever stands first.

    "1,200" is 1, "1.5e2" is 1.5, ".8" is 8 and "between 2 and 3" is 2
    (vsibench/utils.py: extract_number).
    """
    low = text.strip().lower()
    digits = _PLAIN_NUMBER.search(low)
    run: list[str] = []
    start = None
    for word in re.finditer(r"[a-z]+", low):
        if word[0] in _WORDS:
            start = word.start() if start is None else start
            run.append(word[0])
        elif start is not None and word[0] != "and":
            break
    if digits and (start is None or digits.start() < start):
        return float(digits[0])
    return _spoken(run) if run else None


_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _spoken(words: list[str]) -> float:
    total = current = 0
    for value in map(_WORDS.__getitem__, words):
        if value == 100:
            current = max(current, 1) * 100
        elif value == 1000:
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += value
    return float(total + current)


_NUMBER = r"[-+]?(?:\d*\.\d+|\d+)(?:[eE][-+]?\d+)?"
_TAGGED_NUMBER = re.compile(
    rf"<\s*answer\b[^>]*>\s*({_NUMBER})(?:[^\d<][^<]*)?<\s*/\s*answer\s*>", re.I | re.S
)
_SMALL_WORD = re.compile(rf"\b({'|'.join(_SMALL)})\b", re.I)


def last_number(text: str) -> float | None:
    """VLMEvalKit: the last number behind the thought, with words up to twenty put into digits.

    "1,200" is 200, "18-56" is -56, "6m2" is 2, "twenty-one" is -1, and of "3.5 meters (11.5 feet)"
    the feet count (matching_func.py: can_match_na).
    """
    said = text
    if text.strip().startswith("[") and text.strip().endswith("]"):
        try:
            several = ast.literal_eval(text)
        except Exception:
            return None
        said = str(several[0]) if isinstance(several, list) and several else text
    said = re.sub("[\u200b\u200c\u200d\ufeff]", "", said.strip())
    said = _SMALL_WORD.sub(lambda match: str(_WORDS[match[1].lower()]), said)
    if tagged := _TAGGED_NUMBER.search(said):
        return float(tagged[1])
    found = re.findall(_NUMBER, behind_thought(said)) or re.findall(_NUMBER, said)
    return float(found[-1]) if found else None


def spar_number(text: str, target: Target) -> float | None:
    """SPAR-Bench: the first unsigned number, the last one for several views (`_mv`).

    A minus sign is lost; without a number several views give -1 (sparbench/utils.py: process_na).
    """
    several_views = target.question_type.endswith("_mv")
    found = re.findall(r"(?<!\^)\d+\.\d+|(?<!\^)\d+", text)
    if not found:
        return -1.0 if several_views else None
    return float(found[-1 if several_views else 0])


def error_by_truth(said: float, true: float) -> float:
    """VSI-Bench: |p - t| / t; a truth below 0 makes every answer right, one of 0 stops the run.

    Raises:
        ValueError: The truth is 0.
    """
    if true == 0:
        raise ValueError("expected a truth other than 0 to divide by, got 0")
    return abs(said - true) / true


def error_or_distance(said: float, true: float) -> float:
    """SPAR-Bench and VLMEvalKit: |(p - t) / t|, and |p| where the truth is 0."""
    return abs(said - true) if true == 0 else abs((said - true) / true)


def _by_relative_accuracy(
    read: Callable[[str, Target], float | None], error: Callable[[float, float], float], how: str
) -> Rule:
    def rule(text: str, target: Target) -> Counted:
        said = read(text, target)
        if said is None:
            return unread(text, how)
        return Counted(relative_accuracy(error(said, _true(target))), said, how, "parsed")

    return rule


def _true(target: Target) -> float:
    return float(target.answer) if target.answer is not None else float("nan")


AXES = (
    ("move_right", "move_left"),
    ("move_up", "move_down"),
    ("move_forward", "move_backward"),
    ("rotate_right", "rotate_left"),
    ("rotate_up", "rotate_down"),
)


def along_axes(moves: Mapping[str, float]) -> list[float]:
    """The signed change along each of the five `AXES`."""
    return [moves.get(plus, 0.0) - moves.get(minus, 0.0) for plus, minus in AXES]


def camera_change_swapped(text: str, target: Target) -> Counted:
    """SPAR-Bench: each axis' error is relative to the answer, not to the truth.

    A key with a space before it is another key, a piece without a number loses all
    (sparbench/utils.py: compute_vci_metric, parse_instruction).
    """
    try:
        pieces = (piece.split(":") for piece in text.split(","))
        said = along_axes({key: float(value) for key, value in pieces})
    except ValueError:
        return unread(text, "a piece is no 'move:number'")
    scores = [
        relative_accuracy(error_or_distance(true, mine))
        for mine, true in zip(said, along_axes(_moves(str(target.answer))), strict=True)
    ]
    return Counted(sum(scores) / len(AXES), text, "relative to the answer", "parsed")


def camera_change_by_truth(text: str, target: Target) -> Counted:
    """VLMEvalKit: relative to the truth; pieces that cannot be read are passed over.

    So an answer without any piece is all zeros and scores on every axis that does not move
    (sparbench.py: _compute_vci_metric).
    """
    moves = _moves(text)
    scores = [
        relative_accuracy(error_or_distance(mine, true))
        for mine, true in zip(
            along_axes(moves), along_axes(_moves(str(target.answer))), strict=True
        )
    ]
    score = sum(scores) / len(AXES)
    if not moves:
        return unread(text, "nothing read counts as no change", score)
    return Counted(score, text, "relative to the truth", "parsed")


def _moves(text: str) -> dict[str, float]:
    """The pieces "move:number" of a text, others passed over."""
    moves = {}
    for piece in text.split(","):
        key, _, value = piece.strip().partition(":")
        try:
            moves[key.strip()] = float(value)
        except ValueError:
            continue
    return moves


NUMBER_RULES: dict[str, Rule] = {
    "first_token_number": _by_relative_accuracy(
        lambda text, _: first_token_number(text), error_by_truth, "first token"
    ),
    "first_number": _by_relative_accuracy(
        lambda text, _: first_number(text), error_by_truth, "first number"
    ),
    "last_number": _by_relative_accuracy(
        lambda text, _: last_number(text), error_or_distance, "last number"
    ),
    "spar_number": _by_relative_accuracy(spar_number, error_or_distance, "SPAR's number"),
}
CAMERA_CHANGE_RULES: dict[str, Rule] = {
    "camera_change_swapped": camera_change_swapped,
    "camera_change_by_truth": camera_change_by_truth,
}
