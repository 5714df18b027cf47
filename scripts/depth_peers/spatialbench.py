"""SpatialBench's depth and TGM, by its `evaluate_scene`."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from depth_peers.cases import Case, Peer
from peer_code import load, stand_in

NAMES = {
    "abs_rel": "abs_rel", "sq_rel": "sq_rel", "rmse": "rmse", "rmse_log": "log_rmse",
    "delta1": "delta_1.25", "delta2": "delta_1.25^2", "delta3": "delta_1.25^3",
    "inlier_1.03": "inlier_1_03", "inlier_1.05": "inlier_1_05", "inlier_1.10": "inlier_1_10",
}  # fmt: skip
ADAPTER = types.SimpleNamespace(supports_metric_depth=lambda: True)


def spatialbench(aligned: bool, far: float, percentile: float | None = None) -> Peer:
    """One scene's depth, aligned (with TGM) or as it is, under a data set's limits."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        folder = peers / "SpatialBench/benchmark"
        true = np.atleast_3d(case.true.T).T.copy()
        # As its readers do.
        true[true > far] = 0
        if percentile is not None:
            threshold = load(folder / "utils/misc.py").threshold_depth_map
            true = np.stack([threshold(one, percentile, -1) for one in true])
        scene: dict[str, Any] = {
            "scene_id": "", "source_dataset": "", "tags": {}, "frame_indices": range(len(true)),
            "depth": true, "valid_mask": (true > 0) & np.isfinite(true),
            "extrinsic": None, "intrinsic": None,
        }  # fmt: skip
        predicted = {"pred_depth": case.predicted.reshape(true.shape)}
        with contextlib.redirect_stdout(io.StringIO()):
            found = _evaluate(folder)(scene, predicted, ADAPTER, "median", ["depth", "tgm"])[0]
        depth = found["depth" if aligned else "depth_metric"]
        values = {ours: depth[theirs] for ours, theirs in NAMES.items()}
        return values | ({"tgm": found["tgm"]["tgm"]} if aligned and len(true) > 1 else {})

    return run


def _evaluate(folder: Path) -> Any:
    """Import `evaluate_scene` without the models that its file imports."""
    source = folder / "evaluation/run_benchmark.py"
    for name in ("", ".utils", ".utils.visualization", ".utils.paths", ".datasets", ".evaluation",
                 ".datasets.benchmark_dataset", ".evaluation.model_adapters"):  # fmt: skip
        stand_in(
            f"benchmark{name}", BenchmarkDataset=None, visualize_scene=None, save_scene_inputs=None,
            DEFAULT_CHECKPOINTS_DIR=None, DEFAULT_DROID_ROOT=None, get_adapter=None,
        )  # fmt: skip
    for name in re.findall(r"^import (benchmark\.[\w.]+)", source.read_text(), re.MULTILINE):
        stand_in(name)
    for name in ("alignment", "metrics", "report"):
        sys.modules[f"benchmark.evaluation.{name}"] = load(folder / f"evaluation/{name}.py")
    return load(source).evaluate_scene
