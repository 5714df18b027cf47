"""DTU: its evaluation in Python, and DA3's, which fuses depth first."""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import sys
import tempfile
import types
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from cloud_peers.cases import Array, Case, Values, aligned_clouds, flat_case, ours
from g2vlm_bench.geometry import clouds
from g2vlm_bench.geometry.cloud_regions import ObservedGrid
from g2vlm_bench.sample import Prediction, Target
from peer_code import on_path

OVERALL = ["accuracy_mean", "completeness_mean", "chamfer_mean_l2"]


def dtu(peers: Path, case: Case) -> tuple[Values, Values]:
    """The whole script on a made-up scan."""
    predicted, true = small(case)
    grid, arrays = observed_in_part(true)
    target, answer = Target(points_world=true, observed=grid), Prediction(points=predicted)
    mine = replace(case, target=target, prediction=answer)
    return run_dtu(peers, predicted, true, arrays), ours(mine, "dtu", OVERALL)


def run_dtu(peers: Path, predicted: Array, true: Array, arrays: dict[str, Array]) -> Values:
    """Run eval.py, its shuffle seeded, on files in millimetres; give metres."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_observed(folder, arrays)
        (folder / "Points" / "stl").mkdir(parents=True)
        clouds.write_ply(folder / "Points" / "stl" / "stl001_total.ply", 1000 * true)
        clouds.write_ply(folder / "in.ply", 1000 * predicted)
        arguments = ["eval.py", "--data", str(folder / "in.ply"), "--scan", "1", "--mode", "pcd"]
        arguments += ["--dataset_dir", made, "--vis_out_dir", made]
        out, seeded = io.StringIO(), np.random.default_rng

        def order(seed: int = 0) -> np.random.Generator:
            return seeded(seed)

        with (
            mock.patch.object(sys, "argv", arguments),
            mock.patch("numpy.random.default_rng", order),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            runpy.run_path(str(peers / "DTUeval-python/eval.py"), run_name="__main__")
    found = [0.001 * float(word) for word in out.getvalue().split()[-3:]]
    return dict(zip(OVERALL, found, strict=True))


def da3_dtu(mode: str, peers: Path, case: Case) -> tuple[Values, Values]:
    """The class `DTU` on scenes as large as its own; the prediction keeps its scale."""
    if mode == "posed":
        case = flat_case(case)
    poses = case.true_poses.copy()
    poses[:, :3, 3] *= 0.05
    true = 0.05 * case.true_points[case.mask][::3]
    grid, arrays = observed_in_part(true)
    target = replace(
        case.target,
        depth_m=tuple(np.float32(0.05) * depth for depth in case.target.depth_m or ()),
        world_from_camera=tuple(poses),
        points_world=true,
        observed=grid,
    )
    theirs = run_da3_dtu(peers, mode, target, case.prediction, arrays)
    return theirs, ours(replace(case, target=target), "da3", OVERALL, f"dtu_{mode}")


def run_da3_dtu(
    peers: Path, mode: str, target: Target, answer: Prediction, arrays: dict[str, Array]
) -> Values:
    """Run the class `DTU` from predicted depth to numbers, in float64 and millimetres."""
    import torch

    stub = types.ModuleType("plyfile")
    stub.__dict__["PlyData"] = None
    sys.modules.setdefault("plyfile", stub)
    with on_path(peers / "Depth-Anything-3/src"):
        module = importlib.import_module("depth_anything_3.bench.datasets.dtu")
    bench = module.DTU.__new__(module.DTU)
    poses = np.stack(target.world_from_camera or ())
    poses[:, :3, 3] *= 1000
    matrices = np.stack(target.intrinsics or ())
    matrices[:, :2, 2] -= 0.5
    mask = np.isfinite(np.stack(target.depth_m or ()))
    named = importlib.import_module("addict").Dict
    given = named(extrinsics=np.linalg.inv(poses), intrinsics=matrices)
    predicted = named(
        extrinsics=np.linalg.inv(np.stack(answer.world_from_camera or ())),
        intrinsics=matrices,
        depth=np.stack(answer.depth or ()).astype(np.float64),
    )
    with tempfile.TemporaryDirectory() as made, mock.patch.object(torch, "float32", torch.float64):
        prepared = getattr(bench, f"_prep_{mode}")(predicted, given, mask)
        depths = torch.from_numpy(np.where(mask, prepared[0], 0.0))[:, None]
        projections = torch.from_numpy(projections_of(*prepared[1:]))
        points = []
        for i in range(len(depths)):
            if mode == "posed":
                size = depths.shape[-2:]
                points.append(bench._fuse_consistent_points(depths, projections, i, *size))
            else:
                lifted = bench._generate_points_from_depth(depths[[i]], projections[[i]])
                points.append(lifted[0][:, torch.from_numpy(mask[i])].T.numpy())
        capped = bench._cap_points(np.concatenate(points), module.DTU_MAX_POINTS)
        scan = 1000 * np.asarray(target.points_world)
        found = bench._evaluate_reconstruction(
            "scan1", capped, scan, *map(str, save_observed(Path(made), arrays))
        )
    return dict(zip(OVERALL, (0.001 * float(value) for value in found), strict=True))


def projections_of(intrinsics: Array, extrinsics: Array) -> Array:
    """Do what DA3's `_build_proj_mats` does, in float64."""
    made = np.tile(np.eye(4), (len(intrinsics), 1, 1))
    made[:, :3] = intrinsics @ extrinsics[:, :3]
    return made


def small(case: Case) -> tuple[Array, Array]:
    """Give the case's clouds at a twentieth of their size, as large as DTU's objects."""
    predicted, true = aligned_clouds(case)
    return 0.05 * predicted[::2], 0.05 * true[::3]


def observed_in_part(true: Array) -> tuple[ObservedGrid, dict[str, Array]]:
    """Make up what a scanner has seen: our grid in metres, and DTU's arrays in millimetres."""
    low, high = true.min(axis=0) + 0.002, true.max(axis=0) - 0.015
    voxel = 0.002
    shape = tuple(int(size // voxel) + 1 for size in high - low)
    seen = np.random.default_rng(0).random(shape) < 0.8
    plane = np.array([0.0, 0.0, 1.0, -(true[:, 2].min() + 0.2 * np.ptp(true[:, 2]))])
    # The peers round the box to float32.
    box = (1000 * np.stack([low, high])).astype(np.float32).astype(np.float64)
    theirs: dict[str, Array] = {
        "ObsMask": seen.astype(np.float64),
        "BB": box,
        "Res": np.array([[1000 * voxel]]),
        "P": (plane * [1, 1, 1, 1000])[:, None],
    }
    grid = ObservedGrid(seen, box[0] / 1000, box[1] / 1000, voxel, plane, margin=0.06)
    return grid, theirs


def save_observed(folder: Path, arrays: dict[str, Array]) -> tuple[Path, Path]:
    """Write what was seen as DTU has it; give mask and plane."""
    from scipy.io import savemat

    (folder / "ObsMask").mkdir()
    mask, plane = folder / "ObsMask" / "ObsMask1_10.mat", folder / "ObsMask" / "Plane1.mat"
    savemat(mask, {name: arrays[name] for name in ("ObsMask", "BB", "Res")})
    savemat(plane, {"P": arrays["P"]})
    return mask, plane
