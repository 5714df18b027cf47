"""What a run was computed with: commit, packages, device, threads."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

# Whatever reads data, runs a model or computes a score; of the rest no number depends.
_PACKAGES = (
    "g2vlm-bench",
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "datasets",
    "pyarrow",
    "open3d",
    "numba",
    "lm-eval",
    "sacrebleu",
    "pillow",
    "av",
    "openexr",
    "h5py",
)
_FOLDER = Path(__file__).parent
# Whose readers are part of `scorer_hash`.
_READERS = ("world", "data")
# Aggregation is not among them: boards and comparisons read the samples' values afresh.
_SCORING = (
    *("metrics", "protocols", "geometry", *_READERS, "lm_eval_bridge"),
    *("scoring.py", "task.py", "metric.py", "sample.py", "files.py", "colmap.py"),
)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was computed with.

    Attributes:
        commit: Of the checkout the package stands in when the run began, None for a wheel.
        dirty: Whether that checkout had uncommitted changes at any time that it was looked at, None
            where there is no checkout.
        other_commits: At which it stood later: at the end, or when an interrupted run went on.
        code_hash: Of the package's own source, known for a wheel too.
    """

    commit: str | None
    dirty: bool | None
    other_commits: tuple[str, ...] = ()
    code_hash: str
    python: str
    system: str
    packages: dict[str, str]
    device: str
    driver: str | None
    threads: int

    @classmethod
    def gather(cls) -> Environment:
        """Look around, without importing anything heavy: a device counts once torch is loaded."""
        commit = _git("rev-parse", "HEAD")
        status = _git("status", "--porcelain")
        device, driver = _device()
        return cls(
            commit=commit,
            dirty=None if commit is None or status is None else bool(status),
            code_hash=code_hash(),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            packages=_versions(),
            device=device,
            driver=driver,
            threads=len(os.sched_getaffinity(0))
            if sys.platform == "linux"
            else os.cpu_count() or 1,
        )

    def since(self, earlier: Environment) -> Environment:
        """Add what the checkout was earlier in the same run, which no later commit mends."""
        flags = (earlier.dirty, self.dirty)
        later = [*earlier.other_commits, self.commit, *self.other_commits]
        return msgspec.structs.replace(
            self,
            commit=earlier.commit,
            dirty=any(flags) or (None if None in flags else False),
            other_commits=tuple(dict.fromkeys(c for c in later if c and c != earlier.commit)),
        )

    def ended(self) -> Environment:
        """The same at the end of the work: a device is known now, and what became of the checkout.

        The packages stay those that were there to be imported.
        """
        return msgspec.structs.replace(Environment.gather().since(self), packages=self.packages)


@functools.cache
def code_hash() -> str:
    """Hash the core's own source; families and adapters are hashed where they are used."""
    apart = ("tasks", "model_adapters", "leaderboards", "report")
    return _source_hash(p for p in _FOLDER.iterdir() if p.name not in apart)


@functools.cache
def scorer_hash() -> str:
    """Hash what scores: metrics, protocols, geometry, and what makes or reads the truth.

    Families, and readers that are not shipped, are hashed where they are used.
    """
    return _source_hash(_FOLDER / part for part in _SCORING)


def is_shipped_reader(path: Path) -> bool:
    """Whether a reader's file is part of `scorer_hash`."""
    return any(path.resolve().is_relative_to(_FOLDER.resolve() / part) for part in _READERS)


def file_hash(path: Path) -> str:
    """Hash a file's content, as `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def peak_memory_mb() -> dict[str, float]:
    """The largest resident memory of this process so far, and of the GPU where torch uses one."""
    peaks: dict[str, float] = {}
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: its peak starts at that of the process that forked this one.
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            peaks["host"] = round(int(found.group(1)) / 1024, 1)
    elif sys.platform == "darwin":
        import resource

        peaks["host"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks["device"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peaks


def _source_hash(parts: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    files = [path for part in parts for path in (part.rglob("*.py") if part.is_dir() else [part])]
    for path in sorted(path for path in files if path.suffix == ".py"):
        digest.update(f"{path.relative_to(_FOLDER)}\n".encode() + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def _git(*arguments: str) -> str | None:
    # An installed wheel may stand inside some other project's checkout, which says nothing of us.
    if not (_FOLDER.parent / "pyproject.toml").is_file():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_FOLDER.parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _device() -> tuple[str, str | None]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return f"cpu ({platform.processor() or platform.machine()})", None
    return torch.cuda.get_device_name(), torch.version.cuda
