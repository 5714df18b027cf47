"""Descriptions, grounding and retrieval, scored on made-up scenes."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, Inputs, ObjectTruth, Prediction, Target, Want

FACTS = frozenset(
    {
        ("red box", "is", "there"),
        ("box", "is", "there"),
        ("blue table", "is", "there"),
        ("table", "is", "there"),
        ("red box", "on", "blue table"),
    }
)
DESCRIPTION = "A red box is on the blue table. There is a box. There is a table."


def values(family, target, prediction, ambiguity=Ambiguity.METRIC):
    scores = family.score(target, prediction, ambiguity).values
    return {name.removesuffix("@strict"): value for name, value in scores.items()}


# --------------------------------------------------------------------------------------- describe


@pytest.fixture
def describe(load_family):
    metrics = ["fact_precision", "fact_recall", "fact_f1", "fact_decided", "chrf"]
    return load_family("scene_language", metrics, options={"ask": "describe"})


def test_a_description_is_scored_by_its_facts(describe) -> None:
    target = Target(answer=DESCRIPTION, accepted=("Something else.",), facts=FACTS)
    assert values(describe, target, describe.truth(target)) == dict.fromkeys(
        ["fact_precision", "fact_recall", "fact_f1", "fact_decided", "chrf"], 1.0
    )
    # Of four facts (red box, is, there), (blue table, is, there), and two relations, one is wrong.
    said = "The red box is on the blue table. The blue table is in front of the red box."
    found = values(describe, target, Prediction(answer=said))
    assert found["fact_precision"] == pytest.approx(3 / 4)
    assert found["fact_recall"] == pytest.approx(3 / 5)
    assert found["fact_f1"] == pytest.approx(2 / 3)
    assert 0 < found["chrf"] < 1


def test_what_no_margin_decides_counts_for_and_against_nothing(describe) -> None:
    undecided = frozenset({("blue table", "in front of", "red box"), ("lamp", "is", "there")})
    target = Target(answer=DESCRIPTION, facts=FACTS, undecided=undecided)
    # Four facts as above: the one that was wrong is open now.
    said = "The red box is on the blue table. The table is in front of the red box."
    found = values(describe, target, Prediction(answer=said))
    assert found["fact_precision"] == 1.0
    assert found["fact_recall"] == pytest.approx(4 / 5)
    assert found["fact_decided"] == pytest.approx(4 / 5)
    # A wrong fact stays one: the fifth.
    found = values(describe, target, Prediction(answer=f"{said} The red box hides the table."))
    assert found["fact_precision"] == pytest.approx(4 / 5)
    assert found["fact_decided"] == pytest.approx(5 / 6)


@pytest.mark.parametrize("text", ["", "I cannot see anything.", "No red box is there."])
def test_silence_and_denial_state_nothing(describe, text) -> None:
    target = Target(answer=DESCRIPTION, facts=FACTS)
    found = values(describe, target, Prediction(answer=text))
    assert (found["fact_precision"], found["fact_recall"], found["fact_f1"]) == (0, 0, 0)


# ----------------------------------------------------------------------------------------- locate


@pytest.fixture
def locate(load_family):
    metrics = ["mask_iou", "mask_iou_at_50", "location_error", "location_at_25cm"]
    return load_family("scene_language", metrics, options={"ask": "locate"})


@pytest.fixture
def found_object() -> Target:
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    center = np.array([0.0, 0.0, 2.0])
    thing = ObjectTruth(name="red box", masks=(mask, np.zeros((4, 4), bool)), center=center)
    return Target(objects=(thing,))


def test_an_object_is_found_by_its_pixels_and_its_place(locate, found_object) -> None:
    assert values(locate, found_object, locate.truth(found_object)) == {
        "mask_iou": 1.0, "mask_iou_at_50": 1.0, "location_error": 0.0, "location_at_25cm": 1.0,
    }  # fmt: skip
    wider = np.zeros((4, 4), bool)
    wider[:2, :3] = True
    nothing = np.zeros((4, 4), bool)
    near = Prediction(masks=(wider, nothing), location=np.array([0.0, 0.3, 2.4]))
    found = values(locate, found_object, near)
    assert found["mask_iou"] == pytest.approx(4 / 6)
    assert found["location_error"] == pytest.approx(0.5)
    assert found["location_at_25cm"] == 0.0


def test_half_an_answer_is_scored_as_such(locate, found_object, score) -> None:
    only_masks = Prediction(masks=found_object.objects[0].masks)
    assert set(values(locate, found_object, only_masks)) == {"mask_iou", "mask_iou_at_50"}
    # A place up to scale is no place in metres.
    unscaled = Prediction(location=np.array([0.0, 0.0, 2.0]))
    line = score(locate, found_object, unscaled, Ambiguity.SCALE)
    assert line.status == "failed"
    assert "a location in metres, got neither" in line.error.message
    assert frozenset({Want.MASKS}) in locate.wants


def test_a_place_that_is_none_fails(locate, found_object, score) -> None:
    line = score(locate, found_object, Prediction(location=np.array([0.0, np.nan, 2.0])))
    assert (line.status, "finite location" in line.error.message) == ("failed", True)


# --------------------------------------------------------------------------------------- retrieve


@pytest.fixture
def retrieve(load_family):
    metrics = ["recall_1", "recall_5", "recall_10", "median_rank"]
    return load_family("scene_language", metrics, options={"ask": "retrieve"})


def targets(count: int) -> list[Target]:
    names = [f"scene{i}" for i in range(count)]
    queries = [Target(pair=name, role="query") for name in names]
    return queries + [Target(pair=name, role="item") for name in names]


@pytest.fixture
def retrieved(retrieve, score):
    """Numbers of a run of queries, then items, each with its embedding, None where it failed."""

    def numbers(embeddings):
        count = len(embeddings) // 2
        pairs = [
            (target, None if e is None else Prediction(embedding=np.asarray(e, np.float64)))
            for target, e in zip(targets(count), embeddings, strict=True)
        ]
        pool = retrieve.pool(iter(pairs))
        lines = [
            score(retrieve, t, p or RuntimeError("no"), id=f"s{i}", pool=pool)
            for i, (t, p) in enumerate(pairs)
        ]
        columns = aggregate(retrieve.specs, lines).columns
        found = {name: column.result(seed=0) for name, column in columns.items()}
        return {name.removesuffix("@strict"): r.value for name, r in found.items()}, lines

    return numbers


def test_truth_finds_every_scene_first(retrieve, retrieved) -> None:
    perfect = [retrieve.truth(target).embedding for target in targets(12)]
    found, lines = retrieved(perfect)
    assert found == {"recall_1": 1.0, "recall_5": 1.0, "recall_10": 1.0, "median_rank": 1.0}
    assert all(line.status == "scored" for line in lines)


def test_ranks_by_hand(retrieved) -> None:
    items = np.eye(3)
    # The second query is nearest to the third item, then to its own.
    queries = [[1, 0, 0], [0, 0.6, 0.8], [0, 0, 5]]
    found, _ = retrieved([*queries, *items])
    assert found["recall_1"] == pytest.approx(2 / 3)
    assert found["recall_5"] == 1.0
    assert found["median_rank"] == 1.0


def test_a_constant_embedding_is_last_and_a_lost_item_helps_nobody(retrieved) -> None:
    found, _ = retrieved(np.ones((12, 4)))
    assert found["recall_5"] == 0.0
    assert found["median_rank"] == 6.0
    items = [*np.eye(3)[:2], None]
    found, lines = retrieved([*np.eye(3), *items])
    # Two have the lost one ahead of them, and its own query has lost all.
    assert found["recall_1"] == 0.0
    assert found["median_rank"] == 2.0
    assert [line.status for line in lines][-1] == "failed"


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, 0.0, 0.0]])
def test_an_embedding_without_a_direction_fails(retrieved, bad) -> None:
    _, lines = retrieved([bad, [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert [line.status for line in lines] == ["failed", "scored", "scored", "scored"]


def test_chance_is_one_over_the_scenes(retrieved) -> None:
    rng = np.random.default_rng(0)
    found, _ = retrieved(rng.standard_normal((800, 16)))
    assert found["recall_10"] == pytest.approx(10 / 400, abs=0.02)
    assert found["median_rank"] == pytest.approx(200, abs=25)


# ---------------------------------------------------------------------------------------- options


def test_a_task_asks_one_thing(load_family) -> None:
    with pytest.raises(BenchError, match="metrics of 'ask: describe'"):
        load_family("scene_language", ["recall_1"], options={"ask": "describe"})
    with pytest.raises(BenchError, match="ask"):
        load_family("scene_language", ["recall_1"], options={"ask": "sing"})
    with pytest.raises(BenchError, match="ask"):
        load_family("scene_language", ["recall_1"])


def test_the_prompt_is_the_question_between_what_the_task_says(load_family) -> None:
    options = {"ask": "describe", "before": "Look.", "after": "Be brief."}
    family = load_family("scene_language", ["chrf"], options=options)
    assert family.prepare(Inputs(id="a", question="What?")).prompt == "Look.\nWhat?\nBe brief."
    assert family.prepare(Inputs(id="a")).prompt is None


def test_a_query_without_its_item_fails(retrieve, score) -> None:
    query, _ = targets(1)
    line = score(retrieve, query, retrieve.truth(query), pool=retrieve.pool(iter([])))
    assert (line.status, "the item of 'scene0' among the samples" in line.error.message) == (
        "failed",
        True,
    )
