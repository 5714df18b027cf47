"""RealEstate10K: camera paths of videos, with the frames that their viewers could still fetch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import EACH_FRAME, Frame, FrameReader, Sampling, Scene
from g2vlm_bench.data.layout import fill, find
from g2vlm_bench.data.views import View, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_text
from g2vlm_bench.geometry.cameras import invert_pose
from g2vlm_bench.paths import safe_join

Array = NDArray[np.float64]


class RealEstate10k(FrameReader):
    """Text files of camera paths, one a clip, and the frames of their videos as images.

    Layout: `CLIP.txt`: the address of the video, then a line a frame: `time fx fy cx cy 0 0` and
    the 3x4 matrix `camera_from_world`, row by row. Times are microseconds; intrinsics are parts of
    the image's width and height, so that pixel centres are at +0.5. Images are not part of the
    data: whoever has fetched the videos says by a pattern where the frames lie. Frames without an
    image are left out, as are clips of which nothing is left. There is no depth, and translation
    has no unit: score rotations and directions only.

    Split: the whole folder is `test`; peers draw 10 random frames of each clip that could still be
    fetched (`{random: 10, seed: 42, views: 0}`): 1719 (Pi3) or 1756 of 1800 clips, so that two
    tables can differ by the clips alone. Licence: CC BY 4.0 for the camera paths, none for videos.

    Source: Zhou et al. 2018, "Stereo Magnification"; the data set's page.

    Args:
        root: The folder.
        cameras: Pattern of the camera files; its placeholder is `{clip}`.
        image: Pattern of the images; `{time}` is the time as it stands in the camera file.
        clips: Names of clips, in the order in which frames are drawn; all of them where none is
            given.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        cameras: str = "cameras/{clip}.txt",
        image: str = "images/{clip}/{time}.png",
        clips: Sequence[str] = (),
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        files = {match.id: match.path for match in find(root, cameras)}
        found = []
        for clip in clips or sorted(files):
            if clip not in files:
                raise BenchError(root, expected=f"the camera file of clip '{clip}'", got="none")
            frames = []
            for time, numbers, where in _lines(files[clip]):
                names = {"clip": clip, "time": time}
                path = safe_join(root, fill(image, names, "key 'image'"))
                if path.is_file():
                    frames.append(_frame(f"{clip}/{time}", path, numbers, where))
            found.append(Scene(name=clip, frames=frames, shared=(files[clip],)))
        self.take(root, found, sampling, given)


def _lines(path: Path) -> list[tuple[str, list[float], str]]:
    rows = []
    for number, line in enumerate(load_text(path).splitlines()[1:], start=2):
        words, where = line.split(), f"{path}, line {number}"
        if not words:
            continue
        try:
            numbers = [float(word) for word in words]
        except ValueError as error:
            raise BenchError(where, expected="19 numbers", got=error) from None
        if len(numbers) != 19:
            raise BenchError(where, expected="19 numbers", got=len(numbers))
        rows.append((words[0], numbers, where))
    return rows


def _frame(name: str, image: Path, numbers: Sequence[float], where: str) -> Frame:
    view = View(
        id=name,
        image=image,
        intrinsics=partial(_intrinsics, numbers[1:5], image, where),
        load_pose=partial(_pose, numbers[7:], where),
    )
    return Frame(view, (image,))


def _intrinsics(parts: Sequence[float], image: Path, where: str) -> Array:
    height, width = image_size(image)
    values = [part * size for part, size in zip(parts, (width, height) * 2, strict=True)]
    return pinhole(values, 0.5, where)


def _pose(numbers: Sequence[float], where: str) -> Array:
    return invert_pose(rigid([*numbers, 0, 0, 0, 1], where))
