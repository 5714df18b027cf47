"""Makes scenes from seeds: a place, things that could stand there, cameras that see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.world.layout.cameras import Framing, film, walk_around
from g2vlm_bench.world.layout.motion import MOMENTS, MOVERS, set_in_motion
from g2vlm_bench.world.layout.recipe import (
    HELD_OUT_COLORS,
    HELD_OUT_PAIRS,
    MAX_FAMILIAR_BODIES,
    Recipe,
    default_recipe,
    novelty,
)
from g2vlm_bench.world.layout.roads import make_road
from g2vlm_bench.world.layout.rooms import make_room, make_table_top
from g2vlm_bench.world.layout.routes import draw_task
from g2vlm_bench.world.layout.stage import Stage
from g2vlm_bench.world.scene import PLACES, SPLITS, WORLD_VERSION, Body, Camera, Scene
from g2vlm_bench.world.shapes import Vector

__all__ = [
    "HELD_OUT_COLORS",
    "HELD_OUT_PAIRS",
    "MAX_FAMILIAR_BODIES",
    "Recipe",
    "default_recipe",
    "make_scene",
    "novelty",
]

_MAKERS: Mapping[str, Callable[[np.random.Generator, Recipe, bool], Stage | None]] = {
    "room": make_room,
    "table_top": make_table_top,
    "road": make_road,
}
_ATTEMPTS = 2000
# So many rooms have painted paths.
_ROUTES_CHANCE = 0.3
# More than this would make seeds of different splits meet in numpy's seed sequence.
MAX_SEED = 2**63


def make_scene(
    seed: int, split: str, place: str = "room", frames: int = 1, recipe: Recipe | None = None
) -> Scene:
    """Make a still scene with 8 cameras, or a moving one with a camera for each frame.

    Split, place and whether it moves are part of the seed sequence's key, so that no seed of one
    split can give a scene of another. What moves, and along which way, does not depend on the
    number of frames. Lengths are rounded to millimetres and angles to a tenth of a degree, which
    keeps the record short and exact.

    Args:
        seed: Any number from 0; the same seed gives the same scene on every machine.
        split: One of `SPLITS`.
        place: One of `PLACES`.
        frames: 1, or the number of frames of a moving scene.
        recipe: What the scene is drawn from; none for what the split shows, see `default_recipe`.

    Raises:
        BenchError: The split or place is unknown, the seed negative, the number of frames less than
            1, or the recipe asks for what its split or its place cannot have.
    """
    _check(seed, split, place, frames)
    name = f"world{WORLD_VERSION}-{place}-{split}{f'-{frames}f' if frames > 1 else ''}"
    if recipe is None:
        recipe = default_recipe(split, place, seed)
    else:
        _check_recipe(recipe, split, place, frames > 1)
        name += f"-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:6]}"
    key = (WORLD_VERSION, SPLITS.index(split), PLACES.index(place), int(frames > 1))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    make = _MAKERS[place]
    if place == "room" and frames == 1 and rng.random() < _ROUTES_CHANCE:
        make = partial(make_room, task=draw_task(rng))
    for attempt in range(_ATTEMPTS):
        if attempt == _ATTEMPTS // 2:
            make = _MAKERS[place]  # a recipe may have nothing that could stand on a path
        stage = make(rng, recipe, frames > 1)
        made = stage and (_shoot(rng, stage) if frames == 1 else _film(rng, stage, frames))
        if stage and made:
            bodies, cameras = made
            name = f"{name}-{seed:06d}"
            return Scene(name, split, seed, stage.place, bodies, stage.lights, cameras, frames)
    raise BenchError(
        "scene recipe",
        expected=f"things that find a place in a {place}",
        got=f"none in {_ATTEMPTS} attempts",
        fix="Ask for fewer bodies or for more kinds.",
    )


def _shoot(
    rng: np.random.Generator, stage: Stage
) -> tuple[tuple[Body, ...], tuple[Camera, ...]] | None:
    """A still scene's bodies and the cameras around them."""
    arrangement = stage.arrangement
    bodies = tuple(arrangement.bodies)
    solids = [solid for body in bodies for solid in arrangement.solids(body.id)]
    framing = Framing(_middles(bodies[stage.backdrop :]), solids, stage.clearance_m)
    cameras = walk_around(rng, stage.draw_camera, framing, stage.eye)
    return (bodies, cameras) if cameras else None


def _film(
    rng: np.random.Generator, stage: Stage, frames: int
) -> tuple[tuple[Body, ...], tuple[Camera, ...]] | None:
    """A moving scene's bodies and the cameras that film them."""
    moved = set_in_motion(rng, stage.arrangement)
    if moved is None:
        return None
    bodies, over_time = moved
    framings = []
    for moment in range(MOMENTS):
        there = [body.at(moment / (MOMENTS - 1)) for body in bodies]
        # Whoever asks where a thing will be must have seen it.
        movers = [now for body, now in zip(bodies, there, strict=True) if body.path_m]
        framings.append(
            Framing(
                _middles(there[stage.backdrop :]),
                [solid for moments in over_time for solid in moments[moment]],
                # Half as much again at these moments leaves enough between them.
                1.5 * stage.clearance_m,
                _middles(movers),
            )
        )
    cameras = film(rng, stage.draw_camera, framings, frames)
    return (bodies, cameras) if cameras else None


def _middles(bodies: Sequence[Body]) -> list[Vector]:
    return [(b.base_m[0], b.base_m[1], b.base_m[2] + b.extent_m[2] / 2) for b in bodies]


def _check(seed: int, split: str, place: str, frames: int) -> None:
    if split not in SPLITS:
        raise BenchError("world split", expected=" or ".join(SPLITS), got=f"'{split}'")
    if place not in PLACES:
        fix = nearest(place, PLACES)
        raise BenchError("world place", expected=" or ".join(PLACES), got=f"'{place}'", fix=fix)
    if not 0 <= seed < MAX_SEED:
        raise BenchError("world seed", expected="0 to 2^63 - 1", got=seed)
    if frames < 1:
        raise BenchError("world frames", expected="1 or more", got=frames)


def _check_recipe(recipe: Recipe, split: str, place: str, moving: bool) -> None:
    known = default_recipe(split, place, 0).kinds
    for kind in recipe.kinds:
        if kind not in known:
            fix = nearest(kind, known)
            raise BenchError(
                "scene recipe, kinds", expected=f"kinds of a {place}", got=f"'{kind}'", fix=fix
            )
    if place == "table_top" and recipe.bodies[0] < 2:
        expected = "2 or more: a table and something on it"
        raise BenchError("scene recipe, bodies", expected=expected, got=recipe.bodies)
    if split != "test" and recipe.novelty:
        raise BenchError(
            "scene recipe",
            expected=f"no novelty in the {split} split",
            got=" and ".join(sorted(recipe.novelty)),
            fix=f"Ask for at most {MAX_FAMILIAR_BODIES} bodies and no novel pairs.",
        )
    if moving and not set(recipe.kinds) & set(MOVERS):
        fix = f"Add one of {', '.join(MOVERS)}."
        raise BenchError("scene recipe, kinds", expected="one that can move", got="none", fix=fix)
