"""A contact sheet: scenes as pictures, depth and instances, each with a question and its answer."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.report.drawing import NOTHING, range_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Rgb = NDArray[np.uint8]

_GAP, _MARGIN = 4, 12
_PAPER, _INK, _PALE, _RIGHT = (255, 255, 255), (20, 20, 20), (110, 110, 110), (0, 110, 50)
_GROUND = (225, 225, 225)
_GOLDEN = 0.618034
_TONES = ((0.85, 0.95), (0.9, 0.7), (0.85, 0.5), (0.55, 0.9))


@dataclass(frozen=True, slots=True)
class Panel:
    """One scene on a sheet.

    Attributes:
        title: Names it.
        images: `(H, W, 3)` uint8 pictures, one a view.
        depth_m: `(H, W)` metres of the first view, NaN where there is none.
        instance_ids: `(H, W)` of the first view, 0 for what is no object.
        questions: What is asked.
    """

    title: str
    images: tuple[Rgb, ...]
    depth_m: NDArray[np.float32]
    instance_ids: NDArray[np.int32]
    questions: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer.

    Attributes:
        label: What kind of question it is.
        question: The question.
        choices: Its options, in their order.
        answer: The right answer as text, with its unit.
    """

    label: str
    question: str
    choices: tuple[str, ...]
    answer: str


def draw(panels: Sequence[Panel], columns: int = 2, picture_px: int = 192) -> Image:
    """Draw a sheet: pictures, depth with its range, instances in colours, and the words below.

    The same panels give the same pixels.

    Args:
        panels: The scenes, all with as many views, drawn row by row.
        columns: Panels beside one another.
        picture_px: Width of a picture.

    Raises:
        ValueError: There is no panel, or a number is not positive.
    """
    if not panels or columns < 1 or picture_px < 1:
        raise ValueError(
            f"expected panels, columns and pixels, got {len(panels)}, {columns}, {picture_px}"
        )
    from PIL import Image

    drawn = [_panel(panel, picture_px) for panel in panels]
    columns = min(columns, len(drawn))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    widths = [max(row[i].width for row in rows if i < len(row)) for i in range(columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    size = [sum(sides) + _MARGIN * (len(sides) + 1) for sides in (widths, heights)]
    sheet = Image.new("RGB", (size[0], size[1]), _PAPER)
    top = _MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = _MARGIN
        for panel, width in zip(row, widths, strict=False):
            sheet.paste(panel, (left, top))
            left += width + _MARGIN
        top += height + _MARGIN
    return sheet


def instance_colours(ids: NDArray[np.int32]) -> Rgb:
    """Give each id a colour of its own, far from those of its neighbours in number; 0 is grey."""
    numbers = np.unique(ids)
    palette = [(_GROUND if number == 0 else _hue(int(number))) for number in numbers]
    return np.array(palette, np.uint8)[np.searchsorted(numbers, ids)]


def _hue(number: int) -> tuple[int, int, int]:
    # Steps of the golden ratio around the colour circle come close to an earlier one late only.
    parts = colorsys.hsv_to_rgb(number * _GOLDEN % 1, *_TONES[number % len(_TONES)])
    red, green, blue = (round(255 * part) for part in parts)
    return red, green, blue


def _panel(panel: Panel, width: int) -> Image:
    from PIL import Image, ImageDraw

    near, far = range_of(panel.depth_m.astype(np.float64))
    maps = [_coloured(panel.depth_m, near, far), instance_colours(panel.instance_ids)]
    pictures = [_sized(image, width, smooth=True) for image in panel.images]
    pictures += [_sized(image, width, smooth=False) for image in maps]
    several = len(panel.images) > 1
    names = [f"picture {i + 1}" if several else "picture" for i in range(len(panel.images))]
    names += [f"depth {near:.1f} to {far:.1f} m", "objects"]
    whole = len(pictures) * (width + _GAP) - _GAP
    lines = _lines(panel, whole)
    caption = _font(11)
    strip = pictures[0].height
    height = 18 + strip + 16 + sum(line.height for line in lines)
    canvas = Image.new("RGB", (whole, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((0, 0), panel.title, _PALE, caption)
    for i, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left = i * (width + _GAP)
        canvas.paste(picture, (left, 18))
        pen.text((left, 18 + strip + 1), name, _PALE, caption)
    top = 18 + strip + 16
    for line in lines:
        pen.text((line.indent, top), line.text, line.colour, line.font)
        top += line.height
    return canvas


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: tuple[int, int, int]
    font: FreeTypeFont
    height: int = 17
    indent: int = 0


def _lines(panel: Panel, width: int) -> list[_Line]:
    plain, bold, small = _font(13), _font(13, bold=True), _font(11)
    lines = []
    for asked in panel.questions:
        lines.append(_Line(asked.label, _PALE, small, 15))
        lines += [_Line(text, _INK, plain) for text in _wrapped(asked.question, plain, width)]
        for letter, choice in zip("ABCDEFGHIJ", asked.choices, strict=False):
            is_right = choice == asked.answer
            font, colour = (bold, _RIGHT) if is_right else (plain, _INK)
            texts = _wrapped(f"{letter}. {choice}", font, width - 14)
            lines += [_Line(text, colour, font, indent=14) for text in texts]
        if not asked.choices:
            lines.append(_Line(asked.answer, _RIGHT, bold, indent=14))
    return lines


def _wrapped(text: str, font: FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int, bold: bool = False) -> FreeTypeFont:
    """The face that Matplotlib brings along, so that every machine draws the same letters."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _coloured(depth: NDArray[np.float32], near: float, far: float) -> Rgb:
    import matplotlib

    near = max(near, 1e-3)
    # Of equal ratios equal steps: a road would else be one colour up to its last tenth.
    unit = np.clip(np.log(depth / near) / np.log(far / near), 0, 1)
    rgb = matplotlib.colormaps["viridis_r"](np.nan_to_num(unit), bytes=True)[..., :3].copy()
    rgb[~np.isfinite(depth)] = NOTHING
    return np.asarray(rgb, np.uint8)


def _sized(image: Rgb, width: int, smooth: bool) -> Image:
    from PIL import Image

    # Maps keep their pixels: no depth is mixed with none, no object with another.
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return Image.fromarray(image).resize((width, height), how)
