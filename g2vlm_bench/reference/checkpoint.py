"""Files of a trained model, and of a training that goes on: safetensors and JSON, no pickles."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from g2vlm_bench.errors import BenchError
from g2vlm_bench.reference.config import Config
from g2vlm_bench.reference.model import G2Vlm
from g2vlm_bench.reference.tokenizer import Words

WEIGHTS, CONFIG, TOKENIZER, PUBLIC = (
    "model.safetensors", "config.json", "tokenizer.json", "public_vit",
)  # fmt: skip
SHIPPED = Path(__file__).parent / "weights"
# A public encoder stands in a folder of its own, in its own format.
_PUBLIC_PREFIX = "visual.public.vit."


@dataclass(frozen=True, slots=True)
class Reference:
    """A trained model with all that it needs.

    Attributes:
        model: In evaluation mode.
        words: Its tokenizer.
        config: Its sizes and how it was trained.
    """

    model: G2Vlm
    words: Words
    config: Config


def save_reference(
    folder: Path, model: G2Vlm, words: Words, config: Config, half: bool = False
) -> None:
    """Write a model for use: weights, configuration, tokenizer.

    Args:
        folder: Is made where missing.
        model: Its weights.
        words: Its tokenizer.
        config: Its configuration.
        half: Whether weights are written as 16-bit floats, half the size.

    Raises:
        BenchError: A weight is no number as it would be written; then nothing is.
    """
    from safetensors.torch import save_file

    weights = {
        name: (value.half() if half and value.is_floating_point() else value).cpu().contiguous()
        for name, value in _weights(model).items()
        if not name.startswith(_PUBLIC_PREFIX)
    }
    fix = "Lower training.learning_rate, and give --out a new folder."
    _check_numbers(_weights(model) | weights, folder / WEIGHTS, fix)
    folder.mkdir(parents=True, exist_ok=True)
    if model.visual.public is not None:
        model.visual.public.vit.save_pretrained(folder / PUBLIC)
    partial = folder / f"{WEIGHTS}.partial"
    save_file(weights, partial)
    os.replace(partial, folder / WEIGHTS)
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=1))
    words.save(folder / TOKENIZER)


def find_reference(name: str) -> Path:
    """The folder of a trained model: one that is shipped, by its name, or one of one's own.

    Raises:
        BenchError: There is none.
    """
    for folder in (SHIPPED / name, Path(name).expanduser()):
        if (folder / WEIGHTS).is_file():
            return folder
    shipped = sorted(path.parent.name for path in SHIPPED.glob(f"*/{WEIGHTS}"))
    raise BenchError(
        f"weights '{name}'",
        expected=f"shipped ones ({', '.join(shipped) or 'none are here'}) or a folder that "
        "`train` wrote",
        got="neither",
        fix="Train them: python run_eval.py train --config nano --out FOLDER.",
    )


def find_public(folder: Path) -> str | None:
    """The public visual encoder of a trained model; None where it has none."""
    return str(folder / PUBLIC) if (folder / PUBLIC).is_dir() else None


def hash_reference(folder: Path) -> str:
    """`sha256:<hex>` of all that fixes what a model answers."""
    digest = hashlib.sha256()
    public = sorted(path for path in (folder / PUBLIC).glob("*") if path.is_file())
    for path in [folder / WEIGHTS, folder / CONFIG, folder / TOKENIZER, *public]:
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise BenchError(path, expected="a file of a model", got=error.strerror) from None
    return f"sha256:{digest.hexdigest()}"


def load_reference(folder: Path, device: str = "cpu") -> Reference:
    """Read a model that `save_reference` wrote; knows nothing of the world that it learnt from.

    Args:
        folder: With weights, configuration and tokenizer.
        device: Where the model is to run.

    Raises:
        BenchError: A file is missing, is none of its kind, or the weights are another model's or no
            numbers; or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        fix = "pip install 'g2vlm-bench[reference]'"
        raise BenchError(folder, expected="safetensors to read it", got="none", fix=fix) from None

    try:
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config)
        weights = load_file(folder / WEIGHTS)
    except (OSError, msgspec.DecodeError, SafetensorError) as error:
        raise BenchError(folder, expected="a trained model", got=str(error)) from None
    words = Words.load(folder / TOKENIZER)
    if len(words) > config.model.vocabulary:
        raise BenchError(
            folder / TOKENIZER,
            expected=f"the {config.model.vocabulary} words of {CONFIG} at most", got=len(words),
        )  # fmt: skip
    _check_numbers(weights, folder / WEIGHTS, "Copy the model again, or train it again.")
    model = G2Vlm(config.model, find_public(folder))
    expected = {name for name in _weights(model) if not name.startswith(_PUBLIC_PREFIX)}
    _put(model, weights, expected, folder / WEIGHTS)
    return Reference(model.to(device).eval(), words, config)


def save_state(
    path: Path, modules: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, str]
) -> None:
    """Write all that a training needs to go on, in one file that is replaced as a whole.

    Args:
        path: The file.
        modules: All that learns.
        optimizer: Of its parameters.
        facts: What else is to be known.
    """
    from safetensors.torch import save_file

    tensors = {f"weights.{name}": value for name, value in _weights(modules).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    partial = path.with_suffix(".partial")
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One entry, because the order of several is not the same on every writing.
    save_file(whole, partial, metadata={"facts": json.dumps(facts)})
    os.replace(partial, path)


def load_state(path: Path, modules: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `save_state` wrote, to the bit.

    Raises:
        BenchError: The file is none, or another model's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BenchError(path, expected="the state of a training", got=str(error)) from None
    _put(modules, _below(tensors, "weights."), set(_weights(modules)), path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        number, _, moment = name.partition(".")
        state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def read_facts(path: Path) -> dict[str, str]:
    """The facts of a state that `save_state` wrote.

    Raises:
        BenchError: The file is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, str] = json.loads((file.metadata() or {})["facts"])
            return facts
    except (SafetensorError, KeyError, ValueError) as error:
        raise BenchError(path, expected="the state of a training", got=str(error)) from None


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Weights by name, those that two modules share under one of their names."""
    return {
        name: value.detach()
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }


def _check_numbers(weights: dict[str, Tensor], path: Path, fix: str) -> None:
    """Refuse weights that are no numbers.

    Raises:
        BenchError: One of them is NaN or infinite.
    """
    odd = sorted(name for name, value in weights.items() if not value.isfinite().all())
    if odd:
        raise BenchError(
            path, expected="weights that are numbers", got=f"none in {odd[0]}", fix=fix
        )


def _put(module: nn.Module, weights: dict[str, Tensor], expected: set[str], path: Path) -> None:
    """Load exactly the expected weights.

    Raises:
        BenchError: There are others, or of another shape.
    """
    odd = sorted(expected ^ weights.keys())
    if odd:
        more = f"{odd[0]} and {len(odd) - 1} others are not in both"
        raise BenchError(path, expected="the weights of its configuration", got=more)
    shapes = {name: tuple(weight.shape) for name, weight in _weights(module).items()}
    other = sorted(name for name in expected if weights[name].shape != shapes[name])
    if other:
        first = other[0]
        raise BenchError(
            path, expected=f"{first} of shape {shapes[first]}, as its configuration has it",
            got=f"{tuple(weights[first].shape)}, and {len(other) - 1} more of another shape",
        )  # fmt: skip
    module.load_state_dict(weights, strict=False)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
