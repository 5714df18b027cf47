from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench import survey as surveying
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
    assert len(readings) > len(compared) == len(set(compared)) > 1
    # Another prediction of the same truth is not taken for the first.
    assert of_poses(true, true, "rra_30")["vggt"].values == {"rra_30": 1.0}


def test_swapped_quaternions_are_warned_of_beside_the_values() -> None:
    true = trajectory()
    swapped = true.copy()
    xyzw = Rotation.from_matrix(true[:, :3, :3]).as_quat()
    swapped[:, :3, :3] = Rotation.from_quat(np.roll(xyzw, 1, axis=1)).as_matrix()
    for reading in of_poses(swapped, true, "auc_30").values():
        assert reading.values
        assert "quaternions are read in another order" in reading.warnings[0]


def test_a_metric_that_one_protocol_cannot_give_is_left_out_with_its_reason() -> None:
    on_a_line = trajectory()
    on_a_line[:, :3, 3] *= (1, 0, 0)
    readings = of_poses(on_a_line, trajectory(seed=1), "auc_30", "ate")
    assert set(readings["evo.none"].values) == {"auc_30", "ate"}
    assert set(readings["evo.se3"].values) == {"auc_30"}
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
    reading = of_poses(true, true, "auc_30", "ate")["evo.sim3"]
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


def test_an_unknown_metric_or_family_is_refused() -> None:
    true = trajectory()
    with pytest.raises(BenchError, match="auc_31"):
        of_poses(true, true, "auc_31")
    with pytest.raises(BenchError, match="a profile of it"):
        survey(Plugins.find(), "consistency", Target(), Prediction(), Ambiguity.METRIC, ["x"])
