"""Queries whose answer is one thing of a scene, and captions that fit one scene among many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.descriptions import sentence
from g2vlm_bench.world.language.directions import relation_state
from g2vlm_bench.world.language.facts import Fact, scene_facts
from g2vlm_bench.world.language.phrases import Mention, Phrase, fill, name_in_text, word
from g2vlm_bench.world.language.seen import HIDES, HIDES_NOT, Seen, largest_m, stands_out
from g2vlm_bench.world.scene import SPLITS, WORLD_VERSION, Body, Scene
from g2vlm_bench.world.sight import Sight

_QUERIES_STREAM, _CAPTIONS_STREAM = 3, 4
# The smallest or largest of several differs from the next by this ratio.
_SUPERLATIVE_RATIO = 1.25
# A caption of a single fact would be a riddle, though it fits no other scene.
_FEWEST_SENTENCES = 3
QueryKind = Literal["name", "trait", "relation", "superlative", "hider"]
QUERY_KINDS: tuple[QueryKind, ...] = get_args(QueryKind)
_RELATIONS = ("left of", "right of", "in front of", "behind", "on", "in")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression that one body of a scene fits.

    Attributes:
        kind: What it goes by.
        text: A noun phrase, such as `the object left of the blue box`, in a request.
        body: Id of the body meant.
        view: The view that it is told from.
        where: Which words stand for which body; those for the body meant are among them.
        template: Id of its wording.
        held_out: Whether it is worded as only the test split's queries are.
    """

    kind: QueryKind
    text: str
    body: int
    view: int
    where: tuple[Mention, ...]
    template: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class _Expression:
    """Words around other bodies that one body fits: a template and what fills it."""

    kind: QueryKind
    body: Body
    template: str
    words: dict[str, Body | Phrase]


def queries(
    scene: Scene, sight: Sight, count: int, view: int = 0, aspect: float = 1.0
) -> tuple[Query, ...]:
    """Ask for up to `count` different things or in different words, of one view.

    Each expression fits one body that is clear in the view and no other that is shown at all, by
    the margins of `direction`, `support` and `occlusion`; the smallest, largest or tallest of a
    kind differs from the next by 25 %.

    Args:
        scene: The scene.
        sight: What its views show.
        count: How many at most; fewer where no more are plain.
        view: The view that is spoken of.
        aspect: Width over height of the pictures.

    Raises:
        BenchError: The count is negative, or there is no such view.
    """
    if count < 0:
        raise BenchError("world queries of a scene", expected="0 or more", got=count)
    if not 0 <= view < len(sight.share):
        raise BenchError("world queries, view", expected=f"0 to {len(sight.share) - 1}", got=view)
    key = (WORLD_VERSION, SPLITS.index(scene.split), _QUERIES_STREAM, view)
    rng = np.random.default_rng(np.random.SeedSequence(scene.seed, spawn_key=key))
    seen = Seen(scene, sight, view, rng, aspect)
    found = list(_expressions(seen))
    # Kinds in turn, so that the frequent relations do not crowd out the rest.
    by_kind: dict[QueryKind, list[_Expression]] = {}
    for i in rng.permutation(len(found)):
        by_kind.setdefault(found[i].kind, []).append(found[i])
    chosen: list[_Expression] = []
    while any(by_kind.values()) and len(chosen) < count:
        chosen += [left.pop() for left in by_kind.values() if left]
    return tuple(_worded(each, seen, rng) for each in chosen[:count])


def _worded(expression: _Expression, seen: Seen, rng: np.random.Generator) -> Query:
    words = {
        slot: name_in_text(value, rng) if isinstance(value, Body) else value
        for slot, value in expression.words.items()
    }
    inner, _ = fill(expression.template, words)
    # The phrase as a whole means the body; the names within it mean theirs.
    start = Phrase(inner, (expression.body.id,))
    wording = word("find", {"a": start, "here": seen.here}, rng, seen.scene.split == "test")
    (outer,) = wording.mentions
    _, parts = fill(expression.template, words)
    within = (Mention(m.body, m.start + outer.start, m.end + outer.start) for m in parts)
    return Query(
        kind=expression.kind,
        text=wording.text,
        body=expression.body.id,
        view=seen.view,
        where=(outer, *within),
        template=wording.template,
        held_out=wording.held_out,
    )


def _expressions(seen: Seen) -> Iterator[_Expression]:
    for body in seen.clear_here:
        yield _Expression("name", body, "{name}", {"name": Phrase(body.name)})
        trait = seen.kindless(body)
        if trait:
            yield _Expression("trait", body, "{name}", {"name": Phrase(trait.text)})
    shown = [b for b in seen.bodies if float(seen.sight.share[seen.view, b.id - 1]) > 0]
    for b in seen.clear_here:
        others = [body for body in shown if body is not b]
        yield from _by_relation(seen, others, b)
        yield from _by_hiding(seen, others, b)
    yield from _by_superlative(seen, shown)


def _groups(seen: Seen, shown: Sequence[Body]) -> Iterator[tuple[str, list[Body]]]:
    """What is shown under each word that more than one thing fits, doors and paths aside."""
    groups: dict[str, list[Body]] = {"object": list(shown)}
    for body in shown:
        if body.noun not in groups:
            groups[body.noun] = list(filter(seen.of_kind(body.kind), shown))
        if body.color not in seen.painted:
            groups.setdefault(f"{body.color} object", []).append(body)
    yield from ((words, group) for words, group in groups.items() if len(group) >= 2)


def _by_relation(seen: Seen, others: Sequence[Body], b: Body) -> Iterator[_Expression]:
    for words, group in _groups(seen, others):
        for relation in _RELATIONS:
            states = [relation_state(seen, relation, body, b) for body in group]
            if states.count(True) == 1 and None not in states:
                body = group[states.index(True)]
                if body in seen.clear_here:
                    template = f"{{group}} {relation} the {{b}}"
                    filled: dict[str, Body | Phrase] = {"group": Phrase(words), "b": b}
                    yield _Expression("relation", body, template, filled)


def _by_hiding(seen: Seen, others: Sequence[Body], b: Body) -> Iterator[_Expression]:
    for template, shares in (
        ("object that hides a part of the {b}", [seen.hidden(b, by=body) for body in others]),
        ("object that is partly hidden by the {b}", [seen.hidden(body, by=b) for body in others]),
    ):
        hiding = [body for body, share in zip(others, shares, strict=True) if share >= HIDES]
        unsure = any(HIDES_NOT <= share < HIDES for share in shares)
        if len(hiding) == 1 and not unsure and hiding[0] in seen.clear_here:
            yield _Expression("hider", hiding[0], template, {"b": b})


def _by_superlative(seen: Seen, shown: Sequence[Body]) -> Iterator[_Expression]:
    measures: tuple[tuple[str, Callable[[Body], float], float], ...] = (
        ("smallest", largest_m, 1.0),
        ("largest", largest_m, -1.0),
        ("tallest", lambda body: body.extent_m[2], -1.0),
    )
    for words, group in _groups(seen, shown):
        if not all(body in seen.clear_here for body in group):
            continue
        for said, measure, power in measures:
            values = np.array([measure(body) ** power for body in group])
            body = stands_out(group, values, _SUPERLATIVE_RATIO)
            if body is not None:
                name = {"name": Phrase(f"{said} {words}")}
                yield _Expression("superlative", body, "{name}", dict(name))


def captions(
    scenes: Sequence[Scene], sights: Sequence[Sight], seed: int, aspect: float = 1.0
) -> list[str | None]:
    """Word a caption for each scene that no other scene of the list fits.

    Facts of the scene are added in random order, each only if it rules out some of the scenes that
    still fit, until none is left; then any, up to three. A fact rules a scene out that does not
    show it.

    Args:
        scenes: The scenes among which a caption must tell its own.
        sights: What the views of each show.
        seed: Source of order and wording.
        aspect: Width over height of the pictures.

    Returns:
        A text per scene; None where all facts of a scene are true of another one, too.
    """
    facts = [scene_facts(*pair, aspect) for pair in zip(scenes, sights, strict=True)]
    made: list[str | None] = []
    for i, scene in enumerate(scenes):
        key = (WORLD_VERSION, SPLITS.index(scene.split), _CAPTIONS_STREAM, scene.seed)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        chosen = _telling(facts, i, rng)
        ground = "the ground" if scene.place.is_open else "the floor"
        texts = [sentence(fact, rng, ground)[0] for fact in chosen]
        made.append(" ".join(texts) if texts else None)
    return made


def _telling(facts: Sequence[frozenset[Fact]], which: int, rng: np.random.Generator) -> list[Fact]:
    """Facts of a scene that together fit no other; none where all of them fit another, too."""
    others = {j for j in range(len(facts)) if j != which}
    chosen: list[Fact] = []
    # Relations first: they say more than what is there.
    own = [f for f in sorted(facts[which]) if f[1] != "number" or int(f[2]) > 1]
    order = sorted(rng.permutation(len(own)), key=lambda i: own[i][1] in ("is", "number"))
    for number in order:
        left = {j for j in others if own[number] in facts[j]}
        if left != others or not others:
            chosen, others = [*chosen, own[number]], left
        if not others and len(chosen) >= _FEWEST_SENTENCES:
            break
    return [] if others else chosen
