"""Pose metrics: peers' numbers, plain definitions, golden values, and degenerate input."""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metrics import poses as metrics
from g2vlm_bench.metrics.poses import PairErrors
from g2vlm_bench.trajectory_files import load_trajectory

PROJECT = Path(__file__).parents[2]
CONVENTIONS = ("area", "histogram", "histc", "trapezoid", "mean_min")
COMPOSITIONS = ("first_from_second", "second_from_first", "anchored_worlds")
PEERS = {"direction": "sign_free", "zero_baseline": "as_computed"}


@pytest.fixture(scope="session")
def noisy_cameras() -> Callable:
    """The random cameras of the conformance script: `(predicted, true)` of a seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "scripts")
        return importlib.import_module("pose_peers.cases").noisy_cameras


def errors(rotation, translation) -> PairErrors:
    return PairErrors(np.array(rotation, float), np.array(translation, float))


def test_pairs_are_compared_block_by_block_without_a_change(noisy_cameras, monkeypatch) -> None:
    predicted, true = noisy_cameras(4, 10)
    pairs = trajectory.all_pairs(10)
    whole = [metrics.pair_errors(predicted, true, pairs, name) for name in COMPOSITIONS]
    monkeypatch.setattr(metrics, "_PAIRS_AT_ONCE", 7)
    for name, expected in zip(COMPOSITIONS, whole, strict=True):
        found = metrics.pair_errors(predicted, true, pairs, name)
        np.testing.assert_array_equal(found.rotation_deg, expected.rotation_deg)
        np.testing.assert_array_equal(found.translation_deg, expected.translation_deg)


# ------------------------------------------------------------- what peers say of the same cameras
# scripts/conformance_pose.py, seeds 4 and 7, 10 views: RRA, RTA and AUC at 3, 5, 15 and 30 degrees.

PEER_VALUES = {
    # yyfz/Pi3@97ce97b relpose/metric.py, in float64
    "second_from_first": {
        4: [0, 8 / 45, 0, 0, 13 / 45, 0, 0.4, 42 / 45, 0.10962962962962962, 1, 1, 22 / 45],
        7: [0, 1 / 45, 0, 0, 1 / 45, 0, 14 / 45, 23 / 45, 0.0325925925925926, 42 / 45, 43 / 45,
            0.3192592592592593],
    },
    # facebookresearch/map-anything@f7ebafb mapanything/utils/metrics.py, in float64
    "first_from_second": {
        4: [0, 1 / 45, 0, 0, 7 / 45, 0, 0.4, 37 / 45, 5 / 45, 1, 44 / 45, 0.46444444444444444],
        7: [0, 6 / 45, 0, 0, 8 / 45, 0, 14 / 45, 28 / 45, 0.05185185185185186, 42 / 45, 1,
            0.3414814814814815],
    },
}  # fmt: skip
# ByteDance-Seed/Depth-Anything-3@2c21ea8 bench/utils.py: AUC at 3, 5, 15 and 30 degrees
DA3_VALUES = {
    4: [0, 0, 0.029629629629629627, 0.26518518518518525],
    7: [0, 0, 0.01925925925925926, 0.12666666666666668],
}


@pytest.mark.parametrize("seed", [4, 7])
@pytest.mark.parametrize("composition", PEER_VALUES)
def test_vggt_conventions(noisy_cameras, composition, seed) -> None:
    predicted, true = noisy_cameras(seed)
    pairs = trajectory.all_pairs(10)
    found = metrics.pair_errors(predicted, true, pairs, composition, **PEERS)
    values = [
        value
        for t in (3, 5, 15, 30)
        for value in (
            metrics.rra(found, t), metrics.rta(found, t), metrics.auc(found, t, "histogram"),
        )
    ]  # fmt: skip
    assert values == pytest.approx(PEER_VALUES[composition][seed], abs=1e-12)


@pytest.mark.parametrize("seed", [4, 7])
def test_da3_convention(noisy_cameras, seed) -> None:
    predicted, true = noisy_cameras(seed)
    pairs = trajectory.all_pairs(10)
    found = metrics.pair_errors(predicted, true, pairs, "anchored_worlds", **PEERS)
    values = [metrics.auc(found, t, "histogram") for t in (3, 5, 15, 30)]
    assert values == pytest.approx(DA3_VALUES[seed], abs=1e-12)


@pytest.mark.parametrize(("seed", "value"), [(4, 0.4867383512544803), (7, 0.3232974910394265)])
def test_the_auc_by_torch_histc(noisy_cameras, seed, value) -> None:
    predicted, true = noisy_cameras(seed)
    pairs = trajectory.all_pairs(10)
    found = metrics.pair_errors(predicted, true, pairs, "second_from_first", **PEERS)
    assert metrics.auc(found, 30, "histc") == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("seed", "with_scale", "expected"),
    [  # evo 1.36.5, main_ape.ape and main_rpe.rpe, RMSE; delta 1 frame
        (4, False, [5.075666574169346, 6.673354650127253, 15.297199619078073]),
        (4, True, [0.12494031165870288, 0.4032122308113071, 15.297199619078073]),
        (7, False, [1.9018575874444692, 2.8160966955458977, 18.02338804391018]),
        (7, True, [0.1952626750733964, 0.5459841289873727, 18.02338804391018]),
    ],
)
def test_evo(noisy_cameras, seed, with_scale, expected) -> None:
    predicted, true = noisy_cameras(seed)
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, with_scale))
    translation, rotation = metrics.relative_errors(aligned, true)
    ate = metrics.absolute_trajectory_error(aligned, true)
    found = [ate, metrics.summarise(translation, "rmse"), metrics.summarise(rotation, "rmse")]
    assert found == pytest.approx(expected, rel=1e-12)


def test_means_of_mapanything_and_spatialbench(noisy_cameras) -> None:
    predicted, true = noisy_cameras(4)
    rigid = trajectory.move(predicted, trajectory.align(predicted, true, False))
    # map-anything@f7ebafb evaluate_ate, with np.linalg.linalg restored
    mean = metrics.absolute_trajectory_error(rigid, true, "mean")
    assert mean == pytest.approx(4.865636955448556, rel=1e-12)
    # Ropedia/SpatialBench@7f06a37 compute_trajectory_metrics
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, True))
    translation, rotation = metrics.relative_errors(aligned, true)
    assert metrics.summarise(translation, "mean") == pytest.approx(0.3579092996368267, rel=1e-12)
    assert metrics.summarise(rotation, "mean") == pytest.approx(14.64228454659792, rel=1e-12)


def real(realdata: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    folder = realdata / "trajectories"
    if name == "kitti":
        found, true = (
            load_trajectory(folder / f"kitti_00/KITTI_00_{part}.txt", "kitti").world_from_camera
            for part in ("ORB", "gt")
        )
        return found, true
    estimate = load_trajectory(folder / f"tum_fr1_xyz/freiburg1_xyz-{name}.txt", "tum")
    truth = load_trajectory(folder / "tum_fr1_xyz/freiburg1_xyz-groundtruth.txt", "tum")
    first, second = trajectory.associate(estimate.times_s, truth.times_s, 0.02)
    return estimate.world_from_camera[first], truth.world_from_camera[second]


@pytest.mark.parametrize(
    ("name", "count", "with_scale", "expected"),
    [  # evo 1.36.5 on the same pairs, by scripts/conformance_pose.py --realdata
        ("kitti", 4541, False, [1.303449714565045, 0.028120377017393467, 0.11497352125979238]),
        ("kitti", 4541, True, [0.937709073611404, 0.027822453343562318, 0.11497352125979238]),
        ("rgbdslam", 786, False, [0.013473467769906789, 0.005759246782235069, 0.3528274612571114]),
        ("ORB_kf_mono", 32, True, [0.00975458189868511, 0.013834917845974046, 0.8848489597243401]),
    ],
)
def test_evo_on_real_trajectories(realdata, name, count, with_scale, expected) -> None:
    predicted, true = real(realdata, name)
    assert len(predicted) == count
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, with_scale))
    translation, rotation = metrics.relative_errors(aligned, true)
    ate = metrics.absolute_trajectory_error(aligned, true)
    found = [ate, metrics.summarise(translation, "rmse"), metrics.summarise(rotation, "rmse")]
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_errors_that_evo_stored(realdata) -> None:
    """Every one of 4,541 errors of evo's own result file, and the RMSE that it prints."""
    predicted, true = real(realdata, "kitti")
    aligned = trajectory.move(predicted, trajectory.align(predicted, true, False))
    with zipfile.ZipFile(realdata / "trajectories/kitti_00/reference_evo/orb_ape.zip") as archive:
        stats = json.loads(archive.read("stats.json"))
        with archive.open("error_array.npz") as stored:
            # One array, under the name that numpy 1.x gave it.
            content = np.load(stored, allow_pickle=False)
            stored_errors = content if isinstance(content, np.ndarray) else content["arr_0"]
    apart = np.linalg.norm(aligned[:, :3, 3] - true[:, :3, 3], axis=1)
    np.testing.assert_allclose(apart, stored_errors, atol=1e-9)
    ate = metrics.absolute_trajectory_error(aligned, true)
    assert ate == pytest.approx(stats["rmse"], abs=1e-9)
    assert f"{ate:.7f}" == "1.3034497"


# ---------------------------------------------------------------------------------------- angles


def test_rotation_angles_are_those_that_were_turned() -> None:
    rng = np.random.default_rng(0)
    base = Rotation.random(200, random_state=rng)
    axes = rng.normal(size=(200, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.concatenate([[0, 1e-9, 1e-6, 1e-3, 179.9999, 180], rng.uniform(0, 180, 194)])
    turned = base * Rotation.from_rotvec(np.radians(angles)[:, None] * axes)
    found = metrics.rotation_angles_deg(turned.as_matrix(), base.as_matrix())
    # Where VGGT's arccos would answer 4e-6 for all of the first three.
    np.testing.assert_allclose(found, angles, atol=1e-13, rtol=1e-9)


def test_translation_angles() -> None:
    true = np.array([[1.0, 0, 0]] * 5)
    found = np.array([[2.0, 0, 0], [0, 3, 0], [-1, 0, 0], [-1, 1, 0], [1, 1e-12, 0]])
    signed = metrics.translation_angles_deg(found, true)
    np.testing.assert_allclose(signed, [0, 90, 180, 135, np.degrees(1e-12)], rtol=1e-12)
    free = metrics.translation_angles_deg(found, true, "sign_free")
    np.testing.assert_allclose(free, [0, 90, 0, 45, np.degrees(1e-12)], rtol=1e-12)


def test_the_rule_for_baselines_of_zero() -> None:
    true = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [1e-9, 0, 0]])
    found = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
    angles = metrics.translation_angles_deg(found, true, shortest=1e-6)
    np.testing.assert_array_equal(angles, [180, np.nan, np.nan, np.nan])
    angles = metrics.translation_angles_deg(found, true, "sign_free", shortest=1e-6)
    np.testing.assert_array_equal(angles, [90, np.nan, np.nan, np.nan])
    computed = metrics.translation_angles_deg(found, true, zero_baseline="as_computed")
    np.testing.assert_array_equal(computed, [90, 90, 90, 90])


def cameras_at(*positions) -> np.ndarray:
    turns = Rotation.from_rotvec(0.1 * np.arange(len(positions))[:, None] * [0, 1, 0.5])
    return trajectory.poses_from_parts(turns.as_matrix(), np.array(positions, float))


def test_true_cameras_that_coincide_but_for_rounding_have_no_direction() -> None:
    """At UTM coordinates, where a nanometre between equal positions is float64's rounding."""
    far = np.array([4.4e5, 5.5e6, 300.0])
    true = cameras_at(far, far + 1e-9, far + np.array([3, 0, 0]))
    pairs = trajectory.all_pairs(3)
    assert metrics.has_baseline(true, pairs).tolist() == [False, True, True]
    assert metrics.has_baseline(cameras_at(far, far + 1e-9), trajectory.all_pairs(2)).tolist() == [
        False
    ]
    found = metrics.pair_errors(true, true, pairs)
    np.testing.assert_array_equal(np.isnan(found.translation_deg), [True, False, False])
    # The pair still counts by its rotation, and not at all where directions alone are asked for.
    assert metrics.rta(found, 5) == 1
    assert metrics.auc(found, 5) == pytest.approx(1, abs=1e-12)


def test_cameras_that_only_turn_have_no_rta_and_an_auc_of_their_rotations() -> None:
    true = cameras_at([1, 2, 3], [1, 2, 3], [1, 2, 3])
    found = metrics.pair_errors(true, true, trajectory.all_pairs(3))
    with pytest.raises(ValueError, match="a pair of true cameras that stand apart"):
        metrics.rta(found, 5)
    for convention in CONVENTIONS:
        assert metrics.auc(found, 5, convention) == pytest.approx(1, abs=1e-9)


# ------------------------------------------------------------------------------------------ shares


def test_golden_shares() -> None:
    # Largest of each pair: 0.5, 2.5, 4, 40.
    some = errors([0.5, 2.5, 1.0, 40.0], [0.2, 1.0, 4.0, 3.0])
    assert metrics.rra(some, 2.5) == 2 / 4  # strictly below
    assert metrics.rta(some, 5) == 4 / 4
    # (0.9 + 0.5 + 0.2 + 0) / 4 with T = 5
    assert metrics.auc(some, 5) == pytest.approx(0.4)
    # Right below 1, 2, 3, 4, 5 degrees: 1, 1, 2, 2, 3 of 4 (4 stands in the bin of 4 to 5).
    assert metrics.auc(some, 5, "histogram") == pytest.approx((1 + 1 + 2 + 2 + 3) / 4 / 5)
    # Bins of 5/6: 0.5 in the first, 2.5 in the fourth, 4 in the fifth: 1, 1, 1, 2, 3, 3 of 4.
    assert metrics.auc(some, 5, "histc") == pytest.approx((1 + 1 + 1 + 2 + 3 + 3) / 4 / 6)
    # Lines 0..0.5 to 1/4, ..2.5 to 2/4, ..4 to 3/4, level to 5.
    area = 0.5 * 0.125 + 2 * 0.375 + 1.5 * 0.625 + 1 * 0.75
    assert metrics.auc(some, 5, "trapezoid") == pytest.approx(area / 5)
    # RRA at 1..5: 1, 2, 3, 3, 3 of 4 (1.0 is not below 1); RTA: 1, 2, 2, 3, 4 of 4.
    assert metrics.auc(some, 5, "mean_min") == pytest.approx((1 + 2 + 2 + 3 + 3) / 4 / 5)
    # The last bin is closed.
    assert metrics.auc(errors([5.0], [5.0]), 5, "histogram") == 1 / 5
    assert metrics.auc(errors([5.1], [5.0]), 5, "histogram") == 0


def test_conventions_order_as_the_field_found() -> None:
    """Histogram above the area by half a degree; independent angles above the joint ones."""
    rng = np.random.default_rng(0)
    some = errors(rng.uniform(0, 40, 20000), rng.uniform(0, 40, 20000))
    value = {name: metrics.auc(some, 30, name) for name in CONVENTIONS}
    half_a_degree = 0.5 * np.mean(some.largest_deg < 30) / 30
    assert value["histogram"] - value["area"] == pytest.approx(half_a_degree, abs=1e-3)
    assert value["trapezoid"] == pytest.approx(value["area"], abs=1e-4)
    assert value["mean_min"] > value["histogram"]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_an_auc_is_best_for_truth_and_worst_for_what_is_never_right(convention) -> None:
    assert metrics.auc(errors([0, 0], [0, 0]), 30, convention) == pytest.approx(1)
    assert metrics.auc(errors([31, 180], [0, 90]), 30, convention) == 0
    assert metrics.auc(errors([0, 0], [31, 90]), 30, convention) == 0


@pytest.mark.parametrize("threshold", [0, -5, 2.5])
def test_thresholds_without_meaning(threshold) -> None:
    with pytest.raises(ValueError, match="whole degrees"):
        metrics.auc(errors([1], [1]), threshold)


# -------------------------------------------------------------------------------------- properties


def similarity(seed: int, scale: float):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=rng).as_matrix()
    return trajectory.Similarity(scale, rotation, rng.normal(size=3))


@pytest.mark.parametrize("composition", PEER_VALUES)
def test_angles_are_invariant_under_world_and_scale(noisy_cameras, composition) -> None:
    predicted, true = noisy_cameras(3)
    pairs = trajectory.all_pairs(10)
    before = metrics.pair_errors(predicted, true, pairs, composition)
    for moved in (similarity(1, 1.0), similarity(2, 0.3)):
        after = metrics.pair_errors(trajectory.move(predicted, moved), true, pairs, composition)
        np.testing.assert_allclose(after.rotation_deg, before.rotation_deg, atol=1e-10)
        np.testing.assert_allclose(after.translation_deg, before.translation_deg, atol=1e-10)


def test_motions_are_invariant_under_the_world_and_not_under_scale(noisy_cameras) -> None:
    predicted, true = noisy_cameras(3)
    before = metrics.relative_errors(predicted, true)
    rigid = metrics.relative_errors(trajectory.move(predicted, similarity(1, 1.0)), true)
    np.testing.assert_allclose(rigid, before, atol=1e-12)
    scaled = metrics.relative_errors(trajectory.move(predicted, similarity(1, 2.0)), true)
    np.testing.assert_allclose(scaled[1], before[1], atol=1e-11)
    assert np.abs(scaled[0] - before[0]).max() > 0.1


def test_motions_are_their_definition(noisy_cameras) -> None:
    predicted, true = noisy_cameras(5)
    translation, rotation = metrics.relative_errors(predicted, true, delta=3, overlapping=False)
    expected = []
    for i in (0, 3, 6):
        wanted = np.linalg.inv(true[i]) @ true[i + 3]
        found = np.linalg.inv(predicted[i]) @ predicted[i + 3]
        between = np.linalg.inv(wanted) @ found
        turn = Rotation.from_matrix(between[:3, :3]).magnitude()
        expected.append((np.linalg.norm(between[:3, 3]), np.degrees(turn)))
    np.testing.assert_allclose(list(zip(translation, rotation, strict=True)), expected, atol=1e-12)


def test_arguments_stay_as_they_are(noisy_cameras) -> None:
    predicted, true = noisy_cameras(3)
    copies = predicted.copy(), true.copy()
    metrics.pair_errors(predicted, true, trajectory.all_pairs(10), "anchored_worlds")
    metrics.relative_errors(predicted, true)
    trajectory.move(predicted, trajectory.align(predicted, true, True))
    np.testing.assert_array_equal(predicted, copies[0])
    np.testing.assert_array_equal(true, copies[1])


# ---------------------------------------------------------------------------------------- bad input

NAN_ERRORS = errors([np.nan, 1.0], [1.0, 1.0])


@pytest.mark.parametrize("metric", [metrics.rra, metrics.rta, metrics.auc])
@pytest.mark.parametrize("bad", [errors([], []), NAN_ERRORS], ids=["empty", "nan"])
def test_no_share_of_nothing(metric, bad) -> None:
    with pytest.raises(ValueError, match="finite rotations of at least one pair"):
        metric(bad, 5)


def test_other_counts_and_no_pairs_are_refused(noisy_cameras) -> None:
    predicted, true = noisy_cameras(0)
    pairs = trajectory.all_pairs(9)
    for measure in (
        lambda p, t: metrics.pair_errors(p, t, pairs),
        metrics.absolute_trajectory_error,
        metrics.relative_errors,
    ):
        with pytest.raises(ValueError, match="as many predicted as true"):
            measure(predicted[:9], true)
    with pytest.raises(ValueError, match="at least one pair"):
        metrics.pair_errors(predicted, true, trajectory.all_pairs(1))
    with pytest.raises(ValueError, match="at least one"):
        metrics.summarise(np.array([]), "mean")
    with pytest.raises(ValueError, match="delta"):
        metrics.relative_errors(predicted, true, delta=10)


def changed(at, value):
    def change(poses):
        poses[at] = value
        return poses

    return change


CHANGES = {
    "empty": lambda p: p[:0],
    "one pose": lambda p: p[:1],
    "one NaN": changed((2, 0, 3), np.nan),
    "NaN rotation": changed((2, 1, 1), np.nan),
    "all NaN": lambda p: p * np.nan,
    "one inf": changed((2, 0, 3), np.inf),
    "constant": lambda p: np.repeat(np.eye(4)[None], len(p), axis=0),
    "zeros": lambda p: p * 0,
    "mirrored": lambda p: p @ np.diag([-1.0, 1, 1, 1]),
    "another shape": lambda p: p[:, :3],
    "broadcastable shape": lambda p: p[:1].repeat(1, axis=0),
}
MEASURES: dict[str, tuple[Callable, float]] = {
    "rra": (lambda p, t: metrics.rra(metrics.pair_errors(p, t, trajectory.all_pairs(10)), 30), 1),
    "rta": (lambda p, t: metrics.rta(metrics.pair_errors(p, t, trajectory.all_pairs(10)), 30), 1),
    **{
        name: (
            lambda p, t, name=name: metrics.auc(
                metrics.pair_errors(p, t, trajectory.all_pairs(10)), 30, name
            ),
            1,
        )
        for name in CONVENTIONS
    },
    "ate": (metrics.absolute_trajectory_error, 0),
    "rpe_translation": (lambda p, t: float(metrics.relative_errors(p, t)[0].mean()), 0),
    "rpe_rotation": (lambda p, t: float(metrics.relative_errors(p, t)[1].mean()), 0),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("case", CHANGES)
def test_no_bad_trajectory_gets_the_best_value(noisy_cameras, name, case) -> None:
    """As a family meets it: checked first, then measured."""
    measure, best = MEASURES[name]
    _, true = noisy_cameras(0)
    assert measure(true, true) == pytest.approx(best, abs=1e-9)
    if case == "constant":
        value = measure(trajectory.check_poses(CHANGES[case](true.copy())), true)
        assert abs(value - best) > 0.01
        return
    with pytest.raises(ValueError, match="expected"):
        measure(trajectory.check_poses(CHANGES[case](true.copy())), true)
