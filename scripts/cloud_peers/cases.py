"""Cases, made and real, and our scores of them under a shipped profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import real_frames
from depth_peers import cases as depth_cases
from depth_peers.unidepth import DATA
from g2vlm_bench.files import load_depth
from g2vlm_bench.geometry import cameras, cloud_alignment
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from our_scores import family_of, unlabelled

Array = NDArray[np.float64]
Values = dict[str, float]
STRIDE = 6  # of the pixels of real frames whose prediction is made
STEP = 8  # of those that nano predicts
NANO = {"7-Scenes nano": "depth/real_7scenes_video", "Redwood nano": real_frames.REDWOOD}


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
    return predicted_case(depths, guessed, matrix, poses, placed)


def predicted_case(
    depths: list[Array],
    guessed: list[Array],
    matrix: Array,
    poses: list[Array],
    placed: list[Array],
) -> Case:
    """A case of true and predicted depth and poses, seen by one camera."""
    truth, lifted = (
        np.stack(
            [
                cameras.transform(cameras.unproject(depth, matrix), pose)
                for depth, pose in zip(maps, where, strict=True)
            ]
        )
        for maps, where in ((depths, poses), (guessed, placed))
    )
    matrices = (matrix,) * len(depths)
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
    return Case(target, prediction, truth, lifted, np.isfinite(np.stack(depths)))


def random_case(seed: int, views: int = 4) -> Case:
    """Make a bumpy surface with holes, larger than CUT3R's window."""
    rng = np.random.default_rng(100 + seed)
    rows, columns = np.mgrid[:240, :256]
    matrix = np.array([[240.0, 0, 128], [0, 240.0, 120], [0, 0, 1]])
    depths, poses = [], []
    for i in range(views):
        waves = np.sin(columns / rng.uniform(10, 30)) + np.cos(rows / rng.uniform(10, 30))
        depth = (2 + 0.3 * waves).astype(np.float32).astype(np.float64)
        depth[rng.random(depth.shape) < 0.8] = np.nan
        depths.append(depth)
        turn = Rotation.from_rotvec(0.1 * i * rng.normal(size=3)).as_matrix()
        poses.append(cameras.pose_matrix(turn, 0.3 * rng.normal(size=3)))
    return case_of(depths, matrix, poses, seed)


def large_case(seed: int, size: tuple[int, int], times: float) -> Case:
    """One view of a bumpy surface, of a data set's size, from 1.4 to 9 times so many metres."""
    rng = np.random.default_rng(200 + seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = np.sin(columns / rng.uniform(10, 30)) + np.cos(rows / rng.uniform(10, 30))
    depth = times * (2 + 0.3 * waves + 7 * rng.uniform(0, 0.95) * (columns > size[1] // 2))
    depth[rng.random(depth.shape) < 0.1] = np.nan
    width = float(size[1])
    matrix = np.array([[width, 0, width / 2], [0, width, size[0] / 2], [0, 0, 1]])
    return case_of([depth.astype(np.float32).astype(np.float64)], matrix, [np.eye(4)], seed)


def large_cases(realdata: Path | None, data: str, seeds: int) -> Iterator[tuple[str, Case]]:
    """Views of the size of a data set that UniDepth and UniK3D crop, made and real, by name."""
    for seed in range(seeds):
        yield f"seed {seed}", large_case(seed, depth_cases.SIZES[data], DATA[data].far_m / 8)
    for one in depth_cases.real_cases(realdata, data) if realdata else ():
        true, guessed = (maps.astype(np.float64) for maps in (one.true, one.predicted))
        depths = [np.where(true > 0, true, np.nan)], [guessed]
        yield one.name, predicted_case(*depths, one.intrinsics, [np.eye(4)], [np.eye(4)])


def flat_case(case: Case) -> Case:
    """Let the case's cameras see a plane, so that their depth maps agree, and predict it well."""
    matrix = (case.target.intrinsics or ())[0]
    normal, offset = np.array([0.1, -0.05, 1.0]), 3.0
    # Views agree where both have depth, so that more of it is needed than elsewhere.
    seen = case.mask | (np.random.default_rng(0).random(case.mask.shape) < 0.6)
    depths = []
    for pose, mask in zip(case.true_poses, seen, strict=True):
        in_first = cameras.invert_pose(case.true_poses[0]) @ pose
        rays = cameras.unproject(np.ones(mask.shape), matrix) @ in_first[:3, :3].T
        depth = (offset - normal @ in_first[:3, 3]) / (rays @ normal)
        depths.append(np.where(mask & (depth > 0) & (depth < 20), depth, np.nan))
    return case_of(depths, matrix, list(case.true_poses), 0, noise=0.02)


def real_cases(realdata: Path) -> dict[str, Case]:
    """Real frames with predictions that are made of them, and with the reference model's."""
    found = {"7-Scenes noisy": noisy_case(realdata)}
    return found | {name: nano_case(realdata, task) for name, task in NANO.items()}


def nano_case(realdata: Path, task: str) -> Case:
    """Five frames of a video with nano's depth and poses; the focal length is the true one."""
    scene = real_frames.scenes(realdata, task, "nano")[0]
    matrix = real_frames.thinned((scene.target.intrinsics or ())[0], STEP)
    true, guessed = (
        [depth[::STEP, ::STEP].astype(np.float64) for depth in depths or ()]
        for depths in (scene.target.depth_m, scene.prediction.depth)
    )
    poses = list(scene.target.world_from_camera or ())
    placed = [np.asarray(pose, np.float64) for pose in scene.prediction.world_from_camera or ()]
    return predicted_case(true, guessed, matrix, poses, placed)


def noisy_case(realdata: Path) -> Case:
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


def ours(case: Case, profile: str, names: list[str], protocol: str | None = None) -> Values:
    """Score a case by the family under a shipped profile, less its label."""
    family = family_of("chamfer", profile, protocol or "", tuple(names))
    return unlabelled(family.score(case.target, case.prediction, Ambiguity.METRIC).values)
