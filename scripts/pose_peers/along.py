"""Peers that compare whole trajectories: evo, and what calls it or does the like."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metrics import poses as metrics
from g2vlm_bench.trajectory_files import load_trajectory
from peer_code import load, stand_in
from pose_peers.angular import Scored
from pose_peers.cases import Array, Sequence, Values

RMSE = ("ate", "rpe_translation", "rpe_rotation")
MEANS = {"ate": "ate", "rpe_translation_mean": "rpe_t", "rpe_rotation_mean": "rpe_r"}


def mapanything_ate(module: Any) -> Scored:
    """MapAnything's `evaluate_ate`, a mean."""
    import torch

    np.linalg.linalg = np.linalg  # type: ignore[attr-defined]  # gone in NumPy 2

    def scored(sequence: Sequence) -> Values:
        both = (list(map(torch.tensor, poses)) for poses in (sequence.true, sequence.predicted))
        return {"ate_mean": float(module.evaluate_ate(*both))}

    return scored


def spatialbench_trajectory(peers: Path) -> Scored:
    """SpatialBench's `compute_trajectory_metrics`."""
    module = load(peers / "SpatialBench/benchmark/evaluation/metrics.py")

    def scored(sequence: Sequence) -> Values:
        with contextlib.redirect_stdout(io.StringIO()):
            found = module.compute_trajectory_metrics(
                sequence.predicted[:, :3], sequence.true[:, :3]
            )
        return {
            ours: float(found[name])
            for ours, name in zip(MEANS, ("ate", "rpe_t", "rpe_r"), strict=True)
        }

    return scored


def eval_metrics(path: Path) -> Scored:
    """CUT3R's `eval_metrics`, or MonST3R's or Pi3's, which write a log of evo's numbers."""
    stand_in("evo.tools.plot")
    module = load(path)

    def tum(poses: Array) -> list[Array]:
        wxyz = np.roll(Rotation.from_matrix(poses[:, :3, :3]).as_quat(), 1, axis=1)
        return [np.concatenate([poses[:, :3, 3], wxyz], axis=1), np.arange(len(poses), dtype=float)]

    def scored(sequence: Sequence) -> Values:
        with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
            found = module.eval_metrics(
                tum(sequence.predicted), tum(sequence.true), seq="a", filename=f"{out}/log.txt"
            )
        return dict(zip(RMSE, map(float, found), strict=True))

    return scored


def evo(align: bool, with_scale: bool) -> Scored:
    """APE and RPE by evo's own main functions."""

    def scored(sequence: Sequence) -> Values:
        found = evo_distance(sequence.predicted, sequence.true, with_scale, align)
        return dict(zip(RMSE, found.tolist(), strict=True))

    return scored


def evo_distance(predicted: Array, true: Array, with_scale: bool, align: bool = True) -> Array:
    """What evo's own main functions say: APE, and RPE in translation and rotation, RMSE."""
    from evo import main_ape, main_rpe
    from evo.core.metrics import PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    def paths() -> tuple[Any, Any]:
        return PosePath3D(poses_se3=list(true)), PosePath3D(poses_se3=list(predicted.copy()))

    translation, rotation = PoseRelation.translation_part, PoseRelation.rotation_angle_deg
    fit = {"align": align, "correct_scale": with_scale}
    along = {"delta": 1, "delta_unit": Unit.frames, **fit}
    results = [
        main_ape.ape(*paths(), pose_relation=translation, **fit),
        main_rpe.rpe(*paths(), pose_relation=translation, **along),
        main_rpe.rpe(*paths(), pose_relation=rotation, **along),
    ]
    return np.array([result.stats["rmse"] for result in results])


def ours_distance(predicted: Array, true: Array, with_scale: bool) -> Array:
    """The same by our functions."""
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, with_scale))
    errors = metrics.relative_errors(aligned, true)
    ate = metrics.absolute_trajectory_error(aligned, true)
    return np.array([ate, *(metrics.summarise(error, "rmse") for error in errors)])


def associated(realdata: Path) -> float:
    """0 where evo and we pair the same times of two real trajectories within 10 ms."""
    from evo.core.sync import matching_time_indices

    folder = realdata / "trajectories/tum_fr1_xyz"
    found, truth = (
        load_trajectory(folder / f"freiburg1_xyz-{name}.txt", "tum").times_s
        for name in ("rgbdslam", "groundtruth")
    )
    assert found is not None
    assert truth is not None
    peer = matching_time_indices(found, truth, max_diff=0.01)
    ours = trajectory.associate(found, truth, 0.01, mutual=False)
    return 0.0 if all(a == b.tolist() for a, b in zip(peer, ours, strict=True)) else np.inf
