"""Questions about space: choice, yes or no, numbers and short text, by text or by likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import answers
from g2vlm_bench.metrics.answer_text import ParsedAnswer, parse_text
from g2vlm_bench.metrics.choices import parse_choice, parse_yes_no
from g2vlm_bench.metrics.numbers import in_unit, parse_number
from g2vlm_bench.prompts import PromptProfile, dress
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, convert, label_number

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
YES_NO = ("yes", "no")

_METRICS: dict[str, tuple[bool, float, float, str | None, str]] = {
    "accuracy": (
        True,
        1.0,
        0.0,
        None,
        "share of right answers; a number earns its mean relative accuracy, or is right within "
        "the protocol's tolerance",
    ),
    "chance_corrected_accuracy": (
        True,
        1.0,
        -1.0,
        "above_chance",
        "(sum of scores - sum of chances) / (questions - sum of chances); 0 is guessing "
        "(SITE-Bench's CAA, over each question's own options)",
    ),
    "mean_relative_accuracy": (
        True,
        1.0,
        0.0,
        "numbers",
        "numbers alone: share of the thresholds 0.50 ... 0.95 that are met (VSI-Bench)",
    ),
    "unparsed": (
        False,
        0.0,
        1.0,
        None,
        "share of answers that are empty or cannot be read",
    ),
}


class Instructions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind a question, by the kind of answer it wants."""

    choice: str = "Answer with the option's letter from the given choices directly."
    yes_no: str = "Answer with yes or no."
    number: str = "Answer with a single number."
    text: str = "Answer the question using a single word or phrase."


class QaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a question is put to a model.

    Attributes:
        before: Text before every question.
        instructions: Text behind every question.
        prompt: A published prompt, `<benchmark>.<profile>` of `tasks/prompts/`, in the place of the
            others.
    """

    prompt: PromptProfile | None = None
    before: str = ""
    instructions: Instructions = Instructions()


class QaProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer is read and counted.

    Attributes:
        scoring: `generation` reads the text by the strict parser; `loglikelihood` takes the most
            likely option and leaves out questions without options.
        tolerance: Relative error within which a number is right; None gives partial credit by the
            mean relative accuracy.
    """

    scoring: Literal["generation", "loglikelihood"] = "generation"
    tolerance: Annotated[float, msgspec.Meta(ge=0)] | None = None

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name."""
        label = "strict" if self.scoring == "generation" else "loglikelihood"
        return label if self.tolerance is None else f"{label}+tol{label_number(self.tolerance)}"

    def applies(self, target: Target) -> bool:
        """Whether a question can be scored this way."""
        return self.scoring == "generation" or target.answer_type in ("choice", "yes_no")


class SpatialQa(Family):
    """Questions with one right answer; what cannot be read is wrong, and counted."""

    known_metrics = tuple(_METRICS)

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        self.protocols = self.read_protocols(QaProtocol)
        where = f"task {definition.name}, key 'options'"
        # First by themselves, so that an unknown key among them is met with the nearest one too.
        if isinstance(instructions := definition.options.get("instructions"), dict):
            convert(instructions, Instructions, f"{where}.instructions")
        self.options = convert(definition.options, QaOptions, where)
        scorings = {protocol.scoring for protocol in self.protocols}
        wants = {
            Want.ANSWER if scoring == "generation" else Want.CHOICE_LOGLIKELIHOODS
            for scoring in scorings
        }
        self.wants = (frozenset(wants),)
        self.specs = tuple(
            _spec(metric, protocol) for protocol in self.protocols for metric in definition.metrics
        )

    def prepare(self, inputs: Inputs) -> Inputs:
        """Write the prompt; a yes/no question offers its two answers as options to a likelihood."""
        profile = self.options.prompt
        if profile is None:
            inputs = replace(inputs, prompt=self._prompt(inputs))
        else:
            inputs = dress(profile, inputs)
        choices = YES_NO if inputs.answer_type == "yes_no" else inputs.choices
        return replace(inputs, choices=choices)

    def truth(self, target: Target) -> Prediction:
        """The right answer as text, and a likelihood that prefers it."""
        answer, choices = _answer(target), _choices(target)
        if target.answer_type == "choice":
            right = choices.index(str(answer))
            text = LETTERS[right]
        else:
            # All digits, since a tolerance of 0 forgives none.
            text = repr(float(answer)) if target.answer_type == "number" else str(answer)
            right = choices.index(text) if choices else 0
        likelihoods = np.full(len(choices), -10.0)
        likelihoods[right : right + 1] = -0.1
        return Prediction(answer=text, choice_loglikelihoods=likelihoods if choices else None)

    def weights(self, target: Target) -> Mapping[str, float]:
        """Weight 0 leaves a question out of a metric that does not apply to it."""
        _answer(target)
        weights: dict[str, float] = {}
        for protocol in self.protocols:
            applies = float(protocol.applies(target))
            is_number = target.answer_type == "number"
            weights[f"asked@{protocol.label}"] = applies
            weights[f"above_chance@{protocol.label}"] = applies * (1 - chance(target))
            weights[f"numbers@{protocol.label}"] = applies * is_number
        return weights

    def worst(self, target: Target) -> Mapping[str, float]:
        """A failure is a wrong answer, whose chance-corrected score depends on the options."""
        guess = chance(target)
        return {
            f"chance_corrected_accuracy@{protocol.label}": -guess / (1 - guess)
            for protocol in self.protocols
        }

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Read the answer once a protocol and count it under every metric."""
        _answer(target)
        guess = chance(target)
        values: dict[str, float] = {}
        details: dict[str, Any] = {}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not protocol.applies(target):
                continue
            try:
                parsed = _read(protocol, target, prediction)
            except ValueError as error:
                # What one protocol lacks is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            right = _credit(parsed, target, protocol.tolerance)
            values[f"accuracy@{protocol.label}"] = right
            values[f"chance_corrected_accuracy@{protocol.label}"] = (right - guess) / (1 - guess)
            values[f"unparsed@{protocol.label}"] = float(parsed.status != "parsed")
            if target.answer_type == "number":
                values[f"mean_relative_accuracy@{protocol.label}"] = _credit(parsed, target, None)
            details.setdefault("parse_status", parsed.status)
            details[protocol.label] = {
                "status": parsed.status,
                "how": parsed.how,
                "read": _shown(parsed, target),
            }
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)

    def _prompt(self, inputs: Inputs) -> str:
        lines = [self.options.before, inputs.question or ""]
        if inputs.answer_type == "choice":
            lines += ["Options:"]
            lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(inputs.choices)]
        lines.append(getattr(self.options.instructions, inputs.answer_type or "text"))
        return "\n".join(line for line in lines if line)


def chance(target: Target) -> float:
    """The expected score of a guess: one over the options, and 0 for numbers and text."""
    choices = _choices(target)
    return 1 / len(choices) if choices else 0.0


def _spec(metric: str, protocol: QaProtocol) -> MetricSpec:
    higher_is_better, best, worst, weight, description = _METRICS[metric]
    return MetricSpec(
        name=f"{metric}@{protocol.label}",
        unit="1",
        higher_is_better=higher_is_better,
        best=best,
        worst=worst,
        chance=0.0 if metric == "chance_corrected_accuracy" else None,
        weight=f"{weight or 'asked'}@{protocol.label}",
        description=description,
    )


def _answer(target: Target) -> str | float:
    """Give the right answer; one that no answer could match is no truth."""
    answer, kind = target.answer, target.answer_type
    if answer is None or kind is None:
        raise NoTruthError("the sample has no answer")
    possible = {
        "choice": lambda: answer in target.choices and _can_be_told_apart(target.choices),
        "yes_no": lambda: answer in YES_NO,
        "number": lambda: isinstance(answer, float | int) and math.isfinite(answer),
        "text": lambda: isinstance(answer, str) and answers.normalise_text(answer) != "",
    }
    if not possible[kind]():
        options = f" among {list(target.choices)}, all different" if kind == "choice" else ""
        raise NoTruthError(f"expected an answer of type {kind}{options}, got {answer!r}")
    return answer


def _can_be_told_apart(choices: tuple[str, ...]) -> bool:
    try:
        parse_choice("", choices)
    except ValueError:
        return False
    return True


def _choices(target: Target) -> tuple[str, ...]:
    if target.answer_type == "yes_no":
        return YES_NO
    return target.choices if target.answer_type == "choice" else ()


def _read(protocol: QaProtocol, target: Target, prediction: Prediction) -> ParsedAnswer[Any]:
    if protocol.scoring == "loglikelihood":
        return _most_likely(target, prediction)
    if prediction.answer is None:
        raise ValueError("expected an answer as text, got none")
    if target.answer_type == "choice":
        return parse_choice(prediction.answer, target.choices)
    if target.answer_type == "yes_no":
        return parse_yes_no(prediction.answer)
    if target.answer_type == "number":
        return in_unit(parse_number(prediction.answer), target.unit)
    return parse_text(prediction.answer)


def _most_likely(target: Target, prediction: Prediction) -> ParsedAnswer[Any]:
    likelihoods = prediction.choice_loglikelihoods
    choices = _choices(target)
    if likelihoods is None or likelihoods.shape != (len(choices),):
        got = "none" if likelihoods is None else str(likelihoods.shape)
        raise ValueError(f"expected a log-likelihood for each of {len(choices)} options, got {got}")
    if np.isnan(likelihoods).any():
        raise ValueError("expected log-likelihoods without NaN, got NaN")
    best = np.flatnonzero(likelihoods == likelihoods.max())
    if len(best) > 1:
        # The first of equals would be a default letter.
        return ParsedAnswer(None, "unparsed", f"{len(best)} options are equally likely")
    index = int(best[0])
    value = (index == 0) if target.answer_type == "yes_no" else index
    return ParsedAnswer(value, "parsed", "the most likely option")


def _credit(parsed: ParsedAnswer[Any], target: Target, tolerance: float | None) -> float:
    answer = _answer(target)
    if target.answer_type == "choice":
        return answers.exact_choice(parsed.value, target.choices.index(str(answer)))
    if target.answer_type == "yes_no":
        return answers.exact_choice(parsed.value, answer == "yes")
    if target.answer_type == "number":
        if tolerance is None:
            return answers.mean_relative_accuracy(parsed.value, float(answer))
        return answers.within_tolerance(parsed.value, float(answer), relative=tolerance)
    return answers.text_match(parsed.value, (str(answer), *target.accepted))


def _shown(parsed: ParsedAnswer[Any], target: Target) -> str | float | None:
    if parsed.value is None:
        return None
    if target.answer_type == "choice":
        return target.choices[int(parsed.value)]
    if target.answer_type == "yes_no":
        return "yes" if parsed.value else "no"
    return parsed.value  # type: ignore[no-any-return]
