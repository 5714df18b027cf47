"""Names of things in words, and templates filled so that every noun phrase keeps its place."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import yaml

from g2vlm_bench.world.scene import Body
from g2vlm_bench.world.shapes import KINDS

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# Other nouns for a kind; the first of `nouns` is the one that options are named with.
SYNONYMS: Mapping[str, tuple[str, ...]] = {"sphere": ("ball",), "person": ("pedestrian",)}
# Bands on what is thin or pointed are not told apart: the material of these is not spoken of.
BANDS_UNCLEAR = ("person", "tree")
_SYNONYM_RATE = 0.25
_MATERIAL_RATE = 0.15
_HELD_OUT_RATE = 0.5


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a text speaks of a body.

    Attributes:
        body: Its id; a phrase for several bodies is a mention of each.
        start: First character of the phrase.
        end: One past its last character.
    """

    body: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand for bodies.

    Attributes:
        text: The words.
        bodies: Ids of the bodies meant; none for words that stand for no body.
    """

    text: str
    bodies: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Wording:
    """A filled template.

    Attributes:
        text: The sentence.
        mentions: Where it speaks of which body, from left to right.
        template: Id of the template: its kind, and its number within the kind.
        held_out: Whether only the test split words a question so.
    """

    text: str
    mentions: tuple[Mention, ...]
    template: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Templates:
    """The wordings of one kind of question.

    Attributes:
        seen: Those of every split.
        held_out: Those of the test split alone.
    """

    seen: tuple[str, ...]
    held_out: tuple[str, ...]


@lru_cache(maxsize=1)
def all_templates() -> Mapping[str, Templates]:
    """The wordings of every kind of question, from `templates.yaml`."""
    text = (files("g2vlm_bench.world.language") / "templates.yaml").read_text(encoding="utf-8")
    return {
        kind: Templates(tuple(each["seen"]), tuple(each["held_out"]))
        for kind, each in yaml.safe_load(text).items()
    }


def a(words: str) -> str:
    """The words behind their indefinite article."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def plural(kind: str) -> str:
    """The plural noun of a kind."""
    return KINDS[kind].plural


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names in a row: `x`, `x and y`, `x, y and z`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def name_in_text(body: Body, rng: np.random.Generator) -> Phrase:
    """A name of a body that its scene's other bodies do not fit, in varied words."""
    nouns = SYNONYMS.get(body.kind, ())
    noun = body.noun
    if nouns and rng.random() < _SYNONYM_RATE:
        noun = nouns[rng.integers(len(nouns))]
    plain = f"{body.color} {noun}"
    plain_material = body.material != "matte" and body.kind not in BANDS_UNCLEAR
    with_material = plain_material and rng.random() < _MATERIAL_RATE
    return Phrase(f"{body.material} {plain}" if with_material else plain, (body.id,))


def word(kind: str, words: Mapping[str, Phrase], rng: np.random.Generator, test: bool) -> Wording:
    """Fill a random template of a kind of question; half of the test split's are held-out ones."""
    templates = all_templates()[kind]
    held_out = test and bool(rng.random() < _HELD_OUT_RATE)
    pool = templates.held_out if held_out else templates.seen
    number = int(rng.integers(len(pool)))
    text, mentions = fill(pool[number], words)
    name = f"{kind}.held_out.{number}" if held_out else f"{kind}.{number}"
    return Wording(text, mentions, name, held_out)


def fill(template: str, words: Mapping[str, Phrase]) -> tuple[str, tuple[Mention, ...]]:
    """Fill a template's slots and say where each phrase for a body came to stand."""
    text, mentions = "", []
    for literal, slot, _, _ in string.Formatter().parse(template):
        text += literal
        if slot is None:
            continue
        phrase = words[slot]
        end = len(text) + len(phrase.text)
        mentions += [Mention(body, len(text), end) for body in phrase.bodies]
        text += phrase.text
    return text, tuple(mentions)
