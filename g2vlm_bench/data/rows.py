"""Rows of question files: texts by patterns, and answers in the forms that data sets write them."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from g2vlm_bench.data.layout import fill
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import AnswerType

# A pattern such as "{image}.png", or {from: PATTERN, find: REGEX}: what its group finds, or with
# `say` a pattern that has that as its {found}; or {from: PATTERN, drop: REGEX}: what is left.
Text = str | Mapping[str, str]

_YES_NO = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}


def field_of(name: str, row: Mapping[str, Any], where: str) -> Any:
    """Take a row's field.

    Raises:
        BenchError: The row has none of that name; those that it has are named.
    """
    if name not in row:
        raise BenchError(
            where,
            expected=f"a field '{name}'",
            got=f"only {', '.join(map(str, row))}",
            fix=nearest(name, row),
        )
    return row[name]


def text_of(key: Text, row: Mapping[str, Any], where: str) -> str:
    """Make a text of a row by a pattern, by what an expression finds in one first, or leaves of it.

    Raises:
        BenchError: A field is missing, or nothing is found.
    """
    if isinstance(key, str):
        return fill(key, row, where)
    if set(key) == {"from", "drop"}:
        return _expression(key["drop"], "drop", 0).sub("", fill(key["from"], row, where))
    found = find_all(key, row, where)
    if not found:
        raise BenchError(where, expected=f"a match of '{key['find']}'", got="none")
    return found[0]


def find_all(key: Mapping[str, str], row: Mapping[str, Any], where: str) -> list[str]:
    """Find all that a regular expression of one group finds in a pattern's text.

    Raises:
        BenchError: A field is missing, or the expression is none or has another number of groups.
    """
    if set(key) - {"say"} != {"from", "find"}:
        raise BenchError("data", expected="{from: PATTERN, find: REGEX}", got=dict(key))
    expression = _expression(key["find"], "find", 1)
    found = expression.findall(fill(key["from"], row, where))
    return [fill(key.get("say", "{found}"), {**row, "found": each}, where) for each in found]


def _expression(text: str, key: str, groups: int) -> re.Pattern[str]:
    try:
        expression = re.compile(text, flags=re.MULTILINE)
    except re.error as error:
        raise BenchError(f"key '{key}'", expected="a regular expression", got=error) from None
    if expression.groups != groups:
        said = "an expression of one group" if groups else "an expression without groups"
        raise BenchError(f"key '{key}'", expected=said, got=text)
    return expression


def answer_type_of(
    text: str, where: str, known: Sequence[AnswerType] = get_args(AnswerType)
) -> AnswerType:
    """Read a kind of answer.

    Raises:
        BenchError: There is none of that name among those known.
    """
    for kind in known:
        if kind == text:
            return kind
    raise BenchError(f"{where}, answer type", expected=" or ".join(known), got=f"'{text}'")


def choice_of(text: str, choices: Sequence[str], answer_is: str, where: str) -> str:
    """Find the right one of several options.

    Args:
        text: The answer as the data have it.
        choices: The options' texts.
        answer_is: Whether that is an option's `text`, its `index` (from 0) or its `letter`.
        where: The row, for the error.

    Raises:
        BenchError: No option is meant.
    """
    if answer_is == "text" and text in choices:
        return text
    if answer_is == "index" and text.isdecimal() and int(text) < len(choices):
        return choices[int(text)]
    letters = string.ascii_uppercase[: len(choices)]
    letter = text.strip("(). ").upper()
    if answer_is == "letter" and len(letter) == 1 and letter in letters:
        return choices[letters.index(letter)]
    raise BenchError(
        f"{where}, answer",
        expected=f"the {answer_is} of one of {len(choices)} choices",
        got=f"'{text}'",
        fix="Mend the line, or the key 'answer_is'.",
    )


def yes_no_of(text: str, where: str) -> str:
    """Read yes or no, true or false, 1 or 0.

    Raises:
        BenchError: It is none of them.
    """
    if text.lower() not in _YES_NO:
        raise BenchError(f"{where}, answer", expected="yes or no, true or false", got=f"'{text}'")
    return _YES_NO[text.lower()]


def number_of(text: str, where: str) -> float:
    """Read a finite number.

    Raises:
        BenchError: It is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0:
        raise BenchError(f"{where}, answer", expected="a finite number", got=f"'{text}'")
    return number
