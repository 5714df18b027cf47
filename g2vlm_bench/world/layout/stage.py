"""A place with things in it, before anything moves and before there are cameras."""

from __future__ import annotations

from dataclasses import dataclass

from g2vlm_bench.world.layout.arrange import Arrangement
from g2vlm_bench.world.layout.cameras import DrawCamera
from g2vlm_bench.world.scene import Camera, Light, Place


@dataclass(frozen=True)
class Stage:
    """What the generators of all places have in common.

    Attributes:
        place: The place.
        arrangement: What stands in it.
        lights: Its lights.
        draw_camera: Draws a camera for a direction.
        clearance_m: What cameras keep between themselves and every body.
        eye: The first camera, where what it must see was laid out before it.
        backdrop: How many of the bodies, from the first, need not be in a picture.
    """

    place: Place
    arrangement: Arrangement
    lights: tuple[Light, ...]
    draw_camera: DrawCamera
    clearance_m: float
    eye: Camera | None = None
    backdrop: int = 0
