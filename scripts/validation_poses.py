"""How far a reference model's cameras are off on scenes of the validation split, by their number.

    python scripts/validation_poses.py MODEL... [--views 2 4 8] [--blocks 2]

MODEL is `nano` or a folder that `train` wrote. Prints a Markdown table: AUC@30 of pairs (mean over
scenes), and means over pairs of how far rotations and directions of translation are off, and
relative positions. For choosing what to train; the test split is for the board.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metrics import poses
from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.config import Stage
from g2vlm_bench.reference.examples import Example, make_block
from g2vlm_bench.reference.inference import Inference, Pictures
from g2vlm_bench.reference.tokenizer import Words


def scenes(views: int, blocks: int, words: Words) -> list[Example]:
    """Scenes of all places; a block has 16."""
    stage = Stage(steps=1, side=64, scenes=16, views=(views,), families=("route",))
    return [
        example
        for number in range(blocks)
        for example in make_block(number, stage, "validation", words)
    ]


def figures(inference: Inference, examples: Sequence[Example]) -> list[float]:
    """AUC@30, and degrees, degrees and metres off."""
    areas, turned, aside, off_m = [], [], [], []
    for example in examples:
        (seen,) = inference.look([Pictures(images=tuple(example.images))])
        found = np.array(inference.reconstruct(seen).first_from_camera)
        true = example.first_from_camera.astype(np.float64)
        pairs = trajectory.all_pairs(len(true))
        errors = poses.pair_errors(found, true, pairs)
        relative = [trajectory.relative_poses(one, *pairs)[:, :3, 3] for one in (found, true)]
        areas.append(poses.auc(errors, 30))
        turned.append(errors.rotation_deg)
        aside.append(errors.translation_deg)
        off_m.append(np.linalg.norm(relative[0] - relative[1], axis=1))
    return [
        float(np.mean(areas)),
        # Cameras in one place have no direction.
        *(float(np.nanmean(np.concatenate(each))) for each in (turned, aside, off_m)),
    ]


def main() -> None:
    """Print a row a model and number of views."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--views", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--blocks", type=int, default=2)
    arguments = parser.parse_args()
    print("| model | views | AUC@30 | rotation off | direction off | way off, m |")
    print("|---|---:|---:|---:|---:|---:|")
    loaded = {name: load_reference(find_reference(name)) for name in arguments.models}
    for views in arguments.views:
        examples = scenes(views, arguments.blocks, next(iter(loaded.values())).words)
        for name, reference in loaded.items():
            auc, turned, aside, off_m = figures(Inference(reference), examples)
            row = f"| {name} | {views} | {auc:.3f} | {turned:.1f} | {aside:.1f} | {off_m:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
