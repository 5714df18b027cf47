"""Packages whose metrics take arrays or files: MoGe, Depth Anything, robustmvd, MapAnything."""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
from depth_peers.cases import Case, Peer
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.geometry.trajectory import in_first_camera
from peer_code import load, load_from, stand_in


def moge(key: str) -> Peer:
    """MoGe's `compute_metrics`."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        true = torch.tensor(case.true)
        truth = {
            "depth": true, "depth_mask": true > 0, "points": None,
            "is_metric": True, "has_sharp_boundary": key == "depth_metric",
        }  # fmt: skip
        predicted = {"depth_metric": torch.tensor(case.predicted)}
        found = peer_code.moge(peers, "moge.test.metrics").compute_metrics(predicted, truth)[0]
        values = {"abs_rel": found[key]["rel"], "delta1": found[key]["delta1"]}
        if key == "depth_metric":
            edges = found["boundary"]
            values |= {f"boundary_f1_r{r}": edges[f"radius{r}_f1"] for r in (1, 2, 3)}
        return values

    return run


def depth_anything(far: float) -> Peer:
    """Depth Anything V2's `eval_depth`, of what lies no farther than that."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        mask = (case.true >= 0.001) & (case.true <= far)
        module = load(peers / "Depth-Anything-V2/metric_depth/util/metric.py")
        found = module.eval_depth(torch.tensor(case.predicted[mask]), torch.tensor(case.true[mask]))
        renamed = {"d1": "delta1", "d2": "delta2", "d3": "delta3", "silog": "si_log_half"}
        return {renamed.get(name, name): value for name, value in found.items()}

    return run


def robustmvd(alignment: str | None) -> Peer:
    """Robustmvd's alignment, clip and metrics."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        for name in ("pandas", "rmvd", "rmvd.data"):
            stand_in(name)
        # Maps of one size: nothing is resized.
        stand_in("skimage.transform", resize=lambda array, *_, **__: array)
        stand_in("skimage", transform=sys.modules["skimage.transform"])
        utils = ("numpy_collate", "vis", "select_by_index", "get_full_class_name")
        stand_in("rmvd.utils", **dict.fromkeys(utils))
        stand_in("rmvd.data.layout", Layout=object, Visualization=object)
        stand_in("rmvd.data.updates", Update=object)
        module = load_from(peers / "robustmvd/rmvd/eval", "multi_view_depth_evaluation")
        # Written for NumPy 1, whose `copy=False` is a wish and no demand.
        numpy_1 = {**vars(np), "nan_to_num": lambda a, copy=None, **more: np.nan_to_num(a, **more)}
        metrics: Any = sys.modules[module.m_rel_ae.__module__]
        metrics.np = types.SimpleNamespace(**numpy_1)
        evaluation = object.__new__(module.MultiViewDepthEvaluation)
        evaluation.__dict__ |= {
            "alignment": alignment, "clip_pred_depth": True, "sparse_pred": False,
        }  # fmt: skip
        truth, predicted = {"depth": case.true[None, None]}, {"depth": case.predicted[None, None]}
        evaluation._postprocess_sample_and_output({}, truth, predicted)
        found = evaluation._compute_metrics({}, truth, predicted)
        return {
            "abs_rel": float(found["absrel"]) / 100,
            "inlier_1.03": float(found["inliers103"]) / 100,
        }

    return run


def video_depth_anything(far: float) -> Peer:
    """Video Depth Anything's `eval_depthcrafter` and `eval_TAE`, which read files."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        for name in ("cv2", "tqdm", "matplotlib", "matplotlib.pyplot"):
            stand_in(name, tqdm=0, pyplot=0)
        folder = peers / "Video-Depth-Anything/benchmark/eval"
        sys.modules["metric"] = load(folder / "metric.py")
        options = types.SimpleNamespace(
            a=0, b=None, c=0, d=None, hard_crop=False, mask=False, max_depth_eval=far,
            max_eval_len=90,
        )  # fmt: skip
        # Their first pixel's centre is at 0.
        camera = case.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        frames = len(case.true)
        with tempfile.TemporaryDirectory() as place:
            paths: dict[str, list[str]] = {"predicted": [], "true": []}
            for kind, maps in (("predicted", case.predicted), ("true", case.true)):
                for index, one in enumerate(maps):
                    paths[kind].append(f"{place}/{kind}{index}.npy")
                    np.save(paths[kind][-1], one)
            video = load(folder / "eval.py")
            video.device = "cpu"
            given = paths["predicted"], paths["true"], [1.0] * frames
            found = video.eval_depthcrafter(*given, options)
            tae = load(folder / "eval_tae.py").eval_TAE(
                *given, [], [camera] * frames, case.poses, options
            )
        names = zip(("abs_rel", "rmse", "delta1"), found, strict=True)
        return dict(names) | {"tae_published": float(tae) / 100}

    return run


def mapanything(peers: Path, case: Case) -> dict[str, float]:
    """MapAnything's normalisation over all views, with the true cameras, and its metrics."""
    import torch

    stand_in("einops")
    sys.path.insert(0, str(peers / "map-anything"))
    geometry = load(peers / "map-anything/mapanything/utils/geometry.py")
    module = load(peers / "map-anything/mapanything/utils/metrics.py")
    height, width = case.true.shape[-2:]
    rays = unproject(np.ones((height, width)), case.intrinsics)
    valid = case.true.reshape(-1, height, width) > 0
    normalised = []
    for depths in (case.true, case.predicted):
        maps = depths.reshape(-1, height, width).astype(np.float64)
        clouds = [
            geometry.geotrf(torch.tensor(pose)[None], torch.tensor(rays * one[..., None])[None])
            for pose, one in zip(in_first_camera(np.stack(case.poses)), maps, strict=True)
        ]
        masks = [torch.tensor(mask)[None] for mask in valid]
        found = geometry.normalize_multiple_pointclouds(clouds, masks, "avg_dis", ret_factor=True)
        normalised.append(maps[..., None] / found[-1].item())
    views = list(zip(*normalised, valid, strict=True))
    inliers = [module.thresh_inliers(gt=g, pred=d, thresh=1.03, mask=m) for g, d, m in views]
    return {
        "abs_rel": float(np.mean([module.m_rel_ae(gt=g, pred=d, mask=m) for g, d, m in views])),
        "inlier_1.03": float(np.mean(inliers)),
    }
