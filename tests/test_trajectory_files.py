"""Trajectory files: each format as its programs write it, and every way a file breaks."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.trajectory import poses_from_parts
from g2vlm_bench.trajectory_files import READERS, load_trajectory

RNG = np.random.default_rng(0)
POSES = poses_from_parts(
    Rotation.random(3, random_state=RNG).as_matrix(), RNG.standard_normal((3, 3))
)


def rows(poses=POSES, scalar_first=False) -> list[list[float]]:
    xyzw = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    quaternions = np.roll(xyzw, 1, axis=1) if scalar_first else xyzw
    return np.concatenate([poses[:, :3, 3], quaternions], axis=1).tolist()


def line(values, separator=" ") -> str:
    return separator.join(f"{value:.9g}" for value in values)


def tum() -> list[str]:
    comments = ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    return comments + [f"{1305031098.6659 + i:.4f} {line(row)}" for i, row in enumerate(rows())]


def kitti() -> list[str]:
    return [line(pose[:3].ravel()) for pose in POSES]


def euroc() -> list[str]:
    head = "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], ..."
    stamps = [1403636580838555648 + 5000000 * i for i in range(3)]
    return [head] + [
        f"{stamp},{line(row, ',')},0.1,-0.2"
        for stamp, row in zip(stamps, rows(scalar_first=True), strict=True)
    ]


def colmap() -> list[str]:
    inverse = np.linalg.inv(POSES)
    found = ["# Image list with two lines of data per image:", "# Number of images: 3, mean: 1"]
    for i, row in reversed(list(enumerate(rows(inverse, scalar_first=True)))):
        pose = line([*row[3:], *row[:3]])
        found += [f"{i + 1} {pose} 1 frame {i}.png", "10.5 20.5 -1 30 40 7" if i else ""]
    return found


WRITERS = {"tum": tum, "kitti": kitti, "euroc": euroc, "colmap": colmap}


def write(folder: Path, content: list[str]) -> Path:
    path = folder / "trajectory.txt"
    path.write_text("\n".join(content) + "\n")
    return path


@pytest.mark.parametrize("name", READERS)
def test_every_format_gives_the_same_cameras(tmp_path, name) -> None:
    found = load_trajectory(write(tmp_path, WRITERS[name]()), name)
    np.testing.assert_allclose(found.world_from_camera, POSES, atol=1e-7)
    expected = {"tum": 1305031098.6659, "euroc": 1403636580.838555648}.get(name)
    if expected is None:
        assert found.times_s is None
    else:
        assert found.times_s[0] == pytest.approx(expected, abs=1e-6)
        assert np.diff(found.times_s) == pytest.approx(1.0 if name == "tum" else 0.005, abs=1e-6)
    names = ("frame 0.png", "frame 1.png", "frame 2.png") if name == "colmap" else None
    assert found.names == names


def last(change):
    return lambda lines: [*lines[:-1], change(lines[-1])]


def number(index, value, separator=None):
    """Replace one number of the second line of data."""

    def change(lines):
        at = len(lines) - 2
        words = lines[at].split(separator)
        words[index] = value
        return [*lines[:at], (separator or " ").join(words), lines[at + 1]]

    return change


TABLE = [
    ("empty", lambda _: [], "expected (content|lines of|images)"),
    ("only comments", lambda lines: [*lines[:0], "# nothing"], "expected (lines of|images)"),
]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("case", "change", "message"), TABLE, ids=lambda part: str(part)[:12])
def test_files_without_poses(tmp_path, name, case, change, message) -> None:
    with pytest.raises(BenchError, match=message):
        load_trajectory(write(tmp_path, change(WRITERS[name]())), name)


@pytest.mark.parametrize("name", READERS)
def test_files_that_are_no_text(tmp_path, name) -> None:
    with pytest.raises(BenchError, match="readable file"):
        load_trajectory(tmp_path / "none.txt", name)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(BenchError, match="empty file"):
        load_trajectory(tmp_path / "empty", name)
    (tmp_path / "binary").write_bytes(b"\x93NUMPY\xff\xfe\x00")
    with pytest.raises(BenchError, match="UTF-8"):
        load_trajectory(tmp_path / "binary", name)
    (tmp_path / "page").write_text("<!DOCTYPE html>\n<html>not found</html>\n")
    with pytest.raises(BenchError, match="line 1"):
        load_trajectory(tmp_path / "page", name)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tum", last(lambda text: text[:24]), "line 5: expected 8 numbers"),
        ("tum", last(lambda text: text + " 1"), "line 5: expected 8 numbers .* got 9"),
        ("tum", lambda lines: [*lines, *kitti()], "got 12.*format kitti"),
        ("tum", number(3, "1,5"), "line 4: expected numbers"),
        ("tum", number(3, "nan"), "line 4: expected finite numbers"),
        ("tum", number(3, "inf"), "line 4: expected finite numbers"),
        ("tum", number(0, "1305031098"), "line 4: expected a time after 1305031098.6659"),
        ("tum", number(0, "1305031098.6659"), "line 4: expected a time after"),
        ("tum", number(7, "3"), "a norm of 1, got 3.*first at 1"),
        ("kitti", last(lambda text: " ".join(text.split()[:-1])), "line 3: expected 12 numbers"),
        ("kitti", lambda _: tum(), "got 8.*format tum"),
        ("kitti", number(0, "5"), "rigid 3x4 poses.*orthonormal"),
        ("kitti", number(2, "nan"), "line 2: expected finite"),
        ("euroc", last(lambda text: text.rpartition(",")[0]), "line 4: expected 10 numbers"),
        ("euroc", lambda lines: [",".join(text.split(",")[:7]) for text in lines], "8 columns"),
        ("euroc", number(4, "", ","), "line 3: expected numbers"),
        ("euroc", number(0, "1403636580838555648", ","), "line 3: expected a time after"),
        ("euroc", number(4, "-7", ","), "a norm of 1"),
        ("colmap", lambda lines: lines[:-1], "none that is whole"),
        ("colmap", lambda lines: lines[:-2], "expected 3 images, as its header says, got 2"),
        ("colmap", lambda lines: [*lines[:3], *lines[4:]], "line 3: .* none that is whole"),
        ("colmap", last(lambda text: "1 2"), "none that is whole"),
        ("colmap", lambda lines: [*lines, *lines[-2:]], "each image once, got 'frame 0.png'"),
        ("colmap", lambda lines: [*lines[:2], "1 2 3", ""], "line 3: .*got '1 2 3'"),
        ("colmap", number(1, "9"), "a norm of 1"),
        ("colmap", number(6, "x"), "line 7: expected IMAGE_ID"),
    ],
)  # fmt: skip
def test_every_way_a_file_breaks(tmp_path, name, change, message) -> None:
    with pytest.raises(BenchError, match=message) as error:
        load_trajectory(write(tmp_path, change(WRITERS[name]())), name)
    assert "trajectory.txt" in str(error.value)
    assert "\n" not in str(error.value)


def test_quaternions_of_zeros_and_left_handed_rotations(tmp_path) -> None:
    zero = ["0 1 2 3 0 0 0 0", "1 1 2 3 0 0 0 1"]
    with pytest.raises(BenchError, match="a norm of 1, got 0"):
        load_trajectory(write(tmp_path, zero), "tum")
    mirrored = ["1 0 0 0 0 1 0 0 0 0 -1 0"]
    with pytest.raises(BenchError, match="left-handed"):
        load_trajectory(write(tmp_path, mirrored), "kitti")


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="Did you mean 'kitti'"):
        load_trajectory("x", "kiti")


@pytest.mark.parametrize(
    ("name", "swapped", "straight"),
    [
        ("tum", ["0 0 0 0 1 0 0 0", "1 0 0 1 1 0 0 0"], ["0 0 0 0 0 0 0 1"]),
        ("euroc", ["0,0,0,0,0,0,0,1"], ["0,0,0,0,1,0,0,0"]),
        ("colmap", ["1 0 0 0 1 0 0 0 1 a.png", ""], ["1 1 0 0 0 0 0 0 1 a.png", ""]),
    ],
)
def test_a_first_rotation_of_half_a_turn_warns_of_the_order(
    tmp_path, name, swapped, straight
) -> None:
    with pytest.warns(UserWarning, match="half a turn, and the identity .* check the order"):
        load_trajectory(write(tmp_path, swapped), name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_trajectory(write(tmp_path, straight), name)


@pytest.mark.parametrize(("name", "rolls"), [("tum", 0.3), ("euroc", 1.0)])
def test_a_vehicle_that_looks_anywhere_warns_of_the_order(tmp_path, name, rolls) -> None:
    """A camera ahead on a way that climbs, turns and rolls; one that only turns tells less."""
    way = np.linspace(0.2, 5.0, 60)
    turns = Rotation.from_euler("YXZ", np.stack([way, 0.7 * np.sin(2 * way), rolls * way], axis=1))
    positions = np.cumsum(turns.apply([0, 0, 1.0]), axis=0)
    xyzw, separator = turns.as_quat(), "," if name == "euroc" else " "
    for is_swapped in (False, True):
        w_first = (name == "euroc") != is_swapped
        quaternions = np.roll(xyzw, 1, axis=1) if w_first else xyzw
        table = np.concatenate([np.arange(60)[:, None], positions, quaternions], axis=1)
        path = write(tmp_path, [line(row, separator) for row in table])
        if is_swapped:
            with pytest.warns(UserWarning, match="steadily along it once quaternions are read as"):
                load_trajectory(path, name)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                load_trajectory(path, name)


def test_the_order_of_a_real_drive_can_be_told_and_of_a_carried_camera_not(
    realdata: Path, tmp_path
) -> None:
    for item, name, told in (
        ("kitti_00/KITTI_00_gt.txt", "kitti", True),
        ("tum_fr1_xyz/freiburg1_xyz-groundtruth.txt", "tum", False),
    ):
        true = load_trajectory(realdata / "trajectories" / item, name).world_from_camera[5:2000:5]
        table = np.concatenate([np.arange(len(true))[:, None], rows(true, True)], axis=1)
        path = write(tmp_path, [line(row) for row in table])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_trajectory(path, "tum")
        assert bool(caught) == told, item


def test_colmap_bears_a_blank_line_at_the_end(tmp_path) -> None:
    found = load_trajectory(write(tmp_path, [*colmap(), ""]), "colmap")
    assert len(found.world_from_camera) == 3


@pytest.mark.parametrize(
    ("item", "file", "format", "count"),
    [
        ("kitti_00", "KITTI_00_gt.txt", "kitti", 4541),
        ("kitti_00", "KITTI_00_ORB.txt", "kitti", 4541),
        ("tum_fr1_xyz", "freiburg1_xyz-groundtruth.txt", "tum", 3000),
        ("tum_fr1_xyz", "freiburg1_xyz-rgbdslam.txt", "tum", 788),
        ("tum_fr1_xyz", "freiburg1_xyz-ORB_kf_mono.txt", "tum", 32),
        ("slambook2_ch4", "estimated.txt", "tum", 612),
    ],
)
def test_real_files(realdata: Path, item, file, format, count) -> None:
    path = realdata / "trajectories" / item / file
    manifest = json.loads((realdata / "trajectories" / "MANIFEST.json").read_text())
    sums = {f["path"]: f["sha256"] for i in manifest["items"] for f in i["files"]}
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sums[f"{item}/{file}"]
    found = load_trajectory(path, format)
    assert found.world_from_camera.shape == (count, 4, 4)
