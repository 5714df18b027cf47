"""KITTI's annotated depth with the raw recordings' images: the Eigen split, or whole drives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene
from g2vlm_bench.data.kitti import KittiCamera, read_kitti_camera
from g2vlm_bench.data.layout import find
from g2vlm_bench.data.views import View
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_text
from g2vlm_bench.paths import safe_join

# `2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png ...`, or Monodepth's
# `2011_09_26/2011_09_26_drive_0002_sync 69 l`.
_LINE = re.compile(
    r"\d{4}_\d\d_\d\d/(\d{4}_\d\d_\d\d_drive_\d{4}_sync)"
    r"(?:/image_0([23])/data/(\d+)\.\w+(?:\s+(\S+))?|\s+(\d+)\s+([lr])\b)"
)


class _Shot(NamedTuple):
    drive: str
    camera: int
    number: int
    has_depth: bool = True


class KittiDepth(FrameReader):
    """Images of KITTI drives with annotated (accumulated, cleaned) lidar depth.

    Layout: the raw recordings in `raw` (`2011_09_26/calib_cam_to_cam.txt`,
    `2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000005.png` or `.jpg`) and the
    annotated depth in `depth` (`{train,val}/2011_09_26_drive_0002_sync/proj_depth/groundtruth/
    image_02/0000000005.png`). Depth is a 16-bit PNG of 256 a metre, 0 = none; a fifth of the pixels
    has some. The sizes of images differ from day to day (1242 x 375, 1224 x 370, ...), and so do
    the intrinsics: they come from the day's calibration file, and an image of another size than the
    file says is an error; where the file is missing they are unknown. There are no poses. The drive
    is the cluster.

    Split: `test` is what `files` lists, or the drives of `subset`. The Eigen test split lists 697
    images; 652 have annotated depth (lists have `None` for the other 45, which are left out, as is
    what a list names no depth map for and has none), and peers score them in the region of Eigen or
    Garg, up to 80 m. MonST3R and those after it score the 13 drives of `val`, camera 2, the first
    110 frames with depth: `{stop: 110, views: 0}`. The 1,000 cropped images of the depth selection
    are another layout, which `rgbd_pairs` reads. Licence: CC BY-NC-SA 3.0.

    Source: Uhrig et al. 2017, "Sparsity Invariant CNNs"; Eigen et al. 2014 for the split.

    Args:
        root: The folder of both.
        files: A list below the root of images to take, one a line, as BTS or Monodepth have it.
        subset: Folder of the annotated depth to take where there is no list.
        drives: Names of drives to take of the subset; every one where none is given.
        camera: 2, left, or 3, right.
        raw: Folder of the raw recordings.
        depth: Folder of the annotated depth.
        sampling: Which frames of a drive make samples.
        given: `intrinsics`, if a model is given them besides the image.
    """

    def __init__(
        self,
        root: Path,
        *,
        files: str = "",
        subset: str = "val",
        drives: Sequence[str] = (),
        camera: int = 2,
        raw: str = "raw",
        depth: str = "depth",
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        self.raw, self.depth = safe_join(root, raw), safe_join(root, depth)
        self.n_listed = 0
        if files:
            listed = _listed(safe_join(root, files))
            self.n_listed = len(listed)
            shots = [s for s in listed if s and (s.has_depth or self._depth_map(s).is_file())]
        else:
            pattern = f"{subset}/{{drive}}/proj_depth/groundtruth/image_0{camera}/{{number}}.png"
            shots = [
                _Shot(match.names["drive"], camera, int(match.names["number"]))
                for match in find(self.depth, pattern)
                if not drives or match.names["drive"] in drives
            ]
        camera_of = cache(_camera)  # one file serves a day's drives
        by_drive: dict[str, list[Frame]] = {}
        for shot in shots:
            calibration = camera_of(self._calibration(shot.drive), shot.camera)
            by_drive.setdefault(shot.drive, []).append(self._frame(shot, calibration))
        missing = set(drives) - by_drive.keys()
        if not by_drive or missing:
            expected = f"depth of {min(missing)}" if missing else "annotated depth of listed images"
            raise BenchError(self.depth, expected=expected, got="none", fix="Check root and key.")
        scenes = [
            Scene(name=drive, frames=frames, shared=(self._calibration(drive),))
            for drive, frames in by_drive.items()
        ]
        self.take(root, scenes, sampling, given)

    def counts(self) -> dict[str, int]:
        """Count what is `listed`, too, with depth or without."""
        return super().counts() | ({"listed": self.n_listed} if self.n_listed else {})

    def _frame(self, shot: _Shot, calibration: KittiCamera | None) -> Frame:
        drive, camera, number = shot.drive, shot.camera, shot.number
        folder = self.raw / drive[:10] / drive / f"image_0{camera}/data"
        image = folder / f"{number:010d}.png"
        if not image.is_file() and image.with_suffix(".jpg").is_file():
            image = image.with_suffix(".jpg")
        depth = self._depth_map(shot)
        view = View(
            id=f"{drive}/image_0{camera}/{number:010d}",
            image=image,
            load_depth=partial(load_depth, depth, 256.0),
            intrinsics=calibration.intrinsics if calibration else None,
            image_size=calibration.size if calibration else None,
        )
        return Frame(view, (image, depth))

    def _depth_map(self, shot: _Shot) -> Path:
        name = f"{shot.drive}/proj_depth/groundtruth/image_0{shot.camera}/{shot.number:010d}.png"
        train = self.depth / "train" / name
        return train if train.is_file() else self.depth / "val" / name

    def _calibration(self, drive: str) -> Path:
        return self.raw / drive[:10] / "calib_cam_to_cam.txt"


def _camera(path: Path, number: int) -> KittiCamera | None:
    return read_kitti_camera(path, number) if path.is_file() else None


def _listed(path: Path) -> list[_Shot | None]:
    """Read a list, None where it says that an image has no depth map."""
    shots: list[_Shot | None] = []
    for number, line in enumerate(load_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.match(line.strip())
        if match is None:
            expected = "DAY/DRIVE/image_02/data/NUMBER.png, or DAY/DRIVE NUMBER l"
            raise BenchError(f"{path}, line {number}", expected=expected, got=f"'{line[:80]}'")
        drive, camera, name, depth, frame, side = match.groups()
        number_of_camera = int(camera) if camera else 2 if side == "l" else 3
        shot = _Shot(drive, number_of_camera, int(name or frame), bool(depth))
        shots.append(None if depth == "None" else shot)
    return shots
