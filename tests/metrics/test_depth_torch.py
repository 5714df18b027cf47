"""Depth metrics in torch against those of the harness, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from g2vlm_bench.metrics.depth import DEPTH_METRICS, SCALE_METRICS
from g2vlm_bench.metrics.depth_torch import evaluate_depth_batch
from g2vlm_bench.plugins import load_class
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import Family, NoTruthError, TaskDefinition

ALIGNMENTS = [
    ("none", "equal"),
    ("median_scale", "equal"),
    ("least_squares_scale", "equal"),
    ("least_squares_scale_shift", "equal"),
    ("l1_scale", "equal"),
    ("l1_scale", "inverse_depth"),
]
SCALED = [name for name in DEPTH_METRICS if name not in SCALE_METRICS]
NAN = float("nan")


def names(alignment: str) -> list[str]:
    """The metrics that are defined: not those of a scale that was fitted."""
    return list(DEPTH_METRICS) if alignment == "none" else SCALED


def harness(alignment: str, weights: str) -> Family:
    return load_class(Path(__file__).parents[2] / "tasks" / "depth.py", Family)(
        TaskDefinition(
            name="depth/test", version=1, family="depth", data={}, headline="",
            metrics=names(alignment),
            protocols=[{"alignment": alignment, "fit_weights": weights}],
        )
    )  # fmt: skip


def by_the_harness(alignment: str, weights: str, d: np.ndarray, g: np.ndarray) -> dict[str, float]:
    """Metric -> value of one image, NaN where it is refused."""
    try:
        values = (
            harness(alignment, weights)
            .score(Target(depth_m=(g,)), Prediction(depth=(d,)), Ambiguity.METRIC)
            .values
        )
    except (ValueError, NoTruthError):
        values = {}
    found = {name.partition("@")[0]: value for name, value in values.items()}
    return {name: found.get(name, NAN) for name in names(alignment)}


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Maps that are good, of another scale, upside down, constant, below 0, broken, or untrue."""
    rng = np.random.default_rng(0)
    g = rng.uniform(0.5, 9, (12, 11, 14)).astype(np.float32)
    d = (g * rng.lognormal(0, 0.2, g.shape)).astype(np.float32)
    g[:, :3, :4] = NAN
    g[1, :, 5] = 0
    d[1] *= 7
    d[2] += 2
    d[3] = 10 - g[3]
    d[4] = 3
    d[5, 5, 5] = -1
    d[6] *= -1
    d[7, 6, 6] = NAN
    d[8, 0, 0] = NAN  # Where there is no truth.
    g[9] = NAN
    g[10, 1:] = NAN
    g[10, 0] = NAN
    g[10, 4, 4] = 2  # A single pixel.
    d[11] = 0
    return d, g


@pytest.mark.parametrize(("alignment", "weights"), ALIGNMENTS)
def test_the_numbers_are_those_of_the_harness(alignment, weights) -> None:
    d, g = batch()
    found = evaluate_depth_batch(
        torch.tensor(d),
        torch.tensor(g),
        alignment=alignment,
        fit_weights=weights,
        metrics=names(alignment),
    )
    for index in range(len(d)):
        expected = by_the_harness(alignment, weights, d[index], g[index])
        for name in names(alignment):
            value = float(found[name][index])
            assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12, nan_ok=True), (
                name,
                index,
            )
    assert found["abs_rel"].dtype == torch.float64
    assert float(found["abs_rel"][0]) > 0


def test_a_mask_chooses_and_arguments_stay() -> None:
    d, g = (torch.tensor(part[:2]) for part in batch())
    mask = torch.isfinite(g) & (g > 0) & (torch.rand(g.shape) < 0.5)
    copies = d.clone(), g.clone()
    masked = evaluate_depth_batch(d, g, mask, alignment="median_scale")
    hidden = evaluate_depth_batch(d, torch.where(mask, g, torch.nan), alignment="median_scale")
    for name, values in masked.items():
        torch.testing.assert_close(values, hidden[name])
    assert torch.equal(d, copies[0])
    assert torch.equal(g.nan_to_num(), copies[1].nan_to_num())
    # A mask that lets impossible truth through is refused, not repaired.
    assert evaluate_depth_batch(d, g, torch.ones_like(mask))["abs_rel"].isnan().all()


def test_what_was_fitted_is_told() -> None:
    g = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    found = evaluate_depth_batch((g - 1) / 2, g, alignment="least_squares_scale_shift")
    assert float(found["scale"]) == pytest.approx(2)
    assert float(found["shift"]) == pytest.approx(1)
    assert float(found["delta1"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, g: {"prediction": d[:, :-1], "target": g}, "one shape"),
        (lambda d, g: {"prediction": d[0], "target": g[0]}, r"\(B, H, W\)"),
        (lambda d, g: {"prediction": d, "target": g, "mask": g}, "bool mask"),
        (lambda d, g: {"prediction": d, "target": g, "mask": (g > 0)[:1]}, "bool mask"),
        (lambda d, g: {"prediction": d, "target": g, "metrics": ["absrel"]}, "'absrel'"),
        (lambda d, g: {"prediction": d, "target": g, "alignment": "median"}, "'median'"),
        (
            lambda d, g: {
                "prediction": d,
                "target": g,
                "alignment": "l1_scale",
                "metrics": ["median_log"],
            },
            "alignment none for median_log",
        ),
    ],
)
def test_what_is_no_batch_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_depth_batch(**change(torch.ones(2, 3, 4), torch.ones(2, 3, 4)))
