"""Alignments of predicted clouds to the truth; each returns what it fitted.

A `Similarity` can be applied to any cloud and written into a record. Alignments of depth maps stand
in `depth_alignment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.nearest import check_cloud

Array = NDArray[np.float64]


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
        # BLAS takes ten times as long for a tall matrix times one of three columns.
        turned: Array = np.einsum("...j,ij->...i", normals, self.rotation, dtype=np.float64)
        return turned

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


def _scale_about_origin(values: Array, truth: Array) -> float:
    energy = float(np.vdot(values, values))
    scale = float(np.vdot(values, truth)) / energy if energy > 0 else 0.0
    if not (scale > 0 and np.isfinite(scale)):
        raise ValueError(f"least-squares scale: expected a best scale above 0, got {scale:g}")
    return scale
