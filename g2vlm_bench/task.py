"""A task file and the family behind it: what is asked, how an answer is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, SampleScore, Target, Want
from g2vlm_bench.yaml_files import convert, read_yaml

V = TypeVar("V")


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of scoring, which a family defines by its own fields.

    Attributes:
        profile: `<profile>` or `<profile>.<name>` for a protocol that a profile file defines; a
            task file cannot say it by itself (see `profile.Profile`).
        metrics: Those that it defines; all of the family's if empty. They change no number, so that
            no label tells them.
    """

    profile: str = ""
    metrics: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The part of a metric's name behind the `@`; two protocols never share one."""
        return self.profile or self.described

    @property
    def described(self) -> str:
        """The label that follows from the fields: every departure from the default is in it."""
        raise NotImplementedError

    def defines(self, metric: str) -> bool:
        """Whether a metric of the family is a number under this protocol."""
        return not self.metrics or metric in self.metrics

    @property
    def truth_falls_short(self) -> str:
        """Why the truth itself does not get the best value; empty where it does."""
        return ""


P = TypeVar("P", bound=Protocol)


class Kept:
    """Remembers what was made of the latest target, for all that ask about that one."""

    def __init__(self) -> None:
        self._of: tuple[Target, dict[Hashable, Any]] | None = None

    def __call__(self, target: Target, key: Hashable, make: Callable[[], V]) -> V:
        """Return what was made of the target under the key before, or make it."""
        if self._of is None or self._of[0] is not target:
            self._of = target, {}
        made = self._of[1]
        if key not in made:
            made[key] = make()
        found: V = made[key]
        return found


class NoTruthError(Exception):
    """A sample's target holds nothing to score against; it ends as `unscored`."""


class TaskDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task file, as written.

    Attributes:
        name: `<folder>/<file>` of the task file, such as `depth/world_rooms`; not a key in it.
        version: Raised by whoever changes a number that the task gives.
        family: The Python behind the task.
        title: One line for lists and tables.
        data: The reader (`format`), its options, and the pins `split`, `root`, `revision`, `rows`,
            `content_hash`.
        protocols: The family's protocols; each is scored on the same predictions.
        metrics: The family's metrics to report, under each protocol.
        headline: The metric a leaderboard shows and ranks by; it must be bounded.
        options: What the family asks besides, such as a prompt.
        seed: Where the task's own randomness starts.
        licence: Of the data.
        citation: Whom to cite.
    """

    name: str
    version: int
    family: str
    data: dict[str, Any]
    metrics: list[str]
    headline: str
    title: str = ""
    protocols: list[dict[str, Any]] = msgspec.field(default_factory=lambda: [{}])
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    seed: int = 0
    licence: str = ""
    citation: str = ""


class Family(ABC):
    """The scoring of tasks of one kind. A file `<family>.py` holds one subclass.

    Attributes:
        specs: Every metric of the task, protocol by protocol.
        wants: What a model may predict to take part, as alternatives, the preferred one first.
        known_metrics: What a task of the family may name.
        enough_to_validate: Of how many samples a scrambled truth cannot look like the truth.
        kept: What several protocols need of one sample; families that score the same one in turn
            may be given the same.
    """

    specs: tuple[MetricSpec, ...]
    wants: tuple[frozenset[Want], ...]
    known_metrics: tuple[str, ...]
    enough_to_validate: int = 4

    def __init__(self, definition: TaskDefinition) -> None:
        self.definition = definition
        self.kept = Kept()
        if len(set(definition.metrics)) < len(definition.metrics):
            raise BenchError(
                f"task {definition.name}, key 'metrics'", expected="each once", got="one twice"
            )
        self._check_known(definition.metrics, f"task {definition.name}, key 'metrics'")

    @classmethod
    def define(cls, name: str) -> TaskDefinition:
        """Define the task `FAMILY:NAME`, for a family that finds tasks elsewhere than in files.

        Raises:
            BenchError: The family does not, or finds none of that name.
        """
        raise BenchError(
            f"task '{name}'",
            expected="a family that finds tasks by itself, such as lm_eval",
            got="one whose tasks are files",
            fix="Name a task as FOLDER/FILE, or the path of a task file.",
        )

    @classmethod
    def members(cls, name: str) -> list[str]:
        """List what `FAMILY:NAME` stands for: one task, or those of a group."""
        return [name]

    def read_protocols(self, kind: type[P]) -> tuple[P, ...]:
        """Read the task's protocols as the family's own struct, each under a label of its own.

        Raises:
            BenchError: A key is unknown, two protocols are the same, one defines none of the task's
                metrics, or one of these is defined by no protocol.
        """
        where = f"task {self.definition.name}, key 'protocols'"
        protocols = tuple(convert(one, kind, where) for one in self.definition.protocols)
        labels = [protocol.label for protocol in protocols]
        if not labels or len(set(labels)) < len(labels):
            raise BenchError(
                where, expected="protocols that differ, at least one", got=", ".join(labels)
            )
        self._check_defined(protocols)
        return protocols

    def metrics_under(self, protocol: Protocol) -> list[str]:
        """The task's metrics that a protocol defines; the others are no numbers under it."""
        return [metric for metric in self.definition.metrics if protocol.defines(metric)]

    def _check_known(self, metrics: Sequence[str], where: str) -> None:
        for metric in metrics:
            if metric not in self.known_metrics:
                raise BenchError(
                    where,
                    expected=f"metrics of the family '{self.definition.family}'",
                    got=f"'{metric}'",
                    fix=nearest(metric, self.known_metrics),
                )

    def _check_defined(self, protocols: Sequence[Protocol]) -> None:
        """A column that is asked for and cannot be is refused, not left out in silence."""
        task = f"task {self.definition.name}"
        for protocol in protocols:
            self._check_known(protocol.metrics, f"{task}, metrics of {protocol.label}")
            if self.definition.metrics and not self.metrics_under(protocol):
                raise BenchError(
                    f"{task}, key 'protocols'",
                    expected=f"protocols that define one of {', '.join(self.definition.metrics)}",
                    got=f"{protocol.label}, which defines {_listed(protocol, self.known_metrics)}",
                    fix="Ask for one of these, or write the protocol out to score others.",
                )
        for metric in self.definition.metrics:
            if not any(protocol.defines(metric) for protocol in protocols):
                raise BenchError(
                    f"{task}, key 'metrics'",
                    expected="metrics that one of the task's protocols defines",
                    got=f"'{metric}'; {protocols[0].label} defines "
                    f"{_listed(protocols[0], self.known_metrics)}",
                    fix="Remove it, or write a protocol out to score it.",
                )

    def headline(self) -> MetricSpec:
        """The metric that a leaderboard shows and ranks by.

        Raises:
            BenchError: The task's headline is not among its metrics, or has no bound.
        """
        where = f"task {self.definition.name}, key 'headline'"
        by_name = {spec.name: spec for spec in self.specs}
        name = self.definition.headline
        if name not in by_name:
            raise BenchError(
                where,
                expected="one of the task's metrics",
                got=f"'{name}'",
                fix=nearest(name, by_name),
            )
        if not by_name[name].bounded:
            raise BenchError(
                where,
                expected="a bounded metric, since failures count as its worst value",
                got=f"'{name}', which has no bound",
            )
        return by_name[name]

    def truth_falls_short(self, spec: MetricSpec) -> str:
        """Why the truth does not get the best value of a metric of the task; empty where it does.

        What a family says of itself; here what the metric's protocol says.
        """
        protocols: Sequence[Protocol] = getattr(self, "protocols", ())
        return next((p.truth_falls_short for p in protocols if p.label == spec.protocol), "")

    def prepare(self, inputs: Inputs) -> Inputs:
        """Dress a reader's inputs as the task asks: add prompts, remove what is not given."""
        return inputs

    def servable(self, ambiguity: Ambiguity | None) -> tuple[MetricSpec, ...]:
        """The metrics that a prediction of this ambiguity may be scored on; others are refused."""
        return self.specs

    @abstractmethod
    def truth(self, target: Target) -> Prediction:
        """The perfect prediction, which must get the best value of every metric."""

    @abstractmethod
    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Score one prediction under every protocol that its ambiguity can serve.

        Raises:
            NoTruthError: The target has nothing to score against.
            ValueError: The prediction cannot be scored; the message says what was expected and
                what came. The sample counts as failed.
        """

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> Any:
        """See a run's predictions together before any is scored; None where that needs no look.

        A rank among all others, or a statistic that is no mean, needs it. What is returned is
        handed to `score_in_pool` with each sample.

        Args:
            pairs: Each sample that has a target, in the task's order, with its prediction, whose
                ambiguity is set, or None where the model failed.
        """
        return None

    def score_in_pool(
        self, pool: Any, target: Target, prediction: Prediction, ambiguity: Ambiguity
    ) -> SampleScore:
        """Score one prediction among all; only families with a `pool` differ from `score`."""
        return self.score(target, prediction, ambiguity)

    def weights(self, target: Target) -> Mapping[str, float]:
        """The weights of a sample, from its target alone, so that a failure keeps its weight.

        A weight of 0 leaves a sample out of the metrics that name it: see `undefined`.

        Raises:
            NoTruthError: The target has nothing to score against.
        """
        return {}

    def undefined(self, key: str, target: Target) -> str:
        """Why the truth leaves the metrics of a weight that is 0 undefined.

        The sample then counts as unscored under them, and the record says why. Empty where they
        are not asked of it at all, as a metric of numbers is not of a choice: then it counts
        nowhere.
        """
        return ""

    def worst(self, target: Target) -> Mapping[str, float]:
        """What a failure counts as where that depends on the sample; else the metric's worst."""
        return {}


def _listed(protocol: Protocol, metrics: Sequence[str]) -> str:
    return ", ".join(metric for metric in metrics if protocol.defines(metric))


def label_number(value: float) -> str:
    """Write a number into a protocol's label.

    >>> label_number(80.0), label_number(0.05)
    ('80', '0.05')
    """
    return f"{value:.6g}"


def load_definition(path: Path) -> TaskDefinition:
    """Read a task file; its name is `<folder>/<file>`.

    Raises:
        BenchError: The file is broken or has an unknown key.
    """
    content = read_yaml(path)
    if "name" in content:
        raise BenchError(
            path, got="a key 'name'", fix="Remove it: a task is named by its folder and file."
        )
    name = f"{path.parent.name}/{path.stem}"
    return convert({"name": name, **content}, TaskDefinition, path)
