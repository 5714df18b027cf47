"""One run of training: step after step, measured, logged and kept so that it can go on.

What a step does follows from the configuration, the seed and the number of the step alone. So a
training that was killed and goes on from its last state ends as one that was never killed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec
import torch
from msgspec import structs
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from g2vlm_bench.errors import BenchError
from g2vlm_bench.progress import progress
from g2vlm_bench.reference.batches import Drawn
from g2vlm_bench.reference.checkpoint import load_state, read_facts, save_state
from g2vlm_bench.reference.config import Config, Stage, TrainingConfig
from g2vlm_bench.reference.examples import COLOR_NUMBERS, KIND_NUMBERS
from g2vlm_bench.reference.model import G2Vlm
from g2vlm_bench.reference.objective import Readouts, total_loss
from g2vlm_bench.reference.validation import measure

STATE, LOG = "state.safetensors", "log.jsonl"
_LOGGED_EVERY = 20
_MOST_SKIPPED = 100
_LOWEST_RATE = 0.01
# Parameters by name that are no maps between features; decay would only pull them to nothing.
_NO_DECAY = (
    "model.language.words.weight", "model.language.places", "model.geometric.queries",
    "model.camera",
)  # fmt: skip

# Facts of a training that states written before 2026-11-23 lack.
_NEWER = ("words", "pictures")

Precision = Literal["float32", "bfloat16"]
_T = TypeVar("_T")


class Source(Protocol):
    """Where batches come from."""

    def batches(self, start: int = 0) -> Generator[Drawn]:
        """Batches of steps `start`, `start + 1`, ... to the last."""
        ...

    def validation(self, step: int) -> list[Drawn]:
        """Batches of scenes never trained on, like those that a step is trained on."""
        ...


class Plan(NamedTuple):
    """How a training is run, where it changes nothing but what it costs, or is asked for by hand.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`.
        precision: Of what the matrices multiply.
        seed: Of the weights, and of what is shown and drawn.
        steps: Stop after this many; all stages where None.
        minutes: Stop after so many of this call, with a state to go on from and a model to use.
        workers: Processes that render ahead.
        validate_every: Steps between two measurements.
        save_every_s: Seconds between two states.
        half: Whether the final weights are written as 16-bit floats.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    workers: int = 0
    validate_every: int = 500
    save_every_s: float = 180.0
    half: bool = False


class Learner(nn.Module):
    """All that learns: the model, and the readouts that are left behind."""

    def __init__(self, config: Config, public: str | None) -> None:
        super().__init__()
        self.model = G2Vlm(config.model, public)
        self.readouts = Readouts(config.model, len(COLOR_NUMBERS) + 1, len(KIND_NUMBERS) + 1)


class Run:
    """A training that is under way.

    Args:
        config: Sizes and curriculum.
        plan: How it is run.
        learner: Whose weights are changed.
        source: Of batches.
        out: Folder of the state and the log.
        said: Is told each measurement.
        origin: Hashes of what it learns from besides the configuration: `start`, the model that
            was started from; `words`, the tokenizer; `pictures`. Empty for what there is not.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        learner: Learner,
        source: Source,
        out: Path,
        said: Callable[[str], None],
        origin: Mapping[str, str] | None = None,
    ) -> None:
        self.config, self.plan, self.learner, self.source = config, plan, learner, source
        self.out, self.said = out, said
        training = config.training
        self.optimizer = torch.optim.AdamW(
            parameter_groups(learner, training.weight_decay), training.learning_rate,
            betas=(0.9, 0.98), fused=True,
        )  # fmt: skip
        self.all_steps = sum(stage.steps for stage in training.stages)
        self.last = min(plan.steps or self.all_steps, self.all_steps)
        self.average = averaged(learner.model, training.averaging)
        self.step = 0
        self.skipped = 0
        self._in_a_row = 0
        self._identity = {
            "config": msgspec.json.encode(config).decode(),
            "seed": str(plan.seed),
            "precision": plan.precision,
            "start": "",
            **(origin or {}),
        }

    def resume(self) -> None:
        """Go on where the folder's last state stands; the log is cut back to it.

        Raises:
            BenchError: The state is of another seed, precision or origin, or of a configuration
                that did something else until then. Stages that have not begun may be changed.
        """
        path = self.out / STATE
        kept: list[bytes] = []
        if path.is_file():
            facts = read_facts(path)
            self._check_same(path, facts)
            load_state(path, self._learnt, self.optimizer)
            self.step, self.skipped = int(facts["step"]), int(facts["skipped"])
            kept = _lines_until(self.out / LOG, self.step)
        (self.out / LOG).write_bytes(b"".join(line + b"\n" for line in kept))

    def _check_same(self, path: Path, facts: dict[str, str]) -> None:
        """Refuse another training's state; steps that are still to come may be others now.

        Raises:
            BenchError: What it did up to here is not what this one would have done.
        """
        try:
            before = msgspec.json.decode(facts.get("config", ""), type=Config)
        except msgspec.DecodeError:
            before = None
        taken = int(facts.get("step", 0))
        # What older versions did not write down cannot be told apart.
        facts = {name: self._identity.get(name, "") for name in _NEWER} | facts
        same = {name: facts.get(name) == value for name, value in self._identity.items()}
        same["config"] = before is not None and _past(before, taken) == _past(self.config, taken)
        for name, alike in same.items():
            if not alike:
                raise BenchError(
                    path, expected=f"a training of the same {name}", got="another",
                    fix="Give --out a new folder, or remove this one.",
                )  # fmt: skip

    def go(self) -> None:
        """Take steps until the last one is done."""
        if self.step >= self.last:
            return
        saved = began = time.monotonic()
        most_s = math.inf if self.plan.minutes is None else 60 * self.plan.minutes
        with (
            progress("train", self.last, self.step) as advance,
            closing(self.source.batches(self.step)) as batches,
        ):
            for drawn in batches:
                parts = self.take(on_device(drawn, self.plan.device))
                self.step += 1
                advance(1)
                if self.step % _LOGGED_EVERY == 0 or self.step == self.last:
                    self._log(parts | {"minutes": (time.monotonic() - began) / 60})
                if self.step % self.plan.validate_every == 0 or self.step == self.last:
                    self._validate()
                now = time.monotonic()
                ends = self.step == self.last or now - began >= most_s
                if ends or now - saved > self.plan.save_every_s:
                    self.save()
                    saved = now
                if ends:
                    return

    def take(self, drawn: Drawn) -> dict[str, float]:
        """One step; one whose loss or gradient is no number changes nothing and is counted.

        Raises:
            BenchError: Too many steps in a row were none.
        """
        rate = learning_rate(self.step, self.all_steps, self.config.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        model, readouts = self.learner.model, self.learner.readouts
        with self._precision():
            output = model(drawn.inputs, drawn.refinements)
            weights = self.config.training.losses_of(self.step)
            loss, parts = total_loss(model, readouts, output, drawn, weights)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.config.training.clip)
        if bool(torch.isfinite(loss) & torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update_parameters(model)
            self._in_a_row = 0
        else:
            self.skipped += 1
            self._in_a_row += 1
            if self._in_a_row >= _MOST_SKIPPED:
                raise BenchError(
                    "training", expected="a loss that is a number",
                    got=f"none in {_MOST_SKIPPED} steps",
                    fix="Lower training.learning_rate, or go on from an earlier state.",
                )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        numbers = {"loss": loss, **parts, "gradient": norm}
        return {name: float(value.detach()) for name, value in numbers.items()} | {"rate": rate}

    def save(self) -> None:
        """Write the state."""
        facts = self._identity | {"step": str(self.step), "skipped": str(self.skipped)}
        save_state(self.out / STATE, self._learnt, self.optimizer, facts)

    @property
    def smoothed(self) -> G2Vlm:
        """The model of averaged weights, which is measured and shipped."""
        model = self.average.module
        assert isinstance(model, G2Vlm)
        return model

    @property
    def _learnt(self) -> nn.ModuleDict:
        return nn.ModuleDict({"learner": self.learner, "average": self.average})

    def _precision(self) -> torch.autocast:
        half = self.plan.precision == "bfloat16"
        return torch.autocast(torch.device(self.plan.device).type, torch.bfloat16, enabled=half)

    def _validate(self) -> None:
        batches = (
            on_device(drawn, self.plan.device) for drawn in self.source.validation(self.step - 1)
        )
        with self._precision():
            figures = measure(self.smoothed, batches)
        self._log({"validation": figures})
        told = "  ".join(f"{n} {v:.3f}" for n, v in figures.items() if "/" not in n)
        self.said(f"step {self.step}  {told}")

    def _log(self, facts: dict[str, Any]) -> None:
        with (self.out / LOG).open("ab") as file:
            line = {"step": self.step, "skipped": self.skipped, **facts}
            file.write(msgspec.json.encode(line) + b"\n")


class _Line(msgspec.Struct):
    """A line of a log, as far as it is read again.

    Attributes:
        step: After which it was written.
        validation: Figures, where it has some; None for one that was no number.
    """

    step: int
    validation: dict[str, float | None] | None = None


def check_validation(log: Path) -> None:
    """Refuse a training whose last validation, where there was one, has a figure that is no number.

    Raises:
        BenchError: It has.
    """
    lines = [msgspec.json.decode(line, type=_Line) for line in log.read_bytes().splitlines()]
    measured = [line.validation for line in lines if line.validation is not None]
    odd = sorted(name for name, figure in (measured or [{}])[-1].items() if figure is None)
    if odd:
        raise BenchError(
            log, expected="numbers in the last validation", got=f"none for {odd[0]}",
            fix="Lower training.learning_rate, and give --out a new folder.",
        )  # fmt: skip


def _lines_until(log: Path, step: int) -> list[bytes]:
    """Lines of a log up to a step, without what is none: a kill may have cut one short."""
    kept = []
    for line in log.read_bytes().splitlines() if log.is_file() else ():
        with suppress(msgspec.DecodeError):
            if msgspec.json.decode(line, type=_Line).step <= step:
                kept.append(line)
    return kept


def _past(config: Config, steps: int) -> tuple[Config, float]:
    """All that fixes the first steps: the stages begun by then, cut short, and the last rate."""
    stages: list[Stage] = []
    left = steps
    for stage in config.training.stages:
        if left > 0:
            stages.append(structs.replace(stage, steps=min(stage.steps, left)))
        left -= stage.steps
    all_steps = sum(stage.steps for stage in config.training.stages)
    training = structs.replace(config.training, stages=tuple(stages))
    return structs.replace(config, training=training), learning_rate(
        steps - 1, all_steps, config.training
    )


def learning_rate(step: int, steps: int, training: TrainingConfig) -> float:
    """Linear to the highest, which is held, then a cosine down to a hundredth of it.

    What is held can be stopped, judged and gone on with at any step (Hu et al. 2024, MiniCPM).

    >>> from g2vlm_bench.reference.config import Stage
    >>> plain = TrainingConfig(stages=(Stage(steps=100, side=64, scenes=1),), warm_up=10)
    >>> [round(learning_rate(step, 100, plain), 6) for step in (0, 9, 55, 100)]
    [0.0001, 0.001, 0.000505, 1e-05]
    """
    if step < training.warm_up:
        return training.learning_rate * (step + 1) / training.warm_up
    fall = max(training.falls * (steps - training.warm_up), 1)
    done = 1 - (steps - step) / fall
    falling = (1 + math.cos(math.pi * min(max(done, 0), 1))) / 2
    return training.learning_rate * (_LOWEST_RATE + (1 - _LOWEST_RATE) * falling)


def averaged(model: G2Vlm, most: float) -> AveragedModel:
    """A model whose weights are a moving average of those of the steps, as if the rate had fallen.

    Args:
        model: Which is trained.
        most: Share that the average keeps of itself at a step; less at first, when it knows little.
    """

    def move(average: Any, current: Any, seen: Any) -> None:
        kept = min(most, (1 + int(seen)) / (10 + int(seen)))
        torch._foreach_lerp_(average, current, 1 - kept)

    return AveragedModel(model, multi_avg_fn=move)


def parameter_groups(learner: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and biases, norms and embeddings without."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in learner.named_parameters():
        (free if parameter.ndim < 2 or name in _NO_DECAY else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": decay},
        {"params": free, "weight_decay": 0.0},
    ]


def on_device(value: _T, device: str) -> _T:
    """The same dataclass with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    moved = {each.name: on_device(getattr(value, each.name), device) for each in fields(value)}
    return type(value)(**moved)
