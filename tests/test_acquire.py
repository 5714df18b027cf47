"""`data list`, `data prepare`, `data verify`, on a loopback server and small folders."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shutil
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from g2vlm_bench import cli
from g2vlm_bench.acquire import prepare, verify
from g2vlm_bench.data.catalogue import Download, Entry, load_catalogue
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, check_arguments


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A dataset of two pairs in a zip and a list beside it, on a server of its own."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "pairs.zip", "w") as archive:
        for name in ("a", "b"):
            for folder, pixels in (
                ("rgb", np.zeros((4, 6, 3), np.uint8)),
                ("depth", np.full((4, 6), 2000, np.uint16)),
            ):
                content = io.BytesIO()
                Image.fromarray(pixels).save(content, "PNG")
                archive.writestr(f"{folder}/{name}.png", content.getvalue())
    (shelf / "list.txt").write_text("a\nb\n")
    serve = functools.partial(Quiet, directory=str(shelf))
    listening = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{listening.server_port}"
    yield Entry(
        name="pairs",
        title="Two pairs",
        format="rgbd_pairs",
        options={"rgb": "rgb/{id}.png", "depth": "depth/{id}.png", "depth_scale": 1000},
        source="https://example.org/pairs",
        licence="CC BY 4.0",
        layout="rgb/<id>.png\ndepth/<id>.png\n",
        counts={"test": 2, "scenes": 2},
        download=tuple(
            Download(
                url=f"{url}/{path.name}",
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                bytes=path.stat().st_size,
                unpack=path.suffix == ".zip",
            )
            for path in (shelf / "pairs.zip", shelf / "list.txt")
        ),
    )
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def call(entry, tmp_path, monkeypatch, capsys):
    """Call the command line with a catalogue of that one dataset."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_bytes(msgspec.yaml.encode([entry]))

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [*map(str, arguments), "--catalogue", str(catalogue)]
        monkeypatch.setattr(sys, "argv", ["g2vlm-bench", "data", *words])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return call


def names(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_prepared_data_verify(call, tmp_path) -> None:
    root = tmp_path / "data/pairs"
    code, out, err = call("prepare", "pairs", "--root", root)
    assert code == 0, err
    assert f"ready: {root / 'list.txt'}" in out
    pairs = ["depth/a.png", "depth/b.png", "list.txt", "rgb/a.png", "rgb/b.png"]
    assert names(root) == [".g2vlm-bench.json", *pairs]
    code, out, _ = call("verify", "pairs", "--root", root, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["ok"], found["missing"]) == (True, [])
    checks = {check["what"]: check["got"] for check in found["checks"]}
    assert checks["content of pairs.zip"] == "4 files"
    assert checks["samples of 'test'"] == "2"
    assert checks["content of 'test'"].startswith("sha256:")
    # Prepared again, nothing is fetched: the server may be gone.
    assert call("prepare", "pairs", "--root", root)[0] == 0


def test_unpacked_files_are_held_to_what_was_unpacked(call, tmp_path) -> None:
    root = tmp_path / "pairs"
    call("prepare", "pairs", "--root", root)
    changed, gone = root / "depth/a.png", root / "depth/b.png"
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    gone.unlink()
    code, out, _ = call("verify", "pairs", "--root", root)
    assert code == 1
    assert (
        "WRONG content of pairs.zip: depth/a.png (changed), depth/b.png (gone), "
        "expected 4 files as unpacked" in out
    )


@pytest.fixture
def unknown(entry):
    """The dataset as a catalogue has it that knows neither hashes nor sizes."""
    download = tuple(msgspec.structs.replace(each, sha256="", bytes=0) for each in entry.download)
    return msgspec.structs.replace(entry, download=download)


@pytest.fixture
def call_unknown(call, unknown, tmp_path):
    (tmp_path / "catalogue.yaml").write_bytes(msgspec.yaml.encode([unknown]))
    return call


def test_what_has_no_known_hash_is_trusted_once_and_held_to_it(call_unknown, tmp_path) -> None:
    root, shelf = tmp_path / "pairs", tmp_path / "shelf"
    archive = (shelf / "pairs.zip").read_bytes()
    digests = [hashlib.sha256(content).hexdigest() for content in (archive, b"a\nb\n")]
    code, out, err = call_unknown("prepare", "pairs", "--root", root)
    assert code == 0, err
    assert "2 files, of unknown size, 2 without a known hash: the first download is trusted" in out
    for digest in digests:
        assert f"its hash was not known: sha256 {digest} is trusted from now on" in out
    locked = json.loads((root / ".g2vlm-bench.json").read_text())
    assert [locked[name]["sha256"] for name in ("pairs.zip", "list.txt")] == digests
    assert locked["pairs.zip"]["bytes"] == len(archive)
    assert locked["pairs.zip"]["url"].endswith("/pairs.zip")
    assert locked["list.txt"]["unpacked"] is None
    code, out, _ = call_unknown("verify", "pairs", "--root", root)
    assert code == 0
    assert f"ok    sha256 of list.txt, as first fetched: {digests[1]}" in out
    # Again: nothing is fetched, and nothing is new to be trusted.
    (shelf / "pairs.zip").unlink()
    (shelf / "list.txt").unlink()
    code, out, _ = call_unknown("prepare", "pairs", "--root", root)
    assert (code, "trusted from now on" in out) == (0, False)


@pytest.fixture
def of_md5(unknown, tmp_path):
    """The dataset as a catalogue has it that knows MD5s alone."""
    named = []
    for each, name in zip(unknown.download, ("pairs.zip", "list.txt"), strict=True):
        digest = hashlib.md5((tmp_path / "shelf" / name).read_bytes()).hexdigest()
        named.append(msgspec.structs.replace(each, md5=digest))
    return msgspec.structs.replace(unknown, download=tuple(named))


def test_what_has_a_published_md5_is_not_trusted_but_checked(of_md5, tmp_path) -> None:
    root = tmp_path / "pairs"
    assert [each.trusted for each in prepare(of_md5, root)] == [False, False]
    locked = json.loads((root / ".g2vlm-bench.json").read_text())
    # It is held to more than what was published from then on.
    assert locked["list.txt"]["sha256"] == hashlib.sha256(b"a\nb\n").hexdigest()
    assert verify(of_md5, root, Plugins()).ok
    (root / "list.txt").write_text("b\na\n")
    assert "WRONG sha256 of list.txt" in verify(of_md5, root, Plugins()).text()
    (tmp_path / "shelf/pairs.zip").write_bytes(b"another")
    with pytest.raises(BenchError, match=r"pairs\.zip: expected md5 [0-9a-f]{32}, got"):
        prepare(of_md5, tmp_path / "other")
    assert "pairs.zip" not in names(tmp_path / "other")


def test_an_md5_is_checked_of_what_was_laid_out_by_hand(of_md5, tmp_path) -> None:
    root = tmp_path / "pairs"
    prepare(of_md5, root)
    (root / ".g2vlm-bench.json").unlink()
    found = verify(of_md5, root, Plugins())
    assert found.ok
    assert [check.what for check in found.checks[:2]] == ["pairs.zip", "md5 of list.txt"]
    assert found.checks[0].got == "not fetched here"
    (root / "list.txt").write_text("b\na\n")
    assert "WRONG md5 of list.txt" in verify(of_md5, root, Plugins()).text()
    with pytest.raises(BenchError, match=r"list\.txt: expected md5 .*, got another"):
        prepare(of_md5, root)


def test_what_was_trusted_and_has_changed_is_refused(call_unknown, tmp_path) -> None:
    root, shelf = tmp_path / "pairs", tmp_path / "shelf"
    call_unknown("prepare", "pairs", "--root", root)
    known = hashlib.sha256(b"a\nb\n").hexdigest()
    # Here: `verify` says so, and `prepare` does not overwrite it.
    (root / "list.txt").write_text("b\na\n")
    code, out, _ = call_unknown("verify", "pairs", "--root", root)
    assert code == 1
    assert "WRONG sha256 of list.txt, as first fetched" in out
    assert f"expected {known}" in out
    code, _, err = call_unknown("prepare", "pairs", "--root", root)
    assert code == 1
    assert "Move the file away" in err
    # At its source, of the same size and of another.
    (root / "list.txt").unlink()
    for content, says in (("b\na\n", f"expected sha256 {known}"), ("a\n", "says the server")):
        (shelf / "list.txt").write_text(content)
        code, _, err = call_unknown("prepare", "pairs", "--root", root)
        assert code == 1
        assert says in err
        assert not (root / "list.txt").exists()
    (shelf / "list.txt").write_text("a\nb\n")
    assert call_unknown("prepare", "pairs", "--root", root)[0] == 0


def test_a_catalogue_that_comes_to_know_a_hash_overrules_what_was_trusted(
    call_unknown, unknown, tmp_path
) -> None:
    root = tmp_path / "pairs"
    call_unknown("prepare", "pairs", "--root", root)
    wrong = msgspec.structs.replace(unknown.download[1], sha256="0" * 64)
    found = verify(
        msgspec.structs.replace(unknown, download=(unknown.download[0], wrong)), root, Plugins()
    )
    assert [check.ok for check in found.checks[:2]] == [True, False]
    assert found.checks[1].expected == "0" * 64


def test_data_that_were_laid_out_by_hand_need_no_archives(call_unknown, tmp_path) -> None:
    fetched, root = tmp_path / "fetched", tmp_path / "pairs"
    call_unknown("prepare", "pairs", "--root", fetched)
    for folder in ("rgb", "depth"):
        shutil.copytree(fetched / folder, root / folder)
    code, out, _ = call_unknown("verify", "pairs", "--root", root)
    assert code == 0
    assert "ok    pairs.zip: not fetched here, of no known hash" in out
    (root / "depth/a.png").unlink()
    assert call_unknown("verify", "pairs", "--root", root)[0] == 1


def test_a_damaged_record_is_not_passed_over(call_unknown, tmp_path) -> None:
    root = tmp_path / "pairs"
    call_unknown("prepare", "pairs", "--root", root)
    (root / ".g2vlm-bench.json").write_text("{")
    code, _, err = call_unknown("prepare", "pairs", "--root", root)
    assert code == 1
    assert "the record of what was fetched" in err
    code, out, _ = call_unknown("verify", "pairs", "--root", root)
    assert code == 1
    assert "WRONG pairs.zip" in out


def test_archives_are_unpacked_where_they_stand_and_layouts_may_begin_below(
    entry, tmp_path
) -> None:
    archive, text = entry.download
    entry = msgspec.structs.replace(
        entry,
        download=(msgspec.structs.replace(archive, path="val/pairs.zip"), text),
        below="val",
    )
    root = tmp_path / "pairs"
    ready = prepare(entry, root)
    assert [each.path for each in ready] == [root / "val", root / "list.txt"]
    assert prepare(entry, root) == ready
    assert "val/depth/a.png" in names(root)
    found = verify(entry, root, Plugins())
    assert found.ok, found.text()
    assert found.checks[0].what == "content of val/pairs.zip"
    # Laid out by hand, the folder may be the layout's own.
    by_hand = msgspec.structs.replace(entry, download=())
    assert verify(by_hand, root / "val", Plugins()).ok
    (root / "val/rgb/a.png").unlink()
    assert "rgb/a.png (gone)" in verify(entry, root, Plugins()).text()


def test_an_archive_cannot_bring_a_record_of_its_own(unknown, tmp_path) -> None:
    forged = {"list.txt": {"url": "x", "sha256": "0" * 64, "bytes": 1, "unpacked": {}}}
    with zipfile.ZipFile(tmp_path / "shelf/pairs.zip", "a") as archive:
        archive.writestr(".g2vlm-bench.json", json.dumps(forged))
    root = tmp_path / "pairs"
    ready = prepare(unknown, root)
    assert [each.path for each in ready] == [root, root / "list.txt"]
    locked = json.loads((root / ".g2vlm-bench.json").read_text())
    assert locked["list.txt"]["sha256"] == hashlib.sha256(b"a\nb\n").hexdigest()


def test_without_a_folder_nothing_is_fetched(call, tmp_path) -> None:
    code, out, _ = call("prepare", "pairs")
    assert code == 0
    for text in ("https://example.org/pairs", "CC BY 4.0", "rgb/<id>.png", "format: rgbd_pairs"):
        assert text in out
    assert "2 files" in out
    assert not (tmp_path / "data").exists()


def test_what_is_missing_is_named(call, tmp_path) -> None:
    root = tmp_path / "pairs"
    call("prepare", "pairs", "--root", root)
    (root / "depth/b.png").unlink()
    (root / "list.txt").write_text("another")
    code, out, _ = call("verify", "pairs", "--root", root)
    assert code == 1
    assert "WRONG sha256 of list.txt" in out
    assert "ok    samples of 'test': 2" in out
    assert "missing depth/b.png" in out
    (root / "rgb/b.png").unlink()
    assert "WRONG samples of 'test': 1, expected 2" in call("verify", "pairs", "--root", root)[1]
    (root / "rgb/a.png").unlink()
    assert "WRONG layout" in call("verify", "pairs", "--root", root)[1]
    assert "no such folder" in call("verify", "pairs", "--root", tmp_path / "none")[1]


def test_every_count_that_can_be_taken_is_compared(entry, tmp_path) -> None:
    """Four images of two scenes, two samples of two frames: a pair each."""
    for scene in ("hall", "yard"):
        for number in range(2):
            path = tmp_path / f"d/{scene}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            path.with_suffix(".npy").touch()
    right = {"test": 2, "frames": 4, "pairs": 2, "scenes": 2, "sequences": 2, "in": 2}
    with_counts = functools.partial(
        msgspec.structs.replace,
        entry,
        download=(),
        options={
            "rgb": "{scene}/{id}.png",
            "depth": "{scene}/{id}.npy",
            "cluster": "in/{scene}",
            "sampling": {"views": 0},
        },
    )
    found = verify(with_counts(counts=right | {"doors": 9}), tmp_path / "d", Plugins())
    assert found.ok
    assert "ok    frames: 4, as expected" in found.text()
    assert found.unchecked == {"doors": 9}
    assert "not checked, for its reader cannot count them: 9 doors" in found.text()
    for what in right:
        name = "samples of 'test'" if what == "test" else what
        found = verify(with_counts(counts=right | {what: 64}), tmp_path / "d", Plugins())
        assert not found.ok
        assert [check.what for check in found.checks if not check.ok] == [name]
        assert f"WRONG {name}: {right[what]}, expected 64" in found.text()


def test_one_image_is_not_the_64_sequences_of_hammer(tmp_path, call) -> None:
    folder = tmp_path / "scene2_traj1_1/polarization"
    names = ("rgb/000000.png", "_gt/000000.png", "_pose/000000.txt", "intrinsics.txt")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("500 500 3 2" if name.endswith(".txt") else "")
    shipped = load_catalogue()["hammer"]
    (tmp_path / "catalogue.yaml").write_bytes(msgspec.yaml.encode([msgspec.to_builtins(shipped)]))
    code, out, _ = call("verify", "hammer", "--root", tmp_path)
    assert code == 1
    assert "WRONG sequences: 1, expected 64" in out
    assert out.count("WRONG") == 1


def test_long_lists_of_missing_files_are_cut(entry, tmp_path) -> None:
    for folder in ("rgb", "depth"):
        (tmp_path / "d" / folder).mkdir(parents=True)
    for number in range(13):
        (tmp_path / f"d/rgb/{number:02}.png").write_bytes(b"")
    found = verify(msgspec.structs.replace(entry, download=()), tmp_path / "d", Plugins())
    assert len(found.missing) == 13
    assert "depth/09.png\n  and 3 more" in found.text()


def test_data_under_an_agreement_are_fetched_by_hand(entry, tmp_path) -> None:
    with pytest.raises(BenchError, match=r"Fetch it from https://example\.org/pairs"):
        prepare(msgspec.structs.replace(entry, download=()), tmp_path)


def test_an_archive_whose_content_is_a_trap(entry, tmp_path) -> None:
    shelf = tmp_path / "shelf/pairs.zip"
    with zipfile.ZipFile(shelf, "w") as archive:
        archive.writestr("../evil.txt", "x")
    trap = msgspec.structs.replace(
        entry.download[0],
        sha256=hashlib.sha256(shelf.read_bytes()).hexdigest(),
        bytes=shelf.stat().st_size,
    )
    with pytest.raises(BenchError, match="Nothing was unpacked"):
        prepare(msgspec.structs.replace(entry, download=(trap,)), tmp_path / "root")
    assert names(tmp_path / "root") == ["pairs.zip"]


def test_names_and_catalogues_that_are_none(call, tmp_path) -> None:
    code, _, err = call("prepare", "pears")
    assert code == 1
    assert "Did you mean 'pairs'?" in err
    (tmp_path / "catalogue.yaml").write_text("- name: pairs\n")
    assert "expected a list of datasets" in call("list")[2]
    (tmp_path / "catalogue.yaml").write_text("- name: pairs\n  name: pears\n")
    assert "line 2: expected each key once, got 'name' again" in call("list")[2]


def test_list(call) -> None:
    code, out, _ = call("list")
    assert (code, out) == (0, "pairs  fetched  Two pairs (CC BY 4.0)\n")
    assert json.loads(call("list", "--json")[1])[0]["name"] == "pairs"


@pytest.mark.parametrize("entry", load_catalogue().values(), ids=lambda entry: entry.name)
def test_every_shipped_entry_names_a_reader_and_options_that_it_takes(entry, tmp_path) -> None:
    cls = Plugins().reader(entry.format)
    check_arguments(cls, entry.options, entry.name, {"root": tmp_path})
    assert entry.layout.strip()
    assert entry.licence
    assert entry.text().startswith(entry.name)
    for download in entry.download:
        assert len(bytes.fromhex(download.sha256)) in (0, 32)
        assert len(bytes.fromhex(download.md5)) in (0, 16)
        # A hash is somebody's word: whose, can be looked up.
        assert bool(download.digests) == bool(download.hash_source)
