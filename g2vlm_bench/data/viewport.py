"""Views as benchmarks show them, which neither score nor show pictures as they are stored.

`Viewport` is MoGe's loader (0744441, `moge/test/dataloader.py`, `_process_instance`, with utils3d
3fab839): a camera whose principal point is off the middle is turned until it is not; the widest
view of the wanted proportions that lies within the picture is cut out of it. The picture is brought
near the new size by Lanczos filtering and then warped, depth by the nearest pixel that has some, as
distance from the camera, since z changes as a camera turns. `Cropped` is SpatialBench's
(7f06a37, `benchmark/datasets/data_readers.py`, `deterministic_resize`, with `utils/cropping.py`,
which is DUSt3R's): cut around the principal point, resized to cover the size, cut to it.

Both compute in single precision here and there, and so does this: a size that is rounded down must
not be another. Beside those codes with OpenCV 5.0, of 300 random cameras, sizes and holes each,
the camera, the mask and labels are equal, depth to 4e-7, and of MoGe's picture at most one value in
20,000 is another, by one of 255 (`scripts/conformance_views.py`). OpenCV 4 knows 32 places between
two pixels: beside 4.14 up to a quarter of the values of MoGe's picture are others, by at most four.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.views import View
from g2vlm_bench.files import load_rgb
from g2vlm_bench.geometry.resampling import nearest_valid

Single = NDArray[np.float32]

# Of the normal equations of two lines' nearest point: what keeps them solvable, and a size from
# being rounded down (utils3d, `ray_intersection`).
_RIDGE = 1e-12
# A picture is not enlarged more before it is cut, in sides of the larger of the old and the new.
_LARGEST = 8


@dataclass(frozen=True)
class Shown(ABC):
    """How one picture is shown.

    Attributes:
        width: Of the result.
        height: Likewise.
        stored: `(H, W)` of the picture as it is stored.
        camera: 3x3 intrinsics of the stored picture, as the benchmark has them.

    Raises:
        ValueError: Too little of the picture can be shown, so that it would be enlarged beyond what
            memory can hold.
    """

    width: int
    height: int
    stored: tuple[int, int]
    camera: Single

    def __post_init__(self) -> None:
        """See that there is something to show, in a picture that memory can hold."""
        rows, columns = self._size
        largest = _LARGEST * max(*self.stored, self.height, self.width)
        if not 1 <= min(rows, columns) <= max(rows, columns) <= largest:
            raise ValueError(f"one enlarged to {columns} x {rows} pixels")

    @property
    @abstractmethod
    def intrinsics(self) -> NDArray[np.float64]:
        """3x3 intrinsics of the result in pixels, pixel centres at +0.5."""

    @abstractmethod
    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show a picture, `(H, W, 3)`."""

    @abstractmethod
    def depth(self, depth: Single) -> Single:
        """Show depth along z, `(H, W)` with NaN where there is none, of the picture's size."""

    @property
    @abstractmethod
    def _size(self) -> tuple[int, int]:
        """Rows and columns that the picture, or what is cut out of it first, is resized to."""


def as_shown(view: View, image: Path, seen: Callable[[], Shown]) -> View:
    """The view of an image as a benchmark shows it, computed when it is asked for."""
    load = view.load_depth
    return replace(
        view,
        image=lambda: seen().image(load_rgb(image)),
        load_depth=None if load is None else lambda: seen().depth(load()),
        intrinsics=lambda: seen().intrinsics,
    )


class Viewport(Shown):
    """How MoGe shows one picture; its camera is in parts of the picture's width and height."""

    @cached_property
    def shown_camera(self) -> Single:
        """3x3 intrinsics of the result, in parts of its width and height."""
        across, down = self._field
        focal = 1.0 / across, 1.0 / down
        return np.array([[focal[0], 0, 0.5], [0, focal[1], 0.5], [0, 0, 1]]).astype(np.float32)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """3x3 intrinsics of the result in pixels, pixel centres at +0.5."""
        return np.diag([self.width, self.height, 1.0]) @ self.shown_camera

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show a picture, `(H, W, 3)`; black where it does not reach."""
        from PIL import Image

        rows, columns = self._size
        picture = Image.fromarray(image).resize((columns, rows), Image.Resampling.LANCZOS)
        return _linear(np.asarray(picture), self._places)

    def depth(self, depth: Single) -> Single:
        """Show depth along z, `(H, W)` with NaN where there is none, of the picture's size."""
        index, found = nearest_valid(np.isfinite(depth), self._size)
        resized = np.nan_to_num(depth, nan=1.0, posinf=1.0, neginf=1.0).ravel()[index]
        distance = _length(_rays(self._size, self.camera) * resized[..., None])
        rays = _length(_rays((self.height, self.width), self.shown_camera))
        # The 1e-12 of the source is none in single precision.
        shown = _nearest(distance, self._places, 0) / rays
        return np.where(_nearest(found, self._places, False), shown, np.float32(np.nan))

    def labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Show whole numbers, `(H, W)` of the picture's size; 0 where it does not reach."""
        return _nearest(_nearest_resize(labels, self._size), self._places, 0)

    @cached_property
    def _turn(self) -> Single:
        """3x3: turns the ray of the picture's middle to the axis, the shortest way."""
        middle = np.array([0.5, 0.5, 1.0], np.float32) @ np.linalg.inv(self.camera).T
        middle = middle / np.linalg.norm(middle, axis=-1)  # whose last bit is another without axis
        axis = np.array([0, 0, 1], np.float32)
        x, y, z = np.cross(middle, axis)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float32)
        cosine = np.sum(middle * axis)
        return np.eye(3, dtype=np.float32) + cross + np.float32(1 / (1 + cosine)) * (cross @ cross)

    @cached_property
    def _field(self) -> tuple[Any, Any]:
        """Width and height of what is shown, at distance 1; of either precision, as there."""
        aspect = self.width / self.height
        whole = abs(1.0 / self.camera[0, 0]), abs(1.0 / self.camera[1, 1])
        across = min(whole[0], whole[1] * aspect)
        down = across / aspect
        square = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]], np.float32)
        corners = square @ (np.linalg.inv(self.camera).T @ self._turn.T)
        if corners[:, 2].min() <= 0:
            raise ValueError("one whose corner is behind its camera")
        corners = corners[:, :2] / corners[:, 2:3]
        within = whole
        for start, end in zip(np.roll(corners, 1, axis=0), corners, strict=True):
            met = np.abs([_met(slope, start, end - start) for slope in ((aspect, 1), (aspect, -1))])
            within = min(within[0], 2 * met[:, 0].min()), min(within[1], 2 * met[:, 1].min())
        return min(across, within[0]), min(down, within[1])

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Rows and columns of the stored picture at the result's resolution."""
        sides = zip(
            self.stored, (self.height, self.width), self.camera.diagonal()[1::-1],
            self._field[::-1], strict=True,
        )  # fmt: skip
        rows, columns = (
            int(stored * (abs(1.0 / focal) / stored) / (field / shown))
            for stored, shown, focal, field in sides
        )
        return rows, columns

    @cached_property
    def _places(self) -> Single:
        """Where pixels are taken from: `(height, width, 2)` x and y, centres at whole numbers."""
        # From left to right: in another order pixels on an edge between two go to the other.
        transform = self.camera @ np.linalg.inv(self._turn) @ np.linalg.inv(self.shown_camera)
        points = _homogeneous((self.height, self.width)) @ transform.T
        parts: Single = points[..., :2] / (points[..., 2:3] + np.float32(1e-12))
        return parts * np.array(self._size[::-1], np.float32) - np.float32(0.5)


class Cropped(Shown):
    """How SpatialBench shows one picture; its camera is in pixels whose centres are at **0**."""

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """3x3 intrinsics of the result in pixels, pixel centres at +0.5."""
        camera = self._resized.copy()
        camera[:2, 2] -= self._corner
        shown = camera.astype(np.float64)
        shown[:2, 2] += 0.5
        return shown

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show a picture, `(H, W, 3)`."""
        from PIL import Image

        rows, columns = self._size
        filters = Image.Resampling
        picture = Image.fromarray(self._cut(image)).resize(
            (columns, rows), filters.LANCZOS if self._scale < 1 else filters.BICUBIC
        )
        return np.asarray(picture)[self._window]

    def depth(self, depth: Single) -> Single:
        """Show depth along z, `(H, W)` of the picture's size: the nearest pixel's."""
        return _nearest_resize(self._cut(depth), self._size)[self._window]

    @cached_property
    def _around(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is cut out first: as far as the middle allows."""
        height, width = self.stored
        x, y = (int(place) for place in np.round(self.camera[:2, 2]))
        aside, above = min(x, width - x), min(y, height - y)
        if aside > width / 5 and above > height / 5:
            return x - aside, y - above, x + aside, y + above
        return 0, 0, width, height

    @cached_property
    def _scale(self) -> float:
        left, top, right, bottom = self._around
        wanted = np.array([self.width, self.height])
        return float(max(wanted / (right - left, bottom - top)) + 1e-8)

    @property
    def _size(self) -> tuple[int, int]:
        """Rows and columns once it is resized."""
        left, top, right, bottom = self._around
        columns, rows = np.floor(np.array([right - left, bottom - top]) * self._scale).astype(int)
        return int(rows), int(columns)

    @property
    def _resized(self) -> Single:
        """The camera once the picture is resized."""
        left, top, right, bottom = self._around
        camera = self.camera.copy()
        camera[0, 2] -= left
        camera[1, 2] -= top
        margins = np.array([right - left, bottom - top]) * self._scale - self._size[::-1]
        camera[:2, 2] += 0.5
        camera[:2] *= self._scale
        camera[:2, 2] -= 0.5 * margins
        camera[:2, 2] -= 0.5
        return camera

    @property
    def _corner(self) -> NDArray[np.int32]:
        """Left and top of what is cut out last, rounded as the difference of two cameras."""
        rows, columns = self._size
        before = self._resized[:2, 2]
        after = before + np.float32(0.5)
        after -= 0.5 * np.array([columns - self.width, rows - self.height], np.float64)
        after -= np.float32(0.5)
        return np.asarray(np.round(before - after), np.int32)

    @property
    def _window(self) -> tuple[slice, slice]:
        left, top = (int(side) for side in self._corner)
        return slice(top, top + self.height), slice(left, left + self.width)

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        left, top, right, bottom = self._around
        return values[top:bottom, left:right]


def _met(slope: tuple[float, float], start: Single, along: Single) -> NDArray[np.float64]:
    """Where a line through the origin and another meet."""
    lines = np.array([slope, along], np.float64)
    system = np.zeros((4, 4))
    system[:, :2] = np.tile(np.eye(2), (2, 1))
    system[:2, 2], system[2:, 3] = -lines[0], -lines[1]
    known = np.concatenate([np.zeros(2), start])
    found: NDArray[np.float64] = np.linalg.solve(
        system.T @ system + _RIDGE * np.eye(4), system.T @ known
    )
    return found[:2]


def _homogeneous(size: tuple[int, int]) -> Single:
    """Pixel centres in parts of width and height, and 1: `(H, W, 3)`."""
    down, right = (np.linspace(0.5 / n, 1 - 0.5 / n, n, dtype=np.float32) for n in size)
    u, v = np.meshgrid(right, down)
    return np.stack([u, v, np.ones_like(u)], axis=-1)


def _rays(size: tuple[int, int], camera: Single) -> Single:
    """Points at a depth of 1, `(H, W, 3)`."""
    return _homogeneous(size) @ np.linalg.inv(camera).T


def _length(points: Single) -> Single:
    x, y, z = (points[..., axis] for axis in range(3))
    length: Single = np.sqrt(np.square(x) + np.square(y) + np.square(z))
    return length


def _nearest(values: NDArray[Any], places: Single, outside: Any) -> NDArray[Any]:
    columns, rows = (np.rint(places[..., axis]).astype(np.int64) for axis in (0, 1))
    inside = _inside(rows, columns, values.shape)
    taken = values[np.where(inside, rows, 0), np.where(inside, columns, 0)]
    return np.where(inside, taken, outside).astype(values.dtype)


def _linear(image: NDArray[np.uint8], places: Single) -> NDArray[np.uint8]:
    """Between four pixels; those outside are black."""
    whole = np.floor(places).astype(np.int64)
    part = places - whole
    total = np.zeros((*places.shape[:2], image.shape[2]))
    for down in (0, 1):
        for right in (0, 1):
            rows, columns = whole[..., 1] + down, whole[..., 0] + right
            inside = _inside(rows, columns, image.shape)
            taken = image[np.where(inside, rows, 0), np.where(inside, columns, 0)]
            weight = np.abs(1 - down - part[..., 1]) * np.abs(1 - right - part[..., 0])
            total += (weight * inside)[..., None] * taken
    return np.asarray(np.rint(total), np.uint8)


def _nearest_resize(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """The nearest values, as OpenCV's `INTER_NEAREST` takes them."""
    rows, columns = (
        np.minimum((np.arange(new) * (1 / (new / old))).astype(np.int64), old - 1)
        for new, old in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _inside(
    rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    return (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
