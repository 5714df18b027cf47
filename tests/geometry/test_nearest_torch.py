"""Nearest neighbours in torch against those of the CPU, wherever a grid might cut a corner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g2vlm_bench.geometry import nearest_torch
from g2vlm_bench.geometry.nearest import NeighbourIndex

UTM = np.array([513_000.0, 5_403_000.0, 300.0])
RNG = np.random.default_rng(0)


def surface(n: int, seed: int = 0) -> np.ndarray:
    """A noisy sphere of radius 1."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points + rng.normal(scale=0.005, size=(n, 3))


def some_moved(points: np.ndarray, step: int, by: float) -> np.ndarray:
    moved = points.copy()
    moved[::step] += np.array([by, -0.3 * by, 2 * by])
    return moved


LINE = np.linspace(0, 1, 500)[:, None] * [1.0, 2.0, -3.0]
CASES = {
    "surface": (surface(3000), surface(2000, 1)),
    "volume": (RNG.normal(size=(3000, 3)), RNG.normal(size=(2000, 3))),
    "utm": (surface(3000) + UTM, surface(2000, 1) + UTM),
    "far queries": (some_moved(surface(3000), 50, 1e6), surface(2000, 1)),
    "far points": (surface(3000), some_moved(surface(2000, 1), 50, 1e6)),
    "both far": (some_moved(surface(3000), 50, 1e9), some_moved(surface(2000, 1), 50, -1e9)),
    "another place": (surface(500) + 100, surface(500, 1)),
    "another scale": (surface(500) * 50, surface(5000, 1)),
    "repeated": (surface(3000), np.repeat(surface(20, 1), 200, axis=0)),
    "half repeated": (surface(3000), np.concatenate([np.zeros((3000, 3)), surface(3000, 1)])),
    "dense and sparse": (surface(2000), np.concatenate([surface(9000, 1) * 1e-4, surface(500)])),
    "all the same": (surface(50), np.ones((500, 3))),
    "themselves": (surface(500), surface(500)),
    "line": (LINE + 0.01, LINE),
    "plane": (surface(500) * [1, 1, 0], surface(2000, 1) * [1, 1, 0]),
    "grid": (
        RNG.integers(0, 9, size=(500, 3)) + 0.5,
        np.stack(np.meshgrid(*[np.arange(9.0)] * 3), axis=-1).reshape(-1, 3),
    ),
    "one": (surface(50), np.array([[1.0, 2, 3]])),
    "two": (surface(50), np.array([[1.0, 2, 3], [4, 5, 6]])),
    "one query": (surface(1), surface(100, 1)),
    "tiny": (surface(500) * 1e-9, surface(500, 1) * 1e-9),
}


def check(queries: np.ndarray, cloud: np.ndarray, device: str) -> None:
    expected, _ = NeighbourIndex(cloud).query(queries)
    distances, indices = nearest_torch.nearest(
        torch.tensor(queries, device=device), torch.tensor(cloud, device=device)
    )
    atol = 4e-16 * max(np.abs(cloud).max(), np.abs(queries).max())
    np.testing.assert_allclose(distances.cpu().numpy(), expected, rtol=1e-12, atol=atol)
    named = np.linalg.norm(queries - cloud[indices.cpu().numpy()], axis=1)
    np.testing.assert_allclose(named, expected, rtol=1e-12, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_those_of_the_cpu(case: str) -> None:
    check(*CASES[case], "cpu")


@pytest.mark.parametrize("case", ["surface", "both far", "half repeated", "grid", "one query"])
def test_memory_is_bounded_without_changing_a_number(case: str, monkeypatch) -> None:
    monkeypatch.setattr(nearest_torch, "PAIRS", 1 << 13)
    check(*CASES[case], "cpu")


@pytest.mark.parametrize("case", ["surface", "far points", "half repeated", "grid"])
def test_tiles_alone_would_do(case: str, monkeypatch) -> None:
    monkeypatch.setattr(nearest_torch._Search, "in_grid", lambda self, grid: None)
    check(*CASES[case], "cpu")


def test_the_grid_answers_nearly_all(monkeypatch) -> None:
    """Its promise is speed: tiles are for what is left."""
    left = []
    in_tiles = nearest_torch._Search.in_tiles
    monkeypatch.setattr(
        nearest_torch._Search,
        "in_tiles",
        lambda self: (left.append(len(self.open)), in_tiles(self)),
    )
    for case in ("surface", "utm", "far queries", "far points", "half repeated"):
        check(*CASES[case], "cpu")
    # Far queries are one in fifty of 3000.
    assert left[0] <= 30
    assert max(left) <= 60 + 30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("case", CASES)
def test_the_numbers_on_cuda_are_those_of_the_cpu(case: str) -> None:
    check(*CASES[case], "cuda")


def test_float32_clouds_are_compared_in_float64() -> None:
    queries, cloud = surface(500).astype(np.float32), surface(500, 1).astype(np.float32)
    distances, _ = nearest_torch.nearest(torch.tensor(queries), torch.tensor(cloud))
    assert distances.dtype == torch.float64
    np.testing.assert_allclose(distances, NeighbourIndex(cloud).query(queries)[0], rtol=1e-12)


def test_no_queries_are_no_error_and_bad_clouds_are() -> None:
    distances, indices = nearest_torch.nearest(torch.empty(0, 3), torch.eye(3))
    assert distances.shape == indices.shape == (0,)
    assert (distances.dtype, indices.dtype) == (torch.float64, torch.int64)
    with pytest.raises(ValueError, match="at least 1 point"):
        nearest_torch.nearest(torch.eye(3), torch.empty(0, 3))
    with pytest.raises(ValueError, match=r"queries: expected shape \(N, 3\), got \(3, 2\)"):
        nearest_torch.nearest(torch.ones(3, 2), torch.eye(3))
    with pytest.raises(ValueError, match="cloud: expected finite"):
        nearest_torch.nearest(torch.eye(3), torch.full((3, 3), torch.nan))
