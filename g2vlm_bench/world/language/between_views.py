"""What changes from one picture to the next: the camera, the view, the place of each thing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.candidates import Candidate, Words, either, measured, odd_evened, pick
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import Seen, picture
from g2vlm_bench.world.language.views import corners
from g2vlm_bench.world.scene import Body

THIRDS = ("left third", "middle third", "right third")
_MIN_TURN_DEG = 10.0
# Of a way, the share that must go to a side for it to be called by that side.
_CLEAR_WAY = 0.45
# From the borders between thirds of a picture, as a share of its width.
_THIRD_MARGIN = 0.05
_EDGE_PERCENT = 3
_SOLID = ("box", "sphere", "cylinder", "cone")


def camera_motion(seen: Seen) -> Iterator[Candidate]:
    """How the camera moved and turned from a picture to the next, as a choice and in numbers.

    Margins: it turned by at least 10 degrees to the side, less than 150; a way is called left when
    45 % of it goes there. Numbers: the straight way in metres, the whole turn in degrees.
    """
    if seen.view + 1 >= seen.views:
        return
    one, two = _poses(seen)
    words = _words(seen)
    way = one[:3, :3].T @ (two[:3, 3] - one[:3, 3])
    moved = float(np.linalg.norm(way))
    turn = one[:3, :3].T @ two[:3, :3]
    yaw = math.degrees(math.atan2(turn[0, 2], turn[2, 2]))
    angle = math.degrees(math.acos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if _MIN_TURN_DEG <= abs(yaw) <= 150:
        yield either("turned", "turned", _side(yaw), ("left", "right"), words)
    if moved >= 0.05 and abs(way[0]) >= _CLEAR_WAY * moved:
        yield either("moved_sideways", "sideways", _side(way[0]), ("left", "right"), words)
    if moved >= 0.05 and abs(way[2]) >= _CLEAR_WAY * moved:
        along = "forward" if way[2] > 0 else "backward"
        yield either("moved_along", "along", along, ("forward", "backward"), words)
    if moved >= 0.05:
        yield measured("moved_m", "moved_m", round(moved, 3), "m", words)
    if angle >= _MIN_TURN_DEG:
        yield measured("turned_deg", "turned_deg", round(angle, 1), "deg", words)


def _poses(seen: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cameras = seen.scene.cameras
    return cameras[seen.view].world_from_camera, cameras[seen.view + 1].world_from_camera


def _words(seen: Seen) -> Words:
    return {"one": Phrase(picture(seen.view)), "two": Phrase(picture(seen.view + 1))}


def _side(value: float) -> str:
    return "right" if value > 0 else "left"


def view_change(seen: Seen) -> Iterator[Candidate]:
    """What the next picture shows that this one does not, and which way a thing goes in it.

    Margins: a thing that came or went is clear in one picture and fills nothing of the other; the
    options that did neither are clear in both. A thing goes to a side by 15 % of the picture, and
    both frames hold most of it.
    """
    if seen.view + 1 >= seen.views:
        return
    here, there = seen.view, seen.view + 1
    both = [b for b in seen.bodies if seen.is_clear(b, here) and seen.is_clear(b, there)]
    for kind, was, then in (("appears", here, there), ("disappears", there, here)):
        new = [b for b in seen.bodies if seen.is_clear(b, then) and _absent(seen, b, was)]
        for right in new:
            for wrong in list(combinations(both, 2))[:12]:
                yield pick(kind, (kind, right.id), right, wrong, _words(seen))
    for body in both:
        before, after = (_across(seen, body, view) for view in (here, there))
        whole = all(seen.is_mostly_framed(body, view) for view in (here, there))
        if whole and abs(after - before) >= 0.15:
            words: Words = {**_words(seen), "a": body}
            fact = ("shifts", body.id)
            answer = _side(after - before)
            yield either("shifts", fact, answer, ("left", "right"), words, (body,))


def _absent(seen: Seen, body: Body, view: int) -> bool:
    return float(seen.sight.share[view, body.id - 1]) == 0


def _image_point(seen: Seen, body: Body, view: int) -> tuple[float, float]:
    """Where the middle of a body is in a square picture, as shares of its width and height."""
    still, camera = seen.scene.shot(view)
    x, y, z = camera.in_camera(still.body(body.id).center_m)
    reach = 2 * math.tan(math.radians(camera.fov_deg) / 2)
    return 0.5 + x / z / reach, 0.5 + y / z / reach


def _across(seen: Seen, body: Body, view: int) -> float:
    aspect = max(seen.aspect, 1.0)
    return 0.5 + (_image_point(seen, body, view)[0] - 0.5) / aspect


def _down(seen: Seen, body: Body, view: int) -> float:
    tall = max(1 / seen.aspect, 1.0)
    return 0.5 + (_image_point(seen, body, view)[1] - 0.5) / tall


def correspondence(seen: Seen) -> Iterator[Candidate]:
    """Where the thing that is leftmost, or at a marked place, of one picture is in the next.

    Margins: nothing shown reaches farther left than the middle of what is leftmost; nearest by the
    margin of `direction`, by its nearest surface too, and nothing stands on it nor it on anything
    shown; the thing is clear in both pictures and mostly in the next one's frame; thirds of the
    picture by 5 % of its width. A marked place is the middle of a solid thing that nothing hides.
    """
    if seen.view + 1 >= seen.views:
        return
    here, there = seen.view, seen.view + 1
    both = [b for b in seen.bodies if seen.is_clear(b, here) and seen.is_clear(b, there)]
    shown = [b for b in seen.bodies if not _absent(seen, b, here)]
    for extreme, body in _extremes(seen, shown):
        third = _third(_across(seen, body, there))
        if body in both and third is not None and seen.is_mostly_framed(body, there):
            words: Words = {**_words(seen), "extreme": Phrase(f"{extreme} object", (body.id,))}
            fact = ("third", body.id)
            yield either("which_third", fact, third, THIRDS, words, (), [extreme])
    solid = [b for b in both if b.kind in _SOLID]
    marked = [b for b in solid if seen.visibility[here, b.id - 1] > 0.97]
    for right in marked:
        at = [round(100 * f(seen, right, here)) for f in (_across, _down)]
        if not all(_EDGE_PERCENT <= each <= 100 - _EDGE_PERCENT for each in at):
            continue
        for wrong in list(combinations([b for b in solid if b is not right], 2))[:6]:
            words = {**_words(seen), "across": str(at[0]), "down": str(at[1])}
            yield odd_evened(pick("marked", ("marked", right.id), right, wrong, words))


def _extremes(seen: Seen, shown: Sequence[Body]) -> Iterator[tuple[str, Body]]:
    """What is leftmost, rightmost or nearest, whichever part of it and of the others is meant.

    A table reaches farther left than what stands on it, and nearer.
    """
    if len(shown) < 2:
        return
    for extreme, side in (("leftmost", -1), ("rightmost", 1)):
        first = max(shown, key=lambda body: side * seen.bearing_deg(body))
        others = [_reach_deg(seen, body, side) for body in shown if body is not first]
        if side * seen.bearing_deg(first) >= max(others):
            yield extreme, first
    nearest = min(shown, key=seen.depth_m)
    if all(seen.is_nearer(nearest, other) for other in shown if other is not nearest):
        yield "nearest", nearest


def _reach_deg(seen: Seen, body: Body, side: int) -> float:
    """How far the box about a body reaches to a side, -1 for the left."""
    x, _, z = seen.camera.in_camera(corners(body)).T
    return float(np.degrees(side * np.arctan2(x, z)).max()) if z.min() > 0 else math.inf


def _third(across: float) -> str | None:
    """The third of a picture that a place is in, where that is plain."""
    if not 0 < across < 1 or min(abs(across - 1 / 3), abs(across - 2 / 3)) < _THIRD_MARGIN:
        return None
    return THIRDS[int(across * 3)]
