"""How OST-Bench's scorers read and count choices and numbers, each with its quirks.

Written from OST-Bench d393d393 (evaluation/OST_evaluator.py) and VLMEvalKit e8e78f05
(ost_bench.py).
"""

from __future__ import annotations

from collections.abc import Callable

from g2vlm_bench.metrics.answer_text import Status
from g2vlm_bench.protocols.counted import Counted, Rule, unread
from g2vlm_bench.sample import Target

_COUNTS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def _longest_common_subsequence(one: str, two: str) -> int:
    """The length of the longest common subsequence, by Hyyro's bit vectors."""
    places: dict[str, int] = {}
    for index, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << index
    open_places = all_places = (1 << len(one)) - 1
    for character in two:
        here = open_places & places.get(character, 0)
        open_places = (open_places + here | open_places - here) & all_places
    return len(one) - open_places.bit_count()


def ost_judgement(text: str, target: Target) -> Counted:
    """OST-Bench: the option that shares the longest subsequence of characters, the first of equals.

    So " " gets full marks where the first option is right, and a longer option attracts answers. An
    empty answer leaves the mean (evaluation/OST_evaluator.py: Judgement_evalution).
    """
    if not text:
        return unread(text, "left out of the mean", None)
    said = ost_answer(text).strip().lower()
    shared = [_longest_common_subsequence(said, name.strip().lower()) for name in target.choices]
    chosen = target.choices[shared.index(max(shared))]
    how = "longest common subsequence"
    status: Status = "parsed" if text.strip() else "empty"
    return Counted(float(chosen == target.answer), chosen, how, status)


def ost_judgement_unless_failed(text: str, target: Target) -> Counted:
    """OST-Bench in VLMEvalKit: the same, but answers that hold "Failed" leave the mean, too."""
    if "Failed" in text:
        return unread(text, "left out of the mean", None)
    return ost_judgement(text, target)


def ost_answer(text: str) -> str:
    """What OST-Bench takes for the answer in "answer: ..., reason: ..."; all where one is missing.

    Source: evaluation/OST_evaluator.py: process_answer.
    """
    plain = text.replace("'", '"')
    if "reason" not in plain or "answer" not in plain:
        return plain.strip('"')
    for key, end in (('"answer":', '"reason"'), ("answer:", "reason")):
        if key in plain:
            said = plain.split(key)[1].split(end)[0].split("\n")[0]
            return said.strip().strip(",").strip().strip('"')
    return ""


def _ost_number(whole: Callable[[str], int], left_out: str = "") -> Rule:
    """OST-Bench: estimates by `<`, counts and places in time by equality of whole numbers.

    An estimate must be a bare number. In a count any of "zero" ... "ten" is found first, in the
    order of their values and inside words, too: "someone" is 1. An empty answer leaves the mean.
    """

    def rule(text: str, target: Target) -> Counted:
        if not text or (left_out and left_out in text):
            return unread(text, "left out of the mean", None)
        said, true = ost_answer(text), float(target.answer or 0)
        if "Estimation" in target.question_type or "float" in target.question_type:
            return _ost_estimate(said, true)
        word = next((word for word in _COUNTS if word in said.lower()), None)
        try:
            count = whole(said) if word is None else _COUNTS.index(word)
        except (ValueError, OverflowError):
            return unread(text, "whole number")
        return Counted(float(count == int(true)), count, "whole number", "parsed")

    return rule


def _ost_estimate(said: str, true: float) -> Counted:
    if true == 0:
        raise ValueError("expected a truth other than 0 to divide by, got 0")
    try:
        number = float(said)
    except ValueError:
        return unread(said, "bare number")
    # Thresholds and tenths are the sums of that code: 0.1 + 0.1 + 0.1 is above 0.3.
    error = abs(true - number) / abs(true)
    met = sum(int(error < 1 - (0.5 + 0.05 * step)) for step in range(10))
    return Counted(0.1 * met, number, "bare number, by <", "parsed")


OST_LETTER_RULES: dict[str, Rule] = {
    "ost_judgement": ost_judgement,
    "ost_judgement_unless_failed": ost_judgement_unless_failed,
}
OST_NUMBER_RULES: dict[str, Rule] = {
    "ost_number": _ost_number(lambda said: int(float(said))),
    "ost_number_unless_failed": _ost_number(int, left_out="Failed"),
}
