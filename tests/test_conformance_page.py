"""The page of conformance: rows that count their cases, and a row for each published protocol."""

from __future__ import annotations

import importlib
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.published import published_labels

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "docs" / "CONFORMANCE.md"


@pytest.fixture(scope="module")
def page() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "scripts")
        return importlib.import_module("conformance_page")


def cells(text: str, section: str) -> list[list[str]]:
    table = text.partition(f"<!-- {section}: rows -->\n")[2].partition("<!--")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]
    ]


def test_a_row_counts_random_and_real_cases_and_says_where_it_is_worst(page) -> None:
    row = page.Row("moge.scale", "MoGe abc", "single precision")
    row.add((1e-7, "abs_rel"), "seed 0", False)
    row.add((3e-7, "delta1"), "seed 1", False)
    row.add((2e-7, "abs_rel"), "nyu 00000 nano", True)
    row.spreads += [1e-8, 4e-8]
    expected = ["moge.scale", "MoGe abc", "2", "3.0e-07", "1", "2.0e-07", "delta1, seed 1"]
    found = [cell.strip() for cell in row.line.split("|")[1:-1]]
    assert found == [*expected, "4.0e-08", "", "", "single precision"]
    assert len(found) == len(page.HEAD.splitlines()[0].split("|")) - 2


def test_a_difference_is_relative_to_the_peer_and_an_unequal_zero_is_no_match(page) -> None:
    assert page.largest_gap({"a": 2.2, "b": 1.0}, {"a": 2.0, "b": 1.0})[1] == "a"
    assert page.largest_gap({"a": 2.2}, {"a": 2.0})[0] == pytest.approx(0.1)
    assert page.largest_gap({"a": 0.1}, {"a": 0.0})[0] > 1
    assert page.largest_gap({"a": 0.3}, {"a": 0.1}, least=1)[0] == pytest.approx(0.2)


def test_rows_take_the_place_of_their_own_and_leave_the_others(page, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- depth: rows -->\n<!-- depth: end -->\nafter\n")

    def written(profile: str, peer: str, gap: float) -> None:
        row = page.Row(profile, peer)
        row.add((gap, "abs_rel"), "seed 0", False)
        page.write("depth", [row], path)

    written("moge.scale", "MoGe abc", 1e-7)
    written("moge.affine", "MoGe abc", 2e-7)
    written("moge.scale", "MoGe def", 3e-7)
    found = [row[:4] for row in cells(path.read_text(), "depth")]
    assert found == [
        ["moge.scale", "MoGe def", "1", "3.0e-07"],
        ["moge.affine", "MoGe abc", "1", "2.0e-07"],
    ]
    assert path.read_text().startswith("before\n")
    assert path.read_text().endswith("<!-- depth: end -->\nafter\n")
    with pytest.raises(ValueError, match="expected a table"):
        page.write("clouds", [], path)


def test_a_new_row_comes_after_the_others_of_its_profile(page, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- depth: rows -->\n<!-- depth: end -->\n")
    for profile in ("da3 (parts)", "pi3.mono", "da3.dtu", "pi3", "da"):
        row = page.Row(profile, "peer abc")
        row.add((1e-7, "abs_rel"), "seed 0", False)
        page.write("depth", [row], path)
    found = [row[0] for row in cells(path.read_text(), "depth")]
    assert found == ["da3 (parts)", "da3.dtu", "pi3.mono", "pi3", "da"]


@pytest.mark.parametrize(
    ("section", "family"),
    [("depth", "depth"), ("point maps", "point_map"), ("poses", "camera_pose")],
)
def test_each_published_protocol_has_a_row_with_random_and_real_cases(section, family) -> None:
    rows = {row[0].partition(" ")[0]: row for row in cells(PAGE.read_text(), section)}
    for label in published_labels(family):
        random, real = int(rows[label][2]), int(rows[label][4])
        assert random > 0, label
        assert real > 0, label


@pytest.mark.parametrize("section", ["depth", "point maps", "clouds", "poses"])
def test_rows_of_one_profile_stand_together(section) -> None:
    labels = [row[0] for row in cells(PAGE.read_text(), section)]
    profiles = [label.partition(" ")[0].partition(".")[0] for label in labels]
    assert len([*groupby(profiles)]) == len(set(profiles))
