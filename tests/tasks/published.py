"""What the shipped profiles are, for tests that hold each of them to its peer's numbers."""

from __future__ import annotations

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile


def published_labels(family: str) -> set[str]:
    """Labels of a family's protocols in all shipped profiles but the default."""
    plugins = Plugins.find()
    names = [name for name in plugins.names("profile") if name != "default"]
    profiles = [load_profile(plugins.path("profile", name)) for name in names]
    return {
        fields["profile"]
        for profile in profiles
        if family in profile.protocols
        for fields in profile.expand(family, None, "")
    }
