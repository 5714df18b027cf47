"""Clouds in every format, KITTI's laser in its camera, and clouds in UTM metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from g2vlm_bench.data.readers.point_clouds import PointClouds, read_kitti_calibration
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.clouds import write_ply

POINTS = np.random.default_rng(0).normal(size=(50, 3))


def write_kitti(root: Path) -> Path:
    """A laser that looks along x, 1 m behind and 0.5 m left of a 100 x 50 camera's own frame."""
    for folder in ("image_2", "velodyne", "calib"):
        (root / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((50, 100, 3), np.uint8)).save(root / "image_2/7.png")
    # x forward, y left, z up becomes z forward, x right, y down.
    (root / "calib/7.txt").write_text(
        "P2: 100 0 49.5 50 0 100 24.5 0 0 0 1 0\n"
        "R0_rect: 1 0 0 0 1 0 0 0 1\n"
        "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 -1\n"
    )
    laser = [[11, 0.5, 0, 0.1], [11, -100, 0, 0.1], [-5, 0, 0, 0.1], [6, 0.5, 0, 0.1]]
    np.array(laser, "<f4").tofile(root / "velodyne/7.bin")
    return root


def kitti(root: Path, **more: object) -> PointClouds:
    options = {
        "target": "velodyne/{id}.bin",
        "images": ["image_2/{id}.png"],
        "calibration": "calib/{id}.txt",
        **more,
    }
    return PointClouds(root, **options)  # type: ignore[arg-type]


def test_laser_points_in_the_camera(tmp_path: Path) -> None:
    sample = kitti(write_kitti(tmp_path), given=["intrinsics"]).samples("test")[0]
    target = sample.load_target()
    assert target.depth_m is not None
    # K^-1 p4 = (0.5, 0, 0): the colour camera sees all 0.5 m further right, which undoes the left.
    np.testing.assert_allclose(target.points_world, [[0, 0, 10], [0, 0, 5]])
    # Both fall on pixel (25, 50), whose corner is (50, 25): the nearer one is seen.
    assert target.depth_m[0][25, 50] == 5
    assert np.isfinite(target.depth_m[0]).sum() == 1
    inputs = sample.load_inputs()
    assert inputs.intrinsics is not None
    assert inputs.intrinsics[0][:2, 2].tolist() == [50, 25]
    assert inputs.world_from_camera is None
    assert kitti(tmp_path).samples("test")[0].load_inputs().intrinsics is None


def test_calibration_needs_its_image_and_its_rows(tmp_path: Path) -> None:
    write_kitti(tmp_path)
    with pytest.raises(BenchError, match="the one image that is calibrated"):
        kitti(tmp_path, images=[]).samples("test")[0].load_target()
    (tmp_path / "calib/7.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(BenchError, match="P2, R0_rect and Tr_velo_to_cam"):
        kitti(tmp_path).samples("test")[0].load_target()


def test_every_format_by_pattern(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS)
    np.savetxt(tmp_path / "b.xyz", POINTS)
    np.hstack([POINTS, np.ones((50, 1))]).astype("<f4").tofile(tmp_path / "c.bin")
    header = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 50\nHEIGHT 1\n"
    rows = "\n".join(" ".join(map(str, point)) for point in POINTS)
    (tmp_path / "d.pcd").write_text(f"{header}POINTS 50\nDATA ascii\n{rows}\n")
    (tmp_path / "e.pts").write_text(f"50\n{rows}\n")
    samples = PointClouds(tmp_path, target="{id}.*").samples("test")
    assert [sample.id for sample in samples] == ["a", "b", "c", "d", "e"]
    for sample in samples:
        points = sample.load_target().points_world
        assert points is not None
        assert points.dtype == np.float64
        np.testing.assert_allclose(points, POINTS, atol=1e-6)
        assert sample.load_inputs().images == ()


def test_items_units_and_normals(tmp_path: Path) -> None:
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    write_ply(tmp_path / "a.ply", POINTS * 1000, normals)
    items = [{"id": "scan", "target": "a.ply", "cluster": "room"}]
    sample = PointClouds(tmp_path, items=items, unit_m=0.001).samples("test")[0]
    assert (sample.id, sample.cluster) == ("scan", "room")
    np.testing.assert_allclose(sample.load_target().points_world, POINTS)
    np.testing.assert_allclose(sample.load_target().normals_world, normals)


def test_images_of_a_cloud_in_a_camera_frame(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    found = PointClouds(
        tmp_path, target="{id}.ply", images=["{id}.png"], intrinsics=[5, 5, 2.5, 1.5]
    )
    target = found.samples("test")[0].load_target()
    assert target.intrinsics is not None
    assert target.world_from_camera is not None
    assert target.intrinsics[0][0, 2] == 3.0
    assert target.depth_m is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either 'target' or 'items'"),
        ({"target": "{id}.ply", "items": [{"id": "a", "target": "a.ply"}]}, "either"),
        ({"items": [{"id": "a"}]}, "item 0.*target"),
        ({"items": [{"id": "a", "target": "a.ply", "image": "b"}]}, "unknown field `image`"),
        ({"target": "{id}.obj"}, "got none"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, object], says: str) -> None:
    write_ply(tmp_path / "a.ply", POINTS)
    with pytest.raises(BenchError, match=says):
        PointClouds(tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"ply\n", b"not a cloud"])
def test_broken_clouds_leave_one_sample_unscored(tmp_path: Path, content: bytes) -> None:
    write_ply(tmp_path / "a.ply", POINTS)
    (tmp_path / "b.ply").write_bytes(content)
    good, bad = PointClouds(tmp_path, target="{id}.ply").samples("test")
    assert good.load_target().points_world is not None
    with pytest.raises(BenchError, match=r"b\.ply"):
        bad.load_target()


def test_paths_of_items_stay_inside(tmp_path: Path) -> None:
    items = [{"id": "a", "target": "../a.ply"}]
    with pytest.raises(BenchError, match="within the folder"):
        PointClouds(tmp_path, items=items).content_hash("test")


# ------------------------------------------------------------------------------- real data


def test_kitti_object(realdata: Path) -> None:
    folder = realdata / "pointclouds/kitti_object_000001"
    target = kitti(folder).samples("test")[0].load_target()
    assert target.points_world is not None
    assert target.depth_m is not None
    camera = read_kitti_calibration(folder / "calib/000001.txt")
    points = target.points_world
    pixels = points @ camera.intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert (pixels >= 0).all()
    assert (pixels < (1242, 375)).all()
    # The manifest counts 18630 in an image whose first pixel has its centre at 0, not its corner.
    laser = np.fromfile(folder / "velodyne/000001.bin", "<f4").reshape(-1, 4)[:, :3].astype(float)
    assert len(laser) == 120268
    in_camera = laser @ camera.camera_from_laser[:3, :3].T + camera.camera_from_laser[:3, 3]
    ahead = in_camera[in_camera[:, 2] > 0] @ camera.intrinsics.T
    whole = ahead[:, :2] / ahead[:, 2:] - 0.5
    assert np.all((whole >= 0) & (whole < (1242, 375)), axis=1).sum() == 18630
    assert abs(len(points) - 18630) < 50
    assert 0.9 * len(points) < np.isfinite(target.depth_m[0]).sum() <= len(points)
    # The road is some 1.65 m below the camera.
    near = points[(np.abs(points[:, 0]) < 2) & (points[:, 2] < 15) & (points[:, 1] > 1.2)]
    assert np.median(near[:, 1]) == pytest.approx(1.65, abs=0.15)


@pytest.mark.parametrize(("name", "mean_m"), [("samp11", 2.30), ("samp52", 0.59)])
def test_utm_clouds_keep_their_coordinates(realdata: Path, name: str, mean_m: float) -> None:
    """Trap 5: the ground is a subset of all points; all -> ground has a known mean."""
    pytest.importorskip("open3d")
    clouds = PointClouds(
        realdata,
        items=[
            {"id": "all", "target": f"pointclouds/isprs_{name}/{name}-utm.pcd"},
            {"id": "ground", "target": f"pointclouds/isprs_{name}/{name}-utm-ground.pcd"},
        ],
    )
    every, ground = (sample.load_target().points_world for sample in clouds.samples("test"))
    assert every is not None
    assert ground is not None
    assert every[:, 1].min() > 5.4e6
    assert cKDTree(every).query(ground)[0].max() == 0
    assert cKDTree(ground).query(every)[0].mean() == pytest.approx(mean_m, abs=0.005)


def test_bunny_in_two_forms(realdata: Path) -> None:
    """Medians of the manifest: pts to res3 0.00223, of 30571 and 1889 points."""
    clouds = PointClouds(
        realdata / "pointclouds/stanford_bunny",
        items=[
            {"id": "pts", "target": "bunnyData.pts"},
            {"id": "res3", "target": "bun_zipper_res3.ply"},
        ],
        mesh_points=0,
    )
    pts, res3 = (sample.load_target().points_world for sample in clouds.samples("test"))
    assert pts is not None
    assert res3 is not None
    assert (len(pts), len(res3)) == (30571, 1889)
    assert np.median(cKDTree(res3).query(pts)[0]) == pytest.approx(0.00223, abs=5e-6)


def test_a_mesh_as_truth_is_drawn_from_as_the_task_says(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1000 0 0\nv 0 1000 0\nf 1 2 3\n")
    with pytest.raises(BenchError, match="a mesh of 1 triangles and no number of points"):
        PointClouds(tmp_path, target="{id}.obj").samples("test")[0].load_target()

    def drawn(**more) -> np.ndarray:
        reader = PointClouds(tmp_path, target="{id}.obj", unit_m=0.001, **more)
        points = reader.samples("test")[0].load_target().points_world
        assert points is not None
        return points

    points = drawn(mesh_points=500, mesh_seed=1)
    assert points.shape == (500, 3)
    # On the triangle x + y <= 1 m.
    assert 0 <= points.min() <= points.sum(axis=1).max() <= 1
    np.testing.assert_array_equal(points, drawn(mesh_points=500, mesh_seed=1))
    assert not np.array_equal(points, drawn(mesh_points=500))
