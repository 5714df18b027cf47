"""Pictures to the model's size and maps back: planes stay planes, rays stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g2vlm_bench.geometry.cameras import pinhole, unproject
from g2vlm_bench.reference import framing


def plane(size: tuple[int, int], camera: np.ndarray) -> np.ndarray:
    """Depth of the plane n.p = 3 through the middles of pixels: z = 3 / (n . K^-1 (x, y, 1))."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([x, y, np.ones(size)], -1) @ np.linalg.inv(camera).T
    return 3 / (rays @ np.array([0.2, 0.35, 1.0]))


@pytest.mark.parametrize("large", [(120, 160), (333, 250), (96, 96), (50, 70)])
def test_a_plane_comes_back_at_the_size_of_the_picture(large) -> None:
    camera = pinhole(*large, 60.0)
    small = framing.model_size(large, 96, 8)
    inner = plane(small, framing.scale_camera(camera, large, small))
    outer = framing.resize_depth(torch.from_numpy(inner), large).numpy()
    # Outside the middles of the outermost pixels the map is continued as a constant.
    rim = int(np.ceil(max(a / b for a, b in zip(large, small, strict=True)) / 2))
    middle = (slice(rim, -rim), slice(rim, -rim))
    np.testing.assert_allclose(outer[middle], plane(large, camera)[middle], rtol=1e-9)
    points = unproject(outer, camera)[middle]
    np.testing.assert_allclose(points @ [0.2, 0.35, 1.0], 3.0, rtol=1e-9)


def test_cameras_there_and_back() -> None:
    camera = np.array([[500.0, 0, 310], [0, 480, 250], [0, 0, 1]])
    there = framing.scale_camera(camera, (480, 640), (96, 128))
    np.testing.assert_allclose(there[0], [100, 0, 62])
    np.testing.assert_allclose(there[1], [0, 96, 50])
    back = framing.scale_camera(there, (96, 128), (480, 640))
    np.testing.assert_allclose(back, camera)


def test_sizes_are_patches_and_the_shorter_side_as_trained() -> None:
    for size in [(96, 96), (97, 96), (3024, 4032), (100, 399), (7, 5)]:
        height, width = framing.model_size(size, 96, 8)
        assert height % 8 == width % 8 == 0
        assert min(height, width) == 96
        # Half a patch of the shorter side is all that the shape may change by.
        assert abs(height / width / (size[0] / size[1]) - 1) <= 4 / 96
    # A strip is stretched, or it would be as many tokens as it is long.
    assert framing.model_size((1, 100_000), 96, 8) == (96, 384)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    assert framing.shrink_image(image, (96, 128)) is image
    flat = np.full((200, 300, 3), 77, np.uint8)
    np.testing.assert_array_equal(framing.shrink_image(flat, (96, 144)), 77)


def test_shrinking_keeps_things_where_they_are() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[100:140, 300:340] = 255
    small = framing.shrink_image(image, (96, 96)).astype(float)[..., 0]
    y, x = np.mgrid[:96, :96] + 0.5
    assert (small * y).sum() / small.sum() == pytest.approx(120 * 96 / 400, abs=0.02)
    assert (small * x).sum() / small.sum() == pytest.approx(320 * 96 / 400, abs=0.02)


def test_sparse_depth_is_the_mean_of_what_is_known() -> None:
    depth = np.full((4, 8), np.nan, np.float32)
    depth[0, 0], depth[1, 1], depth[3, 7], depth[2, 6] = 2.0, 4.0, 5.0, -1.0
    found = framing.scatter_depth(depth, (2, 4))
    np.testing.assert_array_equal(found[0], [3.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found[1], [np.nan, np.nan, np.nan, 5.0])
    larger = framing.scatter_depth(depth, (8, 16))
    assert np.isfinite(larger).sum() == 3
    assert larger[7, 15] == 5.0
