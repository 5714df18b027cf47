"""Writes tests/tasks/profile_parts.txt: every part of every protocol of every shipped profile.

python scripts/profile_parts.py

A test compares the file with the profiles, so that no published protocol changes by accident. Run
this after a change on purpose, and read the difference before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.plugins import Plugins, load_class
from g2vlm_bench.profile import load_profile
from g2vlm_bench.task import Family, Protocol, TaskDefinition

PARTS = Path(__file__).parent.parent / "tests" / "tasks" / "profile_parts.txt"


def main() -> None:
    """Write the file."""
    PARTS.write_text("".join(f"{line}\n" for line in parts()), encoding="utf-8")


def parts() -> list[str]:
    """List each family's defaults, and what each protocol says besides: one part a line."""
    plugins = Plugins()
    protocols = [
        (family, protocol)
        for name in plugins.names("profile")
        for family in sorted(load_profile(plugins.path("profile", name)).protocols)
        for protocol in read(plugins, name, family)
    ]
    kinds = {family: type(protocol) for family, protocol in protocols}
    defaults = {family: fields(kind()) for family, kind in kinds.items()}
    lines = [
        f"{family}, where not said: {key} = {json.dumps(value)}"
        for family in sorted(defaults)
        for key, value in defaults[family].items()
    ]
    for family, protocol in protocols:
        said = {k: v for k, v in fields(protocol).items() if v != defaults[family][k]}
        told = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
        lines += [f"{family}@{protocol.label}: {one}" for one in told or ["nothing is said"]]
    return lines


def read(plugins: Plugins, profile: str, family: str) -> list[Protocol]:
    """Read a profile's protocols as the family does that scores by them."""
    kind = load_class(plugins.path("family", family), Family)
    expanded = load_profile(plugins.path("profile", profile)).expand(family, None, profile)
    protocols: list[Protocol] = []
    for one in expanded:
        definition = TaskDefinition(
            name=f"{family}/{profile}", version=1, family=family, data={},
            metrics=one.get("metrics", kind.known_metrics[:1]), headline="", protocols=[one],
        )  # fmt: skip
        scorer: Any = kind(definition)
        protocols += scorer.protocols
    return protocols


def fields(protocol: Protocol) -> dict[str, Any]:
    """Give all parts of a protocol but its label."""
    return {k: v for k, v in msgspec.to_builtins(protocol).items() if k != "profile"}


if __name__ == "__main__":
    main()
