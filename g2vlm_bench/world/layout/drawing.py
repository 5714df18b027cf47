"""Draws in whole millimetres and tenths of a degree: records stay short and exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from g2vlm_bench.world.scene import SIZES
from g2vlm_bench.world.shapes import KINDS, Vector

Range = tuple[float, float]
T = TypeVar("T")

# Shares of x, y and z in a thing's extent; where y is None it is as wide as x.
_PROPORTIONS: Mapping[str, tuple[Range, Range | None, Range]] = {
    "box": ((0.7, 1.0), (0.7, 1.0), (0.55, 1.0)),
    "sphere": ((1.0, 1.0), None, (1.0, 1.0)),
    "cylinder": ((0.55, 0.85), None, (0.7, 1.2)),
    "cone": ((0.6, 0.9), None, (0.8, 1.2)),
    "torus": ((1.0, 1.0), None, (0.2, 0.32)),
    "table": ((0.65, 1.0), (0.65, 1.0), (0.45, 0.60)),
    "chair": ((0.48, 0.56), (0.48, 0.56), (1.0, 1.0)),
    "shelf": ((0.36, 0.44), (0.60, 0.80), (1.0, 1.0)),
    "crate": ((0.75, 1.0), (0.75, 1.0), (0.40, 0.65)),
    "lamp": ((0.38, 0.50), None, (1.0, 1.0)),
    "car": ((1.0, 1.0), (0.40, 0.45), (0.33, 0.38)),
    "sign": ((0.05, 0.06), (0.26, 0.32), (1.0, 1.0)),
    "person": ((0.26, 0.31), None, (1.0, 1.0)),
    "tree": ((0.45, 0.60), None, (1.0, 1.0)),
}


def mm(value: float) -> float:
    """A length in whole millimetres."""
    return round(float(value), 3)


def point(x: float, y: float, z: float) -> Vector:
    """A point in whole millimetres."""
    return mm(x), mm(y), mm(z)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A length, evenly drawn."""
    return mm(low + (high - low) * rng.random())


def angle_deg(rng: np.random.Generator, low: float, high: float) -> float:
    """An angle in tenths of a degree."""
    return round(low + (high - low) * float(rng.random()), 1)


def one_of(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of some values, all alike."""
    return values[int(rng.random() * len(values))]


def draw_size(rng: np.random.Generator, kind: str, scale: float) -> tuple[str, Vector]:
    """The size of a thing of a kind, as a word and as its extent."""
    size = one_of(rng, SIZES)
    return size, draw_extent(rng, kind, size, scale)


def draw_extent(rng: np.random.Generator, kind: str, size: str, scale: float) -> Vector:
    """An extent whose largest side is in the kind's band of a size."""
    ranges = _PROPORTIONS[kind]
    x, y, z = (0.0 if r is None else r[0] + (r[1] - r[0]) * rng.random() for r in ranges)
    y = y or x
    low, high = KINDS[kind].sizes_m[size]
    unit = scale * (low + (high - low) * rng.random()) / max(x, y, z)
    # An even number of millimetres, so that half of it is a whole number too.
    return 2 * mm(unit * x / 2), 2 * mm(unit * y / 2), 2 * mm(unit * z / 2)
