"""Reading a number out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import math
import re
import unicodedata
from fractions import Fraction

from g2vlm_bench.metrics.answer_text import ParsedAnswer, asserted, decide, is_denied

_UNITS = {
    symbol: names.split()
    for symbol, names in {
        "m": "m meter meters metre metres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "mm": "mm millimeter millimeters millimetre millimetres",
        "km": "km kilometer kilometers kilometre kilometres",
        "ft": "ft foot feet",
        "in": "inch inches",
        "m^2": "m^2 m2 m\u00b2 sqm",
        "deg": "\u00b0 deg degree degrees",
        "rad": "rad radian radians",
        "s": "s sec second seconds",
        "%": "% percent",
        "px": "px pixel pixels",
    }.items()
}
# What one of a unit is in the first unit of its kind.
_FACTORS = (
    {"m": "1", "cm": "0.01", "mm": "0.001", "km": "1000", "ft": "0.3048", "in": "0.0254"},
    {"deg": "1", "rad": repr(180 / math.pi)},
)
_SYMBOLS = {name: symbol for symbol, names in _UNITS.items() for name in names}
_UNIT = "|".join(sorted(map(re.escape, _SYMBOLS), key=len, reverse=True))
_SQUARE = r"square (?:meters?|metres?)"
_MAGNITUDE = r"(?:and a half|half|hundred|thousands?|millions?|thirds?|quarters?|point|k)\b"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+"
_NUMBER = re.compile(
    # A sign only where a number can start; no number inside a word, a version or a date.
    rf"(?<![\w.,/])(?:(?<![\d)])(?P<sign>[-+])\s?)?(?:(?P<whole>\d+)\s+(?=\d+/))?"
    rf"(?P<number>{_DIGITS})(?:e(?P<exponent>[-+]?\d+))?(?:/(?P<divisor>\d+)(?![\d/]))?"
    rf"(?P<rest>[\s-]?{_MAGNITUDE}|[.,/:]\d+)?"
    rf"(?:\s?(?P<unit>{_SQUARE}|(?:{_UNIT})(?![\w^/])))?(?P<glued>\w*)",
    re.I,
)
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORD_VALUES: dict[str, int] = (
    {word: value for value, word in enumerate(_ONES)}
    | {ten: 20 + 10 * place for place, ten in enumerate(_TENS)}
    | {
        f"{ten} {_ONES[one]}": 20 + 10 * place + one
        for place, ten in enumerate(_TENS)
        for one in range(1, 10)
    }
    | {"hundred": 100, "one hundred": 100, "a hundred": 100}
)
_WORD = "|".join([*_ONES, *_TENS, "hundred"])
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?P<minus>minus|negative)\s+)?(?P<words>(?:a\s+(?=hundred))?(?:{_WORD})"
    rf"(?:[\s-]+(?:and\s+)?(?:{_WORD})\b)*)\b(?P<rest>[\s-]+{_MAGNITUDE})?"
    rf"(?:\s?(?P<unit>{_SQUARE}|(?:{_UNIT})(?![\w^/])))?",
    re.I,
)
# "the one on the left", "one of them": a pronoun, not a count.
_PRONOUN_BEFORE = re.compile(r"\b(?:the|this|that|which|each|every|any|no|other|another)\s+$", re.I)
_PRONOUN_AFTER = re.compile(r"\s+(?:of|another|who|which|that)\b", re.I)


def parse_number(text: str) -> ParsedAnswer[float]:
    """Read one number, in digits or in words from zero to one hundred.

    Understood are signs, thousands separators ("1,234.5"), decimals, exponents and fractions
    ("3/4", "1 1/2"). The unit written behind it is kept and not converted. Several different
    numbers leave the answer unparsed unless it is marked ("Answer: 3"); so does what looks like a
    number and is none of these ("1,5", "10:30", "2 million").

    Returns:
        The number as written, in its unit.
    """
    parsed = decide(
        text,
        _numbers,
        lambda rest: (asserted(_numbers, rest), "number in the text"),
    )
    if parsed.value is None:
        return ParsedAnswer(None, parsed.status, parsed.how)
    value, unit = parsed.value
    if value != value:
        return ParsedAnswer(None, "unparsed", f"{parsed.how}: a form that is not understood")
    return ParsedAnswer(value, "parsed", parsed.how, unit)


def in_unit(parsed: ParsedAnswer[float], unit: str) -> ParsedAnswer[float]:
    """Bring a parsed number into the unit a question asks for.

    A number without a unit is taken to be in that unit already, as people mean it.

    Args:
        parsed: A number and the unit written behind it.
        unit: "m", "deg", ...; the empty unit (a count, or a question that names none) asks for
            nothing.

    Returns:
        The number in that unit; unparsed where the unit written measures something else.

    >>> in_unit(parse_number("250 cm"), "m").value
    2.5
    >>> in_unit(parse_number("3 seconds"), "m").status
    'unparsed'
    """
    if parsed.value is None or not unit or parsed.unit in ("", unit):
        return parsed
    kind = next((kind for kind in _FACTORS if unit in kind), {})
    if parsed.unit not in kind:
        return ParsedAnswer(None, "unparsed", f"{parsed.how}: {parsed.unit} is no unit of {unit}")
    # Through decimals, so that 250 cm are 2.5 m and not 2.5000000000000004 m.
    ratio = Fraction(kind[parsed.unit]) / Fraction(kind[unit])
    value = float(Fraction(repr(parsed.value)) * ratio)
    return ParsedAnswer(value, "parsed", f"{parsed.how}, from {parsed.unit}", unit)


def _numbers(text: str) -> set[tuple[float, str]]:
    """Return the different (number, unit)s of a text; NaN stands for a form not understood."""
    plain = unicodedata.normalize("NFKC", text.replace("\u00b2", "^2")).replace("\u2212", "-")
    plain = plain.replace("\u2044", "/").replace("\u2013", "-")
    plain = re.sub(r"\b(?:minus|negative) (?=[\d.])", "-", plain, flags=re.I)
    found = {
        _stated(match, _digit_value(match))
        for match in _NUMBER.finditer(plain)
        if not match["glued"]
    }
    found |= {
        _stated(match, _word_value(match))
        for match in _NUMBER_WORDS.finditer(plain)
        if not _is_pronoun(match, plain)
    }
    with_unit = {value for value, unit in found if unit}
    return {(value, unit) for value, unit in found if unit or value not in with_unit}


def _stated(match: re.Match[str], number: tuple[float, str]) -> tuple[float, str]:
    """Return the number, or none where it is negated ("not 3")."""
    return (_NOT_UNDERSTOOD, "") if is_denied(match.string, *match.span()) else number


def _digit_value(match: re.Match[str]) -> tuple[float, str]:
    value = float(f"{match['number'].replace(',', '')}e{match['exponent'] or 0}")
    if match["divisor"]:
        # As floats, since a divisor of thousands of digits fits no float and some no int.
        divisor = float(match["divisor"])
        value = value / divisor if 0 < divisor < math.inf else _NOT_UNDERSTOOD
    value += float(match["whole"] or 0)
    value = -value if match["sign"] == "-" else value
    if match["rest"] or value in (float("inf"), float("-inf")):
        value = _NOT_UNDERSTOOD
    return value, _unit_symbol(match["unit"])


def _word_value(match: re.Match[str]) -> tuple[float, str]:
    words = " ".join(re.split(r"[\s-]+", match["words"].lower()))
    value = float(_WORD_VALUES.get(words, _NOT_UNDERSTOOD))
    if match["rest"]:
        value = _NOT_UNDERSTOOD
    return (-value if match["minus"] else value), _unit_symbol(match["unit"])


_NOT_UNDERSTOOD = float("nan")


def _is_pronoun(match: re.Match[str], text: str) -> bool:
    before = text[max(0, match.start() - 20) : match.start()]
    return match["words"].lower() == "one" and bool(
        _PRONOUN_BEFORE.search(before) or _PRONOUN_AFTER.match(text, match.end())
    )


def _unit_symbol(unit: str | None) -> str:
    if not unit:
        return ""
    return "m^2" if unit.lower().startswith("square") else _SYMBOLS[unit.lower()]
