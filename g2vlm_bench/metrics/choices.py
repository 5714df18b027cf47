"""Reading a multiple choice out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from g2vlm_bench.metrics.answer_text import (
    ARTICLES,
    CORRECTION_OF_YES_NO,
    DECORATION,
    NEGATION,
    ParsedAnswer,
    asserted,
    decide,
    is_denied,
    normalise_text,
)
from g2vlm_bench.metrics.numbers import parse_number
from g2vlm_bench.metrics.yes_no import folded, free_yes_no

_LETTER_ONLY = re.compile(
    r"(?:(?:option|choice)\s+)?[(\[{]{0,2}([A-Za-z])[)\]}]{0,2}\s*[.:,!]?", re.I
)
# Where options speak of an A or a B, a thing's name alone is an option's.
_NAMED_THING = re.compile(
    r"(?:(?:the )?(?:point|object|item|marker|one|box|option|choice) ?)?"
    r"(?:(?:marked|labell?ed|named) )?\(?([A-Z])\)?(?:\W*|,\s(?:as|because|since)\b.*)",
    re.I | re.S,
)
# "A red box" has no delimiter behind its A, and "A, B" no answer before its comma.
_LEADING_LETTER = re.compile(
    r"(?:[Oo]ption |[Cc]hoice )?(?:\(([A-Za-z])\)|\[([A-Za-z])\]"
    r"|([A-Z])(?:[).:](?=[\s*]|$)|,(?!\s*[A-Z]\b)|\s+[-\u2013\u2014]\s"
    r"|\s+(?=(?:because|since|as)\b|\()|!|$))"
    r"[\s*:.,\u2013\u2014-]*(.*)"
)
_MENTIONED_LETTER = re.compile(
    r"\(([A-Za-z])\)"
    r"|\b(?:[Oo]ption|[Cc]hoice|OPTION|CHOICE)\s+[(\[*]*([A-Z])\b"
    r"|(?<![\w'])([A-Z])(?=\)? is (?:the )?(?:correct|right)\b)"
    r"|(?:\b(?:is|[Cc]hoose|[Pp]ick|[Ss]elect|say|think|[Ss]o|go (?:for|with)|[Aa]nswer"
    r"|[Ll]ikely|[Pp]robably|[Gg]uess(?:ing)?[,:]?)|\b[Ii]t's)"
    r"\s+[*]*([A-Z])[*]*(?=\s*(?:[.!\n]|$|,\s(?!(?:or|and)\b|\(?[A-Z]\b)))"
    # ", B" at the very end, where no list of letters leads up to it.
    r"|(?<![A-Z)][,:])(?<=[,:])\s+[(*]*([A-Z])[)*]*[.!]?\s*\Z"
)
_ORDINAL = re.compile(
    r"(?:(?<=is )|(?<=: )|\A)(?:the )?(first|second|third|fourth|fifth|sixth) (?:option|choice)"
    r"(?=\W*\Z)",
    re.I,
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_NOT_BUT = re.compile(
    r"\bnot\s+(?:option\s)?\(?[A-Z]\)?,?\s+but\s+(?:rather\s+)?(?=(?:option\s)?\(?[A-Z]\b)"
)
_REASON = re.compile(r"\b(?:because|since|as)\b|;")
_STANDALONE_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
_ARTICLE_OR_PRONOUN = re.compile(r"[AI]\s+(?!(?:or|and|because|since|as|is)\b|[-\u2013\u2014,/&])")
# "B is too far" speaks of B, where "B", "B." and "B or C" choose it.
_SUBJECT = re.compile(
    r"[A-Z]\s+(?!(?:or|and|is (?:the )?(?:correct|right))\b)[a-z]"
    r"|[A-Z]\)\s+(?:would|could|might|may|can|does|did|was|seems?|looks?)\b"
)
_RIVAL_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])|\(([a-z])\)")
# What an option behind it is not chosen by: "I don't think", "everything but".
_DOUBT = re.compile(
    r"\b(?:doubt|doubtful|unlikely|impossible|except|exclud(?:e|ed|ing)|eliminated?|rejected"
    r"|ruled? out"
    r"|(?:everything|anything|all|nothing) but|(?:false|untrue|wrong|incorrect) (?:that|to)"
    r"|not (?:(?:the )?case|true|correct)"
    r"|(?:do|does|did|would|could|can)(?:nt| not) "
    r"(?:think|believe|say|choose|pick|select|look|seem|appear)"
    r"|(?:cant|cannot) be)\b"
)
_AGREES = re.compile(r"\b(?:you are|youre|thats|all) right\b")  # names no side
# "It does not move left": up to four words of the same clause between.
_DENIED_CLAUSE = re.compile(
    r"\b(?:not|never|cannot|(?:is|are|was|were|do|does|did|ca|could|would|should)nt)"
    r"(?: (?!(?:but|only|just|sure|clear|certain|visible|it|is|its|so|and|because|instead)\b)\w+)"
    r"{1,4}$"
    r"|\b(?:no longer|(?:other|rather) than|far from|opposite of)(?: the| to| on)*$"
)
# What speaks of the pictures from here on gives reasons, up to a sentence that concludes.
_EXPLAINS = re.compile(
    r"(?<=[.!\n])\s{1,9}(?=This (?:is (?:evident|clear|because|shown|indicated)"
    r"|can be (?:seen|determined|observed|inferred))"
    r"|(?:In|From) the (?:first|second|left|right) (?:image|frame|view|picture))"
)
_BECAUSE = re.compile(r"\b(?:because|since)\b[^.!?\n]*", re.I)
_CONCLUDES = re.compile(
    r"(?:This (?:indicates|means|suggests|shows|implies)|Therefore|Thus|Hence|So)\b"
)
# What stands between the things of an order and says no more than that it is one.
_OF_ORDERS = frozenset(("first", "then", "next", "and", "finally", "lastly", "followed", "by"))
_LIST_NUMBER = re.compile(r"(?:^|(?<=\s))\d[.)]\s|\bafter that\b")
_NOT_RIGHT = re.compile(r"\bnot right\b")
_NAMED = re.compile(r"\b(?:than|over|image|view|frame|point|object|marker|camera)\s+[(\[]?$", re.I)
_DENIED_OR_NOT_ALONE = re.compile(
    r" ?(?:or |(?:(?:is|was|are|were|would be|does|do|can|could)(?: ?not|nt)|cannot|"
    r"(?:is )?(?:wrong|incorrect|false))\b)"
)


def parse_choice(text: str, choices: Sequence[str]) -> ParsedAnswer[int]:
    """Read which option a text chooses.

    Understood are a letter in its usual forms ("B", "(B)", "B.", "B: the red box", "option B",
    "Answer: B"), the text of an option alone, and the text of exactly one option inside the
    answer. A letter that contradicts the option text beside it, several letters, several
    options, an option that is only negated or asked about, and the repeated list of options leave
    the answer unparsed. The article in "A red box" is no letter.

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
    options = _Options(names, articles, _values(choices), _items(choices))
    readers = (options.marked, options.free)
    if any(re.match(r"(?:yes|no)\b", name) for name in names):
        return decide(_fold(text), *readers, CORRECTION_OF_YES_NO)
    return decide(_fold(text), *readers)


def _fold(text: str) -> str:
    """Return the text folded, with "not A but B" as B and "the second option" as its letter."""
    plain = folded(text)
    plain = _ORDINAL.sub(lambda m: f"option {'ABCDEF'[_ORDINALS.index(m[1].lower())]}", plain)
    return _NOT_BUT.sub("", plain)


def _values(choices: Sequence[str]) -> list[float | None]:
    """Return the numbers that the options are, or nothing where one of them is none."""
    read = [parse_number(choice) if len(choice) <= 40 else None for choice in choices]
    bare = [
        one.value if one and not one.unit and re.fullmatch(r"[\W\d]+|[A-Za-z-]+", choice) else None
        for one, choice in zip(read, choices, strict=True)
    ]
    return bare if None not in bare and len(set(bare)) == len(bare) else []


def _items(choices: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the things that the options list, where all list the same ones in another order."""
    lists = [
        tuple(normalise_text(item) for item in re.split(r",|;|->|\u2192", choice) if item.strip())
        for choice in choices
    ]
    same = len({tuple(sorted(items)) for items in lists}) == 1
    return lists if same and len(set(lists[0])) == len(lists[0]) > 1 else []


@dataclass(frozen=True)
class _Options:
    """The options' normalised texts, and the articles that were left out of them.

    Where all options are numbers, or orders of the same things, these stand in `values`, `orders`.
    """

    names: list[str]
    articles: frozenset[str]
    values: list[float | None]
    orders: list[tuple[str, ...]]

    @property
    def labelled(self) -> bool:
        """Say whether the options themselves speak of an A or a B."""
        return "a" not in self.articles

    def marked(self, fragment: str) -> set[int]:
        """Return what a marked answer chooses: there a bare letter is enough."""
        if _STANDALONE_LETTER.match(fragment) and not _ARTICLE_OR_PRONOUN.match(fragment):
            found = self._letters(fragment[0])
            rest = fragment[1:]
            if not found or is_denied(fragment, 0, 1) or rest.startswith("?"):
                return set()
            return found | self._exact(rest) | self._rivals(_REASON.split(rest)[0])
        return self.free(fragment)[0]

    def free(self, text: str) -> tuple[set[int], str]:
        """Return the options chosen by the first rule that finds any, and the rule's name."""
        how = self._found(text)[1]
        return asserted(lambda part: self._found(part)[0], text), how

    def _found(self, text: str) -> tuple[set[int], str]:
        plain = text.strip(DECORATION)
        leading = [self._leading(line.strip(DECORATION)) for line in plain.splitlines()]
        if any(leading):
            return set().union(*leading), "letter at the start of a line"
        letter = _LETTER_ONLY.fullmatch(plain)
        whole = self._exact(plain) | self._letters(*(letter.groups() if letter else ()))
        mentioned = self._mentioned(plain)
        if whole:
            return whole | (set() if self.labelled else mentioned), "whole text"
        if mentioned and self._in_doubt(plain):
            return set(), "letter in the text, in doubt"
        if mentioned:
            named = set() if self.labelled else self._rivals(plain)
            named |= self._exact(_MENTIONED_LETTER.sub("", plain))
            return mentioned | named, "letter in the text"
        if set(self.names) == {"yes", "no"}:
            found, how = free_yes_no(plain)
            return {self.names.index("yes" if answer else "no") for answer in found}, how
        if self.labelled and (thing := _NAMED_THING.fullmatch(plain)):
            return self._letters(thing[1]), "letter of what is named"
        named = self._contained(plain)
        if len(named) > 1 and len(stated := self._contained(_without_reasons(plain))) == 1:
            return stated, "option text beside reasons"
        if not named and self.values:
            return self._by_number(plain), "number of an option"
        if not named and self.orders:
            return self._by_order(plain), "order of an option's things"
        return named, "option text in the text"

    def _by_number(self, text: str) -> set[int]:
        value = parse_number(text).value
        return {index for index, own in enumerate(self.values) if own == value}

    def _by_order(self, text: str) -> set[int]:
        """Return the option whose things stand in the text, with nothing but an order between."""
        words = f" {normalise_text(_LIST_NUMBER.sub('', text))} "
        things = sorted(self.orders[0], key=len, reverse=True)
        for index, thing in enumerate(things):
            words = words.replace(f" {thing} ", f" |{index}| ")
        order = tuple(things[int(place)] for place in re.findall(r"\|(\d+)\|", words))
        others = set(re.sub(r"\|\d+\|", "", words).split()) - _OF_ORDERS
        return {i for i, own in enumerate(self.orders) if not others and own == order}

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
        exact = self._exact(beside or line)
        if exact:
            return found | exact
        if is_denied(line, match.start(), match.start(len(match.groups()))):
            return set()
        stated = _REASON.split(beside)[0]
        for part in re.split(r",|\b(?:or|and)\b", stated):
            second = _LETTER_ONLY.fullmatch(part.strip())
            found |= self._exact(part) | self._letters(*(second.groups() if second else ()))
        return found | self._rivals(stated)

    def _rivals(self, beside: str) -> set[int]:
        """Return the options that the text beside a letter chooses by letters of their own."""
        if self.labelled and re.search(r"[a-z]{2}", beside):
            return self._contained(beside)  # there a letter may be a thing's name
        letters = {
            match[1] or match[2]
            for match in _RIVAL_LETTER.finditer(beside)
            if not _SUBJECT.match(beside, match.start())
            and not _NAMED.search(beside[max(0, match.start() - 20) : match.start()])
            and not is_denied(beside, match.start(), match.end())
        }
        return self._letters(*letters)

    def _mentioned(self, text: str) -> set[int]:
        """Return the options whose letters stand in the text in a form that is no word."""
        found: set[int] = set()
        for match in _MENTIONED_LETTER.finditer(text):
            if not is_denied(text, match.start(), match.end()):
                found |= self._letters(next(letter for letter in match.groups() if letter))
        return found

    def _in_doubt(self, text: str) -> bool:
        """Say whether the text doubts what it names; "not right" may deny an option."""
        words = normalise_text(text)
        not_right = "right" not in self.names and _NOT_RIGHT.search(words)
        return bool(_DOUBT.search(words) or not_right)

    def _contained(self, text: str) -> set[int]:
        """Return the options whose words stand in the text, not inside a longer one or negated."""
        words = f" {normalise_text(text, self.articles)} "
        found: set[int] = set()
        if self._in_doubt(words) or _AGREES.search(words):
            return found
        for index in sorted(range(len(self.names)), key=lambda index: -len(self.names[index])):
            words = words.replace(f" {self.names[index]} ", f" |{index}| ")
        for match in re.finditer(r"\|(\d+)\|", words):
            before = words[max(0, match.start() - 100) : match.start()].rstrip()
            if _DENIED_OR_NOT_ALONE.match(words, match.end()) or before.endswith(" or"):
                return set()  # "not as near as the ball" would leave the ball
            if not (NEGATION.search(before) or _DENIED_CLAUSE.search(before)):
                found.add(int(match[1]))
        return found


def _without_reasons(text: str) -> str:
    """Return what is stated before reasons are given, and what is concluded from them."""
    stated, *reasons = _EXPLAINS.split(text)
    sentences = re.split(r"(?<=[.!\n])\s+", " ".join(reasons))
    concluded = [each for each in sentences if _CONCLUDES.match(each)]
    return _BECAUSE.sub("", " ".join([stated, *concluded]))
