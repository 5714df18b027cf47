"""Which pixels of a true depth map count as points: its range, a crop, and fewer of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.lifting import thinned
from g2vlm_bench.metrics.depth import Crop, crop_frame, near_enough, valid_mask

Mask = NDArray[np.bool_]


def counted_pixels(
    depth: NDArray[Any],
    *,
    min_depth_m: float = 0.0,
    max_depth_m: float | None = None,
    max_over_near: float | None = None,
    crop: Crop | None = None,
    at_most: int | None = None,
) -> Mask:
    """Mark the pixels of a view that count.

    Args:
        depth: (H, W) metres, NaN where there is no truth.
        min_depth_m: nearer truth does not count, nor truth there.
        max_depth_m: farther truth does not count, nor truth there.
        max_over_near: nor truth farther than this many times the 1 % quantile.
        crop: of the field, by name.
        at_most: about so many of the rest are left, on a grid of the frame that the crop is of.

    Returns:
        (H, W).

    Raises:
        ValueError: for a crop of another size.
    """
    far = np.inf if max_depth_m is None else max_depth_m
    mask = valid_mask(depth, min_depth_m, far, crop)
    if max_over_near is not None:
        mask = near_enough(depth, mask, max_over_near)
    if at_most is not None:
        height, width = depth.shape
        frame = ... if crop is None else crop_frame(height, width, crop)
        mask[frame] &= thinned(mask[frame], at_most)
    return mask
