"""How a number, its interval, its counts and its rank are written, the same in every format."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.store import MetricResult

NO_INTERVAL = "no interval"
FEW_SCENES = "there are fewer than two scenes"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellText:
    """A cell as text.

    Attributes:
        value: The number, or the word that stands for it.
        interval: The 95 % interval in brackets, or that there is none; empty beside a mere word.
        lacks: Why there is no interval.
        rank: Rank within the column.
        counts: How many samples were scored, failed, unscored.
        floored: That the number is not shown to be above the floor, where it is not.
        note: Why there is no number, or what else to know of it.
    """

    value: str
    interval: str = ""
    lacks: str = ""
    rank: str = ""
    counts: str = ""
    floored: str = ""
    note: str = ""

    @property
    def is_word(self) -> bool:
        """Whether there is no number in it."""
        return not any(character.isdigit() for character in self.value)

    @property
    def remarks(self) -> str:
        """All that stands below the number, in one line."""
        rank = f"rank {self.rank}" if self.rank else ""
        return ", ".join(part for part in (rank, self.counts, self.floored, self.note) if part)


def number(value: float, bounded: bool = False) -> str:
    """Write a number: three decimals where it is bounded, else three significant digits.

    >>> number(0.51239, bounded=True), number(0.0001, bounded=True)
    ('0.512', '0.000')
    >>> number(0.051239), number(1234.4), number(2.0), number(0.0000123), number(1e-17)
    ('0.0512', '1234', '2.00', '1.23e-05', '0')
    """
    # A distance below 1e-9 is rounding, in any unit that a metric here has.
    if abs(value) < (5e-4 if bounded else 1e-9):
        return "0.000" if bounded else "0"
    if bounded:
        return f"{value:.3f}"
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def interval(low: float | None, high: float | None, bounded: bool) -> str:
    """Write a 95 % interval, or that there is none.

    >>> interval(0.25, 0.75, bounded=True), interval(None, None, bounded=True)
    ('[0.250, 0.750]', 'no interval')
    """
    if low is None or high is None:
        return NO_INTERVAL
    return f"[{number(low, bounded)}, {number(high, bounded)}]"


def counts(n_scored: int, n_failed: int = 0, n_unscored: int = 0, unscored: str = "") -> str:
    """Write the three counts; those of what did not happen are left out.

    >>> counts(48), counts(45, 3, 2)
    ('48 scored', '45 scored, 3 failed, 2 unscored')

    Args:
        n_scored: How many were scored.
        n_failed: How many failed.
        n_unscored: How many are without truth.
        unscored: These in words, where more is known of them than how many they are.
    """
    parts = [f"{n_scored} scored"]
    parts += [f"{n_failed} failed"] if n_failed else []
    parts += [unscored or f"{n_unscored} unscored"] if n_unscored else []
    return ", ".join(parts)


def rank(place: int | None, tied: bool) -> str:
    """Write a rank; `=` marks a tie.

    >>> rank(1, False), rank(2, True), rank(None, False)
    ('1', '2=', '')
    """
    return "" if place is None else f"{place}{'=' if tied else ''}"


def is_tied(place: int | None, places: Iterable[int | None]) -> bool:
    """Whether a rank is held by more than one."""
    return place is not None and sum(other == place for other in places) > 1


def result_cell(
    result: MetricResult, spec: MetricSpec, *, rank: str = "", usual: int | None = None
) -> CellText:
    """Write one number of a run.

    Args:
        result: The number.
        spec: Its metric.
        rank: Its rank in the column.
        usual: Where all of so many samples were scored, the counts say nothing new and are left
            out; they are always written if it is None.
    """
    n = counts(result.n_scored, result.n_failed, result.n_unscored, result.unscored)
    if result.n_scored + result.n_failed == 0:
        return CellText(value="none", rank=rank, counts=n, note="no sample to score")
    as_usual = (result.n_scored, result.n_failed, result.n_unscored) == (usual, 0, 0)
    shown = "" if as_usual else n
    if result.value is None:
        sign = "-" if spec.higher_is_better else ""
        mean = result.value_scored
        note = "" if mean is None else f"{number(mean, spec.bounded)} over the scored"
        value = f"{sign}∞ ({result.n_failed} failed)"
        lacks = "a failure counts as infinitely bad"
        return CellText(
            value=value, interval=NO_INTERVAL, lacks=lacks, rank=rank, counts=shown, note=note
        )
    return CellText(
        value=number(result.value, spec.bounded),
        interval=interval(result.low, result.high, spec.bounded),
        lacks=FEW_SCENES if result.n_clusters < 2 else "",
        rank=rank,
        counts=shown,
    )


def arrow(higher_is_better: bool) -> str:
    """Give the direction in which a metric gets better."""
    return "↑" if higher_is_better else "↓"


def clean(text: str) -> str:
    r"""Put a space for every control character and lone surrogate: no format can show them.

    >>> clean("a\x1b[31mb\nc")
    'a [31mb c'
    """
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
