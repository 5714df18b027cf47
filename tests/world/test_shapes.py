from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.world.layout.drawing import draw_extent
from g2vlm_bench.world.scene import SIZES
from g2vlm_bench.world.shapes import (
    AXES,
    KINDS,
    PRIMITIVES,
    TONES,
    Part,
    part_distance_m,
    spoken,
)


def inside(part: Part, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Membership by the plain definition of each solid."""
    local = points - part.center_m
    half = np.array(part.extent_m) / 2
    if part.primitive == "box":
        return (np.abs(local) < half).all(axis=1)
    if part.primitive == "sphere":
        return (local**2).sum(axis=1) < half[0] ** 2
    axis = AXES.index(part.axis)
    others = [i for i in range(3) if i != axis]
    radial, along = np.sqrt((local[:, others] ** 2).sum(axis=1)), local[:, axis]
    radius, reach = half[others[0]], half[axis]
    if part.primitive == "cylinder":
        return (radial < radius) & (np.abs(along) < reach)
    if part.primitive == "cone":
        return (along > -reach) & (radial < radius * (reach - along) / (2 * reach))
    return (radial - (radius - reach)) ** 2 + along**2 < reach**2


PARTS = [
    Part("box", (0.1, 0.2, 0.3), (0.4, 0.6, 0.8)),
    Part("sphere", (0.1, 0.2, 0.3), (0.6, 0.6, 0.6)),
    Part("cylinder", (0.1, 0.2, 0.3), (0.5, 0.5, 0.8)),
    Part("cylinder", (0.1, 0.2, 0.3), (0.2, 0.7, 0.7), axis="x"),
    Part("cylinder", (0.1, 0.2, 0.3), (0.7, 0.3, 0.7), axis="y"),
    Part("cone", (0.1, 0.2, 0.3), (0.6, 0.6, 0.9)),
    Part("torus", (0.1, 0.2, 0.3), (0.9, 0.9, 0.24)),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.primitive + part.axis)
def test_signed_distance_is_exact(part: Part) -> None:
    rng = np.random.default_rng(0)
    cloud = part.center_m + rng.uniform(-1, 1, (40000, 3)) * np.array(part.extent_m)
    held = inside(part, cloud)
    distance = part_distance_m(part, cloud)
    np.testing.assert_array_equal(distance < 0, held)
    # A ball as large as the distance touches the other side of the surface, but does not cross it.
    step = 1e-5
    gradient = np.stack(
        [
            part_distance_m(part, cloud[:400] + step * axis)
            - part_distance_m(part, cloud[:400] - step * axis)
            for axis in np.eye(3)
        ],
        axis=-1,
    ) / (2 * step)
    foot = cloud[:400] - distance[:400, None] * gradient
    np.testing.assert_allclose(np.quantile(np.abs(part_distance_m(part, foot)), 0.95), 0, atol=1e-4)
    for point, reach in zip(cloud[:100], distance[:100], strict=True):
        others = cloud[held] if reach > 0 else cloud[~held]
        assert np.linalg.norm(others - point, axis=1).min() > abs(reach) - 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_built_within_their_extent(kind: str) -> None:
    rng = np.random.default_rng(1)
    for size in SIZES:
        extent = draw_extent(rng, kind, size, 1.0)
        low, high = KINDS[kind].sizes_m[size]
        assert low - 2e-3 <= max(extent) <= high + 2e-3
        parts = KINDS[kind].build(extent)
        lows = np.min([np.subtract(p.center_m, np.array(p.extent_m) / 2) for p in parts], axis=0)
        highs = np.max([np.add(p.center_m, np.array(p.extent_m) / 2) for p in parts], axis=0)
        half = np.array(extent) / 2
        np.testing.assert_allclose(lows, [-half[0], -half[1], 0], atol=1e-9)
        np.testing.assert_allclose(highs, [half[0], half[1], extent[2]], atol=1e-9)
        for part in parts:
            assert part.primitive in PRIMITIVES
            assert not part.tone or part.tone in TONES
            round_extents = [
                e for e, axis in zip(part.extent_m, AXES, strict=True) if axis != part.axis
            ]
            assert part.primitive == "box" or round_extents[0] == pytest.approx(round_extents[1])
        # Something of it shows its color.
        assert any(not part.tone for part in parts)


@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_and_feet_touch_the_thing(kind: str) -> None:
    rng = np.random.default_rng(2)
    extent = draw_extent(rng, kind, "medium", 1.0)
    parts = KINDS[kind].build(extent)

    def distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.min([part_distance_m(part, points) for part in parts], axis=0))

    for surface in KINDS[kind].surfaces(extent):
        unit = rng.uniform(-1, 1, (500, 2))
        if surface.round:
            unit = unit[np.linalg.norm(unit, axis=1) < 1]
        on = np.column_stack([unit * surface.half_m, np.zeros(len(unit))]) + surface.center_m
        np.testing.assert_allclose(distance(on), 0, atol=1e-9)
        up = min(surface.clearance_m, 0.3)
        assert (distance(on + np.array([0, 0, 0.9 * up])) > 0).all()
        if math.isfinite(surface.clearance_m):
            assert (distance(on + np.array([0, 0, surface.clearance_m + 1e-4])) < 0).all()
        # Whole millimetres: what stands there has a place without a remainder.
        assert surface.center_m[2] == pytest.approx(round(surface.center_m[2], 3), abs=1e-12)
    foot = KINDS[kind].foot(extent)
    reach = np.array(foot.half_m)
    assert (reach <= np.array(extent[:2]) / 2 + 1e-9).all()
    if kind not in ("sphere", "car"):
        angle = rng.uniform(0, 2 * np.pi, 100)
        rim = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle]) * [*reach, 0]
        corners = np.array([[x, y, 0] for x in (-1, 1) for y in (-1, 1)]) * [*reach, 0]
        assert np.abs(distance(rim if foot.round else corners)).max() < 1e-2 * max(extent)


def test_a_torus_is_called_a_ring() -> None:
    assert (spoken("torus"), spoken("box")) == ("ring", "box")
