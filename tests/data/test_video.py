"""Frames of videos: chosen as published, decoded when asked for, and never more than a batch."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.data import questions, video
from g2vlm_bench.data.video import Sampling, load_frames
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Model, Options, Task, run
from g2vlm_bench.sample import Prediction, Want
from g2vlm_bench.task import TaskDefinition

files = load_module(Path(__file__).with_name("small_files.py"))


def of_vlmevalkit(rule: str, count: int, rate: float, frames: int, fps: float) -> list[int]:
    """Plain definitions of vlmeval/dataset/vsibench.py, save_video_frames, at e8e78f0."""
    if rule == "fps":
        return [int(i * (rate / fps)) for i in range(int(count / rate * fps))]
    if rule == "chunk_center":
        part = float(count) / frames
        chosen = [int((part / 2) + np.round(part * i)) for i in range(frames)]
        return np.clip(chosen, 0, count - 1).tolist()
    chosen = np.linspace(0, count - 1, frames, dtype=int).tolist()
    if rule == "uniform_tail" and chosen[-1] != count - 1:
        chosen.append(count - 1)
    return chosen


@pytest.mark.parametrize("rule", ["uniform", "uniform_tail", "chunk_center", "fps"])
@pytest.mark.parametrize("count", [1, 7, 32, 100, 2401])
def test_frames_are_those_that_vlmevalkit_chooses(rule, count) -> None:
    for rate, frames, fps in ((24.0, 32, 1.0), (29.97, 8, 2.0), (6.0, 16, 0.5)):
        ours = Sampling(rule=rule, frames=frames, fps=fps).indices(count, rate)
        theirs = of_vlmevalkit(rule, count, rate, frames, fps) or [0]
        assert list(ours) == list(dict.fromkeys(theirs))


def test_strides_are_sti_bench_s() -> None:
    """Every (count // 30)-th frame, at most 30, and the rate that it tells the model."""
    for count in (10, 30, 59, 60, 61, 1000):
        step = max(1, int(count / 30))
        expected = [i for i in range(count) if i % step == 0][:30]
        assert list(Sampling(rule="stride", frames=30).indices(count, 25.0)) == expected
        assert Sampling(rule="stride", frames=30).rate(count, 25.0) == 25.0 / step


def test_frames_a_second_are_divided_as_there() -> None:
    """17 / 10 * 3 and 17 / (10 / 3) are other floats on other sides of a frame, now and then."""
    for rate in (10.0, 12.0, 15.0, 23.976, 24.0, 25.0, 29.97, 30.0, 60.0):
        for fps in (0.3, 0.7, 1.1, 3.0, 7.0):
            ours = Sampling(rule="fps", fps=fps).indices(3000, rate)
            theirs = of_vlmevalkit("fps", 3000, rate, 0, fps)
            assert list(ours) == list(dict.fromkeys(theirs))


def test_no_frames_and_no_rate() -> None:
    with pytest.raises(ValueError, match="expected a video with frames, got 0"):
        Sampling().indices(0, 1.0)
    with pytest.raises(ValueError, match="frames a second, got 0"):
        Sampling(rule="fps").indices(5, 0.0)


def test_decoded_frames_are_the_chosen_ones(tmp_path: Path) -> None:
    pytest.importorskip("av")
    files.video(tmp_path / "v.mp4", frames=12, rate=4)
    for source in (tmp_path / "v.mp4", (tmp_path / "v.mp4").read_bytes()):
        frames, rate = load_frames(source, Sampling(frames=4))
        assert [frame.shape for frame in frames] == [(*files.SIZE, 3)] * 4
        shades = [float(frame.mean()) for frame in frames]
        assert shades == pytest.approx([0, 45, 105, 165], abs=3)  # frames 0, 3, 7, 11, 15 each
        assert rate == pytest.approx(4 / 3)


def test_videos_that_are_none(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("av")
    files.video(tmp_path / "v.mp4")
    whole = (tmp_path / "v.mp4").read_bytes()
    for content in (b"nonsense", whole[: len(whole) // 2], files.png()[:20]):
        with pytest.raises(BenchError, match="expected a whole video"):
            load_frames(content, Sampling())
    with pytest.raises(BenchError, match="expected a whole video"):
        load_frames(tmp_path / "no.mp4", Sampling())


def test_without_the_package(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BenchError, match=r"expected the package av.*g2vlm-bench\[video\]"):
        load_frames(tmp_path / "v.mp4", Sampling())


def noisy(path: Path, codec: str, frames: int = 90, **options: str) -> Path:
    """A moving pattern in noise, so that no two frames are alike and references matter."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        try:
            stream = file.add_stream(codec, rate=25)
        except (ValueError, av.FFmpegError):
            pytest.skip(f"this build has no {codec}")
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        # No key frames but those that are asked for.
        stream.options = options | ({"sc_threshold": "0"} if codec == "libx264" else {})
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        if "g" in options:
            stream.gop_size = int(options["g"])
        for index in range(frames):
            picture = rng.integers(0, 60, (48, 64, 3), np.uint8)
            picture[:, (index * 2) % 56 : (index * 2) % 56 + 8] += 150
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path


ENCODED = {
    "h264 with frames between": ("v.mp4", "libx264", {"g": "12", "bf": "3"}),
    "h264 open": ("v.mp4", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "h264 in Matroska": ("v.mkv", "libx264", {"g": "10"}),
    "h264 in a stream": ("v.ts", "libx264", {"g": "10", "bf": "2"}),
    "h264 without whole pictures": (
        "v.mp4",
        "libx264",
        {"g": "12", "x264-params": "intra-refresh=1"},
    ),
    "h265 open": ("v.mp4", "libx265", {"g": "12", "x265-params": "log-level=none"}),
    "vp9": ("v.webm", "libvpx-vp9", {"g": "10", "cpu-used": "8", "deadline": "realtime"}),
    "vp8 with hidden frames": (
        "v.webm",
        "vp8",
        {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "5"},
    ),
    "mpeg4": ("v.mp4", "mpeg4", {"g": "10"}),
    "mpeg4 in AVI": ("v.avi", "mpeg4", {"g": "10", "bf": "2"}),
    "mpeg2": ("v.ts", "mpeg2video", {"g": "10", "bf": "2"}),
    "mjpeg": ("v.mkv", "mjpeg", {}),
    "one key frame": ("v.mp4", "libx264", {"g": "1000"}),
}
SEEKABLE = {
    "h264 with frames between",
    "h264 open",
    "h264 in Matroska",
    "h265 open",
    "vp9",
    "mpeg4",
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize(
    "chosen", [(0, 89), (5, 6, 40, 88), (47,), (11, 12, 13), (23, 24, 35, 36, 37, 60), (84,)]
)
def test_seeking_gives_the_very_frames_of_decoding_all(
    name: str, chosen: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("av")
    file, codec, options = ENCODED[name]
    path = tmp_path_factory.getbasetemp() / f"{name.replace(' ', '_')}_{file}"
    if not path.exists():
        noisy(path, codec, **options)
    everything = video._from_the_start(path, range(90))
    if len(everything) < 90:
        pytest.skip("this encoder left frames out")
    for source in (path, path.read_bytes()):
        found = video._decode(source, chosen)
        assert len(found) == len(chosen)
        for index, frame in zip(chosen, found, strict=True):
            assert np.array_equal(frame, everything[index])
    if name in SEEKABLE and chosen in ((47,), (84,), (0, 89)):
        assert video._by_seeking(path, chosen) is not None, "it went all the way from the start"


def test_a_video_without_whole_pictures_is_decoded_from_the_start(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = noisy(tmp_path / "v.mp4", "libx264", **{"g": "12", "x264-params": "intra-refresh=1"})
    assert video._by_seeking(path, (84,)) is None


class Watching(Adapter):
    """Answers, and counts the frames that are alive whenever it is asked."""

    predicts = frozenset({Want.ANSWER})

    def __init__(self, alive: list[weakref.ref[object]]) -> None:
        self.alive, self.most = alive, 0

    def predict(self, inputs, wants):
        self.most = max(self.most, sum(ref() is not None for ref in self.alive))
        return [Prediction(answer="1") for _ in inputs]


def test_never_more_than_a_batch_of_frames_is_alive(tmp_path: Path, monkeypatch) -> None:
    """A benchmark of 5,000 questions with 32 frames each, of which the first 24 are asked."""
    alive: list[weakref.ref[object]] = []
    decoded: list[object] = []

    def counted(source, sampling):
        frames = tuple(np.zeros((24, 32, 3), np.uint8) for _ in range(sampling.frames))
        decoded.append(source)
        alive.extend(weakref.ref(frame) for frame in frames)
        return frames, 1.0

    monkeypatch.setattr(questions, "load_frames", counted)
    rows = [{"q": "How many?", "a": str(n), "v": f"{n % 7}.mp4"} for n in range(5000)]
    files.write_json(tmp_path / "long/rows.jsonl", rows)
    for n in range(7):
        (tmp_path / f"long/{n}.mp4").write_bytes(b"never opened")
    asks = {
        **{"question": "{q}", "answer": "{a}", "answer_type": "number"},
        "video": {"path": "{v}", "sampling": {"rule": "uniform", "frames": 32}},
    }
    definition = TaskDefinition(
        name="spatial_qa/long",
        version=1,
        family="spatial_qa",
        data={"format": "qa_hub", "root": "long", "files": ["rows.jsonl"], "asks": asks},
        metrics=["accuracy", "unparsed"],
        headline="accuracy@strict",
    )
    task = Task.load(Plugins(), definition, tmp_path)
    assert len(task.dataset.samples) == 5000
    assert decoded == []
    adapter = Watching(alive)
    run(task, Model("watching", adapter), Options(out=tmp_path / "runs", limit=24, batch_size=4))
    assert len(decoded) == 24
    assert adapter.most == 4 * 32
    assert not any(ref() is not None for ref in alive)


def test_the_video_door_is_lazy() -> None:
    assert "import av" in Path(video.__file__).read_text(encoding="utf-8")
    assert "av" not in vars(video)
