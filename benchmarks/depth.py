"""Measures the scoring of depth maps against the code that the field scores them with.

    python benchmarks/depth.py [section...] [--repeats N] [--peers DIR]

Each section runs ours and theirs in turns on the same map of 640 x 480, 10 % of it without truth,
checks that they agree, and prints median seconds, of the clock and of all cores, with the median of
the turns' ratios. DIR holds MoGe and utils3d, as for scripts/conformance_depth.py; without it there
is ours alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "scripts")]

import peer_code  # noqa: E402
from g2vlm_bench.geometry import l1_line as exact  # noqa: E402
from g2vlm_bench.geometry.emulated_alignment import anchored_scale_shift  # noqa: E402
from g2vlm_bench.plugins import Plugins  # noqa: E402
from g2vlm_bench.profile import load_profile  # noqa: E402
from g2vlm_bench.sample import Ambiguity, Prediction, Target  # noqa: E402
from g2vlm_bench.task import Family, TaskDefinition  # noqa: E402
from races import Race, Sections  # noqa: E402

Map = NDArray[np.float32]
GRID = 4096
EDGES = ["boundary_f1_r1", "boundary_f1_r2", "boundary_f1_r3"]
MOGE_KEYS = {
    "metric": "depth_metric",
    "scale": "depth_scale_invariant",
    "affine": "depth_affine_invariant",
    "affine_disparity": "disparity_affine_invariant",
}
# Losses and errors are far below 1, so differences are relative to the numbers themselves.
UNIT = 1e-12
SECTIONS = Sections()
section = SECTIONS.section


# ------------------------------------------------------------------------------------ sections


@section
def l1_line(options: argparse.Namespace) -> Iterator[Race]:
    """Scale and shift of the least absolute deviations, weighed by 1 / depth."""
    for kind in ("smooth", "noisy", "clamped", "in steps"):
        predicted, true = pair(kind)
        valid = np.isfinite(true)
        values, truth = predicted[valid].astype(np.float64), true[valid].astype(np.float64)
        some = slice(None, None, len(values) // GRID)
        yield _line_race(f"{kind}, {GRID} pixels", values[some][:GRID], truth[some][:GRID], options)
        yield _line_race(f"{kind}, {len(values)} pixels", values, truth, None)


def _line_race(
    title: str, values: NDArray[Any], truth: NDArray[Any], options: argparse.Namespace | None
) -> Race:
    def loss(scale: float, shift: float) -> float:
        return float(np.mean(np.abs(scale * values + shift - truth) / truth))

    def ours() -> dict[str, float]:
        return {"loss": loss(*exact.l1_line(values, truth, 1 / truth))}

    runners = {"ours, exact": ours}
    if options is not None:

        def tie_rule() -> dict[str, float]:
            fit = anchored_scale_shift(values, truth, weights=1 / truth)
            return {"loss": loss(fit.scale, fit.shift)}

        runners["ours, with MoGe's tie rule"] = tie_rule
        if options.peers is not None:
            runners["MoGe align_depth_affine"] = _moge_line(options.peers, values, truth, loss)
    # Where predictions are tied MoGe's rule draws another line, whose loss is up to 1 % larger.
    return Race(f"L1 scale + shift, {title}", runners, 0.02, UNIT)


def _moge_line(
    peers: Path, values: NDArray[Any], truth: NDArray[Any], loss: Callable[[float, float], float]
) -> Callable[[], dict[str, float]]:
    import torch

    align = peer_code.moge(peers, "moge.utils.alignment").align_depth_affine
    given = [torch.tensor(part, dtype=torch.float32) for part in (values, truth, 1 / truth)]

    def theirs() -> dict[str, float]:
        scale, shift = align(*given)
        return {"loss": loss(float(scale), float(shift))}

    return theirs


@section
def moge_depth(options: argparse.Namespace) -> Iterator[Race]:
    """One prediction under all of MoGe's depth protocols, with and without boundary F1."""
    for kind in ("smooth", "noisy", "in steps"):
        predicted, true = pair(kind)
        for edges in ([], EDGES):
            families = [family(["abs_rel", "delta1"], sorted(MOGE_KEYS))]
            if edges:
                families.append(family(edges, ["metric"]))

            runners = {"ours": _ours(families, predicted, true)}
            if options.peers is not None:
                runners["MoGe compute_metrics"] = _moge(options.peers, predicted, true, edges)
            also = " + boundary F1 of radius 1, 2, 3" if edges else ""
            # In single precision a ratio of just 1.25 may fall on the other side.
            yield Race(f"MoGe's four depth protocols{also}, {kind}", runners, 1e-4, UNIT)


def _ours(families: list[Family], predicted: Map, true: Map) -> Callable[[], dict[str, float]]:
    def ours() -> dict[str, float]:
        # A new target each time: nothing is remembered from the last.
        target = Target(depth_m=(true.copy(),))
        found: dict[str, float] = {}
        for one in families:
            one.weights(target)
            prediction = Prediction(depth=(predicted,), ambiguity=Ambiguity.METRIC)
            found.update(one.score(target, prediction, Ambiguity.METRIC).values)
        return found

    return ours


def _moge(
    peers: Path, predicted: Map, true: Map, edges: list[str]
) -> Callable[[], dict[str, float]]:
    import torch

    metrics = peer_code.moge(peers, "moge.test.metrics")
    mask = torch.tensor(np.isfinite(true))
    truth = {
        "depth": torch.tensor(np.nan_to_num(true, nan=1.0)), "depth_mask": mask, "points": None,
        "is_metric": True, "has_sharp_boundary": bool(edges),
    }  # fmt: skip

    def theirs() -> dict[str, float]:
        found = metrics.compute_metrics({"depth_metric": torch.tensor(predicted)}, truth)[0]
        values = {f"abs_rel@moge.{ours}": found[key]["rel"] for ours, key in MOGE_KEYS.items()}
        values |= {f"delta1@moge.{ours}": found[key]["delta1"] for ours, key in MOGE_KEYS.items()}
        for name in edges:
            values[f"{name}@moge.metric"] = found["boundary"][f"radius{name[-1]}_f1"]
        return values

    return theirs


@section
def batch(options: argparse.Namespace) -> Iterator[Race]:
    """Eight maps under median scale: in torch, on the best device here, and one by one."""
    import torch

    from g2vlm_bench.metrics.depth_torch import evaluate_depth_batch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    predicted, true = pair("smooth")
    maps = [torch.tensor(np.stack([part] * 8), device=device) for part in (predicted, true)]
    names = ["abs_rel", "rmse", "si_log", "delta1"]
    one_by_one = Plugins.find().family(
        TaskDefinition(
            name="depth/benchmark", version=1, family="depth", data={}, metrics=names, headline="",
            protocols=[{"alignment": "median_scale"}],
        ),
        check_headline=False,
    )  # fmt: skip

    def together() -> dict[str, float]:
        found = evaluate_depth_batch(*maps, alignment="median_scale", metrics=names)
        # Taking a number to the host waits for the device.
        return {name: float(found[name].mean()) for name in names}

    def apart() -> dict[str, float]:
        for _ in range(8):
            values = _ours([one_by_one], predicted, true)()
        return {name.partition("@")[0]: value for name, value in values.items()}

    together()  # Loading its kernels is no part of it.
    runners = {f"evaluate_depth_batch on {device}": together, "the harness, one by one": apart}
    yield Race("Eight maps of 640 x 480 under median scale, four metrics", runners, 1e-6, UNIT)


# ---------------------------------------------------------------------------------------- data


def pair(kind: str) -> tuple[Map, Map]:
    """A prediction and the truth of a floor, a slanted wall and a dozen discs before it."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:480, :640] / np.array([480, 640])[:, None, None]
    true = np.minimum(0.8 / np.maximum(rows - 0.1, 1e-9), 6.0) * (0.8 + columns)
    for _ in range(12):
        row, column = rng.uniform(0, 1, 2)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(0.05, 0.2) ** 2
        true = np.where(inside, rng.uniform(0.8, 4), true)
    noise = rng.normal(0, 1, true.shape)
    shape = true
    if kind != "noisy":
        # As a network's: wrong in patches, and soft at edges.
        noise, shape = gaussian_filter(noise, 6), gaussian_filter(true, 1)
        noise /= noise.std()
    predicted = (0.6 * shape + 0.4) * np.exp(0.08 * noise)
    if kind == "clamped":
        predicted = np.maximum(predicted, np.quantile(predicted, 0.09))
    if kind == "in steps":
        predicted = np.round(predicted, 2)
    true = np.where(rng.random(true.shape) < 0.1, np.nan, true)
    return predicted.astype(np.float32), true.astype(np.float32)


def family(metrics: list[str], names: list[str]) -> Family:
    """MoGe's protocols of these names, as a task would have them."""
    plugins = Plugins.find()
    profile = load_profile(plugins.path("profile", "moge"))
    fields = [profile.expand("depth", name, "benchmark")[0] for name in names]
    definition = TaskDefinition(
        name="depth/benchmark", version=1, family="depth", data={}, metrics=metrics, headline="",
        protocols=fields,
    )  # fmt: skip
    return plugins.family(definition, check_headline=False)


def main() -> None:
    """Run the named sections, or all."""
    parser = SECTIONS.parser(__doc__ or "")
    parser.add_argument("--peers", type=Path)
    SECTIONS.run(SECTIONS.parse(parser, ("numpy", "scipy", "torch")))


if __name__ == "__main__":
    main()
