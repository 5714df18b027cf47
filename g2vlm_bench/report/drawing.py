"""Arrays drawn as small images: colour maps of depth, clouds and cameras from two sides."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH = 224
TALLEST = 2 * WIDTH
GAP = 6
NOTHING: Colour = (128, 128, 128)
PAPER: Colour = (250, 250, 250)
TRUE: Colour = (64, 120, 180)
PREDICTED: Colour = (216, 96, 16)
TINT: Colour = (255, 0, 200)  # Things in photos are blue and orange often, and seldom this.
MISSED: Colour = (196, 196, 196)
CAMERAS = 12
# A camera's view: the corners of its picture at one unit ahead, and the unit's share of the box.
_FRUSTUM = ((-0.6, -0.45, 1.0), (0.6, -0.45, 1.0), (0.6, 0.45, 1.0), (-0.6, 0.45, 1.0))
_FRUSTUM_SIDE = 0.11
_FINE = 4  # Lines are drawn this many times larger, and brought down: PIL's own have steps.


@dataclass(frozen=True, slots=True)
class Picture:
    """An image inlined into the page.

    Attributes:
        uri: The image as a data URI.
        alt: What it shows, for who does not see it.
        caption: What stands below it.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int


def range_of(values: Array) -> tuple[float, float]:
    """Give the range of most values, so that a few outliers do not decide the colours."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [2, 98])
    return float(low), float(high if high > low else low + max(abs(low), 1.0))


def coloured(values: Array, low: float, high: float, colours: str) -> Rgb:
    """Colour a map, at the page's width; nearest pixels, so that no depth is mixed with none."""
    height = min(max(1, round(values.shape[0] * WIDTH / values.shape[1])), TALLEST)
    return painted(like(values, (height, WIDTH)), low, high, colours)


def painted(values: Array, low: float, high: float, colours: str) -> Rgb:
    """Colour a map, pixel by pixel; grey where there is no value."""
    import matplotlib

    unit = np.clip((values - low) / (high - low), 0, 1)
    rgb = matplotlib.colormaps[colours](np.nan_to_num(unit), bytes=True)[..., :3]
    rgb[~np.isfinite(values)] = NOTHING
    return np.asarray(rgb, np.uint8)


def like(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Take the nearest pixels, so that a map has another size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def box(points: Array) -> tuple[Array, Array]:
    """A box around most of the truth, with room for what misses it."""
    low, high = np.percentile(points, [1, 99], axis=0)
    margin = 0.15 * max(float((high - low).max()), 1e-6)
    return low - margin, high + margin


@dataclass(frozen=True, slots=True)
class _Side:
    """A square page on which a box is seen from one side.

    Attributes:
        low: Corner (3,) of the box that is shown.
        high: The other corner.
        axes: Which of x, y and z go along the page and across it.
        upwards: Whether the second goes up the page, and not down.
    """

    low: Array
    high: Array
    axes: tuple[int, int]
    upwards: bool

    @property
    def metres(self) -> float:
        """How much the page shows."""
        return float((self.high - self.low).max())

    def placed(self, points: Array, size: int) -> Array:
        """Columns and rows (N, 2) of points (N, 3) on a page of `size` pixels."""
        picked = list(self.axes)
        centre = (self.low + self.high)[picked] / 2
        # What is far outside stays outside; nothing can be drawn to a coordinate of 10^10.
        offsets: Array = np.clip((points[:, picked] - centre) / self.metres, -9, 9)
        offsets[:, 1] *= -1 if self.upwards else 1
        return (offsets + 0.5) * size


def _from_two_sides(draw: Callable[[_Side], Rgb], low: Array, high: Array, y_up: bool) -> Rgb:
    """Draw from above (x and z) and from the front (x and y), at one scale."""
    above, front = _Side(low, high, (0, 2), True), _Side(low, high, (0, 1), y_up)
    return beside(draw(above), draw(front))


def views(
    clouds: Sequence[tuple[Array, Colour]], low: Array, high: Array, y_up: bool = False
) -> Rgb:
    """Draw clouds from above (x and z) and from the front (x and y), at one scale."""
    return _from_two_sides(lambda side: _clouds(clouds, side), low, high, y_up)


def _clouds(clouds: Sequence[tuple[Array, Colour]], side: _Side) -> Rgb:
    image = np.empty((WIDTH, WIDTH, 3), np.float64)
    image[:] = PAPER
    for points, colour in clouds:
        inside = points[((points >= side.low) & (points <= side.high)).all(axis=1)]
        columns, rows = np.clip(side.placed(inside, WIDTH).astype(int), 0, WIDTH - 1).T
        counts = np.zeros((WIDTH, WIDTH))
        np.add.at(counts, (rows, columns), 1.0)
        # A pixel is as strong as its points are many, up to the usual count of a filled pixel.
        usual = np.median(counts[counts > 0]) if counts.any() else 1.0
        strength = np.where(counts > 0, np.clip(counts / usual, 0.45, 0.85), 0.0)[..., None]
        image = image * (1 - strength) + np.asarray(colour, np.float64) * strength
    return np.asarray(np.round(image), np.uint8)


def cameras(
    trajectories: Sequence[tuple[Array, Colour]], low: Array, high: Array, y_up: bool = False
) -> Rgb:
    """Draw cameras from above (x and z) and from the front (x and y), at one scale.

    Args:
        trajectories: Poses (N, 4, 4), camera to world, with their colour, camera i of each
            belonging to camera i of the first; a path joins its cameras, a dot is the first of
            them, and a grey line goes to where the first trajectory has the same camera.
        low: Corner (3,) of the box that is shown.
        high: The other corner.
        y_up: Whether y goes up the page from the front, and not down.
    """
    return _from_two_sides(lambda side: _cameras(trajectories, side), low, high, y_up)


def _cameras(trajectories: Sequence[tuple[Array, Colour]], side: _Side) -> Rgb:
    from PIL import Image, ImageDraw

    size = WIDTH * _FINE
    image = Image.new("RGB", (size, size), PAPER)
    draw = ImageDraw.Draw(image)

    def placed(points: Array) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in side.placed(points, size)]

    first = trajectories[0][0]
    shown = np.unique(np.linspace(0, len(first) - 1, CAMERAS).astype(int))
    for poses, _ in trajectories[1:]:
        pairs = zip(placed(poses[shown, :3, 3]), placed(first[shown, :3, 3]), strict=True)
        for pair in pairs:
            draw.line(pair, fill=MISSED, width=_FINE)
    for poses, colour in trajectories:
        path = placed(poses[:, :3, 3])
        draw.line(path, fill=_paler(colour), width=_FINE)
        for pose in poses[shown]:
            corners = np.array([(0, 0, 0), *_FRUSTUM]) * _FRUSTUM_SIDE * side.metres
            apex, *base = placed(corners @ pose[:3, :3].T + pose[:3, 3])
            for line in (*([apex, corner] for corner in base), [*base, base[0]]):
                draw.line(line, fill=colour, width=_FINE + _FINE // 2)
        (x, y), dot = path[0], 3 * _FINE
        draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=colour)
    return np.asarray(image.resize((WIDTH, WIDTH), Image.Resampling.BOX), np.uint8)


def _paler(colour: Colour) -> Colour:
    red, green, blue = ((part + paper) // 2 for part, paper in zip(colour, PAPER, strict=True))
    return red, green, blue


def marked(image: Rgb, outlined: NDArray[np.bool_], tinted: NDArray[np.bool_] | None) -> Rgb:
    """Outline a mask on a photo in white and black, and tint another.

    Args:
        image: (H, W, 3).
        outlined: (H', W').
        tinted: (H'', W''), or nothing to tint.
    """
    from scipy import ndimage

    photo = resized(image).astype(np.float64)
    if tinted is not None:
        strength = 0.6 * like(np.asarray(tinted, np.float64), photo.shape[:2])[..., None]
        photo = photo * (1 - strength) + np.asarray(TINT, np.float64) * strength
    inside = like(np.asarray(outlined, bool), photo.shape[:2])
    white, black = (ndimage.binary_dilation(inside, iterations=count) for count in (1, 2))
    photo[black & ~white] = 0
    photo[white & ~inside] = 255
    return np.asarray(np.round(photo), np.uint8)


def beside(left: Rgb, right: Rgb) -> Rgb:
    """Join two images of one height."""
    return row([left, right])


def row(images: Sequence[Rgb]) -> Rgb:
    """Join images, on white where one is lower than the others."""
    tallest = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + GAP * (len(images) - 1)
    joined = np.full((tallest, width, 3), 255, np.uint8)
    left = 0
    for image in images:
        joined[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + GAP
    return joined


def resized(image: Rgb) -> Rgb:
    """Bring a photo to the width of a picture, or to the greatest height of one."""
    from PIL import Image

    scale = min(WIDTH / image.shape[1], TALLEST / image.shape[0])
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), np.uint8)


def jpeg(image: Rgb, alt: str, caption: str) -> Picture:
    """Inline an image of smooth colours."""
    return _inlined(image, alt, caption, "JPEG", quality=85)


def png(image: Rgb, alt: str, caption: str) -> Picture:
    """Inline an image of few colours."""
    return _inlined(image, alt, caption, "PNG", optimize=True)


def empty(shape: tuple[int, ...], caption: str) -> Picture:
    """Stand in for what cannot be shown."""
    image = np.full((shape[0], shape[1], 3), NOTHING, np.uint8)
    return png(image, "No prediction to show", caption)


def _inlined(image: Rgb, alt: str, caption: str, kind: str, **options: Any) -> Picture:
    from PIL import Image

    picture = Image.fromarray(image)
    if kind == "PNG":
        picture = picture.quantize(64)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    uri = f"data:image/{kind.lower()};base64,{encoded}"
    return Picture(uri, alt, caption, picture.width, picture.height)
