"""What lm-eval asks a model of one document, and how it wants an answer to be generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.sample import Drawing

GENERATE, ROLLING = "generate_until", "loglikelihood_rolling"
# What its HFLM generates where a task says nothing.
_MAX_NEW_TOKENS = 256
# What may stand in its generation arguments; beams and penalties are no model's here.
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = {"until", "do_sample", "temperature", "top_p", "top_k", "num_beams", *_LENGTHS}


@dataclass(frozen=True, slots=True)
class Generation:
    """How lm-eval wants an answer to be generated.

    Attributes:
        stop: Texts that end an answer.
        max_new_tokens: How long it may be.
        drawing: How answers are drawn; None for the likeliest.
    """

    stop: tuple[str, ...]
    max_new_tokens: int
    drawing: Drawing | None

    @classmethod
    def read(cls, arguments: Mapping[str, Any], answers: int = 1) -> Generation:
        """Read lm-eval's generation arguments by its own rules (`normalize_gen_kwargs`).

        Raises:
            ValueError: They want what no model is asked for here.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        other = sorted(set(given) - _KNOWN) or (
            ["num_beams"] if given.get("num_beams", 1) > 1 else []
        )
        if other:
            raise ValueError(f"expected greedy decoding or drawing, got {', '.join(other)}")
        until = given.get("until", ())
        length = next((int(given[name]) for name in _LENGTHS if name in given), _MAX_NEW_TOKENS)
        temperature = float(given.get("temperature", 0.0))
        draws = bool(given.get("do_sample", True)) and temperature > 0
        drawing = Drawing(
            temperature=temperature,
            top_p=given.get("top_p"),
            top_k=given.get("top_k"),
            answers=answers,
        )
        stop = (until,) if isinstance(until, str) else tuple(until)
        return cls(stop, length, drawing if draws else None)


@dataclass(frozen=True, slots=True)
class Request:
    """What lm-eval asks a model of one document.

    Attributes:
        prompt: The context; of what is to be generated where that is asked, too.
        generates: Whether an answer is to be generated behind it.
        continuations: What is to be weighed.
        contexts: What stands before each of them, where that is not the prompt for all.
        images: As lm-eval hands them over, decoded.
        generation: How an answer is to be generated.
    """

    prompt: str
    generates: bool
    continuations: tuple[str, ...]
    contexts: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    generation: Generation


def pair(asked: Any) -> tuple[str, str]:
    """Context and continuation; a text of a perplexity task stands behind nothing."""
    if asked.request_type == ROLLING:
        return "", str(asked.args[0])
    return str(asked.args[0]), str(asked.args[1])


def pictures(visual: Any) -> tuple[NDArray[np.uint8], ...]:
    """Turn lm-eval's images into `(H, W, 3)` uint8 RGB."""
    if visual is None:
        return ()
    pictures = visual if isinstance(visual, list | tuple) else [visual]
    return tuple(np.asarray(picture.convert("RGB"), np.uint8) for picture in pictures)
