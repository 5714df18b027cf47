"""The peers' own functions: MoGe's, UniDepth's and UniK3D's, MapAnything's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
from depth_peers.unidepth import DATA, cropped
from g2vlm_bench.geometry.cameras import unproject
from peer_code import load, stand_in
from point_map_peers.cases import Case, Values

LEAST_RAY_ERROR_DEG = 1e-3


def moge(
    key: str, found_in: str = "", prefix: str = "point", camera_too: bool = False
) -> Callable[..., Values]:
    """MoGe's `compute_metrics` of points, and of the camera where all predictions serve."""

    def run(peers: Path, case: Case, dtype: Any) -> Values:
        import torch

        metrics = peer_code.moge(peers, "moge.test.metrics")
        mask = case.mask
        truth = {
            "depth": torch.tensor(case.depth.astype(dtype)),
            "points": torch.tensor(np.where(mask[..., None], case.true, 1).astype(dtype)),
            "depth_mask": torch.tensor(mask), "is_metric": True, "has_sharp_boundary": False,
        }  # fmt: skip
        if found_in == "local_points":
            truth["segmentation_mask"] = torch.tensor(case.segments)
            truth["segmentation_labels"] = {"one": 1, "two": 2, "three": 3}
        # Offered in the key's own name: what is metric would be fitted in all three ways.
        guess = {key: torch.tensor(case.predicted.astype(dtype))}
        for part, camera in ((truth, case.intrinsics), (guess, case.seen_by)):
            # Of a picture that is 1 wide and 1 high.
            normal = camera / [[mask.shape[1]], [mask.shape[0]], [1]]
            part["intrinsics"] = torch.tensor(normal.astype(dtype))
        found, _ = metrics.compute_metrics(guess, truth)
        of_points = found[found_in or key]
        values = {f"{prefix}_abs_rel": of_points["rel"], f"{prefix}_delta1": of_points["delta1"]}
        if camera_too:
            values["fov_x_error"] = found["fov_x"]["mae"]
        return values

    return run


def eval_3d(repository: str, package: str, data: str) -> Callable[[Path, Case, Any], Values]:
    """UniDepth's and UniK3D's `eval_3d`, with a data set's cap and crop.

    Its neighbours, a CUDA extension, are not asked for.
    """
    names = {"point_error": "MSE_3d"}
    if package == "unik3d":
        names |= {
            "point_abs_rel": "arel_3d",
            "point_inlier_1.25": "tau_3d",
            "ray_auc_15": "rays",
        }

    def run(peers: Path, case: Case, dtype: Any) -> Values:
        import torch

        module = peer_code.unidepth(peers, repository, package)
        maps = [
            torch.tensor(np.where(case.mask[..., None], a, 1).astype(dtype)).permute(2, 0, 1)[None]
            for a in (case.true, case.predicted)
        ]
        # As their `AnnotationMask` does before.
        mask = torch.tensor(case.mask & (case.depth < DATA[data].far_m))[None, None]
        maps, mask = cropped(peers, repository, package, DATA[data].crop, maps, mask)
        found = module.eval_3d(*maps, mask, thresholds=torch.tensor([0.1]))
        return {ours: float(found[theirs]) for ours, theirs in names.items()}

    return run


def mapanything(peers: Path, case: Case, dtype: Any) -> Values:
    """MapAnything's normalisation, metrics and error of rays, for one view."""
    import torch

    sys.path.insert(0, str(peers / "map-anything"))
    stand_in("einops")
    geometry = load(peers / "map-anything/mapanything/utils/geometry.py")
    module = load(peers / "map-anything/mapanything/utils/metrics.py")
    mask = case.mask
    normed = []
    for points in (case.true, case.predicted):
        filled = np.where(mask[..., None], points, 0).astype(dtype)
        views, masks = [torch.tensor(filled)[None]], [torch.tensor(mask)[None]]
        normed.append(geometry.normalize_multiple_pointclouds(views, masks)[0][0].numpy())
    true_rays = unproject(np.ones(case.depth.shape), case.intrinsics)
    rays = [
        torch.nn.functional.normalize(torch.tensor(points.astype(dtype)), dim=-1)
        for points in (true_rays, case.predicted)
    ]
    angles = module.l2_distance_of_unit_ray_directions_to_angular_error(
        torch.norm(rays[0] - rays[1], dim=-1)
    )
    # What has the true rays has the peer's rounding for an error, with which nothing compares.
    rays_differ = float(angles.mean()) > LEAST_RAY_ERROR_DEG
    return ({"ray_error": float(angles.mean())} if rays_differ else {}) | {
        "point_abs_rel": float(module.m_rel_ae(gt=normed[0], pred=normed[1], mask=mask)),
        "point_inlier_1.03": float(
            module.thresh_inliers(gt=normed[0], pred=normed[1], thresh=1.03, mask=mask)
        ),
    }
