"""A disk without room is told in one line, and the run goes on where there is some."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from g2vlm_bench import store
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.store import RunFolder

folders = load_module(Path(__file__).with_name("run_folders.py"))
lines_of, only_run = folders.lines_of, folders.only_run


@pytest.mark.parametrize("where", ["write_atomically", "LineWriter.write"])
@pytest.mark.parametrize("after", [0, 3, 7])
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    toy_run, tmp_path, monkeypatch, where, after
) -> None:
    owner, _, name = where.rpartition(".")
    target = getattr(store, owner) if owner else store
    real, calls = getattr(target, name), iter(range(100))

    def write(*arguments: Any) -> None:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    monkeypatch.setattr(target, name, write)
    with pytest.raises(BenchError) as caught:
        toy_run("pixels", task="toy/metres")
    assert "No space left on device. Make room and run it again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    folder, record = toy_run("pixels", task="toy/metres")
    assert (record.status, record.counts) == ("complete", {"scored": 6})
    assert len(lines_of(folder.path)) == 6
    assert not list(folder.path.rglob("*.partial"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """A file system of a few pages, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        options = f"size={size}" + (",remount" if place.is_mount() else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no tmpfs can be mounted here: {error}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_disk_that_is_really_full(toy_run, small_disk, tmp_path) -> None:
    full = {"task": "toy/metres", "data": {"n": 60}, "out": small_disk("128k"), "batch_size": 4}
    with pytest.raises(BenchError, match="No space left on device"):
        toy_run("pixels", **full)
    held = len(list(RunFolder(only_run(full["out"])).predictions()))
    assert 0 < held < 60
    small_disk("8m")
    folder, record = toy_run("pixels", **full)
    assert record.counts == {"scored": 60}
    whole, _ = toy_run("pixels", **(full | {"out": tmp_path / "whole"}))
    assert lines_of(folder.path) == lines_of(whole.path)


def test_a_place_for_runs_that_is_a_file_is_one_line(toy_run, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="expected a place that can be written"):
        toy_run("pixels", out=tmp_path / "file")
