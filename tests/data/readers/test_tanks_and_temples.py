"""Tanks and Temples: poses by order, an alignment with a scale, a scan as truth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.tanks_and_temples import TanksAndTemples
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.clouds import write_ply
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.task import TaskDefinition

SCALE = 0.8


def write_matrices(path, matrices) -> None:
    rows = []
    for number, matrix in enumerate(matrices):
        rows.append(f"{number} {number} 0")
        rows += [" ".join(f"{x:.12f}" for x in row) for row in matrix]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def root(tmp_path, shots):
    """The log's world is the scan's, turned, moved and made larger by 1 / SCALE."""
    folder = tmp_path / "Barn"
    scan_from_log = np.eye(4)
    scan_from_log[:3, :3] = SCALE * Rotation.from_rotvec([0.3, 0.2, -0.1]).as_matrix()
    scan_from_log[:3, 3] = (1, 2, 3)
    logged = []
    for number, shot in enumerate(shots):
        shot.write_image(folder / f"images/{number + 1:06}.jpg")
        matrix = np.linalg.inv(scan_from_log) @ shot.world_from_camera
        matrix[:3, :3] *= SCALE
        logged.append(matrix)
    write_matrices(folder / "Barn_COLMAP_SfM.log", logged)
    np.savetxt(folder / "Barn_trans.txt", scan_from_log)
    (folder / "Barn.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
        "property float z\nend_header\n1 2 3\n4 5 6\n"
    )
    return tmp_path


def test_poses_are_in_the_world_of_the_scan(root, shots) -> None:
    reader = TanksAndTemples(root, sampling=Sampling(views=0), intrinsics=[14, 15, 8, 5])
    (sample,) = reader.samples("test")
    target = sample.load_target()
    for shot, camera, pose in zip(shots, target.intrinsics, target.world_from_camera, strict=True):
        np.testing.assert_allclose(pose, shot.world_from_camera, atol=1e-9)
        np.testing.assert_allclose(camera, shot.intrinsics)
    np.testing.assert_array_equal(target.points_world, [[1, 2, 3], [4, 5, 6]])
    assert (sample.cluster, target.depth_m) == ("Barn", None)


def test_without_intrinsics(root) -> None:
    target = TanksAndTemples(root).samples("test")[0].load_target()
    assert target.intrinsics is None
    assert target.points_world is not None


def test_a_missing_image_would_shift_every_pose(root) -> None:
    (root / "Barn/images/000002.jpg").unlink()
    with pytest.raises(BenchError, match="19 numbers for each of 3 images, got 76 in all"):
        TanksAndTemples(root)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.diag([-1.0, 1, 1, 1]), "a rotation times a scale"),
        (np.diag([1.0, 2, 1, 1]), "rigid"),
        (np.eye(3), "a 4x4 matrix, got 9"),
        (np.diag([np.nan, 1, 1, 1]), "a 4x4 matrix, got 16 numbers, 15"),
    ],
)
def test_alignments_that_are_none(root, matrix, says) -> None:
    np.savetxt(root / "Barn/Barn_trans.txt", matrix)
    with pytest.raises(BenchError, match=rf"Barn_trans\.txt: expected .*{says}"):
        TanksAndTemples(root)


def test_a_truncated_scan_leaves_the_sample_unscored(root) -> None:
    scan = root / "Barn/Barn.ply"
    scan.write_bytes(scan.read_bytes()[:-6])
    with pytest.raises(BenchError, match=r"Barn\.ply: expected a point cloud"):
        TanksAndTemples(root).samples("test")[0].load_target()


def write_crop(path, **more) -> None:
    """A crop volume as Open3D's editor saves it."""
    square = [[0.0, 0.5, 0.0], [2.0, 0.5, 0.0], [2.0, 0.5, 4.0], [0.0, 0.5, 4.0]]
    volume = {
        "axis_max": 3.0, "axis_min": 1.0, "bounding_polygon": square,
        "class_name": "SelectionPolygonVolume", "orthogonal_axis": "Y",
        "version_major": 1, "version_minor": 0,
    }  # fmt: skip
    path.write_text(json.dumps(volume | more))


def test_the_crop_volume_and_tau_come_with_the_scene(root) -> None:
    target = TanksAndTemples(root).samples("test")[0].load_target()
    assert (target.crop, target.tolerance_m) == (None, 0.01)
    write_crop(root / "Barn/Barn.json")
    crop = TanksAndTemples(root).samples("test")[0].load_target().crop
    points = np.array([[1.0, 2, 3], [3, 2, 3], [1, 0.9, 3], [1, 2, 5], [1, 3, 0.1]])
    assert crop.holds(points).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"orthogonal_axis": "W"}, {"bounding_polygon": [[0, 0, 0]]}, {"axis_max": -1.0},
        {"bounding_polygon": [[0, 0]] * 3}, {"axis_min": "low"},
    ],
)  # fmt: skip
def test_crop_volumes_that_are_none(root, wrong) -> None:
    write_crop(root / "Barn/Barn.json", **wrong)
    load = TanksAndTemples(root).samples("test")[0].load_target
    with pytest.raises(BenchError, match=r"Barn\.json: expected"):
        load()
    (root / "Barn/Barn.json").write_text("{")
    with pytest.raises(BenchError, match=r"Barn\.json: expected a crop volume"):
        load()


def test_a_crop_and_a_tau_from_the_files_to_the_score(root) -> None:
    """The profile `tanks_and_temples` on what the reader hands out: the scan itself is best."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(0, 2, (3000, 2))
    scan = np.column_stack([flat[:, 0], 2 + 0.2 * np.sin(3 * flat[:, 0]), flat[:, 1]])
    write_ply(root / "Barn/Barn.ply", scan)
    write_crop(root / "Barn/Barn.json")
    around = [np.eye(4) for _ in range(4)]
    for pose, centre in zip(around, rng.normal(size=(4, 3)), strict=True):
        pose[:3, 3] = centre
    write_matrices(root / "Barn/Barn_COLMAP_SfM.log", around)
    (sample,) = TanksAndTemples(root, sampling=Sampling(views=0)).samples("test")
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", "tanks_and_temples")).expand(
        "chamfer", None, "a test"
    )
    definition = TaskDefinition(
        name="chamfer/test", version=1, family="chamfer", data={}, metrics=["fscore"],
        headline="fscore_1tau@tanks_and_temples", protocols=fields,
    )  # fmt: skip
    family = plugins.family(definition)
    target = sample.load_target()
    family.weights(target)
    values = family.score(target, family.truth(target), Ambiguity.SCALE).values
    assert values == {"fscore_1tau@tanks_and_temples": pytest.approx(1)}
    thinner = replace(family.truth(target), points=scan[::7] + np.array([0, 0.004, 0]))
    (value,) = family.score(target, thinner, Ambiguity.SCALE).values.values()
    assert 0.1 < value < 0.9
