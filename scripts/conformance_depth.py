"""Score the same depth with published code and with our profile of it, and print the difference.

    python scripts/conformance_depth.py --peers DIR

DIR holds the peers' checkouts by their repository's name (MoGe, CUT3R, Pi3, monst3r, Marigold,
UniDepth, UniK3D, Depth-Anything-V2, robustmvd, map-anything, Video-Depth-Anything, and utils3d at
3fab839 for MoGe), each at the commit that its profile names, which a file COMMIT may hold. They are
run, not copied. What is not there, or does not run, is skipped with its reason. It needs torch.

`largest` is the largest relative difference of any metric; `its own` is how far the peer is from
itself when the same pixels come in another order, and `double` how far we are from it when it is
given double precision. The last two are not asked where it matters where a pixel stands.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import TaskDefinition, load_profile
from peer_code import commit, load, load_from, stand_in

SIZE = (48, 64)
SIZES = {"nyu": (480, 640), "kitti": (375, 1242), "wide": (40, 1500)}
INTRINSICS = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])


@dataclass(frozen=True)
class Case:
    """A prediction and the truth, float32, (H, W) each, or (N, H, W) for a video.

    The prediction is in metres, or in 1 / metres where it is disparity.
    """

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


def poses(count: int) -> list[np.ndarray]:
    """Cameras that step to the right and turn to the left."""
    found = []
    for index in range(count):
        angle, pose = 0.02 * index, np.eye(4)
        pose[[0, 0, 2, 2], [0, 2, 0, 2]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        pose[:3, 3] = 0.05 * index, 0, 0.01 * index
        found.append(pose)
    return found


def ours(
    profile: str, name: str, metrics: list[str], case: Case, ambiguity: Ambiguity
) -> dict[str, float]:
    """Score one case under one protocol of a profile, as a task would."""
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand("depth", name or None, profile)
    label = fields[0]["profile"]
    asked = sorted({"tae" if metric == "tae_published" else metric for metric in metrics})
    definition = TaskDefinition(
        name="depth/conformance", version=1, family="depth", data={}, metrics=asked,
        headline=f"delta1@{label}", protocols=fields,
    )  # fmt: skip
    family = plugins.family(definition)
    true = case.true if case.true.ndim == 3 else case.true[None]
    predicted = case.predicted if case.true.ndim == 3 else case.predicted[None]
    score = family.score(
        Target(
            depth_m=tuple(true),
            intrinsics=(INTRINSICS,) * len(true),
            world_from_camera=tuple(poses(len(true))),
        ),
        Prediction(depth=tuple(predicted), ambiguity=ambiguity),
        ambiguity,
    )
    values = {key.partition("@")[0]: value for key, value in score.values.items()}
    if "tae_published" in score.details:
        values["tae_published"] = score.details["tae_published"][label]["prediction"]
    return values


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
        module = load(peers / path)
        results = module.depth_evaluation(case.predicted.copy(), case.true.copy(), **options)[0]
        return {ours: results[theirs] for ours, theirs in LINEAGE.items() if theirs in results}

    return run


def moge(key: str) -> Callable[[Path, Case], dict[str, float]]:
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


def marigold(
    low: float,
    high: float,
    crop: str | None = None,
    max_resolution: int | None = None,
    disparity: bool = False,
) -> Callable[[Path, Case], dict[str, float]]:
    """Marigold's mask, its alignment, the clips of its script, and its metrics."""
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


def unidepth(
    repository: str, package: str, kind: str, max_depth: float = 25, crop: str | None = None
) -> Callable[[Path, Case], dict[str, float]]:
    """UniDepth's and UniK3D's `eval_depth`."""
    plain = {
        "abs_rel": "arel", "sq_rel": "sqrel", "rmse": "rmse", "rmse_log": "rmselog",
        "log10": "log10", "si_log_sample": "silog", "delta1": "d1", "delta2": "d2", "delta3": "d3",
        "inlier_1.03": "tau", "delta_auc": "d_auc",
    }  # fmt: skip
    aligned = {"abs_rel": f"arel_{kind}", "delta1": f"d1_{kind}", "inlier_1.03": f"tau_{kind}"}

    def run(peers: Path, case: Case) -> dict[str, float]:
        import torch

        module = peer_code.unidepth(peers, repository, package)
        arrays = [torch.tensor(a)[None, None] for a in (case.true, case.predicted)]
        if crop == "garg":
            arrays = unidepth_benchmark_crop(peers, repository, package, arrays)
        mask = arrays[0] > 0
        if crop is not None:
            mask = unidepth_mask(peers, repository, package, mask, crop)
        found = module.eval_depth(*arrays, mask, max_depth=max_depth)
        names = plain if kind == "metric" else aligned
        values = {ours: float(found[theirs]) for ours, theirs in names.items()}
        if "si_log_sample" in values:
            values["si_log_sample"] /= 100
        return values

    return run


def unidepth_benchmark_crop(
    peers: Path, repository: str, package: str, arrays: list[Any]
) -> list[Any]:
    """Arrays (1, 1, H, W) after UniDepth's and UniK3D's own crop of KITTI's frames."""

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


def depth_anything(peers: Path, case: Case) -> dict[str, float]:
    """Depth Anything V2's `eval_depth`."""
    import torch

    mask = (case.true >= 0.001) & (case.true <= 80)
    module = load(peers / "Depth-Anything-V2/metric_depth/util/metric.py")
    found = module.eval_depth(torch.tensor(case.predicted[mask]), torch.tensor(case.true[mask]))
    renamed = {"d1": "delta1", "d2": "delta2", "d3": "delta3", "silog": "si_log_half"}
    return {renamed.get(name, name): value for name, value in found.items()}


def robustmvd(alignment: str | None) -> Callable[[Path, Case], dict[str, float]]:
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


def video_depth_anything(peers: Path, case: Case) -> dict[str, float]:
    """Video Depth Anything's `eval_depthcrafter` and `eval_TAE`, which read files."""
    for name in ("cv2", "tqdm", "matplotlib", "matplotlib.pyplot"):
        stand_in(name, tqdm=0, pyplot=0)
    folder = "Video-Depth-Anything/benchmark/eval"
    sys.modules["metric"] = load(peers / f"{folder}/metric.py")
    options = types.SimpleNamespace(
        a=0, b=None, c=0, d=None, hard_crop=False, mask=False, max_depth_eval=10.0,
        max_eval_len=90,
    )  # fmt: skip
    # Their first pixel's centre is at 0.
    camera = INTRINSICS - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    frames = len(case.true)
    with tempfile.TemporaryDirectory() as place:
        paths: dict[str, list[str]] = {"predicted": [], "true": []}
        for kind, maps in (("predicted", case.predicted), ("true", case.true)):
            for index, one in enumerate(maps):
                paths[kind].append(f"{place}/{kind}{index}.npy")
                np.save(paths[kind][-1], one)
        video = load(peers / f"{folder}/eval.py")
        video.device = "cpu"
        given = paths["predicted"], paths["true"], [1.0] * frames
        found = video.eval_depthcrafter(*given, options)
        tae = load(peers / f"{folder}/eval_tae.py").eval_TAE(
            *given, [], [camera] * frames, poses(frames), options
        )
    names = zip(("abs_rel", "rmse", "delta1"), found, strict=True)
    return dict(names) | {"tae_published": float(tae) / 100}


def mapanything(peers: Path, case: Case) -> dict[str, float]:
    """MapAnything's normalisation over all views, with the true cameras, and its metrics."""
    import torch

    stand_in("einops")
    sys.path.insert(0, str(peers / "map-anything"))
    geometry = load(peers / "map-anything/mapanything/utils/geometry.py")
    module = load(peers / "map-anything/mapanything/utils/metrics.py")
    height, width = case.true.shape[-2:]
    rows, columns = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(columns - 32) / 60, (rows - 24) / 60, np.ones_like(rows)], axis=-1)
    normalised = []
    for depths in (case.true, case.predicted):
        maps = depths.reshape(-1, height, width).astype(np.float64)
        clouds = [
            geometry.geotrf(torch.tensor(pose)[None], torch.tensor(rays * one[..., None])[None])
            for pose, one in zip(poses(len(maps)), maps, strict=True)
        ]
        masks = [torch.ones(1, height, width, dtype=torch.bool)] * len(maps)
        found = geometry.normalize_multiple_pointclouds(clouds, masks, "avg_dis", ret_factor=True)
        normalised.append(maps[..., None] / found[-1].item())
    views = list(zip(*normalised, strict=True))
    return {
        "abs_rel": float(np.mean([module.m_rel_ae(gt=g, pred=d) for g, d in views])),
        "inlier_1.03": float(
            np.mean([module.thresh_inliers(gt=g, pred=d, thresh=1.03) for g, d in views])
        ),
    }


CUT3R, PI3, MONST3R = "CUT3R/eval/monodepth/tools.py", "Pi3/utils/depth.py", (
    "monst3r/dust3r/depth_eval.py"
)  # fmt: skip
SINTEL = {"max_depth": 70, "post_clip_max": 70}


@dataclass(frozen=True)
class Row:
    """One protocol of a profile, and the peer's own scoring of it.

    Attributes:
        profile: Its name.
        protocol: Of the profile, empty where it has but one.
        repository: The peer's folder.
        run: The peer's scoring.
        kind: Of the cases: `map`, `video`, `nyu`, `kitti` and `wide` for their sizes.
        ambiguity: What the prediction is.
        positional: Whether it matters where a pixel stands.
    """

    profile: str
    protocol: str
    repository: str
    run: Callable[[Path, Case], dict[str, float]]
    kind: str = "map"
    ambiguity: Ambiguity = Ambiguity.METRIC
    positional: bool = False


def pi3(**options: Any) -> Callable[[Path, Case], dict[str, float]]:
    """Pi3's copy of CUT3R's evaluation."""
    return lineage(PI3, **options)


DISPARITY = Ambiguity.AFFINE_DISPARITY
ROWS = [
    Row("cut3r", "mono", "CUT3R", lineage(CUT3R, max_depth=None)),
    Row("cut3r", "mono_sintel", "CUT3R", lineage(CUT3R, **SINTEL)),
    Row("cut3r", "video_scale", "CUT3R", lineage(CUT3R, max_depth=None, align_with_scale=True)),
    Row(
        "cut3r", "video_scale_shift", "CUT3R",
        lineage(CUT3R, max_depth=None, align_with_lad2=True),
    ),
    Row("cut3r", "video_metric", "CUT3R", lineage(CUT3R, max_depth=None, metric_scale=True)),
    Row("monst3r", "mono", "monst3r", lineage(MONST3R, max_depth=None)),
    Row(
        "monst3r", "video_scale_shift_sintel", "monst3r",
        lineage(MONST3R, **SINTEL, align_with_lad2=True),
    ),
    Row("pi3", "mono", "Pi3", pi3(max_depth=None, align_with_scale=True)),
    Row("pi3", "video_scale", "Pi3", pi3(max_depth=None, align_with_scale=True), "video"),
    Row("pi3", "video_scale_shift", "Pi3", pi3(max_depth=None, align_with_lad2=True), "video"),
    Row("pi3", "video_metric", "Pi3", pi3(max_depth=None, metric_scale=True), "video"),
    Row("pi3", "video_scale_sintel", "Pi3", pi3(**SINTEL, align_with_scale=True), "video"),
    Row("pi3", "video_scale_shift_bonn", "Pi3", pi3(max_depth=70, align_with_lad2=True), "video"),
    Row("g2vlm", "mono_sintel", "Pi3", pi3(**SINTEL, align_with_scale=True)),
    Row("moge", "metric", "MoGe", moge("depth_metric"), positional=True),
    Row("moge", "scale", "MoGe", moge("depth_scale_invariant"), positional=True),
    Row("moge", "affine", "MoGe", moge("depth_affine_invariant"), positional=True),
    Row("moge", "affine_disparity", "MoGe", moge("disparity_affine_invariant"), positional=True),
    Row("marigold", "scannet", "Marigold", marigold(0.001, 10)),
    Row("marigold", "nyu", "Marigold", marigold(0.001, 10, "nyu"), "nyu", positional=True),
    Row("marigold", "kitti", "Marigold", marigold(1e-5, 80, "eigen"), "kitti", positional=True),
    Row("marigold", "eth3d", "Marigold", marigold(1e-5, np.inf)),
    Row(
        "marigold", "eth3d_1024", "Marigold", marigold(1e-5, np.inf, None, 1024),
        "wide", positional=True,
    ),
    Row(
        "marigold", "disparity_nyu", "Marigold", marigold(0.001, 10, "nyu", None, True),
        "nyu", DISPARITY, positional=True,
    ),
    *(
        Row(profile, f"ibims_{kind}", repository, unidepth(repository, profile, kind))
        for profile, repository in (("unidepth", "UniDepth"), ("unik3d", "UniK3D"))
        for kind in ("metric", "si", "ssi")
    ),
    *(
        Row(
            profile, f"{data}_si", repository, unidepth(repository, profile, "si", far, crop),
            data, positional=True,
        )
        for profile, repository in (("unidepth", "UniDepth"), ("unik3d", "UniK3D"))
        for data, far, crop in (("nyu", 10, "nyu"), ("kitti", 80, "garg"))
    ),
    Row("depth_anything_v2", "kitti", "Depth-Anything-V2", depth_anything),
    Row("robustmvd", "none", "robustmvd", robustmvd(None)),
    Row("robustmvd", "median", "robustmvd", robustmvd("median")),
    Row("robustmvd", "scale_shift", "robustmvd", robustmvd("least_squares_scale_shift")),
    Row("mapanything", "", "map-anything", mapanything, positional=True),
    Row("mapanything", "", "map-anything", mapanything, "video", positional=True),
    Row(
        "video_depth_anything", "scannet", "Video-Depth-Anything", video_depth_anything,
        "video", DISPARITY, positional=True,
    ),
]  # fmt: skip


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


def cases(row: Row, seeds: int, frame: Path | None, unit: float) -> Iterator[Case]:
    """Random maps without and with tied predictions; the larger ones have a grid to fit on."""
    if frame is not None and row.kind == "map" and row.profile != "mapanything":
        yield real_case(frame, unit)
    for seed in range(seeds):
        size = (96, 131) if seed % 2 and row.profile != "mapanything" else SIZE
        case = random_case(seed, SIZES.get(row.kind, size), ties=seed % 3 == 2)
        if row.kind == "video":
            frames = [random_case(10 * seed + i, ties=seed % 3 == 2) for i in range(3)]
            stacks = (
                np.stack([getattr(f, part) for f in frames]) for part in ("predicted", "true")
            )
            case = Case(case.name, *stacks)
        if row.ambiguity is DISPARITY:
            case = Case(case.name, 1 / case.predicted, case.true)
        yield case


def main() -> None:
    """Run every peer that is there on every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--frame", type=Path, help="a 16-bit PNG of true depth, as one more case")
    parser.add_argument("--unit", type=float, default=1000, help="its steps in a metre")
    parser.add_argument("--values", action="store_true", help="print the peers' values of seed 0")
    parser.add_argument("--only", nargs="*", help="profiles, instead of all")
    arguments = parser.parse_args()
    print(f"{'profile':22}{'protocol':26}{'commit':9}cases  largest  its own  double   where")
    for row in ROWS:
        if arguments.only and row.profile not in arguments.only:
            continue
        print(measured(row, arguments))


def measured(row: Row, arguments: argparse.Namespace) -> str:
    """Run one row on all its cases and write it."""
    gaps: list[tuple[float, str]] = []
    spreads, precise = [0.0], [0.0]
    heading = f"{row.profile:22}{row.protocol:26}"
    try:
        for case in cases(row, arguments.seeds, arguments.frame, arguments.unit):
            theirs = row.run(arguments.peers, case)
            found = ours(
                row.profile, row.protocol, sorted({*theirs, "delta1"}), case, row.ambiguity
            )
            if arguments.values and not gaps:
                print(f"# {row.profile}.{row.protocol}: {theirs}")
            gap, metric = largest_gap(found, theirs)
            gaps.append((gap, f"{metric}, {case.name}"))
            if not row.positional:
                own = row.run(arguments.peers, shuffled(case))
                spreads.append(largest_gap(own, theirs)[0])
                precise.append(largest_gap(found, row.run(arguments.peers, doubled(case)))[0])
    except Exception as error:
        return f"{heading}skipped: {type(error).__name__}: {error}"
    gap, where = max(gaps)
    numbers = "  ".join(f"{number:7.1e}" for number in (gap, max(spreads), max(precise)))
    at = commit(arguments.peers / row.repository)
    return f"{heading}{at:9}{len(gaps):5}  {numbers}  {where}"


if __name__ == "__main__":
    main()
