"""Wrapper, blind:MODEL: the same model asked the same questions without the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from g2vlm_bench.adapter import Adapter, AnsweringWrapper
from g2vlm_bench.sample import Inputs, Prediction, Want


class Blind(AnsweringWrapper):
    """Takes away all that shows the scene: images, those of earlier turns, cameras, depth priors.

    What the wrapped model still gets right, it knows from the words. It takes part where answers
    are scored; without an image there is no map to predict.
    """

    is_floor = True

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self.needs_images = False

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Ask the wrapped model with its eyes shut."""
        return super().predict([_blindfold(inputs) for inputs in batch], wants)


def _blindfold(inputs: Inputs) -> Inputs:
    return replace(
        inputs,
        images=(),
        intrinsics=None,
        world_from_camera=None,
        depth_prior_m=None,
        points=None,
        earlier=tuple(replace(turn, images=()) for turn in inputs.earlier),
    )
