"""The contact sheet of the world from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench import cli
from g2vlm_bench.errors import BenchError, UsageError
from g2vlm_bench.report.contact_sheet import Panel
from g2vlm_bench.sheet import write_sheet


def test_same_bytes_again(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_sheet(tmp_path / name, n=3, side=48, picture_px=48)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "sheet.png"
    words = ["data", "sheet", "world", "--out", str(out), "--n", "2", "--place", "road"]
    words += ["--moving", "--views", "2", "--questions", "2", "--side", "64", "--columns", "1"]
    monkeypatch.setattr("sys.argv", ["g2vlm-bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    sheet = np.asarray(Image.open(out).convert("RGB"))
    assert sheet.shape[1] == 4 * 64 + 3 * 4 + 2 * 12  # two pictures, depth, objects


def test_a_name_of_another_kind_of_file_is_refused(tmp_path: Path, capsys) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in .png, got 'sheet.xyz'"):
        cli.app(["data", "sheet", "--out", str(tmp_path / "sheet.xyz")])
    assert not list(tmp_path.iterdir())


def test_every_scene_has_a_question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first room of the test split is bare."""
    drawn: list[Panel] = []

    def keep(panels: list[Panel], *_: int) -> Image.Image:
        drawn.extend(panels)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("g2vlm_bench.sheet.draw", keep)
    write_sheet(tmp_path / "a.png", n=3, side=16)
    assert [len(panel.questions) for panel in drawn] == [1, 1, 1]
    assert "000000" not in drawn[0].title


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tset"}, "world split: expected train or validation or test"),
        ({"place": "moon"}, "key 'place'"),
        ({"n": 0}, "key 'n'"),
        ({"moving": True}, "key 'views'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=said):
        write_sheet(tmp_path / "a.png", **options)  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="expected a place that can be written"):
        write_sheet(tmp_path / "file" / "a.png", n=1, side=16)
