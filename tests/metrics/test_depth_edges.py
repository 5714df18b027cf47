"""Depth edges: by hand, against a loop over pixels, and what has no edge."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.metrics.depth_edges import MAP_METRICS, boundary_f1

THRESHOLDS = np.linspace(0.05, 0.25, 10, dtype=np.float32).astype(float)


def steps(seed: int, size: tuple[int, int] = (14, 17)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.choice([1.0, 1.1, 1.2, 2.0], size)
    prediction = target * rng.uniform(0.9, 1.1, size)
    return prediction, target, rng.random(size) < 0.8


def slowly(prediction, target, mask, radius: int, every_threshold: bool) -> float:
    height, width = target.shape
    scores, weights = [], []
    for t in THRESHOLDS:
        counts = np.zeros((2, 2), int)
        for i in range(radius, height - radius):
            for j in range(radius, width - radius):
                for a in range(i - radius, i + radius + 1):
                    for b in range(j - radius, j + radius + 1):
                        near = (a - i) ** 2 + (b - j) ** 2 <= radius**2
                        if near and mask[i, j] and mask[a, b]:
                            found = prediction[a, b] / prediction[i, j] > 1 + t
                            counts[int(found), int(target[a, b] / target[i, j] > 1 + t)] += 1
        if every_threshold or counts[:, 1].any():
            both = counts[1, 1]
            scores.append(2 * both / max(counts[1].sum() + counts[:, 1].sum(), 1))
            weights.append(t)
    return float(np.average(scores, weights=weights))


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("every_threshold", [False, True])
def test_agreement_with_a_loop_over_pixels(radius, every_threshold) -> None:
    pair = steps(radius)
    found = boundary_f1(*pair, radius=radius, every_threshold=every_threshold)
    assert found == pytest.approx(slowly(*pair, radius, every_threshold), rel=1e-12)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_few_edges_count_as_many_do(radius) -> None:
    # Some pixels are deeper than all others, two of them beside the border and in a corner.
    rng = np.random.default_rng(0)
    target = np.ones((18, 24))
    target[[4, 9, 9, 0, 17], [5, 11, 20, 12, 23]] = [1.06, 1.3, 1.15, 2.0, 2.0]
    for prediction in (np.sqrt(target), target * rng.uniform(0.8, 1.2, target.shape)):
        mask = rng.random(target.shape) < 0.9
        found = boundary_f1(prediction, target, mask, radius=radius)
        expected = slowly(prediction, target, mask, radius, every_threshold=False)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", [0.05, 0.1, 0.25])
def test_steps_of_just_an_edges_height_fall_where_single_precision_puts_them(step) -> None:
    # Depth in steps, as files hold it: many ratios are 1 + t but for the rounding.
    rng = np.random.default_rng(0)
    target, prediction = (
        (np.round(rng.uniform(1, 3, (14, 17)) / step) * step).astype(np.float32) for _ in range(2)
    )
    expected = slowly_in_single_precision(prediction, target)
    assert boundary_f1(prediction, target) == pytest.approx(expected, rel=1e-12)


def slowly_in_single_precision(prediction: np.ndarray, target: np.ndarray) -> float:
    """MoGe's definition for radius 1, heights without a true edge left out."""
    centres = slice(1, -1), slice(1, -1)
    neighbours = [
        (slice(1 + i, 13 + i), slice(1 + j, 16 + j)) for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))
    ]
    scores, weights = [], []
    for t in THRESHOLDS:
        labels = [
            np.array([values[n] / values[centres] > np.float32(1 + t) for n in neighbours])
            for values in (prediction, target)
        ]
        if labels[1].any():
            both = (labels[0] & labels[1]).sum()
            scores.append(2 * both / (labels[0].sum() + labels[1].sum()))
            weights.append(t)
    return float(np.average(scores, weights=weights))


def test_one_edge_by_hand() -> None:
    # A wall at 1 m before one at 1.1 m: an edge at the heights 0.05, 0.072 and 0.094 only.
    target = np.where(np.arange(8) < 4, 1.0, 1.1) * np.ones((6, 1))
    assert boundary_f1(target, target) == 1
    share = THRESHOLDS[:3].sum() / THRESHOLDS.sum()
    assert boundary_f1(target, target, every_threshold=True) == pytest.approx(share)
    # One pixel to the side no edge is met.
    assert boundary_f1(np.roll(target, 1, axis=1), target) == 0


@pytest.mark.parametrize("name", MAP_METRICS)
def test_what_the_mask_hides_does_not_count_and_scale_does_not_matter(name) -> None:
    prediction, target, mask = steps(5)
    spoiled = np.where(mask, 3 * prediction, np.nan), np.where(mask, target, -1.0), mask
    expected = MAP_METRICS[name](prediction, target, mask)
    assert MAP_METRICS[name](*spoiled) == pytest.approx(expected, rel=1e-12)


def test_what_has_no_edge_has_no_score() -> None:
    flat = np.ones((6, 8))
    with pytest.raises(ValueError, match="expected an edge"):
        boundary_f1(flat, flat)
    with pytest.raises(ValueError, match="larger than twice"):
        boundary_f1(flat, flat, radius=3)
    _, target, _ = steps(1)
    assert boundary_f1(np.zeros_like(target), target) == 0
    assert boundary_f1(np.full_like(target, -1.0), target) == 0
