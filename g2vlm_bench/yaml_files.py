"""YAML files read safely, and what they say checked against a struct."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from g2vlm_bench.errors import BenchError, nearest

# The C parser where PyYAML was built with it: listing reads every task file.
_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

S = TypeVar("S", bound=msgspec.Struct)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping safely.

    Raises:
        BenchError: The file is missing, is no YAML, is not a mapping, or names a key twice.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise BenchError(path, expected="a YAML file", got="no file") from None
    except OSError as error:
        raise BenchError(path, expected="a YAML file", got=error.strerror) from None
    except UnicodeDecodeError as error:
        raise BenchError(path, expected="YAML", got=str(error), fix="Mend the file.") from None
    if not isinstance(content, dict):
        raise BenchError(path, expected="keys and values", got=type(content).__name__)
    return content


def parse_yaml(text: str, where: object) -> Any:
    """Read YAML safely, whatever it holds.

    Args:
        text: The YAML.
        where: Its file, for the error.

    Raises:
        BenchError: It is no YAML, or a mapping in it names a key twice; the line is given.
    """
    try:
        loader = _SAFE_LOADER(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node, where)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise BenchError(where, expected="YAML", got=str(error), fix="Mend the file.") from None


def _check_keys(root: yaml.Node, where: object) -> None:
    """Refuse a key that is named twice, of which YAML's reader would silently keep the last."""
    seen: set[int] = set()
    rest = [root]
    while rest:
        node = rest.pop()
        # An alias may hold what it stands in.
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_mapping(node, where)
            rest += [one for pair in node.value for one in pair]
        else:
            rest += node.value


def _check_mapping(node: yaml.MappingNode, where: object) -> None:
    first: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        name, line = (key.tag, key.value), key.start_mark.line + 1
        if name in first:
            raise BenchError(
                f"{where}, line {line}",
                expected="each key once",
                got=f"'{key.value}' again, which line {first[name]} has",
                fix="Keep one of them.",
            )
        first[name] = line


def convert(content: Mapping[str, Any], kind: type[S], where: object) -> S:
    """Check a mapping against a struct's fields and types.

    Args:
        content: Keys and values, as read.
        kind: A `msgspec.Struct`.
        where: File and key, for the error.

    Raises:
        BenchError: A key is unknown (the nearest known one is named), missing, or of another type.
    """
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key in content:
        if key not in known:
            raise BenchError(
                where,
                expected=f"keys of {kind.__name__}",
                got=f"unknown key '{key}'",
                fix=nearest(str(key), known),
            )
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise BenchError(where, got=str(error), fix="Mend the key.") from None
