"""Runs the pose metrics of published code beside ours and prints the largest difference of each.

    python scripts/conformance_pose.py --peers DIR [--realdata DIR]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: relpose, utils), `map-anything`
(mapanything/utils), `Depth-Anything-3` (src), `SpatialBench` (benchmark/evaluation), `CUT3R`
(eval/relpose), `monst3r` (dust3r/utils); and `venv`, where evo 1.36.5 is installed with what it
needs. A peer that is not there is left out and said. Peers are given float64, so that formulas are
compared and not float32.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metrics import poses as metrics
from g2vlm_bench.trajectory_files import load_trajectory
from peer_code import commit, load, stand_in

Array = NDArray[np.float64]

SEQUENCES, VIEWS = 300, 10
THRESHOLDS = (3, 5, 15, 30)
PEER_CONVENTION: dict[str, Any] = {"direction": "sign_free", "zero_baseline": "as_computed"}


def noisy_cameras(seed: int, count: int = VIEWS) -> tuple[Array, Array]:
    """Make true cameras, and predicted ones in another world, scale and with noise.

    The noise grows with the seed's last digit, so that errors lie on both sides of all thresholds.
    """
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=rng)
    positions = rng.normal(size=(count, 3))
    noise = 0.02 * (1 + seed % 10)
    turned = rotations * Rotation.from_rotvec(noise * rng.normal(size=(count, 3)))
    moved = positions + noise * rng.normal(size=(count, 3))
    world, scale, shift = Rotation.random(random_state=rng), rng.uniform(0.2, 5), rng.normal(size=3)
    predicted = trajectory.poses_from_parts(
        (world * turned).as_matrix(), scale * world.apply(moved) + shift
    )
    return predicted, trajectory.poses_from_parts(rotations.as_matrix(), positions)


def ours_angular(predicted: Array, true: Array, composition: trajectory.Composition) -> Array:
    """RRA, RTA and AUC at all thresholds under a peer's convention."""
    errors = metrics.pair_errors(
        predicted, true, trajectory.all_pairs(len(true)), composition, **PEER_CONVENTION
    )
    return np.array(
        [
            value
            for t in THRESHOLDS
            for value in (
                metrics.rra(errors, t),
                metrics.rta(errors, t),
                metrics.auc(errors, t, "histogram"),
            )
        ]
    )


def ours_distance(
    predicted: Array, true: Array, with_scale: bool, statistic: metrics.Statistic = "rmse"
) -> Array:
    """ATE (RMSE), translation and rotation RPE over one frame, after alignment."""
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, with_scale))
    translation, rotation = metrics.relative_errors(aligned, true)
    return np.array(
        [
            metrics.absolute_trajectory_error(aligned, true),
            metrics.summarise(translation, statistic),
            metrics.summarise(rotation, statistic),
        ]
    )


# ------------------------------------------------------------------------------------ the peers


class _Attributes(dict[str, Any]):
    __setattr__ = dict.__setitem__
    __getattr__ = dict.__getitem__


def angular_of(module: Any, world_to_camera: bool) -> Callable[[Array, Array], Array]:
    """The functions that VGGT's descendants share."""
    import torch

    def measured(predicted: Array, true: Array) -> Array:
        given = [predicted, true]
        if world_to_camera:
            given = [trajectory.invert_poses(poses) for poses in given]
        both = [torch.from_numpy(poses) for poses in given]
        found = module.se3_to_relative_pose_error(both[0], both[1], len(true))
        rotation, translation = (angles.numpy() for angles in found)
        return np.array(
            [
                value
                for t in THRESHOLDS
                for value in (
                    np.mean(rotation < t),
                    np.mean(translation < t),
                    module.calculate_auc_np(rotation, translation, max_threshold=t)[0],
                )
            ]
        )

    return measured


def largest(pairs: Iterator[tuple[Array, Array]]) -> float:
    """The largest difference, relative to the peer's value where that is above 1."""
    return max(float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1))) for a, b in pairs)


def check_angular(
    peer: Callable[[Array, Array], Array], composition: trajectory.Composition
) -> tuple[str, float]:
    """Compare RRA, RTA and AUC over all random sequences."""
    cameras = (noisy_cameras(seed) for seed in range(SEQUENCES))
    found = largest((ours_angular(p, t, composition), peer(p, t)) for p, t in cameras)
    return f"{SEQUENCES} sequences of {VIEWS}: RRA, RTA, AUC @ 3, 5, 15, 30", found


def pi3(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Pi3's relpose/metric.py; its second AUC by torch.histc."""
    import torch

    sys.path.insert(0, str(folder))
    module = load(folder / "relpose/metric.py", "peer_pi3_metric")
    yield "pi3.angular", *check_angular(angular_of(module, True), "second_from_first")

    def histc() -> Iterator[tuple[Array, Array]]:
        for seed in range(SEQUENCES):
            predicted, true = noisy_cameras(seed)
            errors = metrics.pair_errors(
                predicted, true, trajectory.all_pairs(VIEWS), **PEER_CONVENTION
            )
            both = map(torch.from_numpy, (errors.rotation_deg, errors.translation_deg))
            peer = module.calculate_auc(*both, max_threshold=30)
            ours = metrics.auc(errors, 30, "histc")
            yield np.array([ours]), np.array([float(peer)])

    yield "(auc: histc)", f"{SEQUENCES} sequences: AUC @ 30", largest(histc())
    sys.path.remove(str(folder))


def map_anything(folder: Path) -> Iterator[tuple[str, str, float]]:
    """MapAnything's mapanything/utils/metrics.py; its ATE is a mean."""
    import torch

    module = load(folder / "mapanything/utils/metrics.py", "peer_mapanything_metrics")
    yield "mapanything", *check_angular(angular_of(module, False), "first_from_second")
    np.linalg.linalg = np.linalg  # type: ignore[attr-defined]  # gone in NumPy 2

    def distances() -> Iterator[tuple[Array, Array]]:
        for seed in range(SEQUENCES):
            predicted, true = noisy_cameras(seed)
            aligned = trajectory.move(predicted, trajectory.align(predicted, true, False))
            ours = metrics.absolute_trajectory_error(aligned, true, "mean")
            peer = module.evaluate_ate(
                list(map(torch.tensor, true)), list(map(torch.tensor, predicted))
            )
            yield np.array([ours]), np.array([peer])

    yield "mapanything", f"{SEQUENCES} sequences: ate_mean after SE(3)", largest(distances())


def da3(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Depth Anything 3's compute_pose."""
    import torch

    for name in ("addict", "open3d", "einops"):
        if importlib.util.find_spec(name) is None:
            stand_in(name, Dict=_Attributes, einsum=None)
    source = folder / "src/depth_anything_3"
    for name in ("depth_anything_3", "depth_anything_3.utils"):
        sys.modules[name] = types.ModuleType(name)
    load(source / "utils/geometry.py", "depth_anything_3.utils.geometry")
    module = load(source / "bench/utils.py", "peer_da3_utils")

    def measured(predicted: Array, true: Array) -> Array:
        both = [torch.from_numpy(trajectory.invert_poses(poses)) for poses in (predicted, true)]
        found = module.compute_pose(*both)
        return np.array([float(found[f"auc{t:02d}"]) for t in THRESHOLDS])

    pairs = (
        (ours_angular(*noisy_cameras(s), "anchored_worlds")[2::3], measured(*noisy_cameras(s)))
        for s in range(SEQUENCES)
    )
    yield "da3", f"{SEQUENCES} sequences of {VIEWS}: AUC @ 3, 5, 15, 30", largest(pairs)


def spatialbench(folder: Path) -> Iterator[tuple[str, str, float]]:
    """SpatialBench's three pose functions; the first wants both in their first cameras."""
    module = load(folder / "benchmark/evaluation/metrics.py", "peer_spatialbench_metrics")
    keys = [f"{name}_{t}" for t in (3, 5) for name in ("racc", "tacc", "auc")] + [
        "auc_15",
        "auc_30",
    ]
    ours_at = [0, 1, 2, 3, 4, 5, 8, 11]

    def quiet(function: Callable[..., dict[str, float]], *given: Array) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*given)

    def camera_from_world(predicted: Array, true: Array) -> Array:
        both = [trajectory.invert_poses(trajectory.in_first_camera(p)) for p in (predicted, true)]
        found = quiet(module.compute_pose_metrics, *(poses[:, :3] for poses in both))
        return np.array([found[key] for key in keys])

    def world_from_camera(predicted: Array, true: Array) -> Array:
        found = quiet(module.compute_pose_metrics_c2w, predicted[:, :3], true[:, :3])
        return np.array([found[key] for key in keys])

    def along(predicted: Array, true: Array) -> Array:
        found = quiet(module.compute_trajectory_metrics, predicted[:, :3], true[:, :3])
        return np.array([found[key] for key in ("ate", "rpe_t", "rpe_r")])

    what = f"{SEQUENCES} sequences of {VIEWS}: RRA, RTA @ 3, 5, AUC @ 3, 5, 15, 30"
    for name, peer, composition in (
        ("spatialbench.camera_from_world", camera_from_world, "anchored_worlds"),
        ("spatialbench.world_from_camera", world_from_camera, "first_from_second"),
    ):
        pairs = (
            (ours_angular(*noisy_cameras(s), composition)[ours_at], peer(*noisy_cameras(s)))  # type: ignore[arg-type]
            for s in range(SEQUENCES)
        )
        yield name, what, largest(pairs)
    pairs = (
        (ours_distance(*noisy_cameras(s), True, "mean"), along(*noisy_cameras(s)))
        for s in range(SEQUENCES)
    )
    yield "spatialbench.trajectory", f"{SEQUENCES} sequences: ATE, mean RPE", largest(pairs)


def cut3r(folder: Path) -> Iterator[tuple[str, str, float]]:
    """CUT3R's eval_metrics, which is evo's, and Pi3's for distances."""
    yield "cut3r, pi3.distance", *check_distances(folder / "eval/relpose/evo_utils.py")


def monst3r(folder: Path) -> Iterator[tuple[str, str, float]]:
    """MonST3R's eval_metrics, which CUT3R took over."""
    yield "monst3r", *check_distances(folder / "dust3r/utils/vo_eval.py")


def check_distances(source: Path) -> tuple[str, float]:
    """Compare ATE and RPE after Sim(3) with those of a file's eval_metrics, by evo."""
    sys.modules.setdefault("evo.tools.plot", types.ModuleType("evo.tools.plot"))
    module = load(source, f"peer_{source.stem}")

    def tum(poses: Array) -> list[Array]:
        wxyz = np.roll(Rotation.from_matrix(poses[:, :3, :3]).as_quat(), 1, axis=1)
        return [np.concatenate([poses[:, :3, 3], wxyz], axis=1), np.arange(len(poses), dtype=float)]

    def pairs() -> Iterator[tuple[Array, Array]]:
        with tempfile.TemporaryDirectory() as out:
            for seed in range(SEQUENCES):
                predicted, true = noisy_cameras(seed)
                with contextlib.redirect_stdout(io.StringIO()):
                    peer = module.eval_metrics(
                        tum(predicted), tum(true), seq="a", filename=f"{out}/log.txt"
                    )
                yield ours_distance(predicted, true, True), np.array(peer)

    return f"{SEQUENCES} sequences: ATE, RPE after Sim(3)", largest(pairs())


def evo(realdata: Path | None) -> Iterator[tuple[str, str, float]]:
    """APE and RPE of evo, on random sequences and on every real trajectory."""

    def pairs(cameras: Any, with_scale: bool) -> Iterator[tuple[Array, Array]]:
        for predicted, true in cameras:
            yield (
                ours_distance(predicted, true, with_scale),
                evo_distance(predicted, true, with_scale),
            )

    for with_scale, name in ((False, "evo.se3"), (True, "evo.sim3")):
        cameras = (noisy_cameras(seed) for seed in range(SEQUENCES))
        what = f"{SEQUENCES} sequences of {VIEWS}: APE, RPE translation, rotation"
        yield name, what, largest(pairs(cameras, with_scale))
        if realdata is not None:
            for label, predicted, true in real_trajectories(realdata):
                yield name, label, largest(pairs([(predicted, true)], with_scale))
    if realdata is not None:
        yield "(association)", "TUM fr1_xyz, 3000 and 787 times within 10 ms", _associated(realdata)


def evo_distance(predicted: Array, true: Array, with_scale: bool) -> Array:
    """What evo's own main functions say."""
    from evo import main_ape, main_rpe
    from evo.core.metrics import PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    def paths() -> tuple[Any, Any]:
        return PosePath3D(poses_se3=list(true)), PosePath3D(poses_se3=list(predicted.copy()))

    translation, rotation = PoseRelation.translation_part, PoseRelation.rotation_angle_deg
    fit = {"align": True, "correct_scale": with_scale}
    along = {"delta": 1, "delta_unit": Unit.frames, **fit}
    results = [
        main_ape.ape(*paths(), pose_relation=translation, **fit),
        main_rpe.rpe(*paths(), pose_relation=translation, **along),
        main_rpe.rpe(*paths(), pose_relation=rotation, **along),
    ]
    return np.array([result.stats["rmse"] for result in results])


def real_trajectories(realdata: Path) -> Iterator[tuple[str, Array, Array]]:
    """Every pair of trajectories of the real data, associated by time."""
    folder = realdata / "trajectories"
    kitti = [
        load_trajectory(folder / f"kitti_00/KITTI_00_{name}.txt", "kitti").world_from_camera
        for name in ("ORB", "gt")
    ]
    yield "KITTI 00, ORB-SLAM, 4541 poses", kitti[0], kitti[1]
    truth = load_trajectory(folder / "tum_fr1_xyz/freiburg1_xyz-groundtruth.txt", "tum")
    for name in ("rgbdslam", "rgbdslam_drift", "ORB_kf_mono"):
        found = load_trajectory(folder / f"tum_fr1_xyz/freiburg1_xyz-{name}.txt", "tum")
        assert found.times_s is not None
        assert truth.times_s is not None
        first, second = trajectory.associate(found.times_s, truth.times_s, 0.02)
        label = f"TUM fr1_xyz, {name}, {len(first)} poses"
        yield label, found.world_from_camera[first], truth.world_from_camera[second]
    lines = [
        load_trajectory(folder / f"slambook2_ch4/{name}.txt", "tum").world_from_camera
        for name in ("estimated", "groundtruth")
    ]
    yield f"slambook2 chapter 4, {len(lines[0])} poses", lines[0], lines[1]


def _associated(realdata: Path) -> float:
    from evo.core.sync import matching_time_indices

    folder = realdata / "trajectories/tum_fr1_xyz"
    found, truth = (
        load_trajectory(folder / f"freiburg1_xyz-{name}.txt", "tum").times_s
        for name in ("rgbdslam", "groundtruth")
    )
    assert found is not None
    assert truth is not None
    peer = matching_time_indices(found, truth, max_diff=0.01)
    ours = trajectory.associate(found, truth, 0.01, mutual=False)
    return 0.0 if all(a == b.tolist() for a, b in zip(peer, ours, strict=True)) else np.inf


# -------------------------------------------------------------------------------------- the table


def main() -> None:
    """Print one line a profile and set of cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path, default=None)
    given = parser.parse_args()
    # Behind everything else, so that numpy and scipy stay those that this project runs on.
    sys.path += [str(p) for p in given.peers.glob("venv/lib/python3*/site-packages")]
    peers: list[tuple[str, Callable[[Path], Iterator[tuple[str, str, float]]]]] = [
        ("Pi3", pi3),
        ("map-anything", map_anything),
        ("Depth-Anything-3", da3),
        ("SpatialBench", spatialbench),
        ("CUT3R", cut3r),
        ("monst3r", monst3r),
        ("venv", lambda _: evo(given.realdata)),
    ]
    print("| profile | peer | cases | largest difference |\n|---|---|---|---|")
    for name, run in peers:
        folder = given.peers / name
        if not folder.is_dir():
            print(f"| - | {name}: not there | - | - |")
            continue
        at = _evo_version() if name == "venv" else f"{name}@{commit(folder)}"
        for profile, cases, difference in run(folder):
            print(f"| {profile} | {at} | {cases} | {difference:.1e} |", flush=True)


def _evo_version() -> str:
    import evo

    return f"evo {evo.__version__}"


if __name__ == "__main__":
    main()
