from __future__ import annotations

import re

import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.descriptions import parse_facts, scene_facts
from g2vlm_bench.world.language.phrases import SYNONYMS
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.queries import QUERY_KINDS, Query, captions, queries
from g2vlm_bench.world.renderer import look
from g2vlm_bench.world.scene import Body, Scene
from g2vlm_bench.world.sight import Sight

PLAN = (("room", 1), ("table_top", 1), ("road", 1), ("room", 8))


@pytest.fixture(scope="module")
def world() -> list[tuple[Scene, Sight]]:
    scenes = [make_scene(seed, "test", *PLAN[seed % 4]) for seed in range(40)]
    return list(zip(scenes, look(scenes, 2), strict=True))


def traits(body: Body) -> set[str]:
    return {body.color, body.noun, body.material, "object", *SYNONYMS.get(body.kind, ())}


def fitting(scene: Scene, query: Query, sight: Sight) -> list[int]:
    """All bodies shown that an expression fits, by plain definitions without margins."""
    phrase = query.text[query.where[0].start : query.where[0].end]
    still, camera = scene.shot(query.view)
    shown = [b for b in still.bodies if sight.share[query.view, b.id - 1] > 0]
    relation = re.search(r" (left of|right of|in front of|behind|on|in) the (.*)$", phrase)
    if query.kind == "relation" and relation:
        said = set(phrase[: relation.start()].split())
        (b,) = (body for body in shown if set(relation[2].split()) <= traits(body))
        (bx, _, bz) = camera.in_camera(b.center_m)
        found = []
        for body in shown:
            x, _, z = camera.in_camera(body.center_m)
            holds = {
                "left of": x / z < bx / bz, "right of": x / z > bx / bz,
                "in front of": z < bz, "behind": z > bz,
                "on": body.support == b.id and not body.inside,
                "in": body.support == b.id and body.inside,
            }[relation[1]]  # fmt: skip
            if holds and body is not b and said <= traits(body):
                found.append(body.id)
        return found
    if query.kind == "superlative":
        superlative, *said = phrase.split()
        group = [body for body in shown if set(said) <= traits(body)]
        measure = {"smallest": lambda b: -max(b.extent_m), "largest": lambda b: max(b.extent_m),
                   "tallest": lambda b: b.extent_m[2]}[superlative]  # fmt: skip
        return [max(group, key=measure).id]
    return [body.id for body in shown if set(phrase.split()) <= traits(body)]


def test_every_expression_fits_one_body(world: list[tuple[Scene, Sight]]) -> None:
    kinds = set()
    for scene, sight in world:
        for query in queries(scene, sight, 12, view=1):
            kinds.add(query.kind)
            if query.kind != "hider":
                assert fitting(scene, query, sight) == [query.body], query
    assert kinds == set(QUERY_KINDS)


def test_who_hides_whom_is_one(world: list[tuple[Scene, Sight]]) -> None:
    for scene, sight in world:
        for query in queries(scene, sight, 12, view=1):
            if query.kind != "hider":
                continue
            _, other = query.where
            hidden_by, outline = sight.hidden_by[1], sight.amodal_share[1]
            hides = "that hides" in query.text
            shares = [
                hidden_by[b - 1, other.body - 1] / outline[other.body - 1]
                if hides
                else hidden_by[other.body - 1, b - 1] / max(outline[b - 1], 1e-9)
                for b in range(1, len(scene.bodies) + 1)
            ]
            assert [
                b + 1 for b, share in enumerate(shares) if share > 0.05 and sight.share[1, b] > 0
            ] == [query.body]


def test_form(world: list[tuple[Scene, Sight]]) -> None:
    for scene, sight in world:
        asked = queries(scene, sight, 8)
        assert len({query.text for query in asked}) == len(asked)
        for query in asked:
            assert "{" not in query.text
            assert query.text[0].isupper()
            assert query.where[0].body == query.body
            assert "the first picture" in query.text
            for mention in query.where[1:]:
                words = set(query.text[mention.start : mention.end].split())
                assert words <= traits(scene.body(mention.body))


def test_the_first_queries_stay_when_more_are_asked(world: list[tuple[Scene, Sight]]) -> None:
    scene, sight = world[3]
    assert queries(scene, sight, 6) == queries(scene, sight, 6)
    assert queries(scene, sight, 0) == ()
    more, few = queries(scene, sight, 9), queries(scene, sight, 5)
    assert [query.body for query in more[:5]] == [query.body for query in few]


def test_impossible_counts_and_views_are_refused(world: list[tuple[Scene, Sight]]) -> None:
    scene, sight = world[0]
    with pytest.raises(BenchError, match="expected 0 or more, got -2"):
        queries(scene, sight, -2)
    with pytest.raises(BenchError, match="expected 0 to 1, got 2"):
        queries(scene, sight, 1, view=2)


def test_captions_fit_their_scene_alone(world: list[tuple[Scene, Sight]]) -> None:
    scenes, sights = zip(*world, strict=True)
    facts = [scene_facts(scene, sight) for scene, sight in world]
    made = captions(scenes, sights, seed=0)
    assert sum(text is not None for text in made) > 0.9 * len(made)
    for i, text in enumerate(made):
        if text is not None:
            stated = parse_facts(text)
            assert [j for j, true in enumerate(facts) if stated <= true] == [i]
    assert made != captions(scenes, sights, seed=1)
    assert made == captions(scenes, sights, seed=0)


def test_twins_have_no_caption(world: list[tuple[Scene, Sight]]) -> None:
    (scene, sight), *_ = world
    assert captions([scene, scene], [sight, sight], seed=0) == [None, None]
