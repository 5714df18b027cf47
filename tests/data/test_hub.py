"""The Hub, as far as it can be tested without it: what is asked of it, and what it may answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from g2vlm_bench.data import hub
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import HUB, Task

standins = load_module(Path(__file__).with_name("standins.py"))

SHA = "0123456789abcdef0123456789abcdef01234567"


def test_datasets_finds_the_files_of_a_split_in_a_folder(tmp_path: Path) -> None:
    standins.cv_bench(tmp_path)
    assert hub.split_files(str(tmp_path), "2D", "test") == ["test_2d.parquet"]
    assert hub.split_files(str(tmp_path), "3D", "test") == ["test_3d.parquet"]
    with pytest.raises(BenchError, match="configuration '2D': expected a split 'val', got test"):
        hub.split_files(str(tmp_path), "2D", "val")
    with pytest.raises(BenchError, match="expected to reach it, got ValueError"):
        hub.split_files(str(tmp_path), "4D", "test")


def test_what_the_hub_answers_is_named_below_its_folder(monkeypatch) -> None:
    import datasets

    files = {"test": [f"hf://datasets/nyu/VSI@{SHA}/full/test-0.parquet"]}
    builder = SimpleNamespace(config=SimpleNamespace(name="full", data_files=files))
    asked: dict[str, object] = {}

    def load(name, config, **options):
        asked.update(name=name, config=config, **options)
        return builder

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    assert hub.split_files("nyu/VSI", "full", "test", SHA) == ["full/test-0.parquet"]
    assert asked == {"name": "nyu/VSI", "config": "full", "revision": SHA}


def test_a_hub_that_is_not_there_is_one_line(monkeypatch) -> None:
    import datasets
    import huggingface_hub

    def away(*given, **options):
        raise ConnectionError("no network\nand more")

    monkeypatch.setattr(datasets, "load_dataset_builder", away)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    for call in (lambda: hub.split_files("a/b", "", "test"), lambda: hub.fetch_copy("a/b", "", [])):
        with pytest.raises(BenchError) as caught:
            call()
        assert str(caught.value).startswith(
            "dataset 'a/b': expected to reach it, got ConnectionError: no network. Copy it by hand"
        )


def test_a_task_from_the_hub(tmp_path: Path, monkeypatch) -> None:
    """The pinned revision is what is asked for; the Hub's cache tells which one came."""
    import huggingface_hub

    folder = tmp_path / "datasets--vsr/snapshots" / SHA
    standins.vsr(folder)
    asked: dict[str, object] = {}

    def download(name, **options):
        asked.update(name=name, **options)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    plugins = Plugins()
    definition = plugins.task("spatial_qa/vsr")
    pinned = msgspec.structs.replace(definition, data=definition.data | {"rows": 4})
    with pytest.raises(BenchError, match=f"data revision: expected 148b3777.*, got {SHA}"):
        Task.load(plugins, pinned, HUB)
    right = msgspec.structs.replace(pinned, data=pinned.data | {"revision": SHA})
    task = Task.load(plugins, right, HUB)
    assert asked["name"] == "cambridgeltl/vsr_zeroshot"
    assert asked["revision"] == SHA
    assert asked["allow_patterns"] == ["test.jsonl"]
    assert task.dataset.fingerprint.revision == SHA
    assert task.dataset.samples[0].load_inputs().images
    assert task.dataset.reader.keeps_record is None


def test_revisions_of_copies(tmp_path: Path) -> None:
    assert hub.revision_of(tmp_path) == ""
    note = tmp_path / ".cache/huggingface/download/data/a.parquet.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{SHA}\netag\n1.0\n")
    assert hub.revision_of(tmp_path) == SHA
    note.write_text("nonsense\n")
    assert hub.revision_of(tmp_path) == ""
