"""The evaluations of mv_recon: Spann3R's and, descended from it, CUT3R's and Pi3's."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from cloud_peers.cases import Array, Case, Values, ours
from g2vlm_bench.geometry import cameras
from peer_code import load, on_path

RECONSTRUCTION = [
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median",
    "normal_accuracy_mean", "normal_accuracy_median", "normal_completeness_mean",
    "normal_completeness_median", "fscore",
]  # fmt: skip


def pi3(profile: str, folder: str, peers: Path, case: Case) -> tuple[Values, Values]:
    """Umeyama and distances by mv_recon/utils.py, in the order of mv_recon/eval.py.

    Args:
        profile: `pi3`, or `g2vlm`, which has a copy.
        folder: Of mv_recon in the peers.
        peers: The peers' folder.
        case: What is scored.
    """
    module = load(peers / folder / "mv_recon/utils.py", f"{profile}_utils")
    true, points = case.true_points[case.mask], case.points[case.mask]
    scale, rotation, shift = module.umeyama(points.T, true.T)
    moved = scale * np.einsum("nj,ij->ni", points, rotation) + shift.T
    return by_open3d(module, moved, true), ours(case, profile, RECONSTRUCTION)


def cut3r(peers: Path, case: Case) -> tuple[Values, Values]:
    """Criterion and distances of eval/mv_recon, with the crop of its launch.py."""
    with on_path(peers / "CUT3R/src", peers / "CUT3R"):
        # Imported first, since two of its modules import each other.
        importlib.import_module("dust3r.heads.postprocess")
        criterion = load(peers / "CUT3R/eval/mv_recon/criterion.py", "cut3r_criterion")
        module = load(peers / "CUT3R/eval/mv_recon/utils.py", "cut3r_utils")
        made = criterion.Regr3D_t_ScaleShiftInv(criterion.L21, norm_mode=False, gt_scale=True)
        predicted, true = joint_medians(made, case, paired=False)
    height, width = case.mask.shape[1:]
    top, left = height // 2 - 112, width // 2 - 112
    window = np.zeros(case.mask.shape, bool)
    window[:, max(top, 0) : top + 224, max(left, 0) : left + 224] = True
    counted = case.mask & window
    return by_open3d(module, predicted[counted], true[counted]), ours(case, "cut3r", RECONSTRUCTION)


def spann3r(peers: Path, case: Case) -> tuple[Values, Values]:
    """Criterion of spann3r/loss.py and distances of spann3r/tools/eval_recon.py."""
    with on_path(peers / "spann3r"):
        criterion = load(peers / "spann3r/spann3r/loss.py", "spann3r_loss")
        module = load(peers / "spann3r/spann3r/tools/eval_recon.py", "spann3r_recon")
        l21 = importlib.import_module("dust3r.losses").L21
        made = criterion.Regr3D_t_ScaleShiftInv(l21, norm_mode=False, gt_scale=True)
        predicted, true = joint_medians(made, case, paired=True)
    both = predicted[case.mask], true[case.mask]
    return by_open3d(module, *both), ours(case, "spann3r", RECONSTRUCTION)


def joint_medians(criterion: Any, case: Case, paired: bool) -> tuple[Array, Array]:
    """Let a criterion normalise both clouds; give them in the first camera's frame."""
    import torch

    in_first = cameras.transform(case.points, cameras.invert_pose(case.poses[0]))
    views = [
        {
            "camera_pose": torch.from_numpy(case.true_poses[:1]),
            "pts3d": torch.from_numpy(np.nan_to_num(true)[None]),
            "valid_mask": torch.from_numpy(mask[None]),
        }
        for true, mask in zip(case.true_points, case.mask, strict=True)
    ]

    def answer(i: int, key: str = "pts3d_in_other_view") -> dict[str, Any]:
        return {key: torch.from_numpy(in_first[i][None].copy())}

    count = len(views)
    preds: list[Any] = [answer(i) for i in range(count)]
    if paired:
        # Spann3R's first view is in its own frame by name.
        left = [answer(0, "pts3d"), *(answer(i) for i in range(1, count - 1))]
        preds = [(one, answer(i + 1)) for i, one in enumerate(left)]
    true, predicted, _, _, _, monitoring = criterion.get_all_pts3d_t(views, preds)
    if paired:
        predicted = [*predicted[0], predicted[1][-1]]
    clouds_ = [np.concatenate([p.numpy() for p in cloud]) for cloud in (predicted, true)]
    for cloud in clouds_:
        cloud[..., 2] += monitoring["gt_shift_z"].item()
    return clouds_[0], clouds_[1]


def by_open3d(module: Any, predicted: Array, true: Array) -> Values:
    """Do what Spann3R, CUT3R and Pi3 do behind their alignments: ICP, normals, distances."""
    import open3d

    cloud, truth = (
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
        for points in (predicted, true)
    )
    registration = open3d.pipelines.registration
    motion = registration.registration_icp(
        cloud, truth, 0.1, np.eye(4), registration.TransformationEstimationPointToPoint()
    )
    cloud.transform(motion.transformation)
    cloud.estimate_normals()
    truth.estimate_normals()
    normals = np.asarray(truth.normals), np.asarray(cloud.normals)
    acc = module.accuracy(np.asarray(truth.points), np.asarray(cloud.points), *normals)
    comp = module.completion(np.asarray(truth.points), np.asarray(cloud.points), *normals)
    # Distances and normals; a mean and a median of each, as in RECONSTRUCTION.
    order = [*acc[:2], *comp[:2], *acc[2:], *comp[2:]]
    return dict(zip(RECONSTRUCTION[:8], map(float, order), strict=True))
