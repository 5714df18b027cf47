"""Template questions with exact answers, from the scene record and what its cameras see.

`candidates.py` says which questions a scene allows; here they are chosen and worded. Answers are
balanced over a whole set of scenes, so that neither the words nor the place of an option give them
away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import AnswerType
from g2vlm_bench.world.candidates import CANDIDATES, Candidate, Seen
from g2vlm_bench.world.scene import COLORS, SPLITS, WORLD_VERSION, Scene
from g2vlm_bench.world.sight import Sight

FAMILIES = tuple(CANDIDATES)
# Their answers are metres; the other numbers are counts.
METRIC_FAMILIES = ("distance", "depth")

# How far an answer may be ahead of its fair share before it is not asked for again.
_MAX_LEAD = 1.5
_QUESTIONS_STREAM = 1

_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "lateral": (
        "Seen from {viewer}, is the {a} to the left or to the right of the {b}?",
        "From the point of view of {viewer}, on which side of the {b} is the {a}?",
    ),
    "frontal": (
        "Seen from {viewer}, is the {a} in front of the {b} or behind it?",
        "Compared with the {b}, is the {a} in front (nearer to {viewer}) or behind (farther away)?",
    ),
    "claim": (
        "Seen from {viewer}, is the {a} {relation} the {b}?",
        "Is the {a} {relation} the {b} from the point of view of {viewer}?",
    ),
    "nearest": (
        "Which of these objects is nearest to {viewer}?",
        "Which one of these objects is closest to {viewer}?",
    ),
    "count_color": (
        "How many {word} objects can be seen in {shown}?",
        "What is the number of {word} objects in {shown}?",
    ),
    "count_shape": (
        "How many {word} can be seen in {shown}?",
        "What is the number of {word} in {shown}?",
    ),
    "exists": (
        "Is there {a} in {shown}?",
        "Can {a} be seen in {shown}?",
    ),
    "color": (
        "What is the color of the {word}?",
        "Which color does the {word} have?",
    ),
    "shape": (
        "What is the shape of the {word} object?",
        "Which shape does the {word} object have?",
    ),
    "support": (
        "What is the {a} standing on?",
        "Which of these does the {a} stand on?",
    ),
    "distance": (
        "How far apart are the centers of the {a} and the {b}, in meters?",
        "What is the distance in meters between the center of the {a} and the center of the {b}?",
    ),
    "depth": (
        "How far from {viewer} is the center of the {a} along the viewing direction, in meters?",
        "What is the depth in meters of the center of the {a}, seen from {viewer}?",
    ),
}
_ANSWER_TYPES: Mapping[str, AnswerType] = {
    "claim": "yes_no",
    "exists": "yes_no",
    "count_color": "number",
    "count_shape": "number",
    "distance": "number",
    "depth": "number",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene and its answer.

    Attributes:
        family: One of `FAMILIES`.
        text: The question, without its options.
        answer_type: How it is answered.
        choices: The options in the order shown; empty unless `answer_type` is `choice`.
        answer: One of the choices, `yes` or `no`, or a number (a count, or metres).
        bodies: Ids of the bodies that it names.
    """

    family: str
    text: str
    answer_type: AnswerType
    choices: tuple[str, ...]
    answer: str | float
    bodies: tuple[int, ...]


def ask(
    scenes: Sequence[Scene],
    sights: Sequence[Sight],
    per_scene: int,
    families: Sequence[str] = FAMILIES,
) -> list[tuple[Question, ...]]:
    """Ask up to `per_scene` questions of each scene, balanced over all of them together.

    "The viewer" is the first camera. Balancing looks back only: the questions of the first n scenes
    are the same however many follow.

    Args:
        scenes: The scenes.
        sights: What each scene's cameras see, from `renderer.look`.
        per_scene: How many questions a scene gets at most; fewer where no more are plain to see.
        families: Which of `FAMILIES` to ask.

    Raises:
        BenchError: A family is unknown.
    """
    for family in families:
        if family not in FAMILIES:
            raise BenchError(
                "world questions",
                expected="known families",
                got=f"'{family}'",
                fix=nearest(family, FAMILIES),
            )
    balance: defaultdict[str, float] = defaultdict(float)
    asked = []
    for scene, sight in zip(scenes, sights, strict=True):
        key = (WORLD_VERSION, SPLITS.index(scene.split), _QUESTIONS_STREAM)
        rng = np.random.default_rng(np.random.SeedSequence(scene.seed, spawn_key=key))
        asked.append(tuple(_ask_scene(scene, sight.share, per_scene, families, balance, rng)))
    return asked


def _ask_scene(
    scene: Scene,
    shares: NDArray[np.float64],
    per_scene: int,
    families: Sequence[str],
    balance: defaultdict[str, float],
    rng: np.random.Generator,
) -> Iterator[Question]:
    """Pick questions one by one and book each in `balance`."""
    seen = Seen(scene, shares, spare_colors=[str(c) for c in rng.permutation(list(COLORS))])
    possible = {family: list(CANDIDATES[family](seen)) for family in families}
    facts: set[Hashable] = set()
    for _ in range(per_scene):
        open_ = {
            family: [c for c in found if c.fact not in facts and balance[c.gate] <= _MAX_LEAD]
            for family, found in possible.items()
        }
        able = [family for family, found in open_.items() if found]
        if not able:
            return
        family = min(able, key=lambda name: (balance[f"asked {name}"], rng.random()))
        chosen = _least_leaning(open_[family], balance, rng)
        balance[f"asked {family}"] += 1
        for key, tip in chosen.lean.items():
            balance[key] += tip
        facts.add(chosen.fact)
        yield Question(
            family=family,
            text=_text(chosen, len(shares), rng),
            answer_type=_ANSWER_TYPES.get(chosen.kind, "choice"),
            choices=_order(chosen, balance, rng),
            answer=chosen.answer,
            bodies=chosen.bodies,
        )


def _least_leaning(
    candidates: list[Candidate], balance: Mapping[str, float], rng: np.random.Generator
) -> Candidate:
    """Pick a candidate of a random kind that tips the balances back rather than further.

    Greedy vector balancing: the sum of leans stays short if each new one points against it. Noise
    of half a step keeps the order of answers from being a pattern of its own.
    """
    kinds = sorted({candidate.kind for candidate in candidates})
    kind = kinds[rng.integers(len(kinds))]

    def cost(candidate: Candidate) -> float:
        tips = sum(balance.get(key, 0.0) * tip for key, tip in candidate.lean.items())
        return tips + 0.5 * float(rng.random())

    return min((c for c in candidates if c.kind == kind), key=cost)


def _text(candidate: Candidate, views: int, rng: np.random.Generator) -> str:
    templates = _TEMPLATES[candidate.kind]
    return templates[rng.integers(len(templates))].format(
        viewer="the camera" if views == 1 else "the camera of the first picture",
        shown="the picture" if views == 1 else "the room that the pictures show",
        **candidate.words,
    )


def _order(
    candidate: Candidate, balance: defaultdict[str, float], rng: np.random.Generator
) -> tuple[str, ...]:
    """Shuffle the options, the right one into a place where it has not been often."""
    wrong = [choice for choice in candidate.choices if choice != candidate.answer]
    if not wrong:
        return ()
    places = [f"{candidate.kind} in place {place}" for place in range(len(wrong) + 1)]
    place = int(np.argmin([balance[key] + 2 * rng.random() for key in places]))
    balance[places[place]] += 1
    ordered = [wrong[i] for i in rng.permutation(len(wrong))]
    return (*ordered[:place], str(candidate.answer), *ordered[place:])
