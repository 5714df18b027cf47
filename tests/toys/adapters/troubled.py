"""A toy model that is perfect but for some samples, with which it goes wrong in a chosen way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class NeedsGrad:
    """What a torch tensor with a gradient does when numpy asks for it."""

    def __array__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


def _perfect(inputs: Inputs) -> Prediction:
    return Prediction(
        depth=tuple(image[..., 0].astype(np.float32) for image in inputs.images),
        answer=str(inputs.images[0][0, 0, 0]),
    )


def _with_depth(change: Any) -> Any:
    return lambda p: replace(p, depth=tuple(change(view) for view in p.depth))


ITEMS: dict[str, Any] = {
    "none item": lambda p: None,
    "text item": lambda p: "42",
    "exception item": lambda p: RuntimeError("the model said no"),
    "exception class": lambda p: RuntimeError,
    "no depth, no answer": lambda p: Prediction(),
    "nan": _with_depth(lambda d: np.full_like(d, np.nan)),
    "some nan": _with_depth(lambda d: np.where(d > d.mean(), np.float32(np.nan), d)),
    "inf": _with_depth(lambda d: np.full_like(d, np.inf)),
    "negative": _with_depth(lambda d: -d),
    "zero": _with_depth(np.zeros_like),
    "too large for float32": _with_depth(lambda d: np.full(d.shape, 1e300)),
    "three channels": _with_depth(lambda d: np.stack([d, d, d], axis=-1)),
    "empty map": _with_depth(lambda d: d[:0]),
    "objects": _with_depth(lambda d: d.astype(object)),
    "words": _with_depth(lambda d: d.astype(str)),
    "complex": _with_depth(lambda d: d.astype(complex)),
    "ragged": _with_depth(lambda d: [[1.0], [1.0, 2.0]]),
    "gradient": _with_depth(lambda d: NeedsGrad()),
    "bare map": lambda p: replace(p, depth=p.depth[0]),
    "another view": lambda p: replace(p, depth=(*p.depth, *p.depth)),
    "number as answer": lambda p: replace(p, answer=3),
    "bytes as answer": lambda p: replace(p, answer=b"3"),
    "empty answer": lambda p: replace(p, answer=""),
    "answer cut in a surrogate": lambda p: replace(p, answer="\ud83d"),
    "unknown ambiguity": lambda p: replace(p, ambiguity="sometimes"),
}


class Troubled(Adapter):
    predicts = frozenset({Want.DEPTH, Want.ANSWER})
    ambiguity = Ambiguity.METRIC

    def __init__(self, how: str, on: str = "room-2") -> None:
        self.how, self.on = how, on
        self.sizes: list[int] = []
        self.held: list[Any] = []

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Any:
        self.sizes.append(len(batch))
        hit = any(inputs.id == self.on for inputs in batch)
        if self.how == "mutates, then raises":
            return self._mutate(batch)
        answers = [_perfect(inputs) for inputs in batch]
        if self.how in ITEMS:
            change = ITEMS[self.how]
            return [
                change(answer) if inputs.id == self.on else answer
                for inputs, answer in zip(batch, answers, strict=True)
            ]
        return getattr(self, "_" + self.how.replace(" ", "_"))(answers) if hit else answers

    def _mutate(self, batch: Sequence[Inputs]) -> Any:
        answers = [_perfect(inputs) for inputs in batch]
        for inputs in batch:
            inputs.images[0][:] = 0
        if len(batch) > 1:
            raise RuntimeError("only one at a time")
        return answers

    def _raises(self, answers: Any) -> Any:
        raise RuntimeError("a model\n of two lines")

    def _raises_unshowable(self, answers: Any) -> Any:
        raise Unshowable

    def _raises_surrogate(self, answers: Any) -> Any:
        raise RuntimeError("file \udcff")

    def _exits(self, answers: Any) -> Any:
        sys.exit(0)

    def _too_few(self, answers: Any) -> Any:
        return answers[:-1]

    def _too_many(self, answers: Any) -> Any:
        return [*answers, answers[0]]

    def _nothing(self, answers: Any) -> Any:
        return None

    def _text(self, answers: Any) -> Any:
        return "x" * len(answers)

    def _mapping(self, answers: Any) -> Any:
        return dict(enumerate(answers))

    def _generator(self, answers: Any) -> Any:
        return (answer for answer in answers)
