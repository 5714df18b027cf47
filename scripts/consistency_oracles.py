"""Four made-up models on `consistency/world`: what its metrics make of each tie of words to depth.

All share one geometry, the true depth with each object moved along its rays by a random factor.
Their words come from it (`follows`), from another such geometry that errs as often (`apart`), from
the truth (`knows`), or from the opposite of what the geometry says (`contradicts`).

    python scripts/consistency_oracles.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.geometry import cameras
from g2vlm_bench.geometry.relations import answer_from_geometry
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.predicting import rng_of
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.store import SampleLine

TASK = "consistency/world"
SPREAD = 0.35
METRICS = ("words_accuracy", "geometry_accuracy", "agreement", "agreement_if_independent",
           "says_what_it_sees")  # fmt: skip

Depth = np.ndarray[Any, np.dtype[np.float32]]


def moved(target: Target, rng: np.random.Generator) -> Depth:
    """The true depth with each object of the question nearer or farther by a random factor."""
    assert target.depth_m is not None
    depth = target.depth_m[0].copy()
    for thing in target.objects:
        depth[thing.masks[0]] *= np.float32(np.exp(SPREAD * rng.standard_normal()))
    return depth


def says(target: Target, depth: Depth) -> bool | float:
    """What a depth map answers."""
    assert target.intrinsics is not None
    points = cameras.unproject(depth, target.intrinsics[0])
    return answer_from_geometry(
        target.relation, [points[thing.masks[0]] for thing in target.objects], target.up
    )


def spoken(answer: bool | float) -> str:
    """An answer in words."""
    return ("yes" if answer else "no") if isinstance(answer, bool) else f"{answer:.4f} m"


def contrary(target: Target, depth: Depth) -> str:
    """Not what the depth says; a length as much too long as the depth's is too short."""
    answer = says(target, depth)
    if isinstance(answer, bool):
        return spoken(not answer)
    assert isinstance(target.answer, float)
    return spoken(target.answer**2 / answer)


WORDS: dict[str, Callable[[Target, Depth, Depth], str]] = {
    "follows": lambda target, depth, other: spoken(says(target, depth)),
    "apart": lambda target, depth, other: spoken(says(target, other)),
    "knows": lambda target, depth, other: str(target.answer),
    "contradicts": lambda target, depth, other: contrary(target, depth),
}


def main() -> None:
    """Score the four and print what each got, with 95 % intervals by scene."""
    plugins = Plugins.find()
    definition = plugins.written_out(plugins.task(TASK))
    family = plugins.family(definition)
    options = {k: v for k, v in definition.data.items() if k not in _PINS}
    samples = plugins.reader("world")(**options).samples(definition.data["split"])
    targets = [sample.load_target() for sample in samples]
    rngs = [rng_of(0, sample.id) for sample in samples]
    depths = [(moved(t, rng), moved(t, rng)) for t, rng in zip(targets, rngs, strict=True)]
    console = Console(width=150)
    for protocol in ("order", "metric"):
        table = Table(title=f"{TASK}, {protocol}: {len(samples)} questions in all")
        table.add_column("words")
        for metric in METRICS:
            table.add_column(metric, justify="right")
        for name, speak in WORDS.items():
            predictions = [
                Prediction(answer=speak(t, *both), depth=(both[0],), ambiguity=Ambiguity.METRIC)
                for t, both in zip(targets, depths, strict=True)
            ]
            pool = family.pool(iter(list(zip(targets, predictions, strict=True))))
            lines = [
                SampleLine(
                    id=sample.id, cluster=sample.cluster, status="scored", tags={}, seconds=0.0,
                    weights=dict(family.weights(target)),
                    values=dict(
                        family.score_in_pool(pool, target, prediction, Ambiguity.METRIC).values
                    ),
                )
                for sample, target, prediction in zip(samples, targets, predictions, strict=True)
            ]  # fmt: skip
            columns = aggregate(family.specs, lines).columns
            results = [columns[f"{metric}@{protocol}"].result(seed=0) for metric in METRICS]
            table.add_row(name, *(f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in results))
        console.print(table)


_PINS = ("format", "split", "train_split", "revision", "rows", "content_hash")


if __name__ == "__main__":
    main()
