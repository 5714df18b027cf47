from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2vlm_bench.world.primitives import SOLIDS, Vectors
from g2vlm_bench.world.shapes import PRIMITIVES, Part, part_distance_m

# Half extents of a primitive about z: cones taper by 0.5, the torus is 0.1 m thick.
HALF = {"torus": (0.5, 0.5, 0.1)}
RAYS = 4000


def half_of(primitive: str) -> tuple[float, float, float]:
    return HALF.get(primitive, (0.5, 0.5, 0.5))


def rays(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From a ball of 4 m towards points near the primitive, in float32's numbers."""
    rng = np.random.default_rng(seed)
    starts = rng.normal(size=(RAYS, 3))
    starts *= 4 / np.linalg.norm(starts, axis=1, keepdims=True)
    ends = rng.uniform(-0.7, 0.7, (RAYS, 3))
    ahead = (ends - starts) * rng.uniform(0.3, 3, (RAYS, 1))
    return starts.astype(np.float32).astype(float), ahead.astype(np.float32).astype(float)


def through(primitive: str, starts: NDArray[np.float64], ahead: NDArray[np.float64]):
    half = np.broadcast_to(half_of(primitive), starts.shape)
    vectors = (
        Vectors(*torch.tensor(v, dtype=torch.float32).unbind(1)) for v in (starts, ahead, half)
    )
    return (c.numpy() for c in SOLIDS[primitive].through(*vectors))


def marched(primitive: str, starts: NDArray[np.float64], ahead: NDArray[np.float64]):
    """The slow definition: step by the distance to the surface until there, or far away."""
    part = Part(primitive, (0.0, 0.0, 0.0), tuple(2 * h for h in half_of(primitive)))
    length = np.linalg.norm(ahead, axis=1)
    t, closest = np.zeros(len(starts)), np.full(len(starts), np.inf)
    for _ in range(400):
        gap = part_distance_m(part, starts + t[:, None] * ahead)
        closest = np.minimum(closest, gap)
        t = np.where(gap > 1e-7, t + np.maximum(gap, 0) / length, t)
    return t, closest, length


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_first_surface_is_where_marching_finds_it(primitive: str) -> None:
    starts, ahead = rays(0)
    enter, leave = through(primitive, starts, ahead)
    t, closest, length = marched(primitive, starts, ahead)
    hit = enter < leave
    # Along a face the march is slow: what it leaves within a millimetre is not decided by it.
    np.testing.assert_array_equal(hit[closest > 1e-3], False)
    assert hit[closest <= 1e-6].mean() > 0.995
    assert 0.2 < hit.mean() < 0.9
    both = hit & (closest <= 1e-6)
    apart = np.abs(enter - t)[both] * length[both]
    # At a graze the point slides along the ray; the surface is met all the same.
    assert np.quantile(apart, 0.98) < 1e-4
    part = Part(primitive, (0.0, 0.0, 0.0), tuple(2 * h for h in half_of(primitive)))
    points = (starts + enter[:, None] * ahead)[both]
    assert np.abs(part_distance_m(part, points)).max() < 1e-4


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_normals_are_the_gradient_of_the_distance(primitive: str) -> None:
    starts, ahead = rays(1)
    enter, leave = through(primitive, starts, ahead)
    hit = enter < leave
    points = (starts + enter[:, None] * ahead)[hit]
    half = np.broadcast_to(half_of(primitive), points.shape)
    vectors = (Vectors(*torch.tensor(v, dtype=torch.float32).unbind(1)) for v in (points, half))
    normals = torch.stack(list(SOLIDS[primitive].normal(*vectors)), dim=1).numpy()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    part = Part(primitive, (0.0, 0.0, 0.0), tuple(2 * h for h in half_of(primitive)))
    out, step = points + 2e-3 * normals, 1e-4 * np.eye(3)
    gradient = [
        (part_distance_m(part, out + e) - part_distance_m(part, out - e)) / 2e-4 for e in step
    ]
    agree = (np.stack(gradient, axis=1) * normals).sum(axis=1)
    # All but the few on an edge, where there is no one normal.
    assert (agree > 0.999).mean() > 0.98


def test_a_torus_is_seen_through_its_hole_and_hit_on_its_far_side() -> None:
    # Tube of radius 0.1 about a ring of radius 0.4.
    starts = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0], [-3.0, 0.0, 0.0], [-3.0, 0.0, 0.15]])
    ends = np.array([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0], [0.0, 0.0, 0.0], [0.4, 0.0, 0.0]])
    enter, leave = through("torus", starts, ends - starts)
    assert list(enter < leave) == [False, True, True, True]
    slant = math.hypot(3.0, 0.4)
    # Towards the ring the ray meets the tube 0.1 m before; in the plane at x = -0.5.
    assert enter[1] * slant == pytest.approx(slant - 0.1, abs=1e-5)
    assert enter[2] * 3 == pytest.approx(2.5, abs=1e-5)
    # Over the near side it passes by at (-0.4, 0.035): that is within 0.1, so it meets it there.
    assert enter[3] * 3.4 < 2.6 + 0.1


def test_a_steep_ray_enters_a_cone_from_above_and_from_below() -> None:
    starts = np.array([[0.1, 0.0, 3.0], [0.1, 0.0, -3.0], [0.6, 0.0, 3.0]])
    ahead = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    enter, leave = through("cone", starts, ahead)
    # The tip is 0.5 m up and the radius 0.5 m at the base: at 0.1 m from the axis z is 0.3.
    assert list(enter < leave) == [True, True, False]
    np.testing.assert_allclose(enter[:2], [3 - 0.3, 3 - 0.5], atol=1e-5)
    np.testing.assert_allclose(leave[:2], [3 + 0.5, 3 + 0.3], atol=1e-5)


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_rays_are_the_same_bits_in_any_company(primitive: str) -> None:
    starts, ahead = rays(2)
    together = list(through(primitive, starts, ahead))
    for some in (slice(0, 1), slice(17, 50), slice(100, 1001)):
        alone = list(through(primitive, starts[some], ahead[some]))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_[some])
