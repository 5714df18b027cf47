"""Score the same depth with published code and with our profile of it, and print the difference.

    python scripts/conformance_depth.py --peers DIR

DIR holds the peers' checkouts by their repository's name (MoGe, CUT3R, Pi3, monst3r, Marigold,
UniDepth, UniK3D, Depth-Anything-V2, robustmvd, map-anything, and utils3d at 3fab839 for MoGe), each
at the commit that its profile names, which a file COMMIT may hold. They are run, not copied. What
is not there, or does not run, is skipped with its reason. It needs torch.

`largest` is the largest relative difference of any metric; `its own` is how far the peer is from
itself when the same pixels come in another order, and `double` how far we are from it when it is
given double precision. The last two are not asked of peers that look at where a pixel stands.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import TaskDefinition, load_profile

SIZE = (48, 64)
INTRINSICS = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])


@dataclass(frozen=True)
class Case:
    """A prediction and the truth, float32 in metres, (H, W) each."""

    name: str
    predicted: np.ndarray
    true: np.ndarray


def random_case(seed: int, size: tuple[int, int] = SIZE, ties: bool = False) -> Case:
    """Piecewise planes with steps, and a prediction of another scale, shift and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    true = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    predicted = (0.6 * true + 0.4) * rng.lognormal(0, 0.08, size)
    if ties:
        predicted = np.maximum(np.round(predicted / 0.1037) * 0.1037, 2.0)
    return Case(f"seed {seed}", predicted.astype(np.float32), true.astype(np.float32))


def ours(profile: str, name: str, metrics: list[str], case: Case) -> dict[str, float]:
    """Score one case under one protocol of a profile, as a task would."""
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand("depth", name or None, profile)
    label = fields[0]["profile"]
    definition = TaskDefinition(
        name="depth/conformance", version=1, family="depth", data={}, metrics=metrics,
        headline=f"delta1@{label}", protocols=fields,
    )  # fmt: skip
    family = plugins.family(definition)
    scored = family.score(
        Target(depth_m=(case.true,), intrinsics=(INTRINSICS,)),
        Prediction(depth=(case.predicted,), ambiguity=Ambiguity.METRIC),
        Ambiguity.METRIC,
    )
    return {key.partition("@")[0]: value for key, value in scored.values.items()}


def load(peers: Path, path: str) -> Any:
    """Import one file of a peer, without the package around it."""
    name = "peer_" + path.replace("/", "_").replace("-", "_").removesuffix(".py")
    if name in sys.modules:
        return sys.modules[name]
    if not (peers / path).is_file():
        raise FileNotFoundError(f"no {path}")
    spec = importlib.util.spec_from_file_location(name, peers / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def stand_in(name: str, **contents: Any) -> None:
    """Stand in for a module that a peer's file imports and the functions run here do not use."""
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    module.__path__ = []
    # Others ask whether it is there by its specification.
    module.__spec__ = ModuleSpec(name, None)
    sys.modules.setdefault(name, module)


LINEAGE = {
    "abs_rel": "Abs Rel", "sq_rel": "Sq Rel", "rmse": "RMSE", "rmse_log": "Log RMSE",
    "delta1": "δ < 1.25", "delta2": "δ < 1.25^2", "delta3": "δ < 1.25^3",
}  # fmt: skip


def lineage(path: str, **options: Any) -> Callable[[Path, Case], dict[str, float]]:
    """CUT3R's `depth_evaluation` and its copies."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        for name in ("dust3r.image_pairs", "dust3r.inference", "dust3r.utils.image"):
            stand_in(name, make_pairs=0, inference=0, load_images=0, rgb=0, enlarge_seg_masks=0)
        for name in ("dust3r", "dust3r.utils", "dust3r.eval_metadata", "cv2", "tqdm"):
            stand_in(name, dataset_metadata={}, tqdm=0, eval_metadata=0)
        module = load(peers, path)
        results = module.depth_evaluation(case.predicted.copy(), case.true.copy(), **options)[0]
        return {ours: results[theirs] for ours, theirs in LINEAGE.items() if theirs in results}

    return run


def moge(key: str) -> Callable[[Path, Case], dict[str, float]]:
    """MoGe's `compute_metrics`."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        sys.path[:0] = [str(peers / "MoGe"), str(peers / "utils3d")]
        import utils3d

        # The pinned utils3d has this function under another name.
        utils3d.pt.sliding_window_2d = utils3d.pt.sliding_window
        stand_in("moge.utils.tools", key_average=None, timeit=None)
        metrics = importlib.import_module("moge.test.metrics")
        true = torch.tensor(case.true)
        truth = {
            "depth": true, "depth_mask": true > 0, "points": None,
            "is_metric": True, "has_sharp_boundary": key == "depth_metric",
        }  # fmt: skip
        found = metrics.compute_metrics({"depth_metric": torch.tensor(case.predicted)}, truth)[0]
        values = {"abs_rel": found[key]["rel"], "delta1": found[key]["delta1"]}
        if key == "depth_metric":
            edges = found["boundary"]
            values |= {f"boundary_f1_r{r}": edges[f"radius{r}_f1"] for r in (1, 2, 3)}
        return values

    return run


def marigold(low: float, high: float) -> Callable[[Path, Case], dict[str, float]]:
    """Marigold's alignment, the clips of its script, and its metrics."""
    names = {
        "abs_rel": "abs_relative_difference", "sq_rel": "squared_relative_difference",
        "rmse": "rmse_linear", "rmse_log": "rmse_log", "log10": "log10", "i_rmse": "i_rmse",
        "delta1": "delta1_acc", "delta2": "delta2_acc", "delta3": "delta3_acc",
        "si_log": "silog_rmse",
    }  # fmt: skip

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        mask = (case.true > low) & (case.true < high)
        align = load(peers, "Marigold/src/util/alignment.py").align_depth_least_square
        metric = load(peers, "Marigold/src/util/metric.py")
        aligned = align(gt_arr=case.true, pred_arr=case.predicted, valid_mask_arr=mask)[0]
        aligned = np.clip(np.clip(aligned, low, high), 1e-6, None)
        arrays = torch.tensor(aligned), torch.tensor(case.true), torch.tensor(mask)
        found = {ours: getattr(metric, theirs)(*arrays).item() for ours, theirs in names.items()}
        return found | {"si_log": found["si_log"] / 100}

    return run


def unidepth(repository: str, package: str, kind: str) -> Callable[[Path, Case], dict[str, float]]:
    """UniDepth's and UniK3D's `eval_depth`."""
    plain = {
        "abs_rel": "arel", "sq_rel": "sqrel", "rmse": "rmse", "rmse_log": "rmselog",
        "log10": "log10", "si_log_sample": "silog", "delta1": "d1", "delta2": "d2", "delta3": "d3",
        "inlier_1.03": "tau", "delta_auc": "d_auc",
    }  # fmt: skip
    aligned = {"abs_rel": f"arel_{kind}", "delta1": f"d1_{kind}", "inlier_1.03": f"tau_{kind}"}

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        stand_in(package)
        stand_in(f"{package}.utils")
        stand_in(f"{package}.utils.chamfer_distance", ChamferDistance=lambda: None)
        stand_in(f"{package}.utils.constants", DEPTH_BINS=None)
        for name in ("", ".transforms", ".transforms.v2", ".transforms.v2.functional"):
            stand_in(f"torchvision{name}", functional=None)
        module = load(peers, f"{repository}/{package}/utils/evaluation_depth.py")
        arrays = [torch.tensor(a)[None, None] for a in (case.true, case.predicted)]
        found = module.eval_depth(*arrays, arrays[0] > 0, max_depth=25)
        names = plain if kind == "metric" else aligned
        values = {ours: float(found[theirs]) for ours, theirs in names.items()}
        if "si_log_sample" in values:
            values["si_log_sample"] /= 100
        return values

    return run


def depth_anything(peers: Path, case: Case) -> dict[str, float]:
    """Depth Anything V2's `eval_depth`."""
    import torch

    mask = (case.true >= 0.001) & (case.true <= 80)
    module = load(peers, "Depth-Anything-V2/metric_depth/util/metric.py")
    found = module.eval_depth(torch.tensor(case.predicted[mask]), torch.tensor(case.true[mask]))
    renamed = {"d1": "delta1", "d2": "delta2", "d3": "delta3", "silog": "si_log_half"}
    return {renamed.get(name, name): value for name, value in found.items()}


def robustmvd(peers: Path, case: Case) -> dict[str, float]:
    """Robustmvd's metrics, after the median ratio and the clip of its evaluation."""
    module = load(peers, "robustmvd/rmvd/eval/metrics.py")
    # Written for NumPy 1, whose `copy=False` is a wish and no demand.
    numpy_1 = {**vars(np), "nan_to_num": lambda a, copy=None, **more: np.nan_to_num(a, **more)}
    module.np = types.SimpleNamespace(**numpy_1)
    valid = case.true > 0
    ratio = np.median(case.true[valid]) / np.median(case.predicted[valid])
    predicted = np.clip(case.predicted * ratio, 0.1, 100)
    return {
        "abs_rel": float(module.m_rel_ae(case.true, predicted)),
        "inlier_1.03": float(module.thresh_inliers(case.true, predicted, 1.03)),
    }


def mapanything(peers: Path, case: Case) -> dict[str, float]:
    """MapAnything's metrics after its normalisation, for one view with the true rays."""
    module = load(peers, "map-anything/mapanything/utils/metrics.py")
    rows, columns = np.mgrid[: case.true.shape[0], : case.true.shape[1]] + 0.5
    rays = np.stack([(columns - 32) / 60, (rows - 24) / 60, np.ones_like(rows)], axis=-1)
    depths = [
        (values / np.linalg.norm(rays * values[..., None], axis=-1).mean())[..., None]
        for values in (case.true.astype(np.float64), case.predicted.astype(np.float64))
    ]
    return {
        "abs_rel": float(module.m_rel_ae(gt=depths[0], pred=depths[1])),
        "inlier_1.03": float(module.thresh_inliers(gt=depths[0], pred=depths[1], thresh=1.03)),
    }


CUT3R, PI3, MONST3R = "CUT3R/eval/monodepth/tools.py", "Pi3/utils/depth.py", (
    "monst3r/dust3r/depth_eval.py"
)  # fmt: skip
SINTEL = {"max_depth": 70, "post_clip_max": 70}
# Profile, its protocol, the peer's folder, and the peer's own scoring.
PEERS: list[tuple[str, str, str, Callable[[Path, Case], dict[str, float]]]] = [
    ("cut3r", "mono", "CUT3R", lineage(CUT3R, max_depth=None)),
    ("cut3r", "mono_sintel", "CUT3R", lineage(CUT3R, **SINTEL)),
    ("cut3r", "video_scale", "CUT3R", lineage(CUT3R, max_depth=None, align_with_scale=True)),
    ("cut3r", "video_scale_shift", "CUT3R", lineage(CUT3R, max_depth=None, align_with_lad2=True)),
    ("cut3r", "video_metric", "CUT3R", lineage(CUT3R, max_depth=None, metric_scale=True)),
    ("monst3r", "mono", "monst3r", lineage(MONST3R, max_depth=None)),
    (
        "monst3r",
        "video_scale_shift_sintel",
        "monst3r",
        lineage(MONST3R, **SINTEL, align_with_lad2=True),
    ),
    ("pi3", "mono", "Pi3", lineage(PI3, max_depth=None, align_with_scale=True)),
    ("g2vlm", "mono_sintel", "Pi3", lineage(PI3, **SINTEL, align_with_scale=True)),
    ("moge", "metric", "MoGe", moge("depth_metric")),
    ("moge", "scale", "MoGe", moge("depth_scale_invariant")),
    ("moge", "affine", "MoGe", moge("depth_affine_invariant")),
    ("moge", "affine_disparity", "MoGe", moge("disparity_affine_invariant")),
    ("marigold", "scannet", "Marigold", marigold(0.001, 10)),
    *(
        (profile, f"ibims_{kind}", repository, unidepth(repository, profile, kind))
        for profile, repository in (("unidepth", "UniDepth"), ("unik3d", "UniK3D"))
        for kind in ("metric", "si", "ssi")
    ),
    ("depth_anything_v2", "kitti", "Depth-Anything-V2", depth_anything),
    ("robustmvd", "median", "robustmvd", robustmvd),
    ("mapanything", "", "map-anything", mapanything),
]


def shuffled(case: Case) -> Case:
    """The same pixels in another order, which moves no sum but by rounding."""
    order = np.random.default_rng(0).permutation(case.true.size)
    return Case(
        case.name,
        case.predicted.ravel()[order].reshape(case.true.shape),
        case.true.ravel()[order].reshape(case.true.shape),
    )


def doubled(case: Case) -> Case:
    """The same numbers in double precision."""
    return Case(case.name, case.predicted.astype(np.float64), case.true.astype(np.float64))


def largest_gap(found: dict[str, float], expected: dict[str, float]) -> tuple[float, str]:
    """The largest relative difference, and the metric that has it."""
    return max(
        (abs(found[metric] - value) / max(abs(value), 1e-12), metric)
        for metric, value in expected.items()
    )


def real_case(path: Path, unit: float) -> Case:
    """A sensor's true map, 0 where it saw nothing, every fourth pixel; the prediction is made."""
    from PIL import Image

    true = np.asarray(Image.open(path), dtype=np.float64)[::4, ::4] / unit
    noise = np.random.default_rng(0).lognormal(0, 0.08, true.shape)
    predicted = np.where(true > 0, 0.6 * true + 0.4, 1.0) * noise
    return Case(path.name, predicted.astype(np.float32), true.astype(np.float32))


def cases(seeds: int, frame: Path | None, unit: float) -> Iterator[Case]:
    """Random maps without and with tied predictions; the larger ones have a grid to fit on."""
    if frame is not None:
        yield real_case(frame, unit)
    for seed in range(seeds):
        size = (96, 131) if seed % 2 else SIZE
        yield random_case(seed, size, ties=seed % 3 == 2)


def commit(folder: Path) -> str:
    """The commit of a checkout, as its file COMMIT says."""
    said = folder / "COMMIT"
    return said.read_text().strip()[:7] if said.is_file() else "unknown"


def main() -> None:
    """Run every peer that is there on every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--frame", type=Path, help="a 16-bit PNG of true depth, as one more case")
    parser.add_argument("--unit", type=float, default=1000, help="its steps in a metre")
    parser.add_argument("--values", action="store_true", help="print the peers' values of seed 0")
    arguments = parser.parse_args()
    print(f"{'profile':18}{'protocol':26}{'commit':9}cases  largest  its own  double   where")
    for profile, name, repository, run in PEERS:
        gaps: list[tuple[float, str]] = []
        spreads, precise = [0.0], [0.0]
        try:
            for case in cases(arguments.seeds, arguments.frame, arguments.unit):
                if profile == "mapanything" and case.true.shape != SIZE:
                    continue
                theirs = run(arguments.peers, case)
                found = ours(profile, name, sorted({*theirs, "delta1"}), case)
                if arguments.values and not gaps:
                    print(f"# {profile}.{name}: {theirs}")
                gap, metric = largest_gap(found, theirs)
                gaps.append((gap, f"{metric}, {case.name}"))
                # These two look at where a pixel stands.
                if profile not in ("moge", "mapanything"):
                    spreads.append(largest_gap(run(arguments.peers, shuffled(case)), theirs)[0])
                    in_double = run(arguments.peers, doubled(case))
                    precise.append(largest_gap(found, in_double)[0])
        except Exception as error:
            print(f"{profile:18}{name:26}skipped: {type(error).__name__}: {error}")
            continue
        if not gaps:
            print(f"{profile:18}{name:26}skipped: no case of the size that its rays are made for")
            continue
        at = commit(arguments.peers / repository)
        gap, where = max(gaps)
        numbers = "  ".join(f"{number:7.1e}" for number in (gap, max(spreads), max(precise)))
        print(f"{profile:18}{name:26}{at:9}{len(gaps):5}  {numbers}  {where}")


if __name__ == "__main__":
    main()
