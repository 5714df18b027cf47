"""Resizing of maps exactly as published code does it, and the grid of pixels that MoGe fits on."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["bicubic", "bilinear", "bilinear_corners"]
Map = NDArray[np.float32]


def resize_map(values: NDArray[Any], shape: tuple[int, int], kernel: Kernel) -> Map:
    """Resize a map (H, W) by interpolation between pixels, never averaging when it shrinks.

    `bicubic` may overshoot beside edges, below 0, too. Pixels beyond the border repeat it. One NaN
    spreads to all that are interpolated from it.

    Args:
        values: (H, W).
        shape: height and width wanted.
        kernel: `bicubic` is OpenCV's INTER_CUBIC (a = -0.75); `bilinear` is torch's `interpolate`
            without `align_corners`, `bilinear_corners` with it.

    Returns:
        float32 of that shape, the kernel's weights and sums in float32 as there.

    Raises:
        ValueError: for something not (H, W) with pixels, or a shape without any.

    Source: Keys 1981, equation 4 with a = -0.75, as in OpenCV 4 and 5 (imgproc, resize).
    """
    source = np.asarray(values, dtype=np.float32)
    if source.ndim != 2 or 0 in source.shape or min(shape) < 1:
        raise ValueError(f"resize: expected (H, W) to (H, W), got {source.shape} to {shape}")
    wide = _along_columns(source, shape[1], kernel)
    return np.ascontiguousarray(_along_columns(wide.T, shape[0], kernel).T)


def _along_columns(source: Map, size: int, kernel: Kernel) -> Map:
    width = source.shape[1]
    if size == width:
        return source
    steps = np.arange(size, dtype=np.float64)
    if kernel == "bicubic":
        places = (steps + 0.5) * (width / size) - 0.5
    else:
        # torch places samples in single precision, OpenCV in double.
        corners = kernel == "bilinear_corners"
        ratio = (width - 1) / max(size - 1, 1) if corners else width / size
        half = 0.0 if corners else 0.5
        places = np.maximum((steps + half) * np.float64(np.float32(ratio)) - half, 0.0)
        places = places.astype(np.float32).astype(np.float64)
    left = np.floor(places)
    offset = (places - left).astype(np.float32)
    weights = _cubic(offset) if kernel == "bicubic" else _linear(offset)
    first = left.astype(np.int64) - (len(weights) // 2 - 1)
    result = np.zeros((source.shape[0], size), dtype=np.float32)
    for tap, weight in enumerate(weights):
        result += source[:, np.clip(first + tap, 0, width - 1)] * weight
    return result


def _linear(offset: Map) -> tuple[Map, ...]:
    return np.float32(1) - offset, offset


def _cubic(offset: Map) -> tuple[Map, ...]:
    a, one = np.float32(-0.75), np.float32(1)
    far, other = offset + one, one - offset
    before = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    near = ((a + 2) * offset - (a + 3)) * offset * offset + one
    next_ = ((a + 2) * other - (a + 3)) * other * other + one
    return before, near, next_, one - before - near - next_


def nearest_valid_grid(mask: NDArray[np.bool_], size: int = 64) -> NDArray[np.int64]:
    """Return the flat indices of the valid pixels nearest to the cells of a size x size grid.

    A cell looks at its own window of the map and is left out where that holds no valid pixel; a map
    smaller than the grid gives pixels several times.

    Args:
        mask: (H, W) bool.
        size: cells along each side.

    Returns:
        (K,) into `mask.ravel()`, K <= size * size, cell by cell in rows.

    Source: utils3d (3fab839, torch/maps.py, `masked_nearest_resize`), which MoGe (0744441) fits its
    alignments on, 64 x 64.
    """
    nearest, found = nearest_valid(mask, (size, size))
    return nearest[found]


def nearest_valid(
    mask: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the valid pixel nearest to each cell of a grid over a map, in the cell's own window.

    Args:
        mask: (H, W) bool.
        size: Rows and columns of the grid, H' and W'.

    Returns:
        (H', W') into `mask.ravel()`, and (H', W') whether the window holds a valid pixel.

    Source: utils3d (3fab839, numpy/maps.py and torch/maps.py, `masked_nearest_resize`).
    """
    height, width = mask.shape
    rows, row_offsets = _windows(height, size[0])
    columns, column_offsets = _windows(width, size[1])
    # What a pixel costs in its window: infinitely much where it is not valid or off the map.
    far = np.float32(np.inf)
    row_costs = np.where((rows >= 0) & (rows < height), np.square(row_offsets), far)
    column_costs = np.where((columns >= 0) & (columns < width), np.square(column_offsets), far)
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    valid = mask.take(rows.ravel(), axis=0).take(columns.ravel(), axis=1)
    of_windows = valid.reshape(size[0], rows.shape[1], size[1], columns.shape[1]).swapaxes(1, 2)
    costs = np.where(of_windows, column_costs[:, None, :] + row_costs[:, None, :, None], far)
    nearest = costs.reshape(*size, -1).argmin(axis=2)
    row, column = np.divmod(nearest, columns.shape[1])
    down, right = np.ogrid[: size[0], : size[1]]
    index: NDArray[np.int64] = rows[down, row] * width + columns[right, column]
    return index, costs[down, right, row, column] < far


def thinned_columns(height: int, width: int, max_px: int) -> NDArray[np.int64]:
    """Return the columns that nearest resampling by max_px / the longer side keeps; all if small.

    Only columns are thinned, whichever side is longer: the map of one channel is resampled there as
    many channels of one row.

    Source: Marigold (b1dffaa, src/util/alignment.py, `max_resolution`), torch's `Upsample` with a
    scale factor, which places samples in single precision.
    """
    factor = max_px / max(height, width)
    if factor >= 1:
        return np.arange(width)
    places = np.arange(math.floor(width * factor), dtype=np.float32) * np.float32(1 / factor)
    columns: NDArray[np.int64] = np.minimum(np.floor(places).astype(np.int64), width - 1)
    return columns


def _windows(length: int, size: int) -> tuple[NDArray[np.int64], Map]:
    """The pixels in each cell's window along one side, and their offsets from its centre."""
    extent = max(1.0, length / size)
    centres = np.linspace(0.5 / size, 1 - 0.5 / size, size, dtype=np.float32) * np.float32(length)
    starts = np.round(centres - np.float32(extent / 2)).astype(np.int64)
    pixels = starts[:, None] + np.arange(math.ceil(extent))
    return pixels, pixels.astype(np.float32) + np.float32(0.5) - centres[:, None]
