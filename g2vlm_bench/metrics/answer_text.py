r"""Strict reading of a model's answer text: what it clearly says, or nothing.

The rules, shared by all parsers:

- After a reasoning block (`<think>...</think>`) only the rest counts; a block that never ends
  leaves nothing.
- Where the text marks its answer (`Answer: ...`, `the answer is ...`, `<answer>...</answer>`,
  `\boxed{...}`), only what is marked counts.
- Two clear statements that differ make the text unparsed. There is no default answer.

The parsers stand here, in `choices.py` and in `numbers.py`. Profiles that reproduce a benchmark's
own parser, quirks included, belong beside them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Value = TypeVar("Value")
Status = Literal["parsed", "unparsed", "empty"]


@dataclass(frozen=True)
class ParsedAnswer(Generic[Value]):
    """What a parser understood.

    Attributes:
        value: option index, truth value, number or text; None unless the status is `parsed`.
        status: `parsed`, `unparsed` (text without one clear answer), or `empty` (no text).
        how: the rule that decided, for the record.
        unit: of a number, as its usual symbol ("m", "cm", "%"); "" where none was written.
    """

    value: Value | None
    status: Status
    how: str
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse a value without the status `parsed`, and the status without a value."""
        if (self.value is not None) != (self.status == "parsed"):
            raise ValueError(
                f"parsed answer: expected a value exactly where the status is parsed, got {self!r}"
            )


ARTICLES = frozenset({"a", "an", "the"})


def normalise_text(text: str, articles: frozenset[str] = ARTICLES) -> str:
    """Return the text in lower case without punctuation, articles and extra space.

    Unicode is folded (NFKC); points inside numbers and the sign before them stay. Articles stay
    where nothing else is left, so that an option "A" keeps its name.

    >>> normalise_text("  The Red-Box, on/above: 2.5 m. ")
    'red box on above 2.5 m'
    """
    folded = unicodedata.normalize("NFKC", text).replace("\u2212", "-").casefold()
    folded = re.sub(r"(?<=\w)['\u2019](?=\w)", "", folded)
    words = re.sub(r"(?<!\d)\.|\.(?!\d)|(?<!\S)-(?!\d)|(?<=\S)-|[^\w\s.-]|_", " ", folded).split()
    kept = [word for word in words if word not in articles]
    return " ".join(kept or words)


_REASONING = r"think|thinking|reasoning|thought"
_BLOCK_END = re.compile(rf"</(?:{_REASONING})>", re.I)
_BLOCK_START = re.compile(rf"<(?:{_REASONING})>", re.I)
# The body stops at the next opening tag, or a text of opening tags alone takes quadratic time.
_TAGGED = re.compile(
    r"<(answer|ans)>((?:(?!<\1>).)*?)</\1>|\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}", re.I | re.S
)
_MARKER = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice))\W{0,4}"
    r"(?:is|would be|should be|must be|:|=)(?!\w)[\s:*_`\"']*",
    re.I,
)
DECORATION = " \t\n*_`\"'#>\u201c\u201d\u2018\u2019"


def after_reasoning(text: str) -> str:
    """Return what follows the last reasoning block, stripped; "" where that block never ends.

    A closing tag without an opening one counts too: chat templates often write the opening tag.
    """
    rest = _BLOCK_END.split(text)[-1]
    return "" if _BLOCK_START.search(rest) else rest.strip()


def _marked_fragments(text: str) -> list[str]:
    """Return what the text marks as its answer: tags and boxes, else "answer is" phrases."""
    tagged = [(tag_body or box).strip() for _, tag_body, box in _TAGGED.findall(text)]
    if tagged:
        return [re.sub(r"\\text\{([^{}]*)\}", r"\1", fragment) for fragment in tagged]
    markers = list(_MARKER.finditer(text))
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    return [
        text[marker.end() : end].split("\n")[0].strip(DECORATION)
        for marker, end in zip(markers, ends, strict=False)
    ]


def decide(
    text: str,
    read_marked: Callable[[str], set[Value]],
    read_free: Callable[[str], tuple[set[Value], str]],
) -> ParsedAnswer[Value]:
    """Apply the shared rules; a reader returns every different answer that it finds."""
    rest = after_reasoning(text)
    if not rest.strip(DECORATION):
        return ParsedAnswer(None, "empty", "no text outside the reasoning")
    fragments = _marked_fragments(rest)
    if fragments:
        found = set().union(*(read_marked(fragment) for fragment in fragments))
        how = "marked answer"
    else:
        found, how = read_free(rest)
    if len(found) == 1:
        return ParsedAnswer(found.pop(), "parsed", how)
    return ParsedAnswer(None, "unparsed", f"{how}: {'several' if found else 'no'} clear answers")


def parse_text(text: str) -> ParsedAnswer[str]:
    """Read a short free answer: what is marked as the answer, else the whole text.

    Returns:
        The text outside the reasoning, normalised by `normalise_text`.
    """
    return decide(
        text,
        lambda fragment: {normalise_text(fragment)} - {""},
        lambda rest: ({normalise_text(rest)} - {""}, "whole text"),
    )
