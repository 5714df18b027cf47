"""Where a reference model's wrong answers come from: words that miss their things, or what follows.

    python scripts/validation_binding.py MODEL [--blocks 16] [--views 1]

MODEL is `nano` or a folder that `train` wrote. Prints a Markdown table of the validation split:
of each family the questions of which some word speaks of a thing that the first view shows, the
share of them whose every such word points at its thing there, and the shares answered rightly where
all do, and where one does not. What is wrong where all point rightly no better pointing mends.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from msgspec import structs

from g2vlm_bench.reference.batches import Drawn, draw
from g2vlm_bench.reference.checkpoint import Reference, find_reference, load_reference
from g2vlm_bench.reference.examples import PHRASES, QUESTIONS, make_block
from g2vlm_bench.world.questions import FAMILIES


def batches(reference: Reference, blocks: int, views: int) -> Iterator[Drawn]:
    """Blocks of the validation split, asked as validation asks."""
    config = reference.config
    stage = structs.replace(
        config.training.stages[-1], views=(views,), describes=0.0, stretched=0.0, lengths=(),
        phrases=PHRASES, questions=PHRASES + QUESTIONS // 2,
    )  # fmt: skip
    losses = structs.replace(config.training.losses, masked=0.0)
    unaided = structs.replace(config.training, prior=0.0, losses=losses)
    for number in range(2000, 2000 + blocks):
        block = make_block(number, stage, "validation", reference.words)
        shown = structs.replace(config, training=unaided)
        yield draw(block, stage, shown, np.random.default_rng([11, number]))


@torch.no_grad()
def counted(reference: Reference, drawn: Drawn) -> Iterator[tuple[str, bool, bool]]:
    """Family, whether all words point rightly, and whether the answer is right."""
    output = reference.model(drawn.inputs, drawn.refinements)
    assert output.pointed is not None
    assert drawn.inputs.words is not None
    said = output.logits[:, :, :-1].argmax(-1) == drawn.inputs.words[:, :, 1:]
    told = drawn.answers[:, :, 1:]
    right = (said | ~told).all(-1)
    best = output.pointed[:, :, :, 0, 1:].argmax(-1)
    patch = reference.config.model.patch
    # What an answer itself speaks of is not given beforehand.
    asked = drawn.bodies * ~drawn.answers
    for scene, families in enumerate(drawn.families):
        for text, family in enumerate(families):
            pointed = []
            for word in asked[scene, text].nonzero()[:, 0].tolist():
                shown = (drawn.ids[scene, 0] == asked[scene, text, word]).float()
                patches = F.max_pool2d(shown[None], patch).flatten().bool()
                if patches.any():
                    pointed.append(bool(patches[best[scene, text, word]]))
            if family and pointed:
                yield family, all(pointed), bool(right[scene, text])


def main() -> None:
    """Print a row a family."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--views", type=int, default=1)
    arguments = parser.parse_args()
    reference = load_reference(find_reference(arguments.model))
    found: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for drawn in batches(reference, arguments.blocks, arguments.views):
        for family, pointed, right in counted(reference, drawn):
            for name in ("all", family):
                found[name].append((pointed, right))
    print("| family | questions | all pointed at | right where all are | right elsewhere |")
    print("|---|---:|---:|---:|---:|")
    for family in ("all", *FAMILIES):
        if family in found:
            rows = found[family]
            where, elsewhere = ([r for p, r in rows if p is which] for which in (True, False))
            shares = " | ".join(f"{np.mean(rs):.3f}" if rs else "-" for rs in (where, elsewhere))
            print(f"| {family} | {len(rows)} | {len(where) / len(rows):.3f} | {shares} |")


if __name__ == "__main__":
    main()
