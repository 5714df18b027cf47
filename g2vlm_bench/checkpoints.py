"""Checkpoints of transformers, for the adapters that load them: found, hashed, opened, refused.

Nothing in a checkpoint is run: weights are safetensors, and code that it brings along stays shut.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from g2vlm_bench.data.known_hashes import KnownHashes
from g2vlm_bench.errors import BenchError, nearest

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

DTYPES = ("auto", "float32", "bfloat16", "float16")
_WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was found.

    Attributes:
        given: What the user wrote: a folder or a hub id.
        folder: Where its files are.
        name: What is recorded: `given` with the revision.
        weights: Its safetensors.
    """

    given: str
    folder: Path
    name: str
    weights: tuple[Path, ...]

    @classmethod
    def find(
        cls, given: str, revision: str | None, files: Sequence[str], auto_class: str
    ) -> Checkpoint:
        """Find a checkpoint's folder, or download it.

        Args:
            given: A folder written by `save_pretrained`, or a hub id.
            revision: Branch, tag or commit of a hub id.
            files: Names of the files beside the weights that are needed or may be there.
            auto_class: The class that loads it, for the advice given with pickled weights.

        Raises:
            BenchError: It is not there, or has no safetensors.
        """
        folder = Path(given).expanduser()
        if not folder.is_dir():
            folder = _download(given, revision, files)
            name = f"{given}@{folder.name}"
        elif revision is not None:
            raise BenchError(
                f"checkpoint '{given}'",
                expected="no revision, for it is a local folder",
                got=f"revision '{revision}'",
            )
        else:
            # A folder has no revision. The hash of its settings stands in: input size or chat
            # template can be edited there without touching the weights.
            name = f"{given}@{_hash([folder / file for file in files])[7:19]}"
        return cls(given, folder, name, tuple(_weight_files(folder, given, auto_class)))

    def weights_hash(self) -> str:
        """Hash the weights, as `sha256:<hex>`; a file that did not change is not read again.

        Of one file it is the file's own; of several, that of what `sha256sum *.safetensors` prints.
        """
        known = KnownHashes(self.folder.absolute())
        hashes = {path.name: known.of(path.absolute()) for path in self.weights}
        known.keep()
        if len(hashes) == 1:
            return f"sha256:{hashes.popitem()[1]}"
        listed = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items())
        return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"

    def config(self, kind: str, known: Iterable[str]) -> Any:
        """Read config.json.

        Args:
            kind: What the caller can use, for the error.
            known: The architectures that are of that kind.

        Raises:
            BenchError: It cannot be read, or is of another architecture.
        """
        from transformers import AutoConfig

        config = self.attempt(
            lambda: AutoConfig.from_pretrained(
                self.folder, trust_remote_code=False, local_files_only=True
            ),
            "a config.json that transformers can read",
        )
        if config.model_type not in known:
            raise BenchError(
                f"checkpoint '{self.given}'", expected=kind, got=f"'{config.model_type}'"
            )
        return config

    def model(self, auto_class: Any, config: Any, dtype: str, never_run: str = r"(?!)") -> Any:
        """Load the weights into the model, ready to predict.

        Args:
            auto_class: The class of transformers that loads such models.
            config: As `config` gave it.
            dtype: One of `DTYPES`; `auto` is float32, so that a device cannot change it.
            never_run: Pattern of the weights that may be missing, since nothing uses them.

        Raises:
            BenchError: They do not fit the config, or are not all there.
        """
        import torch

        model, report = self.attempt(
            lambda: auto_class.from_pretrained(
                self.folder,
                config=config,
                dtype=torch.float32 if dtype == "auto" else getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            ),
            "weights that fit config.json",
        )
        # transformers fills what is missing with random numbers and only warns.
        missing = sorted(name for name in report["missing_keys"] if not re.search(never_run, name))
        if missing:
            raise BenchError(
                f"checkpoint '{self.given}'",
                expected="every weight of the model",
                got=f"{len(missing)} missing, such as '{missing[0]}'",
            )
        return model.eval()

    def attempt(self, load: Callable[[], T], expected: str, fix: str | None = None) -> T:
        """Load a part of the checkpoint.

        Raises:
            BenchError: Whatever the library raised.
        """
        return _attempt(load, self.given, expected, fix)


def find_device(name: str, adapter: str) -> torch.device:
    """Give the device of a name; `auto` takes a GPU where there is one.

    Raises:
        BenchError: This machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # Only an allocation shows whether the device is there.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BenchError(
            f"{adapter} argument 'device'",
            expected="a device of this machine",
            got=f"'{name}' ({first_line(error)})",
            fix="Use device=cpu or device=auto.",
        ) from error


def check_choice(adapter: str, argument: str, given: str, known: Sequence[str]) -> None:
    """Refuse an argument's value that is not known; the nearest is given.

    Raises:
        BenchError: It is none of them.
    """
    if given not in known:
        raise BenchError(
            f"{adapter} argument '{argument}'",
            expected=" | ".join(known),
            got=f"'{given}'",
            fix=nearest(str(given), known),
        )


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, 200 letters at most."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]


def _download(given: str, revision: str | None, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    def load() -> str:
        wanted = [*files, *_WEIGHTS]
        return str(snapshot_download(given, revision=revision, allow_patterns=wanted))

    name = f"{given}@{revision}" if revision else given
    expected = "a folder, or a hub id that can be downloaded or is in the cache"
    return Path(_attempt(load, name, expected))


def _weight_files(folder: Path, given: str, auto_class: str) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    raise BenchError(
        f"checkpoint '{given}'",
        expected="safetensors, for a pickle can run any code",
        got=", ".join(pickles) or "none",
        fix=(
            f'Convert it where you trust it: python -c "from transformers import {auto_class} as '
            f"M; M.from_pretrained('{given}').save_pretrained('FOLDER')\", "
            "and copy its other files into FOLDER."
        ),
    )


def _hash(files: Sequence[Path]) -> str:
    """Hash the contents of some small files, one behind the other; what is absent adds none."""
    content = b"".join(path.read_bytes() for path in files if path.is_file())
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _attempt(load: Callable[[], T], given: str, expected: str, fix: str | None = None) -> T:
    # What these libraries raise on a damaged file is not documented and differs by version, so
    # anything they raise becomes the one line; the cause is kept.
    try:
        return load()
    except Exception as error:
        got = f"{type(error).__name__}: {first_line(error)}"
        raise BenchError(f"checkpoint '{given}'", expected=expected, got=got, fix=fix) from error
