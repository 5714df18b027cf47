"""Runs the cloud metrics of published code beside ours and prints the largest difference of each.

    python scripts/conformance_clouds.py --peers DIR [--realdata DIR]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: mv_recon), `CUT3R` (eval/mv_recon, src),
`spann3r`, `map-anything` (mapanything/utils), `UniDepth` (unidepth/utils), `Depth-Anything-3`
(src), `SpatialBench` (benchmark/evaluation), `DTUeval-python`, `TanksAndTemples`
(python_toolbox/evaluation). A peer that is not there, or does not import, is left out and said.
Peers are given float64 where they take it, so that formulas are compared and not float32.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import runpy
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry import cameras, cloud_alignment, cloud_regions, clouds
from g2vlm_bench.geometry.cloud_regions import ObservedGrid
from g2vlm_bench.metrics import points as metrics
from g2vlm_bench.plugins import Plugins, load_class
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import Family, TaskDefinition, load_profile

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


def case_of(depths: list[Array], matrix: Array, poses: list[Array], seed: int) -> Case:
    """Predict noisy depth and noisy cameras in another world and scale."""
    rng = np.random.default_rng(seed)
    world = cameras.pose_matrix(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))
    scale = float(rng.uniform(0.5, 2))
    guessed, placed = [], []
    for depth, pose in zip(depths, poses, strict=True):
        noise = 1 + 0.02 * rng.normal() + 0.01 * rng.normal(size=depth.shape)
        guess = scale * np.nan_to_num(depth, nan=1.0) * noise
        guessed.append(guess.astype(np.float32).astype(np.float64))
        turn = Rotation.from_rotvec(0.005 * rng.normal(size=3)).as_matrix()
        moved = world @ pose @ cameras.pose_matrix(turn, 0.01 * rng.normal(size=3))
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


def load(path: Path, name: str) -> Any:
    """Import one file of a peer under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


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


def dtu(peers: Path, case: Case) -> tuple[Values, Values]:
    """The whole script, its shuffle seeded, on files of a made-up scan in millimetres."""
    from scipy.io import savemat

    predicted, true = (1000 * cloud[::5] for cloud in aligned_clouds(case))
    rng = np.random.default_rng(0)
    low, high = true.min(axis=0) + 50, true.max(axis=0) - 300
    voxel, spread = 40.0, np.ptp(true[:, 2])
    shape = tuple(int(size // voxel) + 1 for size in high - low)
    observed = rng.random(shape) < 0.8
    plane = np.array([0.0, 0.0, 1.0, -(true[:, 2].min() + 0.2 * spread)])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "ObsMask").mkdir()
        (folder / "Points" / "stl").mkdir(parents=True)
        bounds = np.stack([low, high]).astype(np.float32).astype(np.float64)
        savemat(
            folder / "ObsMask" / "ObsMask1_10.mat",
            {"ObsMask": observed.astype(np.uint8), "BB": bounds, "Res": voxel},
        )
        savemat(folder / "ObsMask" / "Plane1.mat", {"P": plane[:, None]})
        clouds.write_ply(folder / "Points" / "stl" / "stl001_total.ply", true)
        clouds.write_ply(folder / "in.ply", predicted)
        # What the files hold, should they be float32.
        predicted = clouds.read_cloud(folder / "in.ply").points
        true = clouds.read_cloud(folder / "Points" / "stl" / "stl001_total.ply").points
        arguments = ["eval.py", "--data", str(folder / "in.ply"), "--scan", "1", "--mode", "pcd"]
        arguments += ["--dataset_dir", made, "--vis_out_dir", made, "--downsample_density", "20"]
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
    acc, comp, overall = map(float, out.getvalue().split()[-3:])
    grid = ObservedGrid(observed, bounds[0], bounds[1], voxel, plane)
    thinned = cloud_regions.thin_greedily(predicted, 20.0, seed=0)
    distances = metrics.observed_distances(thinned, true, grid)
    distances = metrics.without_outliers(distances, 20.0)
    mine = {
        "acc": metrics.accuracy(distances),
        "comp": metrics.completeness(distances),
        "overall": metrics.chamfer(distances, "mean", "l2"),
    }
    return {"acc": acc, "comp": comp, "overall": overall}, mine


def tanks_and_temples(peers: Path, case: Case) -> tuple[Values, Values]:
    """`EvaluateHisto`: crop volume, voxels of half the threshold, precision and recall."""
    import open3d

    module = load(peers / "TanksAndTemples/python_toolbox/evaluation/evaluation.py", "tnt")
    both, tau = aligned_clouds(case), 0.01
    low, high = np.quantile(both[1], (0.05, 0.95), axis=0)
    (x1, y1), (x2, y2) = low[:2], high[:2]
    corners = np.array([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2]])
    volume = open3d.visualization.SelectionPolygonVolume()
    volume.orthogonal_axis, volume.axis_min, volume.axis_max = "Z", low[2], high[2]
    volume.bounding_polygon = open3d.utility.Vector3dVector(np.insert(corners, 2, 0.0, axis=1))
    theirs_in = [open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud)) for cloud in both]
    with tempfile.TemporaryDirectory() as made, contextlib.redirect_stdout(io.StringIO()):
        found = module.EvaluateHisto(
            *theirs_in, np.eye(4), volume, tau / 2, tau, made, 5, "a_scene"
        )
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    cut = [c[cloud_regions.in_prism(c, corners, 2, low[2], high[2])] for c in both]
    mine = measured((clouds.voxel_downsample(cloud, tau / 2) for cloud in cut), tau)
    names = ("precision", "recall", "fscore")
    theirs = dict(zip(names, map(float, found[:3]), strict=True))
    return theirs, {name: mine[name] for name in names}


PEERS: dict[str, tuple[str, Callable[[Path, Case], tuple[Values, Values]]]] = {
    "pi3": ("Pi3", pi3),
    "cut3r": ("CUT3R", cut3r),
    "spann3r": ("spann3r", spann3r),
    "mapanything": ("map-anything", mapanything),
    "unidepth": ("UniDepth", unidepth),
    "da3 (parts)": ("Depth-Anything-3", da3),
    "spatialbench (parts)": ("SpatialBench", spatialbench),
    "dtu (parts)": ("DTUeval-python", dtu),
    "tanks_and_temples (parts)": ("TanksAndTemples", tanks_and_temples),
}


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
            if name.split(".")[0] in ("dust3r", "croco", "models", "mapanything", "unidepth"):
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
        commit = (arguments.peers / folder / "COMMIT").read_text().strip()[:7]
        try:
            found = {name: run(arguments.peers, case) for name, case in cases.items()}
        except ImportError as error:
            print(f"{profile:<26}{commit:<14}does not import: {error}")
            continue
        worst, where = max((*largest_difference(*pair), name) for name, pair in found.items())[:2]
        print(f"{profile:<26}{commit:<14}{len(found):<7}{worst:.1e} ({where})", flush=True)
        if arguments.values:
            for name, (theirs, _) in found.items():
                print("   ", name, {key: float(f"{value:.12g}") for key, value in theirs.items()})


if __name__ == "__main__":
    main()
