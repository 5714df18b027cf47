"""No part of a published protocol changes by accident."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.profile import load_profile

PROJECT = Path(__file__).parents[2]
script = load_module(PROJECT / "scripts/profile_parts.py")
pages = load_module(PROJECT / "scripts/protocol_page.py")


def test_every_part_of_every_profile_is_as_written_down() -> None:
    written = script.PARTS.read_text(encoding="utf-8").splitlines()
    changed = unified_diff(written, script.parts(), "written down", "the profiles", "", "", 0, "")
    difference = "\n".join(changed)
    assert not difference, f"If it is meant: python scripts/profile_parts.py\n{difference}"


def test_every_protocol_of_every_profile_is_written_down() -> None:
    plugins = Plugins()
    labels = {
        f"{family}@{fields['profile']}"
        for name in plugins.names("profile")
        for profile in [load_profile(plugins.path("profile", name))]
        for family in profile.protocols
        for fields in profile.expand(family, None, name)
    }
    lines = script.PARTS.read_text(encoding="utf-8").splitlines()
    assert labels == {line.partition(": ")[0] for line in lines if "@" in line}


def test_the_page_of_profiles_is_current() -> None:
    written = (PROJECT / "docs/PROTOCOLS.md").read_text(encoding="utf-8")
    assert written == pages.page(Plugins()), "run python scripts/protocol_page.py"
