"""Ranked tables: significance, ties, missing cells, references, marks, what is refused."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from g2vlm_bench.board import Board, BoardColumn, BoardDefinition, Row, load_board
from g2vlm_bench.comparable import find_runs
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import load_module
from g2vlm_bench.ranking import build
from g2vlm_bench.store import RunFolder, SampleLine

runs = load_module(Path(__file__).parent / "report" / "boards.py")
DELTA = runs.DELTA
DEPTH, QA, CLOUD = "depth/rooms", "spatial_qa/rooms", "chamfer/rooms"
CORRECTED = MetricSpec(
    name="corrected@strict", unit="1", higher_is_better=True, best=1.0, worst=-1.0, chance=0.0
)
WRONG = MetricSpec(name="wrong@strict", unit="1", higher_is_better=False, best=0.0, worst=1.0)
N = 24
NOISE = np.random.default_rng(0).uniform(-0.1, 0.1, size=N)


@pytest.fixture
def make(tmp_path):
    """Write a run: `make(task, model, values)`; each in a folder of its own."""
    count = 0

    def written(task: str, model: str, values: Any, spec: MetricSpec = DELTA, **more: Any) -> Path:
        nonlocal count
        count += 1
        lines = [
            one if isinstance(one, SampleLine) else next(iter(runs.scored(spec, one)))
            for one in values
        ]
        lines = [
            msgspec.structs.replace(one, id=f"sample-{i}", cluster=f"scene-{i}")
            for i, one in enumerate(lines)
        ]
        return runs.make_run(tmp_path / str(count), task, model, [spec], lines, **more)

    return written


def board(paths: list[Path], *tasks: str, metric: str | None = None) -> Board:
    columns = [BoardColumn(task=task, metric=metric) for task in tasks or (DEPTH,)]
    return build(BoardDefinition(name="b", version=1, title="B", columns=columns), paths)


def row(made: Board, model: str) -> Row:
    return next(row for row in made.rows if row.model == model)


def ranks(made: Board) -> dict[str, int | None]:
    return {row.model: row.rank for row in made.rows}


def edited(path: Path, **changes: Any) -> Path:
    """Change parts of a record: `data={"limit": 3}`."""
    folder = RunFolder(path)
    record = folder.read_record()
    for part, fields in changes.items():
        old = getattr(record, part)
        is_part = isinstance(old, msgspec.Struct)
        setattr(record, part, msgspec.structs.replace(old, **fields) if is_part else fields)
    folder.write_record(record)
    return path


# ------------------------------------------------------------------------------ scores and ranks


def test_ranks_follow_significance_and_ties_share_a_rank(make) -> None:
    made = board(
        [
            make(DEPTH, "worst", 0.2 + NOISE),
            make(DEPTH, "good", 0.7 + NOISE),
            # Its difference from `good` is noise of mean 0.
            make(DEPTH, "equal", 0.7 + NOISE[::-1]),
            make(DEPTH, "best", 0.8 + NOISE),
        ]
    )
    assert ranks(made) == {"best": 1, "equal": 2, "good": 2, "worst": 4}
    assert [row.tied for row in made.rows] == [False, True, True, False]
    assert [row.cells[0].rank for row in made.rows] == [1, 2, 2, 4]
    best = row(made, "best")
    assert best.score == pytest.approx((0.8 + NOISE).mean())
    assert best.low < best.score < best.high


def test_a_paired_difference_separates_what_two_intervals_do_not(make) -> None:
    scenes = np.linspace(0.1, 0.8, N)
    made = board([make(DEPTH, "a", scenes), make(DEPTH, "b", scenes + 0.05 + NOISE / 10)])
    a, b = row(made, "a"), row(made, "b")
    assert a.high > b.low
    assert (b.rank, a.rank) == (1, 2)


def test_rank_is_one_more_than_the_models_that_are_significantly_better(make) -> None:
    """Significance is not transitive: `middle` differs from neither, and still `low` is third."""
    made = board(
        [
            make(DEPTH, "high", 0.60 + NOISE / 100),
            make(DEPTH, "middle", 0.59 + 3 * NOISE[::-1]),
            make(DEPTH, "low", 0.58 + NOISE / 100),
        ]
    )
    # Only `high` is shown to be better than `low`; `middle` is too noisy to be shown anything.
    assert ranks(made) == {"high": 1, "middle": 1, "low": 2}


def test_a_noisy_model_may_share_the_rank_that_a_steadier_better_one_misses(make) -> None:
    made = board(
        [
            make(DEPTH, "best", 0.60 + NOISE / 100),
            make(DEPTH, "steady", 0.59 + NOISE / 100),
            make(DEPTH, "noisy", 0.58 + 3 * NOISE[::-1]),
        ]
    )
    assert ranks(made) == {"best": 1, "noisy": 1, "steady": 2}
    assert row(made, "steady").score > row(made, "noisy").score


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_scenes_do_not_rank_models_that_differ_by_chance(make, n) -> None:
    # Better in every one of a few scenes, by amounts that vary.
    better = np.array([0.5, 0.02, 0.1, 0.04, 0.3])[:n]
    made = board([make(DEPTH, "a", np.full(n, 0.4)), make(DEPTH, "b", 0.4 + better)])
    assert ranks(made) == {"a": 1, "b": 1}


def test_the_column_of_fewest_scenes_decides_how_sure_the_score_is(make) -> None:
    better = np.array([0.5, 0.02, 0.1])
    made = board(
        [
            make(DEPTH, "a", 0.5 + NOISE), make(QA, "a", np.full(3, 0.4)),
            make(DEPTH, "b", 0.5 + NOISE), make(QA, "b", 0.4 + better),
        ],
        DEPTH, QA,
    )  # fmt: skip
    assert ranks(made) == {"a": 1, "b": 1}
    # The mean of two columns: half of t(2) = 4.30 times 0.257 / sqrt(3), beside which 24 scenes of
    # a spread of 0.06 hardly count.
    b = row(made, "b")
    assert b.high - b.score == pytest.approx(4.30 * 0.257 / 3**0.5 / 2, rel=0.1)


def test_columns_about_mostly_the_same_scenes_are_not_taken_for_independent(make) -> None:
    values = 0.5 + 4 * NOISE
    alike = board([make(DEPTH, "one", values), make(QA, "one", values)], DEPTH, QA)
    fewer = board([make(DEPTH, "one", values), make(QA, "one", values[:-1])], DEPTH, QA)
    (same,), (most,) = alike.rows, fewer.rows
    assert most.high - most.low == pytest.approx(same.high - same.low, rel=0.15)
    # Independent columns would have an interval narrower by the root of two.
    (cell, _) = same.cells
    assert same.high - same.low == pytest.approx(cell.result.high - cell.result.low, rel=0.1)


def test_a_score_of_few_scenes_that_agree_is_not_sure_of_itself(make) -> None:
    few = board([make(QA, "one", [1.0] * 5, CORRECTED)], QA)
    (found,) = few.rows
    # As the cell: 0.478 of other scenes may be unseen in five, and as wrong as can be.
    assert (found.score, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 2 * 0.5218, abs=1e-3)
    assert found.low == found.cells[0].result.low
    assert not found.above_floor
    assert board([make(QA, "one", [1.0] * 6, CORRECTED)], QA).rows[0].above_floor


def test_the_score_is_the_mean_of_skills_from_chance_or_worst_to_best(make) -> None:
    made = board(
        [
            make(DEPTH, "m", np.full(N, 0.6)),
            # Chance 0, worst -1: the skill is the value itself. 0.1 wrong is a skill of 0.9.
            make(QA, "m", np.full(N, -0.2), CORRECTED),
            make(CLOUD, "m", np.full(N, 0.1), WRONG),
        ],
        DEPTH, QA, CLOUD,
    )  # fmt: skip
    assert made.rows[0].score == pytest.approx((0.6 - 0.2 + 0.9) / 3)
    quarter = make(QA, "m", np.full(N, 0.4), runs.ACCURACY)
    # Chance 0.25: (0.4 - 0.25) / 0.75.
    assert board([quarter], QA).rows[0].score == pytest.approx(0.2)


def test_lower_is_better_where_the_metric_says_so(make) -> None:
    made = board(
        [make(QA, "a", 0.6 + NOISE, WRONG), make(QA, "b", 0.2 + NOISE, WRONG)],
        QA,
    )
    assert ranks(made) == {"b": 1, "a": 2}
    assert [row.cells[0].rank for row in made.rows] == [1, 2]
    assert row(made, "b").cells[0].result.value == pytest.approx((0.2 + NOISE).mean())


def test_failures_count_as_the_worst_value(make) -> None:
    failing = [1.0] * (N - 6) + [None] * 6
    made = board([make(DEPTH, "failing", failing), make(DEPTH, "whole", [0.9] * N)])
    cell = row(made, "failing").cells[0]
    assert cell.result.value == pytest.approx((N - 6) / N)
    assert (cell.result.n_scored, cell.result.n_failed) == (N - 6, 6)
    assert row(made, "whole").score > row(made, "failing").score


def test_samples_of_one_scene_are_drawn_together(make, tmp_path) -> None:
    values = [0.5 + 0.1 * (i % 4 > 1) for i in range(N)]
    lines = [runs.line(i, {DELTA.name: v}, cluster=f"room{i % 4}") for i, v in enumerate(values)]
    path = runs.make_run(tmp_path / "clusters", DEPTH, "m", [DELTA], lines)
    (only,) = board([path]).rows
    assert only.cells[0].result.n_clusters == 4
    # Four rooms of means 0.5 0.5 0.6 0.6: t(3) = 3.18 times 0.0577 / 2.
    assert only.high - only.score == pytest.approx(3.18 * 0.0577 / 2, rel=0.1)


# ------------------------------------------------------------------------- missing and references


def test_a_missing_column_counts_as_failed_throughout(make) -> None:
    made = board(
        [
            make(DEPTH, "both", 0.5 + NOISE),
            make(QA, "both", 0.5 + NOISE, CORRECTED),
            make(DEPTH, "half", 0.9 + NOISE),
        ],
        DEPTH, QA,
    )  # fmt: skip
    half = row(made, "half")
    assert (half.cells[1].result, half.cells[1].note) == (None, "not run")
    # Failing is -1 by the chance-corrected metric, and leaving a task out does not beat failing it.
    assert half.score == pytest.approx(((0.9 + NOISE).mean() - 1) / 2)
    alone = board([make(DEPTH, "half", 0.9 + NOISE)]).rows[0]
    assert half.high - half.low == pytest.approx((alone.high - alone.low) / 2)
    assert ranks(made) == {"both": 1, "half": 2}


def test_a_column_that_no_model_fills_takes_no_interval_and_no_rank_away(make) -> None:
    paths = [make(DEPTH, "a", 0.8 + NOISE), make(DEPTH, "b", 0.4 + NOISE)]
    made = board(paths, DEPTH, CLOUD)
    assert ranks(made) == {"a": 1, "b": 2}
    assert made.rows[0].low is not None
    assert made.rows[0].score == pytest.approx((0.8 + NOISE).mean() / 2)
    assert made.specs[1] is None


def test_a_refused_cell_says_why_and_counts_0(make) -> None:
    refused = edited(
        make(DEPTH, "relative", [1.0] * N, WRONG, headline=DELTA.name),
        refused={DELTA.name: "affine predictions cannot be scored as median_scale"},
    )
    made = board([refused, make(DEPTH, "metric", 0.3 + NOISE)])
    cell = row(made, "relative").cells[0]
    assert cell.result is None
    assert cell.note == "affine predictions cannot be scored as median_scale"
    assert (row(made, "relative").score, row(made, "relative").rank) == (0, 2)


def test_a_column_of_a_metric_that_the_task_has_not_is_refused(make) -> None:
    # Else every model would count 0 for a misspelling.
    with pytest.raises(BenchError, match="Did you mean 'delta1@median_scale'"):
        board([make(DEPTH, "a", [1.0] * N)], DEPTH, metric="dleta1@median_scale")


def test_one_scene_leaves_the_uncertainty_unknown_and_all_tied(make) -> None:
    made = board(
        [
            make(DEPTH, "a", 0.9 + NOISE), make(QA, "a", [1.0], CORRECTED),
            make(DEPTH, "b", 0.1 + NOISE), make(QA, "b", [0.0], CORRECTED),
        ],
        DEPTH, QA,
    )  # fmt: skip
    assert ranks(made) == {"a": 1, "b": 1}
    assert {(row.low, row.high) for row in made.rows} == {(None, None)}
    # The columns keep ranks of their own.
    assert [cell.rank for cell in row(made, "b").cells] == [2, 1]
    # The better one still stands first.
    assert made.rows[0].model == "a"


def test_reference_rows_are_shown_and_not_ranked(make) -> None:
    made = board(
        [
            make(DEPTH, "oracle", [1.0] * N, adapter={"reads_truth": True}),
            make(DEPTH, "a", 0.5 + NOISE),
            make(DEPTH, "b", 0.3 + NOISE),
        ]
    )
    assert ranks(made) == {"a": 1, "b": 2, "oracle": None}
    assert row(made, "oracle").cells[0].rank is None
    assert row(made, "oracle").score == 1
    assert not row(made, "oracle").tied
    assert made.rows[-1].model == "oracle"


# ---------------------------------------------------------------------------------------- floors

FLOOR = {"is_floor": True}


def test_the_best_floor_of_a_column_is_held_against_its_models(make) -> None:
    made = board(
        [
            make(DEPTH, "plane", 0.5 + NOISE, adapter=FLOOR),
            make(DEPTH, "constant", 0.3 + NOISE, adapter=FLOOR),
            make(DEPTH, "skilled", 0.6 + NOISE),
            # Above the constant, and not above the plane.
            make(DEPTH, "lucky", 0.5 + NOISE[::-1]),
            make(DEPTH, "worse", 0.2 + NOISE),
            make(DEPTH, "oracle", [1.0] * N, adapter={"reads_truth": True}),
        ]
    )
    (floor,) = made.floors
    assert (floor.model, floor.value) == ("plane", pytest.approx((0.5 + NOISE).mean()))
    assert floor.low < floor.value < floor.high
    assert {row.model: (row.is_floor, row.cells[0].above_floor) for row in made.rows} == {
        "skilled": (False, True),
        "plane": (True, None),
        "lucky": (False, False),
        "constant": (True, None),
        "worse": (False, False),
        "oracle": (False, None),
    }
    # With one column a score is its number, and the floors' is the best floor's.
    assert made.score_floor.value == floor.value
    assert [row.above_floor for row in made.rows] == [row.cells[0].above_floor for row in made.rows]


def test_of_a_metric_that_falls_the_lowest_floor_is_the_best(make) -> None:
    made = board(
        [
            make(DEPTH, "high", 0.7 + NOISE, WRONG, adapter=FLOOR),
            make(DEPTH, "low", 0.4 + NOISE, WRONG, adapter=FLOOR),
            make(DEPTH, "between", 0.5 + NOISE, WRONG),
            make(DEPTH, "good", 0.3 + NOISE, WRONG),
        ]
    )
    assert made.floors[0].model == "low"
    assert row(made, "good").cells[0].above_floor is True
    assert row(made, "between").cells[0].above_floor is False


def test_the_best_floors_of_all_columns_stand_together_against_a_score(make) -> None:
    made = board(
        [
            make(DEPTH, "plane", 0.6 + NOISE, adapter=FLOOR),
            make(QA, "chance", 0.2 + NOISE, CORRECTED, adapter=FLOOR),
            make(DEPTH, "both", 0.8 + NOISE),
            make(QA, "both", 0.4 + NOISE, CORRECTED),
            make(DEPTH, "half", 0.9 + NOISE),
        ],
        DEPTH, QA,
    )  # fmt: skip
    # No floor answers both; together they reach the mean of 0.6 and 0.2.
    assert made.score_floor.value == pytest.approx(0.4 + NOISE.mean())
    assert made.score_floor.model == ""
    assert row(made, "both").above_floor is True
    # Half a board above the floor is a score of (0.9 - 1) / 2.
    assert row(made, "half").above_floor is False
    assert row(made, "half").cells[0].above_floor is True


def test_a_column_without_a_floor_has_none_and_neither_has_the_score(make) -> None:
    made = board(
        [
            make(DEPTH, "plane", 0.6 + NOISE, adapter=FLOOR),
            make(DEPTH, "model", 0.8 + NOISE),
            make(CLOUD, "model", 0.8 + NOISE),
        ],
        DEPTH, CLOUD,
    )  # fmt: skip
    assert [floor and floor.model for floor in made.floors] == ["plane", None]
    assert made.score_floor is None
    model = row(made, "model")
    assert [cell.above_floor for cell in model.cells] == [True, None]
    assert model.above_floor is None
    # A column that nobody fills needs no floor.
    assert board(_paths(made, DEPTH), DEPTH, QA).score_floor is not None


def test_what_a_guess_gets_by_definition_is_a_floor_without_a_run(make) -> None:
    guessing = make(QA, "guessing", NOISE - NOISE.mean(), CORRECTED)
    made = board([guessing, make(QA, "good", 0.2 + NOISE, CORRECTED)], QA)
    (floor,) = made.floors
    assert (floor.model, floor.value, floor.low, floor.high) == ("chance by definition", 0, 0, 0)
    assert row(made, "good").above_floor is True
    assert row(made, "guessing").above_floor is False
    # A floor that is worse than a guess does not stand for it, and one that is better does.
    worse = make(QA, "worse", NOISE - 0.5, CORRECTED, adapter=FLOOR)
    assert board([guessing, worse], QA).floors[0].model == "chance by definition"
    better = make(QA, "better", NOISE + 0.5, CORRECTED, adapter=FLOOR)
    assert board([guessing, worse, better], QA).floors[0].model == "better"


def test_who_else_stands_on_a_board_does_not_change_who_beats_the_floor(make) -> None:
    paths = [make(DEPTH, "plane", 0.5 + NOISE, adapter=FLOOR)]
    paths.append(make(DEPTH, "model", 0.52 + NOISE[::-1] * 0.2 + NOISE * 0.8))
    alone = row(board(paths), "model").cells[0].above_floor
    paths += [make(DEPTH, f"other-{i}", np.roll(NOISE, i) + 0.5) for i in range(12)]
    assert row(board(paths), "model").cells[0].above_floor is alone is True


def test_one_scene_shows_nobody_above_the_floor(make) -> None:
    made = board([make(DEPTH, "plane", [0.1], adapter=FLOOR), make(DEPTH, "model", [1.0])])
    assert row(made, "model").cells[0].above_floor is False
    assert row(made, "model").above_floor is False


def _paths(made: Board, task: str) -> list[Path]:
    return [path for path, record in made.runs if record.task.name == task]


def test_provisional_marks(make) -> None:
    made = board(
        [
            edited(make(DEPTH, "clean", [1.0] * N)),
            edited(make(DEPTH, "dirty", [1.0] * N), environment={"dirty": True}),
            make(DEPTH, "loose", [1.0] * N, pinned=False),
            edited(make(DEPTH, "lacking", [1.0] * N), unreadable_truths=2),
        ]
    )
    marks = {row.model: row.provisional for row in made.rows}
    assert marks == {
        "clean": (),
        "dirty": ("uncommitted changes",),
        "loose": ("data not pinned",),
        "lacking": ("truths that could not be read",),
    }
    part = board([edited(make(DEPTH, "part", [1.0] * 3), data={"limit": 3})])
    assert part.rows[0].provisional == ("only part of the samples",)


def test_the_order_of_the_runs_makes_no_difference(make) -> None:
    paths = [
        make(DEPTH, "a", 0.5 + NOISE),
        make(DEPTH, "b", 0.5 + NOISE),
        make(QA, "b", NOISE, CORRECTED),
        make(DEPTH, "c", 0.9 + NOISE),
    ]
    tables = [list(board(list(order), DEPTH, QA).records()) for order in permutations(paths)]
    assert all(table == tables[0] for table in tables)
    assert tables[0][0]["model"] == "b"


def test_the_flat_records_hold_every_number_with_its_counts(make) -> None:
    (record,) = board([make(DEPTH, "a", [*([1.0] * 9), None])]).records()
    assert record | {"low": 0, "high": 0, "score_low": 0, "score_high": 0} == {
        "kind": "measured", "setting": "", "caveat": "", "source": "",
        "board": "b", "board_version": 1, "model": "a", "is_floor": False, "rank": 1, "tied": False,
        "score": 0.9, "score_low": 0, "score_high": 0, "score_floor": None,
        "score_above_floor": None, "survives_blind": None,
        "task": DEPTH, "metric": DELTA.name, "unit": "1", "value": 0.9, "low": 0, "high": 0,
        "floor": None, "floor_model": None, "above_floor": None, "column_rank": 1,
        "n_scored": 9, "n_failed": 1, "n_unscored": 0, "n_clusters": 10, "note": "",
        "provisional": "",
    }  # fmt: skip
    assert record["low"] < 0.9 < record["high"] <= 1


# --------------------------------------------------------------------------- what is not comparable


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"task": {"definition_hash": "sha256:other"}}, "task definition"),
        ({"data": {"content_hash": "sha256:other"}}, "data"),
        ({"data": {"limit": 5}}, "limit"),
        ({"scorer": {"family": "sha256:other"}}, "scorer"),
    ],
)
def test_runs_that_differ_in_what_fixes_their_numbers_are_refused(make, changes, what) -> None:
    paths = [make(DEPTH, "a", [1.0] * N), edited(make(DEPTH, "b", [1.0] * N), **changes)]
    with pytest.raises(NotComparableError, match=f"{what}.*of {DEPTH}") as error:
        board(paths)
    assert error.value.exit_code == 4
    for path in paths:
        assert str(path) in str(error.value)


def test_runs_that_count_other_samples_are_refused(make) -> None:
    lost = [runs.line(0, {}), *[1.0] * (N - 1)]
    lost[0] = msgspec.structs.replace(lost[0], status="unscored")
    with pytest.raises(NotComparableError, match="samples counted by delta1@median_scale"):
        board([make(DEPTH, "a", [1.0] * N), make(DEPTH, "b", lost)])


@pytest.mark.parametrize(
    ("field", "what"),
    [("weights_hash", "weights"), ("source_hash", "source"), ("dtype", "dtype")],
)
def test_a_row_is_one_model(make, field, what) -> None:
    one = make(DEPTH, "hf", [1.0] * N, adapter={field: "one"})
    two = make(QA, "hf", [1.0] * N, CORRECTED, adapter={field: "two"})
    with pytest.raises(NotComparableError, match=f"{what} of hf: expected one .*, got two"):
        board([one, two], DEPTH, QA)


def test_two_runs_of_one_model_and_an_unfinished_one_are_refused(make) -> None:
    with pytest.raises(BenchError, match="expected one run"):
        board([make(DEPTH, "a", [1.0] * N), make(DEPTH, "a", [1.0] * N)])
    old = edited(make(DEPTH, "a", [1.0] * N), finished="2026-11-22T10:00:00+00:00", seed=1)
    new = edited(make(DEPTH, "a", [1.0] * N), finished="2026-11-22T11:00:00+00:00", seed=2)
    with pytest.raises(BenchError, match=f"of seed 2 and 1. .*the newest is {new}"):
        board([new, old])
    with pytest.raises(BenchError, match="one that is interrupted"):
        board([edited(make(DEPTH, "a", [1.0] * N), status="interrupted")])


def test_a_headline_without_bound_is_refused(make) -> None:
    with pytest.raises(BenchError, match="a metric with a worst value"):
        board([make(DEPTH, "a", [1.0] * N, runs.RMSE)])


def test_a_board_of_nothing_is_refused_and_other_tasks_are_left_out(make) -> None:
    other = make(QA, "a", [1.0] * N)
    with pytest.raises(BenchError, match=f"expected runs of {DEPTH}, got {QA}"):
        board([other])
    made = board([other, make(DEPTH, "b", [1.0] * N)])
    assert [row.model for row in made.rows] == ["b"]


def test_run_folders_are_found_where_they_are_named_or_right_below(make, tmp_path) -> None:
    first, second = make(DEPTH, "a", [1.0]), make(DEPTH, "b", [1.0])
    assert find_runs([first.parent, second, first]) == [first, second]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match=r"no run\.json"):
        find_runs([tmp_path / "empty"])


def test_a_board_file_with_an_unknown_key_is_met_with_the_nearest(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nversion: 1\ncolumns: [{task: depth/a}]\ndescripton: x\n")
    with pytest.raises(BenchError, match="Did you mean 'description'"):
        load_board(path)
    path.write_text(
        "title: Mine\nversion: 1\ncolumns: [{task: depth/a}, {task: depth/a, metric: m}]\n"
    )
    assert load_board(path).tasks == ["depth/a"]
    path.write_text("title: Mine\nversion: 1\ncolumns: []\n")
    with pytest.raises(BenchError, match=r"length >= 1.*columns"):
        load_board(path)


def test_two_checkpoints_of_one_adapter_are_two_rows(make) -> None:
    paths = []
    for checkpoint, quality in (("small", 0.9), ("large", 0.5)):
        path = make(DEPTH, f"hf-{checkpoint}", quality + NOISE)
        folder = RunFolder(path)
        record = folder.read_record()
        record.adapter = msgspec.structs.replace(
            record.adapter, spec="hf", arguments={"checkpoint": checkpoint}
        )
        folder.write_record(record)
        paths.append(path)
    assert ranks(board(paths, DEPTH)) == {"hf(checkpoint=small)": 1, "hf(checkpoint=large)": 2}


def test_a_run_whose_samples_were_cut_is_refused(make) -> None:
    path = make(DEPTH, "a", 0.5 + NOISE)
    lines = (path / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (path / "samples.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(BenchError, match="the samples that run"):
        board([path], DEPTH)
