"""The log of a training becomes curves and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.report.training_plot import plot_training, read_panels

LOG = """\
{"step":20,"skipped":0,"loss":3.5,"depth":0.5,"rate":0.001,"gradient":2.0,"minutes":0.1}
{"step":40,"skipped":1,"loss":2.5,"depth":0.25,"rate":0.001,"gradient":1.0,"minutes":0.2}
{"step":40,"skipped":1,"validation":{"abs_rel":0.1,"answers":0.5,"phrase_m":1.2,"rotation_deg":9}}
"""


def test_curves(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(LOG)
    panels = read_panels(tmp_path / "log.jsonl")
    assert panels["losses"] == {"loss": [(20, 3.5), (40, 2.5)], "depth": [(20, 0.5), (40, 0.25)]}
    assert panels["answers and places, share right"] == {"answers": [(40, 0.5)]}
    assert len(panels) == 5
    plot_training(tmp_path / "log.jsonl", tmp_path / "log.png")
    with Image.open(tmp_path / "log.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    # Five panels of six: each has a frame and curves, the last place is empty.
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 3
    inked = [
        bool((pixels[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns] < 128).any())
        for r in range(2)
        for c in range(3)
    ]
    assert inked == [True] * 5 + [False]


@pytest.mark.parametrize("content", ["", "{", None])
def test_no_log_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(BenchError, match="the log of a training"):
        plot_training(tmp_path / "log.jsonl", tmp_path / "log.png")
