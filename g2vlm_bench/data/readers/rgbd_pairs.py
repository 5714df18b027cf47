"""Any folder of images with depth maps beside them: NYU, KITTI, DIODE, iBims-1, your own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import (
    MESH_POINTS,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    grouped,
    load_scan,
)
from g2vlm_bench.data.layout import Match, fill, find
from g2vlm_bench.data.views import Camera, View, load_pose, numbers_of, read_pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_array, load_depth, load_rgb
from g2vlm_bench.paths import safe_join


class RgbdPairs(FrameReader):
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
        depth: Pattern of the depth maps (png, pgm, npy, npz, exr, pfm, dpt).
        depth_scale: Stored value of one metre: 1000 for NYU and 7-Scenes, 256 for KITTI.
        invalid: Stored values that mean "none"; 7-Scenes has 0 and 65535.
        mask: Patterns of masks (png, npy) that are 0 where a pixel does not count.
        unless: Patterns of masks that are above 0 where a pixel does not count. An image may lack
            one, as in HiRoom, whose benchmark then counts all.
        intrinsics: `[fx, fy, cx, cy]` of the images, or a text or npy file of them or of a 3x3
            matrix; a pattern where every image or scene has its own.
        intrinsics_size: `[width, height]` that the intrinsics are for; an image of another size is
            then an error. Intrinsics that wander from one size of KITTI to another are common.
        pixel_centre: Where the intrinsics put the centre of the first pixel, 0 or 0.5.
        pose: Pattern of text or npy files with a 4x4 `world_from_camera`, or one Redwood `.log` of
            them, where the number of an image in its `{id}` is the number of its pose.
        camera_from_world: Whether those files, though no `.log`, hold the inverse.
        cluster: Pattern of the scene's name, such as `{scene}`; each sample is one where empty.
        scan: Pattern of the scene's cloud or mesh, the truth in place of the depth maps' points;
            its placeholders are those of `cluster`. Empty where there is none.
        mesh_points: How many points are drawn from a scan that is a mesh, uniformly by area: a
            million where none is said, as in Depth Anything 3's benchmark; 0 takes its vertices.
        mesh_seed: Of drawing.
        sampling: Which images of a scene make samples.
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
        mask: Sequence[str] = (),
        unless: Sequence[str] = (),
        intrinsics: Sequence[float] | str | None = None,
        intrinsics_size: Sequence[int] | None = None,
        pixel_centre: float = 0.0,
        pose: str = "",
        camera_from_world: bool = False,
        cluster: str = "",
        scan: str = "",
        mesh_points: int = MESH_POINTS,
        mesh_seed: int = 0,
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
        train: Sequence[str] = (),
    ) -> None:
        if depth_scale is not None and not 0 < depth_scale < math.inf:
            raise BenchError("data, key 'depth_scale'", expected="above 0", got=depth_scale)
        self.root = root.resolve()
        self.depth, self.pose, self.cluster = depth, pose, cluster
        self.mask, self.unless = tuple(mask), tuple(unless)
        self.open_depth = partial(load_depth, scale=depth_scale, invalid=tuple(invalid))
        self.intrinsics, self.pixel_centre = intrinsics, pixel_centre
        self.camera_from_world = camera_from_world
        self.scan, self.scans = scan, dict[str, Path]()
        self.scan_of = partial(load_scan, mesh_points=mesh_points, mesh_seed=mesh_seed)
        self.size = None
        if intrinsics_size is not None:
            width, height = intrinsics_size
            self.size = (height, width)
        found = [self._frame(match) for match in find(self.root, rgb)]
        # `{id}.png` finds `1.png` and its depth map `1_depth.png`, too.
        depth_maps = {frame.files[1] for _, frame in found}
        pairs = [(scene, f) for scene, f in found if f.view.image not in depth_maps]
        chosen = set(map(str, train))
        training = [(scene, f) for scene, f in pairs if chosen & {scene, f.view.id}]
        scored = [(scene, f) for scene, f in pairs if not chosen & {scene, f.view.id}]
        self.take(
            self.root,
            self._scanned(grouped(scored, self._shared)),
            sampling,
            given,
            train=self._scanned(grouped(training, self._shared)),
        )

    def _scanned(self, scenes: Sequence[Scene]) -> list[Scene]:
        """Give scenes their scans."""
        return [
            replace(scene, shared=(*scene.shared, path), load_points=self.scan_of(path))
            if (path := self.scans.get(scene.name))
            else scene
            for scene in scenes
        ]

    def _frame(self, match: Match) -> tuple[str, Frame]:
        names = {"id": match.id, **match.names}
        depth = safe_join(self.root, fill(self.depth, names, "key 'depth'"))
        masks = [safe_join(self.root, fill(mask, names, "key 'mask'")) for mask in self.mask]
        against = [safe_join(self.root, fill(mask, names, "key 'unless'")) for mask in self.unless]
        against = [path for path in against if path.is_file()]
        files = [match.path, depth, *masks, *against]
        pose = self._pose(names)
        if isinstance(pose, partial) and pose.func is load_pose:
            files.append(pose.args[0])
        camera: Camera | None = self._camera
        if camera is None and isinstance(self.intrinsics, str):
            name = fill(self.intrinsics, names, "key 'intrinsics'")
            camera = partial(read_pinhole, self.root, name, self.pixel_centre)
            files.append(safe_join(self.root, name))
        load = partial(self.open_depth, depth)
        view = View(
            id=match.id,
            image=match.path,
            load_depth=partial(_masked, load, masks, against) if masks or against else load,
            intrinsics=camera,
            load_pose=pose,
            image_size=self.size,
        )
        scene = fill(self.cluster, names, "key 'cluster'")
        if self.scan:
            self._note_scan(scene, safe_join(self.root, fill(self.scan, names, "key 'scan'")))
        return scene, Frame(view, tuple(files))

    def _note_scan(self, scene: str, path: Path) -> None:
        if self.scans.setdefault(scene, path) != path:
            raise BenchError(
                "data, key 'scan'",
                expected=f"one scan of scene '{scene}'",
                got=f"{self.scans[scene]} and {path}",
                fix="Let 'cluster' have the placeholders of 'scan'.",
            )

    @cached_property
    def _camera(self) -> NDArray[np.float64] | None:
        given = self.intrinsics
        if given is None or (isinstance(given, str) and "{" in given):
            return None
        return read_pinhole(self.root, given, self.pixel_centre)

    @property
    def _shared(self) -> tuple[Path, ...]:
        names = [self.pose] if self.pose.endswith(".log") else []
        if isinstance(self.intrinsics, str) and self._camera is not None:
            names.append(self.intrinsics)
        return tuple(safe_join(self.root, name) for name in names)

    def _pose(self, names: Mapping[str, str]) -> Callable[[], NDArray[np.float64]] | None:
        if not self.pose:
            return None
        if not self.pose.endswith(".log"):
            path = safe_join(self.root, fill(self.pose, names, "key 'pose'"))
            return partial(load_pose, path, self.camera_from_world)
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


def _masked(
    load: Callable[[], NDArray[np.float32]], masks: Sequence[Path], against: Sequence[Path]
) -> NDArray[np.float32]:
    depth = load()
    for path in masks:
        depth[_mask(path, depth.shape) == 0] = np.nan
    for path in against:
        depth[_mask(path, depth.shape) > 0] = np.nan
    return depth


def _mask(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    mask = load_array(path) if path.suffix == ".npy" else load_rgb(path)[..., 0]
    if mask.size != np.prod(shape) or mask.shape[:2] != shape:
        raise BenchError(path, expected=f"a mask of {shape}", got=mask.shape)
    return mask.reshape(shape)
