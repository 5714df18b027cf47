"""A user's own folder, and NYU, KITTI, 7-Scenes and Redwood as they are on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.rgbd_pairs import RgbdPairs
from g2vlm_bench.data.views import pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry.cameras import invert_pose, project, transform, unproject
from g2vlm_bench.sample import Target

CAMERA = [5.0, 5.0, 2.5, 1.5]


def write_pair(root: Path, name: str, metres: float = 2.0) -> None:
    for folder in ("rgb", "depth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / f"rgb/{name}.png")
    values = np.full((4, 6), round(metres * 1000), np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    Image.fromarray(values).save(root / f"depth/{name}.png")


def reader(root: Path, **more: object) -> RgbdPairs:
    options = {"rgb": "rgb/{id}.png", "depth": "depth/{id}.png", "depth_scale": 1000, **more}
    return RgbdPairs(root, **options)  # type: ignore[arg-type]


def test_own_folder(tmp_path: Path) -> None:
    for name, metres in (("b", 3.0), ("a", 2.0)):
        write_pair(tmp_path, name, metres)
    samples = reader(tmp_path, invalid=[0, 65535], intrinsics=CAMERA).samples("test")
    assert [(s.id, s.cluster) for s in samples] == [("a", "a"), ("b", "b")]
    target = samples[1].load_target()
    assert target.depth_m is not None
    assert np.isnan(target.depth_m[0][0, :2]).all()
    assert (target.depth_m[0][1:] == 3.0).all()
    assert target.points_world is not None
    assert len(target.points_world) == 22
    assert samples[0].load_inputs().images[0].shape == (4, 6, 3)


@pytest.mark.parametrize("scale", [0, -1000, float("nan"), float("inf")])
def test_a_scale_that_no_depth_can_have(tmp_path: Path, scale: float) -> None:
    write_pair(tmp_path, "a")
    with pytest.raises(BenchError, match="key 'depth_scale': expected above 0, got"):
        reader(tmp_path, depth_scale=scale)


def test_training_split_by_scene_or_image(tmp_path: Path) -> None:
    for name in ("x-1", "x-2", "y-1"):
        write_pair(tmp_path, name)
    options = {"rgb": "rgb/{scene}-{n}.png", "depth": "depth/{scene}-{n}.png"}
    by_scene = reader(tmp_path, **options, cluster="{scene}", train=["y"])
    assert [s.id for s in by_scene.samples("train")] == ["y/1"]
    assert [s.id for s in by_scene.samples("test")] == ["x/1", "x/2"]
    assert by_scene.content_hash("train") != by_scene.content_hash("test")
    assert [s.id for s in reader(tmp_path, train=["x-2"]).samples("train")] == ["x-2"]
    assert reader(tmp_path).samples("train") == []


def test_views_stay_within_a_scene(tmp_path: Path) -> None:
    for name in ("x-1", "x-2", "x-3", "y-1", "y-2"):
        write_pair(tmp_path, name)
    options = {
        "rgb": "rgb/{scene}-{id}.png",
        "depth": "depth/{scene}-{id}.png",
        "sampling": Sampling(views=2),
    }
    samples = reader(tmp_path, **options, cluster="{scene}").samples("test")
    assert [(s.id, s.cluster) for s in samples] == [("x/1-x/2", "x"), ("y/1-y/2", "y")]


def test_missing_and_broken_depth_leave_one_sample_unscored(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    before = reader(tmp_path).content_hash("test")
    (tmp_path / "depth/a.png").unlink()
    (tmp_path / "depth/b.png").write_bytes(b"")
    broken = reader(tmp_path)
    assert broken.content_hash("test") != before
    samples = broken.samples("test")
    for sample, says in zip(samples, ("No such file", "empty file"), strict=False):
        assert sample.load_inputs().images
        with pytest.raises(BenchError, match=says):
            sample.load_target()
    assert samples[2].load_target().depth_m


def test_listing_opens_no_file(tmp_path: Path) -> None:
    for folder in ("rgb", "depth"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"not an image")
    sample = reader(tmp_path, pose="none/{id}.txt").samples("test")[0]
    with pytest.raises(BenchError, match=r"a\.png: expected an image"):
        sample.load_inputs()


def test_images_and_depth_maps_in_one_folder(realdata: Path) -> None:
    folder = realdata / "rgbd/tum_slambook2_ch7"
    found = RgbdPairs(folder, rgb="{id}.png", depth="{id}_depth.png", depth_scale=5000)
    assert [sample.id for sample in found.samples("test")] == ["1", "2"]


def test_poses_by_file_and_by_log(tmp_path: Path) -> None:
    for name in ("00", "01"):
        write_pair(tmp_path, name)
        pose = np.eye(4)
        pose[0, 3] = int(name) + 1
        np.savetxt(tmp_path / f"{name}.txt", pose)
    blocks = [f"{n} {n} {n + 1}\n1 0 0 {n + 1}\n0 1 0 0\n0 0 1 0\n0 0 0 1\n" for n in range(2)]
    (tmp_path / "t.log").write_text("".join(blocks))
    for pose_key in ("{id}.txt", "t.log"):
        samples = reader(tmp_path, pose=pose_key, intrinsics=CAMERA).samples("test")
        poses = samples[1].load_target().world_from_camera
        assert poses is not None
        assert poses[0][0, 3] == 2
    (tmp_path / "t.log").write_text(blocks[0])
    with pytest.raises(BenchError, match="a pose of '01'"):
        reader(tmp_path, pose="t.log")
    (tmp_path / "t.log").write_text(blocks[0] + "1")
    with pytest.raises(BenchError, match="19 numbers a pose"):
        reader(tmp_path, pose="t.log")


def test_paths_stay_inside(tmp_path: Path) -> None:
    write_pair(tmp_path / "root", "a")
    with pytest.raises(BenchError, match="within the folder"):
        reader(tmp_path / "root", depth="../depth/{id}.png")
    with pytest.raises(BenchError, match="no 'name'"):
        reader(tmp_path / "root", depth="depth/{name}.png")


def test_masks_that_are_0_where_a_pixel_does_not_count(tmp_path: Path) -> None:
    """iBims-1 has two PNGs of one bit, DIODE an array of floats."""
    write_pair(tmp_path, "a")
    valid, opaque = np.ones((2, 4, 6), bool)
    valid[2, :] = False
    opaque[:, 5] = False
    Image.fromarray(valid).save(tmp_path / "a_valid.png")
    np.save(tmp_path / "a_opaque.npy", opaque.astype(np.float32)[..., None])
    masks = ["{id}_valid.png", "{id}_opaque.npy"]
    masked = reader(tmp_path, mask=masks, invalid=[0, 65535])
    depth = masked.samples("test")[0].load_target().depth_m
    assert depth is not None
    expected = valid & opaque
    expected[0, :2] = False
    np.testing.assert_array_equal(np.isfinite(depth[0]), expected)
    before = masked.content_hash("test")
    np.save(tmp_path / "a_opaque.npy", np.ones((4, 5)))
    assert masked.content_hash("test") != before
    with pytest.raises(BenchError, match=r"a_opaque\.npy: expected a mask of .4, 6., got .4, 5."):
        masked.samples("test")[0].load_target()


def test_intrinsics_of_every_image(tmp_path: Path) -> None:
    """As in iBims-1 (`fx,fy,cx,cy`) and KITTI's depth selection (a 3x3 matrix)."""
    for name in ("a", "b"):
        write_pair(tmp_path, name)
    (tmp_path / "a.txt").write_text("5,6,2.5,1.5")
    (tmp_path / "b.txt").write_text("7 0 2.5\n0 7 1.5\n0 0 1\n")
    samples = reader(tmp_path, intrinsics="{id}.txt").samples("test")
    for sample, expected in zip(samples, ([5, 6, 2.5, 1.5], [7, 7, 2.5, 1.5]), strict=True):
        np.testing.assert_array_equal(sample.load_target().intrinsics, [pinhole(expected, 0.0, "")])
    (tmp_path / "a.txt").unlink()
    with pytest.raises(BenchError, match=r"a\.txt.*No such file"):
        samples[0].load_target()
    assert samples[1].load_target().points_world is not None


# ------------------------------------------------------------------------------- real data


def disagreement_m(target: Target, first: int, second: int) -> tuple[float, float]:
    """Median |difference| and share within 5 % of one view's depth moved into another view."""
    assert target.depth_m is not None
    assert target.intrinsics is not None
    assert target.world_from_camera is not None
    camera = target.intrinsics[second]
    cloud = unproject(target.depth_m[first], target.intrinsics[first]).reshape(-1, 3)
    second_from_first = (
        invert_pose(target.world_from_camera[second]) @ target.world_from_camera[first]
    )
    pixels, z = project(transform(cloud, second_from_first), camera)
    height, width = target.depth_m[second].shape
    seen = np.all((pixels >= 0) & (pixels < (width, height)), axis=1)
    columns, rows = pixels[seen].astype(int).T
    there = target.depth_m[second][rows, columns]
    difference = np.abs(there - z[seen])[np.isfinite(there)]
    within = difference < 0.05 * there[np.isfinite(there)]
    return float(np.median(difference)), float(within.mean())


def test_nyu_frames(realdata: Path) -> None:
    found = RgbdPairs(
        realdata / "rgbd/nyu_metric3d",
        rgb="rgb/rgb_{id}.jpg",
        depth="depth/sync_depth_{id}.png",
        depth_scale=1000,
        intrinsics=[518.8579, 519.46961, 325.58245, 253.73617],
        intrinsics_size=[640, 480],
    )
    depth = found.samples("test")[0].load_target().depth_m
    assert depth is not None
    # Trap 3's percentiles 1, 50, 99 of frame 00000.
    np.testing.assert_allclose(
        np.nanpercentile(depth[0], [1, 50, 99]), [1.48, 3.26, 6.33], atol=0.01
    )


def test_nyu_raw_is_the_same_frame_once_decoded(realdata: Path) -> None:
    """Trap 3: byte-swapped raw disparity, whose decoding gives the percentiles of frame 00000."""
    stored = load_depth(realdata / "rgbd/nyu_raw_open3d/NYU_depth.pgm", scale=1, invalid=())
    raw = stored.astype(np.uint16).byteswap().astype(float)
    depth = 351.3 / (1092.5 - raw[raw < 1092])
    np.testing.assert_allclose(np.percentile(depth, [1, 50, 99]), [1.47, 3.27, 6.33], atol=0.02)


def kitti(root: Path, intrinsics: list[float], size: list[int]) -> RgbdPairs:
    return RgbdPairs(
        root / "rgbd/kitti_metric3d",
        rgb="rgb/{id}.png",
        depth="depth/{id}.png",
        depth_scale=256,
        intrinsics=intrinsics,
        intrinsics_size=size,
    )


def test_kitti_intrinsics_of_other_drives_are_refused(realdata: Path) -> None:
    """Trap 2: the annotations beside the images hold the intrinsics of 1224 x 370 frames."""
    notes = json.loads((realdata / "rgbd/kitti_metric3d/test_annotations.json").read_text())
    wrong = kitti(realdata, notes["files"][0]["cam_in"], [1224, 370])
    with pytest.raises(BenchError, match=r"1224 x 370 pixels.*got 1242 x 375"):
        wrong.samples("test")[0].load_inputs()
    right = kitti(realdata, [721.5377, 721.5377, 609.5593, 172.854], [1242, 375])
    depth = right.samples("test")[0].load_target().depth_m
    assert depth is not None
    assert 0.18 < np.isfinite(depth[0]).mean() < 0.21  # semi-dense, as the manifest says


def seven_scenes(root: Path, **more: object) -> RgbdPairs:
    options = {
        "rgb": "frame-{id}.color.jpg",
        "depth": "frame-{id}.depth.png",
        "pose": "frame-{id}.pose.txt",
        "depth_scale": 1000,
        "invalid": [0, 65535],
        "intrinsics": "camera-intrinsics.txt",
        "cluster": "redkitchen",
        **more,
    }
    return RgbdPairs(root / "sequences/7scenes_redkitchen_tsdf", **options)  # type: ignore[arg-type]


def test_7scenes_depth_agrees_with_its_poses(realdata: Path) -> None:
    """The manifest: 0.6 to 1.8 cm between frames, 78 to 99 % within 5 %."""
    samples = seven_scenes(realdata, sampling=Sampling(views=2)).samples("test")
    assert len(samples) == 12  # 25 frames
    target = samples[0].load_target()
    assert target.depth_m is not None
    median_m, within = disagreement_m(target, 0, 1)
    assert median_m < 0.02
    assert within > 0.78


def test_7scenes_has_two_invalid_marks(realdata: Path) -> None:
    """Trap 4: of frame 000000 of chess, 55816 pixels are 0 and 8805 are 65535."""

    def invalid_pixels(marks: list[int]) -> int:
        found = RgbdPairs(
            realdata / "sequences/7scenes_pairs",
            rgb="{pair}/{side}/frame-{id}.color.png",
            depth="{pair}/{side}/frame-{id}.depth.png",
            depth_scale=1000,
            invalid=marks,
        )
        sample = next(s for s in found.samples("test") if s.id.endswith("source/000000"))
        depth = sample.load_target().depth_m
        assert depth is not None
        return int(np.isnan(depth[0]).sum())

    assert invalid_pixels([0]) == 55816
    assert invalid_pixels([0, 65535]) == 55816 + 8805


def test_7scenes_depth_is_not_registered_to_its_images(realdata: Path) -> None:
    """Trap 1: depth edges fit image edges only after a scale of about 0.90 and some pixels."""
    sample = seven_scenes(realdata).samples("test")[0]
    image, target = sample.load_inputs().images[0], sample.load_target()
    assert target.depth_m is not None
    grey = image.mean(axis=2)
    image_edges = np.hypot(*np.gradient(grey))
    depth_edges = np.nan_to_num(np.hypot(*np.gradient(target.depth_m[0]))) > 0.05
    rows, columns = np.nonzero(depth_edges)

    def agreement(scale: float, right: float, down: float) -> float:
        y = np.rint((rows - 239.5) * scale + 239.5 + down).astype(int).clip(0, 479)
        x = np.rint((columns - 319.5) * scale + 319.5 + right).astype(int).clip(0, 639)
        return float(image_edges[y, x].mean())

    assert agreement(0.90, -8, -2) > 1.2 * agreement(1.0, 0, 0)


def test_redwood_clean_depth_and_log(realdata: Path) -> None:
    """Clean depth and true poses agree to 0.06 cm; the simulated sensor's to 7 mm (trap 8)."""
    options = {
        "rgb": "image/0000{id}.jpg",
        "pose": "trajectory_gt.log",
        "depth_scale": 1000,
        "intrinsics": [525.0, 525.0, 319.5, 239.5],
        "sampling": Sampling(views=5),
        "cluster": "livingroom1",
    }
    root = realdata / "sequences/redwood_livingroom1"
    clean = RgbdPairs(root, depth="depth/0000{id}.png", **options)  # type: ignore[arg-type]
    noisy = RgbdPairs(root, depth="depth_simulated/0000{id}.png", **options)  # type: ignore[arg-type]
    assert [s.id for s in clean.samples("test")] == ["0-4"]
    target = clean.samples("test")[0].load_target()
    assert disagreement_m(target, 0, 4)[0] < 0.001
    simulated = noisy.samples("test")[0].load_target()
    assert target.depth_m is not None
    assert simulated.depth_m is not None
    gap = np.abs(np.stack(target.depth_m) - np.stack(simulated.depth_m))
    assert np.nanmedian(gap) == pytest.approx(0.007, abs=0.001)
    assert np.nanpercentile(gap, 95) == pytest.approx(0.036, abs=0.002)


def test_depth_smaller_than_its_image(realdata: Path) -> None:
    found = RgbdPairs(
        realdata / "rgbd/iphone_lidar_promptda",
        rgb="image.jpg",
        depth="arkit_depth.png",
        depth_scale=1000,
        intrinsics=[1500.0, 1500.0, 959.5, 719.5],
    )
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    assert target.points_world is not None
    assert target.depth_m[0].shape == (192, 256)
    # The same rays from either size: x / z of the last column is (256 - 0.5 - 128) * 7.5 / 1500.
    rays = target.points_world[:, 0] / target.points_world[:, 2]
    assert rays.max() == pytest.approx((256 - 0.5 - 128) * 7.5 / 1500)
    np.testing.assert_array_equal(target.intrinsics, [pinhole([1500, 1500, 959.5, 719.5], 0, "")])


def test_16_bit_pgm_of_the_visual_odometry_book(realdata: Path) -> None:
    found = RgbdPairs(
        realdata / "sequences/nyu_slambook2_ch5",
        rgb="color/{id}.png",
        depth="depth/{id}.pgm",
        depth_scale=1000,
    )
    depth = found.samples("test")[0].load_target().depth_m
    assert depth is not None
    assert 0.5 < np.nanmin(depth[0]) < np.nanmax(depth[0]) < 11
