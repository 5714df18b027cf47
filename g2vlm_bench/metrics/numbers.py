"""Reading a number out of an answer, by the rules of `answer_text`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from g2vlm_bench.metrics.answer_text import ParsedAnswer, asserted, decide, is_denied
from g2vlm_bench.metrics.number_words import in_digits

_UNITS = {
    symbol: names.split()
    for symbol, names in {
        "m": "m meter meters metre metres \u7c73",
        "cm": "cm centimeter centimeters centimetre centimetres \u5398\u7c73",
        "mm": "mm millimeter millimeters millimetre millimetres \u6beb\u7c73",
        "km": "km kilometer kilometers kilometre kilometres \u516c\u91cc",
        "ft": "ft foot feet",
        "yd": "yd yard yards",
        "in": "inch inches",
        "m^2": "m^2 m2 m\u00b2 sqm",
        "deg": "\u00b0 deg degree degrees",
        "rad": "rad radian radians",
        "s": "s sec second seconds",
        "%": "% percent",
        "px": "px pixel pixels",
        "kg": "kg kilogram kilograms",
    }.items()
}
# What one of a unit is in the first unit of its kind.
_FACTORS = (
    {
        "m": "1",
        "cm": "0.01",
        "mm": "0.001",
        "km": "1000",
        "ft": "0.3048",
        "in": "0.0254",
        "yd": "0.9144",
    },
    {"deg": "1", "rad": repr(180 / math.pi)},
)
_SYMBOLS = {name: symbol for symbol, names in _UNITS.items() for name in names}
_UNIT = "|".join(sorted(map(re.escape, _SYMBOLS), key=len, reverse=True))
_SQUARE = r"square (?:meters?|metres?)"
_TIMES = {"hundred": 100, "thousand": 1000, "thousands": 1000, "k": 1000, "million": 1_000_000}
_MAGNITUDE = rf"(?:and a half|half|thirds?|quarters?|point|{'|'.join(_TIMES)})\b"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+"
_NUMBER = re.compile(
    # A sign only where a number can start; no number inside a word, a version or a date.
    rf"(?<![\w.,/])(?:(?<![\d)])(?P<sign>[-+])\s?)?(?:(?P<whole>\d+)\s+(?=\d+/))?"
    rf"(?P<number>{_DIGITS})(?:e(?P<exponent>[-+]?\d+))?(?:/(?P<divisor>\d+)(?![\d/]))?"
    rf"(?P<rest>[\s-]?{_MAGNITUDE}|[.,/:]\d+)?"
    rf"(?:\s?(?P<unit>{_SQUARE}|(?:{_UNIT})(?![\w^/])))?(?P<glued>\w*)",
    re.I,
)
# "0,5" and "2,5 m", where "1,2" may be two numbers.
_COMMA_DECIMALS = re.compile(r"(?:0,\d{1,3}|\d+,\d{1,2} m)")
# A bound tells no number: "more than 2", but not "slightly more than 2".
_BOUND = re.compile(
    r"(?<!slightly )(?<!just )(?<!a little )(?<!a bit )\b(?:(?:more|less|fewer|greater|larger"
    r"|smaller|longer|shorter|higher|lower|farther|further) than|at (?:least|most)|up to)\s*"
    r"(?:about )?$|[<>\u2264\u2265]\s*$",
    re.I,
)
_CONCLUSION = re.compile(
    r"\b(?:so(?! far| that| many| much)|therefore|thus|hence|(?:a |in )?total(?: of| is|:)"
    r"|in total(?=,))\b|[^,.;:]{1,40}(?=\bin total\b|\baltogether\b)",
    re.I,
)


def parse_number(text: str) -> ParsedAnswer[float]:
    """Read one number, in digits or in words.

    Understood are signs, thousands separators ("1,234.5"), decimals, exponents and fractions
    ("3/4", "1 1/2"), and what `in_digits` brings into that form. A comma before decimals is one
    where it can be nothing else ("0,5", "2,5 m"). The unit written behind it is kept and not
    converted; the same length in two units is the first one. Several different numbers leave the
    answer unparsed unless it is marked ("Answer: 3") or concluded ("so there are 3"); so do a bound
    ("more than 2") and what looks like a number and is none of these ("1,5", "10:30").

    Returns:
        The number as written, in its unit.
    """
    parsed = decide(text, _numbers, _stated_or_concluded)
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


def _stated_or_concluded(text: str) -> tuple[set[tuple[float, str]], str]:
    found = asserted(_numbers, text)
    if len(found) > 1 and (conclusions := list(_CONCLUSION.finditer(text))):
        concluded = text[conclusions[-1].start() :]
        if len(last := asserted(_numbers, concluded)) == 1:
            return last, "number concluded"
    return found, "number in the text"


def _numbers(text: str) -> set[tuple[float, str]]:
    """Return the different (number, unit)s of a text; NaN stands for a form not understood."""
    matches = [match for match in _NUMBER.finditer(in_digits(text)) if not match["glued"]]
    found = list(dict.fromkeys(_stated(match, _digit_value(match)) for match in matches))
    with_unit = {value for value, unit in found if unit}
    found = [(value, unit) for value, unit in found if unit or value not in with_unit]
    return set(found[:1] if _are_one_length(found) else found)


def _are_one_length(found: list[tuple[float, str]]) -> bool:
    """Say whether all are the same length in different units, as far as it was rounded."""
    lengths = _FACTORS[0]
    units = [unit for _, unit in found]
    if len(found) < 2 or len(set(units)) < len(units) or not set(units) <= set(lengths):
        return False
    metres = [value * float(lengths[unit]) for value, unit in found]
    return max(metres) - min(metres) <= _ROUNDED * abs(max(metres))


def _stated(match: re.Match[str], number: tuple[float, str]) -> tuple[float, str]:
    """Return the number, or none where it is negated ("not 3") or a bound ("more than 3")."""
    before = match.string[max(0, match.start() - 40) : match.start()]
    unclear = _BOUND.search(before) or is_denied(match.string, *match.span())
    return (_NOT_UNDERSTOOD, "") if unclear else number


def _digit_value(match: re.Match[str]) -> tuple[float, str]:
    value = float(f"{match['number'].replace(',', '')}e{match['exponent'] or 0}")
    if match["divisor"]:
        # As floats, since a divisor of thousands of digits fits no float and some no int.
        divisor = float(match["divisor"])
        value = value / divisor if 0 < divisor < math.inf else _NOT_UNDERSTOOD
    value += float(match["whole"] or 0)
    rest = (match["rest"] or "").strip(" \n-").lower()
    if rest in _TIMES:
        value *= _TIMES[rest]
    elif rest == "and a half":
        value += 0.5
    elif _COMMA_DECIMALS.fullmatch(f"{match['number']}{rest}{' m' if match['unit'] else ''}"):
        value = float(f"{match['number']}.{rest[1:]}")
    elif rest:
        value = _NOT_UNDERSTOOD
    value = -value if match["sign"] == "-" else value
    if value in (float("inf"), float("-inf")):
        value = _NOT_UNDERSTOOD
    return value, _unit_symbol(match["unit"])


_NOT_UNDERSTOOD = float("nan")
_ROUNDED = 0.02  # "2.5 m (8.2 feet)"


def _unit_symbol(unit: str | None) -> str:
    if not unit:
        return ""
    return "m^2" if unit.lower().startswith("square") else _SYMBOLS[unit.lower()]
