"""Every dataset layout the project reads: where it comes from, its licence, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.paths import safe_join
from g2vlm_bench.yaml_files import parse_yaml

SHIPPED = Path(__file__).with_suffix(".yaml")


class Download(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that may be fetched without an agreement.

    Attributes:
        url: Where it lies.
        sha256: Of its content, hexadecimal. Where this and `md5` are empty, the first download is
            trusted, its hash is remembered in the dataset's folder, and everything later is held to
            that.
        md5: Of its content, hexadecimal, where that is what was published.
        hash_source: Who published the hash, and where.
        bytes: Its size; 0 where it is not known, which the server must then say.
        path: Its name below the dataset's folder; the last part of the address where it is empty.
        unpack: Whether it is an archive (zip, tar) whose content belongs into the folder that its
            `path` names.
    """

    url: str
    sha256: str = ""
    md5: str = ""
    hash_source: str = ""
    bytes: int = 0
    path: str = ""
    unpack: bool = False

    @property
    def digests(self) -> dict[str, str]:
        """What is known of its content: algorithm -> hash in lower case, the stronger one first."""
        known = {"sha256": self.sha256.lower(), "md5": self.md5.lower()}
        return {algorithm: digest for algorithm, digest in known.items() if digest}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dataset layout.

    Attributes:
        name: Names it on the command line.
        title: One line.
        format: The reader.
        options: What a task file's `data` section says besides the pins, to read this layout.
        source: Where it comes from: the project's public page, or its name in words.
        licence: In the source's words.
        citation: The paper.
        layout: The folder as the reader expects it, a short tree.
        counts: What is known to be there as `options` take it, such as `{test: 5, frames: 550}`: of
            a split the samples, else what the reader's `counts` names; checked by `data verify`.
        notes: What a user must know: invalid marks, traps, what peers do with it.
        download: Its files, where the source allows it; empty where it wants an agreement.
        below: Where the layout begins below the dataset's folder once its downloads are unpacked.
        made_by: The reader that makes the data, which need no source; empty for all others.
    """

    name: str
    title: str
    format: str
    source: str
    licence: str
    layout: str
    options: dict[str, Any] = {}
    citation: str = ""
    counts: dict[str, int] = {}
    notes: str = ""
    download: tuple[Download, ...] = ()
    below: str = ""
    made_by: str = ""

    @property
    def how(self) -> str:
        """How one comes by it, in a word or two."""
        return "made" if self.made_by else "fetched" if self.download else "by hand"

    def layout_root(self, root: Path) -> Path:
        """Name the folder that the layout begins at: within what was fetched, or the one given."""
        unpacked = safe_join(root, self.below)
        return unpacked if unpacked.is_dir() else root

    def text(self) -> str:
        """Say where the data come from, their licence, what they look like, how they are read."""
        parts = {
            "source": self.source,
            "licence": self.licence,
            "paper": self.citation,
            "download": self._files() if self.download else self.how,
            "hashes": "; ".join(
                dict.fromkeys(each.hash_source for each in self.download if each.hash_source)
            ),
            "counts": ", ".join(f"{count} {what}" for what, count in self.counts.items()),
            "notes": self.notes,
        }
        lines = [f"{self.name}: {self.title}"]
        lines += [f"{key:<9} {' '.join(text.split())}" for key, text in parts.items() if text]
        reading = msgspec.yaml.encode({"format": self.format} | self.options).decode()
        for title, text in (("layout", self.layout), ("`data` of a task file", reading)):
            lines += [f"{title}:", *(f"  {line}" for line in text.rstrip().splitlines())]
        return "\n".join(lines)

    def _files(self) -> str:
        sizes = [download.bytes for download in self.download]
        size = f"{sum(sizes) / 1e9:.3g} GB" if all(sizes) else "of unknown size"
        unknown = sum(not download.digests for download in self.download)
        trust = f", {unknown} without a known hash: the first download is trusted"
        return f"{len(sizes)} files, {size}{trust if unknown else ''}"


def load_catalogue(path: Path | None = None) -> dict[str, Entry]:
    """Read a catalogue, the shipped one where none is given; names in the order of the file.

    Raises:
        BenchError: The file breaks the form of an entry, or a name stands twice.
    """
    path = path or SHIPPED
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), path)
        entries = msgspec.convert(content, list[Entry])
    except (OSError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BenchError(path, expected="a list of datasets", got=error) from None
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in found:
            raise BenchError(path, expected="each name once", got=f"'{entry.name}' twice")
        found[entry.name] = entry
    return found


def find_entry(name: str, path: Path | None = None, also: Iterable[str] = ()) -> Entry:
    """Find a dataset by its name, in the shipped catalogue where no other is given.

    Args:
        name: The dataset.
        path: Of the catalogue.
        also: Names that are none of a catalogue, but may have been meant.

    Raises:
        BenchError: There is none; the nearest name is given.
    """
    catalogue = load_catalogue(path)
    if name not in catalogue:
        fix = nearest(name, [*catalogue, *also])
        raise BenchError(f"dataset '{name}'", got="an unknown name", fix=fix)
    return catalogue[name]
