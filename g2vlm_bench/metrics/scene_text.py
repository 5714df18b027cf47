"""Descriptions of scenes: the facts that they state, and how near their wording is to others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence


def precision_recall(
    stated: Collection[Hashable],
    true: Collection[Hashable],
    undecided: Collection[Hashable] = (),
) -> tuple[float, float]:
    """Share of the decided stated facts that are true, and of the true facts that are stated.

    What is undecided is neither right nor wrong: it counts in neither share. A text that states
    nothing that is decided has a precision of 0, not an undefined one: silence is no care.

    Raises:
        ValueError: There is no true fact, or one is undecided, too.

    >>> precision_recall({"a", "b"}, {"a", "c", "d", "e"})
    (0.5, 0.25)
    >>> precision_recall({"a", "b", "x"}, {"a", "c", "d", "e"}, undecided={"x", "y"})
    (0.5, 0.25)
    """
    said, there, either = set(stated), set(true), set(undecided)
    if not there:
        raise ValueError("expected at least one true fact, got none")
    if there & either:
        raise ValueError(f"expected no true fact undecided, got {min(map(repr, there & either))}")
    right, decided = len(said & there), len(said - either)
    return (right / decided if decided else 0.0), right / len(there)


def decided_share(stated: Collection[Hashable], undecided: Collection[Hashable]) -> float:
    """Share of the stated facts that are not undecided; 0 of a text that states none.

    >>> decided_share({"a", "b", "c", "x"}, {"x", "y"})
    0.75
    """
    said = set(stated)
    return len(said - set(undecided)) / len(said) if said else 0.0


def resolve_names(
    stated: Collection[tuple[str, ...]], true: Collection[tuple[str, ...]]
) -> frozenset[tuple[str, ...]]:
    """Give things that are named by their noun alone their full name, where one thing fits.

    Whoever says "the table" of the only table in a scene means the blue one. Full names are those
    of the true facts' subjects, such as `blue table`; a noun that fits none or several stays.

    >>> sorted(resolve_names({("box", "on", "table")}, {("blue table", "is", "there")}))
    [('box', 'on', 'blue table')]
    """
    full = {fact[0] for fact in true if " " in fact[0] and not fact[0].endswith(" object")}
    by_noun: dict[str, set[str]] = defaultdict(set)
    for name in full:
        by_noun[name.rpartition(" ")[2]].add(name)
    only = {noun: next(iter(names)) for noun, names in by_noun.items() if len(names) == 1}
    return frozenset(
        # What is said of a kind as a whole, that it is there and how many there are, stays so.
        fact
        if fact[1:] == ("is", "there") or fact[1] == "number"
        else tuple(only.get(word, word) for word in fact)
        for fact in stated
    )


def harmonic_mean(precision: float, recall: float) -> float:
    """`2 P R / (P + R)`, 0 where both are 0.

    >>> harmonic_mean(0.5, 0.25)
    0.3333333333333333
    """
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def chrf(text: str, references: Sequence[str]) -> float:
    """Character n-gram F-score against the best of the references, in [0, 1].

    n up to 6, beta 2, as sacrebleu computes it (there times 100).

    Raises:
        ValueError: There is no reference.

    Source: Popovic, "chrF: character n-gram F-score for automatic MT evaluation" (2015); sacrebleu
    (Post 2018), `sentence_chrf`.
    """
    if not references:
        raise ValueError("expected at least one reference, got none")
    from sacrebleu.metrics.chrf import CHRF

    # Of an empty text sacrebleu makes 0 already; rounding may make a perfect one 100.00000000000001
    return min(float(CHRF().sentence_score(text, list(references)).score) / 100, 1.0)
