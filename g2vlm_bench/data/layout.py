"""Finds the files of a layout by patterns, and hashes what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from g2vlm_bench.data.known_hashes import hash_file
from g2vlm_bench.data.pin import hash_files, hash_text
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.paths import safe_join

_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Match:
    """A file that a pattern found.

    Attributes:
        path: The file, resolved.
        names: What the pattern's placeholders stand for.
    """

    path: Path
    names: Mapping[str, str]

    @property
    def id(self) -> str:
        """All placeholders in their order, or the file's stem where the pattern has none."""
        return "/".join(self.names.values()) or self.path.stem


def find(root: Path, pattern: str) -> list[Match]:
    """List the files that a pattern names, sorted by path.

    A placeholder such as `{scene}` stands for a part of a name and is remembered; the same
    placeholder twice stands for the same text. `*` matches within a name, `**` any folders.

    Args:
        root: The folder; a file that a link leads out of it is refused.
        pattern: Relative to the folder, such as `{scene}/rgb/{id}.png`.

    Raises:
        BenchError: Nothing is found, or a file is outside the folder.
    """
    root, shape = root.resolve(), _regex(pattern)
    try:
        hits = sorted(root.glob(_NAME.sub("*", pattern)))
    except (ValueError, NotImplementedError) as error:
        raise BenchError(
            root, expected="a relative pattern", got=f"'{pattern}' ({error})"
        ) from None
    found = []
    for hit in hits:
        relative = hit.relative_to(root).as_posix()
        if (names := shape.fullmatch(relative)) and hit.is_file():
            found.append(Match(safe_join(root, relative), names.groupdict()))
    if not found:
        raise BenchError(root, expected=f"files '{pattern}'", got="none", fix="Check root and key.")
    return found


def fill(pattern: str, names: Mapping[str, object], where: object) -> str:
    """Put names in the place of a pattern's placeholders.

    >>> fill("depth/{id}.png", {"id": "0001"}, "task")
    'depth/0001.png'

    Raises:
        BenchError: A placeholder has no name.
    """

    def value(placeholder: re.Match[str]) -> str:
        name = placeholder[1]
        if name not in names:
            got = f"no '{name}' for the placeholder of '{pattern}'"
            raise BenchError(where, got=got, fix=nearest(name, names))
        return str(names[name])

    return _NAME.sub(value, pattern)


def hash_content(
    root: Path,
    files: Iterable[Path],
    facts: Iterable[str] = (),
    hash_one: Callable[[Path], str] = hash_file,
) -> str:
    """Hash files below a root, `sha256:<hex>`; a missing file changes the hash and is no error.

    So a data set that lacks one image can be scored without a pin, that sample failing alone; a
    pinned task refuses it.

    Args:
        root: The folder that names are relative to.
        files: Every file that numbers depend on.
        facts: What else the numbers depend on.
        hash_one: Gives one file's SHA-256.
    """
    root = root.resolve()
    every = set(files)
    present = {path for path in every if path.is_file()}
    return hash_text(
        [
            hash_files(root, present, hash_one),
            *(f"missing {path.name}" for path in sorted(every - present)),
            *facts,
        ]
    )


def _regex(pattern: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for token in re.split(r"(\{\w+\}|\*\*/|\*)", pattern):
        if name := _NAME.fullmatch(token):
            again = name[1] in seen
            seen.add(name[1])
            parts.append(f"(?P={name[1]})" if again else f"(?P<{name[1]}>[^/]+)")
        else:
            parts.append({"**/": "(?:.*/)?", "*": "[^/]*"}.get(token, re.escape(token)))
    return re.compile("".join(parts))
