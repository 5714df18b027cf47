"""Scores one model on geometry and on language about the same scenes, in one run, in one table.

`evaluate`, `score`, `leaderboard` and `compare` are the Python API; the command line calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from g2vlm_bench.api import evaluate, leaderboard, score
    from g2vlm_bench.gate import compare

__all__ = ["__version__", "compare", "evaluate", "leaderboard", "score"]


def __getattr__(name: str) -> Any:
    # Looked up when used, so that importing the package (and with it the command line) is light.
    if name not in __all__:
        raise AttributeError(f"module 'g2vlm_bench' has no attribute '{name}'")
    if name == "compare":
        from g2vlm_bench import gate

        return gate.compare
    from g2vlm_bench import api

    return getattr(api, name)
