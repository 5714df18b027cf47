"""TUM lists, association by time, poses, and the true frames of freiburg1_xyz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.tum_rgbd import TumRgbd
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, project, transform, unproject

CAMERA = [5.0, 5.0, 2.5, 1.5]
# A quarter turn about z, as TUM writes it: qx qy qz qw.
TURN = "0 0 0.7071067811865476 0.7071067811865476"


def write_sequence(
    folder: Path, images: list[float], depths: list[float], poses: list[float]
) -> Path:
    for name, times in (("rgb", images), ("depth", depths)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = ["# a comment", "#timestamp filename"]
        for time in times:
            lines.append(f"{time:.6f} {name}/{time:.6f}.png")
            empty = np.zeros((4, 6, 3), np.uint8)
            content = empty if name == "rgb" else np.full((4, 6), 10_000, np.uint16)
            Image.fromarray(content).save(folder / f"{name}/{time:.6f}.png")
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{time:.4f} {time} 2 3 {TURN}" for time in poses]
    (folder / "groundtruth.txt").write_text("# poses\n" + "\n".join(rows) + "\n")
    return folder


def test_scale_and_pose(tmp_path: Path) -> None:
    write_sequence(tmp_path, [1.0], [1.01], [0.99])
    target = TumRgbd(tmp_path, intrinsics=CAMERA).samples("test")[0].load_target()
    assert target.depth_m is not None
    assert target.world_from_camera is not None
    assert (target.depth_m[0] == 2.0).all()  # 10000 / 5000
    pose = target.world_from_camera[0]
    turned = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    np.testing.assert_allclose(pose[:3, :3], turned, atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [0.99, 2, 3])


def test_association_by_nearest_time(tmp_path: Path) -> None:
    write_sequence(
        tmp_path,
        # 1.030 has its depth taken by 1.036 and 2 has none; 3 is too far from any pose.
        [1.00, 1.030, 1.036, 2.0, 3.0],
        [1.015, 1.035, 3.0],
        [1.001, 1.012, 1.034, 2.0, 3.1],
    )
    found = TumRgbd(tmp_path, intrinsics=CAMERA).samples("test")
    assert [sample.id for sample in found] == ["1.000000", "1.036000"]
    poses = [sample.load_target().world_from_camera for sample in found]
    # The nearest pose, none being interpolated; its x is its time here.
    assert [pose[0][0, 3] for pose in poses if pose] == [1.001, 1.034]
    wide = TumRgbd(tmp_path, intrinsics=CAMERA, max_difference_s=0.2).samples("test")
    assert [sample.id for sample in wide] == ["1.000000", "1.036000", "3.000000"]


@pytest.mark.parametrize("base", [0.0, 1305031102.0])
def test_depth_half_a_period_after_its_image_belongs_to_it(tmp_path: Path, base: float) -> None:
    """Each image but the first lies between two depth maps, and rounding says which is nearer."""
    images = [base + index / 30 for index in range(12)]
    write_sequence(tmp_path, images, [time + 1 / 60 for time in images], images)
    samples = TumRgbd(tmp_path, intrinsics=CAMERA).samples("test")
    assert [sample.id for sample in samples] == [f"{time:.6f}" for time in images]


def test_sequences_are_clusters(tmp_path: Path) -> None:
    for name in ("freiburg1_a", "freiburg3_b"):
        write_sequence(tmp_path / name, [1.0, 1.1, 1.2], [1.0, 1.1, 1.2], [1.0, 1.1, 1.2])
    both = TumRgbd(tmp_path, sequences=["freiburg1_a", "freiburg3_b"], sampling=Sampling(views=2))
    samples = both.samples("test")
    assert [(s.id, s.cluster) for s in samples] == [
        ("freiburg1_a/1.000000-freiburg1_a/1.100000", "freiburg1_a"),
        ("freiburg3_b/1.000000-freiburg3_b/1.100000", "freiburg3_b"),
    ]
    cameras = [sample.load_target().intrinsics for sample in samples]
    # The data set's own calibrations, moved by half a pixel.
    assert [camera[0][0, 2] for camera in cameras if camera] == [319.1, 320.6]


def test_bonn_has_no_poses_of_its_camera(tmp_path: Path) -> None:
    """Its groundtruth.txt is the trajectory of the markers on the camera."""
    times = [0.0, 1.0, 2.0, 3.0]
    folder = write_sequence(tmp_path / "rgbd_bonn_balloon2", times, times, times)
    (folder / "groundtruth.txt").unlink()
    found = TumRgbd(
        tmp_path,
        sequences=["rgbd_bonn_balloon2"],
        intrinsics=[542.822841, 542.57687, 315.59352, 237.756098],
        poses=False,
        sampling=Sampling(start=1, stop=3, views=0),
    )
    (sample,) = found.samples("test")
    assert sample.id == "rgbd_bonn_balloon2/1.000000-rgbd_bonn_balloon2/2.000000"
    target = sample.load_target()
    assert target.depth_m is not None
    assert len(target.depth_m) == 2
    assert target.world_from_camera is None
    assert target.points_world is None


def test_unknown_camera_asks_for_intrinsics(tmp_path: Path) -> None:
    write_sequence(tmp_path / "kitchen", [1.0], [1.0], [1.0])
    with pytest.raises(BenchError, match="Give the key 'intrinsics'"):
        TumRgbd(tmp_path / "kitchen")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("rgb.txt", "", "empty file"),
        ("rgb.txt", "# only a comment\n", "time stamps, got none"),
        ("rgb.txt", "1.0\n", "line 1: expected a file or a pose"),
        ("depth.txt", "# x\nnoon depth/a.png\n", "line 2: expected a time stamp"),
        ("depth.txt", "1.0 ../../etc/passwd\n", "within the folder"),
        ("depth.txt", "9.0 depth/1.000000.png\n", "near in time"),
        ("groundtruth.txt", None, "No such file"),
    ],
)
def test_broken_lists(tmp_path: Path, file: str, content: str | None, says: str) -> None:
    write_sequence(tmp_path, [1.0], [1.0], [1.0])
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(BenchError, match=says):
        TumRgbd(tmp_path, intrinsics=CAMERA)


@pytest.mark.parametrize("pose", ["1 2 3", "1 2 3 0 0 0 0", "1 2 3 a b c d"])
def test_a_broken_pose_leaves_its_sample_unscored(tmp_path: Path, pose: str) -> None:
    write_sequence(tmp_path, [1.0], [1.0], [1.0])
    (tmp_path / "groundtruth.txt").write_text(f"1.0 {pose}\n")
    sample = TumRgbd(tmp_path, intrinsics=CAMERA).samples("test")[0]
    assert sample.load_inputs().images
    with pytest.raises(BenchError, match="qx qy qz qw"):
        sample.load_target()


def test_freiburg1_xyz(realdata: Path) -> None:
    folder = realdata / "sequences/tum_fr1_xyz_mini"
    one = TumRgbd(
        folder, intrinsics=[517.3, 516.5, 318.6, 255.3], sampling=Sampling(views=3)
    ).samples("test")
    assert [s.id for s in one] == ["1305031102.175304-1305031102.275326"]
    target = one[0].load_target()
    assert target.depth_m is not None
    assert target.intrinsics is not None
    assert target.world_from_camera is not None
    # Pose line 1305031102.1758 of groundtruth.txt, the nearest to the first image.
    assert target.world_from_camera[0][:3, 3].tolist() == [1.3405, 0.6266, 1.6575]
    cloud = unproject(target.depth_m[1], target.intrinsics[1]).reshape(-1, 3)
    motion = invert_pose(target.world_from_camera[2]) @ target.world_from_camera[1]

    def disagreement(pose: np.ndarray) -> tuple[float, float]:
        assert target.depth_m is not None
        assert target.intrinsics is not None
        pixels, z = project(transform(cloud, pose), target.intrinsics[2])
        seen = np.all((pixels >= 0) & (pixels < (640, 480)), axis=1)
        columns, rows = pixels[seen].astype(int).T
        there = target.depth_m[2][rows, columns]
        gap = np.abs(there - z[seen])[np.isfinite(there)]
        return float(np.median(gap)), float((gap < 0.05 * there[np.isfinite(there)]).mean())

    # Manifest: 0.4 to 0.7 cm, 96 to 98 % within 5 %; worse with the pose turned around.
    median_m, within = disagreement(motion)
    assert median_m < 0.007
    assert within > 0.96
    assert disagreement(invert_pose(motion))[0] > 2 * median_m
