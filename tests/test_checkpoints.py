"""What is known of a checkpoint's weights before they are loaded: their hash, read once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from g2vlm_bench.checkpoints import Checkpoint


def find(folder: Path, **weights: bytes) -> Checkpoint:
    """A checkpoint of files with some content; those that are not named are left as they are."""
    for name, content in weights.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    return Checkpoint.find(str(folder), None, ["config.json"], "AutoModel")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_weights_that_did_not_change_are_read_once(tmp_path: Path, read: list[str]) -> None:
    first = find(tmp_path, model=b"weights").weights_hash()
    assert first == f"sha256:{sha256(b'weights')}"
    # As at the next start.
    assert find(tmp_path).weights_hash() == first
    assert read == ["model.safetensors"]


def test_changed_weights_are_noticed_even_where_size_and_time_are_as_before(
    tmp_path: Path, read: list[str]
) -> None:
    before = find(tmp_path, model=b"weights").weights_hash()
    path = tmp_path / "model.safetensors"
    stat = path.stat()
    time.sleep(0.02)  # more than a tick of the disk's clock
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find(tmp_path).weights_hash() == f"sha256:{sha256(b'WEIGHTS')}" != before
    assert len(read) == 2


def test_of_several_files_it_is_the_hash_of_their_hashes(tmp_path: Path, read: list[str]) -> None:
    # As `sha256sum *.safetensors | sha256sum` prints it.
    listed = f"{sha256(b'a')}  m-1.safetensors\n{sha256(b'b')}  m-2.safetensors\n"
    found = find(tmp_path, **{"m-2": b"b", "m-1": b"a"}).weights_hash()
    assert found == f"sha256:{sha256(listed.encode())}"
    time.sleep(0.02)
    assert find(tmp_path, **{"m-2": b"c"}).weights_hash() != found
    assert sorted(read) == ["m-1.safetensors", "m-2.safetensors", "m-2.safetensors"]


def test_a_folder_that_cannot_be_written_to_is_hashed_each_time(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_bytes", refused, raising=True)
    (tmp_path / "model.safetensors").open("wb").close()
    assert find(tmp_path).weights_hash() == find(tmp_path).weights_hash()
    assert len(read) == 2
