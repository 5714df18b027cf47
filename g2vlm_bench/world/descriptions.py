"""Descriptions of scenes in varied sentences, with exactly the facts that they state."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from g2vlm_bench.world.language.fact_parser import WORLD_VOCABULARY, Vocabulary, parse_facts
from g2vlm_bench.world.language.facts import (
    FLOOR,
    Fact,
    number_facts,
    pair_facts,
    plain_traits,
    scene_facts,
    support_facts,
    there,
)
from g2vlm_bench.world.language.phrases import NUMBERS, SYNONYMS, a, listed
from g2vlm_bench.world.language.seen import Seen
from g2vlm_bench.world.scene import SPLITS, WORLD_VERSION, Body, Scene
from g2vlm_bench.world.shapes import KINDS, spoken
from g2vlm_bench.world.sight import Sight

__all__ = [
    "WORLD_VOCABULARY",
    "Description",
    "Vocabulary",
    "describe",
    "parse_facts",
    "recount",
    "scene_facts",
    "sentence",
]

_DESCRIPTIONS_STREAM = 2
# Sentences about how things stand to one another; there are many more such facts.
_MOST_RELATIONS = 4
_MOST_TRAITS = 3

_WORDINGS: dict[str, tuple[str, ...]] = {
    "on": (
        "{A} is on {b}.",
        "{A} stands on {b}.",
        "On {b} stands {a}.",
        "{A} rests on top of {b}.",
        "{B} carries {a}.",
    ),
    "on floor": ("{A} stands on {b}.", "On {b} is {a}.", "{A} is on {b}."),
    "in": ("{A} is in {b}.", "{A} is inside {b}.", "In {b} is {a}.", "{B} holds {a}."),
    "left of": (
        "{A} is to the left of {b}.",
        "{B} is to the right of {a}.",
        "To the left of {b} is {a}.",
        "{A} stands left of {b}.",
        "On the right of {a} stands {b}.",
    ),
    "in front of": (
        "{A} is in front of {b}.",
        "{B} is behind {a}.",
        "Behind {a} stands {b}.",
        "{A} stands in front of {b}.",
        "{B} is farther away than {a}.",
    ),
    "hides": (
        "{A} hides a part of {b}.",
        "{B} is partly hidden by {a}.",
        "{A} covers a part of {b}.",
        "A part of {b} is covered by {a}.",
    ),
    "trait": ("{A} is {word}.", "{A} looks {word}."),
    "there": ("There is {names}.", "One sees {names}.", "The picture shows {names}."),
    "number": ("There are {count} {things}.", "One sees {count} {things}."),
}


@dataclass(frozen=True, slots=True)
class Description:
    """A text about a scene.

    Attributes:
        text: Several sentences.
        facts: All that they state, and nothing else.
    """

    text: str
    facts: frozenset[Fact]


def describe(
    scene: Scene, sight: Sight, seed: int, aspect: float = 1.0, from_left: bool = False
) -> Description:
    """Describe what is plain to see of a scene in a handful of sentences.

    It names every clear thing, says how many there are of a kind, what some of them are like and
    on what they stand, and how some stand to one another; order and wording vary with the seed.

    Args:
        scene: The scene; of a moving one, the first picture's moment.
        sight: What its views show.
        seed: Any number from 0; another one gives another text about the same scene.
        aspect: Width over height of the pictures.
        from_left: Whether things are told of in the order in which the first camera sees them from
            the left: then who learns to tell can know what comes next.
    """
    key = (WORLD_VERSION, SPLITS.index(scene.split), _DESCRIPTIONS_STREAM, scene.seed)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    seen = Seen(scene, sight, 0, rng, aspect)
    bodies = sorted(seen.clear_any, key=seen.bearing_deg) if from_left else seen.clear_any
    told = [_opening(bodies, rng), *_numbers(seen, rng)]
    rest = [
        *_traits(seen, bodies, rng), *_supports(seen, bodies, rng),
        *_relations(seen, [body.name for body in bodies] if from_left else None, rng),
    ]  # fmt: skip
    told += rest if from_left else [rest[i] for i in rng.permutation(len(rest))]
    texts, facts = zip(*told, strict=True)
    return Description(" ".join(filter(None, texts)), frozenset().union(*facts))


def recount(facts: Collection[Fact]) -> str:
    """Put facts into words, one sentence each; `parse_facts` reads a scene's facts back from it.

    >>> recount([("red box", "on", "blue table"), ("box", "number", "1")])
    'There is one box. The red box is on the blue table.'
    """
    return " ".join(sentence(fact, None)[0] for fact in sorted(facts))


Told = tuple[str, set[Fact]]


def _opening(bodies: Sequence[Body], rng: np.random.Generator) -> Told:
    """What is there."""
    if not bodies:
        return "", set()
    names = listed([a(body.name) for body in bodies])
    text = _one_of(_WORDINGS["there"], rng).format(names=names)
    return text, {there(body.name) for body in bodies}


def _numbers(seen: Seen, rng: np.random.Generator) -> Iterator[Told]:
    for fact in sorted(number_facts(seen)):
        if int(fact[2]) >= 2 and rng.random() < 0.4:
            yield sentence(fact, rng)


def _traits(seen: Seen, bodies: Sequence[Body], rng: np.random.Generator) -> Iterator[Told]:
    for body in bodies[:_MOST_TRAITS]:
        traits = plain_traits(seen, body)[: int(rng.integers(1, 3))]
        text = _one_of(_WORDINGS["trait"], rng).format(A=f"The {body.name}", word=listed(traits))
        yield text, {there(body.name), *((body.name, "is", trait) for trait in traits)}


def _supports(seen: Seen, bodies: Sequence[Body], rng: np.random.Generator) -> Iterator[Told]:
    for body in bodies:
        for fact in support_facts(seen, body):
            if fact[2] != FLOOR or rng.random() < 0.4:
                yield sentence(fact, rng, seen.ground)


def _relations(seen: Seen, order: Sequence[str] | None, rng: np.random.Generator) -> Iterator[Told]:
    """How some things stand to one another; by the order of their names where one is given."""
    facts = sorted(pair_facts(seen))
    chosen = [facts[i] for i in rng.permutation(len(facts))[:_MOST_RELATIONS]]
    if order is not None:
        chosen.sort(key=lambda fact: (order.index(fact[0]), order.index(fact[2])))
    for fact in chosen:
        yield sentence(fact, rng)


def sentence(fact: Fact, rng: np.random.Generator | None, ground: str = "the floor") -> Told:
    """Word a fact, in the plainest way where there is no randomness; give all that it states."""
    subject, relation, target = fact
    if relation == "number" and target == "1":
        return f"There is one {subject}.", {fact}
    if relation == "number":
        wording = _one_of(_WORDINGS["number"], rng)
        return wording.format(count=NUMBERS[int(target)], things=_plural(subject)), {fact}
    if target == "there":
        return _one_of(_WORDINGS["there"], rng).format(names=a(subject)), {fact}
    first = f"the {_noun_varied(subject, rng)}"
    if relation == "is":
        text = _one_of(_WORDINGS["trait"], rng).format(A=_capital(first), word=target)
        return text, {fact, there(subject)}
    wordings = _WORDINGS["on floor" if target == FLOOR else relation]
    second = ground if target == FLOOR else f"the {_noun_varied(target, rng)}"
    text = _one_of(wordings, rng).format(a=first, b=second, A=_capital(first), B=_capital(second))
    return text, {fact, *(there(name) for name in (subject, target) if name != FLOOR)}


def _plural(name: str) -> str:
    """The plural of a name such as `box` or `red object`."""
    *adjectives, noun = name.split()
    plurals = {spoken(kind): each.plural for kind, each in KINDS.items()}
    return " ".join((*adjectives, plurals.get(noun, f"{noun}s")))


def _noun_varied(name: str, rng: np.random.Generator | None) -> str:
    """A name, sometimes with another noun for its kind."""
    *adjectives, noun = name.split()
    others = [*SYNONYMS.get(noun, ())]
    noun = _one_of((noun, *others), rng) if others else noun
    return " ".join((*adjectives, noun))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _one_of(wordings: Sequence[str], rng: np.random.Generator | None) -> str:
    return wordings[int(rng.integers(len(wordings))) if rng else 0]
