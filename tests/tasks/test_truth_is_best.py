"""Rule 4, for every family, protocol and metric: truth is best, scrambled truth and constants not.

A protocol is any combination that a task file may write; a constant answer is the same for every
sample, whatever was asked.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform, unproject
from g2vlm_bench.geometry.cloud_regions import ObservedGrid, Prism, Scan
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.protocols.clouds import CloudProtocol
from g2vlm_bench.protocols.depth import DepthProtocol
from g2vlm_bench.protocols.point_map import PointMapProtocol
from g2vlm_bench.sample import Inputs, Prediction, Target

TOLERANCE = 1e-5
INTRINSICS = np.array([[20.0, 0, 16], [0, 20.0, 12], [0, 0, 1]])


def room(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Floor, wall and bumps from 0.7 m to some 10 m, so that no constant is near; and a hole."""
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    depth = np.minimum(0.8 / np.maximum(rows - 0.1, 1e-9), 6.0 + seed % 3) * (0.8 + columns)
    depth += 0.2 * np.sin(columns * (20 + seed))
    depth[:2, :2] = np.nan
    return depth.astype(np.float32)


def pose(seed: int) -> np.ndarray:
    turned = Rotation.from_rotvec([0.1, 0.2 * seed, 0.05]).as_matrix()
    return pose_matrix(turned, [0.4 * seed, 0.1, 0.2 * seed])


def normals_of(depth: np.ndarray) -> np.ndarray:
    points = unproject(np.nan_to_num(depth, nan=6.0), INTRINSICS)
    across = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    return across / np.linalg.norm(across, axis=-1, keepdims=True)


def depth_targets(height: int, width: int) -> list[Target]:
    camera = np.diag([height / 24, height / 24, 1.0]) @ INTRINSICS
    return [
        Target(
            depth_m=(room(i, height, width), room(i + 9, height, width)),
            intrinsics=(camera,) * 2,
            world_from_camera=(pose(0), pose_matrix(np.eye(3), [0.02, 0.0, 0.1]) @ pose(0)),
        )
        for i in range(3)
    ]


def cloud_targets() -> list[Target]:
    found = []
    for seed in range(2):
        depths, poses = (room(seed), room(seed + 9)), (pose(seed), pose(seed + 1))
        valid = [np.isfinite(depth) for depth in depths]
        points = [
            transform(unproject(d, INTRINSICS)[v], p)
            for d, v, p in zip(depths, valid, poses, strict=True)
        ]
        normals = [
            normals_of(d)[v] @ p[:3, :3].T for d, v, p in zip(depths, valid, poses, strict=True)
        ]
        cloud = np.concatenate(points)
        low, high = cloud.min(axis=0) - 0.1, cloud.max(axis=0) + 0.1
        corners = np.array([low[:2], [high[0], low[1]], high[:2], [low[0], high[1]]])
        voxels = np.ones(np.ceil((high - low) / 0.5).astype(int) + 1, bool)
        found.append(
            Target(
                depth_m=depths,
                points_world=cloud,
                observed=ObservedGrid(voxels, low, high, 0.5, np.array([0, 0, 1.0, 99.0])),
                crop=Prism(corners, 2, low[2], high[2]),
                scans=tuple(
                    Scan(transform(seen, invert_pose(p)), p)
                    for seen, p in zip(points, poses, strict=True)
                ),
                tolerance_m=0.2,
                normals_world=np.concatenate(normals),
                intrinsics=(INTRINSICS,) * 2,
                world_from_camera=poses,
            )
        )
    return found


def question_targets() -> list[Target]:
    options = ("left", "right", "behind")
    return [
        *(Target(answer=o, choices=options, answer_type="choice") for o in options),
        *(Target(answer=a, answer_type="yes_no") for a in ("yes", "no")),
        *(Target(answer=n, answer_type="number") for n in (3, 0.25, 0, -1.5)),
        *(Target(answer=t, answer_type="text") for t in ("red box", "door")),
    ]


DEPTH_METRICS = [
    "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "si_log", "delta1", "delta2", "delta3",
    "inlier_1.03", "inlier_1.05", "inlier_1.10", "si_log_half", "si_log_sample", "i_rmse",
    "median_log",
    "delta_auc", "boundary_f1_r1", "boundary_f1_r2", "boundary_f1_r3",
    "temporal_flicker", "tgm", "tae", "tae_published",
]  # fmt: skip
CLOUD_METRICS = [
    "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median",
    "chamfer_sum_l2", "chamfer_mean_l2", "chamfer_sum_squared", "chamfer_mean_squared",
    "precision", "recall", "fscore", "normal_consistency",
]  # fmt: skip
POINT_MAP_METRICS = [
    "point_abs_rel", "point_delta1", "point_error", "point_rmse", "point_inlier_1.03",
    "point_inlier_1.25", "ray_auc_15", "ray_auc_20", "ray_auc_30", "ray_error",
    "fov_x_error",
]  # fmt: skip
PROTOCOLS = {"depth": DepthProtocol, "chamfer": CloudProtocol, "point_map": PointMapProtocol}
ANSWER_METRICS = ["accuracy", "chance_corrected_accuracy", "mean_relative_accuracy", "unparsed"]

CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("depth", {"alignment": alignment, **more})
        for alignment, more in product(
            [
                "none",
                "median_scale",
                "least_squares_scale",
                "least_squares_scale_shift",
                "least_squares_scale_shift_disparity",
            ],
            [
                {},
                {"min_depth_m": 0.5, "max_depth_m": 4.5, "clip": True},
                {"clip": True, "mean": "pixel"},
                {"crop": "eigen", "resize": "bilinear"},
                {"crop": "garg", "resize": "nearest"},
                {"crop": "nyu", "clip": True},
            ],
        )
    ),
    *(
        ("depth", {"alignment": alignment, **more})
        for alignment in (
            "l1_scale",
            "l1_scale_shift",
            "l1_scale_shift_disparity",
            "lower_median_scale",
            "irls_scale",
            "adam_scale_shift",
            "bfgs_scale_shift",
            "ridge_scale_shift",
            "trimmed_scale_shift",
            "anchored_scale_shift",
        )
        for more in ({"clip": True}, {"scope": "view", "pool": "views", "clip": True})
    ),
    *(
        ("chamfer", {"alignment": alignment, "frame": frame, "camera": camera, **more})
        for alignment, frame, camera, more in product(
            ["none", "scale", "se3", "sim3"],
            ["first_camera", "world"],
            ["given", "predicted"],
            [{}, {"voxel_m": 0.2}, {"crop_margin_m": 0.3}, {"icp_m": 0.3}],
        )
        if (alignment, frame) != ("scale", "world")
    ),
    *(
        ("chamfer", {"frame": "world", **more})
        for more in (
            {"region": "observed"},
            {"region": "observed", "thin_m": 0.01, "drop_beyond_m": 2.0},
            {"region": "crop", "voxel_m": 0.2},
            {"region": "crop", "unit": "tolerance", "voxel_m": 0.5, "thresholds_m": [1]},
            {"region": "crop", "unit": "tolerance", "scaled_icp": [{"within_m": 2}]},
            {"region": "beams", "thresholds_m": [0.05, 0.2]},
        )
    ),
    *(
        ("point_map", {"alignment": alignment, "camera": camera, **more})
        for alignment, camera, more in product(
            [
                "none",
                "least_squares_scale",
                "mean_norm_scale",
                "l1_scale",
                "l1_z_shift",
                "l1_xyz_shift",
                "l1_scale_z_shift",
                "l1_scale_xyz_shift",
                "anchored_scale_z_shift",
                "anchored_scale_xyz_shift",
            ],
            ["predicted", "given"],
            [
                {},
                {"scope": "view", "pool": "views"},
                {"min_depth_m": 0.8, "max_depth_m": 5.5, "crop": "eigen", "at_most_pixels": 300},
            ],
        )
        if camera == "predicted" or alignment in ("none", "l1_scale")
    ),
    *(
        ("spatial_qa", {"scoring": scoring, **more})
        for scoring, more in product(
            ["generation", "loglikelihood"], [{}, {"tolerance": 0}, {"tolerance": 0.2}]
        )
    ),
]


def constant(family: str, protocol: dict[str, Any], target: Target) -> Prediction:
    if family == "depth":
        return Prediction(depth=tuple(np.full(d.shape, 2.0, np.float32) for d in target.depth_m))
    if family == "point_map":
        maps = tuple(np.full((*d.shape, 3), [0.1, 0.2, 2.0], np.float32) for d in target.depth_m)
        return Prediction(
            point_maps=maps, depth=tuple(np.ascontiguousarray(one[..., 2]) for one in maps)
        )
    if family == "chamfer":
        flat = tuple(np.full(d.shape, 2.0, np.float32) for d in target.depth_m)
        points = transform(unproject(flat[0], INTRINSICS), invert_pose(pose(0))).reshape(-1, 3)
        cameras = {"intrinsics": target.intrinsics, "world_from_camera": (pose(0),) * 2}
        return Prediction(depth=flat, points=points, **cameras)
    count = len(target.choices) or 2
    likelihoods = np.where(np.arange(count) == 0, -0.1, -5.0)
    text = {"choice": "A", "yes_no": "yes", "number": "3", "text": "door"}[target.answer_type]
    return Prediction(answer=text, choice_loglikelihoods=likelihoods)


@pytest.fixture(scope="module")
def scrambled():
    return Plugins().adapter("scrambled", {}, {})


@pytest.mark.parametrize(("name", "protocol"), CASES, ids=lambda part: str(part))
def test_truth_is_best_and_neither_scrambled_truth_nor_a_constant_is(
    load_family, score, result, scrambled, name, protocol
) -> None:
    if "icp_m" in protocol:
        pytest.importorskip("open3d", reason="ICP needs Open3D")
    metrics = {
        "depth": DEPTH_METRICS,
        "chamfer": CLOUD_METRICS,
        "point_map": POINT_MAP_METRICS,
        "spatial_qa": ANSWER_METRICS,
    }[name]
    size = (480, 640) if protocol.get("crop") == "nyu" else (24, 32)
    targets = {
        "depth": lambda: depth_targets(*size)[: 1 if size[0] > 24 else None],
        "chamfer": cloud_targets,
        "point_map": cloud_targets,
        "spatial_qa": question_targets,
    }[name]()
    if size[0] > 24:
        # So large a room is smooth: it has no edges.
        metrics = [metric for metric in metrics if not metric.startswith("boundary")]
    if (name, protocol.get("camera")) == ("point_map", "given"):
        # What the given camera lifts lies on the right rays.
        metrics = [metric for metric in metrics if not metric.startswith(("ray", "fov"))]
    if name in PROTOCOLS:
        kind = msgspec.convert(protocol, PROTOCOLS[name])
        metrics = [metric for metric in metrics if kind.defines(metric)]
    family = load_family(name, metrics, protocol)
    rng = np.random.default_rng(0)
    lines: dict[str, list[Any]] = {"truth": [], "scrambled": [], "constant": []}
    for number, target in enumerate(targets):
        inputs = family.prepare(
            Inputs(id="a", choices=target.choices, answer_type=target.answer_type)
        )
        perfect = family.truth(target)
        for kind, prediction in (
            ("truth", perfect),
            ("scrambled", scrambled.distort(perfect, inputs, rng)),
            ("constant", constant(name, protocol, target)),
        ):
            lines[kind].append(score(family, target, prediction, id=str(number)))
    asked = 0
    for spec in family.specs:
        found = {kind: result(family, of_kind, spec.name) for kind, of_kind in lines.items()}
        if found["truth"].n_scored + found["truth"].n_failed == 0:
            assert spec.name.startswith("mean_relative_accuracy@loglikelihood")
            continue
        asked += 1
        assert found["truth"].n_failed == 0, spec.name
        assert found["truth"].n_scored > 0, spec.name
        if not family.truth_falls_short(spec):
            assert math.isclose(found["truth"].value, spec.best, abs_tol=TOLERANCE), spec.name
        if spec.name.startswith("unparsed@"):
            continue
        for kind in ("scrambled", "constant"):
            value = found[kind].value
            wrong = math.inf if value is None else abs(value - spec.best)
            assert wrong > 1e-4, f"{kind}: {spec.name} is {value}"
    assert asked
