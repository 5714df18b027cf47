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
        BenchError: The file is missing, is no YAML, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_SAFE_LOADER)
    except FileNotFoundError:
        raise BenchError(path, expected="a YAML file", got="no file") from None
    except OSError as error:
        raise BenchError(path, expected="a YAML file", got=error.strerror) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchError(path, expected="YAML", got=str(error), fix="Mend the file.") from None
    if not isinstance(content, dict):
        raise BenchError(path, expected="keys and values", got=type(content).__name__)
    return content


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
