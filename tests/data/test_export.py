"""What is exported comes back bit for bit, and the same data give the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2vlm_bench.data import columns
from g2vlm_bench.data.export import (
    Configuration,
    Manifest,
    Part,
    damaged,
    export,
    read_manifest,
    write_manifest,
)
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.readers.world_export import WorldExport
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Sample, Target
from g2vlm_bench.world.contents import CONTENTS
from g2vlm_bench.world.reader import WorldReader

PROJECT = Path(__file__).parents[2]


class Few(Reader):
    """Samples that are handed to it."""

    def __init__(self, *samples: Sample) -> None:
        self._samples = samples

    def samples(self, split: str) -> tuple[Sample, ...]:
        return self._samples

    def content_hash(self, split: str) -> str:
        return "sha256:0"


def sample(name: str = "a", target: Target | None = None, **inputs: Any) -> Sample:
    return Sample(
        id=name,
        cluster=name,
        load_inputs=lambda: Inputs(id=name, **inputs),
        load_target=lambda: target or Target(),
    )


def world(content: str, n: int = 3, **options: Any) -> WorldReader:
    return WorldReader(
        n=n, content=content, place="mixed", views=2, height=24, width=32, **options
    )  # fmt: skip


def write(reader: Reader, root: Path, name: str = "one", split: str = "test") -> Path:
    """An export of one configuration."""
    path = export(reader, split, root / name)
    part = Part(folder=name, rows=len(reader.samples(split)), content_hash="sha256:0")
    one = Configuration(format="world", options={}, revision="", splits={split: part})
    write_manifest(root, Manifest(configurations={name: one}))
    return path


def assert_same(made: Any, read: Any, where: str) -> None:
    """Type, shape, every bit, and that arrays may be written to."""
    assert type(made) is type(read), where
    if dataclasses.is_dataclass(made):
        for field in dataclasses.fields(made):
            name = field.name
            assert_same(getattr(made, name), getattr(read, name), f"{where}.{name}")
    elif isinstance(made, tuple):
        assert len(made) == len(read), where
        for number, pair in enumerate(zip(made, read, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    elif isinstance(made, np.ndarray):
        assert (made.dtype, made.shape) == (read.dtype, read.shape), where
        assert made.tobytes() == read.tobytes(), where
        assert read.flags.writeable, where
    else:
        assert made == read, where


def assert_same_samples(made: Reader, read: Reader, split: str = "test") -> None:
    for one, other in zip(made.samples(split), read.samples(split), strict=True):
        assert (one.id, one.cluster, dict(one.tags)) == (other.id, other.cluster, dict(other.tags))
        assert_same(one.load_inputs(), other.load_inputs(), f"{one.id} inputs")
        assert_same(one.load_target(), other.load_target(), f"{one.id} target")


@pytest.mark.parametrize("content", CONTENTS)
def test_every_content_of_the_world_comes_back_bit_for_bit(content: str, tmp_path: Path) -> None:
    made = world(content, given=("intrinsics", "poses"))
    write(made, tmp_path)
    assert_same_samples(made, WorldExport(tmp_path, configuration="one"))


def test_more_samples_than_are_written_together(tmp_path: Path) -> None:
    samples = [sample(f"s{i}", question=f"{i}?", choices=(str(i),) * (i % 3)) for i in range(37)]
    write(Few(*samples), tmp_path)
    assert_same_samples(Few(*samples), WorldExport(tmp_path, configuration="one"))


def test_parts_that_the_world_does_not_have(tmp_path: Path) -> None:
    """A prior, views of different sizes, an infinite depth, a whole number, an empty cloud."""
    full = np.arange(6, dtype=np.float32).reshape(2, 3)
    full[0, 0], full[1, 2] = np.nan, np.inf
    samples = (
        sample(
            "a",
            Target(depth_m=(full, full.T.copy()), answer=3.0, tolerance_m=0.1, role="item"),
            images=(np.zeros((2, 3, 3), np.uint8), np.full((3, 2, 3), 7, np.uint8)),
            depth_prior_m=(full,),
            prompt="¿Qué?\n",
        ),
        sample("b", Target(answer="", accepted=("x", "y"), facts=frozenset({("a", "on", "b")}))),
        sample("c", points=np.zeros((4, 3)), answer_type="number"),
    )
    write(Few(*samples), tmp_path)
    assert_same_samples(Few(*samples), WorldExport(tmp_path, configuration="one"))


def test_every_part_of_a_sample_has_a_column_or_is_refused() -> None:
    parts = {f"inputs_{field.name}" for field in dataclasses.fields(Inputs)} - {"inputs_id"}
    parts |= {f"target_{field.name}" for field in dataclasses.fields(Target)}
    written = {f"inputs_{part}" for part in columns.INPUTS}
    written |= {f"target_{part}" for part in columns.TARGET} - {"target_number"}
    assert parts == written | set(columns.NOT_WRITTEN)


def test_what_has_no_column_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    scanned = sample("a", Target(scans=(None,)))  # type: ignore[arg-type]
    with pytest.raises(
        BenchError, match=r"sample a: expected what has a column, got 'target_scans'"
    ):
        export(Few(scanned), "test", tmp_path / "one")
    assert not list((tmp_path / "one").iterdir())


def digest() -> str:
    """The hash of one export, made from nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = export(world("agreement", given=("intrinsics",)), "test", Path(folder))
        return hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_bytes_in_another_process() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(Path(__file__).parent)!r}]\n"
        "import test_export; print(test_export.digest())"
    )
    environment = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2", "PATH": "", "HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == digest()


def test_datasets_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    made = world("grounding")
    write(made, tmp_path / "export")
    rows = load_dataset(
        str(tmp_path / "export"), "one", split="test", cache_dir=str(tmp_path / "cache")
    )
    assert len(rows) == len(made.samples("test"))
    first, truth = made.samples("test")[0].load_inputs(), made.samples("test")[0].load_target()
    assert rows[0]["inputs_question"] == first.question
    assert rows[0]["tag_place"] == "room"
    np.testing.assert_array_equal(np.asarray(rows[0]["inputs_images"][1]), first.images[1])
    thing = rows[0]["target_objects"][0]
    np.testing.assert_array_equal(np.asarray(thing["masks"][0]) > 0, truth.objects[0].masks[0])


def test_a_model_side_that_opens_no_truth(tmp_path: Path) -> None:
    """Inputs have columns of their own: a file without the target's gives them all the same."""
    import pyarrow.parquet as pq

    path = write(world("questions"), tmp_path)
    table = pq.read_table(path)
    kept = [name for name in table.column_names if not name.startswith("target_")]
    pq.write_table(table.select(kept), path, row_group_size=16)
    assert WorldExport(tmp_path, configuration="one").samples("test")[0].load_inputs().question


def test_hashes_find_what_was_changed_or_lost(tmp_path: Path) -> None:
    path = write(world("depth"), tmp_path)
    manifest = read_manifest(tmp_path)
    assert damaged(tmp_path, manifest) == {}
    path.write_bytes(path.read_bytes() + b" ")
    (tmp_path / "README.md").unlink()
    assert damaged(tmp_path, manifest) == {
        "one/test.parquet": "a changed file",
        "README.md": "no file",
    }
    (tmp_path / "SHA256SUMS").write_text("nothing")
    with pytest.raises(BenchError, match="expected hashes and names of files"):
        damaged(tmp_path, manifest)
