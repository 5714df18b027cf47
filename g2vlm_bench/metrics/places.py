"""Reading points, a box or a camera's change out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from g2vlm_bench.metrics.answer_text import ParsedAnswer, after_reasoning, marked_or_all

Scale = Literal["unit", "thousand", "pixel"]
Numbers = tuple[float, ...]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_BRACKETED = re.compile(rf"[\[(]\s*({_NUMBER}(?:[,;\s]{{1,8}}{_NUMBER})+)\s*[\])]")
_NAMED = re.compile(
    rf"[\"']?\bx\d?[\"']?\s*[:=]\s*[\"']?({_NUMBER})[\"']?\s*[,;]?\s*"
    rf"[\"']?\by\d?[\"']?\s*[:=]\s*[\"']?({_NUMBER})",
    re.I,
)
_BARE = re.compile(rf"\s*{_NUMBER}(?:[,;\s]{{1,8}}{_NUMBER})+\s*\.?\s*")


def parse_points(text: str) -> ParsedAnswer[tuple[Numbers, ...]]:
    """Read the points that a text names, in its order, each once.

    Understood are "(x, y)", "[x, y]", lists of them, "x = 0.3, y = 0.4", JSON and XML with those
    inside, and two numbers alone. Where an answer is marked, only what is marked counts. Anything
    of another length in brackets, such as a box, leaves the text unparsed.

    Returns:
        Pairs as written.

    >>> parse_points("Here: [(0.25, 0.5), (0.3, 0.5)]").value
    ((0.25, 0.5), (0.3, 0.5))
    """
    vectors = _vectors(text)
    if vectors is None:
        return ParsedAnswer(None, "empty", "no text outside the reasoning")
    if not vectors or any(len(vector) != 2 for vector in vectors):
        what = "a group that is no pair" if vectors else "no pair of numbers"
        return ParsedAnswer(None, "unparsed", what)
    return ParsedAnswer(tuple(dict.fromkeys(vectors)), "parsed", "pairs of numbers")


def parse_box(text: str) -> ParsedAnswer[Numbers]:
    """Read one box: left, top, right, bottom in one group, or two corners.

    Returns:
        Four numbers as written; unparsed where several different boxes stand there, or none whose
        right is above its left and bottom above its top.
    """
    vectors = _vectors(text)
    if vectors is None:
        return ParsedAnswer(None, "empty", "no text outside the reasoning")
    if len(vectors) == 2 and all(len(vector) == 2 for vector in vectors):
        vectors = [vectors[0] + vectors[1]]
    boxes = {vector for vector in vectors if len(vector) == 4}
    if len(boxes) != 1 or len(boxes) != len(set(vectors)):
        return ParsedAnswer(None, "unparsed", f"{len(boxes)} boxes")
    box = boxes.pop()
    if not (box[0] < box[2] and box[1] < box[3]):
        return ParsedAnswer(None, "unparsed", "a box inside out")
    return ParsedAnswer(box, "parsed", "four numbers")


def in_pixels(numbers: Sequence[float], scale: Scale, size: tuple[int, int]) -> Numbers | None:
    """Bring x, y, x, y ... from the asked scale to pixels.

    Args:
        numbers: As written.
        scale: Shares of the image, a grid of 1000, or pixels.
        size: Height and width of the image.

    Returns:
        Pixels; None where a number is beyond what the scale has, so that another was meant.
    """
    whole = {"unit": (1.0, 1.0), "thousand": (1000.0, 1000.0), "pixel": (size[1], size[0])}[scale]
    if any(not 0 <= n <= whole[i % 2] for i, n in enumerate(numbers)):
        return None
    return tuple(n / whole[i % 2] * size[1 - i % 2] for i, n in enumerate(numbers))


_MOVE = re.compile(
    rf"\b(move|rotate)[\s_-]?(right|left|up|down|forward|backward)s?\b[\"']?\s*(?:[:=]|by)?\s*"
    rf"({_NUMBER})",
    re.I,
)
_KNOWN = {
    f"{verb}_{side}"
    for verb, sides in {
        "move": ("right", "left", "up", "down", "forward", "backward"),
        "rotate": ("right", "left", "up", "down"),
    }.items()
    for side in sides
}


def parse_camera_change(text: str) -> ParsedAnswer[dict[str, float]]:
    """Read moves and turns such as "move_right: 0.3, rotate left by 12 degrees".

    Returns:
        Each named move once; unparsed where one is named with two numbers, or none is.
    """
    rest = after_reasoning(text)
    if not rest:
        return ParsedAnswer(None, "empty", "no text outside the reasoning")
    found: dict[str, float] = {}
    for verb, side, number in _MOVE.findall(marked_or_all(rest)):
        name = f"{verb}_{side}".lower()
        if name not in _KNOWN or found.setdefault(name, float(number)) != float(number):
            return ParsedAnswer(None, "unparsed", f"'{name}' is unknown or has two values")
        if not math.isfinite(found[name]):
            return ParsedAnswer(None, "unparsed", f"'{name}' is beyond all numbers")
    if not found:
        return ParsedAnswer(None, "unparsed", "no move or turn")
    return ParsedAnswer(found, "parsed", "moves and turns")


def _vectors(text: str) -> list[Numbers] | None:
    """The groups of numbers of a text, as pairs or longer; None where it says nothing."""
    plain = unicodedata.normalize("NFKC", after_reasoning(text)).replace("\u2212", "-")
    if not plain:
        return None
    where = marked_or_all(plain)
    groups = [match[1] for match in _BRACKETED.finditer(where)]
    if not groups:
        groups = [f"{x} {y}" for x, y in _NAMED.findall(where)]
    if not groups and _BARE.fullmatch(where):
        groups = [where]
    return [tuple(map(float, re.findall(_NUMBER, group))) for group in groups]
