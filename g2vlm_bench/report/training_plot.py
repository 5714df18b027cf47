"""The log of a training as a picture: losses, and what was measured on the validation split."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from g2vlm_bench.errors import BenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Facts of a step that are no losses.
_NO_LOSSES = {"step", "skipped", "minutes", "rate", "gradient"}
_WORDED = {"language", "places", "pointing", "patches", "masks", "contrastive", "masked"}
_PANELS = (
    "loss, whole", "losses of geometry", "losses of words and places",
    "depth of the validation split", "words bound to things, share right",
    "error of a phrase's place, m", "poses, degrees", "questions answered, share right",
)  # fmt: skip
_ANSWERS = _PANELS[-1]
_COLUMNS = 3
# Of the old in the running mean of a loss, which differs from batch to batch.
_KEPT = 0.8

Curves = dict[str, list[tuple[int, float]]]


def plot_training(log: Path, out: Path, borders: Sequence[int] = ()) -> None:
    """Draw the curves of a log: losses as running means, then what was measured, by its unit.

    Args:
        log: JSON lines that the training wrote.
        out: The picture, a PNG.
        borders: Last steps of the stages, rising. Validation scenes are those of a stage, so that
            what is measured has a curve a stage.

    Raises:
        BenchError: The log cannot be read, or has no step.
    """
    from matplotlib.figure import Figure

    panels = read_panels(log)
    # Answers have a curve a family, and the legend of these beside them.
    small = [title for title in panels if title != _ANSWERS]
    rows = -(-len(small) // _COLUMNS) + (_ANSWERS in panels)
    figure = Figure(figsize=(4.6 * _COLUMNS, 3.1 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    for place, title in enumerate(small):
        axes = figure.add_subplot(grid[divmod(place, _COLUMNS)])
        _draw(axes, title, panels[title], borders)
        axes.legend(fontsize=7, ncols=2 if len(panels[title]) > 4 else 1, framealpha=0.6)
    if _ANSWERS in panels:
        axes = figure.add_subplot(grid[rows - 1, : _COLUMNS - 1])
        _draw(axes, _ANSWERS, panels[_ANSWERS], borders)
        legend = figure.add_subplot(grid[rows - 1, _COLUMNS - 1])
        legend.set_axis_off()
        legend.legend(*axes.get_legend_handles_labels(), fontsize=8, ncols=2, loc="center left")
    figure.savefig(out, dpi=110)


def _draw(axes: Axes, title: str, curves: Curves, borders: Sequence[int]) -> None:
    from matplotlib import colormaps

    colors = colormaps["tab20" if len(curves) > 10 else "tab10"].colors  # type: ignore[attr-defined]
    for (name, points), color in zip(curves.items(), cycle(colors), strict=False):
        if "loss" in title:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=color, linewidth=0.5, alpha=0.25)
            values = tuple(accumulate(values, lambda old, new: _KEPT * old + (1 - _KEPT) * new))
            axes.plot(steps, values, color=color, linewidth=1.3, label=name)
            continue
        style: dict[str, Any] = {"color": color, "linewidth": 1, "markersize": 2.5}
        if name == "answers":
            style = {"color": "black", "linewidth": 2, "markersize": 3, "zorder": 9}
        label: str | None = "all" if name == "answers" else name.removeprefix("answers/")
        for _, stage in groupby(points, lambda point: bisect_left(borders, point[0])):
            axes.plot(*zip(*stage, strict=True), "-o", label=label, **style)
            label = None
    first, last = axes.get_xlim()
    for border in borders:
        if first < border < last:
            axes.axvline(border, color="gray", linewidth=0.8, linestyle=":")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def read_panels(log: Path) -> dict[str, Curves]:
    """Curves of a log, `(step, value)` by name, by the panel that they are drawn in.

    A loss that is 0 throughout, as that of poses is of one view, has no curve.

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
    panels: dict[str, Curves] = {title: {} for title in _PANELS}
    for line in lines:
        step = int(line["step"])
        for name, value in line.items():
            if name not in _NO_LOSSES and isinstance(value, float):
                panels[_loss_panel(name)].setdefault(name, []).append((step, value))
        for name, value in line.get("validation", {}).items():
            panels[_panel(name)].setdefault(name, []).append((step, value))
    kept = {
        title: {name: points for name, points in curves.items() if any(v for _, v in points)}
        for title, curves in panels.items()
    }
    return {title: curves for title, curves in kept.items() if curves}


def _loss_panel(name: str) -> str:
    if name == "loss":
        return _PANELS[0]
    return _PANELS[2] if name in _WORDED else _PANELS[1]


def _panel(name: str) -> str:
    """Figures of one unit share a panel."""
    if name.startswith("answers"):
        return _ANSWERS
    if name in ("pointed", "phrase_hit", "recall1"):
        return _PANELS[4]
    if name.startswith("phrase"):
        return _PANELS[5]
    return _PANELS[6] if name.endswith("_deg") else _PANELS[3]
