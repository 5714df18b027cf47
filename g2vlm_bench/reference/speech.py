"""Words said of pictures that were looked at once: likelihoods of options, and text word by word.

Pictures never look at words (`trunk.py`), so what words see of them is kept, layer by layer, and
only words pass the layers again for each question and each further word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from g2vlm_bench.reference.attention import Heads
from g2vlm_bench.reference.model import Batch, G2Vlm, Output
from g2vlm_bench.reference.trunk import Layer, Places, Tokens

# Texts that pass at once; each carries the keys of its pictures.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Memory:
    """What words look at, in the order in which they pass it.

    Attributes:
        layers: With the heads of their pictures `(B, V, 1 + N + M, heads, d)` and of their cloud
            `(B, S, heads, d)`.
        pointing: Before which layer words point, and what at: patches `(B, V, N, C)`, where they
            are `(B, V, N, 3)`, and their log depth `(B, V, N)`.
    """

    layers: list[tuple[Layer, Heads, Heads]]
    pointing: tuple[Layer, Tensor, Tensor, Tensor]


def look(model: G2Vlm, batch: Batch, refinements: int | None = None) -> tuple[Output, Memory]:
    """Look at pictures without a word, and keep what words will ask of them.

    Args:
        model: The model.
        batch: What is given; its words are left out.
        refinements: K; the configuration's where None.

    Returns:
        The answer, and the memory, whose words say what those of `model(batch)` would.
    """
    met: list[tuple[Layer, Tokens, Places | None]] = []
    trunk = cast("list[Layer]", list(model.trunk.layers))
    layers = [*trunk, *cast("list[Layer]", list(model.decoder.layers))]

    def keep(layer: Layer, given: tuple[Tokens, Places | None, Tensor]) -> None:
        met.append((layer, *given[:2]))

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        output = model(replace(batch, words=None, words_known=None), refinements)
    finally:
        for hook in hooks:
            hook.remove()
    half = trunk[len(trunk) // 2]
    _, tokens, places = next(visit for visit in met if visit[0] is half)
    assert places is not None
    return output, Memory(
        [(layer, *_seen_by_words(layer, given)) for layer, given, _ in met],
        (half, tokens.geometric[:, :, 1:], places.geometric, output.early_log_depth),
    )


def _seen_by_words(layer: Layer, tokens: Tokens) -> tuple[Heads, Heads]:
    pictures = zip(
        layer.geometric.project(tokens.geometric), layer.semantic.project(tokens.semantic),
        strict=True,
    )  # fmt: skip
    return Heads(*(torch.cat(pair, 2) for pair in pictures)), layer.geometric.project(tokens.cloud)


def say(
    model: G2Vlm, memory: Memory, scenes: Sequence[int], texts: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Pass texts through the model.

    Args:
        model: The model.
        memory: Of the scenes.
        scenes: Which scene each of the T texts is about.
        texts: Numbers of their words.

    Returns:
        `(T, L, C)` tokens behind the decoder, and `(T, L)` bool, False for padding.
    """
    words, known = _padded(texts, next(model.parameters()).device)
    which = torch.tensor(list(scenes), device=words.device)
    tokens = model.language(words)[:, None]
    half, *pointed_at = memory.pointing
    for layer, pictures, cloud in memory.layers:
        if layer is half and model.pointing is not None:
            tokens, _ = model.pointing(tokens, *(part[which] for part in pointed_at))
        seen, points = (Heads(*(part[which] for part in heads)) for heads in (pictures, cloud))
        tokens = layer.read(tokens, seen, points)
    return tokens[:, 0], known


def meanings(
    model: G2Vlm, memory: Memory, scenes: Sequence[int], texts: Sequence[Sequence[int]]
) -> Tensor:
    """`(T, C)` token of each text's last word, which stands for the thing it means."""
    tokens, known = say(model, memory, scenes, texts)
    return tokens[torch.arange(len(tokens), device=tokens.device), known.sum(-1) - 1]


def log_likelihoods(
    model: G2Vlm,
    memory: Memory,
    scenes: Sequence[int],
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
) -> list[float]:
    """Logarithm of the chance that the model says each answer, word for word, to each prompt."""
    found: list[float] = []
    for start in range(0, len(prompts), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        texts = [[*p, *a] for p, a in zip(prompts[part], answers[part], strict=True)]
        tokens, _ = say(model, memory, scenes[part], texts)
        chances = model.decoder.spoken(tokens).float().log_softmax(-1)
        for row, prompt, text in zip(chances, prompts[part], texts, strict=True):
            told = torch.tensor(text[len(prompt) :], device=row.device)
            before = row[len(prompt) - 1 : len(text) - 1]
            found.append(float(before.gather(-1, told[:, None]).detach().double().sum()))
    return found


def generate(
    model: G2Vlm,
    memory: Memory,
    scenes: Sequence[int],
    prompts: Sequence[Sequence[int]],
    end: int,
    most: int,
    allowed: Sequence[int] | None = None,
) -> list[list[int]]:
    """Say the likeliest word, again and again.

    Args:
        model: The model.
        memory: Of the scenes.
        scenes: Which scene each prompt is about.
        prompts: Numbers of their words.
        end: The word behind which nothing is said.
        most: Words said at most; never more than the model has places for.
        allowed: Words that may be said besides the end, which then cannot come first; all if None.
    """
    said: list[list[int]] = [[] for _ in prompts]
    longest = model.config.longest_text
    for start in range(0, len(prompts), _AT_ONCE):
        open_ = list(range(start, min(start + _AT_ONCE, len(prompts))))
        while open_:
            texts = [[*prompts[i], *said[i]] for i in open_]
            logits = model.decoder.spoken(
                meanings(model, memory, [scenes[i] for i in open_], texts)
            )
            if allowed is not None:
                # All of them have said equally much.
                sayable = [*allowed, end] if said[open_[0]] else list(allowed)
                kept = torch.full_like(logits, -torch.inf)
                kept[:, sayable] = logits[:, sayable]
                logits = kept
            for i, word in zip(open_, logits.argmax(-1).tolist(), strict=True):
                said[i].append(word)
            open_ = [
                i
                for i in open_
                if said[i][-1] != end
                and len(said[i]) < most
                and len(prompts[i]) + len(said[i]) < longest
            ]
    return said


def _padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    length = max(len(text) for text in texts)
    words = torch.zeros(len(texts), length, dtype=torch.long)
    known = torch.zeros(len(texts), length, dtype=torch.bool)
    for row, text in enumerate(texts):
        words[row, : len(text)] = torch.tensor(list(text))
        known[row, : len(text)] = True
    return words.to(device), known.to(device)
