"""A question that a scene allows, and how asking it tips the balance of answers.

Balance is kept per kind of question and per context: over all of them, and for the words that
stand in them (kinds, colours, relations, numbers). A hard gate keeps an answer from being asked for
again where it is ahead, a context closed until each of its answers has been possible (a lamp is
taller than a ring in every scene, so which of the two is taller is never asked), and the commoner
answer waiting for the rarer one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from g2vlm_bench.sample import AnswerType
from g2vlm_bench.world.language.phrases import Phrase
from g2vlm_bench.world.scene import Body

# How far an answer may be ahead of its fair share before it is not asked for again.
KIND_LEAD = 0.75
CONTEXT_LEAD = 0.25
YES_NO = ("yes", "no")

Words = Mapping[str, "Body | Phrase | str"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A balance that must not be ahead already.

    Attributes:
        key: The balance that asking would raise.
        rivals: What must have been possible in this scene or an earlier one, all of it.
        lead: How far ahead the balance may be.
        wide: Whether it is of all questions of a kind, and not of those that have words in common.
    """

    key: str
    rivals: tuple[str, ...]
    lead: float
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question that a scene allows.

    Attributes:
        kind: Which templates word it.
        fact: What it asks; no fact is asked twice of a scene.
        answer_type: How it is answered.
        answer: One of the choices, `yes` or `no`, or a number.
        unit: Unit of a number, empty for a count.
        words: What fills the template: a body is named, a string stands as it is.
        choices: The options, not yet shuffled: bodies by name, or words.
        about: The bodies that it speaks of, options included.
        lean: How far asking it tips each balance away from zero.
        gates: The balances that must not be ahead.
    """

    kind: str
    fact: Hashable
    answer_type: AnswerType
    answer: str | float
    unit: str = ""
    words: Words = field(default_factory=dict)
    choices: tuple[Body | str, ...] = ()
    about: tuple[Body, ...] = ()
    lean: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


def claim(
    kind: str,
    fact: Hashable,
    truth: bool,
    words: Words,
    about: Sequence[Body] = (),
    contexts: Sequence[str] = (),
    shortcuts: Sequence[str] = (),
) -> Candidate:
    """A question that is answered by yes or no.

    Contexts are words that stand in it; shortcuts what it must not be guessed from though no word
    says it, such as which of two things is the larger.
    """
    answer = YES_NO[not truth]
    return _among(kind, fact, answer, YES_NO, words, about, contexts, shortcuts, ())


def either(
    kind: str,
    fact: Hashable,
    answer: str,
    answers: Sequence[str],
    words: Words,
    about: Sequence[Body] = (),
    contexts: Sequence[str] = (),
    shortcuts: Sequence[str] = (),
) -> Candidate:
    """A question with the same options whoever it is about; arguments as of `claim`."""
    choices = tuple(answers)
    return _among(kind, fact, answer, answers, words, about, contexts, shortcuts, choices)


def _among(
    kind: str,
    fact: Hashable,
    answer: str,
    answers: Sequence[str],
    words: Words,
    about: Sequence[Body],
    contexts: Sequence[str],
    shortcuts: Sequence[str],
    choices: tuple[str, ...],
) -> Candidate:
    kinds, colors = [body.kind for body in about], [body.color for body in about]
    joint = "+".join([*contexts, *kinds])
    alone = {"", joint, *contexts, *shortcuts, *colors}
    alone |= {f"{place} {name}" for place, name in enumerate(kinds)}
    return Candidate(
        kind=kind,
        fact=fact,
        answer_type="choice" if choices else "yes_no",
        answer=answer,
        words=words,
        choices=choices,
        about=tuple(about),
        lean=_tips(kind, sorted(alone), answer, answers),
        gates=_gates(kind, {"": KIND_LEAD, joint: CONTEXT_LEAD}, answer, answers),
    )


def counted(
    kind: str,
    fact: Hashable,
    count: int,
    most: int,
    words: Words,
    about: Sequence[Body],
    contexts: Sequence[str],
) -> Candidate:
    """A question for a count from 0 to `most`; the first context is the word that is counted."""
    answers = [str(number) for number in range(most + 1)]
    joint = "+".join(contexts)
    return Candidate(
        kind=kind,
        fact=fact,
        answer_type="number",
        answer=float(count),
        words=words,
        about=tuple(about),
        lean=_tips(kind, sorted({"", joint, *contexts}), str(count), answers),
        gates=_gates(kind, {"": KIND_LEAD, joint: CONTEXT_LEAD}, str(count), answers),
    )


def measured(
    kind: str, fact: Hashable, value: float, unit: str, words: Words, about: Sequence[Body] = ()
) -> Candidate:
    """A question for a measure; nothing is to be balanced where the words name no kind."""
    return Candidate(kind, fact, "number", value, unit, words, about=tuple(about))


def pick(
    kind: str,
    fact: Hashable,
    right: Body | str,
    wrong: Sequence[Body | str],
    words: Words,
    about: Sequence[Body] = (),
    contexts: Sequence[str] = (),
    shortcut: Callable[[Body], float] | None = None,
) -> Candidate:
    """A question whose options are bodies, or words of one sort such as colours.

    Balanced: how often each kind of thing is right where another kind is wrong, pair by pair within
    the contexts, and each colour and kind by itself, also within each context; and whether the
    right body has more of the measure than the wrong ones that it must not be guessed from.
    """
    lean: dict[str, float] = {}
    gates = []
    options = (right, *wrong)
    for option in options:
        tip = float(option is right) - 1 / len(options)
        for feature in _features(option):
            for context in ("", *contexts, *(body.kind for body in about)):
                key = f"{kind}/{context}/{feature}"
                lean[key] = lean.get(key, 0.0) + tip
    joint = "+".join(contexts)
    for other in wrong:
        won, lost = _features(right)[0], _features(other)[0]
        if won != lost:
            ahead, behind = f"{kind}/{joint}/{won}>{lost}", f"{kind}/{joint}/{lost}>{won}"
            lean[ahead], lean[behind] = lean.get(ahead, 0) + 1, lean.get(behind, 0) - 1
            # Words such as colours can all be right; of things, and of the floor where it is one of
            # the options, it must have been seen.
            rivals = (behind,) if any(isinstance(option, Body) for option in options) else ()
            gates.append(Gate(ahead, rivals, CONTEXT_LEAD))
    named = [option for option in options if isinstance(option, Body)]
    if shortcut is not None and isinstance(right, Body):
        sign = sum((shortcut(right) > shortcut(b)) - (shortcut(right) < shortcut(b)) for b in named)
        lean[f"{kind}/shortcut"] = float(sign)
    answer = right.name if isinstance(right, Body) else right
    known = dict.fromkeys([*about, *named])
    return Candidate(
        kind, fact, "choice", answer, "", words, options, tuple(known), lean, tuple(gates)
    )


def evened(candidate: Candidate, shortcut: str, answer: str, answers: Sequence[str]) -> Candidate:
    """The same question, asked only while what a shortcut leads to is right no more than its share.

    It replaces the question's gates: where a scene allows one question of a kind at most, holding
    back for several reasons would leave none.

    Args:
        candidate: The question.
        shortcut: What it could be guessed from, though no word says it.
        answer: What the shortcut leads to here.
        answers: All that it may lead to.
    """
    kind = candidate.kind
    return dataclasses.replace(
        candidate,
        lean={**candidate.lean, **_tips(kind, [shortcut], answer, answers)},
        gates=(Gate(f"{kind}/{shortcut}/{answer}", (), KIND_LEAD, wide=True),),
    )


def odd_evened(candidate: Candidate) -> Candidate:
    """The same question of three things, asked only while the odd one out is not right too often.

    Where two options are of one kind, either of them should be right as often as the third. Balance
    of kinds against each other leaves that open: a cone that is right beside two balls makes up for
    a ball that is right beside two cones.
    """
    things = [option for option in candidate.choices if isinstance(option, Body)]
    kinds = [thing.kind for thing in things]
    if len(kinds) != 3 or len(set(kinds)) != 2:
        return candidate
    right = next(thing for thing in things if thing.name == candidate.answer)
    place = "odd one" if kinds.count(right.kind) == 1 else "one of two"
    shares = {"odd one": 1 / 3, "one of two": 2 / 3}
    tips = {f"{candidate.kind}/{each}": (each == place) - share for each, share in shares.items()}
    gate = Gate(f"{candidate.kind}/{place}", (), KIND_LEAD, wide=True)
    return dataclasses.replace(
        candidate, lean={**candidate.lean, **tips}, gates=(*candidate.gates, gate)
    )


def _features(option: Body | str) -> tuple[str, ...]:
    return (option.kind, option.color) if isinstance(option, Body) else (option,)


def _tips(
    kind: str, contexts: Sequence[str], answer: str, answers: Sequence[str]
) -> dict[str, float]:
    share = 1 / len(answers)
    return {
        f"{kind}/{context}/{each}": float(each == answer) - share
        for context in contexts
        for each in answers
    }


def _gates(
    kind: str, leads: Mapping[str, float], answer: str, answers: Sequence[str]
) -> tuple[Gate, ...]:
    def each(context: str, lead: float) -> Gate:
        rivals = tuple(f"{kind}/{context}/{other}" for other in answers if other != answer)
        return Gate(f"{kind}/{context}/{answer}", rivals, lead, wide=not context)

    return tuple(each(context, lead) for context, lead in leads.items())


def possible_keys(candidates: Sequence[Candidate]) -> Iterator[str]:
    """The balances that some candidate would raise, were it asked."""
    for candidate in candidates:
        for gate in candidate.gates:
            yield gate.key
