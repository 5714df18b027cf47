"""Arrays from files: images, depth maps, arrays and JSON lines, none of which can run code.

Whatever is wrong with a file (missing, empty, truncated, corrupt, of another type) ends as one
`BenchError` that names it. Clouds are read by `g2vlm_bench.geometry.clouds`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from g2vlm_bench.errors import BenchError, nearest

# Pillow also knows formats that start other programs (EPS); a data set needs none of them.
_IMAGE_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr"})
_EXR_CHANNELS = ("Z", "Y", "V", "depth", "R")
_SINTEL_TAG = b"PIEH"  # 202021.25 as float32, little-endian
_MAX_PIXELS = 100_000_000
_MAX_BYTES = 4 << 30
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, zlib.error)


def load_rgb(source: str | Path | bytes) -> NDArray[np.uint8]:
    """Decode an image whole, so that a truncated one is an error and not a grey area.

    The EXIF orientation is applied: the array is upright. Grey, palette and CMYK images become RGB,
    transparency is dropped, of an animation the first frame counts.

    Args:
        source: A file, or its content.

    Returns:
        `(H, W, 3)` uint8.

    Raises:
        BenchError: The file is missing, empty, damaged, larger than 100 megapixels, or has no
            8-bit colours.
    """
    content, where = _content(source)
    image = _decode(content, where)
    if image.mode not in _COLOUR_MODES:
        raise BenchError(where, expected="an image of 8-bit colours", got=f"mode {image.mode}")
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def image_size(source: str | Path | bytes) -> tuple[int, int]:
    """Read the size `(H, W)` that `load_rgb` would return, from the header alone.

    Raises:
        BenchError: The file is missing, empty, or no image.
    """
    content, where = _content(source)
    image = _open(content, where)
    turned = image.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 stand on their side
    return (image.width, image.height) if turned else (image.height, image.width)


def load_png16(path: str | Path) -> NDArray[np.uint16]:
    """Read the raw values of a 16-bit greyscale PNG, `(H, W)` uint16.

    Raises:
        BenchError: The file is missing, empty, damaged, or no 16-bit greyscale PNG.
    """
    content, where = _content(path)
    image = _decode(content, where)
    if image.format != "PNG" or image.mode not in ("I;16", "I;16B"):
        raise BenchError(
            where,
            expected="a PNG of one 16-bit channel",
            got=f"{image.format} of mode {image.mode}",
            fix="Depth saved with 8 bits has lost its values; save it with 16.",
        )
    return np.array(image, dtype=np.uint16)


def load_labels(path: str | Path) -> NDArray[np.int32]:
    """Read the raw values of a greyscale PNG of 8 or 16 bits, `(H, W)` int32.

    Raises:
        BenchError: The file is missing, empty, damaged, or another image.
    """
    content, where = _content(path)
    image = _decode(content, where)
    if image.format != "PNG" or image.mode not in ("L", "I;16", "I;16B"):
        expected = "a PNG of one channel of 8 or 16 bits"
        raise BenchError(where, expected=expected, got=f"{image.format} of mode {image.mode}")
    return np.array(image).astype(np.int32)


def png_text(path: str | Path) -> dict[str, str]:
    """Read the text that a PNG carries beside its pixels.

    Raises:
        BenchError: The file is missing, empty, or no PNG.
    """
    content, where = _content(path)
    image = _decode(content, where)
    if image.format != "PNG":
        raise BenchError(where, expected="a PNG", got=image.format)
    return {str(key): text for key, text in image.info.items() if isinstance(text, str)}


def load_depth(
    path: str | Path, scale: float | None = None, invalid: Sequence[float] = (0,)
) -> NDArray[np.float32]:
    """Read a depth or disparity map, `(H, W)` float32 with NaN where there is no value.

    The suffix names the format: png and pgm (16 bit), npy, npz (its only array, or `depth`), exr
    (its only channel, or Z, Y, V, depth or R), dpt (Sintel) and pfm (whatever its byte order; its
    scale factor is no unit and is ignored). An array (H, W, 1), as in DIODE, is one of (H, W).

    Args:
        path: The file.
        scale: The stored value of one metre, such as 1000 for millimetres, or 256 for KITTI.
            Needed for png and pgm; 1 where a float format gives none.
        invalid: Stored values that mean "none"; NaN and infinity always do.

    Raises:
        BenchError: The file is missing, empty, damaged, of an unknown suffix, not of two
            dimensions, not of numbers, or has no scale where it needs one.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _DEPTH_FORMATS:
        raise BenchError(
            path, expected=f"a depth map ({', '.join(_DEPTH_FORMATS)})", got=f"'{path.name}'"
        )
    if scale is None and suffix in (".png", ".pgm"):
        raise BenchError(path, expected="a scale", got="none", fix="Say the value of one metre.")
    if scale is not None and not scale > 0:
        raise BenchError(path, expected="a scale above 0", got=scale)
    raw = _DEPTH_FORMATS[suffix](path)
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 or not raw.size:
        raise BenchError(path, expected="an array (H, W)", got=f"shape {raw.shape}")
    if raw.dtype.kind not in "uif":
        raise BenchError(path, expected="real numbers", got=f"dtype {raw.dtype}")
    known = np.isfinite(raw) & ~np.isin(raw, list(invalid))
    return np.where(known, raw.astype(np.float64) / (scale or 1.0), np.nan).astype(np.float32)


def load_raw_depth(path: str | Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read a depth map of bare float32, row by row, little-endian, without a header, as ETH3D's.

    Args:
        path: The file.
        size: `(H, W)`, which the file does not say.

    Returns:
        `(H, W)` float32; NaN where the file has 0, infinity or NaN.

    Raises:
        BenchError: The file is missing, empty, or of another length.
    """
    content, where = _content(path)
    depth = _floats(content, size, where)
    return np.where(np.isfinite(depth) & (depth != 0), depth, np.float32(np.nan))


def load_cam(path: str | Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a camera of Sintel (`.cam`).

    Returns:
        The 3x3 intrinsics, pixel centres at whole numbers, and the 3x4 `camera_from_world`.

    Raises:
        BenchError: The file is missing, of another length, or bears no tag.
    """
    content, where = _content(path)
    if content[:4] != _SINTEL_TAG or len(content) != 4 + 21 * 8:
        expected = "a tag 202021.25 and 21 numbers of 64 bits (172 bytes)"
        raise BenchError(where, expected=expected, got=f"{content[:4]!r} in {len(content)} bytes")
    numbers = np.frombuffer(content, "<f8", offset=4)
    return numbers[:9].reshape(3, 3).copy(), numbers[9:].reshape(3, 4).copy()


def load_array(path: str | Path, key: str | None = None) -> NDArray[Any]:
    """Read an array from npy or npz; objects, which pickle would have to load, are refused.

    Args:
        path: The file.
        key: Which array of an npz; not needed where it holds only one.

    Raises:
        BenchError: The file is missing, empty, damaged, holds objects, or has no such key.
    """
    content, where = _content(path)
    if Path(path).suffix.lower() != ".npz":
        return _from_npy(content, where)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = _member(archive, key, where)
            if archive.getinfo(member).file_size > _MAX_BYTES:
                raise BenchError(where, expected="at most 4 GiB an array", got="more")
            return _from_npy(archive.read(member), f"{where}:{member}")
    except (*_DAMAGE, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _damaged(where, "an npz archive", error) from None


def load_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; row `i` stands in line `i + 1`.

    Raises:
        BenchError: The file is missing or empty, or a line is blank or no object; it is named.
    """
    content, where = _content(path)
    rows = []
    for number, line in enumerate(content.rstrip().split(b"\n"), start=1):
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise _damaged(f"{where}, line {number}", "JSON", error) from None
        if not isinstance(row, dict):
            got = type(row).__name__
            raise BenchError(f"{where}, line {number}", expected="an object {...}", got=got)
        rows.append(row)
    return rows


def load_text(path: str | Path) -> str:
    """Read a text file that is not empty.

    Raises:
        BenchError: The file is missing, empty, or not UTF-8.
    """
    content, where = _content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _damaged(where, "UTF-8 text", error) from None


def load_bytes(path: str | Path) -> bytes:
    """Read a file that is not empty.

    Raises:
        BenchError: The file is missing or empty.
    """
    return _content(path)[0]


def _content(source: str | Path | bytes) -> tuple[bytes, str]:
    where = "image data" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise BenchError(where, expected="a readable file", got=got) from None
    if not content:
        raise BenchError(where, expected="content", got="an empty file (0 bytes)")
    return content, where


def _open(content: bytes, where: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=_IMAGE_FORMATS)
    except UnidentifiedImageError:
        raise BenchError(where, expected="an image", got="another or a damaged file") from None
    except Image.DecompressionBombError as error:
        raise BenchError(where, expected="at most 100 megapixels", got=error) from None
    except _DAMAGE as error:
        raise _damaged(where, "an image", error) from None
    if image.width * image.height > _MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        raise BenchError(where, expected="at most 100 megapixels", got=size)
    return image


def _decode(content: bytes, where: str) -> Image.Image:
    image = _open(content, where)
    try:
        if image.format == "PNG":
            # Decoding skips the checksums of the pixel data; verify() reads them and needs its own.
            image.verify()
            image = _open(content, where)
        image.load()
    except _DAMAGE as error:
        raise _damaged(where, "a whole image", error) from None
    return image


def _from_npy(content: bytes, where: str) -> NDArray[Any]:
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except _DAMAGE as error:
        raise _damaged(where, "an npy array", error) from None
    if dtype.hasobject or dtype.names:
        raise BenchError(where, expected="an array of numbers", got=f"dtype {dtype}")
    wanted = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    if len(content) - stream.tell() != wanted:
        got = f"{len(content) - stream.tell()}"
        raise BenchError(where, expected=f"{wanted} bytes of numbers", got=got)
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _member(archive: zipfile.ZipFile, key: str | None, where: str) -> str:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if key is None and len(names) == 1:
        return archive.namelist()[0]
    if key not in names:
        raise BenchError(
            where, expected=f"an array '{key}'", got="none", fix=nearest(str(key), names)
        )
    return archive.namelist()[names.index(key)]


def _npz_depth(path: Path) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            several = len(archive.namelist()) > 1
    except (OSError, zipfile.BadZipFile):
        several = False  # load_array says what is wrong
    return load_array(path, "depth" if several else None)


def _pfm(path: Path) -> NDArray[Any]:
    content, where = _content(path)
    header = re.match(rb"Pf\s+(\d{1,6})\s+(\d{1,6})\s+([-+.\deE]{1,32})\s", content)
    if header is None:
        expected = "a PFM of one channel: Pf, width, height, scale"
        raise BenchError(where, expected=expected, got=f"{content[:24]!r}")
    scale = header[3].decode()
    # Its sign says in which order bytes stand.
    if not re.search("[1-9]", scale.lower().partition("e")[0]):
        raise BenchError(where, expected="a scale above or below 0", got=scale)
    width, height = int(header[1]), int(header[2])
    data = content[header.end() :]
    if len(data) != 4 * width * height:
        raise BenchError(where, expected=f"{4 * width * height} bytes of numbers", got=len(data))
    order = "<f4" if scale.startswith("-") else ">f4"
    # Rows run from the bottom to the top.
    return np.frombuffer(data, order).reshape(height, width)[::-1].astype(np.float32)


def _pgm(path: Path) -> NDArray[Any]:
    # Not by Pillow, which stretches the values to 65535 where the file's maximum is smaller.
    content, where = _content(path)
    gap = rb"(?:\s|#[^\n]*\n)+"
    header = re.match(rb"P5%b(\d{1,6})%b(\d{1,6})%b(\d{1,5})\s" % (gap, gap, gap), content)
    if header is None or not 256 <= int(header[3]) <= 65535:
        raise BenchError(where, expected="a binary PGM (P5) of 16 bits", got=f"{content[:16]!r}")
    width, height = int(header[1]), int(header[2])
    data = content[header.end() :]
    if len(data) != 2 * width * height:
        raise BenchError(where, expected=f"{2 * width * height} bytes of numbers", got=len(data))
    return np.frombuffer(data, ">u2").reshape(height, width).astype(np.uint16)


def _dpt(path: Path) -> NDArray[Any]:
    content, where = _content(path)
    if content[:4] != _SINTEL_TAG or len(content) < 12:
        expected = "a depth map tagged 202021.25, its width and its height (12 bytes)"
        got = f"{content[:12]!r}" if len(content) >= 12 else f"{len(content)} bytes"
        raise BenchError(where, expected=expected, got=got)
    width, height = np.frombuffer(content, "<i4", count=2, offset=4).tolist()
    return _floats(content[12:], (height, width), where)


def _floats(data: bytes, size: tuple[int, int], where: str) -> NDArray[np.float32]:
    height, width = size
    if min(size) < 1 or height * width > _MAX_PIXELS:
        raise BenchError(where, expected="1 to 100 megapixels", got=f"{width} x {height}")
    if len(data) != 4 * height * width:
        raise BenchError(
            where,
            expected=f"{4 * height * width} bytes of numbers ({width} x {height})",
            got=len(data),
            fix="Fetch the file again, or pair it with its own image.",
        )
    return np.frombuffer(data, "<f4").reshape(size).astype(np.float32)


def _exr(path: Path) -> NDArray[Any]:
    _content(path)
    try:
        import OpenEXR
    except ImportError:
        raise BenchError(
            path, expected="the package OpenEXR", got="none", fix="pip install g2vlm-bench[exr]"
        ) from None
    try:
        header = OpenEXR.File(str(path), header_only=True).header()
        (left, top), (right, bottom) = header["dataWindow"]
        if (int(right) - int(left) + 1) * (int(bottom) - int(top) + 1) > _MAX_PIXELS:
            raise BenchError(path, expected="at most 100 megapixels", got="more")
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    except BenchError:
        raise
    except Exception as error:  # the bindings raise whatever the C++ library throws
        raise _damaged(str(path), "a whole EXR file", error) from None
    named = [name for name in _EXR_CHANNELS if name in channels]
    if not named and len(channels) != 1:
        expected = f"a channel {', '.join(_EXR_CHANNELS)}"
        raise BenchError(path, expected=expected, got=", ".join(channels))
    return np.asarray(channels[(named or list(channels))[0]].pixels)


_DEPTH_FORMATS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".png": load_png16,
    ".npy": load_array,
    ".npz": _npz_depth,
    ".exr": _exr,
    ".pfm": _pfm,
    ".pgm": _pgm,
    ".dpt": _dpt,
}


def _damaged(where: str, expected: str, error: BaseException) -> BenchError:
    got = str(error) or type(error).__name__
    return BenchError(where, expected=expected, got=got, fix="Fetch or write the file again.")
