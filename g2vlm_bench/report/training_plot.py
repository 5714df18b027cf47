"""The log of a training as a picture: losses, and what was measured on the validation split."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.errors import BenchError

# Facts of a step that are no losses.
_NO_LOSSES = {"step", "skipped", "minutes", "rate", "gradient"}
_COLUMNS = 3

Curves = dict[str, list[tuple[int, float]]]


def plot_training(log: Path, out: Path) -> None:
    """Draw the curves of a log, one panel for the losses and one for each kind of figure.

    Args:
        log: JSON lines that the training wrote.
        out: The picture, a PNG.

    Raises:
        BenchError: The log cannot be read, or has no step.
    """
    from matplotlib.figure import Figure

    panels = read_panels(log)
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4.4 * _COLUMNS, 3.2 * rows), layout="constrained")
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for panel in axes:
        panel.set_visible(False)
    for panel, (title, curves) in zip(axes, panels.items(), strict=False):
        panel.set_visible(True)
        for name, points in curves.items():
            panel.plot(*zip(*points, strict=True), label=name, linewidth=1)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.legend(fontsize=6, ncols=2)
        if title == "losses":
            panel.set_yscale("symlog", linthresh=0.01)
    figure.savefig(out, dpi=110)


def read_panels(log: Path) -> dict[str, Curves]:
    """Curves of a log, `(step, value)` by name, by the panel that they are drawn in.

    Raises:
        BenchError: The log cannot be read, or has no step.
    """
    try:
        lines: list[dict[str, Any]] = [
            msgspec.json.decode(line) for line in log.read_bytes().splitlines()
        ]
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(log, expected="the log of a training", got=str(error)) from None
    if not lines:
        raise BenchError(log, expected="the log of a training", got="no line")
    panels: defaultdict[str, Curves] = defaultdict(dict)
    for line in lines:
        step = int(line["step"])
        for name, value in line.items():
            if name not in _NO_LOSSES and isinstance(value, float):
                panels["losses"].setdefault(name, []).append((step, value))
        for name, value in line.get("validation", {}).items():
            panels[_panel(name)].setdefault(name, []).append((step, value))
    return dict(panels)


def _panel(name: str) -> str:
    """Figures of one unit share a panel."""
    if name.startswith("answers") or name == "phrase_hit":
        return "answers and places, share right"
    if name.startswith("phrase"):
        return "phrases: error of the place, m"
    if name.endswith("_deg"):
        return "poses, degrees"
    return "depth and retrieval"
