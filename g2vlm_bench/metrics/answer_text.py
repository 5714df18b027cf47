r"""Strict reading of a model's answer text: what it clearly says, or nothing.

The rules, shared by all parsers:

- After a reasoning block (`<think>...</think>`) only the rest counts; a block that never ends
  leaves nothing.
- Where the text marks its answer (`Answer: ...`, `the answer is ...`, `<answer>...</answer>`,
  `\boxed{...}`), only what is marked counts.
- Two clear statements that differ make the text unparsed, and so does an answer taken back ("A.
  Wait, ..."), unless an answer is marked behind that. There is no default answer.

The parsers stand here, in `choices.py`, `yes_no.py` and `numbers.py`. Profiles that reproduce a
benchmark's own parser, quirks included, belong beside them.
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


_REASONING = r"think|thinking|reasoning|thought|analysis|rsn"
_BLOCK_END = re.compile(rf"</(?:{_REASONING})>", re.I)
_BLOCK_START = re.compile(rf"<(?:{_REASONING})>", re.I)
# The body stops at the next opening tag, or a text of opening tags alone takes quadratic time.
_TAGGED = re.compile(
    r"<(answer|ans)>(?P<tag>(?:(?!<\1>).)*?)</\1>|\\boxed\{(?P<box>(?:[^{}]|\{[^{}]*\})*)\}"
    r"|[{,]\s{0,40}(?P<quote>[\"'])(?:final[_ ]?)?answer(?P=quote)\s{0,9}:\s{0,9}"
    r"(?:\[\s{0,9}(?P<only>\"[^\"\n]*\"|'[^'\n]*')\s{0,9}\]|\{(?P<object>[^{}]{1,200})\}"
    r"|(?P<list>\[[^\"'{}\n]{1,400}\])"
    r"|(?P<json>\"[^\"\n]*\"|'[^'\n]*'|[^\"',}\]\n]+))",
    re.I | re.S,
)
_JSON_KEY = re.compile(r"[\"']\w{1,40}[\"']\s{0,9}:")
# What a tokenizer's own signs look like where they were decoded, and signs without a width.
_UNSEEN = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?s>|<(?:eos|bos|pad|(?:start|end)_of_turn)>|\[/?INST\]"
    r"|[\u00ad\u200b-\u200f\u2060\ufeff]"
)
# What LaTeX writes around and between the letters and digits that it shows.
_LATEX = (
    (re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}"), r"\1/\2"),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), ","),
    (re.compile(r"\^\{?\\circ\}?|\\degree\b"), "\u00b0"),
    (re.compile(r"\\(?:times|cdot)\b"), "\u00d7"),
    (re.compile(r"\\pm\b"), "\u00b1"),
    (re.compile(r"\\(?:approx|simeq|sim)\b"), "\u2248"),
    (re.compile(r"\\[,;:! ]|\\q?quad\b|~(?=\d)"), " "),
    (re.compile(r"\\(?=[%$])|\\[()\[\]]|\$"), ""),
)
_MARKER = re.compile(
    r"(?:\b(?:answer|ans|(?:correct|right|best)\s+(?:option|choice))\W{0,4}"
    r"(?:(?:is|would be|should be|must be)(?!\w)|[:=])|^\W{0,4}(?:option|choice)\s?[:=]"
    # In Chinese "the answer is", "choose"; in French, Spanish, Portuguese, Italian, German, Russian
    # "the answer is".
    r"|\u7b54\u6848\W{0,4}(?:\u662f|\u4e3a|\u9009\u62e9?|:)"
    r"|\u9009\u62e9?:?(?=\W{0,4}[A-Z](?![\w\u4e00-\u9fff]))"
    r"|\b(?:r\u00e9ponse|respuesta|resposta|risposta|antwort|lautet|\u043e\u0442\u0432\u0435\u0442)"
    r"(?:\s(?:correcte?|correct[ao]|corretta|final|finale))?\s?(?::|(?:est|es|ist|\u00e8|\u00e9)\b|-))"
    r"[\s:*_`\"']*(?:(?:clearly|definitely|probably|most likely|therefore|thus|indeed)\s)?[*_`\s]*",
    re.I | re.M,
)
# "I don't think the answer is B", "if the answer is B": nothing is marked there.
_NOT_MARKED = re.compile(
    r"(?:\b(?:not|never|cannot|doubt|unlikely|wrong|false|if|whether)\b|n['\u2019]t\b)[^.!?;,:\n]*$",
    re.I,
)
_BREAK = r"[\w)\]}>*_\"']\s?[.,;:!\u2026\n\u2013\u2014-]\W{0,8}"
_WAIT = (
    r"(?:(?:oh|but|no)\W{1,2})?(?:wait|hold on|hmm+|oops|sorry|correction|scratch that|i mean"
    r"|my mistake|on second thoughts?|let me (?:correct|recheck|reconsider|rethink))\b"
)
CORRECTION_OF_YES_NO = re.compile(_BREAK + _WAIT, re.I)  # there a "no" is an answer
_CORRECTION = re.compile(
    rf"{_BREAK}(?:{_WAIT}|(?:no|nope|actually)\b(?=\W*(?:[,.!;]|$|\(?[A-Z]\b)))", re.I
)
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|nothing|none|hardly|without|unlike|cannot|rather than"
    r"|instead of|(?:is|are|was|were|do|does|did|ca|wo|could|would|should)nt)"
    r"(?: (?:a|an|the|be|being|really|quite|exactly|necessarily|in|on|at|to|of|its|option))*$"
)
_DENIED_AFTER = re.compile(
    r"[\s.:)*-]{0,5}(?:(?:is|was|would be)\s*(?:n[o'\u2019]t\b|incorrect|wrong|false)"
    r"|incorrect\b|wrong\b)",
    re.I,
)
_WINDOW = 60  # characters: far enough back for every phrase above, and linear in time
DECORATION = " \t\n*_`\"'#>\u201c\u201d\u2018\u2019"


def after_reasoning(text: str) -> str:
    """Return what follows the last reasoning block, stripped; "" where that block never ends.

    A closing tag without an opening one counts too: chat templates often write the opening tag.
    A tokenizer's own signs ("<|im_end|>") and signs without a width are no text.
    """
    rest = _BLOCK_END.split(_UNSEEN.sub("", text))[-1]
    return "" if _BLOCK_START.search(rest) else rest.strip()


def without_latex(text: str) -> str:
    r"""Return the text as LaTeX would show it, `\boxed{}` aside.

    >>> print(without_latex(r"$\boxed{\frac{5}{2}\,\text{m}}$"))
    \boxed{5/2 m}
    """
    for pattern, shown in _LATEX:
        text = pattern.sub(shown, text)
    return text


def is_denied(text: str, start: int, end: int) -> bool:
    """Say whether what stands at `text[start:end]` is negated: "not B", "B is wrong"."""
    sentence = re.split(r"[.!?;\n](?=\s)", text[max(0, start - _WINDOW) : start])[-1]
    before = normalise_text(sentence, frozenset())
    return bool(NEGATION.search(before) or _DENIED_AFTER.match(text, end))


def asserted(read: Callable[[str], set[Value]], text: str) -> set[Value]:
    """Return what a reader finds, or nothing where some of it is only asked ("The box? No.")."""
    found = read(text)
    return found if "?" not in text or read(without_questions(text)) == found else set()


def without_questions(text: str) -> str:
    """Return the text without the sentences that end in a question mark: they state nothing."""
    sentences = re.split(r"(?<=[!?\n])|(?<=\.)(?=\s)", text)
    return "".join(sentence for sentence in sentences if not sentence.endswith("?"))


_BODIES = ("tag", "box", "only", "object", "list", "json")


def _marked_fragments(text: str) -> tuple[list[str], str]:
    """Return what the text marks as its answer, and the text from the last such place on.

    Tags and boxes count, else "answer is" phrases.
    """
    tagged = list(_TAGGED.finditer(text))
    if tagged:
        bodies = [next((match[group] for group in _BODIES if match[group]), "") for match in tagged]
        start = max(tagged[-1].start(group) for group in _BODIES)
        return [_JSON_KEY.sub("", body).strip(" \n\"'") for body in bodies], text[start:]
    markers = list(_MARKER.finditer(text))
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    fragments = [
        ""
        if _NOT_MARKED.search(text[max(0, marker.start() - _WINDOW) : marker.start()])
        else text[marker.end() : end].split("\n")[0].strip(DECORATION)
        for marker, end in zip(markers, ends, strict=False)
    ]
    return fragments, text[markers[-1].end() :] if markers else text


def marked_or_all(text: str) -> str:
    """Return what the text marks as its answer, or all of it where nothing is marked."""
    return "\n".join(fragment for fragment in _marked_fragments(text)[0] if fragment) or text


def decide(
    text: str,
    read_marked: Callable[[str], set[Value]],
    read_free: Callable[[str], tuple[set[Value], str]],
    correction: re.Pattern[str] = _CORRECTION,
) -> ParsedAnswer[Value]:
    """Apply the shared rules; a reader returns every different answer that it finds."""
    rest = without_latex(after_reasoning(text))
    if not rest.strip(DECORATION):
        return ParsedAnswer(None, "empty", "no text outside the reasoning")
    fragments, counted = _marked_fragments(rest)
    if correction.search(counted):
        return ParsedAnswer(None, "unparsed", "an answer is taken back")
    if len(fragments) > 1 and (taken_back := list(correction.finditer(rest))):
        fragments, _ = _marked_fragments(rest[taken_back[-1].end() :])
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


def parse_letter_order(text: str, count: int) -> ParsedAnswer[str]:
    """Read an order of the first letters: "BADC", "B, A, D, C", "B -> A -> D -> C".

    Returns:
        The letters in their order; unparsed where there is none of that many, or several differ.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]
    # With whatever separates them, or nothing.
    form = re.compile(
        rf"(?<![\w'])\(?[{letters}]\)?(?:\s?(?:,|-+>?|>|\u2192)?\s?\(?[{letters}]\)?)"
        rf"{{{count - 1}}}(?![\w'])"
    )

    def read(part: str) -> set[str]:
        found = {re.sub(r"[^A-Z]", "", match) for match in form.findall(part)}
        return {order for order in found if sorted(order) == list(letters)}

    return decide(text, read, lambda rest: (asserted(read, rest), "letters in order"))
