"""Depth metrics of a batch on the device where the maps are, for validation while one trains.

`evaluate_depth_batch` gives the numbers that the harness gives for one view a sample, in float64,
and nothing is copied to the host until the caller asks: where the harness refuses a sample with a
message, its number is NaN here. For a record, a leaderboard, video or any other protocol, store the
predictions and let the harness score them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor

from g2vlm_bench.metrics.depth import SCALE_METRICS

Alignment = Literal[
    "none", "median_scale", "least_squares_scale", "least_squares_scale_shift", "l1_scale"
]


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Aligned depth and truth of a batch, (B, N) each; what is not valid is 1 in both.

    `log_errors` are NaN throughout an image that has depth at or below 0.
    """

    depth: Tensor
    truth: Tensor
    valid: Tensor
    count: Tensor

    def mean(self, values: Tensor) -> Tensor:
        return torch.where(self.valid, values, 0).sum(1) / self.count

    @cached_property
    def positive(self) -> Tensor:
        return (self.depth > 0).all(1, keepdim=True)

    @cached_property
    def log_errors(self) -> Tensor:
        return torch.where(self.positive, self.depth, torch.nan).log() - self.truth.log()

    @cached_property
    def ratios(self) -> Tensor:
        ratios = self.depth / self.truth
        larger = torch.maximum(ratios, 1 / ratios)
        return torch.where(self.valid & (self.depth > 0), larger, torch.inf)


def evaluate_depth_batch(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    alignment: Alignment = "none",
    fit_weights: Literal["equal", "inverse_depth"] = "equal",
    metrics: Sequence[str] = ("abs_rel", "rmse", "delta1"),
) -> dict[str, Tensor]:
    """Align each map of a batch by itself and measure it, on the device and without waiting for it.

    Args:
        prediction: (B, H, W) depth, of any floating dtype: metres, or up to what the alignment
            forgives.
        target: (B, H, W) metres, on the same device.
        mask: (B, H, W) bool, True where both count; None for where the target is finite and above
            0.
        alignment: as in a task file.
        fit_weights: of the pixels in `l1_scale`, as in a task file.
        metrics: names as in `metrics.depth.DEPTH_METRICS`.

    Returns:
        Metric -> (B,) float64 on that device, and what was fitted as `scale` and `shift`. NaN for
        an image without valid pixels, with a non-finite prediction or an impossible target among
        them, without a fit, or where the metric is undefined.

    Raises:
        ValueError: for other shapes or dtypes, an unknown name, or `median_log` of what was
            aligned; never for what the maps hold.
    """
    unknown = [name for name in metrics if name not in _METRICS]
    if unknown or alignment not in _FITS:
        got = unknown[0] if unknown else alignment
        raise ValueError(f"depth batch: expected {', '.join([*_METRICS, *_FITS])}; got {got!r}")
    of_scale = SCALE_METRICS.intersection(metrics)
    if of_scale and alignment != "none":
        raise ValueError(
            f"depth batch: expected alignment none for {min(of_scale)}, which tells how far a map "
            f"is out of scale; got {alignment}"
        )
    if prediction.ndim != 3 or prediction.shape != target.shape:
        raise ValueError(
            "depth batch: expected prediction and target (B, H, W) of one shape, "
            f"got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    chosen = torch.isfinite(target) & (target > 0) if mask is None else mask
    if chosen.shape != target.shape or chosen.dtype != torch.bool:
        raise ValueError(
            f"depth batch: expected a bool mask {tuple(target.shape)}, "
            f"got {chosen.dtype} {tuple(chosen.shape)}"
        )
    valid, count = chosen.flatten(1), chosen.flatten(1).sum(1)
    # Where nothing counts both are 1, which no sum and no logarithm minds.
    depth = torch.where(valid, prediction.flatten(1).to(torch.float64), 1)
    truth = torch.where(valid, target.flatten(1).to(torch.float64), 1)
    sound = (torch.isfinite(depth) & torch.isfinite(truth) & (truth > 0)).all(1) & (count > 0)
    weights = 1 / truth if fit_weights == "inverse_depth" else torch.ones_like(truth)
    scale, shift = _FITS[alignment](_Pixels(depth, truth, valid, count), weights)
    scale, shift = (torch.where(sound, part, torch.nan) for part in (scale, shift))
    aligned = torch.where(valid, scale[:, None] * depth + shift[:, None], 1)
    pixels = _Pixels(aligned, truth, valid, count)
    fitted = torch.isfinite(scale) & torch.isfinite(shift)
    found = {name: torch.where(fitted, _METRICS[name](pixels), torch.nan) for name in metrics}
    return found | {"scale": scale, "shift": shift}


# ------------------------------------------------------------------------------------ alignments


def _identity(pixels: _Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    ones = torch.ones_like(pixels.depth[:, 0])
    return ones, torch.zeros_like(ones)


def _median_scale(pixels: _Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    middle, true = (
        _median(torch.where(pixels.valid, values, torch.inf), pixels.count)
        for values in (pixels.depth, pixels.truth)
    )
    return _only_scale(torch.where(middle > 0, true / middle, torch.nan))


def _least_squares_scale(pixels: _Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    energy, product = (pixels.mean(pixels.depth * other) for other in (pixels.depth, pixels.truth))
    return _only_scale(product / energy)


def _l1_scale(pixels: _Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The lower weighted median of truth / depth, weighed by weight * |depth|."""
    weight = torch.where(pixels.valid, weights * pixels.depth.abs(), 0)
    ratios = torch.where(weight > 0, pixels.truth / pixels.depth, torch.inf)
    ratios, order = ratios.sort(dim=1)
    reached = weight.gather(1, order).cumsum(1)
    half = weight.sum(1, keepdim=True) / 2
    at = torch.searchsorted(reached, half).clamp_max(reached.shape[1] - 1)
    return _only_scale(ratios.gather(1, at)[:, 0])


def _least_squares_scale_shift(pixels: _Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    centre, middle = pixels.mean(pixels.depth), pixels.mean(pixels.truth)
    offsets = torch.where(pixels.valid, pixels.depth - centre[:, None], 0)
    rises = pixels.truth - middle[:, None]
    slope = pixels.mean(offsets * rises) / pixels.mean(offsets**2)
    # As on the CPU: below the rounding of the mean the spread is noise. And the best line that does
    # not fall is flat where the best one falls.
    largest = torch.where(pixels.valid, pixels.depth, 0).abs().amax(1)
    spread = offsets.abs().amax(1)
    flat = (spread <= 8 * torch.finfo(torch.float64).eps * largest) | (slope < 0)
    slope = torch.where(flat, 0, slope)
    return slope, middle - slope * centre


def _only_scale(scale: Tensor) -> tuple[Tensor, Tensor]:
    usable = (scale > 0) & torch.isfinite(scale)
    return torch.where(usable, scale, torch.nan), torch.zeros_like(scale)


def _median(values: Tensor, count: Tensor) -> Tensor:
    """The mean of the two middle ones of the first `count` in order, (B,)."""
    ordered = values.sort(dim=1).values
    places = torch.stack([(count - 1) // 2, count // 2], dim=1).clamp_min(0)
    return ordered.gather(1, places).mean(1)


_FITS: dict[str, Callable[[_Pixels, Tensor], tuple[Tensor, Tensor]]] = {
    "none": _identity,
    "median_scale": _median_scale,
    "least_squares_scale": _least_squares_scale,
    "least_squares_scale_shift": _least_squares_scale_shift,
    "l1_scale": _l1_scale,
}


# --------------------------------------------------------------------------------------- metrics


def _si_log(pixels: _Pixels, mean_weight: float = 1.0, ddof: int = 0) -> Tensor:
    mean = pixels.mean(pixels.log_errors)
    centred = torch.where(pixels.valid, pixels.log_errors - mean[:, None], 0)
    variance = (centred**2).sum(1) / (pixels.count - ddof)
    # One pixel is right at any scale.
    enough = torch.where(pixels.count > 1, variance, torch.nan)
    return (enough + (1 - mean_weight) * mean**2).sqrt()


def _median_log(pixels: _Pixels) -> Tensor:
    """The lower of two middle errors, by its size."""
    # NaN is sorted behind infinity: it would be no middle one.
    errors = torch.where(pixels.valid & pixels.positive, pixels.log_errors, torch.inf)
    middle = ((pixels.count - 1) // 2).clamp_min(0)[:, None]
    found = errors.sort(dim=1).values.gather(1, middle)
    return torch.where(pixels.positive, found, torch.nan)[:, 0].abs()


def _within(pixels: _Pixels, threshold: float) -> Tensor:
    return pixels.mean((pixels.ratios < threshold).to(torch.float64))


def _i_rmse(pixels: _Pixels) -> Tensor:
    depth = torch.where(pixels.positive, pixels.depth, torch.nan)
    return pixels.mean((1 / depth - 1 / pixels.truth) ** 2).sqrt()


def _delta_auc(pixels: _Pixels) -> Tensor:
    # UniDepth's own, in single precision.
    exponents = torch.linspace(0.01, 5.0, 100, dtype=torch.float32, device=pixels.depth.device)
    exponents = exponents.to(torch.float64)
    thresholds = (1.25**exponents).expand(len(pixels.depth), -1).contiguous()
    below = torch.searchsorted(pixels.ratios.sort(dim=1).values, thresholds)
    shares = below.to(torch.float64) / pixels.count[:, None]
    return torch.trapezoid(shares, exponents, dim=1) / 5


_METRICS: dict[str, Callable[[_Pixels], Tensor]] = {
    "abs_rel": lambda p: p.mean((p.depth - p.truth).abs() / p.truth),
    "sq_rel": lambda p: p.mean((p.depth - p.truth) ** 2 / p.truth),
    "rmse": lambda p: p.mean((p.depth - p.truth) ** 2).sqrt(),
    "rmse_log": lambda p: p.mean(p.log_errors**2).sqrt(),
    "log10": lambda p: p.mean(p.log_errors.abs()) / math.log(10),
    "si_log": _si_log,
    "si_log_half": partial(_si_log, mean_weight=0.5),
    "si_log_sample": partial(_si_log, ddof=1),
    "median_log": _median_log,
    "i_rmse": _i_rmse,
    "delta1": partial(_within, threshold=1.25),
    "delta2": partial(_within, threshold=1.25**2),
    "delta3": partial(_within, threshold=1.25**3),
    "inlier_1.03": partial(_within, threshold=1.03),
    "inlier_1.05": partial(_within, threshold=1.05),
    "inlier_1.10": partial(_within, threshold=1.10),
    "delta_auc": _delta_auc,
}
