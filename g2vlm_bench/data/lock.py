"""What was fetched into a dataset's folder, and the hashes that it is held to from then on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from g2vlm_bench.errors import BenchError

LOCK_FILE = ".g2vlm-bench.json"


class Fetched(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was fetched.

    Attributes:
        url: Where from.
        sha256: Of its content, hexadecimal: that of the catalogue, or, where that has none, that of
            the first download, which was trusted.
        bytes: Its size.
        unpacked: The SHA-256 of every file that was unpacked of it, by name below the folder that
            it stood in; None where it is kept as it came.
    """

    url: str
    sha256: str
    bytes: int
    unpacked: dict[str, str] | None = None


def read_lock(root: Path) -> dict[str, Fetched]:
    """Read what was fetched into a folder, by name; nothing where nothing was.

    Raises:
        BenchError: The record is damaged. It is not passed over: what was trusted once would then
            be trusted anew.
    """
    path = root / LOCK_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Fetched])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(
            path,
            expected="the record of what was fetched",
            got=error,
            fix="Remove it to trust what is there, or fetch into an empty folder.",
        ) from None


def write_lock(root: Path, fetched: Mapping[str, Fetched]) -> None:
    """Write what was fetched into a folder, whole or not at all."""
    beside = root / f"{LOCK_FILE}.part"
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(fetched, order="sorted"), indent=1))
    beside.replace(root / LOCK_FILE)
