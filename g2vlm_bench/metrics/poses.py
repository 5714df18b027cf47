"""Metrics of predicted camera poses against the true ones, in each convention of the field.

Angles are in degrees, distances in metres, shares between 0 and 1 (most peers print them times
100). `pair_errors` compares relative poses, which no alignment changes; the absolute and relative
trajectory errors are of poses that are aligned already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.trajectory import (
    ROUNDING,
    Composition,
    Pairs,
    invert_poses,
    pairs_apart,
    relative_poses,
    relative_rotations,
    relative_translations,
)

Array = NDArray[np.float64]
Statistic = Literal["rmse", "mean"]
Direction = Literal["signed", "sign_free"]
ZeroBaseline = Literal["excluded", "as_computed"]
AucConvention = Literal["area", "histogram", "histc", "trapezoid", "mean_min"]

# Of the longest true baseline: a shorter one has no direction that could be measured.
_NO_BASELINE = 1e-6
# All pairs of a long trajectory are millions, and each takes some 500 bytes while it is compared.
_PAIRS_AT_ONCE = 1 << 17


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of the relative poses of P pairs of cameras.

    Attributes:
        rotation_deg: (P,) angle between predicted and true relative rotation, 0 to 180.
        translation_deg: (P,) angle between the directions of the baselines; NaN where the truth has
            none.
    """

    rotation_deg: Array
    translation_deg: Array

    @property
    def largest_deg(self) -> Array:
        """The larger of both angles; the rotation's alone where the truth has no direction."""
        return np.fmax(self.rotation_deg, self.translation_deg)


def rotation_angles_deg(rotations: NDArray[Any], true_rotations: NDArray[Any]) -> Array:
    """Return the angles between rotations.

    Args:
        rotations: (N, 3, 3).
        true_rotations: (N, 3, 3).

    Returns:
        (N,) degrees, 0 to 180.

    Raises:
        ValueError: for a matrix that is no rotation (scipy's check).

    Source: angle of A^T B as 2 atan2(|v|, |w|) of its quaternion, exact at 0 and at 180; rounding
    that leaves A^T B not orthonormal is taken out first, as evo does (`core/lie_algebra.py`).
    Named departure: VGGT and its copies (Pi3 relpose/metric.py, 97ce97b) take
    arccos(1 - 2 max(1 - (q q')^2, 1e-15)), which cannot fall below 4e-6 degrees, and below some
    0.03 in the float32 that they run in.
    """
    between = np.asarray(rotations, np.float64).transpose(0, 2, 1) @ true_rotations
    angles: Array = np.degrees(Rotation.from_matrix(between).magnitude())
    return angles


def translation_angles_deg(
    translations: NDArray[Any],
    true_translations: NDArray[Any],
    direction: Direction = "signed",
    zero_baseline: ZeroBaseline = "excluded",
    shortest: float = 0.0,
) -> Array:
    """Return the angles between the directions of predicted and true baselines.

    Args:
        translations: (N, 3), any scale.
        true_translations: (N, 3).
        direction: `signed` is 0 to 180. `sign_free` takes a baseline and its opposite as the same,
            0 to 90, as the field does since the days of the essential matrix.
        zero_baseline: `excluded`: a true baseline not longer than `shortest` has no direction, and
            its angle is NaN; a prediction of none where there is one is as wrong as can be.
            `as_computed`: peers take the angle of whatever is there, rounding noise included; of
            vectors of zeros it is 90 degrees.
        shortest: In the unit of `true_translations`.

    Returns:
        (N,) degrees.

    Source: atan2(|a x b|, a b), exact at 0. Named departure: VGGT and its copies take
    acos(sqrt(1 - max(1 - (a b)^2, 1e-15))), which cannot fall below 2e-6 degrees.
    """
    predicted = np.asarray(translations, np.float64)
    true = np.asarray(true_translations, np.float64)
    across = np.linalg.norm(np.cross(predicted, true), axis=1)
    along = np.einsum("ni,ni->n", predicted, true)
    if direction == "sign_free":
        along = np.abs(along)
    angles: Array = np.degrees(np.arctan2(across, along))
    still = ~predicted.any(axis=1)
    no_direction = np.linalg.norm(true, axis=1) <= shortest
    if zero_baseline == "as_computed":
        angles[still | ~true.any(axis=1)] = 90.0
        return angles
    angles[still] = 180.0 if direction == "signed" else 90.0
    angles[no_direction] = np.nan
    return angles


def shortest_baseline(true: NDArray[Any], pairs: Pairs) -> float:
    """Return the length up to which a true baseline counts as none.

    It is a millionth of the longest one, or what float64 leaves of equal positions (1e-12 of the
    largest coordinate) where that is more: shorter vectors are rounding noise.
    """
    return _shortest(true, _baselines(true, pairs))


def has_baseline(true: NDArray[Any], pairs: Pairs) -> NDArray[np.bool_]:
    """Tell of each pair whether the true cameras stand apart, so that there is a direction."""
    lengths = _baselines(true, pairs)
    apart: NDArray[np.bool_] = lengths > _shortest(true, lengths)
    return apart


def pair_errors(
    predicted: NDArray[Any],
    true: NDArray[Any],
    pairs: Pairs,
    composition: Composition = "first_from_second",
    direction: Direction = "signed",
    zero_baseline: ZeroBaseline = "excluded",
) -> PairErrors:
    """Compare the relative poses of pairs of cameras.

    Args:
        predicted: (N, 4, 4) world_from_camera, any world and scale.
        true: (N, 4, 4) world_from_camera.
        pairs: Indices of the first and of the second cameras.
        composition: Which relative pose; see `relative_poses`.
        direction: See `translation_angles_deg`.
        zero_baseline: See `translation_angles_deg`; the cameras' distance decides, whatever the
            composition.

    Raises:
        ValueError: for trajectories of other lengths, or no pair.
    """
    _check_same(predicted, true)
    if not len(pairs[0]):
        raise ValueError("pairs: expected at least one pair of cameras, got none")
    turns, angles = np.empty(len(pairs[0])), np.empty(len(pairs[0]))
    # Rounding is taken out of N poses here and not of each pair's A^T B: once is enough.
    exact = _orthonormal(predicted), _orthonormal(true)
    for block in _blocks(len(turns)):
        first, second = pairs[0][block], pairs[1][block]
        found, wanted = (relative_rotations(p, first, second, composition) for p in exact)
        turns[block] = rotation_angles_deg(found, wanted)
        moved, truly = (
            relative_translations(p, first, second, composition) for p in (predicted, true)
        )
        angles[block] = translation_angles_deg(moved, truly, direction, zero_baseline, shortest=0.0)
    if zero_baseline == "excluded":
        angles[~has_baseline(true, pairs)] = np.nan
    return PairErrors(turns, angles)


def rra(errors: PairErrors, threshold_deg: float) -> float:
    """Return the share of pairs whose relative rotation is wrong by less than a threshold."""
    return float(np.mean(_checked(errors).rotation_deg < threshold_deg))


def rta(errors: PairErrors, threshold_deg: float) -> float:
    """Return the share of pairs whose baseline's direction is wrong by less than a threshold.

    Pairs without a true direction do not count.

    Raises:
        ValueError: where no pair has a true direction.
    """
    angles = _checked(errors).translation_deg
    known = angles[~np.isnan(angles)]
    if not len(known):
        raise ValueError("rta: expected a pair of true cameras that stand apart, got none")
    return float(np.mean(known < threshold_deg))


def auc(errors: PairErrors, threshold_deg: int, convention: AucConvention = "area") -> float:
    """Return the area under the share of pairs right at each threshold, over 0 to a threshold.

    A pair is right at a threshold when both of its angles are below it.

    Args:
        errors: Of all pairs.
        threshold_deg: Where the area ends, whole degrees.
        convention: `area`: the area itself, mean of max(0, 1 - e / T).
            `histogram`: mean of the shares at 1, 2, ..., T degrees, counted in bins of one degree,
            the last one closed (VGGT, Pi3, MapAnything, Depth Anything 3): half a degree more.
            `histc`: the same by T + 1 bins over 0 to T (`calculate_auc` beside it in VGGT and Pi3).
            `trapezoid`: under the straight lines between sorted errors (SuperGlue, ScanNet-1500).
            `mean_min`: mean over 1, 2, ..., T degrees of min(RRA, RTA), each counted by itself
            (PoseDiffusion's mAA): more, as another pair may be right in the other angle.

    Raises:
        ValueError: for no pair, or a threshold below 1.
    """
    if threshold_deg < 1 or threshold_deg != int(threshold_deg):
        raise ValueError(f"auc: expected a threshold of whole degrees, got {threshold_deg}")
    worst = _checked(errors).largest_deg
    if convention == "area":
        return float(np.mean(np.maximum(0.0, 1.0 - worst / threshold_deg)))
    if convention in ("histogram", "histc"):
        count = threshold_deg + (convention == "histc")
        shares = np.histogram(worst, bins=count, range=(0, threshold_deg))[0] / len(worst)
        return float(np.mean(np.cumsum(shares)))
    if convention == "trapezoid":
        return _area_under_lines(np.sort(worst), threshold_deg)
    degrees = range(1, threshold_deg + 1)
    if np.isnan(errors.translation_deg).all():
        return float(np.mean([rra(errors, t) for t in degrees]))
    return float(np.mean([min(rra(errors, t), rta(errors, t)) for t in degrees]))


def absolute_trajectory_error(
    predicted: NDArray[Any], true: NDArray[Any], statistic: Statistic = "rmse"
) -> float:
    """Return the distance between predicted and true camera positions over a trajectory.

    Args:
        predicted: (N, 4, 4) metres, aligned.
        true: (N, 4, 4) metres.
        statistic: `rmse` (evo, CUT3R, Pi3), or `mean`, which MapAnything calls `pose_ate_rmse`.

    Raises:
        ValueError: for trajectories of other lengths.

    Source: Sturm et al. 2012, equation 3; evo's APE of `translation_part`.
    """
    _check_same(predicted, true)
    apart = np.linalg.norm(predicted[:, :3, 3] - true[:, :3, 3], axis=1)
    return summarise(apart, statistic)


def relative_errors(
    predicted: NDArray[Any], true: NDArray[Any], delta: int = 1, overlapping: bool = True
) -> tuple[Array, Array]:
    """Return how far the motions over `delta` frames are from the true ones.

    Args:
        predicted: (N, 4, 4), aligned; a rigid motion of the world changes nothing, a scale does.
        true: (N, 4, 4).
        delta: Frames between the two poses of a motion.
        overlapping: See `pairs_apart`.

    Returns:
        Translation part of inv(Q) P in metres, (P,), and its rotation in degrees, (P,).

    Raises:
        ValueError: for trajectories of other lengths, or shorter than `delta`.

    Source: Sturm et al. 2012, equation 1; evo's RPE of `translation_part` and
    `rotation_angle_deg`, in frames.
    """
    _check_same(predicted, true)
    pairs = pairs_apart(len(true), delta, overlapping)
    found, wanted = relative_poses(predicted, *pairs), relative_poses(true, *pairs)
    between = invert_poses(wanted) @ found
    turns = rotation_angles_deg(wanted[:, :3, :3], found[:, :3, :3])
    return np.linalg.norm(between[:, :3, 3], axis=1), turns


def summarise(errors: NDArray[Any], statistic: Statistic) -> float:
    """Return the root mean square, or the mean, of errors.

    Raises:
        ValueError: for no errors.
    """
    if not len(errors):
        raise ValueError("errors: expected at least one, got none")
    return float(np.sqrt(np.mean(errors**2)) if statistic == "rmse" else np.mean(errors))


def _orthonormal(poses: NDArray[Any]) -> Array:
    exact = np.array(poses, np.float64)
    exact[:, :3, :3] = Rotation.from_matrix(exact[:, :3, :3]).as_matrix()
    return exact


def _blocks(count: int) -> Iterator[slice]:
    return (slice(at, at + _PAIRS_AT_ONCE) for at in range(0, count, _PAIRS_AT_ONCE))


def _baselines(true: NDArray[Any], pairs: Pairs) -> Array:
    """Return how far apart the true cameras of each pair stand, (P,)."""
    positions = np.asarray(true)[:, :3, 3]
    lengths = np.empty(len(pairs[0]))
    for block in _blocks(len(lengths)):
        between = positions[pairs[1][block]] - positions[pairs[0][block]]
        lengths[block] = np.linalg.norm(between, axis=1)
    return lengths


def _shortest(true: NDArray[Any], lengths: Array) -> float:
    return max(
        _NO_BASELINE * float(lengths.max(initial=0.0)),
        ROUNDING * float(np.abs(np.asarray(true)[:, :3, 3]).max(initial=0.0)),
    )


def _area_under_lines(ordered: Array, threshold_deg: float) -> float:
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    inside = int(np.searchsorted(ordered, threshold_deg))
    x = np.concatenate([[0.0], ordered[:inside], [threshold_deg]])
    y = np.concatenate([[0.0], shares[:inside], [shares[inside - 1] if inside else 0.0]])
    return float(np.trapezoid(y, x) / threshold_deg)


def _checked(errors: PairErrors) -> PairErrors:
    if not len(errors.rotation_deg) or np.isnan(errors.rotation_deg).any():
        raise ValueError("pair errors: expected finite rotations of at least one pair, got none")
    return errors


def _check_same(predicted: NDArray[Any], true: NDArray[Any]) -> None:
    if predicted.shape != true.shape or predicted.shape[1:] != (4, 4):
        raise ValueError(
            f"poses: expected as many predicted as true (N, 4, 4), "
            f"got {predicted.shape} and {true.shape}"
        )
