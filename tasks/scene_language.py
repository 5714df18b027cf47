"""A scene in words: describe it, find what a phrase means in it, and match it with its picture."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.metrics import masks, scene_text
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition
from g2vlm_bench.world.descriptions import parse_facts
from g2vlm_bench.yaml_files import convert

# Name -> unit, higher is better, best, worst, description.
_Rows = Mapping[str, tuple[str, bool, float, float | None, str]]


class SceneLanguageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a model.

    Attributes:
        ask: `describe` the scene; `locate` the object that a phrase means, by its mask, its place,
            or both; `retrieve` a scene's own picture or cloud among all others by embeddings.
        before: Text before the question.
        after: Text behind it.
    """

    ask: Literal["describe", "locate", "retrieve"]
    before: str = ""
    after: str = ""


class SceneLanguageProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer is brought to the truth: as it is."""

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name."""
        return "strict"


class _Part(ABC):
    """What the family does for one kind of asking."""

    rows: ClassVar[_Rows]
    wants: ClassVar[tuple[frozenset[Want], ...]]

    @abstractmethod
    def truth(self, target: Target) -> Prediction:
        """The perfect prediction."""

    @abstractmethod
    def score(self, target: Target, prediction: Prediction, pool: Any) -> dict[str, float]:
        """Metric -> value; what a prediction lacks is absent."""

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> Any:
        """What the samples have to do with one another: nothing."""
        return None

    def is_asked(self, target: Target) -> bool:
        """Whether a sample has a value of its own."""
        return True


class _Describe(_Part):
    """The facts that a text states, against those of the scene.

    A fact is right, wrong or undecided: by the margins of the questions nobody can say whether it
    holds (`world/language/undecided.py`), such as left of where two things are almost in line. A
    fair reader would blame nobody for it, so it is left out of precision; `fact_decided` says how
    much was left out.
    """

    rows: ClassVar[_Rows] = {
        "fact_precision": ("1", True, 1.0, 0.0, "share of the facts that the text states that are "
                           "true, without those that no margin decides; a text that states none "
                           "has none"),
        "fact_recall": ("1", True, 1.0, 0.0, "share of the scene's facts that the text states"),
        "fact_f1": ("1", True, 1.0, 0.0, "harmonic mean of both, scene by scene"),
        "fact_decided": ("1", True, 1.0, 0.0, "share of the facts that the text states that are "
                         "true or false by the margins; the others count in nothing else"),
        "chrf": ("1", True, 1.0, 0.0, "character n-gram F-score (Popovic 2015) against the scene's "
                 "reference descriptions, by sacrebleu, over 100"),
    }  # fmt: skip
    wants = (frozenset({Want.ANSWER}),)

    def truth(self, target: Target) -> Prediction:
        return Prediction(answer=str(_known(target.answer, "description")))

    def score(self, target: Target, prediction: Prediction, pool: Any) -> dict[str, float]:
        if prediction.answer is None:
            raise ValueError("expected a description as text, got none")
        references = (str(_known(target.answer, "description")), *target.accepted)
        stated = scene_text.resolve_names(parse_facts(prediction.answer), target.facts)
        precision, recall = scene_text.precision_recall(stated, target.facts, target.undecided)
        return {
            "fact_precision": precision,
            "fact_recall": recall,
            "fact_f1": scene_text.harmonic_mean(precision, recall),
            "fact_decided": scene_text.decided_share(stated, target.undecided),
            "chrf": scene_text.chrf(prediction.answer, references),
        }


class _Locate(_Part):
    rows: ClassVar[_Rows] = {
        "mask_iou": ("1", True, 1.0, 0.0, "intersection over union of the pixels, of all views "
                     "together"),
        "mask_iou_at_50": ("1", True, 1.0, 0.0, "share of phrases whose mask_iou is 0.5 or more"),
        "location_error": ("m", False, 0.0, None, "distance between the predicted and the true "
                           "middle of the object"),
        "location_at_25cm": ("1", True, 1.0, 0.0, "share of phrases whose location_error is below "
                             "0.25 m"),
    }  # fmt: skip
    wants = (
        frozenset({Want.MASKS, Want.LOCATION}),
        frozenset({Want.MASKS}),
        frozenset({Want.LOCATION}),
    )

    def truth(self, target: Target) -> Prediction:
        (thing,) = _known(target.objects, "object")
        return Prediction(masks=thing.masks, location=thing.center, ambiguity=Ambiguity.METRIC)

    def score(self, target: Target, prediction: Prediction, pool: Any) -> dict[str, float]:
        (thing,) = _known(target.objects, "object")
        values: dict[str, float] = {}
        if prediction.masks is not None:
            iou = masks.intersection_over_union(prediction.masks, thing.masks)
            values |= {"mask_iou": iou, "mask_iou_at_50": float(iou >= 0.5)}
        if prediction.location is not None and prediction.ambiguity is Ambiguity.METRIC:
            if not np.isfinite(prediction.location).all():
                raise ValueError(f"expected a finite location, got {prediction.location}")
            error = float(np.linalg.norm(prediction.location - thing.center))
            values |= {"location_error": error, "location_at_25cm": float(error < 0.25)}
        if not values:
            raise ValueError("expected masks or a location in metres, got neither")
        return values


class _Retrieve(_Part):
    """Each query's own item among all items of the run, by the cosine of the embeddings.

    A sample is one text, picture or cloud alone, so that no embedding can have seen its match. An
    item whose embedding failed counts as ahead of every query's own, and so do ties: neither a
    crash nor a constant embedding may make the others' ranks better.
    """

    rows: ClassVar[_Rows] = {
        "recall_1": ("1", True, 1.0, 0.0, "share of queries whose own item comes first"),
        "recall_5": ("1", True, 1.0, 0.0, "share of queries whose own item is among the first 5"),
        "recall_10": ("1", True, 1.0, 0.0, "share of queries whose own item is among the first 10"),
        "median_rank": ("1", False, 1.0, None, "median of the own items' ranks, 1 is first"),
    }
    wants = (frozenset({Want.EMBEDDING}),)

    def truth(self, target: Target) -> Prediction:
        # Any code that differs from pair to pair will do: one direction drawn from the name.
        seed = int.from_bytes(hashlib.sha256(_known(target.pair, "pair").encode()).digest()[:8])
        return Prediction(embedding=np.random.default_rng(seed).standard_normal(64))

    def is_asked(self, target: Target) -> bool:
        return target.role == "query"

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> _Gallery:
        names: list[str] = []
        items: list[NDArray[np.float64]] = []
        lost = 0
        for target, prediction in pairs:
            if self.is_asked(target):
                continue
            try:
                items.append(_unit(prediction.embedding if prediction else None))
                names.append(target.pair)
            except ValueError:
                lost += 1
        return _Gallery(tuple(names), items, lost)

    def score(self, target: Target, prediction: Prediction, pool: _Gallery) -> dict[str, float]:
        query = _unit(prediction.embedding)
        if not self.is_asked(target):
            return {}
        rank = float(pool.rank(query, _known(target.pair, "pair")))
        return {f"recall_{k}": float(rank <= k) for k in (1, 5, 10)} | {"median_rank": rank}


@dataclass(frozen=True, slots=True, eq=False)
class _Gallery:
    """The items that queries are matched with; `lost` of them have no embedding."""

    names: tuple[str, ...]
    items: Sequence[NDArray[np.float64]]
    lost: int

    def rank(self, query: NDArray[np.float64], name: str) -> int:
        """Rank of the item of a name, the last of those as similar; behind all where it is lost."""
        if any(item.shape != query.shape for item in self.items):
            raise ValueError(f"expected all embeddings of one length, got {len(query)} and others")
        if name not in self.names:
            if not self.lost:
                raise ValueError(f"expected the item of '{name}' among the samples, got none")
            return len(self.names) + self.lost
        similarity = np.array([float(item @ query) for item in self.items])
        own = similarity[self.names.index(name)]
        return int((similarity >= own).sum()) + self.lost


def _unit(embedding: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if embedding is None:
        raise ValueError("expected an embedding, got none")
    length = float(np.linalg.norm(embedding))
    if not 0 < length < np.inf:
        raise ValueError(f"expected an embedding with a direction, got one of length {length}")
    return np.asarray(embedding / length)


_PARTS: Mapping[str, Callable[[], _Part]] = {
    "describe": _Describe,
    "locate": _Locate,
    "retrieve": _Retrieve,
}


class SceneLanguage(Family):
    """Describe, locate, retrieve: a task asks for one of them."""

    known_metrics = tuple(
        metric for part in (_Describe, _Locate, _Retrieve) for metric in part.rows
    )

    def __init__(self, definition: TaskDefinition) -> None:
        super().__init__(definition)
        where = f"task {definition.name}"
        self.options = convert(definition.options, SceneLanguageOptions, f"{where}, key 'options'")
        self.part = _PARTS[self.options.ask]()
        self.protocols = self.read_protocols(SceneLanguageProtocol)
        self.wants = self.part.wants
        if self.options.ask == "retrieve":
            # Thirty pairs: of fewer, a random one is among the first ten now and then.
            self.enough_to_validate = 60
        for metric in definition.metrics:
            if metric not in self.part.rows:
                raise BenchError(
                    f"{where}, key 'metrics'",
                    expected=f"metrics of 'ask: {self.options.ask}': {', '.join(self.part.rows)}",
                    got=f"'{metric}'",
                )
        self.specs = tuple(_spec(metric, self.part) for metric in definition.metrics)

    def prepare(self, inputs: Inputs) -> Inputs:
        """Write the prompt, where there is a question."""
        if inputs.question is None:
            return inputs
        lines = (self.options.before, inputs.question, self.options.after)
        return replace(inputs, prompt="\n".join(line for line in lines if line))

    def truth(self, target: Target) -> Prediction:
        """The perfect prediction."""
        return self.part.truth(target)

    def weights(self, target: Target) -> Mapping[str, float]:
        """Items that are only there to be found have no value of their own."""
        return {"asked": float(self.part.is_asked(target))}

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> Any:
        """Gather what the part needs of all samples."""
        return self.part.pool(pairs)

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Score one sample as if it were the only one."""
        return self.score_in_pool(
            self.pool(iter([(target, prediction)])), target, prediction, ambiguity
        )

    def score_in_pool(
        self, pool: Any, target: Target, prediction: Prediction, ambiguity: Ambiguity
    ) -> SampleScore:
        """Score one sample among all."""
        given = replace(prediction, ambiguity=ambiguity)
        values = self.part.score(target, given, pool)
        return SampleScore(
            values={
                f"{metric}@strict": value
                for metric, value in values.items()
                if metric in self.definition.metrics
            }
        )


def _spec(metric: str, part: _Part) -> MetricSpec:
    unit, higher_is_better, best, worst, description = part.rows[metric]
    return MetricSpec(
        name=f"{metric}@strict",
        unit=unit,
        higher_is_better=higher_is_better,
        best=best,
        worst=worst,
        weight="asked",
        statistic="median" if metric == "median_rank" else "mean",
        description=description,
    )


def _known(value: Any, what: str) -> Any:
    if not value:
        raise NoTruthError(f"the sample has no {what}")
    return value
