from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench import survey as surveying
from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError
from g2vlm_bench.metrics import poses as pose_metrics
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.survey import Reading, survey


def trajectory(count: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.7, (count, 3))).as_matrix()
    poses[:, :3, 3] = rng.normal(0, 1, (count, 3))
    return poses


def of_poses(predicted: np.ndarray, true: np.ndarray, *metrics: str) -> dict[str, Reading]:
    readings = survey(
        Plugins.find(),
        "camera_pose",
        Target(world_from_camera=tuple(true)),
        Prediction(world_from_camera=tuple(predicted)),
        Ambiguity.METRIC,
        metrics,
    )
    return {reading.protocol: reading for reading in readings}


def test_each_convention_compares_its_pairs_once(monkeypatch) -> None:
    compared = []
    plain = pose_metrics.pair_errors

    def counted(predicted, true, pairs, *convention):
        compared.append(convention)
        return plain(predicted, true, pairs, *convention)

    monkeypatch.setattr(pose_metrics, "pair_errors", counted)
    true = trajectory()
    readings = of_poses(trajectory(seed=1), true, "auc_30", "rra_30")
    scored = [reading for reading in readings.values() if reading.values]
    assert len(scored) > len(compared) == len(set(compared)) > 1
    # Another prediction of the same truth is not taken for the first.
    assert of_poses(true, true, "auc_30")["vggt"].values == {"auc_30": 1.0}


def test_swapped_quaternions_are_warned_of_beside_the_values() -> None:
    true = trajectory()
    swapped = true.copy()
    xyzw = Rotation.from_matrix(true[:, :3, :3]).as_quat()
    swapped[:, :3, :3] = Rotation.from_quat(np.roll(xyzw, 1, axis=1)).as_matrix()
    readings = of_poses(swapped, true, "auc_30")
    for label in ("default.metric", "vggt", "pi3.angular", "da3"):
        assert readings[label].values
        assert "quaternions are read in another order" in readings[label].warnings[0]


def test_a_metric_that_one_protocol_cannot_give_is_left_out_with_its_reason() -> None:
    on_a_line = trajectory()
    on_a_line[:, :3, 3] *= (1, 0, 0)
    readings = of_poses(on_a_line, trajectory(seed=1), "rpe_rotation", "ate")
    assert set(readings["evo.none"].values) == {"rpe_rotation", "ate"}
    assert set(readings["evo.se3"].values) == {"rpe_rotation"}
    assert readings["evo.se3"].warnings[0].startswith("ate: predicted cameras: expected positions")


def test_what_the_truth_leaves_undefined_is_no_number() -> None:
    on_a_line = trajectory()
    on_a_line[:, :3, 3] *= (1, 0, 0)
    readings = of_poses(trajectory(seed=1), on_a_line, "ate")
    assert set(readings["evo.none"].values) == {"ate"}
    assert readings["evo.sim3"].values == {}
    assert readings["evo.sim3"].problem == "ate undefined: the true cameras are all in one line"


def test_more_poses_than_can_be_paired(monkeypatch) -> None:
    monkeypatch.setattr(surveying, "MOST_POSES", 5)
    true = trajectory()
    reading = of_poses(true, true, "auc_30", "ate")["default.sim3"]
    assert set(reading.values) == {"ate"}
    assert "auc_30 left out: of 6 poses it would compare 15 pairs" in reading.warnings[0]
    with pytest.raises(BenchError, match=r"at most 5 poses, all pairs of which.*got 6"):
        of_poses(true, true, "auc_30")


def test_each_protocol_of_a_profile_speaks_for_itself() -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (20, 30)).astype(np.float32)
    readings = survey(
        Plugins.find(),
        "depth",
        Target(depth_m=(depth,)),
        Prediction(depth=(2 * depth,)),
        Ambiguity.METRIC,
        ["delta1"],
    )
    of_unik3d = {r.protocol: r for r in readings if r.protocol.startswith("unik3d")}
    asks_nyu = {name for name, r in of_unik3d.items() if "480 x 640" in r.problem}
    assert asks_nyu
    assert all("nyu" in name for name in asks_nyu)
    assert any(reading.values for reading in of_unik3d.values())


def test_a_profile_shows_the_metrics_of_its_code_and_no_others() -> None:
    true = trajectory()
    readings = of_poses(trajectory(seed=1), true)
    given = {label: set(reading.values) for label, reading in readings.items()}
    assert given["default.sim3"] == {"auc_30", "ate", "rpe_translation"}
    assert given["vggt"] == given["g2vlm"] == given["da3"] == {"auc_30"}
    assert given["cut3r"] == given["evo.sim3"] == {"ate", "rpe_translation"}
    # It gives none of the usual, and shows what it gives.
    assert given["mapanything"] == {"auc_5", "ate_mean"}
    by_name = of_poses(trajectory(seed=1), true, "ate")["mapanything"]
    assert by_name.values == {}
    assert by_name.problem == "expected a metric that its code gives: auc_5, ate_mean, got ate"


def test_silog_of_three_codes_is_three_metrics() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 5, (20, 30)).astype(np.float32)
    predicted = (true * rng.normal(1, 0.1, true.shape)).astype(np.float32)
    names = ("si_log", "si_log_half", "si_log_sample")
    readings = survey(
        Plugins.find(),
        "depth",
        Target(depth_m=(true,)),
        Prediction(depth=(predicted,)),
        Ambiguity.METRIC,
        names,
    )
    shown = {reading.protocol: set(reading.values) for reading in readings}
    assert shown["default.metric"] == set(names)
    assert shown["marigold.scannet"] == {"si_log"}
    assert shown["unidepth.ibims_metric"] == {"si_log_sample"}
    assert shown["depth_anything_v2.kitti"] == {"si_log_half"}
    assert shown["cut3r.mono"] == shown["unidepth.ibims_si"] == set()


def test_an_unknown_metric_or_family_is_refused() -> None:
    true = trajectory()
    with pytest.raises(BenchError, match="auc_31"):
        of_poses(true, true, "auc_31")
    with pytest.raises(BenchError, match="a profile of it"):
        survey(Plugins.find(), "consistency", Target(), Prediction(), Ambiguity.METRIC, ["x"])
    with pytest.raises(BenchError, match="clouds to compare"):
        survey(
            Plugins.find(), "depth", Target(), Prediction(), Ambiguity.METRIC, thresholds_m=[1.0]
        )


def test_no_number_at_all_is_exit_code_1_with_its_reasons(tmp_path, capsys) -> None:
    truth = np.linspace(1, 9, 48).reshape(6, 8)
    holed = truth.copy()
    holed[0, 0] = np.nan
    for name, depth in (("true", truth), ("holed", holed), ("none", np.full((6, 8), np.nan))):
        np.save(tmp_path / f"{name}.npy", depth)
    hole = "expected finite predictions in the mask, got 1 non-finite of 48"
    for mine, true, code, says in (
        ("holed", "true", 1, True),
        ("true", "none", 1, False),
        ("true", "true", 0, False),
        ("holed", "holed", 0, False),
    ):
        with pytest.raises(SystemExit) as ended:
            app(["protocols", str(tmp_path / f"{mine}.npy"), str(tmp_path / f"{true}.npy")])
        assert ended.value.code == code, (mine, true)
        assert (hole in capsys.readouterr().out) == says, (mine, true)
