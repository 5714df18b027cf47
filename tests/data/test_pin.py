"""Data are held to their pins, and every way in which they are not is one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from g2vlm_bench.data.pin import DataPins, hash_files, hash_text, open_dataset, split_pins
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Sample, Target


class Fixed(Reader):
    splits = ("test", "train")

    def __init__(self, test: Sequence[str], train: Sequence[str] = ("t",)) -> None:
        self.ids = {"test": test, "train": train}

    def samples(self, split: str) -> Sequence[Sample]:
        return [self.sample(name) for name in self.ids[split]]

    def sample(self, name: str) -> Sample:
        return Sample(id=name, cluster="c", load_inputs=lambda: Inputs(id=name), load_target=Target)

    def content_hash(self, split: str) -> str:
        return hash_text(self.ids[split])


GOOD = Fixed(["a", "b"])
HASH = GOOD.content_hash("test")


def test_data_as_pinned() -> None:
    pins = DataPins(format="fixed", rows=2, content_hash=HASH, revision="r1", train_split="train")
    dataset = open_dataset(pins, GOOD, "task x")
    found = dataset.fingerprint
    assert (found.rows, found.content_hash, found.pinned) == (2, HASH, True)
    assert (found.revision, found.source, found.split) == ("r1", "fixed", "test")
    assert [sample.id for sample in dataset.training] == ["t"]
    assert dataset.training_hash() == GOOD.content_hash("train")


@pytest.mark.parametrize("pins", [{}, {"rows": 2}, {"content_hash": HASH}])
def test_half_a_pin_is_no_pin(pins) -> None:
    assert not open_dataset(DataPins(format="fixed", **pins), GOOD, "x").fingerprint.pinned


@pytest.mark.parametrize(
    ("pins", "reader", "says"),
    [
        ({"rows": 3}, GOOD, "data rows: expected 3, got 2. The data are not those"),
        ({"rows": 0}, GOOD, "data rows: expected 0, got 2"),
        ({"content_hash": "sha256:0"}, GOOD, f"data content: expected sha256:0, got {HASH}."),
        ({"split": "val"}, GOOD, "data split: expected test or train, got 'val'"),
        ({"train_split": "val"}, GOOD, "data split: expected test or train, got 'val'"),
        ({}, Fixed(["a", "b", "a"]), "sample ids: expected each id once, got 'a' more than once"),
        ({}, Fixed([]), "data: expected at least one sample, got none"),
        (
            {},
            Fixed(["a", "\ud800"]),
            r"sample ids: expected text that UTF-8 can hold, got '\ud800'",
        ),
        ({}, Fixed(["a", 7]), "sample ids: expected text that UTF-8 can hold, got 7"),  # type: ignore[list-item]
    ],
)
def test_data_that_are_not_as_pinned_are_one_line(pins, reader, says) -> None:
    with pytest.raises(BenchError) as caught:
        open_dataset(DataPins(format="fixed", **pins), reader, "task x")
    assert str(caught.value).startswith("task x, ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("split", "reader", "says"),
    [
        ("test", GOOD, "training split: expected no sample of the scored split"),
        ("train", Fixed(["a", "b"], ["z", "b"]), "got 'b' in both"),
    ],
)
def test_what_is_scored_is_not_fitted_on(split, reader, says) -> None:
    dataset = open_dataset(DataPins(format="fixed", train_split=split), reader, "task x")
    with pytest.raises(BenchError, match=says):
        _ = dataset.training


def test_a_training_split_is_listed_when_it_is_asked_for() -> None:
    class Costly(Fixed):
        def samples(self, split: str) -> Sequence[Sample]:
            listed.append(split)
            return super().samples(split)

    listed: list[str] = []
    pins = DataPins(format="fixed", train_split="train")
    dataset = open_dataset(pins, Costly(["a"]), "task x")
    assert listed == ["test"]
    assert dataset.training == dataset.training != ()
    assert listed == ["test", "train"]


def test_another_reader_may_open_the_training_split() -> None:
    class Scored(Fixed):
        splits = ("test",)

    pins = DataPins(format="fixed", train_split="train")
    dataset = open_dataset(pins, Scored(["a"]), "task x", GOOD)
    assert [sample.id for sample in dataset.training] == ["t"]
    assert dataset.training_hash() == GOOD.content_hash("train")


def test_where_one_text_ends_matters() -> None:
    assert hash_text(["ab", "c"]) != hash_text(["a", "bc"]) != hash_text(["abc"])
    assert hash_text(["a", "b"]) != hash_text(["b", "a"])
    assert hash_text(["a\nb"]) != hash_text(["a", "b"])


def test_files_are_hashed_by_name_and_content(tmp_path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    base = hash_files(tmp_path, [one, two])
    assert hash_files(tmp_path, [two, one, one]) == base, "neither order nor repetition matters"
    one.write_bytes(b"3")
    assert hash_files(tmp_path, [one, two]) != base
    one.write_bytes(b"2")
    two.write_bytes(b"1")
    assert hash_files(tmp_path, [one, two]) != base, "contents that change places are other data"


def test_data_may_stand_anywhere(tmp_path) -> None:
    hashes = set()
    for name in ("here", "there"):
        folder = tmp_path / name / "sub"
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(b"1")
        hashes.add(hash_files(tmp_path / name, [folder / "a"]))
    assert len(hashes) == 1


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, path) -> None:
    with pytest.raises(BenchError, match="expected a readable file"):
        hash_files(tmp_path, [tmp_path / path])


def test_pins_are_parted_from_the_readers_options() -> None:
    pins, options = split_pins({"format": "x", "rows": 3, "stride": 2, "root": Path("a")})
    assert pins == {"format": "x", "rows": 3, "root": Path("a")}
    assert options == {"stride": 2}
