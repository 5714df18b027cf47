"""DTU in the form that MVSNet gave it: camera files, depth maps, masks, structured-light scans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
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
from g2vlm_bench.files import load_depth, load_rgb, load_text
from g2vlm_bench.geometry.cameras import invert_pose
from g2vlm_bench.geometry.cloud_regions import ObservedGrid
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import Target

Array = NDArray[np.float64]
MM = 1000.0
# How far around the mask's box predicted points serve completeness.
MARGIN_MM = 60.0


class Dtu(FrameReader):
    """Scans of DTU: `scanN` with `images`, `cams`, `depths` and `binary_masks`.

    Layout: `SCAN/images/00000000.jpg`, `SCAN/cams/00000000_cam.txt`, `SCAN/depths/00000000.npy`
    (rendered by Spann3R, millimetres, 0 = none), `SCAN/binary_masks/00000000.png` (above half =
    object); other forms by the patterns, such as MVSNet's own `depth_map_0000.pfm`. A camera file
    has `extrinsic`, 4x4 `camera_from_world` in millimetres, and `intrinsic`, 3x3; where its pixel
    centres are is not documented: 0 is taken. Everything is handed out in metres: 20 mm of the
    official evaluation are 0.02.

    Split: the whole folder is `test`; peers score the 22 test scans of MVSNet, every fifth image
    (`every: 5`, 10 views of 49). The official evaluation (profile `dtu`) needs the scan, and what
    the scanner has observed: `ObsMask{number}_10.mat` with a grid `ObsMask`, its box `BB` and its
    edge `Res` in millimetres, and `Plane{number}.mat` with the ground `P`. Licence: DTU's, free for
    research; no licence text.

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
        observed: Patterns of the observation mask and of the plane, where there are some, such as
            `[ObsMask/ObsMask{number}_10.mat, ObsMask/Plane{number}.mat]`.
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
        observed: Sequence[str] = (),
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
            of_image = [
                safe_join(root, _fill(pattern, names)) if pattern else None
                for pattern in (cameras, depth, mask)
            ]
            camera, depth_map, object_mask = of_image
            assert camera is not None
            view = View(
                id=match.id,
                image=match.path,
                load_depth=partial(_depth, depth_map, object_mask, erode_px) if depth_map else None,
                intrinsics=partial(_intrinsics, camera, camera_scale),
                load_pose=partial(_pose, camera),
            )
            files = (match.path, *(path for path in of_image if path is not None))
            frames.setdefault(name, []).append(Frame(view, files))
        if len(observed) not in (0, 2):
            raise BenchError(
                "data, key 'observed'",
                expected="a mask and a plane",
                got=f"{len(observed)} patterns",
            )
        found = []
        for name, of_scan in frames.items():
            patterns = (*([scan] if scan else ()), *observed)
            number = _number(name, f"scan '{name}'") if patterns else 0
            paths = tuple(
                safe_join(root, _fill(pattern, {"scan": name, "number": number}))
                for pattern in patterns
            )
            found.append(
                Scene(
                    name=name,
                    frames=of_scan,
                    shared=paths,
                    load_points=load_scan(paths[0], 1 / MM) if scan else None,
                    complete=partial(_observed, paths[-2], paths[-1]) if observed else None,
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


def _observed(mask: Path, plane: Path, target: Target) -> Target:
    grid, box, edge = (_matlab(mask, name) for name in ("ObsMask", "BB", "Res"))
    ground = _matlab(plane, "P").ravel()
    if grid.ndim != 3 or box.shape != (2, 3) or edge.size != 1:
        got = f"{grid.shape}, {box.shape} and {edge.shape}"
        raise BenchError(mask, expected="ObsMask (X, Y, Z), BB (2, 3) and one Res", got=got)
    if ground.shape != (4,):
        raise BenchError(plane, expected="P with 4 numbers", got=f"{ground.size}")
    return replace(
        target,
        observed=ObservedGrid(
            observed=grid > 0,
            low=box[0] / MM,
            high=box[1] / MM,
            voxel=float(edge.ravel()[0]) / MM,
            plane=ground * np.array([1, 1, 1, 1 / MM]),
            margin=MARGIN_MM / MM,
        ),
    )


def _matlab(path: Path, name: str) -> Array:
    """Read one array of numbers of a MATLAB file before v7.3."""
    from scipy.io import loadmat

    try:
        array = np.asarray(loadmat(path, variable_names=[name])[name], dtype=np.float64)
    except Exception as error:  # scipy raises whatever it stumbles over in a damaged file
        raise BenchError(
            path,
            expected=f"a MATLAB file with '{name}'",
            got=str(error) or type(error).__name__,
        ) from None
    if not np.isfinite(array).all():
        raise BenchError(path, expected=f"finite numbers in '{name}'", got="others")
    return array
