"""Measures the fits of point maps and MoGe's point protocols, MoGe's own solver beside ours.

    python benchmarks/point_maps.py [--peers DIR]

DIR holds MoGe at 0744441 and utils3d at 3fab839; without it only ours are measured. Medians of CPU
time, of all threads together, and of wall time; the figures belong to the machine they were taken
on, the ratio of CPU times less so. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm_bench.geometry import point_alignment as fits
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import TaskDefinition

SIZE = (480, 640)
CAMERA = np.array([[520.0, 0, 320], [0, 520.0, 240], [0, 0, 1]])
POINTS = 4096


def room(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True depth with steps and 10% of holes, and a predicted point map; float32."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None]
    depth = 2 + 3 * rows + 1.5 * np.floor(4 * columns)
    holes = rng.random(SIZE) < 0.1
    guess = (0.6 * depth + 0.4) * rng.lognormal(0, 0.08, SIZE)
    predicted = unproject(guess, CAMERA * [[1.1], [1.1], [1]])
    return np.where(holes, np.nan, depth).astype(np.float32), predicted.astype(np.float32)


def timed(run: Callable[[], Any], times: int) -> tuple[float, float]:
    """Median milliseconds of CPU and of wall time."""
    cpu, wall = [], []
    for _ in range(times):
        started = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return 1e3 * statistics.median(cpu), 1e3 * statistics.median(wall)


def show(name: str, taken: tuple[float, float], more: str = "") -> None:
    """Print one row."""
    print(f"{name:52}{taken[0]:10.1f}{taken[1]:10.1f}   {more}")


def family(metrics: list[str]) -> Any:
    """MoGe's three point protocols, as a task has them."""
    plugins = Plugins.find()
    definition = plugins.written_out(
        TaskDefinition(
            name="point_map/benchmark", version=1, family="point_map", data={}, metrics=metrics,
            headline="", protocols=[{"profile": "moge"}],
        )
    )  # fmt: skip
    return plugins.family(definition, check_headline=False)


def moge_solver(peers: Path) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Any]:
    """MoGe's `align_points_scale_xyz_shift` in single precision, as it is used there."""
    import torch

    sys.path[:0] = [str(peers / "MoGe"), str(peers / "utils3d")]
    sys.modules.setdefault("moge.utils.tools", types.ModuleType("moge.utils.tools"))
    solve = importlib.import_module("moge.utils.alignment").align_points_scale_xyz_shift

    def run(*arrays: np.ndarray) -> Any:
        return solve(*(torch.tensor(array.astype(np.float32)) for array in arrays))

    return run


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--times", type=int, default=9)
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; ms")
    print(f"{'':52}{'CPU':>10}{'wall':>10}")
    depth, predicted = room()
    valid = np.isfinite(depth)
    truth = unproject(depth, CAMERA)[valid]
    points = predicted[valid].astype(np.float64)
    some = np.random.default_rng(1).choice(len(points), POINTS, replace=False)
    sampled = points[some], truth[some], 1 / np.linalg.norm(truth[some], axis=1)
    whole = points, truth, 1 / np.linalg.norm(truth, axis=1)

    restricted = timed(lambda: fits.anchored_scale_xyz_shift(*sampled), arguments.times)
    show(f"anchored_scale_xyz_shift, {POINTS} points", restricted)
    show("l1_scale_xyz_shift, the same points", timed(lambda: fits.l1_scale_xyz_shift(*sampled), 9))
    name = f"l1_scale_xyz_shift, all {len(points)} points"
    show(name, timed(lambda: fits.l1_scale_xyz_shift(*whole), arguments.times))
    show("l1_scale, all points", timed(lambda: fits.l1_scale(*whole), arguments.times))
    if arguments.peers:
        solver = moge_solver(arguments.peers)
        theirs = timed(lambda: solver(*sampled), 3)
        ratios = f"{theirs[0] / restricted[0]:.0f} x CPU, {theirs[1] / restricted[1]:.0f} x wall"
        show(f"MoGe align_points_scale_xyz_shift, {POINTS} points", theirs, ratios)
        scale, shift = solver(*sampled)
        ours = fits.anchored_scale_xyz_shift(*sampled)
        gap = max(abs(ours.scale - float(scale)), *np.abs(np.array(ours.shift) - shift.numpy()))
        print(f"the two fits differ by {gap:.1e} (single precision there)")

    scorer = family(["point_abs_rel", "point_delta1"])
    target = Target(depth_m=(depth,), intrinsics=(CAMERA,))
    prediction = Prediction(point_maps=(predicted,))
    score = timed(lambda: scorer.score(target, prediction, Ambiguity.METRIC), arguments.times)
    show("all of MoGe's point protocols, one 640 x 480 map", score)


if __name__ == "__main__":
    main()
