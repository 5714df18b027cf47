"""Alignments of predicted depth to the truth; each returns what it fitted.

A `DepthAlignment` can be applied to any map and written into a record. Frames of a sequence share
one alignment when they are stacked before the fit. What published code does instead of these
stands in `emulated_alignment.py`; alignments of clouds stand in `alignment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import l1_line

Array = NDArray[np.float64]
Quantity = Literal["depth", "disparity"]
Floor = Literal["farthest", "none"] | float


@dataclass(frozen=True)
class DepthAlignment:
    """What a depth alignment fitted: `scale * prediction + shift`, in depth or in disparity.

    Attributes:
        kind: name of the function that fitted it.
        scale: factor on the prediction (or on its disparity).
        shift: metres where the fit is in depth, 1 / metres where it is in disparity.
        fitted_in: where the line holds, in depth or in disparity.
        prediction_is: what the prediction holds; depth is inverted before a fit in disparity.
        min_disparity: aligned disparities are raised to this (1 / metres) before they are inverted;
            None for no such floor, and where the fit is in depth.
    """

    kind: str
    scale: float
    shift: float
    fitted_in: Quantity = "depth"
    prediction_is: Quantity = "depth"
    min_disparity: float | None = None

    def apply(self, prediction: NDArray[Any]) -> Array:
        """Return the aligned depth in metres, float64, in the shape of the prediction.

        NaN stays NaN; a non-positive depth has no disparity and becomes NaN in a disparity fit.
        Without a floor an aligned disparity below 0 becomes a negative depth, and 0 becomes NaN.
        """
        values = np.asarray(prediction, dtype=np.float64)
        if self.fitted_in == "depth":
            return self.scale * values + self.shift
        if self.prediction_is == "depth":
            values = 1.0 / np.where(values > 0, values, np.nan)
        disparity: Array = self.scale * values + self.shift
        if self.min_disparity is not None:
            disparity = np.maximum(disparity, self.min_disparity)
        return 1.0 / np.where(disparity == 0, np.nan, disparity)

    def record(self) -> dict[str, str | float | None]:
        """Return the fit as plain values for a sample's record."""
        return {
            "kind": self.kind,
            "scale": self.scale,
            "shift": self.shift,
            "fitted_in": self.fitted_in,
            "prediction_is": self.prediction_is,
            "min_disparity": self.min_disparity,
        }


def identity() -> DepthAlignment:
    """Return the alignment that changes nothing: metric depth is scored as it came."""
    return DepthAlignment("identity", 1.0, 0.0)


def median_scale(
    prediction: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> DepthAlignment:
    """Fit scale = median(target) / median(prediction) over the mask.

    Args:
        prediction: depth up to scale, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.

    Raises:
        ValueError: for an empty mask, non-finite values in it, or a median prediction <= 0.

    Source: Zhou et al. 2017 (SfMLearner), evaluation. Named departure: `torch.median`, used by
    MonST3R, CUT3R and UniDepth, returns the lower of the two middle values of an even count;
    this averages them, as numpy does (`emulated_alignment.lower_median_scale` is theirs).
    """
    values, truth = fit_pixels(prediction, target, mask)
    middle = float(np.median(values))
    if middle <= 0:
        raise ValueError(f"median scale: expected a median prediction above 0, got {middle:g}")
    return DepthAlignment("median_scale", float(np.median(truth)) / middle, 0.0)


def least_squares_scale(
    prediction: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> DepthAlignment:
    """Fit the scale s that minimises sum (s * prediction - target)^2 over the mask.

    Args:
        prediction: depth up to scale, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.

    Raises:
        ValueError: for an empty mask, non-finite values in it, or a best scale <= 0 (an all-zero
            or a mostly negative prediction, which a sign must not turn into depth).
    """
    values, truth = fit_pixels(prediction, target, mask)
    scale = _scale_about_origin(values, truth)
    return DepthAlignment("least_squares_scale", scale, 0.0)


def least_squares_scale_shift(
    prediction: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> DepthAlignment:
    """Fit scale s and shift t that minimise sum (s * prediction + t - target)^2 over the mask.

    A constant prediction leaves s and t undetermined but not their result, the mean of the target:
    it is returned as s = 0. The scale may be negative, so the result does not change when the
    prediction is replaced by a * prediction + b with any a other than 0.

    Args:
        prediction: depth up to scale and shift, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.

    Raises:
        ValueError: for an empty mask or non-finite values in it.

    Source: Ranftl et al. 2020 (MiDaS), equation 4, in depth as in Marigold's `least_square`
    (b1dffaa), which solves it in float32.
    """
    values, truth = fit_pixels(prediction, target, mask)
    scale, shift = _line(values, truth)
    return DepthAlignment("least_squares_scale_shift", scale, shift)


def least_squares_scale_shift_disparity(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    prediction_is: Quantity,
    floor: Floor = "farthest",
) -> DepthAlignment:
    """Fit s and t that minimise sum (s * prediction disparity + t - 1 / target)^2 over the mask.

    The aligned disparity is raised to 1 / (largest target in the mask) before it is inverted, so
    that no prediction falls behind the farthest truth or beyond infinity. A constant prediction
    gives s = 0, the mean of the target's disparity.

    Args:
        prediction: disparity up to scale and shift, or depth whose inverse is; any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.
        prediction_is: which of the two it is.
        floor: of the aligned disparity: a number of 1 / metres, or `none`, as peers have it.

    Raises:
        ValueError: for an empty mask, non-finite values in it, or a depth prediction <= 0 in it.

    Source: Ranftl et al. 2020 (MiDaS), equation 4; the floor of the disparity as in MoGe's
    evaluation (0744441). Marigold (b1dffaa) has the floor 0.001, robustmvd (627dffe) none.
    """
    values, truth = fit_pixels(prediction, target, mask)
    values = _disparities(values, prediction_is)
    scale, shift = _line(values, 1.0 / truth)
    return _in_disparity(
        "least_squares_scale_shift_disparity", (scale, shift), truth, prediction_is, floor
    )


def l1_scale(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    weights: NDArray[Any] | None = None,
) -> DepthAlignment:
    """Fit the scale s that minimises sum w |s * prediction - target| over the mask, exactly.

    Args:
        prediction: depth up to scale, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.
        weights: w >= 0, same shape; None for equal ones. 1 / target makes the loss AbsRel.

    Raises:
        ValueError: for an empty mask, non-finite values in it, weights that are negative or all 0
            there, or a best scale <= 0.

    Source: a weighted median of target / prediction; MoGe (0744441, `align_depth_scale`).
    """
    values, truth = fit_pixels(prediction, target, mask)
    scale = l1_line.l1_scale(values, truth, _fit_weights(weights, target, mask))
    if not scale > 0:
        raise ValueError(f"L1 scale: expected a best scale above 0, got {scale:g}")
    return DepthAlignment("l1_scale", scale, 0.0)


def l1_scale_shift(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    weights: NDArray[Any] | None = None,
) -> DepthAlignment:
    """Fit scale s and shift t that minimise sum w |s * prediction + t - target|, exactly.

    The true optimum, predictions that are tied (clamped, saturated, quantised) included. A constant
    prediction gives s = 0 and the weighted median of the target. As in the least-squares fit the
    scale may be negative.

    Args:
        prediction: depth up to scale and shift, any shape.
        target: depth in metres, same shape.
        mask: True where both count, same shape; None for everywhere.
        weights: w >= 0, same shape; None for equal ones. 1 / target makes the loss AbsRel.

    Raises:
        ValueError: for an empty mask, non-finite values in it, or weights that are negative or all
            0 there.

    Source: least absolute deviations, as `l1_line` solves them.
    """
    values, truth = fit_pixels(prediction, target, mask)
    scale, shift = l1_line.l1_line(values, truth, _fit_weights(weights, target, mask))
    return DepthAlignment("l1_scale_shift", scale, shift)


def l1_scale_shift_disparity(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    prediction_is: Quantity,
    weights: NDArray[Any] | None = None,
    floor: Floor = "farthest",
) -> DepthAlignment:
    """Fit s and t that minimise sum w |s * prediction disparity + t - 1 / target|, exactly.

    All else as in `least_squares_scale_shift_disparity` and `l1_scale_shift`.

    Raises:
        ValueError: as those do.
    """
    values, truth = fit_pixels(prediction, target, mask)
    values = _disparities(values, prediction_is)
    line = l1_line.l1_line(values, 1.0 / truth, _fit_weights(weights, target, mask))
    return _in_disparity("l1_scale_shift_disparity", line, truth, prediction_is, floor)


def _disparities(values: Array, prediction_is: Quantity) -> Array:
    if prediction_is == "disparity":
        return values
    if prediction_is != "depth":
        raise ValueError(f"prediction_is: expected 'depth' or 'disparity', got {prediction_is!r}")
    if values.min() <= 0:
        raise ValueError(
            "fit in disparity: expected positive depth predictions in the mask, "
            f"got {int((values <= 0).sum())} of {values.size} at or below 0"
        )
    return 1.0 / values


def _in_disparity(
    kind: str, line: tuple[float, float], truth: Array, prediction_is: Quantity, floor: Floor
) -> DepthAlignment:
    lowest = {"farthest": float(1.0 / truth.max()), "none": None}
    return DepthAlignment(
        kind,
        *line,
        fitted_in="disparity",
        prediction_is=prediction_is,
        min_disparity=lowest[floor] if isinstance(floor, str) else floor,
    )


def fit_pixels(
    prediction: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[Array, Array]:
    """Return prediction and target of the masked pixels, (N,) float64 each, fit to be fitted.

    Raises:
        ValueError: for differing shapes, an empty mask, non-finite predictions in it, or targets in
            it that are not finite and positive.
    """
    values = np.asarray(prediction, dtype=np.float64)
    truth = np.asarray(target, dtype=np.float64)
    chosen = np.broadcast_to(True, truth.shape) if mask is None else np.asarray(mask)
    if not values.shape == truth.shape == chosen.shape or chosen.dtype != bool:
        raise ValueError(
            "alignment: expected prediction, target and a bool mask of one shape, "
            f"got {values.shape}, {truth.shape} and {chosen.dtype} {chosen.shape}"
        )
    if mask is None:
        values, truth = values.ravel(), truth.ravel()
    else:
        values, truth = values[chosen], truth[chosen]
    if values.size == 0:
        raise ValueError("alignment: expected at least one valid pixel, got an empty mask")
    if not np.isfinite(values).all():
        raise ValueError(
            "alignment: expected finite predictions in the mask, "
            f"got {int((~np.isfinite(values)).sum())} non-finite of {values.size}"
        )
    if not (np.isfinite(truth) & (truth > 0)).all():
        raise ValueError("alignment: expected finite, positive targets in the mask, got others")
    return values, truth


def _fit_weights(
    weights: NDArray[Any] | None, target: NDArray[Any], mask: NDArray[np.bool_] | None
) -> Array:
    shape = np.shape(target)
    given = np.ones(shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != shape:
        raise ValueError(f"alignment: expected weights of shape {shape}, got {given.shape}")
    chosen = given.ravel() if mask is None else given[mask]
    if not (np.isfinite(chosen).all() and (chosen >= 0).all() and chosen.sum() > 0):
        raise ValueError("alignment: expected weights >= 0 with a positive sum in the mask")
    return chosen


def _scale_about_origin(values: Array, truth: Array) -> float:
    energy = l1_line.dot(values, values)
    scale = l1_line.dot(values, truth) / energy if energy > 0 else 0.0
    if not (scale > 0 and np.isfinite(scale)):
        raise ValueError(f"least-squares scale: expected a best scale above 0, got {scale:g}")
    return scale


def _line(values: Array, truth: Array) -> tuple[float, float]:
    """Return the least-squares scale and shift; the centred form keeps large offsets harmless."""
    centre, middle = float(values.mean()), float(truth.mean())
    offsets = values - centre
    # Below the rounding of the mean the spread is noise, and its slope would be, too.
    if np.abs(offsets).max() <= 8 * np.finfo(np.float64).eps * np.abs(values).max():
        return 0.0, middle
    scale = l1_line.dot(offsets, truth - middle) / l1_line.dot(offsets, offsets)
    return scale, middle - scale * centre
