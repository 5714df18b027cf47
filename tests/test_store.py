"""The run folder: nothing leaves it, nothing in it executes, a kill costs one line."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2vlm_bench import store
from g2vlm_bench.comparable import check_comparable
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.runner import rescore
from g2vlm_bench.sample import Ambiguity, Prediction
from g2vlm_bench.store import Failure, PredictionLine, RunFolder, SampleLine, identity_of

STORED = Path(__file__).parent / "data_runs"
LIKE_EACH_OTHER = [
    "a/b", "a_b", "a b", "a%2Fb", "a-b", "A/B", "a\\b", "a:b", "a.b", "a", "A", ".a", "..a", "_a",
    "../../etc/x", "/etc/passwd", "..", ".", "", "con", "a/", "a//b", "./a", "a\0b", "a\nb",
    "é", "e\u0301", "É", "ß", "ss", "\u017f", "场景/1", "🏠", "x" * 179, "x" * 180, "x" * 181,
    "x" * 5000, "x" * 4999 + "y", "X" * 180, "é" * 300, "index.jsonl", "index",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    with RunFolder(tmp_path / "run") as opened:
        yield opened


def _same_file(one: str, other: str) -> bool:
    # As a file system that ignores case, and one that composes accents, would see it.
    return one.casefold() == other.casefold()


def test_no_two_ids_share_a_file() -> None:
    names = [store._file_name(name) for name in LIKE_EACH_OTHER]
    assert len({name.casefold() for name in names}) == len(LIKE_EACH_OTHER)
    # Nor does an id that is spelled like the file name of another.
    again = [store._file_name(name) for name in names if name not in LIKE_EACH_OTHER]
    assert not {name.casefold() for name in again} & {name.casefold() for name in names}


@given(one=st.text(st.characters(exclude_categories=["Cs"])), other=st.text("aA/._-% é"))
def test_any_two_ids_have_two_files_of_plain_names(one: str, other: str) -> None:
    name = store._file_name(one)
    assert name.isascii()
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith(".")
    assert len(name) + len(".npz.partial") + 1 < 255
    assert one == other or not _same_file(name, store._file_name(other))


@pytest.mark.parametrize("name", LIKE_EACH_OTHER)
def test_nothing_is_written_outside_the_folder(folder, tmp_path, name) -> None:
    line = folder.save_prediction(name, Prediction(points=np.ones((1, 3))), 0.0)
    written = [path for path in tmp_path.rglob("*") if path.suffix == ".npz"]
    assert [path.parent for path in written] == [folder.path / "predictions"]
    assert folder.load_prediction(line).points.tolist() == [[1, 1, 1]]


def test_a_prediction_comes_back_as_it_was(folder) -> None:
    rng = np.random.default_rng(0)
    maps = tuple(rng.random((3, 4)).astype(np.float32) for _ in range(12))
    maps[1][0, 0], maps[1][0, 1] = np.nan, np.inf
    given = Prediction(
        depth=maps,
        point_maps=tuple(rng.random((2, 3, 3)).astype(np.float32) for _ in range(11)),
        confidence=maps[:2],
        points=rng.random((5, 3)),
        normals=rng.random((5, 3)),
        intrinsics=(np.eye(3),),
        world_from_camera=(np.eye(4), 2 * np.eye(4)),
        choice_loglikelihoods=np.array([-1.0, -np.inf]),
        masks=tuple(rng.random((2, 3)) < 0.5 for _ in range(11)),
        location=rng.random(3),
        embedding=rng.random(5),
        answer="A\n“ü”",
        ambiguity=Ambiguity.AFFINE_DISPARITY,
    )
    with folder.append_predictions() as index:
        index.write(folder.save_prediction("a", given, 0.5))
    (line,) = folder.predictions()
    back = folder.load_prediction(line)
    for field in ("depth", "point_maps", "confidence", "intrinsics", "world_from_camera", "masks"):
        for one, other in zip(getattr(given, field), getattr(back, field), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    for field in ("points", "normals", "choice_loglikelihoods", "location", "embedding"):
        np.testing.assert_array_equal(getattr(given, field), getattr(back, field))
    assert (back.answer, back.ambiguity) == (given.answer, given.ambiguity)


def test_text_alone_makes_no_file(folder) -> None:
    line = folder.save_prediction("a", Prediction(answer="yes"), 0.0)
    assert line.file is None
    assert not list((folder.path / "predictions").iterdir())


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def _pickled(trace: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, depth_0000=np.array([Bomb(trace)], dtype=object))
    return buffer.getvalue()


def _bare_npy(trace: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        _pickled,
        _bare_npy,
        lambda trace: pickle.dumps(Bomb(trace)),
        lambda trace: b"",
        lambda trace: b"PK\x03\x04 half an archive",
        lambda trace: b"\x00" * 100,
    ],
    ids=["pickled array", "npy", "pickle", "empty", "half a zip", "zeros"],
)
def test_a_file_that_is_no_archive_of_numbers_is_refused_and_not_executed(
    folder, tmp_path, content
) -> None:
    trace = tmp_path / "executed"
    made = content(trace)
    (folder.path / "predictions" / "a.npz").write_bytes(made)
    digest = hashlib.sha256(made).hexdigest()
    with pytest.raises(BenchError, match="expected arrays"):
        folder.load_prediction(PredictionLine(id="a", seconds=0, file="a.npz", sha256=digest))
    assert not trace.exists()


def test_the_bomb_would_go_off(tmp_path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


def test_an_index_cannot_name_a_file_outside(folder, tmp_path) -> None:
    np.savez(tmp_path / "secret.npz", points=np.ones((1, 3)))
    digest = hashlib.sha256((tmp_path / "secret.npz").read_bytes()).hexdigest()
    for name in ("../../secret.npz", str(tmp_path / "secret.npz")):
        with pytest.raises(BenchError, match="expected a stored prediction"):
            folder.load_prediction(PredictionLine(id="a", seconds=0, file=name, sha256=digest))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_flip, "another content"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "another content"),
        (lambda path: path.write_bytes(b""), "another content"),
        (Path.unlink, "No such file"),
        (lambda path: path.write_bytes(_pickled(path.with_name("executed"))), "another content"),
    ],
    ids=["altered", "truncated", "emptied", "missing", "replaced by a pickle"],
)
def test_a_harmed_prediction_fails_alone(toys, toy_run, harm, says) -> None:
    folder, before = toy_run("pixels", task="toy/metres")
    assert before.counts == {"scored": 6}
    harm(folder.path / "predictions" / "room-3.npz")
    record = rescore(toys, folder.path)
    assert record.counts == {"failed": 1, "scored": 5}
    failed = next(line for line in folder.samples() if line.status == "failed")
    assert failed.id == "room-3"
    assert says in failed.error.message
    assert not list(folder.path.rglob("executed"))


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
@pytest.mark.parametrize("torn", [b"", b"{", b'{"id":"c","seconds":0', b"\x00" * 30])
def test_a_torn_line_is_cut_and_the_next_stands_behind_the_last_whole_one(
    folder, monkeypatch, block, torn
) -> None:
    monkeypatch.setattr(store, "_BLOCK", block)
    path = folder.path / "predictions" / "index.jsonl"
    with folder.append_predictions() as index:
        for name in ("a", "b"):
            index.write(PredictionLine(id=name, seconds=0, answer="long " * 9))
    with path.open("ab") as file:
        file.write(torn)
    assert [line.id for line in folder.predictions()] == ["a", "b"]
    with folder.append_predictions() as index:
        index.write(PredictionLine(id="c", seconds=0))
    assert [line.id for line in folder.predictions()] == ["a", "b", "c"]


@pytest.mark.parametrize("torn", [b"", b'{"id"'])
def test_an_index_without_a_whole_line_starts_afresh(folder, torn) -> None:
    (folder.path / "predictions" / "index.jsonl").write_bytes(torn)
    with folder.append_predictions() as index:
        index.write(PredictionLine(id="a", seconds=0))
    assert [line.id for line in folder.predictions()] == ["a"]


def test_each_line_is_on_disk_before_the_next(folder) -> None:
    with folder.append_predictions() as index:
        for count in (1, 2, 3):
            index.write(PredictionLine(id=str(count), seconds=0))
            assert len(list(folder.predictions())) == count


@pytest.mark.parametrize(
    "unfit",
    [
        {"details": {"said": "\ud83d"}},
        {"details": {"said": [object()]}},
        {"tags": {"kind": "\ud83d"}},
        {"groups": {"\ud83d": "a"}},
        {"undefined": {"weight": "no \ud83d"}},
    ],
)
def test_what_no_line_can_hold_of_a_sample_is_its_own_failure(folder, unfit) -> None:
    about = {"cluster": "c", "values": {"m": 1.0}, "weights": {"weight": 0.5}, "worst": {"m": 0.0}}
    lost = Failure.of("target", ValueError("no truth"))
    with folder.rewrite_samples() as out:
        out.write(SampleLine(id="a", status="scored", **about, **unfit))
        out.write(SampleLine(id="b", status="scored", **about))
        out.write(SampleLine(id="c", cluster="c", status="unscored", error=lost, **unfit))
    bad, good, unscored = folder.samples()
    assert (bad.status, bad.values, bad.details) == ("failed", {}, {})
    assert "expected tags and details as JSON" in bad.error.message
    # It counts for what it would have counted, a tag of it as far as it can be written.
    assert (bad.weights, bad.worst) == (about["weights"], about["worst"])
    assert set(bad.tags.values()) <= {r"\ud83d"}
    assert good.status == "scored"
    assert (unscored.status, unscored.error) == ("unscored", lost)


def test_a_broken_line_is_named(folder) -> None:
    path = folder.path / "predictions" / "index.jsonl"
    path.write_bytes(b'{"id":"a","seconds":0}\n{"id":5,"seconds":0}\n{"id":"c","seconds":0}\n')
    with pytest.raises(BenchError, match=r"index\.jsonl:2: expected a PredictionLine"):
        list(folder.predictions())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run.json"
    store.write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        store.write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    assert path.read_bytes() == b"old"


def test_a_second_writer_is_refused(folder) -> None:
    with pytest.raises(BenchError, match="another process that is writing this run"):
        RunFolder(folder.path).__enter__()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"schema": 2}', "expected schema 1 or older, got schema 2. It was written by a newer"),
        (b'{"schema": 99, "status": "complete"}', "got schema 99"),
        (b'{"status": "complete"}', "got schema None"),
        (b'{"schema": "1"}', "got schema 1"),
        (b"[]", "got schema None"),
        (b"", "expected JSON"),
        (b'{"schema": 1, "sta', "expected JSON"),
        (b'{"schema": 1}', "expected a run record"),
        (b'{"schema": 1, "identity": 5}', "expected a run record"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_line(folder, content, says) -> None:
    (folder.path / "run.json").write_bytes(content)
    with pytest.raises(BenchError) as caught:
        folder.read_record()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_run_is_one_line_and_stays_empty(toys, tmp_path) -> None:
    with pytest.raises(BenchError, match=r"expected a run folder, got no run\.json"):
        rescore(toys, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_of_a_newer_schema_is_not_written_to(toys, toy_run) -> None:
    folder, _ = toy_run("pixels")
    content = json.loads((folder.path / "run.json").read_bytes()) | {"schema": store.SCHEMA + 1}
    (folder.path / "run.json").write_text(json.dumps(content))
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    for again in (lambda: toy_run("pixels"), lambda: rescore(toys, folder.path)):
        with pytest.raises(BenchError, match="newer g2vlm-bench; upgrade"):
            again()
    assert before == {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kept", sorted(path.name for path in STORED.iterdir()))
def test_runs_of_every_schema_stay_readable_and_can_be_scored_again(toys, tmp_path, kept) -> None:
    copy = tmp_path / kept
    shutil.copytree(STORED / kept, copy)
    folder = RunFolder(copy)
    stored = folder.read_record()
    assert stored.schema == int(kept.rpartition("_")[2])
    lines = list(folder.samples())
    assert [line.status for line in lines] == ["scored", "scored", "failed", "scored"]
    again = rescore(toys, copy)
    assert [msgspec.to_builtins(line) for line in folder.samples()] == [
        msgspec.to_builtins(line) for line in lines
    ]
    assert again.results == stored.results
    # Three perfect of four, the failed one at the worst value.
    assert again.result("delta1@metric").value == 0.75


def test_a_run_of_before_does_not_say_what_scored_it_and_counts_as_another_scorer(
    toys, tmp_path
) -> None:
    copy = tmp_path / "old"
    shutil.copytree(STORED / "schema_1", copy)
    old = RunFolder(copy).read_record()
    assert old.scored_with is None
    assert old.environment.other_commits == ()
    new = rescore(toys, copy)
    assert new.scored_with is not None
    with pytest.raises(NotComparableError, match="scorer of"):
        check_comparable((copy, old), (copy, new))


def test_a_schema_of_every_number_is_kept() -> None:
    kept = {path.name for path in STORED.iterdir()}
    assert kept == {f"schema_{number}" for number in range(1, store.SCHEMA + 1)}


def test_failures_are_one_line_of_bounded_length() -> None:
    failure = Failure.of("predict", ValueError("first\n  second\t" + "x" * 1000))
    assert failure.message.startswith("first second x")
    assert len(failure.message) == 500
    assert Failure.of("predict", ValueError()).message == "no message"


def test_identity_does_not_depend_on_the_order_of_keys() -> None:
    assert identity_of({"a": 1, "b": [1]}) == identity_of({"b": [1], "a": 1})
    assert identity_of({"a": 1}) != identity_of({"a": 2})
