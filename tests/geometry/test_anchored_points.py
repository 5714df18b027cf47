"""MoGe's restricted fit against its definition: every anchor solved by itself."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry import anchored_points
from g2vlm_bench.geometry.anchored_points import anchored_fit

XYZ, Z = (True, True, True), (False, False, True)


def points(seed: int, size: int, ties: bool = False) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    target = rng.uniform([-2, -1.5, 1], [2, 1.5, 8], (size, 3))
    guess = (0.6 * target + [0.1, 0.05, 0.4]) * rng.lognormal(0, 0.1, (size, 1))
    guess += rng.standard_t(2, (size, 3)) * 0.02
    if ties:
        guess = np.round(guess, 1)
        guess[:, 2] = np.maximum(guess[:, 2], 2.0)
    return guess, target, 1 / np.linalg.norm(target, axis=1)


def anchor_costs(guess, target, weights, shifted, anchor: int, scale: float) -> float:
    """What MoGe's `align` says of an anchor at a scale."""
    offset = guess - np.where(shifted, guess[anchor], 0.0)
    rise = target - np.where(shifted, target[anchor], 0.0)
    return float((weights[:, None] * np.abs(scale * offset - rise))[offset != 0].sum())


def by_definition(guess, target, weights, shifted) -> tuple[float, float]:
    """The least cost over all anchors, and its scale: each anchor's is one of the ratios."""
    best = (np.inf, 0.0)
    for anchor in range(len(guess)):
        offset = (guess - np.where(shifted, guess[anchor], 0.0)).ravel()
        rise = (target - np.where(shifted, target[anchor], 0.0)).ravel()
        for scale in rise[offset != 0] / offset[offset != 0]:
            cost = anchor_costs(guess, target, weights, shifted, anchor, scale)
            best = min(best, (cost, scale))
    return best


@pytest.mark.parametrize("shifted", [XYZ, Z])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("size", [2, 3, 8, 14])
def test_the_best_anchor_of_all(size, ties, shifted) -> None:
    for seed in range(4):
        given = points(seed, size, ties)
        scale, shift = anchored_fit(*given, shifted)
        met = np.abs(scale * given[0] + shift - given[1])[:, np.array(shifted)].sum(axis=1)
        assert met.min() < 1e-12, "one point is met"
        anchors = np.flatnonzero(met < 1e-12)
        costs = [anchor_costs(*given, shifted, anchor, scale) for anchor in anchors]
        expected, _ = by_definition(*given, shifted)
        assert min(costs) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shifted", [XYZ, Z])
def test_pruning_leaves_out_no_better_anchor(monkeypatch, ties, shifted) -> None:
    given = points(7, 300, ties)
    fast = anchored_fit(*given, shifted)
    monkeypatch.setattr(anchored_points, "_SOLVED_ALONE", 10**9)
    slow = anchored_fit(*given, shifted)
    assert fast[0] == pytest.approx(slow[0], rel=1e-12)
    np.testing.assert_allclose(fast[1], slow[1], atol=1e-12)


def test_pixels_that_come_several_times() -> None:
    guess, target, weights = points(1, 30)
    once = anchored_fit(guess, target, weights, XYZ)
    twice = anchored_fit(*(np.repeat(part, 3, axis=0) for part in (guess, target, weights)), XYZ)
    assert twice[0] == pytest.approx(once[0])
    np.testing.assert_allclose(twice[1], once[1])


def test_points_without_weight_are_not_there() -> None:
    guess, target, weights = points(1, 30)
    wild = np.concatenate([guess, [[9.0, 9, 9]]]), np.concatenate([target, [[-9.0, 0, 1]]])
    found = anchored_fit(*wild, np.append(weights, 0.0), XYZ)
    expected = anchored_fit(guess, target, weights, XYZ)
    assert found[0] == expected[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g,
        lambda g: -g,
        lambda g: 1e-20 * g,
        lambda g: 1e12 * g,
        lambda g: 0.5 * g + 1e3,
        lambda g: g.astype(np.float32).astype(np.float64),
    ],
)
def test_what_fits_exactly_or_nearly_is_found(change) -> None:
    _, target, weights = points(2, 200)
    given = change(target)
    scale, shift = anchored_fit(given, target, weights, XYZ)
    np.testing.assert_allclose(scale * given + shift, target, rtol=1e-6, atol=1e-6)


def test_one_point_everywhere_has_no_scale() -> None:
    _, target, weights = points(2, 5)
    scale, shift = anchored_fit(np.ones((5, 3)), target, weights, XYZ)
    assert scale == 0
    # Each axis at a weighted median of its own.
    assert all(shift[axis] in target[:, axis] for axis in range(3))


def test_ties_are_free_by_hand() -> None:
    # z is 2 at three of four points, where the truth is 1, 5 and 6: about any of them the others
    # cost nothing. So the anchor's own z is met, and no scale is fitted to the spread of the rest.
    guess = np.array([[0.0, 0, 2], [1, 0, 2], [2, 1, 2], [3, 1, 4]])
    target = np.array([[0.0, 0, 1], [1, 0, 5], [2, 1, 6], [3, 1, 8]])
    scale, shift = anchored_fit(guess, target, np.ones(4), XYZ)
    assert scale == 1.0
    assert shift.tolist() == [0, 0, 4]  # 6 - 2, by which z = 4 meets 8, too: the cost is 0
