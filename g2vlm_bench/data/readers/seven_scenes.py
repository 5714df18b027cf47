"""7-Scenes in its original layout, with the official lists of test and training sequences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import (
    MESH_POINTS,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    images_of,
    listed,
    load_scan,
)
from g2vlm_bench.data.layout import fill
from g2vlm_bench.data.views import View, load_pose, pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_text
from g2vlm_bench.paths import safe_join

_NOMINAL = (525.0, 525.0, 320.0, 240.0)
_DEPTH_CAMERA = (585.0, 585.0, 320.0, 240.0)


class SevenScenes(FrameReader):
    """Kinect sequences of seven rooms with poses.

    Layout: `chess/TestSplit.txt`, `chess/TrainSplit.txt` (lines `sequence3`) and
    `chess/seq-03/frame-000000.{color.png,depth.png,pose.txt}`, 640 x 480. Depth is a 16-bit PNG in
    millimetres, 0 and 65535 = none; what is nearer than 1 mm or farther than `max_depth_m` does not
    count, as in peers. Poses are 4x4 `world_from_camera`, metres, by KinectFusion: of the depth
    camera. Sequences are sampled on their own; the room is the cluster.

    **The depth is not registered to the colour image**: it is wider by some 10 % and some pixels
    off, so it has no per-pixel truth for an image. It is unprojected with the depth camera's own
    nominal intrinsics (585, 585, 320, 240), which agree with the poses. Peers score
    `frame-000000.depth.proj.png` instead, depth rendered into the colour camera by the authors of
    Simple Recon; set `depth: depth.proj.png`, and both have the intrinsics of the colour camera.
    Those are nominal (525, 525, 320, 240): the set was published without a calibration.

    Splits: `test` (18 sequences, 17,000 frames) and `train` (28 sequences, 26,000 frames). Peers
    take of each test sequence every 20th frame (Spann3R), every 200th (CUT3R, Pi3 "sparse": 86
    frames) or every 40th (Pi3 "dense", G2VLM: 426 frames). Licence: Microsoft's research licence,
    non-commercial.

    Source: Shotton et al. 2013, "Scene Coordinate Regression Forests"; its README.

    Args:
        root: The folder of the rooms.
        scenes: Names of rooms; every one where none is given.
        sequences: Folders such as `chess/seq-01`, scored in place of the test sequences.
        depth: Suffix of the depth maps, `depth.png` or `depth.proj.png`.
        intrinsics: `[fx, fy, cx, cy]` of the colour camera, pixel centres at whole numbers.
        max_depth_m: Farther depth does not count.
        scan: Pattern of a room's cloud or mesh, the truth in place of the depth maps' points, such
            as `meshes/{room}.ply`. Empty where there is none.
        mesh_points: How many points are drawn from a scan that is a mesh, uniformly by area: a
            million where none is said, as in Depth Anything 3's benchmark; 0 takes its vertices.
        mesh_seed: Of drawing.
        sampling: Which frames of a sequence make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        sequences: Sequence[str] = (),
        depth: str = "depth.png",
        intrinsics: Sequence[float] = _NOMINAL,
        max_depth_m: float = 10.0,
        scan: str = "",
        mesh_points: int = MESH_POINTS,
        mesh_seed: int = 0,
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        self.depth, self.max_depth_m = depth, max_depth_m
        self.camera = pinhole(intrinsics, 0.0, f"{root}, key 'intrinsics'")
        self.depth_camera = pinhole(_DEPTH_CAMERA, 0.0, "7-Scenes")
        self.scan = scan
        self.scan_of = partial(load_scan, mesh_points=mesh_points, mesh_seed=mesh_seed)
        if sequences:
            folders = [[safe_join(root, name) for name in sequences], []]
        else:
            rooms = listed(root, scenes, "room")
            folders = [
                [folder for room in rooms for folder in _split(room, name)]
                for name in ("TestSplit.txt", "TrainSplit.txt")
            ]
        test, train = ([self._sequence(root, folder) for folder in some] for some in folders)
        self.take(root, test, sampling, given, train=train)

    def _sequence(self, root: Path, folder: Path) -> Scene:
        images, room = images_of(folder, "frame-*.color.png"), folder.parent.name
        scan = safe_join(root, fill(self.scan, {"room": room}, "key 'scan'")) if self.scan else None
        return Scene(
            name=room,
            frames=[self._frame(image) for image in images],
            shared=(scan,) if scan else (),
            load_points=self.scan_of(scan) if scan else None,
        )

    def _frame(self, image: Path) -> Frame:
        stem = image.name.removesuffix(".color.png")
        depth, pose = image.with_name(f"{stem}.{self.depth}"), image.with_name(f"{stem}.pose.txt")
        view = View(
            id="/".join((*image.parts[-3:-1], stem.removeprefix("frame-"))),
            image=image,
            load_depth=partial(_depth, depth, self.max_depth_m),
            intrinsics=self.camera,
            load_pose=partial(load_pose, pose),
            depth_intrinsics=self.depth_camera if self.depth == "depth.png" else None,
        )
        return Frame(view, (image, depth, pose))


def _split(room: Path, name: str) -> list[Path]:
    path = room / name
    # Whoever scores needs no training sequences.
    if name.startswith("Train") and not path.is_file():
        return []
    folders = []
    for number, line in enumerate(load_text(path).split(), start=1):
        match = re.fullmatch(r"sequence(\d+)", line)
        if match is None:
            raise BenchError(f"{path}, line {number}", expected="'sequence' and a number", got=line)
        folders.append(room / f"seq-{int(match[1]):02d}")
    return folders


def _depth(path: Path, max_depth_m: float) -> NDArray[np.float32]:
    depth_m = load_depth(path, 1000.0, (0, 65535))
    return np.where(depth_m <= max_depth_m, depth_m, np.float32(np.nan))
