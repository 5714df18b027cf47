"""Rows that show one picture ask about one scene; a table is read for that once."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from g2vlm_bench.data.shared_pictures import PICTURES_FILE, name_pictures
from g2vlm_bench.data.tables import open_table
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Task

PINS = ("revision", "rows", "content_hash")
files = load_module(Path(__file__).with_name("small_files.py"))
standins = load_module(Path(__file__).with_name("standins.py"))
encoded = files.encoded


def names(folder: Path, rows: list[dict], column: str = "image") -> list[str]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name_pictures(folder, open_table(path, {column}), column)


def test_one_picture_has_one_name(tmp_path: Path) -> None:
    shades = [
        encoded(0),
        encoded(9),
        encoded(0),
        [encoded(0), encoded(9)],
        json.dumps([encoded(9)]),
    ]
    found = names(tmp_path, [{"image": shade} for shade in shades])
    assert found == [found[0], found[1], found[0], found[0], found[1]]
    assert found[0] != found[1]


def test_what_is_no_picture_has_no_name(tmp_path: Path) -> None:
    found = names(
        tmp_path, [{"image": ""}, {"image": None}, {"image": "no base64!"}, {"image": []}]
    )
    assert found == [""] * 4


def test_a_table_is_read_once_and_again_when_it_changed(tmp_path: Path, monkeypatch) -> None:
    first = names(tmp_path, [{"image": encoded(0)}])
    kept = json.loads((tmp_path / PICTURES_FILE).read_text())
    assert list(kept.values()) == [first]
    table = open_table(tmp_path / "rows.jsonl", {"image"})
    monkeypatch.setattr(type(table), "cell", lambda *_: pytest.fail("read again"))
    assert name_pictures(tmp_path, table, "image") == first
    monkeypatch.undo()
    assert names(tmp_path, [{"image": encoded(1)}]) != first
    (tmp_path / PICTURES_FILE).write_text("damaged")
    assert names(tmp_path, [{"image": encoded(0)}]) == first


def test_questions_about_one_embedded_picture_are_resampled_together(tmp_path: Path) -> None:
    folder = tmp_path / "sat"
    folder.mkdir()
    standins.sat(folder)
    definition = Plugins().task("spatial_qa/sat")
    data = {key: value for key, value in definition.data.items() if key not in PINS}
    unpinned = msgspec.structs.replace(definition, data=data)
    clusters = [one.cluster for one in Task.load(Plugins(), unpinned, tmp_path).dataset.samples]
    assert all(cluster.startswith("picture-") for cluster in clusters)
