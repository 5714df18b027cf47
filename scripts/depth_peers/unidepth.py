"""UniDepth's and UniK3D's evaluation, with the masks and crops of their data sets."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
from depth_peers.cases import Case, Peer
from peer_code import load, stand_in


@dataclass(frozen=True)
class Data:
    """One of their data sets: truth counts from and to which metres, and inside which crop."""

    near_m: float
    far_m: float
    crop: str | None = None

    def thresholds(self) -> Any:
        """Of F1, as their `accumulate_metrics_3d` spaces them, (100,) float64 metres."""
        import torch

        first, last = np.log([self.near_m, self.far_m / 20]).tolist()
        return torch.linspace(first, last, 100, dtype=torch.float64).exp()


DATA = {
    "nyu": Data(0.005, 10, "nyu"), "kitti": Data(0.05, 80, "garg"), "eth3d": Data(0.01, 50),
    "diode_indoor": Data(0.01, 25), "ibims": Data(0.005, 25),
}  # fmt: skip


def unidepth(
    repository: str, package: str, kind: str, max_depth: float = 25, crop: str | None = None
) -> Peer:
    """UniDepth's and UniK3D's `eval_depth`."""
    plain = {
        "abs_rel": "arel", "sq_rel": "sqrel", "rmse": "rmse", "rmse_log": "rmselog",
        "log10": "log10", "si_log_sample": "silog", "median_log": "medianlog", "delta1": "d1",
        "delta2": "d2", "delta3": "d3", "inlier_1.03": "tau", "delta_auc": "d_auc",
    }  # fmt: skip
    aligned = {"abs_rel": f"arel_{kind}", "delta1": f"d1_{kind}", "inlier_1.03": f"tau_{kind}"}

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        module = peer_code.unidepth(peers, repository, package)
        # `delta`, and UniK3D's `ssi`, name float32 whatever they are given.
        wide = case.true.dtype == np.float64
        module.torch = _with_wide_floats(torch) if wide else torch
        arrays = [torch.tensor(a)[None, None] for a in (case.true, case.predicted)]
        # As their `AnnotationMask` does before: truth at the cap would count in `eval_depth` alone.
        mask = (arrays[0] > 0) & (arrays[0] < max_depth)
        arrays, mask = cropped(peers, repository, package, crop, arrays, mask)
        found = module.eval_depth(*arrays, mask, max_depth=max_depth)
        names = plain if kind == "metric" else aligned
        values = {ours: float(found[theirs]) for ours, theirs in names.items()}
        for per_cent in values.keys() & {"si_log_sample", "median_log"}:
            values[per_cent] /= 100
        return values

    return run


def _with_wide_floats(torch: Any) -> Any:
    """Torch with double precision under the name of single."""
    return types.SimpleNamespace(**vars(torch) | {"float32": torch.float64})


def cropped(
    peers: Path, repository: str, package: str, crop: str | None, arrays: list[Any], mask: Any
) -> tuple[list[Any], Any]:
    """Truth and prediction (1, C, H, W) as a data set crops them, and the mask of what counts."""
    if crop == "garg":
        # The mask is cropped as a channel of the truth.
        import torch

        whole = torch.cat([arrays[0], mask.to(arrays[0].dtype)], dim=1)
        whole, predicted = unidepth_benchmark_crop(peers, repository, package, [whole, arrays[1]])
        arrays, mask = [whole[:, :-1], predicted], whole[:, -1:] > 0
    if crop is not None:
        mask = unidepth_mask(peers, repository, package, mask, crop)
    return arrays, mask


def unidepth_benchmark_crop(
    peers: Path, repository: str, package: str, arrays: list[Any]
) -> list[Any]:
    """Arrays (1, C, H, W) after UniDepth's and UniK3D's own crop of KITTI's frames."""

    def crop(array: Any, top: int, left: int, height: int, width: int) -> Any:
        return array[..., top : top + height, left : left + width]

    for name in ("torchvision", "torchvision.transforms", package, f"{package}.utils"):
        stand_in(name)
    stand_in("torchvision.transforms.v2.functional", crop=crop)
    functional = sys.modules["torchvision.transforms.v2.functional"]
    stand_in("torchvision.transforms.v2", functional=functional)
    stand_in(f"{package}.utils.geometric", downsample=None)
    module = load(peers / f"{repository}/{package}/datasets/pipelines/transforms.py")
    true, predicted = arrays
    results = {
        "image": true, "true": true, "predicted": predicted, "gt_fields": ["true", "predicted"],
        "camera": types.SimpleNamespace(crop=lambda *_: None),
    }  # fmt: skip
    cropped = module.KittiCrop(crop_size=(352, 1216))(results)
    return [cropped["true"], cropped["predicted"]]


def unidepth_mask(peers: Path, repository: str, package: str, mask: Any, crop: str) -> Any:
    """The mask of UniDepth's and UniK3D's own datasets."""
    stand_in("h5py")
    stand_in(f"{package}.datasets")
    parts = {
        "datasets.image_dataset": ["ImageDataset"], "datasets.utils": ["DatasetFromList"],
        "datasets.pipelines": ["AnnotationMask", "Compose", "KittiCrop"], "utils": ["identity"],
        "datasets.sequence_dataset": ["SequenceDataset"],
    }  # fmt: skip
    for name, contents in parts.items():
        stand_in(f"{package}.{name}", **dict.fromkeys(contents, object))
    file, kind = {"garg": ("kitti", "KITTI"), "nyu": ("nyuv2", "NYUv2Depth")}[crop]
    module = load(peers / f"{repository}/{package}/datasets/{file}.py")
    return getattr(module, kind).eval_mask(types.SimpleNamespace(crop=crop), mask)
