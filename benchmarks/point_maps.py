"""Measures the fits of point maps and all of MoGe's protocols, MoGe's own code beside ours.

    python benchmarks/point_maps.py [section...] [--repeats N] [--peers DIR]

Each section runs ours and theirs in turns on the same map of 640 x 480, 10 % of it without truth.
DIR holds MoGe and utils3d, as for scripts/conformance_point_maps.py; without it there is ours
alone.
One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "scripts")]

import peer_code  # noqa: E402
from g2vlm_bench.geometry import point_alignment as fits  # noqa: E402
from g2vlm_bench.geometry.cameras import unproject  # noqa: E402
from g2vlm_bench.plugins import Plugins  # noqa: E402
from g2vlm_bench.profile import load_profile  # noqa: E402
from g2vlm_bench.sample import Ambiguity, Prediction, Target  # noqa: E402
from g2vlm_bench.task import Family, TaskDefinition  # noqa: E402
from races import Race, Sections  # noqa: E402

Numbers = Callable[[], dict[str, float]]
SIZE = (480, 640)
CAMERA = np.array([[520.0, 0, 320], [0, 520.0, 240], [0, 0, 1]])
GRID = 4096
EDGES = ["boundary_f1_r1", "boundary_f1_r2", "boundary_f1_r3"]
# Protocols of the profile, and what MoGe calls them.
POINTS = {
    "metric": "points_metric",
    "scale": "points_scale_invariant",
    "affine": "points_affine_invariant",
}
DEPTHS = {
    "metric": "depth_metric",
    "scale": "depth_scale_invariant",
    "affine": "depth_affine_invariant",
    "affine_disparity": "disparity_affine_invariant",
}
# Errors are far below 1, so differences are relative to the numbers themselves.
UNIT = 1e-12
SECTIONS = Sections()
section = SECTIONS.section


# ------------------------------------------------------------------------------------ sections


@section
def scale_and_shift(options: argparse.Namespace) -> Iterator[Race]:
    """MoGe's fit of a scale and a shift along x, y and z, restricted as there, and the best one."""
    depth, predicted = room()
    valid = np.isfinite(depth)
    points, truth = predicted[valid].astype(np.float64), unproject(depth, CAMERA)[valid]
    weights = 1 / np.linalg.norm(truth, axis=1)
    some = np.random.default_rng(1).choice(len(points), GRID, replace=False)
    sampled = points[some], truth[some], weights[some]

    def ours(fit: Callable[..., Any], given: tuple[NDArray[np.float64], ...]) -> Numbers:
        def run() -> dict[str, float]:
            found = fit(*given)
            return named(found.scale, found.shift)

        return run

    runners = {"ours, restricted": ours(fits.anchored_scale_xyz_shift, sampled)}
    if options.peers is not None:
        runners["MoGe align_points_scale_xyz_shift"] = moge_fit(options.peers, *sampled)
    yield Race(f"Scale and shift by one point met exactly, {GRID} points", runners, 1e-3)
    for given in (sampled, (points, truth, weights)):
        runners = {"ours, the best": ours(fits.l1_scale_xyz_shift, given)}
        yield Race(f"Scale and shift of the least L1, {len(given[0])} points", runners, 0)


def named(scale: float, shift: Any) -> dict[str, float]:
    """A fit's four numbers."""
    return dict(zip(("scale", "x", "y", "z"), map(float, (scale, *shift)), strict=True))


def moge_fit(peers: Path, *given: NDArray[np.float64]) -> Numbers:
    """MoGe's solver, in single precision, as it is used there."""
    import torch

    solve = peer_code.moge(peers, "moge.utils.alignment").align_points_scale_xyz_shift
    tensors = [torch.tensor(array, dtype=torch.float32) for array in given]
    return lambda: named(*solve(*tensors))


@section
def moge_points(options: argparse.Namespace) -> Iterator[Race]:
    """One point map under all of MoGe's point protocols."""
    yield moge_race(options.peers, depth=False, title="MoGe's three point protocols")


@section
def moge(options: argparse.Namespace) -> Iterator[Race]:
    """One prediction under all of MoGe's protocols that need no segments."""
    title = "All of MoGe's protocols: points, depth, boundary F1 of radius 1, 2, 3"
    yield moge_race(options.peers, depth=True, title=title)


def moge_race(peers: Path | None, depth: bool, title: str) -> Race:
    """Score the point map, and its depth where asked for, by ours and by MoGe's own function."""
    true, predicted = room()
    families = [family("point_map", list(POINTS), ["point_abs_rel", "point_delta1"])]
    if depth:
        families.append(family("depth", list(DEPTHS), ["abs_rel", "delta1"]))
        families.append(family("depth", ["metric"], EDGES))

    def ours() -> dict[str, float]:
        # A new target each time: nothing is remembered from the last.
        target = Target(depth_m=(true.copy(),), intrinsics=(CAMERA,))
        found: dict[str, float] = {}
        prediction = Prediction(depth=(predicted[..., 2],), point_maps=(predicted,))
        for one in families:
            one.weights(target)
            found.update(one.score(target, prediction, Ambiguity.METRIC).values)
        return found

    runners: dict[str, Numbers] = {"ours": ours}
    if peers is not None:
        runners["MoGe compute_metrics"] = moge_scores(peers, true, predicted, depth)
    # In single precision a ratio of just 1.25 may fall on the other side.
    return Race(f"{title}, {SIZE[1]} x {SIZE[0]}", runners, 1e-4, UNIT)


def moge_scores(
    peers: Path, true: NDArray[np.float32], predicted: NDArray[np.float32], depth: bool
) -> Numbers:
    """MoGe's `compute_metrics`, by our names."""
    import torch

    metrics = peer_code.moge(peers, "moge.test.metrics")
    mask = np.isfinite(true)
    points = np.where(mask[..., None], unproject(true, CAMERA), 1).astype(np.float32)
    truth = {
        "depth": torch.tensor(np.where(mask, true, 1)), "points": torch.tensor(points),
        "depth_mask": torch.tensor(mask), "is_metric": True, "has_sharp_boundary": depth,
    }  # fmt: skip
    given = {"points_metric": torch.tensor(predicted)}
    if depth:
        given["depth_metric"] = torch.tensor(predicted[..., 2])

    def theirs() -> dict[str, float]:
        found = metrics.compute_metrics(given, truth)[0]
        values = {}
        for names, prefix in ((POINTS, "point_"), (DEPTHS if depth else {}, "")):
            for name, key in names.items():
                values[f"{prefix}abs_rel@moge.{name}"] = found[key]["rel"]
                values[f"{prefix}delta1@moge.{name}"] = found[key]["delta1"]
        if depth:
            edges = found["boundary"]
            values |= {f"{name}@moge.metric": edges[f"radius{name[-1]}_f1"] for name in EDGES}
        return values

    return theirs


# ---------------------------------------------------------------------------------------- data


def room(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """True depth with steps and 10 % of holes, and a predicted point map."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None]
    depth = 2 + 3 * rows + 1.5 * np.floor(4 * columns)
    holes = rng.random(SIZE) < 0.1
    guess = (0.6 * depth + 0.4) * rng.lognormal(0, 0.08, SIZE)
    predicted = unproject(guess, CAMERA * [[1.1], [1.1], [1]])
    return np.where(holes, np.nan, depth).astype(np.float32), predicted.astype(np.float32)


def family(kind: str, names: list[str], metrics: list[str]) -> Family:
    """MoGe's protocols of these names, as a task would have them."""
    plugins = Plugins.find()
    profile = load_profile(plugins.path("profile", "moge"))
    definition = TaskDefinition(
        name=f"{kind}/benchmark", version=1, family=kind, data={}, metrics=metrics, headline="",
        protocols=[profile.expand(kind, name, "benchmark")[0] for name in names],
    )  # fmt: skip
    return plugins.family(definition, check_headline=False)


def main() -> None:
    """Run the named sections, or all."""
    parser = SECTIONS.parser(__doc__ or "")
    parser.add_argument("--peers", type=Path)
    SECTIONS.run(SECTIONS.parse(parser, ("numpy", "scipy", "torch")))


if __name__ == "__main__":
    main()
