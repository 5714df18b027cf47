"""Patterns find exactly what they say, and the hash sees every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm_bench.data.layout import fill, find, hash_content
from g2vlm_bench.errors import BenchError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("a/rgb/1.png", "a/rgb/2.png", "b/rgb/1.png", "b/rgb/1.png.txt", "deep/x/y/3.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_placeholders_are_remembered(tree: Path) -> None:
    found = find(tree, "{scene}/rgb/{id}.png")
    assert [(dict(m.names), m.id) for m in found] == [
        ({"scene": "a", "id": "1"}, "a/1"),
        ({"scene": "a", "id": "2"}, "a/2"),
        ({"scene": "b", "id": "1"}, "b/1"),
    ]
    assert found[0].path == tree / "a/rgb/1.png"


def test_the_id_of_a_pattern_without_placeholders_is_the_stem(tree: Path) -> None:
    assert [m.id for m in find(tree, "a/rgb/2.png")] == ["2"]


def test_stars(tree: Path) -> None:
    assert [m.id for m in find(tree, "*/rgb/{id}.png")] == ["1", "2", "1"]
    assert [m.id for m in find(tree, "**/{id}.jpg")] == ["3"]


def test_the_same_placeholder_is_the_same_text(tmp_path: Path) -> None:
    for name in ("1_1.png", "1_2.png"):
        (tmp_path / name).write_text("")
    assert [m.path.name for m in find(tmp_path, "{id}_{id}.png")] == ["1_1.png"]


def test_dots_and_brackets_are_no_wildcards(tmp_path: Path) -> None:
    (tmp_path / "1xpng").write_text("")
    with pytest.raises(BenchError, match="got none"):
        find(tmp_path, "{id}.png")


def test_nothing_found_and_bad_patterns(tree: Path) -> None:
    for pattern in ("{id}.bmp", "/etc/{id}", ""):
        with pytest.raises(BenchError, match="expected"):
            find(tree, pattern)


def test_links_out_of_the_root_are_refused(tree: Path) -> None:
    outside = tree.parent / "secret.png"
    outside.write_text("")
    (tree / "a/rgb/3.png").symlink_to(outside)
    with pytest.raises(BenchError, match="within the folder"):
        find(tree, "a/rgb/{id}.png")


def test_fill_names_the_nearest_placeholder() -> None:
    assert fill("{a}/{b}-{a}", {"a": 1, "b": "x"}, "here") == "1/x-1"
    with pytest.raises(BenchError, match="Did you mean 'scene'"):
        fill("{scen}", {"scene": "a"}, "here")


def test_fill_reads_no_attributes() -> None:
    assert fill("{a.__class__}", {"a": 1}, "here") == "{a.__class__}"


def test_hash_sees_content_names_and_missing_files(tree: Path) -> None:
    files = [tree / "a/rgb/1.png", tree / "a/rgb/2.png"]
    before = hash_content(tree, files)
    assert before == hash_content(tree, reversed(files)) == hash_content(tree, files * 2)
    assert before != hash_content(tree, files[:1])
    files[1].write_text("other")
    changed = hash_content(tree, files)
    files[1].unlink()
    assert len({before, changed, hash_content(tree, files)}) == 3
