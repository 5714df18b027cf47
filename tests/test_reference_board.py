"""The targets of the reference model: each is judged by its own figure, and missed where it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from g2vlm_bench.board import load_board
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.store import MetricResult

PROJECT = Path(__file__).parent.parent
board = load_module(PROJECT / "scripts" / "reference_board.py")

QA = "chance_corrected_accuracy@strict"
CHAMFER = "chamfer_mean_l2@scale"


def result(value: float, low: float | None = None, high: float | None = None) -> MetricResult:
    return MetricResult(
        metric="", unit="1", higher_is_better=True, value=value, low=low, high=high,
        value_scored=value, n_scored=118, n_failed=0, n_unscored=0, n_clusters=48,
    )  # fmt: skip


def rows(**changes: Any) -> Any:
    """All targets just met; changes are `{(task, metric, model): result}` under `with_`."""
    own: dict[tuple[str, str, str], MetricResult] = {
        ("depth/world_rooms", "abs_rel@median_scale", "g2vlm"): result(0.05),
        ("depth/world_rooms", "delta1@median_scale", "g2vlm"): result(0.97),
        ("camera_pose/world_rooms", "auc_30@metric", "g2vlm"): result(0.6),
        ("spatial_qa/world", "accuracy@strict", "g2vlm"): result(0.8),
        ("spatial_qa/world_direction", "accuracy@strict", "g2vlm"): result(0.92),
        ("spatial_qa/world_support", "accuracy@strict", "g2vlm"): result(0.75),
        ("spatial_qa/world_occlusion", "accuracy@strict", "g2vlm"): result(0.75),
        ("spatial_qa/world", QA, "blind:g2vlm"): result(0.05, -0.01, 0.1),
        ("spatial_qa/world", QA, "shuffled:g2vlm"): result(0.05, 0.01, 0.1),
        ("spatial_qa/world", QA, "misheard:g2vlm"): result(0.0, -0.1, 0.1),
        ("spatial_qa/world", QA, "majority"): result(0.02),
        ("scene_language/world_text_to_scene", "recall_1@strict", "g2vlm"): result(0.09),
        ("consistency/world", "agreement@order", "g2vlm"): result(0.8),
        (
            "consistency/world", "agreement_if_independent@order", "g2vlm"
        ): result(0.6, 0.5, 0.7),
    }  # fmt: skip
    for task in ("direction", "support", "occlusion"):
        own[f"spatial_qa/world_{task}", QA, "g2vlm"] = result(0.5, 0.1, 0.9)
        own[f"spatial_qa/world_{task}", QA, "chance"] = result(0.09)
    for task, value in zip(board.CLOUDS, (0.20, 0.15, 0.12, 0.10), strict=True):
        own[task, CHAMFER, "g2vlm"] = result(value)
    for task, value in zip(board.DEPTHS[1:], (0.04, 0.03, 0.02), strict=True):
        own[task, "abs_rel@median_scale", "g2vlm"] = result(value)
    own["depth/world_rooms_sparse", "abs_rel@median_scale", "g2vlm"] = result(0.03, 0.02, 0.049)
    for task, value in ((board.POSES[0], 0.5), (board.POSES[2], 0.7)):
        own[task, "auc_30@metric", "g2vlm"] = result(value)
    own[board.CLOUDS[0], CHAMFER, "plane"] = result(0.4)
    own[board.CLOUDS[0], CHAMFER, "constant_depth"] = result(0.9)
    own |= changes.get("with_", {})
    made = board.Rows()
    for task, _, model in own:
        values = {metric: r for (t, metric, m), r in own.items() if (t, m) == (task, model)}
        made.records[task, model] = SimpleNamespace(
            result=values.get, data=SimpleNamespace(rows=238, limit=None)
        )
    return made


def missed(given: Any) -> list[str]:
    return [each.target for each in board.verdicts(given) if each.met is not True]


def test_figures_that_just_reach_every_target() -> None:
    # Shuffled: 0.01 is below the majority's 0.02. Recall: 10 of 120 pictures are 0.083.
    assert missed(rows()) == []


@pytest.mark.parametrize(
    ("key", "changed", "target"),
    [
        (("depth/world_rooms", "abs_rel@median_scale", "g2vlm"), result(0.051), "<= 0.05"),
        (
            ("depth/world_rooms_sparse", "abs_rel@median_scale", "g2vlm"),
            result(0.03, 0.02, 0.05), "well below",
        ),
        (
            ("depth/world_rooms_4_views", "abs_rel@median_scale", "g2vlm"),
            result(0.04), "depth abs_rel@median_scale falls",
        ),
        (("camera_pose/world_rooms_8_views", "auc_30@metric", "g2vlm"), result(0.6), "rises with"),
        (("depth/world_rooms", "delta1@median_scale", "g2vlm"), result(0.969), "delta1"),
        (("chamfer/world_rooms", CHAMFER, "plane"), result(0.39), "half of the best"),
        (("chamfer/world_rooms_4_views", CHAMFER, "g2vlm"), result(0.15), "falls with"),
        (("camera_pose/world_rooms", "auc_30@metric", "g2vlm"), result(0.59), "auc_30"),
        (("spatial_qa/world", "accuracy@strict", "g2vlm"), result(0.79), "world accuracy"),
        (
            ("spatial_qa/world_direction", "accuracy@strict", "g2vlm"),
            result(0.91), "direction accuracy",
        ),
        (
            ("spatial_qa/world_support", "accuracy@strict", "g2vlm"),
            result(0.74), "support accuracy",
        ),
        (
            ("spatial_qa/world_occlusion", "accuracy@strict", "g2vlm"),
            result(0.74), "occlusion accuracy",
        ),
        (("spatial_qa/world_support", QA, "g2vlm"), result(0.5, 0.09, 0.9), "support above"),
        (("spatial_qa/world_support", QA, "blind:g2vlm"), result(0.1), "support above"),
        (("spatial_qa/world_support", QA, "shuffled:g2vlm"), result(0.11), "support above"),
        (("spatial_qa/world", QA, "blind:g2vlm"), result(0.3, 0.2, 0.4), "blind:g2vlm at"),
        (("spatial_qa/world", QA, "shuffled:g2vlm"), result(0.3, 0.021, 0.4), "shuffled:g2vlm"),
        (("spatial_qa/world", QA, "misheard:g2vlm"), result(0.3, 0.021, 0.4), "misheard:g2vlm"),
        (
            ("scene_language/world_text_to_scene", "recall_1@strict", "g2vlm"),
            result(0.08), "10 x chance",
        ),
        (("consistency/world", "agreement@order", "g2vlm"), result(0.7), "shuffled pairing"),
    ],
)  # fmt: skip
def test_each_target_is_missed_by_its_own_figure(key, changed, target) -> None:
    (found,) = missed(rows(with_={key: changed}))
    assert target in found


def test_what_was_not_run_has_no_verdict() -> None:
    found = list(board.verdicts(board.Rows()))
    assert {each.met for each in found} == {None}
    assert "no figure" in board.targets(found)
    assert "**missed**" not in board.targets(found)


def test_tables_show_intervals_and_leave_empty_rows_out() -> None:
    text = board.table(rows(), ["g2vlm", "blind:g2vlm", "plane"])
    lines = text.splitlines()
    assert lines[0] == "| task | metric | g2vlm | blind:g2vlm | plane |"
    assert (
        "| spatial_qa/world | `chance_corrected_accuracy@strict` | - | 0.050 [-0.010, 0.100] | - |"
        in lines
    )
    assert not any("fscore" in line for line in lines)


def test_the_board_is_one_and_can_be_cut() -> None:
    plugins = Plugins()
    whole = load_board(plugins.path("leaderboard", "reference"))
    assert all(plugins.path("task", task).is_file() for task in whole.tasks)
    families = {t for t in plugins.names("task") if t.startswith("spatial_qa/world_")}
    assert families - set(whole.tasks) == {"spatial_qa/world_rooms"}
    assert {m.rpartition(":")[2] for m in whole.models} <= set(plugins.names("adapter"))
    cut = board.chosen(whole, "chamfer, depth/world_roads")
    assert cut.tasks == ["depth/world_roads", *board.CLOUDS]
    with pytest.raises(BenchError, match="--only"):
        board.chosen(whole, "nothing")


def test_a_card_keeps_all_but_what_stands_between_its_marks(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"before\n{board.MARK}\nold\n{board.END}\nafter <!-- end -->\n")
    board.put_into_card(card, "| new |")
    assert card.read_text() == f"before\n{board.MARK}\n| new |\n{board.END}\nafter <!-- end -->\n"
    card.write_text("no marks")
    with pytest.raises(BenchError, match="no such marks"):
        board.put_into_card(card, "| new |")


def test_a_page_names_its_weights_and_its_command() -> None:
    given = rows()
    for record in given.records.values():
        record.adapter = SimpleNamespace(weights_hash="sha256:0123456789abcdef")
    text = board.page(given, list(board.verdicts(given)), "python me --too")
    assert "weights sha256:0123456789ab." in text
    assert "    python me --too\n" in text
    assert "| depth/world_rooms | `abs_rel@median_scale` | 0.050 |" in text
    assert "| depth/world_rooms abs_rel@median_scale <= 0.05 | 0.050 | met |" in text
