"""Views as benchmarks show them; golden values are of their own code.

MoGe 0744441 with utils3d 3fab839, SpatialBench 7f06a37, both with OpenCV 5.0.0, run as in
`scripts/conformance_views.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.data.viewport import Cropped, Viewport
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.geometry.resampling import nearest_valid, nearest_valid_grid

CENTRED = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]], np.float32)
ASIDE = np.array([[0.9, 0, 0.56], [0, 1.15, 0.45], [0, 0, 1]], np.float32)


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth with holes, labels and colours of 40 x 30 pixels."""
    rng = np.random.default_rng(7)
    depth = rng.uniform(1, 10, (30, 40)).astype(np.float32)
    depth[rng.random((30, 40)) < 0.3] = np.nan
    labels = rng.integers(0, 200, (30, 40)).astype(np.uint16)
    return depth, labels, rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)


def test_as_moge_shows_it() -> None:
    depth, labels, image = pictures()
    shown = Viewport(24, 16, (30, 40), ASIDE)
    camera = [[0.9535461, 0, 0.5], [0, 1.4303192, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(shown.shown_camera, camera, rtol=1e-7)
    found = shown.depth(depth)
    assert found.shape == (16, 24)
    assert np.isfinite(found).sum() == 381
    assert np.nansum(found, dtype=np.float64) == pytest.approx(2056.837187767029, rel=1e-6)
    some = np.ix_([0, 7, 15], [0, 5, 12, 23])
    expected = [
        [1.1598456, 9.531926, 8.958632, 4.403973],
        [5.4933305, 4.7915263, 2.932333, 7.295394],
        [1.9877206, 8.5367, 7.67973, 3.6400669],
    ]
    np.testing.assert_allclose(found[some], expected, rtol=1e-6)
    taken = shown.labels(labels)
    assert taken[some].tolist() == [[115, 32, 95, 136], [152, 38, 103, 197], [26, 77, 87, 19]]
    assert taken.sum() == 36021
    colours = shown.image(image)
    assert colours[7, 12].tolist() == [118, 135, 136]
    assert colours.sum(dtype=np.int64) == 143922


def test_a_centred_view_of_its_own_size_is_left_as_it_is() -> None:
    depth, labels, image = pictures()
    shown = Viewport(40, 30, (30, 40), CENTRED)
    np.testing.assert_allclose(shown.depth(depth), depth, rtol=3e-7)
    np.testing.assert_array_equal(shown.labels(labels), labels)
    np.testing.assert_array_equal(shown.image(image), image)
    np.testing.assert_allclose(shown.intrinsics, np.diag([40, 30, 1]) @ CENTRED, rtol=1e-6)


def test_a_wide_view_is_cropped_on_both_sides() -> None:
    """Half as wide: the middle half, at the same resolution."""
    depth, labels, image = pictures()
    shown = Viewport(20, 30, (30, 40), CENTRED)
    np.testing.assert_array_equal(shown.labels(labels), labels[:, 10:30])
    np.testing.assert_array_equal(shown.image(image), image[:, 10:30])
    np.testing.assert_allclose(shown.depth(depth), depth[:, 10:30], rtol=3e-7)


def test_a_turned_camera_sees_the_same_surface() -> None:
    """A wall seen at an angle: turned back, its points lie on it."""
    camera = np.diag([400, 300, 1]) @ ASIDE.astype(np.float64)
    normal, distance = np.array([0.3, -0.2, 1.0]), 4.0
    rays = unproject(np.ones((300, 400), np.float32), camera)
    depth = (distance / (rays @ normal)).astype(np.float32)
    shown = Viewport(320, 200, (300, 400), ASIDE)
    points = unproject(shown.depth(depth), shown.intrinsics).reshape(-1, 3)
    middle = np.linalg.inv(ASIDE) @ [0.5, 0.5, 1]
    axis = np.cross([0, 0, 1], middle / np.linalg.norm(middle))
    # The old frame's coordinates: the new axis is the old ray of the middle.
    angle = np.arcsin(np.linalg.norm(axis))
    from scipy.spatial.transform import Rotation

    back = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
    off = np.abs(back.apply(points) @ normal - distance)
    # The nearest pixel is up to half a pixel away: some 2 cm at 4 m.
    assert np.median(off) < 0.01
    assert off.max() < 0.03
    assert np.abs(points @ normal - distance).mean() > 0.1


def test_a_camera_that_looks_past_its_picture_is_refused() -> None:
    edge = np.array([[0.9, 0, 0.999], [0, 1.2, 0.5], [0, 0, 1]], np.float32)
    far = np.array([[0.9, 0, 40], [0, 1.2, 0.5], [0, 0, 1]], np.float32)
    wide = np.array([[0.05, 0, 0.9], [0, 0.05, 0.5], [0, 0, 1]], np.float32)
    Viewport(40, 30, (30, 40), edge)
    with pytest.raises(ValueError, match="enlarged to"):
        Viewport(40, 30, (30, 40), far)
    with pytest.raises(ValueError, match="behind its camera"):
        Viewport(40, 30, (30, 40), wide)


@pytest.mark.parametrize(
    ("size", "camera", "valid", "total", "some", "colour", "colours"),
    [
        # Enlarged, and cut at its sides.
        (
            (56, 28), (56, 53.666668, 28.122221, 14.277777), 1105, 6072.055010914803,
            [7.532644748687744, 6.159994602203369, 5.016457557678223], [112, 202, 124], 588284,
        ),
        (
            (14, 14), (19.384615, 18.576923, 7.2153845, 6.769231), 141, 777.0556703805923,
            [0.0, 5.471860885620117, 4.971989631652832], [139, 177, 103], 72841,
        ),
    ],
)  # fmt: skip
def test_as_spatialbench_shows_it(size, camera, valid, total, some, colour, colours) -> None:
    depth, _, image = pictures()
    intrinsics = np.array([[36, 0, 21.9], [0, 34.5, 13], [0, 0, 1]], np.float32)
    shown = Cropped(*size, (30, 40), intrinsics)
    fx, fy, cx, cy = camera
    expected = [[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]]
    np.testing.assert_allclose(shown.intrinsics, expected, rtol=2e-7)
    found = np.nan_to_num(shown.depth(depth))
    assert found.shape == (size[1], size[0])
    assert (found > 0).sum() == valid
    assert found.sum(dtype=np.float64) == pytest.approx(total, rel=1e-9)
    assert [found[0, 0], found[0, 12], found[7, 12]] == pytest.approx(some, rel=1e-7)
    picture = shown.image(image)
    assert picture[7, 12].tolist() == colour
    assert picture.sum(dtype=np.int64) == colours


def test_a_cut_that_would_not_fit_in_memory_is_refused() -> None:
    thin = np.array([[9, 0, 3.0], [0, 9, 300], [0, 0, 1]], np.float32)
    with pytest.raises(ValueError, match="enlarged to"):
        Cropped(600, 14, (600, 6), thin)


def test_the_nearest_valid_pixels_of_a_grid_that_is_not_square() -> None:
    mask = np.ones((6, 8), bool)
    mask[0:3, 0:4] = False
    index, found = nearest_valid(mask, (2, 4))
    assert index.shape == found.shape == (2, 4)
    assert found.tolist() == [[False, False, True, True], [True, True, True, True]]
    assert (mask.ravel()[index[found]]).all()
    square, kept = nearest_valid(mask, (4, 4))
    np.testing.assert_array_equal(square[kept], nearest_valid_grid(mask, 4))
