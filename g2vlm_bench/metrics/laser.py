"""Clouds against laser scans as ETH3D judges them: by voxels, and by what beams crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from g2vlm_bench.geometry.cameras import invert_pose, transform
from g2vlm_bench.geometry.cloud_regions import Scan
from g2vlm_bench.geometry.nearest import NeighbourIndex, check_cloud

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GRID_SHIFTS = (0.0, 0.5)
# The scan points in the beams of so many predicted points are held at once.
BEAM_CHUNK = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class BeamEvidence:
    """What the beams through each predicted point say of it.

    Attributes:
        distance: (N,) metres to the nearest scan point whose beam passes; infinite where none does.
        in_free_space: (N,) True where a beam that passes went on behind the point.
    """

    distance: Array
    in_free_space: Mask


def beam_evidence(
    points_world: NDArray[Any],
    scans: Sequence[Scan],
    start_radius_m: float = 0.5 * 0.00225,
    divergence_deg: float = 0.011,
) -> BeamEvidence:
    """Find the scan points whose beams pass each predicted point.

    A beam passes where the scan's ray is not farther than start radius + r tan(divergence), r the
    point's distance from the scanner, and the point is not behind the scanner.

    Args:
        points_world: (N, 3) metres.
        scans: with their poses, in the same world.
        start_radius_m: of a beam at the scanner.
        divergence_deg: half the opening angle of a beam.

    Raises:
        ValueError: for non-finite points, other shapes, no scan, or a pose that is not rigid.

    Source: Schoeps et al. 2017 (ETH3D), section 4; multi-view-evaluation (0daa4f4), accuracy.cc,
    in float32.
    """
    cloud = check_cloud(points_world, at_least=0)
    if not scans:
        raise ValueError("beams: expected one scan or more, got none")
    distance, free = np.full(len(cloud), np.inf), np.zeros(len(cloud), bool)
    for scan in scans:
        local = transform(cloud, invert_pose(scan.world_from_scan))
        radius = np.linalg.norm(local, axis=1)
        beam = start_radius_m + radius * np.tan(np.radians(divergence_deg))
        _judge_by_scan(local, radius, beam, check_cloud(scan.points, "scan"), distance, free)
    return BeamEvidence(distance, free)


def free_space_accuracy(
    points_world: NDArray[Any], evidence: BeamEvidence, tolerance_m: float, voxel_m: float = 0.01
) -> float:
    """Return the voxel-averaged share of accurate points among those that a beam judges.

    Accurate: a scan point whose beam passes lies within the tolerance (inclusive). Inaccurate: none
    does, and a beam went on behind the point. Others are unobserved and do not count.

    Args:
        points_world: (N, 3) metres.
        evidence: of these points.
        tolerance_m: such as 0.02.
        voxel_m: edge of the voxels that are averaged over.

    Raises:
        ValueError: where sizes differ or no point is judged; ETH3D's code calls the latter 0.

    Source: multi-view-evaluation (0daa4f4), accuracy.cc.
    """
    accurate = evidence.distance <= tolerance_m
    return voxel_share(points_world, accurate, accurate | evidence.in_free_space, voxel_m)


def voxel_completeness(
    prediction: NDArray[Any] | NeighbourIndex,
    target: NDArray[Any],
    tolerance_m: float,
    voxel_m: float = 0.01,
) -> float:
    """Return the voxel-averaged share of scan points with a predicted point within the tolerance.

    Args:
        prediction: (N, 3) metres, or its index.
        target: (M, 3) metres, all scans in the world frame.
        tolerance_m: inclusive.
        voxel_m: edge of the voxels that are averaged over.

    Raises:
        ValueError: for empty clouds, other shapes, or non-finite points.

    Source: multi-view-evaluation (0daa4f4), completeness.cc.
    """
    index = prediction if isinstance(prediction, NeighbourIndex) else NeighbourIndex(prediction)
    true = check_cloud(target, "target")
    distance, _ = index.query(true)
    return voxel_share(true, distance <= tolerance_m, np.ones(len(true), bool), voxel_m)


def voxel_share(points: NDArray[Any], hit: Mask, judged: Mask, voxel_m: float = 0.01) -> float:
    """Return the mean over voxels of the share of hits among the judged points of a voxel.

    Voxels of two grids count, through the origin and shifted by half a voxel; those without a
    judged point do not.

    Args:
        points: (N, 3) metres.
        hit: (N,)
        judged: (N,)
        voxel_m: edge of a voxel.

    Raises:
        ValueError: where sizes differ, the size is not positive, or no point is judged.
    """
    cloud = check_cloud(points, at_least=0)
    if not len(cloud) == len(hit) == len(judged) or not voxel_m > 0:
        raise ValueError(
            "voxel share: expected one mark for each point and a size above 0, "
            f"got {len(cloud)} points, {len(hit)} and {len(judged)} marks, {voxel_m}"
        )
    if not judged.any():
        raise ValueError("voxel share: expected points that can be judged, got none")
    shares = []
    for shift in GRID_SHIFTS:
        cells = np.floor(cloud[judged] / voxel_m + shift)
        _, voxel, population = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        shares.append(np.bincount(voxel.ravel(), weights=hit[judged]) / population)
    return float(np.concatenate(shares).mean())


def _judge_by_scan(
    local: Array, radius: Array, beam: Array, scan: Array, distance: Array, free: Mask
) -> None:
    """Lower the distances and mark the free space that one scan shows, in place."""
    reach = np.linalg.norm(scan, axis=1)
    scan, reach = scan[reach > 0], reach[reach > 0]
    rays = scan / reach[:, None]
    tree = cKDTree(rays)
    # The angle whose sine is beam / radius, as a chord of the unit sphere; a right angle at most.
    sine = np.minimum(beam / np.maximum(radius, beam), 1.0)
    chord = 2 * np.sin(np.arcsin(sine) / 2)
    directions = local / np.where(radius > 0, radius, 1.0)[:, None]
    for start in range(0, len(local), BEAM_CHUNK):
        rows = np.arange(start, min(start + BEAM_CHUNK, len(local)))
        found = tree.query_ball_point(directions[rows], chord[rows] * (1 + 1e-12), workers=-1)
        counts = np.array([len(near) for near in found])
        if not counts.any():
            continue
        point = np.repeat(rows, counts)
        ray = np.concatenate([np.asarray(near, dtype=np.int64) for near in found])
        along = (rays[ray] * local[point]).sum(axis=1)
        passes = along >= 0
        point, ray, along = point[passes], ray[passes], along[passes]
        np.minimum.at(distance, point, np.linalg.norm(scan[ray] - local[point], axis=1))
        free[point[along < reach[ray]]] = True
