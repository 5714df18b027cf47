"""Marigold's evaluation, with the masks and crops of its data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from depth_peers.cases import Case, Peer
from peer_code import load, load_from, stand_in


def marigold(
    low: float,
    high: float,
    crop: str | None = None,
    max_resolution: int | None = None,
    disparity: bool = False,
    own_mask: bool = False,
) -> Peer:
    """Marigold's mask, its alignment, the clips of its script, and its metrics.

    Where a data set brings a mask of its own (DIODE), the range clips the prediction alone.
    """
    names = {
        "abs_rel": "abs_relative_difference", "sq_rel": "squared_relative_difference",
        "rmse": "rmse_linear", "rmse_log": "rmse_log", "log10": "log10", "i_rmse": "i_rmse",
        "delta1": "delta1_acc", "delta2": "delta2_acc", "delta3": "delta3_acc",
        "si_log": "silog_rmse",
    }  # fmt: skip

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        alignment = load(peers / "Marigold/src/util/alignment.py")
        metric = load(peers / "Marigold/src/util/metric.py")
        true, predicted = case.true, case.predicted
        if crop == "eigen":
            benchmark_crop = marigold_data(peers, crop).kitti_benchmark_crop
            true, predicted = (benchmark_crop(part).copy() for part in (true, predicted))
        mask = torch.tensor(true > 0)
        if not own_mask:
            mask = marigold_mask(peers, torch.tensor(true), low, high, crop)
        aligned = alignment.align_depth_least_square(
            gt_arr=alignment.depth2disparity(true) if disparity else true,
            pred_arr=predicted, valid_mask_arr=mask.numpy(),
            max_resolution=max_resolution,
        )[0]  # fmt: skip
        if disparity:
            aligned = alignment.disparity2depth(np.clip(aligned, 1e-3, None))
        aligned = np.clip(np.clip(aligned, low, high), 1e-6, None)
        arrays = torch.tensor(aligned), torch.tensor(true), mask
        found = {ours: getattr(metric, theirs)(*arrays).item() for ours, theirs in names.items()}
        return found | {"si_log": found["si_log"] / 100}

    return run


def marigold_data(peers: Path, crop: str | None) -> Any:
    """Marigold's class of a dataset with that crop."""
    stand_in("torchvision")
    stand_in("torchvision.transforms", InterpolationMode=None, Resize=None)
    stand_in("src")
    stand_in("src.util")
    stand_in("src.util.depth_transform", DepthNormalizerBase=None)
    folder = peers / "Marigold/src/dataset"
    kinds = {None: "BaseDepthDataset", "nyu": "NYUDepthDataset", "eigen": "KITTIDepthDataset"}
    files = {None: "base_depth_dataset", "nyu": "nyu_dataset", "eigen": "kitti_dataset"}
    if crop == "nyu":
        stand_in("peer_Marigold_src_dataset.base_normals_dataset", BaseNormalsDataset=object)
    return getattr(load_from(folder, files[crop]), kinds[crop])


def marigold_mask(peers: Path, true: Any, low: float, high: float, crop: str | None) -> Any:
    """The mask of Marigold's own datasets."""
    dataset = object.__new__(marigold_data(peers, crop))
    dataset.__dict__ |= {
        "min_depth": low, "max_depth": high, "eigen_valid_mask": True, "valid_mask_crop": crop,
    }  # fmt: skip
    return dataset._get_valid_mask(true)
