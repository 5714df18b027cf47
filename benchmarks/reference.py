"""What the reference model costs: weights, time and peak memory as the number of views grows.

    python benchmarks/reference.py [--config nano] [--views 1 2 4 8 16 32] [--side 96]
    python benchmarks/reference.py --config base --views 1 --backward

One scene, one question, random weights; each row is measured in a process of its own, so that its
peak is its own. Time is CPU time on one thread, or the device's between events; `frame-local` is
the part of it that looks within views alone (visual encoder and every other layer of the trunk).
The last column is the memory that a matrix of all pairs of tokens would take for one layer's heads,
which attention never makes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench.reference.config import load_config  # noqa: E402
from g2vlm_bench.reference.model import Batch, G2Vlm, Output  # noqa: E402

WORDS = 24


class Row(msgspec.Struct, kw_only=True):
    """What one number of views costs.

    Attributes:
        views: V.
        tokens: Of pictures, which all look at one another.
        ms: A forward step.
        local_ms: Of it, within views.
        peak_mb: More than before the step, weights apart.
        matrix_mb: Of all pairs of tokens, for each head.
        backward_ms: Forward and backward, where asked for.
    """

    views: int
    tokens: int
    ms: float
    local_ms: float
    peak_mb: float
    matrix_mb: float
    backward_ms: float | None = None


def main() -> None:
    """Print a row for each number of views, or measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="nano")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backward", action="store_true", help="a backward step, too")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        sys.stdout.buffer.write(msgspec.json.encode(measure(options)))
        return
    with torch.device("meta"):
        model = G2Vlm(load_config(options.config).model)
    count = sum(parameter.numel() for parameter in model.parameters())
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "one CPU thread"
    print(f"{options.config}: {count / 1e6:.1f} M weights; {options.side} pixels, {name}, "
          f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print("| views | tokens | ms | ms a view | frame-local, ms a view | peak MB | a matrix, MB |"
          + (" with backward, ms |" if options.backward else ""))  # fmt: skip
    print("|---" * (8 if options.backward else 7) + "|")
    for views in options.views:
        print(line(child(views, options)), flush=True)


def child(views: int, options: argparse.Namespace) -> Row:
    """Measure in another process."""
    command = [
        sys.executable, __file__, "--alone", "--config", options.config, "--views", str(views),
        "--side", str(options.side), "--device", options.device, "--repeats", str(options.repeats),
        *(["--backward"] if options.backward else []),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Row)


def line(row: Row) -> str:
    """A row as Markdown."""
    cells = [
        str(row.views), str(row.tokens), f"{row.ms:.0f}", f"{row.ms / row.views:.1f}",
        f"{row.local_ms / row.views:.1f}", f"{row.peak_mb:.0f}", f"{row.matrix_mb:.1f}",
    ]  # fmt: skip
    if row.backward_ms is not None:
        cells.append(f"{row.backward_ms:.0f}")
    return f"| {' | '.join(cells)} |"


def measure(options: argparse.Namespace) -> Row:
    """One number of views."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, views, side = load_config(options.config).model, options.views[0], options.side
    model = G2Vlm(config).to(options.device).eval()
    batch = Batch(
        images=torch.rand(1, views, 3, side, side, device=options.device),
        words=torch.randint(config.vocabulary, (1, 1, WORDS), device=options.device),
    )
    clock = Clock(options.device)
    local = _timed_within_views(model, clock)
    with torch.inference_mode():
        # Kernels are chosen and pools are filled by a small scene first.
        model(Batch(images=batch.images[:, :1], words=batch.words))
        peak_mb = _peak_mb(lambda: model(batch), options.device)
        whole, within = [], []
        for _ in range(options.repeats):
            local.clear()
            whole.append(clock.time(lambda: model(batch)))
            within.append(sum(local))
    patches = (side // config.patch) ** 2
    merged = (-(-side // config.patch // config.merge)) ** 2
    tokens = views * (1 + patches + merged)
    return Row(
        views=views,
        tokens=tokens,
        ms=1e3 * statistics.median(whole),
        local_ms=1e3 * statistics.median(within),
        peak_mb=peak_mb,
        matrix_mb=config.heads * tokens**2 * 4 / 2**20,
        backward_ms=1e3 * clock.time(lambda: _backward(model, batch)) if options.backward else None,
    )


class Clock:
    """CPU time on the CPU; time between two points of the device's queue elsewhere."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")

    def now(self) -> float:
        """Seconds, when all that was asked for is done."""
        if self.cuda:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def time(self, step: Callable[[], object]) -> float:
        """Seconds that a step takes."""
        start = self.now()
        step()
        return self.now() - start


def _timed_within_views(model: G2Vlm, clock: Clock) -> list[float]:
    """A list that fills with the seconds of every part that looks within views alone."""
    spent: list[float] = []
    starts: list[float] = []

    def before(module: nn.Module, inputs: object) -> None:
        starts.append(clock.now())

    def after(module: nn.Module, inputs: object, output: object) -> None:
        spent.append(clock.now() - starts.pop())

    for module in (model.visual, *(layer for layer in model.trunk.layers if not layer.across)):
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
    return spent


def _peak_mb(step: Callable[[], Output], device: str) -> float:
    """Memory that a step takes at most beside what was there before it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _resident()
    highest, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            highest.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    step()
    done.set()
    watcher.join()
    return (max(highest) - before) / 2**20


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _backward(model: G2Vlm, batch: Batch) -> None:
    output = model(batch)
    parts: list[Tensor] = [output.logits, output.geometry.points, output.embedding]
    sum((part.float().square().mean() for part in parts), torch.zeros(())).backward()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
