"""Fetching from a loopback server that cuts, refuses, forgets ranges, and lies."""

from __future__ import annotations

import hashlib
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from g2vlm_bench.data import fetch as module
from g2vlm_bench.data.catalogue import Download
from g2vlm_bench.data.fetch import fetch
from g2vlm_bench.errors import BenchError

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server holds, how it misbehaves, and what was asked of it."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)  # bytes to send before hanging up, per answer
    codes: list[int] = field(default_factory=list)  # codes to answer before anything else
    ranges: bool = True
    shift: int = 0  # an offset that ranges are wrong by
    mark: str = ""  # the ETag, or the time of the last change where it ends with GMT
    form: str = "length"  # how it says the size: length, chunked, or not at all
    asked: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)  # what each If-Range said
    url: str = ""

    def download(self, **changes) -> Download:
        made = {"url": f"{self.url}/data/a%20file.bin", "sha256": SHA256, "bytes": len(CONTENT)}
        return Download(**made | changes)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            if state.codes and (code := state.codes.pop(0)) != 200:
                self.send_error(code)
                return
            start = 0
            condition = self.headers.get("If-Range", "")
            state.conditions.append(condition)
            ranges = state.ranges and condition in ("", state.mark)
            if asked and ranges:
                start = int(asked.removeprefix("bytes=").rstrip("-")) + state.shift
                if start >= len(state.content):
                    self.send_error(416)
                    return
            body = state.content[start:]
            self.send_response(206 if asked and ranges else 200)
            if state.mark:
                by_time = state.mark.endswith("GMT")
                self.send_header("Last-Modified" if by_time else "ETag", state.mark)
            if state.form == "length":
                self.send_header("Content-Length", str(len(body)))
            elif state.form == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                middle = len(body) // 2
                chunks = (body[:middle], body[middle:], b"")
                body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks)
            if asked and ranges:
                end = len(state.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{end}/{end + 1}")
            self.end_headers()
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

        def log_message(self, *args: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    listening.shutdown()
    listening.server_close()


def left(root: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in root.iterdir() if p.suffix != ".lock"}


def test_a_whole_file_is_fetched_once(server, tmp_path) -> None:
    seen = []
    path = fetch(server.download(), tmp_path / "new", seen.append)
    assert path == tmp_path / "new/a file.bin"
    assert path.read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    assert [p.name for p in path.parent.iterdir()] == ["a file.bin"]
    fetch(server.download(), tmp_path / "new")
    assert server.asked == [""]


def test_a_cut_connection_goes_on_where_it_stopped(server, tmp_path) -> None:
    server.cuts = [300_000, 200_000]
    seen = []
    path = fetch(server.download(path="below/b.bin"), tmp_path, seen.append, wait_s=0)
    assert path == tmp_path / "below/b.bin"
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]
    assert sum(seen) == len(CONTENT)


def test_an_interrupted_call_goes_on_where_it_stopped(server, tmp_path) -> None:
    server.cuts, server.codes = [300_000], [200, 503, 503]
    with pytest.raises(BenchError, match=r"got 300000, then HTTP 503 .*The same command goes on"):
        fetch(server.download(), tmp_path, attempts=2, wait_s=0)
    assert left(tmp_path) == {"a file.bin.part": 300_000}
    seen = []
    assert fetch(server.download(), tmp_path, seen.append).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=300000-"
    assert seen[0] == 300_000
    assert sum(seen) == len(CONTENT)


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path) -> None:
    server.cuts, server.ranges = [300_000], False
    seen = []
    assert fetch(server.download(), tmp_path, seen.append, wait_s=0).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-"]
    assert sum(seen) == len(CONTENT)


def test_a_range_that_starts_elsewhere_is_not_appended(server, tmp_path) -> None:
    server.cuts, server.shift = [300_000], 7
    seen = []
    assert fetch(server.download(), tmp_path, seen.append, wait_s=0).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", ""]
    assert sum(seen) == len(CONTENT)


def test_a_server_that_always_cuts_is_given_up(server, tmp_path) -> None:
    server.cuts, server.ranges = [300_000] * 99, False
    with pytest.raises(BenchError, match="got 300000, then the end of the connection"):
        fetch(server.download(), tmp_path, attempts=3, wait_s=0)
    assert len(server.asked) == 4


def test_what_has_another_hash_is_not_kept(server, tmp_path) -> None:
    with pytest.raises(BenchError, match=f"expected sha256 {'0' * 64}, got {SHA256}"):
        fetch(server.download(sha256="0" * 64), tmp_path)
    assert left(tmp_path) == {}
    # Half of an older version, resumed: refused, and fetched anew by the next call.
    (tmp_path / "a file.bin.part").write_bytes(b"old" * 100)
    with pytest.raises(BenchError, match="expected sha256"):
        fetch(server.download(), tmp_path)
    assert fetch(server.download(), tmp_path).read_bytes() == CONTENT


def test_a_published_md5_is_held_to_and_lets_a_part_go_on(server, tmp_path) -> None:
    known = {"sha256": "", "md5": hashlib.md5(CONTENT).hexdigest().upper()}
    (tmp_path / "a file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(server.download(**known), tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]
    with pytest.raises(BenchError, match=f"expected md5 {'0' * 32}, got {known['md5'].lower()}"):
        fetch(server.download(sha256="", md5="0" * 32, path="b"), tmp_path)
    assert list(left(tmp_path)) == ["a file.bin"]
    # Both are held to where both are known.
    with pytest.raises(BenchError, match="expected md5"):
        fetch(server.download(md5="0" * 32), tmp_path)


def test_files_of_another_size_than_announced(server, tmp_path) -> None:
    with pytest.raises(BenchError, match="expected 1000 bytes, got 1024000, says the server"):
        fetch(server.download(bytes=1000), tmp_path)
    assert left(tmp_path) == {}
    (tmp_path / "a file.bin.part").write_bytes(CONTENT + b"too much")
    assert fetch(server.download(), tmp_path).read_bytes() == CONTENT
    server.content = CONTENT[:5000]
    with pytest.raises(BenchError, match="expected 1024000 bytes, got 5000, says the server"):
        fetch(server.download(path="short.bin"), tmp_path, attempts=2, wait_s=0)
    # Half of it is here, and the server has less than that.
    (tmp_path / "long.bin.part").write_bytes(CONTENT[:6000])
    with pytest.raises(BenchError, match="got 5000, says the server"):
        fetch(server.download(path="long.bin"), tmp_path, attempts=2, wait_s=0)
    server.form, server.content = "chunked", CONTENT
    with pytest.raises(BenchError, match="expected 1000 bytes, got more of them"):
        fetch(server.download(path="more.bin", bytes=1000), tmp_path)


# ------------------------------------------------------------------------- without a known hash


def unknown(server, **changes) -> Download:
    return server.download(**{"sha256": "", "bytes": 0} | changes)


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_what_nothing_is_known_of_comes_whole(server, tmp_path, form) -> None:
    server.form = form
    seen = []
    path = fetch(unknown(server), tmp_path, seen.append)
    assert path.read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    assert [p.name for p in tmp_path.iterdir()] == ["a file.bin"]
    # Whatever stands there is what was trusted; nobody but the record can say otherwise.
    fetch(unknown(server), tmp_path)
    assert server.asked == [""]


@pytest.mark.parametrize("mark", ['"v1"', "Sun, 22 Nov 2026 11:00:00 GMT"])
def test_it_goes_on_under_the_servers_mark(server, tmp_path, mark) -> None:
    server.mark, server.cuts, server.codes = mark, [300_000, 200_000], [200, 200, 503, 503]
    with pytest.raises(BenchError, match="expected 1024000 bytes, got 500000, then HTTP 503"):
        fetch(unknown(server), tmp_path, attempts=2, wait_s=0)
    assert left(tmp_path)["a file.bin.part"] == 500_000
    assert fetch(unknown(server), tmp_path, wait_s=0).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", *["bytes=500000-"] * 3]
    assert server.conditions[-1] == mark
    assert left(tmp_path) == {"a file.bin": len(CONTENT)}


def test_what_was_whole_but_not_renamed_is_fetched_again(server, tmp_path) -> None:
    """Nothing says that it is whole but the server, which answers 416."""
    server.mark = '"v1"'
    (tmp_path / "a file.bin.part").write_bytes(CONTENT)
    (tmp_path / "a file.bin.part.mark").write_text('"v1"')
    seen = []
    assert fetch(unknown(server), tmp_path, seen.append, wait_s=0).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-", ""]
    assert sum(seen) == len(CONTENT)
    assert left(tmp_path) == {"a file.bin": len(CONTENT)}


def test_another_version_at_the_source_begins_again(server, tmp_path) -> None:
    server.mark, server.cuts, server.codes = '"v1"', [300_000], [200, 503]
    with pytest.raises(BenchError, match="300000"):
        fetch(unknown(server), tmp_path, attempts=1, wait_s=0)
    server.content, server.mark = CONTENT[::-1] + b"new", '"v2"'
    assert fetch(unknown(server), tmp_path, wait_s=0).read_bytes() == CONTENT[::-1] + b"new"
    assert server.conditions[-1] == '"v1"'


@pytest.mark.parametrize("mark", ["", 'W/"weak"'])
def test_without_a_mark_parts_are_never_put_together(server, tmp_path, mark) -> None:
    server.mark, server.cuts = mark, [300_000]
    assert fetch(unknown(server), tmp_path, wait_s=0).read_bytes() == CONTENT
    assert server.asked == ["", ""]
    (tmp_path / "b.bin.part").write_bytes(b"of who knows what")
    assert fetch(unknown(server, path="b.bin"), tmp_path).read_bytes() == CONTENT
    assert server.asked == ["", "", ""]


def test_a_server_that_says_no_size_is_refused_where_a_cut_would_not_show(server, tmp_path) -> None:
    server.form = "none"
    with pytest.raises(BenchError, match="a server that says the size of the file"):
        fetch(unknown(server), tmp_path)
    assert fetch(unknown(server, bytes=len(CONTENT)), tmp_path).read_bytes() == CONTENT


def test_a_cut_between_chunks_shows(server, tmp_path) -> None:
    server.form, server.cuts = "chunked", [512_020]
    assert fetch(unknown(server), tmp_path, wait_s=0).read_bytes() == CONTENT
    assert server.asked == ["", ""]


def test_a_known_size_alone_is_held_to(server, tmp_path) -> None:
    with pytest.raises(BenchError, match="expected 1024001 bytes, got 1024000, says the server"):
        fetch(unknown(server, bytes=len(CONTENT) + 1), tmp_path)


@pytest.mark.parametrize("code", [404, 403, 410])
def test_what_is_refused_is_not_asked_for_again(server, tmp_path, code) -> None:
    server.codes = [code] * 9
    with pytest.raises(BenchError, match=rf"got HTTP {code} .*source's page"):
        fetch(server.download(), tmp_path, wait_s=0)
    assert len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again(server, tmp_path) -> None:
    server.codes = [503, 429]
    assert fetch(server.download(), tmp_path, wait_s=0).read_bytes() == CONTENT


def test_no_server_at_all(server, tmp_path) -> None:
    with pytest.raises(BenchError, match=r"got 0, then .*refused"):
        fetch(server.download(url="http://127.0.0.1:1/x"), tmp_path, attempts=2, wait_s=0)


def test_a_disk_without_room_is_found_before_and_during(server, tmp_path, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(BenchError, match="expected 1024000 bytes of free disk, got 1000"):
            fetch(server.download(), tmp_path)
    assert server.asked == []
    # The system itself refuses what is written beyond a limit, as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(BenchError, match=r"\.part: expected a file to write to, got File too"):
            fetch(server.download(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetch(server.download(), tmp_path).read_bytes() == CONTENT


def test_another_file_of_that_name_is_left_alone(server, tmp_path) -> None:
    (tmp_path / "a file.bin").write_text("mine")
    with pytest.raises(BenchError, match="Move the file away"):
        fetch(server.download(), tmp_path)
    assert (tmp_path / "a file.bin").read_text() == "mine"


def test_two_processes_do_not_write_one_file(server, tmp_path) -> None:
    with (
        FileLock(tmp_path / "a file.bin.lock"),
        pytest.raises(BenchError, match="expected no other fetch of it"),
    ):
        fetch(server.download(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "file:///etc/passwd"}, "http or https"),
        ({"url": "ftp://127.0.0.1/x"}, "http or https"),
        ({"path": "../x"}, "within the folder"),
        ({"url": "http://127.0.0.1/%2e%2e"}, "within the folder|a file"),
        ({"url": "http://127.0.0.1/data/"}, "a file's name"),
    ],
)
def test_addresses_and_names_that_lead_elsewhere(tmp_path, changes, says) -> None:
    made = {"url": "http://127.0.0.1:1/x", "sha256": SHA256, "bytes": 1} | changes
    with pytest.raises(BenchError, match=says):
        fetch(Download(**made), tmp_path / "root", attempts=1, wait_s=0)
    assert not (tmp_path / "x").exists()
