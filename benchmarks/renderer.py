"""Views a second of the world's ray caster, beside Open3D's, on each device that is there.

    python benchmarks/renderer.py [--views N] [--sizes 96 256]

The scenes are furnished rooms: 6 composed things of 31 parts, one lamp. Ours draws colour with
shadows and antialiasing, depth, normals, ids and visibility; a look is the unshaded probe of
questions; packing is what the host does for either before a device can begin. Open3D casts the same
rays at triangles, and does nothing else: no colour, no shadow, no scene built in the time that is
measured. On a CPU both run on one thread and CPU time is measured, so that other work on the
machine counts little; where it is measured says the load. Workers are processes that render apart
and hand over pictures and depth, as they do for training: what they do together in a second of the
clock, and what each would do in a second of a core of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench.geometry.cameras import pixel_grid  # noqa: E402
from g2vlm_bench.world.pack import Shot, pack_shots  # noqa: E402
from g2vlm_bench.world.renderer import look, render  # noqa: E402
from g2vlm_bench.world.scene import (  # noqa: E402
    COLORS,
    MATERIALS,
    Body,
    Camera,
    Door,
    Light,
    Place,
    Scene,
    Texture,
)
from g2vlm_bench.world.shapes import KINDS  # noqa: E402

REPEATS = 5
THINGS = (
    ("table", (1.2, 0.8, 0.7)),
    ("chair", (0.45, 0.45, 0.9)),
    ("shelf", (0.4, 0.9, 1.3)),
    ("crate", (0.6, 0.5, 0.4)),
    ("lamp", (0.4, 0.4, 0.9)),
    ("chair", (0.5, 0.45, 0.95)),
)


def main() -> None:
    """Print a line a size and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 256])
    parser.add_argument("--workers", type=int, default=2, help="processes that render at once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shots = [furnished(seed) for seed in range(options.views)]
    parts = sum(len(KINDS[body.kind].build(body.extent_m)) for body in shots[0][0].bodies)
    load = os.getloadavg()[0]
    print(f"{options.views} views of {parts} parts, best of {REPEATS} calls, load {load:.1f}")
    for size in options.sizes:
        report(f"{size}x{size} ours, cpu", len(shots), cpu_s(partial(render, shots, size, size)))
        together, each = worker_rates(options.workers, len(shots), size)
        print_rate(f"{size}x{size} ours, {options.workers} workers, by the clock", together)
        print_rate(f"{size}x{size} ours, {options.workers} workers, sum of own cores", each)
        if has_open3d():
            cast = open3d_caster(shots, size)
            report(f"{size}x{size} Open3D, casting alone, cpu", len(shots), cpu_s(cast))
        if torch.cuda.is_available():
            seconds = wall_s(partial(from_gpu, shots, size))
            report(f"{size}x{size} ours, {torch.cuda.get_device_name()}", len(shots), seconds)
    scenes = [scene for scene, _ in shots]
    report("64x64 look, cpu", len(shots), cpu_s(lambda: look(scenes, 1)))
    report("packing, cpu", len(shots), cpu_s(lambda: pack_shots(shots, 96, 96, "cpu")))


def from_gpu(shots: Sequence[Shot], size: int) -> torch.Tensor:
    """Pictures of a GPU, copied to the host: the clock shall wait for them."""
    return render(shots, size, size, "cuda").rgb.cpu()


def report(name: str, views: int, seconds: float) -> None:
    """Print how many views were done in some seconds; on a CPU, of one core."""
    print_rate(name, views / seconds)


def print_rate(name: str, rate: float) -> None:
    """Print a rate."""
    print(f"{name:44} {rate:9.1f} views/s  {1e3 / rate:8.3f} ms a view", flush=True)


def worker_rates(workers: int, views: int, size: int) -> tuple[float, float]:
    """Views a second of processes that render at once: by the clock, and by their own CPU time."""
    shares = [list(range(start, views, workers)) for start in range(workers)]
    clocks, own = [], []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(rendered, shares, [size] * workers))  # imports, and warms up
        for _ in range(REPEATS):
            started = time.perf_counter()
            found = list(pool.map(rendered, shares, [size] * workers))
            clocks.append(time.perf_counter() - started)
            own.append(
                sum(len(seeds) / cpu for seeds, (cpu, *_) in zip(shares, found, strict=True))
            )
    return views / min(clocks), max(own)


def rendered(seeds: Sequence[int], size: int) -> tuple[float, Any, Any]:
    """CPU seconds of a batch, its pictures and its depth."""
    torch.set_num_threads(1)
    shots = [furnished(seed) for seed in seeds]
    started = time.process_time()
    views = render(shots, size, size)
    return time.process_time() - started, views.rgb.numpy(), views.depth_m.numpy()


def furnished(seed: int) -> Shot:
    """A room of 6.5 x 5.8 m with six things on a grid, each turned at random."""
    rng = np.random.default_rng(seed)
    bodies = []
    for number, (kind, extent) in enumerate(THINGS):
        x = 1.5 * (number % 3 - 1) + rng.uniform(-0.2, 0.2)
        y = 1.5 * (number // 3 - 0.5) + rng.uniform(-0.2, 0.2)
        color, material = (str(rng.choice(names)) for names in (list(COLORS), MATERIALS))
        yaw = float(rng.uniform(0, 360))
        base = (float(x), float(y), 0.0)
        bodies.append(Body(number + 1, kind, color, material, "medium", extent, base, yaw, 0))
    tiles = Texture(((0.62, 0.47, 0.34), (0.74, 0.60, 0.46)), 0.5, 30.0)
    stripes = Texture(((0.86, 0.83, 0.77), (0.82, 0.78, 0.72)), 0.3, 0.0)
    door = Door("east", 0.3, 0.9, 2.0, "blue")
    place = Place("room", 6.5, 5.8, 2.8, tiles, stripes, (door,))
    angle = rng.uniform(0, 2 * np.pi)
    position = (float(3 * np.cos(angle)), float(2.6 * np.sin(angle)), 1.5)
    camera = Camera(position, (0.0, 0.0, 0.4), 0.0, 65.0)
    light = Light((0.5, 0.4, 2.6), 1.55, 3.162)
    return Scene(f"f{seed}", "test", 0, place, tuple(bodies), (light,), (camera,)).shot(0)


def has_open3d() -> bool:
    """Whether Open3D can be imported."""
    try:
        import open3d  # noqa: F401
    except ImportError:
        return False
    return True


def open3d_caster(shots: list[Shot], size: int) -> Callable[[], object]:
    """Casting all the views' rays by Open3D on one thread; meshes and rays are made before."""
    import open3d

    from g2vlm_bench.plugins import load_module

    meshes = load_module(PROJECT / "tests" / "world" / "test_open3d.py").meshes
    ready: list[tuple[Any, Any]] = []
    for scene, camera in shots:
        caster = open3d.t.geometry.RaycastingScene(nthreads=1)
        for _, mesh in meshes(scene):
            caster.add_triangles(open3d.t.geometry.TriangleMesh.from_legacy(mesh))
        pose, intrinsics = camera.world_from_camera, camera.intrinsics(size, size)
        grid = pixel_grid(size, size).reshape(-1, 2)
        pixels = np.hstack([grid, np.ones((len(grid), 1))])
        ahead = pixels @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
        rays = np.hstack([np.broadcast_to(pose[:3, 3], ahead.shape), ahead]).astype(np.float32)
        ready.append((caster, open3d.core.Tensor.from_numpy(rays)))
    return lambda: [caster.cast_rays(rays, nthreads=1)["t_hit"].numpy() for caster, rays in ready]


def cpu_s(call: Callable[[], object]) -> float:
    """Least CPU seconds of a call, after one to warm up."""
    return best(call, time.process_time)


def wall_s(call: Callable[[], object]) -> float:
    """Least wall-clock seconds of a call that ends on the host, after one to warm up."""
    return best(call, time.perf_counter)


def best(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Least seconds by a clock."""
    call()
    taken = []
    for _ in range(REPEATS):
        started = clock()
        call()
        taken.append(clock() - started)
    return min(taken)


if __name__ == "__main__":
    main()
