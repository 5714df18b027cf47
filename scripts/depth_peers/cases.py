"""Cases, made and real, and our scores of them under a shipped profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import real_frames
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from our_scores import family_of, unlabelled

SIZE = (48, 64)
SIZES = {"nyu": (480, 640), "kitti": (375, 1242), "wide": (40, 1500)}
INTRINSICS = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
DISPARITY = Ambiguity.AFFINE_DISPARITY

Array = NDArray[np.floating[Any]]

# The real frames of a kind of case: of a task so many, the predictions, of how many pixels one.
REAL: dict[str, tuple[tuple[str, int, str, int], ...]] = {
    "map": (
        ("depth/real_nyu", 3, "nano", 8),
        ("depth/real_tum", 1, "nano", 8),
        ("depth/real_middlebury", 1, "nano", 8),
        ("depth/real_nyu", 1, "degraded", 8),
    ),
    "nyu": (("depth/real_nyu", 3, "nano", 1), ("depth/real_nyu", 1, "degraded", 1)),
    "kitti": (("depth/real_kitti", 3, "nano", 1), ("depth/real_kitti", 1, "degraded", 1)),
    "wide": (("depth/real_kitti", 1, "nano", 1), ("depth/real_kitti", 1, "degraded", 1)),
    "video": (
        (real_frames.REDWOOD, 1, "nano", 8),
        (real_frames.REDWOOD, 1, "sensor", 8),
        ("depth/real_7scenes_video", 1, "nano", 8),
    ),
}
VIEWS = 3  # of a real video, its first


@dataclass(frozen=True)
class Case:
    """A prediction and the truth, float32, (H, W) each, or (N, H, W) for a video.

    Attributes:
        predicted: In metres, or in 1 / metres where it is disparity.
        true: In metres, 0 where there is none.
        intrinsics, poses: Of the true camera, and of each view.
    """

    name: str
    predicted: Array
    true: Array
    intrinsics: NDArray[np.float64]
    poses: tuple[NDArray[np.float64], ...]
    real: bool = False


Peer = Callable[[Path, Case], dict[str, float]]


def random_case(seed: int, size: tuple[int, int] = SIZE, ties: bool = False) -> Case:
    """Piecewise planes with steps, and a prediction of another scale, shift and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    true = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    predicted = (0.6 * true + 0.4) * rng.lognormal(0, 0.08, size)
    if ties:
        predicted = np.maximum(np.round(predicted / 0.1037) * 0.1037, 2.0)
    maps = predicted.astype(np.float32), true.astype(np.float32)
    return Case(f"seed {seed}", *maps, INTRINSICS, poses(1))


def random_video(seed: int, ties: bool) -> Case:
    """Three random maps, seen by cameras that step."""
    frames = [random_case(10 * seed + i, ties=ties) for i in range(3)]
    predicted, true = (
        np.stack([getattr(frame, part) for frame in frames]) for part in ("predicted", "true")
    )
    return Case(f"seed {seed}", predicted, true, INTRINSICS, poses(3))


def poses(count: int) -> tuple[NDArray[np.float64], ...]:
    """Cameras that step to the right and turn to the left."""
    found = [np.eye(4) for _ in range(count)]
    for index, pose in enumerate(found):
        sine, cosine = np.sin(0.02 * index), np.cos(0.02 * index)
        pose[[0, 0, 2, 2], [0, 2, 0, 2]] = cosine, -sine, sine, cosine
        pose[:3, 3] = 0.05 * index, 0, 0.01 * index
    return tuple(found)


def real_cases(realdata: Path, kind: str) -> Iterator[Case]:
    """The real frames of a kind of case, or the first views of real videos."""
    for task, count, predictions, step in REAL[kind]:
        for scene in real_frames.scenes(realdata, task, predictions)[:count]:
            views = slice(VIEWS if kind == "video" else 1)
            true, predicted = (
                np.stack([one[::step, ::step] for one in (maps or ())[views]])
                for maps in (scene.target.depth_m, scene.prediction.depth)
            )
            if kind != "video":
                true, predicted = true[0], predicted[0]
            matrix = (scene.target.intrinsics or ())[0]
            placed = (scene.target.world_from_camera or (np.eye(4),))[views]
            yield Case(
                scene.name, predicted, np.nan_to_num(true, nan=0.0),
                real_frames.thinned(matrix, step), placed, real=True,
            )  # fmt: skip


def ours(
    profile: str, protocol: str, metrics: list[str], case: Case, ambiguity: Ambiguity
) -> dict[str, float]:
    """Score one case under one protocol of a profile, as a task would."""
    asked = sorted({"tae" if metric == "tae_published" else metric for metric in metrics})
    true, predicted = (
        maps if maps.ndim == 3 else maps[None] for maps in (case.true, case.predicted)
    )
    score = family_of("depth", profile, protocol, tuple(asked)).score(
        Target(
            depth_m=tuple(np.where(true > 0, true, np.float32(np.nan))),
            intrinsics=(case.intrinsics,) * len(true),
            world_from_camera=case.poses,
        ),
        Prediction(depth=tuple(predicted), ambiguity=ambiguity),
        ambiguity,
    )
    values = unlabelled(score.values)
    for published in score.details.get("tae_published", {}).values():
        values["tae_published"] = published["prediction"]
    return values
