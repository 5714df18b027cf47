"""L1 fits against their slow definition: a linear programme, and every line through two points."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from g2vlm_bench.geometry.l1_line import _turned_line, l1_line, l1_scale, weighted_median

TIES = {
    "none": lambda v, g: (v, g),
    "clamped": lambda v, g: (np.maximum(v, 4.0), g),
    "quantised": lambda v, g: (np.round(v), g),
    "all quantised": lambda v, g: (np.round(v), np.round(g)),
    "far from 0": lambda v, g: (v + 1e6, g),
    "two values": lambda v, g: (np.where(v > 4, 2.0, 1.0), g),
    "no values": lambda v, g: (np.full_like(v, 3.0), g),
}


def problem(seed: int, ties: str, weighted: bool, size: int = 40):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 10, size)
    values, truth = TIES[ties](
        truth * rng.uniform(0.5, 1.5, size) + rng.standard_cauchy(size), truth
    )
    weights = 1 / truth if weighted else np.ones(size)
    if weighted:
        weights[::7] = 0
    return values, truth, weights


def loss(values, truth, weights, scale, shift) -> float:
    return float(weights @ np.abs(scale * values + shift - truth))


def least_by_linear_programming(values, truth, weights) -> float:
    """Minimise w @ (up + down) with s v + t - up + down = g, all in one standard programme."""
    size, eye = len(values), np.eye(len(values))
    offsets = values - values.mean()
    return linprog(
        np.concatenate([[0, 0], weights, weights]),
        A_eq=np.column_stack([offsets, np.ones(size), -eye, eye]),
        b_eq=truth,
        bounds=[(None, None)] * 2 + [(0, None)] * (2 * size),
        method="highs",
    ).fun


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_line_costs_what_linear_programming_finds(ties, weighted, seed) -> None:
    given = problem(seed, ties, weighted, size=12 + 20 * seed)
    found = loss(*given, *l1_line(*given))
    assert found == pytest.approx(least_by_linear_programming(*given), rel=1e-8)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_line_is_the_best_of_all_through_two_points(ties, weighted) -> None:
    values, truth, weights = given = problem(9, ties, weighted, size=24)
    costs = [loss(*given, 0.0, height) for height in truth[weights > 0]]
    for i, j in combinations(range(len(values)), 2):
        if values[i] != values[j]:
            scale = (truth[i] - truth[j]) / (values[i] - values[j])
            costs.append(loss(*given, scale, truth[i] - scale * values[i]))
    assert loss(*given, *l1_line(*given)) == pytest.approx(min(costs), rel=1e-8)


@pytest.mark.parametrize("ties", TIES)
def test_a_large_line_equals_the_one_turned_over_all_points(ties) -> None:
    given = problem(3, ties, True, size=20_000)
    used = given[2] > 0
    centred = given[0] - given[0].mean()
    slow = _turned_line(centred[used], given[1][used], given[2][used], 0.1)
    assert loss(*given, *l1_line(*given)) == pytest.approx(
        loss(centred, *given[1:], *slow), rel=1e-9
    )


def test_points_on_a_line_give_it_and_outliers_do_not_move_it() -> None:
    values = np.arange(9.0)
    truth = 2 * values + 1
    truth[[2, 7]] = 500, -300
    assert l1_line(values, truth, np.ones(9)) == (pytest.approx(2), pytest.approx(1))


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 5000, 40_000])
@pytest.mark.parametrize("rounded", [False, True])
def test_weighted_median_by_its_definition(size, rounded) -> None:
    rng = np.random.default_rng(size)
    values = np.sort(rng.normal(size=size)) if size == 5000 else rng.standard_cauchy(size)
    values = np.round(values) if rounded else values
    weights = rng.integers(0, 4, size).astype(float) + (size < 4)
    order = np.argsort(values)
    at = np.flatnonzero(np.cumsum(weights[order]) >= weights.sum() / 2)[0]
    assert weighted_median(values, weights) == values[order[at]]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_scale_is_the_best_of_all_ratios(weighted) -> None:
    for seed in range(20):
        values, truth, weights = given = problem(seed, "quantised", weighted, size=31)
        used = (values != 0) & (weights > 0)
        costs = [loss(*given, ratio, 0.0) for ratio in truth[used] / values[used]]
        assert loss(*given, l1_scale(*given), 0.0) == pytest.approx(min(costs), rel=1e-12)
    assert l1_scale(np.zeros(3), np.ones(3), np.ones(3)) == 0
