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

standins = load_module(Path(__file__).with_name("standins.py"))


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


def test_no_frames_and_no_rate() -> None:
    with pytest.raises(ValueError, match="expected a video with frames, got 0"):
        Sampling().indices(0, 1.0)
    with pytest.raises(ValueError, match="frames a second, got 0"):
        Sampling(rule="fps").indices(5, 0.0)


def test_decoded_frames_are_the_chosen_ones(tmp_path: Path) -> None:
    pytest.importorskip("av")
    standins.video(tmp_path / "v.mp4", frames=12, rate=4)
    for source in (tmp_path / "v.mp4", (tmp_path / "v.mp4").read_bytes()):
        frames, rate = load_frames(source, Sampling(frames=4))
        assert [frame.shape for frame in frames] == [(*standins.SIZE, 3)] * 4
        shades = [float(frame.mean()) for frame in frames]
        assert shades == pytest.approx([0, 45, 105, 165], abs=3)  # frames 0, 3, 7, 11, 15 each
        assert rate == pytest.approx(4 / 3)


def test_videos_that_are_none(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("av")
    standins.video(tmp_path / "v.mp4")
    whole = (tmp_path / "v.mp4").read_bytes()
    for content in (b"nonsense", whole[: len(whole) // 2], standins.png()[:20]):
        with pytest.raises(BenchError, match="expected a whole video"):
            load_frames(content, Sampling())
    with pytest.raises(BenchError, match="expected a whole video"):
        load_frames(tmp_path / "no.mp4", Sampling())


def test_without_the_package(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BenchError, match=r"expected the package av.*g2vlm-bench\[video\]"):
        load_frames(tmp_path / "v.mp4", Sampling())


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
    standins.write_json(tmp_path / "long/rows.jsonl", rows)
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
