"""Peers that compare the relative poses of pairs of cameras."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm_bench.geometry import trajectory
from peer_code import load, stand_in
from pose_peers.cases import THRESHOLDS, Array, Sequence, Values

Scored = Callable[[Sequence], Values]


class _Attributes(dict[str, Any]):
    __setattr__ = dict.__setitem__
    __getattr__ = dict.__getitem__


def pi3_module(peers: Path) -> Any:
    """Pi3's relpose/metric.py."""
    return _under(peers / "Pi3", "relpose/metric.py", "utils", "utils.geometry")


def g2vlm_module(peers: Path) -> Any:
    """G2VLM's copy of it, with the quaternions of the VGGT that it brings."""
    folder = peers / "G2VLM/eval_code/recons"
    for name in ("models.vggt.utils.rotation", "models.vggt.utils.geometry"):
        stand_in(name, **contents(folder / f"{name.replace('.', '/')}.py"))
    return load(folder / "relpose/metric.py")


def vggt_module(peers: Path) -> Any:
    """VGGT's evaluation/test_co3d.py, without what runs its model."""
    for name in ("vggt.utils.rotation", "vggt.utils.geometry"):
        stand_in(name, **contents(peers / f"vggt/{name.replace('.', '/')}.py"))
    stand_in("vggt.models.vggt", VGGT=None)
    stand_in("vggt.utils.load_fn", load_and_preprocess_images=None)
    stand_in("vggt.utils.pose_enc", pose_encoding_to_extri_intri=None)
    stand_in("ba", run_vggt_with_ba=None)
    return load(peers / "vggt/evaluation/test_co3d.py")


def contents(path: Path) -> dict[str, Any]:
    """The functions of one file, to stand in under the name that another imports them by."""
    return {name: value for name, value in vars(load(path)).items() if not name.startswith("__")}


def _under(folder: Path, file: str, *aside: str) -> Any:
    """Import a file that imports modules of common names from its own folder."""
    sys.path.insert(0, str(folder))
    try:
        return load(folder / file)
    finally:
        sys.path.remove(str(folder))
        for name in aside:
            sys.modules.pop(name, None)


def errors_of(module: Any, sequence: Sequence, world_to_camera: bool = True) -> tuple[Array, Array]:
    """Rotation and translation errors of all pairs by VGGT's function, or a descendant's."""
    import torch

    both = [sequence.predicted, sequence.true]
    if world_to_camera:
        both = [trajectory.invert_poses(poses) for poses in both]
    given = [torch.from_numpy(poses) for poses in both]
    rotation, translation = module.se3_to_relative_pose_error(*given, len(sequence.true))
    return rotation.numpy(), translation.numpy()


def shares(module: Any, rotation: Array, translation: Array) -> Values:
    """RRA, RTA and AUC of errors, as VGGT and its descendants make them."""
    return {
        name: float(value)
        for t in THRESHOLDS
        for name, value in (
            (f"rra_{t}", np.mean(rotation < t)),
            (f"rta_{t}", np.mean(translation < t)),
            (f"auc_{t}", module.calculate_auc_np(rotation, translation, max_threshold=t)[0]),
        )
    }


def lineage(module: Any, world_to_camera: bool = True) -> Scored:
    """A sequence's RRA, RTA and AUC by the functions that VGGT's descendants share."""
    return lambda sequence: shares(module, *errors_of(module, sequence, world_to_camera))


def pi3_histc(module: Any) -> Scored:
    """Pi3's second AUC, by torch.histc."""
    import torch

    def scored(sequence: Sequence) -> Values:
        errors = map(torch.from_numpy, errors_of(module, sequence))
        return {"auc_30": float(module.calculate_auc(*errors, max_threshold=30))}

    return scored


def da3(peers: Path) -> Scored:
    """Depth Anything 3's compute_pose."""
    import torch

    for name in ("addict", "open3d", "einops"):
        if importlib.util.find_spec(name) is None:
            stand_in(name, Dict=_Attributes, einsum=None)
    source = peers / "Depth-Anything-3/src/depth_anything_3"
    for name in ("depth_anything_3", "depth_anything_3.utils"):
        sys.modules[name] = types.ModuleType(name)
    load(source / "utils/geometry.py", "depth_anything_3.utils.geometry")
    module = load(source / "bench/utils.py")

    def scored(sequence: Sequence) -> Values:
        given = [trajectory.invert_poses(poses) for poses in (sequence.predicted, sequence.true)]
        found = module.compute_pose(*map(torch.from_numpy, given))
        return {f"auc_{t}": float(found[f"auc{t:02d}"]) for t in THRESHOLDS}

    return scored


def spatialbench(peers: Path, world_to_camera: bool) -> Scored:
    """SpatialBench's two functions; the first wants both in their first cameras."""
    module = load(peers / "SpatialBench/benchmark/evaluation/metrics.py")
    names = {f"{ours}_{t}": f"{theirs}_{t}" for t in (3, 5) for ours, theirs in
             (("rra", "racc"), ("rta", "tacc"), ("auc", "auc"))}  # fmt: skip
    names |= {"auc_15": "auc_15", "auc_30": "auc_30"}

    def scored(sequence: Sequence) -> Values:
        given = [sequence.predicted, sequence.true]
        function = module.compute_pose_metrics_c2w
        if world_to_camera:
            given = [trajectory.invert_poses(trajectory.in_first_camera(p)) for p in given]
            function = module.compute_pose_metrics
        with contextlib.redirect_stdout(io.StringIO()):
            found = function(*(poses[:, :3] for poses in given))
        return {ours: float(found[theirs]) for ours, theirs in names.items()}

    return scored
