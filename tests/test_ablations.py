"""The ablations: each variant lacks its own part alone, and the table says what was scored."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.reference.config import load_config
from g2vlm_bench.store import MetricResult

PROJECT = Path(__file__).parent.parent
ablations = load_module(PROJECT / "scripts" / "ablations.py")
LACKS = {
    ablations.WHOLE: {},
    "without depth-aware attention": {"model.depth_aware": False},
    "without geometric losses (normals, log depth, early depth, views agree)": {
        "training.losses.normals": 0.0, "training.losses.depth": 0.0,
        "training.losses.early": 0.0, "training.losses.consistency": 0.0,
    },
    "without places of patches": {"training.losses.scene": 0.0},
    "without contrastive learning": {"training.losses.contrastive": 0.0},
    "without a geometric expert": {"model.experts": False},
    "without pointing": {"model.pointing": False},
}  # fmt: skip


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{name}.{key}" if name else key)
    return found


def test_each_variant_lacks_its_own_part_and_has_the_same_budget() -> None:
    nano = load_config("nano")
    whole, *others = (
        flat(msgspec.to_builtins(ablations.shortened(nano, 300, variant)))
        for variant in ablations.VARIANTS.values()
    )
    assert list(ablations.VARIANTS) == list(LACKS)
    for name, found in zip(list(LACKS)[1:], others, strict=True):
        changed = {key: value for key, value in found.items() if whole[key] != value}
        assert changed == LACKS[name], name
    # Nor is anything of what is left out missing from the whole.
    assert all(whole[key] not in (False, 0.0) for lacks in LACKS.values() for key in lacks)


def test_the_curriculum_is_shortened_in_all_its_stages() -> None:
    nano = load_config("nano")
    short = ablations.shortened(nano, 300, ablations.Variant())
    stages = list(zip(nano.training.stages, short.training.stages, strict=True))
    whole = sum(long.steps for long, _ in stages)
    assert sum(stage.steps for _, stage in stages) == pytest.approx(300, abs=len(stages))
    for long, stage in stages:
        assert stage.steps == pytest.approx(long.steps * 300 / whole, abs=1)
        assert msgspec.structs.replace(stage, steps=long.steps) == long
    assert (short.training.warm_up, short.training.pool) == (30, 75)
    longer = ablations.shortened(nano, 20_000, ablations.Variant())
    assert longer.training.warm_up == nano.training.warm_up
    assert longer.training.pool == nano.training.pool


def test_every_column_is_a_metric_of_a_shipped_task() -> None:
    plugins = Plugins()
    for name, metric in ablations.COLUMNS.values():
        family = plugins.family(plugins.task(name))
        assert metric in {spec.name for spec in family.specs}, (name, metric)


def test_the_table_has_a_row_a_variant_and_one_a_number_of_refinements(
    tmp_path: Path, monkeypatch
) -> None:
    asked: list[tuple[str, int | None]] = []

    def evaluate(model: str, tasks: list[str], *, out: Path, model_args: dict, **_: Any) -> Any:
        asked.append((Path(model_args["weights"]).name, model_args.get("refinements")))
        result = MetricResult(
            metric="abs_rel@median_scale", unit="1", higher_is_better=False, value=0.125, low=0.1,
            high=0.15, value_scored=0.125, n_scored=9, n_failed=0, n_unscored=0, n_clusters=9,
        )  # fmt: skip
        record = SimpleNamespace(
            task=SimpleNamespace(name="depth/world_rooms"),
            result={result.metric: result}.get,
        )
        return SimpleNamespace(runs=[SimpleNamespace(record=record)])

    monkeypatch.setattr(ablations.api, "evaluate", evaluate)
    options = argparse.Namespace(out=tmp_path, device="cpu", limit=None, data_root=None)
    chosen = [ablations.WHOLE, "without contrastive learning"]
    head, _, *rows = ablations.table(chosen, options)
    assert head.startswith("| variant | depth abs_rel | with sparse depth |")
    assert asked == [
        ("whole", None), ("without_contrastive_learning", None),
        *(("whole", times) for times in (0, 1, 2, 4)),
    ]  # fmt: skip
    assert len(rows) == len(asked)
    assert rows[0] == "| whole | 0.125 [0.100, 0.150]" + " | -" * 7 + " |"
    assert rows[-1].startswith("| whole, K = 4 | 0.125")
    assert len({ablations.folder(tmp_path, name) for name in ablations.VARIANTS}) == len(LACKS)
