"""Published question benchmarks among the tasks: where their data are from, and what is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.data.hub import fetch_into, split_files
from g2vlm_bench.data.pin import DataPins, split_pins
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.prompts import load_prompts
from g2vlm_bench.task import TaskDefinition, load_definition
from g2vlm_bench.yaml_files import convert

FORMAT = "qa_hub"


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A published benchmark, as its task file says.

    Attributes:
        task: The task's name.
        title: One line.
        hub: The dataset's id on the Hub; empty where it lies elsewhere.
        root: Its folder below `--data-root`.
        layout: What must be there: patterns of rows, archives and pictures.
        pins: What is known of the data, and what awaits them.
        prompts: Its published prompts, the task's own first.
        licence: Of the data.
        citation: Whom to cite.
        options: The reader's own options.
    """

    task: str
    title: str
    hub: str
    root: str
    layout: list[str]
    pins: DataPins
    prompts: list[str]
    licence: str
    citation: str
    options: dict[str, Any]

    @property
    def how(self) -> str:
        """How one comes by it, in a word or two."""
        return "hub" if self.hub else "by hand"

    def text(self) -> str:
        """Say where the data come from, what must lie where, and what is not known of them."""
        pins = self.pins
        known = {"revision": pins.revision, "rows": pins.rows, "content_hash": pins.content_hash}
        parts = {
            "source": f"{self.hub} on the Hub" if self.hub else "by hand; see below",
            "licence": self.licence,
            "paper": self.citation,
            "pinned": ", ".join(f"{key} {value}" for key, value in known.items() if value) or "no",
            "awaits": ", ".join(pins.awaits) + ": recorded at first use" if pins.awaits else "",
            "prompts": ", ".join(self.prompts) or "our own",
            "folder": f"DIR/{self.root}, DIR being --data-root",
        }
        lines = [f"{self.task}: {self.title}"]
        lines += [f"{key:<9} {' '.join(said.split())}" for key, said in parts.items() if said]
        lines += ["layout:", *(f"  {line}" for line in self.layout)]
        lines += ["known from:", *(f"  {' '.join(line.split())}" for line in pins.sources)]
        return "\n".join(lines)


def list_benchmarks(plugins: Plugins) -> Iterator[Benchmark]:
    """List the published benchmarks; no data are opened."""
    for name in plugins.names("task"):
        definition = load_definition(plugins.path("task", name))
        if definition.data.get("format") == FORMAT:
            yield describe(definition, plugins)


def describe(definition: TaskDefinition, plugins: Plugins) -> Benchmark:
    """Gather what a benchmark's task file says of its data."""
    pinned, options = split_pins(definition.data)
    pins = convert(pinned, DataPins, f"task {definition.name}, key 'data'")
    prompts: list[str] = []
    if isinstance(prompt := definition.options.get("prompt"), str):
        benchmark, _, own = prompt.partition(".")
        known = load_prompts(plugins.path("prompts", benchmark))
        prompts = [own, *(name for name in known if name != own)]
    return Benchmark(
        task=definition.name,
        title=definition.title,
        hub=options.get("hub", ""),
        root=pins.root,
        layout=_layout(options),
        pins=pins,
        prompts=prompts,
        licence=definition.licence,
        citation=definition.citation,
        options=options,
    )


def fetch(benchmark: Benchmark, data_root: Path) -> Path:
    """Fetch a benchmark of the Hub to where its task looks for it; what is there is left alone.

    Args:
        benchmark: Which one.
        data_root: The folder that tasks' data roots start in.

    Returns:
        Its folder.

    Raises:
        BenchError: It is not on the Hub, or the Hub cannot be reached.
    """
    if not benchmark.hub:
        raise BenchError(
            f"dataset '{benchmark.task}'",
            expected="one of the Hub",
            got="one that is not",
            fix=f"Lay it out by hand in {data_root / benchmark.root}.",
        )
    options, revision = benchmark.options, benchmark.pins.revision
    rows = list(options.get("files", ())) or split_files(
        benchmark.hub, options.get("config", ""), options.get("hub_split", "test"), revision
    )
    patterns = [*rows, *options.get("archives", ()), *options.get("media", ()), "README.md"]
    return fetch_into(benchmark.hub, revision, patterns, data_root / benchmark.root)


def _layout(options: dict[str, Any]) -> list[str]:
    config = options.get("config", "")
    asks = options["asks"]
    rows = options.get("files") or [
        f"the files of {f'configuration {config}, ' if config else ''}split "
        f"'{options.get('hub_split', 'test')}', as its card names them"
    ]
    lines = [f"rows      {', '.join(rows)}"]
    lines += [f"{what:<9} {_place(asks[what])}" for what in ("images", "mask") if what in asks]
    if "video" in asks:
        lines.append(f"video     {_pattern(asks['video']['path'])}")
    if archives := options.get("archives"):
        lines.append(f"archives  {', '.join(archives)}: left packed, or unpacked there")
    return lines


def _place(pictures: dict[str, Any]) -> str:
    if pictures.get("kind") == "path":
        return _pattern(pictures.get("path", "{value}"))
    return f"in the rows: {', '.join(pictures['columns'])}"


def _pattern(text: Any) -> str:
    return text if isinstance(text, str) else f"{text['from']}, by {text.get('find', 'a rule')}"
