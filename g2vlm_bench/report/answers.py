"""Questions as they are shown: the options, the truth, and what each model said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report.choosing import Entry
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


def question(inputs: Inputs, target: Target, models: Sequence[Entry], spec: MetricSpec) -> Question:
    """Gather a question and its answers, untrusted text as it came."""
    truth = f"{target.answer:g}" if isinstance(target.answer, float | int) else str(target.answer)
    return Question(
        text=inputs.question or "",
        options=tuple((choice, choice == truth) for choice in target.choices),
        truth=", or ".join((truth, *target.accepted)),
        answers=tuple(_answer(entry, spec) for entry in models),
    )


def _answer(entry: Entry, spec: MetricSpec) -> Answer:
    read = entry.detail(spec.protocol, "read")
    text = entry.stored.answer if entry.stored is not None else None
    by_likelihood = f"{read} (most likely)" if read is not None else ""
    shown = by_likelihood if text is None else text
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]} ... ({len(shown)} characters)"
    verdict = _verdict(entry, spec)
    note = entry.problem if verdict == "failed" else ""
    if verdict in ("right", "wrong", "partly right") and read is not None and text is not None:
        note = f"read as {read}" if str(read) != text else ""
    return Answer(entry.model, shown, verdict, note)


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
