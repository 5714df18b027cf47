"""Races between ways of computing the same numbers, and the command line of a benchmark.

A section is one function that yields races; `@section` of its own `Sections` enters it into the
table. A shared machine stretches wall seconds and changes its load from turn to turn: so runners
take turns, ratios are medians of each turn's, and the load stands beside each race.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Race:
    """Several ways of computing the same numbers.

    Attributes:
        title: what is computed, of how much.
        runners: name -> function without arguments; the first is ours.
        agree: largest difference from ours that is called agreement, relative to our number.
        unit: differences of smaller numbers are relative to this one.
    """

    title: str
    runners: dict[str, Callable[[], dict[str, float]]]
    agree: float
    unit: float = 1.0

    def run(self, repeats: int) -> None:
        """Let the runners run in turns and print medians, ratios and the largest difference."""
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in self.runners}
        numbers: dict[str, dict[str, float]] = {}
        for _ in range(repeats):
            for name, runner in self.runners.items():
                start = time.perf_counter(), time.process_time()
                numbers[name] = runner()
                spent[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
        print(f"\n{self.title} (medians of {repeats}, load {os.getloadavg()[0]:.1f})")
        print(f"  {'':<44} {'wall s':>8} {'x ours':>7} {'CPU s':>8} {'x ours':>7}  difference")
        ours, reference = next(iter(spent.values())), next(iter(numbers.values()))
        for name, times in spent.items():
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            turns = zip(times, ours, strict=True)
            ratios = zip(*((t[0] / o[0], t[1] / o[1]) for t, o in turns), strict=True)
            more_wall, more_cpu = (statistics.median(column) for column in ratios)
            worst = self._difference(numbers[name], reference)
            verdict = "" if times is ours else f"{worst:.1e}{'' if worst <= self.agree else ' !'}"
            seconds = f"{wall:>8.4g} {more_wall:>7.2f} {cpu:>8.4g} {more_cpu:>7.2f}"
            print(f"  {name:<44} {seconds}  {verdict}")

    def _difference(self, numbers: dict[str, float], reference: dict[str, float]) -> float:
        return max(
            abs(numbers[key] - value) / max(abs(value), self.unit)
            for key, value in reference.items()
        )


Section = Callable[[argparse.Namespace], Iterator[Race]]


class Sections(dict[str, Section]):
    """The sections of a benchmark by name."""

    def section(self, make: Section) -> Section:
        """Enter a function under its name."""
        self[make.__name__] = make
        return make

    def parser(self, description: str) -> argparse.ArgumentParser:
        """The options that every benchmark has."""
        parser = argparse.ArgumentParser(description=description.split("\n")[0])
        parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(self))
        parser.add_argument("--repeats", type=int, default=5)
        return parser

    def parse(
        self, parser: argparse.ArgumentParser, libraries: Sequence[str]
    ) -> argparse.Namespace:
        """Read the command line, refuse unknown sections, and print what is measured with."""
        options = parser.parse_args()
        if unknown := set(options.sections) - self.keys():
            parser.error(f"expected sections of {', '.join(self)}, got {', '.join(unknown)}")
        versions = [f"{name} {importlib.metadata.version(name)}" for name in libraries if has(name)]
        print(f"{', '.join(versions)}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        return options

    def run(self, options: argparse.Namespace) -> None:
        """Run the named sections, or all."""
        for name in options.sections or self:
            for race in self[name](options):
                race.run(options.repeats)


def has(library: str) -> bool:
    """Whether a peer's library is installed; its runner is left out where it is not."""
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
