"""NYU Depth v2's labelled frames as published: one MATLAB file, and the official split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.hdf5 import hdf5_shape, hdf5_texts, load_hdf5
from g2vlm_bench.data.layout import hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.views import View, pinhole, sample_of_views
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Sample

# The toolbox's camera_params.m: the colour camera, to which the labelled depth is registered.
_INTRINSICS = (518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)


class NyuMat(Reader):
    """`nyu_depth_v2_labeled.mat` and `splits.mat`.

    Layout: the first is a v7.3 file (HDF5) of 1,449 frames of 640 x 480: `images` (uint8),
    `depths` (metres, holes filled in), `rawDepths` (metres, 0 = none) and `scenes` (names such as
    `kitchen_0004`, the clusters); as HDF5 the dimensions come in reverse, `(1449, 3, 640, 480)`.
    The second has `testNdxs` (654) and `trainNdxs` (795), counted from 1. Images have a white frame
    of some 8 pixels, which peers' crop (`nyu`: rows 45 to 470, columns 41 to 600) leaves out.
    Intrinsics are the toolbox's, of the colour camera, taken for pixel centres at whole numbers.

    Splits: `test` and `train`, the official ones. Needs the extra `hdf5`. No licence is stated;
    research use is customary.

    Source: Silberman et al. 2012, "Indoor Segmentation and Support Inference from RGBD Images".

    Args:
        root: The folder of both files.
        depth: `depths`, as most peers, or `rawDepths`, what the sensor saw.
        labelled: Name of the first file.
        split_file: Name of the second file.
        given: `intrinsics`, if a model is given them besides the image.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self,
        root: Path,
        *,
        depth: str = "depths",
        labelled: str = "nyu_depth_v2_labeled.mat",
        split_file: str = "splits.mat",
        given: Sequence[str] = (),
    ) -> None:
        self.root = root.resolve()
        self.path, self.split_file = self.root / labelled, self.root / split_file
        self.depth, self.given = depth, given
        self.scenes = hdf5_texts(self.path, "scenes")
        for key, shape in (("images", (3, 640, 480)), (depth, (640, 480))):
            expected = (len(self.scenes), *shape)
            if (got := hdf5_shape(self.path, key)) != expected:
                raise BenchError(self.path, expected=f"'{key}' of {expected}", got=got)
        self.indices = {
            split: _indices(self.split_file, f"{split}Ndxs", len(self.scenes))
            for split in self.splits
        }

    def samples(self, split: str) -> Sequence[Sample]:
        """List one sample a frame; its id is its number in the file, counted from 1."""
        return [
            sample_of_views([self._view(index)], self.scenes[index], self.given)
            for index in self.indices[split]
        ]

    def counts(self) -> dict[str, int]:
        """Count the `labelled` frames of both splits, too."""
        return super().counts() | {"labelled": len(self.scenes)}

    def content_hash(self, split: str) -> str:
        """Hash both files whole."""
        return hash_content(self.root, [self.path, self.split_file], [self.depth])

    def _view(self, index: int) -> View:
        return View(
            id=f"{index + 1:04d}",
            image=partial(_image, self.path, index),
            load_depth=partial(_depth, self.path, self.depth, index),
            intrinsics=pinhole(_INTRINSICS, 0.0, "NYU"),
        )


def _indices(path: Path, key: str, count: int) -> list[int]:
    from scipy.io import loadmat

    try:
        numbers = np.ravel(loadmat(path, variable_names=[key])[key]).astype(int) - 1
    except Exception as error:  # a damaged file raises whatever its parser stumbled on
        raise BenchError(path, expected=f"a MATLAB file with '{key}'", got=error) from None
    if not numbers.size or numbers.min() < 0 or numbers.max() >= count:
        raise BenchError(path, expected=f"numbers from 1 to {count} in '{key}'", got="others")
    return [int(number) for number in numbers]


def _image(path: Path, index: int) -> NDArray[np.uint8]:
    image = load_hdf5(path, "images", index)
    if image.dtype != np.uint8:
        raise BenchError(path, expected="'images' of uint8", got=image.dtype)
    return np.ascontiguousarray(image.transpose(2, 1, 0))


def _depth(path: Path, key: str, index: int) -> NDArray[np.float32]:
    depth_m = load_hdf5(path, key, index).T
    return np.where(depth_m > 0, depth_m, np.nan).astype(np.float32)
