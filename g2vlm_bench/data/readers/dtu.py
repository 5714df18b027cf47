"""DTU in the form that MVSNet gave it: camera files, depth maps, masks, structured-light scans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import (
    EACH_FRAME,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    load_scan,
)
from g2vlm_bench.data.layout import fill, find
from g2vlm_bench.data.views import View, pinhole, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth, load_rgb, load_text, safe_join
from g2vlm_bench.geometry.cameras import invert_pose

Array = NDArray[np.float64]
MM = 1000.0


class Dtu(FrameReader):
    """Scans of DTU: `scanN` with `images`, `cams`, `depths` and `binary_masks`.

    Layout: `SCAN/images/00000000.jpg`, `SCAN/cams/00000000_cam.txt`, `SCAN/depths/00000000.npy`
    (rendered by Spann3R, millimetres, 0 = none), `SCAN/binary_masks/00000000.png` (above half =
    object); other forms by the patterns, such as MVSNet's own `depth_map_0000.pfm`. A camera file
    has `extrinsic`, 4x4 `camera_from_world` in millimetres, and `intrinsic`, 3x3; where its pixel
    centres are is not documented: 0 is taken. Everything is handed out in metres: 20 mm of the
    official evaluation are 0.02.

    Split: the whole folder is `test`; peers score the 22 test scans of MVSNet, every fifth image
    (`every: 5`, 10 views of 49). The official evaluation (observation masks, a plane, the 20 mm
    rule) also needs `ObsMask`, which is no truth of a sample and not read here. Licence: DTU's,
    free for research; no licence text.

    Source: Jensen et al. 2014; Yao et al. 2018, "MVSNet"; masks as in Spann3R's `dtu.py` (f89d6a2).

    Args:
        root: The folder of the scans.
        scans: Names of scans; every one that the pattern finds where none is given.
        images: Pattern of the images.
        cameras: Pattern of the camera files; `{number}` is the first number in an image's name.
        first: That number of the first image: 1 for `Rectified/scan1/rect_001_3_r5000.png`.
        depth: Pattern of the depth maps; empty where there are none.
        mask: Pattern of the masks; empty where there are none.
        erode_px: Width of the square that masks are eroded with (peers: 10).
        scan: Pattern of the scan, such as `Points/stl/stl{number:03}_total.ply`, `{number}` being
            the scan's; empty where there is none.
        camera_scale: What the intrinsics are multiplied with: 4 for those of MVSNet's training
            set, which are for a quarter of the image.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scans: Sequence[str] = (),
        images: str = "{scan}/images/{id}.jpg",
        cameras: str = "{scan}/cams/{number:08}_cam.txt",
        first: int = 0,
        depth: str = "{scan}/depths/{id}.npy",
        mask: str = "{scan}/binary_masks/{id}.png",
        erode_px: int = 0,
        scan: str = "",
        camera_scale: float = 1.0,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        frames: dict[str, list[Frame]] = {name: [] for name in scans}
        for match in find(root, images):
            name = match.names.get("scan", "")
            if scans and name not in frames:
                continue
            names = {**match.names, "number": _number(match.path.stem, match.path) - first}
            paths = [
                safe_join(root, _fill(pattern, names)) if pattern else None
                for pattern in (cameras, depth, mask)
            ]
            camera, depth_map, object_mask = paths
            assert camera is not None
            view = View(
                id=match.id,
                image=match.path,
                load_depth=partial(_depth, depth_map, object_mask, erode_px) if depth_map else None,
                intrinsics=partial(_intrinsics, camera, camera_scale),
                load_pose=partial(_pose, camera),
            )
            files = (match.path, *(path for path in paths if path is not None))
            frames.setdefault(name, []).append(Frame(view, files))
        found = []
        for name, of_scan in frames.items():
            cloud = None
            if scan:
                number = _number(name, f"scan '{name}'")
                cloud = safe_join(root, _fill(scan, {"scan": name, "number": number}))
            found.append(
                Scene(
                    name=name,
                    frames=of_scan,
                    shared=(cloud,) if cloud else (),
                    load_points=load_scan(cloud, 1 / MM) if cloud else None,
                )
            )
        self.take(root, found, sampling, given)


def _fill(pattern: str, names: dict[str, object]) -> str:
    wide = re.compile(r"\{number:0(\d)\}")
    number = int(str(names["number"]))
    return fill(wide.sub(lambda width: f"{number:0{width[1]}}", pattern), names, "a pattern")


def _number(text: str, where: object) -> int:
    digits = re.search(r"\d+", text)
    if digits is None:
        raise BenchError(where, expected="a number in the name", got=f"'{text}'")
    return int(digits[0])


def _depth(path: Path, mask: Path | None, erode_px: int) -> NDArray[np.float32]:
    depth = load_depth(path, MM)
    if mask is None:
        return depth
    seen = load_rgb(mask)[..., 0] > 127
    if seen.shape != depth.shape:
        # The pixel whose area holds the centre, as with masks of another size than the depth map.
        rows, columns = (
            ((np.arange(n) + 0.5) * have / n).astype(int)
            for n, have in zip(depth.shape, seen.shape, strict=True)
        )
        seen = seen[rows[:, None], columns]
    if erode_px:
        from scipy.ndimage import binary_erosion

        seen = binary_erosion(seen, np.ones((erode_px, erode_px), np.bool_), border_value=1)
    return np.where(seen, depth, np.float32(np.nan))


def _sections(path: Path) -> dict[str, list[float]]:
    parts = re.split(r"^(extrinsic|intrinsic)\s*$", load_text(path), flags=re.MULTILINE)
    try:
        return {
            name: [float(word) for word in body.split()]
            for name, body in zip(parts[1::2], parts[2::2], strict=True)
        }
    except ValueError as error:
        raise BenchError(path, expected="numbers", got=error) from None


def _intrinsics(path: Path, scale: float) -> Array:
    # Below the nine numbers stands the range of depths.
    matrix = pinhole(_sections(path).get("intrinsic", [])[:9], 0.5, path)
    # MVSNet scales the matrix as it stands; only then do pixel centres move to the half.
    matrix[:2] *= scale
    matrix[:2, 2] += 0.5
    return matrix


def _pose(path: Path) -> Array:
    camera_from_world = rigid(_sections(path).get("extrinsic", []), path)
    camera_from_world[:3, 3] /= MM
    return invert_pose(camera_from_world)
