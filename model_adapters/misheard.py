"""Wrapper, misheard:MODEL: the same model shown the same images and asked about another scene."""

from __future__ import annotations

from g2vlm_bench.adapter import AnsweringWrapper


class Misheard(AnsweringWrapper):
    """Is asked what has nothing to do with the answer that is wanted; the options stay.

    What the wrapped model still gets right does not come of what it was asked: a model whose
    answers the question steers is at chance. The runner chooses whose question; see
    `shuffling.partners`.
    """

    swapped = "question"
    is_floor = True
