"""Large clouds need memory for their points and not for their pairs: 10^7 fit as 10^5 do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from g2vlm_bench.geometry import cloud_regions, nearest
from g2vlm_bench.geometry.cloud_alignment import icp_with_scale
from g2vlm_bench.geometry.cloud_regions import Scan, thin_greedily
from g2vlm_bench.geometry.clouds import estimate_normals, voxel_downsample
from g2vlm_bench.metrics import laser
from g2vlm_bench.metrics.laser import beam_evidence, voxel_share
from g2vlm_bench.metrics.points import cloud_distances

COUNTS = 8_000, 20_000


def sheet(count: int) -> np.ndarray:
    """So many points that their neighbours are as far apart as in any other sheet."""
    rng = np.random.default_rng(count)
    edge = np.sqrt(count / 1e4)
    flat = rng.uniform(0, edge, (count, 2))
    return np.column_stack([flat, 2 + 0.1 * np.sin(flat[:, 0])])


WORK: dict[str, Callable[[np.ndarray], object]] = {
    "distances": lambda cloud: cloud_distances(cloud, cloud + 0.01),
    "normals": estimate_normals,
    "thinning": lambda cloud: thin_greedily(cloud, 0.005, 0),
    "voxels": lambda cloud: voxel_downsample(cloud, 0.05),
    "shares": lambda cloud: voxel_share(cloud, cloud[:, 0] > 1, np.ones(len(cloud), bool)),
    "beams": lambda cloud: beam_evidence(cloud, [Scan(cloud, np.eye(4))]),
    "icp": lambda cloud: icp_with_scale(cloud, cloud + 0.001, 0.05, max_iterations=2),
}


@pytest.mark.parametrize("name", WORK)
def test_memory_grows_as_the_cloud_does(name: str, monkeypatch) -> None:
    # What is held at once for a chunk of points is the same for all clouds that have many chunks.
    for module, chunk in (
        (nearest, "CHUNK"),
        (cloud_regions, "THINNING_CHUNK"),
        (laser, "BEAM_CHUNK"),
    ):
        monkeypatch.setattr(module, chunk, 1 << 10)
    peaks = []
    for count in COUNTS:
        cloud = sheet(count)
        tracemalloc.start()
        WORK[name](cloud)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A matrix of pairs would be six times as large.
    assert peaks[1] < 3.5 * peaks[0]
    # The cloud itself is 24 bytes a point; 10^7 points stay within some gigabytes.
    assert peaks[1] - peaks[0] < 700 * (COUNTS[1] - COUNTS[0])
