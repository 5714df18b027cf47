"""What sparse depth is worth to a reference model, on scenes of the validation split.

    python scripts/measured_depth.py MODEL [--scenes 48]

MODEL is `nano` or a folder that `train` wrote. Prints a Markdown table of abs_rel after a median
scale for each place: by pictures alone, by the network that is told one pixel in 200, and with what
`reference/measured.py` makes of that, by its constants and by each of them halved and doubled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from g2vlm_bench.reference import framing, measured
from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.decoder import Geometry
from g2vlm_bench.reference.inference import Inference
from g2vlm_bench.reference.model import Batch
from g2vlm_bench.world.reader import WorldReader
from g2vlm_bench.world.scene import PLACES

CONSTANTS = ("COMMON", "LOCAL", "NOISE", "ACROSS", "DEEP", "TURNED")


@dataclass(frozen=True)
class Looked:
    """A scene: its true depth `(H, W)`, what is told of it, and the network's two answers."""

    truth_m: NDArray[np.float32]
    told_m: torch.Tensor
    alone: Geometry
    told: Geometry


def look(inference: Inference, place: str, count: int) -> list[Looked]:
    """Ask the network alone, without what is done behind it."""
    found = []
    for sample in WorldReader(n=count, place=place, given=["sparse_depth"]).samples("validation"):
        inputs, target = sample.load_inputs(), sample.load_target()
        assert inputs.depth_prior_m is not None
        assert target.depth_m is not None
        image, prior = inputs.images[0], inputs.depth_prior_m[0]
        size = framing.model_size(image.shape[:2], inference.side, inference.patch)
        pixels = torch.tensor(framing.shrink_image(image, size)).permute(2, 0, 1) / 255
        told_m = torch.from_numpy(framing.scatter_depth(prior, size))[None, None]
        with torch.inference_mode():
            alone, told = (
                inference.model(Batch(images=pixels[None, None], depth_prior=given)).geometry
                for given in (None, told_m)
            )
        found.append(Looked(target.depth_m[0], told_m, alone, told))
    return found


def abs_rel(predicted: Geometry, truth_m: NDArray[np.float32]) -> float:
    """After a median scale, of a picture of the truth's size."""
    size = (truth_m.shape[0], truth_m.shape[1])
    depth = framing.resize_depth(predicted.depth[0, 0], size).numpy()
    known = np.isfinite(truth_m)
    scale = np.median(truth_m[known]) / np.median(depth[known])
    return float(np.mean(np.abs(scale * depth - truth_m)[known] / truth_m[known]))


def carried(scene: Looked) -> Geometry:
    """By the constants as they stand."""
    return measured.carry(scene.told, scene.told_m)


def means(
    places: Sequence[Sequence[Looked]], predicted: Callable[[Looked], Geometry]
) -> list[float]:
    """The mean abs_rel of each place."""
    return [
        float(np.mean([abs_rel(predicted(scene), scene.truth_m) for scene in scenes]))
        for scenes in places
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--scenes", type=int, default=48)
    arguments = parser.parse_args()
    inference = Inference(load_reference(find_reference(arguments.model)))
    places = [look(inference, place, arguments.scenes) for place in PLACES]

    def row(name: str, values: Sequence[float]) -> None:
        print(f"| {name} |" + "".join(f" {value:.4f} |" for value in values), flush=True)

    print("| | " + " | ".join(PLACES) + " |")
    print("|---|" + "---:|" * len(PLACES))
    row("pictures alone", means(places, lambda scene: scene.alone))
    row("told, network", means(places, lambda scene: scene.told))
    row("told, carried", means(places, carried))
    for constant in CONSTANTS:
        chosen = getattr(measured, constant)
        for factor in (0.5, 2.0):
            setattr(measured, constant, factor * chosen)
            row(f"`{constant}` {factor * chosen:g} for {chosen:g}", means(places, carried))
        setattr(measured, constant, chosen)


if __name__ == "__main__":
    main()
