"""Writes docs/READERS.md from the catalogue, the readers' docstrings and their tests.

python scripts/readers_page.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import yaml

from g2vlm_bench.data.catalogue import Entry, load_catalogue
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.plugins import Plugins

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs/READERS.md"
HEAD = """# Readers

A dataset is an entry of the catalogue (`g2vlm_bench/data/catalogue.yaml`): where it comes from, its
licence, the folder as its reader expects it, and the options that make published tables' frames of
it. `g2vlm-bench data list` names them all, `data prepare NAME` prints one and fetches it where its
source asks for no agreement, `data verify NAME --root DIR` checks hashes, counts and missing
files. A task file says the same in its `data` section: `format` is a reader.

Every reader gives metres, depth along z with NaN where there is none, `world_from_camera` of OpenCV
cameras, and pixel centres at +0.5.

This page is written by `python scripts/readers_page.py` from the catalogue, the readers' docstrings
and their tests.
"""
# An f-string's name ends where its braces begin: `pointclouds/isprs_{name}`.
_ITEM = re.compile(r"\b(?:rgbd|sequences|stereo|pointclouds|spatial_qa)/[a-z0-9]\w*(?:-\w+)*")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page."""
    plugins = Plugins()
    catalogue = load_catalogue()
    readers = {name: plugins.reader(name) for name in file_readers(plugins)}
    of_reader = {
        name: [entry for entry in catalogue.values() if entry.format == name] for name in readers
    }
    lines = [HEAD, "## Datasets", ""]
    lines += [
        "Counts are what `data verify` compares with: of a split its samples; frames, pairs of "
        "frames of one sample, scenes (sequences, clips) of the split test as the options take it; "
        "what a list or an index names. "
        "None of them keeps a part of the data from being scored. An entry's own options are "
        "tested on empty files in the true layout (counts), on the lengths of sequences alone (the "
        "rule of sampling), or on frames, made by hand or real (content); else its reader's own "
        "tests must do.",
        "",
        "| dataset | title | reader | counts | tested on | download | licence |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(entry) for entry in catalogue.values()),
        "",
        "## What each reader is tested on",
        "",
        "Besides these real files each is tested on a folder made by hand in the true format, and "
        "on the ways in which its files break.",
        "",
        "| reader | datasets | real files that its tests and tasks open |",
        "| --- | --- | --- |",
    ]
    for name in readers:
        datasets = ", ".join(f"`{entry.name}`" for entry in of_reader[name])
        lines.append(f"| [`{name}`](#{name}) | {datasets} | {', '.join(real_items(name)) or '-'} |")
    lines.append("")
    for name, cls in readers.items():
        lines += _section(name, cls)
    return "\n".join(lines).rstrip() + "\n"


def file_readers(plugins: Plugins) -> list[str]:
    """The readers of files; rooms that are made have a reader, too."""
    names = plugins.names("reader")
    return sorted(name for name in names if plugins.path("reader", name).parent.name == "readers")


def real_items(reader: str) -> list[str]:
    """The items of the real data that the tests or the shipped tasks of a reader open."""
    found: set[str] = set()
    for path in sorted((PROJECT / "tests/data").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if f"readers.{reader} import" in text:
            found |= set(_ITEM.findall(text))
    for path in sorted((PROJECT / "tasks").glob("*/real_*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
        if data.get("format") == reader:
            found |= set(_ITEM.findall(str(data)))
    return sorted({item.rstrip("_") for item in found})


def _row(entry: Entry) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in entry.counts.items()) or "-"
    fetched = f"{len(entry.download)} files" if entry.download else "by hand"
    cells = (
        f"`{entry.name}`",
        entry.title,
        f"[`{entry.format}`](#{entry.format})",
        counts,
        _checked(entry.name),
        fetched,
        entry.licence,
    )
    return f"| {' | '.join(cells)} |"


def _checked(name: str) -> str:
    """Which tests read an entry by its own options."""
    layouts, rules, presets = (
        (PROJECT / f"tests/data/{file}.py").read_text(encoding="utf-8")
        for file in ("test_catalogue_layouts", "test_peer_sampling", "readers/test_presets")
    )
    how = {
        "empty files": f"def {name}(" in layouts,
        "lengths": re.search(rf'\("{name}", [\[A-Z]', rules) is not None,
        "frames": f'read("{name}"' in presets or f'("{name}", "' in presets,
    }
    return ", ".join(kind for kind, is_so in how.items() if is_so) or "its reader's tests"


def _section(name: str, cls: type[Reader]) -> list[str]:
    described = inspect.getdoc(cls) or ""
    text, _, options = described.partition("\nArgs:\n")
    lines = [f"## {name}", "", *text.strip().splitlines(), "", "Options:", ""]
    for line in inspect.cleandoc(options).splitlines():
        option = re.match(r"(\w+): (.*)", line)
        lines.append(f"- `{option[1]}`: {option[2]}" if option else f"  {line.strip()}")
    return [line.rstrip() for line in [*lines, ""]]


if __name__ == "__main__":
    main()
