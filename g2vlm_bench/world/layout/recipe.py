"""What scenes of a split hold: numbers, kinds, materials, and what only the test split shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.world.scene import COLORS, MATERIALS, Scene
from g2vlm_bench.world.shapes import KINDS

# Training and validation never show more.
MAX_FAMILIAR_BODIES = 6
# Of each kind one color that only the test split shows: 14 of 112 pairs.
HELD_OUT_COLORS: Mapping[str, str] = {
    "box": "purple",
    "sphere": "yellow",
    "cylinder": "cyan",
    "cone": "blue",
    "torus": "green",
    "table": "orange",
    "chair": "blue",
    "shelf": "cyan",
    "crate": "red",
    "lamp": "black",
    "car": "green",
    "sign": "black",
    "person": "orange",
    "tree": "red",
}
HELD_OUT_PAIRS = frozenset((color, kind) for kind, color in HELD_OUT_COLORS.items())

_KINDS: Mapping[str, tuple[str, ...]] = {
    "room": ("box", "sphere", "cylinder", "cone", "torus", "table", "chair", "shelf", "crate",
             "lamp"),
    "table_top": ("box", "sphere", "cylinder", "cone", "torus", "crate", "lamp"),
    "road": ("car", "sign", "person", "tree"),
}  # fmt: skip
# Of what takes much room a scene has few.
_MOST = {"table": 2, "shelf": 2, "chair": 3, "crate": 3, "lamp": 3, "car": 4, "tree": 4}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a scene is drawn from.

    Attributes:
        bodies: Fewest and most things of a scene; a table top's table is one of them.
        kinds: Names of `KINDS` that may be there; a table top has its table besides.
        materials: Names of `MATERIALS` that they may be of.
        novel_pairs: Whether up to three of the things are `HELD_OUT_PAIRS`, and at least one is.

    Raises:
        BenchError: A name is unknown, or there are not enough pairs of color and kind.
    """

    bodies: tuple[int, int]
    kinds: tuple[str, ...]
    materials: tuple[str, ...] = MATERIALS
    novel_pairs: bool = False

    def __post_init__(self) -> None:
        for what, names, known in (
            ("kinds", self.kinds, KINDS),
            ("materials", self.materials, MATERIALS),
        ):
            if not names or len(set(names)) < len(names):
                expected = "at least one, none twice"
                raise BenchError(f"scene recipe, {what}", expected=expected, got=names or "none")
            for name in names:
                if name not in known:
                    got = f"unknown '{name}'"
                    raise BenchError(f"scene recipe, {what}", got=got, fix=nearest(name, known))
        fewest, most = self.bodies
        possible = sum(_MOST.get(kind, len(COLORS) - 1) for kind in self.kinds)
        if not 1 <= fewest <= most <= possible:
            expected = f"fewest and most, from 1 to {possible} of these kinds"
            raise BenchError("scene recipe, bodies", expected=expected, got=self.bodies)

    @property
    def novelty(self) -> frozenset[str]:
        """What its scenes may show that training never does: `pair`, `count`."""
        pair = {"pair"} if self.novel_pairs else set()
        return frozenset(pair | ({"count"} if self.bodies[1] > MAX_FAMILIAR_BODIES else set()))


def default_recipe(split: str, place: str, seed: int) -> Recipe:
    """What a split shows at a place.

    Of every four test scenes, by seed, two are as in training, one has novel pairs and one more
    things than training ever shows.
    """
    fewest = 4 if place == "table_top" else 3
    kinds = _KINDS[place]
    turn = seed % 4 if split == "test" else 0
    if turn == 3:
        return Recipe((MAX_FAMILIAR_BODIES + 1, MAX_FAMILIAR_BODIES + 3), kinds)
    return Recipe((fewest, MAX_FAMILIAR_BODIES), kinds, novel_pairs=turn == 1)


def novelty(scene: Scene) -> frozenset[str]:
    """What a scene shows that training never does: `pair`, `count`, both or nothing."""
    pair = any((body.color, body.kind) in HELD_OUT_PAIRS for body in scene.bodies)
    count = len(scene.bodies) > MAX_FAMILIAR_BODIES
    return frozenset(name for name, shown in (("pair", pair), ("count", count)) if shown)


def draw_cast(rng: np.random.Generator, recipe: Recipe, count: int) -> list[tuple[str, str]]:
    """Draw different pairs of color and kind, in random order.

    A small palette and few kinds make both repeat, so that neither names a thing alone.
    """
    chosen: list[tuple[str, str]] = []
    if recipe.novel_pairs:
        novel = [(HELD_OUT_COLORS[kind], kind) for kind in recipe.kinds]
        order = rng.permutation(len(novel))[: int(rng.integers(1, 1 + min(3, count)))]
        chosen = [novel[i] for i in order]
    wide = 1 if count > MAX_FAMILIAR_BODIES else 0
    while True:
        palette = rng.permutation(len(COLORS))[: int(rng.integers(3, 5)) + wide]
        kinds = rng.permutation(len(recipe.kinds))[: int(rng.integers(3, 6)) + wide]
        # Where the recipe allows few kinds only, more colors are needed.
        wide += 1
        pairs = [(tuple(COLORS)[c], recipe.kinds[k]) for c in palette for k in kinds]
        drawn = list(chosen)
        for number in rng.permutation(len(pairs)):
            pair = pairs[number]
            fits = pair not in HELD_OUT_PAIRS and pair not in drawn
            of_kind = sum(kind == pair[1] for _, kind in drawn)
            if len(drawn) < count and fits and of_kind < _MOST.get(pair[1], count):
                drawn.append(pair)
        if len(drawn) == count:
            return [drawn[i] for i in rng.permutation(count)]
