from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.sample import Want

DEPTH = frozenset({Want.DEPTH})
CAMERA = np.array([[10.0, 0.0, 4.0], [0.0, 10.0, 3.0], [0.0, 0.0, 1.0]])


def test_golden_rows(make, view) -> None:
    (prediction,) = make("plane").predict([view(8, 8, intrinsics=(CAMERA,))], DEPTH)
    # Ground: 1.5 * 10 / (row + 0.5 - 3); the wall at 5 m hides it above row 5.5 (15 / 3 = 5).
    #   row 5: 15 / 2.5 = 6 -> 5;  row 6: 15 / 3.5 = 4.2857;  row 7: 15 / 4.5 = 3.3333
    rows = [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 15 / 3.5, 15 / 4.5]
    np.testing.assert_allclose(prediction.depth[0], np.tile(np.c_[rows], 8), rtol=1e-6)


def test_points_lie_on_the_ground_or_on_the_wall(make, view) -> None:
    adapter = make("plane", camera_height_m=1.2, wall_m=4.0)
    (prediction,) = adapter.predict([view(20, 8, intrinsics=(CAMERA,))], DEPTH)
    points = unproject(prediction.depth[0], CAMERA).reshape(-1, 3)
    on_wall = np.isclose(points[:, 2], 4.0)
    on_ground = np.isclose(points[:, 1], 1.2, rtol=1e-6)  # y points down
    assert on_wall.any()
    assert on_ground.any()
    assert (on_wall | on_ground).all()
    assert points[:, 1].max() <= 1.2 + 1e-6


def test_without_a_camera_it_assumes_one_of_65_degrees(make, view) -> None:
    focal = 4 / np.tan(np.radians(32.5))  # half of the longer side, 8
    camera = np.array([[focal, 0, 4], [0, focal, 3], [0, 0, 1]])
    given = view(6, 8, intrinsics=(camera,))
    assumed, told = make("plane").predict([view(6, 8), given], DEPTH)
    np.testing.assert_allclose(assumed.depth[0], told.depth[0])


def test_its_camera_comes_along_where_it_is_asked_for(make, view) -> None:
    adapter = make("plane")
    told = adapter.predict([view(8, 8, intrinsics=(CAMERA,))], adapter.predicts)[0]
    np.testing.assert_array_equal(told.intrinsics[0], CAMERA)
    assert adapter.predict([view(8, 8)], adapter.predicts)[0].intrinsics[0][0, 2] == 4
    assert adapter.predict([view(8, 8)], DEPTH)[0].intrinsics is None


def test_each_view_has_its_own_camera(make, view) -> None:
    other = CAMERA * [[1], [2], [1]]
    both = make("plane").predict([view(8, 8, views=2, intrinsics=(CAMERA, other))], DEPTH)[0]
    alone = make("plane").predict([view(8, 8, intrinsics=(other,))], DEPTH)[0]
    np.testing.assert_array_equal(both.depth[1], alone.depth[0])
    assert not np.array_equal(both.depth[0], both.depth[1])


def test_depth_is_positive_and_finite_wherever_the_horizon_is(make, view) -> None:
    for horizon in (-50.0, 0.0, 3.5, 50.0):
        camera = np.array([[10.0, 0, 4], [0, 10.0, horizon], [0, 0, 1]])
        depth = make("plane").predict([view(intrinsics=(camera,))], DEPTH)[0].depth[0]
        assert np.isfinite(depth).all()
        assert ((depth > 0) & (depth <= 5)).all()


@pytest.mark.parametrize("name", ["camera_height_m", "wall_m"])
@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_lengths_that_are_none_are_refused(make, name, bad) -> None:
    with pytest.raises(BenchError, match=name):
        make("plane", **{name: bad})
