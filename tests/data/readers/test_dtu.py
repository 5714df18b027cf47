"""DTU as MVSNet has it: millimetres, camera_from_world, masks, scans."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import minimum_filter

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.dtu import Dtu
from g2vlm_bench.errors import BenchError


def write_camera(path, shot, scale: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pose = shot.camera_from_world.copy()
    pose[:3, 3] *= 1000
    matrix = shot.intrinsics.copy()
    matrix[:2, 2] -= 0.5
    matrix[:2] /= scale
    rows = lambda array: "\n".join(" ".join(f"{x:.9f}" for x in row) for row in array)  # noqa: E731
    path.write_text(f"extrinsic\n{rows(pose)}\n\nintrinsic\n{rows(matrix)}\n\n425.0 2.5 \n")


@pytest.fixture
def root(tmp_path, shots):
    scan = tmp_path / "scan24"
    for number, shot in enumerate(shots):
        name = f"{number:08}"
        shot.write_image(scan / f"images/{name}.jpg")
        write_camera(scan / f"cams/{name}_cam.txt", shot)
        (scan / "depths").mkdir(exist_ok=True)
        depth = (shot.depth_m * 1000).astype(np.float32)
        depth[0, 0] = 0
        np.save(scan / f"depths/{name}.npy", depth)
        mask = np.full((12, 16), 255, np.uint8)
        (scan / "binary_masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(scan / f"binary_masks/{name}.png")
    return tmp_path


def test_depth_cameras_and_poses_agree_in_metres(root, shots, agrees) -> None:
    (sample,) = Dtu(root, sampling=Sampling(views=0)).samples("test")
    assert (sample.id, sample.cluster) == ("scan24/00000000-scan24/00000003", "scan24")
    agrees(sample.load_target(), shots, within_m=1e-4)
    (sample,) = Dtu(root, sampling=Sampling(views=0, every=3)).samples("test")
    agrees(sample.load_target(), [shots[0], shots[3]], within_m=1e-4)


def test_masks_are_eroded_as_a_minimum_over_their_square(root) -> None:
    rng = np.random.default_rng(0)
    mask = np.where(rng.random((12, 16)) < 0.05, 0, 255).astype(np.uint8)
    Image.fromarray(mask).save(root / "scan24/binary_masks/00000000.png")
    (depth,) = Dtu(root, erode_px=4).samples("test")[0].load_target().depth_m
    # OpenCV's anchor of an even square: 2 pixels before, 1 after.
    kept = minimum_filter(mask, size=4, mode="constant", cval=255) > 0
    kept[0, 0] = False
    np.testing.assert_array_equal(np.isfinite(depth), kept)
    (depth,) = Dtu(root, mask="").samples("test")[0].load_target().depth_m
    assert np.isnan(depth).sum() == 1


def test_masks_of_another_size_are_looked_up(root) -> None:
    mask = np.full((24, 32), 255, np.uint8)
    mask[:2, 30:] = 0
    Image.fromarray(mask).save(root / "scan24/binary_masks/00000000.png")
    (depth,) = Dtu(root).samples("test")[0].load_target().depth_m
    assert np.argwhere(np.isnan(depth)).tolist() == [[0, 0], [0, 15]]


def test_mvsnets_training_form_and_a_scan(tmp_path, shots) -> None:
    for number, shot in enumerate(shots):
        shot.write_image(tmp_path / f"Rectified/scan24_train/rect_{number + 1:03}_3_r5000.png")
        write_camera(tmp_path / f"Cameras/train/{number:08}_cam.txt", shot, scale=4)
    points = tmp_path / "Points/stl/stl024_total.xyz"
    points.parent.mkdir(parents=True)
    points.write_text("1000 2000 3000\n")
    (sample,) = Dtu(
        tmp_path,
        images="Rectified/{scan}_train/rect_{id}_3_r5000.png",
        cameras="Cameras/train/{number:08}_cam.txt",
        first=1,
        camera_scale=4,
        depth="",
        mask="",
        scan="Points/stl/stl{number:03}_total.xyz",
        sampling=Sampling(views=0),
    ).samples("test")
    target = sample.load_target()
    assert target.depth_m is None
    np.testing.assert_allclose(target.points_world, [[1, 2, 3]])
    for shot, camera, pose in zip(shots, target.intrinsics, target.world_from_camera, strict=True):
        np.testing.assert_allclose(camera, shot.intrinsics, atol=1e-4)
        np.testing.assert_allclose(pose, shot.world_from_camera, atol=1e-5)


def test_what_is_wrong_is_named(root) -> None:
    camera = root / "scan24/cams/00000000_cam.txt"
    whole = camera.read_text()
    for broken in ("", "extrinsic\n1 2 3\nintrinsic\n1 0 0 0 1 0 0 0 1", "x", "extrinsic\none\n"):
        camera.write_text(broken)
        with pytest.raises(BenchError, match=r"00000000_cam\.txt"):
            Dtu(root).samples("test")[0].load_target()
    camera.write_text(whole.replace("extrinsic\n", "extrinsic\n-", 1).replace("--", "-"))
    with pytest.raises(BenchError, match="rigid 4x4 pose"):
        Dtu(root).samples("test")[0].load_target()
    camera.write_text(whole)
    depth = root / "scan24/depths/00000000.npy"
    depth.write_bytes(depth.read_bytes()[:-4])
    with pytest.raises(BenchError, match=r"00000000\.npy: expected"):
        Dtu(root).samples("test")[0].load_target()
    with pytest.raises(BenchError, match="a scene with frames"):
        Dtu(root, scans=["scan1"])


@pytest.fixture
def evaluated(root):
    """The files of the official evaluation, in millimetres, as MATLAB 5 writes them."""
    folder = root / "ObsMask"
    folder.mkdir()
    grid = np.zeros((3, 4, 5), np.uint8)
    grid[1, 2, 3] = 1
    box = np.array([[-100.0, -200, 300], [-80, -170, 340]])
    savemat(folder / "ObsMask24_10.mat", {"ObsMask": grid, "BB": box, "Res": 10.0, "Margin": 10})
    savemat(folder / "Plane24.mat", {"P": np.array([[0.0], [0.0], [1.0], [-330.0]])})
    return root


OBSERVED = ["ObsMask/ObsMask{number}_10.mat", "ObsMask/Plane{number}.mat"]


def test_what_the_scanner_has_observed_is_in_metres(evaluated) -> None:
    reader = Dtu(evaluated, observed=OBSERVED)
    observed = reader.samples("test")[0].load_target().observed
    # Voxel 1, 2, 3 has its centre at -100 + 10, -200 + 20, 300 + 30 mm.
    points = np.array([[-0.09, -0.18, 0.33], [-0.09, -0.18, 0.329], [-0.09, -0.18, 0.336]])
    assert observed.seen(points).tolist() == [True, True, False]
    assert observed.above_plane(points + np.array([0, 0, 1e-6])).tolist() == [True, False, True]
    # 60 mm below the box, 120 above.
    assert observed.near(np.array([[-0.159, -0.2, 0.3], [-0.161, -0.2, 0.3]])).tolist() == [1, 0]
    assert observed.near(np.array([[0.039, -0.2, 0.3], [0.041, -0.2, 0.3]])).tolist() == [1, 0]
    before = reader.content_hash("test")
    savemat(evaluated / "ObsMask/Plane24.mat", {"P": np.array([0.0, 0, 1, -331])})
    assert reader.content_hash("test") != before


def test_masks_that_are_none(evaluated) -> None:
    load = Dtu(evaluated, observed=OBSERVED).samples("test")[0].load_target
    mask, plane = evaluated / "ObsMask/ObsMask24_10.mat", evaluated / "ObsMask/Plane24.mat"
    savemat(plane, {"P": np.zeros(3)})
    with pytest.raises(BenchError, match="P with 4 numbers, got 3"):
        load()
    savemat(mask, {"ObsMask": np.zeros((2, 2)), "BB": np.zeros((2, 3)), "Res": 10.0})
    with pytest.raises(BenchError, match=r"ObsMask \(X, Y, Z\)"):
        load()
    savemat(mask, {"BB": np.zeros((2, 3))})
    with pytest.raises(BenchError, match="a MATLAB file with 'ObsMask'"):
        load()
    for broken in (b"", b"MATLAB 5.0", mask.read_bytes()[:150]):
        mask.write_bytes(broken)
        with pytest.raises(BenchError, match=r"ObsMask24_10\.mat"):
            load()
    mask.unlink()
    with pytest.raises(BenchError, match=r"ObsMask24_10\.mat"):
        load()
    with pytest.raises(BenchError, match="a mask and a plane, got 1"):
        Dtu(evaluated, observed=OBSERVED[:1])
