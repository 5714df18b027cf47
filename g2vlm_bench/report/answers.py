"""Questions as they are shown: the options, the truth, and what each model said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report.cells import number
from g2vlm_bench.report.choosing import Entry, value_text
from g2vlm_bench.sample import Inputs, Target

LONGEST = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer and whether it is right."""

    model: str
    text: str
    verdict: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its truth and the answers it got.

    Attributes:
        options: Every option, and whether it is the true one.
    """

    text: str
    options: tuple[tuple[str, bool], ...]
    truth: str
    answers: tuple[Answer, ...]


def question(
    inputs: Inputs, target: Target, models: Sequence[Entry], spec: MetricSpec, kind: str
) -> Question:
    """Gather a question and its answers, untrusted text as it came.

    Args:
        inputs: What was asked.
        target: What is true.
        models: What each model made of it.
        spec: The task's headline.
        kind: `answers` that are right or wrong, an `agreement` of words with depth, a
            `description`, or a `retrieval`.
    """
    answer = {"agreement": _agreement, "description": _description, "retrieval": _found}
    truth = f"{target.answer:g}" if isinstance(target.answer, float | int) else str(target.answer)
    accepted = (truth, *target.accepted)
    if kind == "description":
        accepted = target.accepted[:1] or accepted  # One telling is enough to compare with.
    return Question(
        text=inputs.question or "",
        options=tuple((choice, choice == truth) for choice in target.choices),
        truth="" if kind == "retrieval" else ", or ".join(accepted),
        answers=tuple(answer.get(kind, _answer)(entry, spec) for entry in models),
    )


def _said(entry: Entry) -> str | None:
    text = entry.stored.answer if entry.stored is not None else None
    return None if text is None else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text)} characters)"


def _answer(entry: Entry, spec: MetricSpec) -> Answer:
    read = entry.detail(spec.protocol, "read")
    text = _said(entry)
    by_likelihood = _cut(f"{read} (most likely)") if read is not None else ""
    shown = by_likelihood if text is None else text
    verdict = _verdict(entry, spec)
    note = entry.problem if verdict == "failed" else ""
    if verdict in ("right", "wrong", "partly right") and read is not None and text is not None:
        note = f"read as {read}" if str(read) != text else ""
    return Answer(entry.model, shown, verdict, note)


def _agreement(entry: Entry, spec: MetricSpec) -> Answer:
    """Words beside depth: both may be wrong, and still agree."""
    by_depth, value = entry.detail("geometry"), entry.value(spec.name)
    text = _said(entry) or ""
    if by_depth is None or value is None:
        verdict = _verdict(entry, spec)
        return Answer(entry.model, text, verdict, entry.problem if verdict == "failed" else "")
    if isinstance(by_depth, bool):
        by_depth = "yes" if by_depth else "no"
    shown = by_depth if isinstance(by_depth, str) else number(by_depth)
    share = f"agrees to {number(value, spec.bounded)}"
    verdict = "agrees" if value >= spec.best else "disagrees" if value <= 0 else share
    return Answer(entry.model, text, verdict, f"its depth says {shown}")


def _description(entry: Entry, spec: MetricSpec) -> Answer:
    return Answer(entry.model, _said(entry) or "", value_text(entry, spec), entry.problem)


def _found(entry: Entry, spec: MetricSpec) -> Answer:
    rank = entry.value(f"median_rank@{spec.protocol}")
    text = "" if rank is None else f"ranked {rank:.0f}"
    return Answer(entry.model, text, value_text(entry, spec), entry.problem)


def _verdict(entry: Entry, spec: MetricSpec) -> str:
    if entry.line is None or entry.line.status != "scored":
        return "not scored" if entry.line is None else entry.line.status
    status = entry.detail(spec.protocol, "status") or entry.detail("parse_status")
    if status not in (None, "parsed"):
        return str(status)
    value = entry.value(f"accuracy@{spec.protocol}")
    value = entry.value(spec.name) if value is None else value
    if value is None:
        return "not scored"
    return "right" if value >= spec.best else "wrong" if value <= 0 else "partly right"
