"""What the cameras of a scene see of each thing, in shares of their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.scene import Body, Camera, Strip

_STEPS, _LEG_POINTS, _HIDDEN_SHARE = 40, 6, 0.34


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What the V cameras of one scene see of its B bodies; the body of id i stands at i - 1.

    Attributes:
        share: `(V, B)` visible pixels of each body over the picture's pixels.
        amodal_share: `(V, B)` pixels that it would fill alone in the place, over the picture's;
            never less than `share`.
        hidden_by: `(V, B, B)`; `[v, a, b]` is the share of the picture's pixels where a is what is
            seen and b lies behind it. 0 where a is b.
    """

    share: NDArray[np.float64]
    amodal_share: NDArray[np.float64]
    hidden_by: NDArray[np.float64]

    @property
    def visibility(self) -> NDArray[np.float64]:
        """`(V, B)` visible share of what the picture would show of each body alone, in [0, 1].

        NaN where it would show nothing.
        """
        amodal = self.amodal_share
        return np.divide(self.share, amodal, out=np.full_like(amodal, np.nan), where=amodal > 0)


def hides(body: Body, camera: Camera, lines: Sequence[Strip]) -> NDArray[np.bool_]:
    """Which of 6 points of each leg of lines on the floor a body hides, `(legs, 6)`."""
    points = np.concatenate([line.line_m(_LEG_POINTS) for line in lines])
    return hides_points(body, camera, points).reshape(-1, _LEG_POINTS)


def hides_points(
    body: Body, camera: Camera, points: NDArray[np.float64], steps: int = _STEPS
) -> NDArray[np.bool_]:
    """Which of some points of the world, `(N, 3)`, a body hides from a camera, `(N,)`.

    It is looked for at so many places of the way to each point: what is thinner than a step may
    be missed.
    """
    eye = np.array(camera.position_m)
    between = eye + np.linspace(0.0, 0.98, steps)[:, None, None] * (points - eye)
    away = np.hypot(*(between[..., axis] - body.base_m[axis] for axis in (0, 1)))
    # A way is mostly far from a body: its parts need not be looked at there.
    inside = (away < body.footprint_radius_m) & (between[..., 2] < body.top_m)
    inside[inside] = body.distance_m(between[inside]) < 0
    return np.asarray(inside.any(axis=0))


def is_plain(hidden: NDArray[np.bool_]) -> bool:
    """Whether two thirds of each leg are left of what `hides` tells of some bodies."""
    return bool((hidden.mean(axis=1) <= _HIDDEN_SHARE).all())
