"""Published numbers: their own arithmetic holds or what does not is marked; never ranked."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from g2vlm_bench.board import load_board
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, shipped
from g2vlm_bench.published import PublishedNumber, beside, load_published
from g2vlm_bench.ranking import build
from g2vlm_bench.report import write_report

FOLDER = shipped("leaderboards") / "published"
TABLES = sorted(path.stem for path in FOLDER.glob("*.csv"))
LOW = [
    f"{w}_prediction_{k}{m}"
    for w in ("depth", "distance")
    for k in ("oc", "oo")
    for m in ("", "_mv")
]
MEDIUM = ["position_matching", "camera_motion_infer", "view_change_infer"]


def table(name: str) -> dict[str, dict[str, PublishedNumber]]:
    """By model and column."""
    found: dict[str, dict[str, PublishedNumber]] = {}
    for one in load_published(FOLDER / f"{name}.csv"):
        found.setdefault(one.model, {})[one.column] = one
    return found


def test_every_table_is_here() -> None:
    tables = ("g2vlm_table1a", "g2vlm_table1b", "g2vlm_table2", "g2vlm_table3")
    assert set(TABLES) == {"easi_verification", *tables}


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_source_a_setting_and_a_task_that_there_is(name: str) -> None:
    tasks = set(Plugins().names("task"))
    for one in load_published(FOLDER / f"{name}.csv"):
        assert one.source
        assert one.setting
        assert not one.task or one.task in tasks
        assert one.unit == "m" or 0 <= one.scaled <= 1


@pytest.mark.parametrize("name", ["g2vlm_table1b", "g2vlm_table2"])
def test_overalls_are_the_means_of_their_tasks_or_are_marked(name: str) -> None:
    """SPAR-Bench: 8 tasks are low, 3 medium, 9 high. OmniSpatial: 300 and 561 questions."""
    for model, row in table(name).items():
        if "spar.avg" in row:
            low, medium, high = (row[f"spar.{part}"].value for part in ("low", "medium", "high"))
            fits = abs((8 * low + 3 * medium + 9 * high) / 20 - row["spar.avg"].value) < 0.0151
            assert fits == ("of the row is" not in row["spar.avg"].caveat), model
        if "omnispatial.avg" in row:
            parts = row["omnispatial.interaction"].value, row["omnispatial.perspective"].value
            mean = (300 * parts[0] + 561 * parts[1]) / 861
            fits = abs(mean - row["omnispatial.avg"].value) < 0.0151
            assert fits == ("of the row is" not in row["omnispatial.avg"].caveat), model


def test_the_misprints_that_were_found_are_marked() -> None:
    """GPT-4o's low, 29.25, should be 30.88; SR's medium values average 36.17, printed 36.27."""
    one, three = table("g2vlm_table1b"), table("g2vlm_table3")
    low = sum(three["GPT-4o"][f"spar.{name}"].value for name in LOW) / 8
    assert low == pytest.approx(30.875)
    assert one["GPT-4o"]["spar.low"].value == 29.25
    assert "30.88" in one["GPT-4o"]["spar.low"].caveat
    medium = sum(three["G2VLM-SR-2B"][f"spar.{name}"].value for name in MEDIUM) / 3
    assert medium == pytest.approx(36.17, abs=0.005)
    assert one["G2VLM-SR-2B"]["spar.medium"].value == 36.27
    assert "36.17" in one["G2VLM-SR-2B"]["spar.medium"].caveat


def test_g2vlm_s_mindcube_rows_fit_1200_questions_in_the_printed_order() -> None:
    """282 + 53 + 131 = 466 and 319 + 63 + 198 = 580 of 600, 200 and 400; marked, not corrected."""
    one = table("g2vlm_table1b")
    for model, right in (("G2VLM-2B", (282, 53, 131)), ("G2VLM-SR-2B", (319, 63, 198))):
        row = one[model]
        for part, n, of in zip(
            ("rotation", "among", "around"), right, (600, 200, 400), strict=True
        ):
            assert row[f"mindcube.{part}"].value == pytest.approx(100 * n / of, abs=0.005)
        assert row["mindcube.avg"].value == pytest.approx(100 * sum(right) / 1200, abs=0.005)
        assert "swapped" in row["mindcube.rotation"].caveat
        assert "1,200" in row["mindcube.avg"].caveat


def test_g2vlm_s_omnispatial_numbers_are_whole_questions() -> None:
    """128, 252, 380 and 158, 276, 434 and 147, 231, 378 of 300, 561, 861."""
    one = table("g2vlm_table1b")
    right = {
        "G2VLM-2B": (128, 252, 380),
        "G2VLM-SR-2B": (158, 276, 434),
        "Qwen2-VL-2B (base)": (147, 231, 378),
    }
    for model, counts in right.items():
        for part, n, of in zip(
            ("interaction", "perspective", "avg"), counts, (300, 561, 861), strict=True
        ):
            assert one[model][f"omnispatial.{part}"].value == pytest.approx(100 * n / of, abs=0.006)


def test_ost_s_overall_of_sr_is_no_mean_of_its_parts() -> None:
    row = table("g2vlm_table1b")["G2VLM-SR-2B"]
    parts = [row[f"ost.{name}"].value for name in ("state", "info", "agent_object")]
    assert sum(parts) / 3 == pytest.approx(35.90, abs=0.005)
    assert (2 * parts[0] + 3 * parts[1] + 3 * parts[2]) / 8 == pytest.approx(36.54, abs=0.01)
    assert row["ost.avg"].value == 37.02
    assert "36.54" in row["ost.avg"].caveat


def test_table_3_s_means_are_table_1b_s_and_2_s() -> None:
    one, two, three = (table(f"g2vlm_table{name}") for name in ("1b", "2", "3"))
    row = three["G2VLM-SR-2B"]
    assert sum(row[f"spar.{name}"].value for name in LOW) / 8 == pytest.approx(59.99, abs=0.005)
    high = [name for name in row if name.removeprefix("spar.") not in (*LOW, *MEDIUM)]
    assert len(high) == 9
    assert sum(row[name].value for name in high) / 9 == pytest.approx(56.51, abs=0.005)
    for part in ("avg", "low", "medium", "high"):
        ours = two["G2VLM-SR-2B, attention global"][f"spar.{part}"].value
        assert ours == one["G2VLM-SR-2B"][f"spar.{part}"].value


def test_medium_questions_are_below_chance() -> None:
    one, three = table("g2vlm_table1b"), table("g2vlm_table3")
    chance = three["Chance, by frequency"]["spar.medium"].value
    assert chance == 38.25
    assert sum(
        three["Chance, by frequency"][f"spar.{n}"].value for n in MEDIUM
    ) / 3 == pytest.approx(chance, abs=0.01)
    assert one["G2VLM-SR-2B"]["spar.medium"].value < chance


def test_easi_s_printed_differences_that_do_not_fit_are_marked() -> None:
    marked = [
        one for one in load_published(FOLDER / "easi_verification.csv") if "printed" in one.caveat
    ]
    assert [(one.model, one.column.split("_")[0]) for one in marked] == [
        ("Qwen2.5-VL-7B-Instruct", "SiteBenchImage + SiteBenchVideo"),
        ("Qwen2.5-VL-7B-Instruct", "ERIQ"),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("m,c,x,%,,s,,src", "line 2: got Expected `float`"),
        ("m,c,1,mm,,s,,src", r"a unit \(%, 1, m\)"),
        ("m,c,1,%,,s,,", "expected a model, a source"),
        ("m,c,nan,%,,s,,src", "a finite value .* got 'm', 'src', nan"),
        ("m,c,1", "line 2"),
    ],
)
def test_broken_tables(tmp_path: Path, line: str, says: str) -> None:
    head = "model,column,value,unit,task,setting,caveat,source"
    (tmp_path / "t.csv").write_text(f"{head}\n{line}\n")
    with pytest.raises(BenchError, match=says):
        load_published(tmp_path / "t.csv")
    with pytest.raises(BenchError, match="expected a table of published numbers"):
        load_published(tmp_path / "no.csv")


def write_board(folder: Path, published: str = "mine") -> Path:
    (folder / "published").mkdir()
    (folder / "published/mine.csv").write_text(
        "model,column,value,unit,task,setting,caveat,source\n"
        'Theirs,echo.accuracy,99.5,%,toy/echo,"all, of them",a misprint,"Them, table 1"\n'
        'Theirs,echo.accuracy,50,%,toy/echo,half,,"Them, table 2"\n'
    )
    (folder / "toys.yaml").write_text(
        "title: Toys\nversion: 1\nmodels: []\n"
        f"published: [{published}]\n"
        "columns:\n  - {task: toy/echo, title: Echo, published: [echo.accuracy]}\n"
    )
    return folder / "toys.yaml"


def test_published_numbers_stand_beside_measured_ones_and_are_not_ranked(
    toy_run, tmp_path: Path
) -> None:
    folder, _ = toy_run()
    board = build(load_board(write_board(tmp_path)), [folder.path])
    assert [row.model for row in board.rows] == ["pixels"]
    assert [row.rank for row in board.rows] == [1]
    records = list(board.records())
    assert [(r["kind"], r["model"], r["rank"], r["value"]) for r in records[1:]] == [
        ("published", "Theirs", None, 0.995),
        ("published", "Theirs", None, 0.5),
    ]
    assert {tuple(record) for record in records} == {tuple(records[0])}
    write_report(board, tmp_path / "out")
    md = (tmp_path / "out/leaderboard.md").read_text()
    ranking, _, published = md.partition("## Published elsewhere")
    assert "Theirs" not in ranking
    assert "| Theirs | 0.995 (1, 2); 0.500 (3) |" in published
    assert "(1) all, of them" in published
    assert "(2) a misprint" in published
    assert "not measured here, not ranked" in published
    assert "Sources: Them, table 1; Them, table 2." in published
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/leaderboard.csv").read_text())))
    assert [row["kind"] for row in rows] == ["measured", "published", "published"]
    assert rows[1]["caveat"] == "a misprint"
    html = (tmp_path / "out/index.html").read_text()
    assert html.index("Published elsewhere") > html.index("Models are ranked by their score")
    assert "a misprint" in html
    assert (
        "Published elsewhere, not measured here" in (tmp_path / "out/leaderboard.tex").read_text()
    )
    content = json.loads((tmp_path / "out/leaderboard.json").read_text())
    assert content["definition"]["published"][0]["source"] == "Them, table 1"


def test_a_board_of_one_s_own_takes_shipped_tables(tmp_path: Path) -> None:
    path = write_board(tmp_path)
    path.write_text(
        path.read_text().replace("[mine]", "[easi_verification]").replace("echo.accuracy", "BLINK")
    )
    assert beside(load_board(path).published, "BLINK")
    (tmp_path / "published/easi_verification.csv").write_text("model\n")
    with pytest.raises(BenchError):  # its own table of that name counts
        load_board(path)


def test_a_board_without_published_numbers_says_nothing_of_them(toy_run, tmp_path: Path) -> None:
    path = write_board(tmp_path)
    path.write_text("title: T\nversion: 1\ncolumns: [{task: toy/echo}]\n")
    board = build(load_board(path), [toy_run()[0].path])
    write_report(board, tmp_path / "out")
    for name in ("leaderboard.md", "leaderboard.tex", "index.html"):
        assert "Published elsewhere" not in (tmp_path / f"out/{name}").read_text()


def test_tables_and_columns_that_there_are_not(tmp_path: Path) -> None:
    path = write_board(tmp_path, published="yours")
    with pytest.raises(BenchError, match="expected a table of published numbers"):
        load_board(path)
    path.write_text(path.read_text().replace("yours", "mine").replace("[echo.", "[ecco."))
    with pytest.raises(BenchError, match=r"got 'ecco.accuracy'. Did you mean 'echo.accuracy'"):
        load_board(path)
    path.write_text(path.read_text().replace("[mine]", "[../../mine]"))
    with pytest.raises(BenchError, match="expected a path within the folder"):
        load_board(path)


@pytest.mark.parametrize("name", Plugins().names("leaderboard"))
def test_every_shipped_board_is_loaded_and_lays_its_tables_beside(name: str) -> None:
    board = load_board(Plugins().path("leaderboard", name))
    tasks = set(Plugins().names("task"))
    assert set(board.tasks) <= tasks
    for column in board.columns:
        assert all(beside(board.published, published) for published in column.published)
