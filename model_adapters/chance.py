"""Floor: uniform guesses, each drawn from the sample's own id."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import LANGUAGE, Inputs, Prediction, Want


class Chance(Adapter):
    """A guess: any option, yes or no, a number in a range; nothing where text is wanted.

    A guess depends on the seed and the sample's id alone, never on order or batches.

    Args:
        seed: Another seed, other guesses.
        low: Least number guessed, in the question's unit.
        high: Greatest number guessed.
    """

    predicts = LANGUAGE
    needs_images = False
    looks = False
    is_floor = True

    def __init__(self, seed: int = 0, low: float = 0.0, high: float = 10.0) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise BenchError(
                "model arguments 'low' and 'high'", expected="low < high", got=f"{low} and {high}"
            )
        self.seed = seed
        self.low = low
        self.high = high

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Guess each answer."""
        return [self._guess(inputs) for inputs in batch]

    def _guess(self, inputs: Inputs) -> Prediction:
        digest = hashlib.sha256(f"{self.seed}:{inputs.id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        if inputs.choices:
            # Uniform over all ways to share out a probability of 1, so any option may be likeliest.
            likelihoods = np.log(rng.dirichlet(np.ones(len(inputs.choices))))
            # By its letter where the prompt shows letters: some scorers read nothing else.
            guess = (inputs.continuations or inputs.choices)[int(np.argmax(likelihoods))]
            return Prediction(answer=guess, choice_loglikelihoods=likelihoods)
        if inputs.answer_type == "yes_no":
            return Prediction(answer=("no", "yes")[int(rng.integers(2))])
        if inputs.answer_type == "number":
            return Prediction(answer=f"{rng.uniform(self.low, self.high):.2f}")
        return Prediction(answer="")
