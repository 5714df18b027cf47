"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from g2vlm_bench import environment
from g2vlm_bench.data import known_hashes
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.store import RunFolder, RunRecord

PROJECT = Path(__file__).parent.parent
TOYS = Path(__file__).parent / "toys"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of small real data beside the project; it is never copied into it."""
    folder = PROJECT.parent / "shared" / "realdata"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def toys() -> Plugins:
    """The shipped plug-ins and the toys of these tests."""
    return Plugins((TOYS / "tasks",), (TOYS / "adapters",))


@pytest.fixture
def toy_task(toys: Plugins) -> Callable[..., Task]:
    """Load a toy task, with some keys of its file changed; `data` is merged."""

    def load(name: str = "toy/echo", **changes: Any) -> Task:
        definition = toys.task(name)
        changes["data"] = definition.data | changes.get("data", {})
        return Task.load(toys, msgspec.structs.replace(definition, **changes))

    return load


@pytest.fixture
def toy_run(
    toys: Plugins, toy_task: Callable[..., Task], tmp_path: Path
) -> Callable[..., tuple[RunFolder, RunRecord]]:
    """Run a toy model on a toy task into `tmp_path/runs`."""

    def start(
        model: str | Model = "pixels",
        arguments: dict[str, Any] | None = None,
        task: str = "toy/echo",
        data: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[RunFolder, RunRecord]:
        chosen = Options(**{"out": tmp_path / "runs"} | options)
        if isinstance(model, str):
            model = Model.load(toys, model, arguments or {}, chosen)
        return run(toy_task(task, data=data or {}), model, chosen)

    return start


class Checkout:
    """The checkout that the package stands in, as git would tell of it."""

    def __init__(self) -> None:
        self.commit, self.changes = "a" * 40, ""

    def git(self, *arguments: str) -> str:
        return self.commit if arguments[0] == "rev-parse" else self.changes

    def edit(self) -> None:
        """Change a file without committing it."""
        self.changes = "M g2vlm_bench/metrics/depth.py"

    def move_to(self, commit: str) -> None:
        """Commit everything."""
        self.commit, self.changes = commit * 40, ""


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout to edit and commit to; clean, at commit `aaaa...`."""
    made = Checkout()
    monkeypatch.setattr(environment, "_git", made.git)
    return made


@pytest.fixture(scope="session")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference model that has learnt nothing, small enough for tests, as `train` writes one."""
    import torch

    from g2vlm_bench.reference.checkpoint import save_reference
    from g2vlm_bench.reference.config import Config, ModelConfig, Stage, TrainingConfig
    from g2vlm_bench.reference.model import G2Vlm
    from g2vlm_bench.reference.tokenizer import Words

    spoken = "is the red box ball left of nearer to than which what how far in meters yes no"
    words = Words.learn([f"{spoken} describe scene a and - . , ? 0 1 2 3 4 5 6 7 8 9"])
    config = Config(
        model=ModelConfig(
            width=32, heads=4, visual_layers=1, language_layers=1, trunk_layers=4,
            decoder_layers=2, vocabulary=len(words), cloud_tokens=4, embedding=16,
        ),
        training=TrainingConfig(stages=(Stage(steps=1, side=32, scenes=1),)),
    )  # fmt: skip
    torch.manual_seed(0)
    model = G2Vlm(config.model)
    with torch.no_grad():
        for parameter in model.parameters():
            # The plain start has zeros where nothing must stay zero.
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("reference") / "tiny"
    save_reference(folder, model, words, config, half=True)
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in a world where every file has settled."""
    names: list[str] = []
    honest = known_hashes.hash_file

    def counted(path: Path) -> str:
        names.append(path.name)
        return honest(path)

    monkeypatch.setattr(known_hashes, "hash_file", counted)
    monkeypatch.setattr(known_hashes, "_SETTLED_NS", -3_600_000_000_000)
    return names
