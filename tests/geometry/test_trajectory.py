"""Trajectories: against single-pose functions, scipy and plain definitions; and every bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import cameras, trajectory
from g2vlm_bench.geometry.alignment import Similarity

COMPOSITIONS = ("first_from_second", "second_from_first", "anchored_worlds")


def random_poses(count: int, seed: int = 0, spread: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=rng).as_matrix()
    return trajectory.poses_from_parts(rotations, spread * rng.standard_normal((count, 3)))


def similarity(seed: int = 5, scale: float = 1.7) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(scale, Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))


# ------------------------------------------------------------------------------------- checks


def test_poses_pass_unchanged_as_float64() -> None:
    poses = random_poses(4).astype(np.float32)
    before = poses.copy()
    checked = trajectory.check_poses(list(poses))
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, before)
    np.testing.assert_array_equal(poses, before)


def mirrored(poses):
    poses[2, :3, 0] *= -1
    return poses


def scaled(poses):
    poses[2, :3, :3] *= 1.01
    return poses


def sheared(poses):
    poses[2, 3, 0] = 0.1
    return poses


def holed(poses):
    poses[2, 0, 3] = np.nan
    return poses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mirrored, r"determinant \+1, got -1 \(a left-handed frame\) \(1 of 5, the first at 2\)"),
        (scaled, r"orthonormal rotations .* got a deviation of 0.0201"),
        (sheared, "last row 0 0 0 1"),
        (holed, "finite entries, got NaN or infinity"),
        (lambda p: p[:, :3], r"shape \(N, 4, 4\)"),
        (lambda p: p[0], r"shape \(N, 4, 4\)"),
        (lambda p: p[:1], "at least 2 poses, got 1"),
    ],
)
def test_what_is_no_trajectory(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        trajectory.check_poses(change(random_poses(5)), at_least=2)


def test_quaternions_are_those_of_a_single_camera() -> None:
    wxyz = np.random.default_rng(0).normal(size=(20, 4))
    wxyz /= np.linalg.norm(wxyz, axis=1, keepdims=True) * 1.001
    found = trajectory.rotations_from_quaternions(wxyz)
    expected = [cameras.matrix_from_quaternion(q) for q in wxyz]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert trajectory.rotations_from_quaternions(np.empty((0, 4))).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, 0, 0, 0], "a norm of 1, got 0"),
        ([0.5, 0, 0, 0], "a norm of 1, got 0.5"),
        ([np.nan, 0, 0, 1], "finite"),
        ([1, 0, 0], "shape"),
    ],
)
def test_what_is_no_quaternion(bad, message) -> None:
    with pytest.raises(ValueError, match=message):
        trajectory.rotations_from_quaternions(np.array([bad]))


@pytest.mark.parametrize("shift", [1, -1])
def test_a_wrong_order_of_quaternions_is_told(shift) -> None:
    true = random_poses(8)
    elsewhere = trajectory.move(true, similarity())
    assert not trajectory.has_swapped_quaternions(elsewhere, true)
    assert not trajectory.has_swapped_quaternions(random_poses(8, seed=1), true)
    wxyz = np.roll(Rotation.from_matrix(elsewhere[:, :3, :3]).as_quat(), 1, axis=1)
    swapped = trajectory.poses_from_parts(
        trajectory.rotations_from_quaternions(np.roll(wxyz, shift, axis=1)), elsewhere[:, :3, 3]
    )
    assert trajectory.has_swapped_quaternions(swapped, true)
    # Two cameras have one angle, which every order keeps.
    assert not trajectory.has_swapped_quaternions(swapped[:2], true[:2])
    # Nothing turns, nothing can be told.
    still = np.repeat(true[:1], 8, axis=0)
    assert not trajectory.has_swapped_quaternions(np.repeat(swapped[:1], 8, axis=0), still)


@pytest.mark.parametrize("shift", [1, -1])
def test_cameras_that_hardly_turn_tell_the_order_by_where_they_are(shift) -> None:
    rng = np.random.default_rng(5)
    look = Rotation.from_euler("xyz", [100.0, -20.0, 35.0], degrees=True)
    turned = look * Rotation.from_rotvec(rng.normal(size=(20, 3)) * 0.03)
    true = trajectory.poses_from_parts(turned.as_matrix(), rng.normal(size=(20, 3)))
    elsewhere = trajectory.move(true, similarity())
    assert not trajectory.has_swapped_quaternions(elsewhere, true)
    wxyz = np.roll(Rotation.from_matrix(elsewhere[:, :3, :3]).as_quat(), 1, axis=1)
    swapped = trajectory.poses_from_parts(
        trajectory.rotations_from_quaternions(np.roll(wxyz, shift, axis=1)), elsewhere[:, :3, 3]
    )
    assert trajectory.has_swapped_quaternions(swapped, true)
    # On one line positions give no frame.
    for poses in (swapped, true):
        poses[:, :3, 3] = np.arange(20)[:, None]
    assert not trajectory.has_swapped_quaternions(swapped, true)


def test_no_angle_between_rotations_tells_the_order_of_their_quaternions() -> None:
    """Why only the way can: exchanged numbers keep every angle, speed and acceleration."""
    xyzw = Rotation.random(30, random_state=np.random.default_rng(3)).as_quat()
    for shift in (1, -1):
        read, other = (Rotation.from_quat(q) for q in (xyzw, np.roll(xyzw, shift, axis=1)))
        angles = [(r[i].inv() * r).magnitude() for r in (read, other) for i in range(30)]
        np.testing.assert_allclose(angles[:30], angles[30:], atol=1e-7)


def test_steadiness_of_the_way() -> None:
    poses = random_poses(50)
    # 49 random directions have a mean of some 1 / 7.
    assert trajectory.travel_steadiness(poses) < 0.5
    # Each camera moves along its own z, then turns.
    ahead = poses.copy()
    ahead[1:, :3, 3] = ahead[0, :3, 3] + np.cumsum(poses[:-1, :3, 2], axis=0)
    assert trajectory.travel_steadiness(ahead) == pytest.approx(1, abs=1e-12)
    moved = trajectory.move(ahead, similarity())
    assert trajectory.travel_steadiness(moved) == pytest.approx(1, abs=1e-12)
    still = np.repeat(poses[:1], 50, axis=0)
    for few in (still, poses[:1], poses[:0], poses[:9]):
        assert np.isnan(trajectory.travel_steadiness(few))


# ---------------------------------------------------------------------------------------- time


def by_hand(first, second, tolerance):
    """The definition of evo's rule, one time after the other."""
    apart = np.abs(first[:, None] - second)
    nearest = apart.argmin(axis=1)
    return [(i, j) for i, j in enumerate(nearest) if apart[i, j] <= tolerance]


def mutual_by_hand(first, second, tolerance):
    """All pairs of which each is among the nearest of the other, as a table (N, M)."""
    apart = np.abs(first[:, None] - second)
    nearest = (apart == apart.min(axis=1, keepdims=True)) & (apart == apart.min(axis=0))
    return nearest & (apart <= tolerance)


two_lists = given(
    st.sets(st.integers(0, 60), min_size=1, max_size=20),
    st.sets(st.integers(0, 60), min_size=1, max_size=20),
    st.integers(0, 4),
)


@settings(max_examples=60, deadline=None)
@two_lists
def test_association_to_the_nearest_is_its_definition(first, second, tolerance) -> None:
    a, b = np.array(sorted(first), float), np.array(sorted(second), float)
    expected = by_hand(a, b, tolerance)
    if not expected:
        with pytest.raises(ValueError, match="nearest are"):
            trajectory.associate(a, b, tolerance, mutual=False)
        return
    found = trajectory.associate(a, b, tolerance, mutual=False)
    assert list(zip(*found, strict=True)) == expected


@settings(max_examples=60, deadline=None)
@two_lists
def test_mutual_association_keeps_as_many_of_its_pairs_as_can_be(first, second, tolerance) -> None:
    a, b = np.array(sorted(first), float), np.array(sorted(second), float)
    allowed = mutual_by_hand(a, b, tolerance)
    most = np.count_nonzero(maximum_bipartite_matching(csr_array(allowed)) >= 0)
    if not most:
        with pytest.raises(ValueError, match="nearest are"):
            trajectory.associate(a, b, tolerance)
        return
    i, j = trajectory.associate(a, b, tolerance)
    assert allowed[i, j].all()
    assert len(i) == most
    assert (np.diff(i) > 0).all()
    assert (np.diff(j) > 0).all()


@pytest.mark.parametrize("base", [0.0, 1.3e9])
@pytest.mark.parametrize("rate_hz", [16, 25, 30, 50, 64, 200])
@pytest.mark.parametrize("tolerance", [0.5, 1.0])
def test_clocks_half_a_period_apart_lose_no_pose(rate_hz, base, tolerance) -> None:
    """Each time lies between two others, and rounding alone says which is nearer."""
    step = 1 / rate_hz
    early = np.arange(100) * step + base
    late = early + step / 2
    for first, second in ((early, late), (late, early), (early, late[:-1]), (early[1:], late)):
        i, j = trajectory.associate(first, second, tolerance * step)
        assert len(i) >= min(len(first), len(second))
        assert (np.diff(i) > 0).all()
        assert (np.diff(j) > 0).all()
        assert np.abs(first[i] - second[j]) == pytest.approx(step / 2, abs=1e-6)


def test_a_tie_leaves_the_pair_that_none_contests() -> None:
    # 1 is as near to 0 as to 2, but 2 has a nearer one.
    found = trajectory.associate(np.array([0.0, 2.0]), np.array([1.0, 2.5]), 1)
    assert list(zip(*found, strict=True)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("base", [0.0, 1.3e9])
@pytest.mark.parametrize("rate_hz", [24, 30, 40, 60])
def test_clocks_that_files_have_to_the_microsecond_lose_no_pose(rate_hz, base) -> None:
    exact = base + np.arange(400) / rate_hz
    first, second = np.round(exact, 6), np.round(exact + 0.5 / rate_hz, 6)
    every = list(range(400))
    for lists in ((first, second), (second, first)):
        found = trajectory.mutually_nearest(*lists, 0.5 / rate_hz)
        assert [rows.tolist() for rows in found] == [every, every]


def test_lists_that_repeat_a_time_pair_it_once() -> None:
    found = trajectory.mutually_nearest(np.array([1.0, 1.0, 3.0]), np.array([1.0, 3.0, 3.0]), 1)
    assert list(zip(*found, strict=True)) == [(0, 0), (2, 1)]
    assert not len(trajectory.mutually_nearest(np.array([1.0]), np.array([3.0]), 1)[0])


def test_the_nearest_in_time_is_the_earlier_of_two_as_near() -> None:
    found = trajectory.nearest_in_time(np.array([-1.0, 1.0, 1.2, 9.0, 2.0]), np.array([0.0, 2, 2]))
    assert found.tolist() == [0, 0, 1, 1, 1]
    assert trajectory.nearest_in_time(np.array([5.0, -5.0]), np.array([1.0])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("first", "second", "tolerance", "message"),
    [
        ([], [1.0], 1, "finite times"),
        ([1.0], [np.nan], 1, "other times: expected finite"),
        ([1.0, 1.0], [1.0], 1, "increasing times, got 1.000000000 at 1"),
        ([2.0, 1.0], [1.0], 1, "increasing"),
        ([1.0], [1.0], -1, "0 s or more"),
        ([1.0], [1.0], np.nan, "0 s or more"),
        ([1.0], [3.0], 0.5, "nearest are 2 s apart"),
    ],
)
def test_times_that_cannot_be_matched(first, second, tolerance, message) -> None:
    with pytest.raises(ValueError, match=message):
        trajectory.associate(np.array(first), np.array(second), tolerance)


# ----------------------------------------------------------------------------------- alignment


@pytest.mark.parametrize(("with_scale", "scale"), [(True, 1.7), (False, 1.0)])
def test_an_alignment_undoes_what_moved_the_world(with_scale, scale) -> None:
    true = random_poses(6)
    moved = trajectory.move(true, similarity(scale=scale))
    back = trajectory.move(moved, trajectory.align(moved, true, with_scale))
    np.testing.assert_allclose(back, true, atol=1e-12)
    trajectory.check_poses(back)


def on_a_line(poses):
    poses[:, :3, 3] = np.arange(len(poses))[:, None] * [1.0, -2.0, 0.3] + 5
    return poses


def in_one_place(poses):
    poses[:, :3, 3] = [4e6, 5e5, 100.1]
    return poses


@pytest.mark.parametrize(
    ("change", "message", "rank"),
    [(on_a_line, "all in one line", 1), (in_one_place, "all in one place", 0)],
)
def test_degenerate_cameras_are_refused_on_both_sides(change, message, rank) -> None:
    good, bad = random_poses(6), change(random_poses(6, seed=2))
    rounded = bad.astype(np.float32)
    assert trajectory.extent_rank(bad) == trajectory.extent_rank(rounded) == rank
    assert trajectory.extent_rank(good) == 3
    with pytest.raises(ValueError, match=f"predicted cameras: .*{message}"):
        trajectory.align(bad, good, True)
    with pytest.raises(ValueError, match=f"true cameras: .*{message}"):
        trajectory.align(good, bad, False)


def test_too_few_cameras_and_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        trajectory.align(random_poses(2), random_poses(2), True)
    with pytest.raises(ValueError, match="corresponding"):
        trajectory.align(random_poses(4), random_poses(5), True)


# --------------------------------------------------------------------------------------- pairs


def test_pairs() -> None:
    assert [p.tolist() for p in trajectory.all_pairs(3)] == [[0, 0, 1], [1, 2, 2]]
    assert [p.tolist() for p in trajectory.pairs_apart(5, 2)] == [[0, 1, 2], [2, 3, 4]]
    assert [p.tolist() for p in trajectory.pairs_apart(6, 2, False)] == [[0, 2], [2, 4]]
    for count, delta in ((3, 0), (3, 3), (1, 1)):
        with pytest.raises(ValueError, match="delta"):
            trajectory.pairs_apart(count, delta)


def test_relative_poses_are_those_of_single_cameras() -> None:
    poses = random_poses(5)
    pairs = trajectory.all_pairs(5)
    found = {name: trajectory.relative_poses(poses, *pairs, name) for name in COMPOSITIONS}
    anchored = [cameras.relative_pose(poses[0], pose) for pose in poses]
    for row, (i, j) in enumerate(zip(*pairs, strict=True)):
        expected = {
            "first_from_second": cameras.relative_pose(poses[i], poses[j]),
            "second_from_first": cameras.relative_pose(poses[j], poses[i]),
            "anchored_worlds": anchored[i] @ cameras.invert_pose(anchored[j]),
        }
        for name in COMPOSITIONS:
            np.testing.assert_allclose(found[name][row], expected[name], atol=1e-13)
    np.testing.assert_allclose(
        trajectory.invert_poses(found["first_from_second"]), found["second_from_first"], atol=1e-13
    )


def test_only_the_anchored_composition_depends_on_which_camera_is_first() -> None:
    poses = random_poses(4)
    first, second = trajectory.all_pairs(3)
    for name in COMPOSITIONS:
        whole = trajectory.relative_poses(poses, first + 1, second + 1, name)
        without = trajectory.relative_poses(poses[1:], first, second, name)
        assert np.allclose(whole, without) == (name != "anchored_worlds")


def test_equal_positions_have_a_baseline_of_exactly_zero() -> None:
    poses = in_one_place(random_poses(4))
    relative = trajectory.relative_poses(poses, *trajectory.all_pairs(4))
    assert not relative[:, :3, 3].any()


def test_the_first_camera_becomes_the_origin() -> None:
    poses = random_poses(4)
    found = trajectory.in_first_camera(poses)
    np.testing.assert_allclose(found[0], np.eye(4), atol=1e-15)
    moved = trajectory.in_first_camera(trajectory.move(poses, similarity(scale=1.0)))
    np.testing.assert_allclose(moved, found, atol=1e-12)
