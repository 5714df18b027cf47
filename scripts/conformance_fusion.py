"""Fuse the same depth maps by SpatialBench's own function and by ours, and print the difference.

    python scripts/conformance_fusion.py --peers DIR --python PYTHON [--realdata DIR] [--write]

DIR holds a checkout of `SpatialBench`, which is no part of this project; PYTHON is an interpreter
of an environment with an Open3D before 0.20, whose `ScalableTSDFVolume` still works (`python -m
venv OLD && OLD/bin/pip install open3d==0.19.0`). A case's values are the numbers of vertices and
triangles, and the largest distance of a vertex of one surface from the other's nearest, in metres.
Depth Anything 3's benchmark fuses by the same calls.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from conformance_page import HEAD, Row, write
from g2vlm_bench.geometry.fusion import fuse_tsdf
from peer_code import commit
from real_frames import scenes

Array = NDArray[np.float64]
Case = tuple[str, Array, Array, Array, dict[str, float]]
SEEDS = 6
ROOM = {"voxel_m": 0.02, "truncation_m": 0.08, "max_depth_m": 5.0}
# Of ScanNet++ and of 7-Scenes in POINTCLOUD_FUSION_PARAMS.
SIZES = (
    {"voxel_m": 0.02, "truncation_m": 0.15, "max_depth_m": 5.0},
    {"voxel_m": 4 / 512, "truncation_m": 0.04, "max_depth_m": 1e6},
)
REAL = (("chamfer/real_7scenes", "nano"), ("chamfer/real_7scenes", "degraded"))

# Runs in the other interpreter: the peer's function, without the imports around it.
PEER = """
import ast, os, sys
import numpy as np
source, given, mesh = sys.argv[1:4]
wanted = {"fuse_depth_to_pointcloud", "_prepare_tsdf_colors", "get_pointcloud_fusion_params"}
kept = [
    node for node in ast.parse(open(source).read()).body
    if getattr(node, "name", "") in wanted
    or isinstance(node, ast.Assign)
    and "POINTCLOUD_FUSION" in getattr(node.targets[0], "id", "")
]
space = {"np": np, "os": os}
exec(compile(ast.Module(kept, []), source, "exec"), space)
case = np.load(given)
space["fuse_depth_to_pointcloud"](
    case["depths"], case["poses"], case["cameras"], None, float(case["voxel_m"]),
    float(case["truncation_m"]), float(case["max_depth_m"]), 10, "scannetpp", mesh,
)
import open3d
surface = open3d.io.read_triangle_mesh(mesh)
np.savez(
    given, vertices=np.asarray(surface.vertices), triangles=len(surface.triangles),
    version=open3d.__version__,
)
"""


def random_cases() -> Iterator[Case]:
    """A wall, a floor and a ball, seen from four places, with noise and holes."""
    camera = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
    rows, columns = np.indices((120, 160)) + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(camera).T
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        depths, poses = [], []
        for view in range(4):
            angles = view * 12 - 18 + rng.normal(), view * 4 - 6 + rng.normal()
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_euler("yx", angles, degrees=True).as_matrix()
            pose[:3, 3] = 0.3 * view - 0.4, 0.1 * view, 0.05 * rng.normal()
            depth = _depth(rays @ pose[:3, :3].T, pose[:3, 3])
            depth = depth * (1 + 0.003 * rng.standard_normal(depth.shape))
            depth[(rng.random(depth.shape) < 0.02) | (depth > 6)] = np.nan
            depths.append(depth)
            poses.append(pose)
        yield f"seed {seed}", np.array(depths), np.array([camera] * 4), np.array(poses), ROOM


def _depth(directions: Array, centre: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        wall = (3 - centre[2]) / directions[..., 2]
        floor = (1 - centre[1]) / directions[..., 1]
        ball = np.array([0.2, 0.4, 2.0]) - centre
        along, square = directions @ ball, (directions**2).sum(axis=-1)
        inner = along**2 - square * (ball @ ball - 0.25)
        front = np.where(inner > 0, (along - np.sqrt(np.maximum(inner, 0))) / square, np.inf)
    nearest = [np.where(found > 0, found, np.inf) for found in (wall, floor, front)]
    return np.asarray(np.minimum.reduce(nearest))


def real_cases(realdata: Path) -> Iterator[Case]:
    """Five frames of 7-Scenes, with the reference model's depth and with degraded depth."""
    for task, kind in REAL:
        for scene in scenes(realdata, task, kind):
            said, target = scene.prediction, scene.target
            assert said.depth is not None
            assert target.intrinsics is not None
            assert target.world_from_camera is not None
            for sizes in SIZES:
                name = f"{scene.name}, voxel {sizes['voxel_m']:g}"
                cameras, poses = np.array(target.intrinsics), np.array(target.world_from_camera)
                yield name, np.array(said.depth, np.float64), cameras, poses, sizes


def theirs(case: Case, arguments: argparse.Namespace) -> Any:
    """The peer's surface of a case, and the version of its Open3D."""
    _, depths, cameras, poses, sizes = case
    cameras = cameras.copy()
    cameras[:, :2, 2] -= 0.5  # Its pixel centres are at whole numbers.
    with tempfile.TemporaryDirectory() as folder:
        given, mesh = Path(folder, "case.npz"), Path(folder, "mesh.ply")
        clean = np.nan_to_num(depths).astype(np.float32)
        np.savez(given, depths=clean, cameras=cameras, poses=poses, **sizes)  # type: ignore[arg-type]
        source = arguments.peers / "SpatialBench/benchmark/evaluation/metrics.py"
        command = [arguments.python, "-c", PEER, source, given, mesh]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        with np.load(given) as found:
            return {name: found[name] for name in found}


def main() -> None:
    """Compare every case, and print the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    cases = [(case, False) for case in random_cases()]
    if arguments.realdata is not None:
        cases += [(case, True) for case in real_cases(arguments.realdata)]
    row = None
    for case, real in cases:
        name, depths, cameras, poses, sizes = case
        peer = theirs(case, arguments)
        mine = fuse_tsdf(list(depths), list(cameras), list(poses), **sizes, along="ray")
        apart = max(
            float(np.max(KDTree(one).query(other)[0]))
            for one, other in ((mine.vertices, peer["vertices"]), (peer["vertices"], mine.vertices))
        )
        counts = {"vertices": len(peer["vertices"]), "triangles": int(peer["triangles"])}
        found = {"vertices": len(mine.vertices), "triangles": len(mine.triangles)}
        gaps = [(abs(found[key] / count - 1), key) for key, count in counts.items()]
        print(f"# {name}: {counts}, {found}, {apart:.1e} m", flush=True)
        if row is None:
            version = f"Open3D {peer['version']}"
            peer_name = f"SpatialBench {commit(arguments.peers / 'SpatialBench')}, {version}"
            row = Row("spatialbench (fusion)", peer_name)
            row.remark = "vertices, triangles, and metres from one surface to the other"
        row.add(max([*gaps, (apart, "metres")]), name, real)
    assert row is not None
    print(HEAD + row.line)
    if arguments.write:
        write("clouds", [row])


if __name__ == "__main__":
    main()
