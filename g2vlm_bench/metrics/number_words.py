"""Numbers as people write them, brought to plain digits before one rule reads them."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = (
    {word: value for value, word in enumerate(_ONES)}
    | {ten: 20 + 10 * place for place, ten in enumerate(_TENS)}
    | {"hundred": 100, "thousand": 1000, "million": 1_000_000}
)
_WORD = "|".join(sorted(_VALUES, key=len, reverse=True))
_SCALE = r"(?:hundred|thousand|million)\b"
_DIGIT_WORD = "|".join(_ONES[:10])
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5}
_PART = r"(?:half|halves|thirds?|quarters?|fourths?|fifths?)"
_WORDS = re.compile(
    rf"\b(?:an?[\s-]+(?={_SCALE}))?(?:(?<!\d[ -])|(?!{_SCALE}))(?P<words>(?:{_WORD})"
    rf"(?:(?:[\s-]+(?:and\s+)?|(?<=thousand),\s+|(?<=million),\s+)(?:{_WORD})\b)*)\b"
    rf"(?:\s+point(?P<decimals>(?:[\s-]+(?:{_DIGIT_WORD})\b)+))?"
    rf"(?:\s+and\s+(?:an?\s+|one\s+)?(?P<more>half|quarter|third)\b|[\s-]+(?P<part>{_PART})\b)?",
    re.I,
)
# Ones, teens, tens and scales, one letter a word, as English puts them together.
_GROUP = "(?:d|t|yd?)"
_HUNDREDS = f"(?:{_GROUP}?h{_GROUP}?|{_GROUP})"
_GRAMMAR = re.compile(f"z|(?:{_HUNDREDS}?m)?(?:{_HUNDREDS}?k)?{_HUNDREDS}?")
# A division that has no value: the form looks like a number and is none.
_UNCLEAR = "0/0"
# "the one on the left", "a red one", "one of them": a pronoun, not a count.
_PRONOUN_BEFORE = re.compile(
    r"\b(?:the|this|that|which|each|every|any|no|other|another|(?:the|a|an|that|this)\s\w+"
    r"|\w*(?:1st|2nd|3rd|\dth))\s+$",
    re.I,
)
_PRONOUN_AFTER = re.compile(r"\s+(?:of|another|who|which|that|can|could|might|sees)\b", re.I)
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b"
_SUPERSCRIPT = str.maketrans(_RAISED, "0123456789-")
_FEET = r"(?:feet,?|foot,?|ft,?|'|\u2032|\u2019)"
_INCHES = r"(?:inch(?:es)?\b|in\b|''|\u2032\u2032|\"|\u201d)"
_METRES = r"(?:met(?:er|re)s?|m)"
_CENTIMETRES = r"(?:centimet(?:er|re)s?|cm)\b"
_AMOUNT = r"\d+(?:\.\d+)?"
_REWRITTEN: tuple[tuple[str, str], ...] = (
    (r"(?:\u00b1|\+/-)\s?\d+(?:\.\d+)?\s?(?:[a-z]{1,12}\b|%|\u00b0)?", ""),  # a tolerance
    (r"\((?:range|between|from|within|error|uncertainty)\b[^()]*\)", ""),
    # "2.5 x 10^2"
    (r"(?<=\d)\s?[\u00d7x*\u00b7]\s?10\s?\^\s?[{(]?([-+]?\d{1,4})[})]?", r"e\1"),
    # "not 3 but 2", "2, not 3"
    (rf"\bnot\s+{_AMOUNT}(?:\s?[a-z]{{1,12}})?,?\s+but\s+(?:rather\s+)?", ""),
    (rf",\s+(?:and\s)?not\s+{_AMOUNT}(?:\s?[a-z]{{1,12}})?(?=\s*(?:[.;!\n]|$))", ""),
    (r"\b(\d{1,4}) (m|met(?:er|re)s?|feet|foot|ft) and a half\b", r"\1.5 \2"),
    (r"\bhalf (?:a |an |of a )(?=[a-z])", "0.5 "),
    (r"\A\W*half\W*\Z", "0.5"),
    (r"\b(?:minus|negative) (?=[\d.])", "-"),
)  # fmt: skip
_REWRITES = tuple((re.compile(pattern, re.I), shown) for pattern, shown in _REWRITTEN)
# Two lengths of one, the factor between their units, and the smaller unit.
# Two lengths that are one, the factor between their units, and the smaller unit.
_AND = rf"[\s-]?(?:and\s)?({_AMOUNT})\s?"
_COMPOUND = (
    (re.compile(rf"\b(\d{{1,4}})\s?{_FEET}{_AND}{_INCHES}", re.I), 12, "inch"),
    (re.compile(rf"\b(\d{{1,4}})\s?{_METRES}{_AND}{_CENTIMETRES}", re.I), 100, "cm"),
)
_ARITHMETIC = re.compile(r"[\d)]\s{0,3}[-+*/\u00d7\u00b7^]\s{0,3}[\d(]|sqrt|\u221a")


def in_digits(text: str) -> str:
    """Return the text with its numbers in plain digits and points.

    Number words up to the millions, "two and a half", "two point five", vulgar fractions, spaces
    without a break and apostrophes between thousands, powers of ten, "2 m 50 cm" and "8 feet 2
    inches" as one number, and of an equation its right side. A tolerance ("2 m +/- 0.1") is left
    out.

    >>> in_digits("one thousand two hundred or 2\u00bd, 1'200")
    '1200 or 2 1/2, 1200'
    """
    # A vulgar fraction behind digits is a sum and no longer number.
    plain = re.sub(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])", " ", text)
    plain = re.sub(
        r"(?<![\d.,])\d{1,3}(?:[\u00a0\u2009\u202f'\u2019]\d{3})+(?!\d)",
        lambda match: re.sub(r"\D", "", match[0]),
        plain,
    )
    plain = re.sub(
        rf"(?<=[\w)])[{_RAISED}]+",
        lambda match: "^" + match[0].translate(_SUPERSCRIPT),
        plain,
    )
    plain = unicodedata.normalize("NFKC", plain).replace("\u2212", "-").replace("\u2044", "/")
    plain = _WORDS.sub(_spelled_out, plain.replace("\u2013", "-"))
    for pattern, shown in _REWRITES:
        plain = pattern.sub(shown, plain)
    for pattern, factor, unit in _COMPOUND:
        plain = pattern.sub(lambda match, f=factor, u=unit: _sum(match, f, u), plain)  # type: ignore[misc]
    return "\n".join(map(_right_side, plain.split("\n")))


def _spelled_out(match: re.Match[str]) -> str:
    words = re.findall(_WORD, match["words"].lower())
    if match["words"].lower() == "one" and not match["part"]:
        before = match.string[max(0, match.start() - 30) : match.start()]
        if _PRONOUN_BEFORE.search(before) or _PRONOUN_AFTER.match(match.string, match.end()):
            return match[0]
    kinds = "".join(map(_kind, words))
    if not _GRAMMAR.fullmatch(kinds):
        return _UNCLEAR
    value = Fraction(_whole(words))
    if match["decimals"]:
        digits = "".join(
            str(_VALUES[word]) for word in re.findall(_WORD, match["decimals"].lower())
        )
        value += Fraction(int(digits), 10 ** len(digits))
    if match["more"]:
        value += Fraction(1, _PARTS[match["more"].lower()])
    if match["part"]:
        value /= _PARTS[match["part"].lower().removesuffix("s")]
    return str(value) if value.denominator == 1 else repr(float(value))


def _kind(word: str) -> str:
    value = _VALUES[word]
    if value >= 100:
        return {100: "h", 1000: "k"}.get(value, "m")
    return "z" if not value else "d" if value < 10 else "t" if value < 20 else "y"


def _whole(words: list[str]) -> int:
    total = group = 0
    for word in words:
        value = _VALUES[word]
        if value < 100:
            group += value
        elif value == 100:
            group = max(group, 1) * 100
        else:
            total += max(group, 1) * value
            group = 0
    return total + group


def _sum(match: re.Match[str], factor: int, unit: str) -> str:
    if Fraction(match[2]) >= factor:
        return match[0]
    return f"{float(Fraction(match[1]) * factor + Fraction(match[2]))!r} {unit}"


def _right_side(line: str) -> str:
    """Return what an equation of a line comes to: what stands behind its last calculation."""
    if len(line) > 2000 or not re.search(r"[=\u2248]", line):
        return line
    sides = re.split(r"[=\u2248]", line)
    calculated = [i for i, side in enumerate(sides[:-1]) if _ARITHMETIC.search(side)]
    return "=".join(sides[calculated[-1] + 1 :]) if calculated else line
