"""Tiny rooms whose images show their own depth, so that a toy model can be perfect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from g2vlm_bench.data.pin import hash_text
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Sample, Target


class Toy(Reader):
    """`n` samples; the red channel is the depth in metres, its corner the answer.

    Args:
        n: Samples of the test split.
        seed: Other values for another seed.
        names: The ids, `room-<i>` where none are given.
        damaged: Samples whose image cannot be opened.
        no_truth: Samples without truth.
        lost_truth: Samples whose truth cannot be opened.
        overlap: Let the training split share a sample with the test split.
        alike: Let all questions be one.
        words: Length of each question, its sample's name included, for measurements.
    """

    splits = ("test", "train")

    def __init__(
        self,
        *,
        n: int = 6,
        seed: int = 0,
        names: Sequence[str] = (),
        damaged: Sequence[int] = (),
        no_truth: Sequence[int] = (),
        lost_truth: Sequence[int] = (),
        overlap: bool = False,
        alike: bool = False,
        words: int = 4,
    ) -> None:
        self.n, self.seed, self.names, self.overlap = n, seed, names, overlap
        self.damaged, self.no_truth, self.lost_truth = damaged, no_truth, lost_truth
        self.words, self.alike = words, alike

    def samples(self, split: str) -> Sequence[Sample]:
        if split == "train":
            return [self._sample("room-0" if self.overlap else "train-0", 10)]
        names = self.names or [f"room-{i}" for i in range(self.n)]
        return [self._sample(name, i) for i, name in enumerate(names)]

    def content_hash(self, split: str) -> str:
        return hash_text([split, str(self.seed), *(s.id for s in self.samples(split))])

    def _sample(self, name: str, i: int) -> Sample:
        return Sample(
            id=name,
            cluster=f"house-{i // 2}",
            tags={"storey": "upper" if i % 2 else "lower"},
            load_inputs=partial(self._inputs, name, i),
            load_target=partial(self._target, name, i),
        )

    def _value(self, i: int) -> int:
        return 1 + (self.seed * 7 + i * 3) % 10

    def _depth(self, i: int) -> np.ndarray:
        return (self._value(i) + np.add.outer(np.arange(6), np.arange(8))).astype(np.float32)

    def _inputs(self, name: str, i: int) -> Inputs:
        if i in self.damaged:
            raise BenchError(f"{name}.png", expected="an image", got="half of one")
        image = np.zeros((6, 8, 3), np.uint8)
        image[..., 0] = self._depth(i)
        first = "word" if self.alike else name
        question = " ".join([first, *["word"] * (self.words - 1)])
        return Inputs(id=name, images=(image,), question=question, answer_type="number")

    def _target(self, name: str, i: int) -> Target:
        if i in self.lost_truth:
            raise BenchError(f"{name}.truth", expected="a file", got="none")
        if i in self.no_truth:
            return Target()
        return Target(depth_m=(self._depth(i),), answer=float(self._value(i)), answer_type="number")
