"""Nearest neighbours on a GPU at full size; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.nearest import NeighbourIndex

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

COUNT = 1_000_000


def surface(seed: int) -> np.ndarray:
    """A noisy sphere of radius 1 with outliers a kilometre away."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(COUNT, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points += rng.normal(scale=0.005, size=points.shape)
    points[:: COUNT // 50] += 1000.0
    return points


@pytest.mark.parametrize("offset", [np.zeros(3), np.array([513_000.0, 5_403_000.0, 300.0])])
def test_a_million_points_have_the_neighbours_of_the_cpu(offset) -> None:
    from g2vlm_bench.geometry.nearest_torch import nearest

    queries, cloud = surface(0) + offset, surface(1) + offset
    torch.cuda.reset_peak_memory_stats()
    distances, indices = nearest(
        torch.tensor(queries, device="cuda"), torch.tensor(cloud, device="cuda")
    )
    # The matrix of all pairs would be 8 TB.
    assert torch.cuda.max_memory_allocated() < 8 << 30
    assert distances.device.type == indices.device.type == "cuda"
    expected, _ = NeighbourIndex(cloud).query(queries)
    # At UTM size the coordinates themselves are rounded to 1e-9 m.
    atol = 1e-15 if not offset.any() else 4e-9
    np.testing.assert_allclose(distances.cpu().numpy(), expected, rtol=1e-12, atol=atol)
    named = np.linalg.norm(queries - cloud[indices.cpu().numpy()], axis=1)
    np.testing.assert_allclose(named, expected, rtol=1e-12, atol=atol)


def test_the_same_call_gives_the_same_bits() -> None:
    from g2vlm_bench.geometry.nearest_torch import nearest

    queries, cloud = (torch.tensor(surface(seed), device="cuda") for seed in (0, 1))
    first, second = nearest(queries, cloud), nearest(queries, cloud)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
