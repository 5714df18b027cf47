"""The tables of docs/CONFORMANCE.md: on how many cases a protocol stood beside its peer, how far.

A script of conformance makes a row of each protocol and prints it; with `--write` its rows take the
place of those of the same protocol and peer on the page, and the other rows stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "CONFORMANCE.md"
HEAD = (
    "| profile | peer, commit | random cases | largest | real cases | largest | worst at "
    "| its own | in double | its own there | remarks |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- |\n"
)


@dataclass
class Row:
    """One protocol of a profile beside one peer.

    Attributes:
        random, real: Of each case, how far the peer's numbers and ours are apart, and where.
        spreads: How far the peer is from itself when its pixels come in another order.
        doubles: How far we are from the peer given double precision, where it takes single.
        double_spreads: How far it is from itself then.
        remark: Why not less, or what was compared.
    """

    profile: str
    peer: str
    remark: str = ""
    random: list[tuple[float, str]] = field(default_factory=list)
    real: list[tuple[float, str]] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    doubles: list[float] = field(default_factory=list)
    double_spreads: list[float] = field(default_factory=list)

    def add(self, gap: tuple[float, str], case: str, is_real: bool) -> None:
        """Take down a case: its gap, the metric that has it, and whether the case is real."""
        size, metric = gap
        (self.real if is_real else self.random).append((size, f"{metric}, {case}"))

    @property
    def line(self) -> str:
        """The row as a line of a Markdown table."""
        gaps = self.random + self.real
        cells = [
            self.profile, self.peer,
            *_counted(self.random), *_counted(self.real), max(gaps)[1] if max(gaps)[0] else "",
            _size(self.spreads), _size(self.doubles), _size(self.double_spreads), self.remark,
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


def _counted(gaps: list[tuple[float, str]]) -> tuple[str, str]:
    return str(len(gaps)), _size([gap for gap, _ in gaps])


def _size(gaps: list[float]) -> str:
    return "" if not gaps else f"{max(gaps):.1e}" if max(gaps) else "0"


def largest_gap(
    found: Mapping[str, float], expected: Mapping[str, float], least: float = 1e-12
) -> tuple[float, str]:
    """The largest relative difference of any value, and which value has it.

    Args:
        found: Our values.
        expected: The peer's.
        least: A value of less is divided by this instead.
    """
    return max(
        (abs(found[name] - value) / max(abs(value), least), name)
        for name, value in expected.items()
    )


def write(section: str, rows: list[Row], page: Path = PAGE) -> None:
    """Put rows into a section's table, in place of rows of the same profile and peer.

    New rows come after the others of their profile.

    Raises:
        ValueError: The page has no such table.
    """
    text = page.read_text(encoding="utf-8")
    opening, closing = f"<!-- {section}: rows -->\n", f"<!-- {section}: end -->"
    if opening not in text or closing not in text:
        raise ValueError(f"expected a table {opening.strip()} in {page}, got none")
    before, _, rest = text.partition(opening)
    table, _, after = rest.partition(closing)
    lines = {_key(line): line for line in table.splitlines()[2:]}
    lines |= {_key(row.line): row.line for row in rows}
    profiles = [*dict.fromkeys(map(_profile, lines.values()))]
    ordered = sorted(lines.values(), key=lambda line: profiles.index(_profile(line)))
    table = HEAD + "".join(f"{line}\n" for line in ordered)
    page.write_text(before + opening + table + closing + after, encoding="utf-8")


def _key(line: str) -> tuple[str, str]:
    """The profile and the peer without its commit: a newer commit's row is the row."""
    _, profile, peer, *_ = (cell.strip() for cell in line.split("|"))
    return profile, peer.rpartition(" ")[0] or peer


def _profile(line: str) -> str:
    """The profile without its protocol and without what is said in brackets."""
    return _key(line)[0].partition(" ")[0].partition(".")[0]
