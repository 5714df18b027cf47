"""The shared slope against linear programming, by definition, and at what has no slope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from g2vlm_bench.geometry import l1_slope as fitting
from g2vlm_bench.geometry.l1_line import l1_line
from g2vlm_bench.geometry.l1_slope import Column, l1_slope, tangent


def columns(seed: int, size: int, shifted=(True, True, True), ties: bool = False) -> list[Column]:
    rng = np.random.default_rng(seed)
    found = []
    for number, moves in enumerate(shifted):
        values = rng.normal(number, 2, size)
        if ties:
            values = np.round(values)
        truth = 1.7 * values + number + rng.standard_t(2, size)
        found.append(Column(values, truth, rng.uniform(0.1, 2, size), moves))
    return found


def loss(parts: list[Column], slope: float, shifts) -> float:
    return sum(
        float(c.weights @ np.abs(slope * c.values + t - c.truth))
        for c, t in zip(parts, shifts, strict=True)
    )


def best_loss(parts: list[Column]) -> float:
    """By linear programming: slope and shifts are free, u >= |residual| are minimised."""
    total = sum(c.values.size for c in parts)
    free = 1 + len(parts)
    rows, truth = np.zeros((total, free)), np.zeros(total)
    start = 0
    for number, c in enumerate(parts):
        rows[start : start + c.values.size, 0] = c.values
        rows[start : start + c.values.size, 1 + number] = 1
        truth[start : start + c.values.size] = c.truth
        start += c.values.size
    cost = np.concatenate([np.zeros(free), np.concatenate([c.weights for c in parts])])
    upper = np.block([[rows, -np.eye(total)], [-rows, -np.eye(total)]])
    bounds = [(None, None), *((None, None) if c.shifted else (0, 0) for c in parts)]
    solved = linprog(
        cost, A_ub=upper, b_ub=np.concatenate([truth, -truth]), bounds=bounds + [(0, None)] * total
    )
    return float(solved.fun)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shifted", [(True,) * 3, (False, False, True), (False,) * 3])
@pytest.mark.parametrize("size", [1, 2, 3, 25])
def test_no_fit_costs_less(size, shifted, ties) -> None:
    for seed in range(4):
        parts = columns(seed, size, shifted, ties)
        slope, shifts = l1_slope(parts)
        assert all(t == 0 for t, moves in zip(shifts, shifted, strict=True) if not moves)
        assert loss(parts, slope, shifts) == pytest.approx(best_loss(parts), rel=1e-9, abs=1e-9)


def test_one_column_is_a_line() -> None:
    (part,) = columns(0, 200, (True,))
    slope, (shift,) = l1_slope([part])
    line = l1_line(part.values, part.truth, part.weights)
    assert loss([part], slope, [shift]) == pytest.approx(loss([part], line[0], [line[1]]))


@pytest.mark.parametrize("ties", [False, True])
def test_far_values_may_be_summed_up(monkeypatch, ties) -> None:
    parts = columns(3, 3000, ties=ties)
    whole = l1_slope(parts)
    monkeypatch.setattr(fitting, "_SOLVED_AT_ONCE", 300)
    narrowed = l1_slope(parts)
    assert loss(parts, *narrowed) == pytest.approx(loss(parts, *whole), rel=1e-12)
    # In order, a regular sample of them says nothing of the rest, and is not relied upon.
    ordered = [
        Column(np.sort(c.values), c.truth[np.argsort(c.values)], c.weights, True) for c in parts
    ]
    narrowed = l1_slope(ordered)
    monkeypatch.undo()
    assert loss(ordered, *narrowed) == pytest.approx(loss(ordered, *l1_slope(ordered)), rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 300.0]), st.floats(-1e4, 1e4))
@settings(max_examples=30, deadline=None)
def test_the_fit_follows_scale_and_offsets(seed, scale, offset) -> None:
    parts = columns(seed, 40)
    moved = [Column(scale * c.values + offset, c.truth, c.weights, True) for c in parts]
    slope, shifts = l1_slope(parts)
    other, offsets = l1_slope(moved)
    assert loss(moved, other, offsets) == pytest.approx(loss(parts, slope, shifts), rel=1e-9)


def test_a_tangent_touches_the_loss_from_below() -> None:
    parts = columns(5, 30, ties=True)
    slopes = np.linspace(-1, 4, 41)
    at = [tangent(parts, slope) for slope in slopes]
    for touching in at:
        assert touching.loss == pytest.approx(loss(parts, touching.at, touching.shifts))
        for other in at:
            below = touching.loss + touching.rise * (other.at - touching.at)
            assert below <= other.loss + 1e-9


@pytest.mark.parametrize("value", [0.0, 2.0, 1e6])
def test_values_that_are_alike_have_no_slope(value) -> None:
    truth = np.array([1.0, 5.0, 6.0])
    parts = [Column(np.full(3, value), truth, np.ones(3), True)] * 3
    assert l1_slope(parts) == (0.0, (5.0, 5.0, 5.0))


def test_columns_that_fit_exactly() -> None:
    parts = [
        Column(c.values, -2.5 * c.values + 3, c.weights, True) for c in columns(1, 50, (True,) * 3)
    ]
    slope, shifts = l1_slope(parts)
    assert slope == pytest.approx(-2.5, rel=1e-12)
    np.testing.assert_allclose(shifts, 3, rtol=1e-12)
