"""How many there are, whether there is one, and what a thing is like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from g2vlm_bench.world.candidates import Candidate, Words, claim, counted, pick
from g2vlm_bench.world.language.phrases import NUMBERS, Phrase, a, plural
from g2vlm_bench.world.language.seen import Seen
from g2vlm_bench.world.layout.recipe import HELD_OUT_PAIRS
from g2vlm_bench.world.scene import COLORS, MATERIALS, Body
from g2vlm_bench.world.shapes import KINDS, spoken

MAX_COUNT = 3
MAX_ON = 2


@dataclass(frozen=True, slots=True)
class _Sort:
    """A sort of things that can be counted.

    Attributes:
        words: Their name in the plural.
        feature: What the balance calls them; things of one kind are never told apart by it.
        found: Those that are shown.
    """

    words: str
    feature: str
    found: tuple[Body, ...]

    @property
    def phrase(self) -> Phrase:
        """Their name, which mentions each of them."""
        return Phrase(self.words, tuple(sorted(body.id for body in self.found)))


def _sorts(seen: Seen) -> Iterator[_Sort]:
    """What can be counted: of a colour, a kind, a material, or both; none hardly shown.

    Not a colour that a door or a painted path has, nor what may be of a material or not.
    """
    kinds = list(dict.fromkeys(body.kind for body in seen.bodies))
    named: list[tuple[str, str, Callable[[Body], bool]]] = []
    named += [(f"{c} objects", c, _has(color=c)) for c in COLORS if c not in seen.painted]
    named += [(plural(k), k, seen.of_kind(k)) for k in KINDS]
    for material in (m for m in MATERIALS if m != "matte"):
        has = _has(material=material)
        if _is_plain(seen, material, lambda _: True):
            named.append((f"{material} objects", material, has))
        for k in kinds:
            if _is_plain(seen, material, seen.of_kind(k)):
                fits = _both(seen.of_kind(k), has)
                named.append((f"{material} {plural(k)}", f"{material} {k}", fits))
    for words, feature, fits in named:
        found = seen.fitting(fits)
        if found is not None:
            yield _Sort(words, feature, tuple(found))


def _is_plain(seen: Seen, material: str, fits: Callable[[Body], bool]) -> bool:
    """Whether it is plain of all that fit and are shown whether they are of a material."""
    shown = [body for body in seen.bodies if fits(body) and seen.share(body) > 0]
    return all(seen.may_be(body) == {body.material} or material not in seen.may_be(body)
               for body in shown)  # fmt: skip


def _has(**traits: str) -> Callable[[Body], bool]:
    return lambda body: all(getattr(body, key) == value for key, value in traits.items())


def _both(*conditions: Callable[[Body], bool]) -> Callable[[Body], bool]:
    return lambda body: all(fits(body) for fits in conditions)


def counting(seen: Seen) -> Iterator[Candidate]:
    """How many of a colour, a kind, a material are shown, or stand on a thing; 0 to 3, and 0 to 2.

    Margins: none that would count is shown but hardly, and of a material none that may be of it or
    not, by the margins of `attribute`. Things on another count where it and they are clear in the
    same picture.
    """
    sorts = [sort for sort in _sorts(seen) if len(sort.found) <= MAX_COUNT]
    for sort in sorts:
        count = len(sort.found)
        words: Words = {"things": sort.phrase, "shown": seen.shown}
        fact = ("count", sort.feature)
        # More is seen in several pictures than in one.
        contexts = [sort.feature, seen.scope]
        yield counted("count", fact, count, MAX_COUNT, words, sort.found, contexts)
        for number in (1, 2, 3):
            said: Words = {**words, "number": NUMBERS[number]}
            about = [*contexts, f"number {number}"]
            yield claim("exactly", fact, count == number, said, (), about)
            yield claim("at_least", fact, count >= number, said, (), about)
            if number > 1:
                yield claim("fewer_than", fact, count < number, said, (), about)
    for one, other in combinations(sorts, 2):
        yield from _more(seen, one, other)
    for b in seen.clear_any:
        yield from _on(seen, b)


def _more(seen: Seen, one: _Sort, other: _Sort) -> Iterator[Candidate]:
    """Whether there are more of the one sort; only colours with colours, kinds with kinds."""
    if " " in one.feature + other.feature or (one.feature in COLORS) != (other.feature in COLORS):
        return
    if not one.found or not other.found or len(one.found) == len(other.found):
        return
    for x, y in ((one, other), (other, one)):
        words: Words = {"things": x.phrase, "others": y.phrase, "shown": seen.shown}
        fact = ("more", frozenset((x.feature, y.feature)))
        features = [f"more {x.feature}", f"than {y.feature}"]
        yield claim("more", fact, len(x.found) > len(y.found), words, (), features)


def _on(seen: Seen, b: Body) -> Iterator[Candidate]:
    if not b.surfaces or b.surfaces[0].inside:
        return
    on = [body for body in seen.bodies if body.support == b.id and not body.inside]
    if len(on) <= MAX_ON and all(seen.together(body, b) for body in on):
        words: Words = {"b": b, "shown": seen.shown}
        yield counted("count_on", ("on", b.id), len(on), MAX_ON, words, (b, *on), [b.kind])


def existence(seen: Seen) -> Iterator[Candidate]:
    """Whether there is a thing of a colour and a kind, also in the negative.

    Margins: what is there is clear. What is not there has a colour and a kind that other things
    shown have, so that neither word gives it away.
    """
    there = {body.name: body for body in seen.bodies}
    kinds = list(dict.fromkeys(body.kind for body in seen.clear_any))
    for color in dict.fromkeys(body.color for body in seen.clear_any):
        for kind in kinds:
            body = next((b for b in seen.bodies if (b.color, b.kind) == (color, kind)), None)
            if body is not None and body not in seen.clear_any:
                continue
            if seen.fitting(_both(seen.of_kind(kind), _has(color=color))) is None:
                continue
            name = f"{color} {spoken(kind)}"
            meant = () if body is None else (body.id,)
            words: Words = {
                "an_a": Phrase(a(name), meant),
                "a": Phrase(name, meant),
                "shown": seen.shown,
            }
            fact = ("exists", name)
            pair = [color, kind, f"{color} {kind}"]
            for template, truth in (("exists", name in there), ("exists_not", name not in there)):
                yield claim(template, fact, truth, words, (), pair)


def attribute(seen: Seen) -> Iterator[Candidate]:
    """The colour, kind or material of a thing, where the words fit no other thing shown.

    Margins: the thing is clear. Its material is asked where it fills 2 % of a picture, of people,
    trees and a table top's table never, and matte and shiny are never options together. Options are
    what other clear things of the scene are like, so that to have seen a colour is not yet to know
    the answer. No wrong option makes a pair of colour and kind that training never shows.
    """
    for body in seen.clear_any:
        others = [other for other in seen.clear_any if other is not body]
        if seen.is_only(body, seen.of_kind(body.kind)):
            colors = dict.fromkeys(other.color for other in others)
            wrong = [c for c in colors if c != body.color and (c, body.kind) not in HELD_OUT_PAIRS]
            yield from _trait("color", body, body.color, wrong, Phrase(body.noun, (body.id,)))
        named = seen.kindless(body)
        if named is not None:
            kinds = dict.fromkeys(other.kind for other in others)
            wrong = [k for k in kinds if k != body.kind and (body.color, k) not in HELD_OUT_PAIRS]
            yield from _trait("kind", body, body.noun, list(map(spoken, wrong)), named)
        # The table of a table top is matte always.
        is_given = body.kind == "table" and seen.scene.place.kind == "table_top"
        if len(seen.may_be(body)) < len(MATERIALS) and not is_given:
            yield from _material(body, {other.material for other in others})


def _material(body: Body, others: set[str]) -> Iterator[Candidate]:
    """What it is made like, matte and shiny never both among the options."""
    for even in ("matte", "shiny"):
        known = [m for m in (even, "striped", "checked") if m == body.material or m in others]
        wrong = [m for m in known if m != body.material]
        if len(known) > 1 and body.material in known and (even in known or even == "matte"):
            words: Words = {"a": Phrase(body.name, (body.id,))}
            fact = ("material", body.id)
            # Which of the same options is right is even, whatever else a scene has.
            yield pick("material", fact, body.material, wrong, words, (), ["+".join(known)])


def _trait(
    kind: str, body: Body, right: str, wrong: list[str], named: Phrase
) -> Iterator[Candidate]:
    # Two, three or four options: all the scene has of colours, two of the rest.
    for group in combinations(wrong, min(len(wrong), 2)):
        if group:
            context = [body.kind] if kind == "color" else [body.color]
            yield pick(kind, (kind, body.id), right, group, {"a": named}, (), context)
