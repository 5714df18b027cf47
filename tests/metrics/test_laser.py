"""ETH3D's voxel means and free space, against the definitions point by point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import invert_pose, pose_matrix, transform
from g2vlm_bench.metrics import laser
from g2vlm_bench.metrics.laser import (
    Scan,
    beam_evidence,
    free_space_accuracy,
    voxel_completeness,
    voxel_share,
)

POSES = (
    np.eye(4),
    pose_matrix(Rotation.from_rotvec([0.1, 2.0, -0.3]).as_matrix(), [1.0, -0.5, 4]),
)
# Wide beams, so that a few hundred points cross many of them.
BEAM = {"start_radius_m": 0.02, "divergence_deg": 1.0}


def scene(seed: int = 0) -> tuple[np.ndarray, list[Scan]]:
    rng = np.random.default_rng(seed)
    points = rng.uniform([-1, -1, 1], [1, 1, 3], size=(150, 3))
    wall = np.concatenate([rng.uniform(-1, 1, size=(300, 2)), np.full((300, 1), 2.0)], axis=1)
    return points, [Scan(transform(wall, invert_pose(pose)), pose) for pose in POSES]


def by_definition(point: np.ndarray, scans: list[Scan]) -> tuple[float, bool]:
    nearest, free = np.inf, False
    for scan in scans:
        local = transform(point, invert_pose(scan.world_from_scan))
        radius = np.linalg.norm(local)
        beam = BEAM["start_radius_m"] + radius * np.tan(np.radians(BEAM["divergence_deg"]))
        for end in scan.points:
            ray = end / np.linalg.norm(end)
            along = float(ray @ local)
            if along >= 0 and np.linalg.norm(local - along * ray) <= beam:
                nearest = min(nearest, float(np.linalg.norm(local - end)))
                free |= along < np.linalg.norm(end)
    return nearest, free


@pytest.mark.parametrize("chunk", [13, 1 << 13])
def test_beams_are_their_definition(monkeypatch, chunk) -> None:
    monkeypatch.setattr(laser, "BEAM_CHUNK", chunk)
    points, scans = scene()
    found = beam_evidence(points, scans, **BEAM)
    expected = [by_definition(point, scans) for point in points]
    np.testing.assert_allclose(found.distance, [distance for distance, _ in expected])
    assert found.in_free_space.tolist() == [free for _, free in expected]
    assert 20 < found.in_free_space.sum() < 140
    assert 0 < np.isinf(found.distance).sum() < 100


def test_before_the_wall_is_inaccurate_behind_it_unobserved() -> None:
    scan = Scan(np.array([[0.0, 0, 2], [0.5, 0, 2]]), np.eye(4))
    points = np.array([[0.0, 0, 1.0], [0, 0, 1.99], [0, 0, 2.5], [5, 0, 2], [0, 0, -2]])
    evidence = beam_evidence(points, [scan])
    assert evidence.distance.tolist() == pytest.approx([1, 0.01, 0.5, np.inf, np.inf])
    assert evidence.in_free_space.tolist() == [True, True, False, False, False]
    # 1 of the 2 that are judged; from 0.5 m on the third is accurate, too.
    assert free_space_accuracy(points, evidence, 0.02) == pytest.approx(1 / 2)
    assert free_space_accuracy(points, evidence, 0.6) == pytest.approx(2 / 3)
    assert free_space_accuracy(points, evidence, 0.005) == 0
    with pytest.raises(ValueError, match="judged"):
        free_space_accuracy(points[3:], beam_evidence(points[3:], [scan]), 0.02)


def test_voxel_shares_by_hand() -> None:
    # Cells of 1 through 0: {0.1, 0.6}, {1.2}; shifted by a half: {0.1}, {0.6, 1.2}.
    points = np.array([[0.1, 0.1, 0.1], [0.6, 0.1, 0.1], [1.2, 0.1, 0.1], [9, 9, 9]])
    hit = np.array([True, False, True, True])
    judged = np.array([True, True, True, False])
    assert voxel_share(points, hit, judged, 1.0) == pytest.approx((0.5 + 1 + 1 + 0.5) / 4)
    # Ten points in one place count as one place does.
    crowd = np.concatenate([points, np.tile(points[:1], (9, 1))])
    crowded = voxel_share(crowd, np.r_[hit, [True] * 9], np.r_[judged, [True] * 9], 1.0)
    assert crowded == pytest.approx((10 / 11 + 1 + 1 + 0.5) / 4)


def test_completeness_is_inclusive_and_truth_is_best() -> None:
    truth = np.array([[0.0, 0, 0], [3, 0, 0]])
    assert voxel_completeness(np.array([[0.25, 0, 0]]), truth, 0.25) == 0.5
    assert voxel_completeness(np.array([[0.25, 0, 0]]), truth, 0.2499) == 0
    assert voxel_completeness(truth, truth, 0.01) == 1
    _, scans = scene()
    wall = transform(scans[0].points, scans[0].world_from_scan)
    assert free_space_accuracy(wall, beam_evidence(wall, scans), 1e-9) == 1


@pytest.mark.parametrize("bad", [np.full((2, 3), np.nan), np.zeros((3, 2))])
def test_what_cannot_be_judged_is_refused(bad) -> None:
    _, scans = scene()
    with pytest.raises(ValueError, match="expected"):
        beam_evidence(bad, scans)
    with pytest.raises(ValueError, match="expected"):
        voxel_completeness(bad, np.eye(3), 0.1)
    with pytest.raises(ValueError, match="one scan"):
        beam_evidence(np.eye(3), [])
    with pytest.raises(ValueError, match="one mark"):
        voxel_share(np.eye(3), np.ones(2, bool), np.ones(3, bool), 1.0)
    with pytest.raises(ValueError, match="expected"):
        voxel_completeness(np.empty((0, 3)), np.eye(3), 0.1)
