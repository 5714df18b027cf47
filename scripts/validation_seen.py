"""What a reference model knows by heart: figures on scenes it was trained on, and on others.

    python scripts/validation_seen.py MODEL CONFIG [--seed 0] [--views 1 4] [--blocks 16]

MODEL is `nano` or a folder that `train` wrote; CONFIG and the seed are those of its training.
Prints a Markdown table of `validation.measure`'s figures on scenes that the training showed, from
first to last, on those of another seed of the training split, and on those of the validation split.
Where they are alike, other scenes would teach no more than the same ones again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from msgspec import structs

from g2vlm_bench.reference.batches import Drawn, draw
from g2vlm_bench.reference.checkpoint import Reference, find_reference, load_reference
from g2vlm_bench.reference.config import Config, load_config
from g2vlm_bench.reference.examples import PHRASES, QUESTIONS, make_block
from g2vlm_bench.reference.feed import Feeder
from g2vlm_bench.reference.validation import measure

_SHOWN = ("abs_rel", "delta1", "rotation_deg", "answers", "pointed", "phrase_m")


def batches(
    reference: Reference, config: Config, split: str, numbers: range, views: int
) -> Iterator[Drawn]:
    """Blocks with nothing hidden and nothing given, asked as validation asks."""
    stage = structs.replace(
        config.training.stages[-1], views=(views,), describes=0.0, stretched=0.0, lengths=(),
        phrases=PHRASES, questions=PHRASES + QUESTIONS // 2,
    )  # fmt: skip
    losses = structs.replace(config.training.losses, masked=0.0)
    unaided = structs.replace(config.training, prior=0.0, losses=losses)
    for number in numbers:
        block = make_block(number, stage, split, reference.words)
        shown = structs.replace(config, training=unaided)
        drawn = draw(block, stage, shown, np.random.default_rng([7, number]))
        yield replace(drawn, refinements=stage.refinements)


def main() -> None:
    """Print a row for each number of views and kind of scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--blocks", type=int, default=16)
    arguments = parser.parse_args()
    reference = load_reference(find_reference(arguments.model))
    config = load_config(arguments.config)
    shown, others = (Feeder(config, reference.words, arguments.seed + more) for more in (0, 1))
    print(f"| views | scenes | {' | '.join(_SHOWN)} |\n|---:|---|{'---:|' * len(_SHOWN)}")
    for views in arguments.views:
        kinds = {
            "shown": ("train", shown.blocks),
            "of another seed": ("train", others.blocks),
            "validation": ("validation", range(1000, 1000 + arguments.blocks)),
        }
        for name, (split, numbers) in kinds.items():
            some = numbers[:: len(numbers) // arguments.blocks][: arguments.blocks]
            figures = measure(reference.model, batches(reference, config, split, some, views))
            told = " | ".join(f"{figures[each]:.3f}" if each in figures else "" for each in _SHOWN)
            print(f"| {views} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
