"""Trajectories: many poses at once, in time, aligned, and relative to each other.

A trajectory is `(N, 4, 4)`, `world_from_camera` unless a name says otherwise, metres, float64. All
functions take whole trajectories; `cameras` has those of a single pose.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.alignment import Similarity, umeyama
from g2vlm_bench.geometry.cameras import RIGID_TOLERANCE

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices]
Composition = Literal["first_from_second", "second_from_first", "anchored_worlds"]

# Of the largest extent; a covariance at a ratio of its square has lost the direction in rounding.
_FLAT = 1e-5
# Of the largest coordinate: what float64 leaves of the difference of two equal positions.
ROUNDING = 1e-12
_UNIT_TOLERANCE = 1e-2
# What two equal distances of three times differ by at most, the time in both counting twice: files
# have microseconds, each rounded by a half; and each number loses up to a digit where it is made (a
# multiple of a step, nanoseconds to seconds).
_ROUNDED_S, _ROUNDED_DIGITS = 2e-6, 4


def check_poses(poses: Any, name: str = "poses", at_least: int = 1) -> Array:
    """Return the poses in float64 after checking that each is a rigid motion.

    Args:
        poses: (N, 4, 4), or a sequence of (4, 4).
        name: What the error message calls them.
        at_least: The fewest poses that make sense to the caller.

    Raises:
        ValueError: for another shape, too few, non-finite entries, a last row other than 0 0 0 1,
            a rotation that is not orthonormal within 1e-4, or a left-handed one; the first such
            pose is named.
    """
    array = np.asarray(poses, dtype=np.float64)
    if array.ndim != 3 or array.shape[1:] != (4, 4):
        raise ValueError(f"{name}: expected shape (N, 4, 4), got {array.shape}")
    if len(array) < at_least:
        raise ValueError(f"{name}: expected at least {at_least} poses, got {len(array)}")
    _refuse(
        ~np.asarray(np.isfinite(array).all(axis=(1, 2))), name, "finite entries", "NaN or infinity"
    )
    last_row = np.abs(array[:, 3] - (0, 0, 0, 1)).max(axis=1) > RIGID_TOLERANCE
    _refuse(last_row, name, "the last row 0 0 0 1", "another")
    rotations = array[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    _refuse(
        deviation > RIGID_TOLERANCE,
        name,
        f"orthonormal rotations (within {RIGID_TOLERANCE:g})",
        f"a deviation of {deviation.max(initial=0):.3g}",
    )
    left_handed = np.linalg.det(rotations) < 0
    _refuse(left_handed, name, "rotations of determinant +1", "-1 (a left-handed frame)")
    return array


def rotations_from_quaternions(quaternions: NDArray[Any]) -> Array:
    """Return the (N, 3, 3) rotations of (N, 4) quaternions in the order w, x, y, z.

    They are normalised, so that the rounding of a file does no harm.

    Raises:
        ValueError: for another shape, non-finite entries, or a norm that is not 1 within 1 %, zero
            among them: such numbers are no quaternion, or stand in the wrong columns.
    """
    wxyz = np.asarray(quaternions, dtype=np.float64)
    if wxyz.ndim != 2 or wxyz.shape[1] != 4:
        raise ValueError(f"quaternions: expected shape (N, 4), got {wxyz.shape}")
    _refuse(
        ~np.asarray(np.isfinite(wxyz).all(axis=1)),
        "quaternions",
        "finite entries",
        "NaN or infinity",
    )
    norms = np.linalg.norm(wxyz, axis=1)
    wrong = np.abs(norms - 1) > _UNIT_TOLERANCE
    worst = norms[wrong][0] if wrong.any() else 1.0
    _refuse(wrong, "quaternions", "a norm of 1", f"{worst:.6g}")
    if not len(wxyz):
        return np.empty((0, 3, 3))
    matrices: Array = Rotation.from_quat(np.roll(wxyz, -1, axis=1)).as_matrix()
    return matrices


def poses_from_parts(rotations: NDArray[Any], positions: NDArray[Any]) -> Array:
    """Return the (N, 4, 4) poses of (N, 3, 3) rotations and (N, 3) translations, checked."""
    poses = np.zeros((len(positions), 4, 4))
    poses[:, :3, :3], poses[:, :3, 3], poses[:, 3, 3] = rotations, positions, 1.0
    return check_poses(poses)


def invert_poses(poses: NDArray[Any]) -> Array:
    """Return the inverses of (N, 4, 4) rigid poses."""
    inverse = np.zeros_like(poses, dtype=np.float64)
    turned = poses[:, :3, :3].transpose(0, 2, 1)
    inverse[:, :3, :3] = turned
    inverse[:, :3, 3] = -np.einsum("nij,nj->ni", turned, poses[:, :3, 3])
    inverse[:, 3, 3] = 1.0
    return inverse


def has_swapped_quaternions(predicted: NDArray[Any], true: NDArray[Any]) -> bool:
    """Tell whether predicted rotations fit the truth once their quaternions are read another way.

    Reading x, y, z, w as w, x, y, z (or the reverse) keeps the angle between any two rotations and
    changes its axis, so only a comparison with the truth shows it. Seen from the first camera,
    rotations are wrong by more than 10 degrees, and four times nearer in the other order; cameras
    that turn little show it only in the frame that their positions give: wrong by more than 40, and
    by less than 10 in the other order, which of rotations at random one in 3,000 is.

    Args:
        predicted: (N, 4, 4) rigid poses, N >= 3; fewer tell nothing.
        true: (N, 4, 4), in any world frame.
    """
    if len(predicted) < 3:
        return False
    expected = Rotation.from_matrix(true[:, :3, :3])
    wxyz = np.roll(Rotation.from_matrix(predicted[:, :3, :3]).as_quat(), 1, axis=1)
    # As they were read, and in both other orders.
    read = [Rotation.from_quat(np.roll(wxyz, shift - 1, axis=1)) for shift in (0, 1, -1)]

    def off_deg(apart: Rotation) -> float:
        return float(np.degrees(np.median(apart.magnitude())))

    from_first = expected[0].inv() * expected[1:]
    as_read, *others = (off_deg(from_first.inv() * (r[0].inv() * r[1:])) for r in read)
    if as_read > 10 and as_read > 4 * min(others):
        return True
    try:
        turn = Rotation.from_matrix(align(predicted, true, with_scale=True).rotation)
    except ValueError:
        return False
    as_read, *others = (off_deg(expected.inv() * (turn * r)) for r in read)
    return as_read > 40 and min(others) < 10


def travel_steadiness(poses: NDArray[Any]) -> float:
    """Return how steadily the cameras look along their way.

    It is the length of the mean of the directions of travel as the cameras see them: 1 for a
    vehicle, whose camera looks ahead, near 0 for a camera that is carried about. Of all that a
    single trajectory has, it alone can tell a wrong order of quaternions: to exchange their numbers
    is an isometry of the rotations, so that angles, speeds and accelerations of turning stay.

    Args:
        poses: (N, 4, 4) world_from_camera; moves over a hundredth of them are looked at.

    Returns:
        0 to 1; NaN for fewer than 10 moves that are no rounding.
    """
    step = max(1, len(poses) // 100)
    moves = poses[step:, :3, 3] - poses[:-step, :3, 3]
    lengths = np.linalg.norm(moves, axis=1)
    far = lengths > max(0.2 * float(np.median(lengths)) if len(lengths) else 0.0, 1e-12)
    if np.count_nonzero(far) < 10:
        return float("nan")
    seen = np.einsum("nji,nj->ni", poses[:-step][far, :3, :3], moves[far])
    directions = seen / lengths[far, None]
    return float(np.linalg.norm(directions.mean(axis=0)))


def associate(
    times_s: NDArray[Any], other_times_s: NDArray[Any], tolerance_s: float, mutual: bool = True
) -> Pairs:
    """Match two lists of times, each with its nearest.

    Args:
        times_s: (N,) seconds, increasing.
        other_times_s: (M,) seconds, increasing.
        tolerance_s: What lies farther apart does not belong together.
        mutual: Whether both must be the other's nearest, so that none is used twice; see
            `mutually_nearest`. Otherwise each of `times_s` takes its nearest; with the shorter list
            first that is what evo does (`sync.matching_time_indices`, 26d0953).

    Returns:
        Indices into both lists, of equal length, in order of time.

    Raises:
        ValueError: for times that are empty, not finite or not increasing, for a negative
            tolerance, or where nothing matches.
    """
    first, second = _check_times(times_s, "times"), _check_times(other_times_s, "other times")
    if not tolerance_s >= 0:
        raise ValueError(f"tolerance: expected 0 s or more, got {tolerance_s}")
    nearest = nearest_in_time(first, second)
    apart = np.abs(second[nearest] - first)
    if mutual:
        pairs = mutually_nearest(first, second, tolerance_s)
    else:
        kept = np.flatnonzero(apart <= tolerance_s)
        pairs = kept, nearest[kept]
    if not len(pairs[0]):
        raise ValueError(
            f"association: expected times within {tolerance_s:g} s of each other, "
            f"got none (the nearest are {apart.min():g} s apart)"
        )
    return pairs


def mutually_nearest(
    times_s: NDArray[Any], other_times_s: NDArray[Any], tolerance_s: float
) -> Pairs:
    """Match the times of two lists that are each other's nearest, and use none twice.

    Of two that are as near but for rounding, 2 microseconds, either is the nearest, and as many
    pairs stay as can: steady clocks half a period apart lose none, though all of theirs are ties.

    Args:
        times_s: (N,) seconds, not decreasing, N >= 1.
        other_times_s: (M,) seconds, not decreasing, M >= 1.
        tolerance_s: What lies farther apart, by more than rounding, does not belong together.

    Returns:
        Increasing indices into both lists, of equal length, which may be 0.
    """
    largest = max(np.abs(times_s).max(), np.abs(other_times_s).max())
    rounding_s = _ROUNDED_S + _ROUNDED_DIGITS * float(np.spacing(largest))
    there = _as_near(times_s, other_times_s, tolerance_s, rounding_s)
    back = _as_near(other_times_s, times_s, tolerance_s, rounding_s)
    width = len(other_times_s)
    both = np.intersect1d(there[0] * width + there[1], back[1] * width + back[0])
    # Ties chain neighbours in time; of a chain, taking what is free from its start leaves most.
    pairs = [(-1, -1)]
    for row, column in zip(*(part.tolist() for part in np.divmod(both, width)), strict=True):
        if row > pairs[-1][0] and column > pairs[-1][1]:
            pairs.append((row, column))
    rows, columns = np.array(pairs[1:], dtype=np.int64).reshape(-1, 2).T
    return rows, columns


def _as_near(
    times_s: NDArray[Any], other_times_s: NDArray[Any], tolerance_s: float, rounding_s: float
) -> Pairs:
    """Pair each time with its nearest other one, and with the one on its other side if as near."""
    sides = np.stack(_beside(times_s, other_times_s))
    apart = np.abs(other_times_s[sides] - times_s)
    side, row = np.nonzero(apart <= np.minimum(apart.min(axis=0), tolerance_s) + rounding_s)
    return row, sides[side, row]


def nearest_in_time(times_s: NDArray[Any], other_times_s: NDArray[Any]) -> Indices:
    """Return for each time the index of the nearest other one, the earlier of two as near.

    Args:
        times_s: (N,) seconds.
        other_times_s: (M,) seconds, not decreasing, M >= 1.

    Returns:
        (N,) indices into `other_times_s`.
    """
    left, right = _beside(times_s, other_times_s)
    is_left = np.abs(other_times_s[left] - times_s) <= np.abs(other_times_s[right] - times_s)
    nearest: Indices = np.where(is_left, left, right)
    return nearest


def _beside(times_s: NDArray[Any], other_times_s: NDArray[Any]) -> Pairs:
    """Return for each time the indices of two other ones, of which one is the nearest."""
    right = np.searchsorted(other_times_s, times_s).clip(0, len(other_times_s) - 1)
    return np.maximum(right - 1, 0), right


def align(predicted: NDArray[Any], true: NDArray[Any], with_scale: bool) -> Similarity:
    """Fit the motion that brings the predicted camera positions nearest to the true ones.

    Args:
        predicted: (N, 4, 4), N >= 3.
        true: (N, 4, 4), pose i corresponds to predicted pose i.
        with_scale: Sim(3) instead of SE(3).

    Raises:
        ValueError: for trajectories of other lengths, fewer than 3 poses, or cameras that stand in
            one place or on one line, about which the rotation is undetermined.

    Source: Umeyama 1991. Named departure from evo (`core/geometry.py`, 26d0953): degenerate is
    decided relative to the extent, not by an absolute 2e-16, so that it does not depend on units.
    """
    for poses, name in ((predicted, "predicted cameras"), (true, "true cameras")):
        if len(poses) >= 3 and (rank := extent_rank(poses)) < 2:
            got = ("one place", "one line")[rank]
            raise ValueError(f"{name}: expected positions that span a plane, got all in {got}")
    return umeyama(predicted[:, :3, 3], true[:, :3, 3], with_scale)


def extent_rank(poses: NDArray[Any]) -> int:
    """Count the dimensions that the camera positions span: 0 for one place, 1 for a line."""
    positions = np.asarray(poses)[:, :3, 3]
    offsets = positions - positions.mean(axis=0)
    extents = np.linalg.svd(offsets, compute_uv=False)
    if extents[0] <= ROUNDING * np.abs(positions).max() * np.sqrt(len(positions)):
        return 0
    return int((extents > _FLAT * extents[0]).sum())


def move(poses: NDArray[Any], similarity: Similarity) -> Array:
    """Return the poses in the world that a similarity maps theirs to; rotations stay rigid."""
    moved = np.array(poses, dtype=np.float64)
    moved[:, :3, :3] = similarity.rotation @ moved[:, :3, :3]
    moved[:, :3, 3] = similarity.apply(moved[:, :3, 3])
    return moved


def in_first_camera(poses: NDArray[Any]) -> Array:
    """Return the poses in the frame of the first camera, whose own pose becomes the identity."""
    count = len(poses)
    return relative_poses(poses, np.zeros(count, np.int64), np.arange(count))


def all_pairs(count: int) -> Pairs:
    """Return the indices of all pairs i < j, in the order of `torch.combinations`."""
    first, second = np.triu_indices(count, k=1)
    return first.astype(np.int64), second.astype(np.int64)


def pairs_apart(count: int, delta: int = 1, overlapping: bool = True) -> Pairs:
    """Return the pairs of poses that are `delta` frames apart.

    Args:
        count: Length of the trajectory.
        delta: Frames between the two.
        overlapping: Whether every frame starts a pair (evo's `all_pairs`), or only every
            `delta`-th.

    Raises:
        ValueError: for a delta below 1, or a trajectory too short for one pair.
    """
    if delta < 1 or count <= delta:
        raise ValueError(f"pairs: expected 1 <= delta < {count} frames, got {delta}")
    first = np.arange(0, count - delta, 1 if overlapping else delta)
    return first, first + delta


def relative_poses(
    poses: NDArray[Any],
    first: Indices,
    second: Indices,
    composition: Composition = "first_from_second",
) -> Array:
    """Return one relative pose a pair.

    Translations are made from differences of positions, so that equal positions give exactly zero
    and not the rounding of their coordinates.

    Args:
        poses: (N, 4, 4) world_from_camera.
        first: (P,) indices.
        second: (P,) indices.
        composition: `first_from_second` is inv(C_i) C_j (MapAnything, VGGT);
            `second_from_first` is inv(C_j) C_i, its inverse (Pi3). `anchored_worlds` is
            C_i inv(C_j) of poses moved into the first camera: Depth Anything 3 takes inv(W_i) W_j
            of camera_from_world matrices, so that the baseline depends on the world's frame.

    Returns:
        (P, 4, 4).
    """
    relative = np.zeros((len(first), 4, 4))
    relative[:, :3, :3] = relative_rotations(poses, first, second, composition)
    relative[:, :3, 3] = relative_translations(poses, first, second, composition)
    relative[:, 3, 3] = 1.0
    return relative


def relative_rotations(
    poses: NDArray[Any],
    first: Indices,
    second: Indices,
    composition: Composition = "first_from_second",
) -> Array:
    """Return the rotations of `relative_poses` alone, (P, 3, 3)."""
    poses, first, second = _composed(poses, first, second, composition)
    rotations = poses[:, :3, :3]
    relative: Array = rotations[first].transpose(0, 2, 1) @ rotations[second]
    return relative


def relative_translations(
    poses: NDArray[Any],
    first: Indices,
    second: Indices,
    composition: Composition = "first_from_second",
) -> Array:
    """Return the translations of `relative_poses` alone, (P, 3)."""
    poses, first, second = _composed(poses, first, second, composition)
    turned, positions = poses[:, :3, :3].transpose(0, 2, 1), poses[:, :3, 3]
    relative: Array = np.einsum("nij,nj->ni", turned[first], positions[second] - positions[first])
    return relative


def _composed(
    poses: NDArray[Any], first: Indices, second: Indices, composition: Composition
) -> tuple[NDArray[Any], Indices, Indices]:
    """Say which poses and pairs have the composition as their `first_from_second`."""
    if composition == "second_from_first":
        return poses, second, first
    if composition == "anchored_worlds":
        # C_i inv(C_j) = inv(W_i) W_j of the camera_from_world W: the first composition, of W.
        return invert_poses(in_first_camera(poses)), first, second
    return poses, first, second


def _finite(array: Array) -> NDArray[Any]:
    return np.asarray(np.isfinite(array.reshape(len(array), -1)).all(axis=1))


def _refuse(bad: NDArray[Any], name: str, expected: str, got: str) -> None:
    if bad.any():
        index, count = int(np.argmax(bad)), int(bad.sum())
        raise ValueError(
            f"{name}: expected {expected}, got {got} ({count} of {len(bad)}, the first at {index})"
        )


def _check_times(times_s: NDArray[Any], name: str) -> Array:
    times = np.asarray(times_s, dtype=np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
        raise ValueError(f"{name}: expected finite times (N,), got shape {times.shape}")
    if (np.diff(times) <= 0).any():
        index = int(np.argmax(np.diff(times) <= 0)) + 1
        raise ValueError(f"{name}: expected increasing times, got {times[index]:.9f} at {index}")
    return times
