"""COLMAP models written by hand, in text and in binary, and every way their files break."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench import colmap
from g2vlm_bench.errors import BenchError
from g2vlm_bench.trajectory_files import load_trajectory

# Number, model and its number, width, height, parameters; then intrinsics and distortion.
CAMERAS = [
    (1, "SIMPLE_PINHOLE", 0, 640, 480, (500, 320, 240), (500, 500, 320, 240), ()),
    (2, "PINHOLE", 1, 640, 480, (500, 510, 320, 240), (500, 510, 320, 240), ()),
    (3, "SIMPLE_RADIAL", 2, 64, 48, (50, 32, 24, 0.1), (50, 50, 32, 24), (0.1,)),
    (4, "RADIAL", 3, 64, 48, (50, 32, 24, 0, 0), (50, 50, 32, 24), (0, 0)),
    (5, "OPENCV", 4, 64, 48, (50, 51, 32, 24, 0.1, 0, 0, 0), (50, 51, 32, 24), (0.1, 0, 0, 0)),
    (6, "OPENCV_FISHEYE", 5, 64, 48, (50, 51, 32, 24, 0, 0, 0, 0), (50, 51, 32, 24), (0,) * 4),
    (7, "FULL_OPENCV", 6, 64, 48, (50, 51, 32, 24, *(0,) * 8), (50, 51, 32, 24), (0,) * 8),
    (8, "FOV", 7, 64, 48, (50, 51, 32, 24, 0.9), (50, 51, 32, 24), (0.9,)),
    (9, "SIMPLE_RADIAL_FISHEYE", 8, 64, 48, (50, 32, 24, 0), (50, 50, 32, 24), (0,)),
    (10, "RADIAL_FISHEYE", 9, 64, 48, (50, 32, 24, 1, 2), (50, 50, 32, 24), (1, 2)),
    (11, "THIN_PRISM_FISHEYE", 10, 64, 48, (50, 51, 32, 24, *range(8)), (50, 51, 32, 24),
     tuple(range(8))),
    (4000000000, "RAD_TAN_THIN_PRISM_FISHEYE", 11, 64, 48, (50, 51, 32, 24, *range(12)),
     (50, 51, 32, 24), tuple(range(12))),
]  # fmt: skip
HALF = 2**-0.5
# Number, quaternion and translation of camera_from_world, camera, name, keypoints.
IMAGES = [
    (9, (HALF, 0.0, 0.0, HALF, 1.0, 2.0, 3.0), 2, "b c.png", ((10.5, 20.25, 77), (1.0, 2.0, -1))),
    (3, (1.0, 0.0, 0.0, 0.0, 0.1, -0.2, 0.3), 1, "a/ä.png", ()),
    (4, (0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0), 2, "a.png", ((0.5, 0.5, 2**40),)),
]
# Number, position, colour, error, observations.
POINTS = [
    (77, (1.5, -2.0, 3.25), (255, 0, 7), 0.5, ((9, 0), (4, 1))),
    (2**40, (0.1, 0.2, 1e6), (1, 2, 3), 1.25, ()),
]


def cameras_text() -> str:
    rows = (
        f"{number} {model} {width} {height} {' '.join(map(str, values))}"
        for number, model, _, width, height, values, *_ in CAMERAS
    )
    head = "# Camera list with one line of data per camera:\n# Number of cameras: 12\n"
    return head + "\n".join(rows) + "\n"


def images_text() -> str:
    lines = [
        "# Image list with two lines of data per image:",
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
        "#   POINTS2D[] as (X, Y, POINT3D_ID)",
        "# Number of images: 3, mean observations per image: 1",
    ]
    for number, pose, camera, name, keypoints in IMAGES:
        lines.append(f"{number} {' '.join(map(repr, pose))} {camera} {name}")
        lines.append(" ".join(f"{x} {y} {point}" for x, y, point in keypoints))
    return "\n".join(lines) + "\n"


def points_text() -> str:
    lines = ["# 3D point list with one line of data per point:", "# Number of points: 2, mean: 1"]
    for number, position, colour, error, track in POINTS:
        words = (number, *position, *colour, error, *(part for pair in track for part in pair))
        lines.append(" ".join(map(str, words)))
    return "\n".join(lines) + "\n"


def cameras_binary() -> bytes:
    content = struct.pack("<Q", len(CAMERAS))
    for number, _, model, width, height, values, *_ in CAMERAS:
        content += struct.pack("<IiQQ", number, model, width, height)
        content += struct.pack(f"<{len(values)}d", *values)
    return content


def images_binary() -> bytes:
    content = struct.pack("<Q", len(IMAGES))
    for number, pose, camera, name, keypoints in IMAGES:
        content += struct.pack("<I7dI", number, *pose, camera) + name.encode() + b"\0"
        content += struct.pack("<Q", len(keypoints))
        # An unmatched keypoint is 2^64 - 1 here and -1 in text.
        content += b"".join(struct.pack("<ddQ", x, y, p % 2**64) for x, y, p in keypoints)
    return content


def points_binary() -> bytes:
    content = struct.pack("<Q", len(POINTS))
    for number, position, colour, error, track in POINTS:
        content += struct.pack("<Q3d3BdQ", number, *position, *colour, error, len(track))
        content += b"".join(struct.pack("<II", *pair) for pair in track)
    return content


WRITERS = {
    "cameras.txt": lambda: cameras_text().encode(),
    "images.txt": lambda: images_text().encode(),
    "points3D.txt": lambda: points_text().encode(),
    "cameras.bin": cameras_binary,
    "images.bin": images_binary,
    "points3D.bin": points_binary,
}
READERS = {
    "cameras": colmap.read_cameras,
    "images": colmap.read_poses,
    "points3D": colmap.read_points,
}
BINARY = ("cameras.bin", "images.bin", "points3D.bin")


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(WRITERS[name]())
    return folder


def read(path: Path) -> object:
    return READERS[path.stem](path)


@pytest.mark.parametrize("suffix", ["txt", "bin"])
def test_cameras_of_every_model(tmp_path, suffix) -> None:
    cameras = colmap.read_cameras(write(tmp_path, f"cameras.{suffix}") / f"cameras.{suffix}")
    assert list(cameras) == [row[0] for row in CAMERAS]
    for number, model, _, width, height, _, (fx, fy, cx, cy), distortion in CAMERAS:
        camera = cameras[number]
        assert (camera.model, camera.size) == (model, (height, width))
        assert camera.intrinsics.tolist() == [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        assert camera.distortion == distortion
    assert [number for number, camera in cameras.items() if camera.is_pinhole] == [1, 2, 4, 7]


@pytest.mark.parametrize("suffix", ["txt", "bin"])
def test_images_are_sorted_and_their_poses_turned_around(tmp_path, suffix) -> None:
    write(tmp_path, f"cameras.{suffix}", f"images.{suffix}")
    model = colmap.read_model(tmp_path)
    assert [image.name for image in model.images] == ["a.png", "a/ä.png", "b c.png"]
    assert [image.camera.model for image in model.images] == [
        "PINHOLE",
        "SIMPLE_PINHOLE",
        "PINHOLE",
    ]
    assert model.files == (tmp_path / f"cameras.{suffix}", tmp_path / f"images.{suffix}")
    # A quarter turn about z: x to y. The camera stands at -R^T (1, 2, 3) = (-2, 1, -3).
    expected = [[0, 1, 0, -2], [-1, 0, 0, 1], [0, 0, 1, -3], [0, 0, 0, 1]]
    np.testing.assert_allclose(model.images[2].world_from_camera(), expected, atol=1e-15)
    found = load_trajectory(tmp_path / f"images.{suffix}", "colmap")
    assert found.names == ("a.png", "a/ä.png", "b c.png")
    for pose, image in zip(found.world_from_camera, model.images, strict=True):
        np.testing.assert_allclose(pose, image.world_from_camera(), atol=1e-15)
    np.testing.assert_array_equal(
        load_trajectory(tmp_path, "colmap").world_from_camera, found.world_from_camera
    )


@pytest.mark.parametrize("suffix", ["txt", "bin"])
def test_points(tmp_path, suffix) -> None:
    points = colmap.read_points(write(tmp_path, f"points3D.{suffix}") / f"points3D.{suffix}")
    assert points.tolist() == [[1.5, -2.0, 3.25], [0.1, 0.2, 1e6]]


def test_the_binary_form_goes_before_the_text(tmp_path) -> None:
    write(tmp_path, "cameras.bin", "cameras.txt", "images.txt")
    names = [path.name for path in colmap.read_model(tmp_path).files]
    assert names == ["cameras.bin", "images.txt"]


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_file_cut_anywhere_is_one_line_with_its_bytes(tmp_path, name) -> None:
    whole = WRITERS[name]()
    path = tmp_path / name
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BenchError) as error:
            read(path)
        assert "\n" not in str(error.value)
        # Of at most 7 bytes it cannot be told that they are no text.
        if length >= 8:
            assert name in str(error.value)
            assert f"{length} bytes" in str(error.value)


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_file_with_more_behind_it(tmp_path, name) -> None:
    whole = WRITERS[name]()
    (tmp_path / name).write_bytes(whole + b"more")
    with pytest.raises(BenchError, match=f"at {len(whole)} bytes, got {len(whole) + 4} bytes"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        # The first point ends at 8 + 51 + 2 * 8 = 75 bytes; each has 51 and 8 an observation.
        ("points3D.bin", points_binary()[:100], r"point 2 of 2: expected 51 bytes after the first "
         r"75, got 25, where the file of 100 bytes ends"),
        ("images.bin", images_binary()[:73], r"image 1 of 3: expected the end of a name"),
        ("images.bin", struct.pack("<QI7dI", 1, 1, *IMAGES[0][1], 1) + b"\xff\0" + bytes(8),
         "a name in UTF-8"),
        ("images.bin", struct.pack("<QI7dI", 1, 1, *IMAGES[0][1], 1) + b"a\0"
         + struct.pack("<Q", 2**60), "expected 27670116110564327424 bytes"),
        ("cameras.bin", struct.pack("<QIiQQ3d", 1, 1, 17, 6, 4, 5, 3, 2), "number 0 to 11, got 17"),
        ("cameras.bin", struct.pack("<QIiQQ3d", 1, 1, -1, 6, 4, 5, 3, 2), "number 0 to 11, got -1"),
        ("cameras.bin", struct.pack("<QIiQQ3d", 1, 1, 0, 0, 4, 5, 3, 2), "a size and finite"),
        ("cameras.bin", struct.pack("<QIiQQ3d", 1, 1, 0, 6, 4, np.nan, 3, 2), "finite parameters"),
        ("cameras.bin", struct.pack("<QIiQQ3d", 1, 1, 0, 6, 4, -5, 3, 2), "focal > 0"),
        ("cameras.bin", struct.pack("<Q", 0), "expected cameras, got none"),
        ("images.bin", struct.pack("<Q", 0), "expected images, got none"),
        ("points3D.bin", struct.pack("<Q", 0), "expected points, got none"),
        ("points3D.bin", struct.pack("<QQ3d3BdQ", 1, 1, 0, np.inf, 0, 1, 2, 3, 0.5, 0),
         "finite points, got 1 of 1 that are not"),
        ("cameras.txt", b"1 PINHOLE 16 12 14\n", "line 1: .*a known MODEL"),
        ("cameras.txt", b"1 EQUIRECTANGULAR 16 12\n", "a known MODEL"),
        ("cameras.txt", b"1\n", "a known MODEL"),
        ("cameras.txt", b"1 PINHOLE 16 12 14 14 8 6\n" * 2, "line 2: .*each camera once, got 1"),
        ("cameras.txt", b"# Number of cameras: 2\n1 PINHOLE 16 12 14 14 8 6\n", "2 cameras, as"),
        ("images.txt", b"1 1 0 0 0 0 0 0 1\n\n", "CAMERA_ID NAME"),
        ("images.txt", b"1 one 0 0 0 0 0 0 1 a.jpg\n\n", "line 1: .*QW QX"),
        ("images.txt", b"1 1 0 0 0 0 0 0 1 a.jpg\n1 2\n", "a second line for it"),
        ("images.txt", b"1 1 0 0 0 0 0 0 1 a.jpg\n", "a second line for it"),
        ("images.txt", b"1 1 0 0 0 0 0 0 1 a.jpg\n\n2 1 0 0 0 0 0 0 1 a.jpg\n\n",
         "line 3: .*each image once"),
        ("images.txt", images_text().rsplit("\n", 3)[0].encode() + b"\n", "3 images, as its"),
        ("points3D.txt", b"1 2 3 4 5 6 7\n", "POINT3D_ID X Y Z"),
        ("points3D.txt", b"1 2 3 4 5 6 7 0.5 9\n", "pairs of IMAGE_ID"),
        ("points3D.txt", b"1 x 3 4 5 6 7 0.5\n", "line 1: .*POINT3D_ID"),
        ("points3D.txt", b"1 2 nan 4 5 6 7 0.5\n", "finite points"),
        ("points3D.txt", points_text().rsplit("\n", 2)[0].encode() + b"\n", "2 points, as its"),
        ("points3D.txt", b"# nothing\n", "expected points, got none"),
    ],
    ids=lambda part: "" if isinstance(part, bytes) else part[:24],
)  # fmt: skip
def test_every_way_a_model_breaks(tmp_path, name, content, says) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=says) as error:
        read(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", WRITERS)
def test_files_that_are_not_there_or_empty(tmp_path, name) -> None:
    with pytest.raises(BenchError, match="a readable file"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BenchError, match="empty file"):
        read(tmp_path / name)


def test_an_image_of_a_camera_that_is_not_there(tmp_path) -> None:
    write(tmp_path, "images.bin")
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 16 12 14 14 8 6\n")
    with pytest.raises(BenchError, match=r"image 3 of 3: expected a camera of cameras.txt \(1\)"):
        colmap.read_model(tmp_path)


@pytest.mark.parametrize("pose", ["0 0 0 0 1 2 3", "9 0 0 0 1 2 3", "1 0 0 0 1 nan 3"])
def test_what_is_no_pose(tmp_path, pose) -> None:
    (tmp_path / "images.txt").write_text(f"1 {pose} 1 a.jpg\n\n")
    (image,) = colmap.read_poses(tmp_path / "images.txt")
    with pytest.raises(BenchError, match=r"images.txt, line 1: expected a rigid pose"):
        image.world_from_camera()
    with pytest.raises(BenchError, match=r"rigid poses"):
        load_trajectory(tmp_path / "images.txt", "colmap")
