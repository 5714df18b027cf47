"""The procedural world as it was exported: Parquet files that give the samples back unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from g2vlm_bench.data.columns import inputs_of, target_of
from g2vlm_bench.data.export import (
    MANIFEST,
    check_file,
    open_parquet,
    read_manifest,
    whole_parquet,
)
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Sample, Target

# Samples are opened in order, so the last rows that were read together hold the next one too.
_GROUPS_KEPT = 2


class WorldExport(Reader):
    """A configuration of what `data prepare world` wrote; scores as if it were generated.

    A task of the world reads its own export by itself where `--data-root` holds one.

    Layout: `export.json` (what was exported, and how), `CONFIGURATION/SPLIT.parquet`, `README.md`
    (the card that `datasets` reads) and `SHA256SUMS`. Pictures are PNG, depth is float32 metres,
    NaN where there is none. Cameras are in the target, and in the inputs where the task gives them.
    Files are read by pyarrow and not by `load_dataset`, which would copy them into a cache at home.

    Splits: those that were exported; where a task of the world reads its export, a training split
    that is not in it is made. Licence: Apache-2.0, made by this package.

    Args:
        root: The folder of `export.json`.
        configuration: The task whose data they are, with `-` for `/`: `depth-world_rooms`.
    """

    def __init__(self, root: Path, *, configuration: str) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise BenchError(self.root, expected="the folder of an export", got="no such folder")
        found = read_manifest(self.root).configuration(self.root, configuration)
        self._parts = found.splits
        # Which splits there are is known of an export, not of the class.
        self.splits = tuple(sorted(found.splits))  # type: ignore[misc]
        self._samples = lru_cache(maxsize=None)(self._list)
        self._group = lru_cache(maxsize=_GROUPS_KEPT)(_read_group)

    def samples(self, split: str) -> Sequence[Sample]:
        """List a split's samples; no picture and no truth is opened."""
        return self._samples(split)

    def content_hash(self, split: str) -> str:
        """Give the hash of what was exported; the split's file must be as it was written.

        The bytes of a file differ from one version of pyarrow to the next, what is in it does not:
        what was scored on an export stands beside what was scored on the same data as generated.
        """
        part = self._parts[split]
        for name in (MANIFEST, f"{part.folder}/{split}.parquet"):
            check_file(self.root, name)
        return part.content_hash

    def _path(self, split: str) -> Path:
        return self.root / self._parts[split].folder / f"{split}.parquet"

    def _list(self, split: str) -> list[Sample]:
        path = self._path(split)
        file = open_parquet(path)
        with whole_parquet(path):
            names = [name for name in file.schema_arrow.names if name.startswith("tag_")]
            if not {"id", "cluster"} <= set(file.schema_arrow.names):
                raise BenchError(path, expected="columns id and cluster", got="others")
            samples: list[Sample] = []
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["id", "cluster", *names])
                for number, row in enumerate(table.to_pylist()):
                    samples.append(self._sample(path, group, number, row))
        expected = self._parts[split].rows
        if len(samples) != expected:
            raise BenchError(path, expected=f"{expected} rows", got=len(samples))
        return samples

    def _sample(self, path: Path, group: int, number: int, row: dict[str, str]) -> Sample:
        tags = {name[4:]: value for name, value in row.items() if name.startswith("tag_")}
        return Sample(
            id=row["id"],
            cluster=row["cluster"],
            load_inputs=partial(self._inputs, path, group, number, row["id"]),
            load_target=partial(self._target, path, group, number),
            tags={tag: value for tag, value in tags.items() if value is not None},
        )

    def _inputs(self, path: Path, group: int, number: int, name: str) -> Inputs:
        return inputs_of(name, self._cells(path, group, number, "inputs_"))

    def _target(self, path: Path, group: int, number: int) -> Target:
        return target_of(self._cells(path, group, number, "target_"))

    def _cells(self, path: Path, group: int, number: int, side: str) -> dict[str, Any]:
        table = self._group(path, group, side)
        cells = {name: table.column(name)[number] for name in table.column_names}
        return {name: cell for name, cell in cells.items() if cell.is_valid}


def _read_group(path: Path, group: int, side: str) -> Any:
    """Rows that lie together, the columns of one side only: truth stays closed for a model."""
    file = open_parquet(path)
    with whole_parquet(path):
        names = [name for name in file.schema_arrow.names if name.startswith(side)]
        return file.read_row_group(group, columns=names)
