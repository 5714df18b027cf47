"""Datasets of the Hugging Face Hub: which files a split has, and of which revision a copy is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from g2vlm_bench.errors import BenchError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FIX = "Copy it by hand (`huggingface-cli download`) and name the folder with --data-root."


@dataclass(frozen=True, slots=True)
class HubCopy:
    """A dataset at one revision, as far as it was asked for, in the Hub's own cache.

    Attributes:
        root: The folder of that revision.
        revision: Its commit.
    """

    root: Path
    revision: str


def split_files(source: str, config: str, split: str, revision: str = "") -> list[str]:
    """Ask `datasets` which files make a split; nothing but its description is fetched.

    Args:
        source: A dataset's id, or a folder in the same layout.
        config: The configuration; the only one where it is empty.
        split: Its split.
        revision: A commit or branch of the Hub; of a folder it says nothing.

    Returns:
        Names below the folder, sorted as `datasets` sorts them.

    Raises:
        BenchError: `datasets` is not installed, or finds no such dataset, configuration or split.
    """
    try:
        import datasets
    except ImportError:
        raise BenchError(
            f"dataset '{source}'",
            expected="the package datasets",
            got="none",
            fix="pip install g2vlm-bench[qa]",
        ) from None
    try:
        options = {"revision": revision} if revision else {}
        builder = datasets.load_dataset_builder(source, config or None, **options)
    except Exception as error:  # whatever the Hub, the disk or a broken card brings about
        raise _absent(source, error) from None
    found = builder.config.data_files or {}
    if split not in found:
        raise BenchError(
            f"dataset '{source}', configuration '{builder.config.name}'",
            expected=f"a split '{split}'",
            got=", ".join(map(str, found)) or "none",
        )
    return [_below(str(name), source) for name in found[split]]


def fetch_copy(dataset: str, revision: str, patterns: Sequence[str]) -> HubCopy:
    """Bring files of a dataset into the Hub's cache; those that are there are not fetched again.

    Args:
        dataset: Its id.
        revision: A commit or branch; the newest where it is empty.
        patterns: Which files.

    Raises:
        BenchError: The Hub cannot be reached, or has no such dataset or revision.
    """
    try:
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            dataset, repo_type="dataset", revision=revision or None, allow_patterns=list(patterns)
        )
    except Exception as error:
        raise _absent(dataset, error) from None
    root = Path(folder)
    return HubCopy(root, revision_of(root))


def fetch_into(dataset: str, revision: str, patterns: Sequence[str], folder: Path) -> Path:
    """Bring files of a dataset into a folder, with a note of their revision.

    Args:
        dataset: Its id.
        revision: A commit or branch; the newest where it is empty.
        patterns: Which files.
        folder: Where to; made if need be.

    Raises:
        BenchError: The Hub cannot be reached, or has no such dataset or revision.
    """
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(
            dataset,
            repo_type="dataset",
            revision=revision or None,
            allow_patterns=list(patterns),
            local_dir=folder,
        )
    except Exception as error:
        raise _absent(dataset, error) from None
    return folder


def revision_of(root: Path) -> str:
    """Say of which commit a copy of a dataset is; empty where nothing tells.

    The Hub's cache names its folders by the commit; `huggingface-cli download --local-dir` writes
    it into `.cache/huggingface/download`, in the first line of one file a file.

    Raises:
        BenchError: Files of different commits lie in one folder.
    """
    if root.parent.name == "snapshots" and _COMMIT.fullmatch(root.name):
        return root.name
    notes = (root / ".cache/huggingface/download").rglob("*.metadata")
    found = {note.read_text(encoding="utf-8").partition("\n")[0].strip() for note in notes}
    commits = sorted(commit for commit in found if _COMMIT.fullmatch(commit))
    if len(commits) > 1:
        raise BenchError(
            root,
            expected="files of one revision",
            got=" and ".join(commits),
            fix="Download the dataset again, at one revision, into an empty folder.",
        )
    return commits[0] if commits else ""


def _below(name: str, source: str) -> str:
    remote = re.fullmatch(r"hf://datasets/[^/]+/[^/@]+(?:@[^/]+)?/(.+)", name)
    if remote:
        return remote[1]
    return Path(name).resolve().relative_to(Path(source).resolve()).as_posix()


def _absent(dataset: str, error: Exception) -> BenchError:
    got = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return BenchError(f"dataset '{dataset}'", expected="to reach it", got=got, fix=_FIX)
