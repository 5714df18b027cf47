"""What may be said of a scene without being right or wrong, against definitions of its own."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.world.descriptions import describe, scene_facts
from g2vlm_bench.world.language.facts import Fact
from g2vlm_bench.world.language.undecided import undecided_facts
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.renderer import look
from g2vlm_bench.world.scene import MATERIALS, SIZES, Body, Camera, Place, Scene, Texture
from g2vlm_bench.world.sight import Sight

PLAN = (("room", 1), ("table_top", 1), ("road", 1), ("room", 8))
World = list[tuple[Scene, Sight]]


@pytest.fixture(scope="module")
def world() -> World:
    scenes = [make_scene(seed, "test", *PLAN[seed % 4]) for seed in range(32)]
    return list(zip(scenes, look(scenes, 2), strict=True))


def test_no_fact_is_both_true_and_undecided(world: World) -> None:
    for scene, sight in world:
        undecided = undecided_facts(scene, sight)
        assert undecided
        assert not undecided & scene_facts(scene, sight)
        assert not undecided & describe(scene, sight, 0).facts


def test_what_is_plainly_the_other_way_round_is_wrong(world: World) -> None:
    """The opposite of a fact is no matter of opinion."""
    for scene, sight in world:
        undecided = undecided_facts(scene, sight)
        for a, relation, b in scene_facts(scene, sight):
            if relation in ("left of", "in front of"):
                assert (b, relation, a) not in undecided


def test_numbers_reach_from_the_plain_to_the_shown(world: World) -> None:
    for scene, sight in world:
        for name, relation, number in undecided_facts(scene, sight):
            if relation == "number" and not name.endswith(" object"):
                shown = [b for b in scene.bodies if sight.share[:, b.id - 1].any()]
                alike = [b for b in shown if b.noun == name or (name, b.kind) == ("box", "shelf")]
                assert 0 <= int(number) <= len(alike)


def made(*bodies: Body) -> tuple[Scene, Sight]:
    grey = Texture(((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 0.5, 0.0)
    place = Place("room", 8.0, 8.0, 3.0, grey, grey)
    camera = Camera((-3.5, 0.0, 1.4), (0.0, 0.0, 0.5), 0.0, 70.0)
    scene = Scene("made", "test", 0, place, bodies, (), (camera,))
    return scene, look([scene], 1)[0]


def thing(
    number: int, kind: str, color: str, at: tuple[float, float, float], support: int = 0,
    inside: bool = False, extent: tuple[float, float, float] = (0.5, 0.5, 0.5),
) -> Body:  # fmt: skip
    return Body(number, kind, color, "matte", "medium", extent, at, 0.0, support, inside)


def stated(scene: Scene, sight: Sight, *facts: Fact) -> list[str]:
    """What becomes of each: right, wrong or open."""
    true, undecided = scene_facts(scene, sight), undecided_facts(scene, sight)
    return ["right" if f in true else "open" if f in undecided else "wrong" for f in facts]


def test_left_and_nearer_by_their_margins() -> None:
    # Both 3.5 m before the camera; then the second is 1 m to the left (2 m behind, to its right).
    scene, sight = made(thing(1, "box", "red", (0, 0, 0)), thing(2, "box", "blue", (0, 1, 0)))
    red, blue = "red box", "blue box"
    assert stated(
        scene, sight, (blue, "left of", red), (red, "left of", blue),
        (red, "in front of", blue), (blue, "in front of", red), (red, "hides", blue),
    ) == ["right", "wrong", "open", "open", "wrong"]  # fmt: skip


def test_on_what_only_carries_the_carrier() -> None:
    wide = (1.2, 1.2, 0.5)
    scene, sight = made(
        thing(1, "table", "red", (0, 0, 0), extent=wide),
        thing(2, "box", "blue", (0, 0, 0.5), support=1, extent=(0.6, 0.6, 0.3)),
        thing(3, "cylinder", "green", (0, 0, 0.8), support=2, extent=(0.3, 0.3, 0.3)),
    )
    table, box, tin = "red table", "blue box", "green cylinder"
    assert stated(
        scene, sight, (tin, "on", box), (tin, "on", table), (tin, "on", "floor"), (box, "on", tin),
        (box, "in", table), (tin, "left of", box),
    ) == ["right", "open", "wrong", "wrong", "wrong", "open"]  # fmt: skip


def test_nothing_said_of_what_is_hardly_shown_is_wrong() -> None:
    # A wall of a box before a small one: a corner of that is seen.
    scene, sight = made(
        thing(1, "box", "red", (0, 0, 0), extent=(0.3, 1.2, 1.2)),
        thing(2, "sphere", "blue", (1.5, 0.88, 0), extent=(0.4, 0.4, 0.4)),
    )
    share, whole = sight.share[0, 1], sight.visibility[0, 1]
    assert share > 0
    assert share < 0.004 or whole < 0.3
    ball = "blue sphere"
    facts = [
        (ball, "is", "there"), ("sphere", "is", "there"), ("blue object", "is", "there"),
        (ball, "is", SIZES[0]), (ball, "is", MATERIALS[0]), (ball, "on", "floor"),
        (ball, "left of", "red box"), ("red box", "hides", ball), ("sphere", "number", "1"),
        ("blue object", "number", "1"),
    ]  # fmt: skip
    assert stated(scene, sight, *facts) == ["open"] * len(facts)
    assert stated(
        scene, sight, ("green sphere", "is", "there"), ("sphere", "number", "2"),
        (ball, "in", "red box"), ("red box", "is", "there"), ("red box", "on", ball),
    ) == ["wrong", "wrong", "wrong", "right", "wrong"]  # fmt: skip


def test_an_empty_scene_leaves_nothing_open() -> None:
    scene, _ = made()
    empty = Sight(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros((1, 0, 0)))
    assert undecided_facts(scene, empty) == frozenset()
