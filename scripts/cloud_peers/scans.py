"""Benchmarks with laser scans: ETH3D's program, and the toolbox of Tanks and Temples."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from cloud_peers.cases import Array, Case, Values, ours
from g2vlm_bench.geometry import cameras, cloud_alignment, clouds
from g2vlm_bench.geometry.cloud_regions import Prism, Scan
from g2vlm_bench.protocols.clouds import CloudProtocol, Ransac
from g2vlm_bench.protocols.clouds_alignment import fit
from g2vlm_bench.sample import Prediction, Target
from peer_code import load, on_path

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
