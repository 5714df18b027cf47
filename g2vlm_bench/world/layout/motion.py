"""Sets things in motion so that nothing runs into anything, at any time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.world.layout.arrange import Arrangement
from g2vlm_bench.world.layout.drawing import point, uniform
from g2vlm_bench.world.layout.solids import Solid, apart, outline, own_solids, turned
from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS, Vector

# Prisms of a body, moment by moment.
Moments = list[list[Solid]]

MOVERS = ("sphere", "box", "car", "person")
# Times at which a moving body is looked at, from the first frame to the last. No step between two
# of them is longer than the gap that is kept, so that nothing can slip through.
MOMENTS = 33
_TRIES = 20
_BEND_CHANCE = 0.4
_LEGS = 4
# Least and greatest length of a way in metres; things on a table top go a part of it.
_LENGTHS_M = {"sphere": (0.8, 2.4), "box": (0.6, 1.8), "car": (4.0, 9.0), "person": (1.5, 5.0)}
_GAP_SHARE = 1 / (MOMENTS - 1)


def set_in_motion(
    rng: np.random.Generator, arrangement: Arrangement
) -> tuple[tuple[Body, ...], list[Moments]] | None:
    """Give one to three bodies a way to go.

    Returns:
        All bodies and the prisms of each at each of the moments; None where no body can go
        anywhere.
    """
    bodies = list(arrangement.bodies)
    carriers = {body.support for body in bodies}
    able = [
        i
        for i, body in enumerate(bodies)
        if body.kind in MOVERS
        and body.id not in carriers
        and body.id not in arrangement.full
        and not body.inside
        and (body.support == 0 or bodies[body.support - 1].kind == "table")
    ]
    moments = {body.id: [arrangement.solids(body.id)] * MOMENTS for body in bodies}
    wanted = int(rng.integers(1, 4))
    moved = 0
    for i in (able[j] for j in rng.permutation(len(able))):
        if moved == wanted:
            break
        for _ in range(_TRIES):
            body = _draw_way(rng, bodies[i])
            if not all(_stands(arrangement, body, base) for base in body.path_m):
                continue
            ours = _solids_over_time(body)
            if _is_free(arrangement, body, ours, bodies, moments):
                bodies[i], moments[body.id], moved = body, ours, moved + 1
                break
    return (tuple(bodies), list(moments.values())) if moved else None


def _solids_over_time(body: Body) -> Moments:
    """The prisms of a body at each of the moments."""
    own = own_solids(body.kind, body.extent_m)
    there = (body.at(i / (MOMENTS - 1)) for i in range(MOMENTS))
    return [turned(own, still.base_m, still.yaw_deg) for still in there]


def _draw_way(rng: np.random.Generator, body: Body) -> Body:
    """Draw where a body goes: a car straight ahead, others anywhere, in an arc or straight."""
    low, high = _LENGTHS_M[body.kind]
    length = body.scale * uniform(rng, low, high)
    heading = math.radians(body.yaw_deg) if body.kind == "car" else 2 * math.pi * rng.random()
    x, y, z = body.base_m
    if body.kind == "car" or rng.random() > _BEND_CHANCE:
        end = point(x + length * math.cos(heading), y + length * math.sin(heading), z)
        return dataclasses.replace(body, path_m=(body.base_m, end))
    turn = math.radians(uniform(rng, -60, 60)) / _LEGS
    path = [body.base_m]
    for leg in range(_LEGS):
        angle = heading + leg * turn
        x += length / _LEGS * math.cos(angle)
        y += length / _LEGS * math.sin(angle)
        path.append(point(x, y, z))
    return dataclasses.replace(body, path_m=tuple(path))


def _is_free(
    arrangement: Arrangement,
    body: Body,
    ours: Moments,
    bodies: Sequence[Body],
    moments: dict[int, Moments],
) -> bool:
    """Whether a way keeps clear of all others at all times."""
    gap = max(arrangement.gap_m, math.dist(*body.path_m[:2]) * (len(body.path_m) - 1) * _GAP_SHARE)
    for other in bodies:
        if other.id == body.id:
            continue
        rise = 0.0 if other.id == body.support else arrangement.gap_m
        theirs = moments[other.id]
        if not all(apart(a, b, gap, rise) for a, b in zip(ours, theirs, strict=True)):
            return False
    return True


def _stands(arrangement: Arrangement, body: Body, base: Vector) -> bool:
    """Whether a body is within the place and wholly on its support at a point of its way."""
    there = dataclasses.replace(body, base_m=base)
    if not arrangement.holds(outline(there)):
        return False
    if body.support == 0:
        return True
    under = arrangement.bodies[body.support - 1]
    foot = KINDS[body.kind].foot(body.extent_m)
    half_x, half_y = foot.half_m
    turn = math.radians(body.yaw_deg - under.yaw_deg)
    if not foot.round:
        cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
        half_x, half_y = half_x * cosine + half_y * sine, half_x * sine + half_y * cosine
    x, y, _ = under.in_own_frame(base)
    limit_x, limit_y = under.surfaces[0].half_m
    return bool(abs(x) + half_x <= limit_x and abs(y) + half_y <= limit_y)
