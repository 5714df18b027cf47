"""Numbers in digits and words, with units; what is ambiguous or half understood is not read."""

from __future__ import annotations

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2vlm_bench.metrics.numbers import parse_number


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("3", 3, ""),
        ("3.", 3, ""),
        ("(3)", 3, ""),
        ("x=3", 3, ""),
        ("There are 3 chairs.", 3, ""),
        ("3.5 m", 3.5, "m"),
        (".5", 0.5, ""),
        ("0.5cm", 0.5, "cm"),
        ("about 2.5 meters.", 2.5, "m"),
        ("-2", -2, ""),
        ("\u22122.5 metres", -2.5, "m"),
        ("+4", 4, ""),
        ("1,234.5", 1234.5, ""),
        ("1,000,000", 1e6, ""),
        ("1e3", 1000, ""),
        ("2.5E-1", 0.25, ""),
        ("3/4", 0.75, ""),
        ("-1/2", -0.5, ""),
        ("1 1/2 m", 1.5, "m"),
        ("\u00bd", 0.5, ""),
        ("45\u00b0", 45, "deg"),
        ("45 degrees", 45, "deg"),
        ("50%", 50, "%"),
        ("12 m\u00b2", 12, "m^2"),
        ("12 square meters", 12, "m^2"),
        ("5 in the room", 5, ""),
        ("10 m/s", 10, ""),
        ("2 m. So 2", 2, "m"),
        ("in 3D there are 4", 4, ""),
        ("zero", 0, ""),
        ("Nineteen.", 19, ""),
        ("twenty-one chairs", 21, ""),
        ("ninety nine", 99, ""),
        ("a hundred", 100, ""),
        ("one hundred", 100, ""),
        ("minus five degrees", -5, "deg"),
        ("two metres", 2, "m"),
        ("There is one chair", 1, ""),
        ("three, that is 3", 3, ""),
        ("I count 2, then 3. Answer: 5 chairs", 5, ""),
        ("<think>2 or 3</think> 4", 4, ""),
        ("$\\boxed{4}$", 4, ""),
        ("<answer>4.5 m</answer>", 4.5, "m"),
        ("2 m (200 cm)", 2, "m"),
        ("2 m and 50 cm", 250, "cm"),
        ("6 feet 2 inches", 74, "in"),
        ("5k", 5000, ""),
        ("two hundred", 200, ""),
        ("three million two hundred thousand and one", 3_200_001, ""),
        ("one and a half", 1.5, ""),
        ("two thirds", 2 / 3, ""),
        ("2 and a half", 2.5, ""),
        ("2\u00bd m", 2.5, "m"),
        ("2.5 x 10^2 cm", 250, "cm"),
        ("3 m \u00b1 0.2 m", 3, "m"),
        ("1.5 + 2 = 3.5", 3.5, ""),
        ("2 near, 1 far, so 3.", 3, ""),
    ],
)
def test_numbers_are_read(text, value, unit) -> None:
    parsed = parse_number(text)
    assert (parsed.value, parsed.unit, parsed.status) == (value, unit, "parsed"), parsed


@pytest.mark.parametrize(
    "text",
    [
        "2-3", "between 2 and 3", "3 of 5", "Answer: 3 of 5", "Answer: 3. Answer: 4", "3 4",
        "2 m (300 cm)", "3m x 4m", "1 / 2", "5'11",  # several numbers
        "1,5", "1,234,5", "10:30", "3/4/2020", "2.5.1", "1/0", "1e999", "twenty eleven",
        "two three", "nineteen eighty",  # forms not understood
        "more than 2", "at least two", "<3",  # bounds
        "3D", "H100", "2nd", "a1", "inf", "nan", "many", "The one on the left", "no one",
        "one of them", "none", "?",  # no number
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_not_read(text) -> None:
    parsed = parse_number(text)
    assert (parsed.value, parsed.status) == (None, "unparsed"), parsed


def test_nothing_said_is_empty() -> None:
    for text in ("", " \n", "<think>3", "<think>3</think>"):
        assert parse_number(text).status == "empty"


@given(st.floats(-1e15, 1e15, allow_subnormal=False))
def test_a_printed_number_is_read_back_exactly(value) -> None:
    for text in (repr(value), f"The distance is {value!r} m.", f"Answer: {value:,.3f}"):
        expected = float(f"{value:.3f}") if text.startswith("Answer") else value
        assert parse_number(text).value == expected


@given(st.integers(0, 100))
def test_words_of_every_number_to_one_hundred(value) -> None:
    ones = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    names = [*ones.split(), "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    for ten in tens:
        names += [ten, *(f"{ten}-{one}" for one in names[1:10])]
    names.append("one hundred")
    assert len(names) == 101
    assert parse_number(f"There are {names[value]}.").value == value


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_gives_a_finite_number_or_none(text) -> None:
    parsed = parse_number(text)
    assert (parsed.value is None) == (parsed.status != "parsed")
    assert parsed.value is None or math.isfinite(parsed.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("not 3", None),
        ("It is not 3.", None),
        ("It isn't 3 m", None),
        ("Answer: not 3", None),
        ("3 is wrong", None),
        ("not three", None),
        ("not 3 but 4", 4),
        ("3 or 4", None),
        ("3? No.", None),
        ("3... wait, 4", None),
        ("3. Wait, that is the wrong room.", None),
        ("Answer: 3\n\nActually, no", None),
        ("1. 3\n2. 4", None),
        ("minus 3", -3),
        ("Negative 2.5 m", -2.5),
        ("There are 4, not counting doubles", 4),
        ("\uff13", 3),  # full width
        ("\u0663", 3),  # Arabic
        ("\u0969", 3),  # Devanagari
        ("<think></think>3", 3),
        ("1/" + "1" * 5000, None),
        ("1/1" + "0" * 400, None),
        ("1" * 5000 + " 1/2", None),
    ],
)
def test_misleading_numbers_are_read_as_by_a_careful_human(text, value) -> None:
    assert parse_number(text).value == value


@pytest.mark.parametrize("unit", ["one, ", "3 ", "3, ", "not 3 ", "minus ", "1/", "-", "twenty "])
def test_numbers_repeated_for_ever_are_read_in_linear_time(unit) -> None:
    # Quadratic time was tens of seconds here, which no test run would overlook.
    parse_number(unit * 20_000)
