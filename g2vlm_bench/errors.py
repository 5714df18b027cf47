"""The one root exception: what was expected, what came, what to do, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class BenchError(Exception):
    """An error the user can fix, printed as one line.

    Args:
        subject: What was looked at (a file, a key, a model).
        expected: What should have been there.
        got: What was there.
        fix: What the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        subject: object,
        *,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        self.subject = subject
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        found = [f"expected {self.expected}"] if self.expected is not None else []
        found += [f"got {self.got}"] if self.got is not None else []
        text = ": ".join([str(self.subject), *([", ".join(found)] if found else [])])
        line = f"{text}. {self.fix}" if self.fix else text
        return " ".join(line.split())

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return _rebuild, (type(self), self.subject, self.expected, self.got, self.fix)


class UsageError(BenchError):
    """The command line asks for something that cannot be (exit code 2)."""

    exit_code = 2


class NotComparableError(BenchError):
    """Protocol, data or scorer differ, so two numbers cannot stand side by side (exit code 4)."""

    exit_code = 4


def _rebuild(
    cls: type[BenchError], subject: object, expected: object, got: object, fix: str | None
) -> BenchError:
    return cls(subject, expected=expected, got=got, fix=fix)


def nearest(name: str, known: Iterable[str]) -> str:
    """Name the known word nearest to an unknown one, as the tail of an error's `fix`.

    >>> nearest("depht", ["depth", "chamfer"])
    "Did you mean 'depth'?"
    >>> nearest("zzz", ["depth", "chamfer"])
    'Known: chamfer, depth.'

    A name without its folder is that of every folder that has it.

    >>> nearest("blink", ["spatial_qa/blink", "depth/real_tum"])
    "Did you mean 'spatial_qa/blink'?"
    """
    known = sorted(known)
    inside = [f"'{one}'" for one in known if one.rpartition("/")[2] == name]
    if inside:
        return f"Did you mean {' or '.join(inside)}?"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    shown = ", ".join(known[:12]) + (f", and {len(known) - 12} more" if len(known) > 12 else "")
    return f"Known: {shown}." if known else "None is known."
