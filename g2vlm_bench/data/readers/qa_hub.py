"""Published question benchmarks, from the Hub or from a copy in the same format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from g2vlm_bench.data.hub import fetch_copy, revision_of, split_files
from g2vlm_bench.data.known_hashes import KnownHashes
from g2vlm_bench.data.layout import hash_content
from g2vlm_bench.data.media import Media
from g2vlm_bench.data.questions import QuestionRow
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.row_map import RowMap
from g2vlm_bench.data.shared_pictures import name_pictures
from g2vlm_bench.data.tables import open_table
from g2vlm_bench.errors import BenchError
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import Sample


class QaHub(Reader):
    """A benchmark's own files, mapped onto samples by patterns; listing them decodes no picture.

    Rows are Parquet, JSON lines, JSON, TSV or CSV; pictures stand in the rows (as `datasets` or
    VLMEvalKit write them), in a folder, or in zip archives, which are read and never unpacked;
    videos in a folder or an archive.

    The folder is a copy of the dataset; without one (`--data-root hub:`) `datasets` says which
    files make the split at the pinned revision, and they are fetched into the Hub's own cache. A
    copy that says of another revision than the pinned one is refused.

    Questions of one scene are resampled together: by the name of the scene or the picture, and
    where the rows hold their pictures and name no scene, by the first picture's content (whose
    hashes are kept in the folder).

    A row whose picture is missing or damaged fails alone, when its turn comes. One whose truth is
    none (an answer outside the options, options that repeat, a mask of another size) is unscored,
    and counted. A column that is missing is an error that lists those there are. Questions stand in
    the files' order; of talks, all first turns come first, then all second, so that what a model
    answered before is known when it is asked again. One split, `test`. Licence: the data set's.

    Args:
        root: The folder; no path of a row leads out of it. None to ask the Hub.
        asks: Where the parts of a question stand in a row (`g2vlm_bench/data/row_map.py`).
        files: Patterns of the files of rows; where there are none, `datasets` finds them.
        hub: The dataset's id on the Hub.
        config: Its configuration.
        hub_split: Its split.
        revision: The commit that the task pins.
        archives: Patterns of zip files in which pictures and videos are looked up.
        media: Patterns of what the Hub must bring besides rows and archives.
    """

    from_hub: ClassVar[bool] = True

    def __init__(
        self,
        root: Path | None,
        *,
        asks: RowMap,
        files: Sequence[str] = (),
        hub: str = "",
        config: str = "",
        hub_split: str = "test",
        revision: str = "",
        archives: Sequence[str] = (),
        media: Sequence[str] = (),
    ) -> None:
        if root is None:
            patterns = list(files) or split_files(hub, config, hub_split, revision)
            copy = fetch_copy(hub, revision, [*patterns, *archives, *media])
            self.root, self.revision = copy.root, copy.revision
        else:
            patterns = list(files) or split_files(str(root), config, hub_split)
            self.root, self.revision = root.resolve(), revision_of(root.resolve())
            self.keeps_record = self.root
        self.asks = asks
        self.paths = _find(self.root, patterns)
        self.archives = _find(self.root, archives, needed=False)
        self.media = Media(self.root, self.archives)
        self.tables = [open_table(path, asks.heavy) for path in self.paths]
        for table in self.tables:
            _check_columns(table.path, asks.columns, table.columns)

    def samples(self, split: str) -> Sequence[Sample]:
        """List the questions."""
        return self._samples

    def content_hash(self, split: str) -> str:
        """Hash the rows, the archives, and every picture and video that a row names.

        A file that did not change is read once: its hash is kept in the folder (`KnownHashes`).
        """
        named = {self.media.path(name) for row in self._rows for name in row.files}
        beside = {path for path in named if path.is_file() or not self.archives}
        known = KnownHashes(self.root)
        files = [*self.paths, *self.archives, *beside]
        found = hash_content(self.root, files, hash_one=known.of)
        known.keep()
        return found

    @cached_property
    def _rows(self) -> list[QuestionRow]:
        return [
            QuestionRow(self.asks, table, number, content, self.media)
            for table in self.tables
            for number, content in enumerate(table.rows)
            if self.asks.asks(content)
        ]

    @cached_property
    def _samples(self) -> list[Sample]:
        made: list[tuple[int, Sample]] = []
        last: dict[str, tuple[int, str]] = {}
        pictures = self._pictures()
        for count, row in enumerate(self._rows):
            turn, after = last.get(row.talk, (-1, "")) if row.talk else (-1, "")
            sample = row.sample(count, after, pictures.get((row.table.path, row.number), ""))
            last[row.talk] = (turn + 1, sample.id)
            made.append((turn + 1, sample))
        return [sample for _, sample in sorted(made, key=lambda each: each[0])]

    def _pictures(self) -> dict[tuple[Path, int], str]:
        """Names of the first pictures by their content, where nothing else tells scenes apart."""
        images = self.asks.images
        if self.asks.cluster or images is None or images.kind != "embedded":
            return {}
        return {
            (table.path, number): name
            for table in self.tables
            for number, name in enumerate(name_pictures(self.root, table, images.columns[0]))
        }


def _check_columns(path: Path, named: set[str], there: Sequence[str]) -> None:
    missing = sorted(named - set(there))
    if missing:
        raise BenchError(
            path,
            expected=f"columns {', '.join(sorted(named))}",
            got=f"{', '.join(there)}, without {', '.join(missing)}",
            fix="Fetch the pinned revision, or name the columns in the task's 'data'.",
        )


def _find(root: Path, patterns: Sequence[str], needed: bool = True) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        safe_join(root, pattern.replace("*", "_"))
        # Not resolved: the Hub's cache holds links to where its contents lie. Our own notes of pins
        # and hashes, which '*.json' would find, too, are hidden.
        hits = sorted(
            path for path in root.glob(pattern) if path.is_file() and path.name[:1] != "."
        )
        if needed and not hits:
            raise BenchError(
                root,
                expected=f"files '{pattern}'",
                got="none",
                fix="Put the benchmark's files there, or take them from the Hub: --data-root hub:",
            )
        found += hits
    return list(dict.fromkeys(found))
