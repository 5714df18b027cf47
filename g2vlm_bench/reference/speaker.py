"""A trained model speaks of scenes that it looked at: answers, likelihoods, what phrases mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.reference import framing, speech
from g2vlm_bench.reference.inference import Group, Inference, Pictures, Seen, size_of

# A number is at most so many digits and signs.
_LONGEST_NUMBER = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a scene.

    Attributes:
        text: The bare question.
        kind: `choice` takes one of the options, `yes_no` yes or no, `number` digits; `text` says
            anything, `description` does so without a question; a `phrase` has no answer, it means
            a thing.
        options: Of a choice, in which case the model is told them; or yes and no in an order.
    """

    text: str
    kind: str
    options: tuple[str, ...] = ()


class Speaker:
    """Speaks of scenes, of as many at once as were looked at together.

    Args:
        inference: Which looked at them.
    """

    def __init__(self, inference: Inference) -> None:
        self.inference, self.model, self.words = inference, inference.model, inference.words

    @torch.inference_mode()
    def answer(self, asked: Sequence[tuple[Seen, Question]]) -> list[str]:
        """Answer questions in words.

        A choice is that of the options which the model says most likely, in the option's own
        spelling; yes or no likewise. Numbers and texts are generated, always the likeliest word,
        and at least one.
        """
        answers: dict[int, str] = {}
        chosen = [i for i, (_, question) in enumerate(asked) if _sayings(question)]
        for i, likelihoods in zip(
            chosen, self.log_likelihoods([asked[i] for i in chosen]), strict=True
        ):
            answers[i] = _sayings(asked[i][1])[int(np.argmax(likelihoods))]
        free = [i for i in range(len(asked)) if i not in answers]
        for number in (True, False):
            mine = [i for i in free if (asked[i][1].kind == "number") is number]
            told = self._generate([asked[i] for i in mine], number)
            answers |= dict(zip(mine, told, strict=True))
        return [answers[i] for i in range(len(asked))]

    @torch.inference_mode()
    def log_likelihoods(self, asked: Sequence[tuple[Seen, Question]]) -> list[NDArray[np.float64]]:
        """Log-likelihood of each option of each question, or of yes and no."""
        found: list[NDArray[np.float64]] = [np.empty(0)] * len(asked)
        for group, members in _by_group(asked):
            owners, scenes, prompts, answers = [], [], [], []
            for i in members:
                seen, question = asked[i]
                prompt = self.prompt(question)
                for option in _sayings(question):
                    owners.append(i)
                    scenes.append(seen.index)
                    prompts.append(prompt)
                    answers.append([*self.words.encode(option), self.words.end])
            with self.inference.precisely():
                values = speech.log_likelihoods(self.model, group.memory, scenes, prompts, answers)
            for i in members:
                mine = [v for owner, v in zip(owners, values, strict=True) if owner == i]
                found[i] = np.array(mine)
        return found

    def _generate(self, asked: Sequence[tuple[Seen, Question]], number: bool) -> list[str]:
        found = [""] * len(asked)
        longest = self.model.config.longest_text
        digits = sorted(set(self.words.encode("0 1 2 3 4 5 6 7 8 9 .")))
        allowed = digits if number else self.words.sayable()
        for group, members in _by_group(asked):
            prompts = [self.prompt(asked[i][1]) for i in members]
            with self.inference.precisely():
                said = speech.generate(
                    self.model, group.memory, [asked[i][0].index for i in members], prompts,
                    self.words.end, _LONGEST_NUMBER if number else longest, allowed,
                )  # fmt: skip
            for i, numbers in zip(members, said, strict=True):
                found[i] = self.words.decode(numbers)
        return found

    def check(self, question: Question) -> None:
        """Refuse what the model was not made for.

        Raises:
            ValueError: There is no word, no option to choose, or there are too many words.
        """
        if question.kind != "description" and not self.words.encode(question.text):
            raise ValueError("expected a question, got none")
        if question.kind == "choice" and len(question.options) < 2:
            raise ValueError(f"expected options to choose from, got {len(question.options)}")
        told = [len(self.words.encode(option)) for option in _sayings(question)]
        length = len(self.prompt(question)) + max(told, default=0) + (question.kind != "phrase")
        longest = self.model.config.longest_text
        if length > longest:
            raise ValueError(f"expected at most {longest} words with the answer, got {length}")

    def prompt(self, question: Question) -> list[int]:
        """The words that the model learnt to go on from."""
        if question.kind == "description":
            return [self.words.scene, self.words.answer]
        if question.kind == "phrase":
            return [self.words.scene, *self.words.encode(question.text), self.words.answer]
        options = question.options if question.kind == "choice" else ()
        return self.words.prompt(question.text, options)

    @torch.inference_mode()
    def locate(
        self, asked: Sequence[tuple[Seen, Question]]
    ) -> list[tuple[tuple[NDArray[np.bool_], ...], NDArray[np.float64]]]:
        """Find what phrases mean.

        Returns:
            For each its pixels in every view, `(H, W)` bool, and `(3,)` where it is, first camera's
            frame, metres.

        """
        found: dict[int, tuple[tuple[NDArray[np.bool_], ...], NDArray[np.float64]]] = {}
        for group, members in _by_group(asked):
            scenes = [asked[i][0].index for i in members]
            texts = [self.prompt(asked[i][1]) for i in members]
            with self.inference.precisely():
                tokens = speech.meanings(self.model, group.memory, scenes, texts)
                places = self.model.decoder.spoken_places(tokens).double().cpu().numpy()
                for i, scene, token, place in zip(members, scenes, tokens, places, strict=True):
                    geometry = group.output.geometry.of_scene(scene)
                    logits = self.model.decoder.spoken_masks(token[None, None], geometry)[0, 0]
                    found[i] = _masks(logits, asked[i][0].pictures), place
        return [found[i] for i in range(len(asked))]


def _sayings(question: Question) -> tuple[str, ...]:
    """The answers among which one is to be chosen; none where the answer is free."""
    return question.options or (("yes", "no") if question.kind == "yes_no" else ())


def _by_group(asked: Sequence[tuple[Seen, Any]]) -> Iterator[tuple[Group, list[int]]]:
    """The groups of scenes that are asked about, each with the numbers of its questions."""
    members: dict[int, list[int]] = {}
    for i, (seen, _) in enumerate(asked):
        members.setdefault(id(seen.group), []).append(i)
    for indices in members.values():
        yield asked[indices[0]][0].group, indices


def _masks(logits: Tensor, pictures: Pictures) -> tuple[NDArray[np.bool_], ...]:
    return tuple(
        (framing.resize_map(view, size_of(image)) > 0).cpu().numpy()
        for view, image in zip(logits, pictures.images, strict=True)
    )
