"""Questions said otherwise than the world says them, so that their sense is learnt, not their form.

The world words a kind of question in a handful of ways, and asks half of the test split's in ways
that no other split has. A model that learns from thousands of scenes knows the handful by heart.
Here a question's clauses change places, its alternatives take turns, words give way to others of
the same sense, and what is asked is asked as something that might be true. The answer stays.

What comes of it is never worded as only the test split's questions are: such a one stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from g2vlm_bench.world.language.phrases import Mention, all_templates

# Stands for the name of a thing while words around it move.
_NAME = "[\ue000-\ue0ff]"
_FIRST_NAME = 0xE000

# Any of a row may stand for any other, wherever it stands.
_ALIKE = (
    ("hidden", "covered"),
    ("hide", "cover"),
    ("hides", "covers"),
    ("nearer", "closer"),
    ("nearest", "closest"),
    ("larger", "bigger"),
    ("standing on", "resting on"),
    ("stands on", "rests on"),
    ("is it true that", "would you say that"),
    ("do you see", "does one see", "can one see"),
    ("more than half", "most"),
)
_VIEWS = ("seen from", "as seen from", "looking from", "from the point of view of")
_LED_BY_VIEW = re.compile(rf"^(?:{'|'.join(_VIEWS)}) ([^,:]+), (.+)$")
_ENDS_IN_VIEW = re.compile(rf"^(.+?),? (?:{'|'.join(_VIEWS)}) ([^,:]+)$")
_CLAUSE = "(?:as|compared|comparing|counting|from|if|in|looking|on the|seen|without) [^,]+"
_LED = re.compile(rf"^({_CLAUSE}), ([^,]+)$")
_ENDED = re.compile(rf"^([^,]+), ({_CLAUSE})$")
_WHERE = re.compile(r"^([^,]+) (in (?:the )?(?:\w+ )?pictures?(?: \w+)?)$")

# What is asked for, and how its parts change places; the first two words of a row do in both.
_TURNED = (
    (re.compile(r"\b(left)\b((?:(?!\bmiddle\b).){0,20}?\bor\b.{0,20}?)\b(right)\b"), r"\3\2\1"),
    (re.compile(rf"\bin front of ((?:the )?(?:{_NAME}|\w+)) or behind (it|you|itself)\b"),
     r"behind \1 or in front of \2"),
    (re.compile(r"\bin front of or behind\b"), "behind or in front of"),
    (re.compile(r"\bin front or behind\b"), "behind or in front"),
    (re.compile(r"\bforward or backward\b"), "backward or forward"),
)  # fmt: skip
_TRUE = re.compile(rf"^(?:is it true that|would you say that) the ({_NAME}) is (.+)$")
_ASKED = re.compile(rf"^is the ({_NAME}) (.+)$")
_TAKEN = re.compile(rf"\bone took the ({_NAME}) away\b")
_TAKEN_AWAY = re.compile(rf"\bthe ({_NAME}) were taken away\b")


def reword(
    text: str, mentions: Sequence[Mention], rng: np.random.Generator
) -> tuple[str, tuple[Mention, ...]]:
    """Say a question otherwise.

    Args:
        text: One of the world's questions.
        mentions: Where it names things; they keep their names.
        rng: Decides what changes; often nothing does.

    Returns:
        The question, and where it names them now, from left to right.
    """
    marked, names = _marked(text, mentions)
    if not marked.endswith("?") or any(sign in marked[:-1] for sign in "?.("):
        return text, tuple(mentions)
    said = _otherwise(marked[0].lower() + marked[1:-1], rng)
    if _is_held_out(said):
        return text, tuple(mentions)
    return _named(said[0].upper() + said[1:] + "?", names)


def _otherwise(question: str, rng: np.random.Generator) -> str:
    question, clause = _parted(question, rng)
    for change in (_truth, _turned, _taken, _alike):
        question = change(question, rng)
    if not clause:
        return question
    clause = _alike(clause, rng)
    return f"{clause}, {question}" if rng.random() < 0.5 else f"{question}, {clause}"


def _parted(question: str, rng: np.random.Generator) -> tuple[str, str]:
    """The question, and the clause that may stand in front of it or behind it."""
    view = ""
    if found := _LED_BY_VIEW.match(question):
        view, question = found.groups()
    elif found := _ENDS_IN_VIEW.match(question):
        question, view = found.groups()
    if view:
        # The eye of a thing itself is not another's.
        ways = _VIEWS[3:] if view.endswith("itself") else _VIEWS
        return question, f"{ways[rng.integers(len(ways))]} {view}"
    if found := _LED.match(question):
        return found[2], found[1]
    if found := _ENDED.match(question) or _WHERE.match(question):
        return found[1], found[2]
    return question, ""


def _truth(question: str, rng: np.random.Generator) -> str:
    """Ask whether it is so, or whether it is true that it is so."""
    if " or " in question:
        return question
    if found := _TRUE.match(question):
        return f"is the {found[1]} {found[2]}" if rng.random() < 0.5 else question
    if (found := _ASKED.match(question)) and rng.random() < 0.5:
        return f"is it true that the {found[1]} is {found[2]}"
    if question.startswith("is there ") and rng.random() < 0.5:
        return f"is it true that there is {question.removeprefix('is there ')}"
    return question


def _turned(question: str, rng: np.random.Generator) -> str:
    """Name the other alternative first."""
    for pattern, turned in _TURNED:
        if rng.random() < 0.5:
            question = pattern.sub(turned, question)
    return question


def _taken(question: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return question
    if _TAKEN.search(question):
        return _TAKEN.sub(r"the \1 were taken away", question)
    return _TAKEN_AWAY.sub(r"one took the \1 away", question)


def _alike(text: str, rng: np.random.Generator) -> str:
    """Other words of the same sense."""
    for pattern, row in _patterns():

        def other(_: re.Match[str], row: tuple[str, ...] = row) -> str:
            return row[rng.integers(len(row))]

        text = pattern.sub(other, text)
    return text


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    return [(re.compile(rf"\b(?:{'|'.join(row)})\b"), row) for row in _ALIKE]


# ------------------------------------------------------------------------------- names and filter


def _marked(text: str, mentions: Sequence[Mention]) -> tuple[str, list[tuple[str, list[int]]]]:
    """The text with a sign for each name, and the names with the bodies that each means."""
    bodies: dict[tuple[int, int], list[int]] = {}
    for mention in mentions:
        bodies.setdefault((mention.start, mention.end), []).append(mention.body)
    names: list[tuple[str, list[int]]] = []
    parts: list[str] = []
    done = 0
    for (start, end), meant in sorted(bodies.items()):
        parts += [text[done:start], chr(_FIRST_NAME + len(names))]
        names.append((text[start:end], meant))
        done = end
    return "".join([*parts, text[done:]]), names


def _named(marked: str, names: Sequence[tuple[str, list[int]]]) -> tuple[str, tuple[Mention, ...]]:
    text, mentions = "", []
    for sign in marked:
        place = ord(sign) - _FIRST_NAME
        if not 0 <= place < len(names):
            text += sign
            continue
        name, bodies = names[place]
        mentions += [Mention(body, len(text), len(text) + len(name)) for body in bodies]
        text += name
    return text, tuple(mentions)


def _is_held_out(marked: str) -> bool:
    """Whether only the test split words a question so, whatever fills the places of names."""
    return _held_out().fullmatch(_plain(marked)) is not None


@lru_cache(maxsize=1)
def _held_out() -> re.Pattern[str]:
    ways = []
    for templates in all_templates().values():
        for template in templates.held_out:
            # A slot takes anything, `not` and nothing among it.
            words = (_plain(part) for part in re.split(r"\{\w+\}", template))
            ways.append(" ?.* ?".join(map(re.escape, words)))
    return re.compile("|".join(ways))


def _plain(text: str) -> str:
    """Words alone: neither signs nor case tell wordings apart."""
    return " ".join(re.findall(rf"[\w{_NAME[1:-1]}]+", text.lower()))
