"""Questions about space: choice, yes or no, numbers, text, points, by text or by likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import answers
from g2vlm_bench.prompts import PromptProfile, dress
from g2vlm_bench.protocols.answers import YES_NO, Mean, QaProtocol, options_of
from g2vlm_bench.protocols.counted import LETTERS, Counted
from g2vlm_bench.protocols.strict_rules import strict_number, true_change
from g2vlm_bench.protocols.true_answers import true_answer
from g2vlm_bench.sample import Ambiguity, AnswerType, Inputs, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, TaskDefinition
from g2vlm_bench.yaml_files import convert

# Kind of group -> metric that counts a group right when all its samples are.
_TOGETHER = {
    "circular": "circular_accuracy",
    "flip": "flip_accuracy",
    "flip_circular": "flip_circular_accuracy",
}
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
    **{
        name: (True, 1.0, 0.0, None, f"share of {kind} groups of which every question is right")
        for kind, name in _TOGETHER.items()
    },
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
    points: str = (
        "Answer with a list of points [(x, y), ...], as shares of the image's width and height."
    )
    box: str = "Answer with a box [left, top, right, bottom], as shares of the image's size."
    camera_change: str = "Answer with moves and turns, such as move_right:0.3,rotate_left:12."


class QaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a question is put to a model.

    Attributes:
        before: Text before every question.
        instructions: Text behind every question.
        means: Name -> a mean that the paper reports; the metric `means` gives each by its name.
        answer_forms: Kind of answer -> what a right one looks like where the prompt asks for a form
            of its own (see `true_answer`).
        prompt: A published prompt, `<benchmark>.<profile>` of `tasks/prompts/`, in the place of the
            others.
    """

    prompt: PromptProfile | None = None
    before: str = ""
    instructions: Instructions = Instructions()
    means: dict[str, Mean] = msgspec.field(default_factory=dict)
    answer_forms: dict[AnswerType, str] = msgspec.field(default_factory=dict)


class SpatialQa(Family):
    """Questions with one right answer; what cannot be read is wrong, and counted."""

    known_metrics = (*_METRICS, "means")

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
            spec
            for protocol in self.protocols
            for metric in definition.metrics
            for spec in self._specs(metric, protocol)
        )

    def prepare(self, inputs: Inputs) -> Inputs:
        """Write the prompt; a yes/no question offers its two answers as options to a likelihood."""
        profile = self.options.prompt
        if profile is None:
            inputs = replace(inputs, prompt=self._prompt(inputs))
        else:
            inputs = dress(profile, inputs)
        is_choice = inputs.answer_type == "choice"
        return replace(
            inputs,
            choices=YES_NO if inputs.answer_type == "yes_no" else inputs.choices,
            continuations=tuple(LETTERS[: len(inputs.choices)]) if is_choice else (),
        )

    def truth(self, target: Target) -> Prediction:
        """The right answer as text, and a likelihood that prefers it."""
        answer, options = _answer(target), options_of(target)
        strict = next((p for p in self.protocols if not p.rules), self.protocols[0])
        form = self.options.answer_forms.get(target.answer_type or "text", "")
        text = true_answer(target, form, strict.point_scale)
        likelihoods = np.full(len(options), -10.0)
        if options:
            likelihoods[options.index(str(answer))] = -0.1
        return Prediction(answer=text, choice_loglikelihoods=likelihoods if options else None)

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
        values: dict[str, float] = {}
        details: dict[str, Any] = {}
        undefined: list[str] = []
        for protocol in self.protocols:
            if not protocol.applies(target):
                continue
            try:
                counted = protocol.count(target, prediction)
            except ValueError as error:
                # What one protocol lacks is no failure under the others.
                undefined.append(f"{protocol.label}: {error}")
                continue
            if counted.score is None:
                undefined.append(f"{protocol.label}: {counted.how}")
            else:
                values |= self._values(protocol, counted, target, prediction)
            details.setdefault("parse_status", counted.status)
            details[protocol.label] = {
                "status": counted.status,
                "how": counted.how,
                "read": counted.read,
            }
        if undefined and not values:
            raise ValueError(undefined[0])
        if undefined:
            details["undefined"] = "; ".join(undefined)
        return SampleScore(values=values, details=details)

    def _values(
        self, protocol: QaProtocol, counted: Counted, target: Target, prediction: Prediction
    ) -> dict[str, float]:
        label, right, guess = protocol.label, counted.score or 0.0, chance(target)
        found = {
            f"accuracy@{label}": right,
            f"chance_corrected_accuracy@{label}": (right - guess) / (1 - guess),
            f"unparsed@{label}": float(counted.status != "parsed"),
        }
        found |= {f"{metric}@{label}": right for metric in _TOGETHER.values()}
        found |= {f"{n}@{label}": right * mean.scale for n, mean in self._means(protocol).items()}
        if target.answer_type == "number":
            found[f"mean_relative_accuracy@{label}"] = right
            if protocol.tolerance is not None:
                partial = strict_number(prediction.answer or "", target, None)
                found[f"mean_relative_accuracy@{label}"] = partial.score or 0.0
        return found

    def _means(self, protocol: QaProtocol) -> dict[str, Mean]:
        return {**self.options.means, **protocol.means}

    def _specs(self, metric: str, protocol: QaProtocol) -> Iterator[MetricSpec]:
        if metric != "means":
            yield _spec(metric, protocol)
            return
        for name, mean in self._means(protocol).items():
            if name in _METRICS:
                raise BenchError(
                    f"task {self.definition.name}, key 'means'",
                    expected="names that no metric has",
                    got=f"'{name}'",
                )
            yield MetricSpec(
                name=f"{name}@{protocol.label}",
                unit="%" if mean.scale == 100 else "1",
                higher_is_better=True,
                best=mean.scale,
                worst=0.0,
                weight=f"asked@{protocol.label}",
                by=mean.by or None,
                shares=mean.shares,
                pooled=mean.pooled,
                description=f"mean of the accuracies of each {mean.by}" if mean.by else "accuracy",
            )

    def _prompt(self, inputs: Inputs) -> str:
        lines = [self.options.before, inputs.question or ""]
        if inputs.answer_type == "choice":
            lines += ["Options:"]
            lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(inputs.choices)]
        lines.append(getattr(self.options.instructions, inputs.answer_type or "text"))
        return "\n".join(line for line in lines if line)


def chance(target: Target) -> float:
    """The expected score of a guess.

    One over the options; for points the region's share of the image; 0 for all else.
    """
    if target.answer_type == "points" and target.region is not None:
        return float(target.region.mean())
    options = options_of(target)
    return 1 / len(options) if options else 0.0


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
        together=next((kind for kind, name in _TOGETHER.items() if name == metric), None),
        description=description,
    )


def _answer(target: Target) -> str | float:
    """Give the right answer; one that no answer could match, or none could miss, is no truth."""
    answer, kind = target.answer, target.answer_type
    if answer is None or kind is None:
        raise NoTruthError("the sample has no answer")
    possible: dict[str, Callable[[], bool]] = {
        "choice": lambda: answer in target.choices and _can_be_told_apart(target.choices),
        "yes_no": lambda: answer in YES_NO,
        "number": lambda: isinstance(answer, float | int) and math.isfinite(answer),
        "text": lambda: isinstance(answer, str) and answers.normalise_text(answer) != "",
        "points": lambda: target.region is not None and 0 < target.region.mean() < 1,
        "box": lambda: target.box is not None and target.image_size is not None,
        "camera_change": lambda: bool(true_change(target)),
    }
    try:
        usable = possible[kind]()
    except ValueError:
        usable = False
    if not usable:
        options = f" among {list(target.choices)}, all different" if kind == "choice" else ""
        raise NoTruthError(f"expected an answer of type {kind}{options}, got {answer!r}")
    return answer


def _can_be_told_apart(choices: tuple[str, ...]) -> bool:
    try:
        answers.parse_choice("", choices)
    except ValueError:
        return False
    return True
