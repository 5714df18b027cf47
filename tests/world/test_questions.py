from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, project, transform
from g2vlm_bench.world.candidates import SHAPES
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import FAMILIES, Question, ask
from g2vlm_bench.world.renderer import look, render
from g2vlm_bench.world.scene import SPLITS, Body, Scene
from g2vlm_bench.world.sight import Sight

COUNT = 300
PER_SCENE = 8


@dataclass(frozen=True)
class Asked:
    scenes: list[Scene]
    sights: list[Sight]
    questions: list[tuple[Question, ...]]

    def family(self, family: str) -> list[Question]:
        return [q for asked in self.questions for q in asked if q.family == family]


def ask_of(split: str, count: int, views: int = 1) -> Asked:
    scenes = [make_scene(seed, split) for seed in range(count)]
    sights = look(scenes, views)
    return Asked(scenes, sights, ask(scenes, sights, PER_SCENE))


@pytest.fixture(scope="module")
def test_set() -> Asked:
    return ask_of("test", COUNT)


@pytest.fixture(scope="module")
def train_set() -> Asked:
    return ask_of("train", COUNT)


@pytest.fixture(scope="module")
def multi_view_set() -> Asked:
    return ask_of("test", 40, views=4)


class Witness:
    """Answers a question from its text alone, the record, and full pictures: the slow way."""

    def __init__(self, scene: Scene, views: int) -> None:
        self.scene = scene
        side = 160
        seen = render([(scene, camera) for camera in scene.cameras[:views]], side, side)
        self.ids = seen.instance_ids.numpy()
        self.depth_m = seen.depth_m[0].numpy()
        pose = scene.cameras[0].world_from_camera
        centers = np.array([[*b.base_m[:2], b.base_m[2] + b.extent_m[2] / 2] for b in scene.bodies])
        self.centers = transform(centers, invert_pose(pose))
        self.pixels, _ = project(self.centers, seen.intrinsics[0])
        self.world = centers

    def answer(self, question: Question) -> str | float:
        text = question.text
        names = self._names(text)
        named = [b for name in names for b in self.scene.bodies if (b.color, b.kind) == name]
        match question.family:
            case "direction":
                return self._direction(text, *named)
            case "nearest":
                bodies = [self._body(*choice.split()) for choice in question.choices]
                return min(bodies, key=lambda b: self.centers[b.id - 1, 2]).name
            case "counting":
                return float(len(self._count(text)))
            case "existence":
                assert len(names) == 1
                return "yes" if any(self._pixel_count(body) for body in named) else "no"
            case "attribute":
                (match,) = self._count(text)
                return match.color if "color" in text else match.kind
            case "support":
                return self._support(named[0])
            case "distance":
                return float(np.linalg.norm(np.subtract(*(self.world[b.id - 1] for b in named))))
            case _:
                return float(self.centers[named[0].id - 1, 2])

    def _names(self, text: str) -> list[tuple[str, str]]:
        return re.findall(rf"(\w+) ({'|'.join(SHAPES)})\b", text)

    def _body(self, color: str, shape: str) -> Body:
        (body,) = (b for b in self.scene.bodies if (b.color, b.kind) == (color, shape))
        return body

    def _pixel_count(self, body: Body) -> int:
        return int((self.ids == body.id).sum())

    def _count(self, text: str) -> list[Body]:
        words = set(re.findall(r"\w+", text.replace("boxes", "box").replace("rs ", "r ")))
        words |= {word.removesuffix("s") for word in words}
        meant = [b for b in self.scene.bodies if words & {b.color, b.kind}]
        return [b for b in meant if self._pixel_count(b)]

    def _direction(self, text: str, a: Body, b: Body) -> str:
        if text.startswith("Compared with") or "on which side of the" in text:
            a, b = b, a
        is_left = self.pixels[a.id - 1, 0] < self.pixels[b.id - 1, 0]
        is_front = self.centers[a.id - 1, 2] < self.centers[b.id - 1, 2]
        if "or to the right" in text or "on which side" in text:
            return "left" if is_left else "right"
        if "or behind" in text:
            return "in front" if is_front else "behind"
        claims = {
            "to the left of": is_left,
            "to the right of": not is_left,
            "in front of": is_front,
            "behind": not is_front,
        }
        (truth,) = (holds for claim, holds in claims.items() if claim in text)
        return "yes" if truth else "no"

    def _support(self, body: Body) -> str:
        if body.base_m[2] < 1e-9:
            return "the floor"
        (under,) = (
            other
            for other in self.scene.bodies
            if abs(other.base_m[2] + other.extent_m[2] - body.base_m[2]) < 1e-6
            and math.dist(other.base_m[:2], body.base_m[:2]) < min(other.extent_m[:2]) / 2
        )
        return f"the {under.name}"


def check_answers(asked: Asked, count: int, views: int) -> None:
    for scene, questions in zip(asked.scenes[:count], asked.questions, strict=False):
        witness = Witness(scene, views)
        for question in questions:
            answer = witness.answer(question)
            if isinstance(question.answer, float):
                assert answer == pytest.approx(question.answer, abs=6e-4), (scene.id, question)
            else:
                assert answer == question.answer, (scene.id, question)


def test_answers_are_right(test_set: Asked) -> None:
    check_answers(test_set, 60, views=1)


def test_answers_are_right_with_several_views(multi_view_set: Asked) -> None:
    check_answers(multi_view_set, 15, views=4)


def test_form_of_every_question(test_set: Asked, multi_view_set: Asked) -> None:
    for asked, viewer in [(test_set, "the camera"), (multi_view_set, "the first picture")]:
        for question in (q for questions in asked.questions for q in questions):
            assert "  " not in question.text
            assert question.text.endswith("?")
            assert "{" not in question.text
            if "camera" in question.text:
                assert viewer in question.text
            if question.answer_type == "choice":
                assert question.choices.count(str(question.answer)) == 1
                assert len(set(question.choices)) == len(question.choices) >= 2
            else:
                assert question.choices == ()
                assert isinstance(question.answer, float) == (question.answer_type == "number")
    assert "first picture" not in str(test_set.questions)


def test_named_bodies_are_plain_to_see(test_set: Asked) -> None:
    for sight, questions in zip(test_set.sights, test_set.questions, strict=True):
        for question in questions:
            if question.family != "support":
                assert all(sight.share[0, number - 1] >= 0.004 for number in question.bodies)


def test_relations_hold_by_a_margin(test_set: Asked) -> None:
    for scene, questions in zip(test_set.scenes, test_set.questions, strict=True):
        points = scene.cameras[0].in_camera([body.center_m for body in scene.bodies])
        for question in questions:
            if question.family == "direction":
                assert {scene.body(number).support for number in question.bodies}.isdisjoint(
                    question.bodies
                )
                a, b = (points[number - 1] for number in question.bodies)
                bearing = [math.degrees(math.atan2(p[0], p[2])) for p in (a, b)]
                if re.search(r"front|behind", question.text):
                    assert max(a[2], b[2]) >= 1.15 * min(a[2], b[2])
                else:
                    assert abs(bearing[0] - bearing[1]) >= 7


def test_no_fact_is_asked_twice_of_a_scene(test_set: Asked) -> None:
    for questions in test_set.questions:
        keys = [(q.family, frozenset(q.bodies), q.text) for q in questions]
        assert len(set(keys)) == len(keys)


def test_same_questions_again_and_for_a_longer_list(test_set: Asked) -> None:
    scenes, sights = test_set.scenes[:50], test_set.sights[:50]
    assert ask(scenes, sights, PER_SCENE) == test_set.questions[:50]


def test_families_are_asked_equally_often(test_set: Asked) -> None:
    counts = {family: len(test_set.family(family)) for family in FAMILIES}
    assert sum(counts.values()) > 0.97 * COUNT * PER_SCENE
    assert min(counts.values()) > 0.85 * COUNT


def test_unknown_family_is_refused(test_set: Asked) -> None:
    with pytest.raises(BenchError, match="Did you mean 'support'"):
        ask(test_set.scenes[:1], test_set.sights[:1], 1, ["suport"])


@pytest.mark.parametrize("split", SPLITS[:1] + SPLITS[2:])
def test_answers_and_places_are_balanced(split: str, test_set: Asked, train_set: Asked) -> None:
    asked = test_set if split == "test" else train_set
    for kind, questions in by_kind(asked):
        answers = Counter(q.answer for q in questions)
        chance = chance_of(questions)
        assert max(answers.values()) / len(questions) < chance + 0.04, (kind, answers)
        places = Counter(q.choices.index(str(q.answer)) for q in questions if q.choices)
        if places:
            assert max(places.values()) / len(questions) < chance + 0.04, (kind, places)


def test_words_do_not_give_the_answer_away(test_set: Asked, train_set: Asked) -> None:
    for kind, questions in by_kind(test_set):
        training = dict(by_kind(train_set))[kind]
        accuracy = bag_of_words_accuracy(training, questions)
        chance = chance_of(questions)
        # Three standard errors: 0.15 for a hundred yes/no questions, 0.08 for 300 of three options.
        slack = 3 * math.sqrt(chance * (1 - chance) / len(questions))
        assert abs(accuracy - chance) < slack, (kind, accuracy, len(questions))


def by_kind(asked: Asked) -> Iterator[tuple[str, list[Question]]]:
    """Families whose answers can be counted, apart by the kind of answer that is wanted."""
    kinds: dict[str, list[Question]] = {}
    for family in FAMILIES[:6]:
        for question in asked.family(family):
            options = sorted(question.choices) if family == "direction" else len(question.choices)
            kinds.setdefault(f"{family} {question.answer_type} {options}", []).append(question)
    yield from kinds.items()


def chance_of(questions: list[Question]) -> float:
    if questions[0].answer_type == "number":
        return 1 / 4
    return 1 / (len(questions[0].choices) or 2)


def bag_of_words_accuracy(training: list[Question], questions: list[Question]) -> float:
    """Logistic regression on which words stand in question and option, alone and together."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    def options(question: Question) -> list[str]:
        fixed = ["yes", "no"] if question.answer_type == "yes_no" else ["0.0", "1.0", "2.0", "3.0"]
        return list(question.choices) or fixed

    def features(question: Question, place: int, option: str) -> dict[str, float]:
        asked = re.findall(r"\w+", question.text)
        words = option.split()
        others = " ".join(o for o in options(question) if o != option).split()
        crossed = [f"{word} & {own}" for word in asked for own in words]
        return dict.fromkeys(
            [*words, *crossed, f"place {place}", *map("not {}".format, others)], 1.0
        )

    def rows(listed: list[Question]) -> list[dict[str, float]]:
        return [features(q, *placed) for q in listed for placed in enumerate(options(q))]

    vectorizer = DictVectorizer()
    right = [option == str(q.answer) for q in training for option in options(q)]
    model = LogisticRegression(C=0.3, max_iter=300)
    model.fit(vectorizer.fit_transform(rows(training)), right)
    scores = iter(model.decision_function(vectorizer.transform(rows(questions))))
    guesses = [max((next(scores), option) for option in options(q))[1] for q in questions]
    return float(np.mean([g == str(q.answer) for g, q in zip(guesses, questions, strict=True)]))
