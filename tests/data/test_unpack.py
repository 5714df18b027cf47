"""Archives: those that are whole, and those that are traps."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from g2vlm_bench.data import unpack as module
from g2vlm_bench.data.unpack import unpack
from g2vlm_bench.errors import BenchError

FILES = {"scene/depth/1.png": b"depth" * 1000, "scene/rgb/1.png": b"rgb", "list.txt": b""}


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w", **link: str) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in link.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def make_zip(path: Path, files: dict[str, bytes], **link: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("scene")
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in link.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return path


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_whole_archives(tmp_path, kind) -> None:
    archive = tmp_path / "archive"
    make_zip(archive, FILES) if kind == "zip" else make_tar(archive, FILES, kind)
    (tmp_path / "out").mkdir()
    seen = []
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert unpack(archive, tmp_path / "out", seen.append) == digests
    assert content(tmp_path / "out") == FILES
    assert sum(seen) == 5003
    unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "a/../../root2/evil"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_paths_out_of_the_folder_write_nothing(tmp_path, make, name) -> None:
    root = tmp_path / "root"
    root.mkdir()
    archive = make(tmp_path / "archive", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(BenchError, match=r"within the folder, got '.*evil'\. Nothing was unpacked"):
        unpack(archive, root)
    assert content(root) == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "root"]


@pytest.mark.parametrize("target", ["/etc", "..", "fine.txt"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_links_are_refused_wherever_they_lead(tmp_path, make, target) -> None:
    archive = make(tmp_path / "archive", {"fine.txt": b"1"}, link=target)
    (tmp_path / "root").mkdir()
    with pytest.raises(BenchError, match="a link or a device, 'link'"):
        unpack(archive, tmp_path / "root")
    assert content(tmp_path / "root") == {}


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_hard_links_and_devices_are_refused(tmp_path, kind) -> None:
    with tarfile.open(tmp_path / "archive", "w") as tar:
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(BenchError, match="a link or a device, 'odd'"):
        unpack(tmp_path / "archive", tmp_path)


def test_a_link_that_stands_in_the_folder_is_not_followed_out_of_it(tmp_path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/scene").symlink_to(tmp_path)
    with pytest.raises(BenchError, match="within the folder"):
        unpack(make_tar(tmp_path / "archive", FILES), tmp_path / "root")


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:xz"])
def test_damaged_archives(tmp_path, kind) -> None:
    archive = tmp_path / "archive"
    make_zip(archive, FILES) if kind == "zip" else make_tar(archive, FILES, kind)
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 3], b"", b"<html>"):
        archive.write_bytes(damaged)
        with pytest.raises(BenchError, match="expected a whole archive"):
            unpack(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part"))


def test_flipped_bits_of_a_zip_are_found(tmp_path) -> None:
    archive = make_zip(tmp_path / "archive", {"a.bin": bytes(range(256)) * 40})
    damaged = bytearray(archive.read_bytes())
    damaged[120] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(BenchError, match="expected a whole archive"):
        unpack(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("a.bin*"))


def test_a_disk_without_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 9}))
    with pytest.raises(BenchError, match="expected 5003 bytes of free disk, got 9"):
        unpack(make_zip(tmp_path / "archive", FILES), tmp_path)
