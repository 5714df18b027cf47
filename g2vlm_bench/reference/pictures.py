"""Learning without truth: pictures of a folder, parts of which are hidden and to be painted."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_rgb
from g2vlm_bench.reference.batches import Drawn, hidden_patches
from g2vlm_bench.reference.config import Config, LossWeights, Stage
from g2vlm_bench.reference.model import Batch

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
# Crops take at least this share of the shorter side.
_SMALLEST = 0.4


def self_supervised(config: Config) -> Config:
    """The same model, trained to paint hidden patches and nothing else."""
    nothing = {name: 0.0 for name in LossWeights.__struct_fields__}
    losses = LossWeights(**(nothing | {"masked": 1.0}))
    return structs.replace(config, training=structs.replace(config.training, losses=losses))


class PictureFeeder:
    """Draws crops of pictures, one view a scene; the same for a step whenever it is taken.

    A picture that cannot be read is a `BenchError` where it is drawn.

    Args:
        folder: Of pictures, subfolders included.
        config: The model's sizes, and how it is trained.
        seed: Of what is drawn.

    Raises:
        BenchError: The folder has no picture.
    """

    def __init__(self, folder: Path, config: Config, seed: int) -> None:
        named = (p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        found = sorted(p for p in named if p.is_file())
        if not found:
            raise BenchError(folder, expected="PNG, JPEG, WebP or BMP pictures", got="none")
        self.folder, self.paths, self.config, self.seed = folder, found, config, seed

    def batches(self, start: int = 0) -> Generator[Drawn]:
        """Batches of steps `start`, `start + 1`, ... to the end of the last stage."""
        before = 0
        for stage in self.config.training.stages:
            for step in range(max(start, before), before + stage.steps):
                yield self._draw(stage, np.random.default_rng([self.seed, step]))
            before += stage.steps

    def listing(self) -> list[tuple[str, int]]:
        """Names of the pictures below their folder, and their sizes in bytes."""
        return [(p.relative_to(self.folder).as_posix(), p.stat().st_size) for p in self.paths]

    def validation(self, step: int) -> list[Drawn]:
        """None: nothing is known of these pictures that could be measured."""
        return []

    def _draw(self, stage: Stage, rng: np.random.Generator) -> Drawn:
        chosen = rng.integers(len(self.paths), size=stage.scenes)
        crops = np.stack([_crop(self.paths[i], stage.side, rng) for i in chosen])
        patches = (stage.side // self.config.model.patch) ** 2
        inputs = Batch(
            images=torch.from_numpy(crops)[:, None].permute(0, 1, 4, 2, 3).float() / 255,
            hide=hidden_patches(stage.scenes, 1, patches, self.config.training, rng),
        )
        # There is no truth; no loss that asks for any has a weight.
        empty = {each.name: torch.zeros(0) for each in fields(Drawn)}
        return Drawn(**(empty | {"inputs": inputs, "families": (), "refinements": 0}))  # type: ignore[arg-type]


def _crop(path: Path, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    picture = Image.fromarray(load_rgb(path))
    edge = max(round(min(picture.size) * rng.uniform(_SMALLEST, 1)), 1)
    left = int(rng.integers(picture.width - edge + 1))
    top = int(rng.integers(picture.height - edge + 1))
    box = (left, top, left + edge, top + edge)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX, box))
