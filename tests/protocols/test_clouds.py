"""The pipeline of clouds: one index a cloud, and what it says of itself."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import nearest
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.clouds import estimate_normals, icp_point_to_point
from g2vlm_bench.metrics import points as metrics
from g2vlm_bench.protocols.clouds import CloudProtocol
from g2vlm_bench.protocols.clouds_gathering import TrueCloud
from g2vlm_bench.protocols.clouds_measuring import measure
from g2vlm_bench.sample import Prediction, Target

NUDGE = Similarity(1.0, Rotation.from_rotvec([0.01, 0.0, 0.02]).as_matrix(), np.full(3, 0.01))


@pytest.fixture
def built(monkeypatch) -> list[int]:
    """The sizes of the clouds that were indexed, in order."""
    sizes: list[int] = []
    made = nearest.SortedTree.__init__

    def counted(self, points) -> None:
        sizes.append(len(points))
        made(self, points)

    monkeypatch.setattr(nearest.SortedTree, "__init__", counted)
    return sizes


def sheet() -> tuple[Target, Prediction]:
    rng = np.random.default_rng(0)
    true = np.column_stack([rng.uniform(0, 1, (900, 2)), rng.normal(0, 0.01, 900)])
    true[:, 2] += 0.2 * np.sin(5 * true[:, 0])
    predicted = NUDGE.apply(true[:700]) + rng.normal(0, 0.002, (700, 3))
    return Target(points_world=true), Prediction(points=predicted)


def test_one_index_a_cloud_serves_icp_normals_accuracy_and_completeness(built) -> None:
    target, prediction = sheet()
    measured = measure(
        CloudProtocol(icp_m=0.1, frame="world"),
        target,
        prediction,
        TrueCloud.of(target, "world"),
    )
    values = [
        metrics.chamfer(measured.distances, "mean", "l2"),
        *metrics.normal_agreement(measured.distances, *measured.normals),
    ]
    # The moved prediction shares the index of the one that stood still.
    assert sorted(built) == [700, 900]
    # And the numbers are those of clouds that were indexed anew for each step.
    moved = icp_point_to_point(prediction.points, target.points_world, 0.1).apply(prediction.points)
    distances = metrics.cloud_distances(moved, target.points_world)
    normals = estimate_normals(moved), estimate_normals(target.points_world)
    assert values == pytest.approx(
        [
            metrics.chamfer(distances, "mean", "l2"),
            *metrics.normal_agreement(distances, *normals),
        ],
        rel=1e-9,
    )
    assert len(built) > 2


def test_the_truth_is_indexed_once_for_all_protocols_of_a_task(built) -> None:
    target, prediction = sheet()
    true = TrueCloud.of(target, "world")
    for protocol in (
        CloudProtocol(frame="world"),
        CloudProtocol(frame="world", icp_m=0.1),
        CloudProtocol(frame="world", icp_m=0.1, thresholds_m=(0.1,)),
    ):
        measure(protocol, target, prediction, true)
    assert sorted(built) == [700, 700, 700, 900]


def test_clouds_that_are_reduced_are_indexed_as_they_are_compared(built) -> None:
    target, prediction = sheet()
    protocol = CloudProtocol(frame="world", voxel_m=0.1)
    measured = measure(protocol, target, prediction, TrueCloud.of(target, "world"))
    assert built == [len(measured.predicted), len(measured.true)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"voxel_m": 0.1, "icp_m": 0.1}, ""),
        ({"thin_m": 0.1}, "thinning"),
        ({"at_most_points": 10}, "drawn"),
        ({"consistency": {"within_m": 0.1, "views": 2}}, "agree"),
        ({"fusion": {"voxel_m": 1, "truncation_m": 1, "max_depth_m": 1, "points": 9}}, "fused"),
    ],
)
def test_a_protocol_says_why_the_truth_falls_short(fields, reason) -> None:
    protocol = msgspec.convert(fields, CloudProtocol)
    assert reason in protocol.truth_falls_short
    assert bool(reason) == bool(protocol.truth_falls_short)
