"""The log of a training becomes curves and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.report.training_plot import _draw, plot_training, read_panels

LOG = """\
{"step":20,"skipped":0,"loss":3.5,"depth":0.5,"language":1.5,"rotation":0.0,"rate":0.001}
{"step":40,"skipped":1,"loss":2.5,"depth":0.25,"language":1.25,"rotation":0.0,"minutes":0.2}
{"step":40,"skipped":1,"validation":{"abs_rel":0.1,"answers":0.5,"answers/order":0.25,\
"pointed":0.75,"phrase_m":1.2,"rotation_deg":9}}
"""


def test_curves(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(LOG)
    panels = read_panels(tmp_path / "log.jsonl")
    assert panels == {
        "loss, whole": {"loss": [(20, 3.5), (40, 2.5)]},
        "losses of geometry": {"depth": [(20, 0.5), (40, 0.25)]},
        "losses of words and places": {"language": [(20, 1.5), (40, 1.25)]},
        "depth of the validation split": {"abs_rel": [(40, 0.1)]},
        "words bound to things, share right": {"pointed": [(40, 0.75)]},
        "error of a phrase's place, m": {"phrase_m": [(40, 1.2)]},
        "poses, degrees": {"rotation_deg": [(40, 9)]},
        "questions answered, share right": {"answers": [(40, 0.5)], "answers/order": [(40, 0.25)]},
    }
    plot_training(tmp_path / "log.jsonl", tmp_path / "log.png")
    with Image.open(tmp_path / "log.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    # Seven small panels of nine places, and one with its legend below them.
    rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 3
    cells = pixels[: 4 * rows, : 3 * columns].reshape(4, rows, 3, columns).swapaxes(1, 2)
    # Panels may stand a little over the edges of their cells.
    inner = cells[:, :, rows // 5 : -rows // 5, columns // 20 : -columns // 20]
    inked = (inner < 128).any((2, 3)).flatten().tolist()
    assert inked[:9] == [True] * 7 + [False] * 2
    assert any(inked[9:11]), "the wide panel"
    assert inked[11], "its legend"


def test_what_is_measured_has_a_curve_a_stage(tmp_path: Path) -> None:
    curves = {"rotation_deg": [(10, 9.0), (20, 8.0), (30, 40.0), (40, 30.0)]}
    axes = Figure().add_subplot()
    _draw(axes, "poses, degrees", curves, [20, 40])
    drawn = [list(line.get_xdata()) for line in axes.lines]
    # The second border is where the last curve ends.
    assert drawn == [[10, 20], [30, 40], [20, 20], [40, 40]]
    assert axes.get_legend_handles_labels()[1] == ["rotation_deg"]


@pytest.mark.parametrize("content", ["", "{", None])
def test_no_log_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(BenchError, match="the log of a training"):
        plot_training(tmp_path / "log.jsonl", tmp_path / "log.png")
