"""How a reference model answers the same questions in words that it learnt from, and in others.

    python scripts/validation_wordings.py MODEL... [--views 1 2] [--scenes 48] [--side 64]

MODEL is `nano` or a folder that `train` wrote. Scenes of the validation split are asked what has
options, or yes and no for an answer: as all splits word it, and as only the test split does.
Prints a Markdown table. On the test split itself the tag `novel_wording` tells them apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from unittest import mock

import numpy as np

from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.inference import Inference
from g2vlm_bench.reference.speaker import Speaker
from g2vlm_bench.world import questions
from g2vlm_bench.world.language.phrases import Phrase, Wording, all_templates, fill
from g2vlm_bench.world.questions import FAMILIES
from validation_questions import Case, answered, cases


def worded(held_out: bool, views: int, scenes: int, side: int) -> list[Case]:
    """The cases of `validation_questions.py`, all in words of one sort."""

    def word(
        kind: str, words: Mapping[str, Phrase], rng: np.random.Generator, test: bool
    ) -> Wording:
        templates = all_templates()[kind]
        pool = templates.held_out if held_out else templates.seen
        number = int(rng.integers(len(pool)))
        text, mentions = fill(pool[number], words)
        return Wording(text, mentions, f"{kind}.{number}", held_out)

    with mock.patch.object(questions, "word", word):
        return cases(views, scenes, side)


def main() -> None:
    """Print a row a family, and two columns a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--side", type=int, default=64)
    arguments = parser.parse_args()
    given = [
        [
            case
            for v in arguments.views
            for case in worded(held, v, arguments.scenes, arguments.side)
        ]
        for held in (False, True)
    ]
    heads, columns = [], []
    for name in arguments.models:
        speaker = Speaker(Inference(load_reference(find_reference(name))))
        for held, asked in zip(("", ", held out"), given, strict=True):
            heads.append(name + held)
            columns.append(answered(speaker, asked))
    print(f"| family | questions | {' | '.join(heads)} |")
    print(f"|---|---:|{'---:|' * len(heads)}")
    for family in ("all", *FAMILIES):
        if all(family in column for column in columns):
            rights = [column[family] for column in columns]
            shares = " | ".join(f"{np.mean(right):.3f}" for right in rights)
            print(f"| {family} | {len(rights[0])} | {shares} |")


if __name__ == "__main__":
    main()
