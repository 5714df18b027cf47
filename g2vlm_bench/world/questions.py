"""Template questions with exact answers, from the scene record and what its cameras see.

`language/` says which questions a scene allows; here they are chosen and worded. Answers are
balanced over a whole set of scenes, so that neither the words nor the place of an option give them
away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import AnswerType
from g2vlm_bench.world.candidates import Candidate, Gate, possible_keys
from g2vlm_bench.world.language import families as language
from g2vlm_bench.world.language.phrases import Mention, Phrase, name_in_text, word
from g2vlm_bench.world.language.seen import Seen
from g2vlm_bench.world.scene import SPLITS, WORLD_VERSION, Body, Scene
from g2vlm_bench.world.sight import Sight

FAMILIES = tuple(language.FAMILIES)
Gates = Literal["all", "kind", "none"]

_QUESTIONS_STREAM = 1
# So many of a family's questions are weighed in a scene at most: bodies stand in random order, so
# these are a fair draw, and a crowded scene costs little more than an empty one.
_MOST_WEIGHED = 400


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene and its answer.

    Attributes:
        family: One of `FAMILIES`.
        kind: What it asks within its family.
        text: The question, without its options.
        answer_type: How it is answered.
        choices: The options in the order shown; empty unless `answer_type` is `choice`.
        choice_bodies: Ids of the bodies that the options name, 0 for an option that names none.
        answer: One of the choices, `yes` or `no`, or a number.
        unit: Unit of a number: `m`, `m^2` or `deg`, empty for a count.
        view: The view that it speaks of, where it speaks of one.
        bodies: Ids of the bodies that it is about, options included.
        where: Which words of the text stand for which body, from left to right.
        template: Id of its wording.
        held_out: Whether it is worded as only the test split's questions are.
    """

    family: str
    kind: str
    text: str
    answer_type: AnswerType
    choices: tuple[str, ...]
    choice_bodies: tuple[int, ...]
    answer: str | float
    unit: str
    view: int
    bodies: tuple[int, ...]
    where: tuple[Mention, ...]
    template: str
    held_out: bool


def ask(
    scenes: Sequence[Scene],
    sights: Sequence[Sight],
    per_scene: int,
    families: Sequence[str] = FAMILIES,
    aspect: float = 1.0,
    gates: Gates = "all",
    ways: int = 1,
) -> list[tuple[Question, ...]]:
    """Ask up to `per_scene` questions of each scene, balanced over all of them together.

    Each question speaks of one view, or of one and the next, drawn at random among those in sight.
    Balancing looks back only: the questions of the first n scenes are the same however many follow.

    Args:
        scenes: The scenes.
        sights: What the views of each show, from `renderer.look`.
        per_scene: How many questions a scene gets at most; fewer where no more are plain to see.
        families: Which of `FAMILIES` to ask.
        aspect: Width over height of the pictures, as in `renderer.look`.
        gates: What a question waits for: `all` turns of its answer, so that words alone give
            nothing away, for which most questions of a few scenes wait in vain; its turn of its
            `kind`, so that no answer is the usual one, though things may have one that is: for
            training; or `none`: answers lean to balance, and a scene is asked all that is plain.
        ways: How many questions may rest on one fact, such as whether the box is left of the ball,
            the ball of the box, the box not of the ball: more than one is for training.

    Raises:
        BenchError: A family is unknown, or the number is negative.
    """
    if per_scene < 0:
        raise BenchError("world questions of a scene", expected="0 or more", got=per_scene)
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
        looks = {family: _look(scene, sight, family, rng, aspect) for family in families}
        asked.append(tuple(_ask_scene(looks, per_scene, balance, rng, gates, ways)))
    return asked


def _look(scene: Scene, sight: Sight, family: str, rng: np.random.Generator, aspect: float) -> Seen:
    """The scene from a random view; one that has a next one, for families that speak of two."""
    views = len(sight.share)
    spare = 1 if family in language.BETWEEN_VIEWS and views > 1 else 0
    return Seen(scene, sight, int(rng.integers(views - spare)), rng, aspect)


def _ask_scene(
    looks: Mapping[str, Seen],
    per_scene: int,
    balance: defaultdict[str, float],
    rng: np.random.Generator,
    gates: Gates,
    ways: int,
) -> Iterator[Question]:
    """Pick questions one by one and book each in `balance`."""
    possible = {
        family: list(islice(language.FAMILIES[family](seen), _MOST_WEIGHED))
        for family, seen in looks.items()
    }
    for found in possible.values():
        for key in possible_keys(found):
            balance[f"possible {key}"] += 1
    facts: Counter[Hashable] = Counter()
    here: Counter[str] = Counter()
    for _ in range(per_scene):
        # Families that are seldom possible must not fill a scene: all others come first.
        order = sorted(looks, key=lambda f: (here[f], balance[f"asked {f}"], rng.random()))
        able = ((f, _open(possible[f], facts, balance, gates, ways)) for f in order)
        family, found = next(((f, open_) for f, open_ in able if open_), ("", []))
        if not found:
            return
        chosen = _least_leaning(found, balance, rng)
        balance[f"asked {family}"] += 1
        here[family] += 1
        for key, tip in chosen.lean.items():
            balance[key] += tip
        facts[chosen.fact] += 1
        possible[family].remove(chosen)
        yield _worded(family, chosen, looks[family], balance, rng)


def _open(
    candidates: Sequence[Candidate],
    facts: Mapping[Hashable, int],
    balance: Mapping[str, float],
    gates: Gates,
    ways: int,
) -> list[Candidate]:
    """Those whose fact is not worn out, and whose answer's turn it is where that is waited for."""
    return [
        candidate
        for candidate in candidates
        if facts.get(candidate.fact, 0) < ways
        and all(_lets(gate, balance) for gate in _waited_for(candidate, gates))
    ]


def _waited_for(candidate: Candidate, gates: Gates) -> Iterator[Gate]:
    if gates != "none":
        yield from (gate for gate in candidate.gates if gate.wide or gates == "all")


def _lets(gate: Gate, balance: Mapping[str, float]) -> bool:
    """Whether an answer is not ahead, and no rarer one must come before it.

    The rarer answer comes first, since the commoner one can follow soon. Else the last question of
    each context, which has no counterpart yet, would tend to have the commoner answer; of most
    contexts a task has but a few questions, and so it could be guessed.
    """
    ahead = balance.get(gate.key, 0.0)
    if ahead > gate.lead:
        return False
    possible = balance.get(f"possible {gate.key}", 0.0)
    for rival in gate.rivals:
        rarer = balance.get(f"possible {rival}", 0.0)
        if not rarer or (rarer < possible and balance.get(rival, 0.0) <= ahead):
            return False
    return True


def _least_leaning(
    candidates: Sequence[Candidate], balance: Mapping[str, float], rng: np.random.Generator
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


def _worded(
    family: str,
    chosen: Candidate,
    seen: Seen,
    balance: defaultdict[str, float],
    rng: np.random.Generator,
) -> Question:
    words = {slot: _phrase(value, rng) for slot, value in chosen.words.items()}
    wording = word(chosen.kind, words, rng, test=seen.scene.split == "test")
    options = _ordered(chosen, balance, rng)
    return Question(
        family=family,
        kind=chosen.kind,
        text=wording.text,
        answer_type=chosen.answer_type,
        choices=tuple(map(_option, options)),
        choice_bodies=tuple(o.id if isinstance(o, Body) else 0 for o in options),
        answer=chosen.answer,
        unit=chosen.unit,
        view=seen.view,
        bodies=tuple(body.id for body in chosen.about),
        where=wording.mentions,
        template=wording.template,
        held_out=wording.held_out,
    )


def _phrase(value: Body | Phrase | str, rng: np.random.Generator) -> Phrase:
    if isinstance(value, Body):
        return name_in_text(value, rng)
    return Phrase(value) if isinstance(value, str) else value


def _option(option: Body | str) -> str:
    return option.name if isinstance(option, Body) else option


def _ordered(
    chosen: Candidate, balance: defaultdict[str, float], rng: np.random.Generator
) -> tuple[Body | str, ...]:
    """Shuffle the options, the right one into a place where it has not been often."""
    if not chosen.choices:
        return ()
    right = next(option for option in chosen.choices if _option(option) == chosen.answer)
    wrong = [option for option in chosen.choices if option is not right]
    places = [f"{chosen.kind} of {len(wrong)} in place {place}" for place in range(len(wrong) + 1)]
    place = int(np.argmin([balance[key] + 2 * rng.random() for key in places]))
    balance[places[place]] += 1
    ordered = [wrong[i] for i in rng.permutation(len(wrong))]
    return (*ordered[:place], right, *ordered[place:])
