"""The list of published benchmarks: on the page, in `data list`, and fetched where it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from g2vlm_bench import benchmarks
from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError, UsageError
from g2vlm_bench.plugins import Plugins, load_module

PROJECT = Path(__file__).parent.parent
PLUGINS = Plugins()


def test_the_page_is_current() -> None:
    script = load_module(PROJECT / "scripts/benchmarks_page.py")
    written = (PROJECT / "docs/BENCHMARKS.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/benchmarks_page.py"


def test_the_page_names_every_benchmark_and_what_it_awaits() -> None:
    page = (PROJECT / "docs/BENCHMARKS.md").read_text(encoding="utf-8")
    for one in benchmarks.list_benchmarks(PLUGINS):
        assert f"| `{one.task.removeprefix('spatial_qa/')}` |" in page
        assert one.licence.split()[0] in page


def test_data_list_shows_benchmarks_behind_the_catalogue() -> None:
    said = CliRunner().invoke(app, ["data", "list"]).output.splitlines()
    (blink,) = [line for line in said if line.startswith("spatial_qa/blink ")]
    assert blink.split()[1] == "hub"
    assert "BLINK validation set" in blink
    assert any(line.startswith("tum_dynamics ") for line in said)


def test_data_prepare_says_what_must_lie_where() -> None:
    said = CliRunner().invoke(app, ["data", "prepare", "spatial_qa/sti_bench"]).output
    assert "source    MINT-SJTU/STI-Bench on the Hub" in said
    assert "folder    DIR/sti_bench, DIR being --data-root" in said
    assert "awaits    revision, rows, content_hash: recorded at first use" in said
    assert "rows      qa.parquet" in said
    assert "archives  video.zip" in said


def test_a_benchmark_is_fetched_to_where_its_task_looks(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **more: asked.update(name=name, **more)
    )
    said = CliRunner().invoke(app, ["data", "prepare", "spatial_qa/vsr", "--root", str(tmp_path)])
    assert f"ready: {tmp_path / 'vsr'}" in said.output
    assert asked["local_dir"] == tmp_path / "vsr"
    assert asked["revision"] == "148b3777ceef4a1bfe46377614980836db7d12f2"
    assert asked["allow_patterns"] == ["test.jsonl", "README.md"]


@pytest.mark.parametrize("command", ["prepare", "verify"])
def test_a_benchmark_without_its_family_is_met_with_the_whole_name(command: str) -> None:
    with pytest.raises(BenchError, match="Did you mean 'spatial_qa/blink'"):
        CliRunner().invoke(app, ["data", command, "blink"], catch_exceptions=False)
    with pytest.raises(BenchError, match="Did you mean 'tum_dynamics'"):
        CliRunner().invoke(app, ["data", command, "tum_dynamic"], catch_exceptions=False)


def test_what_is_not_on_the_hub_or_no_benchmark(tmp_path: Path) -> None:
    (nlvr,) = [one for one in benchmarks.list_benchmarks(PLUGINS) if one.task.endswith("/nlvr")]
    with pytest.raises(BenchError, match="expected one of the Hub, got one that is not"):
        benchmarks.fetch(nlvr, tmp_path)
    with pytest.raises(UsageError, match="expected a published benchmark"):
        CliRunner().invoke(app, ["data", "prepare", "spatial_qa/world"], catch_exceptions=False)
    with pytest.raises(UsageError, match="g2vlm-bench validate spatial_qa/vsr --data-root DIR"):
        CliRunner().invoke(app, ["data", "verify", "spatial_qa/vsr"], catch_exceptions=False)
