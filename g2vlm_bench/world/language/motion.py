"""Where moving things go, and where painted paths lead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.world.candidates import Candidate, Words, claim, either, evened, pick
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.language.seen import Seen, picture
from g2vlm_bench.world.language.views import door_foot, in_frame, in_sight
from g2vlm_bench.world.scene import COLORS, Body, Strip

_MIN_WAY = 0.08
_CLEAR_WAY = 0.45
_GOAL_RATIO = 1.3
_AT_THE_DOOR_M, _AWAY_M, _FREE_M, _SHUT_M = 0.6, 1.0, 0.1, -0.04
# Heights over a path at which things would be in the way, and at which what stands on it is thick.
_ON_THE_WAY_M, _AT_THE_FOOT_M = (0.03, 0.2), (0.1,)
# So many places of a path are looked at, and so many must be seen.
_LOOKED_AT, _MUST_SEE = 12, 9


def trajectory(seen: Seen) -> Iterator[Candidate]:
    """What moves, which way it goes, and what it will be nearest to after as much time again.

    Margins: between the first and the last picture it goes 8 % of its depth or more, 45 % of the
    way to the side that is named; of the things it may come near, the next nearest will be 30 %
    farther. It is taken to go on straight at its mean speed.
    """
    if not seen.is_moving or seen.views < 2:
        return
    first, camera = seen.scene.shot(0)
    last, _ = seen.scene.shot(seen.views - 1)
    words: Words = {"first": Phrase(picture(0)), "last": Phrase(picture(seen.views - 1))}
    clear = [b for b in seen.bodies if seen.is_clear(b, 0) and seen.is_clear(b, seen.views - 1)]
    movers = []
    for body in clear:
        way = last.body(body.id).center_m - first.body(body.id).center_m
        depth = float(camera.in_camera(first.body(body.id).center_m)[2])
        moves = float(np.linalg.norm(way)) >= _MIN_WAY * abs(depth)
        if moves or not way.any():
            said: Words = {**words, "a": body}
            yield claim("moves", ("moves", body.id), moves, said, (body,), ["moves"])
            yield claim("rests", ("moves", body.id), not moves, said, (body,), ["rests"])
        if moves:
            movers.append(body)
            yield from _heading(body, way @ camera.world_from_camera[:3, :3], words)
            yield from _goal(seen, clear, body, last.body(body.id).center_m + way, words)


def _heading(body: Body, way: NDArray[np.float64], words: Words) -> Iterator[Candidate]:
    """Which way it goes for the camera of the first picture."""
    total = float(np.linalg.norm(way))
    said: Words = {**words, "a": body}
    if abs(way[0]) >= _CLEAR_WAY * total:
        answer = "right" if way[0] > 0 else "left"
        fact = ("goes sideways", body.id)
        yield either("goes_sideways", fact, answer, ("left", "right"), said, (body,))
    if abs(way[2]) >= _CLEAR_WAY * total:
        options = ("towards the camera", "away from the camera")
        fact = ("goes along", body.id)
        yield either("goes_along", fact, options[int(way[2] > 0)], options, said, (body,))


def _goal(
    seen: Seen, clear: list[Body], body: Body, end: NDArray[np.float64], words: Words
) -> Iterator[Candidate]:
    """To which of two still things it will be nearer; what it goes on it is never far from."""
    still = [b for b in clear if not seen.scene.body(b.id).path_m and b.id != body.support]
    for pair in combinations(still, 2):
        far = [math.dist(b.center_m, end) for b in pair]
        if max(far) < _GOAL_RATIO * min(far):
            continue
        right, wrong = pair if far[0] < far[1] else pair[::-1]
        fact = ("goal", body.id, frozenset(b.id for b in pair))
        yield pick("goal", fact, right, [wrong], {**words, "a": body}, (body,))


def route(seen: Seen) -> Iterator[Candidate]:
    """Which of the painted paths on the floor leads to a door with nothing standing on it.

    Margins: one path ends within 0.6 m of the door and no thing is within 0.1 m of its middle line;
    each other one has a thing, plain to see, standing on its middle line, no thin leg, or ends a
    metre and more from the door. Each corner of every path, and the foot of the door, is within
    some picture, and of 12 places along every path its end and 9 in all are seen in one, but
    for what hides behind the thing that stands on it.
    """
    place = seen.scene.place
    paths = [strip for strip in place.strips if strip.color in COLORS]
    if len({path.color for path in paths}) != len(paths) or len(paths) < 2:
        return
    if not all(_is_framed(seen, (*point, 0.0)) for path in paths for point in path.points_m):
        return
    if not all(_is_plain(seen, path) for path in paths):
        return
    free_m = {path.color: _clearance_m(seen.bodies, path, _ON_THE_WAY_M) for path in paths}
    foot_m = {path.color: _clearance_m(seen.clear_any, path, _AT_THE_FOOT_M) for path in paths}
    for door in place.doors:
        foot = door_foot(place, door)
        end_m = {path.color: math.dist(path.points_m[-1], foot[:2]) for path in paths}
        colors = list(free_m)
        free = [c for c in colors if end_m[c] <= _AT_THE_DOOR_M and free_m[c] >= _FREE_M]
        shut = [c for c in colors if end_m[c] >= _AWAY_M or foot_m[c] <= _SHUT_M]
        if len(free) == 1 and len(shut) == len(paths) - 1 and _is_framed(seen, foot):
            named = f"{door.color} door" if len(place.doors) > 1 else "door"
            words: Words = {"door": Phrase(named), "shown": seen.shown}
            asked = pick("route", ("route", door.wall), free[0], shut, words)
            # Which color is right is drawn with the paths, and so are length and distance to the
            # camera; where it starts follows from those and from where all paths find a place.
            start_m = {path.color: math.dist(path.points_m[0], foot[:2]) for path in paths}
            nearer = sum(start_m[color] < start_m[free[0]] for color in shut)
            ranks = [f"{rank} start nearer to the door" for rank in range(len(paths))]
            yield evened(asked, "start", ranks[nearer], ranks)


def _clearance_m(bodies: Sequence[Body], path: Strip, heights_m: Sequence[float]) -> float:
    """Distance from a path's middle line, at some heights, to those that stand on the floor."""
    line = path.line_m(24)
    points = np.concatenate([line + np.array([0.0, 0.0, height]) for height in heights_m])
    gaps = [body.distance_m(points).min() for body in bodies if body.support == 0]
    return float(min(gaps, default=math.inf))


def _is_plain(seen: Seen, path: Strip) -> bool:
    """Whether the pictures show a path's end, and most of it."""
    points = _along(path.line_m(2), _LOOKED_AT)
    others = [b for b in seen.bodies if _clearance_m([b], path, _AT_THE_FOOT_M) > _SHUT_M]
    cameras = [seen.scene.cameras[view] for view in seen.spoken_views]
    shown = [in_sight(others, camera, points, seen.aspect) for camera in cameras]
    somewhere = np.any(shown, axis=0)
    return bool(somewhere[-1] and somewhere.sum() >= _MUST_SEE)


def _along(line: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Evenly spaced points of a line through points, `(N, 3)`."""
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=1)
    at = np.linspace(0.0, lengths.sum(), count)
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    return np.column_stack([np.interp(at, ends, line[:, axis]) for axis in range(3)])


def _is_framed(seen: Seen, point: tuple[float, float, float]) -> bool:
    """Whether the frame of some picture holds a point."""
    cameras = (seen.scene.cameras[view] for view in seen.spoken_views)
    return any(bool(in_frame(camera, [point], seen.aspect)[0]) for camera in cameras)
