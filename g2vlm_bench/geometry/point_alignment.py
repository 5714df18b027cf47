"""Alignments of point maps to the truth, in the camera's own frame; each returns what it fitted.

Points are (N, 3) or (H, W, 3); row i of the prediction corresponds to row i of the target. No
alignment here rotates: a point map says where its pixels look. Those named `anchored_...` are what
published code computes, for its numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import l1_line
from g2vlm_bench.geometry.anchored_points import anchored_fit
from g2vlm_bench.geometry.l1_slope import Column, l1_slope, tangent

Array = NDArray[np.float64]
Points = NDArray[Any]
Sign = Literal["positive", "any"]
_NO_SHIFT = (0.0, 0.0, 0.0)
_Z = (False, False, True)
_XYZ = (True, True, True)


@dataclass(frozen=True)
class PointAlignment:
    """What was fitted: `scale * points + shift`.

    Attributes:
        kind: name of the function that fitted it.
        scale: of all three axes alike.
        shift: metres along x, y and z.
    """

    kind: str
    scale: float
    shift: tuple[float, float, float] = _NO_SHIFT

    def apply(self, points: Points) -> Array:
        """Return the aligned points (..., 3) in metres, float64; NaN stays NaN."""
        aligned: Array = self.scale * np.asarray(points, np.float64)
        for axis, shift in enumerate(self.shift):
            if shift:
                aligned[..., axis] += shift
        return aligned

    def record(self) -> dict[str, str | float | list[float]]:
        """Return the fit as plain values for a sample's record."""
        return {"kind": self.kind, "scale": self.scale, "shift": list(self.shift)}


def identity() -> PointAlignment:
    """Return the alignment that changes nothing: metric points are scored as they came."""
    return PointAlignment("identity", 1.0)


def least_squares_scale(prediction: Points, target: Points) -> PointAlignment:
    """Fit the scale s that minimises sum |s p - g|^2.

    Raises:
        ValueError: as `l1_scale`.
    """
    points, truth = _pairs(prediction, target)
    energy = float(np.vdot(points, points))
    scale = float(np.vdot(points, truth)) / energy if energy > 0 else 0.0
    return PointAlignment("least_squares_scale", _checked(scale))


def mean_norm_scale(prediction: Points, target: Points) -> PointAlignment:
    """Fit scale = mean |g| / mean |p|; clouds divided by their mean norms have this ratio.

    Raises:
        ValueError: as `l1_scale`.

    Source: MapAnything (f7ebafb, mapanything/utils/geometry.py, `normalize_multiple_pointclouds`).
    """
    points, truth = _pairs(prediction, target)
    mean = float(np.linalg.norm(points, axis=-1).mean())
    scale = float(np.linalg.norm(truth, axis=-1).mean()) / mean if mean > 0 else 0.0
    return PointAlignment("mean_norm_scale", _checked(scale))


def l1_scale(prediction: Points, target: Points, weights: Points | None = None) -> PointAlignment:
    """Fit the scale s that minimises sum w |s p - g|_1 over points and axes, exactly.

    Args:
        prediction: up to scale.
        target: metres, same shape.
        weights: w >= 0, one a point; None for equal ones. 1 / |g| makes it a relative error.

    Raises:
        ValueError: for shapes that differ or are no points, no point at all, values that are not
            finite, weights below 0 or all 0, or a best scale <= 0.

    Source: a weighted median of g / p; MoGe (0744441, moge/utils/alignment.py,
    `align_points_scale`).
    """
    points, truth, given = _weighted(prediction, target, weights)
    scale = l1_line.l1_scale(points.ravel(), truth.ravel(), np.repeat(given, 3))
    return PointAlignment("l1_scale", _checked(scale))


def l1_z_shift(prediction: Points, target: Points, weights: Points | None = None) -> PointAlignment:
    """Fit the shift along z that minimises sum w |p + t - g|_1, exactly: a weighted median.

    Arguments and errors as in `l1_scale`, without a scale.

    Source: MoGe (0744441, moge/utils/alignment.py, `align_points_z_shift`).
    """
    return _shift_alone("l1_z_shift", _Z, *_weighted(prediction, target, weights))


def l1_xyz_shift(
    prediction: Points, target: Points, weights: Points | None = None
) -> PointAlignment:
    """Fit the shift along x, y and z that minimises sum w |p + t - g|_1, exactly.

    Arguments and errors as in `l1_scale`, without a scale.

    Source: MoGe (0744441, moge/utils/alignment.py, `align_points_xyz_shift`), which its evaluation
    fits to metric points, too.
    """
    return _shift_alone("l1_xyz_shift", _XYZ, *_weighted(prediction, target, weights))


def l1_scale_z_shift(
    prediction: Points,
    target: Points,
    weights: Points | None = None,
    sign: Sign = "positive",
) -> PointAlignment:
    """Fit a scale and a shift along z that minimise sum w |s p + t - g|_1, exactly.

    Args:
        prediction: up to scale and a shift along z.
        target: metres, same shape.
        weights: w >= 0, one a point; None for equal ones.
        sign: `positive` takes the best scale that is not below 0, so that points turned inside out
            do not fit; `any` does not ask.

    Raises:
        ValueError: as `l1_scale`, except that a scale of 0 is a fit: that of one point everywhere.
    """
    given = _weighted(prediction, target, weights)
    return _scale_and_shift("l1_scale_z_shift", _Z, sign, *given)


def l1_scale_xyz_shift(
    prediction: Points,
    target: Points,
    weights: Points | None = None,
    sign: Sign = "positive",
) -> PointAlignment:
    """Fit a scale and a shift along x, y and z that minimise sum w |s p + t - g|_1, exactly.

    Arguments and errors as in `l1_scale_z_shift`. `anchored_scale_xyz_shift` is the fit that MoGe
    has in its place, whose loss is some 0.1% above this one's.
    """
    given = _weighted(prediction, target, weights)
    return _scale_and_shift("l1_scale_xyz_shift", _XYZ, sign, *given)


def anchored_scale_z_shift(
    prediction: Points, target: Points, weights: Points | None = None
) -> PointAlignment:
    """Fit a scale of any sign and a shift along z by which the z of one point is met exactly.

    Coordinates that equal the anchor's, and x and y of exactly 0, cost nothing. Arguments and
    errors as in `l1_scale_z_shift`.

    Source: MoGe (0744441, moge/utils/alignment.py, `align_points_scale_z_shift`).
    """
    scale, shift = anchored_fit(*_weighted(prediction, target, weights), _Z)
    return PointAlignment("anchored_scale_z_shift", scale, _triple(shift))


def anchored_scale_xyz_shift(
    prediction: Points, target: Points, weights: Points | None = None
) -> PointAlignment:
    """Fit a scale of any sign and a shift by which one point is met exactly in x, y and z.

    Coordinates that equal the anchor's cost nothing. Arguments and errors as in
    `l1_scale_z_shift`.

    Source: MoGe (0744441, moge/utils/alignment.py, `align_points_scale_xyz_shift`). Named
    departure: where all points are one, this is the scale 0; there it is a number of no meaning.
    """
    scale, shift = anchored_fit(*_weighted(prediction, target, weights), _XYZ)
    return PointAlignment("anchored_scale_xyz_shift", scale, _triple(shift))


def _shift_alone(
    kind: str, shifted: tuple[bool, ...], points: Array, truth: Array, weights: Array
) -> PointAlignment:
    fitted = tangent(_columns(points, truth, weights, shifted), 1.0)
    return PointAlignment(kind, 1.0, _triple(fitted.shifts))


def _scale_and_shift(
    kind: str, shifted: tuple[bool, ...], sign: Sign, points: Array, truth: Array, weights: Array
) -> PointAlignment:
    columns = _columns(points, truth, weights, shifted)
    scale, shifts = l1_slope(columns)
    if scale < 0 and sign == "positive":
        # The loss is convex, so the best scale that is not below 0 is 0.
        scale, shifts = 0.0, tangent(columns, 0.0).shifts
    return PointAlignment(kind, scale, _triple(shifts))


def _columns(
    points: Array, truth: Array, weights: Array, shifted: tuple[bool, ...]
) -> list[Column]:
    axes = zip(np.ascontiguousarray(points.T), np.ascontiguousarray(truth.T), shifted, strict=True)
    return [Column(values, true, weights, moves) for values, true, moves in axes]


def _triple(shift: Any) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in shift)
    return x, y, z


def _checked(scale: float) -> float:
    if not (scale > 0 and np.isfinite(scale)):
        raise ValueError(f"scale of points: expected a best scale above 0, got {scale:g}")
    return scale


def _weighted(
    prediction: Points, target: Points, weights: Points | None
) -> tuple[Array, Array, Array]:
    points, truth = _pairs(prediction, target)
    given = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64).ravel()
    if given.shape != (len(points),):
        raise ValueError(f"point alignment: expected {len(points)} weights, got {given.size}")
    if not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
        raise ValueError("point alignment: expected weights >= 0 with a positive sum, got others")
    return points, truth, given


def _pairs(prediction: Points, target: Points) -> tuple[Array, Array]:
    points, truth = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if points.shape != truth.shape or points.ndim not in (2, 3) or points.shape[-1] != 3:
        raise ValueError(
            "point alignment: expected points (N, 3) or (H, W, 3) of one shape, "
            f"got {points.shape} and {truth.shape}"
        )
    points, truth = points.reshape(-1, 3), truth.reshape(-1, 3)
    if len(points) == 0:
        raise ValueError("point alignment: expected at least one point, got none")
    for array, name in ((points, "prediction"), (truth, "target")):
        if not np.isfinite(array).all():
            raise ValueError(f"point alignment: expected a finite {name}, got NaN or infinity")
    return points, truth
