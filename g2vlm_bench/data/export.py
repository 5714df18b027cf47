"""Writes samples as a Hugging Face dataset on disk: the same data, the same bytes.

Parquet and not `Dataset.save_to_disk`: that one stores a fingerprint drawn at random and names
files by it, keeps one configuration a folder, and cannot be read without `datasets`. A folder of
Parquet with a card is what the Hub itself holds: `load_dataset(FOLDER, CONFIGURATION)` reads it.

The bytes are those of one version of pyarrow and Pillow: another may compress otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.data.columns import Codec, codecs, nesting, row
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import Sample

LAYOUT_VERSION = 1
MANIFEST, SUMS, CARD = "export.json", "SHA256SUMS", "README.md"

_NAME = re.compile(r"[\w-]+", re.ASCII)
# Rows that are compressed, and read back, together: a few dozen megabytes of the densest clouds.
_ROWS_AT_ONCE = 16
# Pictures that several questions share are stored once.
_DICTIONARY_BYTES = 1 << 26


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A split of a configuration.

    Attributes:
        folder: Where its file lies below the export; configurations of the same data share it.
        rows: Number of samples.
        content_hash: Of the reader that made it.
    """

    folder: str
    rows: int
    content_hash: str


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was exported under one name.

    Attributes:
        format: The reader that made it.
        options: The reader's options.
        revision: The data's own version.
        splits: What there is of it.
    """

    format: str
    options: dict[str, Any]
    revision: str
    splits: dict[str, Part]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an export holds: its `export.json`.

    Attributes:
        version: Of the layout.
        configurations: By name.
    """

    version: int = LAYOUT_VERSION
    configurations: dict[str, Configuration] = {}

    def configuration(self, root: Path, name: str) -> Configuration:
        """Find a configuration.

        Raises:
            BenchError: There is none of that name.
        """
        if name not in self.configurations:
            raise BenchError(
                f"{root}, configuration '{name}'",
                expected="one that was exported",
                got="an unknown name",
                fix=nearest(name, self.configurations),
            )
        return self.configurations[name]


def configuration_of(task: str) -> str:
    """Name the configuration that holds a task's data.

    >>> configuration_of("depth/world_rooms")
    'depth-world_rooms'
    """
    return task.replace("/", "-")


def export_of(
    task: str, made_by: str, options: Mapping[str, Any], data_root: Path | None
) -> Path | None:
    """Find an export of a task's data below a data root, `DATA_ROOT/FORMAT`.

    Args:
        task: The task's name.
        made_by: The format that it names: the reader that makes its data.
        options: The reader's options.
        data_root: Where data lie; none where nobody said.

    Returns:
        The export's folder; none where the task's data are not in one.

    Raises:
        BenchError: There are data of that task, but made with other options, or the export is
            damaged.
    """
    root = data_root / made_by if data_root else None
    if root is None or not (root / MANIFEST).is_file():
        return None
    found = read_manifest(root).configurations.get(configuration_of(task))
    if found is None or found.format != made_by:
        return None
    if found.options != dict(options):
        raise BenchError(
            f"{root}, data of {task}", expected=f"made with {dict(options)}", got=found.options,
            fix=_AGAIN,
        )  # fmt: skip
    return root


def export(
    reader: Reader, split: str, folder: Path, advance: Callable[[int], None] = lambda steps: None
) -> Path:
    """Write all samples of a split as `FOLDER/SPLIT.parquet`.

    Args:
        reader: Any reader whose samples have neither scans nor crops.
        split: Which split.
        folder: Made if need be.
        advance: Told of every sample that was written.

    Returns:
        The file.

    Raises:
        BenchError: `datasets` is not installed, a sample cannot be opened or written, or the disk
            is full.
    """
    samples = reader.samples(split)
    path = folder / f"{split}.parquet"
    part, whole = path.with_suffix(".part"), path.with_suffix(".whole")
    columns = codecs(sorted({tag for sample in samples for tag in sample.tags}))
    with _disk(path), _package(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            used = _write(part, columns, samples, advance)
            _keep(part, whole, {name: columns[name] for name in columns if name in used})
            os.replace(whole, path)
        finally:
            part.unlink(missing_ok=True)
            whole.unlink(missing_ok=True)
    return path


def open_parquet(path: Path) -> Any:
    """Open a Parquet file by its footer.

    Raises:
        BenchError: `datasets` is not installed, or the file is missing or not whole.
    """
    with _package(path), whole_parquet(path):
        import pyarrow.parquet as pq

        if not path.is_file():
            raise BenchError(path, expected="a Parquet file", got="no file", fix=_AGAIN)
        return pq.ParquetFile(path)


@contextmanager
def whole_parquet(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into an error of one line.

    Raises:
        BenchError: In its place.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise BenchError(path, expected="a whole Parquet file", got=error, fix=_AGAIN) from None


def read_manifest(root: Path) -> Manifest:
    """Read what an export holds.

    Raises:
        BenchError: There is none, it is damaged, or its layout is another version's.
    """
    path = root / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(
            path, expected="an export's list", got=error.strerror, fix=_AGAIN
        ) from None
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != LAYOUT_VERSION:
            raise BenchError(path, expected=f"layout {LAYOUT_VERSION}", got=version, fix=_AGAIN)
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise BenchError(path, expected="an export's list", got=error, fix=_AGAIN) from None
    for configuration in manifest.configurations.values():
        for split, of_split in configuration.splits.items():
            for name in (split, of_split.folder):
                if not _NAME.fullmatch(name):
                    raise BenchError(path, expected="names of a folder and a file", got=repr(name))
    return manifest


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write what an export holds, its card, and the hash of every file that belongs to it."""
    with _disk(root):
        root.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
        (root / MANIFEST).write_bytes(content + b"\n")
        (root / CARD).write_text(_card(manifest), encoding="utf-8")
        lines = (f"{_sha256(root / name)}  {name}\n" for name in files_of(manifest))
        (root / SUMS).write_text("".join(lines), encoding="utf-8")


def files_of(manifest: Manifest) -> list[str]:
    """Name the files of an export below its folder, sorted, without the list of their hashes."""
    parts = {
        f"{part.folder}/{split}.parquet"
        for configuration in manifest.configurations.values()
        for split, part in configuration.splits.items()
    }
    return sorted({MANIFEST, CARD, *parts})


def check_file(root: Path, name: str) -> None:
    """Hold a file of an export to the hash written beside it.

    Raises:
        BenchError: The file is missing or changed, or its hash is not known.
    """
    wrong = _wrong(root, name, _known(root))
    if wrong:
        raise BenchError(root / name, expected="a file as it was written", got=wrong, fix=_AGAIN)


def damaged(root: Path, manifest: Manifest) -> dict[str, str]:
    """Compare every file with the hash written beside it.

    Returns:
        What is wrong, by the name of the file.

    Raises:
        BenchError: The list of hashes is missing or damaged.
    """
    known = _known(root)
    names = files_of(manifest)
    found = {name: _wrong(root, name, known) for name in names}
    found |= {name: "a file of no configuration" for name in known if name not in names}
    return {name: wrong for name, wrong in found.items() if wrong}


def _known(root: Path) -> dict[str, str]:
    path = root / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise BenchError(
            path, expected="hashes and names of files", got=error, fix=_AGAIN
        ) from None


def _wrong(root: Path, name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        return "a file of no known hash"
    if not (root / name).is_file():
        return "no file"
    return "" if _sha256(root / name) == known[name] else "a changed file"


_AGAIN = "Export it again: g2vlm-bench data prepare world."


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def _write(
    path: Path,
    columns: Mapping[str, Codec],
    samples: Sequence[Sample],
    advance: Callable[[int], None],
) -> set[str]:
    """Write every column, and tell which ones hold anything."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    used: set[str] = set()
    schema = _schema(columns)
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, len(samples), _ROWS_AT_ONCE):
            rows = [row(sample) for sample in samples[start : start + _ROWS_AT_ONCE]]
            used |= {name for one in rows for name in one}
            arrays = [
                codec.encode([one.get(name) for one in rows]).cast(schema.field(name).type)
                for name, codec in columns.items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            advance(len(rows))
    return used


def _keep(source: Path, path: Path, columns: Mapping[str, Codec]) -> None:
    """Copy some columns, compressed; which ones are used is known only once all are written."""
    import pyarrow.parquet as pq

    schema = _schema(columns)
    # Bytes of like weight beside one another compress: noise of floats is in the last ones.
    depths = {name: nesting(codec) for name, codec in columns.items()}
    numeric = {f"{name}{'.list.element' * depth}" for name, depth in depths.items() if depth}
    words = sorted(_leaves(schema) - numeric)
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=words,
            use_byte_stream_split=sorted(numeric), dictionary_pagesize_limit=_DICTIONARY_BYTES,
        ) as writer,
    ):  # fmt: skip
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(columns)).select(list(columns))
            writer.write_table(table.cast(schema))


def _schema(columns: Mapping[str, Codec]) -> Any:
    from datasets import Features

    return Features({name: codec.feature() for name, codec in columns.items()}).arrow_schema


def _leaves(schema: Any) -> set[str]:
    """The paths of columns in Parquet's own terms."""
    import pyarrow as pa

    def below(path: str, kind: Any) -> Iterator[str]:
        if pa.types.is_list(kind):
            yield from below(f"{path}.list.element", kind.value_type)
        elif pa.types.is_struct(kind):
            for field in kind:
                yield from below(f"{path}.{field.name}", field.type)
        else:
            yield path

    return {leaf for field in schema for leaf in below(field.name, field.type)}


def _card(manifest: Manifest) -> str:
    lines = ["---", "license: apache-2.0", "configs:"]
    for name, configuration in sorted(manifest.configurations.items()):
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, part in sorted(configuration.splits.items()):
            lines += [f"  - split: {split}", f"    path: {part.folder}/{split}.parquet"]
    lines += [
        "---",
        "",
        "# Exported by g2vlm-bench",
        "",
        "`load_dataset(FOLDER, CONFIGURATION, split=...)` reads a configuration, one for a task.",
        "`inputs_...` is what a model may see, `target_...` what is true, `tag_...` what a table",
        "may be split by. Metres; depth is z, NaN where there is none; OpenCV cameras (x right,",
        "y down, z forward), pixel centres at +0.5; poses `world_from_camera`.",
        f"`{MANIFEST}` says how each was made; `sha256sum -c {SUMS}` checks the files.",
    ]
    return "\n".join(lines) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _package(path: Path) -> Iterator[None]:
    try:
        import datasets  # noqa: F401
    except ImportError:
        raise BenchError(
            path, expected="the package datasets", got="none", fix="pip install g2vlm-bench[qa]"
        ) from None
    yield


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(path, expected="a place to write", got=error.strerror or error) from None
