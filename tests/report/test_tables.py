"""Every model, interval and count is in every format; what is hostile stays text."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.board import Board
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import load_module
from g2vlm_bench.report import print_board, write_report
from g2vlm_bench.report.cells import interval, number, result_cell
from g2vlm_bench.report.page import as_html
from g2vlm_bench.report.tables import as_csv, as_json, as_latex, as_markdown

boards = load_module(Path(__file__).with_name("boards.py"))
DELTA, RMSE, ACCURACY = boards.DELTA, boards.RMSE, boards.ACCURACY

HOSTILE = "a|b`<img src=x onerror=alert(1)>*_[l](http://e)\x1b[31m\n& \\ $x$ #1 {{7*7}}"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return boards.usual_board(tmp_path)


def _rows(markdown: str) -> list[list[str]]:
    rows = [row for row in markdown.splitlines() if row.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def _terminal(board: Board, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_board(board, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_format_has_every_model_interval_and_count(board: Board, tmp_path: Path) -> None:
    # first: 24 scenes of 0, 1, 0, 1, ... have mean 0.5; four answers of 1, 0, 1, 1 have 0.75.
    out = tmp_path / "report"
    files = {path.name: path.read_text() for path in write_report(board, out)}
    assert sorted(path.name for path in out.iterdir()) == sorted(files)
    files["terminal"] = _terminal(board)
    for name, text in files.items():
        for model in ("first", "second", "failing", "oracle"):
            assert model in text, (name, model)
        if name.endswith((".csv", ".json")):
            continue
        for row in board.rows:
            for cell in (c.result for c in row.cells if c.result is not None):
                assert interval(cell.low, cell.high, True) in text.replace("{[}", "[").replace(
                    "{]}", "]"
                ), (name, row.model)
        if name != "leaderboard.tex":
            assert "24 scored" in text, name
            assert "23 scored, 1 failed" in re.sub(r"\s+", " ", text), name


def test_csv_and_json_hold_the_records(board: Board) -> None:
    expected = [{k: "" if v is None else str(v) for k, v in r.items()} for r in board.records()]
    assert list(csv.DictReader(io.StringIO(as_csv(board)))) == expected
    content = json.loads(as_json(board))
    assert content["records"] == list(board.records())
    assert content["definition"]["columns"][0]["task"] == "depth/rooms"
    assert content["metrics"][0]["name"] == DELTA.name
    assert [run["identity"] for run in content["runs"]] != []
    assert {run["model"] for run in content["runs"]} == {"first", "second", "failing", "oracle"}
    assert len(content["runs"]) == 7


def test_ties_are_marked_and_references_are_apart(board: Board) -> None:
    ranked = [row for row in _rows(as_markdown(board)) if len(row) == 5 and row[0][:1].isdigit()]
    assert [(row[0], row[1].partition("<br>")[0]) for row in ranked] == [
        ("1=", "first"),
        ("1=", "second"),
        ("3", "failing"),
    ]
    assert "rank 1=, 24 scored" in ranked[0][3]
    below = as_markdown(board).partition("*Made from the truth, not ranked*")[2]
    assert below.index("| oracle |") < below.index("## Title of depth/rooms")


def test_the_best_floor_stands_below_the_ranks_and_marks_what_is_not_above(tmp_path: Path) -> None:
    board = boards.floored_board(tmp_path)
    rows = {row[1]: row for row in _rows(as_markdown(board).partition("## Title")[0])}
    # Of 24 scenes of 0.40, 0.41, ..., 0.44, 0.40, ... 5 x (0.40 + ... + 0.43) + 4 x 0.44 = 10.06
    # over 24 are 0.419; the clouds have no floor, and so has no score.
    assert rows["**best floor**"][0] == ""
    assert re.fullmatch(r"0\.419 \[0\.4\d\d, 0\.4\d\d\]<br>flat", rows["**best floor**"][3])
    assert [rows["**best floor**"][i] for i in (2, 4)] == ["none", "none"]
    assert rows["useless"][3].endswith("24 scored, not above floor")
    assert "floor" not in "".join(rows["skilled"] + rows["flat *(floor)*"][2:])
    terminal, latex = _terminal(board), as_latex(board)
    assert "°: not above floor" in terminal
    assert terminal.count("0.419° (2=)") == 1
    assert "flat (floor)" in terminal
    assert latex.count(r"$^{\circ}$") == 1
    assert r"$\circ$ marks numbers not above floor" in latex
    assert r"best floor & none & 0.419" in latex
    for text in (as_markdown(board), as_html(board, {})):
        assert "A floor is a model that does not look" in text


def test_missing_and_refused_cells_say_why(board: Board) -> None:
    ranking = _rows(as_markdown(board).partition("## Title")[0])
    rows = {row[-4].partition("<br>")[0]: row for row in ranking}
    assert rows["oracle"][-1] == "not run"
    assert rows["failing"][-1] == "none<br>affine predictions cannot be scored as strict"
    assert "refused: failing: affine predictions" in as_markdown(board)


def test_a_provisional_row_is_marked_with_its_reason(board: Board) -> None:
    assert "failing<br>provisional: data not pinned" in as_markdown(board)
    assert as_markdown(board).count("provisional:") == 1
    assert r"failing$^{\dagger}$" in as_latex(board)
    assert "* provisional: data not pinned (failing)" in _terminal(board)


def test_an_unbounded_metric_with_a_failure_is_infinite_and_says_so(board: Board) -> None:
    # The 23 scored samples are 9 m off each.
    assert "∞ (1 failed) no interval<br>23 scored, 1 failed, 9.00 over the scored" in as_markdown(
        board
    )


def test_one_scene_has_no_interval_and_the_reason_is_given(tmp_path: Path) -> None:
    lines = [boards.line(i, {DELTA.name: 0.5}, cluster="one") for i in range(3)]
    run = boards.make_run(tmp_path, "depth/rooms", "only", [DELTA], lines)
    board = boards.board_of(run, tasks={"depth/rooms": "Depth"})
    for text in (as_markdown(board), _terminal(board), as_html(board, {})):
        assert "No interval where there are fewer than two scenes." in text
    assert "0.500 no interval<br>rank 1, 3 scored" in as_markdown(board)


def test_nothing_to_score_is_not_a_number() -> None:
    lines = [boards.line(0, {}, weights={"numbers": 0.0})]
    spec = MetricSpec(
        name="m", unit="1", higher_is_better=True, best=1.0, worst=0.0, weight="numbers"
    )
    result = aggregate([spec], lines).columns["m"].result(0)
    cell = result_cell(result, spec)
    assert (cell.value, cell.interval, cell.note) == ("none", "", "no sample to score")


def test_samples_whose_truth_leaves_a_metric_undefined_are_told_of(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(DELTA, weight="edges")
    lacking = {"weights": {"edges": 0.0}, "undefined": {"edges": "there is no edge"}}
    lines = [
        boards.line(i, {spec.name: 0.5}, **({"weights": {"edges": 1.0}} if i else lacking))
        for i in range(3)
    ]
    run = boards.make_run(tmp_path, "depth/rooms", "only", [spec], lines)
    board = boards.board_of(run, tasks={"depth/rooms": "Depth"})
    said = "1 unscored (1 where there is no edge)"
    assert f"2 scored, {said}" in as_markdown(board)
    (record,) = csv.DictReader(io.StringIO(as_csv(board)))
    assert (record["n_scored"], record["n_unscored"], record["note"]) == ("2", "1", said)


def test_protocols_never_share_a_table(board: Board) -> None:
    text = as_markdown(board)
    assert "### depth/rooms, protocol median_scale" in text
    headers = [row for row in _rows(text) if row[0] == "Model" and "Samples" in row]
    assert [row[2:] for row in headers] == [
        ["delta1\u00a0↑"],
        ["rmse\u00a0↓ (m)"],
        ["accuracy\u00a0↑"],
        ["rmse\u00a0↓ (m)"],
    ]


def test_hostile_names_stay_text_in_every_format(tmp_path: Path) -> None:
    run = boards.make_run(tmp_path, "depth/rooms", HOSTILE, [DELTA], boards.scored(DELTA, 1, 0))
    board = boards.board_of(run, tasks={"depth/rooms": HOSTILE}, title=HOSTILE)
    markdown = as_markdown(board)
    assert "<img" not in markdown
    assert "\x1b" not in markdown
    assert {len(row) for row in _rows(markdown)[:3]} == {4}
    shown = r"a\|b\`&lt;img src=x onerror=alert(1)&gt;\*\_\[l\](http://e) \[31m &amp; \\ \$x"
    assert markdown.startswith(f"# {shown}")
    # The title, a heading and a row of the ranking, the column's legend, a row of the metrics.
    assert markdown.count(shown) == 5
    assert [r["model"] for r in csv.DictReader(io.StringIO(as_csv(board)))] == [HOSTILE]
    assert json.loads(as_json(board))["records"][0]["model"] == HOSTILE
    latex = as_latex(board)
    assert r"\textbackslash{} \$x\$ \#1 \{\{7*7\}\}" in latex
    assert all(row.endswith(r"\\") for row in latex.splitlines() if " & " in row)
    assert "\x1b" not in _terminal(board)
    assert "{{7*7}}" in _terminal(board).replace("\n", "")


def test_the_terminal_reads_no_markup(tmp_path: Path) -> None:
    name = "[red]x[/b]"
    run = boards.make_run(tmp_path, "depth/rooms", name, [DELTA], boards.scored(DELTA, 1, 0))
    shown = _terminal(boards.board_of(run, tasks={"depth/rooms": name}, title=name))
    assert shown.count(name) == 4


def test_the_terminal_table_fits_100_columns(board: Board) -> None:
    shown = _terminal(board)
    assert max(map(len, shown.splitlines())) <= 100
    assert shown.index("failing") < shown.index(" ref ") < shown.index("oracle")
    assert "ref: made from the truth, not ranked" in shown
    assert f"Depth\u00a0↑: {DELTA.name}, depth/rooms" in shown
    assert f"QA\u00a0↑: {ACCURACY.name}, spatial_qa/rooms; 12 scored" in shown


def test_a_wide_board_is_printed_in_parts(tmp_path: Path) -> None:
    tasks = {f"depth/rooms{i}": f"Column number {i}" for i in range(8)}
    lines = [boards.line(i, {DELTA.name: 0.5}, cluster="one") for i in range(3)]
    runs = [boards.make_run(tmp_path, task, "a_model", [DELTA], lines) for task in tasks]
    shown = _terminal(boards.board_of(*runs, tasks=tasks))
    assert max(map(len, shown.splitlines())) <= 100
    for title in tasks.values():
        assert f"{title}\u00a0↑" in shown.partition("Score\u00a0↑:")[0]
    assert shown.count("no interval") == 9
    assert sum(row.lstrip().startswith("1 ") for row in shown.splitlines()) == 3


def test_numbers_keep_their_digits() -> None:
    assert number(-0.0001, bounded=True) == "0.000"
    assert number(-0.25, bounded=True) == "-0.250"
    assert number(999.6) == "1000"
    assert number(99.96) == "100"
    assert interval(None, None, bounded=False) == "no interval"


def test_rmse_is_named_with_its_unit(board: Board) -> None:
    assert "rmse\u00a0↓ (m)" in as_markdown(board)
    assert RMSE.unit == "m"
