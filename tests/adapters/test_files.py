"""Predictions from files: every format there and back, and every way a file can be wrong."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.clouds import write_ply
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want

DEPTH = frozenset({Want.DEPTH})
POINTS = frozenset({Want.POINTS})
ANSWER = frozenset({Want.ANSWER})
LIKELIHOODS = frozenset({Want.CHOICE_LOGLIKELIHOODS, Want.CONTEXT_LOGLIKELIHOODS})
MAP = np.linspace(0.5, 4.0, 48, dtype=np.float32).reshape(6, 8)
CLOUD = np.array([[0.0, 1, 2], [3, 4, 5], [-1, 0.25, 1e3]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good prediction of sample `ok`."""
    np.save(tmp_path / "ok.npy", MAP)
    return tmp_path


@pytest.fixture
def metric(make):
    return lambda path, **more: make("files", path=str(path), ambiguity="metric", **more)


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def only(outcomes):
    (outcome,) = outcomes
    return outcome


def failure(outcome) -> str:
    assert isinstance(outcome, Exception), outcome
    assert "\n" not in str(outcome)
    return str(outcome)


def test_a_folder_named_by_a_number_is_found(make, tmp_path, monkeypatch, view) -> None:
    (tmp_path / "7").mkdir()
    np.save(tmp_path / "7" / "a.npy", MAP)
    monkeypatch.chdir(tmp_path)
    found = make("files", path=7, ambiguity="metric").predict([view()], DEPTH)
    assert isinstance(only(found), Prediction)


# --------------------------------------------------------------------------- formats that work


@pytest.mark.parametrize("suffix", ["npy", "npz", "pfm", "exr", "png", "pgm"])
def test_depth_comes_back_from_every_format(metric, view, tmp_path, suffix) -> None:
    path = tmp_path / f"a.{suffix}"
    stored = np.round(MAP * 1000).astype(np.uint16)
    if suffix == "npy":
        np.save(path, MAP)
    elif suffix == "npz":
        np.savez_compressed(path, depth=MAP)
    elif suffix == "pfm":
        path.write_bytes(b"Pf\n8 6\n-1.0\n" + MAP[::-1].astype("<f4").tobytes())
    elif suffix == "exr":
        openexr = pytest.importorskip("OpenEXR")
        header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
        openexr.File(header, {"Z": MAP}).write(str(path))
    elif suffix == "png":
        Image.fromarray(stored).save(path)
    else:
        path.write_bytes(b"P5\n8 6\n65535\n" + stored.astype(">u2").tobytes())
    scale = {"depth_scale": 1000} if suffix in ("png", "pgm") else {}
    (depth,) = only(metric(tmp_path, **scale).predict([view()], DEPTH)).depth
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, MAP, atol=0.0006 if scale else 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, ">f4"])
def test_any_real_dtype_becomes_float32(metric, view, tmp_path, dtype) -> None:
    values = np.arange(1, 49).reshape(6, 8)
    np.save(tmp_path / "a.npy", values.astype(dtype))
    (depth,) = only(metric(tmp_path).predict([view()], DEPTH)).depth
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, values)


def test_npz_holds_everything_geometric(metric, view, tmp_path) -> None:
    cameras, poses = np.stack([np.eye(3) * 2] * 2), np.stack([np.eye(4), np.eye(4) * 3])
    np.savez(
        tmp_path / "a.npz",
        depth=np.stack([MAP, MAP + 1]),
        confidence=np.stack([MAP, MAP * 2]),
        points=CLOUD,
        normals=CLOUD / 2,
        intrinsics=cameras,
        world_from_camera=poses,
        note=np.array("not ours"),
    )
    adapter = metric(tmp_path)
    wants = frozenset({Want.DEPTH, Want.POINTS, Want.INTRINSICS, Want.POSES})
    assert adapter.predicts == wants
    prediction = only(adapter.predict([view(views=2)], wants))
    np.testing.assert_array_equal(prediction.depth, [MAP, MAP + 1])
    np.testing.assert_array_equal(prediction.confidence, [MAP, MAP * 2])
    np.testing.assert_array_equal(prediction.points, CLOUD)
    np.testing.assert_array_equal(prediction.normals, CLOUD / 2)
    np.testing.assert_array_equal(prediction.intrinsics, cameras)
    np.testing.assert_array_equal(prediction.world_from_camera, poses)


POINT_MAP = np.stack([MAP, -MAP, 2 * MAP], axis=-1)
POINT_MAPS = frozenset({Want.POINT_MAPS})


@pytest.mark.parametrize("how", ["one array", "a file each", "npz"])
def test_point_maps_come_back(metric, view, tmp_path, how) -> None:
    both = np.stack([POINT_MAP, POINT_MAP + 1])
    if how == "one array":
        np.save(tmp_path / "a.points.npy", both)
    elif how == "npz":
        np.savez(tmp_path / "a.npz", point_maps=both)
    else:
        np.save(tmp_path / "a_000.points.npy", both[0])
        np.save(tmp_path / "a_001.points.npy", both[1])
    adapter = metric(tmp_path)
    assert adapter.predicts == POINT_MAPS
    found = only(adapter.predict([view(views=2)], POINT_MAPS)).point_maps
    np.testing.assert_array_equal(found, both)
    assert found[0].dtype == np.float32


def test_depth_and_point_maps_of_a_sample_are_told_apart(metric, view, folder) -> None:
    np.save(folder / "ok.points.npy", POINT_MAP)
    adapter = metric(folder)
    assert adapter.predicts == DEPTH | POINT_MAPS
    prediction = only(adapter.predict([view(id="ok")], DEPTH | POINT_MAPS))
    np.testing.assert_array_equal(prediction.depth[0], MAP)
    np.testing.assert_array_equal(prediction.point_maps[0], POINT_MAP)


@pytest.mark.parametrize("bad", [MAP, POINT_MAP[..., :2], POINT_MAP[None, None], POINT_MAP[:0]])
def test_a_bad_point_map_fails_its_sample_alone(metric, view, tmp_path, bad) -> None:
    np.save(tmp_path / "bad.points.npy", bad)
    np.save(tmp_path / "ok.points.npy", POINT_MAP)
    outcomes = metric(tmp_path).predict([view(id="bad"), view(id="ok")], POINT_MAPS)
    assert "point_maps as numbers (H, W, 3) or (N, H, W, 3)" in failure(outcomes[0])
    assert isinstance(outcomes[1], Prediction)


KITTI = "1 0 0 0 0 1 0 0 0 0 1 0\n0 0 1 1 0 1 0 2 -1 0 0 3\n"
TUM = "0.0 0 0 0 0 0 0 1\n0.1 1 2 3 0 0.70710678 0 0.70710678\n"
EUROC = "0,0,0,0,1,0,0,0\n100000000,1,2,3,0.70710678,0,0.70710678,0\n"
# camera_from_world: the inverse of the second pose has the position (3, -2, -1).
COLMAP = "2 0.70710678 0 -0.70710678 0 3 -2 -1 1 b.png\n\n1 1 0 0 0 0 0 0 1 a.png\n\n"
POSES = frozenset({Want.POSES})


@pytest.mark.parametrize(
    ("suffix", "text"), [("kitti", KITTI), ("tum", TUM), ("euroc", EUROC), ("colmap", COLMAP)]
)
def test_poses_come_back_from_a_trajectory(make, view, tmp_path, suffix, text) -> None:
    (tmp_path / f"a.{suffix}").write_text(text)
    adapter = make("files", path=str(tmp_path))
    # Poses alone need no ambiguity; without one they are not scored in metres.
    assert (adapter.predicts, adapter.ambiguity) == (POSES, None)
    first, second = only(adapter.predict([view(views=2)], POSES)).world_from_camera
    np.testing.assert_array_equal(first, np.eye(4))
    turned = [[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(second, turned, atol=1e-8)


def test_a_trajectory_that_is_broken_or_there_twice_fails_for_its_sample(
    make, view, tmp_path
) -> None:
    (tmp_path / "a.kitti").write_text(KITTI[:30])
    (tmp_path / "b.kitti").write_text(KITTI)
    (tmp_path / "b.tum").write_text(TUM)
    adapter = make("files", path=str(tmp_path))
    broken, twice = adapter.predict([view(views=2), view(views=2, id="b")], POSES)
    assert "a.kitti, line 2: expected 12 numbers" in failure(broken)
    assert "got b.tum and b.kitti" in failure(twice)
    assert "got none" in failure(only(adapter.predict([view(id="c")], POSES)))


def test_one_camera_counts_for_every_view(metric, view, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", depth=np.stack([MAP] * 3), intrinsics=np.eye(3))
    prediction = only(
        metric(tmp_path).predict([view(views=3)], frozenset({Want.DEPTH, Want.INTRINSICS}))
    )
    np.testing.assert_array_equal(prediction.intrinsics, [np.eye(3)] * 3)


def test_what_is_not_wanted_is_not_read(metric, view, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", depth=MAP, points=CLOUD)
    (tmp_path / "a.ply").write_bytes(b"broken")
    prediction = only(metric(tmp_path).predict([view()], DEPTH))
    assert prediction.points is None


@pytest.mark.parametrize("suffix", ["ply", "xyz", "pcd", "npz"])
def test_clouds_come_back_from_every_format(metric, view, tmp_path, suffix) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "ply":
        write_ply(path, CLOUD, np.tile([0.0, 0, 1], (3, 1)))
    elif suffix == "xyz":
        np.savetxt(path, CLOUD)
    elif suffix == "pcd":
        path.write_bytes(
            b"# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 8 8 8\nTYPE F F F\nCOUNT 1 1 1\n"
            b"WIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA binary\n" + CLOUD.astype("<f8").tobytes()
        )
    else:
        np.savez(path, points=CLOUD)
    adapter = metric(tmp_path)
    assert adapter.predicts == POINTS
    prediction = only(adapter.predict([view()], POINTS))
    np.testing.assert_allclose(prediction.points, CLOUD)
    if suffix == "ply":
        np.testing.assert_array_equal(prediction.normals, [[0, 0, 1]] * 3)


def test_points_are_drawn_from_a_mesh_as_many_as_were_said(make, view, tmp_path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    arguments = {"path": str(tmp_path), "ambiguity": "metric"}
    adapter = make("files", **arguments)
    assert adapter.predicts == POINTS
    assert "number of points to draw" in failure(only(adapter.predict([view()], POINTS)))
    points = [
        only(make("files", **arguments, mesh_points=70, **more).predict([view()], POINTS)).points
        for more in ({}, {"mesh_seed": 0}, {"mesh_seed": 1})
    ]
    assert points[0].shape == (70, 3)
    np.testing.assert_array_equal(points[0], points[1])
    assert not np.array_equal(points[0], points[2])


@pytest.mark.parametrize("whole", [True, False])
def test_several_views_in_one_array_or_a_file_each(metric, view, tmp_path, whole) -> None:
    maps = [MAP, MAP + 1, MAP + 2]
    if whole:
        np.save(tmp_path / "a.npy", maps)
    else:
        for index, depth in enumerate(maps):
            np.save(tmp_path / f"a_{index:03d}.npy", depth)
    prediction = only(metric(tmp_path).predict([view(views=3)], DEPTH))
    np.testing.assert_array_equal(prediction.depth, maps)


def test_a_file_of_a_view_is_never_taken_for_a_sample_with_one(metric, view, folder) -> None:
    np.save(folder / "a_000.npy", MAP)
    assert "got none" in failure(only(metric(folder).predict([view()], DEPTH)))


def test_slashes_in_an_id_are_subfolders(metric, view, tmp_path) -> None:
    (tmp_path / "scene 1/rgb").mkdir(parents=True)
    np.save(tmp_path / "scene 1/rgb/0001.5.npy", MAP)
    (depth,) = only(metric(tmp_path).predict([view(id="scene 1/rgb/0001.5")], DEPTH)).depth
    np.testing.assert_array_equal(depth, MAP)


def test_nan_inf_zero_and_negative_depth_are_left_to_the_scorer(metric, view, tmp_path) -> None:
    odd = MAP.copy()
    odd[0, :4] = np.nan, np.inf, 0.0, -1.0
    np.save(tmp_path / "a.npy", odd)
    (depth,) = only(metric(tmp_path).predict([view()], DEPTH)).depth
    np.testing.assert_array_equal(depth, odd)


def test_zero_in_a_png_is_no_depth_but_a_disparity(make, view, tmp_path) -> None:
    Image.fromarray(np.array([[0, 500]], np.uint16)).save(tmp_path / "a.png")
    for ambiguity, expected in (("metric", [[np.nan, 0.5]]), ("affine_disparity", [[0.0, 0.5]])):
        adapter = make("files", path=str(tmp_path), ambiguity=ambiguity, depth_scale=1000)
        (depth,) = only(adapter.predict([view(1, 2)], DEPTH)).depth
        np.testing.assert_array_equal(depth, np.float32(expected))


def test_answers_of_a_file_or_of_a_folder(make, tmp_path) -> None:
    path = lines(
        tmp_path / "answers.jsonl",
        {"id": "q1", "answer": "(B) left", "model": "mine"},
        {"id": "q/2", "answer": 3.5},
        {"id": 3, "choice_loglikelihoods": [-1, -0.5, -2.0]},
    )
    for given in (path, tmp_path):
        adapter = make("files", path=str(given))
        assert adapter.predicts == ANSWER | LIKELIHOODS
        assert adapter.ambiguity is None
        one, two = adapter.predict([Inputs(id="q1"), Inputs(id="q/2")], ANSWER)
        assert (one.answer, two.answer) == ("(B) left", "3.5")
        three = only(adapter.predict([Inputs(id="3", choices=("a", "b", "c"))], LIKELIHOODS))
        np.testing.assert_array_equal(three.choice_loglikelihoods, [-1, -0.5, -2])
        assert three.answer is None


def test_depth_and_answers_may_lie_together(metric, view, folder) -> None:
    lines(folder / "answers.jsonl", {"id": "ok", "answer": "yes"})
    adapter = metric(folder)
    assert adapter.predicts == DEPTH | ANSWER
    assert only(adapter.predict([view(id="ok")], ANSWER)).depth is None
    both = only(adapter.predict([view(id="ok")], DEPTH | ANSWER))
    assert (both.answer, len(both.depth)) == ("yes", 1)


# --------------------------------------------------------- one bad prediction never costs another


def _pickled(path: Path) -> None:
    np.savez(path, depth=np.array([Bomb()], dtype=object))


def _pickled_npy_inside(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("depth.npy", pickle.dumps(Bomb()))


class Bomb:
    """Unpickling it would be seen."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


def _truncated(path: Path) -> None:
    np.savez(path, depth=np.random.default_rng(0).random((60, 80)))
    path.write_bytes(path.read_bytes()[:-2000])


def _flipped(path: Path) -> None:
    np.savez(path, depth=MAP)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(bytes(content))


BROKEN = {
    "missing": (None, None),
    "empty npz": ("npz", lambda p: p.write_bytes(b"")),
    "empty npy": ("npy", lambda p: p.write_bytes(b"")),
    "empty png": ("png", lambda p: p.write_bytes(b"")),
    "truncated npz": ("npz", _truncated),
    "damaged npz": ("npz", _flipped),
    "truncated npy": ("npy", lambda p: p.write_bytes(_npy(MAP)[:-8])),
    "pickled object": ("npz", _pickled),
    "pickle in place of an array": ("npz", _pickled_npy_inside),
    "text": ("npy", lambda p: p.write_text("0.5 0.7")),
    "other arrays": ("npz", lambda p: np.savez(p, dpeth=MAP)),
    "one dimension": ("npy", lambda p: np.save(p, MAP.ravel())),
    "four dimensions": ("npy", lambda p: np.save(p, MAP[None, None])),
    "no pixels": ("npy", lambda p: np.save(p, np.zeros((0, 8)))),
    "complex numbers": ("npy", lambda p: np.save(p, MAP.astype(complex))),
    "words": ("npy", lambda p: np.save(p, np.array([["a", "b"]]))),
    "a mask": ("npy", lambda p: np.save(p, MAP > 1)),
    "8-bit png": ("png", lambda p: Image.fromarray(np.ones((6, 8), np.uint8)).save(p)),
    "truncated png": ("png", lambda p: p.write_bytes(_png()[:-30])),
    "wrong suffix": ("pfm", lambda p: np.save(p.open("wb"), MAP)),
    "a folder": ("npy", lambda p: p.mkdir()),
}


def _npy(array: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _png() -> bytes:
    import io

    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(1, 60000, (40, 40)).astype(np.uint16)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_depth_file_fails_its_sample_alone(metric, view, folder, case) -> None:
    suffix, write = BROKEN[case]
    if write is not None:
        write(folder / f"bad.{suffix}")
    adapter = metric(folder, depth_scale=1000)
    before, bad, after = adapter.predict([view(id="ok"), view(id="bad"), view(id="ok")], DEPTH)
    np.testing.assert_array_equal(before.depth[0], MAP)
    np.testing.assert_array_equal(after.depth[0], MAP)
    assert "bad" in failure(bad)
    assert isinstance(bad, BenchError)
    assert "expected" in str(bad)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("ply", b""),
        ("ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\n"),
        ("xyz", b"1 2\n3 4\n"),
        ("xyz", b"nan nan nan\n"),
        ("pcd", b"VERSION 0.7\nFIELDS x y z\nPOINTS 5\nDATA ascii\n1 2 3\n"),
    ],
)
def test_a_bad_cloud_fails_its_sample_alone(metric, view, tmp_path, suffix, content) -> None:
    write_ply(tmp_path / "ok.ply", CLOUD)
    (tmp_path / f"bad.{suffix}").write_bytes(content)
    ok, bad = metric(tmp_path).predict([view(id="ok"), view(id="bad")], POINTS)
    np.testing.assert_array_equal(ok.points, CLOUD)
    assert "bad" in failure(bad)


@pytest.mark.parametrize(
    "sample_id", ["../../x", "../ok", "a/../../ok", "/etc/passwd", "a\0b", "x" * 300, ""]
)
def test_an_id_never_leads_out_of_the_folder(metric, view, tmp_path, sample_id) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(tmp_path / "ok.npy", MAP)
    np.save(inside / "good.npy", MAP)
    bad, good = metric(inside).predict([view(id=sample_id), view(id="good")], DEPTH)
    assert isinstance(good, Prediction)
    message = failure(bad)
    if ".." in sample_id or sample_id.startswith("/"):
        assert "within the folder" in message


def test_nor_does_a_link(metric, view, tmp_path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(tmp_path / "secret.npy", MAP)
    np.save(inside / "good.npy", MAP)
    (inside / "link.npy").symlink_to(tmp_path / "secret.npy")
    bad = only(metric(inside).predict([view(id="link")], DEPTH))
    assert "within the folder" in failure(bad)


def test_two_files_of_one_depth_are_not_chosen_between(metric, view, folder) -> None:
    np.savez(folder / "ok.npz", depth=MAP)
    message = failure(only(metric(folder).predict([view(id="ok")], DEPTH)))
    assert "got ok.npz and ok.npy" in message


def test_a_view_too_few(metric, view, tmp_path) -> None:
    np.save(tmp_path / "a_000.npy", MAP)
    message = failure(only(metric(tmp_path).predict([view(views=2)], DEPTH)))
    assert "a_001" in message


@pytest.mark.parametrize(
    ("row", "wants", "message"),
    [
        ({"answer": None}, ANSWER, "'answer' as text or a number, got NoneType"),
        ({"answer": True}, ANSWER, "got bool"),
        ({"answer": ["a"]}, ANSWER, "got list"),
        ({"choice_loglikelihoods": [-1.0]}, ANSWER, "got NoneType"),
        ({"choice_loglikelihoods": [-1.0]}, LIKELIHOODS, "2 numbers, got [-1.0]"),
        ({"choice_loglikelihoods": [-1, "x"]}, LIKELIHOODS, "2 numbers"),
        ({"choice_loglikelihoods": [True, False]}, LIKELIHOODS, "2 numbers"),
        ({"choice_loglikelihoods": 1}, LIKELIHOODS, "2 numbers"),
        ({"answer": "a"}, LIKELIHOODS, "2 numbers, got None"),
    ],
)
def test_a_bad_answer_fails_its_sample_alone(make, tmp_path, row, wants, message) -> None:
    good = {"id": "ok", "answer": "a", "choice_loglikelihoods": [-1, -2]}
    lines(tmp_path / "answers.jsonl", good, {"id": "bad"} | row)
    adapter = make("files", path=str(tmp_path))
    batch = [Inputs(id=i, choices=("a", "b")) for i in ("ok", "bad", "absent")]
    ok, bad, absent = adapter.predict(batch, wants)
    assert isinstance(ok, Prediction)
    assert message in failure(bad)
    assert "'bad'" in str(bad)
    assert "a line with its id" in failure(absent)


def test_an_empty_answer_is_an_answer(make, tmp_path) -> None:
    lines(tmp_path / "answers.jsonl", {"id": "q", "answer": ""})
    adapter = make("files", path=str(tmp_path))
    assert only(adapter.predict([Inputs(id="q")], ANSWER)).answer == ""


# ------------------------------------------------------------------ refused before anything runs


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"id": "a", "answer": "1"}\n{"id": "a", "answer": "2"}\n', "line 2: expected one line"),
        ('{"id": 1, "answer": "1"}\n{"id": "1", "answer": "2"}\n', "a second one of '1'"),
        ('{"answer": "1"}\n', "line 1: expected an 'id', got None"),
        ('{"id": ["a"], "answer": "1"}\n', "line 1: expected an 'id'"),
        ('{"id": "a", "answer": "1"}\n{"id": "b", "ans', "line 2"),
        ("[1, 2]\n", "line 1"),
        ("", "0 bytes"),
        ('{"id": "a", "anwser": "1"}\n', "expected predictions"),
    ],
)
def test_a_broken_file_of_answers(make, tmp_path, rows, message) -> None:
    (tmp_path / "answers.jsonl").write_text(rows)
    with pytest.raises(BenchError) as error:
        make("files", path=str(tmp_path))
    assert message in str(error.value)


def test_a_folder_without_predictions(make, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BenchError, match=r"expected predictions.*got none"):
        make("files", path=str(tmp_path))


def test_a_path_that_is_none(make, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BenchError, match="nothing there"):
        make("files", path=str(tmp_path / "absent"))
    with pytest.raises(BenchError, match="another file"):
        make("files", path=str(tmp_path / "notes.txt"))
    with pytest.raises(BenchError, match="argument 'path'"):
        make("files")


def test_the_ambiguity_of_depth_and_points_must_be_said(make, folder) -> None:
    with pytest.raises(BenchError, match=r"'ambiguity'.*metric, scale, affine, affine_disp.*none"):
        make("files", path=str(folder))
    with pytest.raises(BenchError, match="Did you mean 'affine'"):
        make("files", path=str(folder), ambiguity="afine")
    assert make("files", path=str(folder), ambiguity="affine").ambiguity is Ambiguity.AFFINE


def test_the_scale_of_metric_png_must_be_said(make, tmp_path) -> None:
    Image.fromarray(np.ones((6, 8), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(BenchError, match=r"'depth_scale'.*one metre in a\.png"):
        make("files", path=str(tmp_path), ambiguity="metric")
    with pytest.raises(BenchError, match="number > 0"):
        make("files", path=str(tmp_path), ambiguity="metric", depth_scale=0)
    # A scale that is unknown anyway needs no unit.
    make("files", path=str(tmp_path), ambiguity="scale")


# -------------------------------------------------------------------------------- identity


def test_the_hash_changes_with_every_prediction_and_with_nothing_else(metric, folder) -> None:
    before = metric(folder).weights_hash
    assert before.startswith("sha256:")
    (folder / "README.md").write_text("about these")
    assert metric(folder).weights_hash == before
    np.save(folder / "ok.npy", MAP + 1)
    changed = metric(folder).weights_hash
    assert changed != before
    (folder / "ok.npy").rename(folder / "other.npy")
    assert metric(folder).weights_hash not in (before, changed)


def test_batches_do_not_matter(metric, view, folder) -> None:
    np.save(folder / "b.npy", MAP * 2)
    adapter = metric(folder)
    together = adapter.predict([view(id="ok"), view(id="b")], DEPTH)
    alone = [only(adapter.predict([view(id=i)], DEPTH)) for i in ("ok", "b")]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.depth[0], other.depth[0])
