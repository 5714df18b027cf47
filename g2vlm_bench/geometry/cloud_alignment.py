"""Published ways of bringing a predicted cloud to the true one, beside those of `alignment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.alignment import Similarity, umeyama
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index, check_cloud

Array = NDArray[np.float64]

# Spann3R keeps the prediction's spread in these bounds before it divides by it.
SPREAD_BOUNDS = (1e-3, 1e3)


def umeyama_ransac(
    source: NDArray[Any],
    target: NDArray[Any],
    seed: int,
    iterations: int = 10,
    sample_size: int | None = None,
    inlier_m: float | None = None,
    with_scale: bool = True,
) -> Similarity:
    """Fit a similarity to the largest set of pairs that one fit of a random subset explains.

    Each iteration fits a subset and counts the pairs it brings within the threshold; the most
    pairs win, then the smaller mean distance among them. The winner's pairs are fitted again.

    Args:
        source: (N, 3), N >= 3, row i corresponds to row i of the target.
        target: (N, 3).
        seed: of the subsets; the same seed gives the same fit.
        iterations: how many subsets.
        sample_size: of a subset, at least 3; half of the pairs, rounded up, if None.
        inlier_m: threshold, inclusive; if None the median distance from a point, after the plain
            fit, to the nearest target point of any row.
        with_scale: False fits rigid motions.

    Raises:
        ValueError: as `umeyama`, on all pairs.

    Source: Fischler and Bolles 1981, as in Depth-Anything-3 (2c21ea8), utils/pose_align.py.
    Departure: where the winner's pairs lie on a line, its own fit stands instead of an error.
    """
    best = umeyama(source, target, with_scale)
    source_points, target_points = check_cloud(source, "source"), check_cloud(target, "target")
    count = len(source_points)
    size = (count + 1) // 2 if sample_size is None else min(sample_size, count)
    if inlier_m is None:
        nearest, _ = NeighbourIndex(target_points).query(best.apply(source_points))
        inlier_m = float(np.median(nearest))
    generator = np.random.default_rng(seed)
    best_rank, inliers = (-1.0, 0.0), np.zeros(count, bool)
    for _ in range(iterations):
        subset = generator.choice(np.arange(count), size=max(3, size), replace=False)
        try:
            fitted = umeyama(source_points[subset], target_points[subset], with_scale)
        except ValueError:  # a subset on one line says nothing
            continue
        errors = np.linalg.norm(fitted.apply(source_points) - target_points, axis=1)
        near = errors <= inlier_m
        rank = (float(near.sum()), -float(errors[near].mean()) if near.any() else -np.inf)
        if rank > best_rank:
            best_rank, best, inliers = rank, fitted, near
    if inliers.sum() < 3:
        return best
    try:
        return umeyama(source_points[inliers], target_points[inliers], with_scale)
    except ValueError:
        return best


def symmetric_similarity(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Fit rotation and translation by least squares, and take the ratio of spreads as the scale.

    The scale is that of root mean square distances from the mean, so the fit of the target to the
    source is the inverse. Noise does not shrink it, as it shrinks Umeyama's.

    Args:
        source: (N, 3), N >= 3, row i corresponds to row i of the target.
        target: (N, 3).

    Raises:
        ValueError: as `umeyama`.

    Source: Horn 1987, section 2.E; SpatialBench (7f06a37), evaluation/alignment.py,
    `procrustes_alignment`.
    """
    rotation = umeyama(source, target, with_scale=False).rotation
    source_points, target_points = check_cloud(source, "source"), check_cloud(target, "target")
    source_mean, target_mean = source_points.mean(axis=0), target_points.mean(axis=0)
    spreads = [
        float(np.linalg.norm(points - points.mean(axis=0)))
        for points in (source_points, target_points)
    ]
    scale = spreads[1] / spreads[0]
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def joint_median(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Make median z and median spread equal, without a rotation or a shift in x and y.

    The spread is the median distance from the coordinate-wise median. Medians are the lower of two
    middle values. Both clouds are of all views together, in the frame of the first camera.

    Args:
        source: (N, 3).
        target: (M, 3), over the same pixels.

    Raises:
        ValueError: for empty clouds, non-finite points, or a target on one point.

    Source: Spann3R (f89d6a2), spann3r/loss.py, `Regr3D_t_ScaleShiftInv` with the scale of the
    truth; CUT3R (8bc15dc), eval/mv_recon/criterion.py, likewise.
    """
    source_points, target_points = check_cloud(source, "source"), check_cloud(target, "target")
    spread, true_spread = _median_spread(source_points), _median_spread(target_points)
    if true_spread <= 0:
        raise ValueError("joint median: expected a target with an extent, got a spread of 0")
    scale = true_spread / float(np.clip(spread, *SPREAD_BOUNDS))
    shift = _lower_median(target_points)[2] - scale * _lower_median(source_points)[2]
    return Similarity(scale, np.eye(3), np.array([0.0, 0.0, shift]))


def lower_median_scale(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Fit the scale about the origin that makes the lower median distances from it equal.

    Args:
        source: (N, 3), origin at the camera.
        target: (M, 3), origin at the camera.

    Raises:
        ValueError: for empty clouds, non-finite points, or a median distance of zero.

    Source: UniK3D (29f7862), unik3d/utils/evaluation_depth.py, `f1_score_si`.
    """
    middle, true = (
        float(_lower_median(np.linalg.norm(check_cloud(points, name), axis=1)))
        for points, name in ((source, "source"), (target, "target"))
    )
    if min(middle, true) <= 0:
        raise ValueError("lower median scale: expected median distances above 0, got 0")
    return Similarity(true / middle, np.eye(3), np.zeros(3))


def mean_norm_scale(source: NDArray[Any], target: NDArray[Any]) -> Similarity:
    """Fit the scale about the origin that makes the mean distances from it equal.

    Args:
        source: (N, 3), origin at the first camera.
        target: (M, 3), likewise.

    Raises:
        ValueError: for empty clouds, non-finite points, or a mean distance of zero.

    Source: DUSt3R's `avg_dis`; MapAnything (f7ebafb), utils/geometry.py,
    `normalize_multiple_pointclouds`, which divides either cloud by its own mean distance instead:
    relative errors are the same.
    """
    norms = [
        float(np.linalg.norm(check_cloud(points, name), axis=1).mean())
        for points, name in ((source, "source"), (target, "target"))
    ]
    if min(norms) <= 0:
        raise ValueError("mean norm scale: expected mean distances above 0, got 0")
    return Similarity(norms[1] / norms[0], np.eye(3), np.zeros(3))


def icp_with_scale(
    source: NDArray[Any] | NeighbourIndex,
    target: NDArray[Any] | NeighbourIndex,
    max_correspondence_m: float,
    max_iterations: int = 30,
    still_rmse_m: float = 1e-6,
) -> Similarity:
    """Fit the similarity of the source onto the target by iterated closest points.

    As `icp.icp_point_to_point`, with a scale. It stops when the fraction of paired points changes
    by less than 1e-6 and their RMSE by less than `still_rmse_m`.

    Args:
        source: (N, 3) metres, or its index.
        target: (M, 3) metres, or its index.
        max_correspondence_m: pairs this far apart or farther are left out.
        max_iterations: at most so many steps.
        still_rmse_m: largest change of the RMSE that counts as none.

    Raises:
        ValueError: for empty clouds, non-finite points, no pair within the distance, or pairs on
            one point or line.

    Source: Besl and McKay 1992 with the scale of Umeyama 1991; TanksAndTemples (3c2c212),
    python_toolbox/evaluation/registration.py, by Open3D's `registration_icp`.
    """
    if not max_correspondence_m > 0:
        raise ValueError(f"ICP: expected a distance above 0, got {max_correspondence_m}")
    start = as_index(source, "source").points
    index = as_index(target, "target")
    fitted = Similarity(1.0, np.eye(3), np.zeros(3))
    before = (-1.0, -1.0)
    for step in range(max_iterations + 1):
        distances, nearest = index.query(fitted.apply(start), within_m=max_correspondence_m)
        paired = np.flatnonzero(distances < max_correspondence_m)
        if not paired.size:
            raise ValueError(f"ICP: expected pairs within {max_correspondence_m} m, got none")
        rmse = float(np.sqrt(np.mean(distances[paired] ** 2)))
        now = paired.size / len(start), rmse
        still = abs(now[0] - before[0]) < 1e-6 and abs(now[1] - before[1]) < still_rmse_m
        if still or step == max_iterations:
            break
        before = now
        fitted = umeyama(start[paired], index.points[nearest[paired]])
    return fitted


def align_segments(
    fit: Callable[[Array, Array], Similarity],
    source: NDArray[Any],
    target: NDArray[Any],
    segment: NDArray[np.integer[Any]],
) -> tuple[Array, dict[int, Similarity]]:
    """Align each segment of a cloud by a fit of its own.

    Args:
        fit: of a source to a target with corresponding rows.
        source: (N, 3), row i corresponds to row i of the target.
        target: (N, 3).
        segment: (N,) which segment a row belongs to, such as its view or its object.

    Returns:
        The source aligned, (N, 3), and the fit of each segment.

    Raises:
        ValueError: where sizes differ or a segment cannot be fitted; the message names it.
    """
    source_points, target_points = check_cloud(source, "source"), check_cloud(target, "target")
    labels = np.asarray(segment)
    if not len(source_points) == len(target_points) == len(labels) or labels.ndim != 1:
        raise ValueError(
            "segments: expected corresponding rows and one label for each, "
            f"got {len(source_points)}, {len(target_points)} and {labels.shape}"
        )
    aligned, fits = np.empty_like(source_points), {}
    for label in np.unique(labels):
        rows = labels == label
        try:
            fitted = fit(source_points[rows], target_points[rows])
        except ValueError as error:
            raise ValueError(f"segment {label}: {error}") from error
        aligned[rows] = fitted.apply(source_points[rows])
        fits[int(label)] = fitted
    return aligned, fits


def _lower_median(values: Array) -> Array:
    """Return the median along the first axis; of two middle values the lower, as torch does."""
    middle = (len(values) - 1) // 2
    median: Array = np.partition(values, middle, axis=0)[middle]
    return median


def _median_spread(points: Array) -> float:
    distances = np.linalg.norm(points - _lower_median(points), axis=1)
    return float(_lower_median(distances))
