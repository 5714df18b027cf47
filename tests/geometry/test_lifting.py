"""Depth lifted to clouds: which pixels, in which order, and which of them a window leaves."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry import lifting
from g2vlm_bench.geometry.cameras import pose_matrix, transform, unproject

CAMERA = np.array([[20.0, 0, 8], [0, 20.0, 6], [0, 0, 1]])


def view(height: int = 12, width: int = 16, holes: int = 0, pose: np.ndarray | None = None):
    truth = np.linspace(1, 2, height * width).reshape(height, width)
    truth.flat[:holes] = np.nan
    return lifting.lift(
        np.full((height, width), 3.0), CAMERA, np.eye(4) if pose is None else pose, truth, CAMERA
    )


def test_clouds_correspond_pixel_by_pixel_and_skip_holes() -> None:
    pose = pose_matrix(np.eye(3), [1.0, 2, 3])
    views = [view(holes=5), view(pose=pose)]
    predicted = lifting.predicted_cloud(views, scale=2.0)
    true = lifting.true_cloud(views, [np.eye(4), pose])
    assert len(predicted) == len(true) == 2 * 192 - 5
    flat = unproject(np.full((12, 16), 6.0), CAMERA).reshape(-1, 3)
    np.testing.assert_allclose(predicted, np.concatenate([flat[5:], flat + np.array([1, 2, 3])]))
    deep = unproject(np.linspace(1, 2, 192).reshape(12, 16), CAMERA).reshape(-1, 3)
    np.testing.assert_allclose(true[187:], transform(deep, pose))
    assert lifting.view_numbers(views).tolist() == [0] * 187 + [1] * 192


def test_the_shared_scale_is_of_median_distances() -> None:
    # Along the same rays: 3 m everywhere against 1.5 m everywhere.
    flat = lifting.lift(np.full((4, 4), 3.0), CAMERA, np.eye(4), np.full((4, 4), 1.5), CAMERA)
    assert lifting.shared_depth_scale([flat, flat]) == pytest.approx(0.5)
    without = lifting.lift(np.full((4, 4), 3.0), CAMERA, np.eye(4))
    with pytest.raises(ValueError, match="true depth"):
        lifting.shared_depth_scale([flat, without])
    with pytest.raises(ValueError, match="true depth"):
        lifting.true_cloud([without], [np.eye(4)])


def test_the_central_window_is_cut3rs_slice() -> None:
    for height, width, size in ((12, 16, 4), (13, 17, 6), (9, 30, 224), (12, 16, 5)):
        one = view(height, width, holes=7)
        half, rest = size // 2, size - size // 2
        top, left = height // 2 - half, width // 2 - half
        image = np.zeros((height, width), bool)
        image[max(top, 0) : height // 2 + rest, max(left, 0) : width // 2 + rest] = True
        np.testing.assert_array_equal(lifting.central_window([one], size), image.ravel()[7:])
    assert lifting.central_window([view(), view()], 4).sum() == 32
    with pytest.raises(ValueError, match="size above 0"):
        lifting.central_window([view()], 0)


@pytest.mark.parametrize(("limit", "left"), [(192, 192), (1000, 192), (48, 48), (100, 88)])
def test_fewer_pixels_are_torchs_nearest_exact(limit, left) -> None:
    torch = pytest.importorskip("torch")
    kept = lifting.thinned(np.ones((12, 16), bool), limit)
    assert kept.sum() == left
    numbers = torch.arange(192.0).reshape(1, 1, 12, 16)
    ratio = min(1.0, (limit / 192) ** 0.5)
    small = torch.nn.functional.interpolate(
        numbers, size=(int(12 * ratio), int(16 * ratio)), mode="nearest-exact"
    )
    assert sorted(small.flatten().int().tolist()) == np.flatnonzero(kept).tolist()


def test_centres_between_two_pixels_fall_as_torchs_do() -> None:
    """In single precision: of 480 in 276 the 35th is centred on the edge of the 61st."""
    torch = pytest.importorskip("torch")
    for edge, small in ((480, 276), (480, 344), (640, 353), (1216, 1156)):
        # As many valid pixels as make the ratio of the edges.
        valid = np.ones((edge, edge), bool)
        kept = lifting.thinned(valid, int(np.ceil((small / edge) ** 2 * edge**2)))
        line = torch.arange(float(edge))[None, None]
        found = torch.nn.functional.interpolate(line, size=small, mode="nearest-exact")
        assert np.flatnonzero(kept.any(axis=0)).tolist() == found.flatten().int().tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_what_cannot_be_lifted_is_refused(bad) -> None:
    depth = np.full((4, 4), 3.0)
    depth[1, 1] = bad
    with pytest.raises(ValueError, match="finite positive depth"):
        lifting.lift(depth, CAMERA, np.eye(4))
    with pytest.raises(ValueError, match="truth's size"):
        lifting.lift(np.ones((4, 4)), CAMERA, np.eye(4), np.ones((4, 5)), CAMERA)
