from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.survey_maps import load_maps, read_intrinsics

CAMERA = np.array([[40.0, 0, 3], [0, 40, 2], [0, 0, 1]])


@pytest.fixture
def save(tmp_path: Path):
    def made(name: str, *array: np.ndarray, **arrays: np.ndarray) -> Path:
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, *array)
        else:
            np.savez(path, *array, **arrays)
        return path

    return made


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (3, 4, 6), (3, 4, 6, 1)])
def test_depth_of_one_frame_or_several(save, name, shape) -> None:
    stored = np.arange(np.prod(shape)).reshape(shape).astype(np.float64)
    found = load_maps(save(name, stored), scale=2.0)
    frames = stored.reshape(-1, 4, 6)
    assert len(found.depth) == len(frames)
    assert found.points == ()
    for mine, frame in zip(found.depth, frames, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_array_equal(mine, np.where(frame == 0, np.nan, frame / 2))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_models_zero_is_a_zero(save, name) -> None:
    stored = np.array([[0.0, 1.0], [np.nan, -1.0]])
    (found,) = load_maps(save(name, stored), zero_is_none=False).depth
    np.testing.assert_array_equal(found, stored)


@pytest.mark.parametrize("frames", [1, 2])
def test_points_of_one_frame_or_several(save, frames) -> None:
    stored = np.random.default_rng(0).normal(size=(frames, 4, 6, 3)).astype(np.float32)
    stored[0, 0, 0, 0] = np.inf
    found = load_maps(save("a.npy", stored[0] if frames == 1 else stored))
    assert (len(found.depth), len(found.points)) == (0, frames)
    np.testing.assert_array_equal(found.points, np.where(np.isinf(stored), np.nan, stored))


def test_an_archive_holds_what_is_known_of_the_frames(save) -> None:
    depth, poses = np.ones((2, 4, 6), np.float32), np.tile(np.eye(4), (2, 1, 1))
    points = np.ones((2, 4, 6, 3), np.float32)
    path = save("a.npz", depth=depth, points=points, intrinsics=CAMERA, world_from_camera=poses)
    found = load_maps(path)
    assert len(found.depth) == len(found.points) == 2
    np.testing.assert_array_equal(found.intrinsics, [CAMERA, CAMERA])
    np.testing.assert_array_equal(found.world_from_camera, poses)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones((2, 2)), "b": np.ones(3)}, "an array 'depth' or 'points', got a, b"),
        ({"depth": np.ones(3), "intrinsics": CAMERA}, r"got shape \(3,\)"),
        ({"depth": np.ones((2, 2)), "intrinsics": np.ones(4)}, "'intrinsics'"),
        ({"depth": np.ones((2, 2)), "world_from_camera": np.ones((1, 4, 4))}, "'world_from_cam"),
        ({"depth": np.ones((2, 2), complex), "intrinsics": CAMERA}, "real numbers"),
        ({"depth": np.ones((0, 2)), "intrinsics": CAMERA}, "real numbers"),
    ],
)
def test_what_is_no_map(save, arrays, message) -> None:
    with pytest.raises(BenchError, match=message):
        load_maps(save("a.npz", **arrays))


def test_a_scale_is_above_zero(save) -> None:
    with pytest.raises(BenchError, match="a scale above 0"):
        load_maps(save("a.npy", np.ones((2, 2))), scale=0.0)


@pytest.mark.parametrize("text", ["40, 40, 2.5, 1.5", "40 0 2.5\n0 40 1.5\n0 0 1\n"])
def test_intrinsics_for_all_frames(tmp_path: Path, text) -> None:
    path = tmp_path / "camera.txt"
    path.write_text(text)
    # Pixel centres at whole numbers there, at +0.5 here.
    np.testing.assert_allclose(read_intrinsics(path, 0.0, 2), [CAMERA, CAMERA])


def test_intrinsics_of_each_frame(save) -> None:
    each = np.stack([CAMERA, CAMERA + np.diag([1.0, 1, 0])])
    np.testing.assert_allclose(read_intrinsics(save("k.npy", each), 0.5, 2), each)
    with pytest.raises(BenchError, match=r"or 3 of them, got 18 numbers"):
        read_intrinsics(save("k.npy", each), 0.5, 3)
