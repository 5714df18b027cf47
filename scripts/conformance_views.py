"""Show pictures as MoGe and SpatialBench do and as `data.viewport` does, and print the difference.

    python scripts/conformance_views.py --peers DIR [--realdata DIR] [--write]

DIR holds checkouts of `MoGe`, of the `utils3d` that it pins, and of `SpatialBench`, which are no
part of this project; opencv-python-headless must be importable. A case's values are the camera,
depth where both have some, and the shares of pixels whose mask, label or colour is another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance_page import HEAD, Row, write
from g2vlm_bench.data.viewport import Cropped, Viewport
from peer_code import commit, load, stand_in
from real_frames import samples

CASES = 300
# Sizes of MoGe's configuration, and the frames that are shown at them.
REAL = {"depth/real_nyu": (640, 480), "depth/real_kitti": (750, 375)}
Case = tuple[str, NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint16], Viewport]


def random_cases(count: int) -> Iterator[Case]:
    """Pictures of all sizes, cameras off the middle, depth with holes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = rng.integers(40, 400, 2).tolist()
        other = rng.integers(32, 300, 2).tolist()
        sizes = [(width, height), (width // 2, height // 2), (other[0], other[1])]
        focal = rng.uniform(0.4, 2) * max(height, width)
        ratio = 1 if number % 2 else rng.uniform(0.9, 1.1)
        middle = rng.uniform(0.4, 0.6, 2) if number % 4 else (0.5, 0.5)
        focals = focal / width, focal / height * ratio
        camera = [[focals[0], 0, middle[0]], [0, focals[1], middle[1]], [0, 0, 1]]
        depth = rng.uniform(1, 10, (height, width)).astype(np.float32)
        depth[rng.random(depth.shape) < (0, 0.1, 0.8)[number % 3]] = np.nan
        rows, columns = np.indices(depth.shape)
        waves = 127 + 100 * np.sin(columns / 5) * np.cos(rows / 7)
        image = np.stack([columns * 255 / width, rows * 255 / height, waves], -1).astype(np.uint8)
        labels = rng.integers(0, 200, depth.shape).astype(np.uint16)
        parts = np.array(camera, np.float64).astype(np.float32)
        shown = Viewport(*sizes[number % 3], (height, width), parts)
        yield f"case {number}", image, depth, labels, shown


def real_cases(realdata: Path) -> Iterator[Case]:
    """Real frames with their cameras; a label is the depth in whole metres."""
    for task, size in REAL.items():
        for sample in samples(realdata, task):
            image, target = sample.load_inputs().images[0], sample.load_target()
            assert target.depth_m is not None
            assert target.intrinsics is not None
            height, width = image.shape[:2]
            parts = np.diag([1 / width, 1 / height, 1]) @ target.intrinsics[0]
            shown = Viewport(*size, (height, width), parts.astype(np.float32))
            depth = target.depth_m[0]
            labels = np.nan_to_num(depth).astype(np.uint16)
            yield f"{task.partition('/real_')[2]} {sample.id}", image, depth, labels, shown


def loader(peers: Path) -> Any:
    """MoGe's own, and what runs one picture through it."""
    sys.path[:0] = [str(peers / "MoGe"), str(peers / "utils3d")]
    stand_in("pipeline")
    from moge.test.dataloader import EvalDataLoaderPipeline

    options = SimpleNamespace(
        drop_max_depth=np.inf, depth_unit=1.0, include_segmentation=False, has_sharp_boundary=False
    )

    def show(image: Any, depth: Any, labels: Any, shown: Viewport) -> dict[str, Any]:
        loaded = {
            "image": image, "depth": np.nan_to_num(depth, nan=1), "width": shown.width,
            "height": shown.height, "depth_mask": np.isfinite(depth), "segmentation_labels": {},
            "intrinsics": shown.camera, "segmentation_mask": labels,
        }  # fmt: skip
        found: dict[str, Any] = EvalDataLoaderPipeline._process_instance(options, loaded)
        return found

    return show


def gaps(case: Case, show: Any) -> dict[str, float]:
    """How far MoGe's picture and ours are apart."""
    _, image, depth, labels, shown = case
    theirs = show(image, depth, labels, shown)
    mine, their_mask = shown.depth(depth), theirs["depth_mask"].numpy()
    both = np.isfinite(mine) & their_mask
    their_depth = theirs["depth"].numpy()
    colours = np.rint(theirs["image"].numpy().transpose(1, 2, 0) * 255)
    apart = np.abs(shown.image(image) - colours)
    return {
        "camera": float(np.abs(shown.shown_camera - theirs["intrinsics"].numpy()).max()),
        "depth": float(np.abs(mine / their_depth - 1)[both].max(initial=0)),
        "mask": float(np.mean(np.isfinite(mine) != their_mask)),
        "labels": float(np.mean(shown.labels(labels) != theirs["segmentation_mask"].numpy())),
        "picture": float(np.mean(apart > 0)),
        "colour": float(apart.max()),
    }


def spatialbench(peers: Path) -> Any:
    """SpatialBench's own `deterministic_resize`."""
    folder = peers / "SpatialBench/benchmark"
    stand_in("benchmark")
    stand_in("benchmark.utils")
    stand_in("benchmark.utils.misc", threshold_depth_map=None)
    load(folder / "utils/cropping.py", "benchmark.utils.cropping")
    return load(folder / "datasets/data_readers.py").deterministic_resize


def spatialbench_row(peers: Path, cases: list[tuple[Case, bool]], version: str) -> Row:
    """The same pictures at SpatialBench's width."""
    row = Row("spatialbench (loader)", version, "camera; share of values of depth and picture")
    resize = spatialbench(peers)
    for (name, image, depth, _, shown), real in cases:
        camera = (np.diag([*shown.stored[::-1], 1.0]) @ shown.camera).astype(np.float32)
        camera[:2, 2] -= 0.5
        size = 518, max(14, round(shown.stored[0] / shown.stored[1] * 518 / 14) * 14)
        mine = Cropped(*size, shown.stored, camera)
        picture, their_depth, their_camera = resize(image, np.nan_to_num(depth), camera, size)
        their_camera[:2, 2] += 0.5
        found = {
            "camera": float(np.abs(mine.intrinsics - their_camera).max() / mine.intrinsics.max()),
            "depth": float(np.mean(mine.depth(np.nan_to_num(depth)) != their_depth)),
            "picture": float(np.mean(mine.image(image) != np.asarray(picture))),
        }
        row.add(max((gap, value) for value, gap in found.items()), name, real)
    return row


def main() -> None:
    """Compare every case, and print a row for geometry and one for colours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    import cv2

    show = loader(arguments.peers)
    peer = f"MoGe {commit(arguments.peers / 'MoGe')}, OpenCV {cv2.__version__}"
    geometry = Row("moge (loader)", peer, "camera, depth; shares of masks and labels")
    colours = Row("moge (loader's colours)", peer, "")
    farthest = 0.0
    cases = [(case, False) for case in random_cases(CASES)]
    if arguments.realdata is not None:
        cases += [(case, True) for case in real_cases(arguments.realdata)]
    for case, real in cases:
        found = gaps(case, show)
        colours.add((found.pop("picture"), "picture"), case[0], real)
        farthest = max(farthest, found.pop("colour"))
        geometry.add(max((gap, name) for name, gap in found.items()), case[0], real)
    colours.remark = f"share of values; at most {farthest:g} of 255 off"
    version = f"SpatialBench {commit(arguments.peers / 'SpatialBench')}, OpenCV {cv2.__version__}"
    rows = [geometry, colours, spatialbench_row(arguments.peers, cases, version)]
    print(HEAD + "\n".join(row.line for row in rows))
    if arguments.write:
        write("views", rows)


if __name__ == "__main__":
    main()
