from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from g2vlm_bench.world.descriptions import describe, parse_facts, recount, scene_facts, sentence
from g2vlm_bench.world.language.facts import RELATIONS, Fact
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.renderer import look
from g2vlm_bench.world.scene import Scene
from g2vlm_bench.world.sight import Sight

PLAN = (("room", 1), ("table_top", 1), ("road", 1), ("room", 8))


@pytest.fixture(scope="module")
def world() -> list[tuple[Scene, Sight]]:
    scenes = [make_scene(seed, "test", *PLAN[seed % 4]) for seed in range(48)]
    return list(zip(scenes, look(scenes, 2), strict=True))


def test_facts_are_read_back_from_every_description(world: list[tuple[Scene, Sight]]) -> None:
    for scene, sight in world:
        for seed in range(4):
            description = describe(scene, sight, seed)
            assert parse_facts(description.text) == description.facts, description.text


def test_descriptions_state_true_facts_only(world: list[tuple[Scene, Sight]]) -> None:
    recall = []
    for scene, sight in world:
        true = scene_facts(scene, sight)
        stated = describe(scene, sight, 0).facts
        assert stated <= true, stated - true
        recall.append(len(stated) / max(len(true), 1))
    assert 0.2 < np.mean(recall) < 0.9


def test_all_facts_can_be_told(world: list[tuple[Scene, Sight]]) -> None:
    for scene, sight in world:
        facts = scene_facts(scene, sight)
        assert parse_facts(recount(facts)) == facts


def test_descriptions_vary_with_the_seed_alone(world: list[tuple[Scene, Sight]]) -> None:
    scene, sight = world[0]
    texts = [describe(scene, sight, seed).text for seed in range(8)]
    assert len(set(texts)) == 8
    assert describe(scene, sight, 3).text == texts[3]


def test_from_the_left_things_come_in_the_order_of_the_picture(
    world: list[tuple[Scene, Sight]],
) -> None:
    """Against the record's coordinates; what is stated is true and can be read, as without."""
    for scene, sight in world:
        told = describe(scene, sight, 1, from_left=True)
        assert parse_facts(told.text) == told.facts <= scene_facts(scene, sight)
        still, camera = scene.shot(0)
        centers = camera.in_camera(np.array([body.center_m for body in still.bodies]))
        opening = told.text.partition(".")[0]
        named = [
            (opening.index(body.name), math.atan2(center[0], center[2]))
            for body, center in zip(still.bodies, centers, strict=True)
            if body.name in opening
        ]
        bearings = [bearing for _, bearing in sorted(named)]
        assert bearings == sorted(bearings), told.text


def test_facts_hold_by_the_record(world: list[tuple[Scene, Sight]]) -> None:
    """Against plain definitions: the record's coordinates in the first camera's frame."""
    for scene, sight in world:
        still, camera = scene.shot(0)
        bodies = {body.name: body for body in still.bodies}
        for subject, relation, target in scene_facts(scene, sight):
            if relation == "left of":
                (ax, _, az), (bx, _, bz) = (
                    camera.in_camera(bodies[name].center_m) for name in (subject, target)
                )
                assert ax / az < bx / bz
            elif relation == "in front of":
                near, far = (camera.in_camera(bodies[n].center_m)[2] for n in (subject, target))
                assert near < far
            elif relation in ("on", "in"):
                support = bodies[subject].support
                assert target == (still.body(support).name if support else "floor")
                assert bodies[subject].inside == (relation == "in")
            elif relation == "number":
                assert int(target) <= sum(set(subject.split()) - {"object"} <= {b.color, b.noun}
                                          for b in still.bodies)  # fmt: skip
            elif relation == "is" and target != "there":
                assert target in (bodies[subject].size, bodies[subject].material)


def test_facts_of_both_directions_are_one(world: list[tuple[Scene, Sight]]) -> None:
    """No fact is stated together with its opposite."""
    for scene, sight in world:
        facts = scene_facts(scene, sight)
        for a, relation, b in facts:
            if relation in RELATIONS and relation != "hides":
                assert (b, relation, a) not in facts


def there(*names: str) -> set[Fact]:
    return {(name, "is", "there") for name in names}


RED, BLUE, CONE = "red box", "blue table", "green cone"


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", set()),
        ("What a lovely day, I am sure.", set()),
        ("There is a red box.", there(RED)),
        ("A red box, a blue table and a green cone.", there(RED, BLUE, CONE)),
        ("I can see a big red wooden box", there(RED) | {(RED, "is", "large")}),
        ("There are two chairs.", {("chair", "number", "2")}),
        ("3 red objects are visible", {("red object", "number", "3")}),
        ("The red box is on the blue table.", there(RED, BLUE) | {(RED, "on", BLUE)}),
        ("On top of the blue table sits the red box", there(RED, BLUE) | {(RED, "on", BLUE)}),
        ("The blue table supports the red box.", there(RED, BLUE) | {(RED, "on", BLUE)}),
        ("The green cone is left of the red box.", there(RED, CONE) | {(CONE, "left of", RED)}),
        ("To the right of the green cone is the red box.",
         there(RED, CONE) | {(CONE, "left of", RED)}),
        ("Behind the red box there is a green cone.",
         there(RED, CONE) | {(RED, "in front of", CONE)}),
        ("The green cone is partly hidden by the red box.",
         there(RED, CONE) | {(RED, "hides", CONE)}),
        ("The red box is on the blue table and in front of the green cone.",
         there(RED, BLUE, CONE) | {(RED, "on", BLUE), (RED, "in front of", CONE)}),
        ("The red box is in front of the green cone, which is on the blue table.",
         there(RED, BLUE, CONE) | {(RED, "in front of", CONE), (CONE, "on", BLUE)}),
        ("There is a red box on the blue table.", there(RED, BLUE) | {(RED, "on", BLUE)}),
        ("The red box on the blue table is left of the green cone.",
         there(RED, BLUE, CONE) | {(RED, "on", BLUE), (RED, "left of", CONE)}),
        ("The red box and the green cone are on the blue table.",
         there(RED, BLUE, CONE) | {(RED, "on", BLUE), (CONE, "on", BLUE)}),
        ("The red box is left of the green cone and the blue table.",
         there(RED, BLUE, CONE) | {(RED, "left of", CONE), (RED, "left of", BLUE)}),
        ("The red box is on the blue table and the green cone is on the floor.",
         there(RED, BLUE, CONE) | {(RED, "on", BLUE), (CONE, "on", "floor")}),
        ("There is a red box. It is on the blue table.", there(RED, BLUE) | {(RED, "on", BLUE)}),
        ("The red box is large and glossy.",
         there(RED) | {(RED, "is", "large"), (RED, "is", "shiny")}),
        ("The shiny red box stands on the ground.",
         there(RED) | {(RED, "is", "shiny"), (RED, "on", "floor")}),
        ("The red ball is inside the blue crate.",
         there("red sphere", "blue crate") | {("red sphere", "in", "blue crate")}),
        ("The red box is closer to the camera than the green cone.",
         there(RED, CONE) | {(RED, "in front of", CONE)}),
        ("In the image, a red box partially obscures a green cone.",
         there(RED, CONE) | {(RED, "hides", CONE)}),
        ("There is a red box to the left of the blue table, and behind it a green cone.",
         there(RED, BLUE, CONE) | {(RED, "left of", BLUE)}),
        ("The red box is between the green cone and the blue table.", there(RED, BLUE, CONE)),
        ("There is no red box.", set()),
        ("The red box is not on the blue table.", set()),
        ("There is a green cone, but the red box isn't on the blue table.", there(CONE)),
    ],
)  # fmt: skip
def test_grammar(text: str, facts: set[Fact]) -> None:
    assert parse_facts(text) == facts


def test_every_relation_in_every_wording() -> None:
    for relation in RELATIONS:
        fact = ("red box", relation, "blue table")
        for seed in range(12):
            text, stated = sentence(fact, np.random.default_rng(seed))
            assert parse_facts(text) == stated == there("red box", "blue table") | {fact}, text


def test_an_empty_scene_is_described_by_nothing(world: list[tuple[Scene, Sight]]) -> None:
    scene = dataclasses.replace(world[0][0], bodies=())
    empty = Sight(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros((1, 0, 0)))
    assert scene_facts(scene, empty) == frozenset()
    assert describe(scene, empty, 0).text == ""
