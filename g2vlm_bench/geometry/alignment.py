"""Alignments of a prediction to the truth; each returns what it fitted.

A depth alignment is a `DepthAlignment`, an alignment of clouds a `Similarity`. Both can be applied
to any array of their kind and written into a record. Frames of a sequence share one alignment when
they are stacked before the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.nearest import check_cloud

Array = NDArray[np.float64]
Quantity = Literal["depth", "disparity"]


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
            None where the fit is in depth.
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
        """
        values = np.asarray(prediction, dtype=np.float64)
        if self.min_disparity is None:
            return self.scale * values + self.shift
        if self.prediction_is == "depth":
            values = 1.0 / np.where(values > 0, values, np.nan)
        disparity: Array = np.maximum(self.scale * values + self.shift, self.min_disparity)
        return 1.0 / disparity

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
    this averages them, as numpy does.
    """
    values, truth = _fit_pixels(prediction, target, mask)
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
    values, truth = _fit_pixels(prediction, target, mask)
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
    values, truth = _fit_pixels(prediction, target, mask)
    scale, shift = _line(values, truth)
    return DepthAlignment("least_squares_scale_shift", scale, shift)


def least_squares_scale_shift_disparity(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    prediction_is: Quantity,
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

    Raises:
        ValueError: for an empty mask, non-finite values in it, or a depth prediction <= 0 in it.

    Source: Ranftl et al. 2020 (MiDaS), equation 4; the floor of the disparity as in MoGe's
    evaluation (0744441).
    """
    values, truth = _fit_pixels(prediction, target, mask)
    if prediction_is == "depth":
        if values.min() <= 0:
            raise ValueError(
                "fit in disparity: expected positive depth predictions in the mask, "
                f"got {int((values <= 0).sum())} of {values.size} at or below 0"
            )
        values = 1.0 / values
    elif prediction_is != "disparity":
        raise ValueError(f"prediction_is: expected 'depth' or 'disparity', got {prediction_is!r}")
    scale, shift = _line(values, 1.0 / truth)
    return DepthAlignment(
        "least_squares_scale_shift_disparity",
        scale,
        shift,
        fitted_in="disparity",
        prediction_is=prediction_is,
        min_disparity=float(1.0 / truth.max()),
    )


def _fit_pixels(
    prediction: NDArray[Any], target: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[Array, Array]:
    """Return prediction and target of the masked pixels, (N,) float64 each, fit to be fitted."""
    values = np.asarray(prediction, dtype=np.float64)
    truth = np.asarray(target, dtype=np.float64)
    chosen = np.ones(truth.shape, dtype=bool) if mask is None else np.asarray(mask)
    if not values.shape == truth.shape == chosen.shape or chosen.dtype != bool:
        raise ValueError(
            "alignment: expected prediction, target and a bool mask of one shape, "
            f"got {values.shape}, {truth.shape} and {chosen.dtype} {chosen.shape}"
        )
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


def _scale_about_origin(values: Array, truth: Array) -> float:
    energy = float(np.vdot(values, values))
    scale = float(np.vdot(values, truth)) / energy if energy > 0 else 0.0
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
    scale = float(np.vdot(offsets, truth - middle) / np.vdot(offsets, offsets))
    return scale, middle - scale * centre


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity of space: point -> scale * rotation @ point + translation.

    Attributes:
        scale: positive factor; 1 for a rigid motion.
        rotation: (3, 3) float64, determinant +1.
        translation: (3,) float64, in the unit of the points it maps to.
    """

    scale: float
    rotation: Array
    translation: Array

    def apply(self, points: NDArray[Any]) -> Array:
        """Return the points (..., 3) moved, float64; NaN stays NaN."""
        return self.scale * self.apply_normals(points) + self.translation

    def apply_normals(self, normals: NDArray[Any]) -> Array:
        """Return the directions (..., 3) turned, float64: neither scaled nor shifted."""
        # A transposed view would send the product down numpy's slow path, some ten times slower.
        return np.asarray(normals, dtype=np.float64) @ np.ascontiguousarray(self.rotation.T)

    def inverse(self) -> Similarity:
        """Return the similarity that undoes this one."""
        rotation = self.rotation.T
        return Similarity(1.0 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def then(self, following: Similarity) -> Similarity:
        """Return the one similarity that equals this one followed by another."""
        return Similarity(
            following.scale * self.scale,
            following.rotation @ self.rotation,
            following.apply(self.translation),
        )

    def record(self) -> dict[str, Any]:
        """Return the fit as plain values for a sample's record."""
        return {
            "scale": self.scale,
            "rotation": self.rotation.tolist(),
            "translation": self.translation.tolist(),
        }


def umeyama(source: NDArray[Any], target: NDArray[Any], with_scale: bool = True) -> Similarity:
    """Fit the similarity that minimises sum |s R source_i + t - target_i|^2 (s = 1 if not scaled).

    Args:
        source: (N, 3), N >= 3, row i corresponds to row i of the target.
        target: (N, 3).
        with_scale: False fits a rigid motion.

    Raises:
        ValueError: for clouds that differ in size, hold non-finite points, or lie on one point or
            line, where the rotation is undetermined.

    Source: Umeyama 1991, equations 34 to 43; the sign matrix S (equation 43) keeps a mirrored
    cloud from being matched by a reflection.
    """
    source_points = check_cloud(source, "source", at_least=3)
    target_points = check_cloud(target, "target", at_least=3)
    _check_correspondence(source_points, target_points)
    source_mean, target_mean = source_points.mean(axis=0), target_points.mean(axis=0)
    source_offsets, target_offsets = source_points - source_mean, target_points - target_mean
    covariance = target_offsets.T @ source_offsets / len(source_points)
    left, spread, right = np.linalg.svd(covariance)
    if spread[1] <= 1e-10 * spread[0] or spread[0] == 0:
        raise ValueError(
            "umeyama: expected points that span a plane at least, "
            f"got a covariance of rank {int((spread > 1e-10 * spread[0]).sum())}"
        )
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right
    variance = float((source_offsets**2).sum()) / len(source_points)
    scale = float(spread @ signs) / variance if with_scale else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def scale_only(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Fit the scale about the origin that minimises sum |s source_i - target_i|^2.

    Args:
        source: (N, 3), row i corresponds to row i of the target, origin at the camera.
        target: (N, 3).

    Raises:
        ValueError: for clouds that differ in size, are empty, hold non-finite points, or have no
            positive best scale.
    """
    source_points, target_points = check_cloud(source, "source"), check_cloud(target, "target")
    _check_correspondence(source_points, target_points)
    scale = _scale_about_origin(source_points.ravel(), target_points.ravel())
    return Similarity(scale, np.eye(3), np.zeros(3))


def median_norm_scale(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Fit the scale about the origin that makes the median distances from it equal.

    It needs no correspondence, so it serves clouds of different sizes.

    Args:
        source: (N, 3), origin at the camera.
        target: (M, 3), origin at the camera.

    Raises:
        ValueError: for empty clouds, non-finite points, or a median distance of zero.

    Source: the scale step of Spann3R's reconstruction evaluation (f89d6a2), without its shift in z.
    """
    norms = [
        float(np.median(np.linalg.norm(check_cloud(points, name), axis=1)))
        for points, name in ((source, "source"), (target, "target"))
    ]
    if min(norms) <= 0:
        raise ValueError("median norm scale: expected median distances above 0, got 0")
    return Similarity(norms[1] / norms[0], np.eye(3), np.zeros(3))


def _check_correspondence(source: Array, target: Array) -> None:
    if len(source) != len(target):
        raise ValueError(
            "alignment: expected corresponding rows, "
            f"got {len(source)} source and {len(target)} target points"
        )
