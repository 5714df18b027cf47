"""What scenes show how often: later tests that nothing can be guessed depend on it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from functools import cache
from itertools import combinations, islice, pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.world.language.motion import door_foot, route
from g2vlm_bench.world.language.seen import Seen
from g2vlm_bench.world.layout import (
    HELD_OUT_PAIRS,
    MAX_FAMILIAR_BODIES,
    Recipe,
    make_scene,
    novelty,
)
from g2vlm_bench.world.layout.rooms import make_room
from g2vlm_bench.world.layout.routes import draw_task
from g2vlm_bench.world.layout.stage import Stage
from g2vlm_bench.world.record import to_record
from g2vlm_bench.world.renderer import look
from g2vlm_bench.world.scene import COLORS, PLACES, SPLITS, Body, Scene, Strip
from g2vlm_bench.world.shapes import KINDS


@cache
def scenes(split: str, place: str, count: int) -> tuple[Scene, ...]:
    return tuple(make_scene(seed, split, place) for seed in range(count))


def things(scene: Scene) -> tuple[Body, ...]:
    """The bodies, without the table that a table top is."""
    return scene.bodies[1:] if scene.place.kind == "table_top" else scene.bodies


@pytest.mark.parametrize("place", PLACES)
def test_splits_never_share_a_scene(place: str) -> None:
    contents = [
        json.dumps(to_record(scene)["bodies"])
        for split in SPLITS
        for scene in scenes(split, place, 60)
    ]
    ids = [scene.id for split in SPLITS for scene in scenes(split, place, 60)]
    assert len(set(contents)) == len(set(ids)) == 180


@pytest.mark.parametrize("place", PLACES)
def test_only_the_test_split_is_novel(place: str) -> None:
    for split in ("train", "validation"):
        for scene in scenes(split, place, 60):
            assert novelty(scene) == frozenset()
            assert 3 <= len(scene.bodies) <= MAX_FAMILIAR_BODIES == 6
    found = Counter(novelty(scene) for scene in scenes("test", place, 60))
    assert found == {frozenset(): 30, frozenset({"pair"}): 15, frozenset({"count"}): 15}
    many = {len(s.bodies) for s in scenes("test", place, 60) if novelty(s) == {"count"}}
    assert many == {7, 8, 9}


def test_a_tenth_of_the_pairs_is_held_out_evenly() -> None:
    assert len(HELD_OUT_PAIRS) == len(KINDS) == 14
    assert 0.08 < len(HELD_OUT_PAIRS) / (len(KINDS) * len(COLORS)) < 0.13
    assert max(Counter(color for color, _ in HELD_OUT_PAIRS).values()) == 2
    assert {color for color, _ in HELD_OUT_PAIRS} == set(COLORS)


@pytest.mark.parametrize("place", PLACES)
def test_each_color_and_kind_is_well_represented(place: str) -> None:
    bodies = [body for scene in scenes("train", place, 300) for body in things(scene)]
    colors, kinds = (Counter(getattr(b, each) for b in bodies) for each in ("color", "kind"))
    assert len(colors) == len(COLORS)
    assert min(colors.values()) > 0.6 * len(bodies) / len(colors)
    assert max(colors.values()) < 1.5 * len(bodies) / len(colors)
    assert min(kinds.values()) > 0.5 * len(bodies) / len(kinds)
    pairs = Counter((body.color, body.kind) for body in bodies)
    assert set(pairs) == {(c, k) for c in colors for k in kinds} - HELD_OUT_PAIRS
    assert min(pairs.values()) > 0.2 * len(bodies) / len(pairs)
    materials = Counter(body.material for body in bodies)
    assert min(materials.values()) > 0.15 * len(bodies)
    counts = Counter(len(scene.bodies) for scene in scenes("train", place, 300))
    assert min(counts.values()) > 30
    of_kind = Counter(
        count
        for s in scenes("train", place, 300)
        for count in Counter(b.kind for b in s.bodies).values()
    )
    assert of_kind[2] > 0.15 * of_kind.total()
    assert of_kind[3] > 0.02 * of_kind.total()


@pytest.mark.parametrize("place", PLACES)
def test_the_larger_thing_is_not_the_nearer_one(place: str) -> None:
    nearer, higher = [], []
    for scene in scenes("train", place, 300):
        eye = scene.cameras[0].position_m
        for a, b in combinations(things(scene), 2):
            large, small = sorted((a, b), key=lambda body: -max(body.extent_m))
            nearer.append(math.dist(large.center_m, eye) < math.dist(small.center_m, eye))
            higher.append(scene.cameras[0].in_camera([large.center_m, small.center_m])[:, 0])
    assert 0.46 < np.mean(nearer) < 0.54
    left = np.array([x[0] < x[1] for x in higher])
    assert 0.46 < left.mean() < 0.54


@pytest.mark.parametrize("place", PLACES)
def test_some_things_are_partly_hidden(place: str) -> None:
    looked = scenes("train", place, 60)
    hidden = []
    for scene, sight in zip(looked, look(looked, views=1), strict=True):
        shown = [body.id - 1 for body in things(scene) if sight.amodal_share[0, body.id - 1] > 4e-3]
        hidden.extend(sight.visibility[0, shown] < 0.95)
    assert 0.15 < np.mean(hidden) < 0.45


def test_things_stand_on_and_in_one_another_up_to_four_high() -> None:
    levels: Counter[int] = Counter()
    inside = 0
    for scene in (*scenes("train", "room", 300), *scenes("train", "table_top", 300)):
        for body in scene.bodies:
            level, number = 0, body.id
            while number:
                level, number = level + 1, scene.body(number).support
            levels[level] += 1
            inside += body.inside
    assert set(levels) == {1, 2, 3, 4}
    assert levels[2] > 500
    assert levels[3] > 100
    assert levels[4] > 15
    assert inside > 80


def footprint_gap_m(body: Body, line: NDArray[np.float64]) -> float:
    """Distance of points on the floor `(N, 2)` to the rectangle or circle that a body fills."""
    flat = np.column_stack([line, np.full(len(line), body.base_m[2])])
    local = body.in_own_frame(flat)[:, :2]
    half = np.array(body.extent_m[:2]) / 2
    if body.footprint_radius_m <= half.max():
        return float((np.linalg.norm(local, axis=1) - half[0]).min())
    return float(np.linalg.norm(np.maximum(np.abs(local) - half, 0), axis=1).min())


def ends_at(scene: Scene, strip: Strip) -> str:
    """Where a painted path leads, by the plain definition: `door`, `wall` or `body`."""
    door, (half_x, half_y) = scene.place.doors[0], scene.place.half_m
    x, y = strip.points_m[-1]
    off = {"east": half_x - x, "west": half_x + x, "north": half_y - y, "south": half_y + y}
    assert min(off.values()) == pytest.approx(0, abs=1e-9)
    line = np.concatenate([np.linspace(a, b, 100) for a, b in pairwise(strip.points_m)])
    gap = min(footprint_gap_m(body, line) for body in scene.bodies)
    at_door = abs(off[door.wall]) < 1e-9 and (
        abs((y if door.wall in ("east", "west") else x) - door.along_m) < door.width_m / 2
    )
    if gap <= 0:
        return "body"
    assert gap > 0.15
    return "door" if at_door else "wall"


def test_one_of_three_painted_paths_reaches_the_door() -> None:
    with_paths = [scene for scene in scenes("train", "room", 600) if scene.place.strips]
    assert 0.25 < len(with_paths) / 600 < 0.35
    right_color, all_colors = Counter[str](), Counter[str]()
    for scene in with_paths:
        strips = scene.place.strips
        assert len(scene.place.doors) == 1
        assert len({strip.color for strip in strips} - {"black", "white"}) == len(strips) == 3
        ends = [ends_at(scene, strip) for strip in strips]
        assert ends.count("door") == 1, scene.id
        right_color.update([strips[ends.index("door")].color])
        all_colors.update(strip.color for strip in strips)
    for color, times in all_colors.items():
        assert 0.15 < right_color[color] / times < 0.52, color


def test_the_first_picture_tells_which_path_reaches_the_door() -> None:
    rooms = [scene for scene in scenes("train", "room", 600) if scene.place.strips]
    able = 0
    for scene, sight in zip(rooms, look(rooms, views=1), strict=True):
        foot = door_foot(scene.place, scene.place.doors[0])[:2]
        corners = [foot, *(point for strip in scene.place.strips for point in strip.points_m)]
        assert scene.cameras[0].fov_deg <= 80
        x, y, z = scene.cameras[0].in_camera([(*corner, 0.0) for corner in corners]).T
        reach = math.tan(math.radians(scene.cameras[0].fov_deg) / 2) * z
        assert (np.maximum(np.abs(x), np.abs(y)) < 0.9 * reach).all(), scene.id
        able += any(route(Seen(scene, sight, 0, np.random.default_rng(0))))
    assert able >= 0.8 * len(rooms)


def test_paths_are_as_they_were_drawn_to_be() -> None:
    """Right is as often the shortest as the longest, and starts as often nearby as far away.

    Both are drawn first, once for a scene, and its room is tried until it is so.
    """
    drawn = [draw_task(np.random.default_rng(seed)) for seed in range(6000)]
    features = [
        [t.rank for t in drawn],
        [t.near for t in drawn],
        [t.fates.index("door") for t in drawn],
    ]
    for feature in features:
        assert np.abs(np.bincount(feature) / len(drawn) - 1 / 3).max() < 0.02
    recipe = Recipe((3, 3), ("box", "sphere", "cylinder", "cone"))
    for rank, near in product(range(3), repeat=2):
        rng = np.random.default_rng(3 * rank + near)
        task = dataclasses.replace(draw_task(rng), rank=rank, near=near)
        tried = (make_room(rng, recipe, False, task) for _ in range(200))
        made = list(islice(filter(None, tried), 2))
        assert len(made) == 2
        for stage in made:
            length, order, away, _ = right_ranks(stage)
            assert (length, away, order) == (rank, near, task.fates.index("door"))
    rooms = [scene for scene in scenes("train", "room", 600) if scene.place.strips]
    length, order, away, near_door = np.transpose([right_ranks_of(scene) for scene in rooms])
    # Of some 170 rooms a third has a standard error of 3.6 points.
    for feature in (length, order, away, near_door):
        assert np.abs(np.bincount(feature, minlength=3) / len(rooms) - 1 / 3).max() < 0.11


def right_ranks(stage: Stage) -> list[int]:
    """How many paths have less than the right one: length, order, start's distance to eye, door."""
    bodies = stage.arrangement.bodies
    assert stage.eye
    scene = Scene("room", "train", 0, stage.place, tuple(bodies), stage.lights, (stage.eye,))
    return right_ranks_of(scene)


def right_ranks_of(scene: Scene) -> list[int]:
    """The same of a whole scene, whose first camera is the eye."""
    strips, eye = scene.place.strips, scene.cameras[0].position_m[:2]
    right = [ends_at(scene, strip) for strip in strips].index("door")
    lengths = [sum(math.dist(*leg) for leg in pairwise(strip.points_m)) for strip in strips]
    away = [math.dist(strip.points_m[0], eye) for strip in strips]
    near = [math.dist(strip.points_m[0], strips[right].points_m[-1]) for strip in strips]
    return [
        sum(value < values[right] for value in values) for values in (lengths, range(3), away, near)
    ]
