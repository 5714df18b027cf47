"""`ask` from the command line, on weights that have learnt nothing and on pictures of all kinds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench import cli
from g2vlm_bench.files import load_array, load_depth, load_rgb
from g2vlm_bench.geometry.cameras import invert_pose, project, transform
from g2vlm_bench.geometry.cloud_files import read_ply

QUESTION = "Is the red box left of the ball?"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures: two of colours, and one of every odd kind."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (2, 45, 60, 3), dtype=np.uint8)
    Image.fromarray(colours[0]).save("one.png")
    Image.fromarray(colours[1]).save("two.png")
    Image.fromarray(colours[0, ..., 0]).save("grey.png")
    Image.fromarray(np.dstack([colours[0], colours[0, ..., 0]])).save("alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours[0]).save("turned.jpg", exif=exif)
    Image.fromarray(colours[0, ..., 0].astype(np.uint16) * 200).save("sixteen.png")
    Path("broken.png").write_bytes(Path("one.png").read_bytes()[:900])
    Path("notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def call(
    here: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> Callable[..., tuple[int, str, str]]:
    def ask(*arguments: object, weights: str | None = None) -> tuple[int, str, str]:
        told = ["ask", *map(str, arguments), "--weights", weights or str(tiny_reference)]
        monkeypatch.setattr(sys, "argv", ["g2vlm-bench", *told, "--device", "cpu"])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return ask


def test_the_answer_stands_alone_on_standard_output(call) -> None:
    code, out, err = call("one.png", QUESTION, "--options", "yes,no")
    assert code == 0, err
    assert out in ("yes\n", "no\n")
    assert "cloud.ply" in err
    shares = [
        float(line.split("%")[0]) for line in err.splitlines() if line.endswith(("yes", "no"))
    ]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    free = call("one.png", QUESTION)
    assert free[0] == 0
    assert free[1].count("\n") == 1


def test_files_of_two_views_agree(call, here: Path) -> None:
    code, _, err = call("one.png", "two.png", QUESTION, "--out", "made", "--npy")
    assert code == 0, err
    names = {path.name for path in Path("made").iterdir()}
    assert names == {
        "depth_000.npy", "depth_001.npy", "preview_000.png", "preview_001.png", "cloud.ply",
        "cameras.json",
    }  # fmt: skip
    depth = [load_array(f"made/depth_{view:03d}.npy") for view in range(2)]
    assert all(d.shape == (45, 60) and d.dtype == np.float32 for d in depth)
    assert load_rgb("made/preview_001.png").shape == (45, 60, 3)
    cameras = json.loads(Path("made/cameras.json").read_text())
    columns = read_ply(Path("made/cloud.ply"))
    points = np.stack([columns[name] for name in "xyz"], -1)
    # The tiny model sees 32 x 40 pixels of each view.
    assert len(points) == 2 * 32 * 40
    second = transform(points[32 * 40 :], invert_pose(np.array(cameras[1]["first_from_camera"])))
    pixels, z = project(second, np.array(cameras[1]["intrinsics"]))
    y, x = np.mgrid[:32, :40] + 0.5
    expected = np.stack([x * 60 / 40, y * 45 / 32], -1).reshape(-1, 2)
    np.testing.assert_allclose(pixels, expected, atol=0.05)
    np.testing.assert_allclose(np.median(z), np.median(depth[1]), rtol=0.05)


def test_depth_as_png_is_millimetres(call) -> None:
    assert call("one.png", QUESTION, "--out", "png")[0] == 0
    assert call("one.png", QUESTION, "--out", "npy", "--npy")[0] == 0
    metres = load_depth("png/depth_000.png", scale=1000)
    np.testing.assert_allclose(metres, load_array("npy/depth_000.npy"), atol=0.00051)


def test_a_cloud_has_the_colours_of_its_pictures(call) -> None:
    Image.new("RGB", (32, 32), (200, 10, 60)).save("red.png")
    assert call("red.png", QUESTION)[0] == 0
    columns = read_ply(Path("red.g2vlm/cloud.ply"))
    colours = np.stack([columns[name] for name in ("red", "green", "blue")], -1)
    np.testing.assert_array_equal(np.unique(colours, axis=0), [[200, 10, 60]])


def test_cameras_may_be_told(call) -> None:
    def focal(*arguments: object) -> float:
        code, _, err = call("one.png", QUESTION, "--out", "c", *arguments)
        assert code == 0, err
        return float(json.loads(Path("c/cameras.json").read_text())[0]["intrinsics"][0][0])

    # 60 pixels seen under 90 degrees: 30 / tan 45.
    assert focal("--fov", 90) == pytest.approx(30, rel=1e-6)
    assert focal("--intrinsics", "41,42,30,22") == pytest.approx(41, rel=1e-6)


@pytest.mark.parametrize("name", ["grey.png", "alpha.png", "turned.jpg"])
def test_odd_pictures_are_read(call, name) -> None:
    code, _, err = call(name, QUESTION, "--out", "odd", "--npy")
    assert code == 0, err
    shape = (60, 45) if name == "turned.jpg" else (45, 60)
    assert load_array("odd/depth_000.npy").shape == shape


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.png", QUESTION], 1, "nowhere.png: expected a readable file"),
        (["broken.png", QUESTION], 1, "broken.png: expected"),
        (["notes.txt", QUESTION], 1, "notes.txt: expected an image"),
        (["sixteen.png", QUESTION], 1, "sixteen.png: expected an image of 8-bit colours"),
        (["one.png"], 2, "expected a question behind the pictures"),
        (["one.png", "two.png"], 2, "expected a question behind the pictures"),
        (["one.png", "gone.png"], 2, "expected a question behind the pictures"),
        (["one.png", "gone.JPG"], 2, "expected a question behind the pictures"),
        (["gone.png"], 2, "expected a question behind the pictures"),
        (["one.png", "?"], 2, "expected words, got '?'"),
        (["one.png", "What color is the cone?"], 2, "Name the answers: --options red,green,blue"),
        (["one.png", QUESTION, "--options", ","], 2, "--options: expected as in red,green,blue"),
        (["one.png", QUESTION, "--options", "yes,yes"], 2, "expected each once, got 'yes' twice"),
        (["one.png", " "], 2, "expected a question, got an empty one"),
        ([QUESTION], 2, "expected pictures before the question"),
        (["one.png", QUESTION, "--options", "yes"], 1, "options to choose from, got 1"),
        (["one.png", QUESTION, "--fov", 170.1], 1, "expected 1 to 170 degrees, got 170.1"),
        (["one.png", QUESTION, "--fov", 0], 1, "expected 1 to 170 degrees, got 0"),
        (["one.png", QUESTION, "--fov", "nan"], 1, "expected 1 to 170 degrees, got nan"),
        (["one.png", QUESTION, "--refinements", 17], 1, "refinements: expected 0 to 16, got 17"),
        (["one.png", QUESTION, "--intrinsics", "1,2"], 2, "four numbers FX,FY,CX,CY"),
        (["one.png", QUESTION, "--intrinsics", "0,1,2,3"], 1, "positive focal lengths"),
        (["one.png", QUESTION, "--fov", 60, "--intrinsics", "1,1,2,3"], 1, "got both"),
        (["one.png", QUESTION, "--intrinsics", "1e-30,1e-30,32,24"], 1, "of finite numbers"),
        (["one.png", "Is " + "nearer " * 200], 1, "at most 128 words"),
        (["one.png", QUESTION, "--out", "notes.txt"], 1, "notes.txt: expected a folder"),
    ],
)
def test_what_cannot_be_is_one_line(call, arguments, code, words) -> None:
    ended, out, err = call(*arguments)
    assert ended == code
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "got expected" not in line
    assert "got pinhole" not in line


def test_weights_that_are_not_there_are_one_line(call, tiny_reference, tmp_path) -> None:
    code, _, err = call("one.png", QUESTION, weights="huge")
    assert code == 1
    assert "weights 'huge'" in err
    assert "train --config nano" in err
    damaged = Path(shutil.copytree(tiny_reference, tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"{}")
    code, _, err = call("one.png", QUESTION, weights=str(damaged))
    assert code == 1
    assert err.count("\n") == 1


def names_in(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_earlier_results_are_replaced_and_nothing_else(call) -> None:
    """Neither the views nor the format of another call stay, nor the files of somebody else go."""
    code, _, err = call("one.png", "two.png", QUESTION, "--out", "made")
    assert code == 0, err
    assert "replaced" not in err
    for name in ("depth_002.png", "mine.png", "depth_1.png"):
        Path("made", name).write_text("mine")
    code, _, err = call("one.png", QUESTION, "--out", "made", "--npy")
    assert code == 0, err
    assert err.count("earlier results in made were replaced") == 1
    assert names_in("made") == {
        "cameras.json", "depth_000.npy", "preview_000.png", "cloud.ply",
        "depth_002.png", "mine.png", "depth_1.png",
    }  # fmt: skip


def test_pictures_of_one_name_do_not_replace_one_another_in_silence(call) -> None:
    for folder, picture in (("a", "one.png"), ("b", "two.png")):
        Path(folder).mkdir()
        shutil.copy(picture, Path(folder, "0.png"))
    assert "replaced" not in call("a/0.png", QUESTION)[2]
    assert "earlier results in 0.g2vlm were replaced" in call("b/0.png", QUESTION)[2]


def test_a_call_that_was_cut_short_leaves_nothing_behind(
    call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("g2vlm_bench.geometry.cloud_files.write_ply", full)
        code, _, err = call("one.png", "two.png", QUESTION, "--out", "made")
    assert code == 1
    assert "No space left" in err
    assert "depth_001.png" in names_in("made")
    assert call("one.png", QUESTION, "--out", "made")[0] == 0
    assert names_in("made") == {"cameras.json", "depth_000.png", "preview_000.png", "cloud.ply"}


@pytest.mark.parametrize("content", ["{}", "[", '[{"fx": 3}]', '[{"intrinsics": 1}]'])
def test_a_folder_with_cameras_of_somebody_else_loses_nothing_more(call, content) -> None:
    Path("made").mkdir()
    Path("made/cameras.json").write_text(content)
    Path("made/depth_000.npy").write_text("mine")
    assert call("one.png", QUESTION, "--out", "made")[0] == 0
    assert Path("made/depth_000.npy").read_text() == "mine"


def test_help_says_what_is_replaced(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["g2vlm-bench", "ask", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "whose earlier results are replaced" in told


def test_words_that_were_never_learnt_are_named(call) -> None:
    code, _, err = call("one.png", "Is the zebra left of the ball?")
    assert code == 0
    assert "words that the model never learnt: zebra" in err


def test_nothing_asked_is_a_usage_error(call) -> None:
    assert call()[0] == 2
