"""Samples of views: cameras, points, and what a model is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.views import (
    View,
    load_pose,
    numbers_of,
    pinhole,
    read_pinhole,
    rigid,
    sample_of_views,
)
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import project, transform

QUARTER_TURN = [0, -1, 0, 5, 1, 0, 0, 6, 0, 0, 1, 7, 0, 0, 0, 1]


def view(folder: Path, name: str = "v", depth: np.ndarray | None = None, **more: object) -> View:
    path = folder / f"{name}.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    filled = np.full((4, 6), 2.0, np.float32) if depth is None else depth
    return View(id=name, image=path, load_depth=lambda: filled, **more)  # type: ignore[arg-type]


def test_pixel_centres_move_to_the_half() -> None:
    # A point on the axis falls on (cx, cy); where the first pixel's centre is 0, that is half a
    # pixel left of where it is when that centre is 0.5.
    assert pinhole([10, 11, 2, 3], 0.0, "")[:2].tolist() == [[10, 0, 2.5], [0, 11, 3.5]]
    assert pinhole([10, 0, 2, 0, 11, 3, 0, 0, 1], 0.5, "")[:2].tolist() == [[10, 0, 2], [0, 11, 3]]


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 1, 2, 3], ["a", 1, 2, 3], [np.nan, 1, 2, 3], 5])
def test_bad_intrinsics(values: list[float]) -> None:
    with pytest.raises(BenchError, match="fx, fy, cx, cy"):
        pinhole(values, 0.0, "here")


def test_intrinsics_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text("10 0 2\n0 11 3\n0 0 1\n")
    np.testing.assert_array_equal(
        read_pinhole(tmp_path, "k.txt", 0.0), pinhole([10, 11, 2, 3], 0.0, "")
    )
    with pytest.raises(BenchError, match="within the folder"):
        read_pinhole(tmp_path, "../k.txt", 0.0)
    (tmp_path / "k.txt").write_text("ten")
    with pytest.raises(BenchError, match="expected numbers"):
        numbers_of(tmp_path / "k.txt")


def test_poses_lose_their_rounding_errors_and_no_more(tmp_path: Path) -> None:
    rounded = np.array(QUARTER_TURN, float)
    rounded[0] += 5e-4
    assert np.abs(rigid(rounded.tolist(), "") - np.reshape(QUARTER_TURN, (4, 4))).max() < 1e-3
    (tmp_path / "p.txt").write_text(" ".join(map(str, QUARTER_TURN)))
    assert load_pose(tmp_path / "p.txt")[:3, 3].tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 16,
        [float("-inf")] * 16,  # ScanNet, where tracking was lost
        [*QUARTER_TURN[:12], 0, 0, 0, 2],
        [-1, *np.eye(4).ravel()[1:]],  # a mirror
        QUARTER_TURN[:12],
    ],
)
def test_what_is_no_pose_is_refused(values: list[float]) -> None:
    with pytest.raises(BenchError, match="rigid 4x4 pose"):
        rigid(values, "here")


def test_points_reproject_onto_their_pixels(tmp_path: Path) -> None:
    depth = np.arange(1, 25, dtype=np.float32).reshape(4, 6)
    depth[0, 0] = np.nan
    pose = rigid(QUARTER_TURN, "")
    camera = pinhole([5, 5, 2, 1], 0.0, "")
    one = view(tmp_path, depth=depth, intrinsics=camera, load_pose=lambda: pose)
    target = sample_of_views([one], "scene", ()).load_target()
    assert target.points_world is not None
    assert target.points_world.shape == (23, 3)
    pixels, z = project(transform(target.points_world, np.linalg.inv(pose)), camera)
    rows, columns = np.nonzero(np.isfinite(depth))
    np.testing.assert_allclose(pixels, np.stack([columns + 0.5, rows + 0.5], axis=1))
    np.testing.assert_allclose(z, depth[rows, columns])


def test_a_smaller_depth_map_scales_the_camera(tmp_path: Path) -> None:
    camera = pinhole([6, 6, 2.5, 1.5], 0.0, "")  # principal point in the middle of 6 x 4
    one = view(tmp_path, depth=np.full((2, 3), 3, np.float32), intrinsics=camera)
    points = sample_of_views([one], "", ()).load_target().points_world
    # At half the size f = 3 and c = (1.5, 1): x = (0.5 - 1.5) / 3 * 3, y = (0.5 - 1) / 3 * 3.
    assert points is not None
    np.testing.assert_allclose(points[0], [-1.0, -0.5, 3.0])


def test_a_lone_view_is_its_own_world(tmp_path: Path) -> None:
    sample = sample_of_views([view(tmp_path)], "", ())
    target = sample.load_target()
    assert target.world_from_camera is not None
    np.testing.assert_array_equal(target.world_from_camera[0], np.eye(4))
    assert target.points_world is None  # no intrinsics
    assert (sample.id, sample.cluster) == ("v", "v")


def test_all_invalid_depth_has_no_points(tmp_path: Path) -> None:
    nothing = np.full((4, 6), np.nan, np.float32)
    one = view(tmp_path, depth=nothing, intrinsics=pinhole([5, 5, 2, 1], 0.0, ""))
    assert sample_of_views([one], "", ()).load_target().points_world is None


def test_cameras_are_given_only_where_asked(tmp_path: Path) -> None:
    camera = pinhole([5, 5, 2, 1], 0.0, "")
    pair = [
        view(tmp_path, name, intrinsics=camera, load_pose=lambda: np.eye(4)) for name in ("a", "b")
    ]
    bare = sample_of_views(pair, "s", ()).load_inputs()
    assert (bare.id, len(bare.images)) == ("a-b", 2)
    assert bare.intrinsics is None
    assert bare.world_from_camera is None
    full = sample_of_views(pair, "s", ("intrinsics", "poses")).load_inputs()
    assert full.intrinsics is not None
    assert full.world_from_camera is not None
    assert len(full.intrinsics) == len(full.world_from_camera) == 2
    with pytest.raises(BenchError, match="key 'given'"):
        sample_of_views(pair, "s", ("depth",))


def test_intrinsics_of_another_size_are_refused(tmp_path: Path) -> None:
    camera = pinhole([5, 5, 2, 1], 0.0, "")
    sample = sample_of_views([view(tmp_path, intrinsics=camera, image_size=(4, 7))], "", ())
    for load in (sample.load_inputs, sample.load_target):
        with pytest.raises(
            BenchError, match="7 x 4 pixels, which the intrinsics are for, got 6 x 4"
        ):
            load()


def test_an_image_that_is_no_file_of_its_own() -> None:
    depth = np.full((2, 3), 2.0, np.float32)
    held = View(
        id="held",
        image=lambda: np.full((4, 6, 3), 9, np.uint8),
        load_depth=lambda: depth,
        intrinsics=pinhole([10, 10, 2.5, 1.5], 0.0, ""),
        image_size=(4, 6),
    )
    sample = sample_of_views([held], "", ())
    assert sample.load_inputs().images[0].tolist() == np.full((4, 6, 3), 9).tolist()
    points = sample.load_target().points_world
    assert points is not None
    # A depth pixel covers two of the image's: its centre is at x = 1, and the axis at x = 3.
    np.testing.assert_allclose(points[0], [(1 - 3) / 10 * 2, (1 - 2) / 10 * 2, 2])
    other = dataclasses.replace(held, image_size=(5, 6))
    with pytest.raises(BenchError, match=r"held: expected 6 x 5 pixels.*got 6 x 4"):
        sample_of_views([other], "", ()).load_inputs()


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (8, 12), (3, 4), (3, 5)])
def test_depth_of_another_size_shows_the_same_view(tmp_path: Path, size: tuple[int, int]) -> None:
    one = view(tmp_path, depth=np.ones(size, np.float32), intrinsics=pinhole([5, 5, 2, 1], 0, ""))
    points = sample_of_views([one], "", ()).load_target().points_world
    assert points is not None
    assert len(points) == size[0] * size[1]


@pytest.mark.parametrize("size", [(6, 4), (4, 4), (1, 6), (40, 50)])
def test_depth_of_another_view_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    one = view(tmp_path, depth=np.ones(size, np.float32), intrinsics=pinhole([5, 5, 2, 1], 0, ""))
    with pytest.raises(BenchError, match=r"v: expected depth in the proportions.*6 x 4, got"):
        sample_of_views([one], "", ()).load_target()
