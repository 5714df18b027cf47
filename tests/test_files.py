"""Every format against a hand-made file, and every way a file can be broken."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import (
    image_size,
    load_array,
    load_cam,
    load_depth,
    load_jsonl,
    load_png16,
    load_raw_depth,
    load_rgb,
    load_text,
)
from g2vlm_bench.paths import safe_join

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000


def noise(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header_of(width: int, height: int) -> bytes:
    """A PNG that only claims a size; its pixels would be gigabytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    tail = struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + tail
        + struct.pack(">I", len(data) - 4)
        + data
        + struct.pack(">I", zlib.crc32(data))
    )


def pfm(rows: np.ndarray, scale: str = "-1.0", kind: str = "Pf") -> bytes:
    order = "<f4" if scale.startswith("-") else ">f4"
    head = f"{kind}\n{rows.shape[1]} {rows.shape[0]}\n{scale}\n".encode()
    return head + rows[::-1].astype(order).tobytes()


def dpt(rows: np.ndarray) -> bytes:
    """Sintel's: a tag, width, height, then rows from the top."""
    return struct.pack("<fii", 202021.25, *rows.shape[::-1]) + rows.astype("<f4").tobytes()


def npy(array: object, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def test_rgb_from_path_and_bytes(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(noise()), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    for source in (content, tmp_path / "a.png", str(tmp_path / "a.png")):
        image = load_rgb(source)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, noise())


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1"])
def test_other_8_bit_modes_become_rgb(mode: str) -> None:
    assert load_rgb(encoded(Image.new(mode, (5, 4), 1), "PNG")).shape == (4, 5, 3)


def test_transparency_is_dropped_and_leaves_the_colour() -> None:
    assert load_rgb(encoded(Image.new("RGBA", (1, 1), (9, 8, 7, 0)), "PNG")).tolist() == [
        [[9, 8, 7]]
    ]


def test_exif_orientation_is_applied() -> None:
    image = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right: turn a quarter clockwise
    upright = load_rgb(encoded(image, "PNG", exif=exif))
    assert upright.shape == (8, 4, 3)
    assert upright[0, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_from_the_header_is_that_of_the_upright_image(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = encoded(Image.fromarray(noise()), "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(whole[:-500])  # the pixels are not needed
    assert image_size(tmp_path / "a.jpg") == load_rgb(whole).shape[:2]
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(BenchError, match="expected an image"):
        image_size(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"not an image", "expected an image"),
        (encoded(Image.fromarray(noise()), "PNG")[:-2000], "expected a whole image"),
        (encoded(Image.fromarray(noise()), "JPEG")[:-500], "expected a whole image"),
        (flipped(encoded(Image.fromarray(noise()), "PNG"), 3000), "expected a whole image"),
        (encoded(Image.fromarray(RAMP), "PNG"), "8-bit colours"),
        (png_header_of(60_000, 60_000), "100 megapixels"),
        (png_header_of(12_000, 9_000), "100 megapixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "expected an image"),
    ],
    ids=["empty", "text", "png-cut", "jpeg-cut", "png-flipped", "16-bit", "bomb", "big", "eps"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_images_are_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=says) as caught:
        load_rgb(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        load_rgb(tmp_path / "none.png")
    with pytest.raises(BenchError, match="readable file"):
        load_rgb(tmp_path)
    with pytest.raises(BenchError, match="readable file"):
        load_rgb("a\0b.png")


def test_png16_and_scale(tmp_path: Path) -> None:
    path = tmp_path / "d.png"
    path.write_bytes(encoded(Image.fromarray(RAMP), "PNG"))
    np.testing.assert_array_equal(load_png16(path), RAMP)
    depth = load_depth(path, scale=1000, invalid=(0, 11000))
    assert depth.dtype == np.float32
    assert np.isnan(depth[0, 0])
    assert np.isnan(depth[2, 3])
    assert depth[1, 1] == 5.0  # 5000 / 1000
    assert np.isfinite(load_depth(path, scale=5000, invalid=())).all()


@pytest.mark.parametrize(
    "image",
    [Image.new("L", (4, 4)), Image.new("RGB", (4, 4)), Image.new("I", (4, 4)).convert("RGBA")],
)
def test_png16_refuses_other_types(tmp_path: Path, image: Image.Image) -> None:
    path = tmp_path / "d.png"
    path.write_bytes(encoded(image, "PNG"))
    with pytest.raises(BenchError, match="16-bit channel"):
        load_png16(path)


@pytest.mark.parametrize("scale", ["-1.0", "1.0", "-0.003922"])
def test_pfm_rows_and_byte_order(tmp_path: Path, scale: str) -> None:
    values = np.array([[1.5, np.inf, 3.0], [4.0, np.nan, 0.0]], np.float32)
    (tmp_path / "d.pfm").write_bytes(pfm(values, scale))
    depth = load_depth(tmp_path / "d.pfm")
    np.testing.assert_array_equal(depth, [[1.5, np.nan, 3.0], [4.0, np.nan, np.nan]])


def test_pgm_is_big_endian_and_keeps_its_values(tmp_path: Path) -> None:
    path = tmp_path / "d.pgm"
    # A maximum below 65535 does not stretch the values; comments may stand in the header.
    path.write_bytes(b"P5\n# made by hand\n4 3\n12000\n" + RAMP.astype(">u2").tobytes())
    np.testing.assert_array_equal(load_depth(path, scale=1, invalid=()), RAMP)


@pytest.mark.parametrize("name", ["one.npz", "two.npz", "one.npy"])
def test_float_arrays(tmp_path: Path, name: str) -> None:
    values = np.array([[0.0, 2.0], [np.nan, -1.0]])
    path = tmp_path / name
    if name == "one.npz":
        np.savez_compressed(path, anything=values)
    elif name == "two.npz":
        np.savez(path, other=np.ones(3), depth=values)
    else:
        np.save(path, np.asfortranarray(values))
    np.testing.assert_array_equal(load_depth(path), [[np.nan, 2.0], [np.nan, -1.0]])
    np.testing.assert_array_equal(load_depth(path, scale=2, invalid=()), values / 2)


def test_half_precision_is_divided_in_double(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.full((1, 1), 2047, np.float16))
    assert load_depth(tmp_path / "d.npy", scale=1000)[0, 0] == np.float32(2.047)


def test_a_depth_map_with_a_third_dimension_of_one(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.full((2, 3, 1), 4.0))
    assert load_depth(tmp_path / "d.npy").shape == (2, 3)


def test_dpt_rows_run_from_the_top(tmp_path: Path) -> None:
    (tmp_path / "d.dpt").write_bytes(dpt(np.array([[1.0, 2, 0], [4, 5, 1e9]])))
    found = load_depth(tmp_path / "d.dpt")
    np.testing.assert_array_equal(found, np.array([[1, 2, np.nan], [4, 5, 1e9]], np.float32))


def test_cam_holds_intrinsics_and_camera_from_world(tmp_path: Path) -> None:
    numbers = [1120, 0, 511.5, 0, 1120, 217.5, 0, 0, 1, *range(12)]
    content = struct.pack("<f21d", 202021.25, *numbers)
    (tmp_path / "a.cam").write_bytes(content)
    intrinsics, camera_from_world = load_cam(tmp_path / "a.cam")
    assert intrinsics.tolist() == [[1120, 0, 511.5], [0, 1120, 217.5], [0, 0, 1]]
    assert camera_from_world.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    for broken in (content[:-1], content + b"\0", b"HEIP" + content[4:], content[:4], b"PI"):
        (tmp_path / "a.cam").write_bytes(broken)
        with pytest.raises(BenchError, match=r"a\.cam: expected a tag 202021.25 and 21 numbers"):
            load_cam(tmp_path / "a.cam")


def test_raw_depth_says_no_size_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "DSC_1.JPG"
    path.write_bytes(np.array([[1, np.inf, 3], [0, np.nan, 6]], "<f4").tobytes())
    found = load_raw_depth(path, (2, 3))
    np.testing.assert_array_equal(found, [[1, np.nan, 3], [np.nan, np.nan, 6]])
    for size in ((2, 4), (1, 3), (0, 0), (-2, -3), (1 << 20, 1 << 20)):
        with pytest.raises(BenchError, match=r"DSC_1\.JPG: expected"):
            load_raw_depth(path, size)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BenchError, match=r"expected 24 bytes of numbers .3 x 2., got 21"):
        load_raw_depth(path, (2, 3))


def test_array_by_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", points=np.eye(3), normals=np.ones(3))
    np.testing.assert_array_equal(load_array(tmp_path / "a.npz", "points"), np.eye(3))
    with pytest.raises(BenchError, match="Did you mean 'points'"):
        load_array(tmp_path / "a.npz", "point")
    with pytest.raises(BenchError, match="an array 'None'"):
        load_array(tmp_path / "a.npz")


def npz(content: bytes, name: str = "depth.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


PLAIN = npy(np.ones((30, 40)))
BROKEN = [
    ("a.npy", b"", "empty file"),
    ("a.npy", b"hello", "expected an npy array"),
    ("a.npy", PLAIN[:-8], "bytes of numbers"),
    ("a.npy", PLAIN + b"\0", "bytes of numbers"),
    ("a.npy", PLAIN.replace(b"(30, 40)", b"(30, 999999999999)"), "expected"),
    ("a.npy", npy(np.array([{}], object), allow_pickle=True), "array of numbers"),
    ("a.npy", npy(np.array(["text"])), "real numbers|shape"),
    ("a.npy", npy(np.ones((2, 2), bool)), "real numbers"),
    ("a.npy", npy(np.ones((2, 2), complex)), "real numbers"),
    ("a.npy", npy(np.ones((1, 2, 2))), "array .H, W."),
    ("a.npy", npy(np.ones((0, 2))), "array .H, W."),
    ("a.npz", b"PK\x03\x04", "npz archive"),
    ("a.npz", npz(PLAIN)[:-30], "npz archive"),
    ("a.npz", flipped(npz(PLAIN), 900), "npz archive"),
    ("a.npz", npz(PLAIN[:-8]), "bytes of numbers"),
    ("a.npz", npz(npy(np.array([{}], object), allow_pickle=True)), "array of numbers"),
    ("a.npz", npz(b"not numpy"), "expected an npy array"),
    ("a.pfm", b"", "empty file"),
    ("a.pfm", b"Pf\n", "PFM of one channel: Pf, width, height, scale"),
    ("a.pfm", pfm(np.ones((2, 2)), "0.0"), "a scale above or below 0, got 0.0"),
    ("a.pfm", pfm(np.ones((2, 2)), "-0e5"), "a scale above or below 0, got -0e5"),
    ("a.pfm", pfm(np.ones((2, 2)))[:-1], "bytes of numbers"),
    ("a.pfm", pfm(np.ones((2, 6)), kind="PF"), "PFM of one channel"),
    ("a.pgm", b"P5\n4 3\n255\n" + bytes(12), "of 16 bits"),
    ("a.pgm", b"P2\n1 1\n65535\n7\n", "of 16 bits"),
    ("a.pgm", b"P5\n4 3\n65535\n" + bytes(23), "bytes of numbers"),
    ("a.png", encoded(Image.fromarray(RAMP), "PNG")[:-20], "whole image"),
    ("a.tif", b"II*\0", "expected a depth map"),
    ("a.exr", b"", "empty file"),
    ("a.dpt", b"PIEH\2\0\0\0", r"its width and its height \(12 bytes\), got 8 bytes"),
    ("a.dpt", struct.pack(">f", 202021.25) + dpt(np.ones((2, 2)))[4:], "tagged 202021.25"),
    ("a.dpt", dpt(np.ones((2, 3)))[:-1], "24 bytes of numbers .3 x 2.*got 23"),
    ("a.dpt", dpt(np.ones((2, 3))) + b"\0", "24 bytes of numbers"),
    ("a.dpt", b"PIEH" + struct.pack("<ii", -1, 3), "1 to 100 megapixels"),
    ("a.dpt", b"PIEH" + struct.pack("<ii", 1 << 30, 1 << 30), "1 to 100 megapixels"),
]


@pytest.mark.parametrize(("name", "content", "says"), BROKEN)
def test_broken_depth_maps(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=says) as caught:
        load_depth(tmp_path / name, scale=1000)
    assert name in str(caught.value)


@pytest.mark.parametrize("scale", [None, 0, -1, float("nan")])
def test_integer_depth_needs_a_scale(tmp_path: Path, scale: float | None) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(RAMP), "PNG"))
    with pytest.raises(BenchError, match="a scale"):
        load_depth(tmp_path / "a.png", scale=scale)


def test_exr(tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")
    values = np.array([[0.0, 1.5], [np.inf, 3.0]], np.float32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    path = str(tmp_path / "d.exr")
    OpenEXR.File(header, {"Z": values, "A": np.ones_like(values)}).write(path)
    np.testing.assert_array_equal(load_depth(path), [[np.nan, 1.5], [np.nan, 3.0]])
    OpenEXR.File(header, {"only": values}).write(path)
    assert load_depth(path)[1, 1] == 3.0
    OpenEXR.File(header, {"P": values, "Q": values}).write(path)
    with pytest.raises(BenchError, match="got P, Q"):
        load_depth(path)
    Path(path).write_bytes(Path(path).read_bytes()[:-20])
    with pytest.raises(BenchError, match=r"d\.exr"):
        load_depth(path)


def test_exr_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.exr").write_bytes(b"v/1\x01")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(BenchError, match=r"g2vlm-bench\[exr\]"):
        load_depth(tmp_path / "d.exr")


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('\ufeff{"a": 1}\n{"b": "ä"}\n\n', encoding="utf-8")
    assert load_jsonl(path) == [{"a": 1}, {"b": "ä"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"\n\n", "line 1"),
        (b'{"a": 1}\n\n{"a": 2}', "line 2"),
        (b'{"a": 1}\n{"a": ', "line 2.*expected JSON"),
        (b'{"a": 1}\n[1]\n', "line 2.*got list"),
        (b'{"a": "\xff"}', "line 1"),
        (b"[" * 100_000, "line 1"),
    ],
)
def test_broken_jsonl_names_the_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "q.jsonl").write_bytes(content)
    with pytest.raises(BenchError, match=says):
        load_jsonl(tmp_path / "q.jsonl")


def test_text_is_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="UTF-8"):
        load_text(tmp_path / "a.txt")


def test_safe_join_stays_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "out.txt").write_text("x")
    (root / "link").symlink_to(tmp_path / "out.txt")
    (root / "inner").symlink_to(root / "sub")
    assert safe_join(root, "sub/../a.png") == root / "a.png"
    assert safe_join(root, "inner/a") == root / "sub" / "a"
    for bad in ("../out.txt", str(tmp_path / "out.txt"), str(root / "a"), "link", "a\0"):
        with pytest.raises(BenchError, match="within the folder"):
            safe_join(root, bad)
    with pytest.raises(BenchError, match="within the folder"):
        safe_join(root, "../root2/a")
