from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError, UsageError
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.survey import survey
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
    readings = json.loads(capsys.readouterr().out)
    assert ended.value.code == int(not any(one["values"] for one in readings))
    return {one["protocol"]: one for one in readings}


def test_clouds_alone_give_no_number_under_a_protocol_that_needs_more(clouds, capsys) -> None:
    readings = read(capsys, *clouds)
    assert readings["dtu"]["problem"] == "the sample has no observed space"
    assert readings["eth3d"]["problem"] == "the sample has no laser scans with their poses"
    assert readings["tanks_and_temples"]["problem"].startswith("the sample has no ")
    assert "true depth and cameras" in readings["pi3"]["problem"]
    with pytest.raises(SystemExit):
        app(["protocols", *clouds])
    assert "the sample has no observed space:\n  dtu" in capsys.readouterr().out


def test_thresholds_are_those_of_the_default_protocols(clouds, capsys) -> None:
    plain = read(capsys, *clouds, "--metrics", "fscore")
    wider = read(capsys, *clouds, "--metrics", "fscore", "--thresholds", "0.005, 2")
    assert plain["default.metric"]["values"].keys() == {"fscore_0.05m"}
    # Every point is one centimetre off.
    assert wider["default.metric"]["values"] == {"fscore_0.005m": 0.0, "fscore_2m": 1.0}
    # Who names thresholds wants to see what they are for.
    named = read(capsys, *clouds, "--thresholds", "2")["default.metric"]["values"]
    assert named["fscore_2m"] == 1.0
    assert named["accuracy_mean"] == pytest.approx(0.01)


def test_reasons_that_differ_in_counts_alone_stand_once(tmp_path: Path, capsys) -> None:
    truth = np.linspace(1, 9, 48).reshape(6, 8)
    np.save(tmp_path / "true.npy", truth)
    np.save(tmp_path / "holes.npy", np.where(truth > 8, np.nan, truth))
    np.save(tmp_path / "none.npy", np.full((6, 8), np.nan))
    for mine, true, most in (("holes", "true", 12), ("true", "none", 8)):
        with pytest.raises(SystemExit):
            app(["protocols", str(tmp_path / f"{mine}.npy"), str(tmp_path / f"{true}.npy")])
        reasons = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":")]
        assert 1 <= len(reasons) <= most
        assert len({re.sub(r"\d+", "#", line) for line in reasons}) == len(reasons)


def test_clouds_of_few_digits_are_compared_as_coarsely(tmp_path: Path, capsys) -> None:
    """UTM coordinates in single precision are half a metre apart."""
    rng = np.random.default_rng(0)
    utm = (np.array([5.4e5, 5.4e6, 300]) + 40 * rng.random((300, 3))).astype(np.float32)
    for name in ("mine", "true"):
        np.savetxt(tmp_path / f"{name}.xyz", utm)
    files = [str(tmp_path / "mine.xyz"), str(tmp_path / "true.xyz"), "--metrics", "fscore"]
    refused = read(capsys, *files)["default.metric"]
    assert "threshold of 0.05 m: its coordinates are 0.5 m apart" in refused["problem"]
    assert read(capsys, *files, "--thresholds", "1")["default.metric"]["values"] == {
        "fscore_1m": 1.0
    }


@pytest.mark.parametrize("wrong", ["0", "-1", "inf", "wide", "nan"])
def test_a_threshold_is_a_length(clouds, wrong: str) -> None:
    with pytest.raises(UsageError, match=f"expected metres, as in 0.05,0.1, got '{wrong}'"):
        app(["protocols", *clouds, "--thresholds", wrong])


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


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1, 2, 3, 4], ["4 of 400 true poses matched"]),
        ([0.5, 1, 2, 3], ["3 of 400 true poses and 3 of 4 predicted poses matched"]),
        (range(400), []),
        ([*range(400), 400], ["400 of 401 predicted poses matched"]),
    ],
)
def test_poses_that_are_not_matched_are_told_of(tmp_path: Path, times, said) -> None:
    """Perfect as far as it goes, an estimate of four poses is no equal of one of 400."""
    mine, true = tmp_path / "mine.tum", tmp_path / "true.tum"
    mine.write_text("".join(TUM.format(t, t * t) for t in times))
    true.write_text("".join(TUM.format(t, t * t) for t in range(400)))
    pair = pair_of_files(mine, true)
    assert list(pair.notes) == said
    assert pair.matched is not None
    assert pair.matched[1:] == (len(times), 400)
    readings = survey(
        Plugins.find(), pair.family, pair.target, pair.prediction, Ambiguity.METRIC,
        ["ate"], notes=pair.notes,
    )  # fmt: skip
    with_values = [reading for reading in readings if reading.values]
    assert with_values
    assert all(list(reading.warnings[: len(said)]) == said for reading in with_values)


def test_images_of_other_names_are_told_of_and_clouds_have_no_poses(tmp_path: Path, clouds) -> None:
    for which, names in (("mine", "abcd"), ("true", "bcdef")):
        rows = (f"{i} 1 0 0 0 {i * i} 0 0 1 {name}.png\n\n" for i, name in enumerate(names))
        (tmp_path / which).mkdir()
        (tmp_path / which / "images.txt").write_text("".join(rows))
    pair = pair_of_files(tmp_path / "mine", tmp_path / "true")
    assert pair.notes == ("3 of 5 true poses and 3 of 4 predicted poses matched",)
    assert pair_of_files(*map(Path, clouds)).notes == ()


def test_clocks_half_a_period_apart_are_matched(tmp_path: Path) -> None:
    """Of 50 Hz, 10 ms apart: as far as the tolerance, and each as near to two others."""
    mine, true = tmp_path / "mine.tum", tmp_path / "true.tum"
    times = 1305031100 + 0.02 * np.arange(400)
    for path, at in ((mine, times + 0.01), (true, times)):
        path.write_text("".join(TUM.format(f"{t:.6f}", i) for i, t in enumerate(at)))
    pair = pair_of_files(mine, true)
    assert len(pair.target.world_from_camera) == 400
    assert pair.notes == ()


def test_the_command_says_how_many_poses_were_matched(tmp_path: Path, capsys) -> None:
    mine, true = tmp_path / "mine.tum", tmp_path / "true.tum"
    for path, count in ((mine, 4), (true, 400)):
        times = 1305031100 + 0.02 * np.arange(count)
        path.write_text("".join(TUM.format(f"{t:.6f}", i) for i, t in enumerate(times)))
    readings = read(capsys, str(mine), str(true), "--metrics", "ate")
    assert "4 of 400 true poses matched" in readings["evo.none"]["warnings"]


def test_trajectories_without_times_need_as_many_poses(tmp_path: Path) -> None:
    row = "1 0 0 {} 0 1 0 0 0 0 1 0\n"
    for name, count in (("mine.kitti", 4), ("true.kitti", 5)):
        (tmp_path / name).write_text("".join(row.format(x) for x in range(count)))
    with pytest.raises(BenchError, match="as many poses as the truth, 5, got 4"):
        pair_of_files(tmp_path / "mine.kitti", tmp_path / "true.kitti")


def test_a_prediction_is_not_rid_of_what_is_no_point(clouds, tmp_path: Path) -> None:
    points = np.loadtxt(clouds[0])
    points[2:4] = np.nan
    np.savetxt(tmp_path / "holes.xyz", points)
    said = rf"expected finite points, got 2 of {len(points)} that are NaN or infinite"
    with pytest.raises(BenchError, match=said):
        pair_of_files(tmp_path / "holes.xyz", Path(clouds[1]))
    # A scanner's file may have them.
    assert len(pair_of_files(Path(clouds[1]), tmp_path / "holes.xyz").target.points_world) == (
        len(points) - 2
    )


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


@pytest.mark.parametrize(
    ("name", "line", "says_when"),
    [
        ("{}.txt", TUM, True),
        ("{}.txt", "1 0 0 {1} 0 1 0 {0} 0 0 1 0\n", False),
        ("{}.csv", "{}000000000,{},0,0,1,0,0,0\n", True),
        ("{}/images.txt", "{0} 1 0 0 0 {1} 0 0 1 {0}.png\n\n", True),
    ],
)
def test_trajectories_as_they_lie_about(tmp_path: Path, name, line, says_when) -> None:
    for which, steps in (("mine", range(1, 6)), ("true", range(6 if says_when else 5))):
        path = tmp_path / name.format(which)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line.format(step + 1, step) for step in steps))
    pair = pair_of_files(tmp_path / name.format("mine"), tmp_path / name.format("true"))
    assert pair.family == "camera_pose"
    assert len(pair.target.world_from_camera) == 5
    same = np.allclose(pair.target.world_from_camera, pair.prediction.world_from_camera)
    assert same == says_when  # Without times or names the first stands beside the first.
    if "/" in name:
        folders = pair_of_files(tmp_path / "mine", tmp_path / "true")
        assert len(folders.target.world_from_camera) == 5


def test_a_format_that_the_suffix_does_not_say(tmp_path: Path, capsys) -> None:
    path = tmp_path / "run.traj"
    path.write_text("".join(TUM.format(t, x) for t, x in enumerate([0, 1, 3, 6])))
    readings = read(capsys, str(path), str(path), "--format", "tum", "--metrics", "ate")
    assert readings["evo.none"]["values"] == {"ate": 0.0}
    path.rename(tmp_path / "numbers.txt")
    (tmp_path / "numbers.txt").write_text("1 2 3\n")
    with pytest.raises(BenchError, match=r"8 numbers a line \(tum\) or 12 \(kitti\), got 3"):
        pair_of_files(tmp_path / "numbers.txt", tmp_path / "numbers.txt")


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Two true frames, of which the second is predicted twice as deep, and their camera."""
    depth = np.random.default_rng(0).uniform(1, 5, (2, 20, 30)).astype(np.float32)
    camera = np.array([[40.0, 0, 15], [0, 40, 10], [0, 0, 1]])
    predicted = depth * np.array([1, 2], np.float32)[:, None, None]
    points = np.stack([unproject(one, camera) for one in predicted]).astype(np.float32)
    np.save(tmp_path / "true.npy", depth)
    np.save(tmp_path / "mine.npy", predicted)
    np.save(tmp_path / "points.npy", points)
    np.savez(tmp_path / "mine.npz", depth=predicted[0], intrinsics=camera)
    np.save(tmp_path / "first.npy", depth[0])
    (tmp_path / "camera.txt").write_text("40 40 14.5 9.5")
    return tmp_path


def test_a_stack_is_one_video(maps, capsys) -> None:
    files = [str(maps / "mine.npy"), str(maps / "true.npy")]
    readings = read(capsys, *files, "--metrics", "abs_rel")
    # Right in one frame and wrong by all of it in the other, unless each has a scale of its own.
    assert readings["moge.metric"]["values"]["abs_rel"] == pytest.approx(0.5)
    assert readings["moge.scale"]["values"]["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert readings["pi3.video_scale"]["values"]["abs_rel"] > 0.1
    assert "expected intrinsics" in readings["mapanything"]["problem"]


def test_points_and_depth_with_cameras_reach_their_families(maps, capsys) -> None:
    camera = ["--intrinsics", str(maps / "camera.txt")]
    readings = read(capsys, str(maps / "points.npy"), str(maps / "true.npy"), *camera)
    # Each point of the second frame is as far from the true one as that is from the camera.
    assert readings["moge.scale"]["values"]["point_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert readings["default.metric"]["values"]["point_abs_rel"] == pytest.approx(0.5)
    one = [str(maps / "mine.npz"), str(maps / "first.npy"), *camera]
    assert read(capsys, *one)["mapanything"]["values"] == {"abs_rel": pytest.approx(0, abs=1e-6)}
    lifted = read(capsys, *one, "--family", "point_map")
    assert lifted["default.metric"]["values"]["point_error"] == pytest.approx(0, abs=1e-6)
    clouds = read(capsys, *one, "--family", "chamfer", "--metrics", "accuracy_mean")
    assert clouds["vggt.eth3d"]["values"]["accuracy_mean"] == pytest.approx(0, abs=1e-6)


def test_plain_depth_is_lifted_by_the_camera_that_was_predicted(maps, capsys) -> None:
    one = [str(maps / "first.npy"), str(maps / "first.npy"), "--family", "point_map"]
    one += ["--intrinsics", str(maps / "camera.txt")]
    without = read(capsys, *one)["default.metric"]
    assert without["problem"].startswith("expected a prediction with point maps, or depth with in")
    lifted = read(capsys, *one, "--predicted-intrinsics", str(maps / "camera.txt"))
    assert lifted["default.metric"]["values"]["point_error"] == pytest.approx(0, abs=1e-6)
    wider = maps / "wider.txt"
    fx, *rest = np.loadtxt(maps / "camera.txt").ravel()
    np.savetxt(wider, [[2 * fx, *rest]])
    other = read(capsys, *one, "--predicted-intrinsics", str(wider))
    assert other["default.metric"]["values"]["point_error"] > 0.01


def test_maps_that_do_not_go_together(maps) -> None:
    with pytest.raises(BenchError, match="as many frames as the truth, 2, got 1"):
        pair_of_files(maps / "first.npy", maps / "true.npy")
    with pytest.raises(BenchError, match="with --intrinsics"):
        pair_of_files(maps / "points.npy", maps / "true.npy")
    with pytest.raises(BenchError, match="depth or point_map or chamfer, got 'cloud'"):
        pair_of_files(maps / "mine.npy", maps / "true.npy", family="cloud")


def test_options_of_maps_are_for_maps(clouds, maps) -> None:
    mine, true = map(Path, clouds)
    with pytest.raises(BenchError, match=r"--intrinsics: expected maps, .*got a cloud"):
        pair_of_files(mine, true, intrinsics=maps / "camera.txt")
    with pytest.raises(BenchError, match=r"--predicted-intrinsics: expected maps, .*got a cloud"):
        pair_of_files(mine, true, predicted_intrinsics=maps / "camera.txt")
    with pytest.raises(BenchError, match=r"--family: expected maps, .*got a trajectory"):
        pair_of_files(mine, true, family="depth", trajectory_format="tum")


def test_a_mesh_is_drawn_from_by_number_only(tmp_path: Path) -> None:
    mesh = tmp_path / "mesh.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(BenchError, match="a mesh of 1 triangles and no number of points"):
        pair_of_files(mesh, mesh)
    assert len(pair_of_files(mesh, mesh, mesh_points=50).target.points_world) == 50


def test_real_trajectories(realdata: Path, capsys) -> None:
    folder = realdata / "trajectories" / "slambook2_ch4"
    files = [str(folder / "estimated.txt"), str(folder / "groundtruth.txt")]
    assert read(capsys, *files, "--metrics", "ate")["evo.sim3"]["values"]["ate"] < 0.03
