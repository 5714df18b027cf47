"""docs/READERS.md is what its script writes, and every reader says what a user must know."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from g2vlm_bench.data.catalogue import load_catalogue
from g2vlm_bench.plugins import Plugins

PROJECT = Path(__file__).parents[2]
READERS = sorted(path.stem for path in (PROJECT / "g2vlm_bench/data/readers").glob("[a-z]*.py"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = PROJECT / "scripts/readers_page.py"
    spec = importlib.util.spec_from_file_location("readers_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(script: ModuleType) -> None:
    written = (PROJECT / "docs/READERS.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/readers_page.py"


def test_readers_are_found_as_plug_ins(script: ModuleType) -> None:
    assert script.file_readers(Plugins()) == READERS


def test_the_page_names_every_dataset_and_reader(script: ModuleType) -> None:
    page = script.page()
    for name in load_catalogue():
        assert f"| `{name}` |" in page
    for name in READERS:
        assert f"\n## {name}\n" in page


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_its_layout_marks_splits_and_licence(name: str) -> None:
    cls = Plugins().reader(name)
    said = inspect.getdoc(cls) or ""
    body, _, options = said.partition("\nArgs:\n")
    for word in ("licence", "split"):
        assert word in body.lower(), f"{name} says nothing of its {word}"
    named = {line.split(":")[0].strip() for line in options.splitlines()}
    taken = set(inspect.signature(cls).parameters)
    assert taken <= named, f"{name} does not explain {taken - named}"


def test_real_files_that_are_named_exist(script: ModuleType, realdata: Path) -> None:
    named = {item for name in READERS for item in script.real_items(name)}
    assert named
    assert not [item for item in named if not list(realdata.glob(f"{item}*"))]
