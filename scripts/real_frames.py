"""Real frames with true depth, and predictions of them, for the scripts of conformance.

Frames are those of the project's tasks on real data, as their readers give them. Predictions are
`nano`, the shipped reference model's of the pictures; `degraded`, the true depth with its holes
filled, warped, scaled, shifted, noisy and in steps; and of Redwood's five frames, whose truth is
rendered, `sensor`, the simulated Kinect's depth of the same pixels, its holes filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
from g2vlm_bench.sample import Prediction, Sample, Target, Want

WANTS = frozenset({Want.DEPTH, Want.POINT_MAPS, Want.POSES, Want.INTRINSICS})
REDWOOD = "depth/real_redwood_video"


@dataclass(frozen=True)
class Scene:
    """A real sample and a prediction of it, at the truth's size, with cameras and point maps."""

    name: str
    target: Target
    prediction: Prediction


@cache
def scenes(realdata: Path, task: str, kind: str) -> tuple[Scene, ...]:
    """Every sample of a task with predictions of a kind: `nano`, `degraded` or `sensor`."""
    return tuple(
        Scene(f"{task.partition('/real_')[2]} {sample.id} {kind}", target, predicted)
        for sample in samples(realdata, task)
        for target in [sample.load_target()]
        for predicted in [prediction(realdata, sample, target, kind)]
    )


def samples(realdata: Path, task: str) -> list[Sample]:
    """The samples of a task on real data."""
    plugins = Plugins.find()
    return list(Task.load(plugins, plugins.task(task), realdata).dataset.samples)


def prediction(realdata: Path, sample: Sample, target: Target, kind: str) -> Prediction:
    """Predict a sample as a kind says."""
    if kind == "nano":
        (predicted,) = nano().predict([sample.load_inputs()], WANTS)
        if not isinstance(predicted, Prediction):
            raise predicted
        return predicted
    if kind == "sensor":
        folder = realdata / "sequences/redwood_livingroom1/depth_simulated"
        paths = [folder / f"{i:05d}.png" for i in range(len(target.depth_m or ()))]
        depths = [filled(load_depth(path, scale=1000, invalid=(0,))) for path in paths]
    else:
        depths = [degraded(depth) for depth in target.depth_m or ()]
    return from_depth(depths, target)


@cache
def nano() -> Adapter:
    """The shipped reference model."""
    return Plugins.find().adapter("g2vlm", {}, {})


def from_depth(depths: list[NDArray[np.float32]], target: Target) -> Prediction:
    """A prediction of depth that has the true cameras."""
    matrices = target.intrinsics or ()
    maps = [unproject(depth, matrix) for depth, matrix in zip(depths, matrices, strict=True)]
    return Prediction(
        depth=tuple(depths),
        point_maps=tuple(one.astype(np.float32) for one in maps),
        intrinsics=matrices,
        world_from_camera=target.world_from_camera,
    )


def filled(depth: NDArray[Any]) -> NDArray[np.float32]:
    """Depth whose holes have that of the nearest pixel that has one."""
    nearest = ndimage.distance_transform_edt(
        np.isnan(depth), return_distances=False, return_indices=True
    )
    return np.asarray(depth[tuple(nearest)], np.float32)


def degraded(depth: NDArray[Any]) -> NDArray[np.float32]:
    """True depth made worse: filled, bent by 3 pixels, 0.6 d + 0.4, 5 % noise, steps of 1 / 64."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float64)
    bent = rows + 3 * np.sin(columns / 40), columns + 3 * np.cos(rows / 40)
    warped = ndimage.map_coordinates(filled(depth), bent, order=1, mode="nearest")
    noisy = (0.6 * warped + 0.4) * rng.lognormal(0, 0.05, depth.shape)
    return np.asarray(np.maximum(np.round(64 * noisy), 1) / 64, np.float32)


def thinned(matrix: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """The camera of every `step`-th pixel, whose centres stay where they were."""
    found = matrix.copy()
    found[:2, :2] /= step
    found[:2, 2] = (matrix[:2, 2] - 0.5) / step + 0.5
    return found
