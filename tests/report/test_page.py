"""The page: structure, escaping, nothing from outside, the same bytes from the same runs."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from g2vlm_bench.board import Board
from g2vlm_bench.plugins import load_module
from g2vlm_bench.ranking import build
from g2vlm_bench.report import write_report
from g2vlm_bench.report.page import as_html

boards = load_module(Path(__file__).with_name("boards.py"))
DELTA, ACCURACY = boards.DELTA, boards.ACCURACY

HOSTILE = "\"'><script>alert(1)</script><img src=http://evil.example/x> {{ 7*7 }}"
VOID = {"meta", "img", "wbr"}


class _Page(HTMLParser):
    """Collects tags, and checks that what is opened is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return boards.usual_board(tmp_path)


def test_the_page_is_well_formed_and_accessible(board: Board) -> None:
    page = _Page(as_html(board, {}))
    counts = Counter(tag for tag, _ in page.tags)
    assert counts["caption"] == counts["table"] > 0
    assert all(attributes.get("scope") for attributes in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]
    assert counts["h1"] == 1
    assert counts["img"] == 0
    anchors = {a["id"] for _, a in page.tags if "id" in a}
    assert {str(a["href"]).lstrip("#") for a in page.all("a")} <= anchors


def test_the_page_asks_for_nothing_from_outside(board: Board) -> None:
    html = as_html(board, {})
    page = _Page(html)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    assert page.all("link") == page.all("script") == []
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_a_long_metric_name_may_break_where_its_parts_meet(board: Board) -> None:
    html = as_html(board, {})
    assert "delta1@<wbr>median_scale, depth/<wbr>rooms" in html
    assert "&lt;wbr" not in html


def test_a_plot_line_lies_where_its_number_is(board: Board) -> None:
    html = as_html(board, {})
    # first on Depth: 0.5 on an axis from 0 to 1; QA: 0.75 on one from chance, 0.25, to 1, unless an
    # interval reaches below it.
    depth = html.split("<figcaption>Depth")[1].split("</figure>")[0]
    assert 'class="dot" style="left:50.0%"' in depth
    assert 'class="dot" style="left:100.0%"' in depth
    qa = html.split("<figcaption>QA")[1].split("</figure>")[0]
    assert "chance dashed" in qa
    assert qa.count('class="text">not run') == 1
    assert qa.count('class="text">none') == 1
    for left in map(float, re.findall(r"left:(-?[\d.]+)%", html)):
        assert 0 <= left <= 100


def test_a_plot_shows_the_best_floor_and_a_cell_that_it_is_not_above(tmp_path: Path) -> None:
    html = as_html(boards.floored_board(tmp_path), {})
    depth = html.split("<figcaption>Depth")[1].split("</figure>")[0]
    # 10.06 / 24 on an axis from 0 to 1, once a model.
    assert depth.count('class="floor" style="left:41.92%"') == 3
    assert "best floor solid" in depth
    assert 'class="floor"' not in html.split("<figcaption>Cloud")[1].split("</figure>")[0]
    page = _Page(html)
    assert page.text.count("24 scored, not above floor") == 1
    assert html.count('class="value measured floored"') == 1
    assert {"class": "summary"} in page.all("tr")


def test_the_page_says_what_was_run_and_where(board: Board) -> None:
    text = _Page(as_html(board, {})).text
    for said in (
        "test, version 3: 7 runs of 4 models, at 0123456789ab",
        "sha256:22",
        "share of pixels < 1.25",
        "Environment of 7 runs",
        "numpy 2.4.0",
        "provisional: data not pinned",
        "failing: affine predictions cannot be scored as strict",
        "Made from the truth, not ranked",
    ):
        assert said in text, said


def test_categories_and_parse_statuses_have_tables(tmp_path: Path) -> None:
    lines = [
        boards.line(
            i, {ACCURACY.name: i % 2}, tags={"kind": kind}, details={"parse_status": status}
        )
        for i, (kind, status) in enumerate([("left", "parsed"), ("right", "empty")] * 2)
    ]
    run = boards.make_run(tmp_path, "spatial_qa/rooms", "m", [ACCURACY], lines)
    text = _Page(as_html(boards.board_of(run, tasks={"spatial_qa/rooms": "QA"}), {})).text
    assert f"spatial_qa/rooms: {ACCURACY.name} ↑ by kind" in text
    assert "how the answers could be read" in text
    assert "empty" in text


def test_hostile_text_is_never_markup(tmp_path: Path) -> None:
    tagged = [boards.line(i, {DELTA.name: 1.0}, tags={HOSTILE: f"{HOSTILE}{i}"}) for i in range(2)]
    run = boards.make_run(
        tmp_path, "depth/rooms", HOSTILE, [DELTA], tagged, refused={"x@y": HOSTILE}
    )
    board = boards.board_of(run, tasks={"depth/rooms": HOSTILE}, title=HOSTILE)
    html = as_html(board, {})
    page = _Page(html)
    assert page.all("script") == page.all("img") == []
    assert HOSTILE in page.text
    assert "49" not in page.text.split("sha256")[0]


def test_the_same_runs_give_the_same_bytes_wherever_they_stand(
    board: Board, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    for path, _ in board.runs:
        shutil.copytree(path, moved / path.name)
    again = build(board.definition, [moved / path.name for path, _ in board.runs])
    first = {path.name: path.read_bytes() for path in write_report(board, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in write_report(again, tmp_path / "b")}
    assert first == second
    assert len(first) == 5
