"""Reading a yes or no out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import re
import unicodedata

from g2vlm_bench.metrics.answer_text import (
    CORRECTION_OF_YES_NO,
    DECORATION,
    ParsedAnswer,
    decide,
    without_questions,
)

_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_ALONE = re.compile(r"\W*(yes|no|true|false)\W*", re.I)
_LEADING_YES_NO = re.compile(
    r"(yes|no|true|false)(?:\s*(?:[,;:!\n(\u2013\u2014]|\.(?!\s*\d)|$)|\s+-\s"
    r"|\s+(?:the|it|there|they|this|that|these|those|he|she|i|we|you|its|because|since)\b)",
    re.I,
)
_CLOSING_YES_NO = re.compile(r"\b(yes|no|true|false)\b(?!\.\s*\d)(?=\W*(?:[.!;\n]|$))", re.I)
_EITHER = re.compile(
    r"\b(?:(?:yes|true)\s{0,2}(?:or|and|[/&])\s{0,2}(?:no|false)"
    r"|(?:no|false)\s{0,2}(?:or|and|[/&])\s{0,2}(?:yes|true))\b",
    re.I,
)
_CLAUSE = re.compile(r"[.!?;:,\n]")
_NOT = re.compile(r"\b(?:not|isn['\u2019]?t|wasn['\u2019]?t)\s+$", re.I)
_UNSURE = re.compile(
    r"\b(?:not|no|never|neither|nor|nothing|none|hardly|cannot|doubt|unlikely|wrong|incorrect"
    r"|false|untrue|if|whether|either)\b|n['\u2019]t\b",
    re.I,
)


# Other words for it at the start of a sentence, and what means it where nothing else is said.
_MEANS_YES = re.compile(
    r"(?:^|(?<=[.!?\n] )|(?<=\n))\W*(?:(?:yeah|yep|yup|affirmative|s\u00ed|oui|ja|\u0434\u0430"
    r"|\u662f\u7684?|\u5bf9)(?=\W*(?:$|[.,!;\n]))|(?:it|they|there) (?:is|are|does|do)(?=\W*$))"
    r"|\A(?:absolutely|certainly|definitely|of course|indeed)(?=\W*\Z)",
    re.I | re.M,
)
_MEANS_NO = re.compile(
    r"(?:^|(?<=[.!?\n] )|(?<=\n))\W*(?:nope|nah|negative|non|nein|\u043d\u0435\u0442|\u4e0d\u662f"
    r"|\u4e0d\u5bf9|i do(?:n['\u2019]t| not) think so|not (?:really|at all)"
    r"|(?:absolutely|certainly|definitely|of course|probably) not"
    r"|(?:it|they|there) (?:is|are|does|do)(?:n['\u2019]t| not))(?=\W*(?:$|[.,!;\n]))",
    re.I | re.M,
)


def folded(text: str) -> str:
    """Return the text with full-width and circled letters as plain ones, and without pictures."""
    plain = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("So", "Sk"))


def parse_yes_no(text: str) -> ParsedAnswer[bool]:
    """Read a yes or no (or true or false).

    It counts at the start of the text, alone on a line, or at the end of a sentence, where "not
    true" means no. "No idea" and "there is no chair" are no answers.

    Returns:
        True for yes.
    """
    return decide(
        folded(text), lambda fragment: free_yes_no(fragment)[0], free_yes_no, CORRECTION_OF_YES_NO
    )


def free_yes_no(text: str) -> tuple[set[bool], str]:
    """Return every different yes (True) or no that the text says, and the rule that found it."""
    plain = without_questions(text).strip(DECORATION)
    plain = _MEANS_YES.sub("yes", _MEANS_NO.sub("no", plain))
    leading = _LEADING_YES_NO.match(plain)
    alone = [match[1] for line in plain.splitlines() if (match := _ALONE.fullmatch(line))]
    found = {_YES_NO[word.lower()] for word in ([leading[1]] if leading else []) + alone}
    how = f"yes or no at the {'start of a line' if found else 'end of a sentence'}"
    for match in _CLOSING_YES_NO.finditer(plain):
        found |= _closing(plain, match)
    # "No" is often a determiner, but a "yes" beside it is always a second answer.
    yes = (match.start() for match in re.finditer(r"\byes\b", plain, re.I))
    if found and not all(_NOT.search(plain[max(0, start - 20) : start]) for start in yes):
        found |= {True}
    return ({False, True} if _EITHER.search(plain) else found), how


def _closing(text: str, match: re.Match[str]) -> set[bool]:
    """Return what a yes or no at the end of its clause says; both where it is hedged."""
    value = _YES_NO[match[1].lower()]
    clause = _CLAUSE.split(text[max(0, match.start() - 80) : match.start()])[-1]
    negated = _NOT.search(clause)
    if _UNSURE.search(clause[: negated.start()] if negated else clause):
        return {False, True}
    return {not value if negated else value}
