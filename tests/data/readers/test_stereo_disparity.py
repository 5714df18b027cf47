"""Depth from disparity: the formula, its offset, masks, and two real pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.readers.stereo_disparity import StereoDisparity, read_middlebury, read_rig
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_rgb

CALIBRATION = (
    "cam0=[100 0 2; 0 100 1; 0 0 1]\ncam1=[100 0 3; 0 100 1; 0 0 1]\ndoffs=1\nbaseline=200\n"
)


def write_pair(folder: Path, disparity: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    height, width = disparity.shape
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(folder / "im0.png")
    head = f"Pf\n{width} {height}\n-1.0\n".encode()
    (folder / "d.pfm").write_bytes(head + disparity[::-1].astype("<f4").tobytes())
    (folder / "calib.txt").write_text(CALIBRATION)
    return folder


def reader(root: Path, **more: object) -> StereoDisparity:
    options = {"image": "{id}/im0.png", "disparity": "{id}/d.pfm", **more}
    return StereoDisparity(root, **options)  # type: ignore[arg-type]


def test_calibration_file(tmp_path: Path) -> None:
    write_pair(tmp_path / "s", np.array([[9.0, np.inf, 0.0], [3.0, -5.0, 19.0]]))
    found = reader(tmp_path, calibration="{id}/calib.txt", invalid=[])
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    # 100 px * 0.2 m / (d + 1): 9 -> 2 m, 0 -> 20 m, 3 -> 5 m, 19 -> 1 m; -5 is behind.
    np.testing.assert_allclose(target.depth_m[0], [[2, np.nan, 20], [5, np.nan, 1]])
    assert target.intrinsics is not None
    assert target.intrinsics[0][:2, 2].tolist() == [2.5, 1.5]


def test_numbers_and_mask(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "s", np.full((1, 3), 4.0))
    Image.fromarray(np.array([[255, 128, 0]], np.uint8)).save(folder / "mask.png")
    found = reader(tmp_path, focal_px=100, baseline_m=0.2, mask="{id}/mask.png")
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    np.testing.assert_allclose(target.depth_m[0], [[5, np.nan, np.nan]])
    assert target.points_world is None  # no principal point
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(folder / "mask.png")
    with pytest.raises(BenchError, match=r"size \(1, 3\), got \(2, 3\)"):
        found.samples("test")[0].load_target()


def test_kitti_calibration_files(tmp_path: Path) -> None:
    """Of stereo 2015; the baseline is (44.85728 + 339.5242) / 721.5377 m."""
    write_pair(tmp_path / "s", np.full((1, 2), 721.5377 / 10))
    rows = "0 609.5593 {} 0 721.5377 172.854 0 0 0 1 0"
    lines = [f"P_rect_0{n}: 721.5377 {rows.format(x)}" for n, x in ((2, 44.85728), (3, -339.5242))]
    (tmp_path / "s/calib.txt").write_text("calib_time: 09-Jan-2012\n" + "\n".join(lines))
    found = reader(tmp_path, calibration="{id}/calib.txt")
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    np.testing.assert_allclose(target.depth_m[0], [[5.32725] * 2], rtol=1e-5)
    assert target.intrinsics is not None
    assert target.intrinsics[0][:2, 2].tolist() == [610.0593, 173.354]
    (tmp_path / "s/calib.txt").write_text(lines[0])
    with pytest.raises(BenchError, match="P_rect_03 or P3"):
        read_rig(tmp_path / "s/calib.txt")


def test_8_bit_disparity_of_middlebury_2003(tmp_path: Path) -> None:
    """Quarter size: four steps a pixel, 0 = none; without a calibration, up to scale."""
    (tmp_path / "cones").mkdir()
    Image.fromarray(np.zeros((1, 3, 3), np.uint8)).save(tmp_path / "cones/im2.png")
    Image.fromarray(np.array([[0, 40, 200]], np.uint8)).save(tmp_path / "cones/disp2.png")
    options = {"image": "{id}/im2.png", "disparity": "{id}/disp2.png", "focal_px": 1}
    found = reader(tmp_path, **options, baseline_m=1, disparity_scale=4, grey8=True)
    (sample,) = found.samples("test")
    assert sample.id == "cones"
    depth = sample.load_target().depth_m
    assert depth is not None
    np.testing.assert_allclose(depth[0], [[np.nan, 0.1, 0.02]])
    for scale in (None, 0):
        broken = reader(tmp_path, **options, baseline_m=1, grey8=True, disparity_scale=scale)
        with pytest.raises(BenchError, match="'disparity_scale' above 0"):
            broken.samples("test")[0].load_target()
    with pytest.raises(BenchError, match="one 16-bit channel"):
        reader(tmp_path, **options, baseline_m=1, disparity_scale=4).samples("test")[
            0
        ].load_target()


def test_incomplete_calibrations(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "s", np.ones((1, 1)))
    with pytest.raises(BenchError, match="'calibration', or 'focal_px'"):
        reader(tmp_path, focal_px=100)
    for text in ("doffs=1\n", "cam0=[1 0 0]\nbaseline=1\n", "cam0=[a]\nbaseline=1\n"):
        (folder / "calib.txt").write_text(text)
        with pytest.raises(BenchError, match=r"calib\.txt"):
            reader(tmp_path, calibration="{id}/calib.txt")


def test_middlebury_needs_its_offset(realdata: Path) -> None:
    """Trap 4: without doffs the depth of the motorcycle is far too large."""
    found = StereoDisparity(
        realdata / "stereo",
        image="middlebury2014_{id}/im0.png",
        disparity="middlebury2014_{id}/disp0GT.pfm",
        calibration="middlebury2014_{id}/calib.txt",
    )
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    disparity = load_depth(realdata / "stereo/middlebury2014_MotorcycleQ/disp0GT.pfm")
    rig = read_middlebury(realdata / "stereo/middlebury2014_MotorcycleQ/calib.txt")
    np.testing.assert_allclose(
        target.depth_m[0], 999.421 * 0.193001 / (disparity + 32.778), rtol=1e-6
    )
    assert rig.doffs_px == pytest.approx(326.96 - 294.182)  # cx of cam1 less cx of cam0
    assert 2.0 < np.nanmin(target.depth_m[0]) < np.nanmax(target.depth_m[0]) < 6.0


@pytest.mark.parametrize(
    ("folder", "left", "right", "disparity", "scale", "error"),
    [
        ("middlebury2014_MotorcycleQ", "im0.png", "im1.png", "disp0GT.pfm", None, 3.1),
        (
            "kitti2015_000046",
            "image_2/000046_10.png",
            "image_3/000046_10.png",
            "disp_occ_0/000046_10.png",
            256,
            4.4,
        ),
        ("sceneflow_A-0032-0006", "left.png", "right.png", "disparity_left.pfm", None, 0.8),
    ],
)
def test_disparity_warps_right_onto_left(
    realdata: Path,
    folder: str,
    left: str,
    right: str,
    disparity: str,
    scale: float | None,
    error: float,
) -> None:
    """Rows, scale and sign are right: the medians of the manifest."""
    root = realdata / "stereo" / folder
    one, two = (load_rgb(root / name).astype(float).mean(axis=2) for name in (left, right))
    d = load_depth(root / disparity, scale)
    rows, columns = np.nonzero(np.isfinite(d))
    there = columns - d[rows, columns]
    inside = (there >= 0) & (there < d.shape[1] - 1)
    rows, columns, there = rows[inside], columns[inside], there[inside]
    low = there.astype(int)
    mixed = two[rows, low] * (1 - there + low) + two[rows, low + 1] * (there - low)
    assert np.median(np.abs(mixed - one[rows, columns])) < 1.2 * error


def test_scene_flow(realdata: Path) -> None:
    found = StereoDisparity(
        realdata,
        image="stereo/sceneflow_{id}/left.png",
        disparity="stereo/sceneflow_{id}/disparity_left.pfm",
        focal_px=1050,
        baseline_m=1,
        principal_point=[479.5, 269.5],
    )
    (sample,) = found.samples("test")
    assert sample.id == "A-0032-0006"
    assert sample.load_inputs().images[0].shape == (540, 960, 3)  # the file is RGBA
    target = sample.load_target()
    assert target.depth_m is not None
    assert np.isfinite(target.depth_m[0]).all()
    assert target.intrinsics is not None
    assert target.intrinsics[0][:2, 2].tolist() == [480, 270]


def test_kitti_depth(realdata: Path) -> None:
    found = StereoDisparity(
        realdata / "stereo/kitti2015_000046",
        image="image_2/{id}.png",
        disparity="disp_occ_0/{id}.png",
        disparity_scale=256,
        focal_px=721.5377,
        baseline_m=0.54,
        principal_point=[609.5593, 172.854],
    )
    target = found.samples("test")[0].load_target()
    assert target.depth_m is not None
    assert target.points_world is not None
    assert 4 < np.nanmin(target.depth_m[0]) < np.nanmax(target.depth_m[0]) < 90
    # The road lies some 1.65 m below the camera (KITTI's set-up): y points down.
    points = target.points_world
    near = points[(np.abs(points[:, 0]) < 2) & (points[:, 2] < 12) & (points[:, 1] > 1)]
    assert np.median(near[:, 1]) == pytest.approx(1.65, abs=0.15)
