"""Scenes rendered as training goes, and drawn from a pool.

Scenes are made in blocks. What block i holds follows from its number and the stage alone; its
number from the seed and from how many came before it; what a step draws from the seed and the
number of the step. So a run that was killed goes on exactly where it was, and worker processes
change nothing but the speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray

from g2vlm_bench.reference import examples
from g2vlm_bench.reference.batches import Drawn, draw, rarities
from g2vlm_bench.reference.config import Config, Stage
from g2vlm_bench.reference.examples import PHRASES, QUESTIONS, Example, make_block
from g2vlm_bench.reference.tokenizer import Words

# Of the validation split, for each stage.
_VALIDATION_BLOCKS = 6
# Trainings of other seeds show other scenes, so that one that goes on from another's weights does
# not begin with what that one has seen; none makes so many.
_BLOCKS_OF_A_SEED = 1_000_000
LARGEST_SEED = examples.MOST_BLOCKS // _BLOCKS_OF_A_SEED - 1


class Feeder:
    """Keeps a pool of rendered scenes and draws batches from it.

    Args:
        config: The model's sizes, and how it is trained.
        words: Encodes texts.
        seed: Of what is shown and drawn.
        workers: Processes that render ahead; 0 renders in this one.
    """

    def __init__(self, config: Config, words: Words, seed: int, workers: int = 0) -> None:
        self.config, self.words, self.seed = config, words, seed
        self._training = config.training
        self._validation: dict[Stage, list[Drawn]] = {}
        self._workers = workers

    @property
    def blocks(self) -> range:
        """Numbers of the blocks that all stages make, one after the other."""
        first = self.seed * _BLOCKS_OF_A_SEED
        return range(first, first + sum(map(self._blocks_of, self._training.stages)))

    def batches(self, start: int = 0) -> Generator[Drawn]:
        """Batches of steps `start`, `start + 1`, ... to the end of the last stage."""
        before = 0
        block = self.blocks.start
        for stage in self._training.stages:
            after = before + stage.steps
            blocks = self._blocks_of(stage)
            if start < after:
                first = max(start - before, 0)
                yield from self._stage(stage, before, first, block)
            before, block = after, block + blocks

    def validation(self, step: int) -> list[Drawn]:
        """Scenes of the validation split like those of a step, with pictures and texts alone."""
        stage = self._training.stage_of(step)
        if stage not in self._validation:
            self._validation[stage] = self._validation_of(stage)
        return self._validation[stage]

    def _validation_of(self, stage: Stage) -> list[Drawn]:
        shown = structs.replace(
            stage, describes=0.0, stretched=0.0, lengths=(), phrases=PHRASES,
            questions=PHRASES + QUESTIONS // 2,
        )  # fmt: skip
        unaided = structs.replace(
            self._training, prior=0.0, losses=structs.replace(self._training.losses, masked=0.0)
        )
        config = structs.replace(self.config, training=unaided)
        batches = []
        for number in range(_VALIDATION_BLOCKS):
            block = make_block(number, stage, "validation", self.words)
            batch = draw(block, shown, config, np.random.default_rng([self.seed, number]))
            batches.append(replace(batch, refinements=stage.refinements))
        return batches

    def _interval(self, stage: Stage) -> float:
        """Steps between two new blocks, so that a scene is drawn `reuse` times on average."""
        scenes = [stage.scenes_of(views) for views in stage.view_counts]
        return self._training.reuse * examples.BLOCK * len(scenes) / sum(scenes)

    def _held(self) -> int:
        return max(self._training.pool // examples.BLOCK, 1)

    def _blocks_of(self, stage: Stage) -> int:
        return self._held() + int(stage.steps / self._interval(stage)) + 1

    def _stage(self, stage: Stage, before: int, first: int, block: int) -> Generator[Drawn]:
        held, interval = self._held(), self._interval(stage)
        oldest = int(first / interval)
        numbers = range(block + oldest, block + self._blocks_of(stage))
        with _Maker(stage, self.words, numbers, self._workers) as maker:
            pool = deque((maker.next() for _ in range(held)), maxlen=held)
            for step in range(first, stage.steps):
                while int(step / interval) > oldest:
                    pool.append(maker.next())
                    oldest += 1
                rng = np.random.default_rng([self.seed, before + step])
                views = rng.choice([made[0].views for made in pool])
                scenes = [each for made in pool if made[0].views == views for each in made]
                count = stage.scenes_of(views)
                few = len(scenes) < count
                chosen = rng.choice(len(scenes), count, few, _chances(scenes, stage))
                yield draw([scenes[i] for i in chosen], stage, self.config, rng)


def _chances(scenes: Sequence[Example], stage: Stage) -> NDArray[np.float64] | None:
    """How likely each scene is to be drawn; None for all alike."""
    if not stage.even:
        return None
    rarity = rarities(scenes)
    wealth = [sum(rarity[question.family] for question in scene.questions) for scene in scenes]
    # A scene of which nothing can be asked is one to see all the same.
    chances = np.array(wealth) + max(float(np.mean(wealth)), 1.0) / 10
    return chances / chances.sum()


class _Maker:
    """Makes blocks in order, ahead of their use where there are workers."""

    def __init__(self, stage: Stage, words: Words, numbers: range, workers: int) -> None:
        self.stage, self.words = stage, words
        self._numbers = iter(numbers)
        self._pool = _workers(workers) if workers else None
        self._ahead: deque[Future[list[Example]]] = deque()
        self._depth = 2 * workers

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def next(self) -> list[Example]:
        """The next block."""
        if self._pool is None:
            return make_block(next(self._numbers), self.stage, "train", self.words)
        while len(self._ahead) < self._depth and (number := next(self._numbers, None)) is not None:
            self._ahead.append(
                self._pool.submit(make_block, number, self.stage, "train", self.words)
            )
        return self._ahead.popleft().result()


def _workers(count: int) -> ProcessPoolExecutor:
    """Not forked, because a process that has run torch's threads must not be; one thread each."""
    return ProcessPoolExecutor(
        count, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    )
