"""The right answer written out as a model would write it, for the truth that must score best."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from g2vlm_bench.metrics.places import Scale
from g2vlm_bench.protocols.counted import right_letter
from g2vlm_bench.sample import Target


def true_answer(target: Target, form: str = "", scale: Scale = "unit") -> str:
    """Write the right answer.

    Args:
        target: The truth.
        form: What a right answer looks like where the prompt asks for one. Fields: `{letter}` and
            `{text}` of a choice; of a point `{x}`, `{y}` (shares), `{gx}`, `{gy}` (grid of 1000)
            and `{px}`, `{py}` (pixels); else `{text}`.
        scale: Of points and boxes, where no form is given.
    """
    if target.answer_type == "points":
        forms = {"unit": "[({x:.6f}, {y:.6f})]", "thousand": "[({gx}, {gy})]"}
        return (form or forms.get(scale, "[({px}, {py})]")).format(**_place(target))
    if target.answer_type == "box":
        return form.format(text=_box(target, scale)) if form else _box(target, scale)
    text = str(target.answer)
    if target.answer_type == "number":
        value = float(target.answer)  # type: ignore[arg-type]
        # All digits, since a tolerance of 0 forgives none; a count as people write it.
        text = str(int(value)) if value.is_integer() else repr(value)
    if target.answer_type != "choice":
        return (form or "{text}").format(text=text)
    return (form or "{letter}").format(letter=right_letter(target), text=text)


def _place(target: Target) -> dict[str, float]:
    """The pixel of the region that is farthest from its border, on each scale."""
    region = target.region
    if region is None:
        raise ValueError("expected a region, got none")
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), region.shape)
    y, x = (row + 0.5) / region.shape[0], (column + 0.5) / region.shape[1]
    return {
        "x": float(x), "y": float(y),
        "gx": int(x * 1000), "gy": int(y * 1000),
        "px": int(column), "py": int(row),
    }  # fmt: skip


def _box(target: Target, scale: Scale) -> str:
    if target.box is None or target.image_size is None:
        raise ValueError("expected a box and the image's size, got none")
    height, width = target.image_size
    whole = {"unit": (1.0, 1.0), "thousand": (1000.0, 1000.0), "pixel": (width, height)}[scale]
    over = np.array([width, height, width, height]) / np.array([*whole, *whole])
    return str([round(float(side), 6) for side in target.box / over])
