"""Reads facts back from free text, so that a model's description can be held against a scene.

What is understood: noun phrases of the vocabulary ("a large red box", "two chairs", "the shiny
ball", "it"), adjectives behind a verb ("the box is red and shiny"), and relations between noun
phrases ("the box on the table", "behind the cone is a lamp", "the box is on the table and left of
the cone", "the box and the ball are on the table"). Clauses that deny state nothing. Whatever else
is said is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from g2vlm_bench.world.language.facts import FLOOR, Fact, there
from g2vlm_bench.world.language.phrases import NUMBERS, SYNONYMS
from g2vlm_bench.world.scene import COLORS, MATERIALS, SIZES
from g2vlm_bench.world.shapes import KINDS, spoken

# Words of a relation -> the relation, and whether it is said the other way round.
_RELATIONS: Mapping[str, tuple[str, bool]] = {
    "to the left of": ("left of", False),
    "on the left of": ("left of", False),
    "on the left side of": ("left of", False),
    "left of": ("left of", False),
    "to the right of": ("left of", True),
    "on the right of": ("left of", True),
    "on the right side of": ("left of", True),
    "right of": ("left of", True),
    "in front of": ("in front of", False),
    "nearer than": ("in front of", False),
    "closer than": ("in front of", False),
    "nearer to the camera than": ("in front of", False),
    "closer to the camera than": ("in front of", False),
    "behind": ("in front of", True),
    "in back of": ("in front of", True),
    "farther away than": ("in front of", True),
    "farther than": ("in front of", True),
    "farther from the camera than": ("in front of", True),
    "further from the camera than": ("in front of", True),
    "on top of": ("on", False),
    "on": ("on", False),
    "atop": ("on", False),
    "supported by": ("on", False),
    "carried by": ("on", False),
    "supports": ("on", True),
    "carries": ("on", True),
    "bears": ("on", True),
    "inside of": ("in", False),
    "inside": ("in", False),
    "in": ("in", False),
    "within": ("in", False),
    "contains": ("in", True),
    "holds": ("in", True),
    "partly hides": ("hides", False),
    "hides": ("hides", False),
    "covers": ("hides", False),
    "occludes": ("hides", False),
    "blocks": ("hides", False),
    "obscures": ("hides", False),
    "hiding": ("hides", False),
    "covering": ("hides", False),
    "hidden by": ("hides", True),
    "covered by": ("hides", True),
    "occluded by": ("hides", True),
    "blocked by": ("hides", True),
    "obscured by": ("hides", True),
    "hidden behind": ("hides", True),
}
_RELATION = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _RELATIONS), key=len, reverse=True)) + r")\b"
)
_VERB = re.compile(
    r"\b(is|are|stands?|sits?|lies|lie|rests?|stay|stays|was|were|looks?|hides|covers|occludes"
    r"|supports|carries|bears|contains|holds|blocks|obscures)\b"
)
_DENIAL = re.compile(r"\b(no|not|never|neither|nor|nothing|none|without)\b|n't\b")
_CLAUSES = re.compile(r"[.!?;\n]+|,? \b(?:but|while|whereas|although)\b")
_JOINT = re.compile(r"[\s,]*(and)?\s*((a|an|the)\s+)?")
_RELATIVE = re.compile(r"\b(which|that|who)\b")
# Between a determiner and its noun there may be words that nobody knows, but none of these.
_BREAKS = frozenset(
    (
        "a", "an", "and", "are", "at", "by", "from", "in", "is", "it", "of", "on", "or", "than",
        "that", "the", "there", "they", "to", "was", "were", "which", "with",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words for things and what they are like; each maps to the one that facts use.

    Attributes:
        nouns: Singular and plural nouns.
        colors: Colours.
        traits: Sizes and materials.
    """

    nouns: Mapping[str, str]
    colors: Mapping[str, str]
    traits: Mapping[str, str]


def _world_nouns() -> dict[str, str]:
    nouns = {FLOOR: FLOOR, "ground": FLOOR, "object": "object", "objects": "object"}
    nouns |= {"thing": "object", "things": "object"}
    for kind, each in KINDS.items():
        for word in (kind, spoken(kind), *SYNONYMS.get(kind, ())):
            nouns |= {word: spoken(kind), f"{word}s": spoken(kind)}
        nouns[each.plural] = spoken(kind)
    return nouns


WORLD_VOCABULARY = Vocabulary(
    nouns=_world_nouns(),
    colors={color: color for color in COLORS},
    traits={word: word for word in (*SIZES, *MATERIALS)}
    | {"big": "large", "tiny": "small", "little": "small", "medium-sized": "medium"}
    | {"glossy": "shiny", "checkered": "checked", "chequered": "checked", "stripy": "striped"},
)


@dataclass(slots=True)
class _Phrase:
    """A noun phrase, or adjectives by themselves, and where they stand.

    Attributes:
        noun: As facts use it; empty for adjectives alone, `it` for a pronoun.
        color: Its colour, if it has one.
        traits: Sizes and materials.
        number: The number before it, if there is one.
        start: First character.
        end: One past the last.
    """

    noun: str = ""
    color: str = ""
    traits: list[str] = field(default_factory=list)
    number: str = ""
    start: int = 0
    end: int = 0

    @property
    def name(self) -> str:
        return f"{self.color} {self.noun}".strip()

    def facts(self) -> Iterator[Fact]:
        """What the phrase states by itself."""
        if self.noun in ("", FLOOR) or (self.noun == "object" and not self.color):
            return
        if self.number:
            yield (self.name, "number", self.number)
            return
        yield there(self.name)
        for trait in self.traits:
            yield (self.name, "is", trait)


def parse_facts(text: str, vocabulary: Vocabulary = WORLD_VOCABULARY) -> frozenset[Fact]:
    """Read the facts that a text states.

    Args:
        text: Free text.
        vocabulary: The words that are understood.

    Returns:
        Facts as `scene_facts` gives them. Whoever names a thing by colour and noun states that it
        is there.

    >>> sorted(parse_facts("A red box is on the table. There is no lamp."))
    [('red box', 'is', 'there'), ('red box', 'on', 'table'), ('table', 'is', 'there')]
    """
    facts = set[Fact]()
    subjects: list[_Phrase] = []
    for clause in _CLAUSES.split(text.lower()):
        if clause.strip() and not _DENIAL.search(clause):
            subjects = _read_clause(clause, vocabulary, subjects, facts)
    return frozenset(facts)


def _read_clause(
    clause: str, vocabulary: Vocabulary, before: list[_Phrase], facts: set[Fact]
) -> list[_Phrase]:
    """Add a clause's facts; give its subjects, to which a later "it" points back."""
    phrases = list(_phrases(clause, vocabulary))
    subjects: list[_Phrase] = []
    relation: tuple[str, bool] | None = None
    last: _Phrase | None = None
    for number, phrase in enumerate(phrases):
        gap = clause[last.end if last else 0 : phrase.start]
        if phrase.noun == "it":
            subjects, relation, last = before, None, phrase
            continue
        if not phrase.noun:
            _predicate(subjects if _VERB.search(gap) or last else [], phrase, facts)
            last = phrase
            continue
        facts.update(phrase.facts())
        # What stands before a comma belongs to something else: "in the picture, a box".
        found = [each for each in _RELATION.finditer(gap) if "," not in gap[each.end() :]]
        if not subjects and last is None and found:
            # Turned round: "on the table is a box" names the object first.
            return _read_turned(clause, phrases, _RELATIONS[found[-1][1]], facts)
        if found:
            relation = _RELATIONS[found[-1][1]]
            bare = not _VERB.search(gap) and not re.search(r"\band\b", gap)
            nearest = [last] if last and last.noun not in ("", "it") else subjects
            owners = nearest if bare or _RELATIVE.search(gap) else subjects
            _relate(owners, relation, phrase, facts)
        elif relation is None or _starts_clause(clause, phrases, number):
            joined = (
                bool(re.fullmatch(r"[\s,]*(and)?\s*((a|an|the)\s+)?", gap)) and relation is None
            )
            subjects = [*subjects, phrase] if joined else [phrase]
            relation = None
        else:
            _relate(subjects, relation, phrase, facts)
        last = phrase
    return subjects or before


def _read_turned(
    clause: str, phrases: Sequence[_Phrase], relation: tuple[str, bool], facts: set[Fact]
) -> list[_Phrase]:
    """A clause whose first phrase is what the others stand to."""
    target, subjects = phrases[0], [phrase for phrase in phrases[1:] if phrase.noun]
    _relate(subjects, relation, target, facts)
    for phrase in subjects:
        facts.update(phrase.facts())
    return subjects


def _starts_clause(clause: str, phrases: Sequence[_Phrase], number: int) -> bool:
    """Whether a verb right behind a phrase makes it the subject of a new clause."""
    return bool(re.match(rf"\s*{_VERB.pattern}", clause[phrases[number].end :]))


def _relate(
    subjects: Sequence[_Phrase], relation: tuple[str, bool], target: _Phrase, facts: set[Fact]
) -> None:
    name, turned = relation
    for subject in subjects:
        a, b = (target, subject) if turned else (subject, target)
        if a.noun != FLOOR and (b.noun != FLOOR or name == "on") and a.name != b.name:
            facts.add((a.name, name, b.name))


def _predicate(subjects: Sequence[_Phrase], adjectives: _Phrase, facts: set[Fact]) -> None:
    """Adjectives behind a verb: of what the subject is like."""
    for subject in subjects:
        if adjectives.color and not subject.color:
            subject.color = adjectives.color
            facts.update(subject.facts())
        facts.update((subject.name, "is", trait) for trait in adjectives.traits)


def _phrases(clause: str, vocabulary: Vocabulary) -> Iterator[_Phrase]:
    """Noun phrases and adjectives by themselves, from left to right."""
    open_ = _Phrase()
    for match in re.finditer(r"[a-z]+(?:-[a-z]+)*|\d+", clause):
        word = match[0]
        if word in vocabulary.colors or word in vocabulary.traits or _number(word):
            if not (open_.color or open_.traits or open_.number):
                open_.start = match.start()
            open_.end = match.end()
            if word in vocabulary.colors:
                open_.color = vocabulary.colors[word]
            elif word in vocabulary.traits:
                open_.traits.append(vocabulary.traits[word])
            else:
                open_.number = _number(word)
        elif word in vocabulary.nouns:
            if not (open_.color or open_.traits or open_.number):
                open_.start = match.start()
            open_.noun, open_.end = vocabulary.nouns[word], match.end()
            yield open_
            open_ = _Phrase()
        elif word in ("it", "they"):
            yield _Phrase(noun="it", start=match.start(), end=match.end())
        elif word in _BREAKS:
            if word not in ("and", "of") and (open_.color or open_.traits):
                yield open_
            open_ = open_ if word in ("and", "of") else _Phrase()
    if open_.color or open_.traits:
        yield open_


def _number(word: str) -> str:
    """The number that a word says, in digits; empty for a word that says none."""
    if word.isdigit():
        return str(int(word))
    return str(NUMBERS.index(word)) if word in NUMBERS else ""
