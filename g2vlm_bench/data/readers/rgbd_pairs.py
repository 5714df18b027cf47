"""Any folder of images with depth maps beside them: NYU, KITTI, 7-Scenes, ScanNet, your own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.layout import Match, fill, find, hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.views import (
    View,
    load_pose,
    numbers_of,
    read_pinhole,
    rigid,
    sample_of_views,
    windows,
)
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, safe_join
from g2vlm_bench.sample import Sample


class _Frame(NamedTuple):
    view: View
    cluster: str
    files: tuple[Path, ...]


class RgbdPairs(Reader):
    """A folder of images with depth maps beside them, and poses where there are some.

    Layout: two patterns, such as `rgb/{id}.jpg` and `depth/{id}.png`; what a placeholder stands for
    in an image's path is put into the others. Units and invalid marks are those that the options
    say; depth is z. Images without a depth map end as unscored. The depth map may have another size
    than its image, but must show the same view: 7-Scenes, whose raw depth is not registered to the
    colour camera, has no per-pixel truth for its images, only truth up to some pixels. Splits:
    `test`, and `train` if the option says what is in it. Intrinsics and licence are the data set's.

    Args:
        root: The folder.
        rgb: Pattern of the images.
        depth: Pattern of the depth maps (png, pgm, npy, npz, exr, pfm).
        depth_scale: Stored value of one metre: 1000 for NYU and 7-Scenes, 256 for KITTI.
        invalid: Stored values that mean "none"; 7-Scenes has 0 and 65535.
        intrinsics: `[fx, fy, cx, cy]` of the images, or a text file of a 3x3 matrix.
        intrinsics_size: `[width, height]` that the intrinsics are for; an image of another size is
            then an error. Intrinsics that wander from one size of KITTI to another are common.
        pixel_centre: Where the intrinsics put the centre of the first pixel, 0 or 0.5.
        pose: Pattern of text files with a 4x4 `world_from_camera`, or one Redwood `.log` of them,
            where the number of an image in its `{id}` is the number of its pose.
        cluster: Pattern of the scene's name, such as `{scene}`; each sample is one where empty.
        views: How many consecutive images of one scene make a sample.
        every: Take every n-th image only.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
        train: Scenes, or images by their id, that make the training split instead.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self,
        root: Path,
        *,
        rgb: str,
        depth: str,
        depth_scale: float | None = None,
        invalid: Sequence[float] = (0,),
        intrinsics: Sequence[float] | str | None = None,
        intrinsics_size: Sequence[int] | None = None,
        pixel_centre: float = 0.0,
        pose: str = "",
        cluster: str = "",
        views: int = 1,
        every: int = 1,
        given: Sequence[str] = (),
        train: Sequence[str] = (),
    ) -> None:
        self.root = root.resolve()
        self.depth, self.pose, self.cluster = depth, pose, cluster
        self.views, self.every = views, every
        self.given, self.train = given, frozenset(map(str, train))
        self.open_depth = partial(load_depth, scale=depth_scale, invalid=tuple(invalid))
        self.intrinsics = None
        self.shared_files = [safe_join(self.root, pose)] if pose.endswith(".log") else []
        if intrinsics is not None:
            self.intrinsics = read_pinhole(self.root, intrinsics, pixel_centre)
        if isinstance(intrinsics, str):
            self.shared_files.append(safe_join(self.root, intrinsics))
        self.size = None
        if intrinsics_size is not None:
            width, height = intrinsics_size
            self.size = (height, width)
        found = [self._frame(match) for match in find(self.root, rgb)]
        # `{id}.png` finds `1.png` and its depth map `1_depth.png`, too.
        depth_maps = {frame.files[1] for frame in found}
        self.frames = [frame for frame in found if frame.view.image not in depth_maps]

    def samples(self, split: str) -> Sequence[Sample]:
        """Group the images of each scene; a last group that is too small is left."""
        return [
            sample_of_views([frame.view for frame in group], group[0].cluster, self.given)
            for group in self._groups(split)
        ]

    def content_hash(self, split: str) -> str:
        """Hash the images, depth maps and poses that the samples use."""
        files = [path for group in self._groups(split) for frame in group for path in frame.files]
        return hash_content(self.root, [*files, *self.shared_files])

    def _groups(self, split: str) -> list[Sequence[_Frame]]:
        scenes: dict[str, list[_Frame]] = {}
        for frame in self.frames:
            in_training = not self.train.isdisjoint({frame.cluster, frame.view.id})
            if in_training != (split == "train"):
                continue
            scenes.setdefault(frame.cluster, []).append(frame)
        return [
            group for scene in scenes.values() for group in windows(scene, self.views, self.every)
        ]

    def _frame(self, match: Match) -> _Frame:
        names = {"id": match.id, **match.names}
        depth = safe_join(self.root, fill(self.depth, names, "key 'depth'"))
        pose = self._pose(names)
        view = View(
            id=match.id,
            image=match.path,
            load_depth=partial(self.open_depth, depth),
            intrinsics=self.intrinsics,
            load_pose=pose,
            image_size=self.size,
        )
        files = [match.path, depth]
        if isinstance(pose, partial) and pose.func is load_pose:
            files.append(pose.args[0])
        return _Frame(view, fill(self.cluster, names, "key 'cluster'"), tuple(files))

    def _pose(self, names: Mapping[str, str]) -> Callable[[], NDArray[np.float64]] | None:
        if not self.pose:
            return None
        if not self.pose.endswith(".log"):
            path = safe_join(self.root, fill(self.pose, names, "key 'pose'"))
            return partial(load_pose, path)
        number = re.search(r"(\d+)$", names["id"])
        if number is None or int(number[1]) not in self._log:
            raise BenchError(
                safe_join(self.root, self.pose), expected=f"a pose of '{names['id']}'", got="none"
            )
        return partial(rigid, self._log[int(number[1])], f"{self.pose}, pose {number[1]}")

    @cached_property
    def _log(self) -> dict[int, list[float]]:
        # Three whole numbers, of which the first counts the frames, then a 4x4 matrix.
        path = safe_join(self.root, self.pose)
        numbers = numbers_of(path)
        if len(numbers) % 19:
            raise BenchError(path, expected="19 numbers a pose", got=f"{len(numbers)} in all")
        blocks = [numbers[at : at + 19] for at in range(0, len(numbers), 19)]
        return {int(block[0]): block[3:] for block in blocks}
