"""Resizing against torch, whose bicubic kernel is OpenCV's, too; the grid against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g2vlm_bench.geometry.resampling import nearest_valid_grid, resize_map, thinned_columns

SIZES = [((7, 9), (13, 20)), ((30, 41), (16, 16)), ((5, 3), (17, 2)), ((8, 8), (8, 8))]


@pytest.mark.parametrize(("size", "wanted"), SIZES)
@pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "bilinear_corners"])
def test_agreement_with_torch(size, wanted, kernel) -> None:
    values = np.random.default_rng(0).uniform(1, 10, size).astype(np.float32)
    mode = {"mode": kernel.split("_")[0], "align_corners": kernel.endswith("corners")}
    expected = torch.nn.functional.interpolate(torch.tensor(values)[None, None], wanted, **mode)
    found = resize_map(values, wanted, kernel)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0, 0].numpy(), rtol=2e-5)


def test_bicubic_overshoots_beside_an_edge() -> None:
    edge = np.array([[1.0, 1, 1, 9, 9, 9]])
    assert resize_map(edge, (1, 12), "bicubic").min() < 1


@pytest.mark.parametrize(
    ("values", "shape"),
    [(np.ones(3), (2, 2)), (np.ones((0, 3)), (2, 2)), (np.ones((2, 2)), (0, 2))],
)
def test_what_is_no_map_is_refused(values, shape) -> None:
    with pytest.raises(ValueError, match="expected"):
        resize_map(values, shape, "bicubic")


def slowly(mask: np.ndarray, size: int) -> list[int]:
    height, width = mask.shape
    found = []
    for i in range(size):
        for j in range(size):
            y, x = (i + 0.5) * height / size, (j + 0.5) * width / size
            rows, columns = max(1, height / size), max(1, width / size)
            top, left = round(y - rows / 2), round(x - columns / 2)
            window = [
                ((a + 0.5 - y) ** 2 + (b + 0.5 - x) ** 2, a * width + b)
                for a in range(top, top + int(np.ceil(rows)))
                for b in range(left, left + int(np.ceil(columns)))
                if 0 <= a < height and 0 <= b < width and mask[a, b]
            ]
            found += [min(window)[1]] if window else []
    return found


@pytest.mark.parametrize("shape", [(16, 24), (40, 56), (5, 9)])
@pytest.mark.parametrize("share", [0.9, 0.1])
def test_the_grid_takes_the_nearest_valid_pixel_of_each_window(shape, share) -> None:
    mask = np.random.default_rng(1).random(shape) < share
    found = nearest_valid_grid(mask, 8)
    assert mask.ravel()[found].all()
    assert found.tolist() == slowly(mask, 8)
    assert nearest_valid_grid(np.zeros(shape, bool), 8).size == 0


@pytest.mark.parametrize("width", [1025, 1300, 1500, 2048, 4097])
def test_thinned_columns_are_those_of_torch_and_no_rows(width) -> None:
    height, limit = 3, 1024
    values = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    # A map without a channel is so many channels of one row to torch: Marigold's own call.
    expected = torch.nn.Upsample(scale_factor=limit / width, mode="nearest")(values)[0]
    columns = thinned_columns(height, width, limit)
    np.testing.assert_array_equal(values[0, :, columns], expected)
    # The longer side sets the factor, whichever it is.
    assert len(thinned_columns(2 * limit, 100, limit)) == 50
    np.testing.assert_array_equal(thinned_columns(9, 8, limit), np.arange(8))
