"""A model behind one method: images and questions in, predictions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import (
    LANGUAGE,
    Ambiguity,
    Inputs,
    Prediction,
    Swapped,
    Target,
    Want,
)


class Adapter(ABC):
    """A model that the harness can score.

    One file holds one adapter; the file's name is the model's name. Keyword arguments of the
    constructor are the model arguments of the command line (`--model-args k=v`); an unknown one is
    refused by name. An adapter whose constructor takes `device` or `dtype` is given the run's own;
    where the data are, it is not told.

    Attributes:
        predicts: Everything this model can predict.
        ambiguity: Up to what its depth and points are known, None for a model that gives neither.
        checkpoint: Where the weights come from, with the revision.
        weights_hash: `sha256:<hex>` of the weights, so that two models never share a run.
        device: What the model computes on, such as `cuda`; None for one that does not matter.
        needs_images: Whether a task without images (scanned clouds alone) is not for this model.
        looks: Whether its answers come of what it is shown. Not so for guesses and for answers
            made elsewhere: no blindfold changes them, so none is put on.
        swapped: What the runner gives it of another sample in place of its own, as a floor: the
            `scene` that is seen, or the `question` that is asked; nothing where empty.
        is_floor: Whether its answers owe nothing to what is in the images it is asked about, or to
            what it is asked: boards hold every other model against it.
    """

    predicts: frozenset[Want]
    ambiguity: Ambiguity | None = None
    checkpoint: str | None = None
    weights_hash: str | None = None
    device: str | None = None
    needs_images: bool = True
    looks: bool = True
    swapped: ClassVar[Swapped] = ""
    is_floor: ClassVar[bool] = False

    @abstractmethod
    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Answer a batch: one prediction for each of the inputs, in their order.

        Args:
            batch: What the model sees; the truth is never among it.
            wants: What the task will score, a subset of `predicts`.

        Returns:
            A prediction for each of the inputs, or the exception by which that one alone failed.
        """

    def close(self) -> None:  # noqa: B027 - most adapters hold nothing
        """Let go of what the model holds, such as GPU memory."""


class FittedAdapter(Adapter):
    """A floor that is fitted on the training split of a task before it predicts the test split.

    Attributes:
        fits_answers: Whether it is fitted on answers alone: kind by kind, and where a task has no
            training split on those about other scenes; `g2vlm_bench/fitting.py` says how.
    """

    is_floor = True
    fits_answers: ClassVar[bool] = False

    @abstractmethod
    def fit(self, training: Iterable[tuple[Inputs, Target]]) -> None:
        """See the training split once. It never shares a scene with what is predicted then."""


class TruthAdapter(Adapter):
    """A reference row made from the truth itself, such as the oracle. It is never ranked.

    It answers by `distort`, not by `predict`: the runner hands it the family's perfect predictions.
    """

    predicts = frozenset(Want)
    ambiguity = Ambiguity.METRIC
    needs_images = False

    @abstractmethod
    def distort(self, perfect: Prediction, inputs: Inputs, rng: np.random.Generator) -> Prediction:
        """Turn a perfect prediction into this reference's answer."""

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Refuse: a reference row has no model."""
        raise TypeError("a truth adapter answers by distort(), from the truth")


class WrappingAdapter(Adapter):
    """A model around another one, written `wrapper:model`, such as `blind:my_vlm`."""

    takes_inner: ClassVar[bool] = True

    def __init__(self, inner: Adapter) -> None:
        self.inner = inner
        self.predicts = inner.predicts
        self.ambiguity = inner.ambiguity
        self.checkpoint = inner.checkpoint
        self.weights_hash = inner.weights_hash
        self.device = inner.device
        self.needs_images = inner.needs_images

    def close(self) -> None:
        """Close the wrapped model."""
        self.inner.close()


class AnsweringWrapper(WrappingAdapter):
    """A wrapper that takes part where answers are scored, and asks the model as it is asked.

    Raises:
        BenchError: The model answers no questions.
    """

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self.predicts = inner.predicts & LANGUAGE
        if not self.predicts:
            raise BenchError(
                f"model '{type(self).__name__.lower()}'",
                expected="a model that answers questions",
                got=f"one that predicts {', '.join(sorted(inner.predicts))}",
            )

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Ask the wrapped model."""
        return self.inner.predict(batch, wants)
