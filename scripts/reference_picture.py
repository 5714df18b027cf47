r"""What the reference model makes of the first scenes of the test split, beside the truth.

python scripts/reference_picture.py
python scripts/reference_picture.py --weights runs/train-nano --out runs/train-nano/shown.png

The first room, table top and road of the split, none of them chosen: the picture, the depth of the
model up to scale beside the true one, the pixels that it means by a phrase, and two questions.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench.adapter import Adapter  # noqa: E402
from g2vlm_bench.errors import BenchError  # noqa: E402
from g2vlm_bench.plugins import Plugins  # noqa: E402
from g2vlm_bench.report.drawing import range_of  # noqa: E402
from g2vlm_bench.sample import Prediction, Sample, Want  # noqa: E402
from g2vlm_bench.world.reader import WorldReader  # noqa: E402
from g2vlm_bench.world.scene import PLACES  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT, WRONG, MEANT = "#006e32", "#b3261e", (1.0, 0.1, 0.6)
QUESTIONS = 2


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="nano")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "reference.png")
    options = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    model = Plugins().adapter("g2vlm", {"weights": options.weights}, {})
    drawn, axes = plt.subplots(
        len(PLACES), 5, figsize=(11, 2.2 * len(PLACES)), width_ratios=(1, 1, 1, 1, 1.7)
    )
    for place, row in zip(PLACES, axes, strict=True):
        draw_scene(model, place, row)
    drawn.tight_layout(pad=0.6)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(options.out, dpi=110)


def draw_scene(model: Adapter, place: str, row: Any) -> None:
    """One scene from left to right."""
    depth, asked, found = (first_of(place, c) for c in ("depth", "questions", "grounding"))
    inputs, target = depth[0].load_inputs(), depth[0].load_target()
    assert target.depth_m is not None
    true = target.depth_m[0]
    made = predict(model, depth[0], Want.DEPTH)
    assert made.depth is not None
    scale = np.nanmedian(true / made.depth[0])
    limits = range_of(true.astype(np.float64))
    show(row[0], inputs.images[0], depth[0].id.partition("-v")[0])
    show(row[1], made.depth[0] * scale, f"its depth, times {scale:.2f}", limits)
    show(row[2], true, f"true depth, {limits[0]:.1f} to {limits[1]:.1f} m", limits)
    draw_phrase(model, found[0], row[3])
    row[4].axis("off")
    top = 1.0
    for sample in asked[:QUESTIONS]:
        top = write_question(model, sample, row[4], top)


def first_of(place: str, content: str) -> list[Sample]:
    """What is asked of the first scene of a place of which anything is."""
    reader = WorldReader(n=4, content=content, place=place)
    for _, samples in groupby(reader.samples("test"), key=lambda sample: sample.cluster):
        return list(islice(samples, QUESTIONS))
    raise BenchError("world", expected=f"{content} of a {place}", got="none in four scenes")


def predict(model: Adapter, sample: Sample, want: Want) -> Prediction:
    """The model's prediction of one sample."""
    (made,) = model.predict([sample.load_inputs()], frozenset({want}))
    if isinstance(made, Exception):
        raise made
    return made


def show(axes: Axes, image: Any, title: str, limits: tuple[float, float] | None = None) -> None:
    """A picture, or a map in the colours of its range."""
    low, high = limits or (None, None)
    axes.imshow(image, cmap="viridis_r", vmin=low, vmax=high)
    axes.set_title(title, fontsize=8)
    axes.axis("off")


def draw_phrase(model: Adapter, sample: Sample, axes: Axes) -> None:
    """The pixels that the model means by a phrase, with the outline of the true ones."""
    inputs, (meant,) = sample.load_inputs(), sample.load_target().objects
    made = predict(model, sample, Want.MASKS)
    assert made.masks is not None
    shown, true = np.asarray(made.masks[0]), meant.masks[0]
    image = inputs.images[0] / 255.0
    image[shown] = 0.4 * image[shown] + 0.6 * np.array(MEANT)
    overlap = (shown & true).sum() / max((shown | true).sum(), 1)
    title = wrapped(f"“{inputs.question}”, IoU\N{NO-BREAK SPACE}{overlap:.2f}", 32)
    show(axes, image, title)
    axes.contour(true, [0.5], colors="white", linewidths=1)


def write_question(model: Adapter, sample: Sample, axes: Axes, top: float) -> float:
    """A question, the model's answer, and the right one where that is another."""
    inputs, target = sample.load_inputs(), sample.load_target()
    said = predict(model, sample, Want.ANSWER).answer or ""
    true = f"{target.answer:.2f}" if isinstance(target.answer, float) else str(target.answer)
    is_right = said.lower() == true.lower()
    options = f" ({' / '.join(inputs.choices)})" if inputs.choices else ""
    lines = [(line, "black") for line in wrapped(f"{inputs.question}{options}", 54).split("\n")]
    if target.unit:
        lines += [(f"{said} {target.unit}; true: {true}", "black")]
    else:
        lines += [(said if is_right else f"{said}; right: {true}", RIGHT if is_right else WRONG)]
    for text, colour in lines:
        weight = "normal" if (text, colour) is not lines[-1] else "bold"
        axes.text(0, top, text, color=colour, weight=weight, fontsize=8, va="top")
        top -= 0.1
    return top - 0.06


def wrapped(text: str, width: int) -> str:
    """A text in lines."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"error: {error}")
