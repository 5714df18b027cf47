"""Sequences, made and real, and our scores of them under a shipped profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import real_frames
from g2vlm_bench.geometry import trajectory
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import Family
from g2vlm_bench.trajectory_files import load_trajectory
from our_scores import family_of, unlabelled

Array = NDArray[np.float64]
Values = dict[str, float]

VIEWS = 10
DRAWS = 20  # of VIEWS frames from each real trajectory
THRESHOLDS = (3, 5, 15, 30)
PAIRS = tuple(f"{name}_{t}" for t in THRESHOLDS for name in ("rra", "rta", "auc"))


@dataclass(frozen=True)
class Sequence:
    """Predicted and true cameras (N, 4, 4), `world_from_camera`."""

    name: str
    predicted: Array
    true: Array


def noisy_cameras(seed: int, count: int = VIEWS) -> tuple[Array, Array]:
    """Make true cameras, and predicted ones in another world, scale and with noise.

    The noise grows with the seed's last digit, so that errors lie on both sides of all thresholds.
    """
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=rng)
    positions = rng.normal(size=(count, 3))
    noise = 0.02 * (1 + seed % 10)
    turned = rotations * Rotation.from_rotvec(noise * rng.normal(size=(count, 3)))
    moved = positions + noise * rng.normal(size=(count, 3))
    world, scale, shift = Rotation.random(random_state=rng), rng.uniform(0.2, 5), rng.normal(size=3)
    predicted = trajectory.poses_from_parts(
        (world * turned).as_matrix(), scale * world.apply(moved) + shift
    )
    return predicted, trajectory.poses_from_parts(rotations.as_matrix(), positions)


def random_sequences(seeds: int) -> Iterator[Sequence]:
    """Noisy cameras of each seed."""
    for seed in range(seeds):
        yield Sequence(f"seed {seed}", *noisy_cameras(seed))


@cache
def real_trajectories(realdata: Path) -> tuple[Sequence, ...]:
    """Every estimate of the real data with its truth, associated by time."""
    folder = realdata / "trajectories"
    kitti = [
        load_trajectory(folder / f"kitti_00/KITTI_00_{name}.txt", "kitti").world_from_camera
        for name in ("ORB", "gt")
    ]
    found = [Sequence("KITTI 00 ORB-SLAM", *kitti)]
    truth = load_trajectory(folder / "tum_fr1_xyz/freiburg1_xyz-groundtruth.txt", "tum")
    for name in ("rgbdslam", "rgbdslam_drift", "ORB_kf_mono"):
        estimate = load_trajectory(folder / f"tum_fr1_xyz/freiburg1_xyz-{name}.txt", "tum")
        assert estimate.times_s is not None
        assert truth.times_s is not None
        first, second = trajectory.associate(estimate.times_s, truth.times_s, 0.02)
        both = estimate.world_from_camera[first], truth.world_from_camera[second]
        found.append(Sequence(f"TUM fr1_xyz {name}", *both))
    lines = [
        load_trajectory(folder / f"slambook2_ch4/{name}.txt", "tum").world_from_camera
        for name in ("estimated", "groundtruth")
    ]
    return (*found, Sequence("slambook2 chapter 4", *lines))


@cache
def real_sequences(realdata: Path) -> tuple[Sequence, ...]:
    """Ten frames drawn from each real trajectory, many times; and nano's cameras of real videos."""
    found = []
    for whole in real_trajectories(realdata):
        rng = np.random.default_rng(0)
        for draw in range(DRAWS):
            frames = rng.choice(len(whole.true), VIEWS, replace=False)
            name = f"{whole.name}, draw {draw}"
            found.append(Sequence(name, whole.predicted[frames], whole.true[frames]))
    for task in (real_frames.REDWOOD, "depth/real_7scenes_video"):
        for scene in real_frames.scenes(realdata, task, "nano"):
            true = trajectory.check_poses(scene.target.world_from_camera or (), "true poses")
            predicted = np.stack(scene.prediction.world_from_camera or ())
            found.append(Sequence(scene.name, predicted, true))
    return tuple(found)


def family(label: str, metrics: tuple[str, ...]) -> Family:
    """The family under one protocol of a shipped profile, `profile` or `profile.name`."""
    profile, _, protocol = label.partition(".")
    return family_of("camera_pose", profile, protocol, metrics)


def ours(label: str, metrics: tuple[str, ...], sequence: Sequence) -> Values:
    """Score a sequence as a task would."""
    score = family(label, metrics).score(
        Target(world_from_camera=tuple(sequence.true)),
        Prediction(world_from_camera=tuple(sequence.predicted)),
        Ambiguity.METRIC,
    )
    return unlabelled(score.values)
