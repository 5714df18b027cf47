"""Packages whose metrics take arrays: MapAnything, UniDepth, UniK3D, parts of DA3, SpatialBench."""

from __future__ import annotations

import contextlib
import io
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cloud_peers.cases import Array, Case, Values, aligned_clouds, first_view, ours
from depth_peers.unidepth import DATA, cropped
from g2vlm_bench.geometry import cameras, cloud_alignment, cloud_regions, clouds
from g2vlm_bench.metrics import points as metrics
from peer_code import load, on_path, stand_in


def mapanything(peers: Path, case: Case) -> tuple[Values, Values]:
    """Normalisation of utils/geometry.py and metrics of utils/metrics.py, view by view."""
    import torch

    with on_path(peers / "map-anything"):
        geometry = load(peers / "map-anything/mapanything/utils/geometry.py", "map_geometry")
        module = load(peers / "map-anything/mapanything/utils/metrics.py", "map_metrics")
        both, norms = [], []
        for points, poses in (
            (case.points, case.poses),
            (np.nan_to_num(case.true_points), case.true_poses),
        ):
            local = cameras.transform(points, cameras.invert_pose(poses[0]))
            views = [torch.from_numpy(view[None].copy()) for view in local]
            masks = [torch.from_numpy(mask[None].copy()) for mask in case.mask]
            *normed, norm = geometry.normalize_multiple_pointclouds(
                views, masks, "avg_dis", ret_factor=True
            )
            both.append([view[0].numpy() for view in normed])
            norms.append(norm.item())
    given = [
        (true, predicted, mask) for predicted, true, mask in zip(*both, case.mask, strict=True)
    ]
    theirs = {
        "point_abs_rel": float(np.mean([module.m_rel_ae(t, p, m) for t, p, m in given])),
        "point_inliers": float(
            np.mean([module.thresh_inliers(t, p, 1.03, mask=m) for t, p, m in given])
        ),
        "metric_scale_abs_rel": abs(norms[0] - norms[1]) / norms[1],
    }
    return theirs, ours(case, "mapanything", list(theirs))


def eval_3d(
    repository: str, package: str, data: str
) -> Callable[[Path, Case], tuple[Values, Values]]:
    """`eval_3d` of UniDepth or UniK3D on the first view, with a data set's cap, crop, thresholds.

    Their neighbours, a CUDA extension, are found by scipy.
    """
    known = DATA[data]

    def run(peers: Path, case: Case) -> tuple[Values, Values]:
        import torch

        with on_path(peers / repository):
            module = _evaluation(peers / repository / package, package)
            poses = case.true_poses, case.poses
            both = [
                torch.from_numpy(np.moveaxis(
                    cameras.transform(points[0], cameras.invert_pose(p[0])), -1, 0
                )[None])
                for points, p in zip(
                    (np.nan_to_num(case.true_points), case.points), poses, strict=True
                )
            ]  # fmt: skip
            # As their `AnnotationMask` does before.
            near = np.nan_to_num((case.target.depth_m or ())[0]) < known.far_m
            mask = torch.from_numpy((case.mask[0] & near)[None, None])
            both, mask = cropped(peers, repository, package, known.crop, both, mask)
            found = module.eval_3d(*both, mask, thresholds=known.thresholds())
        values = {name: float(value.mean()) for name, value in found.items()}
        one = first_view(case)
        theirs = {"chamfer_mean_l2": values["chamfer"], "fscore_curve": values["F1"]}
        mine = ours(one, package, list(theirs), data)
        if "F1_si" in values:
            theirs["fscore_curve, si"] = values["F1_si"]
            scaled = ours(one, package, ["fscore_curve"], f"{data}_si")
            mine["fscore_curve, si"] = scaled["fscore_curve"]
        return theirs, mine

    return run


def _evaluation(folder: Path, package: str) -> Any:
    """Import `evaluation_depth`, which all its package would come with."""
    import torch

    def knn_points(x: Any, y: Any, **options: Any) -> Any:
        distances, _ = cKDTree(y[0].numpy()).query(x[0].numpy())
        squares = torch.from_numpy(distances**2)[None, :, None]
        return types.SimpleNamespace(dists=squares, idx=torch.zeros_like(squares, dtype=torch.long))

    for name in ("", ".utils", ".ops", ".ops.knn"):
        stand_in(f"{package}{name}", knn_points=knn_points)
    stand_in(f"{package}.utils.constants", DEPTH_BINS=None)
    for name in ("", ".transforms", ".transforms.v2", ".transforms.v2.functional"):
        stand_in(f"torchvision{name}", functional=None)
    load(folder / "utils/chamfer_distance.py", f"{package}.utils.chamfer_distance")
    return load(folder / "utils/evaluation_depth.py", f"{package}.utils.evaluation_depth")


def da3(peers: Path, case: Case) -> tuple[Values, Values]:
    """RANSAC Umeyama of the cameras and `evaluate_3d_reconstruction`; not its fusion."""
    with on_path(peers / "Depth-Anything-3/src"):
        bench = peers / "Depth-Anything-3/src/depth_anything_3"
        align = load(bench / "utils/pose_align.py", "da3_pose_align")
        module = load(bench / "bench/utils.py", "da3_utils")
        inverted = [
            np.stack([np.linalg.inv(pose) for pose in poses])
            for poses in (case.true_poses, case.poses)
        ]
        _, shift, scale = align.align_poses_umeyama(*inverted, ransac=True, random_state=42)
    centres = case.poses[:, :3, 3], case.true_poses[:, :3, 3]
    fitted = cloud_alignment.umeyama_ransac(centres[0], centres[1], seed=42)
    both, voxel = aligned_clouds(case), 4.0 / 512
    theirs = dict(module.evaluate_3d_reconstruction(*both, threshold=0.05, down_sample=voxel))
    mine = measured((clouds.voxel_downsample(cloud, voxel) for cloud in both), 0.05)
    theirs |= {"scale": float(scale), **{f"t{i}": float(shift[i]) for i in range(3)}}
    return theirs, mine | {
        "scale": fitted.scale, **{f"t{i}": float(fitted.translation[i]) for i in range(3)},
    }  # fmt: skip


def spatialbench(peers: Path, case: Case) -> tuple[Values, Values]:
    """`procrustes_alignment` and `compute_pointcloud_metrics`, which is float32; not its fusion."""
    folder = peers / "SpatialBench/benchmark/evaluation"
    align = load(folder / "alignment.py", "spatialbench_alignment")
    module = load(folder / "metrics.py", "spatialbench_metrics")
    poses = case.poses[:, :3], case.true_poses[:, :3]
    _, sim3 = align.procrustes_alignment(*poses)
    fitted = cloud_alignment.symmetric_similarity(poses[0][:, :, 3], poses[1][:, :, 3])
    # Rounded to multiples of 2^-12, which float32 holds, so that no point changes its voxel.
    both = [np.round(cloud * 4096) / 4096 for cloud in aligned_clouds(case)]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = module.compute_pointcloud_metrics(*both, threshold=0.05, down_sample=0.03125)
    theirs["fscore"] = theirs.pop("f_score")
    mine = measured(
        (cloud_regions.voxel_means_on_world_grid(cloud, 0.03125) for cloud in both), 0.05
    )
    return theirs | {"scale": sim3["s"]}, mine | {"scale": fitted.scale}


def measured(both: Iterable[Array], threshold: float) -> Values:
    """Give our numbers of two clouds under the names of DA3."""
    predicted, true = both
    distances = metrics.cloud_distances(predicted, true)
    return {
        "acc": metrics.accuracy(distances),
        "comp": metrics.completeness(distances),
        "overall": metrics.chamfer(distances, "mean", "l2"),
        "precision": metrics.precision(distances, threshold),
        "recall": metrics.recall(distances, threshold),
        "fscore": metrics.fscore(distances, threshold),
    }
