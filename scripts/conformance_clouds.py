"""Runs the cloud metrics of published code beside ours and prints the largest difference of each.

    python scripts/conformance_clouds.py --peers DIR [--realdata DIR]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: mv_recon), `CUT3R` (eval/mv_recon, src),
`spann3r`, `map-anything` (mapanything/utils), `UniDepth` (unidepth/utils), `Depth-Anything-3`
(src), `SpatialBench` (benchmark/evaluation), `DTUeval-python`, `multi-view-evaluation` (of ETH3D,
built into build/ETH3DMultiViewEvaluation), `TanksAndTemples` (python_toolbox/evaluation). A peer
that is not there, or does not import, is left out and said.
Peers are given float64 where they take it, so that formulas are compared and not float32.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import runpy
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry import cameras, cloud_alignment, cloud_regions, clouds
from g2vlm_bench.geometry.cloud_regions import ObservedGrid, Prism, Scan
from g2vlm_bench.metrics import points as metrics
from g2vlm_bench.plugins import Plugins, load_class
from g2vlm_bench.protocols.clouds import CloudProtocol, Ransac
from g2vlm_bench.protocols.clouds_alignment import fit
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import Family, TaskDefinition, load_profile
from peer_code import commit, load

Array = NDArray[np.float64]
Values = dict[str, float]

SEEDS = range(3)
STRIDE = 6  # of the pixels of real frames


@dataclass(frozen=True)
class Case:
    """One sample: what is true, what is predicted, and both pixel by pixel.

    Attributes:
        true_points: (V, H, W, 3) in the true world.
        points: (V, H, W, 3) in the predicted world.
        mask: (V, H, W) where there is true depth.
    """

    target: Target
    prediction: Prediction
    true_points: Array
    points: Array
    mask: NDArray[np.bool_]

    @property
    def true_poses(self) -> Array:
        """The true cameras, (V, 4, 4)."""
        return np.stack(self.target.world_from_camera or ())

    @property
    def poses(self) -> Array:
        """The predicted cameras, (V, 4, 4)."""
        return np.stack(self.prediction.world_from_camera or ())


def case_of(
    depths: list[Array], matrix: Array, poses: list[Array], seed: int, noise: float = 1.0
) -> Case:
    """Predict noisy depth and noisy cameras in another world and scale."""
    rng = np.random.default_rng(seed)
    world = cameras.pose_matrix(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))
    scale = float(rng.uniform(0.5, 2))
    guessed, placed = [], []
    for depth, pose in zip(depths, poses, strict=True):
        error = 0.02 * rng.normal() + 0.01 * rng.normal(size=depth.shape)
        guess = scale * np.nan_to_num(depth, nan=1.0) * (1 + noise * error)
        guessed.append(guess.astype(np.float32).astype(np.float64))
        turn = Rotation.from_rotvec(0.005 * noise * rng.normal(size=3)).as_matrix()
        moved = world @ pose @ cameras.pose_matrix(turn, 0.01 * noise * rng.normal(size=3))
        moved[:3, 3] *= scale
        placed.append(moved)
    lift = [
        cameras.transform(cameras.unproject(d, matrix), p)
        for d, p in zip(depths, poses, strict=True)
    ]
    lifted = [
        cameras.transform(cameras.unproject(d, matrix), p)
        for d, p in zip(guessed, placed, strict=True)
    ]
    matrices = (matrix,) * len(depths)
    truth = np.stack(lift)
    target = Target(
        depth_m=tuple(depth.astype(np.float32) for depth in depths),
        points_world=truth[np.isfinite(truth).all(axis=-1)],
        intrinsics=matrices,
        world_from_camera=tuple(poses),
    )
    prediction = Prediction(
        depth=tuple(depth.astype(np.float32) for depth in guessed),
        intrinsics=matrices,
        world_from_camera=tuple(placed),
    )
    return Case(target, prediction, truth, np.stack(lifted), np.isfinite(np.stack(depths)))


def random_case(seed: int, views: int = 4) -> Case:
    """Make a bumpy surface with holes, larger than CUT3R's window."""
    rng = np.random.default_rng(100 + seed)
    rows, columns = np.mgrid[:240, :256]
    matrix = np.array([[240.0, 0, 128], [0, 240.0, 120], [0, 0, 1]])
    depths, poses = [], []
    for i in range(views):
        waves = np.sin(columns / rng.uniform(10, 30)) + np.cos(rows / rng.uniform(10, 30))
        depth = (2 + 0.3 * waves).astype(np.float32).astype(np.float64)
        depth[rng.random(depth.shape) < 0.3] = np.nan
        depths.append(depth)
        turn = Rotation.from_rotvec(0.1 * i * rng.normal(size=3)).as_matrix()
        poses.append(cameras.pose_matrix(turn, 0.3 * rng.normal(size=3)))
    return case_of(depths, matrix, poses, seed)


def flat_case(case: Case) -> Case:
    """Let the case's cameras see a plane, so that their depth maps agree, and predict it well."""
    matrix = (case.target.intrinsics or ())[0]
    normal, offset = np.array([0.1, -0.05, 1.0]), 3.0
    depths = []
    for pose, mask in zip(case.true_poses, case.mask, strict=True):
        in_first = cameras.invert_pose(case.true_poses[0]) @ pose
        rays = cameras.unproject(np.ones(mask.shape), matrix) @ in_first[:3, :3].T
        depth = (offset - normal @ in_first[:3, 3]) / (rays @ normal)
        depths.append(np.where(mask & (depth > 0) & (depth < 20), depth, np.nan))
    return case_of(depths, matrix, list(case.true_poses), 0, noise=0.02)


def real_case(realdata: Path) -> Case:
    """Read five frames of 7-Scenes' red kitchen, thinned; the prediction is made of them."""
    folder = realdata / "sequences" / "7scenes_redkitchen_tsdf"
    matrix = np.loadtxt(folder / "camera-intrinsics.txt")
    matrix[:2] /= STRIDE
    names = [f"frame-{i:06d}" for i in (0, 40, 80, 120, 160)]
    depths = []
    for name in names:
        depth = load_depth(folder / f"{name}.depth.png", scale=1000, invalid=(0, 65535))
        depths.append(depth[::STRIDE, ::STRIDE].astype(np.float64))
    return case_of(depths, matrix, [rigid(folder / f"{name}.pose.txt") for name in names], 7)


def rigid(path: Path) -> Array:
    """Read a pose whose rotation is orthonormal to some digits only."""
    pose = np.loadtxt(path)
    left, _, right = np.linalg.svd(pose[:3, :3])
    return cameras.pose_matrix(left @ right, pose[:3, 3])


def ours(case: Case, profile: str, names: list[str], protocol: str | None = None) -> Values:
    """Score a case by the family under a shipped profile, less its label."""
    plugins = Plugins.find()
    fields = load_profile(plugins.path("profile", profile)).expand("chamfer", protocol, "a script")
    definition = TaskDefinition(
        name="chamfer/conformance",
        version=1,
        family="chamfer",
        data={},
        metrics=names,
        headline="",
        protocols=fields[:1],
    )
    family = load_class(plugins.path("family", "chamfer"), Family)(definition)
    found = family.score(case.target, case.prediction, Ambiguity.METRIC).values
    return {name.partition("@")[0]: value for name, value in found.items()}


# ------------------------------------------------------------------------------------ the peers

RECONSTRUCTION = [
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median",
    "normal_accuracy_mean", "normal_accuracy_median", "normal_completeness_mean",
    "normal_completeness_median", "fscore",
]  # fmt: skip


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


def pi3(peers: Path, case: Case) -> tuple[Values, Values]:
    """Umeyama and distances by mv_recon/utils.py, in the order of mv_recon/eval.py."""
    module = load(peers / "Pi3/mv_recon/utils.py", "pi3_utils")
    true, points = case.true_points[case.mask], case.points[case.mask]
    scale, rotation, shift = module.umeyama(points.T, true.T)
    moved = scale * np.einsum("nj,ij->ni", points, rotation) + shift.T
    return by_open3d(module, moved, true), ours(case, "pi3", RECONSTRUCTION)


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


def mapanything(peers: Path, case: Case) -> tuple[Values, Values]:
    """Normalisation of utils/geometry.py and metrics of utils/metrics.py, view by view."""
    import torch

    with on_path(peers / "map-anything"):
        geometry = load(peers / "map-anything/mapanything/utils/geometry.py", "map_geometry")
        module = load(peers / "map-anything/mapanything/utils/metrics.py", "map_metrics")
        both = []
        for points, poses in (
            (case.points, case.poses),
            (np.nan_to_num(case.true_points), case.true_poses),
        ):
            local = cameras.transform(points, cameras.invert_pose(poses[0]))
            views = [torch.from_numpy(view[None].copy()) for view in local]
            masks = [torch.from_numpy(mask[None].copy()) for mask in case.mask]
            normed = geometry.normalize_multiple_pointclouds(views, masks, "avg_dis")
            both.append([view[0].numpy() for view in normed])
    given = [
        (true, predicted, mask) for predicted, true, mask in zip(*both, case.mask, strict=True)
    ]
    theirs = {
        "point_abs_rel": float(np.mean([module.m_rel_ae(t, p, m) for t, p, m in given])),
        "point_inliers": float(
            np.mean([module.thresh_inliers(t, p, 1.03, mask=m) for t, p, m in given])
        ),
    }
    return theirs, ours(case, "mapanything", list(theirs))


def unidepth(peers: Path, case: Case) -> tuple[Values, Values]:
    """`eval_3d` on the first view, its neighbours (a CUDA extension) by scipy."""
    import torch

    def knn_points(x: Any, y: Any, **options: Any) -> Any:
        distances, _ = cKDTree(y[0].numpy()).query(x[0].numpy())
        squares = torch.from_numpy(distances**2)[None, :, None]
        return types.SimpleNamespace(dists=squares, idx=torch.zeros_like(squares, dtype=torch.long))

    with on_path(peers / "UniDepth"):
        for name in ("unidepth", "unidepth.utils", "unidepth.ops", "unidepth.ops.knn"):
            package = types.ModuleType(name)
            package.__dict__.update(__path__=[], knn_points=knn_points)
            sys.modules[name] = package
        folder = peers / "UniDepth/unidepth/utils"
        load(folder / "chamfer_distance.py", "unidepth.utils.chamfer_distance")
        module = load(folder / "evaluation_depth.py", "unidepth.utils.evaluation_depth")
        poses = case.true_poses, case.poses
        both = [
            torch.from_numpy(
                np.moveaxis(cameras.transform(points[0], cameras.invert_pose(p[0])), -1, 0)[None]
            )
            for points, p in zip((np.nan_to_num(case.true_points), case.points), poses, strict=True)
        ]
        thresholds = torch.linspace(np.log(0.005), np.log(0.5), 100, dtype=torch.float64).exp()
        mask = torch.from_numpy(case.mask[:1, None].copy())
        found = module.eval_3d(*both, mask, thresholds=thresholds)
    one = first_view(case)
    mine = ours(one, "unidepth", ["chamfer_mean_l2", "fscore_curve"], "nyu")
    theirs = {
        "chamfer_mean_l2": float(found["chamfer"].mean()),
        "fscore_curve": float(found["F1"].mean()),
    }
    return theirs, mine


def first_view(case: Case) -> Case:
    """Give the case as its first view alone."""

    def first(part: Any) -> Any:
        names = ("depth_m", "depth", "intrinsics", "world_from_camera")
        return replace(part, **{n: getattr(part, n)[:1] for n in names if hasattr(part, n)})

    rest = case.true_points[:1], case.points[:1], case.mask[:1]
    return Case(first(case.target), first(case.prediction), *rest)


def aligned_clouds(case: Case) -> tuple[Array, Array]:
    """Give the case's clouds as points, the prediction near the truth."""
    true, points = case.true_points[case.mask], case.points[case.mask]
    return cloud_alignment.symmetric_similarity(points, true).apply(points), true


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


def small(case: Case) -> tuple[Array, Array]:
    """Give the case's clouds at a twentieth of their size, as large as DTU's objects."""
    predicted, true = aligned_clouds(case)
    return 0.05 * predicted[::2], 0.05 * true[::3]


def observed_in_part(true: Array) -> tuple[ObservedGrid, dict[str, Array]]:
    """Make up what a scanner has seen: our grid in metres, and DTU's arrays in millimetres."""
    low, high = true.min(axis=0) + 0.002, true.max(axis=0) - 0.015
    voxel = 0.002
    shape = tuple(int(size // voxel) + 1 for size in high - low)
    seen = np.random.default_rng(0).random(shape) < 0.8
    plane = np.array([0.0, 0.0, 1.0, -(true[:, 2].min() + 0.2 * np.ptp(true[:, 2]))])
    # The peers round the box to float32.
    box = (1000 * np.stack([low, high])).astype(np.float32).astype(np.float64)
    theirs: dict[str, Array] = {
        "ObsMask": seen.astype(np.float64),
        "BB": box,
        "Res": np.array([[1000 * voxel]]),
        "P": (plane * [1, 1, 1, 1000])[:, None],
    }
    grid = ObservedGrid(seen, box[0] / 1000, box[1] / 1000, voxel, plane, margin=0.06)
    return grid, theirs


def save_observed(folder: Path, arrays: dict[str, Array]) -> tuple[Path, Path]:
    """Write what was seen as DTU has it; give mask and plane."""
    from scipy.io import savemat

    (folder / "ObsMask").mkdir()
    mask, plane = folder / "ObsMask" / "ObsMask1_10.mat", folder / "ObsMask" / "Plane1.mat"
    savemat(mask, {name: arrays[name] for name in ("ObsMask", "BB", "Res")})
    savemat(plane, {"P": arrays["P"]})
    return mask, plane


OVERALL = ["accuracy_mean", "completeness_mean", "chamfer_mean_l2"]


def dtu(peers: Path, case: Case) -> tuple[Values, Values]:
    """The whole script on a made-up scan."""
    predicted, true = small(case)
    grid, arrays = observed_in_part(true)
    target, answer = Target(points_world=true, observed=grid), Prediction(points=predicted)
    mine = replace(case, target=target, prediction=answer)
    return run_dtu(peers, predicted, true, arrays), ours(mine, "dtu", OVERALL)


def run_dtu(peers: Path, predicted: Array, true: Array, arrays: dict[str, Array]) -> Values:
    """Run eval.py, its shuffle seeded, on files in millimetres; give metres."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_observed(folder, arrays)
        (folder / "Points" / "stl").mkdir(parents=True)
        clouds.write_ply(folder / "Points" / "stl" / "stl001_total.ply", 1000 * true)
        clouds.write_ply(folder / "in.ply", 1000 * predicted)
        arguments = ["eval.py", "--data", str(folder / "in.ply"), "--scan", "1", "--mode", "pcd"]
        arguments += ["--dataset_dir", made, "--vis_out_dir", made]
        out, seeded = io.StringIO(), np.random.default_rng

        def order(seed: int = 0) -> np.random.Generator:
            return seeded(seed)

        with (
            mock.patch.object(sys, "argv", arguments),
            mock.patch("numpy.random.default_rng", order),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            runpy.run_path(str(peers / "DTUeval-python/eval.py"), run_name="__main__")
    found = [0.001 * float(word) for word in out.getvalue().split()[-3:]]
    return dict(zip(OVERALL, found, strict=True))


def da3_dtu(mode: str, peers: Path, case: Case) -> tuple[Values, Values]:
    """The class `DTU` on scenes as large as its own; the prediction keeps its scale."""
    if mode == "posed":
        case = flat_case(case)
    poses = case.true_poses.copy()
    poses[:, :3, 3] *= 0.05
    true = 0.05 * case.true_points[case.mask][::3]
    grid, arrays = observed_in_part(true)
    target = replace(
        case.target,
        depth_m=tuple(np.float32(0.05) * depth for depth in case.target.depth_m or ()),
        world_from_camera=tuple(poses),
        points_world=true,
        observed=grid,
    )
    theirs = run_da3_dtu(peers, mode, target, case.prediction, arrays)
    return theirs, ours(replace(case, target=target), "da3", OVERALL, f"dtu_{mode}")


def run_da3_dtu(
    peers: Path, mode: str, target: Target, answer: Prediction, arrays: dict[str, Array]
) -> Values:
    """Run the class `DTU` from predicted depth to numbers, in float64 and millimetres."""
    import torch

    stub = types.ModuleType("plyfile")
    stub.__dict__["PlyData"] = None
    sys.modules.setdefault("plyfile", stub)
    with on_path(peers / "Depth-Anything-3/src"):
        module = importlib.import_module("depth_anything_3.bench.datasets.dtu")
    bench = module.DTU.__new__(module.DTU)
    poses = np.stack(target.world_from_camera or ())
    poses[:, :3, 3] *= 1000
    matrices = np.stack(target.intrinsics or ())
    matrices[:, :2, 2] -= 0.5
    mask = np.isfinite(np.stack(target.depth_m or ()))
    named = importlib.import_module("addict").Dict
    given = named(extrinsics=np.linalg.inv(poses), intrinsics=matrices)
    predicted = named(
        extrinsics=np.linalg.inv(np.stack(answer.world_from_camera or ())),
        intrinsics=matrices,
        depth=np.stack(answer.depth or ()).astype(np.float64),
    )
    with tempfile.TemporaryDirectory() as made, mock.patch.object(torch, "float32", torch.float64):
        prepared = getattr(bench, f"_prep_{mode}")(predicted, given, mask)
        depths = torch.from_numpy(np.where(mask, prepared[0], 0.0))[:, None]
        projections = torch.from_numpy(projections_of(*prepared[1:]))
        points = []
        for i in range(len(depths)):
            if mode == "posed":
                size = depths.shape[-2:]
                points.append(bench._fuse_consistent_points(depths, projections, i, *size))
            else:
                lifted = bench._generate_points_from_depth(depths[[i]], projections[[i]])
                points.append(lifted[0][:, torch.from_numpy(mask[i])].T.numpy())
        capped = bench._cap_points(np.concatenate(points), module.DTU_MAX_POINTS)
        scan = 1000 * np.asarray(target.points_world)
        found = bench._evaluate_reconstruction(
            "scan1", capped, scan, *map(str, save_observed(Path(made), arrays))
        )
    return dict(zip(OVERALL, (0.001 * float(value) for value in found), strict=True))


def projections_of(intrinsics: Array, extrinsics: Array) -> Array:
    """Do what DA3's `_build_proj_mats` does, in float64."""
    made = np.tile(np.eye(4), (len(intrinsics), 1, 1))
    made[:, :3] = intrinsics @ extrinsics[:, :3]
    return made


TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def eth3d(peers: Path, case: Case) -> tuple[Values, Values]:
    """The program, built, on scans that stand where float32 holds every number of it."""
    quarter = np.array([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 0.5], [0, 0, 0, 1]])
    poses = [np.linalg.matrix_power(quarter, i) for i in range(len(case.mask))]
    scans, predicted = [], []
    rng = np.random.default_rng(0)
    for depth, mask, matrix, pose in zip(
        case.target.depth_m or (), case.mask, case.target.intrinsics or (), poses, strict=True
    ):
        local = cameras.unproject(depth, matrix)[mask][::4]
        guess = local * (1 + 0.02 * rng.normal(size=(len(local), 1)))
        scans.append(Scan(in_float32(local), pose))
        predicted.append(cameras.transform(in_float32(guess), pose))
    points = np.concatenate(predicted)
    world = np.concatenate([cameras.transform(s.points, s.world_from_scan) for s in scans])
    target = Target(points_world=world, scans=tuple(scans))
    mine = replace(case, target=target, prediction=Prediction(points=points))
    return run_eth3d(peers, points, scans), ours(mine, "eth3d", ["precision", "recall", "fscore"])


def run_eth3d(peers: Path, points: Array, scans: list[Scan]) -> Values:
    """Run the program on files; it prints six digits."""
    with tempfile.TemporaryDirectory() as made:
        folder, meshes = Path(made), ""
        clouds.write_ply(folder / "in.ply", points)
        for i, scan in enumerate(scans):
            clouds.write_ply(folder / f"{i}.ply", scan.points)
            matrix = " ".join(map(str, scan.world_from_scan.ravel()))
            meshes += f'<MLMesh label="{i}" filename="{i}.ply">'
            meshes += f"<MLMatrix44>{matrix}</MLMatrix44></MLMesh>"
        project = folder / "scans.mlp"
        project.write_text(f"<MeshLabProject><MeshGroup>{meshes}</MeshGroup></MeshLabProject>")
        program = peers / "multi-view-evaluation/build/ETH3DMultiViewEvaluation"
        command = [str(program), "--reconstruction_ply_path", str(folder / "in.ply")]
        command += ["--ground_truth_mlp_path", str(project)]
        command += ["--tolerances", ",".join(map(str, TOLERANCES))]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
    names = {"Accuracies": "precision", "Completenesses": "recall", "F1-scores": "fscore"}
    return {
        f"{name}_{tolerance:g}m": float(value)
        for heading, name in names.items()
        for tolerance, value in zip(TOLERANCES, lines[heading].split(), strict=True)
    }


def in_float32(points: Array) -> Array:
    """Round to multiples of 2^-12, so that quarter turns and whole steps are exact in float32."""
    rounded: Array = np.round(points * 4096) / 4096
    return rounded


def tanks_and_temples(peers: Path, case: Case) -> tuple[Values, Values]:
    """All of `run.py` behind the fit of the cameras, whose RANSAC has no seed."""
    true, points = case.true_points[case.mask], case.points[case.mask]
    rng = np.random.default_rng(0)
    # Cameras enough to fit on, in the similarity of the clouds but for some centimetres.
    path = np.cumsum(rng.normal(size=(12, 3)), axis=0)
    near = cloud_alignment.symmetric_similarity(points, true).inverse()
    placed = near.apply(path + 0.02 * rng.normal(size=path.shape))
    low, high = np.quantile(true, (0.05, 0.95), axis=0)
    (x1, y1), (x2, y2) = low[:2], high[:2]
    corners = np.array([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2]])
    true_cameras, its_cameras = (
        tuple(cameras.pose_matrix(np.eye(3), centre) for centre in centres)
        for centres in (path, placed)
    )
    target = Target(
        points_world=true,
        world_from_camera=true_cameras,
        crop=Prism(corners, 2, low[2], high[2]),
        tolerance_m=0.02,
    )
    answer = Prediction(points=points, world_from_camera=its_cameras)
    mine = replace(case, target=target, prediction=answer)
    names = ["precision", "recall", "fscore"]
    return run_tanks(peers, target, answer), ours(mine, "tanks_and_temples", names)


def run_tanks(peers: Path, target: Target, answer: Prediction) -> Values:
    """Run the three registrations and `EvaluateHisto`, from our fit of the cameras."""
    import open3d

    # Its registration module is of Open3D 0.8.
    open3d.__dict__["registration"] = open3d.pipelines.registration
    folder = peers / "TanksAndTemples/python_toolbox/evaluation"
    with on_path(folder):
        toolbox = load(folder / "registration.py", "tnt_registration")
        module = load(folder / "evaluation.py", "tnt_evaluation")
    drawn = Ransac(subsets=1000, size=6, inlier_m=0.2)
    centres = [np.stack(p.world_from_camera or ())[:, :3, 3] for p in (answer, target)]
    fitted = fit(CloudProtocol(alignment="sim3_ransac", ransac=drawn), *centres)
    start = cameras.pose_matrix(np.eye(3), fitted.translation)
    start[:3, :3] = fitted.scale * fitted.rotation
    volume, tau, crop = (
        open3d.visualization.SelectionPolygonVolume(),
        target.tolerance_m,
        target.crop,
    )
    assert crop is not None
    assert tau is not None
    volume.orthogonal_axis, volume.axis_min, volume.axis_max = "XYZ"[crop.axis], crop.low, crop.high
    volume.bounding_polygon = open3d.utility.Vector3dVector(
        np.insert(crop.polygon, crop.axis, 0.0, axis=1)
    )
    both = [
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud))
        for cloud in map(np.asarray, (answer.points, target.points_world))
    ]
    with tempfile.TemporaryDirectory() as made, contextlib.redirect_stdout(io.StringIO()):
        for size, reach in ((tau, 80 * tau), (tau / 2, 20 * tau)):
            start = toolbox.registration_vol_ds(
                *both, start, volume, size, reach, 20, verbose=False
            ).transformation
        last = toolbox.registration_unif(*both, start, volume, 2 * tau, 20, verbose=False)
        found = module.EvaluateHisto(
            *both, last.transformation, volume, tau / 2, tau, made, 5, "a_scene"
        )
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    names = ("precision_1tau", "recall_1tau", "fscore_1tau")
    return dict(zip(names, map(float, found[:3]), strict=True))


PEERS: dict[str, tuple[str, Callable[[Path, Case], tuple[Values, Values]]]] = {
    "pi3": ("Pi3", pi3),
    "cut3r": ("CUT3R", cut3r),
    "spann3r": ("spann3r", spann3r),
    "mapanything": ("map-anything", mapanything),
    "unidepth": ("UniDepth", unidepth),
    "da3 (parts)": ("Depth-Anything-3", da3),
    "spatialbench (parts)": ("SpatialBench", spatialbench),
    "da3.dtu_unposed": ("Depth-Anything-3", partial(da3_dtu, "unposed")),
    "da3.dtu_posed": ("Depth-Anything-3", partial(da3_dtu, "posed")),
    "dtu": ("DTUeval-python", dtu),
    "eth3d": ("multi-view-evaluation", eth3d),
    "tanks_and_temples": ("TanksAndTemples", tanks_and_temples),
}


PEER_MODULES = {
    "dust3r", "croco", "models", "mapanything", "unidepth", "depth_anything_3", "trajectory_io",
}  # fmt: skip


@contextlib.contextmanager
def on_path(*folders: Path) -> Iterator[None]:
    """Let a peer import its own modules, and forget them, since two peers share names."""
    before = set(sys.modules)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        del sys.path[: len(folders)]
        for name in set(sys.modules) - before:
            if name.split(".")[0] in PEER_MODULES:
                del sys.modules[name]


def largest_difference(theirs: Values, mine: Values) -> tuple[float, str]:
    """Give the largest relative difference and the metric it is of."""
    found = [
        (abs(mine[name] - value) / max(abs(value), 1e-12), name) for name, value in theirs.items()
    ]
    return max(found)


def main() -> None:
    """Print one row a peer, and the numbers themselves with --values."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--only", help="one profile")
    parser.add_argument("--values", action="store_true", help="print the peers' numbers")
    arguments = parser.parse_args()
    cases = {f"seed {seed}": random_case(seed) for seed in SEEDS}
    if arguments.realdata:
        cases["7-Scenes red kitchen"] = real_case(arguments.realdata)
    print(f"{'profile':<26}{'peer commit':<14}{'cases':<7}{'largest relative difference'}")
    for profile, (folder, run) in PEERS.items():
        if arguments.only and not profile.startswith(arguments.only):
            continue
        if not (arguments.peers / folder).is_dir():
            print(f"{profile:<26}{'not there':<14}")
            continue
        at = commit(arguments.peers / folder)
        try:
            found = {name: run(arguments.peers, case) for name, case in cases.items()}
        except ImportError as error:
            print(f"{profile:<26}{at:<14}does not import: {error}")
            continue
        worst, where = max((*largest_difference(*pair), name) for name, pair in found.items())[:2]
        print(f"{profile:<26}{at:<14}{len(found):<7}{worst:.1e} ({where})", flush=True)
        if arguments.values:
            for name, (theirs, _) in found.items():
                print("   ", name, {key: float(f"{value:.12g}") for key, value in theirs.items()})


if __name__ == "__main__":
    main()
