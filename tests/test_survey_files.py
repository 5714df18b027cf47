from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError
from g2vlm_bench.survey_files import pair_of_files

TUM = "{} {} 0 0 0 0 0 1\n"


@pytest.fixture
def clouds(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    true = rng.random((300, 3))
    np.savetxt(tmp_path / "true.xyz", true)
    np.savetxt(tmp_path / "mine.xyz", true + np.array([0.01, 0, 0]))
    return [str(tmp_path / "mine.xyz"), str(tmp_path / "true.xyz")]


def read(capsys, *arguments: str) -> dict[str, dict[str, object]]:
    with pytest.raises(SystemExit) as ended:
        app(["protocols", *arguments, "--json"])
    assert ended.value.code == 0
    return {one["protocol"]: one for one in json.loads(capsys.readouterr().out)}


def test_clouds_alone_give_no_number_under_a_protocol_that_needs_more(clouds, capsys) -> None:
    readings = read(capsys, *clouds)
    assert readings["dtu"]["problem"] == "the sample has no observed space"
    assert readings["eth3d"]["problem"].startswith("defines none of accuracy_mean, ")
    assert readings["tanks_and_temples"]["problem"].startswith("the sample has no ")
    assert "true depth and cameras" in readings["pi3"]["problem"]
    with pytest.raises(SystemExit):
        app(["protocols", *clouds])
    assert "the sample has no observed space:\n  dtu" in capsys.readouterr().out


def test_trajectories_are_matched_by_time(tmp_path: Path, capsys) -> None:
    places = [0, 1, 3, 6, 10, 15]
    mine, true = tmp_path / "mine.tum", tmp_path / "true.tum"
    mine.write_text("".join(TUM.format(t + 0.004, 2 * x) for t, x in enumerate(places[:-1])))
    true.write_text("".join(TUM.format(t, x) for t, x in enumerate(places)))
    pair = pair_of_files(mine, true)
    assert pair.family == "camera_pose"
    assert len(pair.prediction.world_from_camera) == len(pair.target.world_from_camera) == 5
    readings = read(capsys, str(mine), str(true), "--metrics", "ate")
    # Twice as far: x - 2x = -x, root mean square of 0, 1, 3, 6, 10.
    assert readings["evo.none"]["values"]["ate"] == pytest.approx(np.sqrt(146 / 5))


def test_trajectories_without_times_need_as_many_poses(tmp_path: Path) -> None:
    row = "1 0 0 {} 0 1 0 0 0 0 1 0\n"
    for name, count in (("mine.kitti", 4), ("true.kitti", 5)):
        (tmp_path / name).write_text("".join(row.format(x) for x in range(count)))
    with pytest.raises(BenchError, match="as many poses as the truth, 5, got 4"):
        pair_of_files(tmp_path / "mine.kitti", tmp_path / "true.kitti")


def test_files_of_two_kinds_and_of_none(clouds, tmp_path: Path) -> None:
    (tmp_path / "a.tum").write_text(TUM.format(0, 0))
    with pytest.raises(BenchError, match="a trajectory like the prediction, got a cloud"):
        pair_of_files(tmp_path / "a.tum", Path(clouds[1]))
    with pytest.raises(BenchError, match=r"a file ending in \.png, .*got '\.doc'"):
        pair_of_files(tmp_path / "a.doc", Path(clouds[1]))
    (tmp_path / "late.tum").write_text(TUM.format(99, 0))
    with pytest.raises(BenchError, match="times in common"):
        pair_of_files(tmp_path / "a.tum", tmp_path / "late.tum")
    (tmp_path / "cut.ply").write_bytes(b"ply\n")
    with pytest.raises(BenchError, match="two readable clouds"):
        pair_of_files(tmp_path / "cut.ply", Path(clouds[1]))
