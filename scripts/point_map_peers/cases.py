"""Cases, made and real, and our scores of them under a shipped profile."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

import real_frames
from depth_peers import cases as depth_cases
from depth_peers.unidepth import DATA
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from our_scores import family_of, unlabelled

Values = dict[str, float]
SIZE = (24, 32)
LARGE = (300, 400)
LARGE_SEEDS = 3  # of cases of a data set's size
STEP = 32  # of the pixels of real frames; MoGe's solvers compare all pixels with all
# Real frames: of a task so many, and the predictions of it.
REAL = (
    ("depth/real_nyu", 3, "nano"),
    ("depth/real_tum", 1, "nano"),
    ("depth/real_kitti", 1, "nano"),
    ("depth/real_middlebury", 1, "nano"),
    ("depth/real_nyu", 1, "degraded"),
    (real_frames.REDWOOD, 1, "sensor"),
)


@dataclass(frozen=True)
class Case:
    """A predicted point map (H, W, 3) float32, true depth (H, W) float32, and both cameras."""

    name: str
    predicted: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    seen_by: np.ndarray
    real: bool = False

    @property
    def true(self) -> np.ndarray:
        """The true point map, float32, NaN where there is none."""
        return unproject(self.depth, self.intrinsics).astype(np.float32)

    @property
    def segments(self) -> np.ndarray:
        """Four upright stripes, of which the first is no segment."""
        height, width = self.depth.shape
        return np.tile((np.arange(width) * 4 // width).astype(np.int32), (height, 1))

    @property
    def mask(self) -> np.ndarray:
        """The valid pixels."""
        return np.asarray(np.isfinite(self.depth))


def random_case(seed: int, size: tuple[int, int] = SIZE, ties: bool = False) -> Case:
    """Piecewise planes with steps and holes, seen by a camera that is not quite the true one."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    depth = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    depth[rng.random(size) < 0.05] = np.nan
    camera = camera_of(size)
    seen_by = camera * np.array([[1.15, 1, 1.02], [1, 1.15, 0.97], [1, 1, 1]])
    guess = (0.6 * np.nan_to_num(depth, nan=3.0) + 0.4) * rng.lognormal(0, 0.08, size)
    predicted = unproject(guess, seen_by) + np.array([0.05, -0.03, 0.1])
    if ties:
        predicted = np.round(predicted / 0.1037) * 0.1037
        predicted[..., 2] = np.maximum(predicted[..., 2], 2.0)
    maps = predicted.astype(np.float32), depth.astype(np.float32)
    return Case(f"seed {seed}", *maps, camera, seen_by)


def camera_of(size: tuple[int, int]) -> np.ndarray:
    """A pinhole whose focal length is the picture's width."""
    height, width = size
    return np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])


def ours(profile: str, name: str | None, metrics: list[str], case: Case) -> Values:
    """Score one case under one protocol of a profile, as a task would."""
    scored = family_of("point_map", profile, name or "", tuple(metrics)).score(
        Target(depth_m=(case.depth,), intrinsics=(case.intrinsics,), segments=(case.segments,)),
        Prediction(point_maps=(case.predicted,), intrinsics=(case.seen_by,)),
        Ambiguity.METRIC,
    )
    return unlabelled(scored.values)


def real_case(scene: real_frames.Scene, step: int) -> Case:
    """The first view of a real sample, thinned."""
    (depth, *_), (points, *_) = scene.target.depth_m or (), scene.prediction.point_maps or ()
    matrix, seen_by = (
        real_frames.thinned((part.intrinsics or ())[0], step)
        for part in (scene.target, scene.prediction)
    )
    return Case(
        scene.name, points[::step, ::step].astype(np.float32),
        depth[::step, ::step].astype(np.float32), matrix, seen_by, real=True,
    )  # fmt: skip


def cases(arguments: argparse.Namespace, step: int = STEP) -> Iterator[Case]:
    """Random maps, every third with tied predictions, and real ones."""
    for seed in range(arguments.seeds):
        yield random_case(seed, ties=seed % 3 == 2)
    for task, count, kind in REAL if arguments.realdata else ():
        for scene in real_frames.scenes(arguments.realdata, task, kind)[:count]:
            yield real_case(scene, step)


def cases_of_data(arguments: argparse.Namespace, data: str) -> Iterator[Case]:
    """Maps that are large enough to be thinned, of the data set's size where it crops.

    A part of the large random ones lies beyond its cap.
    """
    far = np.float32(DATA[data].far_m / 8)
    if DATA[data].crop is None:
        yield from cases(arguments, 2)
        yield beyond(random_case(99, LARGE), far)
        return
    for seed in range(min(arguments.seeds, LARGE_SEEDS)):
        yield beyond(random_case(seed, depth_cases.SIZES[data]), far)
    for task, count, kind, step in depth_cases.REAL[data] if arguments.realdata else ():
        for scene in real_frames.scenes(arguments.realdata, task, kind)[:count]:
            yield real_case(scene, step)


def beyond(case: Case, times: np.float32) -> Case:
    """The same case so many times as large."""
    return replace(case, predicted=times * case.predicted, depth=times * case.depth)
