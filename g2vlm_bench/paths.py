"""Paths that files name, held within their folder."""

from __future__ import annotations

from pathlib import Path

from g2vlm_bench.errors import BenchError


def safe_join(root: Path, relative: str | Path) -> Path:
    """Name a file that a data set or a prediction names, and refuse to leave the folder.

    `..` is fine as long as the path ends inside the folder; a link out of it is not.

    Args:
        root: The folder.
        relative: A path within it, as read from a file.

    Returns:
        The resolved path; it need not exist.

    Raises:
        BenchError: The path is absolute or ends outside the folder.
    """
    try:
        folder = root.resolve()
        path = (folder / relative).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # NUL characters, loops of links
        raise BenchError(root, expected="a path within the folder", got=error) from None
    if Path(relative).is_absolute() or not path.is_relative_to(folder):
        raise BenchError(
            root,
            expected="a path within the folder",
            got=f"'{relative}'",
            fix="Give a folder that holds all files as the root.",
        )
    return path
