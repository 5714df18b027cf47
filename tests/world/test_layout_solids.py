"""The plain-float geometry of the generator against sampled points and against `Camera`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.layout.cameras import framed
from g2vlm_bench.world.layout.solids import (
    Solid,
    apart,
    beside,
    distance_m,
    outline,
    own_solids,
    turned,
)
from g2vlm_bench.world.scene import PLACES


def draw(rng: np.random.Generator) -> Solid:
    turn = rng.uniform(0, 2 * math.pi)
    half_x, half_y = rng.uniform(0.1, 0.6, 2)
    is_round = bool(rng.random() < 0.4)
    half_y = half_x if is_round else half_y
    x, y = rng.uniform(-1, 1, 2)
    low = rng.uniform(0, 1)
    return Solid(is_round, x, y, half_x, half_y, math.cos(turn), math.sin(turn), low, low + 0.5)


def rim(solid: Solid) -> NDArray[np.float64]:
    """Points along the border of a prism seen from above, corners among them."""
    angle = np.linspace(0, 2 * np.pi, 1601)
    unit = np.column_stack([np.cos(angle), np.sin(angle)])
    if not solid.round:
        unit = unit / np.abs(unit).max(axis=1, keepdims=True)
    x, y = (unit * [solid.half_x, solid.half_y]).T
    return np.column_stack(
        [
            solid.x + solid.cosine * x - solid.sine * y,
            solid.y + solid.sine * x + solid.cosine * y,
        ]
    )


def gap(a: Solid, b: Solid) -> float:
    """Distance of two borders, by their points; 0 where one of them holds a point of the other."""
    for one, other in ((a, b), (b, a)):
        x, y = (rim(other) - [one.x, one.y]).T
        across, along = one.cosine * x + one.sine * y, one.cosine * y - one.sine * x
        held = np.hypot(across, along) < one.half_x
        if not one.round:
            held = (np.abs(across) < one.half_x) & (np.abs(along) < one.half_y)
        if held.any():
            return 0.0
    apart_by = np.linalg.norm(rim(a)[::4, None] - rim(b)[None, ::4], axis=-1)
    return float(apart_by.min())


def test_beside_and_apart_are_true_of_sampled_borders() -> None:
    rng = np.random.default_rng(0)
    agreed = 0
    for _ in range(150):
        a, b = draw(rng), draw(rng)
        found = gap(a, b)
        if beside(a, b, 0.1):
            assert found >= 0.1 - 1e-9
        # Parting lines along the edges leave out some corner against corner.
        agreed += beside(a, b, 0.1) == (found >= 0.1)
        assert beside(a, b, 0.0) == (found > 0) or found < 0.01
        assert beside(a, b, 0.1) == beside(b, a, 0.1)
        over = a.low - b.high >= 0.05 or b.low - a.high >= 0.05
        assert apart([a], [b], 0.1, 0.05) == (over or beside(a, b, 0.1))
    assert agreed > 145


def test_prisms_hold_all_of_a_body() -> None:
    rng = np.random.default_rng(1)
    for place in PLACES:
        for seed in range(6):
            for body in make_scene(seed, "test", place).bodies:
                reach = np.linalg.norm(body.extent_m)
                points = body.center_m + rng.uniform(-reach, reach, (20, 3))
                exact = body.distance_m(points)
                own = own_solids(body.kind, body.extent_m)
                for solids in (turned(own, body.base_m, body.yaw_deg), [outline(body)]):
                    bound = [distance_m(solids, tuple(map(float, point))) for point in points]
                    assert (np.array(bound) <= np.maximum(exact, 0) + 1e-9).all()


def test_framed_agrees_with_the_camera() -> None:
    rng = np.random.default_rng(2)
    for camera in make_scene(1, "train", "room").cameras:
        points = rng.uniform(-3, 3, (200, 3))
        x, y, z = camera.in_camera(points).T
        limit = 0.9 * np.tan(np.radians(camera.fov_deg) / 2)
        expected = (z > 0) & (np.maximum(np.abs(x), np.abs(y)) < limit * z)
        assert framed(camera, [tuple(point) for point in points]) == expected.tolist()
        assert 0 < expected.sum() < 200
