"""Pictures of any size brought to one that the model was trained on, and its maps brought back.

A picture is stretched to the model's size, hardly at all but for one more than four times as long
as wide; its camera is stretched alike, so that what is seen along each ray stays where it is. Image
coordinates have pixel centres at +0.5 and thus scale without a shift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Size = tuple[int, int]
# A strip of one pixel's width would else become a picture of a million.
_LONGEST = 4


def model_size(size: Size, side: int, patch: int) -> Size:
    """Height and width for the model: the shorter side as trained, the longer in whole patches.

    >>> model_size((480, 640), 96, 8), model_size((1000, 300), 96, 8), model_size((1, 900), 96, 8)
    ((96, 128), (320, 96), (96, 384))
    """
    shorter = min(size)
    edges = (min(edge, _LONGEST * shorter) for edge in size)
    height, width = (max(round(side * edge / shorter / patch), 1) * patch for edge in edges)
    return height, width


def shrink_image(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize `(H, W, 3)` by averaging what a pixel covers; the very pixels where the size fits."""
    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)


def scale_camera(intrinsics: NDArray[Any], old: Size, new: Size) -> NDArray[np.float64]:
    """The `(3, 3)` intrinsics of a picture that is stretched from one size to another."""
    stretch = np.diag([new[1] / old[1], new[0] / old[0], 1.0])
    return np.asarray(stretch @ np.asarray(intrinsics, np.float64))


def scatter_depth(depth_m: NDArray[Any], size: Size) -> NDArray[np.float32]:
    """Bring a sparse depth map to a size: the mean of what is known in each pixel, else NaN."""
    depth = np.asarray(depth_m, np.float64)
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    y = ((rows + 0.5) * size[0] / depth.shape[0]).astype(int)
    x = ((columns + 0.5) * size[1] / depth.shape[1]).astype(int)
    total, count = np.zeros(size), np.zeros(size)
    np.add.at(total, (y, x), depth[rows, columns])
    np.add.at(count, (y, x), 1.0)
    mean = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return mean.astype(np.float32)


def resize_depth(depth: Tensor, size: Size) -> Tensor:
    """Bring `(H, W)` depth to another size, exactly so where it shows a plane.

    What is interpolated is the inverse of depth, which is linear in the picture on any plane.
    """
    return 1 / resize_map(1 / depth, size)


def resize_map(values: Tensor, size: Size) -> Tensor:
    """Interpolate an `(H, W)` map between pixel centres; beyond the outermost it is constant."""
    if tuple(values.shape) == size:
        return values
    return F.interpolate(values[None, None], size, mode="bilinear", align_corners=False)[0, 0]
