"""Views a second of the world's ray caster, on each device that is there.

python benchmarks/renderer.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.renderer import render
from g2vlm_bench.world.scene import Camera, Scene

SIZES = (96, 256)
VIEWS = 32


def main() -> None:
    """Print a line a size and device."""
    scenes = [make_scene(index, "validation") for index in range(VIEWS)]
    shots = [(scene, scene.cameras[0]) for scene in scenes]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    print(f"{VIEWS} views a call, median of 5 calls, {torch.get_num_threads()} threads")
    for size in SIZES:
        for device in devices:
            rate = VIEWS / seconds(lambda size=size, device=device: drawn(shots, size, device))
            print(f"{size}x{size} {device:<5} {rate:8.0f} views/s: depth, colour, normals, ids")


def drawn(shots: list[tuple[Scene, Camera]], size: int, device: str) -> np.ndarray:
    """Render and bring the depth to the host, as a reader does."""
    return render(shots, size, size, device).depth_m.cpu().numpy()


def seconds(call: Callable[[], object], times: int = 5) -> float:
    """Median wall-clock seconds of a call that ends on the host, after one to warm up."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
