"""Agreement of sets of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def intersection_over_union(predicted: Sequence[Mask], true: Sequence[Mask]) -> float:
    """Intersection over union of two masks over the pixels of all views together, in [0, 1].

    Args:
        predicted: `(H, W)` bool per view.
        true: As many, of the same sizes, with at least one pixel among them.

    Raises:
        ValueError: Other numbers of views, other sizes, or no true pixel.

    Source: Jaccard (1912); over all views as in multi-view segmentation, so that a view in which
    the object is hidden counts by the pixels wrongly claimed there.
    """
    shapes = [mask.shape for mask in predicted], [mask.shape for mask in true]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected masks of the true sizes {shapes[1]}, got {shapes[0]}")
    if not any(mask.any() for mask in true):
        raise ValueError("expected a true mask with a pixel, got none")
    both = sum(int((p & t).sum()) for p, t in zip(predicted, true, strict=True))
    either = sum(int((p | t).sum()) for p, t in zip(predicted, true, strict=True))
    return both / either
