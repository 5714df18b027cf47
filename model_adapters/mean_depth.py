"""Floor: the mean depth map of the training split, position by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Target, Want

_ROWS, _COLUMNS = 24, 32


class MeanDepth(FittedAdapter):
    """The mean of the training depth maps on a grid of 24 x 32 cells, resized to each image.

    A cell of a training map is the mean of its valid pixels; a cell of the grid is the mean over
    the maps that have one there, so that a large map counts no more than a small one. A cell that
    no map fills gets the mean of the others. Only two grids are held, however long the split.
    """

    predicts = frozenset({Want.DEPTH})
    ambiguity = Ambiguity.METRIC

    def __init__(self) -> None:
        self._grid_m: NDArray[np.float64] | None = None

    def fit(self, training: Iterable[tuple[Inputs, Target]]) -> None:
        """Average the depth maps of the training split.

        Raises:
            BenchError: No map of the split has a valid pixel.
        """
        total = np.zeros((_ROWS, _COLUMNS))
        maps = np.zeros((_ROWS, _COLUMNS))
        for _, target in training:
            for depth_m in target.depth_m or ():
                cells = _cell_means(depth_m)
                filled = np.isfinite(cells)
                total[filled] += cells[filled]
                maps += filled
        if not maps.any():
            raise BenchError(
                "model 'mean_depth'", expected="a training split with depth", got="no valid pixel"
            )
        grid = total / np.maximum(maps, 1)
        self._grid_m = np.where(maps > 0, grid, grid[maps > 0].mean())

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Resize the mean map to each image.

        Raises:
            BenchError: `fit` was not called.
        """
        grid_m = self._grid_m
        if grid_m is None:
            raise BenchError("model 'mean_depth'", expected="a fit before predict", got="none")
        return [
            Prediction(depth=tuple(_resize(grid_m, *image.shape[:2]) for image in inputs.images))
            for inputs in batch
        ]


def _cell_means(depth_m: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of the valid pixels of each cell; NaN where a cell has none."""
    # A map smaller than the grid is enlarged first, or it would leave cells empty.
    depth_m = depth_m.repeat(-(-_ROWS // depth_m.shape[0]), axis=0)
    depth_m = depth_m.repeat(-(-_COLUMNS // depth_m.shape[1]), axis=1)
    height, width = depth_m.shape
    valid = np.isfinite(depth_m) & (depth_m > 0)
    row = ((np.arange(height) + 0.5) * _ROWS / height).astype(np.intp)
    column = ((np.arange(width) + 0.5) * _COLUMNS / width).astype(np.intp)
    cell = (row[:, None] * _COLUMNS + column)[valid]
    total = np.bincount(cell, depth_m[valid].astype(np.float64), minlength=_ROWS * _COLUMNS)
    count = np.bincount(cell, minlength=_ROWS * _COLUMNS)
    means = np.full(_ROWS * _COLUMNS, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means.reshape(_ROWS, _COLUMNS)


def _resize(grid: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Resize bilinearly between cell centres; beyond the outermost ones the edge is kept."""
    down = _weights(grid.shape[0], height)
    across = _weights(grid.shape[1], width)
    return (down @ grid @ across.T).astype(np.float32)


def _weights(cells: int, pixels: int) -> NDArray[np.float64]:
    """Interpolation weights `(pixels, cells)`; each row sums to 1."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    # A hat function one cell wide around each cell's centre.
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(cells))), np.float64)
