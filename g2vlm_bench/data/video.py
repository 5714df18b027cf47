"""Frames of a video: which ones, by the published rules, and their pixels, read when asked for."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError

_FIX = "pip install g2vlm-bench[video]"


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which frames of a video a model sees.

    Attributes:
        rule: `uniform` is numpy.linspace from the first to the last frame, cut to whole numbers;
            `uniform_tail` the same and the last frame where rounding lost it; `chunk_center` the
            middles of equal parts; `fps` one frame every 1 / fps seconds, from the first. These
            four are VLMEvalKit's (commit e8e78f0, vlmeval/dataset/vsibench.py, save_video_frames);
            lmms-eval leaves the choice to the model. `stride` is every (count // frames)-th frame
            from the first (MINT-SJTU/STI-Bench 43ddebe, openai_test.py, get_frame).
        frames: How many; at most as many as there are.
        fps: Of the rule `fps`.
    """

    rule: Literal["uniform", "uniform_tail", "chunk_center", "fps", "stride"] = "uniform"
    frames: Annotated[int, msgspec.Meta(ge=1)] = 32
    fps: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    def indices(self, count: int, video_fps: float) -> tuple[int, ...]:
        """Choose frames; each once, in order.

        >>> Sampling(frames=4).indices(10, 30.0)
        (0, 3, 6, 9)
        >>> Sampling(rule="chunk_center", frames=2).indices(10, 30.0)
        (2, 7)
        >>> Sampling(rule="fps", fps=2).indices(10, 6.0)
        (0, 3, 6)

        Args:
            count: Frames of the video.
            video_fps: Its frames a second.

        Raises:
            ValueError: The video has no frame, or its rate is needed and not known.
        """
        if count < 1:
            raise ValueError(f"expected a video with frames, got {count}")
        if self.rule == "fps":
            if not video_fps > 0:
                raise ValueError(f"expected the video's frames a second, got {video_fps}")
            wanted = max(1, int(count / video_fps * self.fps))
            chosen = [int(i * (video_fps / self.fps)) for i in range(wanted)]
        elif self.rule == "stride":
            chosen = list(range(0, count, max(1, count // self.frames)))[: self.frames]
        elif self.rule == "chunk_center":
            part = count / self.frames
            chosen = [int(part / 2 + np.round(part * i)) for i in range(self.frames)]
        else:
            chosen = np.linspace(0, count - 1, self.frames, dtype=int).tolist()
            if self.rule == "uniform_tail":
                chosen.append(count - 1)
        return tuple(dict.fromkeys(min(index, count - 1) for index in chosen))

    def rate(self, count: int, video_fps: float) -> float:
        """How many of the chosen frames a second of the video has, as a prompt may say.

        >>> Sampling(rule="stride", frames=5).rate(10, 30.0)
        15.0
        """
        if self.rule == "fps":
            return self.fps
        if self.rule == "stride":
            return video_fps / max(1, count // self.frames)
        return len(self.indices(count, video_fps)) * video_fps / count


def load_frames(
    source: Path | bytes, sampling: Sampling
) -> tuple[tuple[NDArray[np.uint8], ...], float]:
    """Decode the chosen frames of a video; no other frame is kept.

    Args:
        source: A file, or its content.
        sampling: Which frames.

    Returns:
        Each `(H, W, 3)` uint8 RGB, upright as the container says; and how many of them a second
        of the video has.

    Raises:
        BenchError: PyAV is not installed, or the video is missing, damaged, or has no frames.
    """
    where = "video data" if isinstance(source, bytes) else str(source)
    try:
        import av
    except ImportError:
        raise BenchError(where, expected="the package av", got="none", fix=_FIX) from None
    try:
        count, fps = _length(source)
        chosen = sampling.indices(count, fps)
        frames = _decode(source, chosen)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise BenchError(where, expected="a whole video", got=error) from None
    if len(frames) != len(chosen):
        raise BenchError(where, expected=f"{len(chosen)} frames", got=len(frames))
    return frames, sampling.rate(count, fps)


def _length(source: Path | bytes) -> tuple[int, float]:
    """Count the frames; where the container does not say how many, its packets do."""
    import av

    with av.open(_file(source), "r") as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 0)
        if stream.frames:
            return stream.frames, fps
        return sum(packet.size > 0 for packet in container.demux(stream)), fps


def _decode(source: Path | bytes, chosen: Sequence[int]) -> tuple[NDArray[np.uint8], ...]:
    found = _by_seeking(source, chosen)
    return _from_the_start(source, chosen) if found is None else found


def _from_the_start(source: Path | bytes, chosen: Sequence[int]) -> tuple[NDArray[np.uint8], ...]:
    """Decode every frame up to the last that is chosen: what a frame's number means."""
    import av

    wanted, found = set(chosen), []
    last = max(wanted)
    with av.open(_file(source), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                found.append(_upright(frame))
            if index >= last:
                break
    return tuple(found)


def _by_seeking(
    source: Path | bytes, chosen: Sequence[int]
) -> tuple[NDArray[np.uint8], ...] | None:
    """Decode from the key frame before each chosen frame, where that surely gives the same frames.

    Returns:
        None where the container does not tell when each frame is shown, where a decoder that
        starts at a key frame gives others than these, or where little would be saved.
    """
    import av

    plan = _plan(source, chosen)
    if plan is None:
        return None
    times, runs = plan
    found: list[NDArray[np.uint8]] = []
    try:
        with av.open(_file(source), "r") as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for key, wanted in runs:
                container.seek(times[key], stream=stream)
                shown = _shown_from(container.decode(stream), key, times)
                for index, frame in zip(range(key, wanted[-1] + 1), shown, strict=False):
                    if index in wanted:
                        found.append(_upright(frame))
    except (av.FFmpegError, _UnsureError):
        return None  # decoding from the start says what is wrong, if anything is
    return tuple(found) if len(found) == len(chosen) else None


class _UnsureError(Exception):
    """What a decoder gives behind a key frame may not be what it gives from the start."""


def _shown_from(frames: Iterator[Any], key: int, times: Sequence[int]) -> Iterator[Any]:
    """Give a key frame and those behind it, one for each of their times.

    Raises:
        _UnsureError: One is missing or has another time, or the key frame is no whole picture.
    """
    import av

    due = key
    for frame in frames:
        if due == key and frame.pts is not None and frame.pts < times[key]:
            continue  # of the group before, perhaps without its references
        # Some encoders mark a picture as key that is only whole after some more.
        is_whole = due > key or frame.pict_type == av.video.frame.PictureType.I
        if due >= len(times) or frame.pts != times[due] or not is_whole:
            raise _UnsureError
        yield frame
        due += 1


def _plan(
    source: Path | bytes, chosen: Sequence[int]
) -> tuple[list[int], list[tuple[int, list[int]]]] | None:
    """Say when each frame is shown, and which key frame to decode from for which frames.

    Returns:
        The frames' times in the order in which they are shown, and runs of a key frame with the
        chosen frames that are decoded from it; None where seeking is not sure or does not pay.
    """
    import av

    with av.open(_file(source), "r") as container:
        stream = container.streams.video[0]
        shown: list[tuple[int, bool]] = []
        for packet in container.demux(stream):
            if packet.size > 0:
                if packet.pts is None or packet.is_discard or packet.is_corrupt:
                    return None
                shown.append((packet.pts, packet.is_keyframe))
        if stream.frames not in (0, len(shown)) or len(dict(shown)) < len(shown):
            return None
    shown.sort()
    keys = [index for index, (_, is_key) in enumerate(shown) if is_key]
    if not keys or keys[0] != 0 or chosen[-1] >= len(shown):
        return None
    runs: list[tuple[int, list[int]]] = []
    decoded = 0
    for index in chosen:
        key = keys[bisect_right(keys, index) - 1]
        # Going on costs less than seeking to where the decoder already is.
        if not runs or key > runs[-1][1][-1]:
            runs.append((key, []))
            decoded += index - key
        else:
            decoded += index - runs[-1][1][-1]
        runs[-1][1].append(index)
    if decoded > 0.8 * chosen[-1]:
        return None
    return [time for time, _ in shown], runs


def _upright(frame: av.VideoFrame) -> NDArray[np.uint8]:  # type: ignore[name-defined]  # noqa: F821
    # The container's rotation is counter-clockwise, in degrees, as phones write it.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))


def _file(source: Path | bytes) -> str | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else str(source)
