"""How an answer's text is read and counted: the fields of a task file or a profile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from g2vlm_bench.errors import nearest
from g2vlm_bench.metrics.answer_text import ParsedAnswer
from g2vlm_bench.metrics.places import Scale
from g2vlm_bench.protocols.counted import Counted, Rule, unread
from g2vlm_bench.protocols.letters import LETTER_RULES
from g2vlm_bench.protocols.number_rules import CAMERA_CHANGE_RULES, NUMBER_RULES
from g2vlm_bench.protocols.ost_rules import OST_LETTER_RULES, OST_NUMBER_RULES
from g2vlm_bench.protocols.place_rules import POINT_RULES
from g2vlm_bench.protocols.strict_rules import (
    PointsCount,
    count_choice,
    count_yes_no,
    strict_box,
    strict_camera_change,
    strict_choice,
    strict_number,
    strict_points,
    strict_text,
    strict_yes_no,
)
from g2vlm_bench.protocols.text_rules import (
    BOXED_RULES,
    ORDER_RULES,
    TEXT_RULES,
    YES_NO_RULES,
)
from g2vlm_bench.sample import AnswerType, Prediction, Target
from g2vlm_bench.task import Protocol, label_number

YES_NO = ("yes", "no")
RULES: dict[str, dict[str, Rule]] = {
    "choice": LETTER_RULES | OST_LETTER_RULES | BOXED_RULES,
    "yes_no": YES_NO_RULES | TEXT_RULES,
    "number": NUMBER_RULES | OST_NUMBER_RULES | TEXT_RULES,
    "text": TEXT_RULES | ORDER_RULES,
    "points": POINT_RULES,
    "camera_change": CAMERA_CHANGE_RULES,
}


class Mean(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mean that a paper reports.

    Attributes:
        by: The tag whose values have a mean each; empty for one mean over all questions.
        of: Its values, of whose means the mean is taken; a list among them is one member, the mean
            of its own. All values alike where it is empty.
        pooled: All questions of these values alike, instead of a mean of means.
        scale: What 1 is reported as: 100 for a percentage.
    """

    by: str = ""
    of: list[Any] = msgspec.field(default_factory=list)
    pooled: bool = False
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        """Refuse members without a tag, empty members, and a value that stands in two places."""
        names = [name for name, _ in self.shares]
        if self.of and not self.by:
            raise ValueError("expected 'by', the tag that 'of' lists values of, got none")
        if self.pooled and not self.of:
            raise ValueError("expected 'of', the values whose questions are pooled, got none")
        if len(set(names)) < len(names):
            raise ValueError(f"expected each value once in 'of', got {names}")

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """Each value with its share of the whole.

        >>> Mean(by="kind", of=["a", ["b", "c"]]).shares
        (('a', 0.5), ('b', 0.25), ('c', 0.25))
        """
        return tuple(_shares(self.of, 1.0))


def _shares(members: list[Any], share: float) -> Iterator[tuple[str, float]]:
    for member in members:
        part = share / len(members)
        if isinstance(member, list) and member:
            yield from _shares(member, part)
        elif isinstance(member, str):
            yield member, part
        else:
            raise ValueError(f"expected values of a tag and lists of them, got {member!r}")


class QaProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer is read and counted.

    Attributes:
        scoring: `generation` reads the text; `loglikelihood` takes the most likely option and
            leaves out questions without options.
        rules: Kind of answer -> a published rule (`RULES`); kinds without one are left out. Empty:
            the strict reading of every kind.
        thought: What is done to a text before any rule but the strict ones, which see to it
            themselves: `lmms_eval` removes `<think>` and `<analysis>` blocks as its command does.
        tolerance: Relative error within which a number is right; None gives partial credit by the
            mean relative accuracy. Of the strict reading, as all below.
        point_scale: What the prompt asks points and boxes in: shares of the image, a grid of 1000,
            or pixels.
        points: What counts of several points: the share in the region, the first, or any.
        box_overlap: Intersection over union from which a box is right.
        means: Name -> mean that this protocol reports; a task's mean of the same name gives way.
    """

    scoring: Literal["generation", "loglikelihood"] = "generation"
    rules: dict[AnswerType, str] = msgspec.field(default_factory=dict)
    thought: Literal["kept", "lmms_eval"] = "kept"
    tolerance: Annotated[float, msgspec.Meta(ge=0)] | None = None
    point_scale: Scale = "unit"
    points: PointsCount = "share"
    box_overlap: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    means: dict[str, Mean] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse rules that do not exist, and what would do nothing beside them."""
        for kind, rule in self.rules.items():
            known = RULES.get(kind, {})
            if rule not in known:
                raise ValueError(f"no rule '{rule}' for {kind}. {nearest(rule, known)}")
        if self.rules and self.scoring == "loglikelihood":
            raise ValueError("expected rules or log-likelihoods, got both")
        if self.thought != "kept" and not self.rules:
            raise ValueError("expected rules to remove thoughts for, got none")

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name."""
        parts = ["strict" if self.scoring == "generation" else "loglikelihood"]
        if self.rules:
            parts = [self.thought] if self.thought != "kept" else []
            parts += [f"{kind}_{rule}" for kind, rule in sorted(self.rules.items())]
        if self.tolerance is not None:
            parts.append(f"tol{label_number(self.tolerance)}")
        parts += [] if self.point_scale == "unit" else [self.point_scale]
        parts += [] if self.points == "share" else [f"{self.points}_point"]
        parts += [] if self.box_overlap == 0.5 else [f"iou{label_number(self.box_overlap)}"]
        return "+".join(parts)

    @property
    def truth_falls_short(self) -> str:
        """Why the truth does not get the best value under a published rule."""
        if self.rules.get("points") == "first_guessed_point_in_polygon":
            return "nothing is inside an upright rectangle by this rule"
        return ""

    def applies(self, target: Target) -> bool:
        """Whether a question can be scored this way."""
        if self.rules:
            return target.answer_type in self.rules
        return self.scoring == "generation" or target.answer_type in ("choice", "yes_no")

    def count(self, target: Target, prediction: Prediction) -> Counted:
        """Read an answer and count it.

        Raises:
            ValueError: The prediction lacks what this protocol reads, or the rule has no value for
                this truth.
        """
        if self.scoring == "loglikelihood":
            return _most_likely(target, prediction)
        if prediction.answer is None:
            raise ValueError("expected an answer as text, got none")
        if self.rules:
            kind = str(target.answer_type)
            rule = RULES[kind][self.rules[kind]]  # type: ignore[index]
            text = prediction.answer
            if self.thought == "lmms_eval":
                text = without_thoughts(text)
            try:
                return rule(text, target)
            except (OverflowError, RecursionError):
                # Thousands of digits or brackets stop the published code; here they are wrong.
                return unread(text, "more than a number or a nesting can hold")
        return self._strict(prediction.answer, target)

    def _strict(self, text: str, target: Target) -> Counted:
        if target.answer_type == "number":
            return strict_number(text, target, self.tolerance)
        if target.answer_type == "points":
            return strict_points(text, target, self.point_scale, self.points)
        if target.answer_type == "box":
            return strict_box(text, target, self.point_scale, self.box_overlap)
        plain: dict[str, Rule] = {
            "choice": strict_choice,
            "yes_no": strict_yes_no,
            "text": strict_text,
            "camera_change": strict_camera_change,
        }
        return plain[str(target.answer_type)](text, target)


def options_of(target: Target) -> tuple[str, ...]:
    """What can be chosen from; empty for a free answer."""
    if target.answer_type == "yes_no":
        return YES_NO
    return target.choices if target.answer_type == "choice" else ()


def without_thoughts(text: str) -> str:
    """Remove `<think>` and `<analysis>` blocks and outer space, as lmms-eval's command does.

    Case counts, and a block that never ends stays (lmms_eval/api/reasoning.py@75571cfe).

    >>> without_thoughts("<think>maybe 7</think>4")
    '4'
    """
    for tag in ("think", "analysis"):
        text = re.sub(rf"<{tag}>.*?</{tag}>", "", text, flags=re.S)
        if f"<{tag}>" not in text:
            text = text.rsplit(f"</{tag}>", 1)[-1]
    return text.strip()


def _most_likely(target: Target, prediction: Prediction) -> Counted:
    likelihoods = prediction.choice_loglikelihoods
    options = options_of(target)
    if likelihoods is None or likelihoods.shape != (len(options),):
        got = "none" if likelihoods is None else str(likelihoods.shape)
        raise ValueError(f"expected a log-likelihood for each of {len(options)} options, got {got}")
    if np.isnan(likelihoods).any():
        raise ValueError("expected log-likelihoods without NaN, got NaN")
    best = np.flatnonzero(likelihoods == likelihoods.max())
    if len(best) > 1:
        # The first of equals would be a default letter.
        return Counted(0.0, None, f"{len(best)} options are equally likely", "unparsed")
    index = int(best[0])
    if target.answer_type == "yes_no":
        return count_yes_no(ParsedAnswer(index == 0, "parsed", "the most likely option"), target)
    return count_choice(ParsedAnswer(index, "parsed", "the most likely option"), target)
