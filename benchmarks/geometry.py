"""Measures the geometry against the libraries that the field computes it with.

    python benchmarks/geometry.py [section...] [--repeats N] [--points N] [--large]
                                  [--peers DIR] [--evo DIR] [--poses N]

The sections of `depth.py`, `point_maps.py` and `poses.py` are among these: DIR of `--peers` holds
MoGe (see scripts/conformance_depth.py), that of `--evo` an environment `venv` with evo.
Each section runs ours and theirs in turns on the same data, checks that they agree, and prints the
median seconds of each, of the clock and of all cores, with the median of the turns' ratios. Wall
ratios hold for the machine and the load that they were taken under; CPU ratios suffer less from it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

import depth  # noqa: E402
import point_maps  # noqa: E402
import poses  # noqa: E402
from g2vlm_bench.geometry.alignment import Similarity, umeyama  # noqa: E402
from g2vlm_bench.geometry.icp import icp_point_to_point  # noqa: E402
from g2vlm_bench.geometry.nearest import NeighbourIndex  # noqa: E402
from g2vlm_bench.geometry.normals import estimate_normals  # noqa: E402
from g2vlm_bench.metrics import points as point_metrics  # noqa: E402
from races import Race, Sections, has  # noqa: E402

Array = NDArray[np.float64]
LIBRARIES = ("numpy", "scipy", "pykdtree", "numba", "torch", "open3d")
SECTIONS = Sections()
section = SECTIONS.section


# ------------------------------------------------------------------------------------ sections


@section
def chamfer(options: argparse.Namespace) -> Iterator[Race]:
    """Exact Chamfer distance and F-scores of two clouds of a noisy sphere and box."""
    count = options.points or 1_000_000
    first, second = sphere_and_box(count, seed=0), sphere_and_box(count, seed=1)

    def ours() -> dict[str, float]:
        found = point_metrics.cloud_distances(first, second)
        return chamfer_numbers(found.prediction_to_target, found.target_to_prediction)

    def scipy() -> dict[str, float]:
        return chamfer_numbers(plain_nearest(first, second)[0], plain_nearest(second, first)[0])

    def open3d() -> dict[str, float]:
        a, b = open3d_cloud(first), open3d_cloud(second)
        return chamfer_numbers(
            np.asarray(a.compute_point_cloud_distance(b)),
            np.asarray(b.compute_point_cloud_distance(a)),
        )

    runners = {"ours": ours, "scipy cKDTree, workers=-1": scipy}
    if has("open3d"):
        runners["Open3D compute_point_cloud_distance"] = open3d
        runners["Open3D tensor knn_search"] = lambda: chamfer_numbers(
            tensor_nearest(first, second), tensor_nearest(second, first)
        )
    yield Race(f"Chamfer + F-scores, {count} x {count} surface points", runners, 1e-12)


@section
def pi3_chain(options: argparse.Namespace) -> Iterator[Race]:
    """Pi3's evaluation of a cloud: Umeyama, ICP, normals, accuracy, completeness."""
    count = options.points or 894_000
    predicted, true = room_of_views(count)

    def ours() -> dict[str, float]:
        coarse = umeyama(predicted, true)
        prediction, truth = NeighbourIndex(coarse.apply(predicted)), NeighbourIndex(true)
        fine = icp_point_to_point(prediction, truth, 0.1)
        prediction = prediction.moved(fine)
        normals = estimate_normals(prediction), estimate_normals(truth)
        found = point_metrics.cloud_distances(prediction, truth)
        return chain_numbers(
            fine,
            found.prediction_to_target,
            found.target_to_prediction,
            point_metrics.normal_consistency(found, *normals),
        )

    def theirs() -> dict[str, float]:
        coarse = umeyama(predicted, true)
        prediction, truth = open3d_cloud(coarse.apply(predicted)), open3d_cloud(true)
        motion = open3d_icp(prediction, truth)
        fine = np.eye(4)
        fine[:3, :3], fine[:3, 3] = motion.rotation, motion.translation
        prediction.transform(fine)
        prediction.estimate_normals()
        truth.estimate_normals()
        points = np.asarray(prediction.points)
        forward, nearest = plain_nearest(points, true)
        backward, nearest_back = plain_nearest(true, points)
        directions = np.asarray(prediction.normals), np.asarray(truth.normals)
        consistency = (
            np.abs((directions[0] * directions[1][nearest]).sum(axis=1)).mean()
            + np.abs((directions[1] * directions[0][nearest_back]).sum(axis=1)).mean()
        ) / 2
        return chain_numbers(motion, forward, backward, float(consistency))

    runners = {"ours": ours}
    if has("open3d"):
        runners["Open3D ICP + normals, scipy cKDTree"] = theirs
    yield Race(f"Umeyama, ICP, normals, accuracy, completeness, {count} points", runners, 1e-4)


@section
def icp(options: argparse.Namespace) -> Iterator[Race]:
    """The ICP of `pi3_chain` alone, from bare points."""
    predicted, true = room_of_views(options.points or 894_000)
    near = umeyama(predicted, true).apply(predicted)
    runners = {"ours": lambda: motion_numbers(icp_point_to_point(near, true, 0.1))}
    if has("open3d"):
        runners["Open3D registration_icp"] = lambda: motion_numbers(
            open3d_icp(open3d_cloud(near), open3d_cloud(true))
        )
    yield Race(f"ICP within 0.1 m, {len(true)} points", runners, 1e-4)


@section
def normals(options: argparse.Namespace) -> Iterator[Race]:
    """The normals of one cloud of `pi3_chain` alone, from bare points."""
    _, true = room_of_views(options.points or 894_000)
    outward = true / np.linalg.norm(true, axis=1, keepdims=True)

    def numbers(directions: Array) -> dict[str, float]:
        return {"radial": float(np.abs((directions * outward).sum(axis=1)).mean())}

    def open3d() -> dict[str, float]:
        cloud = open3d_cloud(true)
        cloud.estimate_normals()
        return numbers(np.asarray(cloud.normals))

    runners = {"ours": lambda: numbers(estimate_normals(true))}
    if has("open3d"):
        runners["Open3D estimate_normals"] = open3d
    yield Race(f"Normals of 30 neighbours, {len(true)} points", runners, 1e-4)


@section
def cuda_neighbours(options: argparse.Namespace) -> Iterator[Race]:
    """The same clouds as `chamfer`, lying on a CUDA device already."""
    import torch

    from g2vlm_bench.geometry import nearest_torch

    if not torch.cuda.is_available():
        print("\ncuda_neighbours: skipped, no CUDA device here")
        return
    count = options.points or 1_000_000
    first, second = sphere_and_box(count, seed=0), sphere_and_box(count, seed=1)
    a, b = torch.tensor(first, device="cuda"), torch.tensor(second, device="cuda")

    def cuda() -> dict[str, float]:
        # Taking the means to the host waits for the device.
        means = [nearest_torch.nearest(*pair)[0].mean() for pair in ((a, b), (b, a))]
        return {"chamfer": float(sum(means))}

    def cpu() -> dict[str, float]:
        found = point_metrics.cloud_distances(first, second)
        return {"chamfer": point_metrics.chamfer(found, "sum", "l2")}

    cuda()  # Loading its kernels is no part of it.
    title = f"Chamfer on {torch.cuda.get_device_name()}, {count} x {count} surface points"
    yield Race(title, {"ours, CUDA": cuda, "ours, CPU": cpu}, 1e-9)


# ---------------------------------------------------------------------------------------- data


def sphere_and_box(count: int, seed: int) -> Array:
    """Points in random order on a sphere of radius 1 and a box of side 4, with 5 mm of noise."""
    rng = np.random.default_rng(seed)
    sphere = rng.normal(size=(count // 2, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    box = rng.uniform(-2, 2, size=(count - count // 2, 3))
    box[np.arange(len(box)), rng.integers(0, 3, len(box))] = rng.choice([-2.0, 2.0], len(box))
    points = np.concatenate([sphere, box])
    noisy: Array = rng.permutation(points + rng.normal(scale=0.005, size=points.shape))
    return noisy


def room_of_views(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Pixels of five views of a room with spheres: as predicted in another frame, and as they are.

    The prediction has a smooth error of depth (1 %), a noisy one (0.4 %), and poses off by some
    15 mm and half a degree.
    """
    rng = np.random.default_rng(seed)
    views, aspect = 5, 518 / 392
    height = int(np.ceil(np.sqrt(count / views / aspect)))
    width = int(np.ceil(count / views / height))
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack(
        [(column / width - 0.5) / 0.8, (row - height / 2) / width / 0.8, np.ones_like(row)], axis=-1
    ).reshape(-1, 3)
    half = np.array([2.5, 2.0, 1.4])
    spheres = [(rng.uniform(-0.6, 0.6, 3) * half, rng.uniform(0.3, 0.6)) for _ in range(6)]
    true, predicted = [], []
    for view in range(views):
        turn = Rotation.from_euler("yxz", [0.5 * view, *rng.normal(0, 0.1, 2)]).as_matrix()
        eye, directions = rng.uniform(-0.3, 0.3, 3), rays @ turn.T
        depth = first_hit(eye, directions, half, spheres)
        error = 1 + 0.01 * np.sin(3 * rays[:, 0] + view) * np.cos(4 * rays[:, 1] - view)
        error += 0.004 * rng.normal(size=len(depth))
        tilt = Rotation.from_rotvec(rng.normal(0, 0.008, 3)).as_matrix()
        true.append(eye + depth[:, None] * directions)
        moved_eye = eye + rng.normal(0, 0.015, 3)
        predicted.append(moved_eye + (depth * error)[:, None] * directions @ tilt.T)
    frame = Similarity(0.7, Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix(), np.arange(3.0))
    return frame.apply(np.concatenate(predicted)[:count]), np.concatenate(true)[:count]


def first_hit(eye: Array, directions: Array, half: Array, spheres: list[Any]) -> Array:
    """Distance, in lengths of the direction, to the walls of a box around the eye or a sphere."""
    walls = np.where(directions > 0, half - eye, -half - eye)
    hit: Array = (walls / np.where(directions == 0, 1e-9, directions)).min(axis=1)
    for centre, radius in spheres:
        a, b = (directions**2).sum(axis=1), directions @ (eye - centre)
        inside = b**2 - a * (((eye - centre) ** 2).sum() - radius**2)
        near = (-b - np.sqrt(np.maximum(inside, 0))) / a
        hit = np.where((inside > 0) & (near > 0), np.minimum(hit, near), hit)
    return hit


def open3d_cloud(points: Array) -> Any:
    """The cloud as Open3D holds it; filling it is part of what is measured."""
    import open3d

    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))


def open3d_icp(source: Any, target: Any) -> Similarity:
    """The motion that Open3D fits by its defaults, as the evaluations call it."""
    import open3d

    registration = open3d.pipelines.registration
    fitted = registration.registration_icp(
        source, target, 0.1, np.eye(4), registration.TransformationEstimationPointToPoint()
    ).transformation
    return Similarity(1.0, fitted[:3, :3], fitted[:3, 3])


def tensor_nearest(points: Array, cloud: Array) -> Array:
    """Distances by Open3D's tensor search, which is of float64 where its points are."""
    import open3d

    search = open3d.core.nns.NearestNeighborSearch(open3d.core.Tensor.from_numpy(cloud))
    search.knn_index()
    _, squares = search.knn_search(open3d.core.Tensor.from_numpy(points), 1)
    return np.asarray(np.sqrt(squares.numpy().ravel()))


def plain_nearest(points: Array, cloud: Array) -> tuple[Array, NDArray[np.int64]]:
    """Distances and indices of the cloud's nearest points, as most evaluations find them."""
    distances, indices = cKDTree(cloud).query(points, workers=-1)
    return np.asarray(distances), np.asarray(indices)


def chamfer_numbers(forward: Array, backward: Array) -> dict[str, float]:
    """The mean distance both ways, and F-scores at 1 and 2 cm."""
    numbers = {"chamfer": float(forward.mean() + backward.mean())}
    for threshold in (0.01, 0.02):
        p, r = float((forward < threshold).mean()), float((backward < threshold).mean())
        numbers[f"fscore_{threshold}"] = 2 * p * r / (p + r)
    return numbers


def chain_numbers(
    motion: Similarity, forward: Array, backward: Array, consistency: float
) -> dict[str, float]:
    """What ICP fitted, and what was measured after it."""
    return motion_numbers(motion) | {
        "accuracy": float(forward.mean()),
        "completeness": float(backward.mean()),
        "normal_consistency": consistency,
    }


def motion_numbers(motion: Similarity) -> dict[str, float]:
    """The twelve entries of a rigid motion."""
    fitted = np.column_stack([motion.rotation, motion.translation]).ravel()
    return {f"icp_{i}": float(value) for i, value in enumerate(fitted)}


# ------------------------------------------------------------------------------------- running


def large() -> None:
    """Print the time and the peak memory of 10^7 predicted points against 10^6 true ones."""
    first, second = sphere_and_box(10_000_000, seed=0), sphere_and_box(1_000_000, seed=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter(), time.process_time()
    found = point_metrics.cloud_distances(first, second)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held = sum(values.nbytes for values in vars(found).values()) + first.nbytes + second.nbytes
    print(
        f"\nNeighbours both ways, 10^7 x 10^6: {wall:.1f} s wall, {cpu:.1f} s CPU; peak memory of "
        f"the process {peak / 2**20:.2f} GB, {before / 2**20:.2f} GB of it before; clouds and "
        f"results are {held / 2**30:.2f} GB (load {os.getloadavg()[0]:.1f})"
    )


def main() -> None:
    """Run the named sections, or all."""
    for others in (depth, point_maps, poses):
        SECTIONS.update(others.SECTIONS)
    parser = SECTIONS.parser(__doc__ or "")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="holds MoGe")
    poses.add_options(parser)
    parser.add_argument("--large", action="store_true", help="10^7 points, on their own")
    parser.add_argument("--points", type=int, help="of each cloud, instead of a section's own")
    options = SECTIONS.parse(parser, LIBRARIES)
    if options.large:
        large()
    else:
        SECTIONS.run(options)


if __name__ == "__main__":
    main()
