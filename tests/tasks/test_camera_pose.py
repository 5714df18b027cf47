"""Camera poses: what each protocol says, ambiguities, golden values, degenerate trajectories."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from msgspec import structs
from scipy.spatial.transform import Rotation

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry import trajectory
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.metrics import poses as pose_metrics
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Target

SHARES = [f"{name}_{t}" for name in ("rra", "rta", "auc") for t in (3, 5, 10, 15, 30)]
DISTANCES = [
    f"{name}{mean}" for name in ("ate", "rpe_translation", "rpe_rotation") for mean in ("", "_mean")
]
METRICS = [*SHARES, *DISTANCES]
# Turned so that neither rotations nor axes are those of the truth.
ELSEWHERE = Similarity(2.5, Rotation.from_rotvec([0.3, -0.7, 0.2]).as_matrix(), np.array([1, 2, 3]))
PROTOCOLS = [
    {"alignment": alignment, "direction": direction, "pooling": pooling, "auc": auc, **more}
    for alignment, direction, pooling, auc, more in product(
        ["none", "se3", "sim3"],
        ["signed", "sign_free"],
        ["sequence", "pair", "category"],
        ["area", "histogram", "histc", "trapezoid", "mean_min"],
        [
            {},
            {"composition": "second_from_first", "pairs": "consecutive"},
            {"composition": "anchored_worlds", "zero_baseline": "as_computed"},
            {"rpe_delta": 2, "rpe_overlap": False},
        ],
    )
    if not (pooling == "pair" and auc in ("trapezoid", "mean_min"))
]

# Each value of each field at least once under truth, whose every metric is aggregated.
MEASURED = [
    *PROTOCOLS[::13],
    *({"auc": auc} for auc in ("histogram", "histc", "trapezoid", "mean_min")),
    {"frame": "world"},
]


def cameras(seed: int = 0, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(0.5 * rng.standard_normal((count, 3))).as_matrix()
    return trajectory.poses_from_parts(rotations, rng.standard_normal((count, 3)))


def target(poses) -> Target:
    return Target(world_from_camera=tuple(poses))


def predicted(poses, ambiguity: Ambiguity | None = None) -> Prediction:
    return Prediction(world_from_camera=tuple(poses), ambiguity=ambiguity)


def noisy(true: np.ndarray, seed: int = 9, angle: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = true.copy()
    turns = Rotation.from_rotvec(angle * rng.standard_normal((len(true), 3))).as_matrix()
    found[:, :3, :3] = found[:, :3, :3] @ turns
    found[:, :3, 3] += angle * rng.standard_normal((len(true), 3))
    return found


# --------------------------------------------------------------------------------- protocols


def test_the_label_of_every_protocol_names_every_departure_from_the_default(load_family) -> None:
    family = load_family("camera_pose", ["ate"], *PROTOCOLS)
    assert len({spec.name for spec in family.specs}) == len(PROTOCOLS)
    assert load_family("camera_pose", ["ate"]).specs[0].name == "ate@metric"
    full = {
        "alignment": "none", "frame": "world", "pairs": "consecutive",
        "composition": "anchored_worlds", "direction": "sign_free",
        "zero_baseline": "as_computed", "auc": "histc", "pooling": "pair", "rpe_delta": 5,
        "rpe_overlap": False,
    }  # fmt: skip
    (protocol,) = load_family("camera_pose", ["ate"], full).protocols
    assert set(full) == set(type(protocol).__struct_fields__) - {"profile", "metrics"}
    assert protocol.label == (
        "metric+world+neighbours+anchored_worlds+sign_free+zero_as_computed+histc_auc+pair_mean"
        "+delta5+end_to_end"
    )


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        ([{"align": "sim3"}], "Did you mean 'alignment'?"),
        ([{"alignment": "sim(3)"}], "alignment"),
        ([{"alignment": "sim3", "frame": "world"}], "frame world without alignment"),
        ([{"pooling": "pair", "auc": "trapezoid"}], "a mean over pairs to pool"),
        ([{"pooling": "pair", "auc": "mean_min"}], "a mean over pairs to pool"),
        ([{"rpe_delta": 0}], "rpe_delta"),
        ([{}, {"alignment": "none"}], "protocols that differ"),
    ],
)
def test_a_protocol_without_meaning_is_refused_when_the_task_is_read(
    load_family, protocols, message
) -> None:
    with pytest.raises(BenchError, match="camera_pose/test, key 'protocols'") as error:
        load_family("camera_pose", ["auc_30"], *protocols)
    assert message in str(error.value)


def test_every_shipped_profile_is_understood(load_family) -> None:
    plugins = Plugins()
    labels = set()
    for name in ("vggt", "pi3", "g2vlm", "mapanything", "da3", "cut3r", "evo", "spatialbench"):
        profile = load_profile(plugins.path("profile", name))
        fields = profile.expand("camera_pose", None, name)
        metrics = {metric for one in fields for metric in one.get("metrics", METRICS)}
        labels |= {p.label for p in load_family("camera_pose", sorted(metrics), *fields).protocols}
        assert any("camera_pose" in quirk for quirk in profile.quirks)
    assert {"vggt", "pi3.angular", "pi3.distance", "evo.sim3", "spatialbench.trajectory"} <= labels


# ------------------------------------------------------------------------------------- truth


@pytest.mark.parametrize("protocol", MEASURED, ids=str)
def test_truth_is_best_and_neither_scrambled_truth_nor_a_still_camera_is(
    load_family, score, result, protocol
) -> None:
    family = load_family("camera_pose", METRICS, protocol)
    scrambled = Plugins().adapter("scrambled", {}, {})
    assert {key for one in MEASURED for key in one} == set(
        type(family.protocols[0]).__struct_fields__
    ) - {"profile", "metrics"}
    rng = np.random.default_rng(0)
    lines: dict[str, list] = {"truth": [], "scrambled": [], "still": []}
    for seed in range(3):
        truth = target(cameras(seed))
        perfect = family.truth(truth)
        still = predicted([np.eye(4)] * 6)
        lines["truth"].append(score(family, truth, perfect, id=str(seed)))
        wrong = scrambled.distort(perfect, Inputs(id="a"), rng)
        lines["scrambled"].append(score(family, truth, wrong, id=str(seed)))
        lines["still"].append(score(family, truth, still, id=str(seed)))
    for spec in family.specs:
        best = result(family, lines["truth"], spec.name)
        assert (best.n_scored, best.n_failed) == (3, 0), spec.name
        assert best.value == pytest.approx(spec.best, abs=1e-9), spec.name
        for kind in ("scrambled", "still"):
            value = result(family, lines[kind], spec.name).value
            wrong = np.inf if value is None else abs(value - spec.best)
            assert wrong > 1e-3, f"{kind}: {spec.name} is {value}"


# ------------------------------------------------------------------------------- golden values


def test_golden_values(load_family, score) -> None:
    """Three cameras on a right angle, the last one half as far again and turned by 11 degrees."""
    true = np.repeat(np.eye(4)[None], 3, axis=0)
    true[1, :3, 3], true[2, :3, 3] = [2, 0, 0], [2, 2, 0]
    found = true.copy()
    found[2, :3, 3] = [2, 3, 0]
    found[2, :3, :3] = Rotation.from_euler("z", 11, degrees=True).as_matrix()
    family = load_family(
        "camera_pose", ["rra_10", "rra_15", "rta_10", "rta_15", "auc_15", *DISTANCES]
    )
    values = score(family, target(true), predicted(found)).values
    # Rotations 0, 11, 11. Directions: 0; atan(3/2) - 45 = 11.309932 degrees; 0.
    assert values["rra_10@metric"] == pytest.approx(1 / 3)
    assert values["rra_15@metric"] == 1
    assert values["rta_10@metric"] == pytest.approx(2 / 3)
    assert values["rta_15@metric"] == 1
    worst = np.array([0, 11.309932474020213, 11])
    assert values["auc_15@metric"] == pytest.approx(np.mean(1 - worst / 15))
    # Positions: 0, 0, 1. Motions: 0 and 1 m; 0 and 11 degrees.
    assert values["ate@metric"] == pytest.approx(np.sqrt(1 / 3))
    assert values["ate_mean@metric"] == pytest.approx(1 / 3)
    assert values["rpe_translation@metric"] == pytest.approx(np.sqrt(1 / 2))
    assert values["rpe_translation_mean@metric"] == pytest.approx(1 / 2)
    assert values["rpe_rotation@metric"] == pytest.approx(np.sqrt(121 / 2))
    assert values["rpe_rotation_mean@metric"] == pytest.approx(5.5)


def test_unaligned_positions_are_compared_in_the_first_cameras_unless_in_the_world(
    load_family, score
) -> None:
    true = cameras()
    moved = trajectory.move(true, replace(ELSEWHERE, scale=1.0))
    family = load_family("camera_pose", ["ate"], {}, {"frame": "world"})
    values = score(family, target(true), predicted(moved)).values
    assert values["ate@metric"] == pytest.approx(0, abs=1e-12)
    apart = moved[:, :3, 3] - true[:, :3, 3]
    assert values["ate@metric+world"] == pytest.approx(np.sqrt((apart**2).sum(axis=1).mean()))


@pytest.mark.parametrize(
    ("scale", "undone_by"), [(1.0, {"metric", "se3", "sim3"}), (2.5, {"sim3"})]
)
def test_an_alignment_undoes_its_group_and_no_more(load_family, score, scale, undone_by) -> None:
    true = cameras()
    moved = trajectory.move(true, replace(ELSEWHERE, scale=scale))
    protocols = [{}, {"alignment": "se3"}, {"alignment": "sim3"}]
    family = load_family("camera_pose", METRICS, *protocols)
    line = score(family, target(true), predicted(moved))
    for spec in family.specs:
        metric, label = spec.name.split("@")
        is_distance = metric.startswith(("ate", "rpe_translation"))
        undone = not is_distance or label in undone_by
        value = line.values[spec.name]
        assert (value == pytest.approx(spec.best, abs=1e-9)) == undone, spec.name
    assert line.details["alignment"]["sim3"]["scale"] == pytest.approx(1 / scale)


@pytest.mark.parametrize(("pooling", "expected"), [("sequence", 0.5), ("pair", 3 / 18)])
def test_pooling(load_family, score, result, pooling, expected) -> None:
    """One sequence of 3 views, all 3 pairs right; one of 6 views, none of its 15."""
    family = load_family("camera_pose", ["rra_5", "rta_5", "auc_5"], {"pooling": pooling})
    right, wrong = cameras(0, 3), cameras(1, 6)
    spoilt = cameras(2, 6)
    errors = pose_metrics.pair_errors(spoilt, wrong, trajectory.all_pairs(6))
    assert (errors.rotation_deg > 5).all()
    assert (errors.translation_deg > 5).all()
    lines = [
        score(family, target(right), predicted(right), id="a"),
        score(family, target(wrong), predicted(spoilt), id="b"),
    ]
    for spec in family.specs:
        assert result(family, lines, spec.name).value == pytest.approx(expected)
    # A failure keeps the weight of its pairs.
    lines[1] = score(family, target(wrong), RuntimeError("boom"), id="b")
    assert result(family, lines, family.specs[0].name).value == pytest.approx(expected)


def test_categories_count_alike_whatever_their_sequences(load_family, score, result) -> None:
    """Three right sequences of one category, a wrong one of another."""
    family = load_family("camera_pose", ["rra_5"], {"pooling": "category"})
    right, wrong, spoilt = cameras(0, 3), cameras(1, 6), cameras(2, 6)
    lines = [score(family, target(right), predicted(right), id=name) for name in "abc"]
    lines.append(score(family, target(wrong), predicted(spoilt), id="d"))
    tagged = [
        structs.replace(line, tags={"category": "bench" if line.id == "d" else "apple"})
        for line in lines
    ]
    (spec,) = family.specs
    assert spec.name == "rra_5@metric+category_mean"
    assert result(family, tagged, spec.name).value == pytest.approx(0.5)
    # Without tags all are of one category.
    assert result(family, lines, spec.name).value == pytest.approx(0.75)


# ---------------------------------------------------------------------------------- ambiguities


@pytest.mark.parametrize("ambiguity", [None, *Ambiguity])
def test_poses_up_to_scale_are_not_measured_in_metres(load_family, score, ambiguity) -> None:
    family = load_family(
        "camera_pose", ["auc_30", *DISTANCES], {}, {"alignment": "se3"}, {"alignment": "sim3"}
    )
    names = {spec.name for spec in family.servable(ambiguity)}
    metres = {
        f"{metric}@{label}"
        for metric in DISTANCES
        for label in ("metric", "se3")
        if not metric.startswith("rpe_rotation")
    }
    everything = {spec.name for spec in family.specs}
    assert names == (everything if ambiguity is Ambiguity.METRIC else everything - metres)
    true = cameras()
    line = score(family, target(true), predicted(noisy(true), ambiguity), Ambiguity.METRIC)
    given = {name for name, value in line.values.items() if value is not None}
    assert given == (everything if ambiguity in (None, Ambiguity.METRIC) else names)


# ---------------------------------------------------------------------------- degenerate cameras


def mirrored(poses):
    return poses @ np.diag([-1.0, 1, 1, 1])


def bent(poses):
    return poses + 0.01 * np.eye(4) * [1, 1, 1, 0]


def unknown(poses):
    return np.where(np.arange(6)[:, None, None] == 2, np.nan, poses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mirrored, "left-handed"),
        (bent, "orthonormal"),
        (unknown, "finite entries"),
        (lambda p: p[:5], "poses of 6 views, got 5"),
    ],
)
def test_poses_that_are_none_fail_at_the_worst_value(
    load_family, score, result, change, message
) -> None:
    family = load_family("camera_pose", ["auc_30", "ate"], {"alignment": "sim3"})
    true = cameras()
    line = score(family, target(true), predicted(change(true)))
    assert line.status == "failed"
    assert message in line.error.message
    auc, ate = (result(family, [line], spec.name) for spec in family.specs)
    assert (auc.value, auc.n_failed) == (0, 1)
    assert (ate.value, ate.n_failed) == (None, 1)
    assert score(family, target(true), Prediction(answer="north")).status == "failed"


def lower_row(poses):
    changed = poses.copy()
    changed[4, 3] = [0, 0, 1, 1]
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mirrored, "left-handed"),
        (bent, "orthonormal"),
        (unknown, "the first at 2"),
        (lower_row, "last row 0 0 0 1"),
    ],
)
def test_true_poses_that_are_none_leave_a_sample_unscored_with_their_reason(
    load_family, score, change, message
) -> None:
    """No model can be blamed for them; the command ends with the code of samples that failed."""
    family = load_family("camera_pose", ["auc_30"])
    line = score(family, target(change(cameras())), predicted(cameras()))
    assert line.status == "unscored"
    assert line.error.stage == "target"
    assert message in line.error.message
    assert "true poses" in line.error.message


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_another_number_of_poses_than_views_fails(load_family, score, count) -> None:
    family = load_family("camera_pose", ["auc_30"])
    line = score(family, target(cameras()), predicted(cameras(count=8)[:count]))
    assert line.status == "failed"
    assert f"poses of 6 views, got {count}" in line.error.message


def test_two_cameras_have_angles_and_no_alignment(load_family, score, result) -> None:
    """Of two positions a similarity is undetermined: the truth's fault, so nothing fails."""
    family = load_family("camera_pose", ["auc_30", *DISTANCES], {"alignment": "sim3"}, {})
    true = cameras(count=2)
    line = score(family, target(true), predicted(true), Ambiguity.METRIC)
    assert (line.status, line.error) == ("scored", None)
    for spec in family.specs:
        found = result(family, [line], spec.name)
        aligned = spec.name.endswith("@sim3") and spec.name.startswith(("ate", "rpe_translation"))
        assert (found.n_scored, found.n_failed) == (int(not aligned), 0), spec.name


def on_a_line(poses):
    changed = poses.copy()
    changed[:, :3, 3] = np.arange(len(poses))[:, None] * [1.0, 2.0, 0.5]
    return changed


def in_one_place(poses):
    changed = poses.copy()
    changed[:, :3, 3] = [1.0, 2.0, 0.5]
    return changed


@pytest.mark.parametrize(
    ("change", "message"), [(on_a_line, "all in one line"), (in_one_place, "all in one place")]
)
def test_a_degenerate_prediction_fails_where_it_must_be_aligned_and_is_never_dropped(
    load_family, score, result, change, message
) -> None:
    family = load_family("camera_pose", ["auc_30", *DISTANCES], {"alignment": "sim3"})
    true = cameras()
    good = score(family, target(true), predicted(true), id="a")
    bad = score(family, target(true), predicted(change(true)), id="b")
    assert bad.status == "scored"
    assert message in bad.error.message
    for spec in family.specs:
        found = result(family, [good, bad], spec.name)
        failed = spec.name.startswith(("ate", "rpe_translation"))
        assert (found.n_scored, found.n_failed) == ((1, 1) if failed else (2, 0)), spec.name
        assert (found.value is None) == failed


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("change", [on_a_line, in_one_place])
def test_a_degenerate_truth_is_not_the_models_failure_and_is_never_dropped(
    load_family, score, result, change, failing
) -> None:
    family = load_family("camera_pose", METRICS, {}, {"alignment": "sim3"})
    true = change(cameras())
    line = score(family, target(true), RuntimeError("no") if failing else predicted(true))
    assert line.status == ("failed" if failing else "scored")
    lacks = "the true cameras are all in one " + ("line" if change is on_a_line else "place")
    for spec in family.specs:
        found = result(family, [line], spec.name)
        name, label = spec.name.split("@")
        lacks_plane = label == "sim3" and name.startswith(("ate", "rpe_translation"))
        lacks_direction = change is in_one_place and name.startswith("rta")
        why = lacks if lacks_plane else "no two true cameras to compare stand apart"
        asked = not lacks_plane and not lacks_direction
        counts = (int(asked and not failing), int(asked and failing), int(not asked))
        assert (found.n_scored, found.n_failed, found.n_unscored) == counts, spec.name
        assert found.undefined == ({} if asked else {why: 1}), spec.name
        if asked and not failing:
            assert found.value == pytest.approx(spec.best, abs=1e-9)


@pytest.mark.parametrize("poses", [None, (), (np.eye(4),)])
def test_without_two_true_poses_a_sample_is_unscored(load_family, score, poses) -> None:
    family = load_family("camera_pose", ["auc_30"])
    line = score(family, Target(world_from_camera=poses), predicted(cameras()))
    assert line.status == "unscored"


def test_a_truth_that_leaves_every_metric_undefined_is_unscored(load_family, score) -> None:
    family = load_family("camera_pose", ["ate"], {"alignment": "sim3"})
    short = load_family("camera_pose", ["rpe_rotation"], {"rpe_delta": 6})
    for scorer, true, why in (
        (family, cameras(count=2), "the true cameras are fewer than the 3 that an alignment needs"),
        (short, cameras(), "the true cameras are too few for a motion"),
    ):
        for prediction in (predicted(true), RuntimeError("no")):
            line = score(scorer, target(true), prediction)
            assert (line.status, line.error.message) == ("unscored", why)
            # There is no truth, and it was not one that could not be read.
            gathered = aggregate(scorer.specs, [line])
            found = gathered.columns[scorer.specs[0].name].result(0)
            assert (found.n_unscored, found.undefined, found.value) == (1, {why: 1}, None)
            assert gathered.unreadable_truths == 0


def test_a_camera_that_moves_backwards_is_wrong_unless_the_sign_is_free(load_family, score) -> None:
    true = cameras()
    backwards = true.copy()
    backwards[:, :3, 3] *= -1
    family = load_family("camera_pose", ["rta_30"], {}, {"direction": "sign_free"})
    values = score(family, target(true), predicted(backwards)).values
    assert values == {"rta_30@metric": 0, "rta_30@metric+sign_free": 1}


def test_a_wrong_order_of_quaternions_is_warned_of(load_family, score) -> None:
    true = cameras(count=10)
    family = load_family("camera_pose", ["auc_30"])
    assert "warning" not in score(family, target(true), predicted(noisy(true))).details
    wxyz = np.roll(Rotation.from_matrix(true[:, :3, :3]).as_quat(), 1, axis=1)
    swapped = true.copy()
    swapped[:, :3, :3] = trajectory.rotations_from_quaternions(np.roll(wxyz, -1, axis=1))
    line = score(family, target(true), predicted(swapped))
    assert "another order" in line.details["warning"]
