"""Every way an export can be broken is one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from g2vlm_bench.data.export import Configuration, Manifest, Part, export, write_manifest
from g2vlm_bench.data.readers.world_export import WorldExport
from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.reader import WorldReader


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    reader = WorldReader(n=3, height=16, width=16)
    export(reader, "test", root / "few")
    part = Part(folder="few", rows=3, content_hash=reader.content_hash("test"))
    one = Configuration(format="world", options={"n": 3}, revision="", splits={"test": part})
    write_manifest(root, Manifest(configurations={"few": one}))
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written, tmp_path / "export"))


def change(root: Path, **keys: Any) -> None:
    path = root / "export.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_splits_are_those_that_were_exported(root: Path) -> None:
    reader = WorldExport(root, configuration="few")
    assert reader.splits == ("test",)
    assert len(reader.samples("test")) == 3
    generated = WorldReader(n=3, height=16, width=16)
    assert reader.content_hash("test") == generated.content_hash("test")


def test_no_folder(root: Path) -> None:
    with pytest.raises(BenchError, match="expected the folder of an export, got no such folder"):
        WorldExport(root / "elsewhere", configuration="few")


def test_no_list(root: Path) -> None:
    (root / "export.json").unlink()
    with pytest.raises(BenchError, match=r"export.json: expected an export's list, got No such"):
        WorldExport(root, configuration="few")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"version": "one"}', b"\xff"])
def test_a_damaged_list(root: Path, content: bytes) -> None:
    (root / "export.json").write_bytes(content)
    with pytest.raises(BenchError, match=r"export.json: expected an export's list"):
        WorldExport(root, configuration="few")


def test_another_layout(root: Path) -> None:
    change(root, version=2, more="of the future")
    with pytest.raises(BenchError, match=r"expected layout 1, got 2. Export it again"):
        WorldExport(root, configuration="few")


@pytest.mark.parametrize("folder", ["../few", "/etc", "few/..", ""])
def test_a_list_that_points_elsewhere(root: Path, folder: str) -> None:
    listed = json.loads((root / "export.json").read_text())["configurations"]
    listed["few"]["splits"]["test"]["folder"] = folder
    change(root, configurations=listed)
    with pytest.raises(BenchError, match="expected names of a folder and a file"):
        WorldExport(root, configuration="few")


def test_an_unknown_configuration(root: Path) -> None:
    with pytest.raises(BenchError, match=r"configuration 'fwe'.*Did you mean 'few'"):
        WorldExport(root, configuration="fwe")


def test_a_lost_file(root: Path) -> None:
    (root / "few/test.parquet").unlink()
    with pytest.raises(BenchError, match=r"test.parquet: expected a Parquet file, got no file"):
        WorldExport(root, configuration="few").samples("test")


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.99])
def test_a_truncated_file(root: Path, kept: float) -> None:
    path = root / "few/test.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(BenchError, match=r"test.parquet: expected a whole Parquet file") as caught:
        WorldExport(root, configuration="few").samples("test")
    assert "\n" not in str(caught.value)


def test_one_bit_that_changed_is_found_before_anything_is_scored(root: Path) -> None:
    path = root / "few/test.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"expected a file as it was written, got a changed file"):
        WorldExport(root, configuration="few").content_hash("test")


def test_pages_that_cannot_be_read(root: Path) -> None:
    path = root / "few/test.parquet"
    content = bytearray(path.read_bytes())
    content[4:-5000] = bytes(len(content) - 5004)
    path.write_bytes(content)
    with pytest.raises(BenchError, match="expected a whole Parquet file"):
        WorldExport(root, configuration="few").samples("test")


def test_rows_that_are_missing(root: Path) -> None:
    import pyarrow.parquet as pq

    path = root / "few/test.parquet"
    pq.write_table(pq.read_table(path).slice(0, 2), path)
    with pytest.raises(BenchError, match="expected 3 rows, got 2"):
        WorldExport(root, configuration="few").samples("test")


def test_columns_that_are_missing(root: Path) -> None:
    import pyarrow.parquet as pq

    path = root / "few/test.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["cluster"]), path)
    with pytest.raises(BenchError, match="expected columns id and cluster"):
        WorldExport(root, configuration="few").samples("test")
