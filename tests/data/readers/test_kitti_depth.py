"""KITTI's folders and lists, calibrations of the day, and true frames laid out so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.kitti import read_kitti_camera
from g2vlm_bench.data.readers.kitti_depth import KittiDepth
from g2vlm_bench.errors import BenchError

DRIVE = "2011_09_26_drive_0002_sync"
OTHER = "2011_10_03_drive_0047_sync"
# Numbers of the day 2011_09_26, as nominal for images of 1242 x 375.
CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: {size}
P_rect_02: 7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 0.2 0 0 1 0.003
P_rect_03: 7.215377e+02 0 6.095593e+02 -3.395242e+02 0 7.215377e+02 1.728540e+02 2.2 0 0 1 0.003
"""


def write_frame(root: Path, drive: str, number: int, part: str = "val", depth: bool = True) -> None:
    image = root / f"raw/{drive[:10]}/{drive}/image_02/data/{number:010d}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(image)
    if depth:
        truth = root / f"depth/{part}/{drive}/proj_depth/groundtruth/image_02/{image.name}"
        truth.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros((4, 6), np.uint16)
        values[3] = 2560
        Image.fromarray(values).save(truth)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (5, 6, 7):
        write_frame(tmp_path, DRIVE, number)
        write_frame(tmp_path, OTHER, number, "train")
    write_frame(tmp_path, DRIVE, 0, depth=False)
    text = CALIBRATION.format(size="6.000000e+00 4.000000e+00")
    (tmp_path / "raw/2011_09_26/calib_cam_to_cam.txt").write_text(text)
    return tmp_path


def test_a_subset_by_drive(root: Path) -> None:
    found = KittiDepth(root, sampling=Sampling(stop=2, views=0)).samples("test")
    name = f"{DRIVE}/image_02"
    assert [(s.id, s.cluster) for s in found] == [
        (f"{name}/0000000005-{name}/0000000006", DRIVE),
    ]
    target = found[0].load_target()
    assert target.depth_m is not None
    assert target.intrinsics is not None
    assert np.isnan(target.depth_m[0][:3]).all()
    assert (target.depth_m[0][3] == 10).all()
    # The middle of the first pixel is at 0 in KITTI's calibration.
    np.testing.assert_allclose(target.intrinsics[0][:2, 2], [610.0593, 173.354])
    assert target.world_from_camera is None
    train = KittiDepth(root, subset="train", drives=[OTHER]).samples("test")
    assert [s.cluster for s in train] == [OTHER] * 3
    assert train[0].load_target().intrinsics is None  # no calibration of that day


LISTS = [
    # BTS and Marigold: image, depth or None, focal length.
    f"2011_09_26/{DRIVE}/image_02/data/0000000006.png {DRIVE}/proj_depth/x.png 721.5377\n"
    f"2011_09_26/{DRIVE}/image_02/data/0000000000.png None 721.5377\n"
    f"2011_10_03/{OTHER}/image_02/data/0000000007.png {OTHER}/proj_depth/x.png 718.3351\n",
    # Monodepth and Monodepth2: a frame without depth is simply there.
    f"2011_09_26/{DRIVE}/image_02/data/0000000006.jpg\n"
    f"2011_09_26/{DRIVE}/image_02/data/0000000000.jpg\n\n"
    f"2011_10_03/{OTHER}/image_02/data/0000000007.jpg\n",
    f"2011_09_26/{DRIVE} 0000000006 l\n2011_09_26/{DRIVE} 0 l\n2011_10_03/{OTHER} 7 l\n",
]


@pytest.mark.parametrize("lines", LISTS)
def test_lists_leave_out_what_has_no_annotated_depth(root: Path, lines: str) -> None:
    (root / "eigen.txt").write_text(lines)
    samples = KittiDepth(root, files="eigen.txt").samples("test")
    assert [s.id for s in samples] == [
        f"{DRIVE}/image_02/0000000006",
        f"{OTHER}/image_02/0000000007",
    ]
    for sample in samples:  # one of the folder val, one of train
        assert sample.load_target().depth_m is not None


def test_depth_that_a_list_names_and_that_is_missing_is_unscored(root: Path) -> None:
    (root / "eigen.txt").write_text(LISTS[0].replace("None", "x/y.png"))
    sample = KittiDepth(root, files="eigen.txt").samples("test")[1]
    assert sample.load_inputs().images
    with pytest.raises(BenchError, match=r"0000000000\.png: expected a readable file"):
        sample.load_target()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("nonsense\n", r"eigen\.txt, line 1: expected DAY/DRIVE"),
        (f"2011_09_26/{DRIVE}/image_04/data/0000000006.png\n", "line 1"),
        (f"2011_09_26/{DRIVE}/image_02/data/0000000000.png None 1\n", "annotated depth of listed"),
        ("", "empty file"),
    ],
)
def test_broken_lists(root: Path, lines: str, says: str) -> None:
    (root / "eigen.txt").write_text(lines)
    with pytest.raises(BenchError, match=says):
        KittiDepth(root, files="eigen.txt")


def test_missing_drives_are_named(root: Path) -> None:
    with pytest.raises(BenchError, match=f"depth of {OTHER}"):
        KittiDepth(root, drives=[DRIVE, OTHER])
    with pytest.raises(BenchError, match="expected files"):
        KittiDepth(root, camera=3)


def test_images_of_another_size_than_the_calibration(root: Path) -> None:
    """Trap 2: intrinsics of 1224 x 370 stand beside images of 1242 x 375."""
    text = CALIBRATION.format(size="7.0 4.0")
    (root / "raw/2011_09_26/calib_cam_to_cam.txt").write_text(text)
    with pytest.raises(BenchError, match="7 x 4 pixels, which the intrinsics are for, got 6 x 4"):
        KittiDepth(root).samples("test")[0].load_inputs()


def test_calibrations(tmp_path: Path) -> None:
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text(CALIBRATION.format(size="1242 375"))
    left, right = read_kitti_camera(path, 2), read_kitti_camera(path, 3)
    assert left.size == (375, 1242)
    # (44.85728 + 339.5242) / 721.5377
    assert right.offset_m - left.offset_m == pytest.approx(0.532725, abs=1e-6)
    path.write_text("P2: 700 0 600 45 0 700 180 0 0 0 1 0\n")
    assert read_kitti_camera(path, 2).size is None
    assert read_kitti_camera(path, 2).intrinsics[0].tolist() == [700, 0, 600.5]
    for text in ("P2: 700 0 600\n", "P3: 1\n", "P2: a b c\n", "hello"):
        path.write_text(text)
        with pytest.raises(BenchError, match="P_rect_02 or P2 of 12 numbers"):
            read_kitti_camera(path, 2)


def test_true_frames_in_the_original_layout(tmp_path: Path, realdata: Path) -> None:
    source = realdata / "rgbd/kitti_metric3d"
    images = tmp_path / f"raw/2011_09_26/{DRIVE}/image_02/data"
    depths = tmp_path / f"depth/val/{DRIVE}/proj_depth/groundtruth/image_02"
    for folder, kind in ((images, "rgb"), (depths, "depth")):
        shutil.copytree(source / kind, folder)
    calibration = tmp_path / "raw/2011_09_26/calib_cam_to_cam.txt"
    calibration.write_text(CALIBRATION.format(size="1242 375"))
    samples = KittiDepth(tmp_path).samples("test")
    assert [s.id.split("/")[-1] for s in samples] == ["0000000005", "0000000050", "0000000100"]
    target = samples[0].load_target()
    assert target.depth_m is not None
    assert 0.18 < np.isfinite(target.depth_m[0]).mean() < 0.21
    assert target.points_world is not None
    # The camera stands 1.65 m above the road.
    assert 1.3 < np.percentile(target.points_world[:, 1], 90) < 2.0
    calibration.write_text(CALIBRATION.format(size="1224 370"))
    with pytest.raises(BenchError, match="1224 x 370"):
        KittiDepth(tmp_path).samples("test")[0].load_inputs()
