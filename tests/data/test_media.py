"""Pictures and videos in folders, archives and rows: nothing leads out, nothing swells."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import pytest

from g2vlm_bench.data.media import Media, embedded_bytes
from g2vlm_bench.data.unpack import unpack
from g2vlm_bench.errors import BenchError


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_a_file_comes_before_a_member_and_the_first_archive_before_the_second(tmp_path) -> None:
    one = archive(tmp_path / "1.zip", **{"a/x.png": b"one", "a/y.png": b"one"})
    two = archive(tmp_path / "2.zip", **{"a/y.png": b"two", "./a/z.png": b"two"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.png").write_bytes(b"file")
    media = Media(tmp_path, [one, two])
    assert [media.bytes_of(f"a/{name}.png") for name in "xyz"] == [b"file", b"one", b"two"]
    assert media.source("a/x.png") == tmp_path / "a/x.png"
    assert media.source("a/y.png") == b"one"


@pytest.mark.parametrize("name", ["../out.png", "/etc/passwd", "a/../../out.png"])
def test_no_path_leads_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "out.png").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    evil = archive(tmp_path / "evil.zip", **{name: b"evil"})
    for media in (Media(root), Media(root, [evil])):
        with pytest.raises(BenchError, match="expected a path within the folder"):
            media.bytes_of(name)


def test_a_link_out_is_not_followed_but_the_hub_s_cache_is(tmp_path: Path) -> None:
    root = tmp_path / "datasets--x/snapshots" / ("a" * 40)
    blobs = tmp_path / "datasets--x/blobs"
    root.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_bytes(b"content")
    (root / "x.png").symlink_to("../../blobs/123")
    assert Media(root).bytes_of("x.png") == b"content"
    (tmp_path / "out").write_bytes(b"secret")
    (root / "y.png").symlink_to(tmp_path / "out")
    with pytest.raises(BenchError, match="expected a path within the folder"):
        Media(root).bytes_of("y.png")


def test_what_would_swell_is_not_opened(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.zip", **{"x.png": bytes(5 << 20)})
    with pytest.raises(BenchError, match=r"at most .* 200 times its packed size, got 5242880 "):
        Media(tmp_path, [bomb]).bytes_of("x.png")
    with pytest.raises(BenchError, match="200 times its packed size"):
        unpack(bomb, tmp_path)
    assert not (tmp_path / "x.png").exists()


def test_a_member_that_lies_about_its_size_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", **{"x.png": b"y" * 1000})
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24  # the size in the directory
    content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(BenchError, match="expected a whole member"):
        Media(tmp_path, [path]).bytes_of("x.png")


def test_missing_empty_and_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", **{"empty.png": b""})
    media = Media(tmp_path, [path])
    with pytest.raises(BenchError, match=r"x.png: expected a file, or a member of a.zip, got none"):
        media.bytes_of("x.png")
    with pytest.raises(BenchError, match="got an empty member"):
        media.bytes_of("empty.png")
    with pytest.raises(BenchError, match="expected a readable file"):
        Media(tmp_path).bytes_of("x.png")
    path.write_bytes(b"PK nonsense")
    with pytest.raises(BenchError, match="expected a whole zip archive"):
        Media(tmp_path, [path]).bytes_of("x.png")


def test_pictures_in_rows() -> None:
    encoded = base64.b64encode(b"png").decode()
    for cell in (
        b"png",
        {"bytes": b"png", "path": None},
        encoded,
        encoded[:2] + "\n" + encoded[2:],
    ):
        assert embedded_bytes(cell, "here") == b"png"
    for cell in (None, b"", {"bytes": None}, {}):
        with pytest.raises(BenchError, match="here: expected a picture's bytes, got none"):
            embedded_bytes(cell, "here")
    with pytest.raises(BenchError, match="here: expected a picture in base64"):
        embedded_bytes("not base64!", "here")
    with pytest.raises(BenchError, match="got int"):
        embedded_bytes(7, "here")


def test_an_archive_s_list_is_not_read_again_for_each_of_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i}.png" for i in range(40)]
    path = archive(tmp_path / "1.zip", **{name: name.encode() for name in names})
    lists: list[object] = []

    class Counted(zipfile.ZipFile):
        def _RealGetContents(self) -> None:
            lists.append(self)
            super()._RealGetContents()  # type: ignore[misc]

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    media = Media(tmp_path, [path])
    assert [media.bytes_of(name) for name in names] == [name.encode() for name in names]
    assert len(lists) <= 2


def test_an_archive_that_was_replaced_is_opened_again(tmp_path: Path) -> None:
    path = archive(tmp_path / "1.zip", **{"x.png": b"old"})
    assert Media(tmp_path, [path]).bytes_of("x.png") == b"old"
    archive(tmp_path / "2.zip", **{"y.png": b"", "x.png": b"newer"}).replace(path)
    assert Media(tmp_path, [path]).bytes_of("x.png") == b"newer"
