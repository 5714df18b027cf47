"""Wrapper, shuffled:MODEL: the same model asked the same questions about another scene's images."""

from __future__ import annotations

from g2vlm_bench.adapter import AnsweringWrapper


class Shuffled(AnsweringWrapper):
    """Shows images that have nothing to do with the question.

    What the wrapped model still gets right, it does not know from looking. Unlike a blind model it
    sees what it was trained to see. The runner chooses the scenes; see `shuffling.partners`.
    """

    swapped = "scene"
    is_floor = True
