"""Reading a multiple choice or a yes / no out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from g2vlm_bench.metrics.answer_text import (
    ARTICLES,
    DECORATION,
    ParsedAnswer,
    decide,
    normalise_text,
)

_LETTER_ONLY = re.compile(r"(?:(?:option|choice)\s+)?[(\[]?([A-Za-z])[)\]]?\s*[.:,]?", re.I)
# "A red box" has no delimiter behind its A, and "A, B" no answer before its comma.
_LEADING_LETTER = re.compile(
    r"(?:[Oo]ption |[Cc]hoice )?(?:\(([A-Za-z])\)|\[([A-Za-z])\]"
    r"|([A-Z])(?:[).:](?=[\s*]|$)|,(?!\s*[A-Z]\b)|\s+[-\u2013\u2014]\s|$))"
    r"[\s*:.,\u2013\u2014-]*(.*)"
)
_MENTIONED_LETTER = re.compile(
    r"\(([A-Za-z])\)"
    r"|\b(?:[Oo]ption|[Cc]hoice|OPTION|CHOICE)\s+[(\[*]*([A-Z])\b"
    r"|(?<![\w'])([A-Z])(?=\)? is (?:the )?(?:correct|right)\b)"
    r"|\b(?:is|choose|pick|select|[Aa]nswer)\s+[*]*([A-Z])[*]*(?=\s*(?:[.!\n]|$))"
)
_DENIED_AFTER = re.compile(r"\W*(?:is|was|would be)\s*(?:n[o']t\b|incorrect|wrong|false)", re.I)
_REASON = re.compile(r"\b(?:because|since|as)\b|[.;:(]")
_STANDALONE_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
_ARTICLE_OR_PRONOUN = re.compile(r"[AI]\s+(?!(?:or|and|because|since|as)\b|[-\u2013\u2014,/&])")
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|without|unlike|cannot|rather than|instead of"
    r"|(?:is|are|was|were|do|does|did|ca|wo|could|would|should)nt)"
    r"(?: (?:a|an|the|be|being|really|quite|exactly|necessarily|in|on|at|to|of|option))*$"
)


def parse_choice(text: str, choices: Sequence[str]) -> ParsedAnswer[int]:
    """Read which option a text chooses.

    Understood are a letter in its usual forms ("B", "(B)", "B.", "B: the red box", "option B",
    "Answer: B"), the text of an option alone, and the text of exactly one option inside the
    answer. A letter that contradicts the option text beside it, several letters, several
    options, or an option that is only negated leave the answer unparsed. The article in
    "A red box" is no letter.

    Args:
        text: the model's answer.
        choices: the options' texts, without letters, in the order A, B, C ...

    Returns:
        The index of the option.

    Raises:
        ValueError: for fewer than 2 or more than 26 options, or options that look alike.
    """
    # Beside an option "B is closer", the A of "A is closer" is a name and no article.
    labelled = any(re.search(r"\b[B-HJ-Z]\b", choice) for choice in choices)
    articles = frozenset({"the"}) if labelled else ARTICLES
    names = [normalise_text(choice, articles) for choice in choices]
    if not 2 <= len(names) <= 26 or len(set(names)) < len(names) or "" in names:
        raise ValueError(
            f"choices: expected 2 to 26 options that differ in words, got {list(choices)!r}"
        )
    options = _Options(names, articles)
    return decide(text, options.marked, options.free)


@dataclass(frozen=True)
class _Options:
    """The options' normalised texts, and the articles that were left out of them."""

    names: list[str]
    articles: frozenset[str]

    def marked(self, fragment: str) -> set[int]:
        """Return what a marked answer chooses: there a bare letter is enough."""
        if _STANDALONE_LETTER.match(fragment) and not _ARTICLE_OR_PRONOUN.match(fragment):
            letters = set(_STANDALONE_LETTER.findall(_REASON.split(fragment)[0]))
            found = self._letters(*letters) if len(letters) == 1 else set()
            return found | (self._exact(fragment[1:]) if found else set())
        return self.free(fragment)[0]

    def free(self, text: str) -> tuple[set[int], str]:
        """Return the options chosen by the first rule that finds any, and the rule's name."""
        plain = text.strip(DECORATION)
        leading = [self._leading(line.strip(DECORATION)) for line in plain.splitlines()]
        if any(leading):
            return set().union(*leading), "letter at the start of a line"
        letter = _LETTER_ONLY.fullmatch(plain)
        whole = self._exact(plain) | self._letters(*(letter.groups() if letter else ()))
        if whole:
            return whole, "whole text"
        mentioned = self._mentioned(plain)
        if mentioned:
            return mentioned, "letter in the text"
        if set(self.names) == {"yes", "no"}:
            found, how = _free_yes_no(plain)
            return {self.names.index("yes" if answer else "no") for answer in found}, how
        return self._contained(plain), "option text in the text"

    def _letters(self, *letters: str) -> set[int]:
        indices = {ord(letter.upper()) - ord("A") for letter in letters}
        return {index for index in indices if index < len(self.names)}

    def _exact(self, text: str) -> set[int]:
        words = normalise_text(text, self.articles)
        return {index for index, name in enumerate(self.names) if name == words}

    def _leading(self, line: str) -> set[int]:
        """Return the option whose letter starts the line, and a contradicting one beside it."""
        match = _LEADING_LETTER.match(line)
        if match is None:
            return set()
        *letters, beside = match.groups()
        found = self._letters(next(letter for letter in letters if letter))
        if not found:
            return set()
        second = _LETTER_ONLY.fullmatch(beside)
        return (
            found
            | self._exact(beside or line)
            | self._letters(*(second.groups() if second else ()))
        )

    def _mentioned(self, text: str) -> set[int]:
        """Return the options whose letters stand in the text in a form that is no word."""
        found: set[int] = set()
        for match in _MENTIONED_LETTER.finditer(text):
            before = normalise_text(text[: match.start()], frozenset())
            if not (_NEGATION.search(before) or _DENIED_AFTER.match(text[match.end() :])):
                found |= self._letters(next(letter for letter in match.groups() if letter))
        return found

    def _contained(self, text: str) -> set[int]:
        """Return the options whose words stand in the text, not inside a longer one or negated."""
        words = f" {normalise_text(text, self.articles)} "
        found: set[int] = set()
        for index in sorted(range(len(self.names)), key=lambda index: -len(self.names[index])):
            pieces = words.split(f" {self.names[index]} ")
            if any(not _NEGATION.search(piece.rstrip()) for piece in pieces[:-1]):
                found.add(index)
            words = " | ".join(pieces)
        return found


_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_ALONE = re.compile(r"\W*(yes|no|true|false)\W*", re.I)
_LEADING_YES_NO = re.compile(
    r"(yes|no|true|false)(?:\s*(?:[,.;:!\n(\u2013\u2014-]|$)"
    r"|\s+(?:the|it|there|they|this|that|these|those|he|she|i|we|you|its|because|since)\b)",
    re.I,
)
_CLOSING_YES_NO = re.compile(r"\b(yes|no|true|false)\b(?=\W*(?:[.!;\n]|$))", re.I)


def parse_yes_no(text: str) -> ParsedAnswer[bool]:
    """Read a yes or no (or true or false).

    It counts at the start of the text, alone on a line, or at the end of a sentence. "No idea" and
    "there is no chair" are no answers.

    Returns:
        True for yes.
    """
    return decide(text, lambda fragment: _free_yes_no(fragment)[0], _free_yes_no)


def _free_yes_no(text: str) -> tuple[set[bool], str]:
    plain = text.strip(DECORATION)
    leading = _LEADING_YES_NO.match(plain)
    alone = [match[1] for line in plain.splitlines() if (match := _ALONE.fullmatch(line))]
    words = ([leading[1]] if leading else []) + alone
    how = "yes or no at the start of a line"
    if not words:
        words, how = _CLOSING_YES_NO.findall(plain), "yes or no at the end of a sentence"
    found = {_YES_NO[word.lower()] for word in words}
    # "No" is often a determiner, but a "yes" beside it is always a second answer.
    return found | {True for _ in re.finditer(r"\byes\b", plain, re.I)}, how
