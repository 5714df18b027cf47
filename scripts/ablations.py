"""What each part of the reference model is worth: equal budgets, one part less at a time.

    python scripts/ablations.py --steps 600 --out runs/ablations
    python scripts/ablations.py --steps 20000 --device cuda --precision bfloat16

Every variant is trained by the same curriculum, shortened to so many steps, on the same scenes in
the same order from the same seed, and scored through the harness on the test split. The whole model
is scored once more with other numbers of refinements. An interrupted training or scoring goes on.
Writes `ablations.md`: one table with 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import structs

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench import api  # noqa: E402
from g2vlm_bench.errors import BenchError  # noqa: E402
from g2vlm_bench.reference.config import Config, load_config  # noqa: E402
from g2vlm_bench.store import RunRecord  # noqa: E402

WHOLE = "whole"


@dataclass(frozen=True)
class Variant:
    """The model with one part less.

    Attributes:
        model: Changes of its sizes.
        losses: Changes of the weights of its losses.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)


VARIANTS = {
    WHOLE: Variant(),
    "without depth-aware attention": Variant(model={"depth_aware": False}),
    "without geometric losses (normals, log depth, early depth, views agree)": Variant(
        losses={"normals": 0.0, "depth": 0.0, "early": 0.0, "consistency": 0.0}
    ),
    "without places of patches": Variant(losses={"scene": 0.0}),
    "without contrastive learning": Variant(losses={"contrastive": 0.0}),
    "without a geometric expert": Variant(model={"experts": False}),
    "without pointing": Variant(model={"pointing": False}),
}
REFINEMENTS = (0, 1, 2, 4)
COLUMNS = {
    "depth abs_rel": ("depth/world_rooms", "abs_rel@median_scale"),
    "with sparse depth": ("depth/world_rooms_sparse", "abs_rel@median_scale"),
    "Chamfer, 2 views, m": ("chamfer/world_rooms_2_views", "chamfer_mean_l2@scale"),
    "normals, 2 views": ("chamfer/world_rooms_2_views", "normal_consistency@scale"),
    "poses AUC@30": ("camera_pose/world_rooms", "auc_30@metric"),
    "QA accuracy": ("spatial_qa/world", "accuracy@strict"),
    "text to scene recall@5": ("scene_language/world_text_to_scene", "recall_5@strict"),
    "grounding IoU": ("scene_language/world_grounding", "mask_iou@strict"),
}


def main() -> None:
    """Train, score, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="nano")
    parser.add_argument("--steps", type=int, default=600, help="of every variant")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--only", default="", help="beginnings of variants' names, by comma")
    parser.add_argument("--limit", type=int, help="only the first samples of each task")
    parser.add_argument("--data-root", type=Path, help="folder that holds `world`, if exported")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    beginnings = tuple(options.only.split(","))
    chosen = {name: v for name, v in VARIANTS.items() if name.startswith(beginnings)}
    if not chosen:
        raise BenchError("--only", expected=", ".join(VARIANTS), got=options.only)
    for name, variant in chosen.items():
        print(f"{name}: {options.steps} steps", file=sys.stderr)
        train(variant, folder(options.out, name), options)
    text = f"{heading(options)}\n\n" + "\n".join(table(list(chosen), options))
    (options.out / "ablations.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)


def folder(out: Path, name: str) -> Path:
    """Where a variant stands."""
    return out / name.partition(" (")[0].replace(" ", "_")


def train(variant: Variant, out: Path, options: argparse.Namespace) -> None:
    """Train one variant, or go on with it."""
    from g2vlm_bench.reference import training

    plan = training.make_plan(options.device, options.precision, workers=options.workers)
    training.train(shortened(load_config(options.config), options.steps, variant), out, plan)


def shortened(config: Config, steps: int, variant: Variant) -> Config:
    """The configuration with a part less, and a curriculum of so many steps in all."""
    whole = sum(stage.steps for stage in config.training.stages)
    stages = tuple(
        structs.replace(stage, steps=max(round(stage.steps * steps / whole), 1))
        for stage in config.training.stages
    )
    training = structs.replace(
        config.training,
        stages=stages,
        losses=structs.replace(config.training.losses, **variant.losses),
        # A warm-up and a pool made for thousands of steps would be half of a short training.
        warm_up=min(config.training.warm_up, max(steps // 10, 1)),
        pool=min(config.training.pool, max(steps // 4, 64)),
    )
    return Config(model=structs.replace(config.model, **variant.model), training=training)


def heading(options: argparse.Namespace) -> str:
    """What was run."""
    limited = f", the first {options.limit} samples of each task" if options.limit else ""
    return (
        f"`python scripts/ablations.py {' '.join(sys.argv[1:])}`: {options.config}, "
        f"{options.steps} steps each, test split{limited}, 95 % intervals."
    )


def table(names: list[str], options: argparse.Namespace) -> Iterator[str]:
    """One row a variant, then one a number of refinements of the whole model."""
    yield f"| variant | {' | '.join(COLUMNS)} |"
    yield "| --- " + "| ---: " * len(COLUMNS) + "|"
    for name in names:
        yield row(name, scores(folder(options.out, name), {}, options))
    if WHOLE in names:
        for times in REFINEMENTS:
            found = scores(folder(options.out, WHOLE), {"refinements": times}, options)
            yield row(f"{WHOLE}, K = {times}", found)


def scores(
    weights: Path, arguments: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, RunRecord]:
    """Runs of a model by task."""
    done = api.evaluate(
        "g2vlm", [task for task, _ in COLUMNS.values()], out=options.out / "scores",
        model_args={"weights": str(weights), **arguments}, device=options.device,
        limit=options.limit, data_root=options.data_root,
    )  # fmt: skip
    return {run.record.task.name: run.record for run in done.runs}


def row(name: str, found: Mapping[str, RunRecord]) -> str:
    """A row of figures with their intervals."""
    cells = [cell(found.get(task), metric) for task, metric in COLUMNS.values()]
    return f"| {name} | {' | '.join(cells)} |"


def cell(record: RunRecord | None, metric: str) -> str:
    """A figure with its interval; a dash where there is none."""
    result = record.result(metric) if record else None
    if result is None or result.value is None:
        return "-"
    text = f"{result.value:.3f}"
    if result.low is not None and result.high is not None:
        text += f" [{result.low:.3f}, {result.high:.3f}]"
    return text


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"error: {error}")
