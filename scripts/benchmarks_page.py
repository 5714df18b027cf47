"""Writes docs/BENCHMARKS.md from the task files of the published question benchmarks.

python scripts/benchmarks_page.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from g2vlm_bench.benchmarks import Benchmark, list_benchmarks
from g2vlm_bench.plugins import Plugins, shipped
from g2vlm_bench.prompts import load_prompts
from g2vlm_bench.published import load_published

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs/BENCHMARKS.md"
HEAD = """# Published question benchmarks

Every benchmark is a task of its public name, read from its own files by
[`qa_hub`](READERS.md#qa_hub). Lay a copy of its dataset into `DIR/FOLDER` and run with
`--data-root DIR`; `g2vlm-bench data prepare TASK` says what must lie where and where that is known
from, `data prepare TASK --root DIR` fetches it from the Hub at the pinned revision (the newest
where none is pinned), and `--data-root hub:` takes it from the Hub's own cache. Another of its
published prompts is `TASK@PROMPT`, a task of its own.

**Almost none of these files was here** when this was written: the Hub could not be reached. Read
were real rows of VSR (all 1,222, without photos), SpatialMQA (5, with photos) and NLVR (20, with
pictures). Every other task was tested on a small copy made by rule in the benchmark's format and
columns (`tests/data/standins.py`): it is read, it asks as published, its truth is best, and what is
wrong with a file is refused. What the column "awaits" names could not be known;
`validate TASK --data-root DIR` prints it at first use and records it in the folder, and every later
use is held to that. "What is inferred" are columns, paths or ways of writing options that are not
documented where we could read (the list below says which): where one is another, the error lists
those that there are, and a copy of the task file with it mended will do.

`harness_peers.md` and `g2vlm_facts.md` are this project's notes on its peers, taken from their code
at the commits named.

This page is written by `python scripts/benchmarks_page.py`.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page."""
    plugins = Plugins()
    found = list(list_benchmarks(plugins))
    lines = [HEAD, f"## {len(found)} tasks", ""]
    lines += [
        "| task | data | rows | folder | awaits the true files | prompts | licence |",
        "| --- | --- | ---: | --- | --- | --- | --- |",
        *map(_row, found),
        "",
    ]
    lines += ["## Where each is known from", "", *_sources(found)]
    lines += ["", "## Prompts and their sources", "", *_prompts(plugins)]
    lines += ["", "## Published numbers", "", *_published()]
    return "\n".join(lines).rstrip() + "\n"


def _row(one: Benchmark) -> str:
    cells = (
        f"`{one.task.removeprefix('spatial_qa/')}`",
        f"`{one.hub}`" if one.hub else "by hand",
        "" if one.pins.rows is None else f"{one.pins.rows:,}",
        f"`{one.root}`",
        ", ".join([*one.pins.awaits, *(["what is inferred"] if _inferred(one) else [])]),
        ", ".join(one.prompts) or "our own",
        " ".join(one.licence.split()),
    )
    return f"| {' | '.join(cells)} |"


def _inferred(one: Benchmark) -> bool:
    return any("infer" in said or "await" in said for said in one.pins.sources)


def _sources(found: list[Benchmark]) -> Iterator[str]:
    for one in found:
        said = "; ".join(" ".join(line.split()) for line in one.pins.sources)
        yield f"- `{one.task.removeprefix('spatial_qa/')}` ({one.citation}): {said}"


def _prompts(plugins: Plugins) -> Iterator[str]:
    for name in plugins.names("prompts"):
        for profile, fields in load_prompts(plugins.path("prompts", name)).items():
            notes = f" {fields['notes']}" if fields.get("notes") else ""
            tokens = fields.get("max_new_tokens")
            limit = f"; at most {tokens} tokens" if tokens else ""
            yield f"- `{name}.{profile}`: {fields['source']}{limit}.{notes}"


def _published() -> Iterator[str]:
    yield (
        "Boards may lay these beside what they measure (`published:` of a board and of its "
        "columns; `leaderboards/spatial_language.yaml` does); they are never ranked. What is "
        "doubtful is marked in the column `caveat` and not corrected."
    )
    yield ""
    yield "| table | numbers | with a caveat | source |"
    yield "| --- | ---: | ---: | --- |"
    for path in sorted((shipped("leaderboards") / "published").glob("*.csv")):
        numbers = load_published(path)
        doubtful = sum(bool(one.caveat) for one in numbers)
        sources = ", ".join(dict.fromkeys(one.source for one in numbers))
        yield f"| `{path.stem}` | {len(numbers)} | {doubtful} | {sources} |"


if __name__ == "__main__":
    main()
